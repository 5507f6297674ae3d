//! What an operator's wish comes to as a command for the cluster, or why it is refused and what to
//! do instead. Pure; every wish may be repeated.

use super::asked::{Asked, Verb};
use super::plan::placed;
use super::settings;
use super::status::live_copies;
use crate::clock;
use cluster::control::{
    Change as OfGroup, ControlCommand, ControlState, GroupChange, Rejection, Token, TokenHash,
};
use cluster::node::{Member, Node, NodeId, Phase};
use cluster::slot::{Group, SLOTS_PER_GROUP};
use std::collections::BTreeSet;

/// What a wish comes to; the text is for people.
#[derive(Debug)]
pub(super) enum Change {
    /// It is so already.
    Nothing(String),
    /// To be ordered.
    Order(Box<ControlCommand>, String),
}

type Changed = Result<Change, String>;

/// What is wished, given who is believed to be there.
pub(super) fn change(asked: &Asked, state: &ControlState, up: &BTreeSet<NodeId>) -> Changed {
    match asked {
        Asked::Settings(pairs) => {
            let settings = settings::changed(state, pairs)?;
            if settings == state.settings {
                return Ok(Change::Nothing("that holds already".into()));
            }
            let at = Some(state.revision);
            Ok(Change::Order(
                Box::new(ControlCommand::Settings { settings, at }),
                "that holds from now on".into(),
            ))
        }
        Asked::Node { node, verb, force } => Wish { state, up, id: *node }.wish(*verb, *force),
        Asked::Move { first, last, to } => {
            let moving = first.group().number()..=last.group().number();
            let moving: Vec<Group> = moving.filter_map(Group::new).collect();
            Wish { state, up, id: *to }.take(&moving)
        }
        Asked::Token { hash, node, ttl_ms } => Wish { state, up, id: *node }.admit(*hash, *ttl_ms),
        Asked::Status | Asked::Plan | Asked::Form { .. } => {
            Ok(Change::Nothing("nothing was wished".into()))
        }
    }
}

/// A wish about a node.
struct Wish<'a> {
    state: &'a ControlState,
    up: &'a BTreeSet<NodeId>,
    id: NodeId,
}

