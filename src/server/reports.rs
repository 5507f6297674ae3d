//! What was slow, and where the memory is: SLOWLOG, LATENCY, MEMORY.

use super::Server;
use crate::command::Args;
use crate::command::parse::{self, number};
use crate::command::reply::ReplyWriter;
use crate::worker::{Answer, SlowEntry};

/// Entries of SLOWLOG GET without a number.
const SLOWLOG_DEFAULT: usize = 10;

impl Server {
    /// Carries out SLOWLOG `subcommand`, given with both names.
    pub(super) fn slowlog(&self, subcommand: &str, words: Args<'_>, out: &mut Answer<'_>) {
        let args = words.from(2);
        let log = &self.shared.slowlog;
        match subcommand {
            "len" => out.integer(log.len() as i64),
            "reset" => {
                log.clear();
                out.simple("OK");
            }
            _ => {
                let count = match args.len() {
                    0 => Some(SLOWLOG_DEFAULT as i64),
                    1 => number::integer(args.get(0)).filter(|count| *count >= -1),
                    _ => return out.error(&parse::wrong_subcommand(words)),
                };
                let Some(count) = count else {
                    return out.error("ERR count should be greater than or equal to -1");
                };
                let entries = log.latest(usize::try_from(count).unwrap_or(usize::MAX));
                out.array(entries.len());
                entries.iter().for_each(|entry| slow_entry(entry, out));
            }
        }
    }

    /// Carries out LATENCY `subcommand`. There is no monitor of single events, as in a Redis
    /// whose latency-monitor-threshold is 0; the histograms are always there.
    pub(super) fn latency(&self, subcommand: &str, args: Args<'_>, out: &mut Answer<'_>) {
        match subcommand {
            "reset" => out.integer(0),
            "histogram" => self.histogram(args, out),
            "doctor" => out.verbatim(
                "I know of no single slow event: they are not recorded. LATENCY HISTOGRAM, STATS \
                 and SLOWLOG tell what takes long.\n",
            ),
            _ => out.array(0),
        }
    }

    fn histogram(&self, names: Args<'_>, out: &mut Answer<'_>) {
        let wanted = |name: &str| {
            let asked = |word: &[u8]| {
                let word = String::from_utf8_lossy(word).to_ascii_lowercase();
                name == word || name.split_once('|').is_some_and(|(parent, _)| parent == word)
            };
            names.is_empty() || names.iter().any(asked)
        };
        let rows = self.statistics.snapshot().latency_rows(wanted);
        out.map(rows.len());
        for row in &rows {
            out.bulk(row.name.as_bytes());
            out.map(2);
            out.bulk(b"calls");
            out.integer(row.calls as i64);
            out.bulk(b"histogram_usec");
            out.map(row.buckets.len());
            for (micros, calls) in &row.buckets {
                out.integer(*micros as i64);
                out.integer(*calls as i64);
            }
        }
    }

    /// Carries out MEMORY `subcommand`, MEMORY USAGE aside.
    pub(super) fn memory(&self, subcommand: &str, out: &mut Answer<'_>) {
        match subcommand {
            "doctor" => out.verbatim(
                "Memory is kept within memory.max_memory by evicting; STATS tells where it is.\n",
            ),
            "stats" => self.memory_stats(out),
            // Segments that fell empty are given back by upkeep all the time.
            _ => out.simple("OK"),
        }
    }

    fn memory_stats(&self, out: &mut Answer<'_>) {
        let view = self.statistics.view();
        let used = view.sum(|s| s.used_bytes);
        let keys = view.sum(|s| s.items);
        let dataset = view.sum(|s| s.live_bytes);
        let numbers: [(&str, u64); 11] = [
            ("peak.allocated", view.memory_peak_bytes),
            ("total.allocated", used),
            ("startup.allocated", 0),
            ("overhead.total", used.saturating_sub(dataset)),
            ("keys.count", keys),
            ("keys.bytes-per-key", used.checked_div(keys).unwrap_or(0)),
            ("dataset.bytes", dataset),
            ("index.bytes", view.sum(|s| s.index_bytes)),
            ("big-values.bytes", view.sum(|s| s.big_bytes)),
            ("loose-values.bytes", view.loose_bytes),
            ("incoming-values.bytes", view.incoming_bytes),
        ];
        out.map(numbers.len() + 1);
        for (name, value) in numbers {
            out.bulk(name.as_bytes());
            out.integer(i64::try_from(value).unwrap_or(i64::MAX));
        }
        out.bulk(b"dataset.percentage");
        out.double(if used == 0 { 0.0 } else { dataset as f64 / used as f64 * 100.0 });
    }
}

fn slow_entry(entry: &SlowEntry, out: &mut Answer<'_>) {
    out.array(6);
    out.integer(entry.id as i64);
    out.integer(entry.unix_seconds as i64);
    out.integer(entry.micros as i64);
    out.array(entry.args.len());
    entry.args.iter().for_each(|word| out.bulk(word));
    out.bulk(entry.peer.as_bytes());
    out.bulk(&entry.name);
}
