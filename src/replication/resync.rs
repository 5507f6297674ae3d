//! Copies of whole groups on their way: the walk on one side, what it brings on the other. Decides
//! neither which groups nor when.

use super::drive::{Drive, ResyncId};
use super::streams::RESYNC;
use crate::clock;
use crate::engine::{Engine, WalkChunk, WalkId, WalkStep};
use crate::limits;
use crate::peer::{PeerError, Receiver, Sender};
use crate::wal::snapshot::chunk;
use bytes::Bytes;
use cluster::control::Position;
use cluster::message::{Message, ResyncBegin, ResyncChunk, ResyncEnd};
use cluster::node::NodeId;
use cluster::record::Epoch;
use cluster::slot::Group;
use std::sync::Arc;
use std::time::Duration;

/// Stands for the number of items where a copy was not counted: the group changed all the while.
pub(super) const NOT_COUNTED: u64 = u64::MAX;

/// A walk, which ends with this.
struct Walk {
    engine: Arc<Engine>,
    id: WalkId,
}

impl Drop for Walk {
    fn drop(&mut self) {
        self.engine.end_walk(self.id);
    }
}

/// Sends a copy of a group.
pub(super) async fn send(drive: Drive, to: NodeId, group: Group, epoch: Epoch, id: u64) {
    let resync: ResyncId = (to, group, id);
    let sent = walk(&drive, resync, epoch).await;
    if let Err(error) = &sent {
        tracing::debug!(node = to.number(), group = group.number(), ?error, "a copy was not sent");
    }
    let (at, sender) = sent.ok().unzip();
    // Said before the other side can answer.
    drive.resync_ended(resync, at);
    if let Some(sender) = sender {
        // What became of it the other side says, or nothing for too long.
        let _ = sender.finish().await;
    }
}

/// Why a copy was not sent.
#[derive(Debug)]
enum Failed {
    Peer(#[expect(dead_code, reason = "told in the log")] PeerError),
    /// The group changed faster than it could be sent.
    Overrun,
}

impl From<PeerError> for Failed {
    fn from(error: PeerError) -> Failed {
        Failed::Peer(error)
    }
}

async fn walk(
    drive: &Drive,
    (to, group, id): ResyncId,
    epoch: Epoch,
) -> Result<(Position, Sender), Failed> {
    let (endpoint, engine) = (drive.endpoint(), drive.engine());
    let time = Duration::from_millis(limits::REPLICATION_OPEN_MS_MAX);
    let sender = endpoint.open(to, RESYNC, time).await?;
    say(&sender, &Message::ResyncBegin(ResyncBegin { group, epoch, id })).await?;
    let walk = Walk { id: engine.begin_walk(group), engine: engine.clone() };
    let mut chunk = WalkChunk::default();
    loop {
        let step = engine.walk_step(walk.id, clock::now(), &mut chunk);
        if step == WalkStep::Overrun {
            return Err(Failed::Overrun);
        }
        let is_end = matches!(step, WalkStep::End { .. });
        if is_end || chunk.len() >= limits::RESYNC_CHUNK_BYTES {
            send_chunk(drive, &sender, group, id, &chunk).await?;
            chunk.clear();
        }
        if let WalkStep::End { epoch, seq, time } = step {
            let position = Position { epoch, seq };
            let (items, digest) = counted(drive, &engine, group, position);
            let end = ResyncEnd { group, id, position, time, items, digest };
            say(&sender, &Message::ResyncEnd(end)).await?;
            return Ok((position, sender));
        }
        tokio::task::yield_now().await;
    }
}

/// What the group holds at this record of its log, if it still stands there.
fn counted(drive: &Drive, engine: &Engine, group: Group, at: Position) -> (u64, u128) {
    match engine.digest(group, clock::now(), &drive.digester()) {
        Some((seq, digest)) if seq == at.seq => (digest.items, digest.sum),
        _ => (NOT_COUNTED, 0),
    }
}

async fn send_chunk(
    drive: &Drive,
    sender: &Sender,
    group: Group,
    id: u64,
    walked: &WalkChunk,
) -> Result<(), PeerError> {
    for payload in chunk::split(walked, limits::RESYNC_CHUNK_BYTES) {
        let mut parts =
            vec![message(&Message::ResyncChunk(ResyncChunk { group, id, payload: &[] }))];
        parts.extend(payload.into_iter().map(Bytes::copy_from_slice));
        let bytes: usize = parts.iter().map(Bytes::len).sum();
        sender.send(&parts).await?;
        let (rate, beside) = drive.resync_rate();
        if let Some(nanos) = (bytes as u64 * 1_000_000_000).checked_div(rate) {
            tokio::time::sleep(Duration::from_nanos(nanos * beside.max(1) as u64)).await;
        }
    }
    Ok(())
}

async fn say(sender: &Sender, of: &Message<'_>) -> Result<(), PeerError> {
    sender.send(&[message(of)]).await
}

fn message(of: &Message<'_>) -> Bytes {
    of.to_bytes().into()
}

/// Receives a copy of a group.
pub(super) async fn receive(drive: Drive, from: NodeId, mut receiver: Receiver) {
    let mut begun = None;
    while let Ok(Some(body)) = receiver.next().await {
        match drive.resync_message(from, &body) {
            Ok(begins) => begun = begins.or(begun),
            Err(()) => break,
        }
        tokio::task::yield_now().await;
    }
    if let Some((group, id)) = begun {
        drive.resync_over(from, group, id);
    }
}