impl Wish<'_> {
    fn wish(&self, verb: Verb, force: bool) -> Changed {
        let node = self.node()?;
        match verb {
            Verb::Drain => self.drain(node),
            Verb::Undrain => self.undrain(node),
            Verb::Remove => self.remove(node, force),
            Verb::Forget => self.forget(node, force),
            Verb::Failover => self.fail_over(force),
        }
    }

    fn node(&self) -> Result<&Node, String> {
        self.state.nodes.get(&self.id).ok_or_else(|| {
            let members = self.state.nodes.iter().filter(|(_, node)| node.is_member());
            let known: Vec<String> = members.map(|(id, _)| id.number().to_string()).collect();
            let (id, known) = (self.id.number(), known.join(", "));
            format!("ERR the cluster has no node of the number {id}; its nodes are {known}")
        })
    }

    fn phase(&self, phase: Phase, told: String) -> Changed {
        // What was weighed here, such as how many others are left, may be another's to change.
        let (node, at) = (self.id, Some(self.state.revision));
        Ok(Change::Order(Box::new(ControlCommand::SetPhase { node, phase, at }), told))
    }

    fn drain(&self, node: &Node) -> Changed {
        let id = self.id.number();
        match node.phase {
            Phase::Draining => Ok(Change::Nothing(format!("node {id} is draining already"))),
            Phase::Leaving => Err(format!("ERR node {id} is being removed, which empties it too")),
            Phase::Joining => Err(format!("ERR node {id} has not started yet: it keeps nothing")),
            Phase::Gone => Err(gone(id)),
            Phase::Active => {
                let others = self.heirs()?;
                let note = self.fewer_copies(others);
                let told = format!("node {id} hands its groups to the others{note}");
                self.phase(Phase::Draining, told)
            }
        }
    }

    fn undrain(&self, node: &Node) -> Changed {
        let id = self.id.number();
        match node.phase {
            Phase::Active => Ok(Change::Nothing(format!("node {id} is not draining"))),
            Phase::Joining => Err(format!("ERR node {id} has not started yet")),
            Phase::Gone => Err(gone(id)),
            Phase::Draining | Phase::Leaving => {
                self.phase(Phase::Active, format!("node {id} gets its share again"))
            }
        }
    }

    fn remove(&self, node: &Node, force: bool) -> Changed {
        let id = self.id.number();
        match node.phase {
            Phase::Gone => Ok(Change::Nothing(format!("node {id} is gone"))),
            Phase::Leaving => Ok(Change::Nothing(format!("node {id} is being removed already"))),
            Phase::Joining => self.phase(Phase::Gone, format!("node {id} is gone")),
            Phase::Active | Phase::Draining => {
                let others = self.heirs()?;
                let factor = usize::from(self.state.settings.factor);
                if others < factor && !force {
                    return Err(format!(
                        "ERR only {others} would be left for {factor} copies of each item: add a \
                         node first, lower replication_factor, or remove it with FORCE"
                    ));
                }
                let note = self.fewer_copies(others);
                self.phase(
                    Phase::Leaving,
                    format!("node {id} hands its groups to the others{note}"),
                )
            }
        }
    }

    /// How many others keep groups; an error if nobody can take this node's.
    fn heirs(&self) -> Result<usize, String> {
        let id = self.id.number();
        let keeps = |(other, node): &(&NodeId, &Node)| **other != self.id && node.takes_copies();
        let others: Vec<NodeId> =
            self.state.nodes.iter().filter(keeps).map(|(other, _)| *other).collect();
        if others.is_empty() {
            return Err(format!("ERR {}: it is node {id}", explain(Rejection::LastNode)));
        }
        if !others.iter().any(|other| self.up.contains(other)) {
            return Err(format!("ERR no node is up that could take the groups of node {id}"));
        }
        Ok(others.len())
    }

    fn fewer_copies(&self, others: usize) -> String {
        let factor = usize::from(self.state.settings.factor);
        if others >= factor {
            return String::new();
        }
        format!("; from then on there are {others} copies of each item instead of {factor}")
    }

    fn forget(&self, node: &Node, force: bool) -> Changed {
        let id = self.id.number();
        if node.phase == Phase::Gone {
            return Ok(Change::Nothing(format!("node {id} is gone")));
        }
        let groups = || self.state.groups().map(|(_, config)| config);
        let keeps = groups().filter(|config| config.is_holder(self.id)).count();
        if self.up.contains(&self.id) && keeps > 0 {
            return Err(format!(
                "ERR node {id} is up and keeps {keeps} groups: remove it, or stop it first"
            ));
        }
        if self.up.contains(&self.id) && node.phase == Phase::Active {
            return Err(format!("ERR node {id} is up and would be given groups: remove it"));
        }
        let holds = |config: &cluster::control::GroupConfig| config.in_sync(self.id).is_some();
        let only = groups().filter(|c| holds(c) && live_copies(self.state, c, self.up) == 0);
        let only = only.count();
        if only > 0 && !force {
            return Err(format!(
                "ERR node {id} has the only complete copy of {only} groups: start it again, or \
                 give their items up with FORCE"
            ));
        }
        self.phase(Phase::Gone, format!("node {id} is gone"))
    }

    fn fail_over(&self, force: bool) -> Changed {
        let id = self.id.number();
        if self.up.contains(&self.id) && !force {
            return Err(format!(
                "ERR node {id} is up: draining it hands its groups over without losing anything; \
                 FORCE takes them at once, with the writes that no copy has yet"
            ));
        }
        let (mut changes, mut alone) = (Vec::new(), 0_usize);
        for (group, config) in self.state.groups() {
            let Some(from) = config.primary.filter(|primary| primary.node == self.id) else {
                continue;
            };
            let able = |to: &&Member| {
                **to != from && self.state.is_current(**to) && self.up.contains(&to.node)
            };
            match config.in_sync.iter().find(able) {
                Some(&to) => {
                    let change = OfGroup::Failover { from: Some(from), to };
                    changes.push(GroupChange { group, version: config.version, change });
                }
                None => alone += 1,
            }
        }
        let count = changes.len();
        if count == 0 && alone > 0 {
            return Err(format!("ERR no other node that is up has a copy of its {alone} groups"));
        }
        if count == 0 {
            return Ok(Change::Nothing(format!("node {id} is primary of nothing")));
        }
        let note = match alone {
            0 => String::new(),
            alone => format!("; of {alone} more nobody else has a copy"),
        };
        let told = format!("{count} groups of node {id} have other primaries{note}");
        Ok(Change::Order(Box::new(ControlCommand::Change(changes)), told))
    }

    /// The node may join with the token that has this hash.
    fn admit(&self, hash: TokenHash, ttl_ms: u64) -> Changed {
        let id = self.id.number();
        if self.state.nodes.get(&self.id).is_some_and(|node| node.is_member()) {
            return Err(format!("ERR node {id} is of the cluster: it needs no token"));
        }
        let expires_at_ms = clock::now().0.saturating_add(ttl_ms);
        let token = Token { node: Some(self.id), expires_at_ms };
        let told = format!("node {id} may join within {} s", ttl_ms / 1000);
        Ok(Change::Order(Box::new(ControlCommand::AddToken { hash, token }), told))
    }

    /// The node becomes primary of these groups. Where that would make it keep more than its
    /// share, it gives others in return: else the cluster would take the same back.
    fn take(&self, moving: &[Group]) -> Changed {
        let id = self.id.number();
        let node = self.node()?;
        if !node.takes_copies() || !self.up.contains(&self.id) {
            return Err(format!("ERR node {id} takes no groups now: it is draining, gone or down"));
        }
        let most = usize::from(self.state.settings.moves_max);
        if moving.len() > most {
            let slots = most * usize::from(SLOTS_PER_GROUP);
            return Err(format!("ERR at most {slots} slots move at a time: moves_max is {most}"));
        }
        let before: Vec<Vec<NodeId>> =
            self.state.groups().map(|(_, config)| config.target.clone()).collect();
        let at = |group: &Group| usize::from(group.number());
        let mut then = before.clone();
        moving.iter().for_each(|group| put_first(&mut then[at(group)], self.id));
        if then == before {
            return Ok(Change::Nothing(format!("they are wanted on node {id} already")));
        }
        let kept = |then: &[Vec<NodeId>]| {
            let placed = placed(then, self.state, self.up);
            moving.iter().filter(|group| placed[at(group)].first() == Some(&self.id)).count()
        };
        if kept(&then) < moving.len() {
            let moved: BTreeSet<usize> = moving.iter().map(at).collect();
            self.give_in_return(&before, &mut then, &moved);
        }
        let differ = Group::all().zip(&then).filter(|(group, to)| before[at(group)] != **to);
        let changes: Vec<GroupChange> = differ
            .map(|(group, to)| {
                let version = self.state.group(group).version;
                GroupChange { group, version, change: OfGroup::Target(to.clone()) }
            })
            .collect();
        let mut told = format!("{} groups move to node {id}", moving.len());
        let returned = changes.len().saturating_sub(moving.len());
        if returned > 0 {
            told.push_str(&format!(", {returned} others go the other way"));
        }
        let back = moving.len() - kept(&then);
        if back > 0 {
            told.push_str(&format!("; {back} will move again, since shares are kept even"));
        }
        Ok(Change::Order(Box::new(ControlCommand::Change(changes)), told))
    }

    fn give_in_return(
        &self,
        before: &[Vec<NodeId>],
        then: &mut [Vec<NodeId>],
        moved: &BTreeSet<usize>,
    ) {
        for &g in moved {
            let Some(&giver) = before[g].first().filter(|giver| **giver != self.id) else {
                continue;
            };
            // A copy changed hands, or only who is first: so it should in return.
            let had_copy = before[g].contains(&self.id);
            let own = |h: &usize| !moved.contains(h) && then[*h].first() == Some(&self.id);
            let alike = |h: &usize| then[*h].contains(&giver) == had_copy;
            if let Some(h) = (0..then.len()).find(|h| own(h) && alike(h)) {
                put_first(&mut then[h], giver);
            }
        }
    }
}

