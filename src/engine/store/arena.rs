//! The node-wide arena: equal blocks of memory for segments and index, and tables of zeroes. Knows
//! nothing of what is put into them.
//!
//! The first touch of a huge page clears 2 MiB, and in a virtual machine it may wait for the host
//! besides: 4 to 15 ms were measured. So memory is made resident ahead of those who take it, by
//! whoever calls [`Arena::prepare`], where no lock is held. It alone makes huge pages: who was
//! faster and got memory that nobody has touched pays for one small page after the other. Pages go
//! back to the system without a lock too.

mod zeroed;

pub(super) use zeroed::Zeroed;

use crate::limits::{ARENA_AHEAD_BYTES_MAX, ARENA_TRIM_BLOCKS_MAX};
use parking_lot::Mutex;
use std::fmt;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Memory is mapped in regions of this many bytes, aligned to it, so that huge pages fit.
const REGION_BYTES: usize = 32 * 1024 * 1024;
const HUGE_PAGE_BYTES: usize = 2 * 1024 * 1024;
/// No page is smaller.
const PAGE_BYTES_MIN: usize = 4096;
/// Free blocks that stay resident for the next taker; the rest go back to the system.
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

/// Whom to tell that memory should be prepared.
type Nudge = Box<dyn Fn() + Send + Sync>;

/// Hands out blocks and takes them back.
pub(crate) struct Arena {
    block_bytes: usize,
    /// Bytes that should be prepared beyond the block that is handed out next.
    ahead_bytes: AtomicUsize,
    /// Free blocks that are resident for no use.
    surplus: AtomicUsize,
    nudge: OnceLock<Nudge>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Free blocks whose pages are resident, the last one freed on top.
    resident: Vec<Block>,
    /// Blocks that were made resident ahead, the next one last.
    prepared: Vec<Block>,
    /// Free blocks whose pages were given back.
    released: Vec<Block>,
    /// The rest of the newest region, not yet cut into blocks.
    fresh: Option<(Block, usize)>,
    regions: Vec<(Block, usize)>,
    /// Somebody was told that memory should be prepared.
    nudged: bool,
}

impl Arena {
    /// An arena of blocks of `block_bytes`, a power of two from 64 KiB to 2 MiB.
    pub(crate) fn new(block_bytes: usize) -> Arena {
        assert!(block_bytes.is_power_of_two());
        assert!((64 * 1024..=HUGE_PAGE_BYTES).contains(&block_bytes));
        Arena {
            block_bytes,
            ahead_bytes: AtomicUsize::new(ARENA_AHEAD_BYTES_MAX),
            surplus: AtomicUsize::new(0),
            nudge: OnceLock::new(),
            inner: Mutex::default(),
        }
    }

    /// Bytes in a block.
    pub(crate) fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    /// Bounds the bytes that are prepared beyond the huge page in use.
    pub(crate) fn set_ahead_bytes(&self, bytes: usize) {
        self.ahead_bytes.store(bytes.min(ARENA_AHEAD_BYTES_MAX), Ordering::Relaxed);
    }

    /// Calls `nudge` from now on when [`Arena::prepare`] has something to do: under the lock of a
    /// shard, so it must be quick. Only the first call counts.
    pub(crate) fn on_need(&self, nudge: Nudge) {
        // A second one would be told of nothing, which costs time and not correctness.
        let _ = self.nudge.set(nudge);
    }

    /// Blocks handed out now: those cut from a region that are not free.
    #[cfg(test)]
    pub(super) fn blocks_used(&self) -> usize {
        let inner = self.inner.lock();
        let mapped: usize = inner.regions.iter().map(|(_, bytes)| bytes).sum();
        let uncut = inner.fresh.as_ref().map_or(0, |(_, bytes)| *bytes);
        let free = inner.resident.len() + inner.prepared.len() + inner.released.len();
        (mapped - uncut) / self.block_bytes - free
    }

    /// A block, its contents arbitrary; `None` when the system has no memory left. Whoever is
    /// faster than those who prepare gets one that is not resident yet.
    pub(crate) fn take(&self) -> Option<Block> {
        let mut inner = self.inner.lock();
        let block = match inner.resident.pop() {
            Some(block) => {
                self.note_surplus(&inner);
                Some(block)
            }
            None => inner
                .prepared
                .pop()
                .or_else(|| inner.released.pop())
                .or_else(|| inner.cut(self.block_bytes)),
        };
        let nudge = !inner.nudged && self.is_short(&inner);
        inner.nudged |= nudge;
        drop(inner);
        if let Some(tell) = self.nudge.get().filter(|_| nudge) {
            tell();
        }
        block
    }

