//! What the engine records, replayed into another engine, gives the same items: for every command,
//! with time passing, with eviction, with another number of shards, and for the walk of a group
//! while commands go on. A failure prints the shortest run of commands that fails.

mod engine_ops;

use cluster::record::frame::Frame;
use cluster::record::{Kind, Salt, Seq};
use cluster::slot::Group;
use crabcache::command::effect::{Effect, EffectError};
use crabcache::command::reply::ReplyBuilder;
use crabcache::command::{KeyOp, Time, Value};
use crabcache::engine::{
    ApplyError, Engine, EngineOptions, LogPiece, Payload, Policy, WalkChunk, WalkStep,
};
use crabcache::limits::LOG_FRAME_BYTES;
use engine_ops::generate::{START_MS, Step, large_steps, steps};
use engine_ops::run;
use proptest::prelude::{ProptestConfig, any, proptest};
use std::collections::BTreeMap;

type Items = BTreeMap<Vec<u8>, (Vec<u8>, Option<Time>)>;

fn items(engine: &Engine, now: Time) -> Items {
    let mut all = Items::new();
    for group in Group::all() {
        let shard = usize::from(group.number()) % engine.shard_count();
        let mut guard = engine.lock(shard);
        let mut from = Some(0);
        while let Some(at) = from {
            from = guard.store().walk(group, at, 64, now, |key, item| {
                all.insert(key.to_vec(), (item.value.bytes().to_vec(), item.deadline));
            });
        }
    }
    all
}

/// An engine that records, and what it has recorded so far.
struct Logged {
    engine: Engine,
    log: Vec<Vec<u8>>,
    pieces: Vec<LogPiece>,
    now: u64,
}

fn salt() -> Salt {
    Salt::new(7).expect("not 0")
}

impl Logged {
    fn new(options: &EngineOptions) -> Logged {
        let engine = Engine::new(options);
        engine.open_log();
        engine.start_log();
        Logged { engine, log: Vec::new(), pieces: Vec::new(), now: START_MS }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Do(words) => drop(run(&self.engine, words, Time(self.now))),
            Step::Wait(ms) => self.now += ms,
            Step::Upkeep => {
                for shard in 0..self.engine.shard_count() {
                    self.engine.lock(shard).store().upkeep(Time(self.now));
                }
            }
        }
    }

    fn take(&mut self) {
        let mut taken = Vec::new();
        self.engine.take_log(&mut self.pieces, &mut taken);
        for piece in &taken {
            for frame in 0..piece.frames() {
                let mut bytes = Vec::new();
                piece.seal(frame, salt(), |part| bytes.extend_from_slice(part));
                assert_eq!(bytes.len(), piece.frame_bytes(frame));
                self.log.push(bytes);
            }
        }
        self.pieces.append(&mut taken);
        assert_eq!((self.engine.log_bytes(), self.engine.log_frames()), (0, 0));
        assert!(!self.engine.log_waits());
    }

    /// Replays the log group by group in the order of its records, into another engine.
    fn replay(&self, shards: usize) -> Engine {
        let mut records = BTreeMap::new();
        for bytes in &self.log {
            for record in Frame::read(bytes, salt()).expect("a whole frame").records() {
                assert_eq!(record.header.kind, Kind::Effects);
                let place = (record.header.group, record.header.seq);
                let held = (record.payload, record.header.time);
                assert!(records.insert(place, held).is_none(), "each once");
            }
        }
        let engine = Engine::new(&EngineOptions { shards, ..EngineOptions::default() });
        let (mut last, mut payloads) = (None, Vec::new());
        for ((group, seq), (payload, time)) in records {
            let before = last.filter(|(g, _)| *g == group).map_or(Seq(0), |(_, s)| s);
            assert_eq!(seq, before.next(), "no gap");
            last = Some((group, seq));
            payloads.push(Payload { group, bytes: payload, now: Time(time.0) });
        }
        let mut refused = Vec::new();
        engine.apply(&payloads, &mut refused).expect("good payloads");
        assert_eq!(refused, []);
        self.come_to_an_order();
        for group in Group::all() {
            let (_, seq, _) = self.engine.log_position(group);
            assert!(seq == Seq(0) || last.is_some());
        }
        engine
    }

    /// Frames count as a whole: no two of them wait for each other.
    fn come_to_an_order(&self) {
        let frame = |bytes| Frame::read(bytes, salt()).expect("a whole frame");
        let mut frames: Vec<Vec<(Group, Seq)>> = Vec::new();
        for bytes in &self.log {
            let places =
                frame(bytes).records().map(|record| (record.header.group, record.header.seq));
            frames.push(places.collect());
        }
        let mut last = BTreeMap::new();
        while !frames.is_empty() {
            let before = frames.len();
            frames.retain(|frame| {
                let mut then = last.clone();
                let is_next = |(group, seq): &(Group, Seq)| {
                    then.insert(*group, *seq).unwrap_or(Seq(0)).next() == *seq
                };
                let waits = !frame.iter().all(is_next);
                if !waits {
                    last = then;
                }
                waits
            });
            assert!(frames.len() < before, "frames wait for each other: {frames:?}");
        }
    }

    fn check(&self) {
        for shards in [1, 16] {
            let copy = self.replay(shards);
            let now = Time(self.now);
            assert!(items(&copy, now) == items(&self.engine, now), "{shards} shards");
        }
    }
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(96))]

    #[test]
    fn the_log_gives_the_same_items(
        steps in steps(16, 300),
        shards in 0u32..3,
        often in 1usize..50,
    ) {
        let options = EngineOptions { shards: 1 << (2 * shards), ..EngineOptions::default() };
        let mut logged = Logged::new(&options);
        for (i, step) in steps.iter().enumerate() {
            logged.step(step);
            if i % often == 0 {
                logged.take();
            }
        }
        logged.take();
        logged.check();
    }

    #[test]
    fn the_log_gives_the_same_items_where_few_fit(steps in steps(40, 300)) {
        let options = EngineOptions { shards: 4, max_items: Some(16), ..EngineOptions::default() };
        let mut logged = Logged::new(&options);
        steps.iter().for_each(|step| logged.step(step));
        logged.take();
        logged.check();
    }
}

