//! The shape of STATS: plain structures that become its JSON. Counts nothing.

use super::{View, hit_ratio};
use crate::engine::StoreStats;
use crate::metrics::{CommandTotals, Distribution, NodeFacts, ShardTotals, Snapshot};
use serde::Serialize;
use std::collections::BTreeMap;

/// The whole answer.
#[derive(Serialize)]
pub(super) struct Document<'a> {
    node: Node<'a>,
    global: Part,
    clients: Clients,
    network: Network,
    commands: BTreeMap<&'static str, Command>,
    errors: &'a BTreeMap<Box<str>, u64>,
    shards: Vec<Part>,
}

#[derive(Serialize)]
struct Node<'a> {
    version: &'a str,
    run_id: &'a str,
    process_id: u32,
    port: u16,
    uptime_seconds: u64,
    policy: &'a str,
    max_memory_bytes: u64,
    max_items: u64,
    memory_peak_bytes: u64,
    loose_bytes: u64,
    incoming_bytes: u64,
    resident_bytes: u64,
    cpu_user_seconds: f64,
    cpu_system_seconds: f64,
    operations_per_second: f64,
}

/// The whole node or one shard.
#[derive(Serialize)]
struct Part {
    #[serde(skip_serializing_if = "Option::is_none")]
    shard: Option<usize>,
    operations: u64,
    hits: u64,
    misses: u64,
    hit_ratio: Option<f64>,
    latency_us: Option<Latency>,
    items: u64,
    items_with_deadline: u64,
    memory: Memory,
    evictions: u64,
    admissions: u64,
    rejections: u64,
    expiries: u64,
}

#[derive(Serialize)]
struct Latency {
    p50: f64,
    p95: f64,
    p99: f64,
    #[serde(rename = "p99.9")]
    p99_9: f64,
    mean: f64,
}

#[derive(Serialize)]
struct Memory {
    used_bytes: u64,
    live_bytes: u64,
    index_bytes: u64,
    big_bytes: u64,
    dead_bytes: u64,
}

#[derive(Serialize)]
struct Clients {
    connected: u64,
    blocked: u64,
    accepted: u64,
    rejected: u64,
    timed_out: u64,
    query_overflows: u64,
    output_overflows: u64,
    protocol_errors: u64,
    auth_failures: u64,
    buffer_bytes: u64,
}

#[derive(Serialize)]
struct Network {
    bytes_in: u64,
    bytes_out: u64,
    bytes_in_per_second: f64,
    bytes_out_per_second: f64,
}

#[derive(Serialize)]
struct Command {
    calls: u64,
    failed: u64,
    rejected: u64,
    latency_us: Option<Latency>,
}

impl<'a> Document<'a> {
    /// Of this node and these numbers.
    pub(super) fn new(facts: &'a NodeFacts, view: &'a View) -> Document<'a> {
        let counted = &view.metrics;
        let commands = counted.used_commands().map(|(name, c)| (name, Command::new(c))).collect();
        let unseen = ShardTotals::default();
        let runs = |i: usize| counted.shards.get(i).unwrap_or(&unseen);
        let shards = view.shards.iter().enumerate();
        Document {
            node: Node::new(facts, view),
            global: Part::global(view),
            clients: Clients::new(counted),
            network: Network::new(view),
            commands,
            errors: &counted.errors,
            shards: shards.map(|(i, stats)| Part::shard(i, stats, runs(i))).collect(),
        }
    }
}

