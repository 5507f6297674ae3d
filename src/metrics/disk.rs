//! What a node says about what it keeps on disk: the log, saving, and what the last start read.
//! Plain values; only [`LoadMeter`] is shared. Knows no file.

use super::Distribution;
use crate::limits::LOG_LATENCY_GROUPING;
use std::sync::atomic::{AtomicU64, Ordering};

/// How the log stands.
#[derive(Clone, Debug)]
pub struct LogFacts {
    /// `wal.policy`.
    pub policy: &'static str,
    /// `wal.on_error`.
    pub on_error: &'static str,
    /// How it is.
    pub health: LogHealth,
    /// Bytes of frames written since the start.
    pub written_bytes: u64,
    /// Syncs since the start.
    pub syncs: u64,
    /// Syncs that took long.
    pub slow_syncs: u64,
    /// Errors of writes and syncs since the start.
    pub errors: u64,
    /// Bytes taken from the shards and not on disk yet.
    pub unsynced_bytes: u64,
    /// Bytes that wait in the shards to be written.
    pub waiting_bytes: u64,
    /// Segments, the one at hand included.
    pub segments: u64,
    /// Bytes of the log, the segment at hand up to where it is written.
    pub bytes: u64,
    /// How long syncs took.
    pub sync_latency: Distribution,
    /// What the start read; `None` before its end, and without a data directory.
    pub recovery: Option<RecoveryFacts>,
    /// How far the start is.
    pub load: LoadFacts,
}

impl Default for LogFacts {
    fn default() -> LogFacts {
        LogFacts {
            policy: "none",
            on_error: "read_only",
            health: LogHealth::Off,
            written_bytes: 0,
            syncs: 0,
            slow_syncs: 0,
            errors: 0,
            unsynced_bytes: 0,
            waiting_bytes: 0,
            segments: 0,
            bytes: 0,
            sync_latency: Distribution::new(LOG_LATENCY_GROUPING),
            recovery: None,
            load: LoadFacts::default(),
        }
    }
}

/// How the log is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LogHealth {
    /// There is none.
    #[default]
    Off,
    /// The data is still being read.
    Loading,
    /// It is written.
    Well,
    /// It cannot be written, for this reason; it is tried again and again.
    Failing(String),
    /// It could not be written, and the node goes on without.
    GivenUp(String),
}

impl LogHealth {
    /// One word for it.
    pub fn name(&self) -> &'static str {
        match self {
            LogHealth::Off => "off",
            LogHealth::Loading => "loading",
            LogHealth::Well => "ok",
            LogHealth::Failing(_) => "failing",
            LogHealth::GivenUp(_) => "given_up",
        }
    }

    /// Why it is not well.
    pub fn reason(&self) -> Option<&str> {
        match self {
            LogHealth::Off | LogHealth::Loading | LogHealth::Well => None,
            LogHealth::Failing(reason) | LogHealth::GivenUp(reason) => Some(reason),
        }
    }
}

/// What a start read from disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecoveryFacts {
    /// How long it took.
    pub millis: u64,
    /// Records of the log that were applied.
    pub records: u64,
    /// Items there were then.
    pub items: u64,
}

/// How saving to disk stands.
#[derive(Clone, Debug, Default)]
pub struct SaveFacts {
    /// Seconds since the Unix epoch of the last save, or of the start before the first.
    pub last_unix: u64,
    /// Whether there is a save at all.
    pub is_there: bool,
    /// Changes since then; 0 where nobody counts them.
    pub changes: u64,
    /// Whether a save is going on.
    pub in_progress: bool,
    /// Whether that is to make the log shorter.
    pub rewrite_in_progress: bool,
    /// Whether another such waits.
    pub rewrite_scheduled: bool,
    /// Seconds the one at hand has taken; `None` without one.
    pub current_seconds: Option<u64>,
    /// Milliseconds the last one took; `None` before the first.
    pub last_ms: Option<u64>,
    /// Why the last one failed.
    pub last_error: Option<String>,
    /// How many were written since the start.
    pub count: u64,
    /// How many of them to make the log shorter.
    pub rewrites: u64,
    /// Bytes of the last one; 0 before the first.
    pub last_bytes: u64,
}

/// How far a start is with reading the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadFacts {
    /// Whether records are being applied yet; before that they are looked through.
    pub is_applying: bool,
    /// Bytes read in this stage.
    pub bytes: u64,
    /// Bytes to be read in this stage; 0 while that is not known.
    pub bytes_total: u64,
}

/// Where the one who loads tells how far it is.
#[derive(Debug, Default)]
pub struct LoadMeter {
    applying: AtomicU64,
    bytes: AtomicU64,
    bytes_total: AtomicU64,
}

impl LoadMeter {
    /// That far.
    pub fn set(&self, at: LoadFacts) {
        self.applying.store(u64::from(at.is_applying), Ordering::Relaxed);
        self.bytes.store(at.bytes, Ordering::Relaxed);
        self.bytes_total.store(at.bytes_total, Ordering::Relaxed);
    }

    /// How far it is.
    pub fn get(&self) -> LoadFacts {
        LoadFacts {
            is_applying: self.applying.load(Ordering::Relaxed) != 0,
            bytes: self.bytes.load(Ordering::Relaxed),
            bytes_total: self.bytes_total.load(Ordering::Relaxed),
        }
    }
}
