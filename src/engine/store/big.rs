//! Big values: immutable reference-counted buffers outside the segments, counted as long as
//! anybody refers to them. Knows nothing of keys.

use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The big values of a shard by number.
#[derive(Debug)]
pub(super) struct Bigs {
    list: Vec<Option<Bytes>>,
    free: Vec<u32>,
    bytes: u64,
    /// Bytes of all big values of the node that somebody still refers to.
    gauge: Arc<AtomicU64>,
}

/// A buffer that is taken off the gauge when its last reference goes.
struct Counted {
    bytes: Bytes,
    gauge: Arc<AtomicU64>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.gauge.fetch_sub(self.bytes.len() as u64, Ordering::Relaxed);
    }
}

impl Bigs {
    pub(super) fn new(gauge: Arc<AtomicU64>) -> Bigs {
        Bigs { list: Vec::new(), free: Vec::new(), bytes: 0, gauge }
    }

    /// Bytes of the values in it.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Keeps a value; its number.
    pub(super) fn insert(&mut self, bytes: Bytes) -> u32 {
        let len = bytes.len() as u64;
        self.bytes += len;
        self.gauge.fetch_add(len, Ordering::Relaxed);
        let counted = Bytes::from_owner(Counted { bytes, gauge: self.gauge.clone() });
        match self.free.pop() {
            Some(id) => {
                self.list[id as usize] = Some(counted);
                id
            }
            None => {
                self.list.push(Some(counted));
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

    /// Gives all values up.
    pub(super) fn take_all(&mut self) -> Vec<Bytes> {
        self.bytes = 0;
        self.free.clear();
        std::mem::take(&mut self.list).into_iter().flatten().collect()
    }

    /// Gives a value up: to be dropped where no lock is held.
    pub(super) fn remove(&mut self, id: u32) -> Option<Bytes> {
        let bytes = self.list[id as usize].take()?;
        self.bytes -= bytes.len() as u64;
        self.free.push(id);
        Some(bytes)
    }
}
