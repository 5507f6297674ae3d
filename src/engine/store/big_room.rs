//! Room for big values, in steps between which others have their turn. Which items go for them is
//! the policy's business.

use super::room::SHRINK_STEPS;
use super::segments::Region;
use super::{Full, Policy, Store};
use crate::command::Time;
use crate::limits::ROOM_STEPS_MAX;

/// Whether a big value has room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum BigRoom {
    /// It has.
    Enough,
    /// Not yet: go on.
    Going,
    /// The shard's part of the bound is too small for it.
    LimitTooSmall,
    /// There is none, and nothing may be evicted.
    Full,
}

/// What several items need together.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::engine) struct Needs {
    /// Bytes in segments and index, about.
    pub(in crate::engine) small_bytes: u64,
    /// Bytes of big values, in whole pages.
    pub(in crate::engine) big_bytes: u64,
    /// How many are new.
    pub(in crate::engine) items: u64,
}

impl Needs {
    /// What an item takes beside its name and its value, at most.
    pub(in crate::engine) const ITEM_BYTES: u64 = 32;
    /// Blocks that are begun and not filled: of two regions, and of the index.
    const OPEN_BLOCKS: u64 = 3;

    /// All bytes.
    pub(in crate::engine) fn bytes(self) -> u64 {
        self.small_bytes + self.big_bytes
    }

    /// The same for these and others.
    pub(in crate::engine) fn add(&mut self, other: Needs) {
        self.small_bytes += other.small_bytes;
        self.big_bytes += other.big_bytes;
        self.items += other.items;
    }

    /// Blocks: of those with items half may stay empty, where the next did not fit.
    fn blocks(self, block_bytes: u64) -> u64 {
        (2 * self.small_bytes + self.big_bytes).div_ceil(block_bytes) + Needs::OPEN_BLOCKS
    }
}

impl Store {
    /// Whether several items can be stored without anything being evicted.
    pub(in crate::engine) fn has_room(&self, needs: Needs) -> bool {
        let blocks = needs.blocks(self.arena.block_bytes() as u64);
        (self.limit_bytes == u64::MAX || self.room_left(blocks))
            && (self.limit_items == u64::MAX || self.len() + needs.items <= self.limit_items)
    }

    /// Makes room for several items.
    ///
    /// # Errors
    /// [`Full`] when there is none for all of them.
    pub(in crate::engine) fn make_room_for_all(
        &mut self,
        needs: Needs,
        now: Time,
    ) -> Result<(), Full> {
        let evicts_any = match self.policy {
            Policy::TinyLfu | Policy::AllKeysLru | Policy::AllKeysLfu | Policy::AllKeysRandom => {
                true
            }
            Policy::NoEviction
            | Policy::VolatileTtl
            | Policy::VolatileLru
            | Policy::VolatileLfu
            | Policy::VolatileRandom => false,
        };
        let own = [Region::Window, Region::Main].map(|region| self.segments.sums(region).bytes);
        if evicts_any && needs.big_bytes == 0 && own[0] + own[1] >= 2 * needs.small_bytes {
            // Each makes room for itself: there is enough that may go.
            return Ok(());
        }
        if needs.bytes() > self.limit_bytes {
            return Err(Full);
        }
        for _ in 0..ROOM_STEPS_MAX {
            if self.has_room(needs) {
                return Ok(());
            }
            self.segments.begin_step();
            if !self.relieve(now) {
                return Err(Full);
            }
            self.segments.work().assert_bounded();
        }
        Err(Full)
    }

    /// Some steps towards room for big values that take `bytes`. `granted`: the shard has got what
    /// part of the bound it can get for them.
    pub(in crate::engine) fn big_room_step(
        &mut self,
        bytes: u64,
        granted: bool,
        now: Time,
    ) -> BigRoom {
        if self.limit_bytes == u64::MAX {
            return BigRoom::Enough;
        }
        let bytes = self.bigs.bytes_of(bytes as usize);
        let blocks = bytes.div_ceil(self.arena.block_bytes() as u64) + 2;
        if !granted && self.is_narrow_for(bytes) {
            return BigRoom::LimitTooSmall;
        }
        if bytes > self.limit_bytes {
            return BigRoom::Full;
        }
        self.segments.begin_step();
        for _ in 0..SHRINK_STEPS {
            if self.room_left(blocks) {
                return BigRoom::Enough;
            }
            if !self.relieve(now) {
                return BigRoom::Full;
            }
            if self.segments.work().is_enough() {
                break;
            }
        }
        self.segments.work().assert_bounded();
        BigRoom::Going
    }

    /// Some steps towards the shard's part of the bound, which has become smaller; whether there is
    /// more to do.
    pub(in crate::engine) fn give_up_step(&mut self, now: Time) -> bool {
        self.segments.begin_step();
        let more = self.shrink_step(now);
        self.segments.work().assert_bounded();
        more
    }

    /// Bytes of its values that take `from` bytes or more, about.
    pub(in crate::engine) fn giant_bytes(&self, from: u64) -> u64 {
        self.bigs.bytes_from(from)
    }

    /// Whether the shard's part of the bound is small for a big value that takes `bytes`.
    pub(in crate::engine) fn is_narrow_for(&self, bytes: u64) -> bool {
        bytes > self.limit_bytes / 2
    }

    /// Evicts until a big value that takes `bytes` fits.
    pub(super) fn make_room_for_big(&mut self, bytes: u64, now: Time) -> Result<(), Full> {
        if self.limit_bytes == u64::MAX {
            return Ok(());
        }
        if bytes > self.limit_bytes {
            return Err(Full);
        }
        let blocks = bytes.div_ceil(self.arena.block_bytes() as u64) + 1;
        self.free_blocks(blocks, now).map(|_| ())
    }
}
