//! Settings of what a node keeps on disk: where, how surely, for how long. Knows no file.

use super::ConfigError;
use super::value::Words;
use std::path::PathBuf;
use std::time::Duration;

/// Where a node keeps what outlives it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// The directory; empty: data lives in memory only.
    pub dir: PathBuf,
}

/// The write-ahead log and the snapshots.
#[derive(Clone, Debug, PartialEq)]
pub struct Wal {
    /// When a write counts as done.
    pub policy: WalPolicy,
    /// Longest time between two syncs under [`WalPolicy::Async`]; above zero.
    pub interval: Duration,
    /// What happens when the log cannot be written.
    pub on_error: OnError,
    /// Bytes of a log file, header included.
    pub segment_bytes: u64,
    /// Bytes that wait to be written at most; writers wait when there are more.
    pub buffer_bytes: u64,
    /// Age of the oldest record at which a snapshot makes the log before it needless; zero: never.
    pub wal_ttl: Duration,
    /// Age at which a snapshot is replaced by another, if anything changed; zero: never.
    pub snapshot_ttl: Duration,
    /// Bytes a second that snapshots may write; 0: no bound.
    pub snapshot_rate: u64,
}

impl Default for Wal {
    fn default() -> Wal {
        Wal {
            policy: WalPolicy::None,
            interval: Duration::from_secs(1),
            on_error: OnError::ReadOnly,
            segment_bytes: 64 << 20,
            buffer_bytes: 64 << 20,
            wal_ttl: Duration::from_secs(7 * 24 * 3600),
            snapshot_ttl: Duration::from_secs(24 * 3600),
            snapshot_rate: 64 << 20,
        }
    }
}

impl Wal {
    /// Whether these settings go together.
    ///
    /// # Errors
    /// A log without a place for it, or one that would never be synced.
    pub(super) fn check(&self, data: &Data) -> Result<(), ConfigError> {
        if self.policy != WalPolicy::None && data.dir.as_os_str().is_empty() {
            let reason = "wal.policy other than \"none\" needs data.dir, a directory for the log";
            return Err(ConfigError::Together { reason: reason.into() });
        }
        if self.interval.is_zero() {
            let reason = "wal.interval is 0s, expected a longer time; for a sync before every \
                          reply, wal.policy = \"sync\"";
            return Err(ConfigError::Together { reason: reason.into() });
        }
        Ok(())
    }
}

/// When a write counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WalPolicy {
    /// When it is in memory; there is no log.
    #[default]
    None,
    /// When it is in memory; the log follows within the interval.
    Async,
    /// When the log that holds it is on disk.
    Sync,
}

/// What happens when the log cannot be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// Writes are refused until it can be written again.
    #[default]
    ReadOnly,
    /// The node stops.
    Stop,
    /// The node goes on as if there were no log.
    ContinueWithoutWal,
}

impl WalPolicy {
    /// Its word.
    pub fn name(self) -> &'static str {
        WalPolicy::WORDS.iter().find(|(_, policy)| *policy == self).map_or("", |(name, _)| name)
    }
}

impl OnError {
    /// Its word.
    pub fn name(self) -> &'static str {
        OnError::WORDS.iter().find(|(_, what)| *what == self).map_or("", |(name, _)| name)
    }
}

impl Words for WalPolicy {
    const WORDS: &'static [(&'static str, WalPolicy)] =
        &[("none", WalPolicy::None), ("async", WalPolicy::Async), ("sync", WalPolicy::Sync)];
}

impl Words for OnError {
    const WORDS: &'static [(&'static str, OnError)] = &[
        ("read_only", OnError::ReadOnly),
        ("stop", OnError::Stop),
        ("continue_without_wal", OnError::ContinueWithoutWal),
    ];
}
