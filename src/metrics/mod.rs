//! Counters and latencies of the workers: written where things happen, summed when somebody asks.
//! Knows no clock, no socket, no command table and no text format.

mod counter;
mod disk;
mod errors;
mod facts;
mod histogram;
mod process;
mod rates;
mod snapshot;
mod worker;

pub use counter::Counter;
pub use disk::{LoadFacts, LoadMeter, LogFacts, LogHealth, RecoveryFacts, SaveFacts};
pub use facts::{FollowerFacts, NodeFacts};
pub use histogram::{Distribution, Recorder};
pub use process::{Process, system_memory_bytes, system_name};
pub use rates::{Rates, Sample};
pub use snapshot::{CommandTotals, LatencyRow, ShardTotals, Snapshot};
pub use worker::{Totals, WorkerCounters, WorkerMetrics};

use parking_lot::Mutex;
use rates::Sampler;
use std::sync::atomic::{AtomicU64, Ordering};

/// A command, or a subcommand, by its place in the command table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandIndex(pub u16);

/// What metrics have to know about the command table.
#[derive(Clone, Copy, Debug)]
pub struct Commands {
    /// How many commands and subcommands there are.
    pub count: usize,
    /// The name of one, lower case, a subcommand as `client|list`.
    pub name: fn(CommandIndex) -> &'static str,
    /// The family of one, which histograms are kept apart by in `/metrics`.
    pub family: fn(CommandIndex) -> &'static str,
}

/// All counters of a node.
#[derive(Debug)]
pub struct Metrics {
    commands: Commands,
    workers: Box<[WorkerMetrics]>,
    /// What is done for other nodes, by threads of no worker.
    for_others: Mutex<WorkerMetrics>,
    sampler: Sampler,
    memory_peak_bytes: AtomicU64,
    /// How far loading is.
    pub load: LoadMeter,
}

impl Metrics {
    /// Counters for so many workers and the commands of this table.
    pub fn new(workers: usize, commands: Commands) -> Metrics {
        Metrics {
            commands,
            workers: (0..workers.max(1)).map(|_| WorkerMetrics::new(commands.count)).collect(),
            for_others: Mutex::new(WorkerMetrics::new(commands.count)),
            sampler: Sampler::default(),
            memory_peak_bytes: AtomicU64::new(0),
            load: LoadMeter::default(),
        }
    }

    /// The counters that worker `i` alone writes to.
    #[inline]
    pub fn worker(&self, i: usize) -> &WorkerMetrics {
        &self.workers[i]
    }

    /// Counts a command carried out for another node; any thread may.
    pub fn of_others(&self, command: CommandIndex, nanos: u64, failed: bool) {
        let counted = self.for_others.lock();
        counted.calls(command, 1, nanos);
        counted.commands_of_others.add(1);
        if failed {
            counted.failed(command);
        }
    }

    /// How many workers there are.
    pub fn worker_count(&self) -> usize {
        self.workers.len()
    }

    /// The table the counts go by.
    pub fn commands(&self) -> Commands {
        self.commands
    }

    /// Sums of everything since the start.
    pub fn snapshot(&self) -> Snapshot {
        let mut sums = Snapshot::of(&self.workers, self.commands);
        sums.add(&self.for_others.lock());
        sums
    }

    /// Takes a sample for [`Metrics::rates`]; to be called every `limits::RATE_SAMPLE_MS`.
    pub fn sample(&self, nanos: u64) {
        let mut sample = Sample { nanos, ..Sample::default() };
        for worker in &self.workers {
            sample.commands += worker.commands.get();
            sample.bytes_in += worker.counters.bytes_in.get();
            sample.bytes_out += worker.counters.bytes_out.get();
        }
        sample.commands += self.for_others.lock().commands.get();
        self.sampler.push(sample);
    }

    /// How fast things go now, over the last `limits::RATE_SAMPLES` samples.
    pub fn rates(&self) -> Rates {
        self.sampler.rates()
    }

    /// Notes how much memory is used now; returns the most it has ever been.
    pub fn memory_peak(&self, used_bytes: u64) -> u64 {
        self.memory_peak_bytes.fetch_max(used_bytes, Ordering::Relaxed).max(used_bytes)
    }

    /// The workers that have had no beat for more than `millis_max` at monotonic time `nanos`.
    pub fn stalled(&self, nanos: u64, millis_max: u64) -> Vec<usize> {
        let late = |w: &WorkerMetrics| nanos.saturating_sub(w.last_beat()) / 1_000_000 > millis_max;
        (0..self.workers.len()).filter(|i| late(&self.workers[*i])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{CommandIndex, Commands, Metrics};

    /// A small table to count by.
    pub(super) const TABLE: Commands = Commands {
        count: 4,
        name: |i| ["get", "set", "del", "config|get"][usize::from(i.0)],
        family: |i| ["get", "set", "key", "server"][usize::from(i.0)],
    };

    #[test]
    fn the_peak_is_the_highest_seen() {
        let metrics = Metrics::new(1, TABLE);
        assert_eq!(metrics.memory_peak(70), 70);
        assert_eq!(metrics.memory_peak(30), 70);
        assert_eq!(metrics.memory_peak(71), 71);
    }

    #[test]
    fn a_worker_without_beat_is_stalled() {
        let metrics = Metrics::new(2, TABLE);
        let second = 1_000_000_000;
        metrics.worker(0).beat(9 * second);
        metrics.worker(1).beat(2 * second);
        assert_eq!(metrics.stalled(10 * second, 5_000), [1]);
        assert_eq!(metrics.stalled(10 * second, 8_000), [0; 0]);
    }

    #[test]
    fn rates_come_from_all_workers() {
        let metrics = Metrics::new(2, TABLE);
        metrics.sample(0);
        metrics.worker(0).batch(&[(CommandIndex(0), 30)], 10);
        metrics.worker(1).batch(&[(CommandIndex(1), 70)], 10);
        metrics.worker(1).bytes_in.add(500);
        metrics.sample(500_000_000);
        let rates = metrics.rates();
        assert_eq!((rates.ops_per_sec, rates.bytes_in_per_sec), (200.0, 1000.0));
    }
}
