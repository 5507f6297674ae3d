//! The index with hashes that are hard on it: in order, many in one group, and while a block of it
//! is emptied.

use super::super::arena::Arena;
use super::super::tests::Rng;
use super::{Index, Word, position_of};
use crate::limits::COMPACT_LEAVES_MAX;
use std::sync::Arc;

/// Hashes of items of a group, spread evenly, in the order of the walk of a group whose leaves
/// hold some hundreds: by leaves, and within them in any order.
fn hashes(seed: u64, count: u64, per_leaf: usize, rises: bool) -> Vec<u64> {
    let mut rng = Rng(seed);
    let mut half = || rng.below(1 << 16) << 16 | rng.below(1 << 16);
    let mut hashes: Vec<u64> = (0..count).map(|_| half() << 32 | half()).collect();
    hashes.sort_unstable_by_key(|&hash| if rises { hash } else { !hash });
    for leaf in hashes.chunks_mut(per_leaf) {
        leaf.sort_unstable_by_key(|hash| *hash as u32);
    }
    hashes
}

#[test]
fn items_may_come_in_hash_order() {
    for seed in 0..400 {
        let hashes = hashes(seed * 7919, 1000 + seed, 1 + seed as usize % 400, seed % 2 == 0);
        let mut index = Index::new(Arc::new(Arena::new(64 * 1024)), 1);
        let mut offsets = 1..=hashes.len() as u64;
        assert!(offsets.all(|offset| add(&mut index, 0, &hashes, offset)), "seed {seed}");
        for (at, hash) in hashes.iter().enumerate() {
            let found = index.find(0, *hash, |word| word.offset() == at as u64 + 1);
            assert!(found.is_some(), "seed {seed}: item {at} is lost");
        }
        (1..=hashes.len() as u64).rev().for_each(|offset| remove(&mut index, 0, &hashes, offset));
        assert_eq!(index.count(0), 0, "seed {seed}");
    }
}

/// Adds an item with this hash; `offset` is one more than where `hashes` has it.
fn add(index: &mut Index, group: usize, hashes: &[u64], offset: u64) -> bool {
    while !index.is_ready() {
        assert!(index.grow());
    }
    let hash = hashes[offset as usize - 1];
    let position = |word: Word| Some(position_of(hashes[word.offset() as usize - 1]));
    index.insert(group, hash, Word::new(offset, hash, false), position)
}

fn remove(index: &mut Index, group: usize, hashes: &[u64], offset: u64) {
    let hash = hashes[offset as usize - 1];
    let slot = index.find(group, hash, |word| word.offset() == offset).expect("it is there");
    if index.remove(group, &slot) {
        index.merge(group, position_of(hash));
    }
}

#[test]
fn many_items_of_one_group_may_come_in_hash_order() {
    let hashes = hashes(1, 1_500_000, 1, true);
    let mut index = Index::new(Arc::new(Arena::new(64 * 1024)), 1);
    let refused = (1..=hashes.len() as u64).filter(|&at| !add(&mut index, 0, &hashes, at)).count();
    assert_eq!(refused, 0);
    assert_eq!(index.count(0) as usize, hashes.len());
}

#[test]
fn leaves_split_while_a_block_is_emptied() {
    // One leaf a group, in the order of groups; one group's beyond those of the first step.
    let (groups, split) = (COMPACT_LEAVES_MAX + 600, COMPACT_LEAVES_MAX + 300);
    let mut index = Index::new(Arc::new(Arena::new(64 * 1024)), groups);
    let mut hashes: Vec<u64> = (0..groups as u64).map(|i| (i + 1) << 33).collect();
    hashes.extend(super::tests::hashes(7, 2000, 1, false));
    let all = hashes.len();
    for group in 0..groups {
        assert!(add(&mut index, group, &hashes, group as u64 + 1));
    }
    // Its block has little else in it then, and is the one to go.
    for group in (split - 280..split + 280).filter(|&group| group != split) {
        remove(&mut index, group, &hashes, group as u64 + 1);
    }
    // Others have room for what is in it; and the numbers of early leaves are free.
    for group in (0..COMPACT_LEAVES_MAX).step_by(2) {
        remove(&mut index, group, &hashes, group as u64 + 1);
    }
    assert!(index.compact(), "a block is worth emptying");
    // Nearly all are in the upper half of every leaf that splits.
    let later = groups as u64 + 1..=all as u64;
    assert!(later.clone().all(|offset| add(&mut index, split, &hashes, offset)));
    while index.compact() {}
    for offset in later {
        let found = index.find(split, hashes[offset as usize - 1], |word| word.offset() == offset);
        assert!(found.is_some(), "item {offset} is lost");
    }
}
