//! `crabcache demo add`: one node more for a demo that runs, in the foreground. Knows the demo's
//! folder and ports.

use super::nodes::{Ending, Nodes, check_ports};
use super::{MARK, Place};
use crate::cli::cluster::add::token;
use crate::cli::cluster::call::{CallError, Target};
use crate::cli::cluster::document::Status;
use crate::cli::cluster::node_file::{NODE_FILE, NewNode};
use crate::cli::cluster::print;
use crate::limits::operators::DEMO_START_MS_MAX;
use crate::security::Authority;
use ::cluster::node::NodeId;
use std::fs;
use std::path::Path;

/// Starts it, waits until it is of the cluster, runs it until the end of either.
pub(super) fn run(place: &Place) -> Result<(), CallError> {
    let dir = place.dir();
    if !dir.join(MARK).exists() {
        let dir = dir.display();
        return Err(CallError::Other(format!("no demo runs in {dir}: `crabcache demo` first")));
    }
    let first = place.ports(1)?.clients;
    let address = Some(format!("127.0.0.1:{first}"));
    let target = Target { address, token_file: None, json: true };
    let status = Status::of(&target)?;
    let known = status.nodes.iter().map(|node| node.id).chain(status.gone.iter().copied());
    let number = known.max().unwrap_or(0) + 1;
    let none = || CallError::Other("there is no number left for a node".into());
    let id = NodeId::new(number).ok_or_else(none)?;
    let ports = place.ports(number)?;
    check_ports(number, ports)?;
    let authority = Authority::load(&dir.join("ca"));
    let authority = authority.map_err(|error| CallError::Other(error.to_string()))?;
    let (max_memory, durable) = as_first(&dir.join("node-1").join(NODE_FILE));
    let node = NewNode {
        id,
        host: "127.0.0.1".into(),
        ports,
        seeds: status.nodes.iter().map(|node| node.control.clone()).collect(),
        zone: String::new(),
        max_memory,
        factor: None,
        token: Some(token(&target, id, None)?),
        policy: durable.then(|| "async".to_owned()),
    };
    let path = node.write(&authority, &dir.join(format!("node-{number}")))?;
    let ending = Ending::new()?;
    let mut running = Nodes::default();
    running.start(number, &path)?;
    let Some(ms) = running.wait_healthy(&[(number, ports.clients)], &ending, DEMO_START_MS_MAX)?
    else {
        return Ok(());
    };
    print(&format!(
        "node {number} is of the cluster after {ms} ms and gets its share:\n  \
         crabcache cluster status -a 127.0.0.1:{first}\n  crabcache cluster rebalance -a \
         127.0.0.1:{first}\n  crabcache cluster remove {number} -a 127.0.0.1:{first}\nCtrl-C stops \
         it.\n"
    ));
    running.watch(&ending, &dir);
    print("stopping\n");
    Ok(())
}

/// How much memory the demo's first node may take, and whether its data outlives it: nodes of a
/// cluster should be alike.
fn as_first(settings: &Path) -> (Option<String>, bool) {
    let text = fs::read_to_string(settings).unwrap_or_default();
    let table: toml::Table = text.parse().unwrap_or_default();
    let memory = table.get("memory").and_then(|memory| memory.get("max_memory")?.as_str());
    (memory.map(str::to_owned), table.contains_key("wal"))
}

#[cfg(test)]
mod tests {
    use super::as_first;
    use std::fs;

    #[test]
    fn a_node_more_is_as_the_first() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "[memory]\nmax_memory = \"32MiB\"\n[wal]\n").expect("written");
        assert_eq!(as_first(file.path()), (Some("32MiB".into()), true));
        fs::write(file.path(), "[server]\nport = 1\n").expect("written");
        assert_eq!(as_first(file.path()), (None, false));
    }
}
