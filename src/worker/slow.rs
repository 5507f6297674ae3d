//! Which command of a slow batch goes to the slow log. Cold.

use super::Worker;
use super::careful::may_be_shown;
use super::plan::{Plan, is_slow};
use super::session::Session;
use super::slowlog::{SlowEntry, shortened};
use crate::command::spec::Flag;
use crate::command::{Args, Time};

/// Notes the command of a batch that took longest: a slow one if there is one, else the first.
#[cold]
pub(super) fn note<'a>(
    worker: &Worker,
    session: &Session,
    now: Time,
    nanos: u64,
    plans: &[Plan<'_>],
    args: impl Fn(usize) -> Args<'a>,
) {
    let known = plans.iter().position(|plan| match plan {
        Plan::Data { command, .. } => is_slow(command),
        Plan::Session { .. } => true,
        Plan::Key { .. } | Plan::Away { .. } | Plan::Refused(_) => false,
    });
    let i = known.unwrap_or(0);
    let Some(spec) = plans.get(i).and_then(Plan::spec) else { return };
    if spec.flags.contains(Flag::SkipSlowlog) && known.is_none() {
        return;
    }
    let words = if may_be_shown(spec, args(i)) {
        shortened(args(i))
    } else {
        vec![spec.name.into(), b"(redacted)".to_vec()]
    };
    let client = &session.client;
    worker.shared.slowlog.push(SlowEntry {
        id: 0,
        unix_seconds: now.0 / 1000,
        micros: nanos / 1000,
        args: words,
        peer: client.peer.to_string(),
        name: client.names.lock().name.clone(),
    });
}
