//! The families about what a node keeps on disk.

use super::collector::Scrape;
use super::families::Families;
use crate::metrics::{LogFacts, LogHealth, SaveFacts};
use prometheus::proto::MetricType;

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// The log, saving, and the last start; nothing of a log where there is none.
pub(super) fn families(out: &mut Families, scrape: &Scrape) {
    let log = &scrape.facts.log;
    if log.health != LogHealth::Off {
        self::log(out, log);
    }
    if let Some(recovery) = &log.recovery {
        let seconds = recovery.millis as f64 / 1000.0;
        out.gauge("recovery_duration_seconds", "Time the start took to load the data.", seconds);
        let help = "Records of the log that the start applied.";
        out.gauge("recovery_records", help, recovery.records as f64);
        out.gauge("recovery_items", "Items there were then.", recovery.items as f64);
    }
    if scrape.facts.loading {
        out.gauge("loading_bytes", "Bytes read in this stage.", log.load.bytes as f64);
        let total = log.load.bytes_total as f64;
        out.gauge("loading_bytes_total", "Bytes to be read in this stage; 0: not known.", total);
    }
    saves(out, &scrape.facts.saves, scrape.facts.unix_ms);
}

fn log(out: &mut Families, log: &LogFacts) {
    let help = "How the log is: 1 for the state it is in.";
    let mut family = out.begin("wal_state", help, MetricType::GAUGE);
    for state in ["loading", "ok", "failing", "given_up"] {
        family.gauge(&[("state", state)], flag(state == log.health.name()));
    }
    let failing = matches!(log.health, LogHealth::Failing(_) | LogHealth::GivenUp(_));
    out.gauge("wal_failing", "Whether the log cannot be written.", flag(failing));
    let written = log.written_bytes as f64;
    out.counter("wal_written_bytes_total", "Bytes of records written to the log.", written);
    out.counter("wal_syncs_total", "Syncs of the log.", log.syncs as f64);
    out.counter("wal_slow_syncs_total", "Syncs that took over two seconds.", log.slow_syncs as f64);
    let help = "Errors of writes and syncs of the log.";
    out.counter("wal_errors_total", help, log.errors as f64);
    let help = "Bytes taken to be written to the log and not on disk yet.";
    out.gauge("wal_unsynced_bytes", help, log.unsynced_bytes as f64);
    let help = "Bytes that wait to be taken by the log.";
    out.gauge("wal_waiting_bytes", help, log.waiting_bytes as f64);
    out.gauge("wal_segments", "Files of the log.", log.segments as f64);
    out.gauge("wal_bytes", "Bytes of the log.", log.bytes as f64);
    let help = "Time syncs of the log took.";
    out.begin("wal_sync_duration_seconds", help, MetricType::HISTOGRAM)
        .latency(&[], &log.sync_latency);
}

fn saves(out: &mut Families, saves: &SaveFacts, now_ms: u64) {
    let progress = flag(saves.in_progress);
    out.gauge("snapshot_in_progress", "Whether a snapshot is being written.", progress);
    let failed = flag(saves.last_error.is_some());
    out.gauge("snapshot_failed", "Whether the last snapshot failed.", failed);
    out.counter("snapshots_total", "Snapshots written.", saves.count as f64);
    if saves.is_there {
        let (at, now) = (saves.last_unix as f64, now_ms as f64 / 1000.0);
        let help = "When the last snapshot was written, since the Unix epoch.";
        out.gauge("snapshot_last_timestamp_seconds", help, at);
        out.gauge("snapshot_age_seconds", "Age of the last snapshot.", (now - at).max(0.0));
    }
    if let Some(ms) = saves.last_ms {
        let seconds = ms as f64 / 1000.0;
        out.gauge("snapshot_last_duration_seconds", "Time the last snapshot took.", seconds);
        out.gauge("snapshot_last_bytes", "Bytes of the last snapshot.", saves.last_bytes as f64);
    }
    let help = "Changes since the last snapshot; 0 where nobody counts.";
    out.gauge("snapshot_changes", help, saves.changes as f64);
}
