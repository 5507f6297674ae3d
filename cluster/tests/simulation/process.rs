//! One life of a node: the real cores, and what a driver does around them.

use super::engine::{Engine, SimPiece};
use super::raft::Entry;
use super::world::mixed;
use cluster::control::{GroupChange, Position};
use cluster::liveness::{self, Liveness};
use cluster::message::{HEAD_BYTES, Message, ResyncBegin, ResyncChunk, ResyncEnd};
use cluster::node::{Member, NodeId};
use cluster::record::Epoch;
use cluster::record::GroupTime;
use cluster::replication::{Input, Output, Replication};
use cluster::slot::Group;
use cluster::time::Millis;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Bytes of a backlog: small, so that it is overrun now and then.
const BACKLOG_BYTES: u64 = 4096;
/// Until when things go wrong.
const FAULTS: Millis = Millis(super::world::FAULTS_MS);

pub(crate) struct Process {
    pub(crate) me: Member,
    pub(crate) liveness: Liveness,
    pub(crate) replication: Replication<SimPiece>,
    pub(crate) engine: Engine,
    pub(crate) entry: Rc<Entry>,
    pub(crate) applied: usize,
    /// The connections that this process knows of, by their number.
    pub(crate) connected: BTreeMap<NodeId, u64>,
    /// Groups that it executes commands on, and in which epoch.
    pub(crate) leads: BTreeMap<Group, Epoch>,
    pub(crate) stopped: BTreeSet<Group>,
    pub(crate) sends: Vec<Sent>,
    pub(crate) proposals: Vec<Vec<GroupChange>>,
    /// As leader of the Raft group: since when it waits for which answers.
    pub(crate) asking: Option<Asking>,
    rng: u64,
    /// Whether something went wrong here that a copy may not survive.
    pub(crate) stumbled: bool,
    /// Copies that are coming: their resync and what has come.
    staged: BTreeMap<Group, (u64, Vec<Vec<u8>>)>,
}

#[derive(Default)]
pub(crate) struct Asking {
    pub(crate) since: Millis,
    pub(crate) wanted: BTreeMap<NodeId, Vec<Group>>,
    pub(crate) answered: BTreeSet<NodeId>,
    pub(crate) positions: BTreeMap<(NodeId, Group), Position>,
}

pub(crate) enum Sent {
    Datagram(NodeId, Vec<u8>),
    Stream(NodeId, Vec<u8>),
    Resync(NodeId, Vec<u8>),
}

impl Process {
    pub(crate) fn new(me: Member, engine: Engine, now: Millis) -> Process {
        let restored: Vec<(Group, Position)> =
            engine.groups.iter().map(|(group, store)| (*group, store.position)).collect();
        Process {
            me,
            liveness: Liveness::new(me, now),
            replication: Replication::new(me, restored, BACKLOG_BYTES),
            engine,
            entry: Rc::default(),
            applied: 0,
            connected: BTreeMap::new(),
            leads: BTreeMap::new(),
            stopped: BTreeSet::new(),
            sends: Vec::new(),
            proposals: Vec::new(),
            asking: None,
            rng: me.node.number() << 32 ^ me.incarnation.0 << 16 ^ now.0,
            stumbled: false,
            staged: BTreeMap::new(),
        }
    }

    pub(crate) fn tick(&mut self, now: Millis, replicates: bool) {
        self.liveness.handle(liveness::Input::Tick, now);
        if replicates {
            self.handle(Input::Tick, now);
        }
    }

    pub(crate) fn apply(&mut self, index: usize, entry: &Rc<Entry>, flushes: bool, now: Millis) {
        if flushes {
            self.flush(now);
        }
        self.applied = index;
        self.entry = Rc::clone(entry);
        let state = &entry.state;
        self.liveness.handle(liveness::Input::Applied(index as u64, state), now);
        self.handle(Input::Applied(state), now);
    }

    /// Executes a write if this node may: where it stands in the log.
    pub(crate) fn execute(&mut self, group: Group, key: u64, now: Millis) -> Option<Position> {
        let leads = self.leads.contains_key(&group) && !self.stopped.contains(&group);
        (leads && self.liveness.lease_ok(now)).then(|| self.engine.set(group, key, !key))
    }

    /// Where its copy of the group ends, when that is complete and the log has all of it.
    pub(crate) fn copy_at(&self, group: Group) -> Option<Position> {
        let at = self.replication.position(group)?;
        (at == self.engine.position(group)).then_some(at)
    }

    pub(crate) fn message(&mut self, from: NodeId, bytes: &[u8], now: Millis) {
        match Message::decode(bytes).unwrap() {
            Message::Heartbeat(beat) => {
                self.liveness.handle(liveness::Input::Heartbeat(beat), now);
            }
            Message::HeartbeatAck(ack) => self.liveness.handle(liveness::Input::Ack(ack), now),
            Message::Append(frame) => {
                let fails = self.stumbles(now, 2);
                let engine = &mut self.engine;
                let applied = self.replication.append(from, frame, now, |record| {
                    // Part of it may have been applied.
                    if !fails || record.header.seq.0 % 2 == 0 {
                        engine.apply(record);
                    }
                    !fails
                });
                applied.unwrap();
                self.drain(now);
            }
            Message::ResyncChunk(ResyncChunk { group, id, payload }) => {
                let is_lost = self.stumbles(now, 20);
                if self.replication.takes_chunk(from, group, id) && !is_lost {
                    self.stage(group, id, payload);
                }
            }
            message => self.handle(Input::Message(from, message), now),
        }
    }

