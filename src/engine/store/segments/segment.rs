//! What is known of one segment: how full it is, what of it lives, and when that dies.

use super::super::arena::Block;
use super::class::Class;
use super::regions::Region;
use crate::command::Time;

/// Bins for items that joined a segment of a longer class: the last one spans half of the time from
/// the opening of the segment to the least deadline of its class, each before it half as much.
const EARLY: usize = 8;
/// Bins from there on, of equal width.
const EVEN: usize = 32;
/// Deadlines of a segment are counted in this many bins.
pub(super) const BINS: usize = EARLY + EVEN;

/// The width of an even bin at first, in milliseconds, where a class is this wide: all of them span
/// two classes.
pub(super) fn bin_ms(class_ms: u64) -> u64 {
    (class_ms / (EVEN as u64 / 2)).max(1)
}

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
    /// No deadline in it was ever earlier.
    pub(super) deadline_min: Time,
    /// Latest deadline in it; 0 without.
    pub(super) deadline_max: Time,
    /// Where the even bins begin.
    pub(super) bins_from: u64,
    /// The width of an even bin in milliseconds: more than at first where items of longer classes
    /// joined.
    pub(super) bin_ms: u64,
    /// Live bytes by deadline.
    pub(super) bins: [u32; BINS],
}

impl Segment {
    /// Whether the even bins tell this deadline apart from others of its class.
    #[inline]
    pub(super) fn fits(&self, deadline: Time) -> bool {
        deadline.0 >= self.bins_from && (deadline.0 - self.bins_from) / self.bin_ms < EVEN as u64
    }

    /// The bin of a deadline.
    #[inline]
    pub(super) fn bin(&self, deadline: Time) -> usize {
        if deadline.0 < self.bins_from {
            return self.early_bin(deadline);
        }
        let bin = (deadline.0 - self.bins_from) / self.bin_ms;
        EARLY + bin.min(EVEN as u64 - 1) as usize
    }

    #[cold]
    fn early_bin(&self, deadline: Time) -> usize {
        let span = self.bins_from - self.opened.0;
        let at = deadline.0.saturating_sub(self.opened.0).max(1);
        let halvings = (span / at).max(1).ilog2() as usize;
        (EARLY - 1).saturating_sub(halvings)
    }

    /// Where a bin begins and ends, in milliseconds.
    fn bin_span(&self, bin: usize) -> (u64, u64) {
        if let Some(even) = bin.checked_sub(EARLY) {
            let from = self.bins_from + even as u64 * self.bin_ms;
            return (from, from + self.bin_ms);
        }
        let span = self.bins_from - self.opened.0;
        let to = span >> (EARLY - 1 - bin);
        let from = if bin == 0 { 0 } else { to / 2 };
        (self.opened.0 + from, self.opened.0 + to)
    }

    /// Counts live bytes by deadline, in wider bins if need be.
    #[inline]
    pub(super) fn count(&mut self, deadline: Time, len: u32) {
        while deadline.0.saturating_sub(self.bins_from) / self.bin_ms >= EVEN as u64 {
            self.widen();
        }
        self.bins[self.bin(deadline)] += len;
        self.deadline_min = self.deadline_min.min(deadline);
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
        let even = &mut self.bins[EARLY..];
        for i in 0..EVEN {
            let bytes = std::mem::take(&mut even[i]);
            even[i / 2] += bytes;
        }
        self.bin_ms *= 2;
    }

    /// Bytes that cleaning would free, dead and, as far as the bins tell, expired ones. Of the bin
    /// that `now` is in as much as if its deadlines were spread evenly.
    pub(in crate::engine::store) fn reclaimable(&self, now: Time) -> u32 {
        let dead = self.len - self.live_bytes;
        if self.class == 0 || now < self.deadline_min {
            return dead;
        }
        if now >= self.deadline_max {
            return self.len;
        }
        let last = self.bin(now);
        let expired: u32 = self.bins[..last].iter().sum();
        let (from, to) = self.bin_span(last);
        let from = from.max(self.deadline_min.0);
        let to = to.min(self.deadline_max.0).max(from + 1);
        let passed = now.0.clamp(from, to) - from;
        let part = u64::from(self.bins[last]) * passed / (to - from);
        dead + expired + part as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(class_ms: u64) -> Segment {
        Segment {
            block: None,
            serial: 0,
            len: 0,
            live_bytes: 0,
            big_bytes: 0,
            live_items: 0,
            region: Region::Window,
            class: 7,
            open: true,
            previous: 0,
            next: 0,
            opened: Time(1_000_000),
            deadline_min: Time(u64::MAX),
            deadline_max: Time(0),
            bins_from: 1_000_000 + class_ms,
            bin_ms: bin_ms(class_ms),
            bins: [0; BINS],
        }
    }

    fn add(segment: &mut Segment, deadline: u64) {
        segment.count(Time(deadline), 10);
        segment.len += 10;
        segment.live_bytes += 10;
        segment.deadline_max = segment.deadline_max.max(Time(deadline));
    }

    /// How far what the bins tell is from what has expired, at worst, of 1000.
    fn error(segment: &Segment, deadlines: &[u64]) -> u32 {
        let until = segment.deadline_max.0 + 10;
        let off = |now: u64| {
            let expired = 10 * deadlines.iter().filter(|&&d| d <= now).count() as u32;
            segment.reclaimable(Time(now)).abs_diff(expired) * 1000 / segment.len
        };
        (segment.opened.0..until).step_by(7).map(off).max().unwrap_or(0)
    }

    #[test]
    fn what_has_expired_is_known_for_items_of_the_class() {
        let mut segment = segment(32_768);
        let deadlines: Vec<u64> = (0..3000).map(|i| segment.bins_from + i * 15).collect();
        deadlines.iter().for_each(|&d| add(&mut segment, d));
        assert!(error(&segment, &deadlines) <= 5);
    }

    #[test]
    fn what_has_expired_is_known_for_items_of_other_classes_too() {
        let mut shorter = segment(32_768);
        let deadlines: Vec<u64> = (0..3000).map(|i| 1_000_000 + i * 20).collect();
        deadlines.iter().for_each(|&d| add(&mut shorter, d));
        assert!(error(&shorter, &deadlines) <= 10);

        let mut longer = segment(1_024);
        let deadlines: Vec<u64> = (0..3000).map(|i| 1_000_500 + i * 20).collect();
        deadlines.iter().for_each(|&d| add(&mut longer, d));
        assert!(error(&longer, &deadlines) <= 10);
    }

    #[test]
    fn what_expires_at_once_late_in_a_bin_is_alive_until_then() {
        for after in [10_000, 40_000, 63_000] {
            let mut segment = segment(32_768);
            let deadlines: Vec<u64> = (0..1000).map(|i| 1_000_000 + after + i / 100).collect();
            deadlines.iter().for_each(|&d| add(&mut segment, d));
            let before = (1_000_000..deadlines[0]).step_by(9);
            assert!(before.clone().count() > 1000);
            assert_eq!(before.map(|now| segment.reclaimable(Time(now))).max(), Some(0));
            assert!(error(&segment, &deadlines) <= 100);
        }
    }

    #[test]
    fn what_was_counted_is_taken_off_where_it_was_counted() {
        let mut segment = segment(1_024);
        let deadlines: Vec<u64> = (0..500).map(|i| 1_000_000 + i * i).collect();
        deadlines.iter().for_each(|&d| segment.count(Time(d), 10));
        deadlines.iter().for_each(|&d| segment.discount(Time(d), 10));
        assert_eq!(segment.bins, [0; BINS]);
    }
}
