//! A leaf: the buckets of one range of hash order, 1 to 14 chunks, grown a chunk at a time so
//! that its fill hardly changes. Every item has two buckets, both computable from its tag, so
//! that items move within a leaf without a look at their keys (as in cuckoo filters: Fan et al.,
//! CoNEXT 2014). Knows nothing of keys.

use super::bucket::{Bucket, SLOTS, TAG_BITS, Word};
use super::chunks::{BUCKETS, ChunkId, Chunks};
use std::collections::HashSet;
use std::ptr::NonNull;

/// Most chunks of a leaf.
pub(super) const CHUNKS_MAX: usize = 14;
/// Most items of a leaf.
pub(super) const ITEMS_MAX: usize = CHUNKS_MAX * BUCKETS * SLOTS;
/// A chunk is added when more than this many of 1000 slots are taken.
const FILL_MAX: usize = 940;
/// After a split the halves have this many of 1000 slots taken.
const FILL_AFTER_SPLIT: usize = 870;
/// A chunk is given back when fewer than this many of 1000 slots are taken.
const FILL_MIN: usize = 450;
/// Orders in which items are put into a largest leaf that is to hold nearly all it can.
const ORDERS: usize = 8;

/// The buckets of one range of hash order.
#[repr(align(64))]
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaf {
    chunks: [ChunkId; CHUNKS_MAX],
    len: u8,
    /// How many leading bits all positions in it share.
    pub(super) depth: u8,
    /// Items in it.
    pub(super) count: u16,
}

const _: () = assert!(size_of::<Leaf>() == 64);

/// A slot that holds an item. Good until the index is changed by anything but `set`.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::store) struct SlotRef {
    pub(super) bucket: NonNull<Bucket>,
    pub(super) slot: u8,
    /// It is in its second bucket.
    pub(super) second: bool,
    pub(super) leaf: u32,
}

#[inline]
fn first(tag: u32, buckets: u32) -> u32 {
    ((u64::from(tag) * u64::from(buckets)) >> TAG_BITS) as u32
}

#[inline]
fn second(tag: u32, buckets: u32) -> u32 {
    let mixed = tag.wrapping_mul(0x9E37_79B1) >> (32 - TAG_BITS);
    let b = first(mixed, buckets);
    if b != first(tag, buckets) {
        b
    } else if b + 1 == buckets {
        0
    } else {
        b + 1
    }
}

impl Leaf {
    pub(super) fn new(depth: u8, chunk: ChunkId) -> Leaf {
        let mut chunks = [ChunkId::default(); CHUNKS_MAX];
        chunks[0] = chunk;
        Leaf { chunks, len: 1, depth, count: 0 }
    }

    #[inline]
    fn buckets(&self) -> u32 {
        u32::from(self.len) * BUCKETS as u32
    }

    fn slots(&self) -> usize {
        usize::from(self.len) * BUCKETS * SLOTS
    }

    /// Whether it must grow or split before another item.
    pub(super) fn is_full(&self) -> bool {
        (usize::from(self.count) + 1) * 1000 > self.slots() * FILL_MAX
    }

    /// Whether it can only split.
    pub(super) fn is_largest(&self) -> bool {
        usize::from(self.len) == CHUNKS_MAX
    }

    /// Whether it has a chunk too many.
    pub(super) fn is_sparse(&self) -> bool {
        self.len > 1 && usize::from(self.count) * 1000 < self.slots() * FILL_MIN
    }

    #[inline]
    fn bucket(&self, chunks: &Chunks, b: u32) -> NonNull<Bucket> {
        let chunk = chunks.ptr(self.chunks[b as usize / BUCKETS]);
        // SAFETY: the chunk is ours and has BUCKETS buckets.
        unsafe { chunk.cast::<Bucket>().add(b as usize % BUCKETS) }
    }

    /// The first bucket of a tag: where a prefetch should go.
    #[inline]
    pub(super) fn first_bucket(&self, chunks: &Chunks, tag: u32) -> NonNull<Bucket> {
        self.bucket(chunks, first(tag, self.buckets()))
    }

