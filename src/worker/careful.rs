//! Commands one by one, each looked at first: before authentication, while a pause is on, and for
//! clients that want no answers or whose accesses do not count. The cold sibling of `batch`.

use super::Worker;
use super::batch::{Frame, Stop};
use super::execute::{Batch, Rare};
use super::notice::Pause;
use super::peer::Peer;
use super::plan::Plan;
use super::session::{After, Answer, Replies};
use crate::clock;
use crate::command::reply::{ReplyWriter, errors};
use crate::command::spec::{Flag, Spec};
use crate::command::{Arg, Args};
use crate::metrics::CommandIndex;
use crate::resp::Output;
use crate::wal::log::LogState;

/// A command kept until a pause is over: its bytes cannot be decoded again, since a large value of
/// it stands elsewhere.
pub(super) struct Postponed {
    pub(super) bytes: Vec<u8>,
    pub(super) args: Vec<Arg>,
}

impl Postponed {
    /// Copies the one command that was gathered at `at`, if it has a value that stands elsewhere.
    pub(super) fn new(
        buffer: &[u8],
        at: usize,
        frames: &[Frame],
        args: &[Arg],
    ) -> Option<Postponed> {
        let frame = frames.first()?;
        let args = args.get(frame.args_from..frame.args_to)?;
        if !args.iter().any(|arg| matches!(arg, Arg::Shared(_))) {
            return None;
        }
        let moved = |arg: &Arg| match arg {
            Arg::Span { start, end } => {
                Arg::Span { start: start - at as u32, end: end - at as u32 }
            }
            Arg::Shared(bytes) => Arg::Shared(bytes.clone()),
        };
        let bytes = buffer.get(at..frame.end)?.to_vec();
        Some(Postponed { bytes, args: args.iter().map(moved).collect() })
    }
}

/// Executes one plan if it may be executed. Returns how many were, and why no more.
#[cold]
pub(super) fn execute(
    batch: &mut Batch<'_, '_>,
    peer: &mut Peer,
    plans: &[Plan<'_>],
    postpone: impl FnOnce() -> Option<Postponed>,
) -> (usize, Option<Stop>) {
    let Some(plan) = plans.first() else { return (0, None) };
    if let Some(spec) = plan.spec() {
        if !peer.session.authenticated && !may_come_first(spec, plan) {
            batch.answer.error("NOAUTH Authentication required.");
            batch.answer.take_failed();
            let index = CommandIndex(spec.id.index() as u16);
            batch.worker.metrics().rejected(Some(index));
            return (1, None);
        }
        if let Some(refusal) = refused(batch, peer, spec, plan) {
            batch.answer.error(&refusal);
            batch.answer.take_failed();
            let index = CommandIndex(spec.id.index() as u16);
            batch.worker.metrics().rejected(Some(index));
            return (1, None);
        }
        if peer.word.is_paused() && waits(batch, spec, plan) {
            peer.postponed = postpone().map(Box::new);
            return (usize::from(peer.postponed.is_some()), Some(Stop::Paused));
        }
    }
    match answered(batch, peer, plan) {
        Rare::Done(Some(after)) => (1, after.into_stop()),
        Rare::Done(None) => (1, None),
        Rare::Unserved => (0, Some(Stop::Unserved)),
    }
}

/// Executes a plan, and takes the answer back when the client wants none.
fn answered(batch: &mut Batch<'_, '_>, peer: &mut Peer, plan: &Plan<'_>) -> Rare {
    let before = peer.session.replies;
    if before == Replies::SkipNext {
        peer.session.replies = Replies::On;
    }
    let mark = batch.answer.output().mark();
    let after = batch.execute_rare(&mut peer.session, plan);
    if after == Rare::Unserved {
        peer.session.replies = before;
        return after;
    }
    let wanted = match before {
        Replies::On => true,
        // What switches answers on again is answered itself.
        Replies::Off => peer.session.replies == Replies::On,
        Replies::SkipNext => false,
    };
    if !wanted {
        if after == Rare::Done(Some(After::Await)) {
            peer.session.ignore_later();
        }
        batch.answer.output().rollback(mark);
    }
    if before == Replies::SkipNext || peer.session.replies != before {
        peer.renew();
    }
    after
}

/// Says that there is no room for a value of a command, which was passed over.
#[cold]
pub(super) fn refuse_value(worker: &Worker, peer: &mut Peer, out: &mut Output) {
    let replies = peer.session.replies;
    if replies == Replies::SkipNext {
        peer.session.replies = Replies::On;
        peer.renew();
    }
    if replies == Replies::On {
        let mut answer = Answer::new(out, peer.session.version, worker.metrics());
        answer.error(errors::OUT_OF_MEMORY);
    }
    worker.metrics().rejected(None);
}

/// Whether a client may send it before it has authenticated. What is no command or has wrong
/// arguments is told so to anybody, as Redis does.
fn may_come_first(spec: &Spec, plan: &Plan<'_>) -> bool {
    spec.flags.contains(Flag::NoAuth) || matches!(plan, Plan::Refused(_))
}

/// Why the node takes no such command now.
fn refused(batch: &Batch<'_, '_>, peer: &Peer, spec: &Spec, plan: &Plan<'_>) -> Option<String> {
    if matches!(plan, Plan::Refused(_) | Plan::Away { .. }) {
        return None;
    }
    if peer.word.is_loading() && !spec.flags.contains(Flag::Loading) {
        return Some("LOADING CrabCache is loading the dataset in memory".into());
    }
    if peer.word.is_refusing() && spec.flags.contains(Flag::Write) {
        let log = batch.worker.shared.log.as_ref()?;
        if let LogState::Failing(reason) = log.state() {
            return Some(format!(
                "MISCONF Errors writing to the log: {reason}. Writes are refused until it works"
            ));
        }
    }
    None
}

/// Whether the pause that is on, if any, holds the command back.
fn waits(batch: &Batch<'_, '_>, spec: &Spec, plan: &Plan<'_>) -> bool {
    if matches!(plan, Plan::Refused(_) | Plan::Away { .. }) {
        return false;
    }
    match batch.worker.shared.notice.pause_at(clock::monotonic_nanos()).0 {
        Pause::None => false,
        Pause::Writes => {
            spec.flags.contains(Flag::Write) || spec.flags.contains(Flag::MayReplicate)
        }
        // An administrator has to be able to end it, and the node.
        Pause::All => !(spec.name.starts_with("client|") || spec.name == "shutdown"),
    }
}

/// The arguments of one command, for the slow log: without what nobody may read.
pub(super) fn may_be_shown(spec: &Spec, args: Args<'_>) -> bool {
    let secret = |word: &[u8]| {
        word.eq_ignore_ascii_case(b"server.tokens") || word.eq_ignore_ascii_case(b"requirepass")
    };
    match spec.name {
        "auth" => false,
        "hello" => args.len() < 3,
        "config|set" => !args.iter().any(secret),
        _ => true,
    }
}
