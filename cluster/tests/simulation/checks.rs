//! What must hold, whatever happens.

use super::world::World;
use cluster::control::{Change, ControlCommand, ControlState, Health, Position};
use cluster::node::{Member, NodeId};
use cluster::record::Epoch;
use cluster::replication::Digest;
use cluster::slot::Group;
use cluster::time::Millis;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// A deposed primary may acknowledge for a lease, and until it has heard of it.
const DEPOSED_ACK_MS_MAX: u64 = 1_000 + 400;
/// A node to which nothing has happened for so long should be known to be well.
const CALM_MS: u64 = 2_500;

/// What was proposed before something happened takes effect within this time, if at all.
const LATE_MS: u64 = 3_000;

#[derive(Default)]
pub(crate) struct Checks {
    /// Acknowledged writes of each group, in the order of their acknowledgements.
    writes: BTreeMap<Group, Vec<u64>>,
    /// How many of these were in two complete copies at least, and when that was seen last.
    settled: BTreeMap<Group, (usize, Millis)>,
    /// Those that were lost in a way that is documented.
    excused: BTreeSet<u64>,
    acting: BTreeMap<(Group, Epoch), Member>,
    /// When an epoch of a group began, and whether by a hand-over.
    begun: BTreeMap<(Group, Epoch), (Millis, bool)>,
}

impl Checks {
    pub(crate) fn acked(&self) -> usize {
        self.writes.values().map(Vec::len).sum()
    }

    pub(crate) fn lost(&self) -> usize {
        self.excused.len()
    }

    pub(crate) fn epochs(&self) -> usize {
        self.begun.len()
    }
}

impl World {
    /// One acting primary per group and epoch; one that was deposed stops soon, one that handed
    /// over at once.
    pub(crate) fn acknowledged(&mut self, by: Member, group: Group, key: u64, at: Position) {
        let acting = *self.checks.acting.entry((group, at.epoch)).or_insert(by);
        assert_eq!(acting, by, "two primaries of {group:?} in {:?}", at.epoch);
        let state = self.raft.state();
        if state.group(group).epoch > at.epoch {
            let next = (group, Epoch(at.epoch.0 + 1));
            let (when, handed_over) = self.checks.begun[&next];
            assert!(!handed_over, "{by:?} acknowledged for {group:?} after its hand-over");
            let late_ms = self.now.since(when);
            assert!(late_ms <= DEPOSED_ACK_MS_MAX, "{by:?} acknowledged {late_ms} ms too late");
            self.checks.excused.insert(key);
        }
        self.checks.writes.entry(group).or_default().push(key);
    }

    /// Epochs never go back; a failover takes a copy with everything that is still to be had.
    pub(crate) fn check_commit(&mut self, command: &ControlCommand, before: &ControlState) {
        let after = Rc::clone(self.raft.states.last().unwrap());
        let after = &after.state;
        let used: BTreeSet<Group> = self.groups.iter().copied().collect();
        for group in used {
            let (old, new) = (before.group(group), after.group(group));
            assert!(old.epoch <= new.epoch && old.version <= new.version, "{group:?} goes back");
            let is_new = |member: &&Member| !old.in_sync.contains(member);
            for member in new.in_sync.iter().filter(is_new) {
                assert!(after.is_current(*member), "{member:?} is over and enters {group:?}");
                let process = self.processes.get(&member.node).filter(|p| p.me == *member);
                let lately = |(until, node): &(Millis, NodeId)| {
                    *node == member.node && until.after(LATE_MS) >= self.now
                };
                let complete = self.strikes.iter().any(lately)
                    || process.is_none_or(|p| p.replication.position(group).is_some());
                let expands = matches!(command, ControlCommand::Change(_));
                assert!(complete || !expands, "{member:?} enters {group:?} without a copy");
                let empty = matches!(command, ControlCommand::Register(r) if !r.restored);
                assert!(!empty, "{member:?} came back with nothing and is in sync");
            }
            if old.epoch == new.epoch || !before.is_formed() {
                continue;
            }
            let is = |wanted: fn(&Change) -> bool| match command {
                ControlCommand::Change(list) => {
                    list.iter().any(|one| one.group == group && wanted(&one.change))
                }
                _ => false,
            };
            let is_handover = is(|change| matches!(change, Change::Handover { .. }));
            let anew = is(|change| matches!(change, Change::Recreate { .. }));
            self.checks.begun.insert((group, new.epoch), (self.now, is_handover));
            if !is_handover {
                let to = new.primary.unwrap().node;
                let from = old.primary.filter(|from| after.is_current(*from));
                self.check_failover(group, to, from.map(|member| member.node), anew);
            }
        }
    }

