//! What can end a benchmark early. Errors the server answers with are counted, not raised.

use super::trace::TraceError;
use std::fmt;
use std::io;

/// Why a benchmark could not start or could not go on.
#[derive(Debug)]
pub(super) enum BenchError {
    /// Options that make no sense together.
    Usage(String),
    /// No connection to this address.
    Connect { address: String, source: io::Error },
    /// The server answered a command of the set-up with this error.
    Refused { command: &'static str, reply: String },
    /// The server closed a connection.
    Closed,
    /// The server sent something that is no reply.
    Protocol(String),
    /// No reply at all for so many seconds.
    Stalled { seconds: u64, waiting: usize },
    /// The operating system failed at something.
    Io { doing: &'static str, source: io::Error },
    /// The trace cannot be read.
    Trace(TraceError),
}

impl BenchError {
    /// For `map_err`: the failure of what `doing` names.
    pub(super) fn io(doing: &'static str) -> impl Fn(io::Error) -> BenchError {
        move |source| BenchError::Io { doing, source }
    }
}

impl From<TraceError> for BenchError {
    fn from(error: TraceError) -> BenchError {
        BenchError::Trace(error)
    }
}

impl fmt::Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BenchError::Usage(text) => f.write_str(text),
            BenchError::Trace(error) => error.fmt(f),
            BenchError::Connect { address, source } => {
                write!(f, "cannot connect to {address}: {source}")
            }
            BenchError::Refused { command, reply } => {
                write!(f, "the server refused {command}: {reply}")
            }
            BenchError::Closed => f.write_str("the server closed the connection"),
            BenchError::Protocol(text) => write!(f, "not the Redis protocol: {text}"),
            BenchError::Stalled { seconds, waiting } => {
                write!(f, "no reply for {seconds} s, {waiting} requests waiting")
            }
            BenchError::Io { doing, source } => write!(f, "{doing}: {source}"),
        }
    }
}

impl std::error::Error for BenchError {}
