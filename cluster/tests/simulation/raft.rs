//! A log in total order that needs a leader with a majority of the voters: all that Raft promises,
//! and how it comes about pretended.

use super::checks::check_failovers;
use super::process::Asking;
use super::world::World;
use cluster::control::{ControlCommand, ControlState, Health, Outcome, plan, positions_wanted};
use cluster::node::NodeId;
use cluster::replication::TICK_MS;
use cluster::time::Millis;
use cluster::topology::Topology;
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::rc::Rc;

/// How long the leader waits for positions.
const ASK_MS_MAX: u64 = 300;
/// Time between two looks at who is dead, and between two plans while nobody is.
const PLAN_MS: u64 = 50;
const PLAN_CALM_MS: u64 = 200;
/// Time without a plan while nothing changes.
const PLAN_IDLE_MS: u64 = 500;

/// What an entry led to.
#[derive(Default)]
pub(crate) struct Entry {
    pub(crate) state: ControlState,
    topology: OnceCell<Topology>,
}

pub(crate) struct Raft {
    /// The state after each entry; the first is blank.
    pub(crate) states: Vec<Rc<Entry>>,
    pub(crate) leader: Option<NodeId>,
    pub(crate) elect_at: Option<Millis>,
    /// What is on its way to the leader.
    pub(crate) proposed: Vec<(Millis, NodeId, ControlCommand)>,
    pub(crate) plan_at: Millis,
    planned: Option<(usize, Health, Millis)>,
}

impl Entry {
    pub(crate) fn topology(&self) -> &Topology {
        self.topology.get_or_init(|| self.state.topology())
    }
}

impl Raft {
    pub(crate) fn new() -> Raft {
        Raft {
            states: vec![Rc::default()],
            leader: None,
            elect_at: None,
            proposed: Vec::new(),
            plan_at: Millis(0),
            planned: None,
        }
    }

    pub(crate) fn state(&self) -> &ControlState {
        &self.states.last().unwrap().state
    }
}

impl World {
    /// Appends an entry: from now on it holds.
    pub(crate) fn commit(&mut self, command: &ControlCommand) -> Outcome {
        let before = Rc::clone(self.raft.states.last().unwrap());
        let mut state = before.state.clone();
        let outcome = state.apply(command);
        if self.tells {
            println!("{:>6} {} {outcome:?}", self.now.0, shortened(command));
        }
        self.raft.states.push(Rc::new(Entry { state, topology: OnceCell::new() }));
        self.check_commit(command, &before.state);
        outcome
    }

    fn leads(&self, node: NodeId) -> bool {
        let is_voter = self.raft.state().nodes.get(&node).is_some_and(|known| known.voter);
        is_voter && self.runs(node) && self.reaches_majority(node)
    }

    /// A node that has started takes part in Raft before it is registered.
    pub(crate) fn reaches_majority(&self, node: NodeId) -> bool {
        let voters: BTreeSet<NodeId> = self.raft.state().voters().collect();
        let takes_part = |voter: NodeId| self.runs(voter) || self.is_starting(voter);
        let reaches = |voter: &&NodeId| {
            takes_part(**voter) && self.open(node, **voter) && self.open(**voter, node)
        };
        voters.iter().filter(reaches).count() > voters.len() / 2
    }

