//! One engine follows another: records as they come, a copy by a walk while the primary goes on,
//! expiry and eviction decided by the primary, and what becomes of items when roles change. A
//! failure prints the shortest run of commands that fails.

mod engine_ops;

use bytes::Bytes;
use cluster::record::frame::Frame;
use cluster::record::{Epoch, GroupTime, Header, Kind, Salt, Seq};
use cluster::replication::Digester;
use cluster::slot::{Group, Slot};
use crabcache::command::{Time, Value};
use crabcache::engine::{Engine, EngineOptions, Followed, LogPiece, Role, WalkChunk, WalkStep};
use engine_ops::generate::{START_MS, Step, large_steps, steps};
use engine_ops::run;
use proptest::prelude::{ProptestConfig, any, proptest};

/// A primary of all groups and a node that follows it.
struct Pair {
    primary: Engine,
    replica: Engine,
    now: u64,
}

fn engine(shards: usize, options: &EngineOptions) -> Engine {
    let engine = Engine::new(&EngineOptions { shards, ..options.clone() });
    engine.open_log();
    engine.start_log();
    engine
}

/// What an engine has recorded since the last call.
fn taken(engine: &Engine) -> Vec<(Header, Bytes)> {
    let salt = Salt::new(7).expect("not 0");
    let (mut pieces, mut records) = (Vec::<LogPiece>::new(), Vec::new());
    engine.take_log(&mut Vec::new(), &mut pieces);
    for piece in &mut pieces {
        for frame in 0..piece.frames() {
            let mut bytes = Vec::new();
            piece.seal(frame, salt, |part| bytes.extend_from_slice(part));
            let frame = Frame::read(&bytes, salt).expect("a whole frame");
            let record =
                |r: cluster::record::Record<'_>| (r.header, Bytes::copy_from_slice(r.payload));
            records.extend(frame.records().map(record));
        }
    }
    records.sort_by_key(|(header, _)| (header.group, header.seq));
    records
}

impl Pair {
    fn new(options: &EngineOptions) -> Pair {
        let primary = engine(4, options);
        let replica = engine(2, &EngineOptions { policy: options.policy, ..Default::default() });
        Group::all().for_each(|group| replica.become_replica(group));
        Pair { primary, replica, now: START_MS }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Do(words) => drop(run(&self.primary, words, Time(self.now))),
            Step::Wait(ms) => self.now += ms,
            Step::Upkeep => self.upkeep(),
        }
    }

    /// Upkeep of both, where the replica's clock is far ahead.
    fn upkeep(&mut self) {
        for (engine, ahead_ms) in [(&self.primary, 0), (&self.replica, 100_000_000)] {
            for shard in 0..engine.shard_count() {
                engine.lock(shard).store().upkeep(Time(self.now + ahead_ms));
            }
        }
    }

    /// Carries out at the replica what the primary did since the last call.
    fn pass(&mut self) {
        for (header, payload) in taken(&self.primary) {
            assert_eq!(self.replica.follow(&header, &payload), Ok(Followed::Applied), "{header:?}");
            assert_eq!(self.replica.follow(&header, &payload), Ok(Followed::Known));
        }
    }

    fn check(&self) {
        for group in Group::all() {
            let (of_primary, of_replica) = (
                self.primary.digest(group, Time(self.now), &Digester::new(1)),
                self.replica.digest(group, Time(self.now), &Digester::new(1)),
            );
            assert_eq!(of_primary.map(|(seq, _)| seq), of_replica.map(|(seq, _)| seq));
            let live = |engine: &Engine| {
                let (mut items, mut from) = (Vec::new(), Some(0));
                let shard = usize::from(group.number()) % engine.shard_count();
                while let Some(at) = from {
                    let mut guard = engine.lock(shard);
                    from = guard.store().walk(group, at, 64, Time(self.now), |key, item| {
                        let value = item.value.bytes().to_vec();
                        items.push((key.to_vec(), value, item.deadline));
                    });
                }
                items.sort();
                items
            };
            assert_eq!(live(&self.primary), live(&self.replica), "group {}", group.number());
        }
    }
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn a_replica_equals_its_primary(steps in steps(16, 300), often in 1usize..50) {
        let mut pair = Pair::new(&EngineOptions::default());
        for (i, step) in steps.iter().enumerate() {
            pair.step(step);
            if i % often == 0 {
                pair.pass();
            }
        }
        pair.upkeep();
        pair.pass();
        pair.check();
    }

    #[test]
    fn what_the_primary_evicts_goes_and_nothing_else(steps in steps(40, 300)) {
        let mut pair =
            Pair::new(&EngineOptions { max_items: Some(16), ..EngineOptions::default() });
        steps.iter().for_each(|step| pair.step(step));
        pair.pass();
        pair.check();
    }

    #[test]
    fn a_copy_taken_while_the_primary_goes_on_is_exact(
        before in steps(200, 1000),
        during in steps(200, 300),
        seed in any::<u64>(),
    ) {
        let options = EngineOptions { hash_seed: seed, ..EngineOptions::default() };
        let mut pair = Pair::new(&options);
        pair.replica = engine(2, &EngineOptions::default());
        before.iter().for_each(|step| pair.step(step));
        // What was there before it became a copy does not count.
        run(&pair.replica, &[b"SET".to_vec(), b"stale".to_vec(), b"x".to_vec()], Time(START_MS));
        let mut during = during.iter();
        for group in Group::all() {
            pair.replica.begin_copy(group);
            assert!(!pair.replica.is_whole(group));
            let walk = pair.primary.begin_walk(group);
            let other = pair.primary.begin_walk(group);
            let mut chunk = WalkChunk::default();
            loop {
                let step = pair.primary.walk_step(walk, Time(pair.now), &mut chunk);
                let payload = Bytes::from(chunk.parts().concat());
                pair.replica.copy(group, &payload).expect("a good part");
                chunk.clear();
                if let WalkStep::End { epoch, seq, time } = step {
                    pair.replica.end_copy(group, epoch, seq, time);
                    break;
                }
                during.by_ref().take(3).for_each(|step| pair.step(step));
            }
            pair.primary.end_walk(other);
        }
        during.for_each(|step| pair.step(step));
        for (header, payload) in taken(&pair.primary) {
            let done = pair.replica.follow(&header, &payload).expect("a good record");
            assert!(matches!(done, Followed::Applied | Followed::Known), "{done:?}");
        }
        pair.check();
    }
}

