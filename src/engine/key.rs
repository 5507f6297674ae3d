//! A key with its hash and slot, computed once per command. Knows nothing of where items live.

use cluster::slot::{Group, Slot};
use std::fmt;

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
    pub fn new(bytes: &'a [u8], seed: &HashSeed) -> Key<'a> {
        Key { bytes, hash: hash(bytes, seed), slot: Slot::of(bytes) }
    }

    /// Where a key of this name stands in the hash order of its group.
    #[inline]
    pub fn position_of(bytes: &[u8], seed: &HashSeed) -> u32 {
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
fn hash(bytes: &[u8], seed: &HashSeed) -> u64 {
    rapidhash::v3::rapidhash_v3_seeded(bytes, &seed.0)
}

/// What keys are hashed under: secrets made from the cluster's seed. All of them depend on it, for
/// with public ones a client can make up keys that hash alike whatever the seed.
#[derive(Clone, Copy)]
pub struct HashSeed(rapidhash::v3::RapidSecrets);

impl HashSeed {
    /// Made from the cluster's seed.
    pub fn new(seed: u64) -> HashSeed {
        HashSeed(rapidhash::v3::RapidSecrets::seed(seed))
    }
}

impl fmt::Debug for HashSeed {
    /// Tells nothing: whoever knows the secrets can make keys collide.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashSeed")
    }
}
