//! The node-wide memory of big values: buffers of whole pages, which go back to the system the
//! moment a buffer is dropped. What is resident is thus what is in use, rounded up to pages: a
//! general allocator, with its classes of sizes and freed pages it keeps, took up to 1.43 times
//! that. Knows nothing of what is put into them.

mod free;

use bytes::Bytes;
use free::FreeExtents;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Memory is mapped in regions of this many bytes, kept until the end: free, they are addresses
/// only.
const REGION_BYTES: usize = 64 * 1024 * 1024;
/// A longer buffer gets a mapping of its own, so that regions are cut into useful pieces.
const CUT_BYTES_MAX: usize = REGION_BYTES / 4;
/// The smallest page that is counted with.
const PAGE_BYTES_MIN: usize = 4096;

/// Hands out buffers of whole pages.
#[derive(Debug)]
pub(super) struct Extents {
    page_bytes: usize,
    /// Bytes of all values, in whole pages.
    value_bytes: AtomicU64,
    /// Bytes of buffers on their way to become values, as far as they are claimed.
    incoming_bytes: AtomicU64,
    /// Bytes of values that shards keep; of one that is kept twice, twice.
    kept_bytes: AtomicU64,
    /// Bytes of values that shards have given up and that are about to be dropped.
    leaving_bytes: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// All that is mapped, by address.
    mappings: BTreeMap<usize, Mapping>,
    /// What is free in the regions; its pages are not resident.
    free: FreeExtents,
}

#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: plain memory; nothing in it is tied to a thread.
unsafe impl Send for Mapping {}

/// A buffer that its holder may write, zeroed at first. Its pages become resident as they are
/// touched, so a long one costs nothing until it is filled.
pub struct BigBuffer {
    start: NonNull<u8>,
    len: usize,
    /// Bytes that count already, in whole pages.
    claimed: u64,
    extents: Arc<Extents>,
}

// SAFETY: plain memory owned by the buffer alone; nothing in it is tied to a thread.
unsafe impl Send for BigBuffer {}

/// A buffer that has become a value: filled, and counted until its last reference goes.
struct Frozen(BigBuffer);

impl Extents {
    /// Nothing mapped yet.
    pub(super) fn new() -> Arc<Extents> {
        // SAFETY: asks for a constant of the system.
        let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let page_bytes = usize::try_from(page_bytes).unwrap_or(0).max(PAGE_BYTES_MIN);
        Arc::new(Extents {
            page_bytes,
            value_bytes: AtomicU64::new(0),
            incoming_bytes: AtomicU64::new(0),
            kept_bytes: AtomicU64::new(0),
            leaving_bytes: AtomicU64::new(0),
            inner: Mutex::default(),
        })
    }

    /// A buffer of `len` bytes; `None` when the system has no addresses left.
    pub(super) fn buffer(self: &Arc<Extents>, len: usize) -> Option<BigBuffer> {
        let start = self.take(self.resident(len)?)?;
        Some(BigBuffer { start, len, claimed: 0, extents: self.clone() })
    }

    /// A value with these bytes; `None` when the system has no addresses left.
    pub(super) fn copy(self: &Arc<Extents>, bytes: &[u8]) -> Option<Bytes> {
        let mut buffer = self.buffer(bytes.len())?;
        buffer.copy_from_slice(bytes);
        Some(buffer.freeze())
    }

    /// Whether this is a value of ours: whole, or from one of its pages on.
    pub(super) fn owns(&self, bytes: &[u8]) -> bool {
        let at = bytes.as_ptr().addr();
        at.is_multiple_of(self.page_bytes)
            && self.inner.lock().mapping(at).is_some_and(|(start, m)| at < start + m.bytes)
    }

    /// What a value of this length takes: whole pages.
    pub(super) fn value_bytes_of(&self, len: usize) -> u64 {
        self.resident(len).map_or(u64::MAX, |bytes| bytes as u64)
    }

