//! Carries plans out, one after the other, under the locks they need, and counts them. The hot
//! path's second half; knows no bytes of requests and no socket.

use super::Worker;
use super::ahead;
use super::batch::{Frames, Stop};
use super::plan::{Plan, is_slow};
use super::route::slots;
use super::session::{After, Answer, Call, Session};
use super::slow;
use super::unserved::duty;
use super::view::ClusterView;
use crate::clock;
use crate::command::reply::ReplyWriter;
use crate::command::spec::Spec;
use crate::command::{Args, Command, KeyOp, Time};
use crate::engine::{Access, Engine, Key, ShardGuard};
use crate::metrics::CommandIndex;
use crate::wal::log::Log;
use cluster::group_set::GroupSet;
use cluster::record::Seq;
use cluster::slot::{Group, Slot};

/// What a batch did, for the metrics.
#[derive(Default)]
pub(super) struct Tally {
    commands: Vec<(CommandIndex, u32)>,
    runs: Vec<(usize, u32)>,
    calls: u32,
    own_nanos: u64,
}

/// A batch on its way.
pub(super) struct Batch<'w, 'o> {
    pub(super) worker: &'w Worker,
    pub(super) answer: Answer<'o>,
    pub(super) now: Time,
    pub(super) tally: &'o mut Tally,
    pub(super) began: u64,
    /// Records that the answers depend on and that are not on disk yet.
    pub(super) waits: &'o mut Vec<(Group, Seq)>,
    /// The log, if answers wait for it.
    pub(super) gate: Option<&'w Log>,
    /// What is known of the cluster, if there is one.
    pub(super) view: Option<&'o ClusterView>,
    /// Whether a command that nobody serves may wait.
    pub(super) patient: bool,
}

/// What became of a plan that is not on one key, or that is looked at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rare {
    /// It was carried out; after a command of the session, this is to follow.
    Done(Option<After>),
    /// Nothing was done: nobody serves its group now.
    Unserved,
}

