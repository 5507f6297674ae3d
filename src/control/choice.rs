//! Which copy takes a group over that an operator takes from its primary: who orders that names
//! one that is in sync, the leader asks all of them and picks the most complete.

use super::core::Core;
use super::message::AskPositions;
use cluster::control::{Change, ControlCommand, ControlState, GroupChange, Position};
use cluster::node::{Member, NodeId};
use cluster::slot::Group;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::JoinSet;

type Positions = BTreeMap<(NodeId, Group), Position>;

impl Core {
    /// The command, with the most complete copies as the next primaries.
    pub(super) async fn with_best_copies(
        self: &Arc<Core>,
        command: ControlCommand,
    ) -> ControlCommand {
        let ControlCommand::Change(mut changes) = command else { return command };
        let state = self.state();
        let mut asks: BTreeMap<NodeId, Vec<Group>> = BTreeMap::new();
        for change in &changes {
            for member in rivals(&state, change) {
                asks.entry(member.node).or_default().push(change.group);
            }
        }
        let mut asked = JoinSet::new();
        for (node, groups) in asks {
            let (core, ask) = (self.clone(), AskPositions { groups });
            asked.spawn(async move { (node, core.positions_of(node, &ask).await) });
        }
        let mut positions = Positions::new();
        for (node, answer) in asked.join_all().await {
            let start = state.nodes.get(&node).map(|known| known.start);
            let answer = answer.filter(|answer| start == Some(answer.start));
            for (group, epoch, seq) in answer.into_iter().flat_map(|answer| answer.copies) {
                positions.insert((node, group), Position { epoch, seq });
            }
        }
        changes.iter_mut().for_each(|change| choose(&state, change, &positions));
        ControlCommand::Change(changes)
    }
}

/// The members that may take the group over instead of the one that is named, that one included;
/// nobody where there is no choice.
fn rivals(state: &ControlState, change: &GroupChange) -> Vec<Member> {
    let Change::Failover { from: Some(from), to } = change.change else { return Vec::new() };
    let in_sync = &state.group(change.group).in_sync;
    let able = in_sync.iter().filter(|one| **one != from && state.is_current(**one));
    let able: Vec<Member> = able.copied().collect();
    if able.len() > 1 && able.contains(&to) { able } else { Vec::new() }
}

/// Who has come furthest takes over; of equals the one that was named.
fn choose(state: &ControlState, change: &mut GroupChange, positions: &Positions) {
    let (rivals, group) = (rivals(state, change), change.group);
    let Change::Failover { to, .. } = &mut change.change else { return };
    let at = |member: &Member| positions.get(&(member.node, group)).copied();
    for member in rivals {
        if at(&member) > at(to) {
            *to = member;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Positions, choose, rivals};
    use cluster::control::{Change, ControlCommand, ControlState, GroupChange, Position, Settings};
    use cluster::node::{ClusterId, Member, NodeId, Registration};
    use cluster::record::{Epoch, Seq};
    use cluster::slot::Group;

    fn formed(factor: u8) -> ControlState {
        let node = |number| NodeId::new(number).expect("not 0");
        let registration = |number| Registration::new(node(number), number);
        let mut state = ControlState::blank();
        let settings = Settings { factor, ..Settings::default() };
        let nodes = (1..=3).map(registration).collect();
        state.apply(&ControlCommand::Form { cluster: ClusterId(1), settings, nodes });
        state
    }

    fn failover(state: &ControlState, group: Group) -> (GroupChange, Vec<Member>) {
        let config = state.group(group);
        let others = &config.in_sync[1..];
        let change = Change::Failover { from: config.primary, to: others[0] };
        (GroupChange { group, version: config.version, change }, others.to_vec())
    }

    #[test]
    fn the_most_complete_copy_takes_over() {
        let (state, group) = (formed(3), Group::all().nth(5).expect("a group"));
        let (mut change, others) = failover(&state, group);
        assert_eq!(rivals(&state, &change), others);
        let at = |member: Member, seq| {
            ((member.node, group), Position { epoch: Epoch(1), seq: Seq(seq) })
        };
        let chosen = |change: &GroupChange| match change.change {
            Change::Failover { to, .. } => to,
            _ => unreachable!("a failover"),
        };
        for (positions, expected) in [
            (vec![at(others[0], 7), at(others[1], 7)], others[0]),
            (vec![], others[0]),
            (vec![at(others[0], 8), at(others[1], 7)], others[0]),
            (vec![at(others[0], 7), at(others[1], 8)], others[1]),
        ] {
            choose(&state, &mut change, &positions.into_iter().collect::<Positions>());
            assert_eq!(chosen(&change), expected);
        }
        let state = formed(2);
        let (change, _) = failover(&state, group);
        assert_eq!(rivals(&state, &change), [], "nobody is asked where there is no choice");
    }
}
