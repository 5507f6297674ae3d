//! A node's end of all connections of one plane: what can be sent to whom. Knows no message.

use super::link::{Link, State, dial, say};
use super::receiver::Receiver;
use super::sender::Sender;
use super::transport::{self, Address, Farewell, Plane};
use super::{Handler, PeerError, incoming};
use crate::limits;
use crate::security::{Identity, NodeName, any_node};
use bytes::Bytes;
use cluster::topology::NodeId;
use parking_lot::Mutex;
use quinn::{Connection, SendDatagramError};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;

/// What an endpoint is made with.
#[derive(Debug)]
pub struct Options {
    /// Address to listen on and to dial from; port 0: any free one.
    pub address: SocketAddr,
    /// What it is for.
    pub plane: Plane,
    /// Whether the system may split packets (UDP segmentation offload), where it can.
    pub gso: bool,
    /// Longest message, sent or received.
    pub message_bytes_max: usize,
}

impl Options {
    /// What a plane needs, on this address.
    pub fn new(address: SocketAddr, plane: Plane) -> Options {
        Options { address, plane, gso: true, message_bytes_max: plane.message_bytes_max() }
    }
}

/// A node's end of all connections of one plane. Driven by the runtime it was made in, one thread
/// of its owner's; it may be used from any thread, and copies are the same endpoint.
#[derive(Clone)]
pub struct Endpoint {
    core: Arc<Core>,
}

/// What the tasks of an endpoint share.
pub(super) struct Core {
    pub(super) plane: Plane,
    pub(super) name: NodeName,
    pub(super) local: SocketAddr,
    pub(super) message_bytes_max: usize,
    pub(super) quic: quinn::Endpoint,
    pub(super) client: quinn::ClientConfig,
    pub(super) handler: Arc<dyn Handler>,
    /// Ours to others.
    links: Mutex<BTreeMap<NodeId, Arc<Link>>>,
    /// Others' to us; the last of each.
    pub(super) from: Mutex<BTreeMap<NodeId, Connection>>,
    /// Handshakes of others under way.
    pub(super) handshakes: AtomicUsize,
    /// Connections of others for single calls.
    pub(super) visits: AtomicUsize,
    closing: watch::Sender<bool>,
    runtime: Handle,
}

/// How our connection to a peer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkReport {
    /// The peer.
    pub node: NodeId,
    /// Whether the connection stands.
    pub up: bool,
    /// Its round trip as measured; zero when it does not stand.
    pub rtt: Duration,
    /// Why it does not stand, when that is known.
    pub why: Option<String>,
}

impl Core {
    /// Waits for the endpoint to be closed.
    pub(super) async fn closed(&self) {
        // The sender lives as long as `self`, so this ends only when it is time.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }
}

impl Endpoint {
    /// Listens. To be called within the runtime that is to drive the endpoint.
    ///
    /// # Errors
    /// What the system says, or what is wrong with the identity.
    pub fn bind(
        options: &Options,
        identity: &Identity,
        handler: Arc<dyn Handler>,
    ) -> io::Result<Endpoint> {
        let socket = transport::socket(options.address, options.plane)?;
        let quic = transport::endpoint(socket, identity, options.plane, options.gso)?;
        let core = Arc::new(Core {
            plane: options.plane,
            name: identity.name(),
            local: quic.local_addr()?,
            message_bytes_max: options.message_bytes_max,
            client: transport::client(identity, options.gso)?,
            quic,
            handler,
            links: Mutex::default(),
            from: Mutex::default(),
            handshakes: AtomicUsize::new(0),
            visits: AtomicUsize::new(0),
            closing: watch::Sender::new(false),
            runtime: Handle::current(),
        });
        core.runtime.spawn(incoming::accept(core.clone()));
        Ok(Endpoint { core })
    }

    /// Where it listens.
    pub fn local_address(&self) -> SocketAddr {
        self.core.local
    }

