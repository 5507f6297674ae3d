//! Segments: blocks of the arena that items are appended to, in FIFO lists by region, with counts
//! of what in them is still alive. Knows nothing of the index.

mod class;
mod regions;
mod segment;
mod work;

pub(super) use regions::Region;
pub(super) use segment::SegmentRef;
pub(super) use work::Work;

use super::arena::{Arena, Block};
use super::index::OFFSET_MAX;
use super::item::{self, Draft, Raw};
use crate::command::Time;
use class::{CLASSES, Class, class_from_ms, class_ms, class_of};
use regions::{List, NONE, REGIONS, Sums};
use segment::{BINS, Segment, bin_ms};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::ptr::NonNull;
use std::sync::Arc;

/// What is looked at of a dead item at most.
const CACHE_LINE_BYTES: usize = 64;

/// All segments of a shard.
#[derive(Debug)]
pub(super) struct Segments {
    arena: Arc<Arena>,
    shift: u32,
    list: Vec<Segment>,
    free: Vec<u32>,
    lists: [List; REGIONS],
    open: [[u32; CLASSES]; REGIONS],
    open_count: usize,
    open_max: usize,
    sums: [Sums; REGIONS],
    len_sum: u64,
    blocks: usize,
    serial: u64,
    /// What the step under way has done.
    work: Cell<Work>,
    /// Sealed segments with deadlines, the one that is wholly dead first at the front.
    deadlines: BTreeSet<(Time, u32)>,
    /// Segments of items that have deadlines and that this node decides about.
    mortal: BTreeSet<u32>,
    /// Items with a deadline that this node decides about, and those of copies.
    pub(super) with_deadline: [u64; 2],
}

impl Segments {
    pub(super) fn new(arena: Arc<Arena>) -> Segments {
        let shift = arena.block_bytes().trailing_zeros();
        Segments {
            arena,
            shift,
            list: Vec::new(),
            free: Vec::new(),
            lists: [List { head: NONE, tail: NONE }; REGIONS],
            open: [[NONE; CLASSES]; REGIONS],
            open_count: 0,
            open_max: usize::MAX,
            sums: [Sums::default(); REGIONS],
            len_sum: 0,
            blocks: 0,
            serial: 0,
            work: Cell::default(),
            deadlines: BTreeSet::new(),
            mortal: BTreeSet::new(),
            with_deadline: [0; 2],
        }
    }

    /// Bounds the number of open segments; items of other classes join the nearest open one.
    pub(super) fn set_open_max(&mut self, max: usize) {
        self.open_max = max.max(4);
    }

    /// Blocks held.
    pub(super) fn blocks(&self) -> usize {
        self.blocks
    }

    /// Bytes appended to segments and not yet freed, dead ones included.
    pub(super) fn len_sum(&self) -> u64 {
        self.len_sum
    }

    /// The segment of an offset.
    #[inline]
    pub(super) fn segment_of(&self, offset: u64) -> u32 {
        (offset >> self.shift) as u32 - 1
    }

    /// What is known of a segment.
    #[inline]
    pub(super) fn get(&self, segment: u32) -> &Segment {
        &self.list[segment as usize]
    }

    /// The segments in use of `count` numbers from `first` on.
    pub(super) fn ids_from(&self, first: u32, count: usize) -> impl Iterator<Item = u32> {
        let end = (first as usize).saturating_add(count).min(self.list.len()) as u32;
        (first..end).filter(|&s| self.list[s as usize].block.is_some())
    }

    /// One past the highest number of a segment.
    pub(super) fn ids_end(&self) -> u32 {
        self.list.len() as u32
    }

    /// Where the bytes of an item begin, and how many there are from there to the end of its
    /// segment.
    #[inline]
    fn place(&self, offset: u64) -> (NonNull<u8>, usize) {
        let segment = &self.list[self.segment_of(offset) as usize];
        let at = (offset as u32) & ((1 << self.shift) - 1);
        // The length below would wrap: no slice may be made of that, in no build.
        assert!(at < segment.len, "an offset behind the end of its segment");
        let Some(block) = &segment.block else { unreachable!("an item in a freed segment") };
        // SAFETY: the offset of an item lies in its segment's block.
        (unsafe { block.ptr().add(at as usize) }, (segment.len - at) as usize)
    }

