//! Who is alive, and how long this node may act as a primary: heartbeats, the lease of a majority
//! of the voters, detection. Knows no socket and no clock; a datagram may be lost, doubled, late or
//! out of order.
//!
//! [`Liveness::handle`], then [`Liveness::poll`] to the end. Only durations of one clock are ever
//! compared: a grant counts from the moment the heartbeat left, by the clock of who sent it.

mod lease;
#[cfg(test)]
mod tests;

use crate::control::ControlState;
use crate::message::{Heartbeat, HeartbeatAck};
use crate::node::{Incarnation, Member, NodeId};
use crate::time::Millis;
use lease::Grants;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A lease counts for this much of what was promised, in tenths: the rest covers clocks that run at
/// different speeds and timers that come late.
const LEASE_TENTHS: u64 = 9;
/// Heartbeats without a sign after which a node is silent.
const SILENT_HEARTBEATS: u64 = 4;

/// What happens to a [`Liveness`].
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// Time has passed; wanted at least as often as [`Liveness::next_tick`] says.
    Tick,
    /// A heartbeat came.
    Heartbeat(Heartbeat),
    /// An answer came.
    Ack(HeartbeatAck),
    /// The control state as it is after this entry of its log.
    Applied(u64, &'a ControlState),
    /// What this node says of its memory from now on.
    Room {
        /// How many bytes it may use for data.
        usable_bytes: u64,
        /// Whether it has no room for another copy.
        pressure: bool,
    },
}

/// What a [`Liveness`] wants sent, as datagrams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To this node.
    Heartbeat(NodeId, Heartbeat),
    /// To this node.
    Ack(NodeId, HeartbeatAck),
}

/// What one node knows of the lives of the others.
#[derive(Clone, Debug)]
pub struct Liveness {
    me: Member,
    heartbeat_ms: u64,
    lease_ms: u64,
    applied_index: u64,
    usable_bytes: u64,
    pressure: bool,
    voters: BTreeSet<NodeId>,
    peers: BTreeMap<NodeId, Peer>,
    grants: Grants,
    beat_at: Millis,
    ticked: Millis,
    outputs: VecDeque<Output>,
}

/// What is known of another node.
#[derive(Clone, Debug)]
struct Peer {
    incarnation: Incarnation,
    /// Its last heartbeat, or when it became known.
    heard: Millis,
    /// Its last answer.
    answered: Option<Millis>,
    /// Since when it says that it has no lease.
    leaseless: Option<Millis>,
    /// Since when it is down, by the evidence there is here.
    down: Option<Millis>,
    silent: BTreeSet<NodeId>,
    usable_bytes: u64,
    pressure: bool,
}

impl Liveness {
    /// Of a node that has just registered this start and has applied nothing yet.
    pub fn new(me: Member, now: Millis) -> Liveness {
        let settings = crate::control::Settings::default();
        Liveness {
            me,
            heartbeat_ms: u64::from(settings.heartbeat_ms),
            lease_ms: u64::from(settings.lease_ms),
            applied_index: 0,
            usable_bytes: 0,
            pressure: false,
            voters: BTreeSet::new(),
            peers: BTreeMap::new(),
            grants: Grants::default(),
            beat_at: now,
            ticked: now,
            outputs: VecDeque::new(),
        }
    }

    /// Takes what happened.
    pub fn handle(&mut self, input: Input<'_>, now: Millis) {
        match input {
            Input::Tick => self.tick(now),
            Input::Heartbeat(heartbeat) => self.heard(heartbeat, now),
            Input::Ack(ack) => self.answered(&ack, now),
            Input::Applied(index, state) => self.applied(index, state, now),
            Input::Room { usable_bytes, pressure } => {
                (self.usable_bytes, self.pressure) = (usable_bytes, pressure);
            }
        }
    }

    /// The next thing to send.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When the next [`Input::Tick`] is due.
    pub fn next_tick(&self) -> Millis {
        self.beat_at
    }

    /// Until when this node may act as a primary: a majority of the voters has promised not to
    /// listen to another before. Without an end when it is the only voter, `Millis(0)` when it
    /// never had the promise.
    pub fn lease_until(&self) -> Millis {
        self.grants.until(self.me.node, &self.voters)
    }

    /// The entry of the control log up to which this node has applied it: the lease is for what it
    /// is by then.
    pub fn applied_index(&self) -> u64 {
        self.applied_index
    }

    /// Whether this node may act as a primary. It must be asked after a request has come, never
    /// before.
    pub fn lease_ok(&self, now: Millis) -> bool {
        now < self.lease_until()
    }

    /// Whom this node has not heard for four heartbeats.
    pub fn silent(&self, now: Millis) -> impl Iterator<Item = NodeId> {
        let is_silent = move |peer: &Peer| self.is_silent(peer, now);
        self.peers.iter().filter(move |(_, peer)| is_silent(peer)).map(|(node, _)| *node)
    }

    /// Whether the node is alive, as far as this one may say. It takes two to call a node dead:
    /// this one does not hear it, and of those that it does hear one says so too (a cut between
    /// two nodes is no death); or the node says itself that nobody grants it a lease. This node
    /// alone decides only where there is nobody else to ask.
    pub fn is_up(&self, node: NodeId, now: Millis) -> bool {
        if node == self.me.node {
            return true;
        }
        let Some(peer) = self.peers.get(&node) else { return false };
        let is_leaseless = peer.leaseless.is_some_and(|since| now.since(since) >= self.silent_ms());
        if is_leaseless {
            return false;
        }
        if !self.is_silent(peer, now) {
            return true;
        }
        let others = || self.peers.iter().filter(|(id, _)| **id != node);
        let mut witnesses = others().filter(|(_, other)| !self.is_silent(other, now));
        others().next().is_some() && !witnesses.any(|(_, other)| other.silent.contains(&node))
    }

