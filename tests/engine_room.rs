//! Room for big values: while they come in and when they are stored, the bound on memory holds, and
//! what does not fit is refused as a whole.

mod room_moves;

use bytes::Bytes;
use crabcache::command::parse::{self, Action};
use crabcache::command::reply::{Reply, ReplyBuilder, errors};
use crabcache::command::{Arg, Args, Command, KeyOp, Time, Value};
use crabcache::engine::{Engine, EngineOptions, Full, Policy};
use crabcache::limits::SHARED_VALUE_BYTES_MIN;

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

/// Executes SET or MSET with these pairs; whether there was room.
fn set_small(engine: &Engine, name: &str, pairs: &[(String, Vec<u8>)]) -> bool {
    let pair = |(key, value): &(String, Vec<u8>)| [word(key), Arg::Shared(value.clone().into())];
    let words = std::iter::once(word(name)).chain(pairs.iter().flat_map(pair)).collect();
    let reply = run(engine, words);
    assert!(reply == Reply::ok() || reply == Reply::error(errors::OUT_OF_MEMORY), "{reply:?}");
    reply == Reply::ok()
}

#[test]
fn mset_fits_where_its_sets_do() {
    for (count, big) in [(1, false), (7, false), (1000, false), (6, true)] {
        for policy in [Policy::NoEviction, Policy::VolatileTtl] {
            let (one, all) = (engine(policy), engine(policy));
            let mut next = 0usize;
            loop {
                let pairs: Vec<_> = (next..next + count).map(|i| pair(i, big)).collect();
                next += count;
                let sets =
                    pairs.iter().all(|pair| set_small(&one, "set", std::slice::from_ref(pair)));
                let before = run(&all, vec![word("dbsize")]);
                let done = set_small(&all, "mset", &pairs);
                assert!(done || !sets, "refused at pair {next} in steps of {count}");
                if !done {
                    assert_eq!(run(&all, vec![word("dbsize")]), before, "nothing is set");
                }
                if !sets {
                    break;
                }
            }
        }
    }
}

/// A new key, or now and then one that is there.
fn pair(i: usize, big: bool) -> (String, Vec<u8>) {
    let key = if i % 5 == 4 { i / 2 } else { i };
    let len = if big && key % 3 == 0 { 17_000 + key % 9 * 5000 } else { 300 + key % 7 * 800 };
    (key.to_string(), vec![7; len])
}

#[test]
fn there_is_room_after_all_was_given_up() {
    for policy in [Policy::NoEviction, Policy::TinyLfu] {
        let engine = engine(policy);
        for len in [SHARED_VALUE_BYTES_MIN, 4 << 20, GIANT] {
            fill(&engine);
            assert_eq!(run(&engine, vec![word("flushall")]), Reply::ok());
            let value = receive(&engine, len, 0).expect("room");
            assert_eq!(set(&engine, "big", value), Reply::ok(), "{policy:?} {len}");
            assert_eq!(run(&engine, vec![word("flushall")]), Reply::ok());
        }
    }
}

#[test]
fn what_is_about_to_be_freed_is_in_nobodys_way() {
    let engine = engine(Policy::AllKeysLru);
    for i in 0..100 {
        let value = receive(&engine, 512 << 10, 0).expect("room");
        assert_eq!(set(&engine, &i.to_string(), value), Reply::ok());
    }
    let flush = |shard| {
        let mut shard = engine.lock(shard);
        shard.store().clear();
        shard.store().take_garbage()
    };
    // Its thread has not come to drop it yet.
    let garbage: Vec<_> = (0..4).map(flush).collect();
    assert!(engine.loose_bytes() > MAX / 2);
    let value = receive(&engine, SHARED_VALUE_BYTES_MIN, 0).expect("room");
    drop(garbage);
    assert_eq!(set(&engine, "big", value), Reply::ok());
    assert_eq!(engine.loose_bytes(), 0);
}

