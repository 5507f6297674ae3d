//! What `/metrics` shows: the native `crabcache_*` families, those of the process, and the
//! `redis_*` ones that dashboards made for redis_exporter read. Sums are taken at a scrape; there
//! is never a label per key or client.

use super::HttpState;
use super::compat;
use super::disk;
use super::families::Families;
use crate::engine::StoreStats;
use crate::metrics::{NodeFacts, Process, Snapshot};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType};
use std::collections::HashMap;
use std::sync::atomic::Ordering;

/// Collects everything about a node.
pub(super) struct NodeCollector {
    state: HttpState,
    /// Stands for all families in the registry, which wants one to know the collector by.
    desc: Desc,
}

/// All numbers of one scrape, totals since the start.
pub(super) struct Scrape {
    /// About the node.
    pub(super) facts: NodeFacts,
    /// What the workers counted.
    pub(super) counted: Snapshot,
    /// Each shard's store.
    pub(super) shards: Vec<StoreStats>,
    /// The most memory the data ever used.
    pub(super) memory_peak_bytes: u64,
    /// Bytes of big values that no shard keeps, and of those that are not all there yet.
    pub(super) loose_bytes: u64,
    pub(super) incoming_bytes: u64,
    /// What the kernel says.
    pub(super) process: Process,
    /// Worker threads.
    pub(super) workers: usize,
    /// Whether clients should come.
    pub(super) ready: bool,
}

impl NodeCollector {
    /// Collects from `state`.
    ///
    /// # Errors
    /// None in practice: the name is a fixed and valid one.
    pub(super) fn new(state: HttpState) -> Result<NodeCollector, prometheus::Error> {
        let help = "Version of CrabCache, as a label".to_owned();
        let desc = Desc::new("crabcache_info".to_owned(), help, Vec::new(), HashMap::new())?;
        Ok(NodeCollector { state, desc })
    }

    fn scrape(&self) -> Scrape {
        let engine = &self.state.engine;
        let shards: Vec<_> =
            (0..engine.shard_count()).map(|i| engine.lock(i).store().stats()).collect();
        let used_bytes = shards.iter().map(|s| s.used_bytes).sum();
        Scrape {
            facts: (self.state.facts)(),
            counted: self.state.metrics.snapshot(),
            shards,
            memory_peak_bytes: self.state.metrics.memory_peak(used_bytes),
            loose_bytes: engine.loose_bytes(),
            incoming_bytes: engine.incoming_bytes(),
            process: Process::now(),
            workers: self.state.metrics.worker_count(),
            ready: self.state.ready.load(Ordering::Acquire),
        }
    }
}

impl Collector for NodeCollector {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let scrape = self.scrape();
        let mut native = Families::new("crabcache_");
        node(&mut native, &scrape);
        connections(&mut native, &scrape);
        items(&mut native, &scrape);
        memory(&mut native, &scrape);
        commands(&mut native, &scrape);
        shards(&mut native, &scrape);
        disk::families(&mut native, &scrape);
        let mut all = native.into_vec();
        let mut process = Families::new("process_");
        kernel(&mut process, &scrape);
        all.append(&mut process.into_vec());
        if self.state.redis_compat {
            all.append(&mut compat::families(&scrape));
        }
        all
    }
}

impl Scrape {
    /// The sum of one number over all shards.
    pub(super) fn sum(&self, number: impl Fn(&StoreStats) -> u64) -> f64 {
        self.shards.iter().map(number).sum::<u64>() as f64
    }
}

fn node(out: &mut Families, scrape: &Scrape) {
    let facts = &scrape.facts;
    let labels = [("version", facts.version), ("policy", facts.policy)];
    out.begin("info", "Version and policy, as labels.", MetricType::GAUGE).gauge(&labels, 1.0);
    out.gauge("uptime_seconds", "Time since the start.", facts.uptime_seconds() as f64);
    out.gauge("ready", "Whether clients should come.", f64::from(u8::from(scrape.ready)));
    out.gauge("loading", "Whether data is being loaded.", f64::from(u8::from(facts.loading)));
    let backup = f64::from(u8::from(facts.backup_in_progress));
    out.gauge("backup_in_progress", "Whether a backup is being made.", backup);
    out.gauge("shards", "Shards of this node.", scrape.shards.len() as f64);
    let active = facts.workers_active as f64;
    out.gauge("workers", "Worker threads.", scrape.workers as f64);
    out.gauge("workers_active", "Workers that serve connections now.", active);
    out.gauge("slowlog_length", "Commands in the slow log.", facts.slowlog_len as f64);
    let upkeep = scrape.counted.totals.upkeep_steps as f64;
    out.counter("upkeep_steps_total", "Bounded steps of upkeep done.", upkeep);
}

