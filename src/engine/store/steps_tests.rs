//! What single writes and steps of upkeep do, counted: none does more than a step may.

use super::tests::{Rng, store};
use super::{Full, Store};
use crate::command::{Time, Value};
use crate::engine::{HashSeed, Key, Policy};
use crate::limits::{CREDIT_PART, STEP_ITEMS_MAX};

const BOUND: u64 = 16 * 1024 * 1024;

/// A write, which may do one bounded step and no more.
fn put(store: &mut Store, i: u64, len: u64, deadline: Option<Time>, now: Time) -> Result<(), Full> {
    let name = i.to_le_bytes();
    let value = vec![b'v'; len as usize];
    store.segments.begin_step();
    let key = Key::new(&name, &HashSeed::new(7));
    let set = store.set(&key, Value::Slice(&value), deadline, now);
    let work = store.segments.work();
    assert!(work.is_bounded(), "write {i}: {work:?}");
    set
}

/// Upkeep until there is nothing to do, each step bounded; how many it took.
fn tidy(store: &mut Store, now: Time) -> u64 {
    let mut steps = 0;
    loop {
        let more = store.upkeep(now);
        let work = store.segments.work();
        assert!(work.is_bounded(), "{work:?}");
        steps += 1;
        assert!(steps < 1_000_000, "upkeep has no end");
        if !more {
            return steps;
        }
    }
}

#[test]
fn a_write_at_the_bound_does_one_step_and_stays_near_the_bound() {
    for (_, policy) in Policy::NAMES.iter().filter(|(_, policy)| *policy != Policy::NoEviction) {
        for value_max in [40, 2000] {
            let mut store = store(*policy, Some(BOUND), None);
            let mut rng = Rng(3);
            let mut now = Time(1_700_000_000_000);
            for i in 0..6 * BOUND / (value_max + 20) {
                now.0 += rng.below(2);
                // Under the volatile policies those without a deadline stay.
                let ttl = policy.evicts_all().then_some(3).map_or(20, |n| rng.below(n));
                let deadline = (ttl > 0).then_some(Time(now.0 + (1 << (10 + ttl))));
                put(&mut store, i, rng.below(value_max), deadline, now).expect("room");
                if i % 3 == 0 {
                    let name = rng.below(i + 1).to_le_bytes();
                    store.get(&Key::new(&name, &HashSeed::new(7)), now);
                }
                // What is lent, a block for items that are moved, and what the index takes beside
                // its blocks.
                let most = BOUND + BOUND / CREDIT_PART + 2 * store.arena.block_bytes() as u64;
                assert!(store.used_bytes() <= most, "{policy:?} {i}: {}", store.used_bytes());
            }
            assert_eq!(store.long_writes(), 0, "{policy:?} {value_max}");
        }
    }
}

#[test]
fn volatile_policies_find_the_few_that_may_go_among_many_that_may_not() {
    for policy in [Policy::VolatileLru, Policy::VolatileRandom, Policy::VolatileTtl] {
        let mut store = store(policy, Some(BOUND), None);
        let now = Time(1_700_000_000_000);
        let later = Some(Time(now.0 + 3_600_000));
        let mut refused = 0;
        for i in 0..BOUND / 100 {
            let deadline = if i % 50 == 0 { later } else { None };
            refused += u64::from(put(&mut store, i, 100, deadline, now).is_err());
        }
        assert_eq!(store.stats().items_with_deadline, 0, "{policy:?}");
        assert!(refused > 0 && store.stats().evictions > 0, "{policy:?} {:?}", store.stats());
    }
}

#[test]
fn mass_expiry_goes_in_steps() {
    let mut store = store(Policy::TinyLfu, None, None);
    let now = Time(1_700_000_000_000);
    for i in 0..400_000 {
        let deadline = (i % 4 > 0).then_some(Time(now.0 + 60_000 + i % 1000));
        put(&mut store, i, i % 60, deadline, now).expect("room");
    }
    let steps = tidy(&mut store, Time(now.0 + 62_000));
    assert_eq!((store.len(), store.stats().items_with_deadline), (100_000, 0));
    assert!(steps > 300_000 / STEP_ITEMS_MAX as u64, "{steps}");
}

#[test]
fn cleaning_and_the_index_shrink_in_steps() {
    let mut store = store(Policy::TinyLfu, None, None);
    let now = Time(1_700_000_000_000);
    (0..400_000).for_each(|i| put(&mut store, i, i % 60, None, now).expect("room"));
    let before = store.used_bytes();
    for i in (0..400_000u64).filter(|i| i % 8 > 0) {
        let name = i.to_le_bytes();
        assert!(store.remove(&Key::new(&name, &HashSeed::new(7)), now));
    }
    for round in 0..10 {
        tidy(&mut store, Time(now.0 + round * 1000));
    }
    assert!(store.used_bytes() < before / 3, "{} of {before}", store.used_bytes());
}