    pub(crate) fn step_raft(&mut self) {
        let leader = self.raft.leader.filter(|&leader| self.leads(leader));
        self.elect(leader);
        let Some(leader) = leader else { return };
        let now = self.now;
        let due: Vec<_> = self.raft.proposed.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, from, command) in due {
            if self.talk(from, leader) {
                self.commit(&command);
            }
        }
        for node in self.ids() {
            if self.runs(node) && self.open(leader, node) && (node == leader || self.chance(60)) {
                self.catch_up(node);
            }
        }
        if now >= self.raft.plan_at {
            self.raft.plan_at = now.after(PLAN_MS);
            self.lead(leader);
        }
    }

    fn elect(&mut self, leader: Option<NodeId>) {
        if leader.is_some() {
            self.raft.elect_at = None;
            return;
        }
        let wait_ms = 200 + self.below(200);
        let at = *self.raft.elect_at.get_or_insert(self.now.after(wait_ms));
        if self.now < at {
            return;
        }
        let able: Vec<NodeId> = self.ids().into_iter().filter(|&node| self.leads(node)).collect();
        if !able.is_empty() {
            let chosen = able[self.below(able.len() as u64) as usize];
            self.raft.leader = Some(chosen);
            self.raft.elect_at = None;
            self.processes.get_mut(&chosen).unwrap().asking = None;
        }
    }

    fn catch_up(&mut self, node: NodeId) {
        let end = self.raft.states.len() - 1;
        let from = self.processes[&node].applied + 1;
        // Who is told only of the newest state misses some.
        let from = if self.chance(30) { from.max(end) } else { from };
        for index in from..=end {
            let entry = Rc::clone(&self.raft.states[index]);
            let (flushes, now) = (self.chance(50), self.now);
            self.processes.get_mut(&node).unwrap().apply(index, &entry, flushes, now);
        }
    }

    /// What the leader of the Raft group does: looks who is alive, asks, plans, proposes.
    fn lead(&mut self, leader: NodeId) {
        let now = self.now;
        let process = &self.processes[&leader];
        if process.applied + 1 != self.raft.states.len() {
            return;
        }
        let entry = Rc::clone(&process.entry);
        let state = &entry.state;
        let mut health = Health::default();
        for (node, down) in process.liveness.nodes() {
            match down {
                None => drop(health.up.insert(node)),
                Some(since) => drop(health.down_since.insert(node, since)),
            }
        }
        let wanted = positions_wanted(state, &health);
        let mut asking = self.processes.get_mut(&leader).unwrap().asking.take();
        if !wanted.is_empty() {
            let mut ask = asking.take().unwrap_or_default();
            // What was not asked was not answered: another question, another answer.
            if ask.wanted != wanted {
                ask = Asking { since: now, wanted: wanted.clone(), ..Asking::default() };
            }
            health.answered = ask.answered.clone();
            health.positions = ask.positions.clone();
            for (&node, groups) in &wanted {
                if !self.runs(node) || !self.talk(node, leader) {
                    continue;
                }
                let asked = &self.processes[&node];
                if state.member(node) != Some(asked.me) {
                    continue;
                }
                ask.answered.insert(node);
                for &group in groups {
                    ask.positions.remove(&(node, group));
                    if let Some(position) = asked.replication.position(group) {
                        ask.positions.insert((node, group), position);
                    }
                }
            }
            let complete = wanted.keys().all(|node| health.answered.contains(node));
            let waits = !complete && now.since(ask.since) < ASK_MS_MAX;
            self.processes.get_mut(&leader).unwrap().asking = Some(ask);
            if waits {
                return;
            }
        }
        let index = self.raft.states.len();
        let same = self.raft.planned.as_ref().is_some_and(|(at, before, when)| {
            let same = *at == index && *before == health;
            let calm_ms = if same { PLAN_IDLE_MS } else { PLAN_CALM_MS };
            (same || wanted.is_empty()) && now.since(*when) < calm_ms
        });
        if same {
            return;
        }
        let commands = plan(state, &health, now);
        check_failovers(state, &health, &commands);
        self.raft.planned = Some((index, health, now));
        for command in commands {
            self.propose(leader, command);
        }
    }

    /// Sends a command to the leader; it may be lost, come twice, or come late.
    pub(crate) fn propose(&mut self, from: NodeId, command: ControlCommand) {
        let copies = match self.below(30) {
            0 => 0,
            1 => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let late_ms = if self.chance(4) { self.below(2_500) } else { 0 };
            let at = self.now.after(2 + self.below(TICK_MS) + late_ms);
            self.raft.proposed.push((at, from, command.clone()));
        }
    }
}

fn shortened(command: &ControlCommand) -> String {
    let mut text = format!("{command:?}");
    text.truncate(400);
    text
}
