//! The hot path: the commands of a read buffer, decoded, planned, executed and counted in batches.
//! Everything here is synchronous; it knows no socket.

use super::Worker;
use super::careful::{self, Postponed};
use super::notice::{Settings, Word};
use super::plan::{KeyRule, Plan, is_slow, plan};
use super::session::{After, Answer, Replies, Session};
use super::slow;
use crate::clock;
use crate::command::{Arg, Args, Time};
use crate::engine::Shard;
use crate::limits;
use crate::metrics::CommandIndex;
use crate::resp::{DecodeLimits, Decoder, Output, ProtocolError, Step};
use parking_lot::MutexGuard;
use std::time::Duration;

/// What a connection keeps from batch to batch.
pub(super) struct Peer {
    pub(super) decoder: Decoder,
    pub(super) session: Session,
    /// A command that waits for a pause to end and whose bytes cannot be decoded again.
    pub(super) postponed: Option<Postponed>,
    /// Settings, pauses and end as last seen.
    pub(super) word: Word,
    pub(super) settings: Settings,
    rule: KeyRule,
    /// Bytes of unsent answers at which no further command is taken.
    pub(super) output_max: usize,
    /// Most bytes that may be kept of commands that are not whole.
    pub(super) query_max: usize,
    /// Commands go one by one, each looked at: before authentication, in a pause, without answers.
    careful: bool,
    /// Commands decoded at once; less after a command of the session, since it ends a batch.
    commands_max: usize,
}

/// Memory that every batch of a worker uses again.
#[derive(Default)]
pub(super) struct Tools {
    args: Vec<Arg>,
    frames: Vec<Frame>,
    plans: Vec<Plan<'static>>,
    tally: Tally,
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

/// What a batch did, for the metrics.
#[derive(Default)]
pub(super) struct Tally {
    commands: Vec<(CommandIndex, u32)>,
    runs: Vec<(usize, u32)>,
    calls: u32,
    own_nanos: u64,
}

/// Why no further command of a buffer is executed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The rest is not a whole command.
    More,
    /// Behind `kept` more bytes begins a value of `len` bytes that gets a buffer of its own.
    Big { kept: usize, len: usize },
    /// Others are to have their turn, or the answers are to be sent first.
    Yield,
    /// A pause.
    Paused,
    /// The session asked for it.
    Sleep(Duration),
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

impl Peer {
    /// A connection that has just opened.
    pub(super) fn new(session: Session, settings: Settings) -> Peer {
        let decoder = Decoder::new(DecodeLimits::UNAUTHENTICATED);
        let mut peer = Peer {
            decoder,
            session,
            postponed: None,
            word: Word::default(),
            settings,
            rule: KeyRule::new(settings.validation),
            output_max: 0,
            query_max: 0,
            careful: true,
            commands_max: 1,
        };
        peer.renew();
        peer
    }

    /// Derives what follows from settings, session and pause.
    #[cold]
    pub(super) fn renew(&mut self) {
        let session = &self.session;
        self.rule = KeyRule::new(self.settings.validation);
        let (decode, output_max) = if session.authenticated {
            let value_bytes_max = self.settings.validation.value_bytes_max();
            (DecodeLimits::authenticated(value_bytes_max), self.settings.output_bytes_max)
        } else {
            (DecodeLimits::UNAUTHENTICATED, limits::OUTPUT_BYTES_MAX_UNAUTHENTICATED)
        };
        self.decoder.set_limits(decode);
        // A single value of the largest size is always taken.
        let command_max = decode.bulk_bytes_max.max(decode.inline_bytes_max);
        self.query_max = self.settings.query_bytes_max.max(command_max) + 2 * limits::READ_BYTES;
        if !session.authenticated {
            self.query_max = limits::QUERY_BYTES_MAX_UNAUTHENTICATED;
        }
        self.output_max = output_max;
        self.careful =
            !session.authenticated || self.word.is_paused() || session.replies != Replies::On;
        self.commands_max = 1;
    }

    /// Starts decoding anew at a command's first byte.
    #[cold]
    fn rewind(&mut self) {
        self.decoder = Decoder::new(self.decoder.limits());
    }

