//! What each command does to the state: deterministic and total, whatever the command says. Knows
//! neither health nor wishes; what changes in a group is in `change`.

use super::command::{ControlCommand, Credential, Outcome, Rejection, Token, TokenHash};
use super::placement::{Candidate, place};
use super::settings::{Settings, SettingsError};
use super::state::{ControlState, GroupConfig};
use super::voters::wanted_voters;
use super::{Health, NODES_MAX, TOKENS_MAX, VOTERS_MAX};
use crate::node::{ClusterId, Incarnation, Member, Node, NodeId, Phase, Protocols, Registration};
use crate::record::Epoch;
use crate::slot::GROUPS;
use crate::time::Millis;
use std::collections::BTreeSet;
use std::sync::Arc;

type Done = Result<Outcome, Rejection>;

impl ControlState {
    /// Takes the next entry of the control log. Every node does so in the same order and comes to
    /// the same state; what cannot be is an outcome, never a panic.
    pub fn apply(&mut self, command: &ControlCommand) -> Outcome {
        let forms = matches!(command, ControlCommand::Form { .. });
        if !forms && !self.is_formed() {
            return Outcome::Rejected(Rejection::NotFormed);
        }
        let done = match command {
            ControlCommand::Form { cluster, settings, nodes } => {
                self.form(*cluster, settings, nodes)
            }
            ControlCommand::Register(registration) => self.register(registration),
            ControlCommand::Join { registration, credential } => {
                self.join(registration, *credential)
            }
            ControlCommand::SetPhase { node, phase, at } => {
                self.check_revision(*at).and_then(|()| self.set_phase(*node, *phase))
            }
            ControlCommand::Change(changes) => {
                let mut changed = false;
                let mut change = |one| {
                    let result = self.change(one);
                    changed |= result.is_ok() || self.refuse_handover(one);
                    result
                };
                let results: Vec<_> = changes.iter().map(&mut change).collect();
                let touched = self.touch(changed);
                touched.map(|_| Outcome::Changed(results))
            }
            ControlCommand::Settings { settings, at } => {
                self.check_revision(*at).and_then(|()| self.set_settings(settings))
            }
            ControlCommand::AddToken { hash, token } => self.add_token(*hash, *token),
            ControlCommand::RemoveToken(hash) => {
                let known = self.tokens.remove(hash).is_some();
                self.touch(known)
            }
            ControlCommand::Voters(nodes) => self.set_voters(nodes),
        };
        done.unwrap_or_else(Outcome::Rejected)
    }

    /// Counts a command that changed something.
    fn touch(&mut self, changed: bool) -> Done {
        self.version += u64::from(changed);
        Ok(Outcome::Done)
    }

    /// The same for what operators ask for.
    fn revise(&mut self, changed: bool) -> Done {
        self.revision += u64::from(changed);
        self.touch(changed)
    }

    fn check_revision(&self, at: Option<u64>) -> Result<(), Rejection> {
        at.is_none_or(|at| at == self.revision).then_some(()).ok_or(Rejection::Revision)
    }

    fn form(&mut self, cluster: ClusterId, settings: &Settings, nodes: &[Registration]) -> Done {
        if self.is_formed() {
            return Err(Rejection::AlreadyFormed);
        }
        settings.check().map_err(Rejection::Settings)?;
        let distinct: BTreeSet<NodeId> = nodes.iter().map(|node| node.node).collect();
        let bounded = !nodes.is_empty() && nodes.len() <= NODES_MAX;
        if cluster == ClusterId(0) || !bounded || distinct.len() != nodes.len() {
            return Err(Rejection::Nodes);
        }
        let oldest = nodes.iter().map(|node| node.protocol.min).max().unwrap_or(0);
        let protocol = nodes.iter().map(|node| node.protocol.max).min().unwrap_or(0);
        if oldest > protocol {
            return Err(Rejection::Protocol);
        }
        let mut formed = ControlState { cluster, protocol, ..ControlState::blank() };
        formed.settings = settings.clone();
        let first = |one: &Registration| (one.node, registered(one, Incarnation(1)));
        formed.nodes = nodes.iter().map(first).collect();
        for node in wanted_voters(&formed, &all_up(distinct), Millis(0)) {
            formed.nodes.entry(node).and_modify(|node| node.voter = true);
        }
        formed.groups = formed.first_groups().into_iter().map(Arc::new).collect();
        *self = formed;
        self.touch(true)
    }

