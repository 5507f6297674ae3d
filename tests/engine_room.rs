//! Room for big values: while they come in and when they are stored, the bound on memory holds, and
//! what does not fit is refused as a whole.

use bytes::Bytes;
use crabcache::command::parse::{self, Action};
use crabcache::command::reply::{Reply, ReplyBuilder, errors};
use crabcache::command::{Arg, Args, Command, KeyOp, Time, Value};
use crabcache::engine::{Engine, EngineOptions, Policy};

const MAX: u64 = 64 << 20;
/// Much more than a shard has of it.
const GIANT: usize = 28 << 20;
const NOW: Time = Time(1);

fn engine(policy: Policy) -> Engine {
    let max_memory = Some(MAX);
    Engine::new(&EngineOptions { shards: 4, max_memory, policy, ..EngineOptions::default() })
}

/// Bytes of all shards and of what none keeps: never above the bound.
#[track_caller]
fn check_bound(engine: &Engine) {
    let shards = 0..engine.shard_count();
    let kept: u64 = shards.map(|shard| engine.lock(shard).store().used_bytes()).sum();
    let used = kept + engine.loose_bytes();
    let stats: Vec<_> = (0..4).map(|shard| engine.lock(shard).store().stats()).collect();
    let loose = engine.loose_bytes();
    assert!(used <= MAX + MAX * 3 / 100, "{used} of {MAX}, {loose} of it loose: {stats:#?}");
}

/// Sets small items, more than there is room for.
fn fill(engine: &Engine) {
    for i in 0..400_000u32 {
        let name = i.to_be_bytes();
        let key = engine.key(&name);
        let shard = engine.shard_of(&key);
        // Without eviction it ends with no room.
        let _ = engine.lock(shard).store().set(&key, Value::Slice(&[7; 200]), None, NOW);
    }
    check_bound(engine);
}

/// What happens meanwhile.
fn upkeep(engine: &Engine) {
    for _ in 0..20 {
        engine.rebalance();
        for shard in 0..engine.shard_count() {
            while engine.lock(shard).store().upkeep(NOW) {}
        }
    }
    check_bound(engine);
}

/// A value as it comes from a connection, in steps; `None`: there is no room.
fn receive(engine: &Engine, len: usize, before: u64) -> Option<Bytes> {
    let mut buffer = engine.buffer(len).expect("addresses");
    let mut filled = 0;
    while filled < len {
        filled = len.min(filled + (256 << 10));
        if !engine.claim(&mut buffer, filled, before, NOW) {
            return None;
        }
        check_bound(engine);
    }
    buffer[len - 1] = 1;
    Some(buffer.freeze())
}

fn word(text: &str) -> Arg {
    Arg::Shared(Bytes::copy_from_slice(text.as_bytes()))
}

/// Executes a command as a worker does.
fn run(engine: &Engine, words: Vec<Arg>) -> Reply {
    let args = Args::new(b"", &words);
    let request = parse::parse(args, NOW, 0).unwrap_or_else(|refusal| panic!("{}", refusal.text));
    let mut out = ReplyBuilder::default();
    match request.action {
        Action::Data(Command::Key(name, op)) => {
            let key = engine.key(name);
            let shard = engine.shard_of(&key);
            let room = engine.make_room_for(shard, &key, &op, NOW);
            engine.lock(shard).execute(&key, &op, NOW, &mut out);
            drop(room);
        }
        Action::Data(command) => engine.execute(&command, NOW, &mut out),
        Action::Session(_) => panic!("a command on data"),
    }
    drop(words);
    check_bound(engine);
    out.finish().remove(0)
}

fn set(engine: &Engine, name: &str, value: Bytes) -> Reply {
    run(engine, vec![word("set"), word(name), Arg::Shared(value)])
}

fn len(engine: &Engine, name: &str) -> Reply {
    run(engine, vec![word("strlen"), word(name)])
}

#[test]
fn a_value_larger_than_a_shards_part_is_stored_and_stays() {
    let engine = engine(Policy::AllKeysLru);
    fill(&engine);
    for again in [false, true] {
        let value = receive(&engine, GIANT, 0).expect("room");
        assert_eq!(set(&engine, "giant", value), Reply::ok());
        assert_eq!(engine.loose_bytes(), 0);
        upkeep(&engine);
        assert_eq!(len(&engine, "giant"), Reply::Integer(GIANT as i64));
        let items: u64 = (0..4).map(|shard| engine.lock(shard).store().len()).sum();
        assert!(again || items > 120_000, "{items} items are left: it counts twice");
    }
    fill(&engine);
}