impl<'w> Batch<'w, '_> {
    /// Executes plans in order. Returns how many, and why no more.
    #[inline]
    pub(super) fn execute(
        &mut self,
        session: &mut Session,
        output_max: usize,
        plans: &[Plan<'_>],
        frames: Frames<'_>,
    ) -> (usize, Option<Stop>) {
        let engine = &*self.worker.shared.engine;
        ahead::ask_for(engine, plans);
        let mut held: Option<(usize, ShardGuard<'_>)> = None;
        for (i, plan) in plans.iter().enumerate() {
            if let Plan::Key { spec, shard, key, op } = plan
                && !op.needs_room_with(0)
                && let Some(locked) = self.lock_for(&mut held, *shard, key, op)
            {
                if self.view.is_some() && !locked.serves(key.group()) {
                    let duty = duty(self.view, session, spec);
                    if !duty.allows(locked, key.group()) {
                        match self.unserved(spec) {
                            Rare::Unserved => return (i, Some(Stop::Unserved)),
                            Rare::Done(_) => continue,
                        }
                    }
                }
                self.note_write(session, spec, key.group());
                locked.execute(key, op, self.now, &mut self.answer);
                if let Some(log) = self.gate {
                    note(log, key.group(), locked.log_seq(key.group()), self.waits);
                }
                let index = CommandIndex(spec.id.index() as u16);
                self.tally.count_key(index);
                if self.answer.take_failed() {
                    self.failed(index);
                }
            } else {
                held = None;
                if let Plan::Away { .. } = plan {
                    let sent = self.send_run(session, &plans[i..], frames.from(i));
                    if sent > 0 {
                        return (i + sent, Some(Stop::Await));
                    }
                }
                match self.execute_rare(session, plan) {
                    Rare::Done(None) => {}
                    Rare::Done(Some(after)) => return (i + 1, after.into_stop()),
                    Rare::Unserved => return (i, Some(Stop::Unserved)),
                }
            }
            if self.answer.output().len() >= output_max {
                return (i + 1, Some(Stop::Yield));
            }
        }
        (plans.len(), None)
    }

    /// The shard of a command, kept locked for the next; `None` if room is to be made first.
    #[inline]
    fn lock_for<'l>(
        &mut self,
        held: &'l mut Option<(usize, ShardGuard<'w>)>,
        shard: usize,
        key: &Key<'_>,
        op: &KeyOp<'_>,
    ) -> Option<&'l mut ShardGuard<'w>> {
        if held.as_ref().is_none_or(|(holding, _)| *holding != shard) {
            // Released before the next is taken: never two locks at once.
            *held = None;
            self.tally.runs.push((shard, 0));
            *held = Some((shard, self.worker.shared.engine.lock(shard)));
        }
        let (_, locked) = held.as_mut()?;
        let is_ready = !op.grows() || !locked.needs_room(key, op, self.now);
        is_ready.then_some(locked)
    }

    /// WAIT is to know of it.
    #[inline]
    fn note_write(&self, session: &mut Session, spec: &Spec, group: Group) {
        if self.view.is_some() && spec.is_write() {
            session.note_write(group);
        }
    }

    #[cold]
    fn failed(&self, index: CommandIndex) {
        self.worker.metrics().failed(index);
    }

    /// Executes a plan that is not on one key, or that was looked at first.
    #[inline(never)]
    pub(super) fn execute_rare(&mut self, session: &mut Session, plan: &Plan<'_>) -> Rare {
        let no_touch = session.client.is_no_touch();
        let access = if no_touch { Access::Untouched } else { Access::Counted };
        match plan {
            Plan::Key { shard, key, op, spec } => {
                let engine = &*self.worker.shared.engine;
                let needs_room = op.may_need_room();
                let room = needs_room.then(|| engine.make_room_for(*shard, key, op, self.now));
                let mut locked = engine.lock(*shard);
                if !duty(self.view, session, spec).allows(&locked, key.group()) {
                    drop(locked);
                    return self.unserved(spec);
                }
                self.note_write(session, spec, key.group());
                locked.execute_as(key, op, self.now, access, &mut self.answer);
                if let Some(log) = self.gate {
                    note(log, key.group(), locked.log_seq(key.group()), self.waits);
                }
                drop(locked);
                drop(room);
                self.tally.runs.push((*shard, 1));
                self.count(spec.id.index(), None);
                Rare::Done(None)
            }
            Plan::Data { spec, command } => {
                let slow_since = is_slow(command).then(clock::monotonic_nanos);
                let engine = &*self.worker.shared.engine;
                let (now, answer) = (self.now, &mut self.answer);
                let done = match (command, self.view) {
                    (Command::Space(op), Some(view)) => {
                        engine.execute_within(op, view.primary_of(), now, answer)
                    }
                    (command, view) => {
                        let duty = duty(view, session, spec);
                        engine.execute_for(command, duty, now, access, answer)
                    }
                };
                if done.is_err() {
                    return self.unserved(spec);
                }
                if let Some(view) = self.view.filter(|_| spec.is_write()) {
                    note_writes(session, view, command);
                }
                if let Some(log) = self.gate {
                    note_all(engine, log, command, self.waits);
                }
                self.count(spec.id.index(), slow_since);
                Rare::Done(None)
            }
            Plan::Session { spec, args } => {
                let since = clock::monotonic_nanos();
                session.client.set_last_command(spec.id);
                let (now, worker) = (self.now, self.worker.index);
                let call = Call { spec, args: *args, now, worker };
                let after = self.worker.sessions.run(&call, session, &mut self.answer);
                self.count(spec.id.index(), Some(since));
                Rare::Done(Some(after))
            }
            Plan::Away { spec, args, away } => self.send_away(session, spec, *args, away),
            Plan::Refused(refusal) => {
                self.answer.error(&refusal.text);
                self.answer.take_failed();
                let index = refusal.spec.map(|spec| CommandIndex(spec.id.index() as u16));
                self.worker.metrics().rejected(index);
                Rare::Done(None)
            }
        }
    }

    /// Counts a command, timed on its own when it began at `own_since`.
    pub(super) fn count(&mut self, index: usize, own_since: Option<u64>) {
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
    pub(super) fn finish<'a>(
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
        let mut time = Some(mean);
        // One that only found that room is to be made first is none.
        for (shard, operations) in tally.runs.iter().filter(|(_, operations)| *operations > 0) {
            metrics.shard_run(*shard, shards, *operations, time.take());
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

/// A command on several keys, or on all, has written.
#[cold]
fn note_writes(session: &mut Session, view: &ClusterView, command: &Command<'_>) {
    match command {
        Command::Keys(op) => session.note_writes(slots(op).map(Slot::group)),
        Command::Key(..) | Command::Space(_) => session.note_writes(view.primary_of().iter()),
    }
}

/// An answer depends on this record.
#[inline]
fn note(log: &Log, group: Group, seq: Seq, waits: &mut Vec<(Group, Seq)>) {
    if !log.is_durable(group, seq) {
        waits.push((group, seq));
    }
}

/// An answer depends on the newest records of the groups that the command looked at.
fn note_all(engine: &Engine, log: &Log, command: &Command<'_>, waits: &mut Vec<(Group, Seq)>) {
    let groups: GroupSet = match command {
        Command::Key(name, _) => [Slot::of(name).group()].into_iter().collect(),
        Command::Keys(op) => slots(op).map(Slot::group).collect(),
        // It may have looked at any group.
        Command::Space(_) => {
            return engine.each_log_position(|group, seq| note(log, group, seq, waits));
        }
    };
    groups.iter().for_each(|group| note(log, group, engine.log_seq(group), waits));
}

impl After {
    /// What it means for the rest of the batch: the session may have changed, so it ends here.
    pub(super) fn into_stop(self) -> Option<Stop> {
        match self {
            After::Continue => None,
            After::Close => Some(Stop::Close),
            After::Sleep(time) => Some(Stop::Sleep(time)),
            After::Await => Some(Stop::Await),
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