proptest! {
    #![proptest_config(config(12))]

    #[test]
    fn large_values_follow(steps in large_steps(60, 300)) {
        let max_memory = Some(4 * 1024 * 1024);
        let mut pair = Pair::new(&EngineOptions { max_memory, ..EngineOptions::default() });
        for step in &steps {
            pair.step(step);
            pair.pass();
        }
        pair.check();
    }
}

fn group() -> Group {
    Slot::of(b"{t}").group()
}

fn set(engine: &Engine, name: &str, ttl_ms: Option<u64>, now: u64) {
    let key = engine.key(name.as_bytes());
    let deadline = ttl_ms.map(|ms| Time(now + ms));
    let mut guard = engine.lock(engine.shard_of(&key));
    let value = [b'v'; 100];
    guard.store().set(&key, Value::Slice(&value), deadline, Time(now)).expect("room");
}

#[test]
fn a_record_that_is_not_next_is_not_taken() {
    let mut pair = Pair::new(&EngineOptions::default());
    for i in 0..3 {
        set(&pair.primary, &format!("{{t}}{i}"), None, START_MS);
    }
    let records = taken(&pair.primary);
    let (first, last) = (&records[0], &records[2]);
    let gap = Followed::Gap(Epoch(1), Seq(0));
    assert_eq!(pair.replica.follow(&last.0, &last.1), Ok(gap));
    assert_eq!(pair.replica.follow(&first.0, &first.1), Ok(Followed::Applied));
    assert_eq!(pair.replica.log_position(group()).1, Seq(1));
    pair.replica.become_primary(group(), Epoch(2), Time(START_MS));
    assert_eq!(pair.replica.follow(&last.0, &last.1), Ok(Followed::NotReplica));
    pair.replica.drop_group(group());
    assert_eq!(pair.replica.follow(&last.0, &last.1), Ok(Followed::NotReplica));
    pair.now += 1;
}

