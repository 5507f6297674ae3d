//! A few real nodes in the process of the test, with a cluster made by hand: what clients see of
//! it, without a control plane. And replies as values.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

use crate::common::Client;
use cluster::control::ControlState;
use cluster::node::{Addresses, ClientAddress, Incarnation, Node, NodeId, Phase, Protocols};
use cluster::record::Epoch;
use cluster::slot::{GROUPS, Group};
use cluster::topology::{Holders, Topology};
use crabcache::config::Config;
use crabcache::node;
use crabcache::wal::files::{Files, SystemFiles};
use crabcache::worker::{ClusterView, Lease, Shared, ViewParts};
use std::cell::Cell;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

/// Settings of every node: small, and on ports that are free.
const SETS: &[&str] = &[
    "server.port=0",
    "server.forward_port=0",
    "http.port=0",
    "server.workers=1",
    "memory.max_memory=64MiB",
    "memory.shards=4",
];

/// Nodes, and the cluster they believe in.
pub struct World {
    pub nodes: Vec<Local>,
    version: Cell<u64>,
}

/// A node in a thread of its own.
pub struct Local {
    pub id: NodeId,
    pub shared: Arc<Shared>,
    pub addresses: Vec<SocketAddr>,
    pub lease: Lease,
    config: Config,
    thread: Option<JoinHandle<()>>,
}

/// Who keeps a group, as positions among the nodes: the primary first.
pub type Placement = dyn Fn(Group) -> Vec<usize>;

impl World {
    /// So many nodes that share the groups evenly, in runs.
    pub fn start(count: usize, sets: &[&str]) -> World {
        World::start_on(count, sets, &(Arc::new(SystemFiles) as Arc<dyn Files>))
    }

    /// The same, with their logs on these files.
    pub fn start_on(count: usize, sets: &[&str], files: &Arc<dyn Files>) -> World {
        let nodes = (0..count).map(|i| Local::start(i, sets, files.clone())).collect();
        let world = World { nodes, version: Cell::new(0) };
        world
            .publish(&move |group| vec![usize::from(group.number()) * count / usize::from(GROUPS)]);
        world
    }

    /// Makes all nodes believe that the groups are kept so.
    pub fn publish(&self, placement: &Placement) {
        self.publish_with(placement, |_| {});
    }

    /// The same, with a change to what each node knows.
    pub fn publish_with(&self, placement: &Placement, change: impl Fn(&mut ViewParts)) {
        self.version.set(self.version.get() + 1);
        let version = self.version.get();
        let id = |i: usize| self.nodes[i].id;
        let holders = |group| {
            let mut nodes = placement(group).into_iter().map(id);
            let primary = nodes.next();
            Holders { epoch: Epoch(version), primary, replicas: nodes.collect() }
        };
        let holders = Group::all().map(holders).collect();
        let topology = Arc::new(Topology::new(version, holders).expect("a topology"));
        let mut state = ControlState::blank();
        state.version = version;
        state.nodes.extend(self.nodes.iter().map(|node| (node.id, node.member())));
        let state = Arc::new(state);
        for node in &self.nodes {
            let mut parts = ViewParts {
                me: node.id,
                state: state.clone(),
                topology: topology.clone(),
                up: self.nodes.iter().map(|node| node.id).collect(),
                lease: node.lease.clone(),
                entrances: node.shared.entrances.clone(),
                announce_replicas: node.config.clients.announce_replicas,
            };
            change(&mut parts);
            node.shared.views.publish(Some(Arc::new(ClusterView::new(parts))));
        }
    }

    /// A connection to a node by its first listener.
    pub fn connect(&self, node: usize) -> Client {
        self.nodes[node].connect(0)
    }

    /// The port of a node's first listener.
    pub fn port(&self, node: usize) -> u16 {
        self.nodes[node].addresses[0].port()
    }
}

impl Local {
    fn start(i: usize, sets: &[&str], files: Arc<dyn Files>) -> Local {
        let sets: Vec<String> = SETS.iter().chain(sets).map(|set| (*set).to_owned()).collect();
        let config = Config::load(None, std::iter::empty(), &sets).expect("settings");
        let (prepared, is_prepared) = mpsc::channel();
        let given = config.clone();
        let thread = thread::spawn(move || {
            let tell = |shared: &Arc<Shared>, addresses: &[SocketAddr]| {
                prepared.send((shared.clone(), addresses.to_vec())).expect("somebody waits");
            };
            node::run_with(given, None, files, true, tell).expect("a node that ends well");
        });
        let (shared, addresses) = is_prepared.recv().expect("a node");
        let id = NodeId::new(0xC0FFEE + i as u64).expect("not 0");
        let lease = Lease::expired();
        lease.set(0, u64::MAX);
        Local { id, shared, addresses, lease, config, thread: Some(thread) }
    }

