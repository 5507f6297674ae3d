//! The consistent-hash ring: where each node's points lie, and whom a group meets first from its
//! own place on. Knows neither loads nor who keeps what now.

use crate::node::NodeId;
use crate::slot::{GROUPS, Group};
use hashring::HashRing;
use std::hash::{BuildHasher, Hash, Hasher};

/// The points of all nodes. A group lies where its number says, so that neighbours mostly meet the
/// same node: that makes the runs of slots that clients are told.
#[derive(Clone, Debug)]
pub struct Ring {
    ring: HashRing<Place, Placed>,
    /// The points in the order of their places.
    points: Vec<Place>,
}

/// A place on the ring: a node's point, or where a group lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    at: u64,
    node: Option<NodeId>,
}

/// Gives a place as its own hash: `hashring` asks a hasher where things lie, while our places
/// must be the same in every build and on every machine.
#[derive(Clone, Copy, Debug, Default)]
struct Placed(u64);

const PLACES_PER_GROUP: u64 = u64::MAX / GROUPS as u64 + 1;
const _: () = assert!(GROUPS.is_power_of_two());

impl Ring {
    /// The ring with `virtual_nodes` points for each node; another seed, another ring.
    pub fn new(nodes: impl IntoIterator<Item = NodeId>, virtual_nodes: u16, seed: u64) -> Ring {
        let points = nodes.into_iter().flat_map(|node| {
            (0..virtual_nodes).map(move |number| Place {
                at: mixed(mixed(mixed(seed) ^ node.number()) ^ u64::from(number)),
                node: Some(node),
            })
        });
        let mut ring = HashRing::with_hasher(Placed::default());
        let mut points: Vec<Place> = points.collect();
        ring.batch_add(points.clone());
        points.sort_by_key(|point| point.at);
        Ring { ring, points }
    }

    /// Whom the group meets first.
    pub fn owner(&self, group: Group) -> Option<NodeId> {
        self.ring.get(&Place::of(group))?.node
    }

    /// Everybody, in the order in which the group meets them; each once.
    pub fn walk(&self, group: Group) -> Vec<NodeId> {
        let start = self.points.partition_point(|point| point.at < Place::of(group).at);
        let (before, behind) = self.points.split_at(start);
        let mut met = Vec::new();
        for node in behind.iter().chain(before).filter_map(|point| point.node) {
            if !met.contains(&node) {
                met.push(node);
            }
        }
        met
    }
}

impl Place {
    fn of(group: Group) -> Place {
        Place { at: u64::from(group.number()) * PLACES_PER_GROUP, node: None }
    }
}

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.at);
    }
}

impl BuildHasher for Placed {
    type Hasher = Placed;

    fn build_hasher(&self) -> Placed {
        Placed::default()
    }
}

impl Hasher for Placed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = mixed(self.0 ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, place: u64) {
        self.0 = place;
    }
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): every bit of `x` moves every bit.
fn mixed(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::Ring;
    use crate::node::NodeId;
    use crate::slot::Group;

    fn nodes(count: u64) -> impl Iterator<Item = NodeId> {
        (1..=count).filter_map(NodeId::new)
    }

    #[test]
    fn a_walk_meets_everybody_once_and_the_owner_first() {
        for seed in 0..20 {
            let ring = Ring::new(nodes(7), 8, seed);
            for group in Group::all() {
                let mut met = ring.walk(group);
                assert_eq!(met.first().copied(), ring.owner(group));
                met.sort_unstable();
                assert!(met.into_iter().eq(nodes(7)));
            }
        }
    }

    #[test]
    fn who_comes_takes_only_from_others() {
        let (before, after) = (Ring::new(nodes(5), 8, 3), Ring::new(nodes(6), 8, 3));
        let moved = Group::all().filter(|group| before.owner(*group) != after.owner(*group));
        assert!(moved.into_iter().all(|group| after.owner(group) == NodeId::new(6)));
    }

    #[test]
    fn an_empty_ring_has_nobody() {
        let ring = Ring::new(nodes(0), 8, 1);
        assert!(
            Group::all().all(|group| ring.owner(group).is_none() && ring.walk(group).is_empty())
        );
    }

    #[test]
    fn places_are_the_same_on_every_machine() {
        let ring = Ring::new(nodes(3), 2, 42);
        let owners: Vec<u64> = Group::all()
            .step_by(128)
            .filter_map(|group| ring.owner(group).map(NodeId::number))
            .collect();
        assert_eq!(owners, [2, 3, 1, 1, 1, 2, 2, 2]);
    }
}
