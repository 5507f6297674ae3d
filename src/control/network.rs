//! What carries openraft's messages over a transport, and takes them in at the other end. Knows
//! whom they are for, not what they mean.

use super::codec;
use super::message::{Kind, RaftAnswer, RaftAsk, RaftCall};
use super::transport::{CallError, Transport};
use super::types::{Group, Raft, Seat, node};
use crate::limits::{CONTROL_CALL_MS_MAX, CONTROL_MESSAGE_BYTES_MAX, RAFT_RETRY_MS};
use bytes::Bytes;
use cluster::node::NodeId;
use openraft::error::{
    InstallSnapshotError, NetworkError, RPCError, RaftError, RemoteError, Unreachable,
};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use std::sync::Arc;
use std::time::Duration;

/// Makes the ways to the seats of the group.
pub(super) struct Ways {
    pub(super) transport: Arc<dyn Transport>,
}

/// The way to one seat.
pub(super) struct Way {
    transport: Arc<dyn Transport>,
    target: u64,
    store: u64,
}

type Failed<E = RaftError<u64>> = RPCError<u64, Seat, E>;

impl RaftNetworkFactory<Group> for Ways {
    type Network = Way;

    async fn new_client(&mut self, target: u64, seat: &Seat) -> Way {
        Way { transport: self.transport.clone(), target, store: seat.store }
    }
}

impl Way {
    /// Sends a message and waits for the answer. openraft gives up after its own, shorter time and
    /// sends again; the call goes on, so that a busy node's connection is not taken for dead.
    async fn ask<E>(&self, ask: RaftAsk) -> Result<RaftAnswer, Failed<E>>
    where
        E: std::error::Error,
    {
        let unreachable = |e: CallError| RPCError::Unreachable(Unreachable::new(&e));
        let to = node(self.target);
        let to = to.ok_or_else(|| unreachable(CallError::Refused("node 0".into())))?;
        let call = RaftCall { store: self.store, ask };
        let body = codec::encode(&call).map_err(|e| RPCError::Network(NetworkError::new(&e)))?;
        let transport = self.transport.clone();
        let timeout = Duration::from_millis(CONTROL_CALL_MS_MAX);
        let called = tokio::spawn(async move {
            transport.call(to, Kind::Raft as u8, body.into(), timeout).await
        });
        let answer = match called.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error @ CallError::TimedOut)) => {
                return Err(RPCError::Network(NetworkError::new(&error)));
            }
            Ok(Err(error @ (CallError::Unreachable(_) | CallError::Refused(_)))) => {
                return Err(unreachable(error));
            }
            Err(error) => return Err(RPCError::Network(NetworkError::new(&error))),
        };
        match codec::decode(&answer) {
            Ok(RaftAnswer::NotHere) => {
                Err(unreachable(CallError::Refused("another store is there".into())))
            }
            Ok(answer) => Ok(answer),
            Err(error) => Err(RPCError::Network(NetworkError::new(&error))),
        }
    }

    #[expect(clippy::result_large_err, reason = "the error is openraft's")]
    fn result<T, E>(&self, answer: Result<T, E>) -> Result<T, Failed<E>>
    where
        E: std::error::Error,
    {
        answer.map_err(|error| RPCError::RemoteError(RemoteError::new(self.target, error)))
    }
}

/// An answer to something else.
fn astray<E: std::error::Error>() -> Failed<E> {
    RPCError::Network(NetworkError::new(&CallError::Refused("an answer astray".into())))
}

impl RaftNetwork<Group> for Way {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Group>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, Failed> {
        match self.ask(RaftAsk::Append(rpc)).await? {
            RaftAnswer::Append(answer) => self.result(answer),
            RaftAnswer::Vote(_) | RaftAnswer::Snapshot(_) | RaftAnswer::NotHere => Err(astray()),
        }
    }

    async fn install_snapshot(
        &mut self,
        rpc: InstallSnapshotRequest<Group>,
        _: RPCOption,
    ) -> Result<InstallSnapshotResponse<u64>, Failed<RaftError<u64, InstallSnapshotError>>> {
        match self.ask(RaftAsk::Snapshot(rpc)).await? {
            RaftAnswer::Snapshot(answer) => self.result(answer),
            RaftAnswer::Vote(_) | RaftAnswer::Append(_) | RaftAnswer::NotHere => Err(astray()),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<u64>,
        _: RPCOption,
    ) -> Result<VoteResponse<u64>, Failed> {
        match self.ask(RaftAsk::Vote(rpc)).await? {
            RaftAnswer::Vote(answer) => self.result(answer),
            RaftAnswer::Append(_) | RaftAnswer::Snapshot(_) | RaftAnswer::NotHere => Err(astray()),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(Duration::from_millis(RAFT_RETRY_MS)))
    }
}

/// Gives a message to openraft, if it is meant for this store, and returns the answer. Empty when
/// it is not a message.
pub(super) async fn take(raft: &Raft, store: u64, from: NodeId, body: &[u8]) -> Bytes {
    let Ok(call) = codec::decode::<RaftCall>(body) else { return Bytes::new() };
    if call.ask.sender() != from.number() {
        tracing::warn!(%from, "a message of Raft in the name of another node");
        return Bytes::new();
    }
    let answer =
        if call.store == store { answer(raft, call.ask).await } else { RaftAnswer::NotHere };
    codec::encode(&answer).unwrap_or_default().into()
}

async fn answer(raft: &Raft, ask: RaftAsk) -> RaftAnswer {
    match ask {
        RaftAsk::Append(rpc) => RaftAnswer::Append(raft.append_entries(rpc).await),
        RaftAsk::Vote(rpc) => RaftAnswer::Vote(raft.vote(rpc).await),
        RaftAsk::Snapshot(rpc) => {
            // It is gathered in memory, at the offset that the message says.
            let end = rpc.offset.saturating_add(rpc.data.len() as u64);
            if end > CONTROL_MESSAGE_BYTES_MAX as u64 {
                return RaftAnswer::NotHere;
            }
            RaftAnswer::Snapshot(raft.install_snapshot(rpc).await)
        }
    }
}
