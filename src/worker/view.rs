//! What a node knows of its cluster, as its connections read it: one immutable value that the
//! control plane replaces. Knows neither Raft nor peers, and no command.

use crate::clock;
use crate::limits::ANNOUNCED_NODES_MAX;
use crate::resp::Version;
use arc_swap::{ArcSwapOption, Guard};
use bytes::Bytes;
use cluster::control::ControlState;
use cluster::group_set::GroupSet;
use cluster::node::NodeId;
use cluster::slot::Group;
use cluster::topology::Topology;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::Notify;

/// A listener of this node, as connections and the view know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entrance {
    /// The same on all nodes; `""` is the default one.
    pub name: String,
    /// Whether its connections forward, whatever they ask for.
    pub forwards: bool,
}

/// How clients of one listener reach a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// A name or an address.
    pub host: String,
    /// A TCP port.
    pub port: u16,
}

/// Since when and until when a node may act as a primary. The one who keeps it extends it;
/// everybody reads it.
#[derive(Clone, Debug)]
pub struct Lease(Arc<Term>);

#[derive(Debug)]
struct Term {
    since: AtomicU64,
    until: AtomicU64,
}

/// What a view is made of.
#[derive(Clone, Debug)]
pub struct ViewParts {
    /// This node.
    pub me: NodeId,
    /// What the control log has led to.
    pub state: Arc<ControlState>,
    /// Who keeps which group; of the same version.
    pub topology: Arc<Topology>,
    /// The nodes that are believed to be there, this one included.
    pub up: BTreeSet<NodeId>,
    /// Until when this node may act as a primary.
    pub lease: Lease,
    /// The listeners of this node, in their order.
    pub entrances: Arc<[Entrance]>,
    /// Whether clients are told of replicas.
    pub announce_replicas: bool,
}

/// What this node knows of its cluster.
pub struct ClusterView {
    parts: ViewParts,
    /// What this node is primary of.
    primary_of: GroupSet,
    /// What this node has a complete copy of, as primary or not.
    keeps: GroupSet,
    /// By node, then by listener of this node.
    reached: BTreeMap<NodeId, Vec<Reached>>,
    /// Answers that were encoded already: see [`ClusterView::answer`].
    answers: Box<[OnceLock<Bytes>]>,
}

/// An answer that is the same for all clients of a listener and a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopologyAnswer {
    /// CLUSTER SLOTS.
    Slots,
    /// CLUSTER SHARDS.
    Shards,
    /// CLUSTER NODES.
    Nodes,
}

/// Kinds of [`TopologyAnswer`], times protocols.
const ANSWERS_PER_ENTRANCE: usize = 3 * 2;

/// The view in force, if there is a cluster. Workers load it once per batch.
#[derive(Default)]
pub struct Views {
    /// Apart from the view, so that a node alone pays no more than a look at it.
    is_on: AtomicBool,
    view: ArcSwapOption<ClusterView>,
    changes: Notify,
}

impl Lease {
    /// One that has run out.
    pub fn expired() -> Lease {
        Lease(Arc::new(Term { since: AtomicU64::new(0), until: AtomicU64::new(0) }))
    }

    /// Extends it to this time of [`clock::monotonic_nanos`], or takes it back with 0. It was held
    /// without a break since the other.
    pub fn set(&self, since_nanos: u64, until_nanos: u64) {
        self.0.since.store(since_nanos, Ordering::Relaxed);
        // Who sees the new end sees the new beginning too.
        self.0.until.store(until_nanos, Ordering::Release);
    }

    /// Whether it holds at this time of [`clock::monotonic_nanos`].
    #[inline]
    pub fn holds(&self, now_nanos: u64) -> bool {
        self.0.until.load(Ordering::Acquire) > now_nanos
    }

    /// Whether it held all the time from one to the other. What was done under a lease that lapsed
    /// counts no more, whoever has one now: another node may have been primary in between.
    #[inline]
    pub fn held(&self, from_nanos: u64, now_nanos: u64) -> bool {
        self.holds(now_nanos) && self.0.since.load(Ordering::Relaxed) <= from_nanos
    }
}

impl Views {
    /// Replaces the view; `None`: a node alone.
    pub fn publish(&self, view: Option<Arc<ClusterView>>) {
        let is_on = view.is_some();
        self.view.store(view);
        self.is_on.store(is_on, Ordering::Release);
        self.stir();
    }

    /// Lets all look again who wait for somebody who serves a group: to be called, too, when a
    /// group that was not served here is again.
    pub fn stir(&self) {
        self.changes.notify_waiters();
    }

    /// Waits for the next time that somebody publishes or stirs. Who has just looked may miss
    /// one, so this is to be waited for in steps.
    pub async fn changed(&self) {
        self.changes.notified().await;
    }

    /// The view in force.
    #[inline]
    pub fn load(&self) -> Option<Guard<Option<Arc<ClusterView>>>> {
        self.is_on.load(Ordering::Acquire).then(|| self.view.load())
    }

    /// The view in force, to be kept.
    pub fn get(&self) -> Option<Arc<ClusterView>> {
        self.view.load_full()
    }

    /// Whether there is a cluster.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Views").field("is_on", &self.is_on()).finish_non_exhaustive()
    }
}

