//! How the bounds of a node are divided between its shards, and how room is made for what is big
//! before it is stored: in bounded steps, between which others have their turn. What no shard keeps
//! (values on their way in, and those that only unsent answers refer to) is set aside first.

mod ahead;

pub use ahead::Room;

use super::store::{BigRoom, Led};
use super::{BigBuffer, Engine, budget};
use crate::command::{Time, Value};
use crate::limits::{
    CEILING_LOOSE_PART, GIANT_PART, GIANTS_LEAVE_PART, LOOSE_AHEAD_BYTES_MAX, LOOSE_AHEAD_PART,
    LOOSE_PART, ROOM_STEPS_MAX, SHARED_VALUE_BYTES_MIN,
};
use parking_lot::{Mutex, MutexGuard};
use std::sync::atomic::{AtomicU64, Ordering};

/// What is set aside of the bound on memory.
#[derive(Debug, Default)]
pub(super) struct Aside {
    /// Up to here values that no shard keeps have room.
    loose_bytes: AtomicU64,
    /// What a single command may take of it, where that is more than others may together.
    own_bytes: AtomicU64,
    /// Values that shards are about to keep.
    landings: Mutex<Vec<Land>>,
    /// What the ceiling on what is led, with the copies beside it, has last come to; 0: none.
    ceiling_bytes: AtomicU64,
}

/// Values that a shard is about to keep, or to keep on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Land {
    shard: usize,
    bytes: u64,
    from: From,
}

/// Where values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// Nowhere yet.
    Nowhere,
    /// In this engine's buffers, and thus counted.
    Here,
    /// In their shard: they are to stay.
    Shard,
}

/// Values on their way into a shard, whose part of the bound is larger by them until this is
/// dropped: when they are stored, or are not to be.
#[must_use = "to be dropped when the command is done"]
#[derive(Debug)]
pub struct Landing<'a> {
    aside: &'a Aside,
    land: Land,
}

impl<'a> Landing<'a> {
    fn new(aside: &'a Aside, land: Land) -> Landing<'a> {
        aside.landings.lock().push(land);
        Landing { aside, land }
    }
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        if self.land.from == From::Here {
            // The shard has got this room for them.
            let less = |bytes: u64| Some(bytes.saturating_sub(self.land.bytes));
            let room = &self.aside.loose_bytes;
            let _ = room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
        let mut landings = self.aside.landings.lock();
        if let Some(at) = landings.iter().position(|land| *land == self.land) {
            landings.swap_remove(at);
        }
    }
}

impl Engine {
    /// Counts `buffer` as filled up to `filled` bytes, for which room is made first; whether there
    /// is any. `before`: bytes of values that came before it for the same command. Only what is
    /// claimed is to be filled: so the bound on memory holds for values on their way in, too.
    pub fn claim(&self, buffer: &mut BigBuffer, filled: usize, before: u64, now: Time) -> bool {
        let old = buffer.claimed_bytes();
        if !buffer.claim(filled) || self.max_memory().is_none() {
            return true;
        }
        let loose = self.extents.loose_bytes();
        let fits = loose <= self.aside.loose_bytes.load(Ordering::Relaxed)
            || self.make_loose_room(buffer.claimed_bytes() + before, now);
        if !fits {
            buffer.set_claimed(old);
            self.divide(None);
        }
        fits
    }

    /// Makes room for what no shard keeps, `own` bytes of it for whoever asks; whether there is.
    #[cold]
    fn make_loose_room(&self, own: u64, now: Time) -> bool {
        let max = self.bound();
        // What is about to be freed is in nobody's way.
        let loose = self.extents.staying_bytes();
        let largest = own.max(self.aside.own_bytes.load(Ordering::Relaxed));
        if loose > max || loose > own && loose > loose_most(max, largest) {
            return false;
        }
        if own > max / LOOSE_PART {
            self.aside.own_bytes.fetch_max(own, Ordering::Relaxed);
        }
        self.divide(None);
        let used: u64 = self.give_up_all(now).map(|used| used.held).sum();
        used + self.extents.loose_bytes() <= max + max / LOOSE_AHEAD_PART
    }

