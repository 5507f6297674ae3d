//! What the control plane tells the rest of the node: one immutable value, replaced as a whole.
//! Knows nothing of how it came about.

use crate::clock;
use arc_swap::ArcSwap;
use cluster::control::ControlState;
use cluster::node::{Member, NodeId};
use cluster::topology::Topology;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

/// The cluster as this node knows it.
#[derive(Clone, Debug)]
pub struct Published {
    /// The control state.
    pub state: Arc<ControlState>,
    /// The topology of that state.
    pub topology: Arc<Topology>,
    /// The entry of the control log that it stands at.
    pub applied_index: u64,
    /// Who votes in the Raft group now, which follows the state's voters; while that changes,
    /// those before.
    pub voters: BTreeSet<NodeId>,
    /// This start of this node; `None` before it is registered. The data protocol is not spoken
    /// before, and not after another start of the same node was registered.
    pub me: Option<Member>,
    /// The nodes that are down, by what this node hears and is told.
    pub down: BTreeSet<NodeId>,
    /// Who leads the Raft group, as far as this node knows.
    pub leader: Option<NodeId>,
    /// Why this node is not of a cluster yet, or cannot follow it; for people.
    pub trouble: Option<String>,
}

/// Where it is published.
pub(super) struct Shared {
    published: ArcSwap<Published>,
    changes: watch::Sender<u64>,
    /// Boot time in milliseconds.
    pub(super) lease_until: AtomicU64,
}

impl Shared {
    pub(super) fn new() -> Shared {
        let state = ControlState::blank();
        let published = Published {
            topology: Arc::new(state.topology()),
            state: Arc::new(state),
            applied_index: 0,
            voters: BTreeSet::new(),
            me: None,
            down: BTreeSet::new(),
            leader: None,
            trouble: None,
        };
        Shared {
            published: ArcSwap::from_pointee(published),
            changes: watch::Sender::new(0),
            lease_until: AtomicU64::new(0),
        }
    }

    pub(super) fn get(&self) -> Arc<Published> {
        self.published.load_full()
    }

    /// Changes what is published, and tells those who wait. Called on the control thread only.
    pub(super) fn update(&self, change: impl FnOnce(&mut Published)) {
        let mut next = Published::clone(&self.published.load());
        change(&mut next);
        self.published.store(Arc::new(next));
        self.changes.send_modify(|count| *count += 1);
    }

    /// Says what is wrong, or that nothing is; only a change is published and logged.
    pub(super) fn trouble(&self, trouble: Option<String>) {
        if self.published.load().trouble != trouble {
            if let Some(reason) = &trouble {
                tracing::warn!(reason, "not following the cluster");
            }
            self.update(|published| published.trouble = trouble);
        }
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn lease_ok(&self) -> bool {
        clock::boot_millis() < self.lease_until.load(Ordering::Relaxed)
    }
}
