//! How the node is, for load balancers and supervisors: healthy while its workers turn, ready
//! while clients should come.

use crate::limits::WORKER_STALL_MS_MAX;
use crate::metrics::{LogHealth, Metrics, NodeFacts};
use serde::Serialize;

/// How the node is.
#[derive(Debug, Serialize)]
pub(super) struct Health {
    status: &'static str,
    ready: bool,
    version: &'static str,
    uptime_seconds: u64,
    workers: usize,
    stalled_workers: Vec<usize>,
    loading: bool,
    log: Log,
}

/// How the log is.
#[derive(Debug, Serialize)]
struct Log {
    policy: &'static str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What happens when it fails.
    on_error: &'static str,
    /// How far loading is.
    #[serde(skip_serializing_if = "Option::is_none")]
    loading: Option<Loading>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot_error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Loading {
    stage: &'static str,
    bytes: u64,
    bytes_total: u64,
}

impl Log {
    fn new(facts: &NodeFacts) -> Log {
        let (log, at) = (&facts.log, facts.log.load);
        let stage = if at.is_applying { "applying" } else { "checking" };
        let loading = Loading { stage, bytes: at.bytes, bytes_total: at.bytes_total };
        Log {
            policy: log.policy,
            state: log.health.name(),
            reason: log.health.reason().map(str::to_owned),
            on_error: log.on_error,
            loading: facts.loading.then_some(loading),
            snapshot_error: facts.saves.last_error.clone(),
        }
    }
}

/// The worst there is to say. A log that fails makes nobody restart the node: what is not on disk
/// would be lost.
fn status(healthy: bool, facts: &NodeFacts) -> &'static str {
    match &facts.log.health {
        _ if !healthy => "stalled",
        LogHealth::Failing(_) => "log_failing",
        LogHealth::GivenUp(_) => "log_given_up",
        LogHealth::Off | LogHealth::Loading | LogHealth::Well if facts.loading => "loading",
        LogHealth::Off | LogHealth::Loading | LogHealth::Well => "ok",
    }
}

impl Health {
    /// Of a node that says this of itself.
    pub(super) fn new(facts: &NodeFacts, metrics: &Metrics, accepting: bool) -> Health {
        let stalled_workers = metrics.stalled(facts.monotonic_nanos, WORKER_STALL_MS_MAX);
        let healthy = stalled_workers.is_empty();
        Health {
            status: status(healthy, facts),
            ready: healthy && accepting && !facts.loading,
            version: facts.version,
            uptime_seconds: facts.uptime_seconds(),
            workers: metrics.worker_count(),
            stalled_workers,
            loading: facts.loading,
            log: Log::new(facts),
        }
    }

    /// Whether a supervisor should leave it alone.
    pub(super) fn is_healthy(&self) -> bool {
        self.stalled_workers.is_empty()
    }

    /// Whether a load balancer should send clients.
    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    /// As JSON.
    pub(super) fn json(&self) -> String {
        // Only numbers and plain strings are in it, which always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }
}
