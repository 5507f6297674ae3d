//! Room for several items that are stored together, all of them or none: what they need is added up
//! as if they were stored one after the other.

use super::item::Draft;
use super::segments::Region;
use super::{Full, Key, Policy, Store};
use crate::command::{Time, Value};
use crate::limits::ROOM_STEPS_MAX;
use std::collections::{HashMap, HashSet};

/// Whether several items have room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum SeveralRoom {
    /// They have.
    Enough,
    /// Something was moved or given up for them: add up again what they need.
    Changed,
}

/// What several items of a shard need, in the order in which they are stored. What they replace
/// counts on: it goes when all are there.
#[derive(Debug)]
pub(in crate::engine) struct Needs {
    /// How many are new.
    items: u64,
    /// Bytes they take.
    bytes: u64,
    /// Bytes there must be room for while they are stored, which may be more.
    bytes_most: u64,
    /// Bytes of those that make room for themselves where anything may be evicted.
    small_bytes: u64,
    /// Whether there are others.
    any_big: bool,
    /// What is left of the open segments of window and main.
    left: [usize; 2],
    /// Chunks of the index that are free.
    chunks: usize,
    /// Items that come to each leaf; where there is none yet, to the group.
    added: HashMap<Result<u32, usize>, usize>,
    /// Hashes of what was added up.
    seen: HashSet<u64>,
}

impl Needs {
    /// What an item takes beside its name and its value, at most.
    pub(in crate::engine) const ITEM_BYTES: u64 = 32;

    /// Asks for room for so many bytes, of which so many are taken.
    fn take(&mut self, room: u64, taken: u64) {
        self.bytes_most = self.bytes_most.max(self.bytes + room);
        self.bytes += taken;
    }
}

impl Store {
    /// Whether items of about so many bytes can be stored, however they lie: of blocks half may
    /// stay empty where the next item did not fit, and some are begun.
    pub(in crate::engine) fn has_plenty(&self, bytes: u64, items: u64) -> bool {
        const BEGUN_BLOCKS: u64 = 3;
        let blocks = (2 * bytes).div_ceil(self.arena.block_bytes() as u64) + BEGUN_BLOCKS;
        (self.limit_bytes == u64::MAX || self.room_left(blocks))
            && (self.limit_items == u64::MAX || self.len() + items <= self.limit_items)
    }

    /// What no items need.
    pub(in crate::engine) fn no_needs(&self) -> Needs {
        Needs {
            items: 0,
            bytes: 0,
            bytes_most: 0,
            small_bytes: 0,
            any_big: false,
            left: [Region::Window, Region::Main].map(|region| self.segments.left(region)),
            chunks: self.index.free_chunks(),
            added: HashMap::new(),
            seen: HashSet::new(),
        }
    }

    /// Adds what an item without a deadline needs that is stored behind those before.
    pub(in crate::engine) fn add_up(&self, needs: &mut Needs, key: &Key<'_>, value: Value<'_>) {
        let (len, stub, block) = (value.bytes().len(), [0; 8], self.arena.block_bytes());
        let big = len > self.inline_max();
        if big {
            let bytes = self.bigs.bytes_of(len);
            needs.any_big = true;
            needs.take((bytes.div_ceil(block as u64) + 1) * block as u64, bytes);
        }
        let value = if big { &stub } else { value.bytes() };
        let draft = Draft { key: key.bytes, value, big, edited: false, deadline: None };
        needs.small_bytes += draft.len() as u64;
        let again = !needs.seen.insert(key.hash);
        let found = self.find(key).map(|at| self.index.get(&at).offset());
        if found.is_some_and(|at| !again && self.segments.item(at).has_place_for(&draft)) {
            return;
        }
        let local = self.local(key.group());
        let mut blocks = 0;
        let (window, main) = match found.map(|at| self.region_of(local, at)) {
            Some(region) => (region == Region::Window, region != Region::Window),
            None => (self.admission.is_some(), true),
        };
        for (left, goes) in needs.left.iter_mut().zip([window, main]) {
            if goes && *left < draft.len() {
                *left = block;
                blocks += 1;
            }
            *left = left.saturating_sub(if goes { draft.len() } else { 0 });
        }
        if !self.index.is_enough(needs.chunks) {
            blocks += 1;
            needs.chunks += self.index.chunks_per_block();
        }
        if found.is_none() && !again {
            needs.items += 1;
            let leaf = self.index.leaf_number(local, key.hash);
            let added = needs.added.entry(leaf.ok_or(local)).or_default();
            let chunks = self.index.chunks_for(leaf, *added);
            *added += 1;
            needs.chunks = needs.chunks.saturating_sub(chunks);
        }
        needs.take(blocks * block as u64, blocks * block as u64);
    }

    /// Makes room for several items, in at most so many `steps`.
    ///
    /// # Errors
    /// [`Full`] when there is none for all of them.
    pub(in crate::engine) fn make_room_for_all(
        &mut self,
        needs: &Needs,
        steps: &mut u32,
        now: Time,
    ) -> Result<SeveralRoom, Full> {
        let own = [Region::Window, Region::Main].map(|region| self.segments.sums(region).bytes);
        if self.evicts_any() && !needs.any_big && own[0] + own[1] >= 2 * needs.small_bytes {
            // Each makes room for itself: there is enough that may go.
            return Ok(SeveralRoom::Enough);
        }
        if needs.bytes_most > self.bytes_goal() {
            return Err(Full);
        }
        let mut changed = false;
        while !self.has_room_for_all(needs) {
            self.segments.begin_step();
            if *steps >= ROOM_STEPS_MAX || !self.relieve(now) {
                return if changed { Ok(SeveralRoom::Changed) } else { Err(Full) };
            }
            self.segments.work().assert_bounded();
            (changed, *steps) = (true, *steps + 1);
        }
        if changed {
            return Ok(SeveralRoom::Changed);
        }
        // Nothing that was not foreseen shall break off what is begun: the bound stands aside.
        self.roomy = true;
        Ok(SeveralRoom::Enough)
    }

    /// The items that room was made for are stored.
    pub(in crate::engine) fn end_all(&mut self) {
        self.roomy = false;
    }

    fn has_room_for_all(&self, needs: &Needs) -> bool {
        self.used_bytes().saturating_add(needs.bytes_most) <= self.bytes_goal()
            && (needs.items == 0 || self.len() + needs.items <= self.limit_items)
    }

    /// Up to where a write may fill: what is held above a bound that was lowered goes later.
    pub(super) fn bytes_goal(&self) -> u64 {
        self.limit_bytes.max(self.anchor.min(self.used_bytes()))
    }

    /// Whether the policy may give up any item.
    fn evicts_any(&self) -> bool {
        match self.policy {
            Policy::TinyLfu | Policy::AllKeysLru | Policy::AllKeysLfu | Policy::AllKeysRandom => {
                true
            }
            Policy::NoEviction
            | Policy::VolatileTtl
            | Policy::VolatileLru
            | Policy::VolatileLfu
            | Policy::VolatileRandom => false,
        }
    }
}
