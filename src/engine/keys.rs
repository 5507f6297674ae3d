//! Commands on several keys: all their shards are locked, in ascending order, so they are atomic.

mod lcs;
mod mset;

use mset::Those;

use super::execute::{Access, Held, Target, write_done, write_value};
use super::{Duty, Engine, Full, Item, ItemValue, Key, ShardGuard, Unserved, log};
use crate::command::reply::{ReplyWriter, errors};
use crate::command::{KeysOp, Time};

const SAME_OBJECT: &str = "ERR source and destination objects are the same";

/// Executes `op` and writes its one reply, if the node may.
pub(super) fn execute<W: ReplyWriter>(
    engine: &Engine,
    op: &KeysOp<'_>,
    when: When,
    out: &mut W,
) -> Result<(), Unserved> {
    match *op {
        KeysOp::MGet(names) => mget(&mut Locked::new(engine, names.iter(), when)?, out),
        KeysOp::MSet(pairs) => {
            let done = mset::mset(engine, pairs, Those::All, when)?;
            write_done(done.map(|_| ()), out);
        }
        KeysOp::MSetNx(pairs) => {
            mset::write_set(mset::mset(engine, pairs, Those::Absent, when)?, out);
        }
        KeysOp::Delete(names) => {
            let mut locked = Locked::new(engine, names.iter(), when)?;
            out.integer(locked.count(|mut at| at.remove()));
        }
        KeysOp::Exists(names) => {
            let mut locked = Locked::new(engine, names.iter(), when)?;
            out.integer(locked.count(|at| at.peek().is_some()));
        }
        KeysOp::Touch(names) => {
            let mut locked = Locked::new(engine, names.iter(), when)?;
            out.integer(locked.count(|mut at| at.touch()));
        }
        KeysOp::Rename { from, to, if_absent } => {
            let mut dividing = None;
            loop {
                let mut locked = Locked::new(engine, [from, to].into_iter(), when)?;
                if dividing.is_some() || !locked.will_move_bound() {
                    break rename(&mut locked, if_absent, out);
                }
                // While bounds move with a value, nobody is to divide them anew.
                drop(locked);
                dividing = Some(engine.dividing());
            }
        }
        KeysOp::Copy { from, to, replace } => {
            let room = engine.make_room_for_copy(from, to, replace, when.now);
            copy(&mut Locked::new(engine, [from, to].into_iter(), when)?, replace, out);
            drop(room);
        }
        KeysOp::Lcs(ref op) => lcs::lcs(engine, op, when, out)?,
    }
    Ok(())
}

/// Keys whose shards are all locked.
struct Locked<'e, 'k> {
    engine: &'e Engine,
    guards: Vec<Option<ShardGuard<'e>>>,
    keys: Vec<Key<'k>>,
    when: When,
}

/// When a command is executed, whether it makes items look used, and what the node has to be.
#[derive(Clone, Copy)]
pub(super) struct When {
    pub(super) now: Time,
    pub(super) access: Access,
    pub(super) duty: Duty,
}

impl<'e, 'k> Locked<'e, 'k> {
    /// Hashes the keys, then locks each of their shards once, in ascending order.
    fn new(
        engine: &'e Engine,
        names: impl Iterator<Item = &'k [u8]>,
        when: When,
    ) -> Result<Self, Unserved> {
        let keys: Vec<Key<'k>> = names.map(|name| engine.key(name)).collect();
        let mut wanted = vec![false; engine.shard_count()];
        for key in &keys {
            wanted[engine.shard_of(key)] = true;
        }
        let lock = |(shard, &wanted): (usize, &bool)| wanted.then(|| engine.lock(shard));
        let mut guards: Vec<_> = wanted.iter().enumerate().map(lock).collect();
        for key in keys.iter().filter(|_| when.duty != Duty::Any) {
            let guard = guards[engine.shard_of(key)].as_ref();
            guard.map_or(Ok(()), |shard| when.duty.check(shard, key.group()))?;
        }
        log::set_aside(guards.iter_mut().flatten(), when.now);
        Ok(Locked { engine, guards, keys, when })
    }

    /// How many keys there are, repeated ones included.
    fn len(&self) -> usize {
        self.keys.len()
    }

