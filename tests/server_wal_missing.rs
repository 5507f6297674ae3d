//! Files of the log that somebody has taken away: a start says which, and loses nothing silently.

mod common;

use common::Node;
use crabcache::wal::recovery::repair::{Repair, repair};
use crabcache::wal::recovery::verify;
use std::path::{Path, PathBuf};

fn sets(folder: &Path) -> [String; 3] {
    let dir = format!("data.dir={}", folder.display());
    [dir, "wal.policy=sync".into(), "wal.segment_bytes=1MiB".into()]
}

fn start(folder: &Path) -> Node {
    let sets = sets(folder);
    let node = Node::start(&sets.each_ref().map(String::as_str));
    node.until("it has its data", |client| {
        client.send_command(&["DBSIZE"]);
        !client.line().starts_with("-LOADING")
    });
    node
}

/// The segments of the log, first to last.
fn segments(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder.join("wal")).expect("the log").flatten();
    let mut paths: Vec<PathBuf> = files.map(|file| file.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "wal"));
    paths.sort();
    paths
}

/// A node that was killed with a snapshot and several segments behind it.
fn killed(folder: &Path) {
    let mut node = start(folder);
    let mut client = node.connect();
    client.check(&["SET", "k", "1"], "+OK\r\n");
    client.check(&["SAVE"], "+OK\r\n");
    client.check(&["SET", "k", "2"], "+OK\r\n");
    let value = "v".repeat(700_000);
    for i in 0..4 {
        client.check(&["SET", &format!("b{i}"), &value], "+OK\r\n");
    }
    client.check(&["SET", "k", "3"], "+OK\r\n");
    node.signal("SIGKILL");
    node.ended();
}

#[test]
fn the_first_segments_are_missed_though_a_snapshot_stands_before_them() {
    let folder = tempfile::tempdir().expect("a folder");
    killed(folder.path());
    let log = folder.path().join("wal");
    assert!(verify(&log).expect("it can be read").is_sound());
    let all = segments(folder.path());
    assert!(all.len() > 2, "{all:?}");
    for gone in 1..all.len() {
        std::fs::remove_file(&all[gone - 1]).expect("removed");
        let found = verify(&log).expect("it can be read");
        let named: Vec<&PathBuf> = found.damages.iter().map(|damage| &damage.path).collect();
        assert_eq!(named, all[..gone].iter().collect::<Vec<_>>());
    }
    let mut node = Node::start(&sets(folder.path()).each_ref().map(String::as_str));
    assert!(!node.ended().success(), "a node does not start on less");
    // At an operator's word it does.
    repair(&log, Repair { force: true, dry_run: false }).expect("repaired");
    let node = start(folder.path());
    node.connect().check(&["GET", "k"], "$1\r\n1\r\n");
}

#[test]
fn a_log_that_a_snapshot_has_made_needless_is_not_missed() {
    let folder = tempfile::tempdir().expect("a folder");
    killed(folder.path());
    let before = segments(folder.path()).len();
    let node = start(folder.path());
    let mut client = node.connect();
    client.check(&["SAVE"], "+OK\r\n");
    common::eventually("the log is shorter", || segments(folder.path()).len() < before);
    client.check(&["SET", "k", "4"], "+OK\r\n");
    drop(node);
    assert!(verify(&folder.path().join("wal")).expect("it can be read").is_sound());
    start(folder.path()).connect().check(&["GET", "k"], "$1\r\n4\r\n");
}
