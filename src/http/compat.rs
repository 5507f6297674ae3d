//! The `redis_*` families as redis_exporter names them, so that dashboards and alerts made for it
//! work without it. Nothing here is new: each is a native family under another name.

use super::collector::Scrape;
use super::families::Families;
use crate::metrics::NodeFacts;
use prometheus::proto::{MetricFamily, MetricType};

/// All of them.
pub(super) fn families(scrape: &Scrape) -> Vec<MetricFamily> {
    let mut out = Families::new("redis_");
    instance(&mut out, scrape);
    clients(&mut out, scrape);
    memory(&mut out, scrape);
    traffic(&mut out, scrape);
    keyspace(&mut out, scrape);
    commands(&mut out, scrape);
    disk(&mut out, scrape);
    fixed(&mut out);
    out.into_vec()
}

fn instance(out: &mut Families, scrape: &Scrape) {
    let NodeFacts { redis_version, build_id, run_id, os, policy, .. } = &scrape.facts;
    let (port, process) = (scrape.facts.tcp_port.to_string(), scrape.facts.process_id.to_string());
    let labels = [
        ("role", "master"),
        ("redis_version", *redis_version),
        ("redis_build_id", build_id),
        ("redis_mode", if scrape.facts.cluster_enabled { "cluster" } else { "standalone" }),
        ("os", os),
        ("maxmemory_policy", policy),
        ("tcp_port", &port),
        ("run_id", run_id),
        ("process_id", &process),
        ("master_replid", run_id),
    ];
    let help = "Information about the instance, as labels.";
    out.begin("instance_info", help, MetricType::GAUGE).gauge(&labels, 1.0);
    out.gauge("up", "Whether the node answers.", 1.0);
    let uptime = scrape.facts.uptime_seconds() as f64;
    out.gauge("uptime_in_seconds", "Time since the start.", uptime);
    let started = (scrape.facts.started_ms / 1000) as f64;
    out.gauge("start_time_seconds", "Time of the start since the Unix epoch.", started);
    out.gauge("process_id", "Process number.", f64::from(scrape.facts.process_id));
    let loading = f64::from(u8::from(scrape.facts.loading));
    out.gauge("loading_dump_file", "Whether data is being loaded.", loading);
    let enabled = f64::from(u8::from(scrape.facts.cluster_enabled));
    out.gauge("cluster_enabled", "Whether the node is part of a cluster.", enabled);
    out.gauge("slowlog_length", "Commands in the slow log.", scrape.facts.slowlog_len as f64);
    let last = scrape.facts.slowlog_last_id as f64;
    out.gauge("slowlog_last_id", "Number of the latest slow command.", last);
    let seconds = scrape.facts.slowlog_last_micros as f64 / 1e6;
    out.gauge("last_slow_execution_duration_seconds", "Time it took.", seconds);
}

fn clients(out: &mut Families, scrape: &Scrape) {
    let (counted, totals) = (&scrape.counted, &scrape.counted.totals);
    out.gauge("connected_clients", "Connections open.", counted.connections_open as f64);
    let blocked = counted.connections_blocked as f64;
    out.gauge("blocked_clients", "Connections that wait for something.", blocked);
    out.gauge("max_clients", "Most connections allowed.", scrape.facts.max_clients as f64);
    let (input, output) = (counted.input_bytes_max as f64, counted.output_bytes_max as f64);
    out.gauge("client_recent_max_input_buffer_bytes", "The longest query buffer.", input);
    out.gauge("client_recent_max_output_buffer_bytes", "The longest output buffer.", output);
    let accepted = totals.connections_accepted as f64;
    out.counter("connections_received_total", "Connections accepted.", accepted);
    let rejected = totals.connections_rejected as f64;
    out.counter("rejected_connections_total", "Connections turned away.", rejected);
}

fn memory(out: &mut Families, scrape: &Scrape) {
    let used = scrape.sum(|s| s.used_bytes);
    let live = scrape.sum(|s| s.live_bytes).min(used);
    let resident = scrape.process.resident_bytes as f64;
    let buffers = scrape.counted.buffer_bytes as f64;
    let ratio = if used > 0.0 { resident / used } else { 0.0 };
    out.gauge("memory_used_bytes", "Memory the data uses.", used);
    out.gauge("memory_used_rss_bytes", "Resident memory.", resident);
    let peak = scrape.memory_peak_bytes as f64;
    out.gauge("memory_used_peak_bytes", "Most memory the data ever used.", peak);
    out.gauge("memory_used_dataset_bytes", "Memory of live items.", live);
    out.gauge("memory_used_overhead_bytes", "Memory of everything else.", used - live);
    out.gauge("memory_used_startup_bytes", "Memory used at the start.", 0.0);
    let max = scrape.facts.max_memory_bytes as f64;
    out.gauge("memory_max_bytes", "Bound on the memory of the data; 0: none.", max);
    let system = scrape.facts.system_memory_bytes as f64;
    out.gauge("total_system_memory_bytes", "Memory of the machine.", system);
    out.gauge("memory_fragmentation_ratio", "Resident to used memory.", ratio);
    out.gauge("mem_fragmentation_ratio", "Resident to used memory.", ratio);
    out.gauge("mem_clients_normal", "Bytes in the buffers of connections.", buffers);
    out.gauge("allocator_allocated_bytes", "Memory in use.", used + buffers);
    out.gauge("allocator_active_bytes", "Resident memory.", resident);
    out.gauge("allocator_resident_bytes", "Resident memory.", resident);
}

