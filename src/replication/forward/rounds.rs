//! Commands on their way to whoever keeps their groups, in rounds: all at once, then again those
//! that nobody has carried out, until somebody has or the time is over. What may have been carried
//! out is not sent again if it writes.

use super::decode;
use super::here::{Done, Here, Job, Waits};
use super::lane::{Lane, Outcome, Ticket};
use super::serve::put;
use super::{Routed, Sight};
use crate::clock;
use crate::limits::{
    FORWARD_GRACE_MS, FORWARD_STEP_MS_MAX, FORWARD_STEP_MS_MIN, FORWARD_WAIT_MS_MAX,
};
use crate::peer::Endpoint;
use crate::resp::{Version, value_end};
use bytes::Bytes;
use cluster::group_set::GroupSet;
use cluster::message::{Forward, Message};
use cluster::node::{Incarnation, NodeId};
use cluster::slot::Group;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// What sends commands to the nodes that keep their groups, this one included.
pub struct Exchange {
    here: Arc<Here>,
    endpoint: Endpoint,
    runtime: Handle,
    lanes: Mutex<BTreeMap<NodeId, Arc<Lane>>>,
    ids: AtomicU64,
}

/// Commands that go together and are carried out together or not at all.
pub(super) struct Unit {
    /// Whose primary is asked.
    pub(super) group: Group,
    /// What a command on all keys is about: groups of the same primary.
    pub(super) groups: Option<GroupSet>,
    pub(super) request: Vec<u8>,
    pub(super) version: Version,
    pub(super) readonly: bool,
    /// It may be carried out twice and nobody can tell.
    pub(super) repeatable: bool,
}

/// What came of a unit.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// Its answers.
    Reply(Bytes),
    /// It was not carried out, and may be sent again; what to say when there is no time for that.
    Again(String),
    /// It is not to be sent again.
    Failed(String),
}

/// Where a unit of a round is.
enum Sent {
    Away(NodeId, Ticket),
    /// To be carried out by this node.
    Here,
    Over(Fate),
}

/// How long something is tried.
pub(super) struct Patience(u64);

const NO_CLUSTER: &str = "CLUSTERDOWN This node does not know its cluster yet";
const NOT_SERVED: &str = "CLUSTERDOWN Hash slot not served";
const NO_LEASE: &str =
    "CLUSTERDOWN The cluster is down: this node does not hear the majority of the voters";
const HANDED_OVER: &str = "TRYAGAIN The slot is being handed over from one node to another";
const TOO_MUCH: &str = "TRYAGAIN Too much waits for the node that keeps the slot";
pub(super) const NONSENSE: &str = "ERR The answer of another node is none";

impl Exchange {
    /// Sends over `endpoint`, whose runtime is that of this call.
    pub fn new(here: Arc<Here>, endpoint: Endpoint) -> Exchange {
        let (lanes, ids) = (Mutex::default(), AtomicU64::new(0));
        Exchange { here, endpoint, runtime: Handle::current(), lanes, ids }
    }

    /// Carries out commands of one client: several of one group each, or one of any kind. Those of
    /// one group in order. Answers as many values, in order.
    pub async fn carry_out(&self, commands: Vec<Routed>) -> Bytes {
        if let [Routed { group: None, .. }] = &commands[..] {
            let command = &commands[0];
            return match command.spec.first_key() {
                0 => self.on_all_keys(command).await,
                _ => self.on_keys(command).await,
            };
        }
        let (mut units, mut places): (Vec<Unit>, Vec<Vec<usize>>) = Default::default();
        for (i, command) in commands.iter().enumerate() {
            let Some(group) = command.group else { continue };
            let repeatable = !command.spec.is_write();
            if let Some(at) = units.iter().position(|unit| unit.group == group) {
                units[at].request.extend_from_slice(&command.request);
                units[at].repeatable &= repeatable;
                places[at].push(i);
                continue;
            }
            units.push(Unit {
                group,
                groups: None,
                request: command.request.to_vec(),
                version: command.version,
                readonly: command.readonly,
                repeatable,
            });
            places.push(vec![i]);
        }
        let fates = self.settle(&units).await;
        let mut answers = vec![Bytes::new(); commands.len()];
        for (fate, places) in fates.into_iter().zip(places) {
            hand_out(fate, &places, &mut answers);
        }
        match &mut answers[..] {
            [alone] => std::mem::take(alone),
            several => several.concat().into(),
        }
    }

