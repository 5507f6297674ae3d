//! The node-wide arena: equal blocks of memory for segments and index. Knows nothing of what is
//! put into them.

use parking_lot::Mutex;
use std::ptr::NonNull;

/// Memory is mapped in regions of this many bytes, aligned to it, so that huge pages fit.
const REGION_BYTES: usize = 32 * 1024 * 1024;
const HUGE_PAGE_BYTES: usize = 2 * 1024 * 1024;
/// Free blocks that stay resident for the next taker; the rest go back to the system at once.
const FREE_RESIDENT_MAX: usize = 8;

/// A block of an arena: `block_bytes` bytes, owned by whoever holds it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block(NonNull<u8>);

// SAFETY: a block is plain memory owned by its holder; nothing in it is tied to a thread.
unsafe impl Send for Block {}

impl Block {
    /// Its first byte.
    #[inline]
    pub(crate) fn ptr(&self) -> NonNull<u8> {
        self.0
    }
}

/// Hands out blocks and takes them back.
#[derive(Debug)]
pub(crate) struct Arena {
    block_bytes: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Free blocks whose pages are resident, the last one freed on top.
    resident: Vec<Block>,
    /// Free blocks whose pages were given back.
    released: Vec<Block>,
    /// The rest of the newest region, not yet cut into blocks.
    fresh: Option<(Block, usize)>,
    regions: Vec<(Block, usize)>,
}

impl Arena {
    /// An arena of blocks of `block_bytes`, a power of two from 64 KiB to 2 MiB.
    pub(crate) fn new(block_bytes: usize) -> Arena {
        assert!(block_bytes.is_power_of_two());
        assert!((64 * 1024..=HUGE_PAGE_BYTES).contains(&block_bytes));
        Arena { block_bytes, inner: Mutex::default() }
    }

    /// Bytes in a block.
    pub(crate) fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    /// Blocks handed out now: those cut from a region that are not free.
    #[cfg(test)]
    pub(super) fn blocks_used(&self) -> usize {
        let inner = self.inner.lock();
        let mapped: usize = inner.regions.iter().map(|(_, bytes)| bytes).sum();
        let uncut = inner.fresh.as_ref().map_or(0, |(_, bytes)| *bytes);
        let free = inner.resident.len() + inner.released.len();
        (mapped - uncut) / self.block_bytes - free
    }

    /// A block, its contents arbitrary; `None` when the system has no memory left.
    pub(crate) fn take(&self) -> Option<Block> {
        let mut inner = self.inner.lock();
        let free = inner.resident.pop().or_else(|| inner.released.pop());
        free.or_else(|| inner.cut(self.block_bytes))
    }

    /// Takes a block back.
    pub(crate) fn give(&self, block: Block) {
        let mut inner = self.inner.lock();
        if inner.resident.len() < FREE_RESIDENT_MAX {
            inner.resident.push(block);
            return;
        }
        release(&block, self.block_bytes);
        inner.released.push(block);
    }
}

impl Inner {
    fn cut(&mut self, bytes: usize) -> Option<Block> {
        if self.fresh.is_none() {
            let region = map(REGION_BYTES)?;
            self.regions.push((Block(region), REGION_BYTES));
            self.fresh = Some((Block(region), REGION_BYTES));
        }
        let (front, left) = self.fresh.take()?;
        if left > bytes {
            // SAFETY: `left` bytes follow `front`, so `bytes` on is inside the region.
            let rest = unsafe { front.0.add(bytes) };
            self.fresh = Some((Block(rest), left - bytes));
        }
        Some(front)
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        let inner = self.inner.get_mut();
        for (region, bytes) in inner.regions.drain(..) {
            // SAFETY: mapped by `map` with this length; no block is used after its arena.
            unsafe { libc::munmap(region.0.as_ptr().cast(), bytes) };
        }
    }
}

/// Maps `bytes` of zeroed memory aligned to a huge page.
fn map(bytes: usize) -> Option<NonNull<u8>> {
    let padded = bytes + HUGE_PAGE_BYTES;
    // SAFETY: an anonymous private mapping at an address of the system's choice.
    let raw = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            padded,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if raw == libc::MAP_FAILED {
        return None;
    }
    let raw = raw.cast::<u8>();
    let skip = raw.align_offset(HUGE_PAGE_BYTES);
    // SAFETY: both ends lie in the mapping just made and are not used by anybody; `skip` is less
    // than a huge page.
    unsafe {
        if skip > 0 {
            libc::munmap(raw.cast(), skip);
        }
        let start = raw.add(skip);
        let tail = padded - skip - bytes;
        if tail > 0 {
            libc::munmap(start.add(bytes).cast(), tail);
        }
        libc::madvise(start.cast(), bytes, libc::MADV_HUGEPAGE);
        NonNull::new(start)
    }
}

/// Gives the pages of a free block back; they read as zero when taken again.
fn release(block: &Block, bytes: usize) {
    // SAFETY: the block is free: nobody reads or writes it until it is taken again.
    unsafe { libc::madvise(block.0.as_ptr().cast(), bytes, libc::MADV_DONTNEED) };
}

#[cfg(test)]
mod tests {
    use super::{Arena, FREE_RESIDENT_MAX, REGION_BYTES};

    #[test]
    fn blocks_are_apart_and_come_back() {
        let arena = Arena::new(64 * 1024);
        let count = REGION_BYTES / arena.block_bytes() + 3;
        let mut blocks: Vec<_> = (0..count).map(|_| arena.take().expect("memory")).collect();
        let mut starts: Vec<usize> = blocks.iter().map(|b| b.ptr().as_ptr() as usize).collect();
        starts.sort_unstable();
        assert!(starts.windows(2).all(|w| w[1] - w[0] >= arena.block_bytes()));
        assert_eq!(arena.blocks_used(), count);
        blocks.drain(..).for_each(|b| arena.give(b));
        assert_eq!(arena.blocks_used(), 0);
        assert_eq!(arena.inner.lock().resident.len(), FREE_RESIDENT_MAX);
        let again = arena.take().expect("memory");
        assert!(starts.contains(&(again.ptr().as_ptr() as usize)));
    }
}
