//! Getting a command ordered, from whatever node. Every wait is bounded, and what cannot be known
//! is called unknown.

use super::ControlError;
use super::codec;
use super::core::{Core, leader};
use super::message::{Kind, Proposal, Proposed};
use super::transport::CallError;
use super::types::node;
use crate::limits::{
    CONTROL_CALL_MS_MAX, CONTROL_PROPOSAL_MS_MAX, CONTROL_WRITE_MS_MAX, RAFT_ELECTION_MS_MAX,
};
use cluster::control::{ControlCommand, Outcome};
use cluster::node::NodeId;
use openraft::error::{ClientWriteError, RaftError};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

impl Core {
    /// Has the leader order a command, whoever that is, and waits until it is applied there.
    pub(super) async fn propose(
        self: Arc<Core>,
        command: ControlCommand,
    ) -> Result<Outcome, ControlError> {
        let until = within(CONTROL_PROPOSAL_MS_MAX);
        let raft = self.raft().ok_or(ControlError::Stopped)?;
        let mut metrics = raft.server_metrics();
        let mut reason = "no leader is known".to_owned();
        let mut hint = None;
        while Instant::now() < until {
            let known = metrics.borrow_and_update().current_leader.and_then(node);
            let proposed = match hint.take().or(known) {
                Some(leader) if leader == self.me() => self.take(command.clone()).await,
                Some(leader) => self.forward(leader, command.clone()).await,
                None => Proposed::Refused("no leader is known".into()),
            };
            match proposed {
                Proposed::Done(outcome) => return Ok(outcome),
                Proposed::Unknown => return Err(ControlError::Unknown),
                Proposed::Elsewhere(address) => return Err(ControlError::Elsewhere(address)),
                Proposed::NotLeader(leader) => {
                    hint = leader.filter(|leader| Some(*leader) != known);
                    "the leader has changed".clone_into(&mut reason);
                }
                Proposed::Refused(why) => reason = why,
            }
            let pause = within(CONTROL_CALL_MS_MAX / 10).min(until);
            // Whether something changed or not: it is tried again.
            let _ = timeout_at(pause, metrics.changed()).await;
        }
        Err(ControlError::NoLeader(reason))
    }

    /// Orders what a node has proposed, if this node leads and nothing speaks against it.
    pub(super) async fn take(self: &Arc<Core>, command: ControlCommand) -> Proposed {
        if let ControlCommand::Register(registration) = &command
            && let Some(address) = self.runs_at(registration).await
        {
            return Proposed::Elsewhere(address);
        }
        let command = self.with_best_copies(command).await;
        self.write(command).await
    }

    /// Orders a command, if this node leads.
    pub(super) async fn write(&self, command: ControlCommand) -> Proposed {
        let (Some(raft), Some(metrics)) = (self.raft(), self.metrics()) else {
            return Proposed::Refused("the control plane is starting".into());
        };
        if leader(&metrics) != Some(self.me()) {
            return Proposed::NotLeader(leader(&metrics));
        }
        let silence = metrics.millis_since_quorum_ack.unwrap_or_default();
        if silence > 2 * RAFT_ELECTION_MS_MAX {
            let reason =
                format!("the leader has not heard a majority of the voters for {silence} ms");
            return Proposed::Refused(reason);
        }
        let bound = Duration::from_millis(CONTROL_WRITE_MS_MAX);
        match timeout(bound, raft.client_write(command)).await {
            Ok(Ok(response)) => {
                // The others learn with the next message that it counts: who is to lead a group
                // should know as soon as who led it.
                let _ = raft.trigger().heartbeat().await;
                response.data.0.map_or(Proposed::Unknown, Proposed::Done)
            }
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(to)))) => {
                Proposed::NotLeader(to.leader_id.and_then(node))
            }
            Ok(Err(RaftError::APIError(error @ ClientWriteError::ChangeMembershipError(_)))) => {
                Proposed::Refused(error.to_string())
            }
            Ok(Err(RaftError::Fatal(_))) | Err(_) => Proposed::Unknown,
        }
    }

    async fn forward(&self, to: NodeId, command: ControlCommand) -> Proposed {
        let Some(transport) = self.transport() else { return Proposed::NotLeader(None) };
        let body = match codec::encode(&Proposal { command }) {
            Ok(body) => body,
            Err(error) => return Proposed::Refused(error.to_string()),
        };
        let bound = Duration::from_millis(CONTROL_WRITE_MS_MAX + CONTROL_CALL_MS_MAX);
        let (kind, body) = (Kind::Propose as u8, body.into());
        let visited = self.address_of(to).filter(|_| self.shared.get().me.is_none());
        let called = match visited {
            // A connection in the name of this node would replace that of another process that
            // has its seat.
            Some(address) => {
                let called = transport.call_address(&address, kind, body, bound).await;
                called.map(|(_, answer)| answer)
            }
            None => transport.call(to, kind, body, bound).await,
        };
        match called {
            Ok(answer) => codec::decode(&answer).unwrap_or(Proposed::Unknown),
            Err(CallError::TimedOut) => Proposed::Unknown,
            Err(error @ (CallError::Unreachable(_) | CallError::Refused(_))) => {
                Proposed::Refused(format!("node {}, which leads, is {error}", to.number()))
            }
        }
    }
}

fn within(ms: u64) -> Instant {
    // tokio's own clock, which tests may hold.
    Instant::now() + Duration::from_millis(ms)
}
