//! How far other nodes' copies of what this node leads have come: written on the data thread, read
//! by whoever waits for them. Decides nothing.

use cluster::node::NodeId;
use cluster::record::Seq;
use cluster::replication::Lag;
use cluster::slot::{GROUPS, Group};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// What all other nodes have acknowledged.
#[derive(Debug, Default)]
pub struct Followers {
    nodes: RwLock<BTreeMap<NodeId, Acknowledged>>,
    lags: Mutex<Lags>,
}

/// How far the nodes are behind that keep copies of what this one leads.
#[derive(Clone, Debug, Default)]
pub struct Lags {
    /// Records of all groups that this node leads.
    pub records: u64,
    /// The nodes that are there.
    pub nodes: Vec<(NodeId, Lag)>,
}

/// By group: the last record, and one; 0 where that is not known.
#[derive(Debug)]
struct Acknowledged(Box<[AtomicU64]>);

impl Followers {
    /// How many nodes have acknowledged a group up to this record.
    pub fn copies(&self, group: Group, seq: Seq) -> u32 {
        let has = |of: &&Acknowledged| of.0[index(group)].load(Ordering::Acquire) > seq.0;
        u32::try_from(self.nodes.read().values().filter(has).count()).unwrap_or(u32::MAX)
    }

    /// How far they are behind, as of a moment ago.
    pub fn lags(&self) -> Lags {
        self.lags.lock().clone()
    }

    pub(super) fn set_lags(&self, lags: Lags) {
        *self.lags.lock() = lags;
    }

    /// A node has the group up to this record; `None`: nobody knows.
    pub(super) fn set(&self, node: NodeId, group: Group, seq: Option<Seq>) {
        let word = seq.map_or(0, |seq| seq.0.saturating_add(1));
        if let Some(of) = self.nodes.read().get(&node) {
            of.0[index(group)].store(word, Ordering::Release);
            return;
        }
        if word > 0 {
            let of = Acknowledged((0..GROUPS).map(|_| AtomicU64::new(0)).collect());
            of.0[index(group)].store(word, Ordering::Release);
            self.nodes.write().insert(node, of);
        }
    }

    /// Nothing is known of a node any more.
    pub(super) fn forget(&self, node: NodeId) {
        self.nodes.write().remove(&node);
    }

    /// The nodes of which something is known.
    pub(super) fn nodes(&self) -> Vec<NodeId> {
        self.nodes.read().keys().copied().collect()
    }
}

fn index(group: Group) -> usize {
    usize::from(group.number())
}

#[cfg(test)]
mod tests {
    use super::Followers;
    use cluster::node::NodeId;
    use cluster::record::Seq;
    use cluster::slot::Group;

    #[test]
    fn copies_count_that_have_the_record() {
        let (followers, group) = (Followers::default(), Group::all().nth(7).expect("a group"));
        let node = |number| NodeId::new(number).expect("not 0");
        assert_eq!(followers.copies(group, Seq(0)), 0);
        followers.set(node(1), group, Some(Seq(0)));
        followers.set(node(2), group, Some(Seq(5)));
        assert_eq!(
            (0..7).map(|seq| followers.copies(group, Seq(seq))).collect::<Vec<_>>(),
            [2, 1, 1, 1, 1, 1, 0]
        );
        followers.set(node(2), group, None);
        assert_eq!(followers.copies(group, Seq(0)), 1);
        followers.forget(node(1));
        assert_eq!(followers.copies(group, Seq(0)), 0);
        assert_eq!(followers.nodes(), [node(2)]);
    }
}
