//! What a node without a past does: form a cluster, join one, or wait, by what its seeds answer.
//! Pure: knows no network, and nothing of what forming or joining takes.

use super::message::{Iam, Standing};
use super::types::Seat;
use cluster::control::VOTERS_MAX;
use cluster::node::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Begin the cluster with these voters, of which this node is the first.
    Initialise(BTreeMap<u64, Seat>),
    /// There is a cluster: ask these nodes to be let in.
    Join(Vec<NodeId>),
    /// Neither yet.
    Wait(Wait),
}

/// Why a node waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// These seeds do not answer, and why: they may belong to a cluster.
    Missing(Vec<(String, String)>),
    /// This seed has another list of seeds.
    OtherSeeds(String),
    /// This seed's keys find their groups in another way, and how.
    OtherLayout(String, String),
    /// Two of the seeds are one node.
    Same(String, String),
    /// Seeds belong to different clusters.
    TwoClusters,
    /// All are blank; the first of them is to form the cluster.
    First(String),
}

/// What a seed answered: who it is, or why it did not.
pub(super) type Answer = (String, Result<Iam, String>);

/// What to do when the seeds, in their order, answered this. `without` are those that an operator
/// says are not to be waited for.
pub(super) fn decide(
    me: NodeId,
    seeds: &[String],
    answers: &[Answer],
    without: &BTreeSet<String>,
) -> Decision {
    let mut clusters = BTreeSet::new();
    let mut members = Vec::new();
    for iam in answers.iter().filter_map(|(_, iam)| iam.as_ref().ok()) {
        if let Standing::Member { cluster, leader, .. } = &iam.standing {
            // While it is being formed it has no name yet.
            clusters.extend(Some(*cluster).filter(|cluster| cluster.0 != 0));
            members.extend(*leader);
            members.push(iam.registration.node);
        }
    }
    if clusters.len() > 1 {
        return Decision::Wait(Wait::TwoClusters);
    }
    if !members.is_empty() {
        return Decision::Join(members);
    }
    initialise(me, seeds, answers, without).unwrap_or_else(Decision::Wait)
}

