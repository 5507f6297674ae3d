//! The counters of all workers, summed at one moment: plain numbers that can be subtracted,
//! merged and shown. Who shows them and how is not known here.

use super::histogram::Distribution;
use super::worker::{Totals, WorkerMetrics};
use super::{CommandIndex, Commands};
use crate::limits::{COMMAND_LATENCY_GROUPING, SHARD_LATENCY_GROUPING};
use std::collections::BTreeMap;

/// Sums over all workers. Single numbers are read one after another while the workers go on.
#[derive(Clone, Debug)]
pub struct Snapshot {
    table: Commands,
    /// What only grows.
    pub totals: Totals,
    /// Connections open now.
    pub connections_open: u64,
    /// Connections now that wait for something.
    pub connections_blocked: u64,
    /// Bytes in the buffers of connections now.
    pub buffer_bytes: u64,
    /// The longest query buffer any connection had.
    pub input_bytes_max: u64,
    /// The longest output buffer any connection had.
    pub output_bytes_max: u64,
    /// Commands executed.
    pub commands_processed: u64,
    /// Each command, in the order of the table.
    pub commands: Vec<CommandTotals>,
    /// Each shard; empty before the first command on any.
    pub shards: Vec<ShardTotals>,
    /// Errors answered, by code.
    pub errors: BTreeMap<Box<str>, u64>,
}

/// One command.
#[derive(Clone, Debug)]
pub struct CommandTotals {
    /// Times executed.
    pub calls: u64,
    /// Nanoseconds spent.
    pub nanos: u64,
    /// Times it answered an error.
    pub failed: u64,
    /// Times it was refused before execution.
    pub rejected: u64,
    /// How long it took.
    pub latency: Distribution,
}

/// One shard.
#[derive(Clone, Debug)]
pub struct ShardTotals {
    /// Commands executed on it.
    pub operations: u64,
    /// How long they took.
    pub latency: Distribution,
}

/// A row of LATENCY HISTOGRAM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatencyRow {
    /// The command.
    pub name: &'static str,
    /// Times executed.
    pub calls: u64,
    /// Microseconds, and the calls that took no longer: one pair for each power of two at which
    /// the number grows.
    pub buckets: Vec<(u64, u64)>,
}

impl CommandTotals {
    fn new() -> CommandTotals {
        let latency = Distribution::new(COMMAND_LATENCY_GROUPING);
        CommandTotals { calls: 0, nanos: 0, failed: 0, rejected: 0, latency }
    }

    /// Whether there is anything to show.
    pub fn is_used(&self) -> bool {
        self.calls > 0 || self.rejected > 0 || self.failed > 0
    }
}

impl ShardTotals {
    /// A shard nothing was done to.
    pub fn new() -> ShardTotals {
        ShardTotals { operations: 0, latency: Distribution::new(SHARD_LATENCY_GROUPING) }
    }
}

impl Default for ShardTotals {
    fn default() -> ShardTotals {
        ShardTotals::new()
    }
}

impl Snapshot {
    /// The sums now.
    pub(super) fn of(workers: &[WorkerMetrics], table: Commands) -> Snapshot {
        let mut sums = Snapshot {
            table,
            totals: Totals::default(),
            connections_open: 0,
            connections_blocked: 0,
            buffer_bytes: 0,
            input_bytes_max: 0,
            output_bytes_max: 0,
            commands_processed: 0,
            commands: vec![CommandTotals::new(); table.count],
            shards: Vec::new(),
            errors: BTreeMap::new(),
        };
        workers.iter().for_each(|worker| sums.add(worker));
        sums
    }

