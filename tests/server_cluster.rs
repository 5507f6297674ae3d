//! What clients are told of a cluster: redirections, topology by listener, and what they read
//! whole keyspaces as. Two real nodes that believe in a cluster made by hand.

mod cluster_world;
mod common;

use cluster::slot::{GROUPS, Slot};
use cluster_world::{Value, World, ask};
use crabcache::clock;
use crabcache::wal::files::{Files, StuckFiles, SystemFiles};
use std::sync::Arc;

/// A key of the first node of two, and one of the second.
const LOW: &str = "bar";
const HIGH: &str = "foo";

#[test]
fn a_key_of_another_node_is_told_by_the_address_that_clients_see() {
    let world = World::start(2, &[]);
    let mut client = world.connect(0);
    client.check(&["SET", LOW, "1"], "+OK\r\n");
    let moved = format!("-MOVED 12182 127.0.0.1:{}\r\n", world.port(1));
    client.check(&["SET", HIGH, "1"], &moved);
    client.check(&["GET", HIGH], &moved);
    client.check(&["DEL", HIGH, "{foo}2"], &moved);
    world.connect(1).check(&["SET", HIGH, "1"], "+OK\r\n");
    world.connect(1).check(&["MGET", HIGH, "{foo}2"], "*2\r\n$1\r\n1\r\n$-1\r\n");
    // Mixed in one pipeline, each gets its own answer in its place.
    client.send([common::resp(&["GET", LOW]), common::resp(&["GET", HIGH])].concat().repeat(100));
    client.expect(format!("$1\r\n1\r\n{moved}").repeat(100));
    let info = client.text(&["INFO", "commandstats"]);
    assert!(info.contains("rejected_calls=101"), "{info}");
}

#[test]
fn keys_of_several_slots_are_refused() {
    let world = World::start(2, &[]);
    let mut client = world.connect(0);
    let cross = "-CROSSSLOT Keys in request don't hash to the same slot\r\n";
    // Both slots are here: Redis refuses that too.
    for words in [
        &["MGET", LOW, "hello"][..],
        &["MSET", LOW, "1", "hello", "2"],
        &["MSETNX", LOW, "1", "hello", "2"],
        &["DEL", LOW, "hello"],
        &["RENAME", LOW, "hello"],
        &["COPY", LOW, "hello"],
        &["LCS", LOW, "hello"],
    ] {
        client.check(words, cross);
    }
    client.check(&["MSET", "{bar}1", "1", "{bar}2", "2"], "+OK\r\n");
    client.check(&["RENAME", "{bar}1", "{bar}3"], "+OK\r\n");
    client.check(&["EXISTS", "{bar}2", "{bar}3"], ":2\r\n");
}

#[test]
fn each_listener_tells_its_own_addresses() {
    let outer = "server.listeners=outer 127.0.0.1:0 advertise cache.example";
    let world = World::start(2, &[outer, "server.advertise=10.1.2.3:7001"]);
    let (inner, outer) = (world.connect(0), world.nodes[0].connect(1));
    let port = world.nodes[1].addresses[1].port();
    for (mut client, host, port) in [(inner, "10.1.2.3", 7001), (outer, "cache.example", port)] {
        client.check(&["GET", HIGH], &format!("-MOVED 12182 {host}:{port}\r\n"));
        let slots = ask(&mut client, &["CLUSTER", "SLOTS"]);
        let node = &slots.list()[1].list()[2];
        assert_eq!(node.list()[0], Value::Bulk(host.into()));
        assert_eq!(node.list()[1], Value::Integer(port.into()));
        let nodes = client.text(&["CLUSTER", "NODES"]);
        assert!(nodes.contains(&format!(" {host}:{port}@7101")), "{nodes}");
        let shards = ask(&mut client, &["CLUSTER", "SHARDS"]);
        let node = &shards.list()[1].field("nodes").list()[0];
        assert_eq!(node.field("endpoint").text(), host);
        assert_eq!(node.field("port"), &Value::Integer(port.into()));
    }
}

