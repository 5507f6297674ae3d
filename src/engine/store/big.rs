//! Big values: immutable reference-counted buffers outside the segments. Knows nothing of keys.

use crate::engine::extents::Extents;
use bytes::Bytes;
use std::sync::Arc;

/// Powers of two that sizes are told apart by.
const SIZES: usize = u64::BITS as usize;

/// The big values of a shard by number.
#[derive(Debug)]
pub(super) struct Bigs {
    list: Vec<Option<Bytes>>,
    free: Vec<u32>,
    /// Bytes of the values in it, in whole pages.
    bytes: u64,
    /// The same, by the power of two below the bytes of each.
    bytes_by_size: [u64; SIZES],
    /// Bytes of what was given up and nobody has taken to drop it.
    leaving: u64,
    extents: Arc<Extents>,
}

impl Bigs {
    pub(super) fn new(extents: Arc<Extents>) -> Bigs {
        let (list, free, bytes_by_size) = (Vec::new(), Vec::new(), [0; SIZES]);
        Bigs { list, free, bytes: 0, bytes_by_size, leaving: 0, extents }
    }

    /// Bytes of those of its values that take `from` bytes or more; some a little smaller count,
    /// too.
    pub(super) fn bytes_from(&self, from: u64) -> u64 {
        self.bytes_by_size[from.max(1).ilog2() as usize..].iter().sum()
    }

    /// Bytes of the values in it, in whole pages: what they take of memory.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What a value of this length takes.
    pub(super) fn bytes_of(&self, len: usize) -> u64 {
        self.extents.value_bytes_of(len)
    }

    /// Keeps a value of the node's extents; its number.
    pub(super) fn insert(&mut self, value: Bytes) -> u32 {
        let bytes = self.bytes_of(value.len());
        self.extents.keep(bytes);
        self.bytes += bytes;
        self.bytes_by_size[bytes.ilog2() as usize] += bytes;
        match self.free.pop() {
            Some(id) => {
                self.list[id as usize] = Some(value);
                id
            }
            None => {
                self.list.push(Some(value));
                self.list.len() as u32 - 1
            }
        }
    }

    /// The value of this number.
    pub(super) fn get(&self, id: u32) -> &Bytes {
        match &self.list[id as usize] {
            Some(bytes) => bytes,
            None => unreachable!("a big value that is not there"),
        }
    }

    /// Bytes given up since the last call, in whole pages.
    pub(super) fn take_leaving(&mut self) -> u64 {
        std::mem::take(&mut self.leaving)
    }

    /// Gives all values up.
    pub(super) fn take_all(&mut self) -> Vec<Bytes> {
        self.extents.let_go(self.bytes);
        self.leaving += self.bytes;
        self.bytes = 0;
        self.bytes_by_size = [0; SIZES];
        self.free.clear();
        std::mem::take(&mut self.list).into_iter().flatten().collect()
    }

    /// Gives a value up: to be dropped where no lock is held.
    pub(super) fn remove(&mut self, id: u32) -> Option<Bytes> {
        let value = self.list[id as usize].take()?;
        let bytes = self.bytes_of(value.len());
        self.extents.let_go(bytes);
        self.leaving += bytes;
        self.bytes -= bytes;
        self.bytes_by_size[bytes.ilog2() as usize] -= bytes;
        self.free.push(id);
        Some(value)
    }
}

impl Drop for Bigs {
    fn drop(&mut self) {
        self.extents.let_go(self.bytes);
        self.extents.freed(self.bytes + self.leaving);
    }
}
