//! A big value that is to grow, put together before its shard is locked: a copy of many bytes takes
//! long. It counts only if the value is still the same when the command is executed; otherwise it
//! is put together again, under the lock.

use bytes::Bytes;
use std::cell::Cell;

/// What a thread has put together for the command that it executes next.
struct Prepared {
    /// The value as it was, kept so that nothing else can stand at its place.
    old: Bytes,
    more: *const [u8],
    new: Bytes,
}

thread_local! {
    static PREPARED: Cell<Option<Prepared>> = const { Cell::new(None) };
}

/// Keeps `new`, which is `old` with `more` behind it.
pub(in crate::engine) fn keep(old: Bytes, more: &[u8], new: Bytes) {
    // A thread that is ending prepares nothing.
    let _ = PREPARED.try_with(|cell| cell.set(Some(Prepared { old, more, new })));
}

/// `old` with `more` behind it, if that is what was kept.
pub(super) fn take(old: &[u8], more: &[u8]) -> Option<Bytes> {
    let prepared = PREPARED.try_with(Cell::take).ok()??;
    let same = std::ptr::eq(&*prepared.old, old) && std::ptr::eq(prepared.more, more);
    same.then_some(prepared.new)
}

/// Forgets what was kept.
pub(in crate::engine) fn forget() {
    let _ = PREPARED.try_with(Cell::take);
}
