//! The index of a shard: one extendible hash table per group (Fagin et al., TODS 1979), its
//! leaves in hash order. Knows where items are, not what they are: whoever needs a key asks the
//! segments.

mod bucket;
mod chunks;
mod leaf;

pub(super) use bucket::{OFFSET_MAX, REFERENCES_MAX, Word};
pub(super) use leaf::SlotRef;

use super::arena::{Arena, Block};
use crate::limits::COMPACT_LEAVES_MAX;
use bucket::tag_of;
use chunks::Chunks;
use leaf::{CHUNKS_MAX, ITEMS_MAX, Leaf};
use std::sync::Arc;

/// Free chunks that one insertion may need.
const CHUNKS_RESERVED: usize = 2 * CHUNKS_MAX;

/// Leaves may be this much deeper than even hashes make them, and no deeper than the other bound.
/// Items that come in hash order are in the leaves they will be in when all are there: the first
/// few hundred of 20 million are 16 deep.
const DEPTH_SPREAD_MAX: u32 = 14;
const DEPTH_MAX: u32 = 28;
const LEAF_ITEMS_LEAST: u32 = 64;
/// Splitting until an item fits takes a chunk for each depth, and those of the last two halves.
const _: () = assert!(DEPTH_SPREAD_MAX as usize + CHUNKS_MAX <= CHUNKS_RESERVED);

/// Most items of two leaves that become one: they fit a single chunk.
const MERGED_ITEMS_MAX: u16 = 16;
/// Chunks that stay free beyond these when the index gives a block back.
const CHUNKS_SPARE: usize = 64;

/// The index of a shard.
#[derive(Debug)]
pub(super) struct Index {
    tables: Vec<Table>,
    leaves: Vec<Leaf>,
    free_leaves: Vec<u32>,
    chunks: Chunks,
    /// Leaves before this one have nothing in the block that is being emptied.
    compacted: usize,
    directory_bytes: usize,
}

/// The table of one group.
#[derive(Debug, Default)]
struct Table {
    /// Leaf by the leading `depth` bits of the position; empty: no items yet.
    directory: Vec<u32>,
    depth: u8,
    count: u32,
}

impl Table {
    #[inline]
    fn slot_of(&self, position: u32) -> usize {
        (u64::from(position) >> (32 - u32::from(self.depth))) as usize
    }
}

#[inline]
fn position_of(hash: u64) -> u32 {
    (hash >> 32) as u32
}

impl Index {
    /// An empty index of `groups` groups.
    pub(super) fn new(arena: Arc<Arena>, groups: usize) -> Index {
        Index {
            tables: (0..groups).map(|_| Table::default()).collect(),
            leaves: Vec::new(),
            free_leaves: Vec::new(),
            chunks: Chunks::new(arena),
            compacted: 0,
            directory_bytes: 0,
        }
    }

    /// Blocks held.
    pub(super) fn blocks(&self) -> usize {
        self.chunks.blocks()
    }

    /// Gives up all blocks: the whole is about to be dropped.
    pub(super) fn take_blocks(&mut self, out: &mut Vec<Block>) {
        self.chunks.take_blocks(out);
    }

    /// Bytes held beside the blocks: leaves and directories.
    pub(super) fn heap_bytes(&self) -> usize {
        self.leaves.capacity() * size_of::<Leaf>() + self.directory_bytes
    }

    /// Whether an insertion will find the chunks it may need.
    #[inline]
    pub(super) fn is_ready(&self) -> bool {
        self.is_enough(self.chunks.free_chunks())
    }

    /// Whether so many free chunks are what an insertion may need.
    #[inline]
    pub(super) fn is_enough(&self, free_chunks: usize) -> bool {
        free_chunks >= CHUNKS_RESERVED
    }

    /// Takes one more block, or that back into service which was to be given up; whether there
    /// was one.
    pub(super) fn grow(&mut self) -> bool {
        self.chunks.restore() || self.chunks.grow()
    }

    /// Chunks that can be taken without another block.
    pub(super) fn free_chunks(&self) -> usize {
        self.chunks.free_chunks()
    }

    /// What another block brings.
    pub(super) fn chunks_per_block(&self) -> usize {
        self.chunks.per_block()
    }

