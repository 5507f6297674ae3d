//! Why a node does not run, for people. Knows no part of a node.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a node did not start, or ended otherwise than it should.
#[derive(Debug)]
pub enum NodeError {
    /// It would listen where it must not.
    Bind(String),
    /// An address cannot be listened on.
    Listen(SocketAddr, io::Error),
    /// The system refused something else.
    System(io::Error),
    /// The bound on memory is too small for so many shards.
    Memory {
        /// The bound.
        bytes: u64,
        /// What it has to be.
        least: u64,
        /// How many shards there are.
        shards: usize,
    },
    /// The bound on items is less than one for each of so many shards.
    Items(u64, usize),
    /// A worker ended by itself.
    Worker(usize),
    /// The log could not be written to its end.
    Log,
    /// The node cannot be of its cluster, for this reason.
    Cluster(String),
    /// The folder of the data cannot be used, for this reason.
    Data(PathBuf, String),
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NodeError::Bind(reason) => f.write_str(reason),
            NodeError::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
            NodeError::System(error) => error.fmt(f),
            NodeError::Memory { bytes, least, shards } => write!(
                f,
                "memory.max_memory is {bytes} bytes, but {shards} shards need {least} at least: \
                 allow more, or set memory.shards to fewer"
            ),
            NodeError::Items(items, shards) => write!(
                f,
                "memory.max_items is {items}, but each of {shards} shards keeps one at least: \
                 allow more, or set memory.shards to fewer"
            ),
            NodeError::Cluster(reason) => write!(f, "cannot be of a cluster: {reason}"),
            NodeError::Log => f.write_str("the log could not be written to its end"),
            NodeError::Data(folder, reason) => {
                write!(f, "cannot use data.dir {}: {reason}", folder.display())
            }
            NodeError::Worker(index) => write!(f, "worker {index} ended by itself"),
        }
    }
}

impl std::error::Error for NodeError {}

impl From<io::Error> for NodeError {
    fn from(error: io::Error) -> NodeError {
        NodeError::System(error)
    }
}
