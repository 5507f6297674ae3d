//! The items of one shard. (First form: a plain map, to be replaced by segments and index.)

use super::{EngineOptions, Key, Policy};
use crate::command::{Time, Value};
use bytes::Bytes;
use cluster::slot::Group;
use std::collections::BTreeMap;

/// An item as seen under the lock. Dead ones are never seen.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// Its value.
    pub value: ItemValue<'a>,
    /// When it dies.
    pub deadline: Option<Time>,
}

/// The value of an item.
#[derive(Clone, Copy, Debug)]
pub enum ItemValue<'a> {
    /// In a segment; valid under the lock only.
    Inline(&'a [u8]),
    /// A buffer of its own.
    Shared(&'a Bytes),
}

impl<'a> ItemValue<'a> {
    /// Its bytes.
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        match self {
            ItemValue::Inline(s) => s,
            ItemValue::Shared(b) => b,
        }
    }
}

/// There is no room and nothing may be evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Counters of a store; totals since its start, except where said.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoreStats {
    /// Items now, dead but unreclaimed ones included.
    pub items: u64,
    /// Of these, items with a deadline.
    pub items_with_deadline: u64,
    /// Reads that found a live item.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Items evicted to make room.
    pub evictions: u64,
    /// Candidates let into the main region.
    pub admissions: u64,
    /// Candidates turned away.
    pub rejections: u64,
    /// Items reclaimed after their deadline.
    pub expiries: u64,
    /// Bytes of memory held now: items, index, sketch, big values.
    pub used_bytes: u64,
    /// Bytes of live items now: keys, values and their headers.
    pub live_bytes: u64,
    /// Bytes of the index now.
    pub index_bytes: u64,
    /// Bytes of big values now, referenced ones included.
    pub big_bytes: u64,
    /// Bytes in segments that hold nothing any more now.
    pub dead_bytes: u64,
}

/// The items of one shard.
pub struct Store {
    map: BTreeMap<(Group, u32, Vec<u8>), (Bytes, Option<Time>)>,
    stats: StoreStats,
    policy: Policy,
    items_max: Option<usize>,
}

impl Store {
    /// An empty store.
    pub fn new(options: &EngineOptions) -> Store {
        Store {
            map: BTreeMap::new(),
            stats: StoreStats::default(),
            policy: options.policy,
            items_max: options.max_items.map(|n| n as usize / options.shards.max(1)),
        }
    }

    /// Which items go when a bound is reached.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Makes room for one more item beside `id`.
    fn make_room(&mut self, id: &(Group, u32, Vec<u8>), now: Time) -> Result<(), Full> {
        let Some(max) = self.items_max else { return Ok(()) };
        while self.map.len() >= max && !self.map.contains_key(id) {
            let dead = |d: Option<Time>| d.is_some_and(|d| d <= now);
            let may_go = |d: Option<Time>| match self.policy {
                Policy::NoEviction => dead(d),
                policy => dead(d) || !policy.only_volatile() || d.is_some(),
            };
            let victim = self.map.iter().find(|(_, (_, d))| may_go(*d)).ok_or(Full)?.0.clone();
            self.map.remove(&victim);
            self.stats.evictions += 1;
        }
        Ok(())
    }

    fn id(key: &Key<'_>) -> (Group, u32, Vec<u8>) {
        (key.group(), key.position(), key.bytes.to_vec())
    }

