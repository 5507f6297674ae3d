//! An engine with one thread that works on it in simulated time, each step on the clock of the
//! thread.

use crate::common::histogram::Histogram;
use crate::common::{
    EPOCH, Preparer, UpkeepPace, engine, sum, thread_cpu_nanos, thread_faults, upkeep_step,
};
use crabcache::cli::bench::{KeyText, Random};
use crabcache::command::{Time, Value};
use crabcache::engine::{Engine, Policy};
use std::sync::Arc;

const VALUE: &[u8] = &[b'v'; 32];
/// Bytes of an item 16/32 B in a segment: flags, two lengths, key, value; five for a deadline.
pub(crate) const ITEM_BYTES: u64 = 3 + 16 + 32;
const DEADLINE_BYTES: u64 = 5;

/// Touches `bytes` of memory in huge pages and gives them back. In a virtual machine, memory that
/// the machine has never used costs its first user fifty times more, which is the host's doing.
pub(crate) fn warm(bytes: usize) {
    const HUGE_PAGE_BYTES: usize = 2 * 1024 * 1024;
    // SAFETY: a private anonymous mapping, touched within its length and then given back.
    unsafe {
        let (access, kind) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let start = libc::mmap(std::ptr::null_mut(), bytes, access, kind, -1, 0);
        if bytes == 0 || start == libc::MAP_FAILED {
            return;
        }
        libc::madvise(start, bytes, libc::MADV_HUGEPAGE);
        for at in (0..bytes).step_by(HUGE_PAGE_BYTES / 512) {
            start.cast::<u8>().add(at).write_volatile(1);
        }
        libc::munmap(start, bytes);
    }
}

/// Steps at least this long are looked at more closely.
pub(crate) const LONG_NANOS: u64 = 1 << 20;

/// No step should be longer.
const LONGEST_NANOS: u64 = 2_000_000;

/// Times of steps of one kind.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    pub(crate) times: Histogram,
    /// Long ones in which memory was touched for the first time.
    pub(crate) long_with_fault: u64,
    /// Long ones that took or gave back blocks of memory.
    pub(crate) long_with_block: u64,
    /// How long the last one took.
    pub(crate) last: u64,
    /// Those that took longer than any should.
    pub(crate) over: u64,
    /// Time of all steps together.
    pub(crate) nanos: u64,
}

impl Steps {
    /// Does a step and times it.
    #[inline]
    pub(crate) fn time<T>(&mut self, step: impl FnOnce() -> T) -> T {
        let faults = thread_faults();
        let began = thread_cpu_nanos();
        let result = step();
        let took = thread_cpu_nanos() - began;
        self.times.add(took);
        self.nanos += took;
        self.last = took;
        self.over += u64::from(took > LONGEST_NANOS);
        if took >= LONG_NANOS {
            self.long_with_fault += u64::from(thread_faults() > faults);
        }
        result
    }
}

/// An engine, its time, and what steps on it cost.
pub(crate) struct World {
    pub(crate) engine: Arc<Engine>,
    pub(crate) random: Random,
    /// Time of each write, when it is asked for.
    pub(crate) writes: Steps,
    /// Time of each step of upkeep.
    pub(crate) upkeep: Steps,
    /// Time of each division of the bound between shards.
    pub(crate) rebalance: Steps,
    /// Writes that found no room.
    pub(crate) refused: u64,
    _preparer: Preparer,
    pace: UpkeepPace,
    key: KeyText,
    now_ms: u64,
    rebalanced_ms: u64,
    next_id: u64,
}

impl World {
    pub(crate) fn new(max_memory: Option<u64>, policy: Policy) -> World {
        let engine = Arc::new(engine(max_memory));
        engine.set_policy(policy);
        let preparer = Preparer::start(&engine);
        let pace = UpkeepPace::new(&engine, 0, 1);
        World {
            engine,
            _preparer: preparer,
            random: Random::new(1),
            writes: Steps::default(),
            upkeep: Steps::default(),
            rebalance: Steps::default(),
            refused: 0,
            pace,
            key: KeyText::new(16),
            now_ms: EPOCH.0,
            rebalanced_ms: EPOCH.0,
            next_id: 0,
        }
    }

    pub(crate) fn now(&self) -> Time {
        Time(self.now_ms)
    }

    /// Milliseconds since the beginning.
    pub(crate) fn elapsed_ms(&self) -> u64 {
        self.now_ms - EPOCH.0
    }

    /// Lets time pass without upkeep: only where there is nothing to do.
    pub(crate) fn skip_to(&mut self, elapsed_ms: u64) {
        self.now_ms = self.now_ms.max(EPOCH.0 + elapsed_ms);
    }

    /// Writes a key never written before. Returns the bytes of the item.
    pub(crate) fn add(&mut self, ttl_ms: Option<u64>, timed: bool) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        assert!(self.key.write(id), "the number fits the key");
        let now = self.now();
        let deadline = ttl_ms.map(|ttl| Time(now.0 + ttl));
        let shard = self.engine.shard_of(&self.engine.key(self.key.bytes()));
        let held = || self.engine.lock(shard).store().used_bytes();
        let before = if timed { held() } else { 0 };
        let set = || {
            let key = self.engine.key(self.key.bytes());
            let mut shard = self.engine.lock(self.engine.shard_of(&key));
            shard.store().set(&key, Value::Slice(VALUE), deadline, now)
        };
        let result = if timed { self.writes.time(set) } else { set() };
        if timed && self.writes.last >= LONG_NANOS {
            self.writes.long_with_block += u64::from(held() != before);
        }
        self.refused += u64::from(result.is_err());
        ITEM_BYTES + ttl_ms.map_or(0, |_| DEADLINE_BYTES)
    }

    /// Deletes a key, timed as a write.
    pub(crate) fn remove(&mut self, id: u64) {
        assert!(self.key.write(id), "the number fits the key");
        let now = self.now();
        let removed = self.writes.time(|| {
            let key = self.engine.key(self.key.bytes());
            let mut shard = self.engine.lock(self.engine.shard_of(&key));
            shard.store().remove(&key, now)
        });
        assert!(removed, "it was there");
    }

    /// Looks at the timer of upkeep, as a worker does between two batches.
    pub(crate) fn poll(&mut self) {
        let now = self.now();
        let (engine, steps) = (&self.engine, &mut self.upkeep);
        self.pace.poll(now, |shard| steps.time(|| upkeep_step(engine, shard, now)));
        if self.now_ms >= self.rebalanced_ms + crabcache::limits::REBALANCE_MS {
            self.rebalanced_ms = self.now_ms;
            let engine = &self.engine;
            self.rebalance.time(|| engine.rebalance());
        }
    }

    /// A millisecond with `polls` looks at the timer.
    pub(crate) fn tick(&mut self, polls: u64) {
        self.now_ms += 1;
        (0..polls).for_each(|_| self.poll());
    }

    /// Keys written so far.
    pub(crate) fn writes_count(&self) -> u64 {
        self.next_id
    }

    /// Bytes appended to segments and not yet given back, whether alive, dead or expired.
    pub(crate) fn held_bytes(&self) -> u64 {
        sum(&self.engine, |s| s.live_bytes + s.dead_bytes)
    }

    /// Bytes of memory in use.
    pub(crate) fn used_bytes(&self) -> u64 {
        sum(&self.engine, |s| s.used_bytes)
    }
}
