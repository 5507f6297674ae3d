//! Copies on other nodes as clients and operators meet them: WAIT, a copy that answers nothing, a
//! disk that is damaged. Real nodes as processes.

mod cluster_nodes;
mod common;

use cluster_nodes::{Nodes, within};
use common::Client;

/// Keys of all slots.
fn key(i: usize) -> String {
    format!("key:{i}")
}

fn write(client: &mut Client, count: usize, value: &str) {
    for i in 0..count {
        client.check(&["SET", &key(i), value], "+OK\r\n");
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
    plain.check(&["WAIT", "1", "60000"], ":2\r\n");
    // No more copies than there are, and not for longer than was asked.
    write(&mut plain, 20, "a third");
    plain.check(&["WAIT", "3", "300"], ":2\r\n");
    // Who was sent on is told of what this node leads.
    let mut client = nodes.client(1);
    let mine = (0..1000).map(key).find(|key| {
        client.send_command(&["SET", key, "here"]);
        client.line() == "+OK"
    });
    assert!(mine.is_some());
    client.check(&["WAIT", "2", "60000"], ":2\r\n");
}