    /// Has each shard give up what is above its part of the bound; what it uses of that then.
    fn give_up_all(&self, now: Time) -> impl Iterator<Item = budget::Use> {
        (0..self.shards.len()).map(move |shard| {
            let mut steps = 0;
            while steps < ROOM_STEPS_MAX && self.lock(shard).store().give_up_step(now) {
                steps += 1;
            }
            self.lock(shard).store().uses().memory
        })
    }

    /// The bound on memory that is in force now.
    fn bound(&self) -> u64 {
        let max = self.max_memory.load(Ordering::Relaxed);
        match self.aside.ceiling_bytes.load(Ordering::Relaxed) {
            0 => max,
            ceiling => max.min(ceiling),
        }
    }

    /// The same where copies take so many bytes more, and what is left above it.
    fn bound_with(&self, of_copy: u64) -> (u64, u64) {
        let max = self.max_memory.load(Ordering::Relaxed);
        let bound = self.bound().saturating_add(of_copy).min(max);
        (bound, max - bound)
    }

    /// Works out anew what the ceiling comes to: groups and copies may have come and gone. What is
    /// led counts with its part of what is in use, as it does for others who keep copies of it; but
    /// not with all that items leave behind when they move, or copies when they go.
    /// Whether there was one before.
    fn raise_ceiling(&self) -> bool {
        let each = self.ceiling.load(Ordering::Relaxed);
        let ceiling = if each == u64::MAX {
            0
        } else {
            let (mut all, mut used) = (Led::default(), 0);
            for shard in 0..self.shard_count() {
                let mut shard = self.lock(shard);
                let led = shard.store().led();
                all.groups += led.groups;
                all.bytes += led.bytes;
                all.of += led.of;
                used += shard.store().used_bytes();
            }
            let part = u128::from(used) * u128::from(all.bytes) / u128::from(all.of.max(1));
            let most = all.bytes + all.bytes / CEILING_LOOSE_PART;
            let led_used = u64::try_from(part).unwrap_or(most).min(most);
            let led_most = each.saturating_mul(all.groups).max(self.max_memory_min());
            // Nor with values that no shard keeps: they are set aside of the bound.
            let loose = match self.extents.loose_bytes() {
                0 => 0,
                loose => loose + LOOSE_AHEAD_BYTES_MAX,
            };
            used.saturating_sub(led_used).saturating_add(led_most).saturating_add(loose)
        };
        self.aside.ceiling_bytes.swap(ceiling, Ordering::Relaxed) != 0
    }

    /// Gives room that some shards do not use to those that need it: to be called a few times
    /// a second. The bounds of the node hold all the time.
    pub fn rebalance(&self) {
        let several = self.shards.len() > 1;
        let loose = self.aside.loose_bytes.load(Ordering::Relaxed) > 0;
        let ceiling = self.ceiling.load(Ordering::Relaxed) != u64::MAX
            || self.aside.ceiling_bytes.load(Ordering::Relaxed) != 0;
        if several || loose || ceiling {
            self.divide(None);
        }
    }

    /// Divides the bounds anew; `wanting`: a shard that needs so many bytes more at once.
    pub(super) fn divide(&self, wanting: Option<(usize, u64)>) {
        self.divide_with(wanting, 0);
    }

    /// Divides the bounds anew for a copy in a shard that needs so many bytes more at once: what
    /// others have no room for is no bound for it.
    pub(super) fn divide_for_copy(&self, shard: usize, bytes: u64) {
        self.divide_with(Some((shard, bytes)), bytes);
    }

