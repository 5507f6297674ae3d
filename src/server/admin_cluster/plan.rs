//! CRABCACHE PLAN: what the cluster would move to be even, without moving it. Pure; the planner's
//! own placement answers.

use super::status::{numbers, slots};
use crate::limits::operators::ADMIN_MOVES_TOLD_MAX;
use cluster::control::{Candidate, ControlState, place};
use cluster::node::NodeId;
use cluster::slot::Group;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The whole way to balance, however many steps that takes. Nodes that are down count as coming
/// back.
pub(super) fn json(state: &ControlState, up: &BTreeSet<NodeId>) -> String {
    let now: Vec<Vec<NodeId>> = state.groups().map(|(_, config)| config.target.clone()).collect();
    let then = placed(&now, state, up);
    let (mut copies, mut handovers) = (0_usize, 0_usize);
    let mut moves: Vec<Value> = Vec::new();
    for ((group, from), to) in Group::all().zip(&now).zip(&then) {
        if from == to {
            continue;
        }
        copies += to.iter().filter(|node| !from.contains(node)).count();
        handovers += usize::from(from.first() != to.first());
        moves.push(json!({
            "group": group.number(),
            "slots": slots(group),
            "from": numbers(from),
            "to": numbers(to),
        }));
    }
    let groups = moves.len();
    moves.truncate(ADMIN_MOVES_TOLD_MAX);
    let (before, after) = (shares(&now), shares(&then));
    let node = |id: &NodeId| {
        let of = |shares: &BTreeMap<NodeId, [u32; 2]>| shares.get(id).copied().unwrap_or_default();
        let ([primaries, kept], [primaries_then, kept_then]) = (of(&before), of(&after));
        json!({
            "id": id.number(),
            "primaries": [primaries, primaries_then],
            "copies": [kept, kept_then],
        })
    };
    let members = state.nodes.iter().filter(|(_, node)| node.is_member());
    json!({
        "groups": groups,
        "copies": copies,
        "handovers": handovers,
        "at_a_time": state.settings.moves_max,
        "nodes": members.map(|(id, _)| node(id)).collect::<Vec<_>>(),
        "moves": moves,
    })
    .to_string()
}

/// Where the planner wants the groups, given where they should be until now.
pub(super) fn placed(
    now: &[Vec<NodeId>],
    state: &ControlState,
    up: &BTreeSet<NodeId>,
) -> Vec<Vec<NodeId>> {
    let able = state.nodes.iter().filter(|(_, node)| node.takes_copies());
    let candidate = |(id, node): (&NodeId, &cluster::node::Node)| Candidate {
        id: *id,
        zone: node.zone.clone(),
        gains: up.contains(id),
    };
    let candidates: Vec<Candidate> = able.map(candidate).collect();
    if candidates.is_empty() {
        return now.to_vec();
    }
    place(now, &candidates, &state.settings)
}

/// How many groups name each node first, and at all.
fn shares(targets: &[Vec<NodeId>]) -> BTreeMap<NodeId, [u32; 2]> {
    let mut shares: BTreeMap<NodeId, [u32; 2]> = BTreeMap::new();
    for target in targets {
        for (place, node) in target.iter().enumerate() {
            let share = shares.entry(*node).or_default();
            share[0] += u32::from(place == 0);
            share[1] += 1;
        }
    }
    shares
}
