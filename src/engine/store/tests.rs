//! The store against a plain map, under every policy, with bounds and deadlines.

use super::{Arena, Store};
use crate::command::{Time, Value};
use crate::engine::extents::Extents;
use crate::engine::{EngineOptions, HashSeed, Key, Policy};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % n
    }
}

pub(super) fn store(policy: Policy, max_memory: Option<u64>, max_items: Option<u64>) -> Store {
    let options = EngineOptions { shards: 1, hash_seed: 7, max_memory, max_items, policy };
    let arena = Arc::new(Arena::new(64 * 1024));
    let mut store = Store::new(&options, arena, Extents::new());
    store.set_limits(max_memory, max_items);
    store
}

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<Time>)>;

/// Runs random commands. Whatever the store still has must be what was last written; with
/// `exact`, it must have everything.
fn run(seed: u64, mut store: Store, exact: bool, steps: u64, keys: u64, value_max: u64) {
    let mut rng = Rng(seed);
    let mut model = Model::new();
    let mut now = Time(1_700_000_000_000);
    for step in 0..steps {
        now.0 += rng.below(20);
        let name = format!("key:{}", rng.below(keys)).into_bytes();
        let key = Key::new(&name, &HashSeed::new(7));
        match rng.below(10) {
            0..=4 => {
                let value = vec![b'a' + (step % 26) as u8; rng.below(value_max) as usize];
                let ttl_max = 1 << rng.below(16);
                let ttl = 1 + rng.below(ttl_max);
                let deadline = (rng.below(3) == 0).then_some(Time(now.0 + ttl));
                match store.set(&key, Value::Slice(&value), deadline, now) {
                    Ok(()) => drop(model.insert(name.clone(), (value, deadline))),
                    Err(_) => assert!(!exact, "seed {seed} step {step}: full"),
                }
            }
            5 => {
                let had = store.remove(&key, now);
                let want = model.remove(&name).is_some_and(|(_, d)| d.is_none_or(|d| d > now));
                assert!(had == want || !exact && want, "seed {seed} step {step}: remove");
            }
            6 => {
                let deadline = Some(Time(now.0 + 1 + rng.below(5000)));
                let changed = store.set_deadline(&key, deadline, now) == Ok(true);
                if let Some(entry) = model.get_mut(&name).filter(|_| changed) {
                    entry.1 = deadline;
                }
            }
            7 => drop(store.upkeep(now)),
            _ => {
                let got = store.get(&key, now).map(|i| (i.value.bytes().to_vec(), i.deadline));
                let want = model.get(&name).filter(|(_, d)| d.is_none_or(|d| d > now)).cloned();
                if exact || got.is_some() {
                    assert_eq!(got, want, "seed {seed} step {step}");
                }
            }
        }
        store.take_garbage();
    }
    check_walk(&store, &model, now, exact, seed);
    store.clear();
    while store.upkeep(now) {}
    assert_eq!((store.len(), store.arena.blocks_used()), (0, 0));
}

fn check_walk(store: &Store, model: &Model, now: Time, exact: bool, seed: u64) {
    let mut seen = BTreeMap::new();
    for group in cluster::slot::Group::all() {
        let mut from = Some(0);
        while let Some(at) = from {
            from = store.walk(group, at, 3, now, |name, item| {
                let old = seen.insert(name.to_vec(), item.value.bytes().to_vec());
                assert!(old.is_none(), "seed {seed}: twice");
            });
        }
    }
    let live = model.iter().filter(|(_, (_, d))| d.is_none_or(|d| d > now));
    for (name, (value, _)) in live.clone() {
        let got = seen.remove(name);
        assert!(got.as_ref() == Some(value) || !exact && got.is_none(), "seed {seed}");
    }
    assert!(seen.is_empty(), "seed {seed}: {} that should be gone", seen.len());
}

#[test]
fn without_bounds_nothing_is_lost() {
    for seed in 0..6 {
        run(seed, store(Policy::TinyLfu, None, None), true, 60_000, 1 + 300 * (seed * seed), 200);
    }
    run(9, store(Policy::TinyLfu, None, None), true, 4_000, 50, 40_000);
}

#[test]
fn with_bounds_what_is_there_is_right() {
    for (i, (_, policy)) in Policy::NAMES.iter().enumerate() {
        let seed = i as u64;
        let bytes = Some(2 * 1024 * 1024);
        run(seed, store(*policy, bytes, None), false, 60_000, 30_000, 300);
        run(seed, store(*policy, None, Some(500)), false, 60_000, 3_000, 100);
        run(seed, store(*policy, bytes, Some(5_000)), false, 30_000, 30_000, 60_000);
    }
}

#[test]
fn a_bound_on_items_holds() {
    let mut store = store(Policy::TinyLfu, None, Some(100));
    for i in 0..10_000u64 {
        let name = i.to_le_bytes();
        store
            .set(&Key::new(&name, &HashSeed::new(7)), Value::Slice(b"v"), None, Time(1))
            .expect("room");
        assert!(store.len() <= 100);
    }
    assert_eq!(store.len(), 100);
}

