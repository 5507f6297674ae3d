//! Counters as clients are shown them: since the last CONFIG RESETSTAT, summed and per shard.
//! STATS is here; INFO is next door. Prometheus is not: its counters must never go back.

mod document;

use crate::engine::{Engine, StoreStats};
use crate::metrics::{Metrics, NodeFacts, Process, Rates, Snapshot};
use document::Document;
use parking_lot::Mutex;
use std::sync::Arc;

/// What INFO, STATS and LATENCY read from.
pub struct Statistics {
    engine: Arc<Engine>,
    metrics: Arc<Metrics>,
    /// What CONFIG RESETSTAT hides. Subtracting it here leaves every counter to its one writer.
    baseline: Mutex<Option<Baseline>>,
}

struct Baseline {
    metrics: Snapshot,
    shards: Vec<StoreStats>,
}

/// All numbers at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// What the workers counted since the last reset.
    pub metrics: Snapshot,
    /// Each shard's store, its totals since the last reset.
    pub shards: Vec<StoreStats>,
    /// How fast things go now.
    pub rates: Rates,
    /// The most memory the data ever used.
    pub memory_peak_bytes: u64,
    /// Bytes of big values that no shard keeps: those that come in, and those that only unsent
    /// answers still need.
    pub loose_bytes: u64,
    /// Of these, bytes of values that are not all there yet.
    pub incoming_bytes: u64,
    /// What the kernel says.
    pub process: Process,
}

impl Statistics {
    /// Of this engine and these workers.
    pub fn new(engine: Arc<Engine>, metrics: Arc<Metrics>) -> Statistics {
        Statistics { engine, metrics, baseline: Mutex::new(None) }
    }

    /// The numbers now. Takes each shard's lock in turn, briefly.
    pub fn view(&self) -> View {
        let mut metrics = self.metrics.snapshot();
        let mut shards = self.shards();
        let used_bytes = shards.iter().map(|s| s.used_bytes).sum();
        if let Some(baseline) = &*self.baseline.lock() {
            metrics = metrics.since(&baseline.metrics);
            for (now, then) in shards.iter_mut().zip(&baseline.shards) {
                subtract(now, then);
            }
        }
        View {
            metrics,
            shards,
            rates: self.metrics.rates(),
            memory_peak_bytes: self.metrics.memory_peak(used_bytes),
            loose_bytes: self.engine.loose_bytes(),
            incoming_bytes: self.engine.incoming_bytes(),
            process: Process::now(),
        }
    }

    /// CONFIG RESETSTAT: from here on, count from zero.
    pub fn reset(&self) {
        let baseline = Baseline { metrics: self.metrics.snapshot(), shards: self.shards() };
        *self.baseline.lock() = Some(baseline);
    }

    /// LATENCY HISTOGRAM and INFO commandstats need no shard.
    pub fn snapshot(&self) -> Snapshot {
        let now = self.metrics.snapshot();
        match &*self.baseline.lock() {
            Some(baseline) => now.since(&baseline.metrics),
            None => now,
        }
    }

    fn shards(&self) -> Vec<StoreStats> {
        (0..self.engine.shard_count()).map(|i| self.engine.lock(i).store().stats()).collect()
    }
}

/// Takes away the totals of an earlier state; what tells the state of now stays.
fn subtract(now: &mut StoreStats, then: &StoreStats) {
    now.hits = now.hits.saturating_sub(then.hits);
    now.misses = now.misses.saturating_sub(then.misses);
    now.evictions = now.evictions.saturating_sub(then.evictions);
    now.admissions = now.admissions.saturating_sub(then.admissions);
    now.rejections = now.rejections.saturating_sub(then.rejections);
    now.expiries = now.expiries.saturating_sub(then.expiries);
}

impl View {
    /// The sum of one number over all shards.
    pub fn sum(&self, number: impl Fn(&StoreStats) -> u64) -> u64 {
        self.shards.iter().map(number).sum()
    }
}

/// The share of reads that found an item; `None` without any.
pub fn hit_ratio(hits: u64, misses: u64) -> Option<f64> {
    let reads = hits + misses;
    (reads > 0).then(|| hits as f64 / reads as f64)
}

