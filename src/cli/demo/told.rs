//! What a demo says when it is ready: who is where, and what to try. Pure.

use super::{Place, Ports};
use std::fmt::Write;
use std::path::Path;

/// The text; `process` is the last node's.
pub(super) fn ready(
    dir: &Path,
    ids: &[(u64, Ports)],
    ms: u64,
    keep: bool,
    place: &Place,
    process: u32,
) -> String {
    let mut text = format!("{} nodes are one cache after {ms} ms\n\n", ids.len());
    let _ = writeln!(text, "  node  clients         forwarding      metrics");
    for (id, ports) in ids {
        let _ = writeln!(
            text,
            "  {id:>4}  127.0.0.1:{:<5} 127.0.0.1:{:<5} http://127.0.0.1:{}/metrics",
            ports.clients, ports.forward, ports.http
        );
    }
    let Some((_, first)) = ids.first() else { return text };
    let last = ids.last().map_or(1, |(id, _)| *id);
    let (port, forward) = (first.clients, first.forward);
    let at = if port == 7001 { String::new() } else { format!(" -a 127.0.0.1:{port}") };
    let base = match place.port_base {
        7000 => String::new(),
        base => format!(" --port-base {base}"),
    };
    let of_dir = match &place.dir {
        Some(dir) => format!(" --dir {}", dir.display()),
        None => String::new(),
    };
    let add = format!("crabcache demo add{base}{of_dir}");
    let rows = [
        (format!("redis-cli -c -p {port} set hello world"), "a client that knows clusters"),
        (format!("redis-cli -p {forward} get hello"), "one that does not: any node answers"),
        (format!("crabcache cluster status{at}"), "who keeps what"),
        (add, "a node more, in another terminal"),
        (format!("crabcache cluster remove {last}{at}"), "a node less; clients notice nothing"),
        (format!("kill -9 {process}"), "a node dies; writes go on"),
    ];
    let width = rows.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    text.push_str("\ntry\n");
    for (command, why) in rows {
        let _ = writeln!(text, "  {command:<width$}   {why}");
    }
    let end = if keep { "stay there" } else { "are removed at the end" };
    let _ = writeln!(text, "\nlogs and data are in {} and {end}. Ctrl-C stops all.", dir.display());
    text
}
