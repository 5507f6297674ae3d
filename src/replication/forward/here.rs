//! This node as one that carries out forwarded commands, others' and its own: all of a request
//! under one lock, and only where this node serves the group. Knows no connection.

use super::decode::Words;
use super::{Outlook, Sight};
use crate::clock;
use crate::command::parse::{self, Action, Refusal, Request};
use crate::command::reply::ReplyWriter;
use crate::command::{Command, KeyOp, KeysOp, SpaceOp, Time};
use crate::engine::{Access, Duty, Engine, Unserved};
use crate::limits::{FORWARD_CALL_MS_MAX, FORWARD_SPACES_MAX};
use crate::resp::{Encoder, Output, Version, value_end};
use crate::wal::log::Log;
use cluster::group_set::GroupSet;
use cluster::record::Seq;
use cluster::slot::{Group, Slot};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// This node as one that carries out forwarded commands.
pub struct Here {
    engine: Arc<Engine>,
    log: Option<Arc<Log>>,
    pub(super) outlook: Arc<dyn Outlook>,
    pub(super) spaces: Semaphore,
}

/// Commands on one group, or one on all keys of some groups.
pub(super) struct Job<'a> {
    pub(super) request: &'a [u8],
    pub(super) version: Version,
    pub(super) readonly: bool,
    pub(super) groups: Option<&'a GroupSet>,
    /// Whether another node sent them: this one's own are counted where clients ask.
    pub(super) of_others: bool,
}

/// What came of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// It was answered; whether something was written.
    Answered { wrote: bool },
    /// Nothing was done: this node does not serve the group.
    Elsewhere,
    /// Nothing was done: this node may not serve now, or does not understand.
    Refused,
}

/// Records that answers depend on and that are not on disk yet.
pub(super) type Waits = Vec<(Group, Seq)>;

type Parsed<'a> = Result<Request<'a>, Refusal>;

const NOT_FORWARDED: &str = "ERR This command is not forwarded";

impl Here {
    /// A node with this data and log.
    pub fn new(engine: Arc<Engine>, log: Option<Arc<Log>>, outlook: Arc<dyn Outlook>) -> Here {
        Here { engine, log, outlook, spaces: Semaphore::new(FORWARD_SPACES_MAX) }
    }

    /// Carries a job out, writing the answers behind what `out` holds.
    pub(super) fn execute(&self, job: &Job<'_>, waits: &mut Waits, out: &mut Vec<u8>) -> Done {
        let Some(words) = Words::of(&self.engine, job.request) else { return Done::Refused };
        let Some(sight) = self.outlook.look().filter(|sight| sight.leased) else {
            return Done::Refused;
        };
        let (now, chance, began) = (clock::now(), clock::random_u64(), clock::monotonic_nanos());
        let parsed = words.commands().map(|args| self.checked(parse::parse(args, now, chance)));
        let parsed: Vec<Parsed<'_>> = parsed.collect();
        let wrote = parsed.iter().flatten().any(|request| request.spec.is_write());
        let mut output = Output::new();
        let mut answer = Encoder::new(&mut output, job.version);
        let done = match self.outlook.refuses(wrote) {
            Some(text) => {
                parsed.iter().for_each(|_| answer.error(&text));
                Ok(())
            }
            None => {
                let duty = if job.readonly && !wrote { Duty::Copy } else { Duty::Primary };
                let work = Work { here: self, sight: &sight, duty, now };
                match job.groups {
                    Some(groups) => work.on_all_keys(&parsed, groups, &mut answer),
                    None => work.on_keys(&parsed, waits, &mut answer),
                }
            }
        };
        match done {
            Ok(()) => {
                let from = out.len();
                output.move_to(out);
                if job.of_others {
                    self.count(&parsed, &out[from..], clock::monotonic_nanos() - began);
                }
                Done::Answered { wrote }
            }
            Err(Unserved(_)) => Done::Elsewhere,
        }
    }

