//! Upkeep in bounded steps: removing what has expired, copying live items out of the emptiest
//! segments, giving memory back.

use super::Store;
use super::index::SlotRef;
use super::item::Draft;
use super::segments::{Region, SegmentRef};
use crate::command::Time;
use crate::limits::{REPLICA_EXPIRY_MS, UPKEEP_BLOCKS_MAX, UPKEEP_ITEMS_MAX, WEIGH_SEGMENTS_MAX};

/// Cleaning starts above this share of dead and expired bytes (of 100) in the segments.
const CLEAN_ABOVE: u64 = 8;
/// A segment is worth cleaning above this share of dead and expired bytes (of 100).
const WORTH_CLEANING: u64 = 8;
/// Segments are weighed at most this often, in milliseconds, when nothing was found to clean.
const WEIGH_EVERY_MS: u64 = 50;

/// The segment being cleaned.
#[derive(Debug, Default)]
pub(super) struct Cleaning {
    segment: Option<SegmentRef>,
    at: u32,
    expiring: Option<SegmentRef>,
    expiring_at: u32,
    weighing: Weighing,
    weighed: Time,
}

/// A look at all segments, some of them in each step.
#[derive(Debug, Default)]
struct Weighing {
    /// The next one to be looked at.
    at: u32,
    /// Bytes that cleaning would free in those seen.
    reclaimable: u64,
    /// The closed one with the most of these.
    best: Option<(u32, SegmentRef)>,
}

impl Store {
    /// Does one bounded step of what must be done apart from commands: expiry, cleaning, giving
    /// memory back. Returns whether there is more to do at once.
    pub fn upkeep(&mut self, now: Time) -> bool {
        if let Some(journal) = &mut self.journal {
            journal.upkeep(now);
        }
        self.segments.begin_step();
        for _ in 0..UPKEEP_BLOCKS_MAX {
            let Some(block) = self.graveyard.pop() else { break };
            self.arena.give(block);
        }
        let mut more = !self.graveyard.is_empty();
        more |= self.expire_step(now);
        more |= self.clean_step(now, CLEAN_ABOVE);
        more |= self.shrink_step(now);
        more |= self.roles_step(now);
        self.segments.work().assert_bounded();
        more
    }

    /// Removes some items of a segment that is wholly past its deadlines; whether there was one.
    pub(super) fn expire_step(&mut self, now: Time) -> bool {
        let Some(id) = self.segments.expired(now) else { return false };
        let segment = self.segments.remember(id);
        if self.cleaning.expiring != Some(segment) {
            self.cleaning.expiring = Some(segment);
            self.cleaning.expiring_at = 0;
        }
        for _ in 0..UPKEEP_ITEMS_MAX {
            let at = self.cleaning.expiring_at;
            let Some((offset, raw)) = self.segments.item_at(id, at) else {
                self.cleaning.expiring = None;
                self.segments.close(id);
                if self.segments.is_used(segment) {
                    // Items of groups whose primary has not said yet that they are dead.
                    self.segments.postpone(id, Time(now.0 + REPLICA_EXPIRY_MS));
                }
                break;
            };
            self.cleaning.expiring_at += raw.len as u32;
            let live = !raw.is_dead();
            if live && raw.deadline.is_some_and(|d| d <= now) {
                self.expire_at(offset, now);
                if !self.segments.is_used(segment) {
                    self.cleaning.expiring = None;
                    break;
                }
            }
        }
        true
    }

    /// Removes an item past its deadline; whether its primary agrees that it is dead.
    fn expire_at(&mut self, offset: u64, now: Time) -> bool {
        let found = self.locate(offset);
        let due = self.is_due(found.group, self.segments.item(offset).deadline, now);
        if due {
            self.expire_item(found.group, &found.at);
        }
        due
    }

    /// Copies some live items out of the segment that is emptiest, if more than `above` of 100
    /// bytes in the segments hold nothing; whether anything was done.
    pub(super) fn clean_step(&mut self, now: Time, above: u64) -> bool {
        let Some(segment) = self.cleaning.segment.filter(|&s| self.segments.is_used(s)) else {
            return self.choose_segment(now, above);
        };
        for _ in 0..UPKEEP_ITEMS_MAX {
            let Some((offset, raw)) = self.segments.item_at(segment.id, self.cleaning.at) else {
                self.cleaning.segment = None;
                self.segments.close(segment.id);
                return true;
            };
            self.cleaning.at += raw.len as u32;
            if raw.is_dead() {
                continue;
            }
            let expired = raw.deadline.is_some_and(|d| d <= now) && self.expire_at(offset, now);
            if !expired && !self.move_within_region(offset, now) {
                self.cleaning.segment = None;
                return false;
            }
            if !self.segments.is_used(segment) {
                self.cleaning.segment = None;
                return true;
            }
        }
        true
    }

