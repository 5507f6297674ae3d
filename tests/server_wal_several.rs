//! Commands on several keys beside commands on one of them, on a node that keeps its data on disk:
//! what was acknowledged is there after an orderly end, and under `sync` after any.

mod common;

use common::{Node, resp};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Each writer has keys of its own, which are of several shards.
const WRITERS: usize = 6;
const ROUNDS: u64 = 4;

fn start(folder: &Path, policy: &str) -> Node {
    let dir = format!("data.dir={}", folder.display());
    let node = Node::start(&[&dir, policy, "memory.shards=8"]);
    node.until("it has its data", |client| {
        client.send_command(&["DBSIZE"]);
        !client.line().starts_with("-LOADING")
    });
    node
}

fn key(writer: usize, of: usize) -> String {
    format!("key:{writer}:{of}")
}

/// Counts up in pipelines of commands on one key and on all, until the node is gone; `acked`
/// becomes the last number that all keys are known to have.
fn count_up(
    node: &Node,
    writer: usize,
    from: u64,
    acked: Arc<AtomicU64>,
) -> thread::JoinHandle<()> {
    let mut stream = TcpStream::connect(node.address()).expect("the node listens");
    thread::spawn(move || {
        let keys: Vec<String> = (0..3).map(|of| key(writer, of)).collect();
        for number in from + 1.. {
            let (before, number_word) = (format!("-{number}"), number.to_string());
            let pairs = keys.iter().flat_map(|key| [key, &number_word]).map(String::as_str);
            let every: Vec<&str> = ["MSET"].into_iter().chain(pairs).collect();
            let mut sent = resp(&["SET", &keys[1], &before]);
            sent.extend(resp(&every));
            sent.extend(resp(&["SET", &keys[1], &number_word]));
            sent.extend(resp(&["SET", &keys[2], &number_word]));
            let mut answers = [0; 4 * "+OK\r\n".len()];
            let answered =
                stream.write_all(&sent).is_ok() && stream.read_exact(&mut answers).is_ok();
            if !answered || answers != *"+OK\r\n".repeat(4).as_bytes() {
                return;
            }
            acked.store(number, Ordering::SeqCst);
        }
    })
}

/// Ends a node in this way under such writers, again and again.
fn ends(policy: &str, signal: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut acked: Vec<u64> = vec![0; WRITERS];
    for round in 0..=ROUNDS {
        let mut node = start(folder.path(), policy);
        let mut client = node.connect();
        for (writer, acked) in acked.iter_mut().enumerate().filter(|_| round > 0) {
            let names: Vec<String> = (0..3).map(|of| key(writer, of)).collect();
            let found: Vec<u64> = names
                .iter()
                .map(|name| {
                    let said = client.text(&["GET", name]);
                    said.trim_start_matches('-').parse().expect("a number")
                })
                .collect();
            let case = format!("{policy}, {signal}, round {round}: {names:?} are {found:?}");
            assert!(found.iter().all(|number| *number >= *acked), "{case}, {acked} was told");
            assert!(found[0] == found[2], "half of a command: {case}");
            *acked = *found.iter().max().expect("three");
        }
        let counts: Vec<_> = acked.iter().map(|n| Arc::new(AtomicU64::new(*n))).collect();
        let writers = counts.iter().zip(&acked).enumerate();
        let threads: Vec<_> = writers
            .map(|(writer, (count, from))| count_up(&node, writer, *from, count.clone()))
            .collect();
        common::eventually("the writers write", || {
            counts.iter().zip(&acked).all(|(n, from)| n.load(Ordering::SeqCst) >= from + 20)
        });
        node.signal(signal);
        node.ended();
        threads.into_iter().for_each(|thread| thread.join().expect("it ends"));
        let told = counts.iter().map(|count| count.load(Ordering::SeqCst));
        acked = told.collect();
    }
}

#[test]
fn killed_under_sync_it_has_all_that_was_acknowledged_of_several_keys() {
    ends("wal.policy=sync", "SIGKILL");
}

#[test]
fn stopped_it_has_all_that_was_acknowledged_of_several_keys() {
    ends("wal.policy=sync", "SIGTERM");
    ends("wal.policy=async", "SIGTERM");
}

#[test]
fn without_a_log_the_snapshot_at_the_end_has_all_that_was_acknowledged() {
    ends("wal.policy=none", "SIGTERM");
}
