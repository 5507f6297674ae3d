//! MSET and MSETNX: all or nothing. Room for what is much is made before the shards are locked, in
//! steps; whether there is room for all is known before the first key is set.

use super::{Locked, When};
use crate::command::reply::{ReplyWriter, errors};
use crate::command::{Args, Value};
use crate::engine::store::{Needs, SeveralRoom};
use crate::engine::{Engine, Full, Landing, ShardGuard, Unserved};
use crate::limits::SHARED_VALUE_BYTES_MIN;

/// Whether keys are set that are there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Those {
    /// All are.
    All,
    /// None is: then nothing is set.
    Absent,
}

/// Sets keys to the values behind them. Whether it did; [`Full`]: there is no room for all of them,
/// and nothing has changed.
pub(super) fn mset(
    engine: &Engine,
    pairs: Args<'_>,
    those: Those,
    when: When,
) -> Result<Result<bool, Full>, Unserved> {
    let landings = make_room(engine, pairs, when);
    let mut locked = Locked::new(engine, pairs.iter().step_by(2), when)?;
    let taken = those == Those::Absent && locked.count(|at| at.peek().is_some()) > 0;
    let done = if taken { Ok(false) } else { set_all(&mut locked, pairs).map(|()| true) };
    drop(locked);
    drop(landings);
    Ok(done)
}

/// Answers MSETNX.
pub(super) fn write_set<W: ReplyWriter>(done: Result<bool, Full>, out: &mut W) {
    match done {
        Ok(set) => out.integer(set.into()),
        Err(Full) => out.error(errors::OUT_OF_MEMORY),
    }
}

/// Makes room, where no lock is held, in each shard that is to keep much.
fn make_room<'e>(engine: &'e Engine, pairs: Args<'_>, when: When) -> Vec<Landing<'e>> {
    if engine.max_memory().is_none() || total(pairs) < SHARED_VALUE_BYTES_MIN as u64 {
        return Vec::new();
    }
    let mut needs = vec![(0, 0); engine.shard_count()];
    for at in (0..pairs.len()).step_by(2) {
        let value = pairs.value(at + 1);
        let (all, here) = &mut needs[engine.shard_of(&engine.key(pairs.get(at)))];
        let bytes = bytes_of(engine, pairs.get(at), value);
        *all += bytes;
        if engine.is_ours(value) {
            *here += bytes;
        }
    }
    let needs = needs.into_iter().enumerate().filter(|(_, (all, _))| *all > 0);
    needs.filter_map(|(shard, (all, here))| engine.reserve(shard, all, here, when.now)).collect()
}

/// Sets all, or none.
fn set_all(locked: &mut Locked<'_, '_>, pairs: Args<'_>) -> Result<(), Full> {
    let (bytes, items) = (total(pairs), pairs.len() as u64 / 2);
    let plenty = |guard: &mut ShardGuard<'_>| guard.store().has_plenty(bytes, items);
    let room = if locked.guards.iter_mut().flatten().all(plenty) {
        Ok(())
    } else {
        (0..locked.guards.len()).try_for_each(|shard| make_sure(locked, shard, pairs))
    };
    // Only a system without memory could break this off now.
    let mut put = |i| locked.at(i).put(pairs.value(2 * i + 1), None);
    let done = room.and_then(|()| (0..pairs.len() / 2).try_for_each(&mut put));
    locked.guards.iter_mut().flatten().for_each(|guard| guard.store().end_all());
    done
}

/// Makes room in a shard for all that it is to keep.
fn make_sure(locked: &mut Locked<'_, '_>, shard: usize, pairs: Args<'_>) -> Result<(), Full> {
    let Locked { engine, guards, keys, when } = locked;
    let Some(store) = guards[shard].as_mut().map(|guard| guard.store()) else { return Ok(()) };
    let mut steps = 0;
    loop {
        let mut needs = store.no_needs();
        for (i, key) in keys.iter().enumerate().filter(|(_, key)| engine.shard_of(key) == shard) {
            store.add_up(&mut needs, key, pairs.value(2 * i + 1));
        }
        if store.make_room_for_all(&needs, &mut steps, when.now)? == SeveralRoom::Enough {
            return Ok(());
        }
    }
}

/// About what all pairs need together, in bytes.
fn total(pairs: Args<'_>) -> u64 {
    let bytes = pairs.iter().map(|word| word.len() as u64).sum::<u64>();
    bytes + pairs.len() as u64 / 2 * Needs::ITEM_BYTES
}

/// About what a pair needs, in bytes.
fn bytes_of(engine: &Engine, name: &[u8], value: Value<'_>) -> u64 {
    let (len, own) = (value.bytes().len(), name.len() as u64 + Needs::ITEM_BYTES);
    let small = len < SHARED_VALUE_BYTES_MIN;
    own + if small { len as u64 } else { engine.extents.value_bytes_of(len) }
}