    /// The slot with this tag that `is_it` says yes to.
    #[inline]
    pub(super) fn find(
        &self,
        chunks: &Chunks,
        tag: u32,
        mut is_it: impl FnMut(Word) -> bool,
    ) -> Option<(NonNull<Bucket>, usize, bool)> {
        let home = self.first_bucket(chunks, tag);
        // SAFETY: buckets of our own chunks; the shard's lock makes us the only user.
        let b = unsafe { home.as_ref() };
        if let Some(slot) = b.find(tag, &mut is_it) {
            return Some((home, slot, false));
        }
        if !b.has_overflow() {
            return None;
        }
        let other = self.bucket(chunks, second(tag, self.buckets()));
        // SAFETY: as above.
        let slot = unsafe { other.as_ref() }.find(tag, &mut is_it)?;
        Some((other, slot, true))
    }

    /// Puts an item into one of its buckets, moving one other if need be; whether it found room.
    pub(super) fn place(&mut self, chunks: &Chunks, word: Word) -> bool {
        let (a, b) = (first(word.tag(), self.buckets()), second(word.tag(), self.buckets()));
        let (home, other) = (self.bucket(chunks, a), self.bucket(chunks, b));
        // SAFETY: `a != b`, so these are two buckets of our own chunks, used by nobody else.
        let (home, other) = unsafe { (&mut *home.as_ptr(), &mut *other.as_ptr()) };
        if let Some(slot) = home.vacant() {
            home.put(slot, word);
            return true;
        }
        if let Some(slot) = other.vacant() {
            other.put(slot, word);
            home.overflow_add();
            return true;
        }
        if let Some(slot) = self.make_room(chunks, a) {
            // SAFETY: as above; the references made before are not used any more.
            unsafe { self.bucket(chunks, a).as_mut() }.put(slot, word);
            return true;
        }
        if let Some(slot) = self.make_room(chunks, b) {
            // SAFETY: as above.
            unsafe {
                self.bucket(chunks, b).as_mut().put(slot, word);
                self.bucket(chunks, a).as_mut().overflow_add();
            }
            return true;
        }
        false
    }

    /// Moves one item of bucket `b` to its other bucket, if one has room there; the slot it left.
    fn make_room(&mut self, chunks: &Chunks, b: u32) -> Option<usize> {
        for slot in 0..SLOTS {
            // SAFETY: a bucket of our own chunks; the copy ends the borrow.
            let word = unsafe { self.bucket(chunks, b).as_ref() }.get(slot);
            let home = first(word.tag(), self.buckets());
            let was_home = home == b;
            let to = if was_home { second(word.tag(), self.buckets()) } else { home };
            // SAFETY: `to != b`: another bucket of our own chunks.
            let target = unsafe { self.bucket(chunks, to).as_mut() };
            let Some(vacant) = target.vacant() else { continue };
            target.put(vacant, word);
            // SAFETY: as above, after the last use of `target`.
            let home = unsafe { self.bucket(chunks, home).as_mut() };
            if was_home {
                home.overflow_add()
            } else {
                home.overflow_sub()
            }
            return Some(slot);
        }
        None
    }

    /// Takes an item out.
    pub(super) fn take_out(&mut self, chunks: &Chunks, at: &SlotRef) {
        // SAFETY: `at` was found in this leaf and nothing changed since.
        let bucket = unsafe { &mut *at.bucket.as_ptr() };
        let word = bucket.get(at.slot.into());
        bucket.put(at.slot.into(), Word::default());
        if at.second {
            // SAFETY: another bucket of our own chunks.
            unsafe { self.first_bucket(chunks, word.tag()).as_mut() }.overflow_sub();
        }
        self.count -= 1;
    }

    /// Takes out all items but `words`, which stay where they are.
    pub(super) fn keep(&mut self, chunks: &Chunks, words: &[Word]) {
        let stays: HashSet<u64> = words.iter().map(|word| word.0).collect();
        for b in 0..self.buckets() {
            for slot in 0..SLOTS {
                // SAFETY: a bucket of our own chunks; the copy ends the borrow.
                let word = unsafe { self.bucket(chunks, b).as_ref() }.get(slot);
                if word.is_empty() || stays.contains(&word.0) {
                    continue;
                }
                let second = first(word.tag(), self.buckets()) != b;
                let at =
                    SlotRef { bucket: self.bucket(chunks, b), slot: slot as u8, second, leaf: 0 };
                self.take_out(chunks, &at);
            }
        }
    }