fn connections(out: &mut Families, scrape: &Scrape) {
    let (counted, totals) = (&scrape.counted, &scrape.counted.totals);
    out.gauge("connections", "Connections open.", counted.connections_open as f64);
    let blocked = counted.connections_blocked as f64;
    out.gauge("connections_blocked", "Connections that wait for something.", blocked);
    out.gauge("connections_max", "Most connections allowed.", scrape.facts.max_clients as f64);
    let accepted = totals.connections_accepted as f64;
    out.counter("connections_accepted_total", "Connections accepted.", accepted);
    let moved = totals.connections_moved as f64;
    out.counter("connections_moved_total", "Connections that changed their worker.", moved);
    let closed = [
        ("too_many", totals.connections_rejected),
        ("timeout", totals.connections_timed_out),
        ("query_limit", totals.query_overflows),
        ("output_limit", totals.output_overflows),
        ("protocol_error", totals.protocol_errors),
    ];
    let help = "Connections closed by the node, by reason.";
    let mut family = out.begin("connections_closed_total", help, MetricType::COUNTER);
    closed.iter().for_each(|(reason, n)| family.count(&[("reason", reason)], *n as f64));
    out.counter("auth_failures_total", "Wrong passwords.", totals.auth_failures as f64);
    out.counter("bytes_in_total", "Bytes read from clients.", totals.bytes_in as f64);
    out.counter("bytes_out_total", "Bytes written to clients.", totals.bytes_out as f64);
    out.counter("reads_total", "Reads from sockets.", totals.reads as f64);
    out.counter("writes_total", "Writes to sockets.", totals.writes as f64);
    let help = "Runs of commands executed in one go.";
    out.counter("batches_total", help, totals.batches as f64);
    let buffers = counted.buffer_bytes as f64;
    out.gauge("connection_buffer_bytes", "Bytes in the buffers of connections.", buffers);
}

fn items(out: &mut Families, scrape: &Scrape) {
    out.gauge("items", "Items, dead but unreclaimed ones included.", scrape.sum(|s| s.items));
    let deadlines = scrape.sum(|s| s.items_with_deadline);
    out.gauge("items_with_deadline", "Items that have a deadline.", deadlines);
    let max = scrape.facts.max_items as f64;
    out.gauge("items_max", "Bound on the number of items; 0: none.", max);
    out.counter("hits_total", "Reads that found an item.", scrape.sum(|s| s.hits));
    out.counter("misses_total", "Reads that found none.", scrape.sum(|s| s.misses));
    let evictions = scrape.sum(|s| s.evictions);
    out.counter("evictions_total", "Items evicted to make room.", evictions);
    let admissions = scrape.sum(|s| s.admissions);
    out.counter("admissions_total", "Candidates let into the main region.", admissions);
    let rejections = scrape.sum(|s| s.rejections);
    out.counter("rejections_total", "Candidates turned away.", rejections);
    let expiries = scrape.sum(|s| s.expiries);
    out.counter("expiries_total", "Items reclaimed after their deadline.", expiries);
}

