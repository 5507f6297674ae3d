//! What brings each group nearer to where it should be: new targets, new copies, old copies given
//! up; a bounded number of groups at a time. The primaries do the rest: they say when a copy is
//! complete and hand their role over. Knows nothing of failover.

use super::command::Change;
use super::health::Health;
use super::placement::{Candidate, place};
use super::state::{ControlState, GroupConfig};
use crate::node::{Node, NodeId};
use crate::slot::Group;
use crate::time::Millis;

/// The next step of the group towards its target.
pub(super) fn next_step(state: &ControlState, health: &Health, group: Group) -> Option<Change> {
    let config = state.group(group);
    let missing = config
        .target
        .iter()
        .copied()
        .find(|&node| !config.is_holder(node) && state.has_room(node, health));
    if let Some(node) = missing {
        return Some(Change::AddLearner(node));
    }
    config.superfluous(state).map(Change::RemoveReplica)
}

/// Targets that bring the map nearer to balance, as many as may be moved at a time.
pub(super) fn next_targets(
    state: &ControlState,
    health: &Health,
    now: Millis,
) -> Vec<(Group, Change)> {
    let moving = state.groups().filter(|(_, config)| is_moving(state, config, health)).count();
    let free = usize::from(state.settings.moves_max).saturating_sub(moving);
    let candidates = candidates(state, health, now);
    if free == 0 || candidates.is_empty() {
        return Vec::new();
    }
    let current: Vec<Vec<NodeId>> =
        state.groups().map(|(_, config)| config.target.clone()).collect();
    let wanted = place(&current, &candidates, &state.settings);
    let differ = Group::all().zip(current).zip(wanted).filter(|((_, now), then)| now != then);
    let mut differ: Vec<_> = differ.map(|((group, now), then)| (group, now, then)).collect();
    // Groups that nobody executes or that want a copy go before mere balance.
    differ.sort_by_key(|(_, now, then)| {
        let kept = now.iter().filter(|node| candidates.iter().any(|one| one.id == **node));
        kept.count() >= then.len()
    });
    differ.retain(|(_, _, then)| !then.is_empty());
    differ.truncate(free);
    differ.into_iter().map(|(group, _, then)| (group, Change::Target(then))).collect()
}

/// Who may keep groups: active nodes that are not lost.
fn candidates(state: &ControlState, health: &Health, now: Millis) -> Vec<Candidate> {
    let lost = |id| health.is_down_for(id, state.settings.down_to_lost_ms, now);
    let able = state.nodes.iter().filter(|(id, node)| node.takes_copies() && !lost(**id));
    let candidate = |(&id, node): (&NodeId, &Node)| Candidate {
        id,
        zone: node.zone.clone(),
        gains: state.has_room(id, health),
    };
    able.map(candidate).collect()
}

/// Whether something is under way that takes its time; what waits for a node that is down, has no
/// room or is being emptied is not, lest it keep the others waiting.
fn is_moving(state: &ControlState, config: &GroupConfig, health: &Health) -> bool {
    let stuck = |node: &NodeId| !config.is_holder(*node) && !state.has_room(*node, health);
    let takes = |node: &NodeId| state.nodes.get(node).is_some_and(Node::takes_copies);
    let waits = |node: &NodeId| stuck(node) || !takes(node) || !health.is_up(*node);
    if config.target.is_empty() || config.target.iter().any(waits) {
        return false;
    }
    let primary = config.primary.map(|primary| primary.node);
    primary != config.target.first().copied()
        || config.in_sync.len() != config.target.len()
        || !config.learners.is_empty()
        || !config.target.iter().all(|node| config.in_sync(*node).is_some())
}

impl ControlState {
    /// Whether the node may be given another copy now.
    fn has_room(&self, node: NodeId, health: &Health) -> bool {
        let takes = self.nodes.get(&node).is_some_and(|known| known.takes_copies());
        takes && health.is_up(node) && !health.pressure.contains(&node)
    }
}

impl GroupConfig {
    /// A copy that nobody wants and nobody needs: a learner's, or a complete one once all that are
    /// wanted are complete.
    fn superfluous(&self, state: &ControlState) -> Option<NodeId> {
        if self.target.is_empty() {
            return None;
        }
        let unwanted = |node: &NodeId| !self.target.contains(node);
        let learner = self.learners.iter().copied().find(unwanted);
        let complete =
            |node: &NodeId| self.in_sync(*node).is_some_and(|member| state.is_current(member));
        let primary = self.primary.map(|primary| primary.node);
        let done = primary.is_some() && self.target.iter().all(complete);
        let replicas = self.in_sync.iter().map(|member| member.node);
        let replica = replicas.filter(|node| Some(*node) != primary).find(unwanted);
        learner.or(replica.filter(|_| done))
    }
}