    /// All items, into `out`; how many.
    pub(super) fn collect(&self, chunks: &Chunks, out: &mut [Word; ITEMS_MAX]) -> usize {
        let mut n = 0;
        for b in 0..self.buckets() {
            // SAFETY: a bucket of our own chunks.
            for word in unsafe { self.bucket(chunks, b).as_ref() }.words() {
                out[n] = word;
                n += 1;
            }
        }
        debug_assert_eq!(n, usize::from(self.count));
        n
    }

    /// Makes it `len` chunks large, or larger if need be, and puts exactly `words` into it;
    /// whether they found room. The chunks must be there.
    pub(super) fn rebuild(&mut self, chunks: &mut Chunks, words: &[Word], len: usize) -> bool {
        self.count = words.len() as u16;
        let mut want = len.clamp(1, CHUNKS_MAX);
        loop {
            self.resize(chunks, want);
            if self.refill(chunks, words, 0) {
                return true;
            }
            if want == CHUNKS_MAX {
                return false;
            }
            want += 1;
        }
    }

    /// As [`Leaf::rebuild`] for the largest, in several orders if need be.
    pub(super) fn rebuild_largest(&mut self, chunks: &mut Chunks, words: &[Word]) -> bool {
        self.count = words.len() as u16;
        self.resize(chunks, CHUNKS_MAX);
        (0..ORDERS).any(|i| self.refill(chunks, words, words.len() / ORDERS * i))
    }

    /// Its buckets as they are.
    pub(super) fn saved(&self, chunks: &Chunks) -> Vec<Bucket> {
        // SAFETY: buckets of our own chunks.
        (0..self.buckets()).map(|b| unsafe { *self.bucket(chunks, b).as_ref() }).collect()
    }

    /// Makes it what it was when its buckets were saved.
    pub(super) fn restore(&mut self, chunks: &mut Chunks, saved: &[Bucket]) {
        self.resize(chunks, saved.len() / BUCKETS);
        for (b, bucket) in saved.iter().enumerate() {
            // SAFETY: a bucket of our own chunks.
            unsafe { *self.bucket(chunks, b as u32).as_mut() = *bucket };
        }
    }

    /// Empties its buckets and puts `words` into them, from the one at `from` on; whether all
    /// found room.
    fn refill(&mut self, chunks: &Chunks, words: &[Word], from: usize) -> bool {
        for b in 0..self.buckets() {
            // SAFETY: a bucket of our own chunks.
            unsafe { *self.bucket(chunks, b).as_mut() = Bucket::EMPTY };
        }
        let (later, sooner) = words.split_at(from);
        sooner.iter().chain(later).all(|&word| self.place(chunks, word))
    }

    fn resize(&mut self, chunks: &mut Chunks, want: usize) {
        while usize::from(self.len) < want {
            self.chunks[usize::from(self.len)] = chunks.take();
            self.len += 1;
        }
        while usize::from(self.len) > want {
            self.len -= 1;
            chunks.give(self.chunks[usize::from(self.len)]);
        }
    }

    /// Moves its chunks out of the retired slab.
    pub(super) fn move_out(&mut self, chunks: &mut Chunks) {
        for chunk in &mut self.chunks[..usize::from(self.len)] {
            *chunk = chunks.moved(*chunk);
        }
    }

    /// Gives all chunks back.
    pub(super) fn free(&mut self, chunks: &mut Chunks) {
        self.resize(chunks, 0);
        self.count = 0;
    }

    /// Chunks in it.
    pub(super) fn len(&self) -> usize {
        self.len.into()
    }

    /// Chunks for `items` after a split or a shrink.
    pub(super) fn fitting(items: usize) -> usize {
        (items * 1000).div_ceil(FILL_AFTER_SPLIT * BUCKETS * SLOTS).clamp(1, CHUNKS_MAX)
    }

    /// Chunks that `items` take before another is added.
    pub(super) fn filled_by(items: usize) -> usize {
        (items * 1000).div_ceil(FILL_MAX * BUCKETS * SLOTS)
    }

    /// How many chunks it has, and items.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.len.into(), self.count.into())
    }

    /// A bucket by a random number.
    pub(super) fn some_bucket(&self, chunks: &Chunks, chance: u32) -> NonNull<Bucket> {
        self.bucket(chunks, chance % self.buckets())
    }
}