    /// Looks for the segment that is emptiest, in steps; whether it is found or there is more to
    /// look at.
    fn choose_segment(&mut self, now: Time, above: u64) -> bool {
        self.cleaning.segment = None;
        let urgent = above < CLEAN_ABOVE;
        let begins = self.cleaning.weighing.at == 0;
        if !urgent && begins && now.0.abs_diff(self.cleaning.weighed.0) < WEIGH_EVERY_MS {
            return false;
        }
        self.weigh_step(now);
        if self.cleaning.weighing.at < self.segments.ids_end() {
            return true;
        }
        let Weighing { reclaimable, best, .. } = std::mem::take(&mut self.cleaning.weighing);
        let found = best.filter(|(_, segment)| self.segments.is_used(*segment));
        let worth = |&(bytes, segment): &(u32, SegmentRef)| {
            let len = u64::from(self.segments.get(segment.id).len);
            u64::from(bytes) * 100 > len * if urgent { 1 } else { WORTH_CLEANING }
        };
        let enough = reclaimable * 100 > self.segments.len_sum() * above;
        let Some((_, segment)) = found.filter(|found| enough && worth(found)) else {
            self.cleaning.weighed = now;
            return false;
        };
        self.cleaning.segment = Some(segment);
        self.cleaning.at = 0;
        true
    }

    /// Weighs the next segments, as many as one step may.
    fn weigh_step(&mut self, now: Time) {
        let weighing = &mut self.cleaning.weighing;
        let left = self.segments.ids_end().saturating_sub(weighing.at) as usize;
        let count = WEIGH_SEGMENTS_MAX.saturating_sub(self.segments.work().segments).min(left);
        self.segments.count(|work| work.segments += count);
        for id in self.segments.ids_from(weighing.at, count) {
            // What is dead in a copy its primary says, and not the time here.
            let replica = self.segments.get(id).region == Region::Replica;
            let at = if replica { Time(0) } else { now };
            let bytes = self.segments.get(id).reclaimable(at);
            weighing.reclaimable += u64::from(bytes);
            let is_more = weighing.best.is_none_or(|(most, _)| bytes > most);
            if is_more && !self.segments.is_open(id) {
                weighing.best = Some((bytes, self.segments.remember(id)));
            }
        }
        weighing.at = weighing.at.saturating_add(count as u32);
    }

    fn move_within_region(&mut self, offset: u64, now: Time) -> bool {
        let found = self.locate(offset);
        let region = self.region_of(found.group, offset);
        self.relocate(offset, &found.at, region, None, now)
    }

    /// Writes an item again at the end of a region; whether there was a block for it.
    pub(super) fn relocate(
        &mut self,
        offset: u64,
        at: &SlotRef,
        region: Region,
        references: Option<u8>,
        now: Time,
    ) -> bool {
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        let raw = self.segments.item(offset);
        bytes.extend_from_slice(raw.key);
        bytes.extend_from_slice(raw.value);
        let (key, value) = bytes.split_at(raw.key.len());
        let (big, edited, deadline) = (raw.big().is_some(), raw.is_edited(), raw.deadline);
        let draft = Draft { key, value, big, edited, deadline };
        let moved = self.segments.append(region, &draft, now);
        if let Some(to) = moved {
            let word = self.index.get(at).at(to);
            let references = references.unwrap_or(word.references());
            self.index.set(at, word.with_references(references));
            self.segments.kill(offset);
        }
        self.scratch = bytes;
        moved.is_some()
    }

    /// Drops everything; memory goes back in steps of later upkeep.
    pub fn clear(&mut self) {
        self.log_flush();
        let groups = usize::from(cluster::slot::GROUPS) >> self.shard_bits;
        let arena = self.arena.clone();
        let mut segments =
            std::mem::replace(&mut self.segments, super::Segments::new(arena.clone()));
        let mut index =
            std::mem::replace(&mut self.index, super::Index::new(arena.clone(), groups));
        // What it remembers of a segment that was is not to be taken for one that will be.
        self.forget_moving();
        segments.take_blocks(&mut self.graveyard);
        index.take_blocks(&mut self.graveyard);
        self.garbage.extend(self.bigs.take_all());
        self.cleaning = Cleaning::default();
        self.evicting = super::evict::Hands::default();
        let (bytes, items) = (self.limit_bytes, self.limit_items);
        self.set_limits((bytes != u64::MAX).then_some(bytes), (items != u64::MAX).then_some(items));
    }
}
