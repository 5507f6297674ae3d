//! CLUSTER NODES, CLUSTER INFO and CLUSTER LINKS: the nodes as text and as list, in the shapes of
//! Redis 7. Pure.

use super::slots::is_name;
use crate::command::reply::ReplyWriter;
use crate::worker::{ClusterView, Reached};
use cluster::node::NodeId;
use cluster::slot::{Group, SLOTS_PER_GROUP};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// CLUSTER NODES for the clients of a listener: a line for each node, each a master of its own
/// slots, this one marked. Times of pings are not told: heartbeats are not pings.
pub(super) fn nodes(view: &ClusterView, entrance: u8) -> String {
    let epochs = epochs(view);
    let mut text = String::new();
    for (node, at) in view.nodes(entrance) {
        let up = view.is_up(node) || node == view.me();
        let myself = if node == view.me() { "myself," } else { "" };
        let (fail, link) = if up { ("", "connected") } else { (",fail", "disconnected") };
        let epoch = epochs.get(&node).copied().unwrap_or(0);
        // Writing to a string cannot fail.
        let _ = write!(text, "{node} {}", address(view, node, at));
        let _ = write!(text, " {myself}master{fail} - 0 0 {epoch} {link}");
        for range in view.topology().ranges_of(node) {
            let (first, last) = (range.first.number(), range.last.number());
            let _ = match first == last {
                true => write!(text, " {first}"),
                false => write!(text, " {first}-{last}"),
            };
        }
        text.push('\n');
    }
    text
}

/// `host:port@peers`, and the name once more where it is one: some parsers look for it there.
fn address(view: &ClusterView, node: NodeId, at: &Reached) -> String {
    let control = view.state().nodes.get(&node).map_or("", |known| &known.addresses.control);
    let peers: u16 = control.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(0);
    let name = if is_name(at) { format!(",{}", at.host) } else { String::new() };
    format!("{}:{}@{peers}{name}", at.host, at.port)
}

/// The newest epoch that each node is primary under.
fn epochs(view: &ClusterView) -> BTreeMap<NodeId, u64> {
    let mut epochs = BTreeMap::new();
    for group in Group::all() {
        let holders = view.topology().holders(group);
        if let Some(primary) = holders.primary {
            let newest = epochs.entry(primary).or_insert(0);
            *newest = holders.epoch.0.max(*newest);
        }
    }
    epochs
}

/// CLUSTER INFO.
pub(super) fn info(view: &ClusterView) -> String {
    let (mut assigned, mut failed) = (0, 0);
    let mut primaries = BTreeSet::new();
    for group in Group::all() {
        let Some(primary) = view.topology().owner(group) else { continue };
        primaries.insert(primary);
        assigned += u64::from(SLOTS_PER_GROUP);
        if !view.is_up(primary) && primary != view.me() {
            failed += u64::from(SLOTS_PER_GROUP);
        }
    }
    let epochs = epochs(view);
    let fields = [
        ("cluster_slots_assigned", assigned),
        ("cluster_slots_ok", assigned - failed),
        ("cluster_slots_pfail", 0),
        ("cluster_slots_fail", failed),
        ("cluster_known_nodes", view.nodes(0).count() as u64),
        ("cluster_size", primaries.len() as u64),
        ("cluster_current_epoch", epochs.values().copied().max().unwrap_or(0)),
        ("cluster_my_epoch", epochs.get(&view.me()).copied().unwrap_or(0)),
        ("cluster_stats_messages_sent", 0),
        ("cluster_stats_messages_received", 0),
        ("total_cluster_links_buffer_limit_exceeded", 0),
    ];
    // As in Redis without cluster-require-full-coverage: slots that nobody serves are missing, and
    // the others are there.
    let state = if view.is_leased() { "ok" } else { "fail" };
    let mut text = format!("cluster_state:{state}\r\n");
    for (name, value) in fields {
        let _ = write!(text, "{name}:{value}\r\n");
    }
    text
}

/// CLUSTER LINKS: both directions of the connection with each node that is there.
pub(super) fn links(view: &ClusterView, entrance: u8, out: &mut impl ReplyWriter) {
    let others = view.nodes(entrance).map(|(node, _)| node);
    let others: Vec<_> = others.filter(|node| *node != view.me() && view.is_up(*node)).collect();
    out.array(2 * others.len());
    for node in others {
        for direction in ["to", "from"] {
            out.map(6);
            for (name, value) in [("direction", direction), ("node", &node.to_string())] {
                out.bulk(name.as_bytes());
                out.bulk(value.as_bytes());
            }
            out.bulk(b"create-time");
            out.integer(0);
            out.bulk(b"events");
            out.bulk(b"rw");
            for name in ["send-buffer-allocated", "send-buffer-used"] {
                out.bulk(name.as_bytes());
                out.integer(0);
            }
        }
    }
}
