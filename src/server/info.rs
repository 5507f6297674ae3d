//! INFO: the text that clients, exporters and consoles read, with the field names of Redis 7.
//! Pure: writes what it is given, and knows neither engine nor sockets.

mod persistence;

use super::stats::{View, hit_ratio};
use crate::metrics::NodeFacts;
use persistence::persistence;
use std::fmt::{Display, Write};

/// What INFO tells.
#[derive(Clone, Copy, Debug)]
pub struct InfoInput<'a> {
    /// About the node.
    pub facts: &'a NodeFacts,
    /// Its counters.
    pub view: &'a View,
}

/// A section of INFO.
struct Section {
    /// As it is asked for.
    name: &'static str,
    /// As it is headed.
    title: &'static str,
    /// Whether it comes without being asked for.
    is_default: bool,
    write: fn(&mut Text, &InfoInput<'_>),
}

/// All sections, in the order they are written.
const SECTIONS: [Section; 14] = [
    Section { name: "server", title: "Server", is_default: true, write: server },
    Section { name: "clients", title: "Clients", is_default: true, write: clients },
    Section { name: "memory", title: "Memory", is_default: true, write: memory },
    Section { name: "persistence", title: "Persistence", is_default: true, write: persistence },
    Section { name: "stats", title: "Stats", is_default: true, write: stats },
    Section { name: "replication", title: "Replication", is_default: true, write: replication },
    Section { name: "cpu", title: "CPU", is_default: true, write: cpu },
    Section { name: "modules", title: "Modules", is_default: true, write: |_, _| {} },
    Section { name: "commandstats", title: "Commandstats", is_default: false, write: commandstats },
    Section { name: "errorstats", title: "Errorstats", is_default: true, write: errorstats },
    Section { name: "latencystats", title: "Latencystats", is_default: false, write: latencystats },
    Section { name: "cluster", title: "Cluster", is_default: true, write: cluster },
    Section { name: "keyspace", title: "Keyspace", is_default: true, write: keyspace },
    Section { name: "crabcache", title: "CrabCache", is_default: false, write: crabcache },
];

/// The text of the sections asked for, which may be `default`, `all`, `everything` or names in
/// any case; of the default ones when none is. Unknown names add nothing.
pub fn render<'n>(input: &InfoInput<'_>, names: impl Iterator<Item = &'n [u8]>) -> String {
    let wanted = wanted(names);
    let mut text = Text(String::with_capacity(8 * 1024));
    for (section, _) in SECTIONS.iter().zip(wanted).filter(|(_, wanted)| *wanted) {
        text.heading(section.title);
        (section.write)(&mut text, input);
    }
    text.0
}

fn wanted<'n>(names: impl Iterator<Item = &'n [u8]>) -> [bool; SECTIONS.len()] {
    let mut wanted = [false; SECTIONS.len()];
    let mut any = false;
    for name in names {
        any = true;
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        let (all, default) = (is("all") || is("everything"), is("default"));
        for (wanted, section) in wanted.iter_mut().zip(&SECTIONS) {
            let other = if section.name == "modules" { "module_list" } else { section.name };
            *wanted |= all || default && section.is_default || is(section.name) || is(other);
        }
    }
    if any { wanted } else { SECTIONS.map(|section| section.is_default) }
}

/// INFO text under construction: lines end in CR LF, sections are an empty line apart.
struct Text(String);

impl Text {
    fn heading(&mut self, title: &str) {
        let gap = if self.0.is_empty() { "" } else { "\r\n" };
        self.line(format_args!("{gap}# {title}"));
    }

    fn line(&mut self, line: impl Display) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{line}\r\n");
    }

    fn field(&mut self, name: &str, value: impl Display) {
        self.line(format_args!("{name}:{value}"));
    }

    /// A number of bytes, and the same for people.
    fn bytes(&mut self, name: &str, bytes: u64) {
        self.field(name, bytes);
        self.line(format_args!("{name}_human:{}", human(bytes)));
    }

    /// Fields that never change here, such as those of what CrabCache does not have. They are
    /// there because somebody's parser expects them.
    fn fixed(&mut self, fields: &str) {
        fields.split_ascii_whitespace().for_each(|field| self.line(field));
    }
}