    /// Adds what one thread, or a few under a lock, have counted.
    pub(super) fn add(&mut self, worker: &WorkerMetrics) {
        self.totals.add(&worker.counters);
        self.connections_open += worker.connections_open.get();
        self.connections_blocked += worker.connections_blocked.get();
        self.buffer_bytes += worker.buffer_bytes.get();
        self.input_bytes_max = self.input_bytes_max.max(worker.input_bytes_max.get());
        self.output_bytes_max = self.output_bytes_max.max(worker.output_bytes_max.get());
        self.commands_processed += worker.commands.get();
        for (to, from) in self.commands.iter_mut().zip(&worker.by_command) {
            to.calls += from.calls.get();
            to.nanos += from.nanos.get();
            to.failed += from.failed.get();
            to.rejected += from.rejected.get();
            if let Some(latency) = from.latency.get() {
                latency.add_to(&mut to.latency);
            }
        }
        let shards = worker.by_shard.get().map_or(&[][..], |cells| &cells[..]);
        if self.shards.len() < shards.len() {
            self.shards.resize_with(shards.len(), ShardTotals::new);
        }
        for (to, from) in self.shards.iter_mut().zip(shards) {
            to.operations += from.operations.get();
            if let Some(latency) = from.latency.get() {
                latency.add_to(&mut to.latency);
            }
        }
        worker.errors.add_to(&mut self.errors);
    }

    /// What has been counted since an earlier snapshot. What tells the state of now stays.
    pub fn since(&self, earlier: &Snapshot) -> Snapshot {
        let mut rest = self.clone();
        rest.totals.subtract(&earlier.totals);
        rest.commands_processed =
            rest.commands_processed.saturating_sub(earlier.commands_processed);
        for (to, from) in rest.commands.iter_mut().zip(&earlier.commands) {
            to.calls = to.calls.saturating_sub(from.calls);
            to.nanos = to.nanos.saturating_sub(from.nanos);
            to.failed = to.failed.saturating_sub(from.failed);
            to.rejected = to.rejected.saturating_sub(from.rejected);
            to.latency.subtract(&from.latency);
        }
        for (to, from) in rest.shards.iter_mut().zip(&earlier.shards) {
            to.operations = to.operations.saturating_sub(from.operations);
            to.latency.subtract(&from.latency);
        }
        for (code, count) in &mut rest.errors {
            *count = count.saturating_sub(earlier.errors.get(code).copied().unwrap_or_default());
        }
        rest.errors.retain(|_, count| *count > 0);
        rest
    }

    /// Commands that have something to show, with their names, in the order of the table.
    pub fn used_commands(&self) -> impl Iterator<Item = (&'static str, &CommandTotals)> {
        self.indexed().filter(|(_, c)| c.is_used()).map(|(i, c)| ((self.table.name)(i), c))
    }

    /// How long commands took, all taken together.
    pub fn latency(&self) -> Distribution {
        let mut all = Distribution::new(COMMAND_LATENCY_GROUPING);
        self.commands.iter().for_each(|c| all.merge(&c.latency));
        all
    }

    /// How long commands took, by family.
    pub fn latency_by_family(&self) -> BTreeMap<&'static str, Distribution> {
        let mut families = BTreeMap::new();
        for (index, command) in self.indexed() {
            families
                .entry((self.table.family)(index))
                .or_insert_with(|| Distribution::new(COMMAND_LATENCY_GROUPING))
                .merge(&command.latency);
        }
        families
    }

    /// How often a command answered an error or was refused.
    pub fn error_replies(&self) -> u64 {
        self.errors.values().sum()
    }

    /// LATENCY HISTOGRAM of the commands that `wanted` picks by name, without those never called.
    pub fn latency_rows(&self, wanted: impl Fn(&str) -> bool) -> Vec<LatencyRow> {
        self.used_commands()
            .filter(|(name, command)| command.calls > 0 && wanted(name))
            .map(|(name, command)| LatencyRow {
                name,
                calls: command.calls,
                buckets: buckets(&command.latency),
            })
            .collect()
    }

    fn indexed(&self) -> impl Iterator<Item = (CommandIndex, &CommandTotals)> {
        // The table is indexed by u16, so there are never more rows than that.
        (0..=u16::MAX).map(CommandIndex).zip(&self.commands)
    }
}

