//! Commands on several keys: all their shards are locked, in ascending order, so they are atomic.

use super::Engine;
use crate::command::reply::ReplyWriter;
use crate::command::{KeysOp, Time};

/// Executes `op` and writes its one reply.
pub(super) fn execute<W: ReplyWriter>(_engine: &Engine, _op: &KeysOp<'_>, _now: Time, out: &mut W) {
    out.error("ERR");
}
