//! Bytes outside the store: an old value kept over a write, or a new one being put together.
//! Small ones live in a buffer that the thread keeps, so that they cost no allocation.

use super::super::{Full, ItemValue, Store};
use super::change::Change;
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

    /// Puts together what a change makes of a value of a store.
    ///
    /// # Errors
    /// [`Full`] when the system has no memory for it.
    pub(super) fn changed(store: &Store, old: &[u8], change: Change<'_>) -> Result<Held, Full> {
        let len = change.len(old.len());
        if len < SHARED_VALUE_BYTES_MIN {
            return Ok(Held::small(|buffer| {
                buffer.resize(len, 0);
                change.write(old, buffer);
            }));
        }
        let mut buffer = store.buffer(len)?;
        change.write(old, &mut buffer);
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

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The thread's buffer, given back when dropped. Whoever takes it while it is out gets a new one.
pub(in crate::engine) struct Scratch(Vec<u8>);

impl Scratch {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

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
    use super::{Change, Held};
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
        for (len, shared) in [(SHARED_VALUE_BYTES_MIN - 1, false), (SHARED_VALUE_BYTES_MIN, true)] {
            let change = Change::set_range(len as u64 - 1, b"c");
            let held = Held::changed(shard.store(), b"ab", change).expect("memory");
            assert_eq!(matches!(held, Held::Shared(_)), shared);
            assert_eq!((held.bytes().len(), &held.bytes()[..3]), (len, &b"ab\0"[..]));
            assert_eq!(held.bytes()[len - 2..], *b"\0c");
        }
    }
}
