//! The HTTP listener seen from a client: pages, status codes, the form of the metrics.

use super::{HttpServer, HttpState, serve};
use crate::engine::{Engine, EngineOptions};
use crate::limits::{HTTP_CONNECTIONS_MAX, HTTP_HEAD_BYTES_MAX};
use crate::metrics::{CommandIndex, Commands, Metrics, NodeFacts};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const TABLE: Commands = Commands {
    count: 3,
    name: |i| ["get", "set", "config|get"][usize::from(i.0)],
    family: |i| ["get", "set", "server"][usize::from(i.0)],
};

/// A node without workers behind a real listener.
struct Node {
    server: HttpServer,
    metrics: Arc<Metrics>,
    ready: Arc<AtomicBool>,
    seconds: Arc<AtomicU64>,
}

impl Node {
    fn start(redis_compat: bool) -> Node {
        let metrics = Arc::new(Metrics::new(2, TABLE));
        let ready = Arc::new(AtomicBool::new(true));
        let seconds = Arc::new(AtomicU64::new(1));
        let now = Arc::clone(&seconds);
        let facts = move || NodeFacts {
            version: "0.1.0",
            redis_version: "7.4.0",
            os: "Linux \"odd\\name\" x86_64".into(),
            policy: "allkeys-tinylfu",
            now_ms: now.load(Ordering::Relaxed) * 1000,
            monotonic_nanos: now.load(Ordering::Relaxed) * 1_000_000_000,
            ..NodeFacts::default()
        };
        let state = HttpState {
            engine: Arc::new(Engine::new(&EngineOptions { shards: 4, ..Default::default() })),
            metrics: Arc::clone(&metrics),
            facts: Arc::new(facts),
            ready: Arc::clone(&ready),
            redis_compat,
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Node { server: serve(listener, state).unwrap(), metrics, ready, seconds }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.server.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Status, head and body of what is answered to `method path`.
    fn ask(&self, method: &str, path: &str) -> (u16, String, String) {
        let mut stream = self.connect();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        read_answer(&mut stream)
    }

    fn get(&self, path: &str) -> (u16, String) {
        let (status, _, body) = self.ask("GET", path);
        (status, body)
    }
}

fn read_answer(stream: &mut TcpStream) -> (u16, String, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

#[test]
fn health_follows_the_workers_and_ready_the_node() {
    let node = Node::start(false);
    let (status, head, body) = node.ask("GET", "/health");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/json"), "{head}");
    let value: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((value["status"].as_str(), value["workers"].as_u64()), (Some("ok"), Some(2)));
    assert_eq!(node.get("/ready").0, 200);

    node.ready.store(false, Ordering::Release);
    assert_eq!((node.get("/health").0, node.get("/health/live").0), (200, 200));
    let (status, body) = node.get("/ready");
    let value: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, value["ready"].as_bool()), (503, Some(false)));

    node.ready.store(true, Ordering::Release);
    node.seconds.store(60, Ordering::Relaxed);
    node.metrics.worker(0).beat(59_000_000_000);
    let (status, body) = node.get("/health");
    let value: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, value["status"].as_str()), (503, Some("stalled")));
    assert_eq!(value["stalled_workers"], serde_json::json!([1]));
    assert_eq!(node.get("/health/ready").0, 503);
}

#[test]
fn other_paths_and_methods_are_refused() {
    let node = Node::start(false);
    assert_eq!(node.get("/").0, 404);
    assert_eq!(node.get("/metrics/x").0, 404);
    assert_eq!(node.ask("POST", "/metrics").0, 405);
    assert_eq!(node.ask("DELETE", "/health").0, 405);
    assert_eq!(node.ask("HEAD", "/health").0, 200);
}

#[test]
fn a_long_head_is_refused() {
    let node = Node::start(false);
    let mut stream = node.connect();
    let long = "x".repeat(HTTP_HEAD_BYTES_MAX * 2);
    // The answer may come, and the connection close, before all of it is sent.
    let _ = write!(stream, "GET /health HTTP/1.1\r\nHost: x\r\nA: {long}\r\n\r\n");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    assert_eq!(node.get("/health").0, 200);
}

#[test]
fn for_a_connection_beyond_the_bound_the_idlest_makes_way() {
    let node = Node::start(false);
    let mut idle: Vec<_> = (0..HTTP_CONNECTIONS_MAX).map(|_| node.connect()).collect();
    // All places are taken once each of these has been answered.
    for stream in &mut idle {
        write!(stream, "GET /ready HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        stream.read_exact(&mut [0; 15]).unwrap();
    }
    // The first is not the idlest any more.
    write!(idle[0], "GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut rest = String::new();
    idle[0].read_to_string(&mut rest).unwrap();
    assert!(rest.contains("HTTP/1.1 200"));
    idle[0] = node.connect();
    // Nor need they ever have asked for anything.
    let silent: Vec<_> = (0..2 * HTTP_CONNECTIONS_MAX).map(|_| node.connect()).collect();
    assert_eq!(node.get("/health").0, 200);
    drop(silent);
}

#[test]
fn stopping_closes_the_port_and_open_connections() {
    let node = Node::start(false);
    let address = node.server.address();
    let mut open = node.connect();
    write!(open, "GET /ready HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    open.read_exact(&mut [0; 15]).unwrap();
    node.server.stop();
    assert!(TcpStream::connect(address).is_err());
    let mut rest = Vec::new();
    open.read_to_end(&mut rest).unwrap();
}

/// One sample line: its name, its labels as written, its value.
fn sample(line: &str) -> (String, String, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{line}");
    assert!(labels.ends_with('}'), "{line}");
    (name.to_owned(), labels.trim_end_matches('}').to_owned(), value)
}

/// Every series with its value; the form of each line and family is checked on the way.
fn parse(text: &str) -> BTreeMap<(String, String), f64> {
    let mut kinds = BTreeMap::new();
    let mut helped = BTreeSet::new();
    let mut series = BTreeMap::new();
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').unwrap();
            assert!(helped.insert(name) && !text.is_empty(), "{line}");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(kinds.insert(name, kind).is_none(), "twice: {line}");
        } else {
            let (name, labels, value) = sample(line);
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|s| name.strip_suffix(s));
            let family = base.filter(|b| kinds.get(b) == Some(&"histogram")).unwrap_or(&name);
            assert!(kinds.contains_key(family) && helped.contains(family), "{line}");
            assert!(value.is_finite() && value >= 0.0, "{line}");
            assert!(series.insert((name, labels), value).is_none(), "twice: {line}");
        }
    }
    series
}

