//! A connection's read path in small: bytes in pieces of any size go in, commands come out. It
//! keeps the contract of `Decoder` as a worker does, with a scratch buffer for whole commands and
//! an own buffer for the beginning of one. Used by the property tests and by the fuzz targets.

use bytes::Bytes;
use crabcache::command::{Arg, Args};
use crabcache::resp::{DecodeLimits, Decoder, ProtocolError, Step};

/// Bytes before the first command of the scratch buffer: spans must count them.
const SCRATCH_OFFSET: usize = 3;

/// A connection without a socket.
pub(crate) struct Stream {
    decoder: Decoder,
    /// The beginning of a command.
    kept: Vec<u8>,
    /// A payload that is being collected, and its length.
    payload: Option<(Vec<u8>, usize)>,
    /// Whole commands, argument by argument.
    pub(crate) commands: Vec<Vec<Vec<u8>>>,
    /// Why it ended.
    pub(crate) error: Option<ProtocolError>,
    /// Bytes fed in.
    fed: usize,
}

impl Stream {
    /// A new connection.
    pub(crate) fn new(limits: DecodeLimits) -> Stream {
        let decoder = Decoder::new(limits);
        let (kept, commands) = (Vec::new(), Vec::new());
        Stream { decoder, kept, payload: None, commands, error: None, fed: 0 }
    }

    /// What comes out of `bytes` in pieces of these sizes, over and over; 0 is all the rest.
    pub(crate) fn of(limits: DecodeLimits, mut bytes: &[u8], sizes: &[usize]) -> Stream {
        let mut stream = Stream::new(limits);
        for size in sizes.iter().cycle() {
            let size = if *size == 0 { bytes.len() } else { bytes.len().min(*size) };
            let (piece, rest) = bytes.split_at(size);
            stream.feed(piece);
            bytes = rest;
            if bytes.is_empty() {
                break;
            }
        }
        stream
    }

    /// One read from the socket.
    pub(crate) fn feed(&mut self, mut piece: &[u8]) {
        if self.error.is_some() {
            return;
        }
        self.fed += piece.len();
        if let Some((mut payload, len)) = self.payload.take() {
            let (head, rest) = piece.split_at(piece.len().min(len - payload.len()));
            payload.extend_from_slice(head);
            piece = rest;
            if payload.len() < len {
                self.payload = Some((payload, len));
                return;
            }
            self.decoder.shared(Bytes::from(payload));
        }
        if self.kept.is_empty() {
            self.run([&[b'#'; SCRATCH_OFFSET], piece].concat(), SCRATCH_OFFSET);
        } else {
            let mut kept = std::mem::take(&mut self.kept);
            kept.extend_from_slice(piece);
            self.run(kept, 0);
        }
        // A few arguments of 32 bytes each may come from 6 bytes of input; lists grow by doubling.
        let held = self.decoder.held_bytes() + self.kept.len();
        assert!(held <= 1024 + 16 * self.fed, "{held} bytes held after {} came", self.fed);
    }

    /// Decodes all that is whole in `buffer`, as one batch, and keeps the rest.
    fn run(&mut self, mut buffer: Vec<u8>, mut at: usize) {
        let mut args: Vec<Arg> = Vec::new();
        let mut ranges = Vec::new();
        let mut large = None;
        loop {
            let first = args.len();
            let step = self.decoder.decode(&buffer, at, &mut args);
            assert!(matches!(step, Ok(Step::Command { .. })) || args.len() == first);
            match step {
                Ok(Step::Command { used }) => {
                    assert!(used > 0 && args.len() > first);
                    ranges.push(first..args.len());
                    at += used;
                }
                Ok(Step::Empty { used }) => {
                    assert!(used > 0);
                    at += used;
                }
                Ok(Step::Refused { .. }) => unreachable!("nothing was refused"),
                Ok(Step::More) => break,
                Ok(Step::Shared { used, len }) => {
                    large = Some((at + used, len));
                    break;
                }
                Err(error) => {
                    self.error = Some(error);
                    break;
                }
            }
        }
        for range in ranges {
            let args = Args::new(&buffer, &args[range]);
            self.commands.push(args.iter().map(<[u8]>::to_vec).collect());
        }
        if let Some((start, len)) = large {
            self.cut(&mut buffer, start, len);
        }
        buffer.drain(..at);
        self.kept = buffer;
    }

    /// Cuts the beginning of a payload of `len` bytes, which starts at `start`, out of the stream.
    fn cut(&mut self, buffer: &mut Vec<u8>, start: usize, len: usize) {
        assert!(buffer.len() < start + len + 2, "a whole payload needs no buffer of its own");
        let end = buffer.len().min(start + len);
        let payload: Vec<u8> = buffer.drain(start..end).collect();
        if payload.len() == len {
            self.decoder.shared(Bytes::from(payload));
        } else {
            self.payload = Some((payload, len));
        }
    }
}