    /// The leaf that an item of this hash would go to.
    pub(super) fn leaf_number(&self, group: usize, hash: u64) -> Option<u32> {
        self.leaf_of(group, hash)
    }

    /// About how many chunks an item takes that goes to a leaf, `added` others before it.
    pub(super) fn chunks_for(&self, leaf: Option<u32>, added: usize) -> usize {
        let (len, count) = leaf.map_or((0, 0), |id| self.leaves[id as usize].size());
        let chunks = |items: usize| Leaf::filled_by(items).max(len);
        chunks(count + added + 1) - if added == 0 { len } else { chunks(count + added) }
    }

    /// One step towards giving a block back: what is left in the sparsest one moves to others, a
    /// bounded number of leaves at a time. Whether it did anything; not if the others have no room
    /// for that.
    pub(super) fn compact(&mut self) -> bool {
        let spare = CHUNKS_RESERVED + CHUNKS_SPARE;
        if !self.chunks.is_retiring() {
            self.compacted = 0;
            if !self.chunks.retire(spare) {
                return false;
            }
        }
        if !self.chunks.can_move(CHUNKS_RESERVED) {
            self.chunks.restore();
            return false;
        }
        // New leaves, and chunks that others grow by, are never in the block that is to go, and no
        // leaf with chunks gets another number: those passed stay so.
        let end = (self.compacted + COMPACT_LEAVES_MAX).min(self.leaves.len());
        for leaf in &mut self.leaves[self.compacted..end] {
            leaf.move_out(&mut self.chunks);
        }
        self.compacted = end;
        if end == self.leaves.len() {
            self.chunks.release();
        }
        true
    }

    /// Items of a group.
    pub(super) fn count(&self, group: usize) -> u32 {
        self.tables[group].count
    }

    /// The leaf of this hash, if the group has any.
    #[inline]
    fn leaf_of(&self, group: usize, hash: u64) -> Option<u32> {
        let table = &self.tables[group];
        table.directory.get(table.slot_of(position_of(hash))).copied()
    }

    /// Where a prefetch of the leaf of this hash should go.
    #[inline]
    pub(super) fn leaf(&self, group: usize, hash: u64) -> Option<*const u8> {
        let leaf = self.leaf_of(group, hash)?;
        self.leaves.get(leaf as usize).map(|leaf| (&raw const *leaf).cast())
    }

    /// Where a prefetch for this hash should go.
    #[inline]
    pub(super) fn home(&self, group: usize, hash: u64) -> Option<*const u8> {
        let leaf = self.leaf_of(group, hash)?;
        let bucket = self.leaves[leaf as usize].first_bucket(&self.chunks, tag_of(hash));
        Some(bucket.as_ptr().cast())
    }

    /// The first slot in the home bucket of this hash that may hold it, for a prefetch of the item.
    #[inline]
    pub(super) fn likely(&self, group: usize, hash: u64) -> Option<Word> {
        let mut word = None;
        self.find(group, hash, |w| {
            word = Some(w);
            true
        });
        word
    }

    /// The slot of an item, by its hash and whatever `is_it` asks about it.
    #[inline]
    pub(super) fn find(
        &self,
        group: usize,
        hash: u64,
        is_it: impl FnMut(Word) -> bool,
    ) -> Option<SlotRef> {
        let leaf = self.leaf_of(group, hash)?;
        let (bucket, slot, second) =
            self.leaves[leaf as usize].find(&self.chunks, tag_of(hash), is_it)?;
        Some(SlotRef { bucket, slot: slot as u8, second, leaf })
    }

    /// What a slot holds.
    #[inline]
    pub(super) fn get(&self, at: &SlotRef) -> Word {
        // SAFETY: `at` was found in this index, which has not changed since (see `SlotRef`).
        unsafe { at.bucket.as_ref() }.get(at.slot.into())
    }

    /// Changes what a slot holds, of the same hash.
    #[inline]
    pub(super) fn set(&mut self, at: &SlotRef, word: Word) {
        // SAFETY: as in `get`; `&mut self` makes us the only user.
        unsafe { &mut *at.bucket.as_ptr() }.put(at.slot.into(), word);
    }