fn memory(out: &mut Families, scrape: &Scrape) {
    let max = scrape.facts.max_memory_bytes as f64;
    out.gauge("memory_max_bytes", "Bound on the memory of the data; 0: none.", max);
    out.gauge("memory_used_bytes", "Memory the data uses.", scrape.sum(|s| s.used_bytes));
    let peak = scrape.memory_peak_bytes as f64;
    out.gauge("memory_peak_bytes", "Most memory the data ever used, as far as seen.", peak);
    let help = "Big values that no shard keeps: coming in, or needed by unsent answers only.";
    out.gauge("memory_loose_bytes", help, scrape.loose_bytes as f64);
    let help = "Of these, values that have begun to come in and are not all there yet.";
    out.gauge("memory_incoming_bytes", help, scrape.incoming_bytes as f64);
    let kinds = [
        ("live", scrape.sum(|s| s.live_bytes)),
        ("index", scrape.sum(|s| s.index_bytes)),
        ("big", scrape.sum(|s| s.big_bytes)),
        ("dead", scrape.sum(|s| s.dead_bytes)),
    ];
    let help = "Memory of the data by what it holds; kinds overlap.";
    let mut family = out.begin("memory_bytes", help, MetricType::GAUGE);
    kinds.iter().for_each(|(kind, bytes)| family.gauge(&[("kind", kind)], *bytes));
}

fn commands(out: &mut Families, scrape: &Scrape) {
    let used: Vec<_> = scrape.counted.used_commands().collect();
    let help = "Commands executed.";
    let mut family = out.begin("commands_total", help, MetricType::COUNTER);
    used.iter().for_each(|(name, c)| family.count(&[("command", name)], c.calls as f64));
    let totals = &scrape.counted.totals;
    let forwarded = totals.commands_forwarded as f64;
    out.counter("commands_forwarded_total", "Commands sent on to other nodes.", forwarded);
    let of_others = totals.commands_of_others as f64;
    out.counter("commands_of_others_total", "Commands done for other nodes.", of_others);
    let help = "Commands that answered an error.";
    let mut family = out.begin("commands_failed_total", help, MetricType::COUNTER);
    used.iter().for_each(|(name, c)| family.count(&[("command", name)], c.failed as f64));
    let help = "Commands refused before they were executed.";
    let mut family = out.begin("commands_rejected_total", help, MetricType::COUNTER);
    used.iter().for_each(|(name, c)| family.count(&[("command", name)], c.rejected as f64));
    let help = "Time commands took, by family of commands.";
    let mut family = out.begin("command_duration_seconds", help, MetricType::HISTOGRAM);
    for (name, latency) in &scrape.counted.latency_by_family() {
        family.latency(&[("family", name)], latency);
    }
    let mut family = out.begin("errors_total", "Errors answered, by code.", MetricType::COUNTER);
    for (code, count) in &scrape.counted.errors {
        family.count(&[("code", code)], *count as f64);
    }
}

fn shards(out: &mut Families, scrape: &Scrape) {
    let numbers: Vec<_> = (0..scrape.shards.len()).map(|i| i.to_string()).collect();
    let labelled = || numbers.iter().zip(&scrape.shards);
    let mut family = out.begin("shard_items", "Items of each shard.", MetricType::GAUGE);
    labelled().for_each(|(i, s)| family.gauge(&[("shard", i)], s.items as f64));
    let help = "Memory the data of each shard uses.";
    let mut family = out.begin("shard_memory_used_bytes", help, MetricType::GAUGE);
    labelled().for_each(|(i, s)| family.gauge(&[("shard", i)], s.used_bytes as f64));
    let help = "Commands executed on each shard.";
    let mut family = out.begin("shard_operations_total", help, MetricType::COUNTER);
    for (i, shard) in numbers.iter().zip(&scrape.counted.shards) {
        family.count(&[("shard", i)], shard.operations as f64);
    }
}

fn kernel(out: &mut Families, scrape: &Scrape) {
    let process = &scrape.process;
    let cpu = process.cpu_user_seconds + process.cpu_system_seconds;
    out.counter("cpu_seconds_total", "CPU time used.", cpu);
    let resident = process.resident_bytes as f64;
    out.gauge("resident_memory_bytes", "Resident memory.", resident);
    out.gauge("virtual_memory_bytes", "Mapped memory.", process.virtual_bytes as f64);
    out.gauge("open_fds", "Open files and sockets.", process.open_files as f64);
    out.gauge("max_fds", "Most of them allowed.", process.open_files_max as f64);
    out.gauge("threads", "Threads.", process.threads as f64);
    let started = scrape.facts.started_ms as f64 / 1000.0;
    out.gauge("start_time_seconds", "Time of the start since the Unix epoch.", started);
}
