//! What an engine gives up while groups come, go and change hands: nothing, as long as there is
//! room.

use bytes::Bytes;
use cluster::record::Epoch;
use cluster::slot::{Group, Slot};
use crabcache::command::{Time, Value};
use crabcache::engine::{Engine, EngineOptions, WalkChunk, WalkStep};

const MIB: u64 = 1024 * 1024;
const START_MS: u64 = 1_700_000_000_000;

fn engine(max_memory: Option<u64>) -> Engine {
    let engine = Engine::new(&EngineOptions { shards: 4, max_memory, ..Default::default() });
    engine.open_log();
    engine.start_log();
    engine
}

/// Makes a copy of a group anew.
fn copy(from: &Engine, to: &Engine, group: Group) {
    let (walk, mut chunk) = (from.begin_walk(group), WalkChunk::default());
    let position = loop {
        match from.walk_step(walk, Time(START_MS), &mut chunk) {
            WalkStep::End { epoch, seq, time } => break (epoch, seq, time),
            step => assert_eq!(step, WalkStep::More),
        }
    };
    from.end_walk(walk);
    to.begin_copy(group);
    let payload = Bytes::from(chunk.parts().concat());
    assert_eq!(to.copy(group, &payload), Ok(()));
    let (epoch, seq, time) = position;
    to.end_copy(group, epoch, seq, time);
}

/// A step of upkeep of each shard.
fn upkeep(node: &Engine) {
    for shard in 0..node.shard_count() {
        node.lock(shard).store().upkeep(Time(START_MS));
    }
}

/// What a node gives up to make room.
fn gone(node: &Engine) -> u64 {
    (0..node.shard_count()).map(|s| node.lock(s).store().stats().evictions).sum()
}

/// Items of 11 KB in 1024 groups, 5000 in all, at the engine that `of` names.
fn fill_small<'e>(of: impl Fn(Group) -> Option<&'e Engine>) {
    for i in 0..5_000 {
        let name = format!("key:{i}");
        let Some(engine) = of(Slot::of(name.as_bytes()).group()) else { continue };
        let key = engine.key(name.as_bytes());
        let mut guard = engine.lock(engine.shard_of(&key));
        let set = guard.store().set(&key, Value::Slice(&[b'v'; 11_000]), None, Time(START_MS));
        assert!(set.is_ok());
    }
}

#[test]
fn copies_that_go_and_come_again_push_nothing_out_that_is_led() {
    let primary = engine(None);
    let node = engine(Some(64 * MIB));
    let leads = |group: Group| (group.number() / 4).is_multiple_of(2);
    let copies = || Group::all().filter(|group| !leads(*group));
    copies().for_each(|group| node.drop_group(group));
    // Five sixths of what there is room for, half of it as copies.
    fill_small(|group| Some(if leads(group) { &node } else { &primary }));
    for round in 0..8 {
        copies().for_each(|group| copy(&primary, &node, group));
        copies().filter(|g| g.number() % 3 != round % 3).for_each(|group| node.drop_group(group));
        upkeep(&node);
        node.rebalance();
    }
    assert_eq!(gone(&node), 0);
}

#[test]
fn what_becomes_led_pushes_nothing_out_while_it_moves() {
    let primary = engine(None);
    let node = engine(Some(64 * MIB));
    // Of three groups the node leads one, has a copy of one that it will lead, or of one that it
    // will not.
    let part = |group: Group| group.number() / 4 % 3;
    Group::all().filter(|g| part(*g) != 0).for_each(|group| node.drop_group(group));
    fill_small(|group| Some(if part(group) == 0 { &node } else { &primary }));
    // Others have room for a fifth more than there is.
    node.set_ceiling(Some(64 * MIB / 1024));
    Group::all().filter(|g| part(*g) == 1).for_each(|group| copy(&primary, &node, group));
    for round in 0..200 {
        upkeep(&node);
        if round % 60 == 0 {
            node.rebalance();
        }
        if round == 61 {
            let taken = Group::all().filter(|g| part(*g) == 1 && g.number() % 2 == 0);
            taken.for_each(|group| node.become_primary(group, Epoch(9), Time(START_MS)));
        }
    }
    assert_eq!(gone(&node), 0);
}

/// Upkeep of all shards, so often, and now and then the bounds divided anew.
fn pass_time(node: &Engine, rounds: u32) {
    for round in 0..rounds {
        if round % 30 == 0 {
            node.rebalance();
        }
        upkeep(node);
    }
}