    /// Adds an item that is not there. The index must be ready. `position_of` tells where an
    /// item stands in hash order when its leaf splits; `None` drops it. `false`: so many items hash
    /// alike that a leaf would have to split far deeper than the others; nothing was added.
    pub(super) fn insert(
        &mut self,
        group: usize,
        hash: u64,
        word: Word,
        mut position_of_item: impl FnMut(Word) -> Option<u32>,
    ) -> bool {
        debug_assert!(self.is_ready());
        let position = position_of(hash);
        self.tables[group].count += 1;
        if self.tables[group].directory.is_empty() {
            let leaf = Leaf::new(0, self.chunks.take());
            let leaf = self.add_leaf(leaf);
            self.tables[group].directory.push(leaf);
        }
        loop {
            let table = &self.tables[group];
            let id = table.directory[table.slot_of(position)];
            let leaf = &mut self.leaves[id as usize];
            if !leaf.is_full() && leaf.place(&self.chunks, word) {
                leaf.count += 1;
                return true;
            }
            let mut words = [Word::default(); ITEMS_MAX];
            let n = leaf.collect(&self.chunks, &mut words);
            let words = &words[..n];
            // As it is, it may be split without being put together anew.
            let whole = leaf.is_largest();
            let deepest = (table.count / LEAF_ITEMS_LEAST + 1).ilog2() + DEPTH_SPREAD_MAX;
            let is_deepest = u32::from(leaf.depth) >= deepest.min(DEPTH_MAX);
            let saved = (is_deepest && !whole).then(|| leaf.saved(&self.chunks));
            let larger = leaf.len() + 1;
            if !whole && leaf.rebuild(&mut self.chunks, words, larger) {
                continue;
            }
            if is_deepest {
                if let Some(saved) = saved {
                    leaf.restore(&mut self.chunks, &saved);
                }
                self.tables[group].count -= 1;
                return false;
            }
            self.split(group, position, words, whole, &mut position_of_item);
        }
    }

    /// Removes an item. `true`: so few are left in its leaf that [`Index::merge`] may save one.
    pub(super) fn remove(&mut self, group: usize, at: &SlotRef) -> bool {
        self.tables[group].count -= 1;
        let leaf = &mut self.leaves[at.leaf as usize];
        leaf.take_out(&self.chunks, at);
        if leaf.is_sparse() {
            let mut words = [Word::default(); ITEMS_MAX];
            let n = leaf.collect(&self.chunks, &mut words);
            let fits = leaf.rebuild(&mut self.chunks, &words[..n], Leaf::fitting(n));
            assert!(fits, "a sparse leaf found no room");
        }
        self.leaves[at.leaf as usize].count <= MERGED_ITEMS_MAX / 2
    }

    /// Makes one leaf of the one at `position` and its sibling while they hold few items; a group
    /// without items gives its last leaf up.
    #[cold]
    pub(super) fn merge(&mut self, group: usize, position: u32) {
        loop {
            let table = &self.tables[group];
            let id = table.directory[table.slot_of(position)];
            let depth = self.leaves[id as usize].depth;
            if depth == 0 {
                if table.count == 0 {
                    self.leaves[id as usize].free(&mut self.chunks);
                    self.free_leaves.push(id);
                    self.directory_bytes -= table.directory.len().saturating_sub(1) * 4;
                    self.tables[group] = Table::default();
                }
                return;
            }
            let sibling = table.directory[table.slot_of(position ^ 1 << (32 - u32::from(depth)))];
            let (a, b) = (self.leaves[id as usize], self.leaves[sibling as usize]);
            if b.depth != depth || a.count + b.count > MERGED_ITEMS_MAX {
                return;
            }
            let mut words = [Word::default(); ITEMS_MAX];
            let n = a.collect(&self.chunks, &mut words);
            let mut list = words[..n].to_vec();
            let n = b.collect(&self.chunks, &mut words);
            list.extend_from_slice(&words[..n]);
            self.leaves[sibling as usize].free(&mut self.chunks);
            self.free_leaves.push(sibling);
            let leaf = &mut self.leaves[id as usize];
            leaf.depth = depth - 1;
            let fits = leaf.rebuild(&mut self.chunks, &list, Leaf::fitting(list.len()));
            assert!(fits, "two nearly empty leaves found no room in one");
            let table = &mut self.tables[group];
            let span = 1usize << (table.depth - leaf.depth);
            let first = table.slot_of(position) / span * span;
            table.directory[first..first + span].fill(id);
        }
    }

