//! Commands that go to the node that keeps their group, over real links between nodes in the
//! process of the test: all scopes, hand-overs that clients do not notice, and bad days.

mod cluster_world;
mod common;

use bytes::Bytes;
use cluster::node::NodeId;
use cluster::slot::{GROUPS, Group, Slot};
use cluster_world::{Value, World, ask, reply};
use common::{Client, eventually};
use crabcache::clock::monotonic_nanos;
use crabcache::node;
use crabcache::peer::{Address, Answer, Endpoint, Handler, Options, Plane, Receiver};
use crabcache::replication::forward::{FORWARD_CALL, Here};
use crabcache::security::{Authority, Peer};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A listener that always forwards, behind the usual one.
const PLAIN: &str = "server.listeners=plain 127.0.0.1:0 forward";
/// Of a slot of the first half, and of the second.
const LOW: &str = "bar";
const HIGH: &str = "foo";

/// What others ask of a node.
struct Asked {
    here: Arc<Here>,
    /// It takes commands and says nothing.
    silent: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
}

impl Handler for Asked {
    fn on_datagram(&self, _: &Peer, _: Bytes) {}

    fn on_call(&self, _: &Peer, kind: u8, body: Bytes) -> Answer {
        assert_eq!(kind, FORWARD_CALL);
        self.calls.fetch_add(1, Ordering::Relaxed);
        if self.silent.load(Ordering::Relaxed) {
            return Box::pin(std::future::pending());
        }
        self.here.answer(body)
    }

    fn on_stream(&self, _: NodeId, _: u8, _: Receiver) {}
}

/// A node's end of the data plane, on a thread of its own.
struct Link {
    endpoint: Endpoint,
    silent: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Link {
    fn start(node: &cluster_world::Local, authority: &Authority) -> Link {
        let identity = authority.identity(node.id).expect("a certificate");
        let shared = node.shared.clone();
        let (silent, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let asked = (silent.clone(), calls.clone());
        let (bound, is_bound) = mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let here = node::forward::here(&shared);
                let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                let handler = Asked { here: here.clone(), silent: asked.0, calls: asked.1 };
                let options = Options::new(any, Plane::Data);
                let endpoint = Endpoint::bind(&options, &identity, Arc::new(handler));
                let endpoint = endpoint.expect("an endpoint");
                node::forward::start(&shared, here, endpoint.clone());
                bound.send(endpoint.clone()).expect("somebody waits");
                let _ = stopped.await;
                endpoint.close().await;
            });
        });
        let endpoint = is_bound.recv().expect("an endpoint");
        Link { endpoint, silent, calls, stop: Some(stop), thread: Some(thread) }
    }

    fn stop(&mut self) {
        self.stop.take().into_iter().for_each(|stop| {
            let _ = stop.send(());
        });
        self.thread.take().into_iter().for_each(|thread| {
            let _ = thread.join();
        });
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Nodes that share the groups evenly, and that reach each other.
fn linked(count: usize) -> (World, Vec<Link>) {
    let world = World::start(count, &[PLAIN]);
    let authority = Authority::new().expect("a CA");
    let links: Vec<Link> = world.nodes.iter().map(|node| Link::start(node, &authority)).collect();
    let address = |link: &Link| link.endpoint.local_address().to_string();
    let peers: Vec<(NodeId, Address)> =
        world.nodes.iter().zip(&links).map(|(node, link)| (node.id, address(link))).collect();
    links.iter().for_each(|link| link.endpoint.set_peers(peers.clone()));
    (world, links)
}

fn group_of(key: &str) -> Group {
    Slot::of(key.as_bytes()).group()
}

/// Waits until so many connections of a node wait for something.
fn waiting(world: &World, node: usize, count: u64) {
    let metrics = &world.nodes[node].shared.metrics;
    eventually("connections that wait", || metrics.worker(0).connections_blocked.get() == count);
}

/// Some time, in which nothing is to happen.
fn a_while(ms: u64) {
    let (_keep, never) = mpsc::channel::<()>();
    assert!(never.recv_timeout(Duration::from_millis(ms)).is_err());
}

fn names(value: &Value) -> BTreeSet<String> {
    value.list().iter().map(|name| name.text().to_owned()).collect()
}

#[test]
fn a_plain_client_sees_one_cache() {
    let (world, _links) = linked(3);
    let mut client = world.nodes[0].connect(1);
    for i in 0..300 {
        client.send_command(&["SET", &format!("key{i}"), &i.to_string()]);
    }
    client.expect("+OK\r\n".repeat(300));
    // In order, though they come from three nodes.
    for i in 0..300 {
        client.send_command(&["GET", &format!("key{i}")]);
        client.send_command(&["INCR", &format!("key{i}")]);
    }
    for i in 0..300 {
        assert_eq!(reply(&mut client), Value::Bulk(i.to_string()));
        assert_eq!(reply(&mut client), Value::Integer(i + 1));
    }
    let all: BTreeSet<String> = (0..300).map(|i| format!("key{i}")).collect();
    client.check(&["DBSIZE"], ":300\r\n");
    assert_eq!(names(&ask(&mut client, &["KEYS", "*"])), all);
    let (mut cursor, mut found) = ("0".to_owned(), Vec::new());
    loop {
        let step = ask(&mut client, &["SCAN", &cursor, "COUNT", "7"]);
        found.extend(step.list()[1].list().iter().map(|name| name.text().to_owned()));
        cursor = step.list()[0].text().to_owned();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(found.len(), 300, "each key once");
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), all);
    assert!(all.contains(ask(&mut client, &["RANDOMKEY"]).text()));
    client.check(&["SCAN", "99999999999999"], "*2\r\n$1\r\n0\r\n*0\r\n");
    client.check(&["FLUSHALL"], "+OK\r\n");
    client.check(&["DBSIZE"], ":0\r\n");
    client.check(&["RANDOMKEY"], "$-1\r\n");
    client.check(&["KEYS", "*"], "*0\r\n");
}

