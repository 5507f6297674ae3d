//! CRABCACHE STATUS: nodes, groups and what moves, as JSON. Pure.

use crate::limits::operators::ADMIN_MOVES_TOLD_MAX;
use crate::worker::Standing;
use cluster::control::{ControlState, GroupConfig};
use cluster::node::{ClientAddress, Node, NodeId, Phase};
use cluster::replication::Lag;
use cluster::slot::{GROUPS, Group, SLOTS_PER_GROUP};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What a node keeps, in groups.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    primaries: u32,
    /// Complete, the primaries included.
    copies: u32,
    /// Not complete yet.
    learners: u32,
    /// What it should keep.
    wanted: u32,
}

/// All of it. `leased`: whether the asked node may act as a primary.
pub(super) fn json(
    standing: &Standing,
    up: &BTreeSet<NodeId>,
    lags: &BTreeMap<NodeId, Lag>,
    leased: bool,
) -> String {
    let state = &standing.state;
    let kept = kept(state);
    let nodes: Vec<Value> = state
        .nodes
        .iter()
        .filter(|(_, node)| node.is_member())
        .map(|(id, known)| node(*id, known, standing, up, (kept.get(id), lags.get(id))))
        .collect();
    let gone = state.nodes.iter().filter(|(_, node)| !node.is_member());
    let gone: Vec<u64> = gone.map(|(id, _)| id.number()).collect();
    json!({
        "cluster": state.is_formed().then(|| state.cluster.to_string()),
        "version": state.version,
        "revision": state.revision,
        "protocol": state.protocol,
        "asked": standing.me.map(|me| me.node.number()),
        "leader": standing.leader.map(NodeId::number),
        "lease": leased,
        "trouble": standing.trouble,
        "replication_factor": state.settings.factor,
        "nodes": nodes,
        "gone": gone,
        "groups": groups(state, up),
        "moves": moves(state),
    })
    .to_string()
}

fn kept(state: &ControlState) -> BTreeMap<NodeId, Kept> {
    let mut all: BTreeMap<NodeId, Kept> = BTreeMap::new();
    for (_, config) in state.groups() {
        if let Some(primary) = config.primary {
            all.entry(primary.node).or_default().primaries += 1;
        }
        for member in config.in_sync.iter().filter(|member| state.is_current(**member)) {
            all.entry(member.node).or_default().copies += 1;
        }
        for node in &config.learners {
            all.entry(*node).or_default().learners += 1;
        }
        for node in &config.target {
            all.entry(*node).or_default().wanted += 1;
        }
    }
    all
}

fn node(
    id: NodeId,
    known: &Node,
    standing: &Standing,
    up: &BTreeSet<NodeId>,
    (kept, lag): (Option<&Kept>, Option<&Lag>),
) -> Value {
    let kept = kept.copied().unwrap_or_default();
    let client = |address: &ClientAddress| {
        json!({
            "listener": address.listener,
            "address": host_and_port(&address.host, address.port),
            "forward": address.forward,
        })
    };
    json!({
        "id": id.number(),
        "name": id.to_string(),
        "up": up.contains(&id),
        "phase": phase(known.phase),
        "zone": known.zone,
        "incarnation": known.incarnation.0,
        "voter": known.voter,
        "leader": standing.leader == Some(id),
        "control": known.addresses.control,
        "data": known.addresses.data,
        "clients": known.addresses.clients.iter().map(client).collect::<Vec<_>>(),
        "primaries": kept.primaries,
        "copies": kept.copies,
        "learners": kept.learners,
        "wanted": kept.wanted,
        "lag": lag.map(|lag| json!({ "records": lag.records, "ms": lag.ms })),
    })
}

fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The word for a phase.
pub(super) fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Joining => "joining",
        Phase::Active => "active",
        Phase::Draining => "draining",
        Phase::Leaving => "leaving",
        Phase::Gone => "gone",
    }
}

fn groups(state: &ControlState, up: &BTreeSet<NodeId>) -> Value {
    let active = state.nodes.values().filter(|node| node.takes_copies()).count();
    let factor = usize::from(state.settings.factor).min(active.max(1));
    let (mut without, mut under, mut last, mut moving) = (0_u32, 0_u32, 0_u32, 0_u32);
    for (_, config) in state.groups() {
        let primary = config.primary.filter(|m| state.is_current(*m) && up.contains(&m.node));
        let copies = live_copies(state, config, up);
        without += u32::from(primary.is_none());
        under += u32::from(copies < factor);
        last += u32::from(copies == 1 && factor > 1);
        moving += u32::from(is_moving(state, config));
    }
    json!({
        "total": GROUPS,
        "without_primary": without,
        "under_replicated": under,
        "one_copy": last,
        "moving": moving,
        "lost": state.groups_lost,
    })
}

/// Complete copies on nodes that are there.
pub(super) fn live_copies(
    state: &ControlState,
    config: &GroupConfig,
    up: &BTreeSet<NodeId>,
) -> usize {
    let live =
        |member: &&cluster::node::Member| state.is_current(**member) && up.contains(&member.node);
    config.in_sync.iter().filter(live).count()
}

/// Whether the group is not kept as it should be.
fn is_moving(state: &ControlState, config: &GroupConfig) -> bool {
    let complete = |node: &NodeId| config.in_sync(*node).is_some_and(|m| state.is_current(m));
    let wanted = |node: NodeId| config.target.contains(&node);
    config.primary.map(|primary| primary.node) != config.target.first().copied()
        || !config.target.iter().all(complete)
        || !config.nodes().all(wanted)
}

fn moves(state: &ControlState) -> Vec<Value> {
    let moving = state.groups().filter(|(_, config)| is_moving(state, config));
    let told = |(group, config): (Group, &GroupConfig)| {
        let mut holders: Vec<u64> =
            config.in_sync.iter().map(|member| member.node.number()).collect();
        if let Some(primary) = config.primary {
            holders.sort_by_key(|holder| *holder != primary.node.number());
        }
        json!({
            "group": group.number(),
            "slots": slots(group),
            "holders": holders,
            "copying": numbers(&config.learners),
            "target": numbers(&config.target),
        })
    };
    moving.take(ADMIN_MOVES_TOLD_MAX).map(told).collect()
}

/// The first and the last slot of a group.
pub(super) fn slots(group: Group) -> [u16; 2] {
    let first = group.number() * SLOTS_PER_GROUP;
    [first, first + SLOTS_PER_GROUP - 1]
}

/// Nodes as people name them.
pub(super) fn numbers(nodes: &[NodeId]) -> Vec<u64> {
    nodes.iter().map(|node| node.number()).collect()
}