/// A number of bytes as people read it, in Redis's way.
fn human(bytes: u64) -> String {
    let (mut size, mut unit) = (bytes as f64, 0);
    while size >= 1024.0 && unit < 5 {
        size /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes}B")
    } else {
        format!("{size:.2}{}", ["", "K", "M", "G", "T", "P"][unit])
    }
}

/// `a / b`, and 0 where that is nothing.
fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 0.0 }
}

fn server(text: &mut Text, input: &InfoInput<'_>) {
    let facts = input.facts;
    text.field("redis_version", facts.redis_version);
    text.fixed("redis_git_sha1:00000000 redis_git_dirty:0");
    text.field("redis_build_id", &facts.build_id);
    text.field("redis_mode", if facts.cluster_enabled { "cluster" } else { "standalone" });
    text.field("server_name", "crabcache");
    text.field("crabcache_version", facts.version);
    text.field("os", &facts.os);
    text.field("arch_bits", usize::BITS);
    text.field("monotonic_clock", "POSIX clock_gettime");
    text.fixed("multiplexing_api:epoll atomicvar_api:c11-builtin gcc_version:0.0.0");
    text.field("process_id", facts.process_id);
    text.field("process_supervised", "no");
    text.field("run_id", &facts.run_id);
    text.field("tcp_port", facts.tcp_port);
    text.field("server_time_usec", facts.now_ms * 1000);
    text.field("uptime_in_seconds", facts.uptime_seconds());
    text.field("uptime_in_days", facts.uptime_seconds() / 86_400);
    text.fixed("hz:10 configured_hz:10");
    text.field("lru_clock", (facts.now_ms / 1000) & 0x00ff_ffff);
    text.field("executable", &facts.executable);
    text.field("config_file", &facts.config_file);
    text.fixed("io_threads_active:0");
    text.field("workers_active", facts.workers_active);
}

fn clients(text: &mut Text, input: &InfoInput<'_>) {
    let counted = &input.view.metrics;
    text.field("connected_clients", counted.connections_open);
    text.fixed("cluster_connections:0");
    text.field("maxclients", input.facts.max_clients);
    text.field("client_recent_max_input_buffer", counted.input_bytes_max);
    text.field("client_recent_max_output_buffer", counted.output_bytes_max);
    text.field("blocked_clients", counted.connections_blocked);
    text.fixed(
        "tracking_clients:0 pubsub_clients:0 watching_clients:0 clients_in_timeout_table:0 \
         total_watched_keys:0 total_blocking_keys:0 total_blocking_keys_on_nokey:0",
    );
}

fn memory(text: &mut Text, input: &InfoInput<'_>) {
    let (facts, view) = (input.facts, input.view);
    let used = view.sum(|s| s.used_bytes);
    let live = view.sum(|s| s.live_bytes).min(used);
    let resident = view.process.resident_bytes;
    let peak = view.memory_peak_bytes.max(used);
    let percent = |part: u64, whole: u64| ratio(part as f64 * 100.0, whole as f64);
    text.bytes("used_memory", used);
    text.bytes("used_memory_rss", resident);
    text.bytes("used_memory_peak", peak);
    text.field("used_memory_peak_perc", format_args!("{:.2}%", percent(used, peak)));
    text.field("used_memory_overhead", used - live);
    text.fixed("used_memory_startup:0");
    text.field("used_memory_dataset", live);
    text.field("used_memory_dataset_perc", format_args!("{:.2}%", percent(live, used)));
    let allocated = used + view.metrics.buffer_bytes;
    text.field("allocator_allocated", allocated);
    text.field("allocator_active", resident);
    text.field("allocator_resident", resident);
    text.bytes("total_system_memory", facts.system_memory_bytes);
    text.fixed(
        "used_memory_lua:0 used_memory_vm_eval:0 used_memory_lua_human:0B \
         used_memory_scripts_eval:0 number_of_cached_scripts:0 number_of_functions:0 \
         number_of_libraries:0 used_memory_vm_functions:0 used_memory_vm_total:0 \
         used_memory_vm_total_human:0B used_memory_functions:0 used_memory_scripts:0 \
         used_memory_scripts_human:0B",
    );
    text.bytes("maxmemory", facts.max_memory_bytes);
    text.field("maxmemory_policy", facts.policy);
    fragmentation(text, used, allocated, resident);
    text.fixed("mem_not_counted_for_evict:0 mem_replication_backlog:0");
    text.fixed("mem_total_replication_buffers:0 mem_clients_slaves:0");
    text.field("mem_clients_normal", view.metrics.buffer_bytes);
    text.fixed("mem_cluster_links:0 mem_aof_buffer:0 mem_allocator:mimalloc");
    text.fixed("active_defrag_running:0 lazyfree_pending_objects:0 lazyfreed_objects:0");
}