/// The answer to STATS: one line of JSON.
pub fn json(facts: &NodeFacts, view: &View) -> String {
    // Only numbers and strings are in it, which always have a JSON form.
    serde_json::to_string(&Document::new(facts, view)).unwrap_or_default()
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Statistics, View, hit_ratio, json};
    use crate::engine::{Engine, EngineOptions, StoreStats};
    use crate::metrics::{CommandIndex, Commands, Metrics, NodeFacts, Process, Rates};
    use serde_json::Value;
    use std::sync::Arc;

    pub(in crate::server) const TABLE: Commands = Commands {
        count: 4,
        name: |i| ["get", "set", "info", "config|get"][usize::from(i.0)],
        family: |i| ["get", "set", "server", "server"][usize::from(i.0)],
    };

    /// A node that has done a little, the same every time.
    pub(in crate::server) fn example() -> (NodeFacts, View) {
        let metrics = Metrics::new(1, TABLE);
        let worker = metrics.worker(0);
        worker.calls(CommandIndex(0), 300, 1_000);
        worker.calls(CommandIndex(0), 1, 100_000);
        worker.calls(CommandIndex(1), 20, 2_000);
        worker.rejected(Some(CommandIndex(3)));
        worker.failed(CommandIndex(1));
        worker.error("ERR syntax error");
        worker.error("OOM command not allowed");
        worker.shard_run(1, 2, 321, Some(1_000));
        worker.connections_accepted.add(5);
        worker.connections_open.add(2);
        worker.bytes_in.add(9_000);
        worker.bytes_out.add(7_000);
        worker.reads.add(30);
        worker.writes.add(29);
        worker.buffer_bytes.set(4_096);
        worker.input_bytes_max.raise(20_480);
        let full = StoreStats {
            items: 1_000,
            items_with_deadline: 10,
            hits: 225,
            misses: 75,
            evictions: 4,
            admissions: 6,
            rejections: 2,
            expiries: 3,
            used_bytes: 1_048_576,
            live_bytes: 786_432,
            index_bytes: 16_384,
            big_bytes: 32_768,
            dead_bytes: 65_536,
        };
        let facts = NodeFacts {
            version: "0.1.0",
            redis_version: "7.4.0",
            build_id: "00112233aabbccdd".into(),
            run_id: "0123456789abcdef0123456789abcdef01234567".into(),
            os: "Linux 6.1.0 x86_64".into(),
            process_id: 42,
            executable: "/usr/bin/crabcache".into(),
            tcp_port: 7001,
            started_ms: 1_700_000_000_000,
            now_ms: 1_700_000_090_500,
            monotonic_nanos: 90_500_000_000,
            system_memory_bytes: 8 << 30,
            max_memory_bytes: 6 << 30,
            policy: "allkeys-tinylfu",
            max_clients: 10_000,
            ..NodeFacts::default()
        };
        let (bytes_in_per_sec, bytes_out_per_sec) = (2_048.0, 1_536.0);
        let rates = Rates { ops_per_sec: 123.4, bytes_in_per_sec, bytes_out_per_sec };
        let view = View {
            metrics: metrics.snapshot(),
            shards: vec![StoreStats::default(), full],
            rates,
            memory_peak_bytes: 2_097_152,
            loose_bytes: 24_576,
            incoming_bytes: 4_096,
            process: Process {
                resident_bytes: 4_194_304,
                cpu_user_seconds: 1.5,
                cpu_system_seconds: 0.25,
                ..Process::default()
            },
        };
        (facts, view)
    }

    fn number(value: &Value, path: &str) -> f64 {
        value.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path}: {value}"))
    }

    #[test]
    fn stats_are_json_for_the_node_and_each_shard() {
        let (facts, view) = example();
        let text = json(&facts, &view);
        assert!(!text.contains('\n'));
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["node"]["version"], "0.1.0");
        assert_eq!(number(&value, "/node/uptime_seconds"), 90.0);
        assert_eq!(number(&value, "/global/operations"), 321.0);
        assert_eq!(number(&value, "/global/hit_ratio"), 0.75);
        assert_eq!(number(&value, "/global/memory/used_bytes"), 1_048_576.0);
        assert_eq!(number(&value, "/global/evictions"), 4.0);
        assert_eq!(number(&value, "/node/incoming_bytes"), 4_096.0);
        let p50 = number(&value, "/global/latency_us/p50");
        assert!((1.0..1.0 * 33.0 / 32.0).contains(&p50), "{p50}");
        assert!(number(&value, "/global/latency_us/p99.9") >= 100.0);
        assert_eq!(value["shards"].as_array().unwrap().len(), 2);
        assert_eq!(value["shards"][0]["hit_ratio"], Value::Null);
        assert_eq!(value["shards"][0]["latency_us"], Value::Null);
        for key in ["operations", "hits", "misses", "items", "expiries", "admissions"] {
            assert!(number(&value, &format!("/shards/1/{key}")) > 0.0, "{key}");
        }
        assert!(number(&value, "/shards/1/latency_us/p95") >= 1.0);
        assert_eq!(number(&value, "/shards/1/shard"), 1.0);
        assert_eq!(number(&value, "/commands/get/calls"), 301.0);
        assert_eq!(number(&value, "/commands/config|get/rejected"), 1.0);
        assert_eq!(number(&value, "/errors/OOM"), 1.0);
        assert_eq!(number(&value, "/clients/connected"), 2.0);
        assert_eq!(number(&value, "/network/bytes_in_per_second"), 2_048.0);
    }

    #[test]
    fn a_reset_hides_what_was_before() {
        let engine = Arc::new(Engine::new(&EngineOptions { shards: 2, ..Default::default() }));
        let metrics = Arc::new(Metrics::new(1, TABLE));
        let statistics = Statistics::new(engine, Arc::clone(&metrics));
        metrics.worker(0).calls(CommandIndex(0), 5, 100);
        assert_eq!(statistics.view().metrics.commands_processed, 5);
        statistics.reset();
        metrics.worker(0).calls(CommandIndex(0), 2, 100);
        assert_eq!(statistics.view().metrics.commands_processed, 2);
        assert_eq!(statistics.snapshot().latency().count(), 2);
        assert_eq!(metrics.snapshot().commands_processed, 7);
        assert_eq!(statistics.view().shards.len(), 2);
    }

    #[test]
    fn a_ratio_of_nothing_is_none() {
        assert_eq!(hit_ratio(0, 0), None);
        assert_eq!(hit_ratio(1, 3), Some(0.25));
    }
}
