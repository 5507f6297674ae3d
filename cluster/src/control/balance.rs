//! Evening out: copies, zones, primaries; each step leaves less to do than before. Knows only a
//! map of numbers.

use super::placement::Map;

/// A copy that moves to another node.
#[derive(Clone, Copy, Debug)]
struct Move {
    score: i32,
    g: usize,
    /// The place in the target that changes.
    i: usize,
    to: usize,
    /// Whether `to` becomes first, although another place changes.
    promote: bool,
}

/// What a move must not cost.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// No zone less for the group.
    zoned: bool,
    /// Nothing copied that would not be copied anyway.
    free: bool,
}

/// What is tried, the better first.
const BOUNDS: [Bounds; 3] = [
    Bounds { zoned: true, free: true },
    Bounds { zoned: true, free: false },
    Bounds { zoned: false, free: false },
];

impl Map {
    /// How many of `total` copies each node should have. Who has most keeps the odd ones, unless
    /// its zone then has more copies than there are groups; among equals who has primaries to
    /// give gives.
    pub(super) fn copy_caps(&self, total: usize) -> Vec<usize> {
        let first_caps = self.first_caps(self.primaries.iter().sum());
        caps(total, &self.copies, &self.gains, |at, each, given| {
            let zone = (0..given.len()).filter(|&other| self.zones[other] == self.zones[at]);
            let crowded = self.diversity_max > 1
                && zone.map(|other| given[other]).sum::<usize>() >= self.targets.len();
            let keeps = self.copies[at].min(each + 1);
            let passes = self.primaries[at].saturating_sub(first_caps[at]);
            (crowded, std::cmp::Reverse(keeps), passes)
        })
    }

    /// How many of `total` groups each node should be first of. Who has most keeps the odd ones.
    pub(super) fn first_caps(&self, total: usize) -> Vec<usize> {
        caps(total, &self.primaries, &self.gains, |at, _, _| std::cmp::Reverse(self.primaries[at]))
    }

    /// Moves copies from those that have too many to those that have too few. Zones are not given
    /// up for that, unless there is no other way.
    pub(super) fn balance_copies(&mut self) {
        let copy_caps = self.copy_caps(self.copies.iter().sum());
        let first_caps = self.first_caps(self.primaries.iter().sum());
        // Each round takes one from who has too many: never more rounds than copies.
        for _ in 0..self.targets.iter().map(Vec::len).sum() {
            if self.below(&self.copies, &copy_caps).is_empty() {
                return;
            }
            let moved = BOUNDS.into_iter().any(|bounds| {
                let step = self.copy_move(&copy_caps, &first_caps, bounds);
                let direct = step.map(|step| self.take(step)).is_some();
                direct || self.copy_chain(&copy_caps, bounds)
            });
            if !moved {
                return;
            }
        }
    }

    fn take(&mut self, step: Move) {
        self.replace(step.g, step.i, step.to);
        if step.promote {
            self.promote(step.g, step.i);
        }
    }

    /// The best copy to move from who has too many to who has too few.
    fn copy_move(&self, caps: &[usize], first_caps: &[usize], bounds: Bounds) -> Option<Move> {
        let takers: Vec<usize> = self.below(&self.copies, caps);
        let mut best: Option<Move> = None;
        if takers.is_empty() {
            return None;
        }
        for (g, target) in self.targets.iter().enumerate() {
            for (i, &from) in target.iter().enumerate() {
                if self.copies[from] <= caps[from] {
                    continue;
                }
                for &to in takers.iter().filter(|&&to| self.may_take(g, to)) {
                    let step = self.scored(g, i, to, first_caps, bounds);
                    best = best
                        .into_iter()
                        .chain(step)
                        .reduce(|best, step| if step.score > best.score { step } else { best });
                }
            }
        }
        best
    }

    /// How good it is that `to` takes place `i` of `g`; `None` when it costs too much. More zones
    /// come first, then what is copied anyway, then the role that one has too often and the other
    /// not often enough, then runs, then the ring.
    fn scored(
        &self,
        g: usize,
        i: usize,
        to: usize,
        first_caps: &[usize],
        bounds: Bounds,
    ) -> Option<Move> {
        if !self.is_within(g, i, to, bounds) {
            return None;
        }
        let zones = self.zones_won(g, i, to);
        let first = self.targets[g][0];
        let passes = self.primaries[first] > first_caps[first];
        let role_moves = passes && self.primaries[to] < first_caps[to];
        let promote = role_moves && i > 0;
        let role = match (i == 0, role_moves) {
            (_, true) => 200,
            (false, false) => 100,
            (true, false) => 0,
        };
        let free = i32::from(self.is_free(g, i)) * 400;
        let run = if i == 0 || promote { self.run_score(g, to) * 10 } else { 0 };
        let ring = i32::from(self.owner(g) == to);
        Some(Move { score: zones * 1000 + free + role + run + ring, g, i, to, promote })
    }

