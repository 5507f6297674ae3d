//! The engine against a simple model: random commands, every one of them, with time passing, and
//! with eviction. A failure prints the shortest run of commands that fails.

mod engine_ops;

use crabcache::command::Time;
use crabcache::command::reply::{Reply, errors};
use crabcache::engine::{Engine, EngineOptions, Policy, glob_match};
use engine_ops::generate::{COMMANDS, START_MS, Step, command, large_steps, steps};
use engine_ops::model::{Expect, Item, Model, glob, keys_of};
use engine_ops::{Words, run, show};
use proptest::collection;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert_eq, proptest};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::{BTreeMap, BTreeSet};

/// An engine beside its model.
struct Pair {
    engine: Engine,
    model: Model,
    now: u64,
    /// Whether items may go, and writes be refused, for want of room.
    bounded: bool,
}

impl Pair {
    fn new(options: &EngineOptions) -> Pair {
        let bounded = options.max_items.is_some() || options.max_memory.is_some();
        Pair { engine: Engine::new(options), model: Model::default(), now: START_MS, bounded }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Do(words) if words[0] == b"scan" => self.scan(words),
            Step::Do(words) => self.command(words),
            Step::Wait(ms) => self.now += ms,
            Step::Upkeep => {
                for shard in 0..self.engine.shard_count() {
                    self.engine.lock(shard).store().upkeep(Time(self.now));
                }
            }
        }
    }

    /// What the engine holds under a name.
    fn held(&self, name: &[u8]) -> Option<Item> {
        let key = self.engine.key(name);
        let mut guard = self.engine.lock(self.engine.shard_of(&key));
        let item = guard.store().peek(&key, Time(self.now))?;
        Some((item.value.bytes().to_vec(), item.deadline.map(|d| d.0)))
    }

    /// Items may have gone to make room. What is still there must be what was last written.
    fn forget_evicted(&mut self, names: &[Vec<u8>]) {
        for name in names.iter().filter(|_| self.bounded) {
            match self.held(name) {
                None => drop(self.model.items.remove(name)),
                held => {
                    let item = self.model.items.get(name);
                    assert_eq!(held.as_ref(), item, "held under {}", name.escape_ascii());
                }
            }
        }
    }

    fn command(&mut self, words: &Words) {
        self.model.bury(self.now);
        let names: Vec<Vec<u8>> = match keys_of(words) {
            keys if keys.is_empty() => self.model.items.keys().cloned().collect(),
            keys => keys.into_iter().cloned().collect(),
        };
        self.forget_evicted(&names);
        let before = self.model.clone();
        let expect = self.model.run(words, self.now);
        let reply = run(&self.engine, words, Time(self.now));
        if self.bounded && reply == Reply::error(errors::OUT_OF_MEMORY) {
            return self.refused(words, before, &names);
        }
        self.check(words, &expect, &reply);
    }

    /// A write found no room: every key has its old value, of an MSET the old or one given.
    fn refused(&mut self, words: &Words, before: Model, names: &[Vec<u8>]) {
        self.model = before;
        for name in names {
            let held = self.held(name);
            let given = |value: &Vec<u8>| {
                words[0] == b"mset" && words[1..].chunks(2).any(|p| &p[0] == name && &p[1] == value)
            };
            let known = match &held {
                None => true,
                Some((value, None)) if given(value) => true,
                held => held.as_ref() == self.model.items.get(name),
            };
            assert!(known, "{} is {held:?} after {}", name.escape_ascii(), show(words));
            match held {
                Some(item) => drop(self.model.items.insert(name.clone(), item)),
                None => drop(self.model.items.remove(name)),
            }
        }
    }

    fn check(&mut self, words: &Words, expect: &Expect, reply: &Reply) {
        let good = match (expect, reply) {
            (Expect::Reply(expected), _) => expected == reply,
            (Expect::Near(sum), Reply::Bulk(text)) => {
                // From here on the model goes on with the digits of the engine.
                if let Some(item) = self.model.items.get_mut(&words[1]) {
                    item.0 = text.to_vec();
                }
                let number: Option<f64> = str::from_utf8(text).ok().and_then(|t| t.parse().ok());
                number.is_some_and(|n| (n - sum).abs() <= 1e-12 * sum.abs().max(1.0))
            }
            (Expect::Names(names), Reply::Array(list)) => {
                list.len() == names.len() && &names_of(list) == names
            }
            (Expect::OneOf(names), Reply::Bulk(name)) => names.contains(&name[..]),
            (Expect::OneOf(names), Reply::Null) => names.is_empty(),
            (Expect::Within(range), Reply::Integer(n)) => range.contains(n),
            _ => false,
        };
        assert!(good, "{}\n  must be {expect:?}\n  but is {reply:?}", show(words));
    }

    /// A whole walk: every name once.
    fn scan(&mut self, words: &Words) {
        self.model.bury(self.now);
        let names: Vec<Vec<u8>> = self.model.items.keys().cloned().collect();
        self.forget_evicted(&names);
        let keys = self.model.run(&engine_ops::words("keys *"), self.now);
        let Expect::Names(live) = keys else { panic!("names of all keys") };
        let after = |name: &[u8]| words.iter().position(|w| w == name).map(|i| &words[i + 1]);
        let wanted = |name: &&Vec<u8>| {
            after(b"match").is_none_or(|pattern| glob(pattern, name))
                && after(b"type").is_none_or(|t| t == b"string")
        };
        let mut words = words.clone();
        let mut seen = Vec::new();
        loop {
            let (cursor, mut list) = scanned(run(&self.engine, &words, Time(self.now)));
            seen.append(&mut list);
            if cursor == b"0" {
                break;
            }
            words[1] = cursor;
        }
        seen.sort();
        let expected: Vec<_> = live.iter().filter(wanted).cloned().collect();
        assert_eq!(seen, expected, "{}", show(&words));
    }

    /// At the end everything is where it belongs.
    fn finish(&mut self) {
        let names: Vec<Vec<u8>> = self.model.items.keys().cloned().collect();
        for name in names {
            self.command(&vec![b"get".to_vec(), name.clone()]);
            self.command(&vec![b"pexpiretime".to_vec(), name]);
        }
        for line in ["dbsize", "keys *", "scan 0 count 3", "scan 0 count 1000", "flushall"] {
            self.step(&Step::Do(engine_ops::words(line)));
        }
        assert_eq!(run(&self.engine, &engine_ops::words("dbsize"), Time(0)), Reply::Integer(0));
    }
}

