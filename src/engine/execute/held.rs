//! Bytes outside the store: an old value kept over a write, or a new one being put together.
//! Small ones live in a buffer that the thread keeps, so that they cost no allocation.

use super::super::{Full, ItemValue, Store};
use super::write_value;
use crate::command::Value;
use crate::command::reply::ReplyWriter;
use crate::limits::{SCRATCH_BYTES_MAX, SHARED_VALUE_BYTES_MIN};
use bytes::Bytes;
use std::cell::Cell;

/// A value in nobody's store.
pub(in crate::engine) enum Held {
    /// Copied or built in the thread's buffer.
    Small(Scratch),
    /// A buffer of its own.
    Shared(Bytes),
}

impl Held {
    /// Keeps a value over a write to its store: copied if small, by reference if big.
    pub(in crate::engine) fn of(value: ItemValue<'_>) -> Held {
        match value {
            ItemValue::Inline(bytes) => Held::small(|buffer| buffer.extend_from_slice(bytes)),
            ItemValue::Shared(bytes) => Held::Shared(bytes.clone()),
        }
    }

    /// Puts a value for a store together from parts.
    ///
    /// # Errors
    /// [`Full`] when the system has no memory for it.
    pub(in crate::engine) fn join(store: &Store, parts: &[Part<'_>]) -> Result<Held, Full> {
        let len = parts.iter().map(Part::len).sum();
        if len <= SHARED_VALUE_BYTES_MIN {
            return Ok(Held::small(|buffer| parts.iter().for_each(|part| part.append(buffer))));
        }
        let mut buffer = store.buffer(len)?;
        let mut at = 0;
        for part in parts {
            let end = at + part.len();
            if let Part::Bytes(bytes) = part {
                buffer[at..end].copy_from_slice(bytes);
            }
            at = end;
        }
        Ok(Held::Shared(buffer.freeze()))
    }

    /// Puts a small value together; `fill` appends it to an empty buffer.
    pub(in crate::engine) fn small(fill: impl FnOnce(&mut Vec<u8>)) -> Held {
        let mut scratch = Scratch::take();
        fill(&mut scratch.0);
        Held::Small(scratch)
    }

    /// Its bytes.
    pub(in crate::engine) fn bytes(&self) -> &[u8] {
        match self {
            Held::Small(scratch) => &scratch.0,
            Held::Shared(bytes) => bytes,
        }
    }

    /// As a value to store.
    pub(in crate::engine) fn value(&self) -> Value<'_> {
        match self {
            Held::Small(scratch) => Value::Slice(&scratch.0),
            Held::Shared(bytes) => Value::Shared(bytes),
        }
    }

    /// As an answer.
    pub(in crate::engine) fn write<W: ReplyWriter>(&self, out: &mut W) {
        match self {
            Held::Small(scratch) => write_value(ItemValue::Inline(&scratch.0), out),
            Held::Shared(bytes) => write_value(ItemValue::Shared(bytes), out),
        }
    }
}

/// A part of a value that is put together.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) enum Part<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// So many zeros.
    Zeros(usize),
}

impl Part<'_> {
    fn len(&self) -> usize {
        match *self {
            Part::Bytes(bytes) => bytes.len(),
            Part::Zeros(len) => len,
        }
    }

    fn append(&self, buffer: &mut Vec<u8>) {
        match *self {
            Part::Bytes(bytes) => buffer.extend_from_slice(bytes),
            Part::Zeros(len) => buffer.resize(buffer.len() + len, 0),
        }
    }
}

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The thread's buffer, given back when dropped. Whoever takes it while it is out gets a new one.
pub(in crate::engine) struct Scratch(Vec<u8>);

impl Scratch {
    fn take() -> Scratch {
        Scratch(SCRATCH.try_with(Cell::take).unwrap_or_default())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.0.capacity() > SCRATCH_BYTES_MAX {
            return;
        }
        self.0.clear();
        let buffer = std::mem::take(&mut self.0);
        // A thread that is ending has no buffer any more.
        let _ = SCRATCH.try_with(|cell| cell.set(buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::{Held, Part};
    use crate::engine::{Engine, EngineOptions};
    use crate::limits::SHARED_VALUE_BYTES_MIN;

    #[test]
    fn two_at_once_do_not_disturb_each_other() {
        let a = Held::small(|b| b.push(b'a'));
        let b = Held::small(|b| b.push(b'b'));
        assert_eq!((a.bytes(), b.bytes()), (&b"a"[..], &b"b"[..]));
        drop(a);
        let c = Held::small(|_| ());
        assert_eq!((b.bytes(), c.bytes()), (&b"b"[..], &b""[..]));
    }

    #[test]
    fn large_ones_are_shared() {
        let engine = Engine::new(&EngineOptions::default());
        let mut shard = engine.lock(0);
        for (len, shared) in [(SHARED_VALUE_BYTES_MIN, false), (SHARED_VALUE_BYTES_MIN + 1, true)] {
            let parts = [Part::Bytes(b"ab"), Part::Zeros(len - 3), Part::Bytes(b"c")];
            let held = Held::join(shard.store(), &parts).expect("memory");
            assert_eq!(matches!(held, Held::Shared(_)), shared);
            assert_eq!((held.bytes().len(), &held.bytes()[..3]), (len, &b"ab\0"[..]));
            assert_eq!(held.bytes()[len - 2..], *b"\0c");
        }
    }
}
