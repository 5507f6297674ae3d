//! From a read buffer to commands. Knows what a command looks like, never what it means, and holds
//! no bytes of its own but large bulk strings that the caller handed in.

use bytes::Bytes;

use super::error::ProtocolError;
use super::inline;
use super::length::{self, Line};
use crate::command::Arg;
use crate::limits;

/// The first byte of the binary protocol.
const BINARY: u8 = 0xCC;

/// In place of the bytes of payloads: one of the unfinished command was refused. Apart it would
/// make each connection longer.
const REFUSED: usize = usize::MAX;

/// How large a client's commands may be. May change between any two calls of `decode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Most arguments, the command's name included.
    pub args_max: usize,
    /// Longest bulk string.
    pub bulk_bytes_max: usize,
    /// Longest inline command.
    pub inline_bytes_max: usize,
    /// Chooses the words of errors: who is not authenticated yet is told so.
    pub authenticated: bool,
}

impl DecodeLimits {
    /// For clients that may do nothing but authenticate.
    pub const UNAUTHENTICATED: DecodeLimits = DecodeLimits {
        args_max: limits::ARGS_MAX_UNAUTHENTICATED,
        bulk_bytes_max: limits::BULK_BYTES_MAX_UNAUTHENTICATED,
        inline_bytes_max: limits::INLINE_BYTES_MAX_UNAUTHENTICATED,
        authenticated: false,
    };

    /// For all other clients.
    pub const fn authenticated(bulk_bytes_max: usize) -> DecodeLimits {
        DecodeLimits {
            args_max: limits::ARGS_MAX,
            bulk_bytes_max,
            inline_bytes_max: limits::INLINE_BYTES_MAX,
            authenticated: true,
        }
    }
}

/// What [`Decoder::decode`] found. Every `used` counts from `at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A whole command: its arguments were appended to `args`, their spans relative to the start
    /// of `buffer`. The next command begins at `at + used`.
    Command {
        /// Bytes of the buffer that belong to the command.
        used: usize,
    },
    /// A whole command of which a value was refused: nothing to do but to say so. The next command
    /// begins at `at + used`.
    Refused {
        /// Bytes of the buffer that belong to the command.
        used: usize,
    },
    /// An empty line or an array without elements: nothing to do or answer. Go on at `at + used`.
    Empty {
        /// Bytes to skip.
        used: usize,
    },
    /// The command is not whole. Keep `buffer[at..]` and call again when there is more.
    More,
    /// The command is not whole, and its next argument is a large bulk string. Everything behind
    /// `at + used` is the beginning of its payload (at most the CR LF behind it, perhaps).
    /// Keep `buffer[at..at + used]`, collect the payload elsewhere, give it to
    /// [`Decoder::shared`], then go on as after `More`: the kept bytes are now followed by what
    /// comes behind the payload, as if the payload had been cut out of the stream.
    Shared {
        /// Bytes of the command before the payload.
        used: usize,
        /// Bytes of the payload, without CR LF. A client's claim: do not reserve it at once.
        len: usize,
    },
}

/// Where decoding stands inside a command. Positions count from the command's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Before its first byte.
    Start,
    /// In a line of text: so many bytes hold no line feed.
    Inline { scanned: usize },
    /// Before an argument, of which so many are missing.
    Argument { position: usize, missing: usize },
    /// Waiting for the payload of an argument; the arguments behind it are missing.
    Payload { position: usize, missing: usize, len: usize },
    /// Before the CR LF behind such a payload.
    PayloadEnd { position: usize, missing: usize },
}

