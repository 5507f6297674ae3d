//! Room for big values, in steps between which others have their turn. Which items go for them is
//! the policy's business.

use super::room::SHRINK_STEPS;
use super::{Full, Store};
use crate::command::Time;

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

impl Store {
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
        if self.limit_bytes == u64::MAX || self.roomy {
            return Ok(());
        }
        if bytes > self.limit_bytes {
            return Err(Full);
        }
        self.free_blocks(self.blocks_of(bytes), now).map(|_| ())
    }
}
