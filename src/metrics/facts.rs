//! What a node says about itself beside its counters: plain values, the same for INFO, STATS and
//! HTTP, put together by whoever knows them.

use super::{LogFacts, SaveFacts};

/// A node that keeps copies of what this one leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FollowerFacts {
    /// Where clients reach it.
    pub host: String,
    /// Its port there.
    pub port: u16,
    /// Records that it has not acknowledged.
    pub lag_records: u64,
    /// How old the oldest of them is.
    pub lag_ms: u64,
}

/// Facts about a node at one moment.
#[derive(Clone, Debug, Default)]
pub struct NodeFacts {
    /// Version of CrabCache.
    pub version: &'static str,
    /// The version of Redis that clients are told.
    pub redis_version: &'static str,
    /// Which build this is, 16 hexadecimal digits.
    pub build_id: String,
    /// 40 hexadecimal digits, new at every start.
    pub run_id: String,
    /// The system, as `uname -srm` gives it.
    pub os: String,
    /// Process number.
    pub process_id: u32,
    /// Path of the program.
    pub executable: String,
    /// Path of the configuration file; empty when there is none.
    pub config_file: String,
    /// Port of the data listener.
    pub tcp_port: u16,
    /// Milliseconds since the Unix epoch when the node started.
    pub started_ms: u64,
    /// Milliseconds since the Unix epoch now.
    pub now_ms: u64,
    /// The same by the wall clock, which may be set meanwhile.
    pub unix_ms: u64,
    /// Monotonic nanoseconds now, of the clock that workers take their beats from.
    pub monotonic_nanos: u64,
    /// Memory of the machine in bytes.
    pub system_memory_bytes: u64,
    /// Bound on the memory of the data; 0: none.
    pub max_memory_bytes: u64,
    /// Bound on the number of items; 0: none.
    pub max_items: u64,
    /// The eviction policy, by name.
    pub policy: &'static str,
    /// How many workers serve connections now.
    pub workers_active: u64,
    /// Most connections.
    pub max_clients: u64,
    /// Whether data is still being loaded.
    pub loading: bool,
    /// How saving stands.
    pub saves: SaveFacts,
    /// How the log stands.
    pub log: LogFacts,
    /// Whether a backup is being made.
    pub backup_in_progress: bool,
    /// Whether the node is part of a cluster.
    pub cluster_enabled: bool,
    /// Records of what it leads in the cluster.
    pub records: u64,
    /// The nodes that keep copies of that.
    pub followers: Vec<FollowerFacts>,
    /// Commands in the slow log now.
    pub slowlog_len: u64,
    /// Number of the latest one; 0 before the first.
    pub slowlog_last_id: u64,
    /// How long the latest one took, in microseconds; 0 before the first.
    pub slowlog_last_micros: u64,
}

impl NodeFacts {
    /// Whole seconds since the start.
    pub fn uptime_seconds(&self) -> u64 {
        self.now_ms.saturating_sub(self.started_ms) / 1000
    }
}
