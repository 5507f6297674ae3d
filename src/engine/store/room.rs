//! Making room: how much work those who write pay when a bound is reached. Each write does one
//! bounded step and no more; where that does not free enough, it is lent the memory it needs, and
//! those that follow pay it back. Which items go is `evict`'s business.

use super::item::Draft;
use super::segments::Region;
use super::{Full, Store};
use crate::command::Time;
use crate::limits::{COMPACT_LEAVES_MAX, CREDIT_PART};

/// Blocks kept free below the bound, so that no write has to wait for a whole segment.
pub(super) const SPARE_BLOCKS: u64 = 2;
/// Bytes of items given up for each byte written while one spare block is left: a write frees more
/// than it fills, even where two regions and the index take blocks at the same time …
const DEBT_FACTOR: i64 = 4;
/// … and while none is: a segment is free after a few writes in a hundred of those that fill one,
/// and no write has to empty one alone.
const DEBT_FACTOR_URGENT: i64 = 32;
/// Most items or segments that one write gives up beyond what it cannot do without.
const STEPS_MAX: u32 = 64;
/// Most steps of a write that may not be lent what it needs.
const FREE_STEPS_MAX: u32 = 16 * 1024;
/// Steps of an upkeep towards a lowered bound.
pub(super) const SHRINK_STEPS: u32 = 64;
/// What a step of cleaning pays of the debt, in bytes: at least one item was looked at.
const CLEAN_DEBT: i64 = 256;
/// Above this share of dead bytes (of 100) in the segments, cleaning comes before eviction.
const DEAD_SHARE_MAX: u64 = 8;
/// What deadlines may take above the bound, as a part of it, …
const OVERDRAFT_PART: u64 = 64;
/// … or so many blocks where that is more: items of each class of TTL begin one.
const OVERDRAFT_BLOCKS_MIN: u64 = 2;

impl Store {
    /// Makes sure an item can be appended. `Ok(true)`: the index has changed.
    #[inline]
    pub(super) fn make_room(
        &mut self,
        local: usize,
        draft: &Draft<'_>,
        is_new: bool,
        now: Time,
    ) -> Result<bool, Full> {
        let bounded = self.limit_bytes != u64::MAX || self.limit_items != u64::MAX;
        if !bounded && self.index.is_ready() {
            return Ok(false);
        }
        if self.roles.is_replica(local) {
            return self.make_room_for_replica(draft, now);
        }
        self.make_room_bounded(draft, is_new, now)
    }

    fn make_room_bounded(
        &mut self,
        draft: &Draft<'_>,
        is_new: bool,
        now: Time,
    ) -> Result<bool, Full> {
        self.segments.begin_step();
        let mut changed = false;
        if is_new && self.len() >= self.limit_items && !self.roomy {
            changed |= self.free_items(now)?;
        }
        if self.limit_bytes != u64::MAX {
            changed |= self.pay(draft.len(), now);
            let region = if is_new { self.default_region() } else { Region::Main };
            let blocks = u64::from(self.segments.needs_block(region, draft, now))
                + u64::from(!self.index.is_ready());
            if blocks > 0 {
                changed |= self.free_blocks(blocks, now)?;
            }
        }
        while !self.index.is_ready() {
            if !self.index.grow() {
                return Err(Full);
            }
        }
        if is_new {
            self.start_tracking();
            self.balance(now);
        }
        self.segments.work().assert_bounded();
        Ok(changed)
    }

    pub(super) fn room_left(&self, blocks: u64) -> bool {
        let bytes = blocks * self.arena.block_bytes() as u64;
        self.used_bytes() + bytes <= self.limit_bytes
    }

    /// Makes room for one more item; whether the index has changed. Above a bound that was lowered
    /// a write gives up some more items than it adds: the rest is for [`Store::shrink_step`].
    #[cold]
    fn free_items(&mut self, now: Time) -> Result<bool, Full> {
        let goal = self.limit_items.max(self.len());
        for step in 0..FREE_STEPS_MAX {
            let (room, enough) = (self.len() < goal, self.segments.work().is_enough());
            if self.len() < self.limit_items || room && (enough || step >= STEPS_MAX) {
                return Ok(true);
            }
            let expiries = self.counters.expiries;
            let gone = !enough && self.expire_step(now) || self.evict_one(now);
            if !gone && self.counters.expiries == expiries {
                return if room { Ok(true) } else { Err(Full) };
            }
        }
        if self.len() < goal { Ok(true) } else { Err(Full) }
    }

    /// Pays for `bytes` more while room is short; whether anything was evicted or moved.
    fn pay(&mut self, bytes: usize, now: Time) -> bool {
        if self.room_left(SPARE_BLOCKS) {
            self.evicting.debt = 0;
            return false;
        }
        let factor = if self.room_left(1) { DEBT_FACTOR } else { DEBT_FACTOR_URGENT };
        // A segment is all that is needed next: what is big pays for no more than that.
        let block = self.arena.block_bytes() as i64;
        self.evicting.debt = (self.evicting.debt + bytes as i64 * factor).min(block);
        let mut steps = 0;
        while self.evicting.debt > 0
            && steps < STEPS_MAX
            && !self.room_left(SPARE_BLOCKS)
            && !self.segments.work().is_enough()
            && self.relieve(now)
        {
            steps += 1;
        }
        true
    }

