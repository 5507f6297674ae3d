//! How a node's bound is divided between its shards. Pure arithmetic.

/// What a shard uses of its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Use {
    /// Bytes held.
    pub(super) bytes: u64,
    /// Bytes it may hold.
    pub(super) limit: u64,
}

/// A shard that uses this much of its limit (of 100) needs more.
const NEEDS_MORE_FROM: u64 = 95;
/// What a shard that needs no more keeps above its use, as a part of an even share, at most.
const SLACK_PART: u64 = 16;

/// Shard `shard` of `count`'s part of a bound on items.
pub(super) fn share(items: Option<u64>, shard: u64, count: u64) -> Option<u64> {
    items.map(|n| n / count + u64::from(shard < n % count))
}

/// New limits whose sum with what is still held above them is at most `max`.
pub(super) fn divide(max: u64, uses: &[Use]) -> Vec<u64> {
    let even = max / uses.len() as u64;
    let needs = |u: &Use| u.bytes * 100 >= u.limit.min(even) * NEEDS_MORE_FROM;
    let hungry = uses.iter().filter(|u| needs(u)).count() as u64;
    if hungry == 0 {
        return vec![even; uses.len()];
    }
    let free = max.saturating_sub(uses.iter().map(|u| u.bytes).sum());
    let slack = (even / SLACK_PART).min(free / uses.len() as u64);
    let modest = |u: &Use| (u.bytes + slack).min(even);
    let kept: u64 = uses.iter().filter(|u| !needs(u)).map(modest).sum();
    let each = max.saturating_sub(kept) / hungry;
    let level = level(max.saturating_sub(kept), uses.iter().filter(|u| needs(u)));
    let limit = |u: &Use| if needs(u) { u.bytes.max(level).min(each) } else { modest(u) };
    uses.iter().map(limit).collect()
}

/// Up to where shards may fill, so that with those that hold more already they hold at most `room`
/// together. Whoever holds more gives it up in time; till then nobody else gets it.
fn level<'a>(mut room: u64, uses: impl Iterator<Item = &'a Use>) -> u64 {
    let mut held: Vec<u64> = uses.map(|u| u.bytes).collect();
    held.sort_unstable();
    while let Some(most) = held.last() {
        let level = room / held.len() as u64;
        if *most <= level {
            return level;
        }
        room = room.saturating_sub(*most);
        held.pop();
    }
    0
}

#[cfg(test)]
mod tests {
    use super::{Use, divide, share};

    #[test]
    fn items_are_shared_exactly() {
        let total: u64 = (0..16).filter_map(|s| share(Some(1003), s, 16)).sum();
        assert_eq!(total, 1003);
    }

    #[test]
    fn the_sum_stays_within_the_bound() {
        let mut seed = 1u64;
        let mut next = |n: u64| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) % n
        };
        for _ in 0..10_000 {
            let max = 1_000_000;
            let mut left = max;
            let mut uses = Vec::new();
            for _ in 0..8 {
                let bytes = next(left / 2 + 1);
                left -= bytes;
                uses.push(Use { bytes, limit: bytes + next(100_000) });
            }
            let limits = divide(max, &uses);
            let sum: u64 = limits.iter().zip(&uses).map(|(&l, u)| l.max(u.bytes)).sum();
            assert!(sum <= max + 8, "{uses:?} {limits:?}");
        }
    }

    #[test]
    fn one_shard_may_have_nearly_all() {
        let mut uses = [Use { bytes: 0, limit: 1000 }; 16];
        uses[3] = Use { bytes: 990, limit: 1000 };
        let limits = divide(16_000, &uses);
        assert!(limits[3] > 14_000, "{limits:?}");
    }
}
