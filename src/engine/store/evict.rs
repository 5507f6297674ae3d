//! Which items go when a bound is reached; when, and how many, is `room`'s business.
//!
//! Items stand in segments in the order they were written, so a region is a FIFO queue for free:
//! its hand walks the oldest segment. Main is a CLOCK: an item that was asked for since the hand
//! came by last is written again at the end of the queue.

use super::admission::{Admission, Contender};
use super::index::SlotRef;
use super::room::SPARE_BLOCKS;
use super::segments::{Region, SegmentRef};
use super::{Key, Policy, Store};
use crate::command::Time;
use crate::limits::{PINNED_PASSES_MAX, SECOND_CHANCES_MAX};

/// Counting starts when this share (of 100) of a bound is used.
const TRACKING_FROM: u64 = 80;
/// Room is taken to count requests of at most so many times the items there are …
const EXPECTED_GROWTH: u64 = 4;
/// … or of this many.
const EXPECTED_ITEMS_MIN: u64 = 4096;

/// A place in a segment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hand {
    pub(super) segment: SegmentRef,
    pub(super) at: u32,
}

/// Where the policy's hands are.
#[derive(Debug, Default)]
pub(super) struct Hands {
    queues: [Hand; 2],
    pub(super) volatile: Hand,
    /// In the segment that is the first to be wholly dead.
    pub(super) first: Hand,
    pub(super) debt: i64,
    pinned: Vec<Pinned>,
}

/// An item that is not to go, because a command is at work on it where no lock is held.
#[derive(Debug)]
struct Pinned {
    hash: u64,
    /// So often a hand still passes it over before anything else goes.
    passes: u32,
}

/// An item under a hand.
pub(super) struct Found {
    offset: u64,
    pub(super) group: usize,
    hash: u64,
    pub(super) at: SlotRef,
    pub(super) bytes: usize,
}

impl Store {
    /// From now on the item of this hash is passed over.
    pub(in crate::engine) fn pin(&mut self, hash: u64) {
        self.evicting.pinned.push(Pinned { hash, passes: PINNED_PASSES_MAX });
    }

    /// The item of this hash may go again, as far as the last one is concerned who said it may not.
    pub(in crate::engine) fn unpin(&mut self, hash: u64) {
        let pinned = &mut self.evicting.pinned;
        if let Some(at) = pinned.iter().rposition(|pinned| pinned.hash == hash) {
            pinned.swap_remove(at);
        }
        if pinned.is_empty() {
            self.evicting.first = Hand::default();
        }
    }

    /// Evicts an item or moves one that may stay; whether there was one.
    pub(super) fn evict_one(&mut self, now: Time) -> bool {
        match self.policy {
            Policy::NoEviction => false,
            Policy::TinyLfu | Policy::AllKeysLfu => self.evict_by_duel(now),
            Policy::AllKeysLru => self.evict_main(now, true),
            Policy::AllKeysRandom => self.evict_main(now, false),
            Policy::VolatileTtl => self.evict_first_to_expire(now),
            Policy::VolatileLru | Policy::VolatileLfu => self.evict_volatile(true, now),
            Policy::VolatileRandom => self.evict_volatile(false, now),
        }
    }

    /// The size that the policy divides between its regions.
    fn size(&self, region: Region) -> u64 {
        let sums = self.segments.sums(region);
        if self.limit_items == u64::MAX { sums.bytes + sums.big_bytes } else { sums.items }
    }

    pub(super) fn default_region(&self) -> Region {
        if self.admission.is_some() { Region::Window } else { Region::Main }
    }

    /// Where a new key goes.
    pub(super) fn arrival_region(&mut self, hash: u64) -> Region {
        let Some(admission) = &mut self.admission else { return Region::Main };
        if admission.was_rejected(hash) { Region::Main } else { Region::Window }
    }

    /// Begins to count requests when a bound comes near.
    pub(super) fn start_tracking(&mut self) {
        if !self.tracking {
            let near = |used: u64, limit: u64| {
                limit != u64::MAX && used.saturating_mul(100) >= limit.saturating_mul(TRACKING_FROM)
            };
            self.tracking =
                near(self.len(), self.limit_items) || near(self.used_bytes(), self.limit_bytes);
        }
        let learns = matches!(self.policy, Policy::TinyLfu | Policy::AllKeysLfu);
        if !self.tracking || !learns {
            return;
        }
        let items = self.expected_items();
        if self.admission.as_ref().is_some_and(|a| items <= a.capacity() * 2) {
            return;
        }
        let admission = match self.policy {
            Policy::AllKeysLfu => Admission::by_frequency(items),
            _ => Admission::adaptive(items),
        };
        self.set_admission(Some(admission));
        // What it takes at once nobody has to make room for at once.
        self.anchor = self.anchor.max(self.used_bytes());
    }

