//! The engine as part of a cluster: what this node is to each group, records of other nodes'
//! primaries carried out as they come, and whole copies of groups. Decides nothing: whoever knows
//! the topology does. Knows no node.

use super::apply::apply_one;
use super::journal::Journal;
use super::{ApplyError, Engine, Full, Key, Role, ShardGuard, Store};
use crate::command::Time;
use crate::command::effect::Effect;
use crate::limits::{
    CLEAR_ITEMS_PER_LOCK, DIGEST_ITEMS_PER_LOCK, REPLAY_LATE_MS, SHARED_VALUE_BYTES_MIN,
};
use bytes::Bytes;
use cluster::record::{Epoch, GroupTime, Header, Kind, Seq};
use cluster::replication::{Digest, Digester};
use cluster::slot::Group;

/// What became of a record of another node's primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// It was carried out.
    Applied,
    /// It had been before.
    Known,
    /// It is not the one behind this, which is the newest here.
    Gap(Epoch, Seq),
    /// This node keeps no whole copy of the group.
    NotReplica,
}

/// Why a record or a part of a copy was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowError {
    /// Its payload is not one of its group: nothing of it was.
    Payload(ApplyError),
    /// The system had no memory: the copy is not one any more.
    Memory,
}

impl Engine {
    /// What this node is to a group.
    pub fn role(&self, group: Group) -> Role {
        self.lock(self.shard_of_group(group)).store().role(group)
    }

    /// Whether all of a group is here: not while a copy of it is being received.
    pub fn is_whole(&self, group: Group) -> bool {
        self.lock(self.shard_of_group(group)).store().is_whole(group)
    }

    /// Becomes primary of a group in this epoch: its log gets the record that begins it. What is
    /// here of the group is what it holds from now on.
    pub fn become_primary(&self, group: Group, epoch: Epoch, now: Time) {
        let mut guard = self.lock(self.shard_of_group(group));
        let store = guard.store();
        store.set_role(group, Role::Primary);
        if let Some(journal) = store.journal() {
            journal.begin(now);
            journal.begin_epoch(group, epoch);
        }
    }

    /// Keeps what is here of a group as a copy.
    pub fn become_replica(&self, group: Group) {
        let mut guard = self.lock(self.shard_of_group(group));
        let store = guard.store();
        let time = store.journal().map_or(GroupTime(0), |journal| journal.position(group).2);
        store.set_role(group, Role::Replica);
        store.set_clock(group, Time(time.0));
    }

    /// Takes all there is for copies of what other nodes lead, until somebody says otherwise: this
    /// node records nothing of its own, be it an expiry, where a record of theirs may stand.
    pub fn follow_all(&self) {
        for group in Group::all() {
            match self.log_seq(group) {
                Seq(0) => self.drop_group(group),
                Seq(_) => self.become_replica(group),
            }
        }
    }

    /// Gives a group up: its items go in steps of upkeep.
    pub fn drop_group(&self, group: Group) {
        let mut guard = self.lock(self.shard_of_group(group));
        let store = guard.store();
        store.set_role(group, Role::Absent);
        if let Some(journal) = store.journal() {
            forget(journal, group);
        }
    }

    /// Stops commands on a group, or lets them in again: see [`Shard::serves`](super::Shard).
    pub fn set_fenced(&self, group: Group, fenced: bool) {
        self.lock(self.shard_of_group(group)).store().set_fenced(group, fenced);
    }

    /// Carries out a record of another node's primary, if it is the next one of its group here.
    ///
    /// # Errors
    /// Why it was not carried out.
    pub fn follow(&self, header: &Header, payload: &Bytes) -> Result<Followed, FollowError> {
        let group = header.group;
        let effects = self.read(group, payload)?;
        self.widen_for(group, &effects, header.time);
        let mut guard = self.lock(self.shard_of_group(group));
        if guard.store().role(group) != Role::Replica || !guard.store().is_whole(group) {
            return Ok(Followed::NotReplica);
        }
        let (epoch, seq, _) = position(&mut guard, group);
        if header.seq <= seq && header.epoch == epoch {
            return Ok(Followed::Known);
        }
        if header.seq != seq.next() || header.epoch < epoch {
            return Ok(Followed::Gap(epoch, seq));
        }
        let done = Engine::replay(guard.store(), group, effects, header.time);
        if let Some(journal) = guard.store().journal() {
            journal.append(header, payload);
        }
        done.map(|()| Followed::Applied)
    }

