//! The world of a seed: time, chance, network, processes, clients.

use super::checks::Checks;
use super::process::{Process, Sent};
use super::raft::Raft;
use cluster::control::{ControlCommand, Settings};
use cluster::message::{Message, MessageError};
use cluster::node::{ClusterId, Incarnation, Member, NodeId, Registration};
use cluster::replication::{Input, TICK_MS};
use cluster::routing::{Access, Route, route};
use cluster::slot::{GROUPS, Group};
use cluster::time::Millis;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// The world moves in steps of so many milliseconds.
const STEP_MS: u64 = 5;
/// A connection ends when nothing comes through for so long.
const IDLE_MS: u64 = 1_000;
/// How long things happen, and how long it then may take until all is well.
pub(crate) const FAULTS_MS: u64 = 12_000;
const HEAL_MS_MAX: u64 = 20_000;
/// Groups that clients write to.
const GROUPS_USED: u64 = 10;

/// An ordered stream: what is on its way, of which connection.
type Lane = VecDeque<(Millis, u64, Vec<u8>)>;

#[derive(Default)]
struct Session {
    id: u64,
    up: bool,
    changes_at: Option<Millis>,
}

pub(crate) struct World {
    rng: u64,
    pub(crate) now: Millis,
    pub(crate) tells: bool,
    pub(crate) processes: BTreeMap<NodeId, Process>,
    pub(crate) paused: BTreeMap<NodeId, Millis>,
    pub(crate) cuts: BTreeMap<(NodeId, NodeId), Millis>,
    /// When something last happened to a node.
    pub(crate) disturbed: BTreeMap<NodeId, Millis>,
    /// Until when something may have cost a copy of this node's.
    pub(crate) strikes: Vec<(Millis, NodeId)>,
    sessions: BTreeMap<(NodeId, NodeId), Session>,
    session_next: u64,
    datagrams: Vec<(Millis, NodeId, NodeId, Vec<u8>)>,
    lanes: BTreeMap<(NodeId, NodeId, bool), Lane>,
    forwards: Vec<(Millis, NodeId, NodeId, Group, u64)>,
    pub(crate) raft: Raft,
    pub(crate) groups: Vec<Group>,
    key_next: u64,
    pub(crate) checks: Checks,
    pub(crate) faults: super::faults::Faults,
}

pub(crate) fn id(number: u64) -> NodeId {
    NodeId::new(number).unwrap()
}

