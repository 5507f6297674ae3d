//! What an operator may ask of a node about its cluster, and have done by it. Knows neither Raft
//! nor the command that says so.

use cluster::control::{ControlCommand, ControlState, Outcome};
use cluster::node::{Member, NodeId};
use std::pin::Pin;
use std::sync::Arc;

/// What becomes of a command, once that is known; else why it is not, for people.
pub type Ordered = Pin<Box<dyn Future<Output = Result<Outcome, String>> + Send>>;

/// Who has commands about the cluster ordered.
pub trait ClusterAdmin: Send + Sync {
    /// The cluster as this node knows it.
    fn standing(&self) -> Standing;

    /// Has a command ordered, in bounded time, whoever leads.
    fn propose(&self, command: ControlCommand) -> Ordered;

    /// While this node belongs to nothing: does not wait for these seeds any more.
    ///
    /// # Errors
    /// Why that cannot be.
    fn form_without(&self, seeds: Vec<String>) -> Result<(), String>;
}

/// Where a node stands in its cluster.
#[derive(Clone, Debug)]
pub struct Standing {
    /// What the control log has led to; blank before there is a cluster.
    pub state: Arc<ControlState>,
    /// This start of this node, once it is registered.
    pub me: Option<Member>,
    /// Who leads the Raft group, as far as is known.
    pub leader: Option<NodeId>,
    /// Why this node is not of a cluster yet, or cannot follow it; for people.
    pub trouble: Option<String>,
}