#[test]
fn others_have_room_beside_one_that_takes_more_than_half() {
    for len in [40 << 20, 60 << 20] {
        let engine = engine(Policy::AllKeysLru);
        fill(&engine);
        let giant = receive(&engine, len, 0).expect("alone it may take all");
        for i in 0..20 {
            let value = receive(&engine, SHARED_VALUE_BYTES_MIN, 0).expect("room");
            assert_eq!(set(&engine, &i.to_string(), value), Reply::ok(), "{len} {i}");
        }
        assert_eq!(set(&engine, "giant", giant), Reply::ok(), "{len}");
        for i in 0..20 {
            let value = receive(&engine, SHARED_VALUE_BYTES_MIN, 0).expect("room");
            assert_eq!(set(&engine, &i.to_string(), value), Reply::ok(), "{len} {i}");
        }
        upkeep(&engine);
        assert_eq!(self::len(&engine, "giant"), Reply::Integer(len as i64));
    }
}

#[test]
fn what_becomes_of_a_big_value_is_within_the_bound() {
    let engine = engine(Policy::AllKeysLru);
    fill(&engine);
    let value = receive(&engine, GIANT, 0).expect("room");
    assert_eq!(set(&engine, "giant", value), Reply::ok());
    for (i, text) in ["append giant 12345", "setrange giant 5 12345"].iter().enumerate() {
        let words: Vec<_> = text.split(' ').map(word).collect();
        let request = parse::parse(Args::new(b"", &words), NOW, 0).expect("a command");
        let Action::Data(Command::Key(name, op)) = request.action else { panic!("on a key") };
        let key = engine.key(name);
        let shard = engine.shard_of(&key);
        let room = engine.make_room_for(shard, &key, &op, NOW);
        check_bound(&engine);
        let mut out = ReplyBuilder::default();
        engine.lock(shard).execute(&key, &op, NOW, &mut out);
        drop(room);
        assert_eq!(out.finish(), [Reply::Integer((GIANT + 5) as i64)], "{i}");
        check_bound(&engine);
    }
}

#[test]
fn what_takes_too_many_steps_to_make_room_for_is_refused() {
    let engine = engine(Policy::AllKeysLru);
    fill(&engine);
    let key = engine.key(b"big");
    let mut shard = engine.lock(engine.shard_of(&key));
    let value = vec![7; 12 << 20];
    assert_eq!(shard.store().set(&key, Value::Slice(&value), None, NOW), Err(Full));
    assert!(shard.store().peek(&key, NOW).is_none());
    drop(shard);
    check_bound(&engine);
}

#[test]
fn a_big_value_is_changed_in_a_copy_made_before_the_shard_is_locked() {
    for text in ["append grows 12345", "setrange grows 4194300 12345"] {
        let engine = engine(Policy::AllKeysLru);
        assert_eq!(set(&engine, "grows", Bytes::from(vec![3; 4 << 20])), Reply::ok());
        let words: Vec<_> = text.split(' ').map(word).collect();
        let request = parse::parse(Args::new(b"", &words), NOW, 0).expect("a command");
        let Action::Data(Command::Key(name, op)) = request.action else { panic!("on a key") };
        let key = engine.key(name);
        let shard = engine.shard_of(&key);
        let at = if text.starts_with('a') { 4 << 20 } else { 4_194_300 };
        for changed in [false, true] {
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
            let mut whole = vec![if changed { 4 } else { 3 }; at];
            whole.extend(b"12345");
            assert_eq!(out.finish(), [Reply::Integer(whole.len() as i64)], "{text} {changed}");
            let got = run(&engine, vec![word("get"), word("grows")]);
            assert!(got == Reply::bulk(whole), "{text} {changed}");
        }
    }
}

#[test]
fn small_values_are_changed_without_room_being_made() {
    let engine = engine(Policy::AllKeysLru);
    for (len, more, needs) in [(None, 100, false), (Some(10_000), 100, false)]
        .into_iter()
        .chain([(Some(16_300), 100, true), (None, SHARED_VALUE_BYTES_MIN, true)])
    {
        run(&engine, vec![word("flushall")]);
        if let Some(len) = len {
            assert_eq!(set(&engine, "k", Bytes::from(vec![7; len])), Reply::ok());
        }
        let (key, more) = (engine.key(b"k"), vec![7; more]);
        let shard = engine.lock(engine.shard_of(&key));
        let at = len.unwrap_or(0) as u64;
        let ops =
            [KeyOp::Append(Value::Slice(&more)), KeyOp::SetRange { offset: at, value: &more }];
        for op in ops {
            assert_eq!(shard.needs_room(&key, &op, NOW), needs, "{op:?}");
        }
    }
}
