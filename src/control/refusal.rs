//! Why a node is not let into a cluster, for people, and what is compared before it is. Pure.

use super::message::Layout;
use cluster::control::{Join, Outcome, Rejection, Settings};
use cluster::node::Registration;
use cluster::slot::{GROUPS, SLOTS};

impl Layout {
    /// That of this program, with this seed of the hash of keys; 0: any will do.
    pub(super) fn new(hash_seed: u64) -> Layout {
        Layout { slots: SLOTS, groups: GROUPS, hash_seed }
    }

    /// How the two differ, if they do: a node of one could not read what one of the other sends.
    pub(super) fn difference(self, other: Layout) -> Option<String> {
        if (self.slots, self.groups) != (other.slots, other.groups) {
            return Some(format!(
                "{} slots in {} groups here, {} in {} there: not the same version",
                self.slots, self.groups, other.slots, other.groups
            ));
        }
        let any = self.hash_seed == 0 || other.hash_seed == 0;
        (!any && self.hash_seed != other.hash_seed).then(|| {
            "another seed of the hash of keys, which follows from the first certificate in \
             cluster.ca: give all nodes the same file"
                .into()
        })
    }
}

/// What an outcome that is no welcome means for the node.
pub(super) fn told(outcome: &Outcome, node: &Registration, protocol: u16) -> String {
    match outcome {
        Outcome::Rejected(Rejection::Protocol) => {
            let (min, max) = (node.protocol.min, node.protocol.max);
            format!(
                "this node speaks protocol {min} to {max}, the cluster {protocol}: start a version \
                 that speaks it"
            )
        }
        Outcome::Rejected(Rejection::Nodes) => "the cluster remembers too many nodes".into(),
        Outcome::Rejected(Rejection::Token) => NO_TOKEN.into(),
        other => format!("the cluster refuses this node: {other:?}"),
    }
}

/// Why a node that is no seed does not get in.
pub(super) const NO_TOKEN: &str = "this node is none of the cluster's seeds and has no one-time \
    token that counts: `crabcache cluster add` or `token` makes one, cluster.join_token names it";

/// Settings of a node's own file that do not hold in its cluster, by their names.
pub(super) fn ignored(ours: &Settings, cluster: &Settings) -> Vec<&'static str> {
    let join = |settings: &Settings| settings.join == Join::Token;
    let differ = [
        ("replication", ours.replication != cluster.replication),
        ("replication_factor", ours.factor != cluster.factor),
        ("join", join(ours) != join(cluster)),
    ];
    differ.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::{ignored, told};
    use crate::control::message::Layout;
    use cluster::control::{Join, Outcome, Rejection, Settings};
    use cluster::node::{NodeId, Protocols, Registration};

    #[test]
    fn layouts_are_compared() {
        let ours = Layout::new(7);
        assert_eq!(ours.difference(Layout::new(7)), None);
        assert_eq!(ours.difference(Layout::new(0)), None);
        assert!(ours.difference(Layout::new(8)).is_some_and(|why| why.contains("cluster.ca")));
        let other = Layout { groups: 512, ..ours };
        let why = ours.difference(other).unwrap();
        assert!(why.starts_with("16384 slots in 1024 groups here, 16384 in 512 there"), "{why}");
    }

    #[test]
    fn a_refusal_says_what_would_do() {
        let protocol = Protocols { min: 1, max: 2 };
        let node = Registration { protocol, ..Registration::new(NodeId::new(4).unwrap(), 1) };
        let why = told(&Outcome::Rejected(Rejection::Protocol), &node, 3);
        assert!(why.starts_with("this node speaks protocol 1 to 2, the cluster 3"), "{why}");
    }

    #[test]
    fn a_file_that_says_otherwise_is_noticed() {
        let cluster = Settings::default();
        assert_eq!(ignored(&cluster, &cluster), [""; 0]);
        let ours = Settings { factor: 3, join: Join::Certificate, moves_max: 1, ..cluster.clone() };
        assert_eq!(ignored(&ours, &cluster), ["replication_factor", "join"]);
    }
}
