//! Why something did not reach a peer, and whether it may have.

use cluster::topology::NodeId;
use std::fmt;

/// Why something did not reach a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerError {
    /// No address is known for this node.
    Unknown(NodeId),
    /// There is no connection. Nothing was sent.
    Unreachable(String),
    /// No answer came in time. The peer may have done what was asked.
    TimedOut,
    /// The connection broke. The peer may have done what was asked.
    Lost(String),
    /// The peer does not answer this.
    Refused,
    /// The message is longer than messages may be. Nothing was sent.
    TooLong {
        /// Its length.
        bytes: usize,
        /// The longest.
        max: usize,
    },
    /// Too much waits to be sent already. Nothing was added.
    Full,
}

impl PeerError {
    /// Whether the peer certainly has not seen it, so that it may be tried elsewhere.
    pub fn is_unsent(&self) -> bool {
        match self {
            PeerError::Unknown(_)
            | PeerError::Unreachable(_)
            | PeerError::TooLong { .. }
            | PeerError::Full => true,
            PeerError::TimedOut | PeerError::Lost(_) | PeerError::Refused => false,
        }
    }
}

impl fmt::Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerError::Unknown(node) => write!(f, "no address is known for node {}", node.number()),
            PeerError::Unreachable(why) => write!(f, "not connected: {why}"),
            PeerError::TimedOut => f.write_str("no answer in time"),
            PeerError::Lost(why) => write!(f, "the connection broke: {why}"),
            PeerError::Refused => f.write_str("the peer does not answer this"),
            PeerError::TooLong { bytes, max } => {
                write!(f, "a message of {bytes} bytes, the longest is {max}")
            }
            PeerError::Full => f.write_str("too much waits to be sent already"),
        }
    }
}

impl std::error::Error for PeerError {}
