//! Connections that forward: what they are told of, what goes elsewhere and in which order; and
//! WAIT. Other nodes are asked by a stand-in over their client port.

mod cluster_world;
mod common;

use bytes::Bytes;
use cluster::group_set::GroupSet;
use cluster::node::NodeId;
use cluster::record::Seq;
use cluster::replication::Lag;
use cluster::slot::{GROUPS, Group};
use cluster_world::{Value, World, ask};
use common::Client;
use crabcache::command::reply::ReplyWriter;
use crabcache::worker::{Copies, Forwarder, Forwarding, Later, Scope, encoded};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// A listener that always forwards, behind the usual one.
const PLAIN: &str = "server.listeners=plain 127.0.0.1:0 forward";

/// Asks both nodes by their client ports.
struct ByPort([SocketAddr; 2]);

impl Forwarder for ByPort {
    fn forward(&self, commands: Vec<Forwarding>) -> Later {
        let forwarding = commands[0].clone();
        if forwarding.scope == Scope::Everywhere {
            let text = encoded(forwarding.version, |out| out.bulk(b"everywhere"));
            return Box::pin(async { text });
        }
        let (send, answer) = tokio::sync::oneshot::channel();
        let addresses = self.0;
        thread::spawn(move || {
            let mut answers = Vec::new();
            for command in commands {
                // What belongs here and came along stays here.
                let Scope::Group(group) = command.scope else { unreachable!("not of one group") };
                let to = if group.number() < GROUPS / 2 { addresses[0] } else { addresses[1] };
                let mut stream = TcpStream::connect(to).expect("a node");
                stream.write_all(&command.request).expect("sent");
                let mut bytes = vec![0; 4096];
                let n = stream.read(&mut bytes).expect("an answer");
                answers.extend_from_slice(&bytes[..n]);
            }
            let _ = send.send(answers);
        });
        Box::pin(async { Bytes::from(answer.await.expect("an answer")) })
    }
}

fn forwarding_world() -> World {
    let world = World::start(2, &[PLAIN]);
    let both = [0, 1].map(|node| world.nodes[node].addresses[0]);
    let others = &world.nodes[0].shared.others;
    assert!(others.forwarder.set(Box::new(ByPort(both))).is_ok());
    world
}

#[test]
fn who_forwards_sees_one_cache() {
    let world = forwarding_world();
    let mut client = world.nodes[0].connect(1);
    assert_eq!(ask(&mut client, &["HELLO"]).field("mode").text(), "standalone");
    let info = client.text(&["INFO"]);
    assert!(info.contains("cluster_enabled:0\r\n") && info.contains("redis_mode:standalone\r\n"));
    let disabled = "-ERR This instance has cluster support disabled\r\n";
    for words in [&["CLUSTER", "SLOTS"][..], &["CLUSTER", "INFO"], &["READONLY"], &["ASKING"]] {
        client.check(words, disabled);
    }
    client.check(&["SET", "foo", "there"], "+OK\r\n");
    client.check(&["SET", "bar", "here"], "+OK\r\n");
    world.connect(1).check(&["GET", "foo"], "$5\r\nthere\r\n");
    client.check(&["GET", "foo"], "$5\r\nthere\r\n");
    client.check(&["DBSIZE"], "$10\r\neverywhere\r\n");
    let always = "-ERR connections to this port always forward\r\n";
    client.check(&["CLIENT", "ROUTING", "REDIRECT"], always);
    client.check(&["CLIENT", "ROUTING", "FORWARD"], "+OK\r\n");
    client.check(&["CLIENT", "ROUTING", "AWAY"], "-ERR syntax error\r\n");
}

#[test]
fn answers_come_in_order_wherever_they_come_from() {
    let world = forwarding_world();
    let mut client = world.nodes[0].connect(1);
    client.check(&["SET", "foo", "there"], "+OK\r\n");
    client.check(&["SET", "bar", "here"], "+OK\r\n");
    let both = [common::resp(&["GET", "foo"]), common::resp(&["GET", "bar"])].concat();
    client.send(both.repeat(50));
    client.expect("$5\r\nthere\r\n$4\r\nhere\r\n".repeat(50));
    // Who wants no answers gets none, late ones neither.
    client.send_command(&["CLIENT", "REPLY", "SKIP"]);
    client.send_command(&["GET", "foo"]);
    client.check(&["GET", "bar"], "$4\r\nhere\r\n");
    client.send_command(&["CLIENT", "REPLY", "OFF"]);
    client.send_command(&["GET", "foo"]);
    client.check(&["CLIENT", "REPLY", "ON"], "+OK\r\n");
}

