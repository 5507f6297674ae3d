//! What is known of one segment: how full it is, what of it lives, and when that dies.

use super::super::arena::Block;
use super::class::{Class, class_ms};
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
    /// Live bytes by deadline.
    pub(super) bins: [u32; BINS],
}

impl Segment {
    /// The bin of a deadline, if it has one here.
    #[inline]
    pub(super) fn bin(&self, deadline: Time) -> Option<usize> {
        let bin = deadline.0.checked_sub(self.bins_from)? / self.bin_ms();
        (bin < BINS as u64).then_some(bin as usize)
    }

    /// The width of a bin in milliseconds.
    #[inline]
    pub(super) fn bin_ms(&self) -> u64 {
        class_ms(self.class) / 8
    }

    /// Bytes that cleaning would free, dead and, as far as the bins tell, expired ones.
    pub(in crate::engine::store) fn reclaimable(&self, now: Time) -> u32 {
        let dead = self.len - self.live_bytes;
        if self.class == 0 || now.0 < self.bins_from {
            return dead;
        }
        let passed = (now.0 - self.bins_from) / self.bin_ms();
        dead + self.bins[..BINS.min(passed as usize)].iter().sum::<u32>()
    }
}
