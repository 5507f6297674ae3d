//! How a node gets to be of a cluster and stays found: asks around, forms, joins, registers. What
//! to do is `forming`'s to decide.

use super::core::Core;
use super::forming::{Answer, Decision, decide};
use super::message::{Iam, Join, Joined, Kind, Layout, Standing};
use super::refusal::{ignored, told};
use super::types::Seat;
use super::{ControlError, codec};
use crate::clock;
use crate::limits::{CONTROL_LOST_MS, CONTROL_PROPOSAL_MS_MAX, CONTROL_SEEK_MS};
use cluster::control::{ControlCommand, Outcome, Rejection};
use cluster::node::{NodeId, Phase};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Keeps this node in its cluster, for ever.
pub(super) async fn keep(core: Arc<Core>) {
    let mut changes = core.shared.changes();
    let mut warned = false;
    loop {
        let published = core.shared.get();
        if published.must_end.is_some() {
            // Nothing more is said in the name of this node.
            return std::future::pending().await;
        }
        if published.me.is_some() && published.leader.is_some() {
            core.shared.trouble(None);
            if !std::mem::replace(&mut warned, true) {
                core.warn_of_ignored();
            }
            // Until something changes, and now and then anyway.
            let _ = timeout(Duration::from_millis(CONTROL_LOST_MS), changes.changed()).await;
            continue;
        }
        let trouble = if published.me.is_some() {
            core.look_around().await;
            Some("no leader is known".to_owned())
        } else {
            core.clone().enter().await
        };
        let published = core.shared.get();
        if published.me.is_none() || published.leader.is_none() {
            core.shared.trouble(trouble);
        }
        // Not all at once.
        let wait_ms = CONTROL_SEEK_MS / 2 + clock::random_u64() % CONTROL_SEEK_MS;
        sleep(Duration::from_millis(wait_ms)).await;
    }
}

impl Core {
    /// One try to get registered; says what is in the way, if something is.
    async fn enter(self: Arc<Core>) -> Option<String> {
        let answers = self.look_around().await;
        let twin = self.twin.lock().clone();
        if let Some(address) = twin {
            return Some(self.yield_to(&address));
        }
        if self.log.is_blank() {
            let without = self.without.lock().clone();
            return match decide(self.me(), &self.options.seeds, &answers, &without) {
                Decision::Initialise(voters) => {
                    tracing::info!(voters = voters.len(), "forming a cluster");
                    let formed = self.raft()?.initialize(voters).await;
                    formed.err().map(|error| error.to_string())
                }
                Decision::Join(members) => self.join(members).await,
                Decision::Wait(wait) => Some(wait.to_string()),
            };
        }
        let state = self.state();
        if !state.is_formed() {
            return Some("waiting for the cluster to be formed".into());
        }
        if let Some(how) = self.layout().difference(Layout::new(state.settings.hash_seed)) {
            return Some(format!("this node does not fit its cluster: {how}"));
        }
        let register = ControlCommand::Register(self.registration.clone());
        match self.clone().propose(register).await {
            Ok(Outcome::Registered(_)) => None,
            // Else a node that an operator has removed would be back before it is stopped.
            Ok(Outcome::Rejected(Rejection::Forgotten)) if self.was_member() => {
                Some("this node was removed; started again, it joins anew".into())
            }
            Ok(Outcome::Rejected(Rejection::UnknownNode | Rejection::Forgotten)) => {
                self.join(members(&answers)).await
            }
            Ok(other) => Some(told(&other, &self.registration, state.protocol)),
            Err(ControlError::Elsewhere(address)) => Some(self.yield_to(&address)),
            Err(error) if self.is_leaving() => Some(error.to_string()),
            Err(error) => {
                // It may have lost its seat while it was away: then no leader tells it so.
                let joined = self.join(members(&answers)).await;
                joined.map(|reason| format!("{error}; {reason}"))
            }
        }
    }

    /// Says which settings of this node's file count only when a cluster is formed, and differ from
    /// what holds in this one.
    fn warn_of_ignored(&self) {
        let names = ignored(&self.options.settings, &self.state().settings);
        if !names.is_empty() {
            tracing::warn!(
                names = names.join(", "),
                "settings of this node differ from those of the cluster, which count: `crabcache \
                 cluster config get` shows them"
            );
        }
    }

    /// Whether this very start of the node was registered, as far as it knows.
    fn was_member(&self) -> bool {
        let state = self.state();
        state.nodes.get(&self.me()).is_some_and(|known| known.start == self.registration.start)
    }

