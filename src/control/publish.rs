//! What the control plane tells the rest of the node: one immutable value, replaced as a whole.
//! Knows nothing of how it came about.

use crate::clock;
use arc_swap::ArcSwap;
use cluster::control::ControlState;
use cluster::node::{Member, NodeId};
use cluster::topology::Topology;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
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
    /// Why this process has to end, if it has to: its node runs already in another one. It asks for
    /// no seat any more.
    pub must_end: Option<String>,
}

/// A lease as this node has it; its times are those of [`clock::boot_millis`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// Since when it has been extended each time before it ended.
    pub since_ms: u64,
    /// When it ends: `u64::MAX` for the only voter, 0 where there is none.
    pub until_ms: u64,
    /// The entry of the control log that this node had applied when it got it: it counts only for
    /// what this node is by then.
    pub applied_index: u64,
}

/// Where it is published.
pub(super) struct Shared {
    published: ArcSwap<Published>,
    changes: watch::Sender<u64>,
    lease: Mutex<Lease>,
}

impl Lease {
    /// It ends at `until_ms` now. Once it has lapsed, another one begins.
    fn extend(&mut self, until_ms: u64, applied_index: u64, now_ms: u64) {
        if self.until_ms <= now_ms {
            self.since_ms = now_ms;
        }
        (self.until_ms, self.applied_index) = (until_ms, applied_index);
    }
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
            must_end: None,
        };
        Shared {
            published: ArcSwap::from_pointee(published),
            changes: watch::Sender::new(0),
            lease: Mutex::default(),
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

    pub(super) fn lease(&self) -> Lease {
        *self.lease.lock()
    }

    /// The lease ends at another time than was said before.
    pub(super) fn extend_lease(&self, until_ms: u64, applied_index: u64, now_ms: u64) {
        self.lease.lock().extend(until_ms, applied_index, now_ms);
    }

    /// There is none any more.
    pub(super) fn end_lease(&self) {
        *self.lease.lock() = Lease::default();
    }

    pub(super) fn lease_ok(&self) -> bool {
        clock::boot_millis() < self.lease().until_ms
    }
}

#[cfg(test)]
mod tests {
    use super::Lease;

    #[test]
    fn a_lease_that_lapsed_is_another_when_it_is_renewed() {
        let mut lease = Lease::default();
        lease.extend(190, 1, 100);
        lease.extend(250, 1, 160);
        assert_eq!(lease, Lease { since_ms: 100, until_ms: 250, applied_index: 1 });
        // Nobody looked while it was gone.
        lease.extend(400, 2, 310);
        assert_eq!(lease, Lease { since_ms: 310, until_ms: 400, applied_index: 2 });
        // Other voters have promised less.
        lease.extend(320, 3, 330);
        lease.extend(500, 3, 340);
        assert_eq!(lease, Lease { since_ms: 340, until_ms: 500, applied_index: 3 });
    }
}