    /// A connection by one of its listeners.
    pub fn connect(&self, entrance: usize) -> Client {
        Client::new(TcpStream::connect(self.addresses[entrance]).expect("the node listens"))
    }

    /// As the cluster knows it.
    fn member(&self) -> Node {
        let listeners = self.config.listeners(true);
        let address = |(listener, bound): (&crabcache::config::Listener, &SocketAddr)| {
            let (host, port) = listener.reached_at(bound.port());
            let (listener, forward) = (listener.name.clone(), listener.forward);
            ClientAddress { listener, host, port, forward }
        };
        Node {
            incarnation: Incarnation(1),
            start: 1,
            addresses: Addresses {
                control: "127.0.0.1:7101".into(),
                data: "127.0.0.1:7301".into(),
                clients: listeners.iter().zip(&self.addresses).map(address).collect(),
            },
            zone: String::new(),
            phase: Phase::Active,
            protocol: Protocols { min: 1, max: 1 },
            fingerprint: None,
            voter: true,
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        if let Ok(stream) = TcpStream::connect(self.addresses[0]) {
            let mut client = Client::new(stream);
            client.send_command(&["SHUTDOWN", "NOSAVE"]);
            client.rest();
        }
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "a node ended otherwise");
        }
    }
}

/// A reply.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(String),
    Verbatim(String),
    Array(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Set(Vec<Value>),
    Null,
}

impl Value {
    /// The elements of an array.
    pub fn list(&self) -> &[Value] {
        match self {
            Value::Array(list) | Value::Set(list) => list,
            other => panic!("no array: {other:?}"),
        }
    }

    /// The text of a string.
    pub fn text(&self) -> &str {
        match self {
            Value::Simple(text) | Value::Bulk(text) | Value::Verbatim(text) => text,
            other => panic!("no text: {other:?}"),
        }
    }

    /// The value of a field; maps of the older protocol are arrays.
    pub fn field(&self, name: &str) -> &Value {
        let found = match self {
            Value::Map(pairs) => pairs.iter().find(|(k, _)| k.text() == name).map(|(_, v)| v),
            Value::Array(list) => {
                list.chunks_exact(2).find(|pair| pair[0].text() == name).map(|pair| &pair[1])
            }
            _ => None,
        };
        found.unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// What it is, with names and numbers of a run left out: to compare shapes.
    pub fn shape(&self) -> String {
        match self {
            Value::Simple(text) => format!("+{text}"),
            Value::Error(text) => format!("-{text}"),
            Value::Integer(_) => ":".into(),
            Value::Bulk(text) if text.len() == 40 => "$(id)".into(),
            Value::Bulk(text) => format!("${text}"),
            Value::Verbatim(text) => format!("={text}"),
            Value::Null => "_".into(),
            Value::Array(list) => shapes("*", list),
            Value::Set(list) => shapes("~", list),
            Value::Map(pairs) => {
                let show = |(k, v): &(Value, Value)| format!("{} {}", k.shape(), v.shape());
                format!("%[{}]", pairs.iter().map(show).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

fn shapes(kind: &str, list: &[Value]) -> String {
    format!("{kind}[{}]", list.iter().map(Value::shape).collect::<Vec<_>>().join(", "))
}

/// Sends a command and reads its reply.
pub fn ask(client: &mut Client, words: &[&str]) -> Value {
    client.send_command(words);
    reply(client)
}

/// Reads a reply.
pub fn reply(client: &mut Client) -> Value {
    let line = client.line();
    let (kind, rest) = line.split_at(1);
    let number = || rest.parse::<i64>().unwrap_or_else(|_| panic!("no number: {line}"));
    match kind {
        "+" => Value::Simple(rest.into()),
        "-" => Value::Error(rest.into()),
        ":" => Value::Integer(number()),
        "_" => Value::Null,
        "$" | "*" if number() < 0 => Value::Null,
        "$" => Value::Bulk(string(client, number())),
        "=" => Value::Verbatim(string(client, number())[4..].into()),
        "*" => Value::Array((0..number()).map(|_| reply(client)).collect()),
        "~" => Value::Set((0..number()).map(|_| reply(client)).collect()),
        "%" => Value::Map((0..number()).map(|_| (reply(client), reply(client))).collect()),
        _ => panic!("no reply: {line}"),
    }
}

fn string(client: &mut Client, len: i64) -> String {
    let mut bytes = vec![0; usize::try_from(len).expect("a length") + 2];
    client.stream().read_exact(&mut bytes).expect("a string");
    String::from_utf8_lossy(&bytes[..bytes.len() - 2]).into_owned()
}