/// A connection's decoder. It remembers how far it came in an unfinished command, so that all
/// calls together look at each byte once or twice however the stream is cut into reads.
///
/// # Contract
/// What it remembers is relative to the unfinished command's first byte. So the caller may move
/// that command's bytes to another buffer between two calls; it must only pass, at the new `at`,
/// the same bytes followed by newer ones. `args` only ever receives whole commands: arguments of
/// an unfinished one are kept here, so the caller may clear `args` at any time.
///
/// After an error the connection is to be closed; a further call gives the same error.
#[derive(Debug)]
pub struct Decoder {
    limits: DecodeLimits,
    progress: Progress,
    /// Arguments of the unfinished command; spans count from its first byte.
    unfinished: Vec<Arg>,
    /// Bytes of shared arguments in `unfinished`; [`REFUSED`] when one was refused.
    shared_bytes: usize,
}

impl Decoder {
    /// A decoder for a new connection.
    pub fn new(limits: DecodeLimits) -> Decoder {
        Decoder { limits, progress: Progress::Start, unfinished: Vec::new(), shared_bytes: 0 }
    }

    /// Decodes one command: the one that begins at `buffer[at]`.
    ///
    /// # Errors
    /// When the bytes cannot become a command. `args` is as it was.
    #[inline]
    pub fn decode(
        &mut self,
        buffer: &[u8],
        at: usize,
        args: &mut Vec<Arg>,
    ) -> Result<Step, ProtocolError> {
        if self.progress == Progress::Start
            && buffer.get(at) == Some(&b'*')
            && buffer.len() <= u32::MAX as usize
            && let Some((count, used)) = length::short(&buffer[at + 1..])
            && count.wrapping_sub(1) < self.limits.args_max
        {
            return self.whole(buffer, at, at + 1 + used, count, args);
        }
        self.resume(buffer, at, args)
    }

    /// Takes the payload asked for by [`Step::Shared`].
    ///
    /// # Panics
    /// When none was asked for, or one of another length.
    pub fn shared(&mut self, payload: Bytes) {
        let Progress::Payload { position, missing, len } = self.progress else {
            panic!("no payload was asked for");
        };
        assert_eq!(payload.len(), len, "a payload of another length was asked for");
        debug_assert!(!self.is_refused(), "what comes for it is skipped");
        self.shared_bytes += len;
        self.unfinished.push(Arg::Shared(payload));
        self.progress = Progress::PayloadEnd { position, missing };
    }

    /// Does without the payload asked for by [`Step::Shared`], which the caller skips: the command
    /// will be [`Step::Refused`]. What was handed in for it before is given up at once.
    ///
    /// # Panics
    /// When none was asked for.
    pub fn refuse(&mut self) {
        let Progress::Payload { position, missing, .. } = self.progress else {
            panic!("no payload was asked for");
        };
        self.unfinished.clear();
        self.shared_bytes = REFUSED;
        self.progress = Progress::PayloadEnd { position, missing };
    }

    /// Whether a payload of the unfinished command was refused, so that no further one is of use.
    pub fn is_refused(&self) -> bool {
        self.shared_bytes == REFUSED
    }

    /// Bytes of the payloads that were handed in for the unfinished command.
    pub fn shared_bytes(&self) -> usize {
        if self.is_refused() { 0 } else { self.shared_bytes }
    }

    /// Memory held for an unfinished command beyond the caller's own buffers: its argument list
    /// and the payloads handed in.
    pub fn held_bytes(&self) -> usize {
        self.unfinished.capacity() * size_of::<Arg>() + self.shared_bytes()
    }

    /// The limits in force.
    pub fn limits(&self) -> DecodeLimits {
        self.limits
    }

    /// Sets other limits, also in the middle of a command: they hold for what is not decoded yet.
    pub fn set_limits(&mut self, limits: DecodeLimits) {
        self.limits = limits;
    }