impl ClusterView {
    /// Of these parts.
    pub fn new(parts: ViewParts) -> ClusterView {
        let holds = |group: Group| parts.topology.holders(group).nodes().any(|n| n == parts.me);
        let is_primary = |group: &Group| parts.topology.owner(*group) == Some(parts.me);
        let answers = parts.entrances.len() * ANSWERS_PER_ENTRANCE;
        ClusterView {
            primary_of: Group::all().filter(is_primary).collect(),
            keeps: Group::all().filter(|group| holds(*group)).collect(),
            reached: reached(&parts),
            answers: (0..answers).map(|_| OnceLock::new()).collect(),
            parts,
        }
    }

    /// This node.
    pub fn me(&self) -> NodeId {
        self.parts.me
    }

    /// What the control log has led to.
    pub fn state(&self) -> &ControlState {
        &self.parts.state
    }

    /// Who keeps which group.
    pub fn topology(&self) -> &Topology {
        &self.parts.topology
    }

    /// The same, to be kept.
    pub fn topology_kept(&self) -> Arc<Topology> {
        self.parts.topology.clone()
    }

    /// Whether the node is believed to be there.
    pub fn is_up(&self, node: NodeId) -> bool {
        self.parts.up.contains(&node)
    }

    /// Whether this node was of the cluster and is not any more.
    pub fn is_removed(&self) -> bool {
        self.state().nodes.get(&self.me()).is_some_and(|known| !known.is_member())
    }

    /// Whether this node may act as a primary now.
    pub fn is_leased(&self) -> bool {
        self.parts.lease.holds(clock::monotonic_nanos())
    }

    /// Whether it has been so without a break since a time of [`clock::monotonic_nanos`].
    pub fn was_leased_since(&self, from_nanos: u64) -> bool {
        self.parts.lease.held(from_nanos, clock::monotonic_nanos())
    }

    /// The same up to another time.
    #[inline]
    pub(super) fn was_leased(&self, from_nanos: u64, now_nanos: u64) -> bool {
        self.parts.lease.held(from_nanos, now_nanos)
    }

    /// Whether this node might act as a primary at a time of [`clock::monotonic_nanos`].
    #[inline]
    pub(super) fn is_leased_at(&self, now_nanos: u64) -> bool {
        self.parts.lease.holds(now_nanos)
    }

    /// Whether clients are told of replicas.
    pub fn announces_replicas(&self) -> bool {
        self.parts.announce_replicas
    }

    /// What this node is primary of.
    #[inline]
    pub fn primary_of(&self) -> &GroupSet {
        &self.primary_of
    }

    /// What this node has a complete copy of.
    #[inline]
    pub fn keeps(&self) -> &GroupSet {
        &self.keeps
    }

    /// The nodes that clients are told of, with how those of this listener reach them, in order.
    pub fn nodes(&self, entrance: u8) -> impl Iterator<Item = (NodeId, &Reached)> {
        self.reached.iter().filter_map(move |(id, by_entrance)| {
            Some((*id, by_entrance.get(usize::from(entrance))?))
        })
    }

    /// How clients of this listener reach a node; `None` if they cannot.
    pub fn reached(&self, node: NodeId, entrance: u8) -> Option<&Reached> {
        self.reached.get(&node)?.get(usize::from(entrance))
    }

    /// An answer, encoded when it is first asked for.
    pub fn answer(
        &self,
        kind: TopologyAnswer,
        entrance: u8,
        version: Version,
        encode: impl FnOnce() -> Bytes,
    ) -> Bytes {
        let of_protocol = usize::from(version == Version::Resp3);
        let of_entrance = usize::from(entrance) * ANSWERS_PER_ENTRANCE;
        match self.answers.get(of_entrance + kind as usize * 2 + of_protocol) {
            Some(place) => place.get_or_init(encode).clone(),
            None => encode(),
        }
    }
}

impl fmt::Debug for ClusterView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.topology().version();
        f.debug_struct("ClusterView").field("version", &version).finish_non_exhaustive()
    }
}

/// How clients of each listener reach each member: by the listener of the same name; failing that,
/// by the first that forwards or redirects as theirs does. Who cannot be reached is left out.
fn reached(parts: &ViewParts) -> BTreeMap<NodeId, Vec<Reached>> {
    let members = parts.state.nodes.iter().filter(|(_, node)| node.is_member());
    let mut all = BTreeMap::new();
    for (id, node) in members.take(ANNOUNCED_NODES_MAX) {
        let clients = &node.addresses.clients;
        let of_entrance = |entrance: &Entrance| {
            let same = clients.iter().find(|address| address.listener == entrance.name);
            let alike = || clients.iter().find(|address| address.forward == entrance.forwards);
            let found = same.or_else(alike)?;
            Some(Reached { host: found.host.clone(), port: found.port })
        };
        let by_entrance: Option<Vec<Reached>> = parts.entrances.iter().map(of_entrance).collect();
        if let Some(by_entrance) = by_entrance {
            all.insert(*id, by_entrance);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::Lease;

    #[test]
    fn what_was_done_before_a_lapse_does_not_count_after_it() {
        let lease = Lease::expired();
        assert!(!lease.holds(0) && !lease.held(0, 0));
        lease.set(10, 20);
        lease.set(10, 40);
        assert!(lease.held(12, 39) && !lease.held(12, 40) && !lease.held(9, 12));
        // Renewed too late: it holds again, for what is done from now on.
        lease.set(50, 60);
        assert!(lease.holds(55) && lease.held(50, 55) && !lease.held(12, 55));
        lease.set(50, 0);
        assert!(!lease.held(55, 56));
    }
}
