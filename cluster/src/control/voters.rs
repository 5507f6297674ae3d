//! Who should vote in Raft: an odd number of nodes, at most five, over as many zones as there are.
//! Knows nothing of Raft's own membership, which follows.

use super::VOTERS_MAX;
use super::health::Health;
use super::state::ControlState;
use crate::node::{Node, NodeId, Phase};
use crate::time::Millis;
use std::collections::{BTreeMap, BTreeSet};

/// The nodes that should vote now. Who votes goes on, unless it leaves, a zone has nobody, or it
/// is lost and another can take its place; the number does not sink because nodes are lost.
pub fn wanted_voters(state: &ControlState, health: &Health, now: Millis) -> BTreeSet<NodeId> {
    let members: Vec<(NodeId, &Node)> = state
        .nodes
        .iter()
        .filter(|(_, node)| node.phase == Phase::Active || node.phase == Phase::Draining)
        .map(|(&id, node)| (id, node))
        .collect();
    // An even number tolerates no more failures than one less.
    let wanted = VOTERS_MAX.min((members.len().max(1) - 1) | 1);
    let lost = |id| health.is_down_for(id, state.settings.down_to_lost_ms, now);
    let mut chosen = BTreeSet::new();
    let mut of_zone: BTreeMap<&str, usize> = BTreeMap::new();
    while chosen.len() < wanted {
        let able = members
            .iter()
            .filter(|(id, node)| !chosen.contains(id) && (node.voter || health.is_up(*id)));
        let best = able.min_by_key(|(id, node)| {
            let crowd = of_zone.get(node.zone.as_str()).copied().unwrap_or(0);
            (lost(*id), crowd, !node.voter, *id)
        });
        let Some((id, node)) = best else { break };
        chosen.insert(*id);
        *of_zone.entry(node.zone.as_str()).or_default() += 1;
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::{Health, Millis, wanted_voters};
    use crate::control::ControlState;
    use crate::node::{Addresses, Incarnation, Node, NodeId, Phase, Protocols};
    use std::collections::BTreeSet;

    fn state(zones: &[&str]) -> (ControlState, Health) {
        let mut state = ControlState::blank();
        for (id, zone) in (1..).filter_map(NodeId::new).zip(zones) {
            let node = Node {
                incarnation: Incarnation(1),
                start: 0,
                addresses: Addresses::default(),
                zone: (*zone).to_owned(),
                phase: Phase::Active,
                protocol: Protocols { min: 1, max: 1 },
                fingerprint: None,
                voter: false,
            };
            state.nodes.insert(id, node);
        }
        let up = state.nodes.keys().copied().collect();
        (state, Health { up, ..Health::default() })
    }

    fn elect(state: &mut ControlState, health: &Health, now: u64) -> Vec<u64> {
        let chosen: BTreeSet<NodeId> = wanted_voters(state, health, Millis(now));
        state.nodes.iter_mut().for_each(|(id, node)| node.voter = chosen.contains(id));
        assert_eq!(wanted_voters(state, health, Millis(now)), chosen, "not stable");
        chosen.into_iter().map(NodeId::number).collect()
    }

    #[test]
    fn an_odd_number_up_to_five() {
        for (nodes, voters) in [(1, 1), (2, 1), (3, 3), (4, 3), (5, 5), (6, 5), (20, 5)] {
            let (mut state, health) = state(&vec!["z"; nodes]);
            assert_eq!(elect(&mut state, &health, 0).len(), voters);
        }
    }

    #[test]
    fn zones_come_first() {
        let (mut state, health) = state(&["a", "a", "a", "a", "b", "c"]);
        assert_eq!(elect(&mut state, &health, 0), [1, 2, 3, 5, 6]);
    }

    #[test]
    fn who_is_lost_is_replaced_and_not_merely_dropped() {
        let (mut state, mut health) = state(&["z"; 4]);
        assert_eq!(elect(&mut state, &health, 0), [1, 2, 3]);
        let second = NodeId::new(2).unwrap();
        health.up.remove(&second);
        health.down_since.insert(second, Millis(1000));
        let lost = 1000 + state.settings.down_to_lost_ms;
        assert_eq!(elect(&mut state, &health, lost - 1), [1, 2, 3]);
        assert_eq!(elect(&mut state, &health, lost), [1, 3, 4]);
        state.nodes.remove(&NodeId::new(4).unwrap());
        health.up.remove(&NodeId::new(4).unwrap());
        state.nodes.get_mut(&second).unwrap().voter = true;
        assert_eq!(elect(&mut state, &health, lost), [1, 2, 3]);
    }
}