    /// About how many items there will be at the bound; where that is far, some more than now.
    fn expected_items(&self) -> usize {
        let by_bytes = if self.limit_bytes == u64::MAX {
            u64::MAX
        } else {
            let used = self.used_bytes().max(1);
            (u128::from(self.len()) * u128::from(self.limit_bytes) / u128::from(used)) as u64
        };
        let soon = self.len().saturating_mul(EXPECTED_GROWTH).max(EXPECTED_ITEMS_MIN);
        by_bytes.min(self.limit_items).min(soon).min(u64::from(u32::MAX)) as usize
    }

    /// Keeps the window at its size while there is room: what leaves it joins main uncontested.
    pub(super) fn balance(&mut self, now: Time) {
        let Some(admission) = &self.admission else { return };
        let total = self.size(Region::Window) + self.size(Region::Main);
        let target = (admission.window() * total as f64) as u64;
        if self.size(Region::Window) <= target.max(1) {
            return;
        }
        let full = self.limit_items != u64::MAX && self.len() + 1 >= self.limit_items
            || self.limit_bytes != u64::MAX && !self.room_left(SPARE_BLOCKS);
        if full {
            return;
        }
        let Some(head) = self.segments.head(Region::Window) else { return };
        if self.segments.is_open(head) {
            if let Some(found) = self.under_hand(Region::Window, now) {
                self.move_to_main(&found, 0, now);
            }
            return;
        }
        let segment = self.segments.get(head);
        let head_size = match self.limit_items {
            u64::MAX => u64::from(segment.live_bytes) + segment.big_bytes,
            _ => u64::from(segment.live_items),
        };
        if self.size(Region::Window) >= target + head_size {
            self.segments.promote_head();
        }
    }

    /// W-TinyLFU: the oldest of the window against the next of main.
    fn evict_by_duel(&mut self, now: Time) -> bool {
        let (window, main) = (self.size(Region::Window), self.size(Region::Main));
        let items = self.len();
        let Some(admission) = &mut self.admission else { return self.evict_main(now, true) };
        admission.adapt(items, window, main);
        let target = (admission.window() * (window + main) as f64) as u64;
        if window == 0 || (window <= target && main > 0) {
            return self.evict_main(now, true);
        }
        let Some(candidate) = self.under_hand(Region::Window, now) else {
            return self.evict_main(now, true);
        };
        let candidate = self.contender(&candidate);
        let victim = self.main_victim(true, now);
        let challenged = victim.as_ref().map(|victim| self.contender(victim));
        let admit = match (challenged, &mut self.admission) {
            (Some(victim), Some(admission)) => admission.admit(candidate, victim),
            _ => true,
        };
        if let Some(victim) = victim.as_ref().filter(|_| admit) {
            self.evict(victim, now);
        }
        // Looked up again: the search for a victim removes what has expired, and slots move with
        // every removal.
        let Some(candidate) = self.under_hand(Region::Window, now) else { return true };
        if !admit {
            return self.evict(&candidate, now);
        }
        let chances = self.chances(&candidate);
        self.move_to_main(&candidate, chances, now)
            || victim.is_some()
            || self.evict(&candidate, now)
    }

    /// See [`Admission::chances`].
    fn chances(&self, found: &Found) -> u8 {
        let main = self.segments.sums(Region::Main);
        let mean = (main.bytes + main.big_bytes) / main.items.max(1);
        let by_size = self.admission.as_ref().filter(|_| self.limit_items == u64::MAX);
        by_size.map_or(0, |admission| admission.chances(found.bytes as u64, mean))
    }

    /// What the policy weighs of an item: bytes only where the bound is in bytes.
    fn contender(&self, found: &Found) -> Contender {
        let size = if self.limit_items == u64::MAX { found.bytes as u64 } else { 1 };
        Contender { hash: found.hash, size }
    }

    fn evict_main(&mut self, now: Time, second_chance: bool) -> bool {
        // Left by another policy: nothing goes there any more.
        if self.admission.is_none()
            && let Some(found) = self.under_hand(Region::Window, now)
        {
            return self.evict(&found, now);
        }
        match self.main_victim(second_chance, now) {
            Some(victim) if !self.is_stuck(&victim) => self.evict(&victim, now),
            _ => match self.under_hand(Region::Window, now) {
                Some(found) => self.evict(&found, now),
                None => false,
            },
        }
    }

    /// Whether any item is passed over.
    pub(super) fn has_pinned(&self) -> bool {
        !self.evicting.pinned.is_empty()
    }

