//! Our connection to one peer: made when it is first needed, made again when it broke. Knows no
//! message.

use super::endpoint::Core;
use super::redial::Redial;
use super::transport::{Address, Farewell};
use super::{Handler, PeerError};
use crate::security::{NodeName, Peer};
use crate::{clock, limits};
use cluster::topology::NodeId;
use parking_lot::Mutex;
use quinn::rustls::pki_types::CertificateDer;
use quinn::{Connection, ConnectionError};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::timeout;

/// Our connection to one peer, or the lack of one.
#[derive(Debug)]
pub(super) struct Link {
    node: NodeId,
    address: Mutex<Address>,
    state: watch::Sender<State>,
    /// Somebody needs the connection.
    wanted: Notify,
    /// The peer is no longer one of ours.
    dropped: Notify,
    /// Calls under way.
    pub(super) calls: Semaphore,
}

/// What there is of the connection.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// Nobody has asked for it, or this is why it is not there.
    Down(Option<String>),
    Up(Connection),
    /// There will be none any more.
    Gone,
}

impl Link {
    pub(super) fn new(node: NodeId, address: Address) -> Link {
        Link {
            node,
            address: Mutex::new(address),
            state: watch::Sender::new(State::Down(None)),
            wanted: Notify::new(),
            dropped: Notify::new(),
            calls: Semaphore::new(limits::PEER_CALLS_MAX as usize),
        }
    }

    /// Where to dial next time. A connection that stands stays.
    pub(super) fn set_address(&self, address: Address) {
        *self.address.lock() = address;
    }

    /// Ends the link.
    pub(super) fn drop_peer(&self) {
        self.dropped.notify_one();
    }

    /// What there is of the connection now.
    pub(super) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// The connection, if it stands; if not, it is made for the next time.
    pub(super) fn now(&self) -> Result<Connection, PeerError> {
        match &*self.state.borrow() {
            State::Up(connection) if is_open(connection) => return Ok(connection.clone()),
            State::Gone => return Err(PeerError::Unknown(self.node)),
            State::Up(_) | State::Down(_) => {}
        }
        self.wanted.notify_one();
        Err(self.unreachable())
    }

    /// The connection, as soon as it stands. Waits without end.
    pub(super) async fn connection(&self) -> Result<Connection, PeerError> {
        let mut state = self.state.subscribe();
        loop {
            match &*state.borrow_and_update() {
                State::Up(connection) if is_open(connection) => return Ok(connection.clone()),
                State::Gone => return Err(PeerError::Unknown(self.node)),
                State::Up(_) | State::Down(_) => self.wanted.notify_one(),
            }
            if state.changed().await.is_err() {
                return Err(PeerError::Unknown(self.node));
            }
        }
    }

    /// Why there is no connection.
    pub(super) fn unreachable(&self) -> PeerError {
        let why = match &*self.state.borrow() {
            State::Down(Some(why)) => why.clone(),
            State::Down(None) | State::Gone | State::Up(_) => "being connected".to_owned(),
        };
        PeerError::Unreachable(why)
    }

    /// Keeps the connection, until the peer is dropped or the endpoint closed.
    pub(super) async fn run(self: Arc<Link>, core: Arc<Core>) {
        tokio::select! {
            () = self.keep(&core) => {}
            () = self.dropped.notified() => {}
            () = core.closed() => {}
        }
        if let State::Up(connection) = self.state.send_replace(State::Gone) {
            say(&connection, Farewell::Closing);
            core.handler.on_down(self.node, "closed here");
        }
    }

