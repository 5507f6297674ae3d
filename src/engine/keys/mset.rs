//! MSET and MSETNX: all or nothing. Room for what is much is made before the shards are locked, in
//! steps; whether there is room for all is known before the first key is set.

use super::{Locked, When};
use crate::command::reply::{ReplyWriter, errors};
use crate::command::{Args, Value};
use crate::engine::store::Needs;
use crate::engine::{Engine, Full, Landing, Unserved};
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
    if engine.max_memory().is_none() || total(pairs).bytes() < SHARED_VALUE_BYTES_MIN as u64 {
        return Vec::new();
    }
    let mut needs = vec![(0, 0); engine.shard_count()];
    for at in (0..pairs.len()).step_by(2) {
        let value = pairs.value(at + 1);
        let (all, here) = &mut needs[engine.shard_of(&engine.key(pairs.get(at)))];
        let bytes = needs_of(engine, pairs.get(at), value).bytes();
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
    let all = total(pairs);
    let plenty = locked.guards.iter_mut().flatten().all(|guard| guard.store().has_room(all));
    if !plenty {
        let mut needs = vec![Needs::default(); locked.guards.len()];
        for i in 0..locked.len() {
            let shard = locked.engine.shard_of(&locked.keys[i]);
            let is_new = locked.at(i).peek().is_none();
            let pair = needs_of(locked.engine, locked.keys[i].bytes, pairs.value(2 * i + 1));
            needs[shard].add(Needs { items: is_new.into(), ..pair });
        }
        for (guard, needs) in locked.guards.iter_mut().zip(needs) {
            guard
                .as_mut()
                .map_or(Ok(()), |g| g.store().make_room_for_all(needs, locked.when.now))?;
        }
    }
    // Only a system without memory could break this off now.
    (0..locked.len()).try_for_each(|i| locked.at(i).put(pairs.value(2 * i + 1), None))
}

/// About what all pairs need together.
fn total(pairs: Args<'_>) -> Needs {
    let bytes = pairs.iter().map(|word| word.len() as u64).sum::<u64>();
    let items = pairs.len() as u64 / 2;
    Needs { small_bytes: bytes + items * Needs::ITEM_BYTES, big_bytes: 0, items }
}

fn needs_of(engine: &Engine, name: &[u8], value: Value<'_>) -> Needs {
    let (len, own) = (value.bytes().len(), name.len() as u64 + Needs::ITEM_BYTES);
    if len < SHARED_VALUE_BYTES_MIN {
        return Needs { small_bytes: own + len as u64, big_bytes: 0, items: 1 };
    }
    Needs { small_bytes: own, big_bytes: engine.extents.value_bytes_of(len), items: 1 }
}
