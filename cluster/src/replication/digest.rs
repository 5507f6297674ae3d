//! A digest of all items of a group, whatever their order: two copies that agree in it are the
//! same. Knows no item but by its bytes.

use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};

/// The sum of a keyed hash of every item. Against accidents, not against somebody who knows the
/// seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// How many items were added.
    pub items: u64,
    /// The sum.
    pub sum: u128,
}

/// Hashes items; the same seed on all nodes: the cluster's `hash_seed`.
#[derive(Clone, Debug)]
pub struct Digester {
    halves: [RapidSecrets; 2],
}

impl Digest {
    /// An item is there.
    pub fn add(&mut self, item: u128) {
        self.items = self.items.wrapping_add(1);
        self.sum = self.sum.wrapping_add(item);
    }
}

impl Digester {
    /// With the seed that all nodes of the cluster have.
    pub fn new(seed: u64) -> Digester {
        Digester { halves: [RapidSecrets::seed(seed), RapidSecrets::seed(!seed)] }
    }

    /// The hash of an item: key, value, and its deadline in milliseconds of the group's time.
    pub fn item(&self, key: &[u8], value: &[u8], deadline: Option<u64>) -> u128 {
        let [low, high] = &self.halves;
        let half = |secrets: &RapidSecrets| {
            let mut parts = [0; 25];
            parts[..8].copy_from_slice(&rapidhash_v3_seeded(key, secrets).to_le_bytes());
            parts[8..16].copy_from_slice(&rapidhash_v3_seeded(value, secrets).to_le_bytes());
            parts[16..24].copy_from_slice(&deadline.unwrap_or(0).to_le_bytes());
            parts[24] = u8::from(deadline.is_some());
            u128::from(rapidhash_v3_seeded(&parts, secrets))
        };
        half(low) | half(high) << 64
    }
}

#[cfg(test)]
mod tests {
    use super::{Digest, Digester};

    #[test]
    fn every_part_of_an_item_counts_and_the_order_does_not() {
        let digester = Digester::new(7);
        let a = digester.item(b"a", b"b", None);
        for (key, value, deadline) in
            [("b", "a", None), ("a", "b", Some(0)), ("a", "b", Some(1)), ("ab", "", None)]
        {
            assert_ne!(digester.item(key.as_bytes(), value.as_bytes(), deadline), a);
        }
        assert_ne!(Digester::new(8).item(b"a", b"b", None), a);
        let (mut one, mut other) = (Digest::default(), Digest::default());
        [1, u128::MAX, 5].into_iter().for_each(|item| one.add(item));
        [5, 1, u128::MAX].into_iter().for_each(|item| other.add(item));
        assert_eq!(one, other);
        assert_eq!(one.items, 3);
    }
}
