//! A big value that is to be changed, put together before its shard is locked: a copy of many bytes
//! takes long. It counts only if the value is still the same when the command is executed;
//! otherwise it is put together again, under the lock.

use super::Held;
use super::change::Change;
use crate::engine::{Full, ItemValue};
use bytes::Bytes;
use std::cell::Cell;

/// What a thread has put together for the command that it executes next.
struct Prepared {
    /// The value as it was, kept so that nothing else can stand at its place.
    old: Option<Held>,
    at: Option<u64>,
    bytes: *const [u8],
    new: Result<Bytes, Full>,
}

thread_local! {
    static PREPARED: Cell<Option<Prepared>> = const { Cell::new(None) };
}

/// Keeps `new`, which `change` makes of `old`.
pub(in crate::engine) fn keep(old: Option<Held>, change: Change<'_>, new: Result<Bytes, Full>) {
    let (at, bytes) = change.identity();
    // A thread that is ending prepares nothing.
    let _ = PREPARED.try_with(|cell| cell.set(Some(Prepared { old, at, bytes, new })));
}

/// What `change` makes of `old`, or that there is no room for it, if that is what was kept.
pub(super) fn take(old: Option<ItemValue<'_>>, change: Change<'_>) -> Option<Result<Bytes, Full>> {
    let prepared = PREPARED.try_with(Cell::take).ok()??;
    let same = match (&prepared.old, old) {
        (None, None) => true,
        (Some(Held::Shared(old)), Some(ItemValue::Shared(now))) => std::ptr::eq(&**old, &**now),
        (Some(Held::Small(old)), Some(ItemValue::Inline(now))) => old.bytes() == now,
        (None | Some(Held::Small(_) | Held::Shared(_)), _) => false,
    };
    let (at, bytes) = change.identity();
    let same = same && prepared.at == at && std::ptr::eq(prepared.bytes, bytes);
    same.then_some(prepared.new)
}

/// Forgets what was kept.
pub(in crate::engine) fn forget() {
    let _ = PREPARED.try_with(Cell::take);
}
