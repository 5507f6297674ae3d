//! What the tests of links between nodes share: nodes that note what happens to them, and answer.
#![allow(dead_code, reason = "each test uses some of it")]

use bytes::Bytes;
use cluster::topology::NodeId;
use crabcache::peer::{Answer, Endpoint, Handler, Options, PeerError, Plane, Receiver, Sender};
use crabcache::security::{Authority, Identity, Peer};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

/// Longer than anything here takes; only a test that fails waits for it.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A call that is answered with what was asked.
pub(crate) const ECHO: u8 = 1;
/// A call that is answered with the number of the node.
pub(crate) const WHO: u8 = 2;
/// A call that is not answered.
pub(crate) const NEVER: u8 = 3;
/// A call that is refused.
pub(crate) const REFUSED: u8 = 4;

/// What happens to a node.
#[derive(Debug)]
pub(crate) enum Event {
    Up(NodeId),
    Down(NodeId, String),
    Datagram(NodeId, Bytes),
    Stream(NodeId, u8, Receiver),
}

#[derive(Debug)]
struct Notes {
    me: NodeId,
    events: UnboundedSender<Event>,
    refused: Arc<Mutex<Vec<NodeId>>>,
}

impl Notes {
    fn note(&self, event: Event) {
        let _ = self.events.send(event);
    }
}

impl Handler for Notes {
    fn admit(&self, peer: &Peer) -> Result<(), String> {
        let refused = self.refused.lock().expect("the list").contains(&peer.name.node);
        if refused { Err("removed from the cluster".into()) } else { Ok(()) }
    }

    fn on_up(&self, node: NodeId) {
        self.note(Event::Up(node));
    }

    fn on_down(&self, node: NodeId, why: &str) {
        self.note(Event::Down(node, why.to_owned()));
    }

    fn on_datagram(&self, from: &Peer, body: Bytes) {
        self.note(Event::Datagram(from.name.node, body));
    }

    fn on_call(&self, from: &Peer, kind: u8, body: Bytes) -> Answer {
        let (me, from) = (self.me, from.name.node);
        Box::pin(async move {
            match kind {
                ECHO => Some(body),
                WHO => Some(format!("{} to {}", me.number(), from.number()).into()),
                NEVER => std::future::pending().await,
                _ => None,
            }
        })
    }

    fn on_stream(&self, from: NodeId, kind: u8, receiver: Receiver) {
        self.note(Event::Stream(from, kind, receiver));
    }
}

/// A node with nothing but an endpoint.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) endpoint: Endpoint,
    pub(crate) refused: Arc<Mutex<Vec<NodeId>>>,
    events: UnboundedReceiver<Event>,
}

pub(crate) fn id(number: u64) -> NodeId {
    NodeId::new(number).expect("a number from 1 on")
}

pub(crate) fn any_port() -> Options {
    Options::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), Plane::Data)
}

impl Node {
    pub(crate) fn new(authority: &Authority, number: u64) -> Node {
        Node::with(&authority.identity(id(number)).expect("an identity"), &any_port())
    }

    pub(crate) fn with(identity: &Identity, options: &Options) -> Node {
        let (sender, events) = unbounded_channel();
        let refused = Arc::new(Mutex::new(Vec::new()));
        let me = identity.name().node;
        let notes = Notes { me, events: sender, refused: refused.clone() };
        let endpoint = Endpoint::bind(options, identity, Arc::new(notes)).expect("an endpoint");
        Node { id: me, endpoint, refused, events }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        self.endpoint.local_address().to_string()
    }

    /// Knows these nodes.
    pub(crate) fn knows(&self, nodes: &[&Node]) {
        let peers = nodes.iter().map(|node| (node.id, node.address())).collect();
        self.endpoint.set_peers(peers);
    }

    /// What happens next.
    pub(crate) async fn event(&mut self) -> Event {
        timeout(LONG, self.events.recv()).await.expect("an event").expect("an endpoint")
    }

    /// Waits for the connection to this node.
    pub(crate) async fn up(&mut self, node: NodeId) {
        while !matches!(self.event().await, Event::Up(up) if up == node) {}
    }

    /// Waits for the connection to this node to go; why it did.
    pub(crate) async fn down(&mut self, node: NodeId) -> String {
        loop {
            if let Event::Down(down, why) = self.event().await
                && down == node
            {
                return why;
            }
        }
    }

    /// Waits for a stream.
    pub(crate) async fn stream(&mut self) -> (NodeId, u8, Receiver) {
        loop {
            if let Event::Stream(from, kind, receiver) = self.event().await {
                return (from, kind, receiver);
            }
        }
    }

    pub(crate) async fn call(&self, to: &Node, kind: u8, body: &[u8]) -> Result<Bytes, PeerError> {
        self.endpoint.call(to.id, kind, Bytes::copy_from_slice(body), LONG).await
    }

    pub(crate) async fn open(&self, to: &Node, kind: u8) -> Sender {
        self.endpoint.open(to.id, kind, LONG).await.expect("a stream")
    }
}

/// Two nodes of a cluster that know each other.
pub(crate) fn pair() -> (Node, Node) {
    let authority = Authority::new().expect("an authority");
    let (a, b) = (Node::new(&authority, 1), Node::new(&authority, 2));
    a.knows(&[&b]);
    b.knows(&[&a]);
    (a, b)
}

/// Runs on one thread, as an endpoint's owner does.
pub(crate) fn run<T>(story: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { timeout(3 * LONG, story).await.expect("the test ends") })
}
