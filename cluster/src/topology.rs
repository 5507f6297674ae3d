//! Who keeps which group now: one immutable value that the control plane publishes and the data
//! plane reads. Knows no address, no health, and nothing of how it was decided.

pub use crate::node::NodeId;
use crate::record::Epoch;
use crate::slot::{GROUPS, Group, SLOTS, Slot};

/// The nodes that keep a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holders {
    /// One more at every change of the primary.
    pub epoch: Epoch,
    /// Who executes its commands; `None` while nobody does.
    pub primary: Option<NodeId>,
    /// Who keeps a copy, in the order in which they are announced.
    pub replicas: Vec<NodeId>,
}

/// Who keeps each group, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    version: u64,
    /// Apart from the rest: the one thing that is looked up for every command.
    primaries: Box<[Option<NodeId>]>,
    holders: Box<[Holders]>,
}

/// Consecutive slots with the same primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRange {
    /// The first of them.
    pub first: Slot,
    /// The last of them, included.
    pub last: Slot,
    /// Who executes their commands.
    pub primary: NodeId,
}

/// Why a list of holders is not a topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopologyError {
    /// It does not have one place for each group.
    Groups(usize),
    /// A node stands twice in this group.
    Twice(Group, NodeId),
}

impl Topology {
    /// One node that is primary of everything: version 1, epoch 1 everywhere.
    pub fn single(node: NodeId) -> Topology {
        let all = Holders { epoch: Epoch(1), primary: Some(node), replicas: Vec::new() };
        Topology::of(1, vec![all; usize::from(GROUPS)])
    }

    /// The holders of every group, in the order of the groups. A later topology has a larger
    /// version.
    ///
    /// # Errors
    /// When it is not one place for each group, or a node stands twice in one.
    pub fn new(version: u64, holders: Vec<Holders>) -> Result<Topology, TopologyError> {
        if holders.len() != usize::from(GROUPS) {
            return Err(TopologyError::Groups(holders.len()));
        }
        for (group, of_group) in Group::all().zip(&holders) {
            let mut nodes: Vec<NodeId> = of_group.nodes().collect();
            nodes.sort_unstable();
            if let Some(pair) = nodes.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(TopologyError::Twice(group, pair[0]));
            }
        }
        Ok(Topology::of(version, holders))
    }

    pub(crate) fn of(version: u64, holders: Vec<Holders>) -> Topology {
        let primaries = holders.iter().map(|of_group| of_group.primary).collect();
        Topology { version, primaries, holders: holders.into_boxed_slice() }
    }

    /// Which topology this is: what was encoded for one version holds until the next.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Who executes commands on the group; `None` while nobody does.
    #[inline]
    pub fn owner(&self, group: Group) -> Option<NodeId> {
        self.primaries[usize::from(group.number())]
    }

    /// Everybody who keeps the group.
    pub fn holders(&self, group: Group) -> &Holders {
        &self.holders[usize::from(group.number())]
    }

    /// The runs of slots with one primary, as long as they can be, in order; slots without a
    /// primary are in none.
    pub fn ranges(&self) -> Vec<SlotRange> {
        let mut ranges: Vec<SlotRange> = Vec::new();
        for slot in (0..SLOTS).filter_map(Slot::new) {
            let Some(primary) = self.owner(slot.group()) else { continue };
            match ranges.last_mut() {
                Some(run) if run.primary == primary && run.last.number() + 1 == slot.number() => {
                    run.last = slot;
                }
                _ => ranges.push(SlotRange { first: slot, last: slot, primary }),
            }
        }
        ranges
    }

    /// The runs of slots this node is primary of.
    pub fn ranges_of(&self, node: NodeId) -> Vec<SlotRange> {
        let mut ranges = self.ranges();
        ranges.retain(|range| range.primary == node);
        ranges
    }
}

impl Holders {
    /// Everybody who keeps the group, the primary first.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.primary.into_iter().chain(self.replicas.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::{Holders, NodeId, Topology, TopologyError};
    use crate::record::Epoch;
    use crate::slot::{GROUPS, Group};

    fn node(number: u64) -> NodeId {
        NodeId::new(number).unwrap()
    }

    fn kept_by(primary: Option<u64>, replicas: &[u64]) -> Holders {
        let replicas = replicas.iter().map(|&n| node(n)).collect();
        Holders { epoch: Epoch(1), primary: primary.map(node), replicas }
    }

    /// The runs as `first-last:primary`.
    fn shown(topology: &Topology) -> Vec<String> {
        let show = |r: &super::SlotRange| {
            format!("{}-{}:{}", r.first.number(), r.last.number(), r.primary.number())
        };
        topology.ranges().iter().map(show).collect()
    }

    #[test]
    fn a_single_node_owns_everything() {
        let topology = Topology::single(node(9));
        assert!(Group::all().all(|group| topology.owner(group) == Some(node(9))));
        assert_eq!(shown(&topology), ["0-16383:9"]);
        assert_eq!(topology.ranges_of(node(9)), topology.ranges());
        assert_eq!(topology.ranges_of(node(8)), []);
    }

    #[test]
    fn runs_join_neighbours_and_leave_out_what_nobody_serves() {
        let mut holders = vec![kept_by(Some(1), &[2]); usize::from(GROUPS)];
        holders[1] = kept_by(Some(1), &[3]);
        holders[2] = kept_by(None, &[1]);
        holders[3] = kept_by(Some(1), &[]);
        holders[1023] = kept_by(Some(2), &[1]);
        let topology = Topology::new(5, holders).unwrap();
        assert_eq!(topology.version(), 5);
        assert_eq!(shown(&topology), ["0-31:1", "48-16367:1", "16368-16383:2"]);
        assert_eq!(topology.ranges_of(node(2)).len(), 1);
        let last = Group::new(1023).unwrap();
        assert!(topology.holders(last).nodes().eq([node(2), node(1)]));
    }

    #[test]
    fn what_is_no_topology() {
        assert_eq!(Topology::new(1, Vec::new()), Err(TopologyError::Groups(0)));
        let mut holders = vec![kept_by(Some(1), &[2, 3]); usize::from(GROUPS)];
        holders[7] = kept_by(Some(1), &[2, 1]);
        let group = Group::new(7).unwrap();
        assert_eq!(Topology::new(1, holders), Err(TopologyError::Twice(group, node(1))));
    }
}