    /// Whether it was, and is removed.
    fn is_leaving(&self) -> bool {
        let phase = self.state().nodes.get(&self.me()).map(|known| known.phase);
        self.was_member() && matches!(phase, Some(Phase::Leaving | Phase::Gone))
    }

    /// Asks the seeds, and all whose address is known, who they are. The answers of the seeds, in
    /// their order.
    pub(super) async fn look_around(self: &Arc<Core>) -> Vec<Answer> {
        let seeds = self.options.seeds.clone();
        let known = self.addresses().into_iter().map(|(_, address)| address);
        let known = known.chain(self.elsewhere());
        let addresses: BTreeSet<String> = seeds.iter().cloned().chain(known).collect();
        let mut asked = JoinSet::new();
        for address in addresses {
            let core = self.clone();
            asked.spawn(async move {
                let iam = core.who(&address).await;
                (address, iam)
            });
        }
        let answers = asked.join_all().await;
        let mut twin = None;
        for (at, iam) in answers.iter().filter_map(|(at, iam)| Some((at, iam.as_ref().ok()?))) {
            if let Standing::Member { nodes, .. } = &iam.standing {
                nodes.iter().for_each(|(node, address)| self.suppose(*node, address));
            }
            if iam.registration.node != self.me() {
                self.seen.lock().insert(iam.registration.node, iam.clone());
            } else if iam.registration.start != self.registration.start && iam.registered {
                twin = Some(at.clone());
            }
        }
        *self.twin.lock() = twin;
        let of = |seed: &String| answers.iter().find(|(address, _)| address == seed);
        let answer = |seed: String| {
            let silent = || Err("nobody asked it".to_owned());
            let iam = of(&seed).map_or_else(silent, |(_, iam)| iam.clone());
            (seed, iam)
        };
        if self.options.seeds.is_empty() {
            return vec![(self.registration.addresses.control.clone(), Ok(self.iam()))];
        }
        seeds.into_iter().map(answer).collect()
    }

    /// Asks whoever is at the address who that is.
    ///
    /// # Errors
    /// Why there is no answer, for people.
    pub(super) async fn who(self: &Arc<Core>, address: &str) -> Result<Iam, String> {
        let iam = self.ask_who(address).await?;
        // By the address that it gives itself, or another of its own.
        let known = self.address_of(iam.registration.node);
        if known.as_ref() != Some(&iam.registration.addresses.control) {
            self.meet(iam.registration.node, address);
        }
        Ok(iam)
    }

    /// Asks these nodes, and whom they name, for a seat; says what is in the way, if something is.
    async fn join(&self, ask: Vec<NodeId>) -> Option<String> {
        let transport = self.transport()?;
        let seat = Seat { store: self.store };
        let (layout, token) = (self.layout(), self.options.token);
        let join = Join { seat, registration: self.registration.clone(), layout, token };
        let body = bytes::Bytes::from(codec::encode(&join).ok()?);
        let bound = Duration::from_millis(2 * CONTROL_PROPOSAL_MS_MAX);
        let mut reason = "no member of the cluster answers".to_owned();
        let mut asked = BTreeSet::from([self.me()]);
        let mut ask: Vec<NodeId> = ask.into_iter().rev().collect();
        while let Some(node) = ask.pop() {
            if !asked.insert(node) {
                continue;
            }
            let Some(address) = self.address_of(node) else {
                reason = format!("nobody says where node {} is", node.number());
                continue;
            };
            // As a visitor: a connection in the name of this node would replace that of another
            // process that has its seat.
            let called =
                transport.call_address(&address, Kind::Join as u8, body.clone(), bound).await;
            match called.as_ref().map(|(_, answer)| codec::decode::<Joined>(answer)) {
                Ok(Ok(Joined::Welcome)) => return None,
                Ok(Ok(Joined::Elsewhere(address))) => return Some(self.yield_to(&address)),
                Ok(Ok(Joined::NotLeader(Some(leader)))) => ask.push(leader),
                Ok(Ok(Joined::NotLeader(None))) => {
                    "the cluster has no leader".clone_into(&mut reason)
                }
                Ok(Ok(Joined::Refused(why))) => reason = why,
                Ok(Err(error)) => reason = error.to_string(),
                Err(error) => reason = format!("node {}: {error}", node.number()),
            }
        }
        Some(reason)
    }
}

/// The members among those who answered, their leader first.
fn members(answers: &[Answer]) -> Vec<NodeId> {
    let mut found = Vec::new();
    for iam in answers.iter().filter_map(|(_, iam)| iam.as_ref().ok()) {
        if let Standing::Member { leader, .. } = &iam.standing {
            found.extend(*leader);
            found.push(iam.registration.node);
        }
    }
    found
}
