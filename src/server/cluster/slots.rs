//! CLUSTER SLOTS and CLUSTER SHARDS: who keeps which slots, in the shapes of Redis 7. Pure.

use crate::command::reply::ReplyWriter;
use crate::worker::{ClusterView, Reached};
use cluster::node::NodeId;
use cluster::slot::{Group, SLOTS_PER_GROUP};
use std::net::IpAddr;

/// Consecutive groups with the same holders.
struct Run<'a> {
    first: Group,
    last: Group,
    nodes: Vec<(NodeId, &'a Reached)>,
}

/// The runs of slots that somebody serves, the primary first, replicas where they are told of.
fn runs(view: &ClusterView, entrance: u8) -> Vec<Run<'_>> {
    let mut runs: Vec<Run<'_>> = Vec::new();
    for group in Group::all() {
        let holders = view.topology().holders(group);
        let Some(primary) = holders.primary else { continue };
        let replicas = if view.announces_replicas() { &holders.replicas[..] } else { &[] };
        let mut nodes = Vec::with_capacity(1 + replicas.len());
        for node in std::iter::once(primary).chain(replicas.iter().copied()) {
            nodes.extend(view.reached(node, entrance).map(|at| (node, at)));
        }
        if nodes.first().is_none_or(|(node, _)| *node != primary) {
            continue;
        }
        match runs.last_mut() {
            Some(run) if run.last.number() + 1 == group.number() && run.nodes == nodes => {
                run.last = group;
            }
            _ => runs.push(Run { first: group, last: group, nodes }),
        }
    }
    runs
}

fn first_slot(group: Group) -> i64 {
    i64::from(group.number() * SLOTS_PER_GROUP)
}

fn last_slot(group: Group) -> i64 {
    first_slot(group) + i64::from(SLOTS_PER_GROUP) - 1
}

/// CLUSTER SLOTS for the clients of a listener.
pub(super) fn slots(view: &ClusterView, entrance: u8, out: &mut impl ReplyWriter) {
    let runs = runs(view, entrance);
    out.array(runs.len());
    for run in &runs {
        out.array(2 + run.nodes.len());
        out.integer(first_slot(run.first));
        out.integer(last_slot(run.last));
        for (node, at) in &run.nodes {
            out.array(4);
            out.bulk(at.host.as_bytes());
            out.integer(i64::from(at.port));
            out.bulk(node.to_string().as_bytes());
            out.map(0);
        }
    }
}

/// CLUSTER SHARDS for the clients of a listener: each node is a shard, with slots or without.
pub(super) fn shards(view: &ClusterView, entrance: u8, out: &mut impl ReplyWriter) {
    let nodes: Vec<_> = view.nodes(entrance).collect();
    out.array(nodes.len());
    for (node, at) in nodes {
        let ranges = view.topology().ranges_of(node);
        out.map(2);
        out.bulk(b"slots");
        out.array(2 * ranges.len());
        for range in &ranges {
            out.integer(i64::from(range.first.number()));
            out.integer(i64::from(range.last.number()));
        }
        out.bulk(b"nodes");
        out.array(1);
        shard_node(view, node, at, out);
    }
}

fn shard_node(view: &ClusterView, node: NodeId, at: &Reached, out: &mut impl ReplyWriter) {
    let is_name = is_name(at);
    let online = view.is_up(node) || node == view.me();
    let id = node.to_string();
    out.map(if is_name { 8 } else { 7 });
    text("id", &id, out);
    out.bulk(b"port");
    out.integer(i64::from(at.port));
    text("ip", &at.host, out);
    text("endpoint", &at.host, out);
    if is_name {
        text("hostname", &at.host, out);
    }
    text("role", "master", out);
    out.bulk(b"replication-offset");
    out.integer(0);
    text("health", if online { "online" } else { "fail" }, out);
}

/// Whether clients are told a name instead of an address.
pub(super) fn is_name(at: &Reached) -> bool {
    at.host.parse::<IpAddr>().is_err()
}

fn text(name: &str, value: &str, out: &mut impl ReplyWriter) {
    out.bulk(name.as_bytes());
    out.bulk(value.as_bytes());
}
