//! Copies on other nodes as clients and operators meet them: WAIT, a copy that answers nothing, a
//! disk that is damaged. Real nodes as processes.

mod cluster_nodes;
mod common;

use cluster_nodes::{Nodes, within};
use common::Client;
use std::path::Path;

/// Keys of all slots.
fn key(i: usize) -> String {
    format!("key:{i}")
}

fn write(client: &mut Client, count: usize, value: &str) {
    for i in 0..count {
        // What a node did not answer that has died is not known: the same again.
        within("a write", || {
            client.send_command(&["SET", &key(i), value]);
            client.line() == "+OK"
        });
    }
}

#[test]
fn wait_counts_the_nodes_that_have_what_was_written() {
    let nodes = Nodes::start(3, &["cluster.replication_factor=3"]);
    let mut plain = nodes.plain(1);
    write(&mut plain, 200, "a value");
    // Most of it on other nodes, whose primaries are asked.
    plain.check(&["WAIT", "2", "60000"], ":2\r\n");
    write(&mut plain, 1, "another");
    // One is enough; two may have it by then.
    plain.send_command(&["WAIT", "1", "60000"]);
    assert!([":1", ":2"].contains(&plain.line().as_str()));
    // No more copies than there are, and not for longer than was asked.
    write(&mut plain, 20, "a third");
    plain.check(&["WAIT", "2", "60000"], ":2\r\n");
    plain.check(&["WAIT", "3", "100"], ":2\r\n");
    // Who was sent on is told of what this node leads.
    let mut client = nodes.client(1);
    let mine = (0..1000).map(key).find(|key| {
        client.send_command(&["SET", key, "here"]);
        client.line() == "+OK"
    });
    assert!(mine.is_some());
    client.check(&["WAIT", "2", "60000"], ":2\r\n");
}

/// Reads until everybody's answer is that.
fn read(client: &mut Client, count: usize, value: &str) {
    for i in 0..count {
        within(&format!("the value of {}", key(i)), || {
            client.send_command(&["GET", &key(i)]);
            let mut last = client.line();
            if last.starts_with('$') && last != "$-1" {
                last = client.line();
            }
            assert_ne!(last, "$-1", "{} is lost", key(i));
            last == value
        });
    }
}

/// Turns bits of every file of a node's data that holds anything.
fn damage(folder: &Path) -> usize {
    let mut done = 0;
    for name in ["wal", "snapshots"] {
        let files = std::fs::read_dir(folder.join("data").join(name)).into_iter().flatten();
        for file in files.map(|file| file.expect("an entry").path()) {
            let mut bytes = std::fs::read(&file).expect("a file");
            let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
            if used > 1000 {
                bytes[used / 2..used / 2 + 16].iter_mut().for_each(|byte| *byte ^= 0x55);
                std::fs::write(&file, bytes).expect("a file");
                done += 1;
            }
        }
    }
    done
}

#[test]
fn what_is_damaged_on_disk_is_fetched_from_the_other_copy() {
    let mut nodes = Nodes::start(3, &["wal.policy=sync"]);
    let mut plain = nodes.plain(1);
    write(&mut plain, 600, "whole");
    plain.check(&["WAIT", "1", "60000"], ":1\r\n");
    nodes.stop(2);
    assert!(damage(&nodes.folder(2)) > 0);
    nodes.start_one(2);
    nodes.until_well();
    let said = nodes.said(2);
    assert!(said.contains("they are given up here and fetched from other nodes"), "{said}");
    read(&mut plain, 600, "whole");
    // The copies there are good ones.
    nodes.kill(3);
    read(&mut plain, 600, "whole");
}

#[test]
fn a_copy_that_answers_nothing_stops_nobody() {
    let nodes = Nodes::start(3, &[]);
    let mut plain = nodes.plain(1);
    write(&mut plain, 100, "before");
    nodes.signal(3, "STOP");
    // More than what copies may be behind.
    let value = "v".repeat(1024 * 1024);
    for i in 0..60 {
        let key = key(i % 12);
        within("a write", || {
            plain.send_command(&["SET", &key, &value]);
            plain.line() == "+OK"
        });
    }
    plain.check(&["GET", &key(50)], "$6\r\nbefore\r\n");
    // When it is back, it gets all of that.
    nodes.signal(3, "CONT");
    nodes.until_well();
    plain.check(&["SET", &key(0), "after"], "+OK\r\n");
    plain.check(&["WAIT", "1", "60000"], ":1\r\n");
}

#[test]
fn the_largest_values_are_copied() {
    let mut nodes = Nodes::start(3, &["memory.max_memory=512MiB", "memory.shards=16"]);
    let mut plain = nodes.plain(1);
    // More than an even part of the bound for each shard.
    let value = "L".repeat(63 * 1024 * 1024);
    for i in 0..2 {
        within("a write", || {
            plain.send_command(&["SET", &key(i), &value]);
            plain.line() == "+OK"
        });
    }
    nodes.until_well();
    plain.check(&["WAIT", "1", "60000"], ":1\r\n");
    // Whole copies of them, too.
    nodes.kill(3);
    within("a primary for all", || {
        nodes.status(1).is_some_and(|status| status["groups"]["without_primary"] == 0)
    });
    nodes.start_one(3);
    nodes.until_well();
    nodes.kill(2);
    for i in 0..2 {
        within("the length of a value", || {
            plain.send_command(&["STRLEN", &key(i)]);
            plain.line() == format!(":{}", value.len())
        });
    }
}