fn names_of(list: &[Reply]) -> BTreeSet<Vec<u8>> {
    list.iter().map(|name| bytes_of(name).to_vec()).collect()
}

fn bytes_of(reply: &Reply) -> &[u8] {
    let Reply::Bulk(bytes) = reply else { panic!("a string, not {reply:?}") };
    bytes
}

fn scanned(reply: Reply) -> (Vec<u8>, Vec<Vec<u8>>) {
    let Reply::Array(parts) = reply else { panic!("an array, not {reply:?}") };
    let [cursor, Reply::Array(list)] = &parts[..] else { panic!("a cursor and an array") };
    (bytes_of(cursor).to_vec(), list.iter().map(|name| bytes_of(name).to_vec()).collect())
}

fn play(options: &EngineOptions, steps: &[Step]) {
    let mut pair = Pair::new(options);
    steps.iter().for_each(|step| pair.step(step));
    pair.finish();
}

fn without(names: &[&str], mut steps: Vec<Step>) -> Vec<Step> {
    let named = |words: &Words| names.iter().any(|name| name.as_bytes() == words[0]);
    steps.retain(|step| !matches!(step, Step::Do(words) if named(words)));
    steps
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 4096,
        max_shrink_time: 5_000,
        ..ProptestConfig::default()
    }
}

/// Policies under which OBJECT FREQ and OBJECT IDLETIME both have answers, as the model expects.
const COUNTING: Policy = Policy::TinyLfu;