    /// Takes a block back. Its pages stay until [`Arena::trim`].
    pub(crate) fn give(&self, block: Block) {
        let mut inner = self.inner.lock();
        inner.resident.push(block);
        self.note_surplus(&inner);
    }

    /// Gives pages of free blocks back to the system, if more than a few are resident: to be called
    /// where no lock is held, after blocks were given.
    #[inline]
    pub(crate) fn trim(&self) {
        if self.surplus.load(Ordering::Relaxed) > 0 {
            self.trim_some();
        }
    }

    #[cold]
    fn trim_some(&self) {
        for _ in 0..ARENA_TRIM_BLOCKS_MAX {
            let mut inner = self.inner.lock();
            if inner.resident.len() <= FREE_RESIDENT_MAX {
                return;
            }
            let block = inner.resident.remove(0);
            self.note_surplus(&inner);
            drop(inner);
            // Nobody else has this block meanwhile.
            release(&block, self.block_bytes);
            self.inner.lock().released.push(block);
        }
    }

    /// Makes a bounded piece of memory resident, a huge page at most, for those who take blocks
    /// later; whether there may be more to do. Holds no lock while it touches the memory.
    pub(crate) fn prepare(&self) -> bool {
        let mut inner = self.inner.lock();
        let chunk = if self.is_short(&inner) { inner.chunk(self.block_bytes) } else { None };
        let Some((chunk, bytes)) = chunk else {
            inner.nudged = false;
            return false;
        };
        drop(inner);
        if bytes == HUGE_PAGE_BYTES {
            allow_huge(&chunk, bytes);
        }
        touch(&chunk, bytes);
        let blocks = (0..bytes / self.block_bytes).rev().map(|i| {
            // SAFETY: the chunk is ours and has `bytes` bytes.
            Block(unsafe { chunk.0.add(i * self.block_bytes) })
        });
        self.inner.lock().prepared.splice(0..0, blocks);
        true
    }

    fn is_short(&self, inner: &Inner) -> bool {
        let ready = inner.resident.len() + inner.prepared.len();
        ready * self.block_bytes <= self.ahead_bytes.load(Ordering::Relaxed)
    }

    fn note_surplus(&self, inner: &Inner) {
        let surplus = inner.resident.len().saturating_sub(FREE_RESIDENT_MAX);
        self.surplus.store(surplus, Ordering::Relaxed);
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena").field("block_bytes", &self.block_bytes).finish_non_exhaustive()
    }
}

impl Inner {
    /// Cuts a piece off the front of the newest region, of at most `bytes`.
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

    /// What to prepare next, and its bytes: a block whose pages were given back, or else what is
    /// left of the next huge page.
    fn chunk(&mut self, block_bytes: usize) -> Option<(Block, usize)> {
        if let Some(block) = self.released.pop() {
            return Some((block, block_bytes));
        }
        let front = self.fresh.as_ref().map_or(0, |(front, _)| front.0.addr().get());
        let bytes = HUGE_PAGE_BYTES - front % HUGE_PAGE_BYTES;
        Some((self.cut(bytes)?, bytes))
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
        libc::madvise(start.cast(), bytes, libc::MADV_NOHUGEPAGE);
        NonNull::new(start)
    }
}

/// Lets the first touch of a huge page's memory make all of it resident at once.
fn allow_huge(start: &Block, bytes: usize) {
    // SAFETY: memory of a region of ours. A system without huge pages refuses, which is as good.
    unsafe { libc::madvise(start.0.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE) };
}

/// Gives the pages of a free block back; they read as zero when taken again.
fn release(block: &Block, bytes: usize) {
    // SAFETY: the block is free: nobody reads or writes it until it is taken again.
    unsafe { libc::madvise(block.0.as_ptr().cast(), bytes, libc::MADV_DONTNEED) };
}

