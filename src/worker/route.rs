//! Where a command is executed: here, at another node that the client is told of or that is asked
//! for it, or nowhere now. Decides by a [`ClusterView`]; knows no peer and no socket.

use super::admin::ClusterAdmin;
use super::plan::Plan;
use super::session::Session;
use super::view::ClusterView;
use crate::command::spec::Spec;
use crate::command::{Args, Command, KeysOp, SpaceOp};
use crate::engine::Key;
use crate::resp::{Encoder, Output, Version};
use bytes::Bytes;
use cluster::group_set::GroupSet;
use cluster::node::NodeId;
use cluster::record::Seq;
use cluster::replication::Lag;
use cluster::slot::{Group, Slot};
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::OnceLock;
use std::time::Duration;

/// An answer that is not there yet: bytes of the client's protocol.
pub type Later = Pin<Box<dyn Future<Output = Bytes> + Send>>;

/// Which nodes have to do with a forwarded command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The primary of this group.
    Group(Group),
    /// The primaries of its keys' groups, some of several slots.
    Keys,
    /// All primaries.
    Everywhere,
}

/// A command that other nodes are to carry out.
#[derive(Clone, Debug)]
pub struct Forwarding {
    /// Its row of the table.
    pub spec: &'static Spec,
    /// Who has to do with it.
    pub scope: Scope,
    /// The command as RESP2.
    pub request: Bytes,
    /// The protocol of the answer.
    pub version: Version,
    /// Whether replicas may answer.
    pub readonly: bool,
    /// Of the topology it was routed by.
    pub topology_version: u64,
}

/// Who asks other nodes.
pub trait Forwarder: Send + Sync {
    /// Carries commands of a connection out where they belong, in bounded time: one of any scope,
    /// or several of one group each, of which some may belong here. Those of the same group are
    /// carried out in order. The answer is as many whole values in the protocol asked for, in
    /// order; what went wrong is an error among them. The next commands of the connection come
    /// after that.
    fn forward(&self, commands: Vec<Forwarding>) -> Later;
}

/// Who knows how far the copies are.
pub trait Copies: Send + Sync {
    /// How many other nodes have the group up to this record.
    fn copies(&self, group: Group, seq: Seq) -> u32;

    /// How far behind the nodes are with their copies of what this node leads, and how many records
    /// that is altogether.
    fn behind(&self) -> (u64, Vec<(NodeId, Lag)>);

    /// How far behind every node is with its copies of what any other leads, as far as is known.
    fn all_behind(&self) -> BTreeMap<NodeId, Lag>;

    /// Asks the primaries of groups that other nodes lead how many copies have what they have done
    /// so far, until they say so many or the time has passed: the fewest of any group.
    fn elsewhere(
        &self,
        groups: GroupSet,
        wanted: u32,
        time: Duration,
    ) -> Pin<Box<dyn Future<Output = u32> + Send>>;
}

/// What other nodes do for this one. Each is set once, when it is there.
#[derive(Default)]
pub struct Others {
    /// Asks them.
    pub forwarder: OnceLock<Box<dyn Forwarder>>,
    /// Knows how far their copies are.
    pub copies: OnceLock<Box<dyn Copies>>,
    /// Has commands about the cluster ordered.
    pub admin: OnceLock<Box<dyn ClusterAdmin>>,
}

impl fmt::Debug for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Others").finish_non_exhaustive()
    }
}

/// A command that is not executed here.
#[derive(Clone, Debug)]
pub(super) enum Away {
    /// The client is told why not.
    Refused(String),
    /// Nobody serves it now: it waits, and then the client is told so.
    Unserved(&'static str),
    /// Others are asked.
    Forward { scope: Scope, readonly: bool, topology_version: u64 },
}

/// Routes the commands of one batch of a connection.
#[derive(Clone, Copy)]
pub(super) struct Router<'a> {
    view: &'a ClusterView,
    entrance: u8,
    forwards: bool,
    readonly: bool,
    leased: bool,
}

const CROSS_SLOT: &str = "CROSSSLOT Keys in request don't hash to the same slot";
const NOT_SERVED: &str = "CLUSTERDOWN Hash slot not served";
const REMOVED: &str = "CLUSTERDOWN This node was removed from its cluster";
const NO_LEASE: &str =
    "CLUSTERDOWN The cluster is down: this node does not hear the majority of the voters";