    /// Reads an item, counting a hit or a miss and an access.
    #[inline]
    pub fn get(&mut self, key: &Key<'_>, now: Time) -> Option<Item<'_>> {
        if self.peek(key, now).is_some() {
            self.stats.hits += 1;
        } else {
            self.stats.misses += 1;
        }
        self.peek(key, now)
    }

    /// Reads an item without leaving a trace.
    pub fn peek(&self, key: &Key<'_>, now: Time) -> Option<Item<'_>> {
        let (value, deadline) = self.map.get(&Store::id(key))?;
        if deadline.is_some_and(|d| d <= now) {
            return None;
        }
        Some(Item { value: ItemValue::Shared(value), deadline: *deadline })
    }

    /// Stores an item, replacing one of that name. A deadline at or before `now` is the caller's
    /// mistake: it should remove instead.
    ///
    /// # Errors
    /// [`Full`] when there is no room; an old item of that name is still there then.
    pub fn set(
        &mut self,
        key: &Key<'_>,
        value: Value<'_>,
        deadline: Option<Time>,
        now: Time,
    ) -> Result<(), Full> {
        let id = Store::id(key);
        self.make_room(&id, now)?;
        self.map.insert(id, (Bytes::copy_from_slice(value.bytes()), deadline));
        Ok(())
    }

    /// Removes an item; whether there was a live one.
    pub fn remove(&mut self, key: &Key<'_>, now: Time) -> bool {
        self.map.remove(&Store::id(key)).is_some_and(|(_, d)| d.is_none_or(|d| d > now))
    }

    /// Changes the deadline of a live item; whether there was one.
    ///
    /// # Errors
    /// [`Full`] when the item had to move and there was no room; nothing has changed then.
    pub fn set_deadline(
        &mut self,
        key: &Key<'_>,
        deadline: Option<Time>,
        now: Time,
    ) -> Result<bool, Full> {
        match self.map.get_mut(&Store::id(key)) {
            Some((_, d)) if d.is_none_or(|d| d > now) => {
                *d = deadline;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// How often the item was asked for lately, as far as the policy counts it (0–15).
    pub fn frequency(&self, _key: &Key<'_>) -> u8 {
        0
    }

    /// Milliseconds since the item was written, at most: an upper bound of its idle time.
    pub fn idle_ms(&self, _key: &Key<'_>, _now: Time) -> u64 {
        0
    }

    /// Bytes an item takes: index slot, header, key, value, deadline.
    pub fn item_bytes(&self, key: &Key<'_>, now: Time) -> Option<u64> {
        let item = self.peek(key, now)?;
        Some((key.bytes.len() + item.value.bytes().len() + 14) as u64)
    }

    /// Visits live items of a group in hash order, from position `from` on: at least `want` of
    /// them if there are as many, and always all of one position. Returns where to go on, or
    /// `None` at the end of the group. Items that stay are visited exactly once by a walk that
    /// starts at 0 and goes on where it is told, whatever else comes and goes meanwhile.
    pub fn walk(
        &self,
        group: Group,
        from: u32,
        want: usize,
        now: Time,
        mut visit: impl FnMut(&[u8], Item<'_>),
    ) -> Option<u32> {
        let mut seen = 0;
        let mut last = None;
        for ((g, position, name), (value, deadline)) in self.map.range((group, from, Vec::new())..)
        {
            if *g != group {
                return None;
            }
            if seen >= want && last != Some(*position) {
                return Some(*position);
            }
            last = Some(*position);
            if deadline.is_none_or(|d| d > now) {
                seen += 1;
                visit(name, Item { value: ItemValue::Shared(value), deadline: *deadline });
            }
        }
        None
    }

    /// A live item chosen by `chance`, about evenly, or `None` when none was found. `visit` gets
    /// its name.
    pub fn random(&self, chance: u64, now: Time, mut visit: impl FnMut(&[u8])) -> bool {
        let live: Vec<_> =
            self.map.iter().filter(|(_, (_, d))| d.is_none_or(|d| d > now)).collect();
        if live.is_empty() {
            return false;
        }
        let ((_, _, name), _) = live[(chance % live.len() as u64) as usize];
        visit(name);
        true
    }

    /// Items in the store, dead but unreclaimed ones included.
    pub fn len(&self) -> u64 {
        self.map.len() as u64
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Items of one group, dead but unreclaimed ones included.
    pub fn group_len(&self, group: Group) -> u64 {
        self.map.keys().filter(|k| k.0 == group).count() as u64
    }

    /// Drops everything; memory goes back in steps of later upkeep.
    pub fn clear(&mut self) {
        self.map.clear();
    }

    /// Does one bounded step of what must be done apart from commands: expiry, cleaning, giving
    /// memory back. Returns whether there is more to do at once.
    pub fn upkeep(&mut self, _now: Time) -> bool {
        false
    }

    /// Counters.
    pub fn stats(&self) -> StoreStats {
        StoreStats { items: self.len(), ..self.stats }
    }
}
