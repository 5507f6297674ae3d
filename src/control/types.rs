//! The types that openraft is instantiated with, and short names for its own. Holds no behaviour.

use cluster::control::{ControlCommand, Outcome};
use cluster::topology::NodeId;
use serde::{Deserialize, Serialize};
use std::io::Cursor;

openraft::declare_raft_types!(
    /// The Raft group of control commands.
    pub(super) Group:
        D = ControlCommand,
        R = Answer,
        NodeId = u64,
        Node = Seat,
        Entry = openraft::Entry<Group>,
        SnapshotData = Cursor<Vec<u8>>,
        AsyncRuntime = openraft::TokioRuntime,
);

/// What applying an entry of the log brought: nothing where it was not a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer(pub(super) Option<Outcome>);

/// A place in the Raft group: not only a node, but one store of that node. A node that lost its
/// store does not get messages meant for the lost one, so that it cannot vote twice in one term or
/// forget what it acknowledged: it has to leave the group and join it again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seat {
    /// See [`super::disk::Held::store`].
    pub(super) store: u64,
}

pub(super) type Raft = openraft::Raft<Group>;
pub(super) type Entry = openraft::Entry<Group>;
pub(super) type LogId = openraft::LogId<u64>;
pub(super) type Vote = openraft::Vote<u64>;
pub(super) type Membership = openraft::StoredMembership<u64, Seat>;
pub(super) type SnapshotMeta = openraft::SnapshotMeta<u64, Seat>;
pub(super) type Snapshot = openraft::Snapshot<Group>;
pub(super) type StorageError = openraft::StorageError<u64>;
pub(super) type Metrics = openraft::RaftMetrics<u64, Seat>;

/// The node with a number that came from a topology; `None` for 0, which is nobody's.
pub(super) fn node(number: u64) -> Option<NodeId> {
    NodeId::new(number)
}