impl<'a> Router<'a> {
    /// For a batch that begins now.
    #[inline]
    pub(super) fn new(view: &'a ClusterView, session: &Session, now_nanos: u64) -> Router<'a> {
        Router {
            view,
            entrance: session.entrance,
            forwards: session.forwards,
            readonly: session.readonly,
            leased: view.is_leased_at(now_nanos),
        }
    }

    /// Where a plan is carried out: itself, or what becomes of it.
    #[inline]
    pub(super) fn route<'b>(&self, plan: Plan<'b>, args: Args<'b>) -> Plan<'b> {
        if let Plan::Key { key, .. } = &plan
            && self.leased
            && self.view.primary_of().contains(key.group())
        {
            return plan;
        }
        match self.elsewhere(&plan) {
            Some((spec, away)) => Plan::Away { spec, args, away: Box::new(away) },
            None => plan,
        }
    }

    /// What becomes of a plan that is not carried out here.
    #[cold]
    fn elsewhere(&self, plan: &Plan<'_>) -> Option<(&'static Spec, Away)> {
        let (spec, away) = match plan {
            Plan::Key { spec, key, .. } => (*spec, self.key(spec, key)),
            Plan::Data { spec, command: Command::Keys(op) } => (*spec, self.keys(spec, op)),
            Plan::Data { spec, command: Command::Space(op) } => (*spec, self.space(spec, op)),
            Plan::Data { spec, command: Command::Key(key, _) } => {
                (*spec, self.slot(spec, Slot::of(key)))
            }
            Plan::Session { .. } | Plan::Refused(_) | Plan::Away { .. } => return None,
        };
        Some((spec, away?))
    }

    fn key(&self, spec: &Spec, key: &Key<'_>) -> Option<Away> {
        self.slot(spec, key.slot)
    }

    /// What becomes of a command on one slot; `None`: it is carried out here.
    fn slot(&self, spec: &Spec, slot: Slot) -> Option<Away> {
        let (view, group) = (self.view, slot.group());
        if !self.leased {
            return Some(self.unleased());
        }
        if view.primary_of().contains(group)
            || self.readonly && !spec.is_write() && view.keeps().contains(group)
        {
            return None;
        }
        let Some(owner) = view.topology().owner(group) else {
            return Some(Away::Unserved(NOT_SERVED));
        };
        if self.forwards {
            return Some(self.forward(Scope::Group(group)));
        }
        match view.reached(owner, self.entrance) {
            Some(at) => {
                Some(Away::Refused(format!("MOVED {} {}:{}", slot.number(), at.host, at.port)))
            }
            None => refused(NOT_SERVED),
        }
    }

    fn keys(&self, spec: &Spec, op: &KeysOp<'_>) -> Option<Away> {
        let mut slots = slots(op);
        let first = slots.next()?;
        let mut here = self.slot(spec, first).is_none();
        let mut many = false;
        for slot in slots.filter(|slot| *slot != first) {
            many = true;
            here = here && self.slot(spec, slot).is_none();
        }
        match (many, self.forwards && spans_slots(op)) {
            (false, _) => self.slot(spec, first),
            (true, false) => refused(CROSS_SLOT),
            (true, true) if !self.leased => Some(self.unleased()),
            (true, true) => (!here).then(|| self.forward(Scope::Keys)),
        }
    }

    /// What becomes of a command on all keys; `None`: of those that this node is primary of.
    fn space(&self, spec: &Spec, _op: &SpaceOp<'_>) -> Option<Away> {
        if !self.leased && (self.forwards || spec.is_write()) {
            return Some(self.unleased());
        }
        let everywhere = self.forwards && !self.view.primary_of().is_full();
        everywhere.then(|| self.forward(Scope::Everywhere))
    }

    /// Without a lease a command waits for one, if there can be one again.
    fn unleased(&self) -> Away {
        match self.view.is_removed() {
            true => Away::Refused(REMOVED.into()),
            false => Away::Unserved(NO_LEASE),
        }
    }

    fn forward(&self, scope: Scope) -> Away {
        let topology_version = self.view.topology().version();
        Away::Forward { scope, readonly: self.readonly, topology_version }
    }
}

fn refused(text: &str) -> Option<Away> {
    Some(Away::Refused(text.into()))
}

/// The slots of the keys of a command, repeated ones too.
pub(super) fn slots<'a>(op: &KeysOp<'a>) -> Box<dyn Iterator<Item = Slot> + 'a> {
    match *op {
        KeysOp::MGet(keys) | KeysOp::Delete(keys) | KeysOp::Exists(keys) | KeysOp::Touch(keys) => {
            Box::new(keys.iter().map(Slot::of))
        }
        KeysOp::MSet(pairs) | KeysOp::MSetNx(pairs) => {
            Box::new(pairs.iter().step_by(2).map(Slot::of))
        }
        KeysOp::Rename { from, to, .. } | KeysOp::Copy { from, to, .. } => {
            Box::new([from, to].into_iter().map(Slot::of))
        }
        KeysOp::Lcs(op) => Box::new([op.a, op.b].into_iter().map(Slot::of)),
    }
}

/// Whether a command may be taken apart by slots, where nobody minds that it is not atomic then.
fn spans_slots(op: &KeysOp<'_>) -> bool {
    match op {
        KeysOp::MGet(_)
        | KeysOp::MSet(_)
        | KeysOp::Delete(_)
        | KeysOp::Exists(_)
        | KeysOp::Touch(_) => true,
        KeysOp::MSetNx(_) | KeysOp::Rename { .. } | KeysOp::Copy { .. } | KeysOp::Lcs(_) => false,
    }
}

/// An answer as bytes of a protocol; values by reference have no place in it.
pub fn encoded(version: Version, write: impl FnOnce(&mut Encoder<'_>)) -> Bytes {
    let mut out = Output::new();
    write(&mut Encoder::new(&mut out, version));
    Bytes::copy_from_slice(out.as_one().unwrap_or_default())
}