    fn is_within(&self, g: usize, i: usize, to: usize, bounds: Bounds) -> bool {
        (!bounds.zoned || self.zones_won(g, i, to) >= 0) && (!bounds.free || self.is_free(g, i))
    }

    /// Whether the copy at place `i` of `g` is not there yet in the map in force.
    fn is_free(&self, g: usize, i: usize) -> bool {
        !self.before[g].contains(&self.targets[g][i])
    }

    fn zones_won(&self, g: usize, i: usize, to: usize) -> i32 {
        self.diversity(g, i, to).cmp(&self.diversity_now(g)) as i32
    }

    fn below(&self, counts: &[usize], caps: &[usize]) -> Vec<usize> {
        (0..counts.len()).filter(|&at| self.gains[at] && counts[at] < caps[at]).collect()
    }

    /// Moves one copy each along a chain of nodes, where none can be moved directly.
    fn copy_chain(&mut self, caps: &[usize], bounds: Bounds) -> bool {
        let edge = |map: &Map, from: usize, to: usize| {
            let places = |(g, target): (usize, &Vec<usize>)| {
                let i = target.iter().position(|&at| at == from)?;
                let able = map.may_take(g, to) && map.is_within(g, i, to, bounds);
                able.then_some((g, i))
            };
            map.targets.iter().enumerate().find_map(places)
        };
        let linked = |from, to| edge(self, from, to).is_some();
        let Some(chain) = chain(&self.copies, caps, &self.gains, linked) else { return false };
        for pair in chain.windows(2).rev() {
            match edge(self, pair[0], pair[1]) {
                Some((g, i)) => self.replace(g, i, pair[1]),
                None => return true,
            }
        }
        true
    }

    /// Exchanges copies between groups where that brings one of them into another zone.
    pub(super) fn mend_zones(&mut self) {
        let wanted = self.diversity_max;
        if wanted < 2 {
            return;
        }
        for g in 0..self.targets.len() {
            while self.diversity_now(g) < wanted.min(self.targets[g].len()) {
                if !self.mend(g) {
                    break;
                }
            }
        }
    }

    fn mend(&mut self, g: usize) -> bool {
        for i in (0..self.targets[g].len()).rev() {
            for h in 0..self.targets.len() {
                for j in (0..self.targets[h].len()).rev() {
                    let (a, b) = (self.targets[g][i], self.targets[h][j]);
                    let able = self.may_take(g, b) && self.may_take(h, a);
                    if able && self.zones_won(g, i, b) > 0 && self.zones_won(h, j, a) >= 0 {
                        self.replace(g, i, b);
                        self.replace(h, j, a);
                        return true;
                    }
                }
            }
        }
        false
    }

    /// Exchanges roles inside groups until nobody is first too often; nothing is copied.
    pub(super) fn balance_primaries(&mut self) {
        let mut caps = self.first_caps(self.primaries.iter().sum());
        // Each promotion leaves one less to do, and caps change hands before one.
        for _ in 0..2 * self.targets.len() {
            if let Some((g, i)) = self.role_move(&caps) {
                self.promote(g, i);
            } else if let Some((from, to)) = self.cap_move(&caps) {
                caps.swap(from, to);
            } else if !self.role_exchange(&caps) && !self.role_chain(&caps) {
                return;
            }
        }
    }

    /// Who should keep the odd group in whose place: of two of which the other gives it at once,
    /// while this one could not.
    fn cap_move(&self, caps: &[usize]) -> Option<(usize, usize)> {
        let takers = self.below(&self.primaries, caps);
        let over = (0..caps.len()).filter(|&at| self.gains[at] && self.primaries[at] > caps[at]);
        let gives = |at: usize| {
            let of = |target: &&Vec<usize>| target.first() == Some(&at);
            let takes = |target: &Vec<usize>| target.iter().any(|at| takers.contains(at));
            self.targets.iter().filter(of).any(takes)
        };
        over.into_iter().find_map(|keeps| {
            let cap = caps[keeps] + 1;
            let odd = |&at: &usize| self.gains[at] && caps[at] == cap && self.primaries[at] == cap;
            let other = (0..caps.len()).filter(odd).find(|&at| gives(at))?;
            Some((keeps, other))
        })
    }

