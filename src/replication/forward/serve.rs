//! Others' commands: a call with some, carried out here, and what came of each. Knows no client.
//!
//! ```text
//! call, answer  (length u32 | message)*      Forward and Forwarded of `cluster::message`, in order
//! ```

use super::here::{Done, Here, Job, Waits};
use crate::clock;
use crate::limits::{FORWARD_REPLY_BYTES_MAX, FORWARD_TURN_NANOS_MAX, PEER_DATA_MESSAGE_BYTES_MAX};
use crate::peer;
use crate::resp::Version;
use bytes::{Buf, Bytes};
use cluster::message::{Answer, Forward, Forwarded, Message};
use std::sync::Arc;

/// Adds a message to a call or to its answer.
pub(super) fn put(message: &Message<'_>, out: &mut Vec<u8>) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    message.encode(out);
    let len = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
    out[at..at + 4].copy_from_slice(&len.to_le_bytes());
}

/// Takes the next message from the front.
pub(super) fn take(body: &mut Bytes) -> Option<Bytes> {
    let len = usize::try_from(body.try_get_u32_le().ok()?).ok()?;
    (len <= body.len()).then(|| body.split_to(len))
}

impl Here {
    /// Answers a call of [`FORWARD_CALL`](super::FORWARD_CALL) of another node: on the thread of
    /// the data plane, in turns that let others have theirs. Nothing is answered when it is not
    /// known whether what was done counts.
    pub fn answer(self: &Arc<Here>, body: Bytes) -> peer::Answer {
        let here = self.clone();
        Box::pin(async move { here.carry_out(body).await })
    }

    async fn carry_out(self: Arc<Here>, mut body: Bytes) -> Option<Bytes> {
        let (mut out, mut waits, mut wrote) = (Vec::new(), Waits::new(), false);
        let has_room = self.has_room().await;
        let began = clock::monotonic_nanos();
        let mut turn = began;
        while !body.is_empty() {
            let bytes = take(&mut body)?;
            let Ok(Message::Forward(forward)) = Message::decode(&bytes) else { return None };
            let id = forward.id;
            let mut reply = Vec::new();
            let done = if !has_room || out.len() >= FORWARD_REPLY_BYTES_MAX {
                Done::Refused
            } else if forward.groups.is_some() {
                let done = self.clone().on_all_keys(bytes.clone()).await?;
                reply = done.1;
                done.0
            } else {
                self.execute(&job(&forward), &mut waits, &mut reply)
            };
            wrote |= done == Done::Answered { wrote: true };
            if reply.len() > PEER_DATA_MESSAGE_BYTES_MAX - 2 * FORWARD_REPLY_BYTES_MAX {
                reply = b"-ERR The answer is too long to be forwarded\r\n".to_vec();
            }
            let answer = match done {
                Done::Answered { .. } => Answer::Reply(&reply),
                Done::Elsewhere => {
                    let topology = self.outlook.look().map_or(0, |s| s.topology.version());
                    Answer::WrongOwner { topology }
                }
                Done::Refused => Answer::Refused,
            };
            put(&Message::Forwarded(Forwarded { id, answer }), &mut out);
            if clock::monotonic_nanos() - turn > FORWARD_TURN_NANOS_MAX {
                tokio::task::yield_now().await;
                turn = clock::monotonic_nanos();
            }
        }
        if let Some(time) = self.outlook.slowed().filter(|_| wrote) {
            time.await;
        }
        let settled = self.settle(waits).await;
        (settled && (!wrote || self.outlook.was_leased_since(began))).then(|| out.into())
    }

    /// A command on all keys takes long: on a thread of its own, a few at a time.
    async fn on_all_keys(self: Arc<Here>, bytes: Bytes) -> Option<(Done, Vec<u8>)> {
        let here = self.clone();
        let _permit = self.spaces.acquire().await.ok()?;
        let done = tokio::task::spawn_blocking(move || {
            let mut reply = Vec::new();
            let Ok(Message::Forward(forward)) = Message::decode(&bytes) else {
                return (Done::Refused, reply);
            };
            (here.execute(&job(&forward), &mut Waits::new(), &mut reply), reply)
        });
        done.await.ok()
    }
}

fn job<'a>(forward: &'a Forward<'a>) -> Job<'a> {
    Job {
        request: forward.request,
        version: if forward.resp3 { Version::Resp3 } else { Version::Resp2 },
        readonly: forward.readonly,
        groups: forward.groups.as_ref(),
        of_others: true,
    }
}
