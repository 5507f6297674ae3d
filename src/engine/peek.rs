//! Asking for memory ahead of the commands that will look at it.

use super::{Key, Shard};
use parking_lot::MutexGuard;

/// A shard that is locked to ask for cache lines and for nothing else: nothing is given up
/// meanwhile that would have to be dropped after it.
pub struct ShardPeek<'a>(pub(super) MutexGuard<'a, Shard>);

impl ShardPeek<'_> {
    /// Before the first round: the leaf of the index that tells where that is.
    #[inline]
    pub fn prefetch_leaf(&self, key: &Key<'_>) {
        self.0.store.prefetch_leaf(key);
    }

    /// First round: the line of the index where a key stands.
    #[inline]
    pub fn prefetch_slot(&self, key: &Key<'_>) {
        self.0.store.prefetch_slot(key);
    }

    /// Second round: the item, where the first has found it.
    #[inline]
    pub fn prefetch_item(&self, key: &Key<'_>) {
        self.0.store.prefetch_item(key);
    }

    /// With that: where the log of the shard goes on, if it records, for so many bytes.
    #[inline]
    pub fn prefetch_log(&self, bytes: usize) {
        self.0.store.prefetch_log(bytes);
    }
}
