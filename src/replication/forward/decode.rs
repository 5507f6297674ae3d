//! From the bytes of forwarded commands to words. Large values get buffers of the engine's making,
//! so that they are stored as they are.

use crate::command::{Arg, Args};
use crate::engine::Engine;
use crate::limits::VALUE_BYTES_MAX_RELAXED;
use crate::resp::{DecodeLimits, Decoder, Step, number};
use std::borrow::Cow;

/// The words of some commands.
pub(super) struct Words<'a> {
    buffer: Cow<'a, [u8]>,
    args: Vec<Arg>,
    /// One past the last word of each command.
    ends: Vec<usize>,
}

impl<'a> Words<'a> {
    /// `None` when the bytes are anything but whole commands.
    pub(super) fn of(engine: &Engine, request: &'a [u8]) -> Option<Words<'a>> {
        let mut decoder = Decoder::new(DecodeLimits::authenticated(VALUE_BYTES_MAX_RELAXED));
        let (mut buffer, mut at) = (Cow::Borrowed(request), 0);
        let (mut args, mut ends) = (Vec::new(), Vec::new());
        while at < buffer.len() {
            match decoder.decode(&buffer, at, &mut args).ok()? {
                Step::Command { used } => {
                    at += used;
                    ends.push(args.len());
                }
                Step::Shared { used, len } => {
                    let from = at + used;
                    let mut value = engine.buffer(len)?;
                    value.copy_from_slice(buffer.get(from..from.checked_add(len)?)?);
                    decoder.shared(value.freeze());
                    buffer = Cow::Owned([&buffer[..from], &buffer[from + len..]].concat());
                }
                Step::Refused { .. } | Step::Empty { .. } | Step::More => return None,
            }
        }
        Some(Words { buffer, args, ends })
    }

    /// The commands in order.
    pub(super) fn commands(&self) -> impl Iterator<Item = Args<'_>> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(from, to)| Args::new(&self.buffer, &self.args[*from..*to]))
    }
}

/// The words of one command that this node has written itself.
pub(super) fn words(request: &[u8]) -> Option<Vec<&[u8]>> {
    let (count, mut at) = number(request, 0, b'*')?;
    let mut words = Vec::with_capacity(usize::try_from(count).ok()?.min(request.len() / 4));
    for _ in 0..count {
        let (len, from) = number(request, at, b'$')?;
        let to = from.checked_add(usize::try_from(len).ok()?)?;
        words.push(request.get(from..to)?);
        at = to + 2;
    }
    Some(words)
}

/// One command of these words, behind what `out` holds.
pub(super) fn write<'a>(words: impl ExactSizeIterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    let line = |out: &mut Vec<u8>, kind: u8, number: usize| {
        out.push(kind);
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        out.extend_from_slice(b"\r\n");
    };
    line(out, b'*', words.len());
    for word in words {
        line(out, b'$', word.len());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}
