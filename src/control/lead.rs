//! What the leader does about what it sees: forms the cluster once it leads, asks how far copies
//! have come, proposes what `plan` says. Decides none of it.

use super::codec;
use super::core::{Core, leader};
use super::message::{AskPositions, Iam, Kind, Positions, Proposed};
use super::pulse::now;
use super::types::Metrics;
use crate::clock;
use crate::limits::{
    CONTROL_FORM_MS_MAX, CONTROL_LOOK_MS, CONTROL_LOOK_MS_MIN, CONTROL_POSITIONS_MS_MAX,
};
use cluster::control::{ControlCommand, ControlState, Health, Position, plan, positions_wanted};
use cluster::node::{ClusterId, NodeId, Registration};
use cluster::time::Millis;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Leads whenever this node is the leader, for ever.
pub(super) async fn lead(core: Arc<Core>) {
    let mut changes = core.shared.changes();
    let mut since = None;
    loop {
        // Whether something happened or not.
        let pause = Duration::from_millis(CONTROL_LOOK_MS - CONTROL_LOOK_MS_MIN);
        let _ = timeout(pause, changes.changed()).await;
        sleep(Duration::from_millis(CONTROL_LOOK_MS_MIN)).await;
        changes.mark_unchanged();
        let Some(metrics) = core.metrics().filter(|metrics| leads(&core, metrics)) else {
            since = None;
            continue;
        };
        let since = *since.get_or_insert_with(now);
        let state = core.state();
        if state.is_formed() {
            core.look(&state).await;
            core.follow_voters(&state).await;
        } else {
            core.form(&metrics, now().since(since) >= CONTROL_FORM_MS_MAX).await;
        }
    }
}

/// Whether this node leads and has applied everything that was committed before it did.
fn leads(core: &Core, metrics: &Metrics) -> bool {
    let applied = metrics.last_applied.map(|applied| applied.leader_id.term);
    leader(metrics) == Some(core.me()) && applied == Some(metrics.current_term)
}

impl Core {
    /// Proposes the first entry, once all who have a seat have said who they are, or after a
    /// while without the rest: they join later.
    async fn form(&self, metrics: &Metrics, late: bool) {
        let config = metrics.membership_config.membership();
        let seats: Vec<(u64, u64)> = config.nodes().map(|(id, seat)| (*id, seat.store)).collect();
        let mut nodes: Vec<Registration> = Vec::new();
        {
            let mut seen = self.seen.lock();
            seen.insert(self.me(), self.iam());
            let of_seat = |iam: &&Iam| seats.contains(&(iam.registration.node.number(), iam.store));
            nodes.extend(seen.values().filter(of_seat).map(|iam| iam.registration.clone()));
        }
        if nodes.len() < seats.len() && !late {
            return;
        }
        let half = || u128::from(clock::random_u64());
        let chance = || (half() << 64) | half();
        let cluster = self.options.cluster.unwrap_or_else(|| ClusterId(chance().max(1)));
        let mut settings = self.options.settings.clone();
        if settings.hash_seed == 0 {
            settings.hash_seed = clock::random_u64();
        }
        let formed = self.write(ControlCommand::Form { cluster, settings, nodes }).await;
        tracing::info!(%cluster, ?formed, "forming the cluster");
    }

    /// Looks once at the whole cluster.
    async fn look(self: &Arc<Core>, state: &ControlState) {
        let Some(mut health) = self.health() else { return };
        self.ask_positions(state, &mut health).await;
        for command in plan(state, &health, now()) {
            let proposed = self.write(command).await;
            if !matches!(proposed, Proposed::Done(_)) {
                tracing::warn!(?proposed, "what was planned is not done");
                return;
            }
        }
    }

    /// What this node believes of the others; `None` before it is registered.
    fn health(&self) -> Option<Health> {
        let guard = self.liveness.lock();
        let liveness = guard.as_ref()?;
        let mut health = Health::default();
        for (node, down) in liveness.nodes() {
            match down {
                Some(since) => drop(health.down_since.insert(node, since)),
                None => drop(health.up.insert(node)),
            }
            if liveness.room(node).is_some_and(|(_, pressure)| pressure) {
                health.pressure.insert(node);
            }
        }
        Some(health)
    }

    /// Asks those who may have to take over how far they have come; who does not answer in time
    /// is not chosen.
    async fn ask_positions(self: &Arc<Core>, state: &ControlState, health: &mut Health) {
        let mut asked = JoinSet::new();
        for (node, groups) in positions_wanted(state, health) {
            let (core, ask) = (self.clone(), AskPositions { groups });
            asked.spawn(async move { (node, core.positions_of(node, &ask).await) });
        }
        for (node, answer) in asked.join_all().await {
            let current =
                |at: &Positions| state.nodes.get(&node).map(|known| known.start) == Some(at.start);
            let Some(answer) = answer.filter(current) else { continue };
            health.answered.insert(node);
            for (group, epoch, seq) in answer.copies {
                health.positions.insert((node, group), Position { epoch, seq });
            }
        }
    }

    pub(super) async fn positions_of(&self, node: NodeId, ask: &AskPositions) -> Option<Positions> {
        if node == self.me() {
            return Some(self.positions(ask));
        }
        let transport = self.transport()?;
        let body = codec::encode(ask).ok()?.into();
        let bound = Duration::from_millis(CONTROL_POSITIONS_MS_MAX);
        let answer = transport.call(node, Kind::Positions as u8, body, bound).await.ok()?;
        codec::decode(&answer).ok()
    }

    /// Whether this node has heard the other of late, in whatever start.
    pub(super) fn hears(&self, node: NodeId, now: Millis) -> bool {
        let guard = self.liveness.lock();
        let liveness = guard.as_ref();
        liveness.is_some_and(|l| l.incarnation(node).is_some() && !l.silent(now).any(|s| s == node))
    }
}