    /// Carries units out, each until it is done or there is no more time.
    pub(super) async fn settle(&self, units: &[Unit]) -> Vec<Fate> {
        let mut patience = Patience::new();
        let mut fates = self.round(&units.iter().collect::<Vec<_>>()).await;
        loop {
            let open = |fate: &Fate| matches!(fate, Fate::Again(_));
            let left: Vec<usize> = (0..fates.len()).filter(|i| open(&fates[*i])).collect();
            if left.is_empty() || !self.pause(&mut patience).await {
                return fates;
            }
            let again: Vec<&Unit> = left.iter().map(|i| &units[*i]).collect();
            for (i, fate) in left.into_iter().zip(self.round(&again).await) {
                fates[i] = fate;
            }
        }
    }

    /// Waits for news, for a while. Whether there is time for another round.
    pub(super) async fn pause(&self, patience: &mut Patience) -> bool {
        let Some(step) = patience.step() else { return false };
        let _ = timeout(step, self.here.outlook.changed()).await;
        true
    }

    pub(super) fn look(&self) -> Option<Sight> {
        self.here.outlook.look()
    }

    /// Sends units to where they belong now, all at once, and waits for what comes of each.
    pub(super) async fn round(&self, units: &[&Unit]) -> Vec<Fate> {
        let Some(sight) = self.look() else {
            return vec![Fate::Again(NO_CLUSTER.into()); units.len()];
        };
        let mut sent: Vec<Sent> = units.iter().map(|unit| self.send(unit, &sight)).collect();
        self.carry_out_here(units, &mut sent).await;
        let mut fates = Vec::with_capacity(units.len());
        for (unit, sent) in units.iter().zip(sent) {
            fates.push(match sent {
                Sent::Away(node, ticket) => self.await_outcome(unit, node, ticket).await,
                Sent::Here => Fate::Again(NO_LEASE.into()),
                Sent::Over(fate) => fate,
            });
        }
        fates
    }

    fn send(&self, unit: &Unit, sight: &Sight) -> Sent {
        let topology = &sight.topology;
        let Some(owner) = topology.owner(unit.group) else {
            return Sent::Over(Fate::Again(NOT_SERVED.into()));
        };
        if owner == sight.me {
            return Sent::Here;
        }
        let forward = Forward {
            id: self.ids.fetch_add(1, Ordering::Relaxed),
            // Nothing is sent twice that may have been carried out, so nobody looks at it.
            origin: Incarnation(0),
            resp3: unit.version == Version::Resp3,
            readonly: unit.readonly,
            topology: topology.version(),
            groups: unit.groups.clone(),
            request: &unit.request,
        };
        let mut message = Vec::with_capacity(unit.request.len() + 64);
        put(&Message::Forward(forward), &mut message);
        match self.lane(owner).push(message) {
            Some(ticket) => Sent::Away(owner, ticket),
            None => Sent::Over(Fate::Failed(TOO_MUCH.into())),
        }
    }

    fn lane(&self, node: NodeId) -> Arc<Lane> {
        let mut lanes = self.lanes.lock();
        let new = || Arc::new(Lane::new(node, self.endpoint.clone(), self.runtime.clone()));
        lanes.entry(node).or_insert_with(new).clone()
    }

    /// Carries out what belongs to this node, where the others' answers are waited for anyway.
    async fn carry_out_here(&self, units: &[&Unit], sent: &mut [Sent]) {
        let (mut waits, mut wrote) = (Waits::new(), Vec::new());
        if !sent.iter().any(|sent| matches!(sent, Sent::Here)) || !self.here.has_room().await {
            return;
        }
        let began = clock::monotonic_nanos();
        for (i, (unit, sent)) in units.iter().zip(&mut *sent).enumerate() {
            if !matches!(sent, Sent::Here) {
                continue;
            }
            let job = Job {
                request: &unit.request,
                version: unit.version,
                readonly: unit.readonly,
                groups: unit.groups.as_ref(),
                of_others: false,
            };
            let mut out = Vec::new();
            *sent = Sent::Over(match self.here.execute(&job, &mut waits, &mut out) {
                Done::Answered { wrote: writes } => {
                    wrote.extend(writes.then_some(i));
                    Fate::Reply(out.into())
                }
                Done::Elsewhere => Fate::Again(HANDED_OVER.into()),
                Done::Refused => Fate::Again(NO_LEASE.into()),
            });
        }
        let settled = self.here.settle(waits).await;
        if !settled || !wrote.is_empty() && !self.here.outlook.was_leased_since(began) {
            for i in wrote {
                sent[i] = Sent::Over(Fate::Failed(uncertain("this node has lost its lease")));
            }
        }
    }

