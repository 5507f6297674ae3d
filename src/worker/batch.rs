//! The hot path: the commands of a read buffer, decoded, planned, executed and counted in batches.
//! Everything here is synchronous; it knows no socket.

use super::Worker;
use super::careful::{self, Postponed};
use super::execute::{Batch, Tally};
use super::peer::Peer;
use super::plan::{Plan, plan};
use super::route::Router;
use super::session::Answer;
use super::view::ClusterView;
use crate::clock;
use crate::command::{Arg, Args, Time};
use crate::limits;
use crate::resp::{Output, ProtocolError, Step};
use cluster::record::Seq;
use cluster::slot::Group;
use std::ops::Range;
use std::time::Duration;

/// Memory that every batch of a worker uses again.
#[derive(Default)]
pub(super) struct Tools {
    args: Vec<Arg>,
    frames: Vec<Frame>,
    plans: Vec<Plan<'static>>,
    tally: Tally,
    /// Records that the answers depend on and that are not on disk yet.
    pub(super) waits: Vec<(Group, Seq)>,
}

/// Where a command stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// Its first argument in the list.
    pub(super) args_from: usize,
    /// One past its last argument.
    pub(super) args_to: usize,
    /// One past its last byte.
    pub(super) end: usize,
}

/// Where the commands of a batch stand.
#[derive(Clone, Copy)]
pub(super) struct Frames<'a> {
    buffer: &'a [u8],
    args: &'a [Arg],
    frames: &'a [Frame],
}

impl<'a> Frames<'a> {
    /// The words of the `i`-th command; none when there are fewer.
    pub(super) fn args(self, i: usize) -> Args<'a> {
        let nothing = Args::new(self.buffer, &[]);
        self.frames.get(i).map_or(nothing, |frame| frame_args(self.buffer, self.args, *frame))
    }

    /// The commands from the `i`-th on.
    pub(super) fn from(self, i: usize) -> Frames<'a> {
        Frames { frames: self.frames.get(i..).unwrap_or_default(), ..self }
    }
}

/// Why no further command of a buffer is executed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The rest is not a whole command.
    More,
    /// Behind `kept` more bytes begins a value of `len` bytes that gets a buffer of its own.
    Big { kept: usize, len: usize },
    /// A command was passed over, since there was no room for a value of it; it is to be told so.
    Refused,
    /// Others are to have their turn, or the answers are to be sent first.
    Yield,
    /// A pause.
    Paused,
    /// Nobody serves the group of the next command now.
    Unserved,
    /// Copies of what was written fall behind.
    Slowed,
    /// The session asked for it.
    Sleep(Duration),
    /// The next answer is not there yet.
    Await,
    /// No further command is to be executed.
    Close,
    /// The rest is no command.
    Broken(ProtocolError),
}

/// How far a buffer was executed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Processed {
    /// Bytes that are done with.
    pub(super) used: usize,
    /// Why it ended there.
    pub(super) stop: Stop,
}

/// Executes the commands of `buffer`, writing the answers to `out`.
pub(super) fn process(
    worker: &Worker,
    tools: &mut Tools,
    peer: &mut Peer,
    buffer: &[u8],
    out: &mut Output,
) -> Processed {
    let began = clock::monotonic_nanos();
    peer.session.client.heard_nanos.set(began);
    let mut batch_began = began;
    let mut at = 0;
    if let Some(stop) = resume(worker, tools, peer, out) {
        return Processed { used: 0, stop };
    }
    loop {
        peer.look(worker);
        if peer.word.is_ending() {
            return Processed { used: at, stop: Stop::Close };
        }
        let halt = gather(peer, tools, buffer, at);
        let mut stop = halt.map(|halt| halt.stop);
        if !tools.frames.is_empty() {
            let done = run_batch(worker, tools, peer, buffer, out, at, batch_began);
            batch_began = done.ended_nanos;
            at = done.at;
            if done.rewind || done.stop.is_some() {
                peer.rewind();
                stop = done.stop;
            } else if let Some(halt) = halt {
                at = halt.at;
            }
        } else if let Some(halt) = halt {
            at = halt.at;
        }
        if stop == Some(Stop::Refused) {
            careful::refuse_value(worker, peer, out);
            return Processed { used: at, stop: Stop::Yield };
        }
        if let Some(stop) = stop {
            return Processed { used: at, stop };
        }
        if out.len() >= peer.output_max || batch_began - began > limits::TURN_NANOS_MAX {
            return Processed { used: at, stop: Stop::Yield };
        }
    }
}