/// The next number of a source of chance.
pub(crate) fn mixed(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

pub(crate) fn registration(node: NodeId, start: u64, restored: bool) -> Registration {
    Registration { restored, ..Registration::new(node, start) }
}

impl World {
    pub(crate) fn new(seed: u64) -> World {
        let mut world = World {
            rng: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x1234_5678,
            now: Millis(1),
            tells: false,
            processes: BTreeMap::new(),
            paused: BTreeMap::new(),
            cuts: BTreeMap::new(),
            disturbed: BTreeMap::new(),
            strikes: Vec::new(),
            sessions: BTreeMap::new(),
            session_next: 1,
            datagrams: Vec::new(),
            lanes: BTreeMap::new(),
            forwards: Vec::new(),
            raft: Raft::new(),
            groups: Vec::new(),
            key_next: 1,
            checks: Checks::default(),
            faults: super::faults::Faults::default(),
        };
        for _ in 0..GROUPS_USED {
            let group = Group::new(world.below(u64::from(GROUPS)) as u16).unwrap();
            world.groups.push(group);
        }
        world
    }

    fn form(&mut self) {
        let count = 3 + self.below(3);
        let nodes = (1..=count).map(|n| registration(id(n), n, false)).collect();
        let settings = Settings {
            lost_group_after_ms: 2_000,
            down_to_lost_ms: 4_000,
            moves_max: if self.chance(25) { 64 } else { 1024 },
            ..Settings::default()
        };
        self.commit(&ControlCommand::Form { cluster: ClusterId(1), settings, nodes });
        for number in 1..=count {
            let me = Member { node: id(number), incarnation: Incarnation(1) };
            self.processes.insert(id(number), Process::new(me, Default::default(), self.now));
        }
        self.raft.leader = Some(id(1));
    }

    pub(crate) fn run(&mut self) {
        self.form();
        while self.now.0 < FAULTS_MS {
            self.step_faults();
            self.step(true);
        }
        self.heal();
        let from = self.now;
        while !self.is_well() {
            assert!(self.now.since(from) < HEAL_MS_MAX, "not well again: {}", self.ailment());
            self.step(false);
        }
        self.check_end();
    }

    fn step(&mut self, writes: bool) {
        self.now = self.now.after(STEP_MS);
        let now = self.now;
        self.paused.retain(|_, until| *until > now);
        self.cuts.retain(|_, until| *until > now);
        self.step_starts();
        self.step_raft();
        self.step_sessions();
        self.deliver();
        for node in self.ids() {
            if !self.runs(node) {
                continue;
            }
            let flushes = self.chance(70);
            let process = self.processes.get_mut(&node).unwrap();
            process.tick(now, now.0 / STEP_MS % (TICK_MS / STEP_MS) == node.number() % 4);
            if flushes {
                process.flush(now);
            }
            process.pump();
            if std::mem::take(&mut process.stumbled) {
                self.strikes.push((now, node));
            }
            let (sends, proposals) =
                (std::mem::take(&mut process.sends), std::mem::take(&mut process.proposals));
            sends.into_iter().for_each(|sent| self.send(node, sent));
            for changes in proposals {
                self.propose(node, ControlCommand::Change(changes));
            }
        }
        if writes {
            self.step_clients();
        }
        if now.0 % 100 < STEP_MS {
            self.check_copies();
        }
    }

    fn step_clients(&mut self) {
        let ids = self.ids();
        for _ in 0..self.below(3) {
            let entry = ids[self.below(ids.len() as u64) as usize];
            let group = self.below(GROUPS_USED) as usize;
            let group = self.groups[group];
            if !self.runs(entry) {
                continue;
            }
            let key = self.key_next;
            self.key_next += 1;
            let known = Rc::clone(&self.processes[&entry].entry);
            match route(known.topology(), entry, group, Access::Primary) {
                Route::Local => self.execute(entry, entry, group, key),
                Route::Elsewhere(owner) => {
                    let at = self.now.after(self.below(20));
                    self.forwards.push((at, entry, owner, group, key));
                }
                Route::Nobody => {}
            }
        }
        let now = self.now;
        let due: Vec<_> = self.forwards.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, entry, owner, group, key) in due {
            if self.open(entry, owner) && self.runs(owner) {
                self.execute(entry, owner, group, key);
            }
        }
    }

    fn execute(&mut self, entry: NodeId, owner: NodeId, group: Group, key: u64) {
        let now = self.now;
        let process = self.processes.get_mut(&owner).unwrap();
        let me = process.me;
        let Some(at) = process.execute(group, key, now) else { return };
        if self.open(owner, entry) {
            self.acknowledged(me, group, key, at);
        }
    }

    fn send(&mut self, from: NodeId, sent: Sent) {
        let delay = 1 + self.below(8) + if self.chance(3) { self.below(150) } else { 0 };
        let at = self.now.after(delay);
        let (to, bytes, resyncs) = match sent {
            Sent::Datagram(to, bytes) => {
                if !self.chance(2) {
                    self.datagrams.push((at, from, to, bytes));
                }
                return;
            }
            Sent::Stream(to, bytes) => (to, bytes, false),
            Sent::Resync(to, bytes) => (to, bytes, true),
        };
        let session = self.processes[&from].connected.get(&to).copied();
        if let Some(session) = session {
            self.lanes.entry((from, to, resyncs)).or_default().push_back((at, session, bytes));
        }
    }

    fn deliver(&mut self) {
        let now = self.now;
        let due: Vec<_> = self.datagrams.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, from, to, bytes) in due {
            if self.open(from, to) && self.runs(to) {
                self.processes.get_mut(&to).unwrap().message(from, &bytes, now);
            }
        }
        let lanes: Vec<_> = self.lanes.keys().copied().collect();
        for (from, to, resyncs) in lanes {
            if !self.open(from, to) || !self.open(to, from) || !self.runs(to) {
                continue;
            }
            while let Some((_, session, bytes)) = self.lane_head((from, to, resyncs)) {
                let process = self.processes.get_mut(&to).unwrap();
                if process.connected.get(&from) == Some(&session) {
                    debug_assert_ne!(Message::decode(&bytes), Err(MessageError::Length));
                    process.message(from, &bytes, now);
                }
            }
        }
    }

    fn lane_head(&mut self, lane: (NodeId, NodeId, bool)) -> Option<(Millis, u64, Vec<u8>)> {
        let lane = self.lanes.get_mut(&lane)?;
        lane.pop_front_if(|(at, ..)| *at <= self.now)
    }

    /// Connections end when one side is gone or nothing comes through for long, and come back.
    fn step_sessions(&mut self) {
        let now = self.now;
        let ids = self.ids();
        for (i, &a) in ids.iter().enumerate() {
            for &b in &ids[i + 1..] {
                let fine = self.talk(a, b);
                let alive = self.processes.contains_key(&a) && self.processes.contains_key(&b);
                let wait = if self.chance(50) { 50 } else { 150 };
                let session = self.sessions.entry((a, b)).or_default();
                if session.up == fine {
                    session.changes_at = None;
                    continue;
                }
                let wait = if session.up { IDLE_MS } else { wait };
                let at = *session.changes_at.get_or_insert(now.after(wait));
                if now >= at || (session.up && !alive) {
                    session.up = fine;
                    session.changes_at = None;
                    session.id = self.session_next;
                    self.session_next += 1;
                }
            }
        }
        for &node in &ids {
            for &other in &ids {
                if node != other && self.runs(node) {
                    self.notice(node, other);
                }
            }
        }
    }

    fn notice(&mut self, node: NodeId, other: NodeId) {
        let session = &self.sessions[&(node.min(other), node.max(other))];
        let there = self.processes.get(&other).map(|process| process.me);
        let now_up = session.up.then_some(session.id).filter(|_| there.is_some());
        let now = self.now;
        let process = self.processes.get_mut(&node).unwrap();
        let known = process.connected.get(&other).copied();
        if known == now_up {
            return;
        }
        if known.is_some() {
            process.connected.remove(&other);
            process.handle(Input::PeerDown(other), now);
        }
        if let (Some(session), Some(member)) = (now_up, there) {
            process.connected.insert(other, session);
            process.handle(Input::PeerUp(member), now);
        }
    }

    /// A process is gone: so are its connections, though others may notice late.
    pub(crate) fn end_sessions(&mut self, node: NodeId) {
        for ((a, b), session) in &mut self.sessions {
            if *a == node || *b == node {
                *session = Session::default();
            }
        }
        self.lanes.retain(|(a, b, _), _| *a != node && *b != node);
    }

    /// Every node that ever was.
    pub(crate) fn ids(&self) -> Vec<NodeId> {
        self.raft.state().nodes.keys().copied().collect()
    }

    pub(crate) fn runs(&self, node: NodeId) -> bool {
        self.processes.contains_key(&node) && !self.paused.contains_key(&node)
    }

    /// Whether what `from` sends reaches `to`.
    pub(crate) fn open(&self, from: NodeId, to: NodeId) -> bool {
        from == to || !self.cuts.contains_key(&(from, to))
    }

    pub(crate) fn talk(&self, a: NodeId, b: NodeId) -> bool {
        self.open(a, b) && self.open(b, a) && self.runs(a) && self.runs(b)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        mixed(&mut self.rng) % end.max(1)
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}