    /// The bytes from an item on.
    #[inline]
    pub(super) fn bytes(&self, offset: u64) -> &[u8] {
        let (start, len) = self.place(offset);
        // SAFETY: `len` bytes from the block's start are initialised by `append`, and nobody
        // writes them while `self` is borrowed.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), len) }
    }

    /// As `bytes`, for changes in place.
    #[inline]
    pub(super) fn bytes_mut(&mut self, offset: u64) -> &mut [u8] {
        let (start, len) = self.place(offset);
        // SAFETY: as in `bytes`; `&mut self` makes us the only user.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), len) }
    }

    /// Where an item's bytes are, for a prefetch.
    #[inline]
    pub(super) fn address(&self, offset: u64) -> *const u8 {
        self.place(offset).0.as_ptr()
    }

    /// The item at an offset.
    #[inline]
    pub(super) fn item(&self, offset: u64) -> Raw<'_> {
        item::parse(self.bytes(offset))
    }

    /// Begins to count what a step does.
    pub(super) fn begin_step(&self) {
        self.work.set(Work::default());
    }

    /// Counts something else that a step has done.
    pub(super) fn count(&self, done: impl FnOnce(&mut Work)) {
        let mut work = self.work.get();
        done(&mut work);
        self.work.set(work);
    }

    /// What was done since the step began.
    #[inline]
    pub(super) fn work(&self) -> Work {
        self.work.get()
    }

    /// The first item at or behind position `at` of a segment, and its offset.
    pub(super) fn item_at(&self, segment: u32, at: u32) -> Option<(u64, Raw<'_>)> {
        if at >= self.get(segment).len {
            return None;
        }
        let offset = (u64::from(segment) + 1) << self.shift | u64::from(at);
        let raw = self.item(offset);
        let mut work = self.work.get();
        if raw.is_dead() {
            // What is skipped is not read.
            work.dead += raw.len.min(CACHE_LINE_BYTES);
        } else {
            work.items += 1;
        }
        self.work.set(work);
        Some((offset, raw))
    }

    /// The open segment that an item of this size and class would go to, if it fits.
    #[inline]
    fn target(
        &self,
        region: Region,
        class: Class,
        len: usize,
        deadline: Option<Time>,
    ) -> Option<u32> {
        let id = self.open[region as usize][class as usize];
        if id == NONE {
            return None;
        }
        let segment = &self.list[id as usize];
        if deadline.is_some_and(|d| !segment.fits(d)) {
            return None;
        }
        (segment.len as usize + len <= self.arena.block_bytes()).then_some(id)
    }

    /// Whether appending such an item needs another block.
    #[inline]
    pub(super) fn needs_block(&self, region: Region, draft: &Draft<'_>, now: Time) -> bool {
        let class = class_of(draft.deadline, now);
        self.target(region, class, draft.len(), draft.deadline).is_none()
    }

    /// Appends an item, taking another block if need be. `None`: there is none.
    #[inline]
    pub(super) fn append(&mut self, region: Region, draft: &Draft<'_>, now: Time) -> Option<u64> {
        let len = draft.len();
        let class = class_of(draft.deadline, now);
        let id = match self.target(region, class, len, draft.deadline) {
            Some(id) => id,
            None => self.open(region, class, len, now)?,
        };
        let at = self.list[id as usize].len;
        let segment = &mut self.list[id as usize];
        let work = self.work.get_mut();
        work.bytes += len;
        segment.len += len as u32;
        segment.live_bytes += len as u32;
        segment.big_bytes += draft.big_bytes();
        segment.live_items += 1;
        self.len_sum += len as u64;
        let sums = &mut self.sums[segment.region as usize];
        sums.bytes += len as u64;
        sums.big_bytes += draft.big_bytes();
        sums.items += 1;
        if let Some(deadline) = draft.deadline {
            self.with_deadline[usize::from(segment.region == Region::Replica)] += 1;
            self.note_deadline(id, deadline, len as u32);
        }
        let offset = (u64::from(id) + 1) << self.shift | u64::from(at);
        draft.write(self.bytes_mut(offset));
        Some(offset)
    }

    fn note_deadline(&mut self, id: u32, deadline: Time, len: u32) {
        let segment = &mut self.list[id as usize];
        segment.count(deadline, len);
        if deadline <= segment.deadline_max {
            return;
        }
        if segment.open {
            segment.deadline_max = deadline;
            return;
        }
        // Rounded up, so that a sealed segment is queued anew a few times in its life at most.
        let latest = Time(deadline.0.next_multiple_of(segment.bin_ms));
        let old = std::mem::replace(&mut segment.deadline_max, latest);
        self.deadlines.remove(&(old, id));
        self.deadlines.insert((latest, id));
    }

    #[cold]
    fn open(&mut self, region: Region, class: Class, len: usize, now: Time) -> Option<u32> {
        let r = region as usize;
        if self.open[r][class as usize] == NONE && self.open_count >= self.open_max && class > 0 {
            let near = (1..CLASSES)
                .filter(|&c| self.open[r][c] != NONE)
                .min_by_key(|&c| c.abs_diff(class.into()));
            if let Some(near) = near {
                return match self.target(region, near as Class, len, None) {
                    Some(id) => Some(id),
                    None => self.open_new(region, near as Class, now),
                };
            }
        }
        self.open_new(region, class, now)
    }

    fn open_new(&mut self, region: Region, class: Class, now: Time) -> Option<u32> {
        // A shard of more than offsets can tell apart is full, whatever its bound says.
        let next = self.free.last().map_or(self.list.len(), |id| *id as usize) as u64;
        if (next + 2) << self.shift > OFFSET_MAX {
            return None;
        }
        let block = self.arena.take()?;
        self.blocks += 1;
        self.seal(region, class);
        self.serial += 1;
        let segment = Segment {
            block: Some(block),
            serial: self.serial,
            len: 0,
            live_bytes: 0,
            big_bytes: 0,
            live_items: 0,
            region,
            class,
            open: true,
            previous: NONE,
            next: NONE,
            opened: now,
            deadline_min: Time(u64::MAX),
            deadline_max: Time(0),
            bins_from: now.0 + class_from_ms(class),
            bin_ms: bin_ms(class_ms(class)),
            bins: [0; BINS],
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.list[id as usize] = segment;
                id
            }
            None => {
                self.list.push(segment);
                self.list.len() as u32 - 1
            }
        };
        if class > 0 && region != Region::Replica {
            self.mortal.insert(id);
        }
        self.open[region as usize][class as usize] = id;
        self.open_count += 1;
        let tail = self.lists[region as usize].tail;
        self.link(id, region, tail);
        Some(id)
    }

    /// Closes the open segment of a region and class.
    fn seal(&mut self, region: Region, class: Class) {
        let id = std::mem::replace(&mut self.open[region as usize][class as usize], NONE);
        if id == NONE {
            return;
        }
        self.open_count -= 1;
        let segment = &mut self.list[id as usize];
        segment.open = false;
        if segment.live_items == 0 {
            self.give(id);
        } else if class > 0 {
            self.deadlines.insert((segment.deadline_max, id));
        }
    }

    /// Whether items may still be appended to it.
    pub(super) fn is_open(&self, id: u32) -> bool {
        self.get(id).open
    }

    /// Marks an item dead; frees its segment when that was the last one and it is sealed.
    /// Returns whether the segment was freed.
    #[inline]
    pub(super) fn kill(&mut self, offset: u64) -> bool {
        let id = self.segment_of(offset);
        let raw = self.item(offset);
        let (len, deadline, big_bytes) = (raw.len as u32, raw.deadline, raw.big_bytes());
        debug_assert!(!raw.is_dead());
        item::kill(self.bytes_mut(offset));
        let segment = &mut self.list[id as usize];
        segment.live_bytes -= len;
        segment.big_bytes -= big_bytes;
        segment.live_items -= 1;
        if let Some(deadline) = deadline {
            self.with_deadline[usize::from(segment.region == Region::Replica)] -= 1;
            segment.discount(deadline, len);
        }
        let sums = &mut self.sums[segment.region as usize];
        sums.bytes -= u64::from(len);
        sums.big_bytes -= big_bytes;
        sums.items -= 1;
        if segment.live_items == 0 && !segment.open {
            self.give(id);
            return true;
        }
        false
    }

    /// Replaces value and deadline in place where sizes allow it and the segment's class still
    /// fits; whether it did. Not for big values, which are counted where they come and go.
    #[inline]
    pub(super) fn overwrite(&mut self, offset: u64, draft: &Draft<'_>) -> bool {
        if draft.big {
            return false;
        }
        if draft.deadline.is_some() {
            let id = self.segment_of(offset);
            let raw = self.item(offset);
            let (old, len) = (raw.deadline, raw.len as u32);
            let (Some(old), Some(new)) = (old, draft.deadline) else { return false };
            if !self.get(id).fits(new) || !item::overwrite(self.bytes_mut(offset), draft) {
                return false;
            }
            self.list[id as usize].discount(old, len);
            self.note_deadline(id, new, len);
            return true;
        }
        item::overwrite(self.bytes_mut(offset), draft)
    }

    /// Frees a segment without live items.
    fn give(&mut self, id: u32) {
        debug_assert_eq!(self.get(id).live_items, 0);
        self.unlink(id);
        let segment = &mut self.list[id as usize];
        self.len_sum -= u64::from(segment.len);
        let latest = segment.deadline_max;
        if segment.class > 0 {
            self.deadlines.remove(&(latest, id));
            self.mortal.remove(&id);
        }
        segment.len = 0;
        if let Some(block) = segment.block.take() {
            self.arena.give(block);
            self.blocks -= 1;
        }
        self.free.push(id);
    }

    /// Gives up all blocks: the whole is about to be dropped.
    pub(super) fn take_blocks(&mut self, out: &mut Vec<Block>) {
        out.extend(self.list.iter_mut().filter_map(|s| s.block.take()));
    }

    /// Closes open segments that hold nothing any more, which frees them; whether there were any.
    pub(super) fn close_empty(&mut self) -> bool {
        let mut any = false;
        for region in 0..self.open.len() {
            for class in 0..CLASSES {
                let id = self.open[region][class];
                if id != NONE && self.get(id).live_items == 0 {
                    self.close(id);
                    any = true;
                }
            }
        }
        any
    }

    /// Closes a segment, whether it is full or not, and frees it if nothing in it lives.
    pub(super) fn close(&mut self, id: u32) {
        if self.get(id).open {
            let (region, class) = (self.get(id).region, self.get(id).class);
            self.seal(region, class);
        }
        if self.get(id).block.is_some() && self.get(id).live_items == 0 {
            self.give(id);
        }
    }

    /// A segment all of whose items are past their deadline.
    pub(super) fn expired(&self, now: Time) -> Option<u32> {
        let sealed = self.deadlines.first().filter(|(latest, _)| *latest <= now);
        sealed.map(|&(_, id)| id).or_else(|| {
            let mut open = self.open.iter().flat_map(|r| &r[1..]).copied().filter(|&s| s != NONE);
            open.find(|&s| self.get(s).live_items > 0 && self.get(s).deadline_max <= now)
        })
    }

    /// Takes a segment to be wholly dead no earlier than `until`.
    pub(super) fn postpone(&mut self, id: u32, until: Time) {
        let segment = &mut self.list[id as usize];
        let old = std::mem::replace(&mut segment.deadline_max, until);
        if !segment.open && self.deadlines.remove(&(old, id)) {
            self.deadlines.insert((until, id));
        }
    }

    /// The segment whose last deadline comes first.
    pub(super) fn first_to_expire(&self) -> Option<u32> {
        self.deadlines.first().map(|&(_, id)| id)
    }

    /// The segment as it is now.
    pub(super) fn remember(&self, id: u32) -> SegmentRef {
        SegmentRef { id, serial: self.get(id).serial }
    }

    /// Whether it is still in use.
    pub(super) fn is_used(&self, segment: SegmentRef) -> bool {
        self.list
            .get(segment.id as usize)
            .is_some_and(|s| s.block.is_some() && s.serial == segment.serial)
    }
}

impl Drop for Segments {
    fn drop(&mut self) {
        for segment in &mut self.list {
            if let Some(block) = segment.block.take() {
                self.arena.give(block);
            }
        }
    }
}
