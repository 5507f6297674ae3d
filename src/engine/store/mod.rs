//! The items of one shard: segments hold them, the index finds them, the policy decides which go.
//! Pure: time is an argument; knows no command, lock, socket or file.

mod admission;
mod arena;
mod big;
mod big_room;
mod clean;
mod deadline;
mod evict;
mod garbage;
mod index;
mod item;
mod logged;
mod roles;
mod room;
mod segments;
mod several;
mod sketch;
mod stats;
mod view;
mod volatile;
mod walk;

#[cfg(test)]
mod steps_tests;
#[cfg(test)]
mod tests;

pub use garbage::Garbage;
pub use roles::Role;
pub use stats::StoreStats;
pub use view::{Item, ItemValue};

pub(super) use arena::Arena;
pub(super) use big_room::BigRoom;
pub(super) use roles::Led;
pub(super) use several::{Needs, SeveralRoom};

use super::extents::{BigBuffer, Extents};
use super::journal::Journal;
use super::{EngineOptions, HashSeed, Key, Policy};
use crate::command::{Time, Value};
use crate::limits::{SHARED_VALUE_BYTES_MIN, VALUE_BYTES_MAX};
use admission::Admission;
use big::Bigs;
use bytes::Bytes;
use clean::Cleaning;
use cluster::slot::Group;
use index::{Index, SlotRef, Word};
use item::Draft;
use roles::Roles;
use segments::{Region, Segments};
use stats::Counters;
use std::sync::Arc;
pub(crate) use view::prefetch;
pub(in crate::engine) use view::prefetch_to_write;

/// There is no room and nothing may be evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The items of one shard.
// In this order: what every request writes is beside the lock, in the one line that then goes from
// core to core.
#[derive(Debug)]
#[repr(C)]
pub struct Store {
    counters: Counters,
    shard_bits: u32,
    /// Whether accesses are counted: a bound is near.
    tracking: bool,
    /// The bound is not asked now: room was made for all that is written, or what is written goes
    /// away elsewhere.
    roomy: bool,
    index: Index,
    segments: Segments,
    bigs: Bigs,
    arena: Arc<Arena>,
    extents: Arc<Extents>,
    seed: HashSeed,
    policy: Policy,
    limit_bytes: u64,
    limit_items: u64,
    /// Up to where memory may be used without being lent: the bound, or what was held when it was
    /// lowered and is not given up yet.
    anchor: u64,
    value_bytes_max: usize,
    admission: Option<Admission>,
    evicting: evict::Hands,
    roles: Roles,
    cleaning: Cleaning,
    /// Big values and tables given up, to be dropped without the lock.
    garbage: Vec<Bytes>,
    /// Blocks given up by `clear`, to be returned in steps.
    graveyard: Vec<arena::Block>,
    scratch: Vec<u8>,
    journal: Option<Box<Journal>>,
}

impl Store {
    /// An empty store: one of `options.shards` that share `arena`, and `extents` for big values.
    pub(super) fn new(options: &EngineOptions, arena: Arc<Arena>, extents: Arc<Extents>) -> Store {
        let shard_bits = options.shards.trailing_zeros();
        let groups = usize::from(cluster::slot::GROUPS) >> shard_bits;
        let mut store = Store {
            index: Index::new(arena.clone(), groups),
            segments: Segments::new(arena.clone()),
            bigs: Bigs::new(extents.clone()),
            arena,
            extents,
            shard_bits,
            seed: HashSeed::new(options.hash_seed),
            policy: options.policy,
            limit_bytes: u64::MAX,
            limit_items: u64::MAX,
            anchor: u64::MAX,
            roomy: false,
            value_bytes_max: VALUE_BYTES_MAX,
            tracking: false,
            admission: None,
            evicting: evict::Hands::default(),
            roles: Roles::new(groups),
            cleaning: Cleaning::default(),
            counters: Counters::default(),
            garbage: Vec::new(),
            graveyard: Vec::new(),
            scratch: Vec::new(),
            journal: None,
        };
        store.set_limits(None, None);
        store
    }

