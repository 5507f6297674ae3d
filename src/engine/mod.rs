//! The keyspace of one node: shards behind locks, executed directly by whoever has a command.
//! Pure: time and chance are arguments; knows no socket, file, clock or protocol.

mod execute;
mod glob;
mod key;
mod keys;
mod policy;
mod space;
mod store;

pub use glob::glob_match;
pub use key::Key;
pub use policy::Policy;
pub use store::{Full, Item, ItemValue, Store, StoreStats};

use crate::command::reply::ReplyWriter;
use crate::command::{Command, KeyOp, Time};
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use store::Arena;

/// How an engine is made.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Number of shards, a power of two of at most 256.
    pub shards: usize,
    /// Seed of the key hash; the same on all nodes of a cluster.
    pub hash_seed: u64,
    /// Bound on the resident bytes of the data; `None`: no bound.
    pub max_memory: Option<u64>,
    /// Bound on the number of items; `None`: no bound.
    pub max_items: Option<u64>,
    /// Which items go when a bound is reached.
    pub policy: Policy,
}

impl Default for EngineOptions {
    fn default() -> EngineOptions {
        EngineOptions {
            shards: 16,
            hash_seed: 0,
            max_memory: None,
            max_items: None,
            policy: Policy::TinyLfu,
        }
    }
}

/// Most shards of an engine.
pub const SHARDS_MAX: usize = 256;
const BLOCK_BYTES_MIN: u64 = 64 * 1024;
const BLOCK_BYTES_MAX: u64 = 256 * 1024;
/// A shard should have room for at least this many blocks.
const BLOCKS_PER_SHARD_MIN: u64 = 256;

/// Blocks are small where a shard is small, so that open ones are a small part of it.
fn block_bytes(options: &EngineOptions) -> usize {
    let per_shard = options.max_memory.map_or(u64::MAX, |b| b / options.shards.max(1) as u64);
    let bytes = (per_shard / BLOCKS_PER_SHARD_MIN).clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX);
    1 << bytes.ilog2()
}

/// All data of a node.
pub struct Engine {
    shards: Box<[ShardCell]>,
    seed: u64,
}

/// A shard on cache lines of its own, lock and hot counters together.
#[repr(align(128))]
struct ShardCell(Mutex<Shard>);

/// A part of the node's memory: the groups with `group mod shards` equal.
pub struct Shard {
    store: Store,
}

impl Engine {
    /// An empty engine.
    pub fn new(options: &EngineOptions) -> Engine {
        let arena = Arc::new(Arena::new(block_bytes(options)));
        let big_bytes = Arc::new(AtomicU64::new(0));
        let mut options = options.clone();
        options.shards = options.shards.clamp(1, SHARDS_MAX).next_power_of_two();
        let count = options.shards as u64;
        options.max_memory = options.max_memory.map(|b| b / count);
        options.max_items = options.max_items.map(|n| n.div_ceil(count));
        let shards = (0..count)
            .map(|_| {
                let store = Store::new(&options, arena.clone(), big_bytes.clone());
                ShardCell(Mutex::new(Shard { store }))
            })
            .collect();
        Engine { shards, seed: options.hash_seed }
    }

    /// Hashes a key, once for all that is done with it.
    #[inline]
    pub fn key<'a>(&self, bytes: &'a [u8]) -> Key<'a> {
        Key::new(bytes, self.seed)
    }

    /// Which shard keeps the key.
    #[inline]
    pub fn shard_of(&self, key: &Key<'_>) -> usize {
        usize::from(key.group().number()) & (self.shards.len() - 1)
    }

    /// How many shards there are.
    pub fn shard_count(&self) -> usize {
        self.shards.len()
    }

    /// Bounds the data of the node; each shard gets its share.
    pub fn set_limits(&self, max_memory: Option<u64>, max_items: Option<u64>) {
        let count = self.shards.len() as u64;
        for shard in 0..self.shards.len() {
            let (bytes, items) =
                (max_memory.map(|b| b / count), max_items.map(|n| n.div_ceil(count)));
            self.lock(shard).store().set_limits(bytes, items);
        }
    }

    /// Changes which items go when a bound is reached.
    pub fn set_policy(&self, policy: Policy) {
        (0..self.shards.len()).for_each(|shard| self.lock(shard).store().set_policy(policy));
    }

    /// Locks a shard. Several only in ascending order; never across an await.
    #[inline]
    pub fn lock(&self, shard: usize) -> MutexGuard<'_, Shard> {
        self.shards[shard].0.lock()
    }

    /// Executes any command, taking the locks it needs.
    pub fn execute<W: ReplyWriter>(&self, command: &Command<'_>, now: Time, out: &mut W) {
        match command {
            Command::Key(bytes, op) => {
                let key = self.key(bytes);
                self.lock(self.shard_of(&key)).execute(&key, op, now, out);
            }
            Command::Keys(op) => keys::execute(self, op, now, out),
            Command::Space(op) => space::execute(self, op, now, out),
        }
    }
}

impl Shard {
    /// Executes a command on one key of this shard.
    #[inline]
    pub fn execute<W: ReplyWriter>(
        &mut self,
        key: &Key<'_>,
        op: &KeyOp<'_>,
        now: Time,
        out: &mut W,
    ) {
        execute::execute(&mut self.store, key, op, now, out);
    }

    /// Its items.
    pub fn store(&mut self) -> &mut Store {
        &mut self.store
    }
}
