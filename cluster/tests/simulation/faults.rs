//! What happens to a cluster: kills with and without data, pauses, cuts, joins, drains, removals.

use super::engine::Engine;
use super::process::Process;
use super::world::{World, id, registration};
use cluster::control::{ControlCommand, Credential, Outcome};
use cluster::node::{Member, NodeId, Phase};
use cluster::time::Millis;

/// Time between two things that happen.
const PAUSE_BETWEEN_MS: u64 = 1_500;

#[derive(Default)]
pub(crate) struct Faults {
    next: Millis,
    /// Nodes that are about to start, with what their disks hold.
    starting: Vec<(Millis, NodeId, Engine)>,
    start_number: u64,
}

impl World {
    pub(crate) fn step_faults(&mut self) {
        if self.now < self.faults.next.max(Millis(500)) {
            return;
        }
        self.faults.next = self.now.after(200 + self.below(2 * PAUSE_BETWEEN_MS));
        let ids = self.ids();
        let node = ids[self.below(ids.len() as u64) as usize];
        let other = ids[self.below(ids.len() as u64) as usize];
        let for_ms = 50 + self.below(3_000);
        let until = self.now.after(for_ms);
        match self.below(9) {
            0 | 1 => self.kill(node, for_ms),
            2 if self.runs(node) => {
                self.happens(&[node], until);
                self.paused.insert(node, until);
            }
            3 if node != other => {
                self.happens(&[node, other], until);
                self.cuts.insert((node, other), until);
            }
            4 => self.isolate(node, until),
            5 => {
                let new = id(ids.len() as u64 + 1);
                if ids.len() < 7 {
                    self.faults.starting.push((self.now, new, Engine::default()));
                }
            }
            6 => self.ask_phase(node, Phase::Draining),
            7 => self.ask_phase(node, Phase::Active),
            8 => self.ask_phase(node, Phase::Leaving),
            _ => {}
        }
    }

    fn ask_phase(&mut self, node: NodeId, phase: Phase) {
        self.propose(node, ControlCommand::SetPhase { node, phase, at: None });
    }

    fn happens(&mut self, nodes: &[NodeId], until: Millis) {
        if self.tells {
            println!("{:>6} something happens to {nodes:?} until {}", self.now.0, until.0);
        }
        for node in nodes {
            let at = self.disturbed.entry(*node).or_default();
            *at = until.max(*at);
            self.strikes.push((until, *node));
        }
    }

    fn isolate(&mut self, node: NodeId, until: Millis) {
        let both = self.chance(60);
        let ids = self.ids();
        self.happens(&[node], until);
        for other in ids.into_iter().filter(|other| *other != node) {
            self.cuts.insert((node, other), until);
            if both {
                self.cuts.insert((other, node), until);
            }
        }
    }

    /// At least two processes stay, so that something goes on.
    fn kill(&mut self, node: NodeId, for_ms: u64) {
        if self.processes.len() <= 2 {
            return;
        }
        let Some(process) = self.processes.remove(&node) else { return };
        let Process { mut engine, replication, .. } = process;
        // A disk says of a copy whether it is complete.
        engine.groups.retain(|group, _| replication.position(*group).is_some());
        let until = self.now.after(for_ms + 500);
        self.happens(&[node], until);
        self.end_sessions(node);
        self.paused.remove(&node);
        match self.below(3) {
            0 => engine = Engine::default(),
            1 => engine.cut(self.below(5)),
            _ => engine.cut(0),
        }
        self.faults.starting.push((self.now.after(for_ms), node, engine));
    }

    pub(crate) fn step_starts(&mut self) {
        let now = self.now;
        let due: Vec<NodeId> =
            self.faults.starting.iter().filter(|(at, ..)| *at <= now).map(|one| one.1).collect();
        for node in due {
            // It takes part in Raft meanwhile, as do the others that are about to start.
            if !self.reaches_majority(node) {
                continue;
            }
            let at = self.faults.starting.iter().position(|one| one.1 == node).unwrap();
            let (_, _, engine) = self.faults.starting.swap_remove(at);
            let fresh = !self.raft.state().nodes.contains_key(&node);
            self.faults.start_number += 1;
            let restored = !engine.groups.is_empty();
            let registration = registration(node, 1000 + self.faults.start_number, restored);
            let credential = Credential::Seed;
            let outcome = self.commit(&if fresh {
                ControlCommand::Join { registration, credential }
            } else {
                ControlCommand::Register(registration)
            });
            let Outcome::Registered(incarnation) = outcome else { continue };
            let mut process = Process::new(Member { node, incarnation }, engine, now);
            let index = self.raft.states.len() - 1;
            process.apply(index, &self.raft.states[index].clone(), true, now);
            self.processes.insert(node, process);
        }
    }

    /// Nothing happens any more, and who is down comes back.
    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
        self.paused.clear();
        let now = self.now;
        self.faults.starting.iter_mut().for_each(|(at, ..)| *at = now);
    }

    pub(crate) fn is_starting(&self, node: NodeId) -> bool {
        self.faults.starting.iter().any(|(at, starting, _)| *starting == node && *at <= self.now)
    }

    pub(crate) fn all_started(&self) -> bool {
        self.faults.starting.is_empty()
    }
}
