//! What this node is to each group of the shard, and what follows for the group's items: copies
//! stand in a region of their own, which eviction leaves alone, and die when their primary says so.
//! Knows neither epochs nor who else keeps a group.

use super::segments::{Region, SegmentRef};
use super::{Full, Store};
use crate::command::Time;
use crate::engine::store::item::Draft;
use crate::limits::{ROLE_ITEMS_MAX, WIDEN_AGAIN_BYTES};
use cluster::slot::{Group, Slot};

/// What a node is to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It executes the group's commands.
    Primary,
    /// It keeps a copy that follows the primary's log.
    Replica,
    /// It keeps nothing of it.
    Absent,
}

/// What the node is to the groups of a shard.
#[derive(Debug)]
pub(super) struct Roles {
    groups: Box<[GroupRole]>,
    /// How many groups it keeps copies of.
    replicas: usize,
    /// Groups that are to be emptied.
    dropping: Vec<usize>,
    /// Where the look for items in the wrong region is, while there is one.
    retag: Option<Retag>,
    /// By so many bytes copies may grow beyond the shard's bound until it is looked at again.
    spare_bytes: u64,
    /// Until so many bytes of copies have come, no more of the bound is asked for.
    unasked_bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct GroupRole {
    role: Role,
    fenced: bool,
    /// A copy of it is being received.
    copying: bool,
    /// The time of the group's last record, where the node is a replica.
    clock: Time,
}

/// A look at all segments of copies for items of groups that this node has become primary of.
#[derive(Clone, Copy, Debug, Default)]
struct Retag {
    segment: u32,
    /// As which it was begun: it may be emptied between two steps, and be another then.
    begun: Option<SegmentRef>,
    at: u32,
}

impl Roles {
    /// Primary of everything.
    pub(super) fn new(groups: usize) -> Roles {
        let role = Role::Primary;
        let primary = GroupRole { role, fenced: false, copying: false, clock: Time(0) };
        Roles {
            groups: vec![primary; groups].into(),
            replicas: 0,
            dropping: Vec::new(),
            retag: None,
            spare_bytes: 0,
            unasked_bytes: 0,
        }
    }

    /// Whether the node keeps a copy of the group.
    #[inline]
    pub(super) fn is_replica(&self, local: usize) -> bool {
        self.replicas > 0 && self.groups[local].role == Role::Replica
    }
}

/// What a shard has of groups that the node is primary of.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::engine) struct Led {
    pub(in crate::engine) groups: u64,
    /// What their items take with their part of the index, about, …
    pub(in crate::engine) bytes: u64,
    /// … of what all take that are here.
    pub(in crate::engine) of: u64,
}

impl Store {
    /// What the node is to a group.
    pub(in crate::engine) fn role(&self, group: Group) -> Role {
        self.roles.groups[self.local(group)].role
    }

    /// Whether commands on the group are executed here now.
    #[inline]
    pub(in crate::engine) fn serves(&self, group: Group) -> bool {
        let group = &self.roles.groups[self.local(group)];
        group.role == Role::Primary && !group.fenced
    }

    /// Whether reads may be answered from here: by the primary, or from a whole copy.
    pub(in crate::engine) fn serves_reads(&self, group: Group) -> bool {
        let state = &self.roles.groups[self.local(group)];
        state.role == Role::Replica && !state.copying || self.serves(group)
    }

    /// Whether all of the group is here.
    pub(in crate::engine) fn is_whole(&self, group: Group) -> bool {
        let state = &self.roles.groups[self.local(group)];
        state.role != Role::Absent && !state.copying
    }

    /// A copy of the group is being received, or is whole.
    pub(in crate::engine) fn set_copying(&mut self, group: Group, copying: bool) {
        let local = self.local(group);
        self.roles.groups[local].copying = copying;
    }

