//! What to do about groups whose primary is dead: another complete copy, or to begin anew. Knows
//! neither how anybody came to be taken for dead nor what a copy holds.

use super::command::Change;
use super::health::{Health, Position};
use super::settings::Replication;
use super::state::{ControlState, GroupConfig};
use crate::node::{Member, NodeId};
use crate::slot::Group;
use crate::time::Millis;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Whom to ask for the positions of which of its complete copies before [`super::plan`] can choose
/// new primaries. Plan when all have answered, or the wait for them is over: it chooses among
/// those that did.
pub fn positions_wanted(state: &ControlState, health: &Health) -> BTreeMap<NodeId, Vec<Group>> {
    let mut wanted: BTreeMap<NodeId, Vec<Group>> = BTreeMap::new();
    for (group, config) in state.groups() {
        if !state.has_dead_primary(config, health) {
            continue;
        }
        for member in state.live_holders(config, health) {
            wanted.entry(member.node).or_default().push(group);
        }
    }
    wanted
}

/// What to do about the group, if its primary is dead.
pub(super) fn fail_over(
    state: &ControlState,
    health: &Health,
    now: Millis,
    group: Group,
) -> Option<Change> {
    let config = state.group(group);
    if !state.has_dead_primary(config, health) {
        return None;
    }
    let copies = state.live_holders(config, health).filter_map(|member| {
        let position = health.positions.get(&(member.node, group))?;
        Some((member, *position))
    });
    let from = config.primary;
    let copies: Vec<(Member, Position)> = copies.filter(|(to, _)| Some(*to) != from).collect();
    let in_sync = copies.iter().any(|(member, _)| config.in_sync.contains(member));
    // A copy that had fallen behind is better than none, and worse than one that may come back.
    if !in_sync && config.in_sync.iter().any(|&member| state.may_return(member, health, now)) {
        return None;
    }
    match most_complete(config, &copies) {
        Some(to) => Some(Change::Failover { from, to }),
        None => begin_anew(state, health, now, config),
    }
}

/// The copy that has come farthest; among equals one that is in sync, then as the target has it.
fn most_complete(config: &GroupConfig, copies: &[(Member, Position)]) -> Option<Member> {
    let wish = |node| config.target.iter().position(|&wanted| wanted == node);
    let best = copies.iter().max_by_key(|(member, position)| {
        let in_sync = config.in_sync.contains(member);
        let wish = wish(member.node).unwrap_or(usize::MAX);
        (*position, in_sync, Reverse((wish, member.node)))
    });
    best.map(|(member, _)| *member)
}

/// No copy is left: the first wanted node that is up begins an empty one. A learner that has not
/// said what it has is waited for, be it up or away: it may have a copy that had fallen behind.
fn begin_anew(
    state: &ControlState,
    health: &Health,
    now: Millis,
    config: &GroupConfig,
) -> Option<Change> {
    let mut learners = config.learners.iter().filter_map(|&node| state.member(node));
    if !state.is_async() || learners.any(|member| state.may_return(member, health, now)) {
        return None;
    }
    let able = |node: &NodeId| {
        let takes = state.nodes.get(node).is_some_and(|known| known.takes_copies());
        health.is_up(*node) && takes
    };
    let mut wanted = config.target.iter().chain(state.nodes.keys()).copied();
    let to = wanted.find_map(|node| state.member(node).filter(|_| able(&node)))?;
    Some(Change::Recreate { to })
}

impl ControlState {
    /// Whether nobody executes the group's commands any more.
    pub(super) fn has_dead_primary(&self, config: &GroupConfig, health: &Health) -> bool {
        self.is_formed()
            && config
                .primary
                .is_none_or(|primary| !self.is_current(primary) || health.is_down(primary.node))
    }

    /// Who is up and may have a complete copy: in sync, or in asynchronous mode a learner.
    fn live_holders(&self, config: &GroupConfig, health: &Health) -> impl Iterator<Item = Member> {
        let in_sync = config.in_sync.iter().copied().filter(|member| self.is_current(*member));
        let learners = config.learners.iter().filter(|_| self.is_async());
        let learners = learners.filter_map(|node| self.member(*node));
        in_sync.chain(learners).filter(|member| health.is_up(member.node))
    }

    /// Whether this copy may still turn up: its node is not known to have lost it.
    fn may_return(&self, member: Member, health: &Health, now: Millis) -> bool {
        let given_up_after = self.settings.lost_group_after_ms;
        if !self.is_current(member) {
            return false;
        }
        if health.is_up(member.node) {
            return !health.answered.contains(&member.node);
        }
        !self.is_async() || !health.is_down_for(member.node, given_up_after, now)
    }

    pub(super) fn is_async(&self) -> bool {
        match self.settings.replication {
            Replication::Async => true,
            Replication::Sync => false,
        }
    }
}