/// Executes the command that waited for a pause to end, if there is one.
#[inline]
fn resume(worker: &Worker, tools: &mut Tools, peer: &mut Peer, out: &mut Output) -> Option<Stop> {
    let Postponed { bytes, args } = *peer.postponed.take()?;
    peer.look(worker);
    tools.frames.clear();
    tools.frames.push(Frame { args_from: 0, args_to: args.len(), end: bytes.len() });
    tools.args = args;
    run_batch(worker, tools, peer, &bytes, out, 0, clock::monotonic_nanos()).stop
}

/// Where decoding ended, and why.
#[derive(Clone, Copy, Debug)]
struct Halt {
    at: usize,
    stop: Stop,
}

/// Decodes commands from `at` on, as many as a batch takes. `None`: there may be more.
#[inline]
fn gather(peer: &mut Peer, tools: &mut Tools, buffer: &[u8], mut at: usize) -> Option<Halt> {
    tools.args.clear();
    tools.frames.clear();
    let mut empty_left = limits::EMPTY_COMMANDS_MAX;
    while tools.frames.len() < peer.commands_max {
        let args_from = tools.args.len();
        let stop = match peer.decoder.decode(buffer, at, &mut tools.args) {
            Ok(Step::Command { used }) => {
                at += used;
                tools.frames.push(Frame { args_from, args_to: tools.args.len(), end: at });
                continue;
            }
            Ok(Step::Empty { used }) if empty_left > 0 => {
                empty_left -= 1;
                at += used;
                continue;
            }
            Ok(Step::Empty { used }) => {
                at += used;
                Stop::Yield
            }
            Ok(Step::Refused { used }) => {
                at += used;
                Stop::Refused
            }
            Ok(Step::More) => Stop::More,
            Ok(Step::Shared { used, len }) => Stop::Big { kept: used, len },
            Err(error) => Stop::Broken(error),
        };
        return Some(Halt { at, stop });
    }
    None
}

/// What came of a batch.
struct Done {
    /// Where the next command begins.
    at: usize,
    /// Some of what was decoded was not executed.
    rewind: bool,
    stop: Option<Stop>,
    ended_nanos: u64,
}

/// Plans and executes the commands that were gathered from `at` on.
#[inline]
fn run_batch(
    worker: &Worker,
    tools: &mut Tools,
    peer: &mut Peer,
    buffer: &[u8],
    out: &mut Output,
    at: usize,
    began: u64,
) -> Done {
    let now = clock::at(began);
    let Tools { args, frames, plans, tally, waits } = tools;
    let gate = worker.shared.log.as_deref().filter(|log| log.is_gating());
    let view = worker.shared.views.load();
    let view = view.as_ref().and_then(|view| view.as_deref());
    let router = view.map(|view| Router::new(view, &peer.session, began));
    let mut planned: Vec<Plan<'_>> = std::mem::take(plans);
    make_plans(worker, (peer, router), buffer, args, frames, now, &mut planned);
    let mark = out.mark();
    let answer = Answer::new(out, peer.session.version, worker.metrics());
    let patient = view.is_none() || peer.patience.may_last(began);
    let mut batch = Batch { worker, answer, now, tally, began, waits, gate, view, patient };
    let (mut executed, mut stop) = if peer.careful {
        careful::execute(&mut batch, peer, &planned, || Postponed::new(buffer, at, frames, args))
    } else {
        let frames = Frames { buffer, args, frames };
        batch.execute(&mut peer.session, peer.output_max, &planned, frames)
    };
    let ended_nanos = clock::monotonic_nanos();
    batch.finish(ended_nanos, &peer.session, peer.slow_nanos, &planned, |i| {
        frame_args(buffer, args, frames[i])
    });
    if let Some(view) = view {
        if wrote_without_lease(view, began..ended_nanos, &planned[..executed]) {
            // Whether they count is not known: another node may be the primary already.
            out.rollback(mark);
            stop = Some(Stop::Close);
        }
        if worker.shared.pressure.is_on() {
            stop = slowed(stop, &planned[..executed]);
        }
        if stop == Some(Stop::Unserved) {
            if executed > 0 {
                peer.patience.renew();
            }
            peer.patience.begin(ended_nanos);
            if executed == 0
                && let Some(postponed) = Postponed::new(buffer, at, frames, args)
            {
                peer.postponed = Some(Box::new(postponed));
                executed = 1;
            }
        } else if patient {
            peer.patience.renew();
        }
    }
    if let Some(Plan::Session { .. }) = executed.checked_sub(1).and_then(|i| planned.get(i)) {
        peer.renew();
    } else if stop == Some(Stop::Unserved) {
        peer.commands_max = 1;
    } else {
        peer.commands_max = (peer.commands_max * 2).min(limits::BATCH_COMMANDS_MAX);
        if peer.careful {
            peer.commands_max = 1;
        }
    }
    *plans = recycled(planned);
    let at = executed.checked_sub(1).map_or(at, |i| frames[i].end);
    Done { at, rewind: executed < frames.len(), stop, ended_nanos }
}