    /// Counts commands and what they were answered, in order.
    fn count(&self, parsed: &[Parsed<'_>], answers: &[u8], nanos: u64) {
        let (nanos_each, mut at) = (nanos / parsed.len().max(1) as u64, 0);
        for parsed in parsed {
            let failed = answers.get(at) == Some(&b'-');
            if let Ok(request) = parsed {
                self.outlook.carried_out(request.spec, nanos_each, failed);
            }
            at = value_end(answers, at).unwrap_or(answers.len());
        }
    }

    /// Whether answers may go that depend on what is to be on disk; waits for that, not for ever.
    pub(super) async fn settle(&self, mut waits: Waits) -> bool {
        let Some(log) = self.log.as_deref().filter(|_| !waits.is_empty()) else { return true };
        let settled = async {
            loop {
                let round = log.rounds();
                waits.retain(|&(group, seq)| log.is_gating() && !log.is_durable(group, seq));
                if waits.is_empty() {
                    return true;
                }
                if waits.iter().any(|&(group, seq)| log.is_gone(group, seq)) {
                    return false;
                }
                log.ask(1);
                log.round_behind(round).await;
            }
        };
        let longest = Duration::from_millis(FORWARD_CALL_MS_MAX);
        tokio::time::timeout(longest, settled).await.unwrap_or(false)
    }

    /// Waits until the log takes more; whether it does, after some time.
    pub(super) async fn has_room(&self) -> bool {
        let Some(log) = self.log.as_deref().filter(|log| log.is_full()) else { return true };
        let emptied = async {
            loop {
                let round = log.rounds();
                if !log.is_full() {
                    break;
                }
                log.ring();
                log.round_behind(round).await;
            }
            true
        };
        let longest = Duration::from_millis(crate::limits::FORWARD_WAIT_MS_MAX);
        tokio::time::timeout(longest, emptied).await.unwrap_or(false)
    }

    fn checked<'a>(&self, parsed: Parsed<'a>) -> Parsed<'a> {
        let request = parsed?;
        match &request.action {
            Action::Data(command) if self.takes(command) => Ok(request),
            Action::Data(_) => Err(refusal(&request, "ERR key is not allowed on its node")),
            Action::Session(_) => Err(refusal(&request, NOT_FORWARDED)),
        }
    }

    fn takes(&self, command: &Command<'_>) -> bool {
        let validation = self.outlook.validation();
        let bytes_max = validation.key_bytes_max();
        let mut all = true;
        each_key(command, |key| all &= key.len() <= bytes_max && validation.allows_key(key));
        all
    }

    fn note(&self, group: Group, seq: Seq, waits: &mut Waits) {
        if let Some(log) = &self.log
            && log.is_gating()
            && !log.is_durable(group, seq)
        {
            waits.push((group, seq));
        }
    }
}

/// A job at work.
struct Work<'a> {
    here: &'a Here,
    sight: &'a Sight,
    duty: Duty,
    now: Time,
}