#[test]
fn a_new_topology_is_told_at_once() {
    let world = World::start(2, &[]);
    let mut client = world.connect(0);
    let count = |value: &Value| value.list().len();
    assert_eq!(count(&ask(&mut client, &["CLUSTER", "SLOTS"])), 2);
    assert_eq!(count(&ask(&mut client, &["CLUSTER", "SLOTS"])), 2);
    world.publish(&|group| vec![usize::from(group.number() % 2)]);
    assert_eq!(count(&ask(&mut client, &["CLUSTER", "SLOTS"])), usize::from(GROUPS));
    world.publish(&|_| vec![0]);
    assert_eq!(count(&ask(&mut client, &["CLUSTER", "SLOTS"])), 1);
    client.check(&["SET", HIGH, "1"], "+OK\r\n");
    let moved = format!("-MOVED 12182 127.0.0.1:{}\r\n", world.port(0));
    world.connect(1).check(&["GET", HIGH], &moved);
}

#[test]
fn what_nobody_serves_is_down_and_the_rest_is_not() {
    let world = World::start(2, &[]);
    let mut client = world.connect(0);
    let of_foo = Slot::of(HIGH.as_bytes()).group();
    world.publish(&move |group| if group == of_foo { vec![] } else { vec![0] });
    client.check(&["GET", HIGH], "-CLUSTERDOWN Hash slot not served\r\n");
    client.check(&["SET", LOW, "1"], "+OK\r\n");
    let info = client.text(&["CLUSTER", "INFO"]);
    assert!(info.contains("cluster_slots_assigned:16368\r\n"), "{info}");
    world.nodes[0].lease.set(0, 0);
    client.send_command(&["GET", LOW]);
    let answer = client.line();
    assert!(answer.starts_with("-CLUSTERDOWN The cluster is down: "), "{answer}");
    client.send_command(&["FLUSHALL"]);
    assert!(client.line().starts_with("-CLUSTERDOWN "));
    assert!(client.text(&["CLUSTER", "INFO"]).starts_with("cluster_state:fail\r\n"));
    world.nodes[0].lease.set(0, u64::MAX);
    client.check(&["GET", LOW], "$1\r\n1\r\n");
    assert!(client.text(&["CLUSTER", "INFO"]).starts_with("cluster_state:ok\r\n"));
}

/// A write waits for the disk; meanwhile the lease lapses, perhaps for another primary, and comes
/// back. The write may be lost by then: it is not to be acknowledged.
#[test]
fn what_waits_for_the_disk_is_not_acknowledged_under_another_lease() {
    let folder = tempfile::tempdir().expect("a folder");
    let sets = ["wal.policy=sync", &format!("data.dir={}", folder.path().display())];
    let disk = StuckFiles::new(Arc::new(SystemFiles));
    let world = World::start_on(1, &sets, &(Arc::new(disk.clone()) as Arc<dyn Files>));
    let (node, group) = (&world.nodes[0], Slot::of(LOW.as_bytes()).group());
    common::eventually("it has its data", || {
        matches!(ask(&mut world.connect(0), &["SET", LOW, "0"]), Value::Simple(_))
    });
    let mut client = world.connect(0);
    let write = |client: &mut common::Client, value: &str, meanwhile: &dyn Fn()| {
        disk.stick();
        let before = node.shared.engine.log_position(group).1;
        client.send_command(&["SET", LOW, value]);
        common::eventually("it was executed", || node.shared.engine.log_position(group).1 > before);
        client.check_nothing();
        meanwhile();
        disk.free();
    };
    // Extended in time, it is the same lease.
    write(&mut client, "1", &|| node.lease.set(0, u64::MAX - 1));
    client.expect("+OK\r\n");
    write(&mut client, "2", &|| {
        node.lease.set(0, 0);
        node.lease.set(clock::monotonic_nanos(), u64::MAX);
    });
    client.expect_end();
    world.connect(0).check(&["SET", LOW, "3"], "+OK\r\n");
}

#[test]
fn a_node_that_is_away_is_told_so() {
    let world = World::start(2, &[]);
    let halves = |group: cluster::slot::Group| vec![usize::from(group.number() >= GROUPS / 2)];
    let away = world.nodes[1].id;
    world.publish_with(&halves, |parts| {
        parts.up.remove(&away);
    });
    let mut client = world.connect(0);
    let nodes = client.text(&["CLUSTER", "NODES"]);
    let line = nodes.lines().find(|line| line.starts_with(&away.to_string())).expect("a line");
    assert!(line.contains(" master,fail - 0 0 ") && line.contains(" disconnected "), "{line}");
    let info = client.text(&["CLUSTER", "INFO"]);
    assert!(info.contains("cluster_slots_ok:8192\r\n"), "{info}");
    assert!(info.contains("cluster_slots_fail:8192\r\n"), "{info}");
    let shards = ask(&mut client, &["CLUSTER", "SHARDS"]);
    assert_eq!(shards.list()[1].field("nodes").list()[0].field("health").text(), "fail");
    assert_eq!(ask(&mut client, &["CLUSTER", "LINKS"]), Value::Array(vec![]));
    let id = away.to_string();
    client.check(&["CLUSTER", "COUNT-FAILURE-REPORTS", &id], ":1\r\n");
}

