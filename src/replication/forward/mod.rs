//! Commands that belong to other nodes: sent to whoever keeps their groups, again when those have
//! moved meanwhile, taken apart and put together where they are about several; and others'
//! commands, carried out here. Knows no client.

mod decode;
mod here;
mod lane;
mod parts;
mod rounds;
mod serve;
mod space;

pub use here::Here;
pub use rounds::Exchange;

use crate::command::spec::Spec;
use crate::config::Validation;
use crate::resp::Version;
use bytes::Bytes;
use cluster::node::NodeId;
use cluster::slot::Group;
use cluster::topology::Topology;
use std::pin::Pin;
use std::sync::Arc;

/// The kind of the calls in which commands travel; see [`Here::answer`].
pub const FORWARD_CALL: u8 = 13;

/// A command for whoever keeps its groups.
#[derive(Clone, Debug)]
pub struct Routed {
    /// Its row of the table.
    pub spec: &'static Spec,
    /// The one group that it is about; `None`: several, or all.
    pub group: Option<Group>,
    /// The command as RESP2.
    pub request: Bytes,
    /// The protocol of the answer.
    pub version: Version,
    /// Whether replicas may answer.
    pub readonly: bool,
}

/// What a node knows of its cluster at a time.
#[derive(Clone, Debug)]
pub struct Sight {
    /// This node.
    pub me: NodeId,
    /// Who keeps which group.
    pub topology: Arc<Topology>,
    /// Whether this node may act as a primary.
    pub leased: bool,
}

/// Where forwarding learns what the node knows.
pub trait Outlook: Send + Sync + 'static {
    /// What it knows now; `None` while it belongs to no cluster.
    fn look(&self) -> Option<Sight>;

    /// Whether this node might act as a primary without a break since then, in nanoseconds of
    /// [`monotonic_nanos`](crate::clock::monotonic_nanos).
    fn was_leased_since(&self, nanos: u64) -> bool;

    /// Whether a node is believed to be there.
    fn is_up(&self, node: NodeId) -> bool;

    /// Ends when what it knows changes, or when groups that were not served here are again. One may
    /// be missed, so it is waited for in steps.
    fn changed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// Why the node takes no commands now, or none that write: an error, its code first.
    fn refuses(&self, is_write: bool) -> Option<String>;

    /// A command of another node was carried out here, in so much time.
    fn carried_out(&self, spec: &'static Spec, nanos: u64, failed: bool);

    /// What is to pass between a write and its answer, while copies fall behind.
    fn slowed(&self) -> Option<Pin<Box<dyn Future<Output = ()> + Send + '_>>>;

    /// Which keys are taken.
    fn validation(&self) -> Validation;
}