#[test]
fn copies_that_come_and_are_led_soon_push_nothing_out() {
    let primary = engine(None);
    fill_small(|_| Some(&primary));
    let groups: Vec<Group> = Group::all().filter(|group| group.number() % 3 != 0).collect();
    let ways = [(1, 1, 10), (1, 1, 60), (1, 3, 60), (3, 3, 300), (3, 10, 60), (10, 10, 300)];
    for (upkeeps, every, batch) in ways {
        let node = engine(Some(64 * MIB));
        Group::all().for_each(|group| node.drop_group(group));
        node.set_ceiling(Some(64 * MIB / 1024));
        let mut copies = 0;
        for part in groups.chunks(batch) {
            for group in part {
                copy(&primary, &node, *group);
                copies += 1;
                if copies % every == 0 {
                    node.rebalance();
                }
                for _ in 0..upkeeps {
                    upkeep(&node);
                }
            }
            for group in part.iter().step_by(2) {
                node.become_primary(*group, Epoch(9), Time(START_MS));
            }
        }
        pass_time(&node, 300);
        // Another primary dies.
        for group in groups.iter().skip(1).step_by(4) {
            node.become_primary(*group, Epoch(9), Time(START_MS));
        }
        pass_time(&node, 300);
        assert_eq!(gone(&node), 0, "{upkeeps} {every} {batch}");
    }
}

#[test]
fn what_moves_may_be_gone_before_all_of_it_has_moved() {
    let options = EngineOptions { shards: 1, ..EngineOptions::default() };
    let (primary, node) = (Engine::new(&options), Engine::new(&options));
    for engine in [&primary, &node] {
        engine.open_log();
        engine.start_log();
    }
    let set = |engine: &Engine, name: &str, bytes: usize| {
        let key = engine.key(name.as_bytes());
        let value = vec![0xff; bytes];
        let done = engine.lock(0).store().set(&key, Value::Slice(&value), None, Time(START_MS));
        assert_eq!(done, Ok(()));
    };
    let group = Slot::of(b"{copied}").group();
    node.become_replica(group);
    for i in 0..20_000 {
        set(&primary, &format!("{{copied}}{i}"), 100);
    }
    copy(&primary, &node, group);
    node.become_primary(group, Epoch(2), Time(START_MS));
    for round in 0..40 {
        upkeep(&node);
        if round == 3 {
            // The group goes, and others' items stand where its did.
            node.begin_copy(group);
            (0..10_000).for_each(|i| set(&node, &format!("{{other}}{i}"), 1000 + i % 777));
        }
    }
    assert_eq!(node.lock(0).store().len(), 10_000);
}

#[test]
fn what_is_led_fits_where_others_have_less_room() {
    let node = engine(Some(256 * MIB));
    let set = |engine: &Engine, name: &str, bytes: usize| {
        let key = engine.key(name.as_bytes());
        let mut guard = engine.lock(engine.shard_of(&key));
        let set = guard.store().set(&key, Value::Slice(&[b'v'; 9][..bytes]), None, Time(START_MS));
        assert_eq!(set, Ok(()));
    };
    // Small ones, of which the index is a large part.
    (0..2_000_000).for_each(|i| set(&node, &format!("key:{i}"), 8));
    let used = || (0..4).map(|s| node.lock(s).store().used_bytes()).sum::<u64>();
    assert!(used() > 60 * MIB, "{}", used());
    node.set_ceiling(Some(32 * MIB / 1024));
    pass_time(&node, 6_000);
    let other = engine(None);
    Group::all().for_each(|group| copy(&node, &other, group));
    let taken: u64 = (0..4).map(|s| other.lock(s).store().used_bytes()).sum();
    assert!(taken < 36 * MIB, "{taken}");
    // Nobody has less any more: there is room for as much as before.
    node.set_ceiling(None);
    pass_time(&node, 300);
    let before = gone(&node);
    (0..1_000_000).for_each(|i| set(&node, &format!("new:{i}"), 8));
    assert_eq!(gone(&node), before);
}

#[test]
fn a_big_value_of_a_copy_pushes_nothing_out_that_is_led() {
    let node = engine(Some(64 * MIB));
    let (copied, primary) = (Slot::of(b"{copied}").group(), engine(None));
    node.drop_group(copied);
    let all = |group: Group| (group != copied).then_some(&node);
    fill_small(|group| all(group).filter(|_| (group.number() / 4) % 2 == 0));
    // As much as others have room for.
    let used: u64 = (0..4).map(|s| node.lock(s).store().used_bytes()).sum();
    node.set_ceiling(Some(used / 1023));
    pass_time(&node, 100);
    let before = gone(&node);
    let value = vec![b'b'; 4 * MIB as usize];
    for name in ["{copied}1", "{copied}2", "{copied}3"] {
        let key = primary.key(name.as_bytes());
        let mut guard = primary.lock(primary.shard_of(&key));
        assert_eq!(guard.store().set(&key, Value::Slice(&value), None, Time(START_MS)), Ok(()));
    }
    copy(&primary, &node, copied);
    pass_time(&node, 100);
    assert_eq!(gone(&node), before);
}
