//! How the control planes of two nodes speak: calls and datagrams between nodes that know each
//! other, calls to an address whose node is not known yet. Knows no wire; `memory` is one inside a
//! process, and the QUIC endpoint of the room `peer` the real one.

use bytes::Bytes;
use cluster::node::{Fingerprint, NodeId};
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// A future that a trait object can return.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The way to other nodes. Everything is bounded: what does not come in time is an error.
pub trait Transport: Send + Sync {
    /// Asks a node and returns its answer.
    fn call(
        &self,
        to: NodeId,
        kind: u8,
        body: Bytes,
        timeout: Duration,
    ) -> Boxed<'_, Result<Bytes, CallError>>;

    /// Asks whoever is at an address, which may be this node, and returns who that is with the
    /// answer.
    fn call_address<'a>(
        &'a self,
        address: &'a str,
        kind: u8,
        body: Bytes,
        timeout: Duration,
    ) -> Boxed<'a, Result<(NodeId, Bytes), CallError>>;

    /// Sends what may get lost; nobody is told.
    fn send_datagram(&self, to: NodeId, body: Bytes);

    /// Where the other nodes are now, as `host:port`; nodes that are not named are forgotten.
    fn set_peers(&self, peers: Vec<(NodeId, String)>);

    /// Ends it: nothing is received any more.
    fn close(&self) -> Boxed<'_, ()>;
}

/// Who asks, or says something.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// Which node, as it has proved.
    pub node: NodeId,
    /// What its certificate is known by; `None` where there are none.
    pub certificate: Option<Fingerprint>,
}

/// What a node does with what comes in.
pub trait Handler: Send + Sync {
    /// Answers a call; an empty answer says that it could not be understood.
    fn on_call(self: Arc<Self>, from: Caller, kind: u8, body: Bytes) -> Boxed<'static, Bytes>;

    /// Takes a datagram; never waits.
    fn on_datagram(&self, from: Caller, body: Bytes);
}

/// Makes a transport, on the runtime where it is to live; again after the one before was closed.
pub type Bind =
    Box<dyn Fn(Arc<dyn Handler>) -> Boxed<'static, io::Result<Arc<dyn Transport>>> + Send + Sync>;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The node cannot be reached, or its address is not known; the request did not arrive.
    Unreachable(String),
    /// It did not answer in time, and may have done what it was asked.
    TimedOut,
    /// It is known to be another node, or not of this cluster.
    Refused(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Unreachable(reason) => write!(f, "unreachable: {reason}"),
            CallError::TimedOut => write!(f, "no answer in time"),
            CallError::Refused(reason) => write!(f, "refused: {reason}"),
        }
    }
}

impl std::error::Error for CallError {}