#[test]
fn replicas_answer_readers_who_say_so() {
    let world = World::start(2, &[]);
    world.publish(&|_| vec![0]);
    let (mut one, mut two) = (world.connect(0), world.connect(1));
    // Copies are made by hand here: the second was primary once.
    world.publish(&|_| vec![1]);
    two.check(&["SET", HIGH, "copy"], "+OK\r\n");
    world.publish(&|_| vec![0, 1]);
    one.check(&["SET", HIGH, "original"], "+OK\r\n");
    let moved = format!("-MOVED 12182 127.0.0.1:{}\r\n", world.port(0));
    two.check(&["GET", HIGH], &moved);
    two.check(&["READONLY"], "+OK\r\n");
    two.check(&["GET", HIGH], "$4\r\ncopy\r\n");
    two.check(&["MGET", HIGH, "{foo}"], "*2\r\n$4\r\ncopy\r\n$-1\r\n");
    two.check(&["SET", HIGH, "x"], &moved);
    // Its copies are not its keys.
    two.check(&["DBSIZE"], ":0\r\n");
    two.check(&["READWRITE"], "+OK\r\n");
    two.check(&["GET", HIGH], &moved);
    two.check(&["READONLY"], "+OK\r\n");
    two.check(&["RESET"], "+RESET\r\n");
    two.check(&["GET", HIGH], &moved);
    two.check(&["ASKING"], "+OK\r\n");
    two.check(&["GET", HIGH], &moved);
}

#[test]
fn replicas_are_told_of_only_where_that_is_wanted() {
    for (set, nodes) in
        [("cluster.announce_replicas=false", 3), ("cluster.announce_replicas=true", 4)]
    {
        let world = World::start(2, &[set]);
        world.publish(&|group| if group.number() < 512 { vec![0, 1] } else { vec![1, 0] });
        let slots = ask(&mut world.connect(0), &["CLUSTER", "SLOTS"]);
        assert_eq!(slots.list().len(), 2);
        assert!(slots.list().iter().all(|range| range.list().len() == nodes), "{slots:?}");
    }
}