/// Makes the pages of memory resident that nobody else has.
fn touch(start: &Block, bytes: usize) {
    for at in (0..bytes).step_by(PAGE_BYTES_MIN) {
        // SAFETY: the memory is mapped, has `bytes` bytes, and is free, so its contents are
        // arbitrary.
        unsafe { start.0.add(at).write_volatile(0) };
    }
}

#[cfg(test)]
mod tests {
    use super::{Arena, Block, FREE_RESIDENT_MAX, HUGE_PAGE_BYTES, REGION_BYTES};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Resident pages of a block.
    fn resident_pages(arena: &Arena, block: &Block) -> usize {
        let mut pages = vec![0u8; arena.block_bytes() / super::PAGE_BYTES_MIN];
        let start = block.ptr().as_ptr().cast();
        // SAFETY: a block of the arena, and a byte for each of its pages.
        let result = unsafe { libc::mincore(start, arena.block_bytes(), pages.as_mut_ptr()) };
        assert_eq!(result, 0, "mincore");
        pages.iter().filter(|&page| page & 1 == 1).count()
    }

    /// Whether all pages of a block are resident.
    fn is_resident(arena: &Arena, block: &Block) -> bool {
        resident_pages(arena, block) == arena.block_bytes() / super::PAGE_BYTES_MIN
    }

    #[test]
    fn a_taker_touches_no_huge_page() {
        let arena = Arena::new(256 * 1024);
        let block = arena.take().expect("memory");
        super::touch(&block, 1);
        assert_eq!(resident_pages(&arena, &block), 1);
        // What is prepared beside it, and one that begins there, is none of its business.
        while arena.prepare() {}
        assert_eq!(resident_pages(&arena, &block), 1);
        let prepared = arena.take().expect("memory");
        assert!(is_resident(&arena, &prepared));
    }

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
        while arena.surplus.load(Ordering::Relaxed) > 0 {
            arena.trim();
        }
        assert_eq!(arena.inner.lock().resident.len(), FREE_RESIDENT_MAX);
        assert_eq!(arena.blocks_used(), 0);
        let again = arena.take().expect("memory");
        assert!(starts.contains(&(again.ptr().as_ptr() as usize)));
    }

    #[test]
    fn what_is_prepared_is_resident_and_little() {
        let arena = Arena::new(256 * 1024);
        let nudges = Arc::new(AtomicUsize::new(0));
        let count = nudges.clone();
        arena.on_need(Box::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        }));
        let first = arena.take().expect("memory");
        assert_eq!(nudges.load(Ordering::Relaxed), 1);
        let mut held = vec![first];
        for _ in 0..3 * REGION_BYTES / arena.block_bytes() {
            while arena.prepare() {}
            let ready = arena.inner.lock().prepared.len() * arena.block_bytes();
            assert!(ready > arena.block_bytes() && ready <= 2 * HUGE_PAGE_BYTES, "{ready}");
            let block = arena.take().expect("memory");
            assert!(is_resident(&arena, &block));
            held.push(block);
        }
        let mut starts: Vec<usize> = held.iter().map(|b| b.ptr().as_ptr() as usize).collect();
        starts.sort_unstable();
        assert!(starts.windows(2).all(|w| w[1] - w[0] >= arena.block_bytes()));
        // Told once for each time that it had enough.
        assert!(nudges.load(Ordering::Relaxed) < held.len() / 4);
        // What was given back is prepared before anything new.
        let regions = arena.inner.lock().regions.len();
        held.drain(..).for_each(|block| arena.give(block));
        while arena.surplus.load(Ordering::Relaxed) > 0 {
            arena.trim();
        }
        for _ in 0..3 * REGION_BYTES / arena.block_bytes() {
            let block = arena.take().expect("memory");
            while arena.prepare() {}
            assert!(is_resident(&arena, &block));
            held.push(block);
        }
        assert_eq!(arena.inner.lock().regions.len(), regions);
    }

    #[test]
    fn with_a_small_bound_nothing_is_prepared_before_it_is_needed() {
        let arena = Arena::new(64 * 1024);
        arena.set_ahead_bytes(0);
        assert!(arena.prepare() && !arena.prepare());
        for _ in 0..HUGE_PAGE_BYTES / arena.block_bytes() {
            assert!(!arena.prepare());
            assert!(arena.take().is_some());
        }
        assert!(arena.prepare());
    }
}
