//! What is done before a command has its shard's lock: room is made for the big value that it is to
//! store, and one that it makes of another is put together.

use super::Landing;
use crate::command::{KeyOp, Stores, Time, Value};
use crate::engine::execute::{Change, Held, prepared};
use crate::engine::{Engine, Full, ItemValue, Key, ShardGuard};
use crate::limits::{CHANGE_AHEAD_BYTES_MIN, SHARED_VALUE_BYTES_MIN};
use bytes::Bytes;

/// Room for the value of a command, kept until this is dropped: when it is stored, or is not to be.
#[must_use = "to be dropped when the command is done"]
pub struct Room<'a> {
    _landing: Option<Landing<'a>>,
    _kept: Option<Landing<'a>>,
    _pinned: Option<Pinned<'a>>,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        prepared::forget();
    }
}

/// An item that eviction leaves where it is: what is made of it is under way.
struct Pinned<'a> {
    engine: &'a Engine,
    shard: usize,
    hash: u64,
}

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        self.engine.lock(self.shard).store().unpin(self.hash);
    }
}

/// A command on a key that is about to be executed.
#[derive(Clone, Copy)]
struct Coming<'a> {
    shard: usize,
    key: &'a Key<'a>,
    now: Time,
}

impl Engine {
    /// To be called, where no lock is held, before an `op` that [`KeyOp::may_need_room`].
    #[cold]
    pub fn make_room_for(
        &self,
        shard: usize,
        key: &Key<'_>,
        op: &KeyOp<'_>,
        now: Time,
    ) -> Option<Room<'_>> {
        let coming = Coming { shard, key, now };
        match op.stores() {
            Stores::Nothing => None,
            Stores::Value(value) => self.make_room_for_value(coming, value),
            Stores::Part => self.change_ahead(coming, op),
        }
    }

    fn make_room_for_value(&self, coming: Coming<'_>, value: Value<'_>) -> Option<Room<'_>> {
        let bytes = self.extents.value_bytes_of(value.bytes().len());
        let here = if self.is_ours(value) { bytes } else { 0 };
        let landing = self.reserve(coming.shard, bytes, here, coming.now)?;
        Some(Room { _landing: Some(landing), _kept: None, _pinned: None })
    }

    /// Makes room for a value that a key is to get from another one, before their shards are
    /// locked. Without `replace` it gets none if it has one.
    pub(in crate::engine) fn make_room_for_copy(
        &self,
        from: &[u8],
        to: &[u8],
        replace: bool,
        now: Time,
    ) -> Option<Room<'_>> {
        self.max_memory().filter(|_| from != to)?;
        let (from, to) = (self.key(from), self.key(to));
        let shard = self.shard_of(&from);
        let mut locked = self.lock(shard);
        let ItemValue::Shared(value) = locked.store().peek(&from, now)?.value else { return None };
        let bytes = self.value_bytes_of(value.len());
        if !self.may_copy(value.len()) {
            return None;
        }
        let pinned = self.pin(shard, &mut locked, &from);
        drop(locked);
        let target = self.shard_of(&to);
        if !replace && self.lock(target).store().peek(&to, now).is_some() {
            return None;
        }
        let kept = Some(self.keep_in(shard, bytes));
        let landing = self.reserve(target, bytes, 0, now);
        Some(Room { _landing: landing, _kept: kept, _pinned: Some(pinned) })
    }

    /// Puts together what APPEND or SETRANGE makes of a value, if that is long, and makes room for
    /// it. Its key keeps what it has till then: were that evicted to make room, what is written
    /// would be the new part alone.
    fn change_ahead(&self, coming: Coming<'_>, op: &KeyOp<'_>) -> Option<Room<'_>> {
        let Coming { shard, key, now } = coming;
        let change = Change::of(op)?;
        let mut locked = self.lock(shard);
        let store = locked.store();
        let old = store.peek(key, now).map(|item| item.value);
        let len = change.len(old.map_or(0, |old| old.bytes().len()));
        if change.is_nothing() || len < SHARED_VALUE_BYTES_MIN || len > store.value_bytes_max() {
            return None;
        }
        if let (None, KeyOp::Append(value)) = (old, op) {
            drop(locked);
            return self.make_room_for_value(coming, *value);
        }
        let bytes = self.extents.value_bytes_of(len);
        if len < CHANGE_AHEAD_BYTES_MIN {
            let is_narrow = store.is_narrow_for(bytes);
            drop(locked);
            if is_narrow {
                self.divide(Some((shard, bytes)));
            }
            return None;
        }
        let old = old.map(Held::of);
        let pinned = self.pin(shard, &mut locked, key);
        drop(locked);
        let new = self.put_together(len, old.as_ref(), change, now);
        let landing = match new {
            Ok(_) => self.reserve(shard, bytes, bytes, now),
            Err(Full) => None,
        };
        prepared::keep(old, change, new);
        Some(Room { _landing: landing, _kept: None, _pinned: Some(pinned) })
    }

    fn put_together(
        &self,
        len: usize,
        old: Option<&Held>,
        change: Change<'_>,
        now: Time,
    ) -> Result<Bytes, Full> {
        let mut buffer = self.buffer(len).ok_or(Full)?;
        // What is to be written came with the same command.
        if !self.claim(&mut buffer, len, change.bytes().len() as u64, now) {
            return Err(Full);
        }
        change.write(old.map_or(&[], Held::bytes), &mut buffer);
        Ok(buffer.freeze())
    }

    fn pin(&self, shard: usize, locked: &mut ShardGuard<'_>, key: &Key<'_>) -> Pinned<'_> {
        locked.store().pin(key.hash);
        Pinned { engine: self, shard, hash: key.hash }
    }
}
