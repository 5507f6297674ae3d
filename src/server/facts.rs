//! What the node says about itself: version, address, age, settings in force.

use super::Server;
use crate::clock;
use crate::config::Config;
use crate::metrics::{
    FollowerFacts, LogFacts, LogHealth, NodeFacts, RecoveryFacts, system_memory_bytes, system_name,
};
use crate::wal::log::LogState;
use cluster::node::NodeId;
use cluster::replication::Lag;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Version of CrabCache.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The version of Redis that clients are told, since some refuse anything else.
pub(super) const REDIS_VERSION: &str = "7.4.0";

/// What does not change while a node runs.
#[derive(Clone, Debug)]
pub struct Identity {
    run_id: String,
    build_id: String,
    os: String,
    executable: String,
    started_ms: u64,
    started_nanos: u64,
    address: SocketAddr,
    config_file: Option<PathBuf>,
}

impl Identity {
    /// Of a node that starts now, listens there and has read its settings from that file.
    pub fn new(address: SocketAddr, config_file: Option<&Path>) -> Identity {
        let chance: String = (0..3).map(|_| format!("{:016x}", clock::random_u64())).collect();
        let executable = std::env::current_exe().unwrap_or_default();
        Identity {
            run_id: chance[..40].to_owned(),
            build_id: format!("{:016x}", fnv(VERSION.as_bytes())),
            os: system_name(),
            executable: executable.display().to_string(),
            started_ms: clock::now().0,
            started_nanos: clock::monotonic_nanos(),
            address,
            // The whole path, as Redis says it.
            config_file: config_file
                .map(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned())),
        }
    }
}

impl Server {
    /// Records of what this node leads, and who keeps copies of it.
    fn followers(&self) -> (u64, Vec<FollowerFacts>) {
        let Some(copies) = self.shared.others.copies.get() else { return Default::default() };
        let (records, nodes) = copies.behind();
        let view = self.shared.views.get();
        let facts = |(node, lag): (NodeId, Lag)| {
            let at = view.as_ref().and_then(|view| view.reached(node, 0));
            let (host, port) = at.map(|at| (at.host.clone(), at.port)).unwrap_or_default();
            FollowerFacts { host, port, lag_records: lag.records, lag_ms: lag.ms }
        };
        let nodes = nodes.into_iter().filter(|(_, lag)| lag.groups > 0);
        (records, nodes.map(facts).collect())
    }

    /// What the node says about itself now.
    pub fn facts(&self) -> NodeFacts {
        let identity = &self.identity;
        let monotonic_nanos = clock::monotonic_nanos();
        let since_ms = monotonic_nanos.saturating_sub(identity.started_nanos) / 1_000_000;
        let current = self.current.lock();
        let config = &current.config;
        let latest = self.shared.slowlog.latest(1).pop();
        let (records, followers) = self.followers();
        NodeFacts {
            version: VERSION,
            redis_version: REDIS_VERSION,
            build_id: identity.build_id.clone(),
            run_id: identity.run_id.clone(),
            os: identity.os.clone(),
            process_id: std::process::id(),
            executable: identity.executable.clone(),
            config_file: identity
                .config_file
                .as_ref()
                .map_or_else(String::new, |path| path.display().to_string()),
            tcp_port: identity.address.port(),
            started_ms: identity.started_ms,
            // Not the wall clock: setting that must not make the node look younger.
            now_ms: identity.started_ms + since_ms,
            unix_ms: clock::now().0,
            monotonic_nanos,
            system_memory_bytes: system_memory_bytes(),
            max_memory_bytes: config.memory.max_bytes().unwrap_or(0),
            max_items: config.memory.items_bound().unwrap_or(0),
            policy: config.memory.policy_in_force().name(),
            workers_active: self.shared.load.active() as u64,
            max_clients: config.server.max_clients as u64,
            loading: self.shared.notice.word().is_loading(),
            saves: self.save_facts(),
            cluster_enabled: self.shared.views.is_on(),
            records,
            followers,
            log: self.log_facts(&current.config),
            backup_in_progress: self.backups.is_busy(),
            slowlog_len: self.shared.slowlog.len() as u64,
            slowlog_last_id: latest.as_ref().map_or(0, |entry| entry.id),
            slowlog_last_micros: latest.as_ref().map_or(0, |entry| entry.micros),
        }
    }

    /// What the start read, and how long that took.
    pub fn set_recovery(&self, found: RecoveryFacts) {
        *self.recovery.lock() = Some(found);
    }

    fn log_facts(&self, config: &Config) -> LogFacts {
        let shared = &self.shared;
        let recovery = *self.recovery.lock();
        let load = shared.metrics.load.get();
        let on_error = config.wal.on_error.name();
        let facts = LogFacts { recovery, load, on_error, ..LogFacts::default() };
        let Some(log) = &shared.log else { return facts };
        let figures = log.figures();
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LogFacts {
            policy: log.policy().name(),
            health: match log.state() {
                LogState::Failing(reason) => LogHealth::Failing(reason),
                LogState::GivenUp(reason) => LogHealth::GivenUp(reason),
                LogState::Well if shared.notice.word().is_loading() => LogHealth::Loading,
                LogState::Well => LogHealth::Well,
            },
            written_bytes: number(&figures.written_bytes),
            syncs: number(&figures.syncs),
            slow_syncs: number(&figures.slow_syncs),
            errors: number(&figures.errors),
            unsynced_bytes: number(&figures.unsynced_bytes),
            waiting_bytes: shared.engine.log_bytes(),
            segments: number(&figures.segments),
            bytes: number(&figures.log_bytes),
            sync_latency: figures.sync_latency.distribution(),
            ..facts
        }
    }

    /// Where the node listens.
    pub fn address(&self) -> SocketAddr {
        self.identity.address
    }

    /// The file it was started from.
    pub(super) fn config_file(&self) -> Option<&Path> {
        self.identity.config_file.as_deref()
    }

    /// Seconds since the Unix epoch when it started.
    pub(super) fn started_seconds(&self) -> u64 {
        self.identity.started_ms / 1000
    }
}

/// FNV-1a, for a short name of a text.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