    /// Looks at what all connections have to look at.
    #[inline]
    fn look(&mut self, worker: &Worker) {
        let word = worker.shared.notice.word();
        if word != self.word {
            self.word = word;
            self.settings = worker.shared.notice.settings();
            self.renew();
        }
    }
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
    let Postponed { bytes, args } = peer.postponed.take()?;
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
    let now = clock::now();
    let Tools { args, frames, plans, tally } = tools;
    let mut planned: Vec<Plan<'_>> = std::mem::take(plans);
    make_plans(worker, peer, buffer, args, frames, now, &mut planned);
    let answer = Answer::new(out, peer.session.version, worker.metrics());
    let mut batch = Batch { worker, answer, now, tally, began };
    let (executed, stop) = if peer.careful {
        careful::execute(&mut batch, peer, &planned, || Postponed::new(buffer, at, frames, args))
    } else {
        batch.execute(&mut peer.session, peer.output_max, &planned)
    };
    let ended_nanos = clock::monotonic_nanos();
    batch.finish(ended_nanos, &peer.session, peer.settings.slow_nanos, &planned, |i| {
        frame_args(buffer, args, frames[i])
    });
    if let Some(Plan::Session { .. }) = executed.checked_sub(1).and_then(|i| planned.get(i)) {
        peer.renew();
    } else {
        peer.commands_max = (peer.commands_max * 2).min(limits::BATCH_COMMANDS_MAX);
        if peer.careful {
            peer.commands_max = 1;
        }
    }
    planned.clear();
    *plans = planned.into_iter().filter_map(|_| None).collect();
    let at = executed.checked_sub(1).map_or(at, |i| frames[i].end);
    Done { at, rewind: executed < frames.len(), stop, ended_nanos }
}

/// Plans commands in order, up to the first that the session carries out.
#[inline]
fn make_plans<'a>(
    worker: &Worker,
    peer: &Peer,
    buffer: &'a [u8],
    args: &'a [Arg],
    frames: &[Frame],
    now: Time,
    plans: &mut Vec<Plan<'a>>,
) {
    let engine = &*worker.shared.engine;
    for frame in frames {
        let args = frame_args(buffer, args, *frame);
        plans.push(plan(engine, &peer.rule, args, now, clock::random_u64()));
        if let Some(Plan::Session { .. }) = plans.last() {
            break;
        }
    }
}

#[inline]
fn frame_args<'a>(buffer: &'a [u8], args: &'a [Arg], frame: Frame) -> Args<'a> {
    Args::new(buffer, args.get(frame.args_from..frame.args_to).unwrap_or_default())
}

/// A batch on its way.
pub(super) struct Batch<'w, 'o> {
    pub(super) worker: &'w Worker,
    pub(super) answer: Answer<'o>,
    pub(super) now: Time,
    tally: &'o mut Tally,
    began: u64,
}