    /// Bytes of all values that anybody refers to, in whole pages: what is resident of them.
    pub(super) fn value_bytes(&self) -> u64 {
        self.value_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that buffers have claimed, in whole pages.
    pub(super) fn incoming_bytes(&self) -> u64 {
        self.incoming_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that no shard keeps: values on their way in, and those that only unsent answers still
    /// refer to.
    pub(super) fn loose_bytes(&self) -> u64 {
        let kept = self.kept_bytes.load(Ordering::Relaxed);
        (self.value_bytes() + self.incoming_bytes()).saturating_sub(kept)
    }

    /// A shard keeps so many bytes of values more.
    pub(super) fn keep(&self, bytes: u64) {
        self.kept_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A shard keeps so many bytes of values less, and they are about to be dropped.
    pub(super) fn let_go(&self, bytes: u64) {
        self.kept_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.leaving_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes that a shard has let go were dropped.
    pub(super) fn freed(&self, bytes: u64) {
        self.leaving_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes that no shard keeps, but for those that are about to be freed.
    pub(super) fn staying_bytes(&self) -> u64 {
        self.loose_bytes().saturating_sub(self.leaving_bytes.load(Ordering::Relaxed))
    }

    fn resident(&self, len: usize) -> Option<usize> {
        len.max(1).checked_next_multiple_of(self.page_bytes)
    }

    fn take(&self, bytes: usize) -> Option<NonNull<u8>> {
        if bytes > CUT_BYTES_MAX {
            let start = map(bytes)?;
            self.inner.lock().keep(Mapping { start, bytes });
            return Some(start);
        }
        let mut inner = self.inner.lock();
        if let Some(start) = inner.cut(bytes) {
            return Some(start);
        }
        let start = map(REGION_BYTES)?;
        inner.keep(Mapping { start, bytes: REGION_BYTES });
        inner.give(start.addr().get(), REGION_BYTES);
        inner.cut(bytes)
    }

    /// Takes back what `take` gave. The system's part is done outside the lock; till then nobody
    /// else can get these addresses.
    fn give(&self, start: NonNull<u8>, bytes: usize) {
        let at = start.addr().get();
        if bytes > CUT_BYTES_MAX {
            self.inner.lock().mappings.remove(&at);
            // SAFETY: a mapping of this length, whose only user gives it back.
            unsafe { libc::munmap(start.as_ptr().cast(), bytes) };
            return;
        }
        // SAFETY: whole pages of a region, whose only user gives them back.
        let left = unsafe { libc::madvise(start.as_ptr().cast(), bytes, libc::MADV_DONTNEED) };
        if left != 0 {
            // Locked pages stay; but the next user is to find zeros.
            // SAFETY: as above.
            unsafe { start.write_bytes(0, bytes) };
        }
        self.inner.lock().give(at, bytes);
    }
}

impl Inner {
    fn keep(&mut self, mapping: Mapping) {
        self.mappings.insert(mapping.start.addr().get(), mapping);
    }

    /// The last mapping that starts at or before an address.
    fn mapping(&self, at: usize) -> Option<(usize, &Mapping)> {
        self.mappings.range(..=at).next_back().map(|(&start, mapping)| (start, mapping))
    }

    fn cut(&mut self, bytes: usize) -> Option<NonNull<u8>> {
        let at = self.free.take(bytes)?;
        let (start, region) = self.mapping(at)?;
        // SAFETY: what is free lies in a region, and this is the one it lies in.
        Some(unsafe { region.start.add(at - start) })
    }

    /// Regions may happen to touch; an extent never reaches from one into another.
    fn give(&mut self, at: usize, bytes: usize) {
        self.free.give(at, bytes, |seam| self.mappings.contains_key(&seam));
    }
}

impl Drop for Extents {
    fn drop(&mut self) {
        for mapping in self.inner.get_mut().mappings.values() {
            // SAFETY: mapped by `map` with this length. A buffer keeps its extents alive, so
            // there is none.
            unsafe { libc::munmap(mapping.start.as_ptr().cast(), mapping.bytes) };
        }
    }
}

impl BigBuffer {
    /// The buffer as a value that is shared from now on.
    pub fn freeze(mut self) -> Bytes {
        let bytes = self.extents.value_bytes_of(self.len);
        self.extents.value_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.set_claimed(0);
        Bytes::from_owner(Frozen(self))
    }

    /// Bytes of it that may be filled, since they count already.
    pub fn claimed(&self) -> usize {
        usize::try_from(self.claimed).unwrap_or(usize::MAX).min(self.len)
    }

    /// Counts it as filled up to `filled` bytes; whether that is more than before.
    pub(super) fn claim(&mut self, filled: usize) -> bool {
        let bytes = if filled == 0 { 0 } else { self.extents.value_bytes_of(filled) };
        let more = bytes > self.claimed;
        if more {
            self.set_claimed(bytes);
        }
        more
    }

    /// Counts it as filled less far again.
    pub(super) fn set_claimed(&mut self, bytes: u64) {
        let incoming = &self.extents.incoming_bytes;
        incoming.fetch_add(bytes.wrapping_sub(self.claimed), Ordering::Relaxed);
        self.claimed = bytes;
    }

    /// Bytes that count, in whole pages.
    pub(super) fn claimed_bytes(&self) -> u64 {
        self.claimed
    }
}

impl Deref for BigBuffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `len` bytes from `start` on are mapped, zeroed by the system or written since,
        // and used by this buffer alone.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for BigBuffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `deref`, and the buffer is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl fmt::Debug for BigBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BigBuffer").field("len", &self.len).finish_non_exhaustive()
    }
}

impl Drop for BigBuffer {
    fn drop(&mut self) {
        self.set_claimed(0);
        if let Some(bytes) = self.extents.resident(self.len) {
            self.extents.give(self.start, bytes);
        }
    }
}

impl AsRef<[u8]> for Frozen {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let extents = &self.0.extents;
        let bytes = extents.value_bytes_of(self.0.len);
        extents.value_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Maps `bytes` of zeroed memory. Never in huge pages: one of them would make resident what
/// nobody has touched.
fn map(bytes: usize) -> Option<NonNull<u8>> {
    // SAFETY: an anonymous private mapping at an address of the system's choice.
    let start = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the mapping just made. A system without huge pages refuses, which is as good.
    unsafe { libc::madvise(start, bytes, libc::MADV_NOHUGEPAGE) };
    NonNull::new(start.cast())
}

#[cfg(test)]
mod tests {
    use super::{CUT_BYTES_MAX, Extents, REGION_BYTES};
    use bytes::Bytes;

    const PAGE: usize = 4096;

    /// Resident pages of what is mapped.
    fn resident_pages(extents: &Extents) -> usize {
        let inner = extents.inner.lock();
        let pages = |start: *mut u8, bytes: usize| {
            let mut states = vec![0u8; bytes.div_ceil(extents.page_bytes)];
            // SAFETY: a whole mapping, and a byte for each of its pages.
            let result = unsafe { libc::mincore(start.cast(), bytes, states.as_mut_ptr()) };
            assert_eq!(result, 0, "mincore");
            states.iter().filter(|&&state| state & 1 == 1).count()
        };
        inner.mappings.values().map(|m| pages(m.start.as_ptr(), m.bytes)).sum()
    }

    #[test]
    fn a_buffer_is_resident_as_far_as_it_is_touched() {
        let extents = Extents::new();
        let mut buffer = extents.buffer(1000 * PAGE).expect("memory");
        assert_eq!((buffer.len(), resident_pages(&extents)), (1000 * PAGE, 0));
        buffer[..10 * PAGE + 1].fill(1);
        assert_eq!(resident_pages(&extents) * extents.page_bytes, 11 * PAGE);
        assert_eq!(extents.value_bytes(), 0);
        drop(buffer);
        assert_eq!(resident_pages(&extents), 0);
        let again = extents.buffer(1000 * PAGE).expect("memory");
        assert!(again.iter().all(|&b| b == 0));
    }

    #[test]
    fn values_are_counted_while_anybody_refers_to_them() {
        let extents = Extents::new();
        let value = extents.copy(&[7; 20_000]).expect("memory");
        assert_eq!(extents.value_bytes(), 5 * PAGE as u64);
        let part = value.slice(PAGE..);
        assert!(extents.owns(&value) && extents.owns(&part) && !extents.owns(&value[1..]));
        assert!(!extents.owns(&Bytes::from(vec![7; 20_000])) && !Extents::new().owns(&value));
        drop(value);
        assert_eq!(
            (part.len(), part[0], extents.value_bytes()),
            (20_000 - PAGE, 7, 5 * PAGE as u64)
        );
        drop(part);
        assert_eq!((extents.value_bytes(), resident_pages(&extents)), (0, 0));
    }

    #[test]
    fn what_nobody_keeps_is_loose() {
        let extents = Extents::new();
        let mut buffer = extents.buffer(10 * PAGE).expect("memory");
        assert!(buffer.claim(PAGE + 1) && !buffer.claim(2 * PAGE));
        assert_eq!((buffer.claimed(), extents.loose_bytes()), (2 * PAGE, 2 * PAGE as u64));
        let value = buffer.freeze();
        assert_eq!((extents.incoming_bytes(), extents.loose_bytes()), (0, 10 * PAGE as u64));
        extents.keep(10 * PAGE as u64);
        assert_eq!(extents.loose_bytes(), 0);
        extents.let_go(10 * PAGE as u64);
        assert_eq!((extents.loose_bytes(), extents.staying_bytes()), (10 * PAGE as u64, 0));
        drop(value);
        extents.freed(10 * PAGE as u64);
        let mut buffer = extents.buffer(1000 * PAGE).expect("memory");
        assert!(buffer.claim(usize::MAX / 2) && buffer.claimed() == 1000 * PAGE);
        drop(buffer);
        assert_eq!((extents.incoming_bytes(), extents.loose_bytes()), (0, 0));
    }

    #[test]
    fn very_large_ones_are_mapped_and_unmapped() {
        let extents = Extents::new();
        let mut large = extents.buffer(CUT_BYTES_MAX + 1).expect("memory");
        large[CUT_BYTES_MAX] = 1;
        assert_eq!(extents.inner.lock().mappings.len(), 1);
        let value = large.freeze();
        assert!(extents.owns(&value));
        drop(value);
        assert_eq!(extents.inner.lock().mappings.len(), 0);
        drop(extents.buffer(CUT_BYTES_MAX).expect("memory"));
        assert_eq!(extents.inner.lock().mappings.len(), 1);
    }

    #[test]
    fn what_cannot_be_mapped_is_refused() {
        let extents = Extents::new();
        assert!(extents.buffer(1 << 60).is_none());
        assert!(extents.buffer(usize::MAX).is_none());
        assert!(extents.buffer(0).is_some_and(|buffer| buffer.is_empty()));
    }

    #[test]
    fn random_buffers_keep_what_is_theirs() {
        let extents = Extents::new();
        let mut seed = 1u64;
        let mut below = |n: usize| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) as usize % n
        };
        let mut held: Vec<(u8, Bytes)> = Vec::new();
        for step in 0..4_000 {
            if held.len() == 150 || (!held.is_empty() && below(3) == 0) {
                let (pattern, value) = held.swap_remove(below(held.len()));
                assert!(value.iter().all(|&b| b == pattern), "step {step}");
            } else {
                let bits = 10 + below(11);
                let mut buffer = extents.buffer(1 + below(1 << bits)).expect("memory");
                assert!(buffer.iter().all(|&b| b == 0), "step {step}");
                buffer.fill(step as u8);
                held.push((step as u8, buffer.freeze()));
            }
        }
        let bytes: usize = held.iter().map(|(_, v)| v.len().next_multiple_of(PAGE)).sum();
        assert_eq!(extents.value_bytes(), bytes as u64);
        assert_eq!(resident_pages(&extents) * extents.page_bytes, bytes);
        held.clear();
        assert_eq!((extents.value_bytes(), resident_pages(&extents)), (0, 0));
        // All is one piece again.
        let regions = extents.inner.lock().mappings.len();
        let whole: Vec<_> = (0..4 * regions).map(|_| extents.buffer(REGION_BYTES / 4)).collect();
        assert!(whole.iter().all(Option::is_some));
        assert_eq!(extents.inner.lock().mappings.len(), regions);
    }

    #[test]
    fn several_threads_share_it() {
        let extents = Extents::new();
        let work = |pattern: u8| {
            for i in 0..500usize {
                let value = extents.copy(&vec![pattern; 5000 + 997 * (i % 40)]).expect("memory");
                assert!(value.iter().all(|&b| b == pattern));
            }
        };
        std::thread::scope(|scope| {
            (1..5).for_each(|pattern| drop(scope.spawn(move || work(pattern))));
        });
        assert_eq!((extents.value_bytes(), resident_pages(&extents)), (0, 0));
    }
}