/// Calls up to each power of two from 1024 ns on, named in the microseconds Redis gives them:
/// the upper end of a bucket of its own histogram, two decimal digits wide.
fn buckets(latency: &Distribution) -> Vec<(u64, u64)> {
    let total = latency.count();
    let mut rows = Vec::new();
    let mut seen = 0;
    let mut bound: u64 = 1024;
    while seen < total {
        let count = latency.count_to(bound - 1);
        if count > seen {
            rows.push(((bound + bound / 128 - 1) / 1000, count));
            seen = count;
        }
        bound *= 2;
    }
    rows
}

#[cfg(test)]
mod tests {
    use crate::metrics::tests::TABLE;
    use crate::metrics::{CommandIndex, Metrics};

    #[test]
    fn sums_go_over_workers() {
        let metrics = Metrics::new(2, TABLE);
        metrics.worker(0).batch(&[(CommandIndex(0), 3), (CommandIndex(1), 1)], 1_000);
        metrics.worker(1).batch(&[(CommandIndex(0), 2)], 5_000);
        metrics.worker(1).failed(CommandIndex(1));
        metrics.worker(1).rejected(Some(CommandIndex(3)));
        metrics.worker(0).connections_open.add(4);
        metrics.worker(1).connections_open.add(3);
        metrics.worker(0).shard_run(1, 2, 6, Some(700));
        metrics.worker(1).shard_run(1, 2, 1, Some(700));
        metrics.worker(0).error("ERR no");
        metrics.worker(1).error("ERR yes");
        let sums = metrics.snapshot();
        assert_eq!((sums.commands_processed, sums.totals.batches), (6, 2));
        assert_eq!((sums.commands[0].calls, sums.commands[0].nanos), (5, 13_000));
        assert_eq!((sums.commands[1].failed, sums.commands[3].rejected), (1, 1));
        assert_eq!(sums.connections_open, 7);
        assert_eq!((sums.shards[0].operations, sums.shards[1].operations), (0, 7));
        assert_eq!((sums.error_replies(), sums.errors.get("ERR")), (2, Some(&2)));
        let names: Vec<_> = sums.used_commands().map(|(name, _)| name).collect();
        assert_eq!(names, ["get", "set", "config|get"]);
        assert_eq!(sums.latency().count(), 6);
        let families = sums.latency_by_family();
        assert_eq!((families["get"].count(), families["server"].count()), (5, 0));
    }

    #[test]
    fn since_leaves_what_came_after() {
        let metrics = Metrics::new(1, TABLE);
        let worker = metrics.worker(0);
        worker.batch(&[(CommandIndex(0), 3)], 1_000);
        worker.error("OOM");
        worker.connections_accepted.add(2);
        worker.connections_open.add(2);
        let before = metrics.snapshot();
        worker.batch(&[(CommandIndex(0), 4)], 9_000);
        worker.shard_run(0, 1, 4, Some(9_000));
        worker.error("ERR");
        worker.connections_accepted.add(1);
        let rest = metrics.snapshot().since(&before);
        assert_eq!((rest.commands_processed, rest.commands[0].calls), (4, 4));
        assert_eq!(rest.commands[0].latency.count(), 4);
        assert_eq!(rest.shards[0].operations, 4);
        assert_eq!((rest.totals.connections_accepted, rest.connections_open), (1, 2));
        assert_eq!(rest.errors.keys().map(|k| &**k).collect::<Vec<_>>(), ["ERR"]);
    }

    #[test]
    fn histogram_rows_are_cumulative_powers_of_two() {
        let metrics = Metrics::new(1, TABLE);
        let worker = metrics.worker(0);
        for nanos in [100, 1_500, 1_600, 40_000, 300_000] {
            worker.calls(CommandIndex(1), 1, nanos);
        }
        worker.calls(CommandIndex(2), 1, u64::MAX);
        worker.rejected(Some(CommandIndex(0)));
        let rows = metrics.snapshot().latency_rows(|name| name != "get");
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].name, rows[0].calls), ("set", 5));
        assert_eq!(rows[0].buckets, [(1, 1), (2, 3), (66, 4), (528, 5)]);
        assert_eq!(rows[1].buckets.len(), 1);
        assert!(metrics.snapshot().latency_rows(|name| name == "get").is_empty());
    }
}
