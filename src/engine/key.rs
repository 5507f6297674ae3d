//! A key with its hash and slot, computed once per command. Knows nothing of where items live.

use cluster::slot::{Group, Slot};

/// A key, hashed.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// Its name.
    pub bytes: &'a [u8],
    /// 64-bit hash under the cluster's seed.
    pub hash: u64,
    /// Its slot.
    pub slot: Slot,
}

impl<'a> Key<'a> {
    /// Hashes `bytes`.
    #[inline]
    pub fn new(bytes: &'a [u8], seed: u64) -> Key<'a> {
        Key { bytes, hash: hash(bytes, seed), slot: Slot::of(bytes) }
    }

    /// Where a key of this name stands in the hash order of its group.
    #[inline]
    pub fn position_of(bytes: &[u8], seed: u64) -> u32 {
        (hash(bytes, seed) >> 32) as u32
    }

    /// The group of its slot.
    #[inline]
    pub fn group(&self) -> Group {
        self.slot.group()
    }

    /// Where it stands in the hash order of its group: the order of SCAN and of every walk.
    #[inline]
    pub fn position(&self) -> u32 {
        (self.hash >> 32) as u32
    }
}

#[inline]
fn hash(bytes: &[u8], seed: u64) -> u64 {
    let secrets = rapidhash::v3::RapidSecrets::seed_cpp(seed);
    rapidhash::v3::rapidhash_v3_seeded(bytes, &secrets)
}