fn fragmentation(text: &mut Text, used: u64, allocated: u64, resident: u64) {
    let over = |part: u64| (i128::from(resident) - i128::from(part)).to_string();
    let times = |part: u64| format!("{:.2}", ratio(resident as f64, part as f64));
    text.field("allocator_frag_ratio", times(allocated));
    text.field("allocator_frag_bytes", over(allocated));
    text.fixed("allocator_rss_ratio:1.00 allocator_rss_bytes:0");
    text.fixed("rss_overhead_ratio:1.00 rss_overhead_bytes:0");
    text.field("mem_fragmentation_ratio", times(used));
    text.field("mem_fragmentation_bytes", over(used));
}

fn stats(text: &mut Text, input: &InfoInput<'_>) {
    let view = input.view;
    let (totals, rates) = (&view.metrics.totals, &view.rates);
    let kib = |bytes: f64| format!("{:.2}", bytes / 1024.0);
    text.field("total_connections_received", totals.connections_accepted);
    text.field("total_commands_processed", view.metrics.commands_processed);
    text.field("instantaneous_ops_per_sec", rates.ops_per_sec.round());
    text.field("total_net_input_bytes", totals.bytes_in);
    text.field("total_net_output_bytes", totals.bytes_out);
    text.fixed("total_net_repl_input_bytes:0 total_net_repl_output_bytes:0");
    text.field("instantaneous_input_kbps", kib(rates.bytes_in_per_sec));
    text.field("instantaneous_output_kbps", kib(rates.bytes_out_per_sec));
    text.fixed("instantaneous_input_repl_kbps:0.00 instantaneous_output_repl_kbps:0.00");
    text.field("rejected_connections", totals.connections_rejected);
    text.fixed("sync_full:0 sync_partial_ok:0 sync_partial_err:0");
    text.field("expired_keys", view.sum(|s| s.expiries));
    text.fixed("expired_stale_perc:0.00 expired_time_cap_reached_count:0");
    text.fixed("expire_cycle_cpu_milliseconds:0");
    text.field("evicted_keys", view.sum(|s| s.evictions));
    text.fixed("evicted_clients:0 total_eviction_exceeded_time:0");
    text.fixed("current_eviction_exceeded_time:0");
    text.field("keyspace_hits", view.sum(|s| s.hits));
    text.field("keyspace_misses", view.sum(|s| s.misses));
    text.fixed(
        "pubsub_channels:0 pubsub_patterns:0 pubsubshard_channels:0 latest_fork_usec:0 \
         total_forks:0 migrate_cached_sockets:0 slave_expires_tracked_keys:0 \
         active_defrag_hits:0 active_defrag_misses:0 active_defrag_key_hits:0 \
         active_defrag_key_misses:0 total_active_defrag_time:0 current_active_defrag_time:0 \
         tracking_total_keys:0 tracking_total_items:0 tracking_total_prefixes:0 \
         unexpected_error_replies:0",
    );
    text.field("total_error_replies", view.metrics.error_replies());
    text.fixed("dump_payload_sanitizations:0");
    text.field("total_reads_processed", totals.reads);
    text.field("total_writes_processed", totals.writes);
    text.fixed("io_threaded_reads_processed:0 io_threaded_writes_processed:0");
    text.field("client_query_buffer_limit_disconnections", totals.query_overflows);
    text.field("client_output_buffer_limit_disconnections", totals.output_overflows);
    text.fixed("reply_buffer_shrinks:0 reply_buffer_expands:0 eventloop_cycles:0");
    text.field("acl_access_denied_auth", totals.auth_failures);
    text.fixed("acl_access_denied_cmd:0 acl_access_denied_key:0 acl_access_denied_channel:0");
}

