//! What the log counts, for who looks at it from outside.

use crate::limits::{LOG_LATENCY_GROUPING, WAL_SYNC_SLOW_MS};
use crate::metrics::Recorder;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts for metrics and INFO.
#[derive(Debug, Default)]
pub struct Figures {
    /// How long syncs took.
    pub sync_latency: Recorder<LOG_LATENCY_GROUPING>,
    /// Syncs that took long.
    pub slow_syncs: AtomicU64,
    /// Segments, the one at hand included.
    pub segments: AtomicU64,
    /// Bytes of the log.
    pub log_bytes: AtomicU64,
    /// Bytes of frames written.
    pub written_bytes: AtomicU64,
    /// Syncs.
    pub syncs: AtomicU64,
    /// Errors of writes and syncs.
    pub errors: AtomicU64,
    /// Bytes taken from the shards and not synced yet.
    pub unsynced_bytes: AtomicU64,
}

impl Figures {
    /// A sync took so long.
    pub(super) fn synced(&self, nanos: u64) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.sync_latency.record(nanos, 1);
        if nanos > WAL_SYNC_SLOW_MS * 1_000_000 {
            self.slow_syncs.fetch_add(1, Ordering::Relaxed);
        }
    }
}