impl<'a> Node<'a> {
    fn new(facts: &'a NodeFacts, view: &View) -> Node<'a> {
        Node {
            version: facts.version,
            run_id: &facts.run_id,
            process_id: facts.process_id,
            port: facts.tcp_port,
            uptime_seconds: facts.uptime_seconds(),
            policy: facts.policy,
            max_memory_bytes: facts.max_memory_bytes,
            max_items: facts.max_items,
            memory_peak_bytes: view.memory_peak_bytes,
            loose_bytes: view.loose_bytes,
            incoming_bytes: view.incoming_bytes,
            resident_bytes: view.process.resident_bytes,
            cpu_user_seconds: view.process.cpu_user_seconds,
            cpu_system_seconds: view.process.cpu_system_seconds,
            operations_per_second: view.rates.ops_per_sec,
        }
    }
}

impl Part {
    fn global(view: &View) -> Part {
        let all = StoreStats {
            items: view.sum(|s| s.items),
            items_with_deadline: view.sum(|s| s.items_with_deadline),
            hits: view.sum(|s| s.hits),
            misses: view.sum(|s| s.misses),
            evictions: view.sum(|s| s.evictions),
            admissions: view.sum(|s| s.admissions),
            rejections: view.sum(|s| s.rejections),
            expiries: view.sum(|s| s.expiries),
            used_bytes: view.sum(|s| s.used_bytes),
            live_bytes: view.sum(|s| s.live_bytes),
            index_bytes: view.sum(|s| s.index_bytes),
            big_bytes: view.sum(|s| s.big_bytes),
            dead_bytes: view.sum(|s| s.dead_bytes),
        };
        Part::new(None, &all, view.metrics.commands_processed, &view.metrics.latency())
    }

    fn shard(number: usize, stats: &StoreStats, runs: &ShardTotals) -> Part {
        Part::new(Some(number), stats, runs.operations, &runs.latency)
    }

    fn new(
        shard: Option<usize>,
        stats: &StoreStats,
        operations: u64,
        latency: &Distribution,
    ) -> Part {
        Part {
            shard,
            operations,
            hits: stats.hits,
            misses: stats.misses,
            hit_ratio: hit_ratio(stats.hits, stats.misses),
            latency_us: Latency::new(latency),
            items: stats.items,
            items_with_deadline: stats.items_with_deadline,
            memory: Memory {
                used_bytes: stats.used_bytes,
                live_bytes: stats.live_bytes,
                index_bytes: stats.index_bytes,
                big_bytes: stats.big_bytes,
                dead_bytes: stats.dead_bytes,
            },
            evictions: stats.evictions,
            admissions: stats.admissions,
            rejections: stats.rejections,
            expiries: stats.expiries,
        }
    }
}

impl Latency {
    /// `None` when nothing was measured.
    fn new(latency: &Distribution) -> Option<Latency> {
        let count = latency.count();
        let micros = |quantile| latency.quantile(quantile) as f64 / 1000.0;
        (count > 0).then(|| Latency {
            p50: micros(0.5),
            p95: micros(0.95),
            p99: micros(0.99),
            p99_9: micros(0.999),
            mean: (latency.sum() / count) as f64 / 1000.0,
        })
    }
}

impl Clients {
    fn new(counted: &Snapshot) -> Clients {
        let totals = &counted.totals;
        Clients {
            connected: counted.connections_open,
            blocked: counted.connections_blocked,
            accepted: totals.connections_accepted,
            rejected: totals.connections_rejected,
            timed_out: totals.connections_timed_out,
            query_overflows: totals.query_overflows,
            output_overflows: totals.output_overflows,
            protocol_errors: totals.protocol_errors,
            auth_failures: totals.auth_failures,
            buffer_bytes: counted.buffer_bytes,
        }
    }
}

impl Network {
    fn new(view: &View) -> Network {
        Network {
            bytes_in: view.metrics.totals.bytes_in,
            bytes_out: view.metrics.totals.bytes_out,
            bytes_in_per_second: view.rates.bytes_in_per_sec,
            bytes_out_per_second: view.rates.bytes_out_per_sec,
        }
    }
}

impl Command {
    fn new(command: &CommandTotals) -> Command {
        Command {
            calls: command.calls,
            failed: command.failed,
            rejected: command.rejected,
            latency_us: Latency::new(&command.latency),
        }
    }
}