    fn check_failover(&mut self, group: Group, to: NodeId, from: Option<NodeId>, anew: bool) {
        let complete = |node: &NodeId| {
            let process = self.processes.get(node).filter(|_| self.runs(*node));
            let at = process.and_then(|process| process.replication.position(group));
            at.is_some()
        };
        let calm = |node: &NodeId| {
            let disturbed = self.disturbed.get(node).copied().unwrap_or_default();
            disturbed.after(CALM_MS) < self.now
        };
        let holders: Vec<NodeId> = self
            .ids()
            .into_iter()
            .filter(complete)
            .filter(calm)
            .filter(|n| Some(*n) != from)
            .collect();
        let processes = &self.processes;
        let has = |node: &NodeId, key: &u64| {
            let process = processes.get(node);
            process.is_some_and(|process| process.engine.has(group, *key))
        };
        let acked = self.checks.writes.get(&group).cloned().unwrap_or_default();
        let (settled, at) = self.checks.settled.get(&group).copied().unwrap_or_default();
        let struck: Vec<_> = self.strikes.iter().filter(|(until, _)| *until >= at).collect();
        for (i, key) in acked.into_iter().enumerate() {
            let stays = has(&to, &key) && !anew;
            if self.checks.excused.contains(&key) || stays {
                continue;
            }
            let better = holders.iter().find(|node| has(node, &key));
            assert_eq!(better, None, "{group:?} went to {to:?} without {key}, which one has");
            let excuse = i >= settled || struck.len() > 1;
            assert!(excuse, "{group:?} went to {to:?} without {key}, which two had: {struck:?}");
            self.checks.excused.insert(key);
        }
    }

    /// Copies that end in the same record are the same. What two have is remembered: one thing
    /// that happens to one node does not lose it.
    pub(crate) fn check_copies(&mut self) {
        for group in self.groups.clone() {
            let mut copies: BTreeMap<Position, (NodeId, Digest)> = BTreeMap::new();
            for (&node, process) in &self.processes {
                let Some(at) = process.copy_at(group) else { continue };
                let digest = process.engine.digest(group);
                let (other, same) = *copies.entry(at).or_insert((node, digest));
                assert_eq!(same, digest, "{group:?} at {at:?} differs on {node:?} and {other:?}");
            }
            self.settle(group);
        }
    }

    fn settle(&mut self, group: Group) {
        let state = self.raft.state();
        let config = state.group(group);
        let at = |member: &Member| {
            let known = state.is_current(*member) && self.runs(member.node);
            let process = self.processes.get(&member.node).filter(|_| known)?;
            process.copy_at(group)
        };
        let positions: BTreeSet<_> = config.in_sync.iter().map(at).collect();
        let same = positions.len() == 1 && !positions.contains(&None);
        let Some(primary) = config.primary.filter(|_| same && config.in_sync.len() > 1) else {
            return;
        };
        let acked = self.checks.writes.get(&group).map_or(&[][..], Vec::as_slice);
        let before = self.checks.settled.get(&group).map_or(0, |(count, _)| *count);
        for key in acked[before..].iter().filter(|key| !self.checks.excused.contains(key)) {
            let there = self.processes[&primary.node].engine.has(group, *key);
            assert!(there, "{key} of {group:?} was acknowledged and its primary lacks it");
        }
        self.checks.settled.insert(group, (acked.len(), self.now));
    }

    /// What is not as it should be yet.
    pub(crate) fn ailment(&self) -> String {
        let state = self.raft.state();
        if !self.all_started() {
            return "a node has not started".into();
        }
        for (group, config) in state.groups() {
            let Some(primary) = config.primary.filter(|member| state.is_current(*member)) else {
                return format!("nobody leads {group:?}: {config:?}");
            };
            let leads = self.processes.get(&primary.node);
            if !leads.is_some_and(|p| p.leads.contains_key(&group) && !p.stopped.contains(&group)) {
                return format!("{group:?} is not led by {primary:?}: {config:?}");
            }
            if !leads.is_some_and(|process| process.liveness.lease_ok(self.now)) {
                return format!("{primary:?} has no lease");
            }
        }
        for &group in &self.groups {
            let config = state.group(group);
            let nodes = state.nodes.values().filter(|node| node.takes_copies()).count();
            if config.in_sync.len() < nodes.min(2) || !config.learners.is_empty() {
                return format!("{group:?} has too few copies: {config:?}");
            }
            let copies: Vec<_> = config
                .in_sync
                .iter()
                .map(|member| {
                    let process = &self.processes[&member.node];
                    (process.replication.position(group), process.engine.digest(group))
                })
                .collect();
            if copies.windows(2).any(|two| two[0] != two[1]) {
                return format!("copies of {group:?} differ: {copies:?}");
            }
        }
        String::new()
    }

    pub(crate) fn is_well(&self) -> bool {
        self.now.0 % 100 < 5 && self.ailment().is_empty()
    }

    /// No acknowledged write is lost, but those that a failover lost.
    pub(crate) fn check_end(&self) {
        let state = self.raft.state();
        for (group, key) in
            self.checks.writes.iter().flat_map(|(g, keys)| keys.iter().map(|k| (*g, k)))
        {
            let primary = state.group(group).primary.unwrap().node;
            let there = self.processes[&primary].engine.has(group, *key);
            let excused = self.checks.excused.contains(key);
            assert!(there || excused, "{key} of {group:?} was acknowledged and is lost");
        }
    }
}

/// A failover takes the copy that has come farthest, of those that the leader was told of.
pub(crate) fn check_failovers(state: &ControlState, health: &Health, commands: &[ControlCommand]) {
    let lists = commands.iter().filter_map(|command| match command {
        ControlCommand::Change(list) => Some(list),
        _ => None,
    });
    for one in lists.flatten() {
        let Change::Failover { from, to } = one.change else { continue };
        let chosen = health.positions.get(&(to.node, one.group));
        let config = state.group(one.group);
        for (&(node, group), position) in &health.positions {
            let member = state.member(node).filter(|member| Some(*member) != from);
            let counts = group == one.group && health.is_up(node) && config.is_holder(node);
            if member.is_some() && counts {
                assert!(chosen >= Some(position), "{group:?}: {to:?} lags behind {node:?}");
            }
        }
    }
}