    /// A part of a copy: of some groups it is kept until all is there, of others put in the place
    /// of what there was.
    fn stage(&mut self, group: Group, id: u64, payload: &[u8]) {
        if self.staged.get(&group).is_none_or(|(known, _)| *known != id) {
            self.staged.insert(group, (id, Vec::new()));
            if group.number() % 2 == 1 {
                self.replication.void(group);
                self.engine.groups.remove(&group);
            }
        }
        match self.staged.get_mut(&group) {
            Some((_, parts)) if group.number().is_multiple_of(2) => parts.push(payload.to_vec()),
            _ => self.engine.apply_effects(group, payload),
        }
    }

    /// All of a copy has come.
    fn unstage(&mut self, group: Group, id: u64) {
        let staged = self.staged.remove(&group).filter(|(known, _)| *known == id);
        if group.number().is_multiple_of(2) || staged.is_none() {
            self.engine.groups.remove(&group);
        }
        let parts = staged.into_iter().flat_map(|(_, parts)| parts);
        parts.for_each(|part| self.engine.apply_effects(group, &part));
    }

    pub(crate) fn handle(&mut self, input: Input<'_>, now: Millis) {
        self.replication.handle(input, now);
        self.drain(now);
    }

    /// Gives the log what was executed since the last time.
    pub(crate) fn flush(&mut self, now: Millis) {
        if let Some(piece) = self.engine.take_piece() {
            self.replication.logged(piece, now);
            self.drain(now);
        }
    }

    /// What goes to whom by now.
    pub(crate) fn pump(&mut self) {
        while let Some(output) = self.liveness.poll() {
            let (to, message) = match output {
                liveness::Output::Heartbeat(to, beat) => (to, Message::Heartbeat(beat)),
                liveness::Output::Ack(to, ack) => (to, Message::HeartbeatAck(ack)),
            };
            self.sends.push(Sent::Datagram(to, message.to_bytes()));
        }
        for &to in self.connected.keys() {
            let mut out = Default::default();
            while self.replication.next_append(to, &mut out) {
                assert!(out.len() > HEAD_BYTES);
                self.sends.push(Sent::Stream(to, out.parts().flatten().copied().collect()));
                out.clear();
            }
        }
    }

    fn drain(&mut self, now: Millis) {
        while let Some(output) = self.replication.poll() {
            match output {
                Output::Send(to, message) => self.sends.push(Sent::Stream(to, message.to_bytes())),
                Output::StartResync { to, group, epoch, id } => {
                    self.resync(to, ResyncBegin { group, epoch, id }, now);
                }
                Output::CancelResync(..) => {}
                Output::Propose(changes) => self.proposals.push(changes),
                Output::Lead(group, epoch, position) => self.lead(group, epoch, position),
                Output::Stop(group) => {
                    self.flush_only(now);
                    self.stopped.insert(group);
                    let position = self.engine.position(group);
                    self.replication.handle(Input::Stopped(group, position), now);
                    if self.entry.state.group(group).primary != Some(self.me) {
                        self.leads.remove(&group);
                        self.stopped.remove(&group);
                    }
                }
                Output::Resume(group) => {
                    self.stopped.remove(&group);
                }
                Output::Drop(group) => {
                    self.engine.groups.remove(&group);
                    self.leads.remove(&group);
                    self.stopped.remove(&group);
                }
                Output::Verify(end) => {
                    self.unstage(end.group, end.id);
                    let digest = self.engine.digest(end.group);
                    let matches = digest.sum == end.digest && digest.items == end.items;
                    let store = self.engine.groups.entry(end.group).or_default();
                    (store.position, store.floor) = (end.position, end.position);
                    self.replication.handle(Input::Verified(end, matches), now);
                }
            }
        }
    }

    /// Something goes wrong, so many times in a thousand.
    fn stumbles(&mut self, now: Millis, per_mille: u64) -> bool {
        let happens = now < FAULTS && mixed(&mut self.rng) % 1000 < per_mille;
        self.stumbled |= happens;
        happens
    }

    fn flush_only(&mut self, now: Millis) {
        if let Some(piece) = self.engine.take_piece() {
            self.replication.logged(piece, now);
        }
    }

    fn lead(&mut self, group: Group, epoch: Epoch, position: Option<Position>) {
        if position.is_none() {
            self.engine.groups.remove(&group);
        }
        self.engine.begin_epoch(group, epoch);
        self.leads.insert(group, epoch);
        self.stopped.remove(&group);
    }

    fn resync(&mut self, to: NodeId, begin: ResyncBegin, now: Millis) {
        let ResyncBegin { group, id, .. } = begin;
        let digest = self.engine.digest(group);
        let position = self.engine.position(group);
        let copy = self.engine.copy_of(group);
        self.sends.push(Sent::Resync(to, Message::ResyncBegin(begin).to_bytes()));
        if self.stumbles(now, 30) {
            return self.replication.handle(Input::ResyncFailed(to, group, id), now);
        }
        for payload in copy.chunks(24 * 7) {
            let chunk = ResyncChunk { group, id, payload };
            self.sends.push(Sent::Resync(to, Message::ResyncChunk(chunk).to_bytes()));
        }
        let end = ResyncEnd {
            group,
            id,
            position,
            time: GroupTime(1),
            items: digest.items,
            digest: digest.sum,
        };
        self.sends.push(Sent::Resync(to, Message::ResyncEnd(end).to_bytes()));
        self.replication.handle(Input::ResyncSent(to, group, id, position), now);
    }
}