#[test]
fn a_node_speaks_of_the_keys_it_is_primary_of() {
    let world = World::start(2, &[]);
    world.publish(&|_| vec![0]);
    let mut client = world.connect(0);
    let keys: Vec<String> = (0..500).map(|i| format!("key:{i}")).collect();
    for key in &keys {
        client.check(&["SET", key, "v"], "+OK\r\n");
    }
    let low = |key: &&String| Slot::of(key.as_bytes()).number() < 8192;
    let mine: Vec<&String> = keys.iter().filter(low).collect();
    assert!(mine.len() > 100 && mine.len() < 400);
    client.check(&["DBSIZE"], ":500\r\n");
    world.publish(&|group| if group.number() < 512 { vec![0, 1] } else { vec![1, 0] });
    client.check(&["DBSIZE"], &format!(":{}\r\n", mine.len()));
    let sorted = |value: &Value| {
        let mut names: Vec<String> = value.list().iter().map(|v| v.text().to_owned()).collect();
        names.sort();
        names
    };
    let mut expected: Vec<String> = mine.iter().map(|key| (*key).clone()).collect();
    expected.sort();
    assert_eq!(sorted(&ask(&mut client, &["KEYS", "*"])), expected);
    let (mut cursor, mut scanned) = ("0".to_owned(), Vec::new());
    loop {
        let part = ask(&mut client, &["SCAN", &cursor, "COUNT", "7"]);
        scanned.extend(part.list()[1].list().to_vec());
        part.list()[0].text().clone_into(&mut cursor);
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(sorted(&Value::Array(scanned)), expected);
    for _ in 0..100 {
        let key = ask(&mut client, &["RANDOMKEY"]);
        assert!(low(&&key.text().to_owned()), "{key:?}");
    }
    // The copies of others' keys are theirs to flush.
    client.check(&["FLUSHALL"], "+OK\r\n");
    client.check(&["DBSIZE"], ":0\r\n");
    assert_eq!(ask(&mut client, &["RANDOMKEY"]), Value::Null);
    world.publish(&|_| vec![0]);
    client.check(&["DBSIZE"], &format!(":{}\r\n", 500 - mine.len()));
}

#[test]
fn keys_of_a_slot_are_counted_and_listed() {
    let world = World::start(1, &[]);
    let mut client = world.connect(0);
    for i in 0..30 {
        client.check(&["SET", &format!("{{foo}}{i}"), "v"], "+OK\r\n");
        client.check(&["SET", &format!("other{i}"), "v"], "+OK\r\n");
    }
    client.check(&["CLUSTER", "KEYSLOT", "{foo}7"], ":12182\r\n");
    client.check(&["CLUSTER", "COUNTKEYSINSLOT", "12182"], ":30\r\n");
    let some = ask(&mut client, &["CLUSTER", "GETKEYSINSLOT", "12182", "7"]);
    assert_eq!(some.list().len(), 7);
    assert!(some.list().iter().all(|key| key.text().starts_with("{foo}")), "{some:?}");
    let all = ask(&mut client, &["CLUSTER", "GETKEYSINSLOT", "12182", "1000"]);
    assert_eq!(all.list().len(), 30);
    client.check(&["CLUSTER", "GETKEYSINSLOT", "12182", "0"], "*0\r\n");
}

#[test]
fn what_changes_a_redis_cluster_names_the_command_to_use() {
    let world = World::start(1, &[]);
    let mut client = world.connect(0);
    let id = world.nodes[0].id.to_string();
    for words in [
        &["CLUSTER", "MEET", "127.0.0.1", "7002"][..],
        &["CLUSTER", "FORGET", &id],
        &["CLUSTER", "ADDSLOTS", "1"],
        &["CLUSTER", "ADDSLOTSRANGE", "1", "2"],
        &["CLUSTER", "DELSLOTS", "1"],
        &["CLUSTER", "DELSLOTSRANGE", "1", "2"],
        &["CLUSTER", "FLUSHSLOTS"],
        &["CLUSTER", "SETSLOT", "1", "STABLE"],
        &["CLUSTER", "REPLICATE", &id],
        &["CLUSTER", "FAILOVER"],
        &["CLUSTER", "RESET"],
        &["CLUSTER", "SET-CONFIG-EPOCH", "3"],
        &["CLUSTER", "BUMPEPOCH"],
        &["CLUSTER", "SAVECONFIG"],
    ] {
        client.send_command(words);
        let answer = client.line();
        let named = answer.starts_with("-ERR ") && answer.contains("`crabcache cluster ");
        assert!(named, "{words:?}: {answer}");
    }
    let help = ask(&mut client, &["CLUSTER", "HELP"]);
    assert!(help.list().iter().any(|line| line.text().starts_with("SLOTS")), "{help:?}");
    let unknown = "-ERR unknown subcommand 'NONSENSE'. Try CLUSTER HELP.\r\n";
    client.check(&["CLUSTER", "NONSENSE"], unknown);
}

#[test]
fn a_node_alone_is_no_cluster() {
    let node = common::Node::start(&[]);
    let mut client = node.connect();
    let disabled = "-ERR This instance has cluster support disabled\r\n";
    for words in [
        &["CLUSTER", "SLOTS"][..],
        &["CLUSTER", "NODES"],
        &["CLUSTER", "MEET", "127.0.0.1", "1"],
        &["CLUSTER", "LINKS"],
        &["READONLY"],
        &["READWRITE"],
        &["ASKING"],
    ] {
        client.check(words, disabled);
    }
    client.check(&["CLUSTER", "KEYSLOT", "foo"], ":12182\r\n");
    client.check(&["WAIT", "1", "0"], ":0\r\n");
    client.check(&["CLIENT", "ROUTING", "FORWARD"], "+OK\r\n");
    client.check(&["MSET", "a", "1", "b", "2"], "+OK\r\n");
    assert!(client.text(&["INFO"]).contains("cluster_enabled:0\r\n"));
    assert_eq!(ask(&mut client, &["HELLO"]).field("mode").text(), "standalone");
}