fn replication(text: &mut Text, input: &InfoInput<'_>) {
    let facts = input.facts;
    text.fixed("role:master");
    text.field("connected_slaves", facts.followers.len());
    for (i, of) in facts.followers.iter().enumerate() {
        let offset = facts.records.saturating_sub(of.lag_records);
        text.line(format_args!(
            "slave{i}:ip={},port={},state=online,offset={offset},lag={}",
            of.host,
            of.port,
            of.lag_ms / 1000
        ));
    }
    text.fixed("master_failover_state:no-failover");
    text.field("master_replid", &facts.run_id);
    text.fixed("master_replid2:0000000000000000000000000000000000000000");
    text.field("master_repl_offset", facts.records);
    text.fixed(
        "second_repl_offset:-1 repl_backlog_active:0 repl_backlog_size:0 \
         repl_backlog_first_byte_offset:0 repl_backlog_histlen:0",
    );
}

fn cpu(text: &mut Text, input: &InfoInput<'_>) {
    let process = &input.view.process;
    text.field("used_cpu_sys", format_args!("{:.6}", process.cpu_system_seconds));
    text.field("used_cpu_user", format_args!("{:.6}", process.cpu_user_seconds));
    text.fixed("used_cpu_sys_children:0.000000 used_cpu_user_children:0.000000");
}

fn commandstats(text: &mut Text, input: &InfoInput<'_>) {
    for (name, command) in input.view.metrics.used_commands() {
        let micros = command.nanos / 1000;
        let mean = ratio(command.nanos as f64 / 1000.0, command.calls as f64);
        text.line(format_args!(
            "cmdstat_{name}:calls={},usec={micros},usec_per_call={mean:.2},rejected_calls={},\
             failed_calls={}",
            command.calls, command.rejected, command.failed
        ));
    }
}

fn errorstats(text: &mut Text, input: &InfoInput<'_>) {
    for (code, count) in &input.view.metrics.errors {
        text.line(format_args!("errorstat_{code}:count={count}"));
    }
}

fn latencystats(text: &mut Text, input: &InfoInput<'_>) {
    for (name, command) in input.view.metrics.used_commands().filter(|(_, c)| c.calls > 0) {
        let micros = |quantile| command.latency.quantile(quantile) as f64 / 1000.0;
        text.line(format_args!(
            "latency_percentiles_usec_{name}:p50={:.3},p99={:.3},p99.9={:.3}",
            micros(0.5),
            micros(0.99),
            micros(0.999)
        ));
    }
}

fn cluster(text: &mut Text, input: &InfoInput<'_>) {
    text.field("cluster_enabled", u8::from(input.facts.cluster_enabled));
}

fn keyspace(text: &mut Text, input: &InfoInput<'_>) {
    let items = input.view.sum(|s| s.items);
    if items > 0 {
        let deadlines = input.view.sum(|s| s.items_with_deadline);
        text.line(format_args!("db0:keys={items},expires={deadlines},avg_ttl=0"));
    }
}

fn crabcache(text: &mut Text, input: &InfoInput<'_>) {
    let view = input.view;
    let latency = view.metrics.latency();
    let hits = hit_ratio(view.sum(|s| s.hits), view.sum(|s| s.misses));
    text.field("shards", view.shards.len());
    text.field("max_items", input.facts.max_items);
    text.field("live_bytes", view.sum(|s| s.live_bytes));
    text.field("index_bytes", view.sum(|s| s.index_bytes));
    text.field("big_bytes", view.sum(|s| s.big_bytes));
    text.field("dead_bytes", view.sum(|s| s.dead_bytes));
    text.field("loose_bytes", view.loose_bytes);
    text.field("incoming_bytes", view.incoming_bytes);
    text.field("hit_ratio", format_args!("{:.6}", hits.unwrap_or_default()));
    text.field("admitted_keys", view.sum(|s| s.admissions));
    text.field("turned_away_keys", view.sum(|s| s.rejections));
    for (name, quantile) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999)] {
        let micros = latency.quantile(quantile) as f64 / 1000.0;
        text.line(format_args!("latency_usec_{name}:{micros:.3}"));
    }
    text.field("protocol_errors", view.metrics.totals.protocol_errors);
    text.field("timed_out_connections", view.metrics.totals.connections_timed_out);
    text.field("commands_forwarded", view.metrics.totals.commands_forwarded);
    text.field("commands_of_others", view.metrics.totals.commands_of_others);
    text.field("upkeep_steps", view.metrics.totals.upkeep_steps);
    text.field("open_files", view.process.open_files);
    text.field("threads", view.process.threads);
}