    /// Stops commands on a group, or lets them in again.
    pub(in crate::engine) fn set_fenced(&mut self, group: Group, fenced: bool) {
        let local = self.local(group);
        self.roles.groups[local].fenced = fenced;
    }

    /// From now on the node is this to the group. Items move to where they belong, or go, in steps
    /// of upkeep.
    pub(in crate::engine) fn set_role(&mut self, group: Group, role: Role) {
        let local = self.local(group);
        let old = self.roles.groups[local].role;
        if let Some(journal) = &mut self.journal {
            journal.set_followed(group, role != Role::Primary);
        }
        self.roles.groups[local].fenced = false;
        self.roles.groups[local].copying = false;
        if old == role {
            return;
        }
        self.roles.groups[local].role = role;
        self.roles.replicas = self.roles.replicas + usize::from(role == Role::Replica)
            - usize::from(old == Role::Replica);
        match role {
            Role::Primary if self.index.count(local) > 0 => {
                self.roles.retag = Some(Retag::default());
            }
            Role::Absent => self.roles.dropping.push(local),
            Role::Primary | Role::Replica => {}
        }
    }

    /// The log of a group that the node keeps a copy of has reached this time.
    #[inline]
    pub(in crate::engine) fn set_clock(&mut self, group: Group, now: Time) {
        let local = self.local(group);
        let clock = &mut self.roles.groups[local].clock;
        *clock = (*clock).max(now);
    }

    /// What time it is for the group: the machine's, or that of the last record of its primary.
    pub(in crate::engine) fn time_of(&self, group: Group, now: Time) -> Time {
        let group = &self.roles.groups[self.local(group)];
        if group.role == Role::Replica { group.clock } else { now }
    }

    /// Whether an item with this deadline is dead, and not only hidden until its primary says so.
    #[inline]
    pub(super) fn is_due(&self, local: usize, deadline: Option<Time>, now: Time) -> bool {
        let now = if self.roles.is_replica(local) { self.roles.groups[local].clock } else { now };
        deadline.is_some_and(|deadline| deadline <= now)
    }

    /// Where an item of the group that stands at `offset` is written again.
    #[inline]
    pub(super) fn region_of(&self, local: usize, offset: u64) -> Region {
        if self.roles.is_replica(local) {
            return Region::Replica;
        }
        match self.segments.get(self.segments.segment_of(offset)).region {
            Region::Window => Region::Window,
            Region::Main | Region::Replica => Region::Main,
        }
    }

    /// Makes sure an item of a copy can be appended. A bound is no reason to leave it out: the
    /// primary has it, and learns from this node's use of memory that it must keep less.
    #[cold]
    pub(super) fn make_room_for_replica(
        &mut self,
        draft: &Draft<'_>,
        now: Time,
    ) -> Result<bool, Full> {
        self.segments.begin_step();
        let blocks = u64::from(self.segments.needs_block(Region::Replica, draft, now))
            + u64::from(!self.index.is_ready());
        if self.limit_bytes != u64::MAX && blocks > 0 {
            // What is led keeps its room, as long as the node has some.
            self.lend(blocks * self.arena.block_bytes() as u64);
            let _ = self.free_blocks(blocks, now);
        }
        while !self.index.is_ready() {
            if !self.index.grow() {
                return Err(Full);
            }
        }
        Ok(true)
    }

    /// Makes room for a big value of a copy, as far as there is any: see
    /// [`Store::make_room_for_replica`].
    pub(super) fn make_room_for_big_replica(&mut self, bytes: u64, now: Time) {
        let blocks = self.blocks_of(bytes);
        if self.limit_bytes != u64::MAX && !self.room_left(blocks) {
            self.lend(blocks * self.arena.block_bytes() as u64);
        }
        let _ = self.make_room_for_big(bytes, now);
    }

