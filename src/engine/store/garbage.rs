//! What a store has given up: to be dropped where no lock is held, since giving many pages back
//! takes long.

use super::Store;
use crate::engine::extents::Extents;
use bytes::Bytes;
use std::sync::Arc;

/// Values and tables that nobody needs any more.
#[derive(Debug)]
pub struct Garbage {
    list: Vec<Bytes>,
    /// Bytes of big values in it, in whole pages.
    big_bytes: u64,
    extents: Arc<Extents>,
}

impl Store {
    /// Values and tables given up since the last call, to be dropped where no lock is held.
    #[inline]
    pub fn take_garbage(&mut self) -> Option<Garbage> {
        if self.garbage.is_empty() {
            return None;
        }
        let list = std::mem::take(&mut self.garbage);
        Some(Garbage { list, big_bytes: self.bigs.take_leaving(), extents: self.extents.clone() })
    }
}

impl Drop for Garbage {
    fn drop(&mut self) {
        self.list.clear();
        self.extents.freed(self.big_bytes);
    }
}
