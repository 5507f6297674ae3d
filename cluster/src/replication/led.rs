//! What a node knows of the groups that it leads, and of what their replicas have got. Decides
//! nothing.

use super::planned::Fence;
use super::{RESYNC_RETRY_MS_MAX, RESYNC_RETRY_MS_MIN};
use crate::control::Position;
use crate::node::{Member, NodeId};
use crate::record::{Epoch, Seq};
use crate::slot::{GROUPS, Group};
use crate::time::Millis;

/// The groups that this node leads, found by number: a record that is sent costs one look.
#[derive(Debug)]
pub(super) struct Leads(Box<[Option<Box<Led>>]>);

/// A group that this node leads.
#[derive(Debug)]
pub(super) struct Led {
    pub(super) epoch: Epoch,
    pub(super) version: u64,
    /// Where the epoch began: a copy that ends there is continued by it. `None` where that is not
    /// known exactly.
    pub(super) base: Option<Position>,
    /// The last record given to the backlog.
    pub(super) last: Seq,
    pub(super) in_sync: Vec<Member>,
    pub(super) learners: Vec<NodeId>,
    /// Who should be primary.
    pub(super) wanted: Option<NodeId>,
    /// When a change of this version was proposed.
    pub(super) proposed: Option<Millis>,
    pub(super) fence: Option<Fence>,
    pub(super) fence_not_before: Millis,
    /// Since when this node leads.
    pub(super) since: Millis,
}

/// What a replica gets of a group.
#[derive(Clone, Debug, Default)]
pub(super) struct Link {
    pub(super) state: LinkState,
    /// When it was last as it should be: everything acknowledged, or more of it.
    pub(super) well: Millis,
    pub(super) failures: u32,
}

#[derive(Clone, Debug, Default)]
pub(super) enum LinkState {
    /// Nothing: it has not said what it has.
    #[default]
    Waiting,
    /// A copy of the whole group, when its turn has come and not before that time.
    Queued(Millis),
    /// It is being sent.
    Resyncing { id: u64, sent: Option<(Position, Millis)> },
    /// Records.
    Streaming {
        sent: Seq,
        acked: Seq,
        /// Once it has acknowledged this it had everything at some moment.
        goal: Seq,
    },
}

impl Leads {
    pub(super) fn new() -> Leads {
        Leads((0..GROUPS).map(|_| None).collect())
    }

    pub(super) fn get(&self, group: Group) -> Option<&Led> {
        self.0[usize::from(group.number())].as_deref()
    }

    pub(super) fn get_mut(&mut self, group: Group) -> Option<&mut Led> {
        self.0[usize::from(group.number())].as_deref_mut()
    }

    pub(super) fn insert(&mut self, group: Group, led: Led) {
        self.0[usize::from(group.number())] = Some(Box::new(led));
    }

    pub(super) fn remove(&mut self, group: Group) -> Option<Led> {
        self.0[usize::from(group.number())].take().map(|led| *led)
    }
}

impl Link {
    /// A resync did not come about: again, but not at once.
    pub(super) fn queue_again(&mut self, now: Millis) {
        self.failures += 1;
        let wait_ms = RESYNC_RETRY_MS_MIN << self.failures.min(16);
        self.state = LinkState::Queued(now.after(wait_ms.min(RESYNC_RETRY_MS_MAX)));
    }
}

impl LinkState {
    /// What the replica has acknowledged, while it gets records.
    pub(super) fn acked(&self) -> Option<Seq> {
        match self {
            LinkState::Streaming { acked, .. } => Some(*acked),
            LinkState::Waiting | LinkState::Queued(_) | LinkState::Resyncing { .. } => None,
        }
    }
}

impl Led {
    pub(super) fn position(&self) -> Position {
        let begun = self.base.filter(|base| base.seq >= self.last);
        begun.unwrap_or(Position { epoch: self.epoch, seq: self.last })
    }

    /// Everybody who keeps the group.
    pub(super) fn holders(&self) -> impl Iterator<Item = NodeId> {
        self.in_sync.iter().map(|member| member.node).chain(self.learners.iter().copied())
    }

    pub(super) fn keeps(&self, node: NodeId) -> bool {
        self.holders().any(|holder| holder == node)
    }
}
