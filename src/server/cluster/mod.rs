//! CLUSTER and its kin as clients of Redis Cluster ask them: who keeps which slot, as this node
//! knows it. Changes nothing: CrabCache's own commands for operators do. Knows neither Raft nor
//! peers.

mod nodes;
mod refused;
mod slots;
mod wait;

use super::Server;
use super::probes::{self, NO_CLUSTER};
use crate::command::Args;
use crate::command::parse::number;
use crate::command::reply::{ReplyWriter, errors};
use crate::worker::{After, Answer, Call, ClusterView, Session, TopologyAnswer, encoded};
use cluster::node::NodeId;
use cluster::slot::Slot;
use std::sync::Arc;

const INVALID_SLOT: &str = "ERR Invalid slot";
const INVALID_SLOT_OR_NUMBER: &str = "ERR Invalid slot or number of keys";

impl Server {
    /// The cluster as this connection sees it: one that forwards sees a single big cache.
    pub(super) fn seen_by(&self, session: &Session) -> Option<Arc<ClusterView>> {
        if session.forwards { None } else { self.shared.views.get() }
    }

    /// Carries out CLUSTER, READONLY, READWRITE, ASKING and WAIT.
    pub(super) fn clustered(
        &self,
        call: &Call<'_>,
        session: &mut Session,
        out: &mut Answer<'_>,
    ) -> After {
        if call.spec.name == "wait" {
            return self.wait(call.args, session, out);
        }
        let Some(view) = self.seen_by(session) else {
            match call.spec.name {
                "readonly" | "readwrite" | "asking" => out.error(NO_CLUSTER),
                name => probes::run(name, call.args.from(2), out),
            }
            return After::Continue;
        };
        match call.spec.name {
            "readonly" | "readwrite" => {
                session.readonly = call.spec.name == "readonly";
                out.simple("OK");
            }
            // Groups move whole, between two commands: there is nothing to ask for.
            "asking" => out.simple("OK"),
            name => self.ask_cluster(name, call, &view, session, out),
        }
        After::Continue
    }

    fn ask_cluster(
        &self,
        name: &str,
        call: &Call<'_>,
        view: &ClusterView,
        session: &Session,
        out: &mut Answer<'_>,
    ) {
        let args = call.args.from(2);
        match name {
            "cluster|slots" => topology(TopologyAnswer::Slots, view, session, out),
            "cluster|shards" => topology(TopologyAnswer::Shards, view, session, out),
            "cluster|nodes" => topology(TopologyAnswer::Nodes, view, session, out),
            "cluster|info" => out.verbatim(&nodes::info(view)),
            // Every node is a shard of its own: a primary of its slots.
            "cluster|myid" | "cluster|myshardid" => out.bulk(view.me().to_string().as_bytes()),
            "cluster|links" => nodes::links(view, session.entrance, out),
            "cluster|keyslot" => out.integer(i64::from(Slot::of(args.get(0)).number())),
            "cluster|countkeysinslot" => self.count_keys(args, call, out),
            "cluster|getkeysinslot" => self.list_keys(args, call, out),
            "cluster|replicas" | "cluster|slaves" => {
                if known(view, session.entrance, args.get(0), out).is_some() {
                    out.array(0);
                }
            }
            "cluster|count-failure-reports" => {
                if let Some(node) = known(view, session.entrance, args.get(0), out) {
                    out.integer(i64::from(!view.is_up(node)));
                }
            }
            name => match refused::instead(name) {
                Some(text) => out.error(text),
                None => out.error(NO_CLUSTER),
            },
        }
    }

    fn count_keys(&self, args: Args<'_>, call: &Call<'_>, out: &mut Answer<'_>) {
        let Some(number) = number::integer(args.get(0)) else {
            return out.error(errors::NOT_AN_INTEGER);
        };
        let Some(slot) = slot(number) else { return out.error(INVALID_SLOT) };
        let mut count = 0;
        self.shared.engine.keys_in_slot(slot, call.now, |_| {
            count += 1;
            true
        });
        out.integer(count);
    }

    fn list_keys(&self, args: Args<'_>, call: &Call<'_>, out: &mut Answer<'_>) {
        let numbers = (number::integer(args.get(0)), number::integer(args.get(1)));
        let (Some(number), Some(count)) = numbers else {
            return out.error(errors::NOT_AN_INTEGER);
        };
        let (Some(slot), Ok(count)) = (slot(number), usize::try_from(count)) else {
            return out.error(INVALID_SLOT_OR_NUMBER);
        };
        let mut names: Vec<Vec<u8>> = Vec::new();
        if count > 0 {
            self.shared.engine.keys_in_slot(slot, call.now, |name| {
                names.push(name.to_vec());
                names.len() < count
            });
        }
        out.array(names.len());
        names.iter().for_each(|name| out.bulk(name));
    }
}

/// Writes an answer that is encoded once for all who ask alike.
fn topology(kind: TopologyAnswer, view: &ClusterView, session: &Session, out: &mut Answer<'_>) {
    let (entrance, version) = (session.entrance, out.version());
    let bytes = view.answer(kind, entrance, version, || {
        encoded(version, |encoder| match kind {
            TopologyAnswer::Slots => slots::slots(view, entrance, encoder),
            TopologyAnswer::Shards => slots::shards(view, entrance, encoder),
            TopologyAnswer::Nodes => encoder.verbatim(&nodes::nodes(view, entrance)),
        })
    });
    out.raw(&bytes);
}

fn slot(number: i64) -> Option<Slot> {
    Slot::new(u16::try_from(number).ok()?)
}

/// The node of this name, or an error as the answer.
fn known(view: &ClusterView, entrance: u8, name: &[u8], out: &mut Answer<'_>) -> Option<NodeId> {
    let is_it = |node: &NodeId| node.to_string().as_bytes().eq_ignore_ascii_case(name);
    let found = view.nodes(entrance).map(|(node, _)| node).find(is_it);
    if found.is_none() {
        out.error(&format!("ERR Unknown node {}", String::from_utf8_lossy(name)));
    }
    found
}
