//! The state that every node derives from the control log: who is of the cluster and who keeps
//! which group. Knows neither who is up nor what should be done about it.

use super::command::{Token, TokenHash};
use super::settings::Settings;
use crate::node::{ClusterId, Incarnation, Member, Node, NodeId};
use crate::record::Epoch;
use crate::slot::{GROUPS, Group};
use crate::topology::{Holders, Topology};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the control log has led to. [`ControlState::apply`] is its only writer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlState {
    /// Which cluster; 0 before it is formed.
    pub cluster: ClusterId,
    /// One more with every command that changed something; the version of the topology.
    pub version: u64,
    /// One more with every change of settings or of a node's phase, which operators ask for: who
    /// decides by what they have seen names the revision that they saw.
    pub revision: u64,
    /// What holds for the whole cluster.
    pub settings: Settings,
    /// Everybody who is or was of the cluster.
    pub nodes: BTreeMap<NodeId, Node>,
    /// The one-time tokens that nobody has used.
    pub tokens: BTreeMap<TokenHash, Token>,
    /// The version of the protocol in use: the newest that all members speak. Never goes back.
    pub protocol: u16,
    /// How many times a group was begun anew because no copy was left.
    pub groups_lost: u64,
    /// One for each group, in order; shared with the states before and after, since most entries
    /// change few of them.
    #[serde(serialize_with = "each_group", deserialize_with = "all_groups")]
    pub(super) groups: Vec<Arc<GroupConfig>>,
}

/// Who keeps a group. Invariants: nobody is twice in `in_sync` and `learners` together; the primary
/// is in `in_sync`; `in_sync` is empty only before the cluster is formed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupConfig {
    /// One more at every change; every change names the version that it is about.
    pub version: u64,
    /// One more at every change of the primary.
    pub epoch: Epoch,
    /// Who executes its commands.
    pub primary: Option<Member>,
    /// Who has a complete copy, the primary included. One whose incarnation is not its node's
    /// newest came back empty and stands here as the last trace of what is lost.
    pub in_sync: Vec<Member>,
    /// Who gets or got a copy that does not count as complete.
    pub learners: Vec<NodeId>,
    /// Who should keep it; the first should be primary.
    pub target: Vec<NodeId>,
    /// Primaries deposed without their consent since the last that served: a synchronous primary
    /// waits until promises to these have run out.
    pub unreleased: Vec<NodeId>,
}

fn each_group<S: Serializer>(groups: &[Arc<GroupConfig>], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(groups.iter().map(|config| &**config))
}

fn all_groups<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Arc<GroupConfig>>, D::Error> {
    let groups = Vec::<GroupConfig>::deserialize(deserializer)?;
    if groups.len() != usize::from(GROUPS) {
        let found = groups.len();
        return Err(serde::de::Error::invalid_length(found, &"one for each group"));
    }
    Ok(groups.into_iter().map(Arc::new).collect())
}

impl Default for ControlState {
    fn default() -> ControlState {
        ControlState::blank()
    }
}

impl ControlState {
    /// The state before the first entry.
    pub fn blank() -> ControlState {
        ControlState {
            cluster: ClusterId(0),
            version: 0,
            revision: 0,
            settings: Settings::default(),
            nodes: BTreeMap::new(),
            tokens: BTreeMap::new(),
            protocol: 0,
            groups_lost: 0,
            groups: vec![Arc::default(); usize::from(GROUPS)],
        }
    }

    /// Whether there is a cluster.
    pub fn is_formed(&self) -> bool {
        self.cluster != ClusterId(0)
    }

    /// Who keeps the group.
    pub fn group(&self, group: Group) -> &GroupConfig {
        &self.groups[usize::from(group.number())]
    }

    /// Who keeps each group, in their order.
    pub fn groups(&self) -> impl Iterator<Item = (Group, &GroupConfig)> {
        Group::all().zip(self.groups.iter().map(|config| &**config))
    }

    /// The node's newest start; `None` when it is not of the cluster.
    pub fn member(&self, node: NodeId) -> Option<Member> {
        let known = self.nodes.get(&node).filter(|known| known.is_member())?;
        let registered = known.incarnation != Incarnation(0);
        registered.then_some(Member { node, incarnation: known.incarnation })
    }

    /// Whether this is the newest start of a node of the cluster.
    pub fn is_current(&self, member: Member) -> bool {
        self.member(member.node) == Some(member)
    }

    /// Whether a token with this hash lets the node join at this wall time.
    pub fn admits(&self, hash: &TokenHash, node: NodeId, at_ms: u64) -> bool {
        let fits = |token: &Token| {
            token.node.is_none_or(|for_it| for_it == node) && at_ms <= token.expires_at_ms
        };
        self.tokens.get(hash).is_some_and(fits)
    }

    /// Who votes.
    pub fn voters(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.iter().filter(|(_, node)| node.voter && node.is_member()).map(|(id, _)| *id)
    }

    /// Who keeps which group now. Learners keep no copy that counts and are not announced.
    pub fn topology(&self) -> Topology {
        let holders = self.groups.iter().map(|config| self.holders(config)).collect();
        Topology::of(self.version, holders)
    }

    fn holders(&self, config: &GroupConfig) -> Holders {
        let primary = config.primary.map(|member| member.node);
        let replicas = config.in_sync.iter().filter(|member| self.is_current(**member));
        let replicas = replicas.map(|member| member.node).filter(|node| Some(*node) != primary);
        Holders { epoch: config.epoch, primary, replicas: replicas.collect() }
    }
}

impl GroupConfig {
    /// Whether the node has or gets a copy.
    pub fn is_holder(&self, node: NodeId) -> bool {
        self.nodes().any(|holder| holder == node)
    }

    /// Everybody who has or gets a copy.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.in_sync.iter().map(|member| member.node).chain(self.learners.iter().copied())
    }

    /// The in-sync member of this node.
    pub fn in_sync(&self, node: NodeId) -> Option<Member> {
        self.in_sync.iter().copied().find(|member| member.node == node)
    }
}