    /// Which nodes there are to talk to, and where. Nobody is dialled yet. Connections to nodes
    /// that are no longer in the list are closed, in both directions; those to others stay, and a
    /// new address counts when they are next dialled.
    pub fn set_peers(&self, peers: Vec<(NodeId, Address)>) {
        let mut links = self.core.links.lock();
        let mut before = std::mem::take(&mut *links);
        for (node, address) in peers.into_iter().filter(|(node, _)| *node != self.core.name.node) {
            let link = match before.remove(&node) {
                Some(link) => {
                    link.set_address(address);
                    link
                }
                None => self.add(node, address),
            };
            links.insert(node, link);
        }
        drop(links);
        for (node, link) in before {
            link.drop_peer();
            if let Some(connection) = self.core.from.lock().remove(&node) {
                say(&connection, Farewell::Closing);
            }
        }
    }

    fn add(&self, node: NodeId, address: Address) -> Arc<Link> {
        let link = Arc::new(Link::new(node, address));
        self.core.runtime.spawn(link.clone().run(self.core.clone()));
        link
    }

    fn link(&self, node: NodeId) -> Result<Arc<Link>, PeerError> {
        self.core.links.lock().get(&node).cloned().ok_or(PeerError::Unknown(node))
    }

    /// Sends a datagram: at most once, in any order, and perhaps never. Where there is no
    /// connection it is dropped, and the connection made.
    ///
    /// # Errors
    /// When it was dropped here; that it was not says little.
    pub fn send_datagram(&self, node: NodeId, body: Bytes) -> Result<(), PeerError> {
        let (connection, bytes) = (self.link(node)?.now()?, body.len());
        connection.send_datagram(body).map_err(|error| match error {
            SendDatagramError::TooLarge => {
                PeerError::TooLong { bytes, max: connection.max_datagram_size().unwrap_or(0) }
            }
            SendDatagramError::UnsupportedByPeer
            | SendDatagramError::Disabled
            | SendDatagramError::ConnectionLost(_) => PeerError::Unreachable(error.to_string()),
        })
    }

    /// Whether there is a connection to a node; where there is none it is made.
    ///
    /// # Errors
    /// Why there is none.
    pub fn ready(&self, node: NodeId) -> Result<(), PeerError> {
        self.link(node)?.now().map(|_| ())
    }

    /// Asks a node something and waits for the answer, connecting first where needed, for at most
    /// `time` altogether. When nothing at all was heard of the node in that time, the connection
    /// is given up as dead.
    ///
    /// # Errors
    /// [`PeerError::is_unsent`] tells whether the node may have seen the question.
    pub async fn call(
        &self,
        node: NodeId,
        kind: u8,
        body: Bytes,
        time: Duration,
    ) -> Result<Bytes, PeerError> {
        let link = self.link(node)?;
        let Ok(_permit) = link.calls.try_acquire() else { return Err(PeerError::Full) };
        let mut heard = None;
        let asked = async {
            let connection = link.connection().await?;
            heard = Some((connection.clone(), packets(&connection)));
            ask(&connection, kind, body, self.core.message_bytes_max).await
        };
        let answer = timeout(time, asked).await;
        match (answer, heard) {
            (Ok(answer), _) => answer,
            (Err(_), None) => Err(link.unreachable()),
            (Err(_), Some((connection, before))) => {
                if packets(&connection) == before {
                    say(&connection, Farewell::Silent);
                }
                Err(PeerError::TimedOut)
            }
        }
    }

