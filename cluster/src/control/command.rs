//! What may be asked of the control state, and what it answers. Knows no effect: that is `apply`.

use super::settings::{Settings, SettingsError};
use crate::node::{ClusterId, Incarnation, Member, NodeId, Phase, Registration};
use crate::slot::Group;
use serde::{Deserialize, Serialize};

/// SHA-256 of a one-time token; the token itself is stored nowhere.
pub type TokenHash = [u8; 32];

/// An entry of the control log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlCommand {
    /// The first entry: the cluster begins with these nodes, all blank, and all groups placed.
    Form {
        /// Its name, drawn at random.
        cluster: ClusterId,
        /// What holds from now on.
        settings: Settings,
        /// Its first nodes, as they described themselves; they are registered by this.
        nodes: Vec<Registration>,
    },
    /// A node started: it gets its incarnation.
    Register(Registration),
    /// A node wants to be of the cluster. It is admitted and registered.
    Join {
        /// What it says of itself.
        registration: Registration,
        /// Why it may.
        credential: Credential,
    },
    /// Drain, undrain, leave, forget.
    SetPhase {
        /// Which node.
        node: NodeId,
        /// `Active`, `Draining`, `Leaving` or `Gone`.
        phase: Phase,
        /// The [`revision`](super::ControlState::revision) that this is about, if it is about
        /// one: another rejects it.
        at: Option<u64>,
    },
    /// Changes of groups, each with its own compare-and-set.
    Change(Vec<GroupChange>),
    /// Other settings.
    Settings {
        /// All of them.
        settings: Settings,
        /// As for `SetPhase`: else of two who change something at once one undoes it.
        at: Option<u64>,
    },
    /// A one-time token is valid.
    AddToken {
        /// Its hash.
        hash: TokenHash,
        /// For whom and until when.
        token: Token,
    },
    /// It is not any more.
    RemoveToken(TokenHash),
    /// Who should vote in Raft: the membership of Raft follows this.
    Voters(Vec<NodeId>),
}

/// Why a node may join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Credential {
    /// It is one of the seeds and has a certificate of the cluster's authority.
    Seed,
    /// It showed a token, which is used up by that.
    Token {
        /// The token's hash.
        hash: TokenHash,
        /// Wall time at the member that it was shown to, in milliseconds since the Unix epoch.
        shown_at_ms: u64,
    },
}

/// For whom and until when a one-time token is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Who may use it; anybody if `None`.
    pub node: Option<NodeId>,
    /// Until when, in milliseconds since the Unix epoch.
    pub expires_at_ms: u64,
}

/// A change of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupChange {
    /// Which group.
    pub group: Group,
    /// The version of its configuration that the change is about; another rejects it.
    pub version: u64,
    /// What changes.
    pub change: Change,
}

/// What changes in a group. `by` is the primary that proposes. `clear` says that the proposer has
/// applied its epoch and has waited out the promises to the primaries before it, so that
/// `unreleased` is empty from then on; always true in asynchronous mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A replica is no longer in sync: it becomes a learner.
    Shrink {
        /// The primary.
        by: Member,
        /// Who falls out.
        remove: NodeId,
        /// See above.
        clear: bool,
    },
    /// A learner's copy is complete: it is in sync.
    Expand {
        /// The primary.
        by: Member,
        /// The learner, in the incarnation whose copy is complete.
        add: Member,
        /// See above.
        clear: bool,
    },
    /// Both in one.
    Swap {
        /// The primary.
        by: Member,
        /// Who falls out.
        remove: NodeId,
        /// Who comes in.
        add: Member,
        /// See above.
        clear: bool,
    },
    /// The primary gives its role away: it accepts nothing any more, and `to` has everything.
    Handover {
        /// The primary.
        by: Member,
        /// The next primary, in sync.
        to: Member,
        /// See above.
        clear: bool,
    },
    /// The primary is dead, or there is none: another is.
    Failover {
        /// The primary that is deposed.
        from: Option<Member>,
        /// Its successor: in sync, or in asynchronous mode a learner that has said that its copy
        /// is complete.
        to: Member,
    },
    /// Who should keep it; the first should be primary.
    Target(Vec<NodeId>),
    /// This node gets a copy.
    AddLearner(NodeId),
    /// This node gives its copy up.
    RemoveReplica(NodeId),
    /// No copy is left: it begins empty, in a new epoch. Never in synchronous mode.
    Recreate {
        /// Its primary.
        to: Member,
    },
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It took effect, or had nothing to change.
    Done,
    /// The node is registered, now or before by the same start.
    Registered(Incarnation),
    /// What became of each change, in their order.
    Changed(Vec<Result<(), Rejection>>),
    /// It changed nothing.
    Rejected(Rejection),
}

/// Why a command or a change has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rejection {
    /// There is no cluster yet.
    NotFormed,
    /// There is one already.
    AlreadyFormed,
    /// No node to begin with, or one twice, or more than [`super::NODES_MAX`].
    Nodes,
    /// The node is not of this cluster.
    UnknownNode,
    /// The node is not of this cluster any more: it has to join again.
    Forgotten,
    /// The token is not valid, or was used.
    Token,
    /// The node does not speak the protocol of the cluster.
    Protocol,
    /// There is no such way through a node's life.
    Phase,
    /// Nobody would be left to keep the groups.
    LastNode,
    /// The settings are refused.
    Settings(SettingsError),
    /// Somebody else has changed settings or a node's phase meanwhile.
    Revision,
    /// The group has changed meanwhile.
    Version,
    /// The proposer, or the one deposed, is not the primary.
    NotPrimary,
    /// The incarnation is not the node's newest.
    Incarnation,
    /// The node is draining, leaving or gone.
    NotActive,
    /// The node keeps no copy of that kind.
    NotHolder,
    /// The node keeps a copy already.
    AlreadyHolder,
    /// The primary's own copy is not removed.
    Primary,
    /// Too few complete copies would be left.
    Floor,
    /// A list of holders with nobody, somebody twice or more than anybody wants.
    Target,
    /// Not in this mode of replication.
    Mode,
}
