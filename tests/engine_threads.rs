//! Two threads on one engine, with eviction, expiry, overwriting, deleting and upkeep all at once:
//! what is read is what was written last, under its own name, and not past its deadline.

use crabcache::command::{Time, Value};
use crabcache::engine::{Engine, EngineOptions, Policy};
use std::sync::atomic::{AtomicU64, Ordering};

const THREADS: u64 = 2;
const KEYS: u64 = 60_000;
const STEPS: u64 = 600_000;
const START_MS: u64 = 1_800_000_000_000;
const BOUND: u64 = 4 * 1024 * 1024;

/// A generator of numbers.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// What a thread has written under a name: nobody else writes it.
#[derive(Default)]
struct Written {
    /// The number of the last write that was begun, and of the last one that is done.
    begun: AtomicU64,
    done: AtomicU64,
}

struct World {
    engine: Engine,
    now: AtomicU64,
    keys: Vec<Written>,
}

fn name_of(id: u64) -> Vec<u8> {
    format!("key:{id}").into_bytes()
}

/// A value tells which key it is of, which write wrote it, and when it dies; its length follows
/// from that.
fn value_of(id: u64, number: u64, deadline: u64) -> Vec<u8> {
    let long = if number.is_multiple_of(97) { 20_000 } else { 0 };
    let mut value = vec![number as u8; 24 + (id + number * 7) as usize % 150 + long];
    value[..8].copy_from_slice(&id.to_le_bytes());
    value[8..16].copy_from_slice(&number.to_le_bytes());
    value[16..24].copy_from_slice(&deadline.to_le_bytes());
    value
}

impl World {
    fn new(policy: Policy) -> World {
        let engine = Engine::new(&EngineOptions {
            shards: 2,
            hash_seed: 5,
            max_memory: Some(BOUND),
            max_items: None,
            policy,
        });
        let keys = (0..KEYS).map(|_| Written::default()).collect();
        World { engine, now: AtomicU64::new(START_MS), keys }
    }

    fn write(&self, id: u64, ttl: Option<u64>) {
        let (name, written) = (name_of(id), &self.keys[id as usize]);
        let key = self.engine.key(&name);
        let number = written.done.load(Ordering::Relaxed) + 1;
        written.begun.store(number, Ordering::SeqCst);
        let mut shard = self.engine.lock(self.engine.shard_of(&key));
        let now = Time(self.now.load(Ordering::SeqCst));
        let deadline = ttl.map(|ttl| Time(now.0 + ttl));
        let value = value_of(id, number, deadline.map_or(u64::MAX, |at| at.0));
        let set = shard.store().set(&key, Value::Slice(&value), deadline, now);
        if set.is_err() {
            // What was there is still there, and must not be taken for the new one.
            shard.store().remove(&key, now);
        }
        drop(shard);
        written.done.store(number, Ordering::SeqCst);
    }

    /// Counts as a write: what was there before is as stale as if it had been overwritten.
    fn remove(&self, id: u64) {
        let (name, written) = (name_of(id), &self.keys[id as usize]);
        let key = self.engine.key(&name);
        let number = written.done.load(Ordering::Relaxed) + 1;
        written.begun.store(number, Ordering::SeqCst);
        let now = Time(self.now.load(Ordering::SeqCst));
        self.engine.lock(self.engine.shard_of(&key)).store().remove(&key, now);
        written.done.store(number, Ordering::SeqCst);
    }

    /// Reads a key, and whether it was there.
    fn read(&self, id: u64) -> bool {
        let (name, written) = (name_of(id), &self.keys[id as usize]);
        let key = self.engine.key(&name);
        let done = written.done.load(Ordering::SeqCst);
        let now = Time(self.now.load(Ordering::SeqCst));
        let mut shard = self.engine.lock(self.engine.shard_of(&key));
        let Some(item) = shard.store().get(&key, now) else { return false };
        let (value, deadline) = (item.value.bytes().to_vec(), item.deadline);
        drop(shard);
        let begun = written.begun.load(Ordering::SeqCst);
        let word = |at: usize| value[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
        let (number, dies) = (word(8), word(16));
        assert_eq!(value, value_of(id, number, dies), "not a value of {id}");
        assert!((done..=begun).contains(&number), "{id}: {number}, not of {done} to {begun}");
        assert_eq!(deadline.map_or(u64::MAX, |at| at.0), dies, "{id}: another deadline");
        assert!(dies > now.0, "{id} is read at {} and died at {dies}", now.0);
        true
    }

    /// What one thread does; how many reads found something.
    fn work(&self, thread: u64) -> u64 {
        let mut rng = Rng(thread + 1);
        let mut found = 0;
        for step in 0..STEPS {
            // Some keys are asked for much more often than others.
            let id = rng.below(KEYS) * (1 + rng.below(8)) / 8;
            let own = (id - id % THREADS + thread) % KEYS;
            match rng.below(20) {
                0..=8 => {
                    let bits = rng.below(12);
                    let ttl = 1 + rng.below(1 << bits);
                    self.write(own, (rng.below(2) == 0).then_some(ttl));
                }
                9 => self.remove(own),
                _ => found += u64::from(self.read(id)),
            }
            if step.is_multiple_of(50) {
                self.now.fetch_add(1, Ordering::SeqCst);
                let now = Time(self.now.load(Ordering::SeqCst));
                let shard = rng.below(self.engine.shard_count() as u64) as usize;
                self.engine.lock(shard).store().upkeep(now);
                self.engine.rebalance();
            }
        }
        found
    }
}

#[test]
fn nobody_reads_what_is_stale_wrong_or_dead() {
    for policy in [Policy::TinyLfu, Policy::AllKeysLru, Policy::VolatileLru] {
        let world = World::new(policy);
        let found: u64 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|t| {
                    scope.spawn({
                        let world = &world;
                        move || world.work(t)
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().expect("no thread fails")).sum()
        });
        let stats: Vec<_> = (0..world.engine.shard_count())
            .map(|shard| world.engine.lock(shard).store().stats())
            .collect();
        let used: u64 = stats.iter().map(|s| s.used_bytes).sum();
        // Shards are so small here that a block is more than the few percent they may exceed it by.
        assert!(used <= BOUND + 2 * 64 * 1024, "{policy:?}: {used}");
        assert!(stats.iter().all(|s| s.evictions > 1000 && s.expiries > 1000), "{stats:?}");
        assert!(found > STEPS / 20, "{policy:?}: {found}");
    }
}
