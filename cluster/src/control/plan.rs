//! What the leader should propose next. Knows neither Raft nor the network: it is asked again
//! after every change and every so often, and answers from nothing but its arguments.

use super::CHANGES_MAX;
use super::command::{Change, ControlCommand, GroupChange};
use super::failover::fail_over;
use super::health::Health;
use super::moves::{next_step, next_targets};
use super::state::ControlState;
use super::voters::wanted_voters;
use crate::slot::Group;
use crate::time::Millis;
use std::collections::BTreeMap;

/// What to propose now, most urgent first: primaries for groups without one, then steps of moves,
/// then voters. One change for each group at most; the next follows when this one is applied. An
/// empty plan says that all is as it should be, or that others have to act first.
pub fn plan(state: &ControlState, health: &Health, now: Millis) -> Vec<ControlCommand> {
    if !state.is_formed() {
        return Vec::new();
    }
    let urgent: BTreeMap<Group, Change> = Group::all()
        .filter_map(|group| Some((group, fail_over(state, health, now, group)?)))
        .collect();
    let alive = |group: &Group| !state.has_dead_primary(state.group(*group), health);
    let mut steps: BTreeMap<Group, Change> = Group::all()
        .filter(alive)
        .filter_map(|group| Some((group, next_step(state, health, group)?)))
        .collect();
    for (group, target) in next_targets(state, health, now) {
        if !urgent.contains_key(&group) {
            steps.entry(group).or_insert(target);
        }
    }
    let mut commands = batched(state, urgent);
    commands.extend(batched(state, steps));
    let voters = wanted_voters(state, health, now);
    if !voters.is_empty() && !state.voters().eq(voters.iter().copied()) {
        commands.push(ControlCommand::Voters(voters.into_iter().collect()));
    }
    commands
}

fn batched(state: &ControlState, changes: BTreeMap<Group, Change>) -> Vec<ControlCommand> {
    let versioned = |(group, change)| {
        let version = state.group(group).version;
        GroupChange { group, version, change }
    };
    let all: Vec<GroupChange> = changes.into_iter().map(versioned).collect();
    all.chunks(CHANGES_MAX).map(|some| ControlCommand::Change(some.to_vec())).collect()
}
