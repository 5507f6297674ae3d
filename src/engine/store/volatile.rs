//! Which items go under the policies that spare items without a deadline. Items are not moved,
//! but those that a command is at work on: the cleaner takes what is left of their segments.

use super::Store;
use super::evict::Hand;
use crate::command::Time;
use crate::limits::SECOND_CHANCES_MAX;

impl Store {
    /// Of the items whose segment is the first to be wholly dead, the oldest.
    pub(super) fn evict_first_to_expire(&mut self, now: Time) -> bool {
        let first = self.segments.first_to_expire();
        let Some(segment) = first.filter(|&id| self.segments.is_mortal(id)) else {
            return self.evict_volatile(false, now);
        };
        self.evict_in(segment, now) || self.has_pinned() && self.evict_volatile(false, now)
    }

    /// Evicts the first live item of a segment.
    fn evict_in(&mut self, segment: u32, now: Time) -> bool {
        let (mut at, id) = (0, segment);
        let segment = self.segments.remember(id);
        if self.evicting.first.segment == segment {
            at = self.evicting.first.at;
        }
        while let Some((offset, raw)) = self.segments.item_at(id, at) {
            let (len, dead, expired) =
                (raw.len as u32, raw.is_dead(), raw.deadline.is_some_and(|d| d <= now));
            at += len;
            self.evicting.first = Hand { segment, at };
            if dead {
                continue;
            }
            let found = self.locate(offset);
            if self.roles.is_replica(found.group) {
                if !self.set_aside(&found, now) || self.segments.work().is_enough() {
                    return false;
                }
                continue;
            }
            if expired {
                self.evicting.debt -= found.bytes as i64;
                self.expire_item(found.group, &found.at);
                return true;
            }
            if self.is_stuck(&found) {
                continue;
            }
            return self.evict(&found, now);
        }
        // With what is pinned in it it stays; nobody need look at it again meanwhile.
        if !self.has_pinned() {
            self.evicting.first = Hand::default();
        }
        self.segments.close(id);
        !self.segments.is_used(segment)
    }

    /// Evicts an item with a deadline: a CLOCK over the segments that have them. Items are not
    /// moved; the cleaner takes what is left of their segments.
    pub(super) fn evict_volatile(&mut self, second_chance: bool, now: Time) -> bool {
        for _ in 0..=SECOND_CHANCES_MAX {
            let Some(segment) = self.volatile_segment() else { return false };
            let at = self.evicting.volatile.at;
            let Some((offset, raw)) = self.segments.item_at(segment, at) else {
                self.volatile_segment_after(segment);
                continue;
            };
            let (len, dead) = (raw.len as u32, raw.is_dead());
            self.evicting.volatile.at = at + len;
            if dead {
                continue;
            }
            let found = self.locate(offset);
            if self.roles.is_replica(found.group) {
                if !self.set_aside(&found, now) {
                    return false;
                }
                continue;
            }
            let word = self.index.get(&found.at);
            if second_chance && word.references() > 0 && !self.segments.work().is_enough() {
                self.index.set(&found.at, word.with_references(word.references() - 1));
                continue;
            }
            if self.is_stuck(&found) {
                continue;
            }
            return self.evict(&found, now);
        }
        // Of what is pinned only what has a deadline comes by here.
        self.segments.with_deadline[0] > self.stuck_items()
    }

    /// The segment under the volatile hand, or the next one that has deadlines.
    fn volatile_segment(&mut self) -> Option<u32> {
        if self.segments.with_deadline[0] == 0 {
            return None;
        }
        let segment = self.evicting.volatile.segment;
        if self.segments.is_used(segment) && self.segments.is_mortal(segment.id) {
            return Some(segment.id);
        }
        self.volatile_segment_after(segment.id)
    }

    /// Moves the volatile hand to the next segment that has deadlines.
    fn volatile_segment_after(&mut self, id: u32) -> Option<u32> {
        let next = self.segments.mortal_after(id)?;
        self.evicting.volatile = Hand { segment: self.segments.remember(next), at: 0 };
        Some(next)
    }
}
