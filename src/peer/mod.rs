//! What nodes say to each other travels here: datagrams, calls, and ordered streams of messages,
//! over QUIC, between nodes that have proved who they are. The only room that knows QUIC. Knows
//! no message by its meaning: kinds are numbers, bodies are bytes.
//!
//! Every node dials every other that it wants to talk to: what it starts goes over the connection
//! it has made, what the other starts over the other's. So two nodes have up to two connections,
//! none of which needs a rule for who gives way, and a link is up or down for its owner alone.

mod endpoint;
mod error;
mod frame;
mod incoming;
mod link;
mod receiver;
mod redial;
mod sender;
mod transport;

pub use endpoint::{Endpoint, LinkReport, Options};
pub use error::PeerError;
pub use receiver::Receiver;
pub use sender::Sender;
pub use transport::{Address, Plane};

use crate::security::Peer;
use bytes::Bytes;
use cluster::topology::NodeId;
use std::future::Future;
use std::pin::Pin;

/// The answer to a call, to come; `None`: none is given, and the caller is told so.
pub type Answer = Pin<Box<dyn Future<Output = Option<Bytes>> + Send>>;

/// What to do with what peers say. Called on the endpoint's thread, between other work: none of
/// these may block.
pub trait Handler: Send + Sync + 'static {
    /// Whether to talk to a node that has a certificate of this cluster: it may have been removed,
    /// or have a newer certificate. Asked for connections of both directions.
    ///
    /// # Errors
    /// Why not; the peer is told.
    fn admit(&self, peer: &Peer) -> Result<(), String> {
        let _ = peer;
        Ok(())
    }

    /// Our connection to this node stands: both sides have accepted each other.
    fn on_up(&self, node: NodeId) {
        let _ = node;
    }

    /// Our connection to this node is gone, with all its streams and calls.
    fn on_down(&self, node: NodeId, why: &str) {
        let _ = (node, why);
    }

    /// A datagram has come.
    fn on_datagram(&self, from: &Peer, body: Bytes);

    /// A call has come. Up to [`PEER_CALLS_MAX`](crate::limits::PEER_CALLS_MAX) of a peer are
    /// answered at a time, in any order.
    fn on_call(&self, from: &Peer, kind: u8, body: Bytes) -> Answer;

    /// A stream has been opened. Dropping the receiver refuses it.
    fn on_stream(&self, from: NodeId, kind: u8, receiver: Receiver);
}