proptest! {
    #![proptest_config(config(192))]

    #[test]
    fn as_the_model(steps in steps(16, 300), shards in 0u32..4, hash_seed in any::<u64>()) {
        let shards = 1 << (2 * shards);
        let options = EngineOptions { shards, hash_seed, ..EngineOptions::default() };
        play(&EngineOptions { policy: COUNTING, ..options }, &steps);
    }

    #[test]
    fn as_the_model_where_few_items_fit(steps in steps(40, 300), hash_seed in any::<u64>()) {
        let (shards, max_items) = (1, Some(16));
        let options = EngineOptions { shards, hash_seed, max_items, ..EngineOptions::default() };
        play(&EngineOptions { policy: COUNTING, ..options }, &steps);
    }

    #[test]
    fn as_the_model_under_other_policies(steps in steps(40, 300), policy in 0..9usize) {
        let (shards, max_items) = (1, Some(16));
        let policy = Policy::NAMES[policy].1;
        let options = EngineOptions { shards, max_items, policy, ..EngineOptions::default() };
        // What OBJECT answers depends on the policy; it has a test of its own.
        play(&options, &without(&["object"], steps));
    }

    #[test]
    fn a_pattern_matches_what_it_matches_in_redis(
        pattern in collection::vec(proptest::sample::select(b"abc*?[]^-\\".to_vec()), 0..12),
        text in collection::vec(proptest::sample::select(b"abc]^-\\[".to_vec()), 0..8),
    ) {
        prop_assert_eq!(glob_match(&pattern, &text), glob(&pattern, &text));
    }
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn as_the_model_where_memory_is_short(steps in large_steps(200, 1000), policy in 0..9usize) {
        let (shards, max_memory) = (1, Some(2 * 1024 * 1024));
        let policy = Policy::NAMES[policy].1;
        let options = EngineOptions { shards, max_memory, policy, ..EngineOptions::default() };
        // LCS of large values is refused, and slow in the model.
        play(&options, &without(&["object", "lcs"], steps));
    }

    #[test]
    fn a_scan_sees_what_stays_once(
        stay in 1usize..400,
        count in 1usize..50,
        churn in collection::vec((any::<bool>(), 0usize..400), 400),
        hash_seed in any::<u64>(),
    ) {
        let options = EngineOptions { shards: 4, hash_seed, ..EngineOptions::default() };
        let engine = Engine::new(&options);
        let do_it = |line: String| run(&engine, &engine_ops::words(&line), Time(START_MS));
        // One tag for half of them: some groups are crowded, most are empty.
        let name = |i: usize| match i % 2 {
            0 => format!("stay{i}"),
            _ => format!("{{x}}{i}"),
        };
        (0..stay).for_each(|i| drop(do_it(format!("set {} 1", name(i)))));
        let (mut cursor, mut seen) = (b"0".to_vec(), Vec::new());
        let mut churn = churn.chunks(7).cycle();
        loop {
            let line = format!("scan {} count {count}", cursor.escape_ascii());
            let (next, mut list) = scanned(do_it(line));
            seen.append(&mut list);
            if next == b"0" {
                break;
            }
            cursor = next;
            for (set, i) in churn.next().into_iter().flatten() {
                let verb = if *set { "append" } else { "del" };
                do_it(format!("{verb} {{x}}go{i} 1"));
                do_it(format!("append {} 1", name(i % stay)));
            }
        }
        seen.retain(|n| !n.starts_with(b"{x}go"));
        seen.sort();
        let mut expected: Vec<_> = (0..stay).map(|i| name(i).into_bytes()).collect();
        expected.sort();
        prop_assert_eq!(seen, expected);
    }
}

#[test]
fn frequency_and_idle_time_depend_on_the_policy() {
    for (name, policy) in Policy::NAMES {
        let engine = Engine::new(&EngineOptions { policy, ..EngineOptions::default() });
        let ask = |line| run(&engine, &engine_ops::words(line), Time(START_MS));
        assert_eq!(ask("object freq k"), Reply::Null);
        assert_eq!(ask("object idletime k"), Reply::Null);
        ask("set k v");
        let lfu = matches!(policy, Policy::AllKeysLfu | Policy::VolatileLfu);
        let counted = lfu || policy == Policy::TinyLfu;
        let integer = |line| matches!(ask(line), Reply::Integer(_));
        assert_eq!(integer("object freq k"), counted, "{name}");
        assert_eq!(integer("object idletime k"), !lfu, "{name}");
    }
}

