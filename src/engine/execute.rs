//! What each command does to one key. Knows the store's verbs, not its memory.

use super::{Key, Store};
use crate::command::reply::ReplyWriter;
use crate::command::{KeyOp, Time};

/// Executes `op` on `key` and writes its one reply.
#[inline]
pub(super) fn execute<W: ReplyWriter>(
    store: &mut Store,
    key: &Key<'_>,
    op: &KeyOp<'_>,
    now: Time,
    out: &mut W,
) {
    match op {
        KeyOp::Get => match store.get(key, now) {
            Some(item) => out.bulk(item.value.bytes()),
            None => out.null(),
        },
        _ => out.error("ERR"),
    }
}
