//! Commands on all keys of some groups only: those that a node is primary of. One lock at a time,
//! so other commands come in between.

use super::super::{Duty, Engine, Role, Shard, Unserved, log};
use crate::command::Time;
use crate::command::reply::ReplyWriter;
use cluster::group_set::GroupSet;
use cluster::slot::Group;

/// The node must be primary of a group that is looked at. That the group is about to go to another
/// does not matter: what is here is still what it holds.
pub(super) fn check(shard: &mut Shard, group: Group) -> Result<(), Unserved> {
    if shard.store().role(group) == Role::Primary { Ok(()) } else { Err(Unserved(group)) }
}

/// Items of the groups, dead but unreclaimed ones included.
pub(super) fn len(engine: &Engine, groups: &GroupSet) -> Result<u64, Unserved> {
    (0..engine.shard_count()).map(|shard| shard_len(engine, shard, groups)).sum()
}

fn shard_len(engine: &Engine, shard: usize, groups: &GroupSet) -> Result<u64, Unserved> {
    let mut guard = engine.lock(shard);
    let groups = of_shard(engine, shard).filter(|group| groups.contains(*group));
    let mut count = |group| {
        check(&mut guard, group)?;
        Ok(guard.store().count(group))
    };
    groups.map(&mut count).sum()
}

/// The groups of a shard.
fn of_shard(engine: &Engine, shard: usize) -> impl Iterator<Item = Group> {
    let step = engine.shard_count();
    (shard..).step_by(step).map_while(|n| u16::try_from(n).ok().and_then(Group::new))
}

/// Empties the groups, shard after shard: all groups of one at once if it holds nothing else.
pub(super) fn flush(engine: &Engine, groups: &GroupSet, now: Time) -> Result<(), Unserved> {
    for shard in 0..engine.shard_count() {
        let mut guard = engine.lock(shard);
        for group in of_shard(engine, shard).filter(|group| groups.contains(*group)) {
            Duty::Primary.check(&guard, group)?;
        }
        let others = of_shard(engine, shard).filter(|group| !groups.contains(*group));
        if others.map(|group| guard.store().count(group)).sum::<u64>() == 0 {
            log::set_aside(std::iter::once(&mut guard), now);
            guard.store().clear();
            log::join_aside(std::iter::once(&mut guard));
            continue;
        }
        drop(guard);
        for group in of_shard(engine, shard).filter(|group| groups.contains(*group)) {
            let mut guard = engine.lock(shard);
            Duty::Primary.check(&guard, group)?;
            log::set_aside(std::iter::once(&mut guard), now);
            guard.store().flush_group(group);
            log::join_aside(std::iter::once(&mut guard));
        }
    }
    Ok(())
}

/// RANDOMKEY: the group by its share of the items, then one of its items.
pub(super) fn random_key<W: ReplyWriter>(
    engine: &Engine,
    groups: &GroupSet,
    chance: u64,
    now: Time,
    out: &mut W,
) -> Result<(), Unserved> {
    let list: Vec<Group> = groups.iter().collect();
    let count = |group: Group| engine.lock(engine.shard_of_group(group)).store().count(group);
    let mut target = chance % len(engine, groups)?.max(1);
    let first = list.iter().position(|group| {
        let len = count(*group);
        let here = target < len;
        target = target.saturating_sub(len);
        here
    });
    // What decides within the group must not be what decided for it.
    let chance = chance.rotate_left(32) ^ chance;
    let (before, behind) = list.split_at(first.unwrap_or(0));
    for group in behind.iter().chain(before) {
        let mut guard = engine.lock(engine.shard_of_group(*group));
        check(&mut guard, *group)?;
        if guard.store().random_in(*group, chance, now, |name| out.bulk(name)) {
            return Ok(());
        }
    }
    out.null();
    Ok(())
}