/// The memory of plans for the next batch. Collecting nothing in place keeps it.
#[inline]
#[expect(clippy::unnecessary_filter_map, reason = "a filter could not change the lifetime")]
fn recycled<'a>(mut plans: Vec<Plan<'_>>) -> Vec<Plan<'a>> {
    plans.clear();
    plans.into_iter().filter_map(|_| None).collect()
}

/// Plans commands in order, up to the first that the session carries out.
#[inline]
fn make_plans<'a>(
    worker: &Worker,
    (peer, router): (&Peer, Option<Router<'_>>),
    buffer: &'a [u8],
    args: &'a [Arg],
    frames: &[Frame],
    now: Time,
    plans: &mut Vec<Plan<'a>>,
) {
    let engine = &*worker.shared.engine;
    for frame in frames {
        let args = frame_args(buffer, args, *frame);
        let plan = plan(engine, &peer.rule, args, now, clock::random_u64());
        plans.push(match &router {
            None => plan,
            Some(router) => router.route(plan, args),
        });
        if let Some(Plan::Session { .. }) = plans.last() {
            break;
        }
    }
}

/// Whether a command that writes was executed in a time in which this node lost its lease.
#[inline]
fn wrote_without_lease(view: &ClusterView, time: Range<u64>, executed: &[Plan<'_>]) -> bool {
    !view.was_leased(time.start, time.end) && executed.iter().any(writes)
}

/// Who has written waits, unless for something else.
#[cold]
fn slowed(stop: Option<Stop>, executed: &[Plan<'_>]) -> Option<Stop> {
    let waits = matches!(stop, None | Some(Stop::Yield)) && executed.iter().any(writes);
    if waits { Some(Stop::Slowed) } else { stop }
}

/// Whether a plan is one of a command that writes here.
#[inline]
fn writes(plan: &Plan<'_>) -> bool {
    match plan {
        Plan::Key { spec, .. } | Plan::Data { spec, .. } => spec.is_write(),
        Plan::Session { .. } | Plan::Away { .. } | Plan::Refused(_) => false,
    }
}

#[inline]
fn frame_args<'a>(buffer: &'a [u8], args: &'a [Arg], frame: Frame) -> Args<'a> {
    Args::new(buffer, args.get(frame.args_from..frame.args_to).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{Plan, recycled};

    #[test]
    fn plans_use_their_memory_again() {
        let plans: Vec<Plan<'_>> = Vec::with_capacity(64);
        let (at, capacity) = (plans.as_ptr(), plans.capacity());
        let plans = recycled(plans);
        assert_eq!((plans.as_ptr(), plans.capacity()), (at, capacity));
        assert!(size_of::<Plan<'_>>() <= 128);
    }
}
