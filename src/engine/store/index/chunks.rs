//! Memory of the index: chunks of four buckets, cut from blocks of the arena, all of one size so
//! that none is ever too small for the next taker. Knows nothing of hashes.

use super::super::arena::{Arena, Block};
use super::bucket::Bucket;
use crate::limits::COMPACT_BLOCKS_MAX;
use std::ptr::NonNull;
use std::sync::Arc;

/// Buckets in a chunk.
pub(super) const BUCKETS: usize = 4;

/// The unit of growth of the index.
#[repr(C, align(64))]
pub(super) struct Chunk(pub(super) [Bucket; BUCKETS]);

const CHUNK_BYTES: usize = size_of::<Chunk>();
const NONE: u16 = u16::MAX;

/// Which chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ChunkId(u32);

#[derive(Debug)]
struct Slab {
    block: Option<Block>,
    /// Chunks handed out.
    used: u16,
    /// Chunks never handed out begin here.
    fresh: u16,
    /// First of a list of free chunks, linked through their first bytes.
    free: u16,
}

/// All chunks of a shard.
#[derive(Debug)]
pub(super) struct Chunks {
    arena: Arc<Arena>,
    slabs: Vec<Slab>,
    /// First bytes of the slabs' blocks, by slab: the hot half of `slabs`.
    starts: Vec<NonNull<Chunk>>,
    /// Slabs with free chunks.
    partial: Vec<u32>,
    /// Slabs without a block.
    empty: Vec<u32>,
    per_slab: u32,
    shift: u32,
    /// Free chunks of slabs in service.
    free_chunks: usize,
    /// A slab out of service, whose chunks are being moved.
    retired: Option<u32>,
}

// SAFETY: the pointers lead into blocks owned by this value.
unsafe impl Send for Chunks {}

impl Chunks {
    pub(super) fn new(arena: Arc<Arena>) -> Chunks {
        let per_slab = (arena.block_bytes() / CHUNK_BYTES) as u32;
        Chunks {
            arena,
            slabs: Vec::new(),
            starts: Vec::new(),
            partial: Vec::new(),
            empty: Vec::new(),
            per_slab,
            shift: per_slab.trailing_zeros(),
            free_chunks: 0,
            retired: None,
        }
    }

    /// Chunks that can be taken without another block.
    pub(super) fn free_chunks(&self) -> usize {
        self.free_chunks
    }

    /// Chunks in a block.
    pub(super) fn per_block(&self) -> usize {
        self.per_slab as usize
    }

    /// Blocks held.
    pub(super) fn blocks(&self) -> usize {
        self.slabs.len() - self.empty.len()
    }

    /// Takes one more block from the arena; whether there was one.
    pub(super) fn grow(&mut self) -> bool {
        let Some(block) = self.arena.take() else { return false };
        let start = block.ptr().cast::<Chunk>();
        let slab = Slab { block: Some(block), used: 0, fresh: 0, free: NONE };
        let id = match self.empty.pop() {
            Some(id) => {
                self.slabs[id as usize] = slab;
                self.starts[id as usize] = start;
                id
            }
            None => {
                self.slabs.push(slab);
                self.starts.push(start);
                self.slabs.len() as u32 - 1
            }
        };
        self.partial.push(id);
        self.free_chunks += self.per_slab as usize;
        true
    }

    /// Takes an empty chunk; there must be a free one.
    pub(super) fn take(&mut self) -> ChunkId {
        let Some(&slab_id) = self.partial.last() else { unreachable!("no free chunk") };
        let slab = &mut self.slabs[slab_id as usize];
        let start = self.starts[slab_id as usize];
        let at = if slab.free == NONE {
            slab.fresh += 1;
            slab.fresh - 1
        } else {
            let at = slab.free;
            // SAFETY: a free chunk of this slab, whose first bytes `give` made the next link.
            slab.free = unsafe { start.add(at.into()).cast::<u16>().read() };
            at
        };
        slab.used += 1;
        if u32::from(slab.used) == self.per_slab {
            self.partial.pop();
        }
        self.free_chunks -= 1;
        // SAFETY: inside the slab's block, and owned by nobody else now.
        unsafe { start.add(at.into()).write(Chunk([Bucket::EMPTY; BUCKETS])) };
        ChunkId(slab_id << self.shift | u32::from(at))
    }