impl Work<'_> {
    fn on_all_keys(
        &self,
        parsed: &[Parsed<'_>],
        groups: &GroupSet,
        answer: &mut Encoder<'_>,
    ) -> Result<(), Unserved> {
        for group in groups.iter() {
            self.keeps(group)?;
        }
        for parsed in parsed {
            match parsed {
                Ok(Request { action: Action::Data(Command::Space(op)), .. }) => {
                    self.here.engine.execute_within(op, groups, self.now, answer)?;
                }
                Ok(_) => answer.error(NOT_FORWARDED),
                Err(refusal) => answer.error(&refusal.text),
            }
        }
        Ok(())
    }

    fn on_keys(
        &self,
        parsed: &[Parsed<'_>],
        waits: &mut Waits,
        answer: &mut Encoder<'_>,
    ) -> Result<(), Unserved> {
        match parsed {
            [Ok(Request { action: Action::Data(command @ Command::Keys(_)), .. })] => {
                let mut kept = Ok(());
                each_key(command, |key| kept = kept.and(self.keeps(Slot::of(key).group())));
                kept?;
                let engine = &self.here.engine;
                engine.execute_for(command, self.duty, self.now, Access::Counted, answer)?;
                each_key(command, |key| {
                    let group = Slot::of(key).group();
                    self.here.note(group, engine.log_seq(group), waits);
                });
                Ok(())
            }
            several => self.on_each_key(several, waits, answer),
        }
    }

    /// Commands on one key each, all of one group.
    fn on_each_key(
        &self,
        parsed: &[Parsed<'_>],
        waits: &mut Waits,
        answer: &mut Encoder<'_>,
    ) -> Result<(), Unserved> {
        let engine = &self.here.engine;
        let ops = || parsed.iter().filter_map(on_key);
        let Some(group) = ops().next().map(|(name, _)| Slot::of(name).group()) else {
            parsed.iter().for_each(|parsed| refuse(parsed, answer));
            return Ok(());
        };
        self.keeps(group)?;
        let room = |(name, op): (&[u8], &KeyOp<'_>)| {
            let key = engine.key(name);
            engine.make_room_for(engine.shard_of(&key), &key, op, self.now)
        };
        let room: Vec<_> = ops().filter(|(_, op)| op.may_need_room()).map(room).collect();
        let first = ops().next().map(|(name, _)| engine.key(name));
        let Some(shard) = first.map(|key| engine.shard_of(&key)) else { return Ok(()) };
        let mut locked = engine.lock(shard);
        if !self.duty.allows(&locked, group) {
            return Err(Unserved(group));
        }
        for parsed in parsed {
            match on_key(parsed) {
                Some((name, op)) if Slot::of(name).group() == group => {
                    let key = engine.key(name);
                    locked.execute_as(&key, op, self.now, Access::Counted, answer);
                }
                Some(_) => answer.error(NOT_FORWARDED),
                None => refuse(parsed, answer),
            }
        }
        let seq = locked.log_seq(group);
        drop(locked);
        drop(room);
        self.here.note(group, seq, waits);
        Ok(())
    }

    /// Whether this node keeps the group as it has to, as far as it knows.
    fn keeps(&self, group: Group) -> Result<(), Unserved> {
        let Sight { me, topology, .. } = self.sight;
        let kept = topology.owner(group) == Some(*me)
            || self.duty == Duty::Copy && topology.holders(group).nodes().any(|node| node == *me);
        if kept { Ok(()) } else { Err(Unserved(group)) }
    }
}

fn on_key<'a>(parsed: &'a Parsed<'a>) -> Option<(&'a [u8], &'a KeyOp<'a>)> {
    match parsed {
        Ok(Request { action: Action::Data(Command::Key(name, op)), .. }) => Some((name, op)),
        Ok(_) | Err(_) => None,
    }
}

fn refuse(parsed: &Parsed<'_>, answer: &mut Encoder<'_>) {
    match parsed {
        Ok(_) => answer.error(NOT_FORWARDED),
        Err(refusal) => answer.error(&refusal.text),
    }
}

fn refusal(request: &Request<'_>, text: &'static str) -> Refusal {
    Refusal { spec: Some(request.spec), text: text.into() }
}

fn each_key(command: &Command<'_>, mut visit: impl FnMut(&[u8])) {
    match command {
        Command::Key(name, _) => visit(name),
        Command::Keys(
            KeysOp::MGet(keys) | KeysOp::Delete(keys) | KeysOp::Exists(keys) | KeysOp::Touch(keys),
        ) => keys.iter().for_each(visit),
        Command::Keys(KeysOp::MSet(pairs) | KeysOp::MSetNx(pairs)) => {
            pairs.iter().step_by(2).for_each(visit);
        }
        Command::Keys(KeysOp::Rename { from, to, .. } | KeysOp::Copy { from, to, .. }) => {
            visit(from);
            visit(to);
        }
        Command::Keys(KeysOp::Lcs(op)) => {
            visit(op.a);
            visit(op.b);
        }
        Command::Space(
            SpaceOp::DbSize
            | SpaceOp::Keys { .. }
            | SpaceOp::Scan(_)
            | SpaceOp::RandomKey { .. }
            | SpaceOp::Flush,
        ) => {}
    }
}
