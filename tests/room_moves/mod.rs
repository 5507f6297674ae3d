//! Big values that are copied and renamed, and what has to work where memory is full.

use super::{NOW, engine, fill, len, receive, run, set, upkeep, word};
use bytes::Bytes;
use crabcache::command::reply::{Reply, errors};
use crabcache::command::{Arg, Time, Value};
use crabcache::engine::{Engine, Policy};

#[test]
fn copies_of_big_values_are_within_the_bound() {
    for policy in [Policy::AllKeysLru, Policy::TinyLfu, Policy::AllKeysLfu] {
        let engine = engine(policy);
        fill(&engine);
        for bytes in [6, 12, 20].map(|mib| mib << 20) {
            let case = format!("{policy:?} {bytes}");
            let value = receive(&engine, bytes, 0).expect("room");
            assert_eq!(set(&engine, "from", value), Reply::ok(), "{case}");
            let done = run(&engine, vec![word("copy"), word("from"), word("to")]);
            assert_eq!(done, Reply::Integer(1), "{case}");
            assert_eq!(len(&engine, "to"), Reply::Integer(bytes as i64), "{case}");
            run(&engine, vec![word("del"), word("from"), word("to")]);
            fill(&engine);
        }
    }
}

#[test]
fn copies_within_a_shard_do_not_push_out_what_they_are_made_of() {
    let policies = [Policy::AllKeysLru, Policy::TinyLfu, Policy::VolatileTtl, Policy::VolatileLru];
    for policy in policies.into_iter().chain([Policy::VolatileRandom, Policy::AllKeysRandom]) {
        for bytes in [3, 6, 20].map(|mib| mib << 20) {
            let engine = engine(policy);
            // The first of its class of TTL: its segment stays open, and is the first to be seen.
            let first = ["set", "{t}first", "1", "ex", "3600"].map(word);
            assert_eq!(run(&engine, first.into()), Reply::ok(), "{policy:?}");
            for i in 0..200_000u32 {
                let key = engine.key(&i.to_be_bytes()).hash;
                let name = key.to_be_bytes();
                let (key, deadline) = (engine.key(&name), Some(Time(1 + 500_000)));
                let mut shard = engine.lock(engine.shard_of(&key));
                let _ = shard.store().set(&key, Value::Slice(&[7; 200]), deadline, NOW);
            }
            let value = receive(&engine, bytes, 0).expect("room");
            let set = vec![word("set"), word("{t}a"), Arg::Shared(value), word("ex"), word("3600")];
            assert_eq!(run(&engine, set), Reply::ok(), "{policy:?} {bytes}");
            let done = run(&engine, ["copy", "{t}a", "{t}b"].map(word).into());
            assert_eq!(done, Reply::Integer(1), "{policy:?} {bytes}");
            for name in ["{t}a", "{t}b"] {
                let len = len(&engine, name);
                assert_eq!(len, Reply::Integer(bytes as i64), "{policy:?} {bytes} {name}");
            }
            upkeep(&engine);
        }
    }
}

#[test]
fn a_copy_fits_beside_other_big_values_and_uneven_shards() {
    let engine = engine(Policy::NoEviction);
    let name = |shard: usize| {
        let of = |i: &u32| engine.shard_of(&engine.key(format!("{i}").as_bytes())) == shard;
        (0..).find(of).expect("a name").to_string()
    };
    // Small items of 24 and 14 MiB in two shards, and 10 MiB as one value in a third.
    for (shard, mib) in [(0, 24u32), (3, 14)] {
        for i in 0..mib * 4 * 1200 {
            let name = format!("small{i}");
            let key = engine.key(name.as_bytes());
            if engine.shard_of(&key) == shard {
                let set = engine.lock(shard).store().set(&key, Value::Slice(&[7; 800]), None, NOW);
                assert_eq!(set, Ok(()), "{shard} {i}");
            }
            if i % 1000 == 0 {
                engine.rebalance();
            }
        }
    }
    let value = receive(&engine, 10 << 20, 0).expect("room");
    assert_eq!(set(&engine, &name(2), value), Reply::ok());
    let done = run(&engine, vec![word("copy"), word(&name(2)), word(&name(1))]);
    assert_eq!(done, Reply::Integer(1));
}