    /// Takes a chunk back. A slab without chunks in use gives its block back, if others have
    /// free chunks enough.
    pub(super) fn give(&mut self, id: ChunkId) {
        let slab_id = self.unuse(id);
        if self.retired == Some(slab_id) {
            return;
        }
        let slab = &mut self.slabs[slab_id as usize];
        if u32::from(slab.used) + 1 == self.per_slab {
            self.partial.push(slab_id);
        }
        self.free_chunks += 1;
        if slab.used == 0 && self.free_chunks > 2 * self.per_slab as usize {
            self.partial.retain(|&s| s != slab_id);
            self.free_chunks -= self.per_slab as usize;
            self.drop_block(slab_id);
        }
    }

    /// Puts a chunk into its slab's list of free ones; which slab that is.
    fn unuse(&mut self, id: ChunkId) -> u32 {
        let slab_id = id.0 >> self.shift;
        let at = (id.0 & (self.per_slab - 1)) as u16;
        let slab = &mut self.slabs[slab_id as usize];
        // SAFETY: the chunk's owner gave it up, so its bytes are free to hold the link.
        unsafe { self.starts[slab_id as usize].add(at.into()).cast::<u16>().write(slab.free) };
        slab.free = at;
        slab.used -= 1;
        slab_id
    }

    /// Gives the block of a slab without chunks in use back.
    fn drop_block(&mut self, slab_id: u32) {
        let slab = &mut self.slabs[slab_id as usize];
        assert_eq!(slab.used, 0, "a slab that is given up still has chunks in use");
        if let Some(block) = slab.block.take() {
            self.arena.give(block);
        }
        self.empty.push(slab_id);
    }

    /// Gives up all blocks: the whole is about to be dropped.
    pub(super) fn take_blocks(&mut self, out: &mut Vec<Block>) {
        out.extend(self.slabs.iter_mut().filter_map(|s| s.block.take()));
    }

    /// Whether a slab is out of service.
    pub(super) fn is_retiring(&self) -> bool {
        self.retired.is_some()
    }

    /// Takes the slab with the fewest chunks in use out of service, if the others have room for
    /// these and `spare` more; whether it did. Its chunks are then to be moved by
    /// [`Chunks::moved`].
    pub(super) fn retire(&mut self, spare: usize) -> bool {
        debug_assert!(self.retired.is_none());
        let used = |s: &u32| self.slabs[*s as usize].used;
        let some = self.partial.iter().take(COMPACT_BLOCKS_MAX);
        let Some(&slab) = some.min_by_key(|s| used(s)) else { return false };
        let own_free = self.own_free(slab);
        if self.free_chunks - own_free < usize::from(used(&slab)) + spare {
            return false;
        }
        self.partial.retain(|&s| s != slab);
        self.free_chunks -= own_free;
        self.retired = Some(slab);
        true
    }

    /// Whether the slabs in service still have room for what is left in the retired one, and
    /// `spare` more.
    pub(super) fn can_move(&self, spare: usize) -> bool {
        let left = self.retired.map_or(0, |slab| usize::from(self.slabs[slab as usize].used));
        self.free_chunks >= left + spare
    }

    /// Takes the retired slab back into service; whether there was one.
    pub(super) fn restore(&mut self) -> bool {
        let Some(slab) = self.retired.take() else { return false };
        self.partial.push(slab);
        self.free_chunks += self.own_free(slab);
        true
    }

    /// A copy of a chunk of the retired slab in another one; the old one is given up. Chunks of
    /// other slabs stay where they are.
    pub(super) fn moved(&mut self, id: ChunkId) -> ChunkId {
        if Some(id.0 >> self.shift) != self.retired {
            return id;
        }
        let to = self.take();
        // SAFETY: both are chunks in use, in different slabs; nobody else has a reference.
        unsafe { self.ptr(to).copy_from_nonoverlapping(self.ptr(id), 1) };
        self.unuse(id);
        to
    }

    /// Gives the block of the retired slab back, all of whose chunks were moved.
    pub(super) fn release(&mut self) {
        if let Some(slab) = self.retired.take() {
            self.drop_block(slab);
        }
    }

    fn own_free(&self, slab: u32) -> usize {
        self.per_slab as usize - usize::from(self.slabs[slab as usize].used)
    }

    /// Where a chunk is. Valid until it is given back.
    #[inline]
    pub(super) fn ptr(&self, id: ChunkId) -> NonNull<Chunk> {
        let start = self.starts[(id.0 >> self.shift) as usize];
        // SAFETY: ids are made by `take` and lie in their slab's block.
        unsafe { start.add((id.0 & (self.per_slab - 1)) as usize) }
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        for slab in &mut self.slabs {
            if let Some(block) = slab.block.take() {
                self.arena.give(block);
            }
        }
    }
}

const _: () = assert!(CHUNK_BYTES == 256);
