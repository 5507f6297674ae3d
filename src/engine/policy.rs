//! Names of the eviction policies. What they do is `store`'s business.

use std::str::FromStr;

/// Which items go when a bound is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// None: writes that need room are refused.
    NoEviction,
    /// W-TinyLFU with an adaptive window and a ghost table.
    TinyLfu,
    /// Approximately least recently used.
    AllKeysLru,
    /// Approximately least frequently used.
    AllKeysLfu,
    /// Any.
    AllKeysRandom,
    /// Of the items with a deadline, approximately least recently used.
    VolatileLru,
    /// Of the items with a deadline, approximately least frequently used.
    VolatileLfu,
    /// Of the items with a deadline, any.
    VolatileRandom,
    /// Of the items with a deadline, about those that die first.
    VolatileTtl,
}

impl Policy {
    /// Whether any item may go; if not, there are writes that find no room.
    pub fn evicts_all(self) -> bool {
        use Policy::{AllKeysLfu, AllKeysLru, AllKeysRandom, TinyLfu};
        matches!(self, TinyLfu | AllKeysLru | AllKeysLfu | AllKeysRandom)
    }

    /// All of them with their names, Redis's where Redis has them.
    pub const NAMES: [(&'static str, Policy); 9] = [
        ("noeviction", Policy::NoEviction),
        ("allkeys-tinylfu", Policy::TinyLfu),
        ("allkeys-lru", Policy::AllKeysLru),
        ("allkeys-lfu", Policy::AllKeysLfu),
        ("allkeys-random", Policy::AllKeysRandom),
        ("volatile-lru", Policy::VolatileLru),
        ("volatile-lfu", Policy::VolatileLfu),
        ("volatile-random", Policy::VolatileRandom),
        ("volatile-ttl", Policy::VolatileTtl),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Policy::NAMES.iter().find(|(_, p)| *p == self).map_or("", |(n, _)| n)
    }

    /// Whether only items with a deadline may go.
    pub fn only_volatile(self) -> bool {
        matches!(
            self,
            Policy::VolatileLru
                | Policy::VolatileLfu
                | Policy::VolatileRandom
                | Policy::VolatileTtl
        )
    }
}

impl FromStr for Policy {
    type Err = ();

    fn from_str(s: &str) -> Result<Policy, ()> {
        Policy::NAMES.iter().find(|(n, _)| n.eq_ignore_ascii_case(s)).map(|(_, p)| *p).ok_or(())
    }
}
