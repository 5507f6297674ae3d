//! Which nodes should keep which group: the ring's answer within bounded loads, starting from the
//! map in force and moving only the surplus. Knows neither copies nor roles as they are now.

use super::settings::Settings;
use crate::node::NodeId;
use crate::ring::Ring;
use crate::slot::{GROUPS, Group};
use std::cell::OnceCell;
use std::collections::BTreeMap;

/// A node that may keep groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which one.
    pub id: NodeId,
    /// Its zone.
    pub zone: String,
    /// Whether it may be given more than it has: one that is down keeps its place only.
    pub gains: bool,
}

/// Who should keep each group, its wanted primary first, given who should until now. Among nodes
/// that may gain, copies differ by at most one in the end, and so do primaries. Copies of a group
/// are in different zones as far as that allows. What is placed well already stays.
pub fn place(
    current: &[Vec<NodeId>],
    nodes: &[Candidate],
    settings: &Settings,
) -> Vec<Vec<NodeId>> {
    let mut map = Map::new(current, nodes, settings);
    map.fill();
    map.balance_copies();
    map.mend_zones();
    map.balance_primaries();
    map.targets.iter().map(|target| target.iter().map(|&at| map.ids[at]).collect()).collect()
}

/// Targets with nodes as numbers, and what follows from them.
#[derive(Debug)]
pub(super) struct Map {
    ids: Vec<NodeId>,
    /// The number of each node's zone.
    pub(super) zones: Vec<usize>,
    pub(super) gains: Vec<bool>,
    /// How many copies a group should have.
    factor: usize,
    pub(super) targets: Vec<Vec<usize>>,
    /// Of each node, how many groups name it.
    pub(super) copies: Vec<usize>,
    /// Of each node, how many name it first.
    pub(super) primaries: Vec<usize>,
    /// The ring, and whom each group meets first on it: made when something has to be placed.
    ring: OnceCell<Ring>,
    owners: OnceCell<Vec<usize>>,
    virtual_nodes: u16,
    seed: u64,
    /// The map in force.
    pub(super) before: Vec<Vec<usize>>,
    /// In how many zones a group can be.
    pub(super) diversity_max: usize,
}