#[cfg(test)]
mod tests {
    use super::{InfoInput, human, render};
    use crate::metrics::NodeFacts;
    use crate::server::stats::tests::example;
    use std::collections::BTreeSet;

    /// INFO everything of the example node, with LF for CR LF.
    const GOLDEN: &str = include_str!("info_golden.txt");

    fn info(names: &[&str]) -> String {
        let (facts, view) = example();
        let input = InfoInput { facts: &facts, view: &view };
        render(&input, names.iter().map(|n| n.as_bytes()))
    }

    fn titles(text: &str) -> Vec<&str> {
        text.lines().filter_map(|l| l.strip_prefix("# ")).collect()
    }

    #[test]
    fn everything_is_as_recorded() {
        let text = info(&["everything"]);
        assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
        let text = text.replace("\r\n", "\n");
        assert_eq!(text, GOLDEN, "INFO has changed; if that is meant, record it:\n{text}");
    }

    #[test]
    fn sections_are_chosen_as_in_redis() {
        let default = [
            "Server",
            "Clients",
            "Memory",
            "Persistence",
            "Stats",
            "Replication",
            "CPU",
            "Modules",
            "Errorstats",
            "Cluster",
            "Keyspace",
        ];
        assert_eq!(titles(&info(&[])), default);
        assert_eq!(titles(&info(&["DEFAULT"])), default);
        assert_eq!(info(&["all"]), info(&["Everything"]));
        assert_eq!(titles(&info(&["all"])).len(), 14);
        // In their own order, each once, unknown ones left out.
        let some = info(&["keyspace", "CPU", "nosuch", "cpu"]);
        assert_eq!(titles(&some), ["CPU", "Keyspace"]);
        assert!(titles(&info(&["default", "commandstats"])).contains(&"Commandstats"));
        assert_eq!(info(&["module_list"]), "# Modules\r\n");
        assert_eq!(info(&["nosuch"]), "");
        assert!(info(&["cluster"]).ends_with("cluster_enabled:0\r\n"));
    }

    #[test]
    fn each_field_is_there_once_and_has_a_value() {
        let text = info(&["everything"]);
        let mut seen = BTreeSet::new();
        for line in text.split("\r\n").filter(|l| !l.is_empty() && !l.starts_with('#')) {
            let (name, value) = line.split_once(':').unwrap();
            assert!(seen.insert(name), "twice: {name}");
            assert!(!value.is_empty() || name == "config_file", "{line}");
        }
    }

    #[test]
    fn an_empty_keyspace_has_no_line() {
        let (facts, mut view) = example();
        view.shards.iter_mut().for_each(|s| s.items = 0);
        let input = InfoInput { facts: &facts, view: &view };
        assert_eq!(render(&input, [&b"keyspace"[..]].into_iter()), "# Keyspace\r\n");
    }

    #[test]
    fn loading_and_cluster_are_told() {
        let (_, view) = example();
        let facts = NodeFacts { loading: true, cluster_enabled: true, ..NodeFacts::default() };
        let text = render(&InfoInput { facts: &facts, view: &view }, [].into_iter());
        for line in ["loading:1", "cluster_enabled:1", "redis_mode:cluster"] {
            assert!(text.contains(&format!("\r\n{line}\r\n")), "{line}");
        }
    }

    #[test]
    fn sizes_read_as_in_redis() {
        let cases = [(0, "0B"), (1023, "1023B"), (1024, "1.00K"), (943 * 1024 + 112, "943.11K")];
        for (bytes, text) in cases {
            assert_eq!(human(bytes), text);
        }
        assert_eq!(human(25_276_510_208), "23.54G");
        assert_eq!(human(u64::MAX), "16384.00P");
    }
}
