//! The regions of a shard: which segments are in each, in the order they were opened, and how much
//! of them lives.

use super::Segments;
use super::segment::Segment;
use std::ops::Bound;

/// No segment.
pub(super) const NONE: u32 = u32::MAX;

/// The two regions of the eviction policy, of which other policies use `Main` only, and the one
/// that eviction leaves alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::store) enum Region {
    /// Where new items arrive.
    Window = 0,
    /// Where they stay when they have proved themselves.
    Main = 1,
    /// Items of groups that this node keeps a copy of: their primary decides which of them go.
    Replica = 2,
}

/// How many regions there are.
pub(super) const REGIONS: usize = 3;

/// The first and the last segment of a region.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub(super) head: u32,
    pub(super) tail: u32,
}

/// Sums over the segments of a region.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::engine::store) struct Sums {
    /// Bytes of live items.
    pub(in crate::engine::store) bytes: u64,
    /// Bytes of their big values.
    pub(in crate::engine::store) big_bytes: u64,
    /// Live items.
    pub(in crate::engine::store) items: u64,
}

impl Segments {
    /// Live items and bytes of a region.
    pub(in crate::engine::store) fn sums(&self, region: Region) -> Sums {
        self.sums[region as usize]
    }

    /// Bytes of live items.
    pub(in crate::engine::store) fn live_bytes(&self) -> u64 {
        self.sums.iter().map(|sums| sums.bytes).sum()
    }

    /// Live items.
    pub(in crate::engine::store) fn live_items(&self) -> u64 {
        self.sums.iter().map(|sums| sums.items).sum()
    }

    /// Bytes left for items without a deadline in the open segment of a region.
    pub(in crate::engine::store) fn left(&self, region: Region) -> usize {
        match self.open[region as usize][0] {
            NONE => 0,
            id => self.arena.block_bytes() - self.get(id).len as usize,
        }
    }

    /// Links a segment behind `previous` (`NONE`: at the head).
    pub(super) fn link(&mut self, id: u32, region: Region, previous: u32) {
        let list = &mut self.lists[region as usize];
        let next = if previous == NONE {
            std::mem::replace(&mut list.head, id)
        } else {
            std::mem::replace(&mut self.list[previous as usize].next, id)
        };
        if next == NONE {
            list.tail = id;
        } else {
            self.list[next as usize].previous = id;
        }
        let segment = &mut self.list[id as usize];
        segment.previous = previous;
        segment.next = next;
    }

    /// Takes a segment out of its region's list.
    pub(super) fn unlink(&mut self, id: u32) {
        let Segment { previous, next, region, .. } = self.list[id as usize];
        let list = &mut self.lists[region as usize];
        if previous == NONE {
            list.head = next;
        } else {
            self.list[previous as usize].next = next;
        }
        let list = &mut self.lists[region as usize];
        if next == NONE {
            list.tail = previous;
        } else {
            self.list[next as usize].previous = previous;
        }
    }

    /// The oldest segment of a region.
    pub(in crate::engine::store) fn head(&self, region: Region) -> Option<u32> {
        let head = self.lists[region as usize].head;
        (head != NONE).then_some(head)
    }

    /// Makes the oldest segment of the window the newest of main, as it is.
    pub(in crate::engine::store) fn promote_head(&mut self) -> bool {
        let Some(id) = self.head(Region::Window) else { return false };
        if self.get(id).open {
            return false;
        }
        self.unlink(id);
        let segment = &mut self.list[id as usize];
        segment.region = Region::Main;
        let (bytes, items) = (u64::from(segment.live_bytes), u64::from(segment.live_items));
        let from = &mut self.sums[Region::Window as usize];
        from.bytes -= bytes;
        from.big_bytes -= segment.big_bytes;
        from.items -= items;
        let to = &mut self.sums[Region::Main as usize];
        to.bytes += bytes;
        to.big_bytes += segment.big_bytes;
        to.items += items;
        let tail = self.lists[Region::Main as usize].tail;
        self.link(id, Region::Main, tail);
        true
    }

    /// Whether items of the segment have deadlines, and this node decides about them.
    pub(in crate::engine::store) fn is_mortal(&self, id: u32) -> bool {
        let segment = self.get(id);
        segment.class > 0 && segment.region != Region::Replica
    }

    /// The next of such segments in the order of numbers, the first one behind the last.
    pub(in crate::engine::store) fn mortal_after(&self, id: u32) -> Option<u32> {
        let next = self.mortal.range((Bound::Excluded(id), Bound::Unbounded)).next();
        next.or_else(|| self.mortal.first()).copied()
    }
}