    /// Asks whoever is at this address, over a connection of its own: for nodes that know nobody
    /// yet. Whoever answers has proved to be a node of this cluster, and says which.
    ///
    /// # Errors
    /// As [`Endpoint::call`].
    pub async fn call_address(
        &self,
        address: &str,
        kind: u8,
        body: Bytes,
        time: Duration,
    ) -> Result<(NodeId, Bytes), PeerError> {
        let mut is_asked = false;
        let asked = async {
            let any = any_node(self.core.name.cluster);
            let unreachable = |error: io::Error| PeerError::Unreachable(error.to_string());
            let (connection, peer) = dial(&self.core, address, &any).await.map_err(unreachable)?;
            is_asked = true;
            let answer = ask(&connection, kind, body, self.core.message_bytes_max).await;
            say(&connection, Farewell::Closing);
            Ok((peer.name.node, answer?))
        };
        match timeout(time, asked).await {
            Ok(answer) => answer,
            Err(_) if is_asked => Err(PeerError::TimedOut),
            Err(_) => Err(PeerError::Unreachable(format!("{address} does not answer"))),
        }
    }

    /// Opens an ordered stream of messages to a node, connecting first where needed, for at most
    /// `time` altogether.
    ///
    /// # Errors
    /// When there is no connection, or the node takes no more streams now.
    pub async fn open(&self, node: NodeId, kind: u8, time: Duration) -> Result<Sender, PeerError> {
        let link = self.link(node)?;
        let lost = |why: String| PeerError::Lost(why);
        let opened = async {
            let connection = link.connection().await?;
            let mut stream = connection.open_uni().await.map_err(|e| lost(e.to_string()))?;
            stream.write_all(&[kind]).await.map_err(|e| lost(e.to_string()))?;
            Ok(stream)
        };
        let stream = timeout(time, opened).await.unwrap_or_else(|_| Err(link.unreachable()))?;
        let (sender, writing) = Sender::new(stream, self.core.message_bytes_max);
        self.core.runtime.spawn(writing);
        Ok(sender)
    }

    /// Gives up the connection to a node that is known to be dead by other signs. It is made
    /// again when it is next needed.
    pub fn disconnect(&self, node: NodeId) {
        if let Some(State::Up(connection)) = self.link(node).ok().map(|link| link.state()) {
            say(&connection, Farewell::Silent);
        }
    }

    /// How our connections to all peers are, in the order of the nodes.
    pub fn links(&self) -> Vec<LinkReport> {
        let report = |(node, link): (&NodeId, &Arc<Link>)| {
            let (up, rtt, why) = match link.state() {
                State::Up(connection) => (true, connection.rtt(), None),
                State::Down(why) => (false, Duration::ZERO, why),
                State::Gone => (false, Duration::ZERO, None),
            };
            LinkReport { node: *node, up, rtt, why }
        };
        self.core.links.lock().iter().map(report).collect()
    }

    /// Handshakes of others under way, at most
    /// [`PEER_HANDSHAKES_MAX`](limits::PEER_HANDSHAKES_MAX).
    pub fn handshakes(&self) -> usize {
        self.core.handshakes.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Closes everything and tells the peers, waiting for that a short time. Whoever drops an
    /// endpoint without this leaves it running as long as its runtime.
    pub async fn close(&self) {
        self.core.closing.send_replace(true);
        self.core.quic.close(Farewell::Closing.code(), Farewell::Closing.text());
        let time = Duration::from_millis(limits::PEER_CLOSE_MS_MAX);
        let _ = timeout(time, self.core.quic.wait_idle()).await;
    }
}

/// How much has come over a connection: keep-alive and acknowledgements too.
fn packets(connection: &Connection) -> u64 {
    connection.stats().udp_rx.datagrams
}

async fn ask(
    connection: &Connection,
    kind: u8,
    body: Bytes,
    bytes_max: usize,
) -> Result<Bytes, PeerError> {
    super::frame::length(body.len(), bytes_max)?;
    let unsent = |error: quinn::ConnectionError| PeerError::Unreachable(error.to_string());
    let (mut question, answer) = connection.open_bi().await.map_err(unsent)?;
    incoming::write(&mut question, Some(kind), body, bytes_max).await?;
    Receiver::new(answer, bytes_max).next().await?.ok_or(PeerError::Refused)
}
