//! Tables of zeroes straight from the system: a large one is there at once, and each of its pages
//! is cleared when it is touched first. An allocator may hand out used memory, and then clears all
//! of it under the lock of a shard.

use std::alloc::{Layout, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Rows of `N` words each, zero at first, aligned to pages.
#[derive(Debug)]
pub(in crate::engine::store) struct Zeroed<const N: usize> {
    start: NonNull<[u64; N]>,
    rows: usize,
}

// SAFETY: plain memory owned by this value alone.
unsafe impl<const N: usize> Send for Zeroed<N> {}

impl<const N: usize> Zeroed<N> {
    /// So many rows, at least one. No memory ends the process, as for any allocation.
    pub(in crate::engine::store) fn new(rows: usize) -> Zeroed<N> {
        let rows = rows.max(1);
        let (access, kind) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: an anonymous private mapping at an address of the system's choice.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), Self::bytes_of(rows), access, kind, -1, 0) };
        let mapped = NonNull::new(start.cast()).filter(|_| start != libc::MAP_FAILED);
        let Some(start) = mapped else { handle_alloc_error(Layout::new::<[u64; N]>()) };
        Zeroed { start, rows }
    }

    fn bytes_of(rows: usize) -> usize {
        rows.saturating_mul(size_of::<[u64; N]>())
    }
}

impl<const N: usize> Deref for Zeroed<N> {
    type Target = [[u64; N]];

    #[inline]
    fn deref(&self) -> &[[u64; N]] {
        // SAFETY: `rows` rows are mapped, zeroed by the system or written since, and ours.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.rows) }
    }
}

impl<const N: usize> DerefMut for Zeroed<N> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [[u64; N]] {
        // SAFETY: as for `deref`, and the table is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.rows) }
    }
}

impl<const N: usize> Drop for Zeroed<N> {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length.
        unsafe { libc::munmap(self.start.as_ptr().cast(), Self::bytes_of(self.rows)) };
    }
}

#[cfg(test)]
mod tests {
    use super::Zeroed;

    #[test]
    fn a_table_is_zero_and_keeps_what_is_written() {
        let mut table = Zeroed::<8>::new(10_000);
        assert!(table.len() == 10_000 && table.iter().flatten().all(|&word| word == 0));
        assert_eq!(table.as_ptr().addr() % 64, 0);
        table[9_999][7] = 1;
        assert_eq!(table.iter().flatten().sum::<u64>(), 1);
        assert_eq!(Zeroed::<2>::new(0).len(), 1);
    }
}
