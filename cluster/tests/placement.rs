//! Placement over many rings and sizes: shares, movement, runs, zones. Knows only the map that
//! comes out.

use cluster::control::{Candidate, Settings, place};
use cluster::node::NodeId;
use cluster::slot::GROUPS;
use std::collections::BTreeSet;

type Map = Vec<Vec<NodeId>>;

fn node(number: u64) -> NodeId {
    NodeId::new(number).expect("not 0")
}

/// Nodes with these numbers, all in one zone.
fn nodes(numbers: impl IntoIterator<Item = u64>) -> Vec<Candidate> {
    zoned(numbers.into_iter().map(|number| (number, "")))
}

fn zoned<'a>(nodes: impl IntoIterator<Item = (u64, &'a str)>) -> Vec<Candidate> {
    let candidate = |(number, zone): (u64, &str)| Candidate {
        id: node(number),
        zone: zone.to_owned(),
        gains: true,
    };
    nodes.into_iter().map(candidate).collect()
}

fn settings(seed: u64, factor: u8) -> Settings {
    Settings { hash_seed: seed, factor, ..Settings::default() }
}

fn blank() -> Map {
    vec![Vec::new(); usize::from(GROUPS)]
}

fn count(map: &Map, of: impl Fn(&[NodeId]) -> bool) -> usize {
    map.iter().filter(|target| of(target)).count()
}

/// Every node has its share of copies and of primaries, less or more than one group; nobody twice.
fn check(map: &Map, nodes: &[Candidate], factor: usize) {
    let factor = factor.min(nodes.len());
    for target in map {
        let distinct: BTreeSet<_> = target.iter().collect();
        assert_eq!(distinct.len(), factor, "{target:?}");
    }
    for one in nodes {
        let copies = count(map, |target| target.contains(&one.id));
        let primaries = count(map, |target| target[0] == one.id);
        let within = |have: usize, all: usize| (have * nodes.len()).abs_diff(all) < nodes.len();
        assert!(within(copies, factor * map.len()), "{} copies of {}", copies, nodes.len());
        assert!(within(primaries, map.len()), "{} primaries of {}", primaries, nodes.len());
    }
}

/// What is executed elsewhere, and what is copied.
fn moved(before: &Map, after: &Map) -> (usize, usize) {
    let pairs = || before.iter().zip(after);
    let primaries = pairs().filter(|(before, after)| before[0] != after[0]).count();
    let new = |(before, after): (&Vec<NodeId>, &Vec<NodeId>)| {
        after.iter().filter(|node| !before.contains(node)).count()
    };
    (primaries, pairs().map(new).sum())
}

fn runs(map: &Map) -> usize {
    1 + map.windows(2).filter(|pair| pair[0][0] != pair[1][0]).count()
}

#[test]
fn shares_from_a_blank_map() {
    for count in 1..=100 {
        for factor in 1..=3 {
            let nodes = nodes(1..=count);
            let map = place(&blank(), &nodes, &settings(count * 7, factor));
            check(&map, &nodes, usize::from(factor));
        }
    }
}

#[test]
fn who_is_added_gets_its_share_and_nobody_else_gets_anything() {
    for (factor, most, seed) in
        [(1u8, 20, 5), (2, 100, 5), (3, 20, 5), (2, 12, 6), (2, 12, 7), (2, 12, 8), (3, 12, 9)]
    {
        let mut map = place(&blank(), &nodes(1..=3), &settings(seed, factor));
        for count in 4..=most {
            let grown = nodes(1..=count);
            let next = place(&map, &grown, &settings(seed, factor));
            check(&next, &grown, usize::from(factor));
            let share = map.len().div_ceil(usize::try_from(count).expect("a small number"));
            let (primaries, copies) = moved(&map, &next);
            assert!(primaries <= share + 1, "{primaries} primaries moved to node {count}");
            assert!(copies <= share * usize::from(factor) + 1, "{copies} copied to {count}");
            for (before, after) in map.iter().zip(&next) {
                let new = after.iter().filter(|node| !before.contains(node));
                assert!(new.into_iter().all(|new| *new == node(count)));
            }
            map = next;
        }
    }
}

#[test]
fn who_is_removed_leaves_only_its_own_to_others() {
    let mut map = place(&blank(), &nodes(1..=40), &settings(9, 2));
    for left in (2..40u64).rev() {
        let nodes = nodes(1..=left);
        let next = place(&map, &nodes, &settings(9, 2));
        check(&next, &nodes, 2);
        let gone = node(left + 1);
        let (_, copies) = moved(&map, &next);
        assert_eq!(copies, count(&map, |target| target.contains(&gone)), "to {left}");
        map = next;
    }
}