impl Map {
    fn new(current: &[Vec<NodeId>], nodes: &[Candidate], settings: &Settings) -> Map {
        let ids: Vec<NodeId> = nodes.iter().map(|node| node.id).collect();
        let number: BTreeMap<NodeId, usize> = ids.iter().copied().zip(0..).collect();
        let mut names: Vec<&str> = nodes.iter().map(|node| node.zone.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let zone = |node: &Candidate| names.partition_point(|name| *name < node.zone.as_str());
        let factor = usize::from(settings.factor).min(ids.len());
        let numbers = |target: &Vec<NodeId>| {
            let kept = target.iter().filter_map(|node| number.get(node).copied());
            kept.take(factor).collect()
        };
        let targets: Vec<Vec<usize>> = current.iter().map(numbers).collect();
        let (mut copies, mut primaries) = (vec![0; ids.len()], vec![0; ids.len()]);
        for target in &targets {
            target.iter().for_each(|&at| copies[at] += 1);
            target.first().into_iter().for_each(|&at| primaries[at] += 1);
        }
        let before = targets.clone();
        let diversity_max = names.len().min(factor);
        let zones = nodes.iter().map(zone).collect();
        let gains = nodes.iter().map(|node| node.gains).collect();
        Map {
            ids,
            zones,
            gains,
            factor,
            targets,
            copies,
            primaries,
            before,
            diversity_max,
            ring: OnceCell::new(),
            owners: OnceCell::new(),
            virtual_nodes: settings.virtual_nodes,
            seed: settings.hash_seed,
        }
    }

    fn ring(&self) -> &Ring {
        let make = || Ring::new(self.ids.iter().copied(), self.virtual_nodes, self.seed);
        self.ring.get_or_init(make)
    }

    /// The number of a node, by its id.
    fn number(&self, id: NodeId) -> Option<usize> {
        self.ids.iter().position(|known| *known == id)
    }

    /// Whom the group meets first on the ring.
    pub(super) fn owner(&self, g: usize) -> usize {
        let owner = |group| self.ring().owner(group).and_then(|id| self.number(id)).unwrap_or(0);
        self.owners.get_or_init(|| Group::all().map(owner).collect())[g]
    }

    /// Gives the groups that want more copies the next nodes on the ring that have room.
    fn fill(&mut self) {
        if self.targets.iter().all(|target| target.len() >= self.factor) {
            return;
        }
        let blank = self.targets.iter().all(Vec::is_empty);
        let caps =
            [self.copy_caps(self.factor * self.targets.len()), self.first_caps(self.targets.len())];
        for group in Group::all() {
            let g = usize::from(group.number());
            let wants = self.factor.saturating_sub(self.targets[g].len());
            if wants == 0 {
                continue;
            }
            let walk: Vec<usize> =
                self.ring().walk(group).into_iter().filter_map(|id| self.number(id)).collect();
            for _ in 0..wants {
                let Some(to) = self.choose(g, &walk, &caps, blank) else { break };
                self.copies[to] += 1;
                self.primaries[to] += usize::from(self.targets[g].is_empty());
                self.targets[g].push(to);
            }
        }
    }

    /// The best of `walk` for another copy of `g`: room before zone, since what is over its share
    /// has to move again; then what makes a run longer, then the ring.
    fn choose(
        &self,
        g: usize,
        walk: &[usize],
        caps: &[Vec<usize>; 2],
        blank: bool,
    ) -> Option<usize> {
        let first = self.targets[g].is_empty();
        let able = walk.iter().copied().filter(|&at| self.may_take(g, at));
        able.min_by_key(|&at| {
            let full = self.copies[at] >= caps[0][at];
            let full_first = first && self.primaries[at] >= caps[1][at];
            let lonely = first && !blank && self.run_score(g, at) <= 0;
            (full, full_first, !self.is_new_zone(g, at), lonely)
        })
    }

    /// Whether `at` may get a copy of `g`.
    pub(super) fn may_take(&self, g: usize, at: usize) -> bool {
        self.gains[at] && !self.targets[g].contains(&at)
    }

    fn is_new_zone(&self, g: usize, at: usize) -> bool {
        self.targets[g].iter().all(|&other| self.zones[other] != self.zones[at])
    }

    /// In how many zones `g` is, with `to` at place `i`.
    pub(super) fn diversity(&self, g: usize, i: usize, to: usize) -> usize {
        if self.diversity_max < 2 {
            return self.diversity_max;
        }
        let target = &self.targets[g];
        let zone = |j: usize| self.zones[if i == j { to } else { target[j] }];
        let new = |&j: &usize| (0..j).all(|before| zone(before) != zone(j));
        (0..target.len()).filter(new).count()
    }

    /// In how many zones `g` is.
    pub(super) fn diversity_now(&self, g: usize) -> usize {
        self.targets[g].first().map_or(0, |&first| self.diversity(g, 0, first))
    }

    /// How much better runs are with `to` as primary of `g`: neighbours that are its own, less
    /// neighbours of who is primary now.
    pub(super) fn run_score(&self, g: usize, to: usize) -> i32 {
        let now = self.targets[g].first();
        let side = |at: Option<usize>| {
            let neighbour =
                at.and_then(|at| self.targets.get(at)).and_then(|target| target.first());
            i32::from(neighbour == Some(&to)) - i32::from(now.is_some() && neighbour == now)
        };
        side(g.checked_sub(1)) + side(Some(g + 1).filter(|&at| at < usize::from(GROUPS)))
    }

    /// Puts `to` where `g` names the node at place `i`.
    pub(super) fn replace(&mut self, g: usize, i: usize, to: usize) {
        let from = std::mem::replace(&mut self.targets[g][i], to);
        self.copies[from] -= 1;
        self.copies[to] += 1;
        if i == 0 {
            self.primaries[from] -= 1;
            self.primaries[to] += 1;
        }
    }

    /// Makes the node at place `i` of `g` its first.
    pub(super) fn promote(&mut self, g: usize, i: usize) {
        let (from, to) = (self.targets[g][0], self.targets[g][i]);
        self.targets[g].swap(0, i);
        self.primaries[from] -= 1;
        self.primaries[to] += 1;
    }
}
