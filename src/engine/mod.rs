//! The keyspace of one node: shards behind locks, executed directly by whoever has a command.
//! Pure: time and chance are arguments; knows no socket, file, clock or protocol.

mod apply;
mod budget;
mod execute;
mod extents;
mod glob;
mod journal;
mod key;
mod keys;
mod log;
mod peek;
mod policy;
mod replica;
mod room;
mod served;
mod space;
mod store;
mod walks;

pub use apply::{ApplyError, Payload, Refused};
pub use execute::Access;
pub use extents::BigBuffer;
pub use glob::glob_match;
pub use key::{HashSeed, Key};
pub use log::LogPiece;
pub use peek::ShardPeek;
pub use policy::Policy;
pub use replica::{FollowError, Followed};
pub use room::{Landing, Room};
pub use served::{Duty, Unserved};
pub(crate) use store::prefetch;
pub use store::{Full, Garbage, Item, ItemValue, Role, Store, StoreStats};
pub use walks::{WalkChunk, WalkId, WalkStep};

use crate::command::reply::ReplyWriter;
use crate::command::{Command, KeyOp, Time};
use crate::limits;
use cluster::record::Seq;
use cluster::slot::{Group, Slot};
use extents::Extents;
use log::LogShared;
use parking_lot::{Mutex, MutexGuard};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
// After a step has ended, three hands may each pass over what is dead in a segment.
const _: () = assert!(3 * BLOCK_BYTES_MAX as usize <= limits::STEP_DEAD_BYTES_MAX);
/// A shard should have room for at least this many blocks.
const BLOCKS_PER_SHARD_MIN: u64 = 256;
/// A shard cannot do with fewer blocks than these.
const BLOCKS_PER_SHARD_LEAST: usize = 16;
/// A node that chooses gives every shard at least this much of its bound on memory.
const SHARD_BYTES_MIN: u64 = 16 * 1024 * 1024;
/// … and at least this much of its bound on items: hits depend on how evenly keys are spread.
const SHARD_ITEMS_MIN: u64 = 4096;

/// Blocks are small where a shard is small, so that open ones are a small part of it.
fn block_bytes(options: &EngineOptions) -> usize {
    let per_shard = options.max_memory.map_or(u64::MAX, |b| b / options.shards.max(1) as u64);
    let bytes = (per_shard / BLOCKS_PER_SHARD_MIN).clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX);
    1 << bytes.ilog2()
}

/// How many shards suit a node: about `wanted`, fewer where each would be small.
pub fn suitable_shards(wanted: usize, max_memory: Option<u64>, max_items: Option<u64>) -> usize {
    let by_memory = max_memory.map_or(u64::MAX, |b| b / SHARD_BYTES_MIN);
    let by_items = max_items.map_or(u64::MAX, |n| n / SHARD_ITEMS_MIN);
    let most = by_memory.min(by_items).clamp(1, SHARDS_MAX as u64) as usize;
    let wanted = wanted.clamp(1, SHARDS_MAX).next_power_of_two();
    if wanted <= most { wanted } else { 1 << most.ilog2() }
}