proptest! {
    #![proptest_config(config(16))]

    #[test]
    fn the_log_gives_the_same_items_with_large_values(steps in large_steps(100, 400)) {
        let max_memory = Some(4 * 1024 * 1024);
        let options = EngineOptions { shards: 2, max_memory, ..EngineOptions::default() };
        let mut logged = Logged::new(&options);
        for step in &steps {
            logged.step(step);
            logged.take();
        }
        logged.check();
    }

    #[test]
    fn a_walk_gives_the_group_as_it_is_at_its_end(
        before in steps(400, 2000),
        during in steps(400, 400),
        hash_seed in any::<u64>(),
    ) {
        let options = EngineOptions { shards: 1, hash_seed, ..EngineOptions::default() };
        let mut logged = Logged::new(&options);
        before.iter().for_each(|step| logged.step(step));
        let copy = Engine::new(&EngineOptions { shards: 4, ..EngineOptions::default() });
        let mut during = during.iter();
        for group in Group::all() {
            let walk = logged.engine.begin_walk(group);
            let mut chunk = WalkChunk::default();
            loop {
                let step = logged.engine.walk_step(walk, Time(logged.now), &mut chunk);
                let bytes = &chunk.parts().concat()[..];
                let payload = Payload { group, bytes, now: Time(logged.now) };
                copy.apply(&[payload], &mut Vec::new()).expect("good");
                assert_eq!(chunk.len(), chunk.parts().concat().len());
                chunk.clear();
                if let WalkStep::End { seq, .. } = step {
                    assert_eq!(seq, logged.engine.log_position(group).1);
                    break;
                }
                assert_eq!(step, WalkStep::More);
                during.by_ref().take(1).for_each(|step| logged.step(step));
            }
            let now = Time(logged.now);
            let of_group = |engine: &Engine| {
                let mut all = items(engine, now);
                all.retain(|key, _| engine.key(key).group() == group);
                all
            };
            if !of_group(&logged.engine).is_empty() || !of_group(&copy).is_empty() {
                assert!(of_group(&copy) == of_group(&logged.engine), "{group:?}");
            }
        }
    }
}

#[test]
fn records_have_the_time_of_their_commands_and_frames_end() {
    let options = EngineOptions { shards: 1, ..EngineOptions::default() };
    let mut logged = Logged::new(&options);
    for i in 0..2000 {
        let name = i.to_string();
        let key = logged.engine.key(name.as_bytes());
        let op = KeyOp::SetNx(Value::Slice(&[7; 200]));
        let now = Time(START_MS + i);
        logged.engine.lock(0).execute(&key, &op, now, &mut ReplyBuilder::default());
    }
    logged.take();
    let mut times = Vec::new();
    for bytes in &logged.log {
        assert!(bytes.len() < LOG_FRAME_BYTES + 1000, "{} bytes in a frame", bytes.len());
        let frame = Frame::read(bytes, salt()).expect("a whole frame");
        times.extend(frame.records().map(|record| record.header.time.0));
    }
    assert_eq!(times, (START_MS..START_MS + 2000).collect::<Vec<_>>());
}