    /// Sees to it that `blocks` more fit; whether the index has changed, even if nothing went: a
    /// slot found before is not to be used then. What is still missing after a bounded step is
    /// lent, if it is little. Above a bound that was lowered, as happens whenever the node divides
    /// its memory anew, a write frees what it takes and no more: the rest is for [`Store::pay`] and
    /// [`Store::shrink_step`].
    #[cold]
    pub(super) fn free_blocks(&mut self, blocks: u64, now: Time) -> Result<bool, Full> {
        if self.roomy {
            return Ok(false);
        }
        let bytes = blocks * self.arena.block_bytes() as u64;
        let used = self.used_bytes();
        self.anchor = self.limit_bytes.max(self.anchor.min(used));
        // Open segments that everything was evicted from hold blocks for nothing.
        self.segments.close_empty();
        let mut changed = self.compact_step();
        let mut steps = 0;
        while self.used_bytes() + bytes > self.anchor {
            if steps >= STEPS_MAX || self.segments.work().is_enough() {
                let most = self.anchor.saturating_add(self.limit_bytes / CREDIT_PART);
                if self.used_bytes() + bytes <= most {
                    break;
                }
                return self.free_at_length(bytes, most.max(used), now);
            }
            if !self.relieve(now) {
                return Err(Full);
            }
            steps += 1;
            changed = true;
        }
        Ok(changed)
    }

    /// Evicts until `bytes` more fit below `goal`, in as many steps as that takes: for big values,
    /// and where shards are so small that not a single block can be lent.
    fn free_at_length(&mut self, bytes: u64, goal: u64, now: Time) -> Result<bool, Full> {
        self.counters.long_writes += 1;
        for step in 0..FREE_STEPS_MAX {
            self.segments.work().assert_bounded();
            self.segments.begin_step();
            if step.is_multiple_of(SHRINK_STEPS) {
                self.segments.close_empty();
                self.compact_step();
            }
            if self.used_bytes() + bytes <= goal {
                // Above a bound that was lowered a moment ago upkeep goes on.
                return Ok(true);
            }
            if !self.relieve(now) {
                return Err(Full);
            }
        }
        Err(Full)
    }

    /// A step towards giving back a block of the index; whether it did anything.
    fn compact_step(&mut self) -> bool {
        let any = self.index.compact();
        if any {
            self.segments.count(|work| work.leaves += COMPACT_LEAVES_MAX);
        }
        any
    }

    /// Some steps towards a bound that was lowered; whether there is more to do.
    pub(super) fn shrink_step(&mut self, now: Time) -> bool {
        if self.used_bytes() > self.limit_bytes && self.compact_step() {
            return true;
        }
        for _ in 0..SHRINK_STEPS {
            let above = self.used_bytes() > self.limit_bytes || self.len() > self.limit_items;
            if !above || !self.relieve(now) {
                return false;
            }
            if self.segments.work().is_enough() {
                break;
            }
        }
        true
    }

    /// One step towards more room: what is dead anyway first, then what the policy gives up.
    /// Whether anything could be done.
    pub(super) fn relieve(&mut self, now: Time) -> bool {
        if let Some(block) = self.graveyard.pop() {
            self.arena.give(block);
            return true;
        }
        if self.expire_step(now) {
            return true;
        }
        let dead = self.segments.len_sum() - self.segments.live_bytes();
        if dead * 100 > self.segments.len_sum() * DEAD_SHARE_MAX && self.clean_step(now, 1) {
            self.evicting.debt -= CLEAN_DEBT;
            return true;
        }
        let expiries = self.counters.expiries;
        if self.evict_one(now) || self.counters.expiries > expiries || self.roles_step(now) {
            return true;
        }
        self.evicting.debt -= CLEAN_DEBT;
        self.clean_step(now, 0) || self.segments.close_empty() || self.compact_step()
    }

    /// Whether one that must not be refused for want of a few bytes may take a block all the same:
    /// a deadline is what gives memory back where nothing may be evicted.
    pub(super) fn may_overdraw(&self) -> bool {
        let block = self.arena.block_bytes() as u64;
        let most = (self.limit_bytes / OVERDRAFT_PART).max(OVERDRAFT_BLOCKS_MIN * block);
        self.used_bytes() + block <= self.bytes_goal().saturating_add(most)
    }

    /// Has `write` store what goes away elsewhere: the bound is not asked.
    pub(in crate::engine) fn moving_in<T>(&mut self, write: impl FnOnce(&mut Store) -> T) -> T {
        let roomy = std::mem::replace(&mut self.roomy, true);
        let done = write(self);
        self.roomy = roomy;
        done
    }

    /// Gives up some of its part of the bound on bytes; how much.
    pub(in crate::engine) fn lose_bound(&mut self, bytes: u64) -> u64 {
        if self.limit_bytes == u64::MAX {
            return 0;
        }
        let lost = bytes.min(self.limit_bytes);
        self.move_limits(self.limit_bytes - lost, self.limit_items);
        lost
    }

    /// Gets what another shard has given up.
    pub(in crate::engine) fn gain_bound(&mut self, bytes: u64) {
        self.move_limits(self.limit_bytes.saturating_add(bytes), self.limit_items);
    }

    /// The bounds have changed: what is held above them now goes in steps of upkeep, and no write
    /// has to wait for that.
    pub(super) fn bounds_moved(&mut self) {
        let held = self.anchor.min(self.used_bytes());
        self.anchor = self.limit_bytes.max(held);
    }
}
