//! Asynchronous replication: what a node does about every group it keeps, as primary or replica.
//! Knows no socket, no engine and no clock: it says what to send, apply, walk and propose.
//!
//! [`Replication::handle`], then [`Replication::poll`] to the end. The stream of records has verbs
//! of its own, so that nothing of it is copied into a queue: [`Replication::logged`] and
//! [`Replication::next_append`] where it leaves, [`Replication::append`] where it arrives.
//!
//! A replica asks: whenever it has applied a new epoch, a connection came up or records do not fit,
//! it says what it has ([`crate::message::Have`]); the primary answers with the records behind
//! that, or with a copy of the whole group. So a primary never sends what a replica has no topology
//! for yet, and a record of another epoch than the replica's is simply not of interest.
//!
//! `(epoch, seq)` names a record once and for all, since an epoch has one writer. A replica's copy
//! continues a primary's log when it ends in the primary's own epoch, or exactly where that epoch
//! began; any other is copied anew.

mod backlog;
mod digest;
mod led;
mod planned;
mod primary;
mod replica;

pub use backlog::{Backlog, Mark, Piece};
pub use digest::{Digest, Digester};

use crate::control::{ControlState, GroupChange, Position};
use crate::group_set::GroupSet;
use crate::message::{Acked, Have, Message, ResyncDone, ResyncEnd};
use crate::node::{Incarnation, Member, NodeId};
use crate::record::{Epoch, Seq};
use crate::slot::{GROUPS, Group};
use crate::time::Millis;
use led::{Leads, Link};
use primary::Pressure;
use replica::Held;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Most resyncs that a node sends at once.
pub const RESYNCS_MAX: usize = 16;
/// A resync that failed is tried again after this long, twice as long each time, …
pub const RESYNC_RETRY_MS_MIN: u64 = 100;
/// … and at most after this.
pub const RESYNC_RETRY_MS_MAX: u64 = 10_000;
/// A replica says within this time what became of a resync that was sent to it wholly.
pub const RESYNC_DONE_MS_MAX: u64 = 10_000;
/// A change that was proposed and did not show is proposed again after this long.
pub const PROPOSE_RETRY_MS: u64 = 300;
/// A replica whose records do not fit asks again after this long.
pub const ASK_RETRY_MS: u64 = 200;
/// Most groups that are fenced at once for a hand-over.
pub const FENCED_MAX: usize = 64;
/// A group is fenced for a hand-over when the next primary lacks at most so many records, …
pub const FENCE_LAG_MAX: u64 = 64;
/// … and for at most so long until it has them; then it is served again, …
pub const FENCE_MS_MAX: u64 = 500;
/// … and the hand-over is tried again after this long.
pub const FENCE_RETRY_MS: u64 = 1_000;
/// Bytes of records that are sent as one message.
pub const APPEND_BYTES: usize = 64 * 1024;
/// Longest time that a write is delayed because replicas fall behind.
pub const DELAY_MS_MAX: u64 = 50;
/// Writes are delayed by that much for at most so long in one go; then whoever is that slow is not
/// waited for any more.
pub const PRESSED_MS_MAX: u64 = 10_000;
/// Time between two [`Input::Tick`].
pub const TICK_MS: u64 = 20;

/// What happens to a [`Replication`].
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// Time has passed: every [`TICK_MS`].
    Tick,
    /// The control state has changed.
    Applied(&'a ControlState),
    /// A connection to this node is there, which says that it is in this incarnation. What came
    /// over an earlier connection must not come any more.
    PeerUp(Member),
    /// The connection is gone.
    PeerDown(NodeId),
    /// A message of the data plane, other than [`Message::Append`] and [`Message::ResyncChunk`].
    Message(NodeId, Message<'a>),
    /// [`Output::Stop`] was done: nothing is executed on the group any more, all it has logged was
    /// given to [`Replication::logged`], and its log ends here.
    Stopped(Group, Position),
    /// The whole of a resync was sent, as of this position.
    ResyncSent(NodeId, Group, u64, Position),
    /// A resync could not be sent.
    ResyncFailed(NodeId, Group, u64),
    /// Whether the copy that [`Output::Verify`] named has the items and the digest it should.
    Verified(ResyncEnd, bool),
}

/// What a [`Replication`] wants done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send a message on the ordered stream to the node.
    Send(NodeId, Message<'static>),
    /// Walk the group and send it on a stream of its own: `ResyncBegin` with this epoch and id,
    /// chunks, `ResyncEnd`.
    StartResync {
        /// To whom.
        to: NodeId,
        /// What.
        group: Group,
        /// Its epoch.
        epoch: Epoch,
        /// Which resync.
        id: u64,
    },
    /// That one is not wanted any more.
    CancelResync(NodeId, Group, u64),
    /// Propose these changes; nothing is to be told of the outcome but the state itself.
    Propose(Vec<GroupChange>),
    /// This node is primary now: log `EpochStart` of this epoch behind this position, then serve.
    /// Without a position there was no complete copy: empty the group first.
    Lead(Group, Epoch, Option<Position>),
    /// Execute nothing on the group any more, then say [`Input::Stopped`]. Who waits for it waits
    /// on, for the next primary or for [`Output::Resume`].
    Stop(Group),
    /// Go on executing: the hand-over did not come about.
    Resume(Group),
    /// This node does not keep the group any more.
    Drop(Group),
    /// All of a resync has come: put it in the place of what there was of the group, unless that
    /// was done as it came ([`Replication::void`]), compare the digest, then say
    /// [`Input::Verified`].
    Verify(ResyncEnd),
}

/// What one node does about every group.
#[derive(Debug)]
pub struct Replication<P> {
    me: Member,
    in_sync_timeout_ms: u64,
    groups: Box<[Held]>,
    led: Leads,
    /// The groups led of which something is still to be done, or to be acknowledged; maybe others.
    restless: GroupSet,
    peers: BTreeMap<NodeId, Peer>,
    incarnations: BTreeMap<NodeId, Incarnation>,
    refusing: BTreeSet<NodeId>,
    backlog: Backlog<P>,
    /// Those under way; at most [`RESYNCS_MAX`].
    resyncs: Vec<(NodeId, Group)>,
    resync_next: u64,
    pressure: Pressure,
    /// When pieces of the log came, now and then: the number of a piece, and its time.
    times: VecDeque<(u64, Millis)>,
    outputs: VecDeque<Output>,
}

/// How far a node is behind with its copies of what another leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Copies that get records.
    pub groups: u32,
    /// Records that it has not acknowledged.
    pub records: u64,
    /// How long ago the oldest of them was logged; a little more, never less.
    pub ms: u64,
}