    fn divide_with(&self, wanting: Option<(usize, u64)>, of_copy: u64) {
        let _dividing = self.dividing.lock();
        let was_below = self.raise_ceiling();
        let (max_memory, spare) = self.bound_with(of_copy);
        let max_items = self.max_items.load(Ordering::Relaxed);
        if max_memory == u64::MAX && max_items == u64::MAX && !was_below {
            return;
        }
        // First: what is stored while the shards are looked at counts twice then, not never.
        let loose = self.extents.loose_bytes();
        let count = self.shards.len();
        let giant_from = max_memory / count as u64 / GIANT_PART;
        let mut uses = Vec::with_capacity(count);
        let mut giants = vec![0; count];
        for (shard, giants) in giants.iter_mut().enumerate() {
            let mut shard = self.lock(shard);
            uses.push(shard.store().uses());
            *giants = shard.store().giant_bytes(giant_from);
        }
        let landings = self.aside.landings.lock().clone();
        let (mut aside, mut kept) = (vec![0; count], vec![0; count]);
        for &Land { shard, bytes, from } in &landings {
            match from {
                From::Here => {}
                From::Nowhere if bytes < giant_from => uses[shard].memory.held += bytes,
                From::Nowhere => aside[shard] += bytes,
                From::Shard => {
                    let stays = bytes.min(giants[shard]);
                    giants[shard] -= stays;
                    aside[shard] += stays;
                    kept[shard] += stays;
                }
            }
        }
        if let Some((shard, bytes)) = wanting {
            uses[shard].memory.held += bytes;
        }
        let bytes = match max_memory {
            u64::MAX => vec![u64::MAX; count],
            max => {
                let most = max - max / GIANTS_LEAVE_PART;
                leave_enough(&mut aside, most);
                // What is kept is set aside, or else counted as other giants are.
                for ((used, kept), (giants, aside)) in
                    uses.iter_mut().zip(kept).zip(giants.iter_mut().zip(&aside))
                {
                    if *aside > 0 { used.set_aside(kept) } else { *giants += kept }
                }
                leave_enough(&mut giants, most - aside.iter().sum::<u64>());
                for ((used, giants), aside) in uses.iter_mut().zip(&giants).zip(&mut aside) {
                    used.set_aside(*giants);
                    *aside += giants;
                }
                let loose = self.set_aside(loose, max, &landings, &mut aside);
                let left = max.saturating_sub(loose + aside.iter().sum::<u64>());
                let parts = budget::divide(left, uses.iter().map(|u| u.memory));
                parts.iter().zip(&aside).map(|(part, aside)| part + aside).collect()
            }
        };
        let items = match max_items {
            u64::MAX => vec![u64::MAX; count],
            max => budget::divide(max, uses.iter().map(|u| u.items)),
        };
        for (shard, (bytes, items)) in bytes.into_iter().zip(items).enumerate() {
            let mut shard = self.lock(shard);
            shard.store().move_limits(bytes, items);
            shard.store().set_spare(spare / count as u64);
        }
    }

    /// What is set aside of `max` beside the giants, before the rest is divided: for what no shard
    /// keeps, which is returned, and for shards that are about to keep something.
    fn set_aside(&self, loose: u64, max: u64, landings: &[Land], aside: &mut [u64]) -> u64 {
        if loose <= max / LOOSE_PART {
            self.aside.own_bytes.store(0, Ordering::Relaxed);
        }
        // What unsent answers refer to shall not take all of the node.
        let most = loose_most(max, self.aside.own_bytes.load(Ordering::Relaxed));
        let ahead = (max / LOOSE_AHEAD_PART).min(LOOSE_AHEAD_BYTES_MAX);
        let mut left = if loose > 0 { loose.min(most) + ahead } else { 0 };
        self.aside.loose_bytes.store(left, Ordering::Relaxed);
        let here = landings.iter().filter(|land| land.from == From::Here);
        let count = here.clone().count() as u64;
        for land in here {
            // With what is begun and not full beside them.
            let bytes = (land.bytes + ahead / count).min(left);
            aside[land.shard] += bytes;
            left -= bytes;
        }
        left
    }