#[test]
fn a_copy_hides_what_is_past_its_deadline_and_keeps_it_until_the_primary_says_so() {
    let mut pair = Pair::new(&EngineOptions::default());
    for i in 0..500 {
        set(&pair.primary, &format!("{{t}}{i}"), Some(1000), START_MS);
    }
    pair.pass();
    pair.now += 10_000;
    // Only the copy's upkeep runs.
    let shard = usize::from(group().number()) % 2;
    for i in 0..100 {
        pair.replica.lock(shard).store().upkeep(Time(pair.now + i * 100));
    }
    assert_eq!(pair.replica.lock(shard).store().group_len(group()), 500);
    let key = pair.replica.key(b"{t}7");
    assert!(pair.replica.lock(shard).store().get(&key, Time(pair.now)).is_none());
    for _ in 0..20 {
        pair.now += 1000;
        pair.upkeep();
        pair.pass();
    }
    assert_eq!(
        pair.primary.digest(group(), Time(pair.now), &Digester::new(1)).map(|(_, d)| d.items),
        Some(0)
    );
    assert_eq!(pair.replica.lock(shard).store().group_len(group()), 0, "reclaimed");
}

#[test]
fn a_node_that_has_just_loaded_its_data_records_nothing_of_its_own() {
    let engine = Engine::new(&EngineOptions::default());
    engine.open_log();
    for i in 0..100 {
        set(&engine, &format!("{{t}}{i}"), Some(1000), START_MS);
    }
    engine.set_log(group(), Epoch(2), Seq(100), GroupTime(START_MS));
    engine.follow_all();
    engine.start_log();
    for i in 0..100 {
        let shard = usize::from(group().number()) % engine.shard_count();
        engine.lock(shard).store().upkeep(Time(START_MS + 10_000 + i * 100));
    }
    // Its primary may have written the next one meanwhile.
    assert_eq!(engine.log_position(group()).1, Seq(100));
    assert_eq!(taken(&engine).len(), 0);
    let roles: Vec<_> = Group::all().map(|group| engine.role(group)).collect();
    let copies = roles.iter().filter(|role| **role == Role::Replica);
    assert_eq!((copies.count(), engine.role(group())), (1, Role::Replica));
    assert!(roles.iter().all(|role| *role != Role::Primary));
}

#[test]
fn a_bound_is_no_reason_to_leave_a_large_value_out_of_a_copy() {
    const MIB: u64 = 1024 * 1024;
    let pair = Pair::new(&EngineOptions::default());
    let options = EngineOptions { max_memory: Some(64 * MIB), ..Default::default() };
    let replica = engine(4, &options);
    Group::all().for_each(|group| replica.become_replica(group));
    let value = vec![b'l'; 20 * MIB as usize];
    for name in ["{t}0", "{t}1", "{t}2", "{t}3"] {
        let key = pair.primary.key(name.as_bytes());
        let mut guard = pair.primary.lock(pair.primary.shard_of(&key));
        let set = guard.store().set(&key, Value::Slice(&value), None, Time(START_MS));
        assert!(set.is_ok());
    }
    for (header, payload) in taken(&pair.primary) {
        assert_eq!(replica.follow(&header, &payload), Ok(Followed::Applied));
    }
    // As parts of a copy they are no different.
    let walk = pair.primary.begin_walk(group());
    let mut chunk = WalkChunk::default();
    while pair.primary.walk_step(walk, Time(START_MS), &mut chunk) == WalkStep::More {}
    replica.begin_copy(group());
    let payload = Bytes::from(chunk.parts().concat());
    assert_eq!(replica.copy(group(), &payload), Ok(()));
    replica.end_copy(group(), Epoch(1), Seq(4), pair.primary.log_position(group()).2);
    let digest = |engine: &Engine| {
        engine.digest(group(), Time(START_MS), &Digester::new(1)).map(|(_, digest)| digest)
    };
    assert_eq!(digest(&replica), digest(&pair.primary));
    assert_eq!(digest(&replica).map(|digest| digest.items), Some(4));
}

