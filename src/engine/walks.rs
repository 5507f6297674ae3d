//! The walk of a group while others change it: for snapshots, resync and moves. A cursor runs in
//! hash order; a change behind it is forwarded, one ahead of it is not, since the walk will see it.
//! What comes out, in order, is the group as it is when the walk ends: an exact cut without a
//! copy of anything.

use super::journal::Scope;
use super::{Engine, ItemValue};
use crate::command::Time;
use crate::command::effect::Effect;
use crate::limits::{WALK_FORWARD_BYTES_MAX, WALK_ITEMS_PER_LOCK};
use bytes::Bytes;
use cluster::record::{Epoch, GroupTime, Seq};
use cluster::slot::Group;

/// Where a walk is, and what happened behind it since its last step.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) id: WalkId,
    /// Everything before this place was visited.
    next: u32,
    behind: WalkChunk,
    overrun: bool,
}

/// One of the walks of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkId {
    /// The group.
    pub group: Group,
    /// Which of its walks.
    pub(super) number: u64,
}

/// Effects that a step of a walk brings: a payload in parts.
#[derive(Debug, Default)]
pub struct WalkChunk {
    /// All but large values.
    pub bytes: Vec<u8>,
    /// Large values and where in `bytes` they belong, in order.
    pub values: Vec<(usize, Bytes)>,
}

/// What a step of a walk came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkStep {
    /// There is more.
    More,
    /// That was all: the group as it is at this record of its log.
    End {
        /// Which primary wrote it.
        epoch: Epoch,
        /// Its place.
        seq: Seq,
        /// The time it had reached.
        time: GroupTime,
    },
    /// More changed behind the walk than it could keep, or the group is not whole here any more:
    /// to be begun again, if at all.
    Overrun,
}

impl WalkChunk {
    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.values.clear();
    }

    /// Bytes of the whole payload.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.values.iter().map(|(_, v)| v.len()).sum::<usize>()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Its parts in order.
    pub fn parts(&self) -> Vec<&[u8]> {
        let mut parts = Vec::with_capacity(2 * self.values.len() + 1);
        let mut from = 0;
        for (at, value) in &self.values {
            parts.push(&self.bytes[from..*at]);
            parts.push(value);
            from = *at;
        }
        parts.push(&self.bytes[from..]);
        parts
    }

    fn push(&mut self, effect: &Effect<'_>, shared: Option<&Bytes>) {
        match shared {
            Some(value) => {
                let at = effect.encode_around(&mut self.bytes);
                self.values.push((at, value.clone()));
            }
            None => effect.encode(&mut self.bytes),
        }
    }

    fn append(&mut self, other: &mut WalkChunk) {
        let offset = self.bytes.len();
        self.bytes.append(&mut other.bytes);
        self.values.extend(other.values.drain(..).map(|(at, value)| (offset + at, value)));
    }
}

impl Walk {
    pub(super) fn new(id: WalkId) -> Walk {
        Walk { id, next: 0, behind: WalkChunk::default(), overrun: false }
    }

    /// A change of the group.
    pub(super) fn forward(&mut self, effect: &Effect<'_>, scope: Scope<'_>) {
        let (position, shared) = match scope {
            Scope::Item(position) => (Some(position), None),
            Scope::Shared(position, value) => (Some(position), Some(value)),
            Scope::Group => (None, None),
        };
        if position.is_some_and(|p| p >= self.next) || self.overrun {
            return;
        }
        if self.behind.len() + effect.encoded_bytes() > WALK_FORWARD_BYTES_MAX {
            self.overrun = true;
            self.behind = WalkChunk::default();
            return;
        }
        self.behind.push(effect, shared);
    }
}

impl Engine {
    /// Begins a walk of a group, beside others that there may be. The log must be open, or nothing
    /// is forwarded.
    pub fn begin_walk(&self, group: Group) -> WalkId {
        let mut id = WalkId { group, number: 0 };
        self.with_journal(group, |journal| id = journal.begin_walk(group));
        id
    }

    /// How many walks there are.
    pub fn walks(&self) -> usize {
        let of = |shard| self.lock(shard).store().journal().map_or(0, |j| j.walks());
        (0..self.shard_count()).map(of).sum()
    }

    /// Gives up a walk.
    pub fn end_walk(&self, id: WalkId) {
        self.with_journal(id.group, |journal| journal.end_walk(id));
    }

    /// Goes on with a walk that [`Engine::begin_walk`] began, under its lock for a bounded number
    /// of items: what it brings is appended to `out`.
    pub fn walk_step(&self, id: WalkId, now: Time, out: &mut WalkChunk) -> WalkStep {
        let group = id.group;
        let mut guard = self.lock(self.shard_of_group(group));
        let store = guard.store();
        let now = store.time_of(group, now);
        let is_whole = store.is_whole(group);
        let Some(walk) = store.journal().and_then(|j| j.walk(id)) else {
            return WalkStep::Overrun;
        };
        if walk.overrun || !is_whole {
            return WalkStep::Overrun;
        }
        let from = walk.next;
        out.append(&mut walk.behind);
        let next = store.walk(group, from, WALK_ITEMS_PER_LOCK, now, |key, item| {
            let deadline = item.deadline;
            let (value, shared) = match item.value {
                ItemValue::Inline(value) => (value, None),
                ItemValue::Shared(value) => (&value[..], Some(value)),
            };
            out.push(&Effect::Set { key, value, deadline }, shared);
        });
        let Some(journal) = store.journal() else { return WalkStep::Overrun };
        match (next, journal.walk(id)) {
            (Some(next), Some(walk)) => {
                walk.next = next;
                WalkStep::More
            }
            (None, _) => {
                journal.end_walk(id);
                let (epoch, seq, time) = journal.position(group);
                WalkStep::End { epoch, seq, time }
            }
            (Some(_), None) => WalkStep::Overrun,
        }
    }
}