    /// The hot path: `count` arguments that begin at `position`, as long as they are whole, small
    /// and well formed. Whatever else comes is left to `resume`.
    #[inline]
    fn whole(
        &mut self,
        buffer: &[u8],
        at: usize,
        mut position: usize,
        count: usize,
        args: &mut Vec<Arg>,
    ) -> Result<Step, ProtocolError> {
        let first = args.len();
        for done in 0..count {
            let Some((start, end)) = bulk(buffer, position, self.limits.bulk_bytes_max) else {
                self.set_aside(args, first, at);
                let (position, missing) = (position - at, count - done);
                self.progress = Progress::Argument { position, missing };
                return self.resume(buffer, at, args);
            };
            args.push(Arg::Span { start: start as u32, end: end as u32 });
            position = end + 2;
        }
        Ok(Step::Command { used: position - at })
    }

    /// Moves the arguments from `first` on out of `args`.
    #[cold]
    fn set_aside(&mut self, args: &mut Vec<Arg>, first: usize, at: usize) {
        self.unfinished.extend(args.drain(first..));
        for arg in &mut self.unfinished {
            if let Arg::Span { start, end } = arg {
                *start -= at as u32;
                *end -= at as u32;
            }
        }
    }

    /// Everything that is not hot: the beginning and the middle of a command, inline commands,
    /// errors.
    #[cold]
    fn resume(
        &mut self,
        buffer: &[u8],
        at: usize,
        args: &mut Vec<Arg>,
    ) -> Result<Step, ProtocolError> {
        if buffer.len() > u32::MAX as usize {
            return Err(ProtocolError::TooLong);
        }
        let bytes = buffer.get(at..).unwrap_or_default();
        match self.progress {
            Progress::Start => match bytes.first() {
                None => Ok(Step::More),
                Some(b'*') => self.begin(bytes, at, args),
                Some(&BINARY) => Err(ProtocolError::Binary),
                Some(_) => self.inline(bytes, at, 0, args),
            },
            Progress::Inline { scanned } => self.inline(bytes, at, scanned, args),
            Progress::Argument { position, missing } => {
                self.arguments(bytes, at, position, missing, args)
            }
            Progress::Payload { position, len, .. } => Ok(Step::Shared { used: position, len }),
            Progress::PayloadEnd { position, missing } => match bytes[position..] {
                [b'\r', b'\n', ..] => self.arguments(bytes, at, position + 2, missing, args),
                [] | [b'\r'] => Ok(Step::More),
                _ => Err(ProtocolError::ExpectedEnd),
            },
        }
    }

    /// The number of arguments, then the arguments.
    fn begin(
        &mut self,
        bytes: &[u8],
        at: usize,
        args: &mut Vec<Arg>,
    ) -> Result<Step, ProtocolError> {
        let (value, used) = match length::line(&bytes[1..]) {
            Line::Number { value, used } => (value, used + 1),
            Line::More => return Ok(Step::More),
            Line::Malformed => return Err(ProtocolError::MultibulkLength),
            Line::TooLong => return Err(ProtocolError::MultibulkLengthDigits),
        };
        let count = usize::try_from(value).unwrap_or(0);
        if count == 0 {
            return Ok(Step::Empty { used });
        }
        if count > self.limits.args_max {
            return Err(if self.limits.authenticated || value > i64::from(i32::MAX) {
                ProtocolError::MultibulkLength
            } else {
                ProtocolError::MultibulkLengthUnauthenticated
            });
        }
        self.arguments(bytes, at, used, count, args)
    }

    /// The `missing` arguments that begin at `position` of `bytes`, which begin at `at`.
    fn arguments(
        &mut self,
        bytes: &[u8],
        at: usize,
        mut position: usize,
        mut missing: usize,
        args: &mut Vec<Arg>,
    ) -> Result<Step, ProtocolError> {
        while missing > 0 {
            self.progress = Progress::Argument { position, missing };
            let (len, start) = match self.bulk_length(bytes, position)? {
                Some(found) => found,
                None => return Ok(Step::More),
            };
            let end = start + len;
            match bytes.get(end..).unwrap_or_default() {
                [b'\r', b'\n', ..] => {}
                [] | [b'\r'] if len > limits::SHARED_VALUE_BYTES_MIN => {
                    let (position, missing) = (start, missing - 1);
                    self.progress = Progress::Payload { position, missing, len };
                    return Ok(Step::Shared { used: start, len });
                }
                [] | [b'\r'] => return Ok(Step::More),
                _ => return Err(ProtocolError::ExpectedEnd),
            }
            self.unfinished.push(Arg::Span { start: start as u32, end: end as u32 });
            position = end + 2;
            missing -= 1;
        }
        if self.is_refused() {
            self.unfinished.clear();
            self.finish(at, args);
            return Ok(Step::Refused { used: position });
        }
        self.finish(at, args);
        Ok(Step::Command { used: position })
    }