impl Batch<'_, '_> {
    /// Executes plans in order. Returns how many, and why no more.
    #[inline]
    fn execute(
        &mut self,
        session: &mut Session,
        output_max: usize,
        plans: &[Plan<'_>],
    ) -> (usize, Option<Stop>) {
        let engine = &*self.worker.shared.engine;
        let mut held: Option<(usize, MutexGuard<'_, Shard>)> = None;
        for (i, plan) in plans.iter().enumerate() {
            if let Plan::Key { spec, shard, key, op } = plan {
                let locked = match &mut held {
                    Some((holding, guard)) if holding == shard => guard,
                    other => {
                        // Released before the next is taken: never two locks at once.
                        *other = None;
                        self.tally.runs.push((*shard, 0));
                        &mut other.insert((*shard, engine.lock(*shard))).1
                    }
                };
                locked.execute(key, op, self.now, &mut self.answer);
                let index = CommandIndex(spec.id.index() as u16);
                self.tally.count_key(index);
                if self.answer.take_failed() {
                    self.failed(index);
                }
            } else {
                held = None;
                if let Some(stop) = self.execute_rare(session, plan) {
                    return (i + 1, stop.into_stop());
                }
            }
            if self.answer.output().len() >= output_max {
                return (i + 1, Some(Stop::Yield));
            }
        }
        (plans.len(), None)
    }

    #[cold]
    fn failed(&self, index: CommandIndex) {
        self.worker.metrics().failed(index);
    }

    /// Executes a plan that is not on one key. `Some` after a command of the session.
    #[cold]
    pub(super) fn execute_rare(&mut self, session: &mut Session, plan: &Plan<'_>) -> Option<After> {
        match plan {
            Plan::Key { shard, key, op, spec } => {
                let engine = &*self.worker.shared.engine;
                engine.lock(*shard).execute(key, op, self.now, &mut self.answer);
                self.tally.runs.push((*shard, 1));
                self.count(spec.id.index(), None);
                None
            }
            Plan::Data { spec, command } => {
                let slow_since = is_slow(command).then(clock::monotonic_nanos);
                let engine = &*self.worker.shared.engine;
                engine.execute(command, self.now, &mut self.answer);
                self.count(spec.id.index(), slow_since);
                None
            }
            Plan::Session { spec, args } => {
                let since = clock::monotonic_nanos();
                session.client.set_last_command(spec.id);
                let (now, worker) = (self.now, self.worker.index);
                let call = super::session::Call { spec, args: *args, now, worker };
                let after = self.worker.sessions.run(&call, session, &mut self.answer);
                self.count(spec.id.index(), Some(since));
                Some(after)
            }
            Plan::Refused(refusal) => {
                use crate::command::reply::ReplyWriter;
                self.answer.error(&refusal.text);
                self.answer.take_failed();
                let index = refusal.spec.map(|spec| CommandIndex(spec.id.index() as u16));
                self.worker.metrics().rejected(index);
                None
            }
        }
    }

    /// Counts a command, timed on its own when it began at `own_since`.
    fn count(&mut self, index: usize, own_since: Option<u64>) {
        let index = CommandIndex(index as u16);
        if self.answer.take_failed() {
            self.failed(index);
        }
        match own_since {
            None => self.tally.count(index),
            Some(since) => {
                let nanos = clock::monotonic_nanos().saturating_sub(since);
                self.tally.own_nanos += nanos;
                self.worker.metrics().calls(index, 1, nanos);
            }
        }
    }

    /// Hands the counts to the metrics and, when it took long, to the slow log.
    #[inline]
    fn finish<'a>(
        self,
        ended: u64,
        session: &Session,
        slow_nanos: u64,
        plans: &[Plan<'_>],
        args: impl Fn(usize) -> Args<'a>,
    ) {
        let Batch { worker, tally, began, now, .. } = self;
        let nanos = ended.saturating_sub(began);
        let shared_nanos = nanos.saturating_sub(tally.own_nanos);
        let mean = shared_nanos / u64::from(tally.calls.max(1));
        let metrics = worker.metrics();
        metrics.batch(&tally.commands, mean);
        let shards = worker.shared.engine.shard_count();
        for (shard, operations) in &tally.runs {
            metrics.shard_run(*shard, shards, *operations, mean);
        }
        if let Some(spec) = plans.last().and_then(Plan::spec) {
            session.client.set_last_command(spec.id);
        }
        if nanos > slow_nanos {
            slow::note(worker, session, now, nanos, plans, args);
        }
        tally.clear();
    }
}

impl After {
    /// What it means for the rest of the batch: the session may have changed, so it ends here.
    fn into_stop(self) -> Option<Stop> {
        match self {
            After::Continue => None,
            After::Close => Some(Stop::Close),
            After::Sleep(time) => Some(Stop::Sleep(time)),
        }
    }
}

impl Tally {
    /// Counts a command on one key, in the run at hand.
    #[inline]
    fn count_key(&mut self, index: CommandIndex) {
        if let Some((_, operations)) = self.runs.last_mut() {
            *operations += 1;
        }
        self.count(index);
    }

    /// Counts a command that shares the time of the batch.
    #[inline]
    fn count(&mut self, index: CommandIndex) {
        self.calls += 1;
        match self.commands.iter_mut().find(|(known, _)| *known == index) {
            Some((_, calls)) => *calls += 1,
            None => self.commands.push((index, 1)),
        }
    }

    #[inline]
    fn clear(&mut self) {
        self.commands.clear();
        self.runs.clear();
        self.calls = 0;
        self.own_nanos = 0;
    }
}