fn busy(node: &Node) {
    let (first, second) = (node.metrics.worker(0), node.metrics.worker(1));
    first.batch(&[(CommandIndex(0), 90), (CommandIndex(1), 10)], 800);
    second.calls(CommandIndex(0), 1, 3_000_000);
    second.rejected(Some(CommandIndex(2)));
    second.error("WRONGPASS invalid");
    first.connections_accepted.add(3);
    first.connections_open.add(3);
    second.connections_rejected.add(1);
    first.bytes_in.add(12_345);
    first.shard_run(2, 4, 100, Some(800));
}

#[test]
fn metrics_are_prometheus_text() {
    let node = Node::start(true);
    busy(&node);
    let (status, head, body) = node.ask("GET", "/metrics");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    let series = parse(&body);
    let value = |name: &str, labels: &str| {
        let key = (name.to_owned(), labels.to_owned());
        *series.get(&key).unwrap_or_else(|| panic!("{name}{{{labels}}} is not in\n{body}"))
    };
    assert_eq!(value("crabcache_commands_total", "command=\"get\""), 91.0);
    assert_eq!(value("crabcache_commands_rejected_total", "command=\"config|get\""), 1.0);
    assert_eq!(value("crabcache_connections", ""), 3.0);
    assert_eq!(value("crabcache_connections_closed_total", "reason=\"too_many\""), 1.0);
    assert_eq!(value("crabcache_errors_total", "code=\"WRONGPASS\""), 1.0);
    assert_eq!(value("crabcache_shard_operations_total", "shard=\"2\""), 100.0);
    let duration = "crabcache_command_duration_seconds";
    assert_eq!(value(&format!("{duration}_count"), "family=\"get\""), 91.0);
    let bucket =
        |le: &str| value(&format!("{duration}_bucket"), &format!("family=\"get\",le={le}"));
    assert_eq!((bucket("\"0.0000005\""), bucket("\"0.000001\"")), (0.0, 90.0));
    assert_eq!((bucket("\"0.001\""), bucket("\"0.005\""), bucket("\"+Inf\"")), (90.0, 91.0, 91.0));
    assert!(value("process_resident_memory_bytes", "") > 0.0);
    assert!(body.contains(r#"os="Linux \"odd\\name\" x86_64""#));
    assert_eq!(parse(&node.get("/metrics").1).len(), series.len());
}

#[test]
fn buckets_only_grow() {
    let node = Node::start(false);
    busy(&node);
    let body = node.get("/metrics").1;
    let mut last: Option<(String, f64)> = None;
    for line in body.lines().filter(|l| l.contains("_bucket{")) {
        let (_, labels, value) = sample(line);
        let family = labels.split(',').next().unwrap_or_default().to_owned();
        if let Some((before, count)) = &last {
            assert!(*before != family || *count <= value, "{line}");
        }
        last = Some((family, value));
    }
    assert!(last.is_some());
}

/// What the stock dashboards and alerts made for redis_exporter read.
const DASHBOARD: [&str; 24] = [
    "redis_up",
    "redis_uptime_in_seconds",
    "redis_connected_clients",
    "redis_blocked_clients",
    "redis_connected_slaves",
    "redis_memory_used_bytes",
    "redis_memory_max_bytes",
    "redis_memory_used_rss_bytes",
    "redis_memory_fragmentation_ratio",
    "redis_commands_total",
    "redis_commands_processed_total",
    "redis_commands_duration_seconds_total",
    "redis_net_input_bytes_total",
    "redis_net_output_bytes_total",
    "redis_keyspace_hits_total",
    "redis_keyspace_misses_total",
    "redis_expired_keys_total",
    "redis_evicted_keys_total",
    "redis_db_keys",
    "redis_db_keys_expiring",
    "redis_total_system_memory_bytes",
    "redis_instance_info",
    "redis_start_time_seconds",
    "redis_connections_received_total",
];

#[test]
fn dashboards_for_redis_exporter_find_their_names() {
    let node = Node::start(true);
    busy(&node);
    let names: BTreeSet<_> = parse(&node.get("/metrics").1).into_keys().map(|(n, _)| n).collect();
    for name in DASHBOARD {
        assert!(names.contains(name), "{name}");
    }
    let plain = Node::start(false).get("/metrics").1;
    assert!(!plain.contains("redis_"));
}