/// All data of a node.
pub struct Engine {
    shards: Box<[ShardCell]>,
    seed: HashSeed,
    max_memory: AtomicU64,
    max_items: AtomicU64,
    /// A bound on what each group that is led holds, at the mean, which holds for a while.
    ceiling: AtomicU64,
    /// Held by who divides bounds between shards, before any shard's lock: two divisions at once
    /// would mix, and their sum could exceed the bound.
    dividing: Mutex<()>,
    aside: room::Aside,
    arena: Arc<Arena>,
    extents: Arc<Extents>,
    log: Arc<LogShared>,
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
        let extents = Extents::new();
        let mut options = options.clone();
        options.shards = options.shards.clamp(1, SHARDS_MAX).next_power_of_two();
        let shards = (0..options.shards)
            .map(|_| {
                let store = Store::new(&options, arena.clone(), extents.clone());
                ShardCell(Mutex::new(Shard { store }))
            })
            .collect();
        let engine = Engine {
            shards,
            seed: HashSeed::new(options.hash_seed),
            max_memory: AtomicU64::new(u64::MAX),
            max_items: AtomicU64::new(u64::MAX),
            ceiling: AtomicU64::new(u64::MAX),
            dividing: Mutex::new(()),
            aside: room::Aside::default(),
            arena,
            extents,
            log: Arc::new(LogShared::new(options.shards)),
        };
        engine.set_limits(options.max_memory, options.max_items);
        engine
    }

    /// Hashes a key, once for all that is done with it.
    #[inline]
    pub fn key<'a>(&self, bytes: &'a [u8]) -> Key<'a> {
        Key::new(bytes, &self.seed)
    }

    /// Which shard keeps the key.
    #[inline]
    pub fn shard_of(&self, key: &Key<'_>) -> usize {
        usize::from(key.group().number()) & (self.shards.len() - 1)
    }

    /// Which shard keeps the group.
    #[inline]
    fn shard_of_group(&self, group: Group) -> usize {
        usize::from(group.number()) & (self.shards.len() - 1)
    }

    /// How many shards there are.
    pub fn shard_count(&self) -> usize {
        self.shards.len()
    }

    /// A buffer for a value longer than `limits::SHARED_VALUE_BYTES_MIN`, to be filled where no
    /// lock is held: frozen, it is stored as it is, while other bytes are copied under the lock.
    /// `None` when the system has no addresses left.
    pub fn buffer(&self, len: usize) -> Option<BigBuffer> {
        self.extents.buffer(len)
    }

    /// Bytes of all big values that anybody refers to, in whole pages: those stored, and those
    /// that only an unfinished command or an unsent answer still needs.
    pub fn big_bytes(&self) -> u64 {
        self.extents.value_bytes()
    }

    /// Bytes of big values that no shard keeps: those on their way in, as far as they are claimed,
    /// and those that only an unfinished command or an unsent answer still needs.
    pub fn loose_bytes(&self) -> u64 {
        self.extents.loose_bytes()
    }

    /// Of these, bytes of values that have begun to come in and are not all there yet.
    pub fn incoming_bytes(&self) -> u64 {
        self.extents.incoming_bytes()
    }

    /// Calls `nudge` from now on when [`Engine::prepare`] has something to do: where a shard is
    /// locked, so it must be quick and call nothing of the engine. Only the first one counts.
    pub fn on_need(&self, nudge: impl Fn() + Send + Sync + 'static) {
        self.arena.on_need(Box::new(nudge));
    }

    /// Makes a little memory resident ahead of its use, in one bounded step without any lock;
    /// whether there may be more to do. For a thread that serves nobody: the first touch of fresh
    /// memory may wait for the machine for milliseconds.
    pub fn prepare(&self) -> bool {
        self.arena.prepare()
    }

    /// Bounds the data of the node: bytes of memory and number of items. Each shard gets its
    /// share.
    pub fn set_limits(&self, max_memory: Option<u64>, max_items: Option<u64>) {
        let _dividing = self.dividing.lock();
        let (memory, items) = (max_memory.unwrap_or(u64::MAX), max_items.unwrap_or(u64::MAX));
        let old_memory = self.max_memory.swap(memory, Ordering::Relaxed);
        let old_items = self.max_items.swap(items, Ordering::Relaxed);
        if (old_memory, old_items) == (memory, items) {
            return;
        }
        let ahead = usize::try_from(memory / limits::ARENA_AHEAD_PART).unwrap_or(usize::MAX);
        self.arena.set_ahead_bytes(ahead);
        let uses: Vec<_> = (0..self.shards.len()).map(|s| self.lock(s).store().uses()).collect();
        let bytes = max_memory.map(|max| budget::divide(max, uses.iter().map(|u| u.memory)));
        let items = max_items.map(|max| budget::divide(max, uses.iter().map(|u| u.items)));
        let part = |parts: &Option<Vec<u64>>, shard: usize| parts.as_ref().map(|p| p[shard]);
        for shard in 0..self.shards.len() {
            self.lock(shard).store().set_limits(part(&bytes, shard), part(&items, shard));
        }
    }

    /// The least bound on memory that this engine can hold: below it a shard has no room for the
    /// few blocks that it always works with.
    pub fn max_memory_min(&self) -> u64 {
        (self.shards.len() * BLOCKS_PER_SHARD_LEAST * self.arena.block_bytes()) as u64
    }

    /// Changes which items go when a bound is reached.
    pub fn set_policy(&self, policy: Policy) {
        (0..self.shards.len()).for_each(|shard| self.lock(shard).store().set_policy(policy));
    }

    /// Changes how long APPEND and SETRANGE may make a value.
    pub fn set_value_bytes_max(&self, bytes: usize) {
        (0..self.shards.len()).for_each(|s| self.lock(s).store().set_value_bytes_max(bytes));
    }

    /// Bytes of memory that the shards hold.
    pub fn used_bytes(&self) -> u64 {
        (0..self.shard_count()).map(|shard| self.lock(shard).store().used_bytes()).sum()
    }

    /// The bound on memory, if there is one.
    pub fn max_memory(&self) -> Option<u64> {
        Some(self.max_memory.load(Ordering::Relaxed)).filter(|bytes| *bytes != u64::MAX)
    }

    /// From the next [`Engine::rebalance`] on what this node leads uses no more than this for each
    /// group, within the bound on memory: other nodes have no room for copies of more. Groups that
    /// it leads and copies that are here count as they are by then, whenever this was said.
    pub fn set_ceiling(&self, bytes_each: Option<u64>) {
        self.ceiling.store(bytes_each.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Locks a shard. Several only in ascending order; never across an await.
    #[inline]
    pub fn lock(&self, shard: usize) -> ShardGuard<'_> {
        ShardGuard { shard: Some(self.shards[shard].0.lock()), arena: &self.arena }
    }

    /// Locks a shard, if nobody else has it, to ask for memory that commands will look at.
    #[inline]
    pub fn peek(&self, shard: usize) -> Option<ShardPeek<'_>> {
        self.shards[shard].0.try_lock().map(ShardPeek)
    }

    /// Executes any command, taking the locks it needs.
    pub fn execute<W: ReplyWriter>(&self, command: &Command<'_>, now: Time, out: &mut W) {
        self.execute_as(command, now, Access::Counted, out);
    }

    /// The same, and whether it makes items look used.
    pub fn execute_as<W: ReplyWriter>(
        &self,
        command: &Command<'_>,
        now: Time,
        access: Access,
        out: &mut W,
    ) {
        let done = self.execute_for(command, Duty::Any, now, access, out);
        debug_assert_eq!(done, Ok(()), "whoever asks for nothing is not refused");
    }

    /// Visits the live keys of a slot until `visit` has had enough and says false. Locks the shard
    /// for a bounded number of items at a time.
    pub fn keys_in_slot(&self, slot: Slot, now: Time, visit: impl FnMut(&[u8]) -> bool) {
        space::keys_in_slot(self, slot, now, visit);
    }
}