    /// Gives one that is first not often enough the copy, and with it the role, of one that is too
    /// often, and back a copy that was to go the same way without the role: as much is copied, and
    /// one role moves where a chain would move several.
    fn role_exchange(&mut self, caps: &[usize]) -> bool {
        let takers = self.below(&self.primaries, caps);
        for (g, target) in self.targets.iter().enumerate() {
            let Some(&from) = target.first().filter(|&&from| self.primaries[from] > caps[from])
            else {
                continue;
            };
            for &to in takers.iter().filter(|&&to| self.may_take(g, to)) {
                if self.zones_won(g, 0, to) < 0 {
                    continue;
                }
                if let Some((h, i)) = self.passed(from, to) {
                    self.replace(h, i, from);
                    self.replace(g, 0, to);
                    return true;
                }
            }
        }
        false
    }

    /// A group of which `to` gets the copy that `from` has, and not the role.
    fn passed(&self, from: usize, to: usize) -> Option<(usize, usize)> {
        let places = |(h, target): (usize, &Vec<usize>)| {
            let i = target.iter().skip(1).position(|&at| at == to)? + 1;
            let was = self.before[h].contains(&from) && !self.before[h].contains(&to);
            let back = was && !target.contains(&from) && self.zones_won(h, i, from) >= 0;
            back.then_some((h, i))
        };
        self.targets.iter().enumerate().find_map(places)
    }

    fn role_move(&self, caps: &[usize]) -> Option<(usize, usize)> {
        let takers = self.below(&self.primaries, caps);
        let mut best: Option<(i32, usize, usize)> = None;
        for (g, target) in self.targets.iter().enumerate() {
            let Some(&first) = target.first() else { continue };
            if self.primaries[first] <= caps[first] {
                continue;
            }
            // A group whose primary changes anyway changes once for both reasons.
            let changes = i32::from(self.before[g].first() != Some(&first)) * 10;
            for (i, to) in target.iter().enumerate().skip(1) {
                let score = changes + self.run_score(g, *to);
                if takers.contains(to) && best.is_none_or(|(most, ..)| score > most) {
                    best = Some((score, g, i));
                }
            }
        }
        best.map(|(_, g, i)| (g, i))
    }

    fn role_chain(&mut self, caps: &[usize]) -> bool {
        let edge = |map: &Map, from: usize, to: usize| {
            let places = |(g, target): (usize, &Vec<usize>)| {
                let i = target.iter().position(|&at| at == to)?;
                (target[0] == from && map.gains[to]).then_some((g, i))
            };
            map.targets.iter().enumerate().find_map(places)
        };
        let linked = |from, to| edge(self, from, to).is_some();
        let Some(chain) = chain(&self.primaries, caps, &self.gains, linked) else { return false };
        for pair in chain.windows(2).rev() {
            match edge(self, pair[0], pair[1]) {
                Some((g, i)) => self.promote(g, i),
                None => return true,
            }
        }
        true
    }
}

/// How many of `total` things each node should have: all the same, and some one more, chosen by
/// the lowest rank. Who may not gain keeps at most what it has, and the others share what it
/// leaves. `rank` is told the node, the smaller share, and what is given so far.
fn caps<K: Ord>(
    total: usize,
    counts: &[usize],
    gains: &[bool],
    rank: impl Fn(usize, usize, &[usize]) -> K,
) -> Vec<usize> {
    let mut caps = counts.to_vec();
    let mut pool: Vec<usize> = (0..counts.len()).collect();
    let mut rest = total;
    loop {
        let each = rest / pool.len().max(1);
        let Some(at) = pool.iter().position(|&at| !gains[at] && counts[at] <= each) else { break };
        rest = rest.saturating_sub(counts[pool.remove(at)]);
    }
    let (each, more) = (rest / pool.len().max(1), rest % pool.len().max(1));
    pool.iter().for_each(|&at| caps[at] = each);
    for _ in 0..more {
        let Some(best) = (0..pool.len()).min_by_key(|&i| rank(pool[i], each, &caps)) else { break };
        caps[pool.remove(best)] += 1;
    }
    caps
}

/// The shortest way over `linked` pairs from a node above its cap to one below.
fn chain(
    counts: &[usize],
    caps: &[usize],
    gains: &[bool],
    linked: impl Fn(usize, usize) -> bool,
) -> Option<Vec<usize>> {
    let starts = (0..counts.len()).filter(|&at| counts[at] > caps[at]);
    starts.into_iter().find_map(|start| {
        let mut came_from: Vec<Option<usize>> = vec![None; counts.len()];
        let mut reached = vec![start];
        let mut next = 0;
        while let Some(&at) = reached.get(next) {
            next += 1;
            for to in 0..counts.len() {
                if gains[to] && !reached.contains(&to) && linked(at, to) {
                    came_from[to] = Some(at);
                    reached.push(to);
                }
            }
        }
        let mut end = reached.into_iter().find(|&at| gains[at] && counts[at] < caps[at])?;
        let mut way = vec![end];
        while let Some(before) = came_from[end] {
            way.push(before);
            end = before;
        }
        way.reverse();
        Some(way)
    })
}
