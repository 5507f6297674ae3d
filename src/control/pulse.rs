//! Heartbeats and the lease: drives `cluster::liveness` over datagrams. Decides nothing.

use super::core::{Core, is_impostor};
use super::machine::Applied;
use super::transport::Caller;
use crate::clock;
use crate::limits::{CONTROL_PULSE_MS_MAX, CONTROL_PULSE_MS_MIN};
use bytes::Bytes;
use cluster::control::ControlState;
use cluster::liveness::{Input, Liveness, Output};
use cluster::message::Message;
use cluster::node::NodeId;
use cluster::time::Millis;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Now, by the clock of leases.
pub(super) fn now() -> Millis {
    Millis(clock::boot_millis())
}

/// Lets time pass for the liveness, for ever.
pub(super) async fn beat(core: Arc<Core>) {
    loop {
        core.live(&Input::Tick);
        core.tell_down();
        let next = core.liveness.lock().as_ref().map(Liveness::next_tick);
        let wait_ms = next.map_or(CONTROL_PULSE_MS_MAX, |next| next.since(now()));
        let wait_ms = wait_ms.clamp(CONTROL_PULSE_MS_MIN, CONTROL_PULSE_MS_MAX);
        sleep(Duration::from_millis(wait_ms)).await;
    }
}

impl Core {
    /// A datagram came. Whoever sends may speak for itself only, with the certificate that it has
    /// registered.
    pub(super) fn hear(&self, caller: &Caller, body: &[u8]) {
        let from = caller.node;
        if is_impostor(&self.state(), caller) {
            tracing::debug!(%from, "a datagram of who has another certificate than this node");
            return;
        }
        match Message::decode(body) {
            Ok(Message::Heartbeat(beat)) if beat.from.node == from => {
                self.live(&Input::Heartbeat(beat));
            }
            Ok(Message::HeartbeatAck(ack)) if ack.from.node == from => self.live(&Input::Ack(ack)),
            Ok(_) | Err(_) => tracing::debug!(%from, "a datagram that is no heartbeat"),
        }
    }

    /// Hands the liveness what happened, sends what it wants sent and notes the lease.
    pub(super) fn live(&self, input: &Input<'_>) {
        let mut guard = self.liveness.lock();
        let Some(liveness) = guard.as_mut() else { return };
        let now = now();
        liveness.handle(input.clone(), now);
        let mut out = Vec::new();
        while let Some(output) = liveness.poll() {
            out.push(match output {
                Output::Heartbeat(to, beat) => (to, Message::Heartbeat(beat).to_bytes()),
                Output::Ack(to, ack) => (to, Message::HeartbeatAck(ack).to_bytes()),
            });
        }
        let (until, index) = (liveness.lease_until(), liveness.applied_index());
        self.shared.extend_lease(until.0, index, now.0);
        drop(guard);
        if let Some(transport) = self.transport() {
            for (to, bytes) in out {
                transport.send_datagram(to, Bytes::from(bytes));
            }
        }
    }

    /// Publishes who is down, when that has changed. Only time brings that about.
    fn tell_down(&self) {
        let down: BTreeSet<NodeId> = match self.liveness.lock().as_ref() {
            Some(liveness) => {
                let found = liveness.nodes().filter(|(_, down)| down.is_some());
                found.map(|(node, _)| node).collect()
            }
            None => BTreeSet::new(),
        };
        let before = &self.shared.get().down;
        if *before != down {
            for node in down.difference(before) {
                tracing::warn!(node = node.number(), "a node does not answer");
            }
            for node in before.difference(&down) {
                tracing::info!(node = node.number(), "a node answers again, or is gone for good");
            }
            self.shared.update(|published| published.down = down);
        }
    }

    /// The liveness begins when this start is registered, and sees every new state from then on.
    pub(super) fn follow_lives(&self, index: u64, applied: &Applied) {
        let state = &applied.state;
        let Some(member) = state.member(self.me()).filter(|_| self.is_registered(state)) else {
            *self.liveness.lock() = None;
            self.shared.end_lease();
            return;
        };
        self.liveness.lock().get_or_insert_with(|| Liveness::new(member, now()));
        let voters = applied.voters();
        if voters.is_empty() || state.voters().eq(voters.iter().copied()) {
            self.live(&Input::Applied(index, state));
        } else {
            self.live(&Input::Applied(index, &with_voters(state, &voters)));
        }
    }
}

/// The state with those who do vote as its voters. The planner says who should; a lease has to be
/// granted by those whom Raft asks, or a failover could be decided behind its back.
fn with_voters(state: &ControlState, voters: &BTreeSet<NodeId>) -> ControlState {
    let mut state = state.clone();
    for (id, node) in &mut state.nodes {
        node.voter = voters.contains(id);
    }
    state
}