    /// Raises the bound by what copies need beside what is led, as long as the node has it.
    fn lend(&mut self, bytes: u64) {
        let lent = bytes.min(self.roles.spare_bytes);
        if lent > 0 {
            self.roles.spare_bytes -= lent;
            self.move_limits(self.limit_bytes.saturating_add(lent), self.limit_items);
        }
    }

    /// The bounds were divided anew and there was still no room for a copy: nobody is asked again
    /// until so many bytes of copies have come.
    pub(in crate::engine) fn found_no_room_for_copy(&mut self) {
        self.roles.unasked_bytes = WIDEN_AGAIN_BYTES;
    }

    /// Whether big values of a copy that take so many bytes have no room below the bound, and it is
    /// time to ask for more.
    pub(in crate::engine) fn lacks_room_for_big_copy(&mut self, bytes: u64) -> bool {
        if self.limit_bytes == u64::MAX || self.room_left(self.blocks_of(bytes)) {
            return false;
        }
        self.roles.unasked_bytes = self.roles.unasked_bytes.saturating_sub(bytes);
        self.roles.unasked_bytes == 0 || self.is_narrow_for(bytes)
    }

    /// Blocks that a big value is counted as.
    pub(super) fn blocks_of(&self, bytes: u64) -> u64 {
        bytes.div_ceil(self.arena.block_bytes() as u64) + 1
    }