    /// Whether an item was passed over so often that it is not looked at any more.
    pub(super) fn is_stuck(&self, found: &Found) -> bool {
        self.evicting.pinned.iter().any(|pinned| pinned.hash == found.hash && pinned.passes == 0)
    }

    /// Items that are not looked at any more.
    pub(super) fn stuck_items(&self) -> u64 {
        self.evicting.pinned.iter().filter(|pinned| pinned.passes == 0).count() as u64
    }

    pub(super) fn evict(&mut self, found: &Found, now: Time) -> bool {
        if let Some(pinned) = self.evicting.pinned.iter_mut().find(|s| s.hash == found.hash) {
            // Passed over that often, it is what is left: there is nothing to evict.
            let Some(left) = pinned.passes.checked_sub(1) else { return false };
            pinned.passes = left;
            // Out of the window: a large value there would be all that is looked at. Behind all
            // that is in main: not at the end of the segment that is looked at.
            self.segments.close(self.segments.segment_of(found.offset));
            return self.move_to_main(found, 0, now);
        }
        // There is more than what is pinned.
        self.evicting.pinned.iter_mut().for_each(|pinned| pinned.passes = PINNED_PASSES_MAX);
        self.evicting.debt -= found.bytes as i64;
        self.log_given_up(found.group);
        self.log_delete(found.group, found.offset);
        self.drop_item(found.group, &found.at);
        self.counters.evictions += 1;
        true
    }

    /// The next item of main that was not asked for since the hand came by; those that were are
    /// written again at the end.
    fn main_victim(&mut self, second_chance: bool, now: Time) -> Option<Found> {
        for _ in 0..SECOND_CHANCES_MAX {
            let found = self.under_hand(Region::Main, now)?;
            let references = self.index.get(&found.at).references();
            if references == 0 || !second_chance || self.segments.work().is_enough() {
                return Some(found);
            }
            if !self.move_to_main(&found, references - 1, now) {
                return Some(found);
            }
        }
        self.under_hand(Region::Main, now)
    }

    /// Writes an item again at the end of main; whether there was a block for it.
    fn move_to_main(&mut self, found: &Found, references: u8, now: Time) -> bool {
        self.relocate(found.offset, &found.at, Region::Main, Some(references), now)
    }

    /// The oldest live item of a region. Dead ones are passed over, expired ones removed: `None`
    /// too if that was work enough for a step.
    fn under_hand(&mut self, region: Region, now: Time) -> Option<Found> {
        loop {
            let head = self.segments.head(region)?;
            let segment = self.segments.remember(head);
            let hand = &mut self.evicting.queues[region as usize];
            if hand.segment != segment {
                *hand = Hand { segment, at: 0 };
            }
            let at = hand.at;
            let Some((offset, raw)) = self.segments.item_at(head, at) else {
                // All of it was seen: nothing in it lives, or it would have been returned.
                self.segments.close(head);
                if self.segments.head(region) == Some(head) {
                    self.set_hand(region, 0);
                    return None;
                }
                continue;
            };
            let (len, dead) = (raw.len as u32, raw.is_dead());
            if dead {
                self.set_hand(region, at + len);
                continue;
            }
            let expired = raw.deadline.is_some_and(|d| d <= now);
            let found = self.locate(offset);
            if self.roles.is_replica(found.group) {
                // It came here when this node was primary of its group.
                if !self.set_aside(&found, now) || self.segments.work().is_enough() {
                    return None;
                }
                continue;
            }
            if expired {
                self.expire_item(found.group, &found.at);
                if self.segments.work().is_enough() {
                    return None;
                }
                continue;
            }
            return Some(found);
        }
    }

    fn set_hand(&mut self, region: Region, at: u32) {
        self.evicting.queues[region as usize].at = at;
    }

    /// Moves an item that came here when this node was primary of its group out of the way: it is
    /// not for this node to decide about. Whether there was a block for it.
    pub(super) fn set_aside(&mut self, found: &Found, now: Time) -> bool {
        self.relocate(found.offset, &found.at, Region::Replica, None, now)
    }

    /// The slot of a live item in a segment.
    pub(super) fn locate(&self, offset: u64) -> Found {
        let raw = self.segments.item(offset);
        let key = Key::new(raw.key, &self.seed);
        let (group, hash) = (self.local(key.group()), key.hash);
        let big = raw.big().map_or(0, |id| self.bigs.bytes_of(self.bigs.get(id).len()));
        let bytes = raw.len + big as usize;
        match self.index.find(group, hash, |w| w.offset() == offset) {
            Some(at) => Found { offset, group, hash, at, bytes },
            None => unreachable!("a live item that the index does not know"),
        }
    }
}