    /// The length of the bulk string at `position` and where its payload begins.
    fn bulk_length(
        &self,
        bytes: &[u8],
        position: usize,
    ) -> Result<Option<(usize, usize)>, ProtocolError> {
        match bytes.get(position) {
            None => return Ok(None),
            Some(b'$') => {}
            Some(&other) => return Err(ProtocolError::ExpectedDollar(other)),
        }
        let (value, used) = match length::line(&bytes[position + 1..]) {
            Line::Number { value, used } => (value, used),
            Line::More => return Ok(None),
            Line::Malformed => return Err(ProtocolError::BulkLength),
            Line::TooLong => return Err(ProtocolError::BulkLengthDigits),
        };
        match usize::try_from(value) {
            Ok(len) if len <= self.limits.bulk_bytes_max => Ok(Some((len, position + 1 + used))),
            Ok(_) if !self.limits.authenticated => Err(ProtocolError::BulkLengthUnauthenticated),
            _ => Err(ProtocolError::BulkLength),
        }
    }

    /// Gives the arguments of a command that came in several pieces to `args`.
    fn finish(&mut self, at: usize, args: &mut Vec<Arg>) {
        for arg in &mut self.unfinished {
            if let Arg::Span { start, end } = arg {
                *start += at as u32;
                *end += at as u32;
            }
        }
        args.append(&mut self.unfinished);
        if self.unfinished.capacity() > limits::DECODER_ARGS_KEPT_MAX {
            self.unfinished = Vec::new();
        }
        self.shared_bytes = 0;
        self.progress = Progress::Start;
    }

    /// A line of text, of which `scanned` bytes are known to hold no line feed.
    fn inline(
        &mut self,
        bytes: &[u8],
        at: usize,
        scanned: usize,
        args: &mut Vec<Arg>,
    ) -> Result<Step, ProtocolError> {
        let max = self.limits.inline_bytes_max;
        let line = match memchr::memchr(b'\n', &bytes[scanned..]) {
            Some(i) if scanned + i <= max => &bytes[..scanned + i],
            None if bytes.len() <= max => {
                self.progress = Progress::Inline { scanned: bytes.len() };
                return Ok(Step::More);
            }
            _ => return Err(ProtocolError::InlineLength),
        };
        if inline::is_http(line) {
            return Err(ProtocolError::Http);
        }
        let first = args.len();
        let split = inline::split(line, at, self.limits.args_max, args);
        if let Err(error) = split {
            args.truncate(first);
            return Err(error);
        }
        self.progress = Progress::Start;
        let used = line.len() + 1;
        Ok(if args.len() == first { Step::Empty { used } } else { Step::Command { used } })
    }
}

/// Where the payload of the bulk string at `at` begins and ends, if it is all there.
#[inline(always)]
fn bulk(buffer: &[u8], at: usize, bytes_max: usize) -> Option<(usize, usize)> {
    let (b'$', rest) = buffer.get(at..)?.split_first()? else { return None };
    let (len, used) = length::short(rest)?;
    let start = at + 1 + used;
    let end = start + len;
    let whole = len <= bytes_max && buffer.get(end..end + 2)? == b"\r\n";
    whole.then_some((start, end))
}

#[cfg(test)]
mod tests;