#[test]
fn a_connection_says_how_it_is_routed() {
    let world = forwarding_world();
    let mut client = world.connect(0);
    let moved = format!("-MOVED 12182 127.0.0.1:{}\r\n", world.port(1));
    client.check(&["SET", "foo", "1"], &moved);
    client.check(&["CLIENT", "ROUTING", "FORWARD"], "+OK\r\n");
    client.check(&["SET", "foo", "1"], "+OK\r\n");
    client.check(&["CLIENT", "ROUTING", "REDIRECT"], "+OK\r\n");
    client.check(&["SET", "foo", "1"], &moved);
    client.check(&["CLIENT", "ROUTING", "FORWARD"], "+OK\r\n");
    client.check(&["RESET"], "+RESET\r\n");
    client.check(&["SET", "foo", "1"], &moved);
    client.check(&["CONFIG", "SET", "cluster.routing", "forward"], "+OK\r\n");
    world.connect(0).check(&["GET", "foo"], "$1\r\n1\r\n");
}

#[test]
fn keys_of_several_slots_go_together_only_where_nobody_minds() {
    let world = forwarding_world();
    // All here: nothing has to be taken apart.
    world.publish(&|_| vec![0]);
    let mut client = world.nodes[0].connect(1);
    client.check(&["MSET", "foo", "1", "bar", "2"], "+OK\r\n");
    client.check(&["MGET", "foo", "bar"], "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
    client.check(&["DEL", "foo", "bar"], ":2\r\n");
    client.check(&["DBSIZE"], ":0\r\n");
    let cross = "-CROSSSLOT Keys in request don't hash to the same slot\r\n";
    client.check(&["RENAME", "foo", "bar"], cross);
    client.check(&["MSETNX", "foo", "1", "bar", "2"], cross);
}

#[test]
fn without_anybody_who_asks_others_it_is_down() {
    let world = World::start(2, &[PLAIN]);
    let mut client = world.nodes[0].connect(1);
    client.check(&["SET", "bar", "here"], "+OK\r\n");
    for words in [&["GET", "foo"][..], &["MGET", "foo", "bar"], &["DBSIZE"], &["KEYS", "*"]] {
        client.send_command(words);
        let answer = client.line();
        assert!(answer.starts_with("-CLUSTERDOWN "), "{words:?}: {answer}");
    }
}

/// So many copies of everything.
struct Everything(Arc<AtomicU32>);

impl Copies for Everything {
    fn copies(&self, _: Group, _: Seq) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    fn behind(&self) -> (u64, Vec<(NodeId, Lag)>) {
        (
            7,
            vec![(
                NodeId::new(0xC0FFEE + 1).expect("not 0"),
                Lag { groups: 1, records: 2, ms: 2500 },
            )],
        )
    }

    fn all_behind(&self) -> BTreeMap<NodeId, Lag> {
        self.behind().1.into_iter().collect()
    }

    fn elsewhere(
        &self,
        _: GroupSet,
        _: u32,
        _: Duration,
    ) -> Pin<Box<dyn Future<Output = u32> + Send>> {
        let copies = self.0.load(Ordering::Relaxed);
        Box::pin(async move { copies })
    }
}

#[test]
fn wait_waits_for_copies() {
    let folder = tempfile::tempdir().expect("a folder");
    // Positions of records are known where there is a log.
    let world = World::start(1, &[&format!("data.dir={}", folder.path().display())]);
    let copies = Arc::new(AtomicU32::new(1));
    let others = &world.nodes[0].shared.others;
    assert!(others.copies.set(Box::new(Everything(copies.clone()))).is_ok());
    let mut client = world.connect(0);
    common::eventually("a node that has loaded", || {
        ask(&mut client, &["SET", "foo", "1"]) == Value::Simple("OK".into())
    });
    client.check(&["WAIT", "1", "0"], ":1\r\n");
    client.check(&["WAIT", "2", "20"], ":1\r\n");
    client.send_command(&["WAIT", "2", "0"]);
    client.send_command(&["GET", "foo"]);
    world.connect(0).check(&["PING"], "+PONG\r\n");
    client.check_nothing();
    copies.store(2, Ordering::Relaxed);
    client.expect(":2\r\n$1\r\n1\r\n");
}

#[test]
fn half_of_the_groups_are_here() {
    let world = World::start(2, &[]);
    let here = world.nodes[0].shared.views.get().expect("a view").primary_of().len();
    assert_eq!(here, usize::from(GROUPS) / 2);
    let mut client: Client = world.connect(0);
    assert_eq!(ask(&mut client, &["WAIT", "0", "0"]), Value::Integer(0));
}