    /// All groups, placed and empty: an empty copy is a complete one.
    fn first_groups(&self) -> Vec<GroupConfig> {
        let up =
            |(&id, node): (&NodeId, &Node)| Candidate { id, zone: node.zone.clone(), gains: true };
        let candidates: Vec<Candidate> = self.nodes.iter().map(up).collect();
        let nothing = vec![Vec::new(); usize::from(GROUPS)];
        let placed = place(&nothing, &candidates, &self.settings);
        let begin = |target: Vec<NodeId>| {
            let in_sync: Vec<Member> =
                target.iter().filter_map(|&node| self.member(node)).collect();
            let primary = in_sync.first().copied();
            let (version, epoch) = (1, Epoch(1));
            GroupConfig { version, epoch, primary, in_sync, target, ..GroupConfig::default() }
        };
        placed.into_iter().map(begin).collect()
    }

    fn register(&mut self, registration: &Registration) -> Done {
        let known = self.nodes.get(&registration.node).ok_or(Rejection::UnknownNode)?;
        if !known.is_member() {
            return Err(Rejection::Forgotten);
        }
        self.check_protocol(registration.protocol)?;
        let again = known.start == registration.start && known.incarnation != Incarnation(0);
        let incarnation = if again { known.incarnation } else { known.incarnation.next() };
        let mut node = registered(registration, incarnation);
        node.voter = known.voter;
        if known.phase != Phase::Joining {
            node.phase = known.phase;
        }
        let changed = *known != node;
        self.nodes.insert(registration.node, node);
        if !again {
            self.begin_life(Member { node: registration.node, incarnation }, registration.restored);
        }
        self.raise_protocol();
        self.touch(changed)?;
        Ok(Outcome::Registered(incarnation))
    }

    /// The node's earlier starts are dead: what these held counts no more where others have a
    /// complete copy. Of the last copy stays what the node has restored, or a trace of the loss.
    fn begin_life(&mut self, now: Member, restored: bool) {
        let floor = self.settings.floor();
        for config in &mut self.groups {
            let released = config.unreleased.contains(&now.node);
            let held = config.in_sync(now.node).is_some();
            if !held && !released {
                continue;
            }
            let config = Arc::make_mut(config);
            config.unreleased.retain(|node| *node != now.node);
            if held {
                config.end_life(now.node, floor);
                if !config.nodes().any(|node| node == now.node) {
                    config.learners.push(now.node);
                } else if restored {
                    let place = config.in_sync.iter_mut().find(|member| member.node == now.node);
                    place.into_iter().for_each(|member| *member = now);
                }
            }
            config.version += 1;
        }
    }

    fn check_protocol(&self, spoken: Protocols) -> Result<(), Rejection> {
        let speaks = (spoken.min..=spoken.max).contains(&self.protocol);
        speaks.then_some(()).ok_or(Rejection::Protocol)
    }

    /// The newest version that all members speak is in use from now on.
    fn raise_protocol(&mut self) {
        let members = self.nodes.values().filter(|node| node.is_member());
        let common = members.map(|node| node.protocol.max).min();
        self.protocol = self.protocol.max(common.unwrap_or(0));
    }

    fn join(&mut self, registration: &Registration, credential: Credential) -> Done {
        let known = self.nodes.get(&registration.node);
        if known.is_some_and(Node::is_member) {
            return self.register(registration);
        }
        self.check_protocol(registration.protocol)?;
        let incarnation = known.map_or(Incarnation(0), |gone| gone.incarnation);
        if known.is_none() && self.nodes.len() >= NODES_MAX {
            return Err(Rejection::Nodes);
        }
        match credential {
            Credential::Seed => {}
            Credential::Token { hash, shown_at_ms } => {
                if !self.admits(&hash, registration.node, shown_at_ms) {
                    return Err(Rejection::Token);
                }
                self.tokens.remove(&hash);
            }
        }
        let node = Node { phase: Phase::Joining, ..registered(registration, incarnation) };
        // Not the start that registers now, whatever it was when the node was last a member.
        let node = Node { start: !registration.start, ..node };
        self.nodes.insert(registration.node, node);
        self.register(registration)
    }