#[test]
fn values_on_their_way_in_are_within_the_bound() {
    let engine = engine(Policy::TinyLfu);
    fill(&engine);
    let mut held = Vec::new();
    let came = (0..12).filter(|_| {
        let value = receive(&engine, GIANT, 0);
        let came = value.is_some();
        held.extend(value);
        came
    });
    let came = came.count();
    assert!((1..=2).contains(&came), "{came} came");
    upkeep(&engine);
    assert_eq!(receive(&engine, GIANT, 0), None);
    // What is given up is room for others.
    held.clear();
    upkeep(&engine);
    assert!(receive(&engine, GIANT, 0).is_some());
    assert_eq!(engine.loose_bytes(), 0);
    fill(&engine);
}

#[test]
fn without_eviction_nothing_makes_room() {
    let engine = engine(Policy::NoEviction);
    let first = receive(&engine, GIANT, 0).expect("room");
    fill(&engine);
    assert_eq!(receive(&engine, 4 << 20, 0), None);
    assert_eq!(set(&engine, "first", first), Reply::ok());
    upkeep(&engine);
    assert_eq!(len(&engine, "first"), Reply::Integer(GIANT as i64));
    let dropped = run(&engine, vec![word("del"), word("first")]);
    assert_eq!(dropped, Reply::Integer(1));
    upkeep(&engine);
    assert!(receive(&engine, 4 << 20, 0).is_some());
}

#[test]
fn mset_sets_all_or_nothing() {
    for policy in [Policy::NoEviction, Policy::AllKeysLru, Policy::VolatileTtl] {
        for name in ["mset", "msetnx"] {
            let engine = engine(policy);
            // Too much: copied by the engine, so that nothing refuses them as they come.
            let mut words = vec![word(name)];
            for i in 0..5 {
                let value = Bytes::from(vec![7; 15 << 20]);
                words.extend([word(&i.to_string()), Arg::Shared(value)]);
            }
            assert_eq!(run(&engine, words.clone()), Reply::error(errors::OUT_OF_MEMORY));
            let there = run(&engine, vec![word("dbsize")]);
            assert_eq!(there, Reply::Integer(0), "{policy:?}");
            words.truncate(5);
            let done = if name == "mset" { Reply::ok() } else { Reply::Integer(1) };
            assert_eq!(run(&engine, words), done, "{policy:?}");
            assert_eq!(run(&engine, vec![word("dbsize")]), Reply::Integer(2));
        }
    }
}

#[test]
fn mset_of_values_that_came_in_steps() {
    let engine = engine(Policy::AllKeysLru);
    fill(&engine);
    let mut words = vec![word("mset")];
    let mut before = 0;
    for i in 0..5 {
        let value = receive(&engine, 8 << 20, before).expect("alone it may take all");
        before += value.len() as u64;
        words.extend([word(&i.to_string()), Arg::Shared(value)]);
    }
    assert_eq!(run(&engine, words), Reply::ok());
    for i in 0..5 {
        assert_eq!(len(&engine, &i.to_string()), Reply::Integer(8 << 20));
    }
}

#[test]
fn append_copies_a_big_value_before_the_shard_is_locked() {
    let engine = engine(Policy::AllKeysLru);
    let (name, more) = (&b"grows"[..], [5; 100]);
    assert_eq!(set(&engine, "grows", Bytes::from(vec![3; 4 << 20])), Reply::ok());
    let (key, op) = (engine.key(name), KeyOp::Append(Value::Slice(&more)));
    let shard = engine.shard_of(&key);
    for (round, changed) in [false, true].into_iter().enumerate() {
        let room = engine.make_room_for(shard, &key, &op, NOW);
        assert!(engine.loose_bytes() > 4 << 20, "it is there already");
        if changed {
            // What another has written meanwhile is not lost.
            assert_eq!(set(&engine, "grows", Bytes::from(vec![4; 4 << 20])), Reply::ok());
        }
        let mut out = ReplyBuilder::default();
        engine.lock(shard).execute(&key, &op, NOW, &mut out);
        drop(room);
        assert_eq!(engine.loose_bytes(), 0);
        let mut whole = vec![if changed { 4 } else { 3 }; 4 << 20];
        whole.extend(more);
        assert_eq!(out.finish(), [Reply::Integer(whole.len() as i64)], "round {round}");
        let got = run(&engine, vec![word("get"), word("grows")]);
        assert!(got == Reply::bulk(whole), "round {round}");
    }
}
