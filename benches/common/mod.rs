//! What the benchmarks share: options, upkeep as a worker does it, readings of the process, and
//! results as a table or JSON.
#![allow(dead_code, unused_imports, reason = "each benchmark uses some of it")]

pub(crate) mod histogram;
mod report;

pub(crate) use report::{Cell, Report, Table};

use crabcache::command::Time;
use crabcache::engine::{Engine, EngineOptions, Policy};
use crabcache::limits;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Shards of a node with two workers.
pub(crate) const SHARDS: usize = 2 * limits::SHARDS_PER_WORKER;
/// Where simulated time begins: in 2027, so that deadlines look as they do in use.
pub(crate) const EPOCH: Time = Time(1_800_000_000_000);

/// What the command line asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// The result as JSON.
    pub(crate) json: bool,
    /// A tenth of the keys: to see that it works, not to measure.
    pub(crate) quick: bool,
    /// Only parts whose name contains one of these.
    pub(crate) parts: Vec<String>,
    values: Vec<(String, String)>,
}

impl Options {
    /// Reads the command line. `with_value` names options that take a value.
    pub(crate) fn read(with_value: &[&str]) -> Options {
        let mut options = Options::default();
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--json" => options.json = true,
                "--quick" => options.quick = true,
                // What `cargo bench` adds.
                "--bench" => {}
                name if with_value.contains(&name) => {
                    let value = words.next().unwrap_or_default();
                    options.values.push((name.to_owned(), value));
                }
                name if name.starts_with('-') => {
                    eprintln!("unknown option {name}; known: --json --quick {with_value:?}");
                    std::process::exit(2);
                }
                part => options.parts.push(part.to_owned()),
            }
        }
        options
    }

    /// The value of an option.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Whether a part is asked for.
    pub(crate) fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|p| part.contains(p.as_str()))
    }

    /// `count`, or a tenth of it under `--quick`.
    pub(crate) fn scaled(&self, count: u64) -> u64 {
        if self.quick { count / 10 } else { count }
    }
}

/// The thread of a node that makes memory resident ahead of its use.
pub(crate) struct Preparer {
    thread: Option<JoinHandle<()>>,
    ending: Arc<AtomicBool>,
}

impl Preparer {
    pub(crate) fn start(engine: &Arc<Engine>) -> Preparer {
        // A node has done so when its first client comes.
        while engine.prepare() {}
        let ending = Arc::new(AtomicBool::new(false));
        let (its_engine, is_ending) = (engine.clone(), ending.clone());
        let thread = std::thread::spawn(move || {
            while !is_ending.load(Ordering::Acquire) {
                if !its_engine.prepare() {
                    std::thread::park();
                }
            }
        });
        let handle = thread.thread().clone();
        engine.on_need(move || handle.unpark());
        thread.thread().unpark();
        Preparer { thread: Some(thread), ending }
    }
}

impl Drop for Preparer {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            thread.join().expect("the thread that prepares memory");
        }
    }
}

/// An engine as a node with two workers has it.
pub(crate) fn engine(max_memory: Option<u64>) -> Engine {
    Engine::new(&EngineOptions {
        shards: SHARDS,
        hash_seed: 0x5eed,
        max_memory,
        max_items: None,
        policy: Policy::TinyLfu,
    })
}

/// When a worker does which step of upkeep: the pace of `worker::upkeep`, between commands.
#[derive(Debug)]
pub(crate) struct UpkeepPace {
    home: Vec<usize>,
    next_ms: u64,
    rounds: u32,
}

impl UpkeepPace {
    /// Of worker `index` of `workers`.
    pub(crate) fn new(engine: &Engine, index: usize, workers: usize) -> UpkeepPace {
        let home = (index..engine.shard_count()).step_by(workers).collect();
        UpkeepPace { home, next_ms: 0, rounds: 0 }
    }

    /// To be called between batches of commands: does one step on each home shard if it is time.
    /// `step` does one on a shard and tells whether there is more to do.
    pub(crate) fn poll(&mut self, now: Time, mut step: impl FnMut(usize) -> bool) {
        if now.0 < self.next_ms {
            return;
        }
        let mut more = false;
        for &shard in &self.home {
            more |= step(shard);
        }
        self.rounds += 1;
        if more && self.rounds <= limits::UPKEEP_ROUNDS_MAX {
            return;
        }
        self.rounds = 0;
        self.next_ms = now.0 + if more { 1 } else { limits::UPKEEP_MS_MIN };
    }
}

/// A step of upkeep on a shard, as the worker does it.
pub(crate) fn upkeep_step(engine: &Engine, shard: usize, now: Time) -> bool {
    engine.lock(shard).store().upkeep(now)
}

/// Bytes of memory that are resident now.
pub(crate) fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("/proc/self/statm");
    let pages: u64 = text
        .split_ascii_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .expect("the second field of statm");
    // SAFETY: asks for a constant of the system.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages * u64::try_from(page_bytes).expect("a page has some bytes")
}

/// Nanoseconds of processor time that this thread has used.
#[inline]
pub(crate) fn thread_cpu_nanos() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec to be written to.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0, "the clock of a thread can be read");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Page faults of this thread so far.
#[inline]
pub(crate) fn thread_faults() -> u64 {
    // SAFETY: a struct of numbers, for which zeroes are good, and which the call fills.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage), 0, "its use is known");
        usage
    };
    usage.ru_minflt as u64 + usage.ru_majflt as u64
}

/// The sum of a counter over all shards.
pub(crate) fn sum(engine: &Engine, of: impl Fn(&crabcache::engine::StoreStats) -> u64) -> u64 {
    (0..engine.shard_count()).map(|shard| of(&engine.lock(shard).store().stats())).sum()
}