#[test]
fn shares_stay_even_whoever_comes_and_goes() {
    for seed in 1..=4u64 {
        let mut there: BTreeSet<u64> = (1..=3 + seed * 5).collect();
        let mut map = place(&blank(), &nodes(there.iter().copied()), &settings(seed, 2));
        let mut chance = seed;
        for next in 200..212u64 {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(next);
            let at = usize::try_from(chance >> 33).expect("few") % there.len();
            let gone = there.iter().nth(at).copied().filter(|_| chance >> 62 > 0);
            if there.len() > 3 {
                gone.map(|gone| there.remove(&gone));
            }
            there.insert(next);
            let all = nodes(there.iter().copied());
            map = place(&map, &all, &settings(seed, 2));
            check(&map, &all, 2);
        }
    }
}

#[test]
fn placed_well_stays() {
    for seed in 0..10 {
        for count in [1, 2, 3, 7, 30] {
            let nodes = nodes(1..=count);
            let map = place(&blank(), &nodes, &settings(seed, 2));
            assert_eq!(place(&map, &nodes, &settings(seed, 2)), map);
        }
    }
}

#[test]
fn three_nodes_have_a_few_dozen_runs_whatever_happened_before() {
    let (mut fresh_most, mut grown_most, mut shrunk_most) = (0, 0, 0);
    for seed in 0..60 {
        let settings = settings(seed, 2);
        let fresh = place(&blank(), &nodes(1..=3), &settings);
        let mut grown = place(&blank(), &nodes(1..=1), &settings);
        for count in 2..=3 {
            grown = place(&grown, &nodes(1..=count), &settings);
        }
        let mut shrunk = fresh.clone();
        for _ in 0..3 {
            shrunk = place(&shrunk, &nodes(1..=4), &settings);
            shrunk = place(&shrunk, &nodes(1..=3), &settings);
        }
        check(&shrunk, &nodes(1..=3), 2);
        fresh_most = fresh_most.max(runs(&fresh));
        grown_most = grown_most.max(runs(&grown));
        shrunk_most = shrunk_most.max(runs(&shrunk));
    }
    println!("most runs: fresh {fresh_most}, grown {grown_most}, shrunk {shrunk_most}");
    assert!(fresh_most <= 36 && grown_most <= 36 && shrunk_most <= 48);
}

#[test]
fn zones_hold_where_balance_can_be() {
    let layouts: [&[&str]; 5] = [
        &["a", "b", "c"],
        &["a", "a", "b", "b"],
        &["a", "a", "b", "b", "c", "c", "c"],
        &["a", "a", "b", "b", "c"],
        &["a", "a", "a", "b", "b", "b"],
    ];
    for layout in layouts {
        for seed in 0..20 {
            let all = zoned((1..).zip(layout.iter().copied()));
            let settings = settings(seed, 2);
            let mut map = place(&blank(), &all, &settings);
            zones_differ(&map, &all);
            check(&map, &all, 2);
            // The first node goes, if the rest can still be spread, and comes back.
            if layout.len() > 4 {
                map = place(&map, &all[1..], &settings);
                check(&map, &all[1..], 2);
            }
            map = place(&map, &all, &settings);
            check(&map, &all, 2);
            zones_differ(&map, &all);
        }
    }
}

fn zones_differ(map: &Map, nodes: &[Candidate]) {
    let zone = |id: &NodeId| nodes.iter().find(|one| one.id == *id).map(|one| one.zone.clone());
    let alike = count(map, |target| zone(&target[0]) == zone(&target[1]));
    assert_eq!(alike, 0, "groups with both copies in one zone");
}

#[test]
fn balance_goes_before_zones() {
    let all = zoned([(1, "a"), (2, "b"), (3, "b"), (4, "b")]);
    for seed in 0..5 {
        let map = place(&blank(), &all, &settings(seed, 2));
        check(&map, &all, 2);
        // All that node 1 keeps has its other copy in the other zone; the rest cannot.
        assert_eq!(count(&map, |target| target.contains(&node(1))), 512);
        assert_eq!(place(&map, &all, &settings(seed, 2)), map);
    }
}

#[test]
fn who_may_not_gain_keeps_what_it_has() {
    let mut all = nodes(1..=4);
    let map = place(&blank(), &all, &settings(1, 2));
    all[1].gains = false;
    assert_eq!(place(&map, &all, &settings(1, 2)), map);
    let left: Vec<Candidate> = all[..3].to_vec();
    let next = place(&map, &left, &settings(1, 2));
    let of = |map: &Map, number| count(map, |target| target.contains(&node(number)));
    assert_eq!(of(&next, 2), of(&map, 2));
    assert_eq!(of(&next, 1) + of(&next, 3), 2 * 1024 - of(&map, 2));
    assert!(of(&next, 1).abs_diff(of(&next, 3)) <= 1);
}