    async fn keep(&self, core: &Core) {
        let mut redial = Redial::default();
        loop {
            self.wanted.notified().await;
            let why = match self.dial(core).await {
                Ok(connection) => {
                    let since = clock::monotonic_nanos();
                    let why = self.hold(core, connection).await.to_string();
                    let lasted = clock::monotonic_nanos().saturating_sub(since);
                    redial.lasted(Duration::from_nanos(lasted));
                    self.state.send_replace(State::Down(Some(why.clone())));
                    tracing::info!(
                        peer = self.node.number(),
                        plane = core.plane.name(),
                        why,
                        "connection lost"
                    );
                    core.handler.on_down(self.node, &why);
                    why
                }
                Err(error) => {
                    let why = error.to_string();
                    tracing::debug!(
                        peer = self.node.number(),
                        plane = core.plane.name(),
                        why,
                        "cannot connect"
                    );
                    why
                }
            };
            let pause = redial.failed(clock::random_u64());
            self.state.send_replace(State::Down(Some(why)));
            tokio::time::sleep(pause).await;
        }
    }

    async fn hold(&self, core: &Core, connection: Connection) -> ConnectionError {
        self.state.send_replace(State::Up(connection.clone()));
        tracing::debug!(peer = self.node.number(), plane = core.plane.name(), "connected");
        core.handler.on_up(self.node);
        connection.closed().await
    }

    async fn dial(&self, core: &Core) -> io::Result<Connection> {
        let address = self.address.lock().clone();
        let name = NodeName { node: self.node, cluster: core.name.cluster };
        dial(core, &address, &name.to_string()).await.map(|(connection, _)| connection)
    }
}

/// A connection to whoever proves at this address to have this name, and has accepted us.
pub(super) async fn dial(core: &Core, address: &str, name: &str) -> io::Result<(Connection, Peer)> {
    let time = Duration::from_millis(limits::PEER_DIAL_MS_MAX);
    let Ok(done) = timeout(time, greeted(core, address, name)).await else {
        return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{address} does not answer")));
    };
    done
}

async fn greeted(core: &Core, address: &str, name: &str) -> io::Result<(Connection, Peer)> {
    let to = resolve(core, address).await?;
    let connecting = core.quic.connect_with(core.client.clone(), to, name);
    let connection = connecting.map_err(io::Error::other)?.await?;
    let peer = match admitted(&connection, &*core.handler) {
        Ok(peer) => peer,
        Err(why) => {
            connection.close(Farewell::Refused.code(), why.as_bytes());
            return Err(io::Error::other(why));
        }
    };
    // The handshake is over for us before the other side has seen our certificate. Its greeting
    // says that it has.
    let mut greeting = connection.accept_uni().await?;
    greeting.read_to_end(0).await.map_err(io::Error::other)?;
    Ok((connection, peer))
}

/// One of the addresses, another at the next try.
async fn resolve(core: &Core, address: &str) -> io::Result<SocketAddr> {
    if let Ok(literal) = address.parse() {
        return Ok(literal);
    }
    let ipv6 = core.local.is_ipv6();
    let found = tokio::net::lookup_host(address).await?;
    let found: Vec<SocketAddr> = found.filter(|to| ipv6 || to.is_ipv4()).collect();
    let turn = usize::try_from(clock::random_u64() >> 1).unwrap_or(0) % found.len().max(1);
    let none = || io::Error::new(io::ErrorKind::NotFound, format!("{address} has no address"));
    found.get(turn).copied().ok_or_else(none)
}

/// Who is at the other end, if we want to talk to it.
pub(super) fn admitted(connection: &Connection, handler: &dyn Handler) -> Result<Peer, String> {
    let identity = connection
        .peer_identity()
        .and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
    let chain = identity.ok_or("no certificate")?;
    let peer = Peer::of(&chain).map_err(|error| error.to_string())?;
    handler.admit(&peer)?;
    Ok(peer)
}

/// Whether nobody has closed it: who keeps it may not have seen that yet.
fn is_open(connection: &Connection) -> bool {
    connection.close_reason().is_none()
}

/// Closes a connection.
pub(super) fn say(connection: &Connection, farewell: Farewell) {
    connection.close(farewell.code(), farewell.text());
}
