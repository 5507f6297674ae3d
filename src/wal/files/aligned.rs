//! Bytes that begin where direct writes want it. Knows no file.

use crate::limits::WAL_BLOCK_BYTES;
use std::ops::{Deref, DerefMut};

/// Bytes whose place in memory is a multiple of [`WAL_BLOCK_BYTES`]; zeros at first.
#[derive(Debug)]
pub struct AlignedBytes {
    /// Never grows, so that it stays where it is.
    space: Box<[u8]>,
    start: usize,
    bytes: usize,
}

impl AlignedBytes {
    /// So many zeros, rounded up to whole blocks.
    pub fn zeroed(bytes: usize) -> AlignedBytes {
        let bytes = bytes.next_multiple_of(WAL_BLOCK_BYTES);
        let space = vec![0; bytes + WAL_BLOCK_BYTES].into_boxed_slice();
        let start = space.as_ptr().align_offset(WAL_BLOCK_BYTES);
        assert!(start < WAL_BLOCK_BYTES, "memory can be aligned");
        AlignedBytes { space, start, bytes }
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.space[self.start..self.start + self.bytes]
    }
}

impl DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.space[self.start..self.start + self.bytes]
    }
}

#[cfg(test)]
mod tests {
    use super::AlignedBytes;

    #[test]
    fn whole_blocks_at_a_whole_place() {
        for (asked, bytes) in [(0, 0), (1, 4096), (4096, 4096), (4097, 8192)] {
            let mut aligned = AlignedBytes::zeroed(asked);
            assert_eq!(aligned.len(), bytes);
            assert_eq!(aligned.as_ptr() as usize % 4096, 0);
            aligned.fill(1);
            assert!(aligned.iter().all(|&byte| byte == 1));
        }
    }
}
