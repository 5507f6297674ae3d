//! What control planes ask each other, and the answers. Holds types only.

use super::types::{Group, Seat};
use cluster::control::{ControlCommand, Outcome, TokenHash};
use cluster::node::{ClusterId, NodeId, Registration};
use cluster::record::{Epoch, Seq};
use cluster::slot::Group as SlotGroup;
use openraft::error::{InstallSnapshotError, RaftError};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize};

/// What a call is about: the number that stands before it on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// openraft's traffic between two seats: a [`RaftCall`].
    Raft = 1,
    /// A command to be ordered: a [`Proposal`].
    Propose = 2,
    /// Who are you, and what do you belong to: a [`Who`].
    Who = 3,
    /// Let me in: a [`Join`].
    Join = 4,
    /// How far are your complete copies: an [`AskPositions`].
    Positions = 5,
}

impl Kind {
    /// The kind with this number.
    pub(super) fn of(number: u8) -> Option<Kind> {
        let kinds = [Kind::Raft, Kind::Propose, Kind::Who, Kind::Join, Kind::Positions];
        kinds.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// A message of openraft to one seat.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RaftCall {
    /// The store it is meant for: another one must not take it.
    pub(super) store: u64,
    pub(super) ask: RaftAsk,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum RaftAsk {
    Append(AppendEntriesRequest<Group>),
    Vote(VoteRequest<u64>),
    Snapshot(InstallSnapshotRequest<Group>),
}

impl RaftAsk {
    /// In whose name it is sent: of who leads, or wants to.
    pub(super) fn sender(&self) -> u64 {
        let vote = match self {
            RaftAsk::Append(rpc) => &rpc.vote,
            RaftAsk::Vote(rpc) => &rpc.vote,
            RaftAsk::Snapshot(rpc) => &rpc.vote,
        };
        vote.leader_id.node_id
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum RaftAnswer {
    Append(Result<AppendEntriesResponse<u64>, RaftError<u64>>),
    Vote(Result<VoteResponse<u64>, RaftError<u64>>),
    Snapshot(Result<InstallSnapshotResponse<u64>, RaftError<u64, InstallSnapshotError>>),
    /// The store is another one, or openraft does not run.
    NotHere,
}

/// A command for the leader.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Proposal {
    pub(super) command: ControlCommand,
}

/// What became of a [`Proposal`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Proposed {
    Done(Outcome),
    /// It was not ordered; this node is thought to lead.
    NotLeader(Option<NodeId>),
    /// It was not ordered, for this reason.
    Refused(String),
    /// It may be ordered or not.
    Unknown,
    /// It was not ordered: the node runs already, in another process at this address.
    Elsewhere(String),
}

/// One node to another, before anything else is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Who {
    /// Where the one who asks is reached.
    pub(super) address: String,
}

/// How keys find their groups: the same on all nodes of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Layout {
    pub(super) slots: u16,
    pub(super) groups: u16,
    pub(super) hash_seed: u64,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Iam {
    /// What it says of itself: the cluster begins with that.
    pub(super) registration: Registration,
    pub(super) layout: Layout,
    pub(super) store: u64,
    pub(super) standing: Standing,
    /// Whether this start of it is the one that the cluster knows.
    pub(super) registered: bool,
}

/// What a node belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Standing {
    /// To nothing; these are its seeds.
    Blank { seeds: Vec<String> },
    /// To a cluster with this id (0 while it is being formed), where the nodes are known at these
    /// addresses.
    Member { cluster: ClusterId, leader: Option<NodeId>, nodes: Vec<(NodeId, String)> },
}

/// A node asks the leader for a seat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Join {
    pub(super) seat: Seat,
    pub(super) registration: Registration,
    pub(super) layout: Layout,
    pub(super) token: Option<TokenHash>,
}

/// What became of a [`Join`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Joined {
    /// It has its seat, and the log is on its way.
    Welcome,
    /// This node is thought to lead.
    NotLeader(Option<NodeId>),
    /// Later, perhaps, for this reason.
    Refused(String),
    /// The node runs already, in another process at this address.
    Elsewhere(String),
}

/// The leader asks how far complete copies have come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AskPositions {
    pub(super) groups: Vec<SlotGroup>,
}

/// The answer, of this start of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Positions {
    pub(super) start: u64,
    /// Complete copies only.
    pub(super) copies: Vec<(SlotGroup, Epoch, Seq)>,
}

#[cfg(test)]
mod tests {
    use super::RaftAsk;
    use openraft::Vote;
    use openraft::raft::{AppendEntriesRequest, InstallSnapshotRequest, VoteRequest};

    #[test]
    fn a_message_of_raft_says_in_whose_name_it_is() {
        let (vote, led) = (Vote::new(7, 2), Vote::new_committed(7, 3));
        assert_eq!(RaftAsk::Vote(VoteRequest::new(vote, None)).sender(), 2);
        let append = AppendEntriesRequest {
            vote: led,
            prev_log_id: None,
            entries: Vec::new(),
            leader_commit: None,
        };
        assert_eq!(RaftAsk::Append(append).sender(), 3);
        let snapshot = InstallSnapshotRequest {
            vote: led,
            meta: openraft::SnapshotMeta::default(),
            offset: 0,
            data: Vec::new(),
            done: true,
        };
        assert_eq!(RaftAsk::Snapshot(snapshot).sender(), 3);
    }
}