#[test]
fn a_node_that_becomes_primary_of_its_copies_may_evict_them() {
    const BOUND: u64 = 16 * 1024 * 1024;
    let mut pair = Pair::new(&EngineOptions::default());
    pair.replica =
        engine(4, &EngineOptions { max_memory: Some(BOUND), ..EngineOptions::default() });
    Group::all().for_each(|group| pair.replica.become_replica(group));
    for i in 0..100_000 {
        set(&pair.primary, &format!("key:{i}"), None, START_MS);
    }
    pair.pass();
    let items = |engine: &Engine| {
        (0..engine.shard_count()).map(|s| engine.lock(s).store().len()).sum::<u64>()
    };
    assert_eq!(items(&pair.replica), 100_000);
    for group in Group::all() {
        let writer = pair.replica.role(group);
        assert_eq!(writer, Role::Replica);
        pair.replica.become_primary(group, Epoch(2), Time(pair.now));
    }
    // No upkeep has run yet: there is room for all the same.
    for i in 0..100_000 {
        set(&pair.replica, &format!("new:{i}"), None, pair.now);
    }
    while (0..4).any(|shard| pair.replica.lock(shard).store().upkeep(Time(pair.now))) {}
    assert_eq!(pair.replica.replica_bytes(), 0, "all of it moved or went");
    for i in 0..300_000 {
        set(&pair.replica, &format!("newer:{i}"), None, pair.now);
    }
    let used: u64 = (0..4).map(|s| pair.replica.lock(s).store().used_bytes()).sum();
    assert!(used <= BOUND + BOUND / 20, "{used}");
    assert!(items(&pair.replica) < 150_000, "{}", items(&pair.replica));
    let is_left = |i: &u32| {
        let name = format!("key:{i}");
        let key = pair.replica.key(name.as_bytes());
        pair.replica.lock(pair.replica.shard_of(&key)).store().peek(&key, Time(pair.now)).is_some()
    };
    let left = (0..100_000).filter(is_left).count();
    assert!(left < 90_000, "{left} of the copies were never evicted");
}

#[test]
fn items_of_copies_are_read_where_requests_are_counted() {
    let mut pair = Pair::new(&EngineOptions::default());
    let options = EngineOptions { max_memory: Some(64 * MIB), ..Default::default() };
    pair.replica = engine(4, &options);
    Group::all().filter(|group| !leads(*group)).for_each(|g| pair.replica.become_replica(g));
    fill(|group| if leads(group) { &pair.replica } else { &pair.primary });
    pair.pass();
    // What is led fills the rest, and more: its requests are counted now.
    for i in 0..40_000 {
        let name = format!("led:{i}");
        if leads(Slot::of(name.as_bytes()).group()) {
            let key = pair.replica.key(name.as_bytes());
            let mut guard = pair.replica.lock(pair.replica.shard_of(&key));
            let set = guard.store().set(&key, Value::Slice(&[b'v'; 4_000]), None, Time(START_MS));
            assert!(set.is_ok());
        }
    }
    assert!(evicted(&pair.replica) > 0);
    let found = |i: &u32| {
        let name = format!("key:{i}");
        let key = pair.replica.key(name.as_bytes());
        let mut guard = pair.replica.lock(pair.replica.shard_of(&key));
        guard.store().get(&key, Time(START_MS)).is_some()
    };
    // As clients of a copy read (READONLY), and as soon as the node is primary of it.
    let is_copy = |i: &u32| !leads(Slot::of(format!("key:{i}").as_bytes()).group());
    let copies = (0..8_000).filter(is_copy).count();
    assert_eq!((0..8_000).filter(is_copy).filter(found).count(), copies);
    Group::all().for_each(|group| pair.replica.become_primary(group, Epoch(2), Time(START_MS)));
    assert_eq!((0..8_000).filter(is_copy).filter(found).count(), copies);
}

#[test]
fn a_group_that_is_given_up_goes_in_steps() {
    let engine = engine(4, &EngineOptions::default());
    for i in 0..20_000 {
        set(&engine, &format!("key:{i}"), None, START_MS);
    }
    Group::all().filter(|g| g.number() % 2 == 0).for_each(|group| engine.drop_group(group));
    let left = || (0..4).map(|s| engine.lock(s).store().len()).sum::<u64>();
    let before = left();
    let mut steps = 0;
    while (0..4).any(|shard| engine.lock(shard).store().upkeep(Time(START_MS))) {
        steps += 1;
        assert!(steps < 10_000);
    }
    assert!(left() > before / 3 && left() < before * 2 / 3, "{} of {before}", left());
    let dropped = taken(&engine).iter().filter(|(h, _)| h.kind == Kind::Drop).count();
    assert_eq!(dropped, 512);
    assert!(Group::all().all(|g| (g.number() % 2 == 0) != engine.is_whole(g)));
}