#[test]
fn a_write_below_a_lowered_bound_on_items_gives_up_a_few() {
    let mut store = store(Policy::AllKeysLru, None, Some(100_000));
    let now = Time(1);
    (0..100_000).for_each(|i| put(&mut store, i, 8, None, now).expect("room"));
    store.set_limits(None, Some(1_000));
    put(&mut store, 200_000, 8, None, now).expect("room");
    assert!((99_000..100_000).contains(&store.len()), "{}", store.len());
    tidy(&mut store, now);
    assert_eq!(store.len(), 1_000);
}

#[test]
fn what_was_learnt_is_dropped_without_the_lock() {
    let mut store = store(Policy::TinyLfu, None, Some(1_000));
    (0..2_000).for_each(|i| put(&mut store, i, 8, None, Time(1)).expect("room"));
    store.take_garbage();
    store.set_policy(Policy::AllKeysLru);
    assert!(store.take_garbage().is_some());
}

#[test]
fn what_is_only_copied_here_keeps_nobody_looking_for_something_to_evict() {
    use crate::engine::store::roles::Role;
    use cluster::slot::Group;

    let is_copied = |group: Group| group.number().is_multiple_of(2);
    let of_copy = |i: u64| is_copied(Key::new(&i.to_le_bytes(), &HashSeed::new(7)).group());
    for policy in
        [Policy::VolatileLru, Policy::VolatileLfu, Policy::VolatileRandom, Policy::VolatileTtl]
    {
        let mut store = store(policy, Some(BOUND), None);
        let now = Time(1_700_000_000_000);
        let items = BOUND / 400;
        for i in 0..items {
            put(&mut store, i, 200, Some(Time(now.0 + 3_600_000)), now).expect("room");
        }
        for group in Group::all().filter(|&group| is_copied(group)) {
            store.set_role(group, Role::Replica);
        }
        tidy(&mut store, now);
        // Without a deadline: none of them goes, and at last there is nothing that may.
        let own = (items..).filter(|&i| !of_copy(i)).take((BOUND / 200) as usize);
        let full = own.into_iter().find(|&i| put(&mut store, i, 200, None, now) == Err(Full));
        assert!(full.is_some(), "{policy:?}: more than the bound was taken");
        tidy(&mut store, now);
        for i in (0..items).filter(|&i| of_copy(i)) {
            let there = store.get(&Key::new(&i.to_le_bytes(), &HashSeed::new(7)), now).is_some();
            assert!(there, "{policy:?}: {i} is not for this node to evict");
        }
    }
}

#[test]
fn copies_that_become_ones_own_move_in_bounded_steps() {
    use crate::engine::store::roles::Role;
    use cluster::slot::Group;

    let mut store = store(Policy::TinyLfu, None, None);
    let now = Time(1_700_000_000_000);
    Group::all().for_each(|group| store.set_role(group, Role::Replica));
    for i in 0..1000 {
        put(&mut store, i, 11_000, None, now).expect("room");
    }
    Group::all().for_each(|group| store.set_role(group, Role::Primary));
    assert!(tidy(&mut store, now) > 10, "11 MB were moved in a few steps");
}

#[test]
fn copies_beyond_the_bound_are_taken_in_bounded_steps() {
    use crate::engine::store::roles::Role;
    use cluster::slot::Group;

    let mut store = store(Policy::TinyLfu, Some(BOUND), None);
    let now = Time(1_700_000_000_000);
    Group::all().for_each(|group| store.set_role(group, Role::Replica));
    // Twice the bound with no upkeep between: what earlier writes did is not this one's work.
    for i in 0..2 * BOUND / 11_000 {
        let name = i.to_le_bytes();
        let key = Key::new(&name, &HashSeed::new(7));
        store.set(&key, Value::Slice(&[b'v'; 11_000]), None, now).expect("copies have room");
    }
}

#[test]
fn what_is_pinned_stays_and_keeps_nobody_looking_for_something_else() {
    for (_, policy) in Policy::NAMES.iter().filter(|(_, policy)| *policy != Policy::NoEviction) {
        let mut store = store(*policy, Some(BOUND), None);
        let now = Time(1_700_000_000_000);
        let later = Some(Time(now.0 + 3_600_000));
        let items = BOUND / 400;
        let (pinned, names) = (items / 2, |i: u64| i.to_le_bytes());
        for i in 0..items {
            // One in a hundred may go under the policies that ask for a deadline.
            let deadline = later.filter(|_| i == pinned || i.is_multiple_of(100));
            put(&mut store, i, 200, deadline, now).expect("room");
        }
        store.pin(Key::new(&names(pinned), &HashSeed::new(7)).hash);
        store.set_limits(Some(BOUND / 16), None);
        let steps = (0..20_000).find(|_| !store.give_up_step(now));
        assert!(steps.is_some(), "{policy:?}: {:?}", store.stats());
        let mut there = |i: u64| store.get(&Key::new(&names(i), &HashSeed::new(7)), now).is_some();
        assert!(there(pinned), "{policy:?}");
        let others = (0..items).filter(|&i| i != pinned && i.is_multiple_of(100));
        let left = others.filter(|&i| there(i)).count();
        assert!(policy.evicts_all() || left == 0, "{policy:?}: {left} of those that may go");
    }
}