    /// Changes the bounds a little, keeping what was learnt.
    pub(super) fn move_limits(&mut self, bytes: u64, items: u64) {
        self.limit_bytes = bytes;
        self.limit_items = items;
        self.bounds_moved();
        if bytes == u64::MAX && items == u64::MAX {
            self.set_admission(None);
            self.tracking = false;
        }
    }

    /// Begins to learn anew, or stops. What was learnt is dropped without the lock.
    fn set_admission(&mut self, admission: Option<Admission>) {
        let old = std::mem::replace(&mut self.admission, admission);
        self.garbage.extend(old.map(Admission::into_garbage));
    }

    /// Bounds this shard: bytes of memory and number of items.
    pub fn set_limits(&mut self, bytes: Option<u64>, items: Option<u64>) {
        let half = |old: u64, new: Option<u64>| old != u64::MAX && new.is_some_and(|n| n < old / 2);
        if half(self.limit_bytes, bytes) || half(self.limit_items, items) {
            // Made for many more items than there will be.
            self.set_admission(None);
        }
        self.move_limits(bytes.unwrap_or(u64::MAX), items.unwrap_or(u64::MAX));
        let blocks = bytes.map_or(u64::MAX, |b| b / self.arena.block_bytes() as u64);
        // Half of an open segment is empty at the mean: at most 3 % of the bound are.
        self.segments.set_open_max((blocks / 16) as usize);
    }

    /// Changes the policy; what was learnt of requests is kept where the new one uses it.
    pub fn set_policy(&mut self, policy: Policy) {
        if self.policy != policy {
            self.policy = policy;
            self.set_admission(None);
            self.tracking = false;
        }
    }

    /// The policy in force.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Changes how long a value may grow.
    pub(super) fn set_value_bytes_max(&mut self, bytes: usize) {
        self.value_bytes_max = bytes;
    }

    /// How long a value may grow.
    pub(super) fn value_bytes_max(&self) -> usize {
        self.value_bytes_max
    }

    #[inline]
    fn local(&self, group: Group) -> usize {
        usize::from(group.number()) >> self.shard_bits
    }

    #[inline]
    fn find(&self, key: &Key<'_>) -> Option<SlotRef> {
        let segments = &self.segments;
        self.index.find(self.local(key.group()), key.hash, |word| {
            let bytes = segments.bytes(word.offset());
            // The value comes after the name: its lines are fetched while the name is compared.
            prefetch(bytes.as_ptr().wrapping_add(64));
            prefetch(bytes.as_ptr().wrapping_add(128));
            item::has_key(bytes, key.bytes)
        })
    }