/// Nobody who answers belongs to a cluster.
fn initialise(
    me: NodeId,
    seeds: &[String],
    answers: &[Answer],
    without: &BTreeSet<String>,
) -> Result<Decision, Wait> {
    let mut missing = Vec::new();
    let mut blank: Vec<(&String, &Iam)> = Vec::new();
    for (seed, iam) in answers {
        match iam {
            Ok(iam) => blank.push((seed, iam)),
            Err(_) if without.contains(seed) => {}
            Err(reason) => missing.push((seed.clone(), reason.clone())),
        }
    }
    if !missing.is_empty() {
        return Err(Wait::Missing(missing));
    }
    let mut found: BTreeMap<NodeId, &String> = BTreeMap::new();
    for (seed, iam) in &blank {
        let same = matches!(&iam.standing, Standing::Blank { seeds: theirs } if theirs == seeds);
        if !same {
            return Err(Wait::OtherSeeds((*seed).clone()));
        }
        let first = blank.first().map_or(iam.layout, |(_, first)| first.layout);
        if let Some(how) = iam.layout.difference(first) {
            return Err(Wait::OtherLayout((*seed).clone(), how));
        }
        if let Some(other) = found.insert(iam.registration.node, seed) {
            return Err(Wait::Same(other.clone(), (*seed).clone()));
        }
    }
    match blank.first() {
        Some((_, first)) if first.registration.node == me => {
            let seat = |iam: &Iam| (iam.registration.node.number(), Seat { store: iam.store });
            Ok(Decision::Initialise(blank.iter().take(VOTERS_MAX).map(|(_, i)| seat(i)).collect()))
        }
        Some((first, _)) => Err(Wait::First((*first).clone())),
        None => Err(Wait::Missing(Vec::new())),
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wait::Missing(seeds) => {
                let names: Vec<&str> = seeds.iter().map(|(seed, _)| seed.as_str()).collect();
                let names = names.join(", ");
                write!(
                    f,
                    "waiting for seed {names} to answer; `crabcache cluster form --without` goes \
                     on without it"
                )?;
                seeds.iter().try_for_each(|(seed, reason)| write!(f, "; {seed}: {reason}"))
            }
            Wait::OtherLayout(seed, how) => write!(f, "seed {seed} has {how}"),
            Wait::OtherSeeds(seed) => {
                write!(f, "seed {seed} has another list of seeds: cluster.seeds must be the same")
            }
            Wait::Same(one, other) => write!(f, "seeds {one} and {other} are the same node"),
            Wait::TwoClusters => write!(f, "the seeds belong to different clusters"),
            Wait::First(seed) => {
                write!(f, "waiting for seed {seed}, the first, to form the cluster")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::{Iam, Layout, Standing};
    use super::super::types::Seat;
    use super::{Answer, Decision, Wait, decide};
    use cluster::node::{ClusterId, NodeId, Registration};
    use std::collections::{BTreeMap, BTreeSet};

    fn node(number: u64) -> NodeId {
        NodeId::new(number).unwrap()
    }

    fn seeds() -> Vec<String> {
        ["a", "b", "c"].map(String::from).to_vec()
    }

    fn answer(seed: &str, number: u64, standing: Standing) -> Answer {
        let registration = Registration::new(node(number), 1);
        let (layout, store) = (Layout::new(0), number * 10);
        (seed.to_owned(), Ok(Iam { registration, layout, store, standing, registered: false }))
    }

    fn blank(seed: &str, number: u64) -> Answer {
        answer(seed, number, Standing::Blank { seeds: seeds() })
    }

    fn member(seed: &str, number: u64, cluster: u128) -> Answer {
        let leader = Some(node(9));
        let standing = Standing::Member { cluster: ClusterId(cluster), leader, nodes: vec![] };
        answer(seed, number, standing)
    }

    fn silent(seed: &str) -> Answer {
        (seed.to_owned(), Err("silence".into()))
    }

    fn decided(me: u64, answers: &[Answer]) -> Decision {
        decide(node(me), &seeds(), answers, &BTreeSet::new())
    }

    #[test]
    fn the_first_of_all_blank_seeds_begins() {
        let all = [blank("a", 5), blank("b", 2), blank("c", 3)];
        let voters = [(2, 20), (3, 30), (5, 50)].map(|(n, store)| (n, Seat { store }));
        assert_eq!(decided(5, &all), Decision::Initialise(BTreeMap::from(voters)));
        assert_eq!(decided(2, &all), Decision::Wait(Wait::First("a".into())));
        // Not a seed itself.
        assert_eq!(decided(7, &all), Decision::Wait(Wait::First("a".into())));
    }

    #[test]
    fn a_silent_seed_may_belong_to_a_cluster() {
        let some = [blank("a", 1), silent("b"), silent("c")];
        let missing = ["b", "c"].map(|seed| (seed.to_owned(), "silence".to_owned())).to_vec();
        let told = Wait::Missing(missing.clone()).to_string();
        assert!(told.starts_with("waiting for seed b, c to answer"), "{told}");
        assert!(told.ends_with("; b: silence; c: silence"), "{told}");
        assert_eq!(decided(1, &some), Decision::Wait(Wait::Missing(missing)));
        let without = BTreeSet::from(["b".to_owned(), "c".to_owned()]);
        let voters = BTreeMap::from([(1, Seat { store: 10 })]);
        let decision = decide(node(1), &seeds(), &some, &without);
        assert_eq!(decision, Decision::Initialise(voters));
    }

    #[test]
    fn a_cluster_is_joined_whoever_else_is_silent() {
        let some = [blank("a", 1), silent("b"), member("c", 3, 77)];
        assert_eq!(decided(1, &some), Decision::Join(vec![node(9), node(3)]));
        let forming = [blank("a", 1), member("b", 2, 0), member("c", 3, 77)];
        assert!(matches!(decided(1, &forming), Decision::Join(_)));
        let two = [blank("a", 1), member("b", 2, 78), member("c", 3, 77)];
        assert_eq!(decided(1, &two), Decision::Wait(Wait::TwoClusters));
    }

    #[test]
    fn lists_that_differ_and_nodes_that_do_not_are_named() {
        let other = answer("b", 2, Standing::Blank { seeds: vec!["b".into()] });
        let all = [blank("a", 1), other, blank("c", 3)];
        assert_eq!(decided(1, &all), Decision::Wait(Wait::OtherSeeds("b".into())));
        let mut odd = [blank("a", 1), blank("b", 2), blank("c", 3)];
        odd.iter_mut().zip([5, 5, 6]).for_each(|((_, iam), seed)| {
            iam.as_mut().unwrap().layout = Layout::new(seed);
        });
        let waits = decided(1, &odd);
        assert!(
            matches!(&waits, Decision::Wait(Wait::OtherLayout(seed, _)) if seed == "c"),
            "{waits:?}"
        );
        let twice = [blank("a", 1), blank("b", 2), blank("c", 1)];
        assert_eq!(decided(1, &twice), Decision::Wait(Wait::Same("a".into(), "c".into())));
    }
}
