//! How a node's bounds on bytes and on items are divided between its shards. Pure arithmetic.

/// What a shard uses of a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Use {
    /// Bytes or items held.
    pub(super) held: u64,
    /// How many it may hold.
    pub(super) limit: u64,
}

/// What a shard uses of all its bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uses {
    /// Bytes.
    pub(super) memory: Use,
    /// Items.
    pub(super) items: Use,
}

impl Uses {
    /// So many of the bytes are not divided.
    pub(super) fn set_aside(&mut self, bytes: u64) {
        self.memory.held = self.memory.held.saturating_sub(bytes);
        self.memory.limit = self.memory.limit.saturating_sub(bytes);
    }
}

/// A shard that uses this much of its limit (of 100) needs more.
const NEEDS_MORE_FROM: u64 = 95;
/// What a shard that needs no more keeps above its use, as a part of an even share, at most.
const SLACK_PART: u64 = 16;

/// New limits whose sum with what is still held above them is at most `max`, and all of it while
/// nobody needs more.
pub(super) fn divide(max: u64, uses: impl IntoIterator<Item = Use>) -> Vec<u64> {
    let uses: Vec<Use> = uses.into_iter().collect();
    let count = uses.len() as u64;
    let even = max / count;
    let needs = |u: &Use| u.held * 100 >= u.limit.min(even).saturating_mul(NEEDS_MORE_FROM);
    let hungry = uses.iter().filter(|u| needs(u)).count() as u64;
    if hungry == 0 {
        return (0..count).map(|shard| even + u64::from(shard < max % count)).collect();
    }
    let free = max.saturating_sub(uses.iter().map(|u| u.held).sum());
    let slack = (even / SLACK_PART).min(free / count);
    let modest = |u: &Use| (u.held + slack).min(even);
    let kept: u64 = uses.iter().filter(|u| !needs(u)).map(modest).sum();
    let each = max.saturating_sub(kept).div_ceil(hungry);
    let level = level(max.saturating_sub(kept), uses.iter().filter(|u| needs(u)));
    let limit = |u: &Use| if needs(u) { u.held.max(level).min(each) } else { modest(u) };
    let mut limits: Vec<u64> = uses.iter().map(limit).collect();
    // What the divisions left over: of few items it may be all.
    let taken: u64 = limits.iter().zip(&uses).map(|(&l, u)| l.max(u.held)).sum();
    let rest = max.saturating_sub(taken).min(hungry) as usize;
    let needy = limits.iter_mut().zip(&uses).filter(|(_, u)| needs(u));
    needy.take(rest).for_each(|(limit, _)| *limit += 1);
    limits
}

/// Up to where shards may fill, so that with those that hold more already they hold at most `room`
/// together. Whoever holds more gives it up in time; till then nobody else gets it.
fn level<'a>(mut room: u64, uses: impl Iterator<Item = &'a Use>) -> u64 {
    let mut held: Vec<u64> = uses.map(|u| u.held).collect();
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
    use super::{Use, divide};

    #[test]
    fn items_are_shared_exactly() {
        for max in [3, 10, 1003] {
            let empty = [Use { held: 0, limit: u64::MAX }; 16];
            let limits = divide(max, empty);
            assert_eq!(limits.iter().sum::<u64>(), max);
            let full: Vec<_> = limits.iter().map(|&n| Use { held: n, limit: n }).collect();
            assert_eq!(divide(max, full), limits);
        }
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
                uses.push(Use { held: bytes, limit: bytes + next(100_000) });
            }
            let limits = divide(max, uses.clone());
            let sum: u64 = limits.iter().zip(&uses).map(|(&l, u)| l.max(u.held)).sum();
            assert!(sum <= max, "{uses:?} {limits:?}");
        }
    }

    #[test]
    fn one_shard_may_have_nearly_all() {
        let mut uses = [Use { held: 0, limit: 1000 }; 16];
        uses[3] = Use { held: 990, limit: 1000 };
        let limits = divide(16_000, uses);
        assert!(limits[3] > 14_000, "{limits:?}");
    }
}