    /// The items of the leaf at `position` into `out`, and where the next leaf begins
    /// (2^32 behind the last). `None`: the group is empty.
    pub(super) fn leaf_at(&self, group: usize, position: u32, out: &mut Vec<Word>) -> Option<u64> {
        let table = &self.tables[group];
        let leaf = self.leaves[*table.directory.get(table.slot_of(position))? as usize];
        let mut words = [Word::default(); ITEMS_MAX];
        let n = leaf.collect(&self.chunks, &mut words);
        out.extend_from_slice(&words[..n]);
        let width = 32 - u32::from(leaf.depth);
        Some(((u64::from(position) >> width) + 1) << width)
    }

    /// The items of some bucket of a group into `out`.
    pub(super) fn some_bucket(&self, group: usize, chance: u64, out: &mut Vec<Word>) {
        let table = &self.tables[group];
        let Some(&leaf) = table.directory.get(table.slot_of((chance >> 32) as u32)) else {
            return;
        };
        let bucket = self.leaves[leaf as usize].some_bucket(&self.chunks, chance as u32);
        // SAFETY: a bucket of our own chunks; nothing changes while we look.
        out.extend(unsafe { bucket.as_ref() }.words());
    }

    fn add_leaf(&mut self, leaf: Leaf) -> u32 {
        match self.free_leaves.pop() {
            Some(id) => {
                self.leaves[id as usize] = leaf;
                id
            }
            None => {
                self.leaves.push(leaf);
                self.leaves.len() as u32 - 1
            }
        }
    }

    /// Splits the leaf at `position`, which holds `words`, in two halves of its range. Where items
    /// come in hash order nearly all of them are in one half, for which there may be no room when
    /// it is put together anew: if the leaf is `whole`, it stays as it is; else it is split again.
    #[cold]
    fn split(
        &mut self,
        group: usize,
        position: u32,
        words: &[Word],
        whole: bool,
        position_of_item: &mut impl FnMut(Word) -> Option<u32>,
    ) {
        let table = &mut self.tables[group];
        let id = table.directory[table.slot_of(position)];
        let mut leaf = self.leaves[id as usize];
        let depth = leaf.depth;
        assert!(depth < 31, "two hashes in one leaf at every depth");
        if depth == table.depth {
            self.directory_bytes += table.directory.len() * size_of::<u32>();
            let twice: Vec<u32> = table.directory.iter().flat_map(|&l| [l, l]).collect();
            table.directory = twice;
            table.depth += 1;
        }
        let (mut low, mut high) =
            (Vec::with_capacity(words.len()), Vec::with_capacity(words.len()));
        for &word in words {
            match position_of_item(word) {
                Some(p) if p >> (31 - u32::from(depth)) & 1 == 0 => low.push(word),
                Some(_) => high.push(word),
                None => table.count -= 1,
            }
        }
        let low_is_larger = low.len() >= high.len();
        let (larger, smaller) = if low_is_larger { (low, high) } else { (high, low) };
        leaf.depth = depth + 1;
        let len = Leaf::fitting(larger.len() + 1);
        let fits = if len < CHUNKS_MAX || !whole {
            leaf.rebuild(&mut self.chunks, &larger, len)
                || leaf.rebuild_largest(&mut self.chunks, &larger)
        } else {
            leaf.keep(&self.chunks, &larger);
            true
        };
        let mut other = Leaf::new(depth + 1, self.chunks.take());
        let small = other.rebuild(&mut self.chunks, &smaller, Leaf::fitting(smaller.len() + 1));
        assert!(small, "the smaller half of a leaf found no room");
        // What keeps its chunks keeps its number: `compact` counts on that.
        self.leaves[id as usize] = leaf;
        let other = self.add_leaf(other);
        let table = &mut self.tables[group];
        let span = 1usize << (table.depth - depth - 1);
        let first = table.slot_of(position) / (2 * span) * (2 * span);
        let first = if low_is_larger { first + span } else { first };
        table.directory[first..first + span].fill(other);
        if !fits {
            let position = larger.first().and_then(|&word| position_of_item(word));
            let position = position.expect("an item whose position was known");
            self.split(group, position, &larger, false, position_of_item);
        }
    }
}

#[cfg(test)]
mod tests;