fn traffic(out: &mut Families, scrape: &Scrape) {
    let (process, totals) = (&scrape.process, &scrape.counted.totals);
    let processed = scrape.counted.commands_processed as f64;
    out.counter("commands_processed_total", "Commands executed.", processed);
    out.counter("net_input_bytes_total", "Bytes read from clients.", totals.bytes_in as f64);
    out.counter("net_output_bytes_total", "Bytes written to clients.", totals.bytes_out as f64);
    out.counter("total_reads_processed", "Reads from sockets.", totals.reads as f64);
    out.counter("total_writes_processed", "Writes to sockets.", totals.writes as f64);
    out.counter("cpu_sys_seconds_total", "CPU time in the kernel.", process.cpu_system_seconds);
    out.counter("cpu_user_seconds_total", "CPU time in user mode.", process.cpu_user_seconds);
    let errors = scrape.counted.error_replies() as f64;
    out.counter("total_error_replies", "Errors answered.", errors);
}

fn keyspace(out: &mut Families, scrape: &Scrape) {
    out.counter("keyspace_hits_total", "Reads that found an item.", scrape.sum(|s| s.hits));
    out.counter("keyspace_misses_total", "Reads that found none.", scrape.sum(|s| s.misses));
    let expired = scrape.sum(|s| s.expiries);
    out.counter("expired_keys_total", "Items reclaimed after their deadline.", expired);
    out.counter("evicted_keys_total", "Items evicted.", scrape.sum(|s| s.evictions));
    let db: &[(&str, &str)] = &[("db", "db0")];
    let items = scrape.sum(|s| s.items);
    out.begin("db_keys", "Items.", MetricType::GAUGE).gauge(db, items);
    let deadlines = scrape.sum(|s| s.items_with_deadline);
    let help = "Items that have a deadline.";
    out.begin("db_keys_expiring", help, MetricType::GAUGE).gauge(db, deadlines);
}

fn commands(out: &mut Families, scrape: &Scrape) {
    let used: Vec<_> = scrape.counted.used_commands().collect();
    let mut family = out.begin("commands_total", "Commands executed.", MetricType::COUNTER);
    used.iter().for_each(|(name, c)| family.count(&[("cmd", name)], c.calls as f64));
    let help = "Time spent in commands.";
    let mut family = out.begin("commands_duration_seconds_total", help, MetricType::COUNTER);
    used.iter().for_each(|(name, c)| family.count(&[("cmd", name)], c.nanos as f64 / 1e9));
    let help = "Commands refused before they were executed.";
    let mut family = out.begin("commands_rejected_calls_total", help, MetricType::COUNTER);
    used.iter().for_each(|(name, c)| family.count(&[("cmd", name)], c.rejected as f64));
    let help = "Commands that answered an error.";
    let mut family = out.begin("commands_failed_calls_total", help, MetricType::COUNTER);
    used.iter().for_each(|(name, c)| family.count(&[("cmd", name)], c.failed as f64));
    let mut family = out.begin("errors_total", "Errors answered.", MetricType::COUNTER);
    for (code, count) in &scrape.counted.errors {
        family.count(&[("err", code)], *count as f64);
    }
}

fn disk(out: &mut Families, scrape: &Scrape) {
    let (log, saves) = (&scrape.facts.log, &scrape.facts.saves);
    let flag = |is: bool| f64::from(u8::from(is));
    let is_on = log.policy != "none";
    let well = flag(log.health.reason().is_none());
    let saved = flag(saves.last_error.is_none());
    let saving = flag(saves.in_progress && !saves.rewrite_in_progress);
    let last = saves.last_unix as f64;
    out.gauge("rdb_last_save_timestamp_seconds", "Last snapshot, or the start.", last);
    out.gauge("rdb_last_bgsave_status", "Whether the last snapshot went well.", saved);
    let seconds = saves.last_ms.map_or(-1.0, |ms| ms as f64 / 1000.0);
    if seconds >= 0.0 {
        out.gauge("rdb_last_bgsave_duration_sec", "Time the last snapshot took.", seconds);
    }
    out.gauge("rdb_bgsave_in_progress", "Whether a snapshot is being written.", saving);
    let changes = saves.changes as f64;
    out.gauge("rdb_changes_since_last_save", "Changes since the last snapshot.", changes);
    out.gauge("aof_enabled", "Whether there is a log.", flag(is_on));
    out.gauge("aof_last_write_status", "Whether the log is written.", well);
    let rewriting = flag(saves.rewrite_in_progress);
    out.gauge("aof_rewrite_in_progress", "The same, to make the log shorter.", rewriting);
    out.gauge("aof_last_bgrewrite_status", "Whether the last one went well.", saved);
    if is_on {
        out.gauge("aof_current_size_bytes", "Bytes of the log.", log.bytes as f64);
        out.gauge("aof_base_size_bytes", "Bytes of the snapshot.", saves.last_bytes as f64);
    }
}

/// What a node that stands alone always says.
fn fixed(out: &mut Families) {
    out.gauge("connected_slaves", "Replicas as Redis counts them.", 0.0);
    out.gauge("master_repl_offset", "Offset as Redis counts it.", 0.0);
    out.gauge("tracking_total_keys", "Keys tracked for client-side caching.", 0.0);
    out.gauge("pubsub_channels", "Channels subscribed to.", 0.0);
    out.gauge("pubsub_patterns", "Patterns subscribed to.", 0.0);
}
