//! How the node is, for load balancers and supervisors: healthy while its workers turn, ready
//! while clients should come.

use crate::limits::WORKER_STALL_MS_MAX;
use crate::metrics::{Metrics, NodeFacts};
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
}

impl Health {
    /// Of a node that says this of itself.
    pub(super) fn new(facts: &NodeFacts, metrics: &Metrics, accepting: bool) -> Health {
        let stalled_workers = metrics.stalled(facts.monotonic_nanos, WORKER_STALL_MS_MAX);
        let healthy = stalled_workers.is_empty();
        Health {
            status: if healthy { "ok" } else { "stalled" },
            ready: healthy && accepting && !facts.loading,
            version: facts.version,
            uptime_seconds: facts.uptime_seconds(),
            workers: metrics.worker_count(),
            stalled_workers,
            loading: facts.loading,
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
