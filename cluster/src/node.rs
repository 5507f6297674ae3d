//! What a node is: its id, its incarnation, its addresses, where it stands in its life. Knows
//! nothing of what it keeps, nor whether it is up.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::NonZeroU64;

/// A node, whatever its address; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(NonZeroU64);

/// Which start of a node: one more at every registration, given by the cluster. 0: never
/// registered.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Incarnation(pub u64);

/// One life of a node: what holds a copy. A node that starts again is another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Member {
    /// The node.
    pub node: NodeId,
    /// Which start of it.
    pub incarnation: Incarnation,
}

/// A cluster, drawn at random when it is formed. 0: not formed yet.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ClusterId(pub u128);

/// Where clients reach one listener of a node: what MOVED and CLUSTER SLOTS announce to the
/// clients of the listener of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientAddress {
    /// The listener's name, equal on all nodes; `""` is the default one.
    pub listener: String,
    /// Host name or IP address, as announced.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether this listener always forwards and never redirects.
    pub forward: bool,
}

/// Where a node is reached. Not its identity: a container gets new ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// `host:port` of heartbeats and Raft (UDP).
    pub control: String,
    /// `host:port` of records, resyncs and forwards (UDP).
    pub data: String,
    /// Where clients reach it.
    pub clients: Vec<ClientAddress>,
}

/// Where a node stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Admitted, and not registered yet: it keeps nothing.
    Joining,
    /// It keeps its share.
    Active,
    /// Emptied, until an operator takes that back: gets no new copies, enters no in-sync set.
    Draining,
    /// Emptied for good; serves as a proxy until its clients are gone.
    Leaving,
    /// No longer of this cluster; its id is kept so that its incarnations never repeat.
    Gone,
}

/// The protocol versions that a node speaks, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protocols {
    /// The oldest.
    pub min: u16,
    /// The newest.
    pub max: u16,
}

/// SHA-256 of a node's certificate.
pub type Fingerprint = [u8; 32];

/// What the cluster knows of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its newest registered start.
    pub incarnation: Incarnation,
    /// A number that it drew when it started: the same start registers once only.
    pub start: u64,
    /// Where it is reached.
    pub addresses: Addresses,
    /// What fails together: copies of a group are kept in different zones where that can be.
    pub zone: String,
    /// Where it stands in its life.
    pub phase: Phase,
    /// The protocol versions it speaks.
    pub protocol: Protocols,
    /// Its certificate, once known.
    pub fingerprint: Option<Fingerprint>,
    /// Whether it should vote in Raft; every other node learns.
    pub voter: bool,
}

/// What a node says of itself when it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// Who it is.
    pub node: NodeId,
    /// A number that it drew when it started: registering again with the same one changes no
    /// incarnation, so that a registration whose outcome is unknown is simply repeated.
    pub start: u64,
    /// Where it is reached.
    pub addresses: Addresses,
    /// Its zone; `""` is one too.
    pub zone: String,
    /// The protocol versions it speaks.
    pub protocol: Protocols,
    /// Its certificate, where there is one.
    pub fingerprint: Option<Fingerprint>,
    /// Whether it has read back what it kept from its disk; else it comes back empty.
    pub restored: bool,
}

impl Registration {
    /// Of a start that says no more of itself: it is reached nowhere, speaks the first version of
    /// the protocol alone, and comes back empty.
    pub fn new(node: NodeId, start: u64) -> Registration {
        Registration {
            node,
            start,
            addresses: Addresses::default(),
            zone: String::new(),
            protocol: Protocols { min: 1, max: 1 },
            fingerprint: None,
            restored: false,
        }
    }
}

impl NodeId {
    /// The node with this number, or `None` for 0.
    pub fn new(number: u64) -> Option<NodeId> {
        NonZeroU64::new(number).map(NodeId)
    }

    /// Its number.
    pub fn number(self) -> u64 {
        self.0.get()
    }
}

/// Forty hexadecimal digits, as Redis Cluster names nodes.
impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:040x}", self.0)
    }
}

/// Thirty-two hexadecimal digits.
impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Incarnation {
    /// The next start.
    #[must_use]
    pub fn next(self) -> Incarnation {
        Incarnation(self.0.saturating_add(1))
    }
}

impl Node {
    /// Whether copies may be placed on it.
    pub fn takes_copies(&self) -> bool {
        self.phase == Phase::Active
    }

    /// Whether it is of the cluster: it may be asked, and counted.
    pub fn is_member(&self) -> bool {
        self.phase != Phase::Gone
    }
}

#[cfg(test)]
mod tests {
    use super::{ClusterId, NodeId};

    #[test]
    fn names_are_hexadecimal() {
        let node = NodeId::new(255).unwrap();
        assert_eq!(node.to_string(), format!("{}ff", "0".repeat(38)));
        assert_eq!(NodeId::new(0), None);
        assert_eq!(ClusterId(0xAB).to_string(), format!("{}ab", "0".repeat(30)));
    }
}
