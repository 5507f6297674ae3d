//! `crabcache demo` as people run it: processes on loopback that are one cache, then gone; and the
//! story of three nodes: form, write, stop all, come back, kill, fail over, return, add, remove,
//! stop all once more.

mod common;
mod demo_world;

use common::{Client, eventually};
use demo_world::{Demo, crabcache, within_patience};

/// Writes where it belongs, following redirections.
fn set(demo: &Demo, key: &str, value: &str) -> u16 {
    let mut node = 1;
    for _ in 0..4 {
        let mut client = demo.client(node);
        client.send_command(&["SET", key, value]);
        let line = client.line();
        if line == "+OK" {
            return node;
        }
        let port: u16 =
            line.rsplit(':').next().expect("a part").parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(line.starts_with("-MOVED "), "{line}");
        node = port - demo.base;
    }
    panic!("nobody takes {key}");
}

#[test]
fn three_processes_are_one_cache() {
    let dir = tempfile::tempdir().expect("a folder");
    let demo = Demo::start(dir.path());
    let owner = set(&demo, "hello", "world");
    // Read on another node: on its copy, or by way of the owner.
    let json = demo.text(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(status["nodes"].as_array().map(Vec::len), Some(3));
    assert_eq!(status["groups"]["without_primary"], 0);
    let other = owner % 3 + 1;
    let mut client = demo.client(other);
    client.send_command(&["GET", "hello"]);
    assert!(client.line().starts_with("-MOVED "));
    eventually("a copy of it", || {
        (1..=3).filter(|node| *node != owner).any(|node| {
            let mut client = demo.client(node);
            client.check(&["READONLY"], "+OK\r\n");
            client.send_command(&["GET", "hello"]);
            client.line() == "$5"
        })
    });
    assert!(demo.text(&["status"]).contains("well"));
    // The same ports again: refused, and the demo goes on.
    let port = demo.base.to_string();
    let again = crabcache(&["demo", "--port-base", &port]).output().expect("the binary runs");
    let error = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(
        !again.status.success() && error.contains("--port-base PORT takes other ports"),
        "{error}"
    );
    let removed = demo.text(&["remove", "3", "--timeout", "60"]);
    assert!(removed.ends_with("node 3 is gone; its process can be stopped\n"), "{removed}");
    assert!(set(&demo, "hello", "again") < 3);
    demo.stop();
    assert!(dir.path().join("node-1/log").exists());
}

/// Enough that each node is primary of many.
const KEYS: usize = 300;

fn key(i: usize) -> String {
    format!("key:{i}")
}

/// Writes all keys by way of a node, as a client that knows no cluster, until each is taken.
fn write_all(demo: &Demo, node: u16, value: &str) {
    let mut client = demo.plain(node);
    let mut left: Vec<usize> = (0..KEYS).collect();
    let done = within_patience(|| {
        left.retain(|i| {
            client.send_command(&["SET", &key(*i), value]);
            client.line() != "+OK"
        });
        left.is_empty()
    });
    assert!(done, "nobody takes {left:?}");
}

/// Reads all keys by way of a node; the values must be these at once.
#[track_caller]
fn read_all(demo: &Demo, node: u16, value: &str) {
    let mut client = demo.plain(node);
    for i in 0..KEYS {
        client.check(&["GET", &key(i)], &format!("${}\r\n{value}\r\n", value.len()));
    }
}

/// Waits until each key has this value on two of three nodes.
fn copied(demo: &Demo, value: &str) {
    let has = |client: &mut Client, i: usize| {
        client.send_command(&["GET", &key(i)]);
        match client.line().as_str() {
            "$-1" => false,
            line if line.starts_with('$') => client.line() == value,
            _ => false,
        }
    };
    let mut clients: Vec<Client> = (1..=3).map(|node| demo.client(node)).collect();
    clients.iter_mut().for_each(|client| client.check(&["READONLY"], "+OK\r\n"));
    for i in 0..KEYS {
        let twice = || clients.iter_mut().map(|c| has(c, i)).filter(|has| *has).count() == 2;
        assert!(within_patience(twice), "{} has too few copies", key(i));
    }
}

/// Stops all, as people do, and starts all: the data is there, by way of each node.
fn all_again(demo: Demo, nodes: usize, value: &str) -> Demo {
    let base = demo.base;
    let dir = demo.stop();
    for node in 1..=3 {
        let data = dir.join(format!("node-{node}")).join("data");
        assert!(data.join("wal").is_dir(), "{}", data.display());
        let data = data.to_str().expect("a name");
        let found = crabcache(&["wal", "verify", "--data-dir", data]).output().expect("it runs");
        assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stdout));
    }
    let demo = Demo::start_at(&dir, base);
    demo.well(nodes);
    (1..=3).for_each(|node| read_all(&demo, node, value));
    demo
}

#[test]
fn the_story_of_three_nodes() {
    let dir = tempfile::tempdir().expect("a folder");
    let demo = Demo::start(dir.path());
    write_all(&demo, 1, "one");
    copied(&demo, "one");
    let mut demo = all_again(demo, 3, "one");

    demo.kill(3);
    write_all(&demo, 1, "two");
    read_all(&demo, 2, "two");
    demo.status_until("node 3 is down", |text| text.contains("down: node 3"));
    demo.bring_back(3);
    demo.well(3);
    read_all(&demo, 3, "two");

    demo.add();
    let text = demo.text(&["rebalance", "--timeout", "90"]);
    assert!(text.ends_with("shares are even\n"), "{text}");
    demo.well(4);
    read_all(&demo, 4, "two");
    // The one that was added comes back with the others.
    let demo = all_again(demo, 4, "two");
    read_all(&demo, 4, "two");
    write_all(&demo, 4, "three");

    demo.text(&["remove", "4", "--timeout", "90"]);
    demo.well(3);
    read_all(&demo, 1, "three");
    // Who was removed says so, to whoever asks.
    let says = |mut client: Client| {
        client.send_command(&["GET", &key(0)]);
        client.line() == "-CLUSTERDOWN This node was removed from its cluster"
    };
    assert!(within_patience(|| says(demo.plain(4)) && says(demo.client(4))));
    // Groups have come and gone on all of them; who was removed stays away.
    all_again(demo, 3, "three").stop();
}