/// What there is of another node.
#[derive(Debug, Default)]
struct Peer {
    up: Option<Incarnation>,
    /// One for each group; empty while none was needed.
    links: Vec<Link>,
    /// The groups of which it is to get a copy; maybe others.
    queued: GroupSet,
    /// The piece of the backlog that is sent next.
    cursor: u64,
    /// What it said that it has of groups of which this node is not primary yet.
    early: BTreeMap<Group, Have>,
    /// Groups of which it is to be told how far the copy here has come.
    acks: GroupSet,
    /// Groups of which it is to be asked.
    asks: GroupSet,
}

impl<P: Piece> Replication<P> {
    /// Of a node that has just registered this start, with the copies that it read back from its
    /// disk, and a backlog of so many bytes.
    pub fn new(
        me: Member,
        restored: impl IntoIterator<Item = (Group, Position)>,
        backlog_bytes_max: u64,
    ) -> Replication<P> {
        let mut groups: Box<[Held]> = (0..GROUPS).map(|_| Held::default()).collect();
        for (group, position) in restored {
            groups[usize::from(group.number())].position = Some(position);
        }
        Replication {
            me,
            in_sync_timeout_ms: 500,
            groups,
            led: Leads::new(),
            restless: GroupSet::default(),
            peers: BTreeMap::new(),
            incarnations: BTreeMap::new(),
            refusing: BTreeSet::new(),
            backlog: Backlog::new(backlog_bytes_max),
            resyncs: Vec::new(),
            resync_next: 1,
            pressure: Pressure::default(),
            times: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    /// What this node has of a group lacks items, and its log does not say so. Should it lead the
    /// group, the others get copies: a key that is deleted then must not be left anywhere.
    pub fn lacks(&mut self, group: Group) {
        self.held_mut(group).lacks = true;
    }

    /// Takes what happened.
    pub fn handle(&mut self, input: Input<'_>, now: Millis) {
        match input {
            Input::Tick => self.tick(now),
            Input::Applied(state) => self.applied(state, now),
            Input::PeerUp(member) => self.peer_up(member),
            Input::PeerDown(node) => self.peer_down(node, now),
            Input::Message(from, message) => self.message(from, message, now),
            Input::Stopped(group, position) => self.stopped(group, position, now),
            Input::ResyncSent(to, group, id, position) => {
                self.resync_sent(to, group, id, position, now);
            }
            Input::ResyncFailed(to, group, id) => self.resync_failed(to, group, id, now),
            Input::Verified(end, matches) => self.verified(&end, matches),
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front().or_else(|| self.poll_messages())
    }

    /// Where the copy of a group stands, when it is complete: what the leader asks for before a
    /// failover. Of a group that this node leads, its own log up to what was given to
    /// [`Replication::logged`].
    pub fn position(&self, group: Group) -> Option<Position> {
        match self.led.get(group) {
            Some(led) => Some(led.position()),
            None => self.held(group).position,
        }
    }

    /// How many milliseconds each write is to be delayed, since replicas fall behind.
    pub fn delay_ms(&self) -> u64 {
        self.pressure.delay_ms
    }

    /// How far a node has acknowledged a group that this node leads, while it gets its records.
    pub fn acked_by(&self, node: NodeId, group: Group) -> Option<Seq> {
        let peer = self.peers.get(&node).filter(|peer| peer.up.is_some())?;
        peer.links.get(usize::from(group.number()))?.state.acked()
    }

    /// How far a node is behind with what this one leads.
    pub fn lag_of(&self, node: NodeId, now: Millis) -> Lag {
        let mut lag = Lag::default();
        for group in Group::all() {
            let led = self.led.get(group).filter(|led| led.keeps(node));
            let Some((led, acked)) = led.zip(self.acked_by(node, group)) else { continue };
            lag.groups += 1;
            lag.records += led.last.0.saturating_sub(acked.0);
            let lacks = self.backlog.find(group, acked.next()).filter(|_| acked < led.last);
            let since = lacks.and_then(|piece| {
                let at = self.times.partition_point(|(number, _)| *number <= piece);
                self.times.get(at.checked_sub(1)?)
            });
            lag.ms = lag.ms.max(since.map_or(0, |(_, at)| now.since(*at)));
        }
        lag
    }

    /// Records of all groups that this node leads, ever.
    pub fn records(&self) -> u64 {
        Group::all().filter_map(|group| Some(self.led.get(group)?.last.0)).sum()
    }

    /// The newest pieces of the log.
    pub fn backlog(&self) -> &Backlog<P> {
        &self.backlog
    }

    fn held(&self, group: Group) -> &Held {
        &self.groups[usize::from(group.number())]
    }

    fn held_mut(&mut self, group: Group) -> &mut Held {
        &mut self.groups[usize::from(group.number())]
    }

    fn tick(&mut self, now: Millis) {
        self.tick_links(now);
        self.tick_planned(now);
        self.press(now);
    }

    fn message(&mut self, from: NodeId, message: Message<'_>, now: Millis) {
        match message {
            Message::Ack(list) => list.iter().for_each(|acked| self.acked(from, acked, now)),
            Message::Have(list) => list.iter().for_each(|have| self.has(from, *have, now)),
            Message::ResyncBegin(begin) => self.resync_begin(from, &begin),
            Message::ResyncEnd(end) => self.resync_end(from, end),
            Message::ResyncDone(ResyncDone { group, id, complete }) => {
                self.resync_done(from, group, id, complete, now);
            }
            // Of the control plane, or with verbs of their own.
            Message::Hello(_)
            | Message::Heartbeat(_)
            | Message::HeartbeatAck(_)
            | Message::PositionsAsk(_)
            | Message::Positions(_)
            | Message::Append(_)
            | Message::ResyncChunk(_)
            | Message::Forward(_)
            | Message::Forwarded(_) => {}
        }
    }

    fn peer_up(&mut self, member: Member) {
        let end = self.backlog.end();
        let peer = self.peers.entry(member.node).or_default();
        peer.up = Some(member.incarnation);
        peer.cursor = end;
        let of_peer = |group: &Group| self.groups[usize::from(group.number())].follows(member.node);
        peer.asks = Group::all().filter(of_peer).collect();
    }

    /// What waits to be said to somebody, all groups in one message.
    fn poll_messages(&mut self) -> Option<Output> {
        for (&node, peer) in self.peers.iter_mut().filter(|(_, peer)| peer.up.is_some()) {
            if !peer.asks.is_empty() {
                let asks = std::mem::take(&mut peer.asks);
                let have = |group: Group| self.groups[usize::from(group.number())].have(group);
                let list: Vec<Have> = asks.iter().filter_map(have).collect();
                return Some(Output::Send(node, Message::Have(list)));
            }
            if !peer.acks.is_empty() {
                let acks = std::mem::take(&mut peer.acks);
                let acked = |group: Group| self.groups[usize::from(group.number())].acked(group);
                let list: Vec<Acked> = acks.iter().filter_map(acked).collect();
                return Some(Output::Send(node, Message::Ack(list)));
            }
        }
        None
    }

    fn applied(&mut self, state: &ControlState, now: Millis) {
        self.in_sync_timeout_ms = u64::from(state.settings.in_sync_timeout_ms);
        let current = |node: &NodeId| Some((*node, state.member(*node)?.incarnation));
        self.incarnations = state.nodes.keys().filter_map(current).collect();
        let refuses = |node: &&NodeId| state.nodes.get(node).is_some_and(|n| !n.takes_copies());
        self.refusing = state.nodes.keys().filter(refuses).copied().collect();
        for (group, config) in state.groups() {
            // Old news: what came later counts, in whatever order it was heard.
            let known = self.held(group).version;
            if config.version < known || config.version == known && known > 0 {
                continue;
            }
            self.held_mut(group).version = config.version;
            if config.primary == Some(self.me) {
                self.lead(group, config, now);
            } else {
                let primary = config.primary.map(|member| member.node);
                let primary = primary.filter(|&node| node != self.me.node);
                let keeps = config.is_holder(self.me.node);
                // Just formed: an empty copy is a complete one.
                let held = self.held_mut(group);
                if config.version == 1 && keeps && held.position.is_none() {
                    held.position = Some(Position::default());
                }
                self.follow(group, config.epoch, primary, keeps, now);
            }
        }
    }
}