#[test]
fn a_refused_msetnx_leaves_nothing() {
    let (shards, max_items, policy) = (1, Some(4), Policy::NoEviction);
    let options = EngineOptions { shards, max_items, policy, ..EngineOptions::default() };
    let mut pair = Pair::new(&options);
    for line in ["set a 1", "set b 2", "msetnx c 3 d 4 e 5 f 6 g 7", "mget a b c d e f g"] {
        pair.step(&Step::Do(engine_ops::words(line)));
    }
    assert_eq!(pair.model.items.len(), 2);
}

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed ^ mixed >> 27) % bound
    }
}

/// The index gives blocks back when most of many items went, in the midst of writes that need
/// room: none of them may go on with a place it had found before.
#[test]
fn what_was_last_written_is_read_while_the_index_shrinks() {
    let (shards, max_memory) = (1, Some(24 << 20));
    for seed in 1..4 {
        let policy = Policy::NoEviction;
        let options = EngineOptions { shards, max_memory, policy, ..EngineOptions::default() };
        let engine = Engine::new(&options);
        let mut numbers = Numbers(seed);
        let mut last: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for round in 0..12 {
            grow_and_shrink(&engine, &mut last, &mut numbers, round);
        }
    }
}

fn grow_and_shrink(
    engine: &Engine,
    last: &mut BTreeMap<Vec<u8>, Vec<u8>>,
    numbers: &mut Numbers,
    round: u64,
) {
    let ask = |words: Words| run(engine, &words, Time(START_MS));
    let tag = if round % 2 == 1 { "{t}" } else { "" };
    for i in 0..[16_000, 24_000, 32_000, 60_000][numbers.below(4) as usize] {
        let name = format!("{tag}k{}", numbers.below(200_000)).into_bytes();
        let value = format!("{round}:{i}").into_bytes();
        let reply = ask(vec![b"set".to_vec(), name.clone(), value.clone()]);
        if reply == Reply::Simple("OK".into()) {
            last.insert(name, value);
        }
    }
    let share = [50, 60, 75, 90][numbers.below(4) as usize];
    last.retain(|name, _| {
        let stays = numbers.below(100) >= share;
        if !stays {
            assert_eq!(ask(vec![b"del".to_vec(), name.clone()]), Reply::Integer(1));
        }
        stays
    });
    let names: Vec<Vec<u8>> = last.keys().cloned().collect();
    for i in 0..3_000 {
        let name = &names[numbers.below(names.len() as u64) as usize];
        let length = 3 + numbers.below(117) as usize;
        let value = format!("{round}:{i}:{}", "b".repeat(length)).into_bytes();
        let reply = ask(vec![b"set".to_vec(), name.clone(), value.clone()]);
        if reply == Reply::Simple("OK".into()) {
            last.insert(name.clone(), value);
        }
    }
    for (name, value) in &*last {
        let reply = ask(vec![b"get".to_vec(), name.clone()]);
        assert_eq!(bytes_of(&reply), value, "{} in round {round}", name.escape_ascii());
    }
    if round % 5 == 4 {
        ask(engine_ops::words("flushall"));
        last.clear();
    }
}

#[test]
fn a_scan_counts_the_dead_that_it_looks_at() {
    let engine = Engine::new(&EngineOptions::default());
    for i in 0..5_000 {
        run(&engine, &engine_ops::words(&format!("psetex {{t}}{i} 5 v")), Time(START_MS));
    }
    let (mut cursor, mut calls) = (b"0".to_vec(), 0);
    loop {
        let line = format!("scan {} count 100", cursor.escape_ascii());
        let (next, names) = scanned(run(&engine, &engine_ops::words(&line), Time(START_MS + 9)));
        assert_eq!(names, Vec::<Vec<u8>>::new());
        (cursor, calls) = (next, calls + 1);
        if cursor == b"0" {
            break;
        }
    }
    assert!((40..=51).contains(&calls), "{calls} calls");
}

#[test]
fn every_command_is_tried() {
    let mut runner = TestRunner::deterministic();
    let commands = command(16);
    let mut missing: BTreeSet<Vec<u8>> = COMMANDS.iter().map(|c| c.as_bytes().to_vec()).collect();
    for _ in 0..20_000 {
        let words = commands.new_tree(&mut runner).expect("a command").current();
        missing.remove(&words[0]);
    }
    assert_eq!(missing, BTreeSet::new());
}
