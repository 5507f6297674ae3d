//! Commands on all keys: shard after shard, group after group.

use super::Engine;
use crate::command::reply::ReplyWriter;
use crate::command::{SpaceOp, Time};

/// Executes `op` and writes its one reply.
pub(super) fn execute<W: ReplyWriter>(
    _engine: &Engine,
    _op: &SpaceOp<'_>,
    _now: Time,
    out: &mut W,
) {
    out.error("ERR");
}
