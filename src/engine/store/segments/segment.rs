//! What is known of one segment: how full it is, what of it lives, and when that dies.

use super::super::arena::Block;
use super::class::Class;
use super::regions::Region;
use crate::command::Time;

/// Deadlines of a segment are counted in this many bins, an eighth of a class wide each.
pub(super) const BINS: usize = 16;

/// A segment as it was when somebody remembered it: its number is used again when it is freed,
/// its serial never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine::store) struct SegmentRef {
    pub(in crate::engine::store) id: u32,
    pub(super) serial: u64,
}

/// What is known of a segment.
#[derive(Debug)]
pub(in crate::engine::store) struct Segment {
    pub(super) block: Option<Block>,
    pub(super) serial: u64,
    /// Bytes appended.
    pub(in crate::engine::store) len: u32,
    /// Bytes of live items, big values not counted.
    pub(in crate::engine::store) live_bytes: u32,
    /// Bytes of the big values of live items.
    pub(in crate::engine::store) big_bytes: u64,
    /// Live items.
    pub(in crate::engine::store) live_items: u32,
    pub(in crate::engine::store) region: Region,
    pub(super) class: Class,
    pub(super) open: bool,
    pub(super) previous: u32,
    pub(super) next: u32,
    /// When it was opened.
    pub(in crate::engine::store) opened: Time,
    /// Latest deadline in it; 0 without.
    pub(super) deadline_max: Time,
    /// Where the bins begin.
    pub(super) bins_from: u64,
    /// The width of a bin in milliseconds: an eighth of the class, more where items of other
    /// classes joined.
    pub(super) bin_ms: u64,
    /// Live bytes by deadline.
    pub(super) bins: [u32; BINS],
}

impl Segment {
    /// Whether the bins tell this deadline apart from others of its class.
    #[inline]
    pub(super) fn fits(&self, deadline: Time) -> bool {
        deadline.0 >= self.bins_from && (deadline.0 - self.bins_from) / self.bin_ms < BINS as u64
    }

    /// The bin of a deadline; one that comes too early for the bins is in the first.
    #[inline]
    pub(super) fn bin(&self, deadline: Time) -> usize {
        let bin = deadline.0.saturating_sub(self.bins_from) / self.bin_ms;
        bin.min(BINS as u64 - 1) as usize
    }

    /// Counts live bytes by deadline, in wider bins if need be.
    #[inline]
    pub(super) fn count(&mut self, deadline: Time, len: u32) {
        while deadline.0.saturating_sub(self.bins_from) / self.bin_ms >= BINS as u64 {
            self.widen();
        }
        self.bins[self.bin(deadline)] += len;
    }

    /// Takes live bytes off again.
    #[inline]
    pub(super) fn discount(&mut self, deadline: Time, len: u32) {
        let bin = self.bin(deadline);
        debug_assert!(self.bins[bin] >= len);
        self.bins[bin] -= len;
    }

    #[cold]
    fn widen(&mut self) {
        let old = std::mem::take(&mut self.bins);
        for (i, bytes) in old.into_iter().enumerate() {
            self.bins[i / 2] += bytes;
        }
        self.bin_ms *= 2;
    }

    /// Bytes that cleaning would free, dead and, as far as the bins tell, expired ones.
    pub(in crate::engine::store) fn reclaimable(&self, now: Time) -> u32 {
        let dead = self.len - self.live_bytes;
        if self.class == 0 || now.0 < self.bins_from {
            return dead;
        }
        let passed = (now.0 - self.bins_from) / self.bin_ms;
        dead + self.bins[..BINS.min(passed as usize)].iter().sum::<u32>()
    }
}