#[test]
fn keys_of_many_slots_are_put_together_in_order() {
    let (world, _links) = linked(3);
    let mut client = world.nodes[2].connect(1);
    let keys: Vec<String> = (0..100).map(|i| format!("key{i}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let pairs: Vec<&str> = keys.iter().flat_map(|key| [*key, *key]).collect();
    client.check(&[&["MSET"][..], &pairs].concat(), "+OK\r\n");
    let values = ask(&mut client, &[&["MGET", "nobody"][..], &keys, &["key7", ""]].concat());
    let texts: Vec<&str> = values.list()[1..=100].iter().map(Value::text).collect();
    assert_eq!(texts, keys);
    assert_eq!(values.list()[0], Value::Null);
    assert_eq!(values.list()[101..], [Value::Bulk("key7".into()), Value::Null]);
    client.check(&["EXISTS", "key1", "key2", "key1", "nobody"], ":3\r\n");
    client.check(&["TOUCH", "key1", "key2", "nobody"], ":2\r\n");
    client.check(&["DEL", "key1", "key2", "key2"], ":2\r\n");
    client.check(&["UNLINK", "key3", "key4"], ":2\r\n");
    client.check(&["DBSIZE"], ":96\r\n");
    // Of one slot, and atomic, wherever it is.
    for tag in ["{a}", "{b}", "{foo}", "{bar}"] {
        let (one, two) = (format!("{tag}1"), format!("{tag}2"));
        client.check(&["MSETNX", &one, "x", &two, "y"], ":1\r\n");
        client.check(&["RENAME", &one, &two], "+OK\r\n");
        client.check(&["GET", &two], "$1\r\nx\r\n");
    }
    // What is wrong with a command is said where it is executed, and changes nothing else.
    client.send_command(&["INCR", "{foo}2"]);
    client.send_command(&["INCR", "{bar}2"]);
    client.send_command(&["PING"]);
    let not_a_number = "-ERR value is not an integer or out of range\r\n";
    client.expect(format!("{not_a_number}{not_a_number}+PONG\r\n"));
}

#[test]
fn what_is_done_for_others_is_counted_where_it_is_done() {
    let (world, _links) = linked(2);
    let mut client = world.nodes[0].connect(1);
    client.check(&["SET", HIGH, "x"], "+OK\r\n");
    client.check(&["GET", HIGH], "$1\r\nx\r\n");
    client.send_command(&["INCR", HIGH]);
    assert!(client.line().starts_with("-ERR "));
    client.check(&["GET", LOW], "$-1\r\n");
    let stats = |node: usize| world.connect(node).text(&["INFO", "everything"]);
    let (here, there) = (stats(0), stats(1));
    for (words, times) in [("cmdstat_get:calls=1,", 1), ("commands_of_others:3\r\n", 1)] {
        assert_eq!(there.matches(words).count(), times, "{there}");
    }
    let failed = |line: &str| line.starts_with("cmdstat_incr:") && line.contains("failed_calls=1");
    assert!(there.lines().any(failed), "{there}");
    // The node that clients ask counts what they ask.
    assert!(here.contains("cmdstat_get:calls=2,"), "{here}");
    assert!(here.contains("commands_forwarded:3\r\n"), "{here}");
    assert!(here.contains("commands_of_others:0\r\n"), "{here}");
}

#[test]
fn large_values_and_the_newer_protocol_go_along() {
    let (world, _links) = linked(2);
    let mut client = world.nodes[0].connect(1);
    let large = "v".repeat(3 * 1024 * 1024);
    client.check(&["SET", HIGH, &large], "+OK\r\n");
    assert_eq!(ask(&mut client, &["GET", HIGH]), Value::Bulk(large.clone()));
    client.check(&["MSET", LOW, &large, HIGH, &large], "+OK\r\n");
    let both = ask(&mut client, &["MGET", HIGH, LOW]);
    assert_eq!(both.list(), [Value::Bulk(large.clone()), Value::Bulk(large)]);
    client.send_command(&["HELLO", "3"]);
    reply(&mut client);
    client.check(&["GET", "{foo}nobody"], "_\r\n");
    client.check(&["MGET", "{foo}nobody", "{bar}nobody"], "*2\r\n_\r\n_\r\n");
}

#[test]
fn a_fenced_group_is_waited_for() {
    let (world, _links) = linked(2);
    let engine = &world.nodes[1].shared.engine;
    let mut plain = world.nodes[0].connect(1);
    let mut direct = world.connect(1);
    plain.check(&["SET", HIGH, "1"], "+OK\r\n");
    engine.set_fenced(group_of(HIGH), true);
    plain.send_command(&["SET", HIGH, "2"]);
    // Those behind it wait too, and are answered in order.
    plain.send_command(&["SET", LOW, "2"]);
    direct.send_command(&["MGET", HIGH, "{foo}2"]);
    direct.send_command(&["PING"]);
    waiting(&world, 0, 1);
    waiting(&world, 1, 1);
    let mut flusher = world.connect(1);
    flusher.send_command(&["FLUSHALL"]);
    waiting(&world, 1, 2);
    a_while(100);
    plain.check_nothing();
    direct.check_nothing();
    // Other groups are served, and this one can be looked at.
    let beside = |key: &String| group_of(key).number() > group_of(HIGH).number();
    let other = (0..).map(|i| format!("key{i}")).find(beside).expect("a key");
    world.connect(1).check(&["SET", &other, "1"], "+OK\r\n");
    flusher.check_nothing();
    engine.set_fenced(group_of(HIGH), false);
    plain.expect("+OK\r\n+OK\r\n");
    assert_eq!(reply(&mut direct).list().len(), 2);
    assert_eq!(reply(&mut direct), Value::Simple("PONG".into()));
    flusher.expect("+OK\r\n");
}

#[test]
fn a_group_that_goes_to_another_node_is_followed() {
    let (world, _links) = linked(2);
    let mut plain = world.nodes[0].connect(1);
    let mut direct = world.connect(1);
    let large = "v".repeat(100_000);
    world.nodes[1].shared.engine.set_fenced(group_of(HIGH), true);
    plain.send_command(&["SET", HIGH, "there"]);
    plain.send_command(&["GET", HIGH]);
    // Its value cannot be read again from the socket.
    direct.send_command(&["SET", HIGH, &large]);
    waiting(&world, 0, 1);
    waiting(&world, 1, 1);
    world.publish(&|_| vec![0]);
    plain.expect("+OK\r\n$5\r\nthere\r\n");
    direct.expect(format!("-MOVED 12182 127.0.0.1:{}\r\n", world.port(0)));
}

#[test]
fn what_may_have_been_carried_out_is_not_sent_again() {
    let (world, links) = linked(2);
    let mut writer = world.nodes[0].connect(1);
    let mut reader = world.nodes[0].connect(1);
    writer.check(&["SET", HIGH, "1"], "+OK\r\n");
    links[1].silent.store(true, Ordering::Relaxed);
    let before = links[1].calls.load(Ordering::Relaxed);
    writer.send_command(&["SET", HIGH, "2"]);
    eventually("a call", || links[1].calls.load(Ordering::Relaxed) == before + 1);
    reader.send_command(&["GET", HIGH]);
    eventually("a call", || links[1].calls.load(Ordering::Relaxed) == before + 2);
    // A failover: another has the group now, empty.
    world.publish(&|_| vec![0]);
    let answer = reply(&mut writer);
    assert!(matches!(&answer, Value::Error(text) if text.starts_with("UNCERTAIN ")), "{answer:?}");
    assert_eq!(reply(&mut reader), Value::Null);
    writer.check(&["SET", HIGH, "3"], "+OK\r\n");
}

#[test]
fn a_dead_node_without_a_successor_is_not_waited_for_longer_than_anybody_else() {
    let (world, links) = linked(2);
    let (mut writer, mut reader) = (world.nodes[0].connect(1), world.nodes[0].connect(1));
    writer.check(&["SET", HIGH, "1"], "+OK\r\n");
    links[1].silent.store(true, Ordering::Relaxed);
    let before = links[1].calls.load(Ordering::Relaxed);
    writer.send_command(&["SET", HIGH, "2"]);
    reader.send_command(&["GET", HIGH]);
    eventually("calls", || links[1].calls.load(Ordering::Relaxed) > before);
    let away = world.nodes[1].id;
    let halves = |group: Group| vec![usize::from(group.number() >= GROUPS / 2)];
    world.publish_with(&halves, |parts| {
        parts.up.remove(&away);
    });
    for (client, code) in [(&mut writer, "UNCERTAIN "), (&mut reader, "CLUSTERDOWN ")] {
        let answer = reply(client);
        let told = "it is down, and nobody has taken its place";
        let is_told =
            matches!(&answer, Value::Error(t) if t.starts_with(code) && t.ends_with(told));
        assert!(is_told, "{answer:?}");
    }
}

#[test]
fn what_was_not_sent_waits_for_who_comes_next() {
    let (world, mut links) = linked(2);
    let mut client = world.nodes[0].connect(1);
    client.check(&["SET", HIGH, "1"], "+OK\r\n");
    links[1].stop();
    client.send_command(&["SET", HIGH, "2"]);
    client.send_command(&["DBSIZE"]);
    waiting(&world, 0, 1);
    world.publish(&|_| vec![0]);
    client.expect("+OK\r\n:1\r\n");
}

#[test]
fn nobody_waits_for_ever() {
    let (world, mut links) = linked(2);
    let of_foo = group_of(HIGH);
    links[1].stop();
    let (mut plain, mut direct) = (world.nodes[0].connect(1), world.connect(0));
    let began = monotonic_nanos();
    plain.send_command(&["MGET", LOW, HIGH]);
    let answer = reply(&mut plain);
    assert!(matches!(&answer, Value::Error(t) if t.starts_with("CLUSTERDOWN ")), "{answer:?}");
    world.publish(&move |group| if group == of_foo { vec![] } else { vec![0] });
    for client in [&mut plain, &mut direct] {
        client.send(common::resp(&["GET", HIGH]).repeat(5));
        client.send_command(&["PING"]);
    }
    for client in [&mut plain, &mut direct] {
        client.expect("-CLUSTERDOWN Hash slot not served\r\n".repeat(5));
        client.expect("+PONG\r\n");
    }
    let passed_ms = (monotonic_nanos() - began) / 1_000_000;
    assert!((4000..7000).contains(&passed_ms), "each pipeline waits once: {passed_ms} ms");
}

#[test]
fn what_goes_together_travels_together() {
    let (world, links) = linked(2);
    let mut client: Client = world.nodes[0].connect(1);
    client.check(&["SET", HIGH, "0"], "+OK\r\n");
    let before = links[1].calls.load(Ordering::Relaxed);
    client.send(common::resp(&["INCR", HIGH]).repeat(1000));
    for i in 1..=1000 {
        assert_eq!(reply(&mut client), Value::Integer(i));
    }
    let calls = links[1].calls.load(Ordering::Relaxed) - before;
    assert!(calls < 100, "{calls} calls for 1000 commands");
}