#[test]
fn a_copy_that_cannot_fit_is_refused_and_nothing_goes_for_it() {
    for policy in [Policy::AllKeysLru, Policy::TinyLfu, Policy::NoEviction] {
        let engine = engine(policy);
        let bytes = 30 << 20;
        fill_beside(&engine, policy, "from", bytes);
        let evictions = evictions(&engine);
        let done = run(&engine, vec![word("copy"), word("from"), word("to")]);
        assert_eq!(done, Reply::Error(errors::OUT_OF_MEMORY.into()), "{policy:?}");
        assert_eq!(len(&engine, "from"), Reply::Integer(bytes as i64), "{policy:?}");
        assert_eq!(self::evictions(&engine), evictions, "{policy:?}");
    }
}

#[test]
fn a_big_value_that_is_renamed_takes_its_room_along() {
    for policy in [Policy::AllKeysLru, Policy::TinyLfu, Policy::NoEviction] {
        for bytes in [6, 20, 34].map(|mib| mib << 20) {
            let case = format!("{policy:?} {bytes}");
            let engine = engine(policy);
            fill_beside(&engine, policy, "0", bytes);
            let evictions = evictions(&engine);
            for i in 0..20 {
                // Every second one within a shard.
                let tagged = |i: u32| word(&format!("{}{{{}}}", i, i / 2));
                let from = if i == 0 { name(0) } else { tagged(i) };
                let done = run(&engine, vec![word("rename"), from, tagged(i + 1)]);
                assert_eq!(done, Reply::ok(), "{case}");
            }
            // Its name takes a few bytes anew.
            assert!(self::evictions(&engine) <= evictions + 100, "{case}");
            assert_eq!(len(&engine, "20{10}"), Reply::Integer(bytes as i64), "{case}");
            upkeep(&engine);
        }
    }
}

/// Fills the node, a big value included, which would not be stored or not stay in another order.
fn fill_beside(engine: &Engine, policy: Policy, name: &str, bytes: usize) {
    if policy != Policy::NoEviction {
        fill(engine);
    }
    let value = receive(engine, bytes, 0).expect("room");
    assert_eq!(set(engine, name, value), Reply::ok(), "{policy:?} {bytes}");
    if policy == Policy::NoEviction {
        fill(engine);
    }
}

fn name(i: u32) -> Arg {
    word(&i.to_string())
}

fn evictions(engine: &Engine) -> u64 {
    (0..engine.shard_count()).map(|shard| engine.lock(shard).store().stats().evictions).sum()
}

#[test]
fn where_nothing_is_evicted_deadlines_are_set_and_keys_renamed() {
    let engine = engine(Policy::NoEviction);
    fill(&engine);
    let full = set(&engine, "one more", Bytes::from_static(&[7; 200]));
    assert_eq!(full, Reply::Error(errors::OUT_OF_MEMORY.into()));
    for i in 0..3000u32 {
        let key = || Arg::Shared(Bytes::copy_from_slice(&i.to_be_bytes()));
        let seconds = if i % 2 == 0 { "500" } else { "50000" };
        let done = run(&engine, vec![word("expire"), key(), word(seconds)]);
        assert_eq!(done, Reply::Integer(1), "{i}");
        assert_eq!(run(&engine, vec![word("rename"), key(), name(i)]), Reply::ok(), "{i}");
    }
    // Nor while a big value that comes in takes from what the shards had.
    let mut coming = engine.buffer(8 << 20).expect("addresses");
    let _ = engine.claim(&mut coming, 8 << 20, 0, NOW);
    for i in 3000..3100u32 {
        let key = Arg::Shared(Bytes::copy_from_slice(&i.to_be_bytes()));
        let done = run(&engine, vec![word("expire"), key, word("500")]);
        assert_eq!(done, Reply::Integer(1), "{i}");
    }
    drop(coming);
    upkeep(&engine);
}