    /// The `i`-th key in its store.
    fn at(&mut self, i: usize) -> Target<'_> {
        let (key, When { now, access, .. }) = (&self.keys[i], self.when);
        let guard = self.guards[self.engine.shard_of(key)].as_mut();
        let shard = guard.expect("the shards of all keys are locked");
        Target { store: &mut shard.store, key, now, access }
    }

    /// Moves so many bytes of the bound from the shard of the first key to that of the second: a
    /// value that goes there takes its room along.
    fn move_bound(&mut self, bytes: u64) {
        let [from, to] = [0, 1].map(|i| self.engine.shard_of(&self.keys[i]));
        if from != to {
            let lost = self.guards[from].as_mut().map_or(0, |shard| shard.store.lose_bound(bytes));
            if let Some(shard) = self.guards[to].as_mut() {
                shard.store.gain_bound(lost);
            }
        }
    }

    /// Whether what the first key has is a big value, and the second one is in another shard.
    fn will_move_bound(&mut self) -> bool {
        let [from, to] = [0, 1].map(|i| self.engine.shard_of(&self.keys[i]));
        let is_big = |item: Item<'_>| matches!(item.value, ItemValue::Shared(_));
        from != to && self.at(0).peek().is_some_and(is_big)
    }

    /// For how many of the keys, in order, `test` holds.
    fn count(&mut self, mut test: impl FnMut(Target<'_>) -> bool) -> i64 {
        (0..self.len()).map(|i| i64::from(test(self.at(i)))).sum()
    }
}

impl Drop for Locked<'_, '_> {
    fn drop(&mut self) {
        log::join_aside(self.guards.iter_mut().flatten());
    }
}

fn mget<W: ReplyWriter>(locked: &mut Locked<'_, '_>, out: &mut W) {
    out.array(locked.len());
    for i in 0..locked.len() {
        match locked.at(i).get() {
            Some(item) => write_value(item.value, out),
            None => out.null(),
        }
    }
}

/// RENAME, RENAMENX of the first key to the second. The deadline goes along.
fn rename<W: ReplyWriter>(locked: &mut Locked<'_, '_>, if_absent: bool, out: &mut W) {
    let same = locked.keys[0].bytes == locked.keys[1].bytes;
    let free = locked.at(1).peek().is_none();
    let Some(item) = locked.at(0).peek().map(|item| (Held::of(item.value), item.deadline)) else {
        return out.error(errors::NO_SUCH_KEY);
    };
    let (value, deadline) = item;
    let edited = locked.at(0).is_edited();
    if if_absent && !free {
        return out.integer(0);
    }
    if !same {
        let done = match &value {
            // As any other, where there is room.
            Held::Small(_) => locked.at(1).put_as(value.value(), deadline, edited),
            Held::Shared(value) => {
                locked.move_bound(locked.engine.value_bytes_of(value.len()));
                Err(Full)
            }
        };
        if done.is_err() && locked.at(1).move_in(value.value(), deadline, edited).is_err() {
            return out.error(errors::OUT_OF_MEMORY);
        }
        locked.at(0).remove();
    }
    if if_absent { out.integer(1) } else { out.simple("OK") }
}

/// COPY of the first key to the second: 1 if done. The deadline is copied too.
fn copy<W: ReplyWriter>(locked: &mut Locked<'_, '_>, replace: bool, out: &mut W) {
    if locked.keys[0].bytes == locked.keys[1].bytes {
        return out.error(SAME_OBJECT);
    }
    let taken = locked.at(1).peek().is_some();
    let Some(item) = locked.at(0).get().map(|item| (Held::of(item.value), item.deadline)) else {
        return out.integer(0);
    };
    if taken && !replace {
        return out.integer(0);
    }
    if let Held::Shared(value) = &item.0
        && !locked.engine.may_copy(value.len())
    {
        return out.error(errors::OUT_OF_MEMORY);
    }
    let edited = locked.at(0).is_edited();
    match locked.at(1).put_as(item.0.value(), item.1, edited) {
        Ok(()) => out.integer(1),
        Err(Full) => out.error(errors::OUT_OF_MEMORY),
    }
}
