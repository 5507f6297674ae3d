//! INFO persistence. A snapshot is what Redis calls an RDB file as well as what it rewrites the
//! AOF to; the log is the AOF.

use super::{InfoInput, Text};
use crate::metrics::{LogHealth, NodeFacts};

pub(super) fn persistence(text: &mut Text, input: &InfoInput<'_>) {
    let NodeFacts { saves, log, loading, .. } = input.facts;
    let seconds = |ms: Option<u64>| ms.map_or("-1".into(), |ms| (ms / 1000).to_string());
    let current = |wanted: bool| {
        let seconds = saves.current_seconds.filter(|_| wanted);
        seconds.map_or("-1".into(), |seconds| seconds.to_string())
    };
    let status = if saves.last_error.is_some() { "err" } else { "ok" };
    let is_rewrite = saves.rewrite_in_progress;
    text.field("loading", u8::from(*loading));
    text.fixed(
        "async_loading:0 current_cow_peak:0 current_cow_size:0 current_cow_size_age:0 \
         current_fork_perc:0.00 current_save_keys_processed:0 current_save_keys_total:0",
    );
    text.field("rdb_changes_since_last_save", saves.changes);
    text.field("rdb_bgsave_in_progress", u8::from(saves.in_progress && !is_rewrite));
    text.field("rdb_last_save_time", saves.last_unix);
    text.field("rdb_last_bgsave_status", status);
    text.field("rdb_last_bgsave_time_sec", seconds(saves.last_ms));
    text.field("rdb_current_bgsave_time_sec", current(!is_rewrite));
    text.field("rdb_saves", saves.count);
    text.fixed("rdb_last_cow_size:0 rdb_last_load_keys_expired:0");
    text.field("rdb_last_load_keys_loaded", log.recovery.map_or(0, |found| found.items));
    let is_on = log.policy != "none";
    text.field("aof_enabled", u8::from(is_on));
    text.field("aof_rewrite_in_progress", u8::from(is_rewrite));
    text.field("aof_rewrite_scheduled", u8::from(saves.rewrite_scheduled));
    text.field("aof_last_rewrite_time_sec", seconds(saves.last_ms.filter(|_| is_on)));
    text.field("aof_current_rewrite_time_sec", current(is_rewrite));
    text.field("aof_last_bgrewrite_status", status);
    text.field("aof_rewrites", saves.rewrites);
    text.field("aof_rewrites_consecutive_failures", u8::from(saves.last_error.is_some()));
    let is_bad = matches!(log.health, LogHealth::Failing(_) | LogHealth::GivenUp(_));
    text.field("aof_last_write_status", if is_bad { "err" } else { "ok" });
    text.fixed("aof_last_cow_size:0 module_fork_in_progress:0 module_fork_last_cow_size:0");
    if is_on {
        text.field("aof_current_size", log.bytes);
        text.field("aof_base_size", saves.last_bytes);
        text.fixed("aof_pending_rewrite:0");
        text.field("aof_buffer_length", log.waiting_bytes);
        text.field("aof_pending_bio_fsync", u8::from(log.unsynced_bytes > 0));
        text.field("aof_delayed_fsync", log.slow_syncs);
    }
    if *loading {
        let (done, total) = (log.load.bytes, log.load.bytes_total);
        let share = if total == 0 { 0.0 } else { done as f64 / total as f64 * 100.0 };
        text.field("loading_start_time", input.facts.started_ms / 1000);
        text.field("loading_total_bytes", total);
        text.field("loading_loaded_bytes", done);
        text.field("loading_loaded_perc", format!("{:.2}", share.min(100.0)));
    }
}