/// Makes `node` the first; who was first makes place for it, or changes places with it.
fn put_first(target: &mut Vec<NodeId>, node: NodeId) {
    match target.iter().position(|holder| *holder == node) {
        Some(place) => target.swap(0, place),
        None if target.is_empty() => target.push(node),
        None => target[0] = node,
    }
}

fn gone(id: u64) -> String {
    format!("ERR node {id} is gone: to come back, it joins anew")
}

/// Why something is refused, for people.
pub(super) fn explain(rejection: Rejection) -> &'static str {
    match rejection {
        Rejection::NotFormed => "there is no cluster yet",
        Rejection::AlreadyFormed => "there is a cluster already",
        Rejection::Nodes => "that is no sensible list of nodes",
        Rejection::UnknownNode => "there is no such node",
        Rejection::Forgotten => "the node is gone: to come back, it joins anew",
        Rejection::Token => "the token is not valid, or was used",
        Rejection::Protocol => "the node does not speak the protocol of the cluster",
        Rejection::Phase => "there is no such way through a node's life",
        Rejection::LastNode => "the last node that keeps data cannot be emptied",
        Rejection::Settings(error) => settings::explain(error),
        Rejection::Revision => {
            "somebody else has changed settings or a node's phase at the same time: look again"
        }
        Rejection::Version => "the group has changed meanwhile: try again",
        Rejection::NotPrimary => "the group has another primary by now: try again",
        Rejection::Incarnation => "the node has started anew meanwhile: try again",
        Rejection::NotActive => "the node is draining, leaving or gone",
        Rejection::NotHolder => "the node has no copy of the group",
        Rejection::AlreadyHolder => "the node has a copy of the group already",
        Rejection::Primary => "the copy of a primary is not taken away",
        Rejection::Floor => "too few complete copies would be left",
        Rejection::Target => "that is no sensible list of holders",
        Rejection::Mode => "this mode of replication does not allow that",
    }
}