#[test]
fn a_payload_that_is_not_understood_ends_a_batch_before_it() {
    let engine = Engine::new(&EngineOptions::default());
    let set = |name: &'static [u8]| {
        let mut bytes = Vec::new();
        Effect::Set { key: name, value: b"v", deadline: None }.encode(&mut bytes);
        (engine.key(name).group(), bytes)
    };
    let (good, later) = (set(b"good"), set(b"later"));
    let mut half = set(b"half");
    half.1.extend_from_slice(&[99]);
    let payload = |held: &(Group, Vec<u8>)| Payload { group: held.0, bytes: &[], now: Time(1) };
    let given = [&good, &half, &later].map(|held| Payload { bytes: &held.1, ..payload(held) });
    let refused = engine.apply(&given, &mut Vec::new()).expect_err("the second is not effects");
    assert_eq!(refused, (1, ApplyError::Effect(EffectError::UnknownKind(99))));
    let there = |name: &[u8]| {
        let key = engine.key(name);
        engine.lock(engine.shard_of(&key)).store().peek(&key, Time(1)).is_some()
    };
    assert!(there(b"good") && !there(b"half") && !there(b"later"));
    let elsewhere = Payload { group: later.0, ..given[0] };
    assert_eq!(engine.apply(&[elsewhere], &mut Vec::new()), Err((0, ApplyError::Group)));
}

#[test]
fn groups_of_which_not_all_had_room_are_known_to_lack_items() {
    let bounds = [(Policy::TinyLfu, true), (Policy::NoEviction, true), (Policy::TinyLfu, false)];
    for (policy, is_bounded) in bounds {
        let max_memory = is_bounded.then_some(16 << 20);
        let engine = Engine::new(&EngineOptions { policy, max_memory, ..Default::default() });
        engine.open_log();
        let keys: Vec<_> = (0..40_000u64).map(u64::to_be_bytes).collect();
        let (value, deadline) = ([7; 1000], None);
        let effect = |key| Effect::Set { key, value: &value, deadline };
        for some in keys.chunks(100) {
            let mut bytes = vec![Vec::new(); some.len()];
            some.iter().zip(&mut bytes).for_each(|(key, bytes)| effect(key).encode(bytes));
            let payload = |(key, bytes): (&[u8; 8], _)| {
                let (group, now) = (engine.key(key).group(), Time(START_MS));
                Payload { group, bytes, now }
            };
            let payloads: Vec<_> =
                some.iter().zip(bytes.iter().map(Vec::as_slice)).map(payload).collect();
            engine.apply(&payloads, &mut Vec::new()).expect("good");
        }
        let lacking = Group::all().filter(|group| engine.lacks(*group)).count();
        assert_eq!(lacking > 0, is_bounded, "{policy:?}: {lacking}");
        // Every key that is not there is of a group that is known to lack some.
        for key in keys.iter().map(|key| engine.key(key)) {
            let mut shard = engine.lock(engine.shard_of(&key));
            let there = shard.store().get(&key, Time(START_MS)).is_some();
            drop(shard);
            assert!(there || engine.lacks(key.group()), "{policy:?}");
        }
    }
}

#[test]
fn a_log_that_is_given_up_keeps_nobody_waiting() {
    let logged = Logged::new(&EngineOptions { shards: 16, ..EngineOptions::default() });
    let words: Vec<_> = ["MSET", "a", "1", "b", "2", "c", "3"].map(Into::into).to_vec();
    for _ in 0..10 {
        drop(run(&logged.engine, &words, Time(START_MS)));
    }
    assert!(logged.engine.log_frames() > 0 && logged.engine.log_bytes() > 0);
    logged.engine.count_only();
    assert_eq!((logged.engine.log_frames(), logged.engine.log_bytes()), (0, 0));
    drop(run(&logged.engine, &words, Time(START_MS)));
    assert_eq!((logged.engine.log_frames(), logged.engine.log_bytes()), (0, 0));
}