    /// Has all shards make room for values that come to one of them and are not here yet; whether
    /// there is enough, when that shard has made its own.
    fn others_made_room(&self, shard: usize, bytes: u64, now: Time) -> bool {
        let max = self.bound();
        let used = self.give_up_all(now).enumerate().map(|(other, used)| {
            let most = if other == shard { used.limit.saturating_sub(bytes) } else { u64::MAX };
            used.held.min(most)
        });
        let used: u64 = used.sum();
        used + self.extents.loose_bytes() + bytes <= max + max / LOOSE_AHEAD_PART
    }

    /// The big value of a key is to stay in its shard, whatever comes.
    pub(super) fn keep_in(&self, shard: usize, bytes: u64) -> Landing<'_> {
        Landing::new(&self.aside, Land { shard, bytes, from: From::Shard })
    }

    /// As long as this is held nobody divides the bounds; to be taken before any shard is locked.
    pub(super) fn dividing(&self) -> MutexGuard<'_, ()> {
        self.dividing.lock()
    }

    /// Bytes that a value of this length takes, in a buffer of its own.
    pub(super) fn value_bytes_of(&self, len: usize) -> u64 {
        self.extents.value_bytes_of(len)
    }

    /// Whether a big value of this length and a copy of it fit into the node, whatever had to go
    /// for them.
    pub(super) fn may_copy(&self, len: usize) -> bool {
        let max = self.bound();
        max == u64::MAX || 2 * self.value_bytes_of(len) <= max - max / GIANTS_LEAVE_PART
    }

    /// Whether a value is one of this engine's buffers, and thus counted already.
    pub(super) fn is_ours(&self, value: Value<'_>) -> bool {
        matches!(value, Value::Shared(bytes) if self.extents.owns(bytes))
    }

    /// Makes room for big values of `bytes` in a shard, in steps between which others have their
    /// turn on it. `here`: so much of it is in this engine's buffers already.
    #[cold]
    pub(super) fn reserve(
        &self,
        shard: usize,
        bytes: u64,
        here: u64,
        now: Time,
    ) -> Option<Landing<'_>> {
        let max = self.bound();
        if max == u64::MAX || bytes < SHARED_VALUE_BYTES_MIN as u64 {
            return None;
        }
        // A small one need not be followed so closely.
        let land = |bytes, from| {
            let follow = bytes > max / LOOSE_AHEAD_PART;
            follow.then(|| Landing::new(&self.aside, Land { shard, bytes, from }))
        };
        let mut landing = land(here, From::Here);
        let mut granted = landing.is_some();
        if granted {
            self.divide(None);
        } else {
            landing = land(bytes, From::Nowhere);
        }
        for _ in 0..ROOM_STEPS_MAX {
            let room = self.lock(shard).store().big_room_step(bytes, granted, now);
            match room {
                BigRoom::Going => {}
                BigRoom::Enough | BigRoom::Full => return landing,
                BigRoom::LimitTooSmall => {
                    granted = true;
                    let land = Land { shard, bytes, from: From::Nowhere };
                    landing.get_or_insert_with(|| Landing::new(&self.aside, land));
                    self.divide(None);
                    if here == 0 && !self.others_made_room(shard, bytes, now) {
                        drop(landing);
                        self.divide(None);
                        return None;
                    }
                }
            }
        }
        // Who stores it is told that there is none.
        landing
    }
}

/// What values that no shard keeps may take of `max`, when a single command has `own` of them. It
/// may have all; of what it leaves others have their part.
fn loose_most(max: u64, own: u64) -> u64 {
    let own = if own > max / LOOSE_PART { own.min(max) } else { 0 };
    own + (max - own) / LOOSE_PART
}

/// Lets the largest go until the rest is at most `most` together.
fn leave_enough(giants: &mut [u64], most: u64) {
    while giants.iter().sum::<u64>() > most {
        let Some(largest) = giants.iter_mut().max() else { return };
        *largest = 0;
    }
}