    /// Reads an item, counting a hit or a miss and an access.
    #[inline]
    pub fn get(&mut self, key: &Key<'_>, now: Time) -> Option<Item<'_>> {
        let Some((at, word)) = self.find_live(key, now) else {
            self.counters.misses += 1;
            if let Some(admission) = &mut self.admission {
                admission.missed();
            }
            return None;
        };
        self.counters.hits += 1;
        if self.tracking {
            self.touch(&at, word, key.hash, true);
        }
        Some(self.view(word.offset()))
    }

    /// Reads an item, counting a hit or a miss but no access: for who must not make an item look
    /// used.
    #[cold]
    pub(super) fn get_untouched(&mut self, key: &Key<'_>, now: Time) -> Option<Item<'_>> {
        let Some((_, word)) = self.find_live(key, now) else {
            self.counters.misses += 1;
            return None;
        };
        self.counters.hits += 1;
        Some(self.view(word.offset()))
    }

    /// Does what `act` does, but replacing an item is no access. A new one counts as it always
    /// does: it has to begin somewhere.
    #[cold]
    pub(in crate::engine) fn untouched<T>(&mut self, act: impl FnOnce(&mut Store) -> T) -> T {
        let tracking = std::mem::replace(&mut self.tracking, false);
        let done = act(self);
        self.tracking |= tracking;
        done
    }

    /// The slot of a live item; a dead one is removed.
    #[inline]
    fn find_live(&mut self, key: &Key<'_>, now: Time) -> Option<(SlotRef, Word)> {
        let at = self.find(key)?;
        let word = self.index.get(&at);
        if word.has_deadline() && self.segments.item(word.offset()).deadline <= Some(now) {
            let local = self.local(key.group());
            if self.is_due(local, self.segments.item(word.offset()).deadline, now) {
                self.expire_item(local, &at);
            }
            return None;
        }
        Some((at, word))
    }

    /// Counts an access for the policy.
    fn touch(&mut self, at: &SlotRef, word: Word, hash: u64, read: bool) {
        if word.references() < index::REFERENCES_MAX {
            self.index.set(at, word.with_references(word.references() + 1));
        }
        let region = self.segments.get(self.segments.segment_of(word.offset())).region;
        if let Some(admission) = &mut self.admission {
            admission.accessed(hash, read.then_some(region));
        }
    }

    /// Stores an item, replacing one of that name. A deadline at or before `now` is the caller's
    /// mistake: it should remove instead.
    ///
    /// # Errors
    /// [`Full`] when there is no room; an old item of that name is still there then.
    #[inline]
    pub fn set(
        &mut self,
        key: &Key<'_>,
        value: Value<'_>,
        deadline: Option<Time>,
        now: Time,
    ) -> Result<(), Full> {
        self.set_as(key, value, deadline, false, now)
    }

    /// The same; `edited`: the value was made of another by changing a part of it.
    #[inline]
    pub(in crate::engine) fn set_as(
        &mut self,
        key: &Key<'_>,
        value: Value<'_>,
        deadline: Option<Time>,
        edited: bool,
        now: Time,
    ) -> Result<(), Full> {
        let bytes = value.bytes();
        if bytes.len() > self.inline_max() {
            return self.set_big(key, value, deadline, now);
        }
        let draft = Draft { key: key.bytes, value: bytes, big: false, edited, deadline };
        self.write(key, &draft, now)?;
        self.log_set(key, bytes, deadline);
        Ok(())
    }

    /// A buffer for a big value.
    pub(in crate::engine) fn buffer(&self, len: usize) -> Result<BigBuffer, Full> {
        self.extents.buffer(len).ok_or(Full)
    }

    /// Longest value that is kept in a segment.
    fn inline_max(&self) -> usize {
        (SHARED_VALUE_BYTES_MIN - 1).min(self.arena.block_bytes() / 4)
    }

    #[cold]
    fn set_big(
        &mut self,
        key: &Key<'_>,
        value: Value<'_>,
        deadline: Option<Time>,
        now: Time,
    ) -> Result<(), Full> {
        let bytes = self.bigs.bytes_of(value.bytes().len());
        if self.roles.is_replica(self.local(key.group())) {
            self.make_room_for_big_replica(bytes, now);
        } else {
            self.make_room_for_big(bytes, now)?;
        }
        let shared = match value {
            Value::Shared(b) if self.extents.owns(b) => b.clone(),
            Value::Shared(_) | Value::Slice(_) => self.extents.copy(value.bytes()).ok_or(Full)?,
        };
        let id = self.bigs.insert(shared);
        let stub = item::stub(id, self.bigs.bytes_of(self.bigs.get(id).len()));
        let draft = Draft { key: key.bytes, value: &stub, big: true, edited: false, deadline };
        let result = self.write(key, &draft, now);
        match result {
            Ok(()) => self.log_set_big(key, id, deadline),
            Err(Full) => self.garbage.extend(self.bigs.remove(id)),
        }
        result
    }

    /// Writes an item in place or at the end of an open segment.
    #[inline]
    fn write(&mut self, key: &Key<'_>, draft: &Draft<'_>, now: Time) -> Result<(), Full> {
        let mut found = self.find(key);
        if let Some(at) = found {
            let word = self.index.get(&at);
            if self.segments.overwrite(word.offset(), draft) {
                if self.tracking {
                    self.touch(&at, self.index.get(&at), key.hash, false);
                }
                return Ok(());
            }
        }
        if self.make_room(self.local(key.group()), draft, found.is_none(), now)? {
            found = self.find(key);
        }
        self.append(key, draft, found, now)
    }

    /// Appends an item for which there is room.
    fn append(
        &mut self,
        key: &Key<'_>,
        draft: &Draft<'_>,
        found: Option<SlotRef>,
        now: Time,
    ) -> Result<(), Full> {
        let local = self.local(key.group());
        let region = match found {
            Some(at) => self.region_of(local, self.index.get(&at).offset()),
            None if self.roles.is_replica(local) => Region::Replica,
            None => self.arrival_region(key.hash),
        };
        let offset = self.segments.append(region, draft, now).ok_or(Full)?;
        match found {
            Some(at) => self.replace(&at, offset, draft, key.hash),
            None => return self.add(key, offset, draft, now),
        }
        Ok(())
    }

    fn replace(&mut self, at: &SlotRef, offset: u64, draft: &Draft<'_>, hash: u64) {
        let word = self.index.get(at);
        let old = word.offset();
        let big = self.segments.item(old).big();
        self.index.set(at, word.at(offset).with_deadline(draft.deadline.is_some()));
        self.segments.kill(old);
        self.garbage.extend(big.and_then(|id| self.bigs.remove(id)));
        if self.tracking {
            self.touch(at, self.index.get(at), hash, false);
        }
    }

    fn add(
        &mut self,
        key: &Key<'_>,
        offset: u64,
        draft: &Draft<'_>,
        now: Time,
    ) -> Result<(), Full> {
        let word = Word::new(offset, key.hash, draft.deadline.is_some());
        let (segments, seed) = (&self.segments, &self.seed);
        let mut expired = Vec::new();
        let group = self.local(key.group());
        let added = self.index.insert(group, key.hash, word, |w| {
            let raw = segments.item(w.offset());
            if w.has_deadline() && raw.deadline <= Some(now) {
                expired.push(w.offset());
                return None;
            }
            Some(Key::position_of(raw.key, seed))
        });
        if !expired.is_empty() {
            self.log_expired(group);
        }
        for offset in expired {
            self.bury(offset);
            self.counters.expiries += 1;
        }
        if !added {
            self.segments.kill(offset);
            return Err(Full);
        }
        if let Some(admission) = self.admission.as_mut().filter(|_| !self.roles.is_replica(group)) {
            admission.accessed(key.hash, None);
        }
        Ok(())
    }

    /// Removes an item; whether there was a live one.
    pub fn remove(&mut self, key: &Key<'_>, now: Time) -> bool {
        let Some((at, word)) = self.find_live(key, now) else { return false };
        self.log_delete(self.local(key.group()), word.offset());
        self.drop_item(self.local(key.group()), &at);
        true
    }

    /// Takes an item out of index and segments.
    fn drop_item(&mut self, group: usize, at: &SlotRef) {
        let offset = self.index.get(at).offset();
        if self.index.remove(group, at) {
            let position = Key::position_of(self.segments.item(offset).key, &self.seed);
            self.index.merge(group, position);
        }
        self.bury(offset);
    }

    fn expire_item(&mut self, group: usize, at: &SlotRef) {
        self.log_expired(group);
        self.drop_item(group, at);
        self.counters.expiries += 1;
    }

    /// Marks an item dead that the index no longer knows.
    fn bury(&mut self, offset: u64) {
        if let Some(id) = self.segments.item(offset).big() {
            self.garbage.extend(self.bigs.remove(id));
        }
        self.segments.kill(offset);
    }
}
