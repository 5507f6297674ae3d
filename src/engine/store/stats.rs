//! How much a store holds, and what has happened in it: numbers for others to read.

use super::Store;
use super::admission::Admission;
use crate::engine::budget::{Use, Uses};
use cluster::slot::Group;

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
    /// Bytes of live items now: keys, values and their headers; big values in whole pages.
    pub live_bytes: u64,
    /// Bytes of the index now.
    pub index_bytes: u64,
    /// Bytes of big values now, in whole pages.
    pub big_bytes: u64,
    /// Bytes in segments that hold nothing any more now.
    pub dead_bytes: u64,
}

/// Counters that commands and upkeep move.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) evictions: u64,
    pub(super) expiries: u64,
    pub(super) long_writes: u64,
}

impl Store {
    /// Items in the store, dead but unreclaimed ones included.
    pub fn len(&self) -> u64 {
        self.segments.live_items()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Items of one group, dead but unreclaimed ones included.
    pub fn group_len(&self, group: Group) -> u64 {
        self.index.count(self.local(group)).into()
    }

    /// What it uses of its bounds.
    pub(in crate::engine) fn uses(&self) -> Uses {
        Uses {
            memory: Use { held: self.used_bytes(), limit: self.limit_bytes },
            items: Use { held: self.len(), limit: self.limit_items },
        }
    }

    /// Bytes of memory held.
    pub fn used_bytes(&self) -> u64 {
        let blocks = self.segments.blocks() + self.index.blocks() + self.graveyard.len();
        let admission = self.admission.as_ref().map_or(0, Admission::bytes);
        let heap = self.index.heap_bytes() + admission;
        (blocks * self.arena.block_bytes() + heap) as u64 + self.bigs.bytes()
    }

    /// Writes that had to do more than one bounded step to make room: big values do, others where a
    /// shard is so small that nothing may be lent.
    pub fn long_writes(&self) -> u64 {
        self.counters.long_writes
    }

    /// Counters.
    pub fn stats(&self) -> StoreStats {
        let admission = self.admission.as_ref().map(Admission::counts).unwrap_or_default();
        let index_bytes = self.index.blocks() * self.arena.block_bytes() + self.index.heap_bytes();
        StoreStats {
            items: self.len(),
            items_with_deadline: self.segments.with_deadline.iter().sum(),
            hits: self.counters.hits,
            misses: self.counters.misses,
            evictions: self.counters.evictions,
            admissions: admission.0,
            rejections: admission.1,
            expiries: self.counters.expiries,
            used_bytes: self.used_bytes(),
            live_bytes: self.segments.live_bytes() + self.bigs.bytes(),
            index_bytes: index_bytes as u64,
            big_bytes: self.bigs.bytes(),
            dead_bytes: self.segments.len_sum() - self.segments.live_bytes(),
        }
    }
}