    /// Waits for what comes of a unit. A node that does not keep the group any more has a little
    /// time left: it may have died, and then nothing comes. One that is taken for dead and has no
    /// successor is waited for as long as somebody who serves the group is.
    async fn await_outcome(&self, unit: &Unit, node: NodeId, mut ticket: Ticket) -> Fate {
        let step = Duration::from_millis(FORWARD_STEP_MS_MAX);
        let began = clock::monotonic_nanos();
        let keeps = || self.look().is_some_and(|s| s.topology.owner(unit.group) == Some(node));
        loop {
            if let Ok(outcome) = timeout(step, &mut ticket.outcome).await {
                return fate(outcome.unwrap_or(Outcome::Unknown("it was dropped".into())), unit);
            }
            let passed_ms = clock::monotonic_nanos().saturating_sub(began) / 1_000_000;
            if passed_ms >= FORWARD_WAIT_MS_MAX && !self.here.outlook.is_up(node) {
                let down = "it is down, and nobody has taken its place".to_owned();
                let unsent = ticket.withdraw();
                let outcome = if unsent { Outcome::Unsent(down) } else { Outcome::Unknown(down) };
                return fate(outcome, unit);
            }
            if !keeps() {
                if ticket.withdraw() {
                    return Fate::Again(HANDED_OVER.into());
                }
                let grace = Duration::from_millis(FORWARD_GRACE_MS);
                let silent = Outcome::Unknown("it is silent, and was replaced".into());
                let outcome = timeout(grace, &mut ticket.outcome).await;
                return fate(outcome.ok().and_then(Result::ok).unwrap_or(silent), unit);
            }
        }
    }
}

impl Patience {
    pub(super) fn new() -> Patience {
        Patience(clock::monotonic_nanos())
    }

    /// How long to wait for the next round; `None`: there is no more time. Short at first, since
    /// waits are short when all is well.
    fn step(&self) -> Option<Duration> {
        let passed_ms = clock::monotonic_nanos().saturating_sub(self.0) / 1_000_000;
        let step_ms = (passed_ms / 2).clamp(FORWARD_STEP_MS_MIN, FORWARD_STEP_MS_MAX);
        (passed_ms < FORWARD_WAIT_MS_MAX).then(|| Duration::from_millis(step_ms))
    }
}

impl Fate {
    /// An answer, whatever came.
    pub(super) fn into_answer(self) -> Bytes {
        match self {
            Fate::Reply(reply) => reply,
            Fate::Again(text) | Fate::Failed(text) => error(&text),
        }
    }
}

fn fate(outcome: Outcome, unit: &Unit) -> Fate {
    match outcome {
        Outcome::Reply(reply) => Fate::Reply(reply),
        Outcome::Elsewhere | Outcome::Refused => Fate::Again(HANDED_OVER.into()),
        Outcome::Unsent(why) => Fate::Again(format!(
            "CLUSTERDOWN The node that keeps the slot cannot be reached: {why}"
        )),
        Outcome::Unknown(why) if unit.repeatable => {
            Fate::Again(format!("CLUSTERDOWN The node that keeps the slot does not answer: {why}"))
        }
        Outcome::Unknown(why) => Fate::Failed(uncertain(&why)),
    }
}

fn uncertain(why: &str) -> String {
    format!("UNCERTAIN Whether the command was carried out is not known: {why}")
}

/// An error as an answer.
pub(super) fn error(text: &str) -> Bytes {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("-{text}\r\n").into()
}

/// Puts the answers of a unit's commands where they belong.
fn hand_out(fate: Fate, places: &[usize], answers: &mut [Bytes]) {
    let reply = match fate {
        Fate::Reply(reply) => reply,
        Fate::Again(text) | Fate::Failed(text) => {
            places.iter().for_each(|i| answers[*i] = error(&text));
            return;
        }
    };
    let mut at = 0;
    for i in places {
        answers[*i] = match value_end(&reply, at) {
            Some(end) => reply.slice(std::mem::replace(&mut at, end)..end),
            None => error(NONSENSE),
        };
    }
}

/// Splits a command that this node has written into its words.
pub(super) fn words(command: &Routed) -> Vec<&[u8]> {
    decode::words(&command.request).unwrap_or_default()
}