    /// Begins to receive a copy of a group: what is here of it goes, in steps between which others
    /// have their turn.
    pub fn begin_copy(&self, group: Group) {
        let shard = self.shard_of_group(group);
        let mut guard = self.lock(shard);
        let store = guard.store();
        store.set_role(group, Role::Replica);
        store.set_copying(group, true);
        if let Some(journal) = store.journal() {
            forget(journal, group);
        }
        drop(guard);
        while self.clear_some(shard, group) {}
    }

    fn clear_some(&self, shard: usize, group: Group) -> bool {
        self.lock(shard).store().clear_some(group, CLEAR_ITEMS_PER_LOCK)
    }

    /// Receives a part of a copy.
    ///
    /// # Errors
    /// Why it was not.
    pub fn copy(&self, group: Group, payload: &Bytes) -> Result<(), FollowError> {
        let effects = self.read(group, payload)?;
        self.widen_for(group, &effects, GroupTime(0));
        let mut guard = self.lock(self.shard_of_group(group));
        // None of it was dead when the walk came by, whatever time it is here.
        Engine::replay(guard.store(), group, effects, GroupTime(0))
    }

    /// The copy is whole: the group as it was at this record of its log.
    pub fn end_copy(&self, group: Group, epoch: Epoch, seq: Seq, time: GroupTime) {
        let mut guard = self.lock(self.shard_of_group(group));
        let store = guard.store();
        store.set_copying(group, false);
        store.set_clock(group, Time(time.0));
        if let Some(journal) = store.journal() {
            journal.set(group, epoch, seq, time);
            journal.restart(Kind::Base, group, (epoch, seq, time));
        }
    }

    /// What a group holds, and at which record of its log; `None` if it changed all the while.
    /// Locks for a bounded number of items at a time, so it is only exact for a group that rests.
    pub fn digest(&self, group: Group, now: Time, by: &Digester) -> Option<(Seq, Digest)> {
        let shard = self.shard_of_group(group);
        let (mut digest, mut from, mut seen) = (Digest::default(), Some(0), None);
        while let Some(at) = from {
            let mut guard = self.lock(shard);
            let seq = position(&mut guard, group).1;
            if seen.is_some_and(|seen| seen != seq) {
                return None;
            }
            seen = Some(seq);
            let store = guard.store();
            let now = store.time_of(group, now);
            from = store.walk(group, at, DIGEST_ITEMS_PER_LOCK, now, |key, item| {
                let deadline = item.deadline.map(|deadline| deadline.0);
                digest.add(by.item(key, item.value.bytes(), deadline));
            });
        }
        seen.map(|seq| (seq, digest))
    }

    /// Bytes that copies of other nodes' groups hold, about.
    pub fn replica_bytes(&self) -> u64 {
        (0..self.shard_count()).map(|shard| self.lock(shard).store().replica_bytes()).sum()
    }

