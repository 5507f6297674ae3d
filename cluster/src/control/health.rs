//! What the leader believes of the nodes, as an argument of the planner. Knows neither how that
//! was found out nor what follows.

use crate::node::NodeId;
use crate::record::{Epoch, Seq};
use crate::slot::Group;
use crate::time::Millis;
use std::collections::{BTreeMap, BTreeSet};

/// How far a complete copy has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The epoch of its last record.
    pub epoch: Epoch,
    /// Its last record.
    pub seq: Seq,
}

/// What the leader believes of the nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Who is alive.
    pub up: BTreeSet<NodeId>,
    /// Since when who is not.
    pub down_since: BTreeMap<NodeId, Millis>,
    /// Who has answered, in its newest incarnation, where its complete copies stand.
    pub answered: BTreeSet<NodeId>,
    /// The answers: complete copies only, of the groups that were asked for.
    pub positions: BTreeMap<(NodeId, Group), Position>,
    /// Who has no room for another copy.
    pub pressure: BTreeSet<NodeId>,
}

impl Health {
    /// Whether the node is believed alive.
    pub fn is_up(&self, node: NodeId) -> bool {
        self.up.contains(&node)
    }

    /// Whether the node is known to be down; of one never heard of, nothing is known.
    pub fn is_down(&self, node: NodeId) -> bool {
        !self.is_up(node) && self.down_since.contains_key(&node)
    }

    /// Whether the node has been down for `ms`. One that is not known to be up or down is not.
    pub fn is_down_for(&self, node: NodeId, ms: u64, now: Millis) -> bool {
        !self.is_up(node) && self.down_since.get(&node).is_some_and(|&at| now.since(at) >= ms)
    }
}
