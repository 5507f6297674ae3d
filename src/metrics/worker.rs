//! The counters of one worker. It alone writes them, so that counting costs plain loads and
//! stores on cache lines nobody else writes.

use super::CommandIndex;
use super::counter::Counter;
use super::errors::ErrorCodes;
use super::histogram::Recorder;
use crate::limits::{COMMAND_LATENCY_GROUPING, SHARD_LATENCY_GROUPING};
use std::ops::Deref;
use std::sync::OnceLock;

/// Declares counters once, as what a worker writes and as plain sums over workers.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// Counters of one worker that only grow.
        #[derive(Debug, Default)]
        pub struct WorkerCounters {
            $($(#[$doc])* pub $name: Counter,)+
        }

        /// The same, summed over all workers.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Totals {
            $($(#[$doc])* pub $name: u64,)+
        }

        impl Totals {
            /// Adds the counters of a worker.
            pub(super) fn add(&mut self, worker: &WorkerCounters) {
                $(self.$name += worker.$name.get();)+
            }

            /// Takes away an earlier state.
            pub(super) fn subtract(&mut self, earlier: &Totals) {
                $(self.$name = self.$name.saturating_sub(earlier.$name);)+
            }
        }
    };
}

counters! {
    /// Connections accepted.
    connections_accepted,
    /// Connections taken over from another worker.
    connections_moved,
    /// Connections turned away because there were too many.
    connections_rejected,
    /// Connections closed because they were idle, slow to send, slow to read or unauthenticated.
    connections_timed_out,
    /// Connections closed because what they asked grew too large.
    query_overflows,
    /// Connections closed because what they did not read grew too large.
    output_overflows,
    /// Bytes read from clients.
    bytes_in,
    /// Bytes written to clients.
    bytes_out,
    /// Reads that brought bytes.
    reads,
    /// Writes that took bytes.
    writes,
    /// Commands of clients that were sent to other nodes, with those that went along with them.
    commands_forwarded,
    /// Commands carried out for other nodes.
    commands_of_others,
    /// Runs of commands executed in one go.
    batches,
    /// Connections closed because what they sent was no protocol of ours.
    protocol_errors,
    /// Wrong passwords.
    auth_failures,
    /// Steps of upkeep done.
    upkeep_steps,
}

/// What one worker counts.
#[derive(Debug)]
#[repr(align(128))]
pub struct WorkerMetrics {
    /// All commands executed, so that a sample need not visit each.
    pub(super) commands: Counter,
    pub(super) counters: WorkerCounters,
    /// Connections open now. One that is on its way to another worker is not counted anywhere.
    pub connections_open: Counter,
    /// Connections now that wait for something: a pause, a busy shard.
    pub connections_blocked: Counter,
    /// Bytes of the query and output buffers of its connections now.
    pub buffer_bytes: Counter,
    /// The longest query buffer seen.
    pub input_bytes_max: Counter,
    /// The longest output buffer seen.
    pub output_bytes_max: Counter,
    beat_nanos: Counter,
    pub(super) by_command: Box<[CommandCell]>,
    pub(super) by_shard: OnceLock<Box<[ShardCell]>>,
    pub(super) errors: ErrorCodes,
}

/// One command on one worker.
#[derive(Debug, Default)]
pub(super) struct CommandCell {
    pub(super) calls: Counter,
    pub(super) nanos: Counter,
    pub(super) failed: Counter,
    pub(super) rejected: Counter,
    /// Made on first use: most commands are never called.
    pub(super) latency: OnceLock<Recorder<COMMAND_LATENCY_GROUPING>>,
}

/// One shard as one worker meets it.
#[derive(Debug, Default)]
pub(super) struct ShardCell {
    pub(super) operations: Counter,
    pub(super) latency: OnceLock<Recorder<SHARD_LATENCY_GROUPING>>,
}

impl Deref for WorkerMetrics {
    type Target = WorkerCounters;

    #[inline]
    fn deref(&self) -> &WorkerCounters {
        &self.counters
    }
}

impl WorkerMetrics {
    /// Nothing counted yet, for a table of so many commands.
    pub(super) fn new(commands: usize) -> WorkerMetrics {
        WorkerMetrics {
            commands: Counter::default(),
            counters: WorkerCounters::default(),
            connections_open: Counter::default(),
            connections_blocked: Counter::default(),
            buffer_bytes: Counter::default(),
            input_bytes_max: Counter::default(),
            output_bytes_max: Counter::default(),
            beat_nanos: Counter::default(),
            by_command: (0..commands).map(|_| CommandCell::default()).collect(),
            by_shard: OnceLock::new(),
            errors: ErrorCodes::default(),
        }
    }

    /// Counts a run of commands executed in one go: how many of each, and the time each took as
    /// the mean of the run.
    #[inline]
    pub fn batch(&self, counts: &[(CommandIndex, u32)], nanos_per_command: u64) {
        for (command, calls) in counts {
            self.calls(*command, *calls, nanos_per_command);
        }
        self.batches.add(1);
    }

    /// Counts calls of one command that took `nanos` each.
    #[inline]
    pub fn calls(&self, command: CommandIndex, calls: u32, nanos: u64) {
        let calls = u64::from(calls);
        let Some(cell) = self.by_command.get(usize::from(command.0)) else { return };
        cell.calls.add(calls);
        cell.nanos.add(nanos.wrapping_mul(calls));
        cell.latency.get_or_init(Recorder::default).record(nanos, calls);
        self.commands.add(calls);
    }

    /// Counts commands executed on a shard under one hold of its lock. To be called for every
    /// such run, or never: STATS shows the sums as operations of the shard. `shards` is how many
    /// shards there are, the same at every call. The time of a batch is known as a whole, so it
    /// is enough that one run of a batch brings it.
    #[inline]
    pub fn shard_run(
        &self,
        shard: usize,
        shards: usize,
        operations: u32,
        nanos_per_command: Option<u64>,
    ) {
        let make = || (0..shards).map(|_| ShardCell::default()).collect();
        let Some(cell) = self.by_shard.get_or_init(make).get(shard) else { return };
        cell.operations.add(u64::from(operations));
        if let Some(nanos) = nanos_per_command {
            let latency = cell.latency.get_or_init(Recorder::default);
            latency.record(nanos, u64::from(operations));
        }
    }

    /// Counts a command that was executed and answered an error.
    pub fn failed(&self, command: CommandIndex) {
        if let Some(cell) = self.by_command.get(usize::from(command.0)) {
            cell.failed.add(1);
        }
    }

    /// Counts a command that was refused before it was executed; `None`: there is no such command.
    pub fn rejected(&self, command: Option<CommandIndex>) {
        if let Some(cell) = command.and_then(|c| self.by_command.get(usize::from(c.0))) {
            cell.rejected.add(1);
        }
    }

    /// Counts an error answered; `text` is its code or begins with it.
    pub fn error(&self, text: &str) {
        self.errors.count(text);
    }

    /// Says that the worker's loop still turns, at this monotonic time.
    #[inline]
    pub fn beat(&self, nanos: u64) {
        self.beat_nanos.set(nanos);
    }

    /// The time of the last beat; 0 before the first.
    pub(super) fn last_beat(&self) -> u64 {
        self.beat_nanos.get()
    }
}

#[cfg(test)]
mod tests {
    use super::WorkerMetrics;
    use crate::metrics::CommandIndex;

    #[test]
    fn workers_do_not_share_cache_lines() {
        assert_eq!(align_of::<WorkerMetrics>(), 128);
        assert_eq!(size_of::<WorkerMetrics>() % 128, 0);
    }

    #[test]
    fn what_is_not_in_the_table_is_not_counted() {
        let worker = WorkerMetrics::new(2);
        worker.batch(&[(CommandIndex(7), 3)], 100);
        worker.failed(CommandIndex(7));
        worker.rejected(None);
        worker.shard_run(9, 4, 1, Some(100));
        assert_eq!(worker.commands.get(), 0);
        assert_eq!(worker.batches.get(), 1);
    }
}
