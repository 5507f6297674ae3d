//! Looking at many items: the walk of a group in hash order, and a pick by chance.

use super::{Item, Key, Store, index, prefetch};
use crate::command::Time;
use cluster::slot::{GROUPS, Group};

/// Groups tried by `random` before it looks at all of them.
const RANDOM_TRIES: u64 = 64;
/// So many items before its turn the rest of an item is asked for, beyond its first cache line.
const WALK_AHEAD: usize = 8;

/// How many items a step of a walk looks at.
#[derive(Clone, Copy)]
struct Bounds {
    /// So many are enough where a leaf ends.
    enough: usize,
    /// With so many it ends in the middle of one.
    most: usize,
}

impl Store {
    /// Visits live items of a group in hash order, from position `from` on, until `want` were seen,
    /// dead ones included, or half of them where a leaf ends, if there are as many; always all of
    /// one position. Returns where to go on, or `None` at the end of the group. Items that stay are
    /// visited exactly once by a walk that starts at 0 and goes on where it is told, whatever else
    /// comes and goes meanwhile.
    pub fn walk(
        &self,
        group: Group,
        from: u32,
        want: usize,
        now: Time,
        visit: impl FnMut(&[u8], Item<'_>),
    ) -> Option<u32> {
        // All names of a leaf are looked at to begin in its middle.
        let bounds = Bounds { enough: want.div_ceil(2), most: want };
        self.walk_within(group, from, bounds, now, &mut 0, visit)
    }

    /// As [`Store::walk`], but until all of `want` were seen; `seen` is how many items were looked
    /// at, dead ones included.
    pub(in crate::engine) fn walk_counted(
        &self,
        group: Group,
        from: u32,
        want: usize,
        now: Time,
        seen: &mut usize,
        visit: impl FnMut(&[u8], Item<'_>),
    ) -> Option<u32> {
        let bounds = Bounds { enough: want, most: want };
        self.walk_within(group, from, bounds, now, seen, visit)
    }

    fn walk_within(
        &self,
        group: Group,
        from: u32,
        Bounds { enough, most }: Bounds,
        now: Time,
        seen: &mut usize,
        mut visit: impl FnMut(&[u8], Item<'_>),
    ) -> Option<u32> {
        let mut position = from;
        let (mut words, mut order) = (Vec::new(), Vec::new());
        loop {
            words.clear();
            let next = self.index.leaf_at(self.local(group), position, &mut words)?;
            // Items of a leaf stand anywhere: one after the other they would be waited for.
            words.iter().for_each(|w| prefetch(self.segments.address(w.offset())));
            order.clear();
            order.extend(words.iter().filter_map(|w| {
                let at = Key::position_of(self.segments.item(w.offset()).key, &self.seed);
                (at >= position).then_some((at, w.offset()))
            }));
            order.sort_unstable();
            let mut last = None;
            for (i, &(at, offset)) in order.iter().enumerate() {
                if let Some(&(_, ahead)) = order.get(i + WALK_AHEAD) {
                    let item = self.segments.address(ahead);
                    prefetch(item.wrapping_add(64));
                    prefetch(item.wrapping_add(128));
                }
                if *seen >= most && last != Some(at) {
                    return Some(at);
                }
                last = Some(at);
                *seen += 1;
                let item = self.view(offset);
                if item.deadline.is_none_or(|d| d > now) {
                    visit(self.segments.item(offset).key, item);
                }
            }
            position = u32::try_from(next).ok()?;
            if *seen >= enough {
                return Some(position);
            }
        }
    }

    /// Items of a group, dead but unreclaimed ones included.
    pub(in crate::engine) fn count(&self, group: Group) -> u64 {
        u64::from(self.index.count(self.local(group)))
    }

    /// A live item of a group chosen by `chance`, or `false` when there is none. `visit` gets its
    /// name.
    pub(in crate::engine) fn random_in(
        &self,
        group: Group,
        chance: u64,
        now: Time,
        visit: impl FnOnce(&[u8]),
    ) -> bool {
        let (local, mut words) = (self.local(group), Vec::new());
        let is_live = |word: &index::Word| {
            self.view(word.offset()).deadline.is_none_or(|deadline| deadline > now)
        };
        for i in 0..RANDOM_TRIES {
            let dice = Key::new(&chance.wrapping_add(i).to_le_bytes(), &self.seed).hash;
            words.clear();
            if i + 1 < RANDOM_TRIES {
                self.index.some_bucket(local, dice.rotate_left(17), &mut words);
            } else {
                let mut position = Some(0);
                while let Some(at) = position {
                    let next = self.index.leaf_at(local, at, &mut words);
                    position = next.and_then(|n| u32::try_from(n).ok());
                }
            }
            words.retain(is_live);
            if !words.is_empty() {
                let word = words[(dice >> 40) as usize % words.len()];
                visit(self.segments.item(word.offset()).key);
                return true;
            }
        }
        false
    }

    /// A live item chosen by `chance`, about evenly, or `false` when there is none. `visit` gets
    /// its name.
    pub fn random(&self, chance: u64, now: Time, mut visit: impl FnMut(&[u8])) -> bool {
        let groups = usize::from(GROUPS) >> self.shard_bits;
        let mut words = Vec::new();
        for i in 0..RANDOM_TRIES + groups as u64 {
            let dice = Key::new(&(chance.wrapping_add(i)).to_le_bytes(), &self.seed).hash;
            let all = i >= RANDOM_TRIES;
            let group = if all { i - RANDOM_TRIES } else { dice % groups as u64 } as usize;
            words.clear();
            if all {
                let mut position = Some(0);
                while let Some(at) = position {
                    let next = self.index.leaf_at(group, at, &mut words);
                    position = next.and_then(|n| u32::try_from(n).ok());
                }
            } else {
                self.index.some_bucket(group, dice.rotate_left(17), &mut words);
            }
            words.retain(|w| self.view(w.offset()).deadline.is_none_or(|d| d > now));
            if !words.is_empty() {
                let word = words[(dice >> 40) as usize % words.len()];
                visit(self.segments.item(word.offset()).key);
                return true;
            }
        }
        false
    }
}