    /// Bytes of the blocks that these items of a copy need (key, value, deadline), if there is no
    /// room for them below the bound.
    pub(in crate::engine) fn lacks_blocks_for_copy<'a>(
        &mut self,
        items: impl Iterator<Item = (&'a [u8], &'a [u8], Option<Time>)>,
        now: Time,
    ) -> u64 {
        if self.limit_bytes == u64::MAX {
            return 0;
        }
        let (mut bytes, mut opens) = (0, false);
        for (key, value, deadline) in items {
            let draft = Draft { key, value, big: false, edited: false, deadline };
            bytes += draft.len();
            opens |= self.segments.needs_block(Region::Replica, &draft, now);
        }
        self.roles.unasked_bytes = self.roles.unasked_bytes.saturating_sub(bytes as u64);
        if self.roles.unasked_bytes > 0 {
            return 0;
        }
        let block = self.arena.block_bytes();
        let blocks = bytes / block + usize::from(opens) + usize::from(!self.index.is_ready());
        if blocks == 0 || self.room_left(blocks as u64) { 0 } else { (blocks * block) as u64 }
    }

    /// Does some of what changed roles ask for; whether there is more to do.
    pub(super) fn roles_step(&mut self, now: Time) -> bool {
        self.drop_step() || self.retag_step(now)
    }

    /// Removes some items of groups that are not kept any more; whether there were such groups.
    fn drop_step(&mut self) -> bool {
        let Some(&local) = self.roles.dropping.last() else { return false };
        let absent = self.roles.groups[local].role == Role::Absent;
        if !absent || !self.clear_step(local, ROLE_ITEMS_MAX) {
            self.roles.dropping.pop();
        }
        true
    }

    /// Removes some items of a group; whether there are more.
    pub(super) fn clear_step(&mut self, local: usize, items: usize) -> bool {
        let (mut words, mut next) = (Vec::new(), Some(0));
        while let Some(at) = next.filter(|_| words.len() < items) {
            let after = self.index.leaf_at(local, at, &mut words);
            next = after.and_then(|n| u32::try_from(n).ok());
        }
        for word in words {
            let found = self.locate(word.offset());
            self.drop_item(found.group, &found.at);
        }
        self.index.count(local) > 0
    }

    /// Moves some items of groups that this node has become primary of out of the region of
    /// copies, so that they may be evicted; whether it got any further.
    fn retag_step(&mut self, now: Time) -> bool {
        let Some(mut hand) = self.roles.retag else { return false };
        let mut has_room = true;
        for _ in 0..ROLE_ITEMS_MAX {
            if self.segments.work().is_enough() {
                break;
            }
            if hand.segment >= self.segments.ids_end() {
                self.roles.retag = None;
                return true;
            }
            let is_here = self.segments.ids_from(hand.segment, 1).next().is_some()
                && self.segments.get(hand.segment).region == Region::Replica;
            let begun = is_here.then(|| self.segments.remember(hand.segment));
            if hand.begun != begun {
                hand = Retag { begun, at: 0, ..hand };
            }
            let item = begun.and_then(|segment| self.segments.item_at(segment.id, hand.at));
            let Some((offset, raw)) = item else {
                hand = Retag { segment: hand.segment + 1, ..Retag::default() };
                continue;
            };
            let at = hand.at;
            hand.at += raw.len as u32;
            if raw.is_dead() {
                continue;
            }
            let local = self.local(Slot::of(raw.key).group());
            if self.roles.groups[local].role != Role::Primary {
                continue;
            }
            let found = self.locate(offset);
            let before = self.used_bytes();
            if !self.relocate(offset, &found.at, Region::Main, None, now) {
                (hand.at, has_room) = (at, false);
                break;
            }
            // What it left is cleaned later; nothing is to go for that.
            self.lend(self.used_bytes().saturating_sub(before));
        }
        self.roles.retag = Some(hand);
        has_room
    }

    /// There is nothing to move any more.
    pub(super) fn forget_moving(&mut self) {
        self.roles.retag = None;
    }

    /// What this shard has of groups that the node is primary of. Items that were copies until
    /// lately and still stand among them do not count.
    pub(in crate::engine) fn led(&self) -> Led {
        let copies = self.segments.sums(Region::Replica);
        let led = self.roles.groups.iter().enumerate();
        let led = led.filter(|(_, group)| group.role == Role::Primary);
        let mut groups = 0;
        let items: u64 = led
            .map(|(local, _)| {
                groups += 1;
                u64::from(self.index.count(local))
            })
            .sum();
        let all = self.segments.live_items();
        let (others, items) = (all - copies.items, items.min(all - copies.items));
        let held = self.segments.live_bytes() + self.bigs.bytes();
        let index =
            (self.index.blocks() * self.arena.block_bytes() + self.index.heap_bytes()) as u64;
        let part = |bytes: u64, of: u64| {
            let part = u128::from(bytes) * u128::from(items) / u128::from(of.max(1));
            u64::try_from(part).unwrap_or(bytes)
        };
        let of_items = held.saturating_sub(copies.bytes + copies.big_bytes);
        Led { groups, bytes: part(of_items, others) + part(index, all), of: held + index }
    }

    /// By so many bytes copies may grow beyond the bound of this shard until it is moved again.
    pub(in crate::engine) fn set_spare(&mut self, bytes: u64) {
        self.roles.spare_bytes = bytes;
    }

    /// Bytes that copies hold, about: their items and the part of the index that finds them. Items
    /// of groups that were led until lately stand among others: they count as their mean.
    pub(in crate::engine) fn replica_bytes(&self) -> u64 {
        let (all, copies) = (self.segments.live_items(), self.segments.sums(Region::Replica));
        let is_copy = |local: &usize| self.roles.is_replica(*local);
        let locals = (0..self.roles.groups.len()).filter(is_copy);
        let kept: u64 = locals.map(|local| u64::from(self.index.count(local))).sum();
        let (among, others) = (kept.saturating_sub(copies.items), all - copies.items);
        let held = copies.bytes + copies.big_bytes;
        let live = self.segments.live_bytes() + self.bigs.bytes();
        let mean = live.saturating_sub(held) / others.max(1);
        let index = (self.index.blocks() * self.arena.block_bytes()) as u64;
        held + among * mean + index * kept.max(copies.items) / all.max(1)
    }

    /// As [`Store::clear_step`], of a group by its number.
    pub(in crate::engine) fn clear_some(&mut self, group: Group, items: usize) -> bool {
        self.clear_step(self.local(group), items)
    }
}
