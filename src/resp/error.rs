//! Why a client's bytes are not a command, in Redis's words. Every one of them ends the connection.

use std::fmt;

/// Why bytes are not a command. `Display` gives the text that stands behind `-ERR ` in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// The number behind `*` is none, or too large.
    MultibulkLength,
    /// The number behind `*` has too many digits.
    MultibulkLengthDigits,
    /// More arguments than a client may send before AUTH.
    MultibulkLengthUnauthenticated,
    /// An argument does not begin with `$` but with this.
    ExpectedDollar(u8),
    /// The number behind `$` is none, or too large.
    BulkLength,
    /// The number behind `$` has too many digits.
    BulkLengthDigits,
    /// A longer argument than a client may send before AUTH.
    BulkLengthUnauthenticated,
    /// An argument is not followed by CR LF.
    ExpectedEnd,
    /// An inline command that is too long or has too many arguments.
    InlineLength,
    /// A quotation mark that is never closed, or closed in the middle of a word.
    UnbalancedQuotes,
    /// More unfinished bytes than a decoder can address.
    TooLong,
    /// The first byte of the binary protocol, which this version does not speak.
    Binary,
    /// A browser or another HTTP client, perhaps sent here by somebody else: nothing is answered.
    Http,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protocol error: ")?;
        f.write_str(match self {
            ProtocolError::MultibulkLength => "invalid multibulk length",
            ProtocolError::MultibulkLengthDigits => "too big mbulk count string",
            ProtocolError::MultibulkLengthUnauthenticated => "unauthenticated multibulk length",
            ProtocolError::ExpectedDollar(got) => {
                return write!(f, "expected '$', got '{}'", got.escape_ascii());
            }
            ProtocolError::BulkLength => "invalid bulk length",
            ProtocolError::BulkLengthDigits => "too big bulk count string",
            ProtocolError::BulkLengthUnauthenticated => "unauthenticated bulk length",
            ProtocolError::ExpectedEnd => "expected CRLF behind a bulk string",
            ProtocolError::InlineLength => "too big inline request",
            ProtocolError::UnbalancedQuotes => "unbalanced quotes in request",
            ProtocolError::TooLong => "too big request",
            ProtocolError::Binary => "the binary protocol is not spoken here",
            ProtocolError::Http => "HTTP on the data port",
        })
    }
}

impl std::error::Error for ProtocolError {}