/// A shard while it is locked. What it gave up meanwhile is dropped after the lock, and pages go
/// back to the system.
pub struct ShardGuard<'a> {
    shard: Option<MutexGuard<'a, Shard>>,
    arena: &'a Arena,
}

impl Deref for ShardGuard<'_> {
    type Target = Shard;

    #[inline]
    fn deref(&self) -> &Shard {
        match &self.shard {
            Some(shard) => shard,
            None => unreachable!("a guard loses its shard in drop only"),
        }
    }
}

impl DerefMut for ShardGuard<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Shard {
        match &mut self.shard {
            Some(shard) => shard,
            None => unreachable!("a guard loses its shard in drop only"),
        }
    }
}

impl Drop for ShardGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        let garbage = self.shard.as_mut().and_then(|s| s.store.take_garbage());
        self.shard = None;
        drop(garbage);
        self.arena.trim();
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
        self.begin(now);
        execute::execute(&mut self.store, key, op, now, Access::Counted, out);
    }

    /// The same, and whether it makes the item look used: for the cold path.
    pub fn execute_as<W: ReplyWriter>(
        &mut self,
        key: &Key<'_>,
        op: &KeyOp<'_>,
        now: Time,
        access: Access,
        out: &mut W,
    ) {
        self.begin(now);
        execute::execute(&mut self.store, key, op, now, access, out);
    }

    /// A command begins: see [`journal::Journal::begin`].
    #[inline]
    fn begin(&mut self, now: Time) {
        if let Some(journal) = self.store.journal() {
            journal.begin(now);
        }
    }

    /// Whether room is to be made, where no lock is held, before an `op` on what is there now.
    #[inline]
    pub fn needs_room(&self, key: &Key<'_>, op: &KeyOp<'_>, now: Time) -> bool {
        let len = self.store.peek(key, now).map_or(0, |item| item.value.bytes().len());
        op.needs_room_with(len as u64)
    }

    /// The newest record of a group of this shard; 0 without a log.
    #[inline]
    pub fn log_seq(&mut self, group: Group) -> Seq {
        self.store.journal().map_or(Seq(0), |journal| journal.position(group).1)
    }

    /// Whether this node executes commands on the group now: it is its primary, and the group is
    /// not about to go to another.
    #[inline]
    pub fn serves(&self, group: Group) -> bool {
        self.store.serves(group)
    }

    /// Whether this node may answer reads of the group from its copy.
    pub fn serves_reads(&self, group: Group) -> bool {
        self.store.serves_reads(group)
    }

    /// Its items.
    pub fn store(&mut self) -> &mut Store {
        &mut self.store
    }
}