    fn set_phase(&mut self, id: NodeId, phase: Phase) -> Done {
        let from = self.nodes.get(&id).ok_or(Rejection::UnknownNode)?.phase;
        match (from, phase) {
            (Phase::Gone, Phase::Gone) => return Ok(Outcome::Done),
            (Phase::Gone, _) => return Err(Rejection::Forgotten),
            (_, Phase::Joining) | (Phase::Joining, Phase::Active | Phase::Draining) => {
                return Err(Rejection::Phase);
            }
            (Phase::Leaving, Phase::Draining) => return Err(Rejection::Phase),
            (_, Phase::Active | Phase::Draining | Phase::Leaving | Phase::Gone) => {}
        }
        let others = self.nodes.iter().filter(|(other, node)| **other != id && node.takes_copies());
        if phase != Phase::Active && others.count() == 0 {
            return Err(Rejection::LastNode);
        }
        if let Some(node) = self.nodes.get_mut(&id) {
            node.phase = phase;
            node.voter &= phase != Phase::Gone;
        }
        if phase == Phase::Gone {
            self.forget(id);
            self.raise_protocol();
        }
        self.revise(from != phase)
    }

    /// The node keeps nothing any more; of the last copies a trace stays.
    fn forget(&mut self, id: NodeId) {
        let floor = self.settings.floor();
        for config in &mut self.groups {
            if !config.is_holder(id) && !config.target.contains(&id) {
                continue;
            }
            let config = Arc::make_mut(config);
            config.end_life(id, floor);
            config.learners.retain(|node| *node != id);
            config.target.retain(|node| *node != id);
            config.version += 1;
        }
    }

    fn set_settings(&mut self, settings: &Settings) -> Done {
        settings.check_change(&self.settings).map_err(Rejection::Settings)?;
        let changed = self.settings != *settings;
        self.settings = settings.clone();
        self.revise(changed)
    }

    fn add_token(&mut self, hash: TokenHash, token: Token) -> Done {
        let before = self.tokens.insert(hash, token);
        if self.tokens.len() > TOKENS_MAX {
            let first = self.tokens.iter().min_by_key(|(_, token)| token.expires_at_ms);
            let first = first.map(|(hash, _)| *hash);
            first.map(|hash| self.tokens.remove(&hash));
        }
        self.touch(before != Some(token))
    }

    fn set_voters(&mut self, nodes: &[NodeId]) -> Done {
        let member = |node| self.nodes.get(node).is_some_and(Node::is_member);
        if nodes.is_empty() || nodes.len() > VOTERS_MAX || !nodes.iter().all(member) {
            return Err(Rejection::Nodes);
        }
        let mut changed = false;
        for (id, node) in &mut self.nodes {
            let votes = nodes.contains(id);
            changed |= node.voter != votes;
            node.voter = votes;
        }
        self.touch(changed)
    }
}

impl GroupConfig {
    /// A start of the node is over: its copy counts no more, if enough others do.
    fn end_life(&mut self, id: NodeId, floor: usize) {
        if self.primary.is_some_and(|primary| primary.node == id) {
            self.primary = None;
        }
        if self.in_sync.len() > floor {
            self.in_sync.retain(|member| member.node != id);
        }
    }
}

impl From<SettingsError> for Rejection {
    fn from(error: SettingsError) -> Rejection {
        Rejection::Settings(error)
    }
}

fn registered(from: &Registration, incarnation: Incarnation) -> Node {
    Node {
        incarnation,
        start: from.start,
        addresses: from.addresses.clone(),
        zone: from.zone.clone(),
        phase: Phase::Active,
        protocol: from.protocol,
        fingerprint: from.fingerprint,
        voter: false,
    }
}

fn all_up(up: BTreeSet<NodeId>) -> Health {
    Health { up, ..Health::default() }
}
