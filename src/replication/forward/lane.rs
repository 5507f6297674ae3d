//! The way to one node: commands for it wait in a bounded queue and go together, a few calls at a
//! time. Knows neither groups nor answers by their meaning.

use super::FORWARD_CALL;
use super::serve::take;
use crate::limits::{
    FORWARD_CALL_BYTES_MAX, FORWARD_CALL_MS_MAX, FORWARD_CALLS_MAX, FORWARD_QUEUE_BYTES_MAX,
};
use crate::peer::Endpoint;
use bytes::Bytes;
use cluster::message::{Answer, Message};
use cluster::node::NodeId;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

/// What came of something that was sent.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Its answers.
    Reply(Bytes),
    /// The node did nothing: it does not serve the group.
    Elsewhere,
    /// The node did nothing: it cannot now.
    Refused,
    /// The node has not seen it, for this reason.
    Unsent(String),
    /// The node may have done it or not, for this reason.
    Unknown(String),
}

/// The way to one node.
pub(super) struct Lane {
    node: NodeId,
    endpoint: Endpoint,
    runtime: Handle,
    queue: Mutex<Queue>,
    calls: Arc<Semaphore>,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    /// Of all that is queued, or sent and unanswered.
    bytes: usize,
    /// Somebody is at work to empty it.
    busy: bool,
}

struct Item {
    /// With its length before it.
    message: Vec<u8>,
    state: Arc<AtomicU8>,
    outcome: oneshot::Sender<Outcome>,
}

/// What was put on its way, until its outcome is known.
pub(super) struct Ticket {
    state: Arc<AtomicU8>,
    pub(super) outcome: oneshot::Receiver<Outcome>,
}

const QUEUED: u8 = 0;
const SENT: u8 = 1;
const WITHDRAWN: u8 = 2;

impl Ticket {
    /// Takes it back; whether it had not been sent.
    pub(super) fn withdraw(&self) -> bool {
        turn(&self.state, WITHDRAWN)
    }
}

fn turn(state: &AtomicU8, to: u8) -> bool {
    state.compare_exchange(QUEUED, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
}

impl Lane {
    /// To this node, by calls that are made on `runtime`.
    pub(super) fn new(node: NodeId, endpoint: Endpoint, runtime: Handle) -> Lane {
        let calls = Arc::new(Semaphore::new(FORWARD_CALLS_MAX));
        Lane { node, endpoint, runtime, queue: Mutex::default(), calls }
    }

    /// Puts a message, with its length before it, on its way; `None` when too much is already.
    pub(super) fn push(self: &Arc<Lane>, message: Vec<u8>) -> Option<Ticket> {
        let (sender, outcome) = oneshot::channel();
        let state = Arc::new(AtomicU8::new(QUEUED));
        let mut queue = self.queue.lock();
        // One is always taken when nothing waits.
        if queue.bytes > 0 && queue.bytes + message.len() > FORWARD_QUEUE_BYTES_MAX {
            return None;
        }
        queue.bytes += message.len();
        queue.items.push_back(Item { message, state: state.clone(), outcome: sender });
        let is_first = !std::mem::replace(&mut queue.busy, true);
        drop(queue);
        if is_first {
            self.runtime.spawn(self.clone().empty());
        }
        Some(Ticket { state, outcome })
    }

    /// Sends what is queued, until nothing is.
    async fn empty(self: Arc<Lane>) {
        loop {
            let Ok(permit) = self.calls.clone().acquire_owned().await else { return };
            let Some(items) = self.next_call() else { return };
            let lane = self.clone();
            self.runtime.spawn(async move {
                lane.send(items).await;
                drop(permit);
            });
        }
    }

    /// What goes together next; `None` when nothing is left.
    fn next_call(&self) -> Option<Vec<Item>> {
        let mut queue = self.queue.lock();
        let (mut items, mut bytes) = (Vec::new(), 0);
        while bytes < FORWARD_CALL_BYTES_MAX
            && let Some(item) = queue.items.pop_front()
        {
            if turn(&item.state, SENT) {
                bytes += item.message.len();
                items.push(item);
            } else {
                queue.bytes -= item.message.len();
            }
        }
        queue.busy = !items.is_empty();
        queue.busy.then_some(items)
    }

    async fn send(&self, mut items: Vec<Item>) {
        let bytes: usize = items.iter().map(|item| item.message.len()).sum();
        let body: Bytes = match &mut items[..] {
            [alone] => std::mem::take(&mut alone.message).into(),
            several => {
                let mut body = Vec::with_capacity(bytes);
                several.iter().for_each(|item| body.extend_from_slice(&item.message));
                body.into()
            }
        };
        let answer = match self.endpoint.ready(self.node) {
            Ok(()) => {
                let longest = Duration::from_millis(FORWARD_CALL_MS_MAX);
                self.endpoint.call(self.node, FORWARD_CALL, body, longest).await
            }
            Err(error) => Err(error),
        };
        self.queue.lock().bytes -= bytes;
        match answer {
            Ok(mut answer) => {
                for item in items {
                    let message = take(&mut answer);
                    let _ = item.outcome.send(outcome(message.as_ref()));
                }
            }
            Err(error) => {
                let why = error.to_string();
                for item in items {
                    let _ = item.outcome.send(if error.is_unsent() {
                        Outcome::Unsent(why.clone())
                    } else {
                        Outcome::Unknown(why.clone())
                    });
                }
            }
        }
    }
}

fn outcome(message: Option<&Bytes>) -> Outcome {
    let nonsense = || Outcome::Unknown("its answer is none".into());
    let Some(bytes) = message else { return nonsense() };
    match Message::decode(bytes) {
        Ok(Message::Forwarded(forwarded)) => match forwarded.answer {
            Answer::Reply(reply) => Outcome::Reply(bytes.slice_ref(reply)),
            Answer::WrongOwner { .. } => Outcome::Elsewhere,
            Answer::Refused => Outcome::Refused,
        },
        Ok(_) | Err(_) => nonsense(),
    }
}