    /// Every node of the cluster, since when it is down or `None`: what the planner wants to know.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, Option<Millis>)> {
        let others = self.peers.iter().map(|(node, peer)| (*node, peer.down));
        others.chain([(self.me.node, None)])
    }

    /// Which start of a node was heard last; `None` when it is not of the cluster.
    pub fn incarnation(&self, node: NodeId) -> Option<Incarnation> {
        self.peers.get(&node).map(|peer| peer.incarnation)
    }

    /// How many bytes the node says that it may use, and whether it is out of room.
    pub fn room(&self, node: NodeId) -> Option<(u64, bool)> {
        self.peers.get(&node).map(|peer| (peer.usable_bytes, peer.pressure))
    }

    fn silent_ms(&self) -> u64 {
        self.heartbeat_ms * SILENT_HEARTBEATS
    }

    fn is_silent(&self, peer: &Peer, now: Millis) -> bool {
        now.since(peer.heard) >= self.silent_ms()
    }

    fn tick(&mut self, now: Millis) {
        let slept_ms = now.since(self.ticked).saturating_sub(self.heartbeat_ms);
        self.ticked = now;
        if slept_ms >= self.silent_ms() / 2 {
            self.woke(now);
        }
        for (node, is_up) in self.verdicts(now) {
            if let Some(peer) = self.peers.get_mut(&node) {
                peer.down = (!is_up).then(|| peer.down.unwrap_or(now));
            }
        }
        if now >= self.beat_at {
            self.beat(now);
            self.beat_at = now.after(self.heartbeat_ms);
        }
    }

    fn verdicts(&self, now: Millis) -> Vec<(NodeId, bool)> {
        self.peers.keys().map(|&node| (node, self.is_up(node, now))).collect()
    }

    /// This node itself was asleep: what it did not hear meanwhile accuses nobody.
    fn woke(&mut self, now: Millis) {
        for peer in self.peers.values_mut() {
            peer.heard = now;
            peer.leaseless = peer.leaseless.map(|_| now);
            peer.silent.clear();
        }
    }

    fn beat(&mut self, now: Millis) {
        let mut silent: Vec<NodeId> = self.silent(now).collect();
        silent.truncate(crate::message::NODES_MAX);
        let (lease_ok, answer_ms) = (self.lease_ok(now), self.silent_ms());
        for (&node, peer) in &self.peers {
            let heartbeat = Heartbeat {
                from: self.me,
                sent: now,
                applied_index: self.applied_index,
                hears_you: peer.answered.is_some_and(|at| now.since(at) < answer_ms),
                lease_ok,
                pressure: self.pressure,
                usable_bytes: self.usable_bytes,
                silent: silent.clone(),
            };
            self.outputs.push_back(Output::Heartbeat(node, heartbeat));
        }
    }

    fn heard(&mut self, heartbeat: Heartbeat, now: Millis) {
        let from = heartbeat.from;
        let Some(peer) = self.peers.get_mut(&from.node) else { return };
        // A start that is over, still on its way.
        if from.incarnation < peer.incarnation {
            return;
        }
        if from.incarnation > peer.incarnation {
            peer.incarnation = from.incarnation;
            peer.answered = None;
            peer.leaseless = None;
        }
        peer.heard = now;
        peer.leaseless = if heartbeat.lease_ok { None } else { peer.leaseless.or(Some(now)) };
        peer.silent = heartbeat.silent.into_iter().collect();
        (peer.usable_bytes, peer.pressure) = (heartbeat.usable_bytes, heartbeat.pressure);
        let ack = HeartbeatAck {
            from: self.me,
            echo_sent: heartbeat.sent,
            applied_index: self.applied_index,
        };
        self.outputs.push_back(Output::Ack(from.node, ack));
    }

    fn answered(&mut self, ack: &HeartbeatAck, now: Millis) {
        let Some(peer) = self.peers.get_mut(&ack.from.node) else { return };
        // What this node never sent was sent by a start of it that is over.
        if ack.from.incarnation < peer.incarnation || ack.echo_sent > now {
            return;
        }
        peer.answered = peer.answered.max(Some(now));
        let until = ack.echo_sent.after(self.lease_ms * LEASE_TENTHS / 10);
        self.grants.grant(ack.from, until, ack.applied_index, self.applied_index);
    }

    fn applied(&mut self, index: u64, state: &ControlState, now: Millis) {
        self.applied_index = self.applied_index.max(index);
        self.heartbeat_ms = u64::from(state.settings.heartbeat_ms).max(1);
        self.lease_ms = u64::from(state.settings.lease_ms);
        self.voters = state.voters().collect();
        let member = |node: &NodeId| state.member(*node).filter(|m| m.node != self.me.node);
        let members: BTreeMap<NodeId, Incarnation> =
            state.nodes.keys().filter_map(member).map(|m| (m.node, m.incarnation)).collect();
        self.peers.retain(|node, _| members.contains_key(node));
        for (node, incarnation) in members {
            let peer = self.peers.entry(node).or_insert_with(|| Peer::new(incarnation, now));
            if peer.incarnation < incarnation {
                *peer = Peer::new(incarnation, now);
            }
        }
        self.grants.applied(self.applied_index);
        self.grants.retain(|member| self.peers.contains_key(&member.node));
    }
}

impl Peer {
    fn new(incarnation: Incarnation, now: Millis) -> Peer {
        Peer {
            incarnation,
            heard: now,
            answered: None,
            leaseless: None,
            down: None,
            silent: BTreeSet::new(),
            usable_bytes: 0,
            pressure: false,
        }
    }
}
