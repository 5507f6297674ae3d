//! Seats in the Raft group: who gets one, and who votes. Who should vote is the planner's to say.

use super::core::{Core, leader};
use super::message::{Join, Joined, Layout, Proposed};
use super::pulse::now;
use super::refusal::{NO_TOKEN, told};
use super::types::{Metrics, Raft, node};
use crate::clock;
use crate::limits::{CONTROL_WRITE_MS_MAX, VOTER_LAG_ENTRIES_MAX};
use cluster::control::{
    ControlCommand, ControlState, Credential, Join as Admission, Outcome, Rejection,
};
use cluster::node::{Node, NodeId, Phase};
use openraft::ChangeMembers;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

type Change = ChangeMembers<u64, super::types::Seat>;

impl Core {
    /// Gives a node a seat for its store, and has it admitted and registered. A node that lost its
    /// store leaves its old seat first: what the old one voted and acknowledged is not forgotten,
    /// because it does not count from then on.
    pub(super) async fn seat(self: &Arc<Core>, join: Join) -> Joined {
        let _one = self.seating.lock().await;
        let (Some(raft), Some(metrics)) = (self.raft(), self.metrics()) else {
            return Joined::Refused("the control plane is starting".into());
        };
        if leader(&metrics) != Some(self.me()) {
            return Joined::NotLeader(leader(&metrics));
        }
        if !self.state().is_formed() {
            return Joined::Refused("the cluster is being formed".into());
        }
        let credential = match self.credential(&join).await {
            Ok(credential) => credential,
            Err(reason) => return Joined::Refused(reason),
        };
        if let Some(address) = self.runs_at(&join.registration).await {
            return Joined::Elsewhere(address);
        }
        if let Err(reason) = self.reseat(&raft, &metrics, &join).await {
            return Joined::Refused(reason);
        }
        let registration = join.registration.clone();
        match self.write(ControlCommand::Join { registration, credential }).await {
            Proposed::Done(Outcome::Registered(_) | Outcome::Done) => Joined::Welcome,
            Proposed::Done(other) => {
                Joined::Refused(told(&other, &join.registration, self.state().protocol))
            }
            Proposed::NotLeader(leader) => Joined::NotLeader(leader),
            Proposed::Refused(reason) => Joined::Refused(reason),
            Proposed::Elsewhere(address) => Joined::Elsewhere(address),
            Proposed::Unknown => Joined::Refused("it is not known whether that succeeded".into()),
        }
    }

    /// Why the node may join: it is of the cluster and lost its store, it is a seed, or it has a
    /// token; a certificate of the cluster's authority it has anyway. Asked before it gets a seat,
    /// which counts in Raft.
    async fn credential(self: &Arc<Core>, join: &Join) -> Result<Credential, String> {
        let (state, node) = (self.state(), join.registration.node);
        if let Some(how) = Layout::new(state.settings.hash_seed).difference(join.layout) {
            return Err(format!("node {} does not fit the cluster: {how}", node.number()));
        }
        let protocol = join.registration.protocol;
        if !(protocol.min..=protocol.max).contains(&state.protocol) {
            let rejected = Outcome::Rejected(Rejection::Protocol);
            return Err(told(&rejected, &join.registration, state.protocol));
        }
        let is_known = state.nodes.get(&node).is_some_and(Node::is_member);
        if is_known || state.settings.join == Admission::Certificate {
            return Ok(Credential::Seed);
        }
        let shown_at_ms = clock::now().0;
        match join.token.filter(|hash| state.admits(hash, node, shown_at_ms)) {
            Some(hash) => Ok(Credential::Token { hash, shown_at_ms }),
            None if self.is_seed(node).await => Ok(Credential::Seed),
            None => Err(NO_TOKEN.into()),
        }
    }

    /// Whether the node is the one at the address of a seed, as this node's settings name them.
    async fn is_seed(self: &Arc<Core>, node: NodeId) -> bool {
        let mut asked = JoinSet::new();
        for seed in self.options.seeds.clone() {
            let core = self.clone();
            asked.spawn(async move { core.who(&seed).await });
        }
        let answers = asked.join_all().await;
        answers.into_iter().flatten().any(|iam| iam.registration.node == node)
    }

    async fn reseat(&self, raft: &Raft, metrics: &Metrics, join: &Join) -> Result<(), String> {
        let (id, seat) = (join.registration.node.number(), join.seat.clone());
        let config = metrics.membership_config.membership();
        match config.get_node(&id) {
            Some(before) if *before == seat => return Ok(()),
            Some(_) if self.hears(join.registration.node, now()) => {
                // It does not answer where it was; soon it will count as dead.
                return Err(format!("node {id} was heard a moment ago, with another store"));
            }
            Some(_) => {
                tracing::warn!(node = id, "comes back without its store: it gets a new seat");
                let of = BTreeSet::from([id]);
                let is_voter = config.voter_ids().any(|voter| voter == id);
                let leave =
                    if is_voter { Change::RemoveVoters(of) } else { Change::RemoveNodes(of) };
                change(raft, leave, false).await?;
            }
            None => {}
        }
        change(raft, Change::AddNodes(BTreeMap::from([(id, seat)])), true).await
    }

    /// Brings the Raft group to where the control state wants it, a step at a time: its voters, as
    /// far as they have caught up, and no seat for who is gone.
    pub(super) async fn follow_voters(&self, state: &ControlState) {
        let Ok(_one) = self.seating.try_lock() else { return };
        let (Some(raft), Some(metrics)) = (self.raft(), self.metrics()) else { return };
        let Some(step) = step(state, &metrics) else { return };
        tracing::info!(?step, "changing the Raft group");
        if let Err(reason) = change(&raft, step, true).await {
            tracing::warn!(reason, "the Raft group could not be changed");
        }
    }
}

/// The next change of the Raft group, if one is due.
fn step(state: &ControlState, metrics: &Metrics) -> Option<Change> {
    let config = metrics.membership_config.membership();
    let joint = config.get_joint_config();
    let votes = |id: &u64| joint.last().is_some_and(|last| last.contains(id));
    let end = metrics.last_log_index.unwrap_or_default();
    let reached = |id: &u64| {
        let replication = metrics.replication.as_ref()?;
        Some(replication.get(id)?.as_ref()?.index + VOTER_LAG_ENTRIES_MAX >= end)
    };
    let able =
        |id: &u64| config.get_node(id).is_some() && (votes(id) || reached(id).unwrap_or_default());
    let wanted: BTreeSet<u64> = state.voters().map(|voter| voter.number()).filter(able).collect();
    if !wanted.is_empty() && (joint.len() > 1 || joint.first() != Some(&wanted)) {
        return Some(Change::ReplaceAllVoters(wanted));
    }
    let is_gone = |id: &u64| {
        let known = node(*id).and_then(|id| state.nodes.get(&id));
        known.is_some_and(|known| known.phase == Phase::Gone) && !votes(id)
    };
    let gone: BTreeSet<u64> = config.nodes().map(|(id, _)| *id).filter(is_gone).collect();
    (!gone.is_empty()).then_some(Change::RemoveNodes(gone))
}

async fn change(raft: &Raft, change: Change, retain: bool) -> Result<(), String> {
    let bound = Duration::from_millis(CONTROL_WRITE_MS_MAX);
    match timeout(bound, raft.change_membership(change, retain)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no majority of the voters in time".into()),
    }
}