#[test]
fn a_node_that_dies_while_it_is_given_copies_gets_them_again() {
    let mut nodes = Nodes::start(3, &[]);
    let mut plain = nodes.plain(1);
    // Two thirds of what the nodes have room for: nothing is a reason to give any of it up.
    let value = "x".repeat(11_000);
    nodes.kill(3);
    // More than the backlog has: whole copies are to be made.
    write(&mut plain, 5000, &value);
    let third = |nodes: &Nodes| {
        let status = nodes.status(1)?;
        status["nodes"].as_array()?.iter().find(|node| node["id"] == 3).cloned()
    };
    for _ in 0..2 {
        let was = |node: &serde_json::Value| node["incarnation"].as_u64().unwrap_or(0);
        let is_left = |node: &serde_json::Value| node["primaries"] == 0;
        within("a node that leads nothing", || third(&nodes).is_some_and(|node| is_left(&node)));
        let before = third(&nodes).map_or(0, |node| was(&node));
        nodes.start_one(3);
        within("copies that are on their way", || {
            let has = |node: &serde_json::Value| was(node) > before && node["copies"] != 0;
            third(&nodes).is_some_and(|node| has(&node))
        });
        nodes.kill(3);
        read(&mut plain, 100, &value);
    }
    nodes.start_one(3);
    nodes.until_well();
    plain.check(&["WAIT", "1", "60000"], ":1\r\n");
    nodes.kill(2);
    read(&mut plain, 5000, &value);
}

#[test]
fn what_a_small_node_has_no_room_for_its_primaries_give_up() {
    let special = (3, "memory.max_memory=24MiB");
    let nodes = Nodes::start_with(3, &["wal.policy=none", "data.dir="], special);
    let mut plain = nodes.plain(1);
    let value = "m".repeat(8000);
    // 80 MB, twice, into some 72 MB.
    write(&mut plain, 10_000, &value);
    let used = |number: u16| {
        let info = nodes.client(number).text(&["INFO", "memory"]);
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
        line.and_then(|bytes| bytes.parse::<u64>().ok()).expect("a number")
    };
    within("a small node that is within its bound", || used(3) < 26 * 1024 * 1024);
    // What the primaries have given up is gone from the copies too.
    nodes.until_well();
    plain.check(&["SET", "last", "one"], "+OK\r\n");
    plain.check(&["WAIT", "1", "60000"], ":1\r\n");
    within("a small node that stays within its bound", || used(3) < 26 * 1024 * 1024);
}

#[test]
fn who_is_behind_is_told() {
    let nodes = Nodes::start(3, &[]);
    let mut plain = nodes.plain(1);
    write(&mut plain, 100, "a value");
    plain.check(&["WAIT", "1", "60000"], ":1\r\n");
    within("copies that are as they should be", || {
        (1..=3).all(|asked| {
            nodes.status(asked).is_some_and(|status| {
                let all = status["nodes"].as_array().expect("a list");
                all.iter().all(|node| node["lag"]["records"] == 0 && node["lag"]["ms"] == 0)
            })
        })
    });
    let info = nodes.client(1).text(&["INFO", "replication"]);
    assert!(info.contains("role:master\r\n") && info.contains("connected_slaves:2\r\n"), "{info}");
    let slave = format!("slave0:ip=127.0.0.1,port={},state=online,offset=", nodes.port(2));
    assert!(info.contains(&slave) && !info.contains("master_repl_offset:0\r\n"), "{info}");
}

#[test]
fn a_node_that_is_emptied_gives_up_nothing_for_a_group_larger_than_the_others() {
    // Room for twice what any of them comes to keep.
    let nodes = Nodes::start(3, &["memory.max_memory=256MiB"]);
    let mut plain = nodes.plain(1);
    write(&mut plain, 1500, "small");
    for i in 0..2 {
        let big = "b".repeat(20 * 1024 * 1024);
        plain.check(&["SET", &format!("big:{i}"), &big], "+OK\r\n");
    }
    nodes.until_well();
    for number in ["1", "2", "3"] {
        let at = format!("127.0.0.1:{}", nodes.port(3));
        for what in ["drain", "undrain"] {
            let words = ["cluster", what, number, "--address", &at];
            let done = std::process::Command::new(env!("CARGO_BIN_EXE_crabcache"))
                .args(words)
                .output()
                .expect("it runs");
            assert!(done.status.success(), "{done:?}");
        }
        nodes.until_well();
    }
    read(&mut plain, 1500, "small");
}