#[test]
fn a_bound_on_memory_holds_and_is_used() {
    for policy in [Policy::TinyLfu, Policy::AllKeysLru, Policy::AllKeysRandom] {
        let limit = 16 * 1024 * 1024;
        let mut store = store(policy, Some(limit), None);
        for i in 0..600_000u64 {
            let name = i.to_le_bytes();
            let value = [b'x'; 100];
            store
                .set(
                    &Key::new(&name, &HashSeed::new(7)),
                    Value::Slice(&value[..i as usize % 100]),
                    None,
                    Time(1),
                )
                .expect("room");
            assert!(
                store.stats().used_bytes <= limit * 101 / 100,
                "{} at {i}",
                store.stats().used_bytes
            );
        }
        assert!(store.stats().live_bytes > limit * 7 / 10, "{policy:?} {:?}", store.stats());
    }
}

#[test]
fn keys_made_to_collide_do_not_grow_the_index_without_end() {
    let mut store = store(Policy::TinyLfu, None, None);
    let hash = Key::new(b"x", &HashSeed::new(7)).hash;
    let mut stored = 0;
    for i in 0..200_000u64 {
        let name = format!("{{a}}{i}").into_bytes();
        // All of one leaf's range and one tag: what a broken hash would do.
        let key = Key { hash, ..Key::new(&name, &HashSeed::new(7)) };
        stored += u64::from(store.set(&key, Value::Slice(b"v"), None, Time(1)).is_ok());
        if i == 500 {
            break;
        }
    }
    assert!((14..128).contains(&stored), "{stored}");
    assert!(store.stats().index_bytes < 4 * 1024 * 1024, "{:?}", store.stats());
}

#[test]
fn a_lowered_bound_is_reached_by_upkeep_alone() {
    let mut store = store(Policy::TinyLfu, Some(32 * 1024 * 1024), None);
    for i in 0..200_000u64 {
        let name = i.to_le_bytes();
        let key = Key::new(&name, &HashSeed::new(7));
        store.set(&key, Value::Slice(&[b'x'; 100]), None, Time(1)).expect("room");
    }
    let bound = 8 * 1024 * 1024;
    store.set_limits(Some(bound), None);
    let mut steps = 0;
    while store.upkeep(Time(1)) {
        steps += 1;
        assert!(steps < 100_000);
    }
    assert!(store.stats().used_bytes <= bound, "{:?}", store.stats());
    assert!(store.stats().live_bytes > bound / 2, "{:?}", store.stats());
}

#[test]
fn another_policy_takes_over_what_the_window_holds() {
    let mut store = store(Policy::TinyLfu, None, Some(1_000));
    let put = |store: &mut Store, i: u64| {
        let name = i.to_le_bytes();
        let key = Key::new(&name, &HashSeed::new(7));
        store.set(&key, Value::Slice(b"v"), None, Time(1)).expect("room");
    };
    (0..5_000).for_each(|i| put(&mut store, i));
    store.set_policy(Policy::AllKeysLru);
    (5_000..10_000).for_each(|i| put(&mut store, i));
    let old = (0..5_000u64).filter(|i| {
        let name = i.to_le_bytes();
        store.peek(&Key::new(&name, &HashSeed::new(7)), Time(1)).is_some()
    });
    assert_eq!(old.count(), 0);
}

#[test]
fn a_small_bound_refuses_nothing_that_may_evict() {
    let mut store = store(Policy::TinyLfu, Some(16 * 64 * 1024), None);
    let mut rng = Rng(3);
    let mut now = Time(1_700_000_000_000);
    for i in 0..100_000u64 {
        now.0 += rng.below(3);
        let name = rng.below(20_000).to_le_bytes();
        let ttl = 1000 << rng.below(12);
        let deadline = (i % 3 != 0).then_some(Time(now.0 + ttl));
        let value = vec![b'v'; rng.below(200) as usize];
        let key = Key::new(&name, &HashSeed::new(7));
        let set = store.set(&key, Value::Slice(&value), deadline, now);
        assert!(set.is_ok(), "step {i}: {:?}", store.stats());
    }
    assert!(store.len() > 500, "{:?}", store.stats());
}

#[test]
fn a_bound_far_below_what_the_index_took_leaves_a_cache_that_works() {
    for policy in [Policy::TinyLfu, Policy::AllKeysLru, Policy::AllKeysRandom] {
        let mut store = store(policy, Some(32 * 1024 * 1024), None);
        let put = |store: &mut Store, i: u64| {
            let name = i.to_le_bytes();
            store.set(&Key::new(&name, &HashSeed::new(7)), Value::Slice(b"v"), None, Time(1))
        };
        (0..1_500_000).for_each(|i| put(&mut store, i).expect("room"));
        store.set_limits(Some(2 * 1024 * 1024), None);
        for i in 0..200_000 {
            if i % 100 == 0 {
                store.upkeep(Time(1));
            }
            put(&mut store, 2_000_000 + i).expect("room");
        }
        while store.upkeep(Time(1)) {}
        let stats = store.stats();
        assert!(stats.used_bytes <= 2 * 1024 * 1024 * 101 / 100, "{policy:?} {stats:?}");
        assert!(stats.items > 20_000, "{policy:?} {stats:?}");
    }
}