const MIB: u64 = 1024 * 1024;
/// So many groups are led where a node leads one of four.
const LED: u64 = 256;

/// Whether the node leads the group, where it leads one of four.
fn leads(group: Group) -> bool {
    (group.number() / 4).is_multiple_of(4)
}

/// About 32 MiB, each item at the engine that `of` names.
fn fill<'e>(of: impl Fn(Group) -> &'e Engine) {
    for i in 0..8_000 {
        let name = format!("key:{i}");
        let engine = of(Slot::of(name.as_bytes()).group());
        let key = engine.key(name.as_bytes());
        let mut guard = engine.lock(engine.shard_of(&key));
        let set = guard.store().set(&key, Value::Slice(&[b'v'; 4_000]), None, Time(START_MS));
        assert!(set.is_ok());
    }
}

/// Items that went to make room, after upkeep.
fn evicted(engine: &Engine) -> u64 {
    engine.rebalance();
    let shards = 0..engine.shard_count();
    while shards.clone().any(|shard| engine.lock(shard).store().upkeep(Time(START_MS))) {}
    shards.map(|shard| engine.lock(shard).store().stats().evictions).sum()
}

#[test]
fn copies_that_come_in_push_nothing_out_that_is_led() {
    let mut pair = Pair::new(&EngineOptions::default());
    pair.replica = engine(4, &EngineOptions { max_memory: Some(64 * MIB), ..Default::default() });
    Group::all().filter(|group| !leads(*group)).for_each(|g| pair.replica.become_replica(g));
    fill(|group| if leads(group) { &pair.replica } else { &pair.primary });
    // Others have room for a little more than what is led here; the copies are still to come.
    pair.replica.set_ceiling(Some(12 * MIB / LED));
    assert_eq!(evicted(&pair.replica), 0);
    pair.pass();
    assert_eq!(evicted(&pair.replica), 0);
    assert!(pair.replica.replica_bytes() > 20 * MIB);
    // The node becomes primary of all of it, and nobody has told it yet what there is room for.
    Group::all().for_each(|group| pair.replica.become_primary(group, Epoch(2), Time(START_MS)));
    assert_eq!(evicted(&pair.replica), 0);
}

#[test]
fn what_was_led_until_lately_is_no_part_of_what_is_led() {
    let node = engine(4, &EngineOptions { max_memory: Some(64 * MIB), ..Default::default() });
    fill(|_| &node);
    Group::all().filter(|group| !leads(*group)).for_each(|group| node.become_replica(group));
    node.set_ceiling(Some(12 * MIB / LED));
    assert_eq!(evicted(&node), 0);
    // What others have no room for goes.
    node.set_ceiling(Some(5 * MIB / LED));
    let gone = evicted(&node);
    assert!((500..1_500).contains(&gone), "{gone}");
}

#[test]
fn copies_that_come_to_one_shard_push_nothing_out_there() {
    let mut pair = Pair::new(&EngineOptions::default());
    pair.replica = engine(4, &EngineOptions { max_memory: Some(64 * MIB), ..Default::default() });
    // All of it in the first of four shards, some 14 MiB led and then 14 MiB of copies.
    let leads = |group: Group| group.number().is_multiple_of(8);
    Group::all().filter(|group| !leads(*group)).for_each(|g| pair.replica.become_replica(g));
    for i in 0..28_000 {
        let name = format!("key:{i}");
        let group = Slot::of(name.as_bytes()).group();
        if group.number().is_multiple_of(4) {
            let engine = if leads(group) { &pair.replica } else { &pair.primary };
            let key = engine.key(name.as_bytes());
            let mut guard = engine.lock(engine.shard_of(&key));
            let set = guard.store().set(&key, Value::Slice(&[b'v'; 4_000]), None, Time(START_MS));
            assert!(set.is_ok());
        }
    }
    let gone = |engine: &Engine| engine.lock(0).store().stats().evictions;
    assert_eq!(gone(&pair.replica), 0);
    pair.pass();
    assert_eq!(gone(&pair.replica), 0);
    assert!(pair.replica.replica_bytes() > 12 * MIB);
}