    /// Decodes a payload and fills the buffers of its large values, where no lock is held.
    fn read<'p>(&self, group: Group, payload: &'p [u8]) -> Result<Vec<Ready<'p>>, FollowError> {
        let (mut rest, mut effects) = (payload, Vec::new());
        while !rest.is_empty() {
            let bad = |error| FollowError::Payload(ApplyError::Effect(error));
            let effect = Effect::decode(&mut rest).map_err(bad)?;
            let key = effect.key().map(|key| self.key(key));
            if key.is_some_and(|key| key.group() != group) {
                return Err(FollowError::Payload(ApplyError::Group));
            }
            let large = match effect {
                Effect::Set { value, .. } if value.len() >= SHARED_VALUE_BYTES_MIN => {
                    let mut buffer = self.buffer(value.len()).ok_or(FollowError::Memory)?;
                    buffer.copy_from_slice(value);
                    Some(buffer.freeze())
                }
                Effect::Set { .. }
                | Effect::Delete { .. }
                | Effect::Deadline { .. }
                | Effect::ExpireUpTo { .. }
                | Effect::Flush => None,
            };
            effects.push(Ready { effect, key, large });
        }
        Ok(effects)
    }

    /// Gives a shard a larger part of the bound, if it needs one for what comes to a copy: that
    /// shall not push out what is led while other shards have room.
    fn widen_for(&self, group: Group, effects: &[Ready<'_>], time: GroupTime) {
        if self.max_memory().is_none() {
            return;
        }
        let shard = self.shard_of_group(group);
        let large = effects.iter().filter_map(|ready| ready.large.as_ref());
        let large_bytes: u64 = large.map(|value| value.len() as u64).sum();
        let small = effects.iter().filter_map(Ready::small);
        let wanting = {
            let mut guard = self.lock(shard);
            let store = guard.store();
            let lacks = large_bytes > 0 && store.lacks_room_for_big_copy(large_bytes);
            let blocks_bytes = store.lacks_blocks_for_copy(small, replay_now(time));
            blocks_bytes + if lacks { large_bytes } else { 0 }
        };
        if wanting == 0 {
            return;
        }
        self.divide_for_copy(shard, wanting);
        let small = effects.iter().filter_map(Ready::small);
        let mut guard = self.lock(shard);
        let store = guard.store();
        let big = large_bytes > 0 && store.lacks_room_for_big_copy(large_bytes);
        if big || store.lacks_blocks_for_copy(small, replay_now(time)) > 0 {
            store.found_no_room_for_copy();
        }
    }

    /// Carries effects out without recording them.
    fn replay(
        store: &mut Store,
        group: Group,
        effects: Vec<Ready<'_>>,
        time: GroupTime,
    ) -> Result<(), FollowError> {
        let mode = store.journal().map(Journal::follow);
        let now = replay_now(time);
        let mut done = Ok(());
        for Ready { effect, key, large } in effects {
            if let Err(Full) = apply_one(store, group, &effect, key.as_ref(), large.as_ref(), now) {
                done = Err(FollowError::Memory);
            }
            if let Effect::ExpireUpTo { up_to } = effect {
                store.set_clock(group, up_to);
            }
        }
        store.set_clock(group, now);
        if let Some((journal, mode)) = store.journal().zip(mode) {
            journal.followed(mode);
        }
        done
    }
}

/// An effect, and its value if that is large.
struct Ready<'p> {
    effect: Effect<'p>,
    key: Option<Key<'p>>,
    large: Option<Bytes>,
}

impl<'p> Ready<'p> {
    /// Key, value and deadline of what is stored in a segment.
    fn small(&self) -> Option<(&'p [u8], &'p [u8], Option<Time>)> {
        match (&self.effect, &self.key, &self.large) {
            (Effect::Set { value, deadline, .. }, Some(key), None) => {
                Some((key.bytes, value, *deadline))
            }
            _ => None,
        }
    }
}

/// What time it is for the items of a record: the command's own may have been a little behind it.
fn replay_now(time: GroupTime) -> Time {
    Time(time.0.saturating_sub(REPLAY_LATE_MS))
}

fn position(guard: &mut ShardGuard<'_>, group: Group) -> (Epoch, Seq, GroupTime) {
    guard.store().journal().map(|journal| journal.position(group)).unwrap_or_default()
}

/// What the log held of a group does not count any more.
fn forget(journal: &mut Journal, group: Group) {
    journal.end_walks(group);
    let old = journal.position(group);
    journal.restart(Kind::Drop, group, old);
    journal.set(group, Epoch(0), Seq(0), GroupTime(0));
}
