//! What a benchmark found, as a table for people and as JSON for programs.

use super::error::BenchError;
use super::latency::Latency;
use super::pace::Arrivals;
use super::replay::{Hits, Replayed};
use super::tally::{ErrorText, KindTally};
use super::team::Measured;
use super::trace::Format;
use serde::Serialize;

/// Shorter phases say nothing about who was busy: starting and ending weigh too much.
const BUSY_SECONDS_MIN: f64 = 0.5;
/// A generator busier than this share of its threads may be what limits the result.
const BUSY_SHARE: f64 = 0.9;

/// A whole benchmark.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) server: String,
    /// Of generated load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) settings: Option<Settings>,
    pub(super) phases: Vec<PhaseReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trace: Option<TraceReport>,
}

/// The load that was asked for.
#[derive(Debug, Serialize)]
pub(super) struct Settings {
    pub(super) connections: usize,
    pub(super) threads: usize,
    pub(super) pipeline: usize,
    pub(super) keys: u64,
    pub(super) key_size: usize,
    pub(super) value_size: String,
    pub(super) distribution: String,
    pub(super) reads: f64,
    pub(super) ttl_seconds: Option<String>,
    /// Of an open loop.
    pub(super) rate: Option<f64>,
    pub(super) arrivals: Option<Arrivals>,
    pub(super) seed: u64,
}

/// One phase.
#[derive(Debug, Serialize)]
pub(super) struct PhaseReport {
    pub(super) name: &'static str,
    pub(super) seconds: f64,
    pub(super) all: KindReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) get: Option<KindReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) set: Option<KindReport>,
    /// Due in an open loop, but never sent, for want of room.
    pub(super) unsent: u64,
    pub(super) unanswered: u64,
    /// Warm-up included, like `received_bytes`.
    pub(super) sent_bytes: u64,
    pub(super) received_bytes: u64,
    pub(super) generator_cpu_us_per_request: f64,
    /// CPU time of the generator per thread and second.
    pub(super) generator_busy: f64,
    pub(super) server_cpu_us_per_request: Option<f64>,
    pub(super) errors: Vec<ErrorText>,
    pub(super) warnings: Vec<String>,
    /// Why it ended early, if it did.
    pub(super) failure: Option<String>,
}

/// Requests of one kind; times in microseconds.
#[derive(Debug, Serialize)]
pub(super) struct KindReport {
    pub(super) requests: u64,
    pub(super) requests_per_second: f64,
    pub(super) errors: u64,
    pub(super) misses: u64,
    pub(super) mean_us: f64,
    pub(super) p50_us: f64,
    pub(super) p95_us: f64,
    pub(super) p99_us: f64,
    pub(super) p999_us: f64,
    pub(super) max_us: f64,
}

/// A replayed trace.
#[derive(Debug, Serialize)]
pub(super) struct TraceReport {
    pub(super) file: String,
    pub(super) format: Format,
    pub(super) window: usize,
    pub(super) accesses: u64,
    pub(super) hits: u64,
    pub(super) hit_ratio: f64,
    /// Weighted by the trace's own sizes, where it has them.
    pub(super) byte_hit_ratio: Option<f64>,
}

impl Report {
    /// Why it ended early, if it did.
    pub(super) fn failure(&self) -> Option<&str> {
        self.phases.iter().find_map(|phase| phase.failure.as_deref())
    }
}

impl PhaseReport {
    /// Sums a phase up.
    pub(super) fn new(name: &'static str, threads: usize, measured: &Measured) -> PhaseReport {
        let Measured { tally, elapsed_nanos, .. } = measured;
        let seconds = *elapsed_nanos as f64 / 1e9;
        let mut both = tally.get.clone();
        both.merge(&tally.set);
        let all = KindReport::new(&both, seconds);
        let per_request = |nanos: u64| nanos as f64 / 1e3 / all.requests.max(1) as f64;
        let some =
            |kind: &KindTally| (kind.latency.count() > 0).then(|| KindReport::new(kind, seconds));
        let mut report = PhaseReport {
            name,
            seconds,
            get: some(&tally.get),
            set: some(&tally.set),
            unsent: tally.unsent,
            unanswered: tally.unanswered,
            sent_bytes: tally.sent_bytes,
            received_bytes: tally.received_bytes,
            generator_cpu_us_per_request: per_request(measured.own_cpu_nanos),
            generator_busy: measured.own_cpu_nanos as f64
                / (*elapsed_nanos as f64 * threads as f64),
            server_cpu_us_per_request: measured.server_cpu_nanos.map(per_request),
            errors: tally.errors.clone(),
            warnings: Vec::new(),
            failure: measured.failure.as_ref().map(BenchError::to_string),
            all,
        };
        report.warnings = report.warnings();
        report
    }

    /// What keeps the numbers from meaning what they seem to.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.generator_busy > BUSY_SHARE && self.seconds > BUSY_SECONDS_MIN {
            let percent = self.generator_busy * 100.0;
            warnings.push(format!(
                "the generator's threads were {percent:.0} % busy: the server may be faster \
                 than this; try more --threads"
            ));
        }
        if self.unsent > 0 {
            warnings.push(format!(
                "{} requests were due but found no room on any connection: the server did not \
                 keep up with the rate; latencies do not contain them",
                self.unsent
            ));
        }
        if self.unanswered > 0 {
            warnings.push(format!("{} requests were never answered", self.unanswered));
        }
        if self.name == "run"
            && self.get.as_ref().is_some_and(|get| get.misses + get.errors == get.requests)
        {
            warnings.push("no GET found its key: --fill writes them all first".to_owned());
        }
        warnings
    }
}

impl KindReport {
    fn new(kind: &KindTally, seconds: f64) -> KindReport {
        let latency: &Latency = &kind.latency;
        let quantile = |quantile| latency.quantile_nanos(quantile) as f64 / 1e3;
        KindReport {
            requests: latency.count(),
            requests_per_second: latency.count() as f64 / seconds,
            errors: kind.errors,
            misses: kind.misses,
            mean_us: latency.mean_nanos() / 1e3,
            p50_us: quantile(0.5),
            p95_us: quantile(0.95),
            p99_us: quantile(0.99),
            p999_us: quantile(0.999),
            max_us: latency.max_nanos() as f64 / 1e3,
        }
    }
}

impl TraceReport {
    /// Sums a replay up.
    pub(super) fn new(file: String, window: usize, replayed: &Replayed) -> TraceReport {
        let Hits { accesses, hits, accessed_bytes, hit_bytes } = replayed.hits;
        TraceReport {
            file,
            format: replayed.format,
            window,
            accesses,
            hits,
            hit_ratio: hits as f64 / accesses.max(1) as f64,
            byte_hit_ratio: (accessed_bytes > 0).then(|| hit_bytes as f64 / accessed_bytes as f64),
        }
    }
}
