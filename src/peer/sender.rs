//! The sending end of an ordered stream of messages: a bounded queue, and a task that empties it
//! into the transport, all that waits at once. Knows no message by its meaning.

use super::PeerError;
use super::frame::length;
use crate::limits;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use quinn::{SendStream, StoppedError, VarInt, WriteError};
use std::sync::Arc;
use tokio::sync::Notify;

/// Sends messages to a peer, in order. When it is dropped, the stream ends after what was sent.
#[derive(Debug)]
pub struct Sender {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    bytes_max: usize,
    queue: Mutex<Queue>,
    /// There is something to write, or nothing will come any more.
    ready: Notify,
    /// There is room again, or there never will be.
    room: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    /// Complete pieces.
    pieces: Vec<Bytes>,
    /// Lengths and short messages, put together.
    open: BytesMut,
    /// All that is not in the transport yet, the pieces just being written included.
    bytes: usize,
    state: State,
}

#[derive(Clone, Debug, Default, PartialEq)]
enum State {
    #[default]
    Open,
    /// Ends when everything is written.
    Ending,
    /// Everything was written, and has arrived.
    Ended,
    Failed(PeerError),
}

impl Queue {
    /// Whether a message may be added: one may always be when nothing waits.
    fn check(&self) -> Result<(), PeerError> {
        match &self.state {
            State::Open if self.bytes < limits::PEER_QUEUE_BYTES_MAX => Ok(()),
            State::Open => Err(PeerError::Full),
            State::Ending | State::Ended => Err(ended()),
            State::Failed(error) => Err(error.clone()),
        }
    }

    fn add(&mut self, head: &[u8], parts: &[Bytes], bytes: usize) {
        if self.open.capacity() - self.open.len() < head.len() {
            self.open.reserve(limits::PEER_PIECE_BYTES);
        }
        self.open.extend_from_slice(head);
        if bytes <= limits::PEER_COPY_BYTES_MAX {
            if self.open.capacity() - self.open.len() < bytes {
                self.open.reserve(limits::PEER_PIECE_BYTES);
            }
            parts.iter().for_each(|part| self.open.extend_from_slice(part));
        } else {
            self.pieces.push(self.open.split().freeze());
            self.pieces.extend(parts.iter().filter(|part| !part.is_empty()).cloned());
        }
        self.bytes += head.len() + bytes;
    }

    /// All that is there to be written.
    fn take(&mut self) -> Vec<Bytes> {
        if !self.open.is_empty() {
            self.pieces.push(self.open.split().freeze());
        }
        std::mem::take(&mut self.pieces)
    }
}

impl Sender {
    /// Sends over `stream` what is given to the sender, and the future that does it.
    pub(super) fn new(
        stream: SendStream,
        bytes_max: usize,
    ) -> (Sender, impl Future<Output = ()> + Send) {
        let queue = Mutex::new(Queue::default());
        let shared =
            Arc::new(Shared { bytes_max, queue, ready: Notify::new(), room: Notify::new() });
        (Sender { shared: shared.clone() }, write(shared, stream))
    }

    /// Adds a message made of these parts, if there is room. Parts of a long message are not
    /// copied.
    ///
    /// # Errors
    /// [`PeerError::Full`] when too much waits, [`PeerError::TooLong`] for a message that no
    /// stream takes; otherwise the stream is over.
    pub fn try_send(&self, parts: &[Bytes]) -> Result<(), PeerError> {
        let bytes = parts.iter().map(Bytes::len).sum();
        let head = length(bytes, self.shared.bytes_max)?;
        let mut queue = self.shared.queue.lock();
        queue.check()?;
        let was_empty = queue.bytes == 0;
        queue.add(&head, parts, bytes);
        drop(queue);
        if was_empty {
            self.shared.ready.notify_one();
        }
        Ok(())
    }

    /// As [`Sender::try_send`], but waits for room. Nothing is added when the future is dropped
    /// before it is done.
    ///
    /// # Errors
    /// As there, [`PeerError::Full`] apart.
    pub async fn send(&self, parts: &[Bytes]) -> Result<(), PeerError> {
        loop {
            // Asked for before the look, so that no room is missed that comes in between.
            let mut room = std::pin::pin!(self.shared.room.notified());
            room.as_mut().enable();
            match self.try_send(parts) {
                Err(PeerError::Full) => room.await,
                done => return done,
            }
        }
    }

    /// Bytes that are not in the transport yet, at most
    /// [`PEER_QUEUE_BYTES_MAX`](limits::PEER_QUEUE_BYTES_MAX) and one message.
    pub fn queued_bytes(&self) -> usize {
        self.shared.queue.lock().bytes
    }

    /// Ends the stream and waits until the peer's machine has all of it.
    ///
    /// # Errors
    /// When the stream broke, or the peer refused it.
    pub async fn finish(self) -> Result<(), PeerError> {
        self.end();
        loop {
            let mut over = std::pin::pin!(self.shared.room.notified());
            over.as_mut().enable();
            let state = self.shared.queue.lock().state.clone();
            match state {
                State::Open | State::Ending => over.await,
                State::Ended => return Ok(()),
                State::Failed(error) => return Err(error),
            }
        }
    }

    fn end(&self) {
        let mut queue = self.shared.queue.lock();
        if queue.state == State::Open {
            queue.state = State::Ending;
        }
        drop(queue);
        self.shared.ready.notify_one();
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.end();
    }
}

/// Writes what the sender is given, until it is gone or the stream breaks.
async fn write(shared: Arc<Shared>, mut stream: SendStream) {
    let state = match write_all(&shared, &mut stream).await {
        Ok(()) => State::Ended,
        Err(error) => State::Failed(error),
    };
    let mut queue = shared.queue.lock();
    queue.pieces = Vec::new();
    queue.open = BytesMut::new();
    queue.bytes = 0;
    queue.state = state;
    drop(queue);
    shared.room.notify_waiters();
}

async fn write_all(shared: &Shared, stream: &mut SendStream) -> Result<(), PeerError> {
    let mut arrived = std::pin::pin!(arrived(stream.stopped()));
    loop {
        let (mut pieces, ends) = {
            let mut queue = shared.queue.lock();
            let pieces = queue.take();
            let ends = pieces.is_empty() && queue.state == State::Ending;
            (pieces, ends)
        };
        if ends {
            stream.finish().map_err(|_| ended())?;
            return arrived.await;
        }
        if pieces.is_empty() {
            tokio::select! {
                () = shared.ready.notified() => continue,
                stopped = &mut arrived => return stopped.and(Err(ended())),
            }
        }
        let mut written = 0;
        while written < pieces.len() {
            let done = stream.write_chunks(&mut pieces[written..]).await.map_err(broken)?;
            written += done.chunks;
            shared.queue.lock().bytes -= done.bytes;
            shared.room.notify_waiters();
        }
    }
}

/// Waits until the peer has everything, or wants no more.
async fn arrived(
    stopped: impl Future<Output = Result<Option<VarInt>, StoppedError>>,
) -> Result<(), PeerError> {
    match stopped.await {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(PeerError::Refused),
        Err(error) => Err(PeerError::Lost(error.to_string())),
    }
}

fn ended() -> PeerError {
    PeerError::Lost("the stream was ended".into())
}

fn broken(error: WriteError) -> PeerError {
    match error {
        WriteError::Stopped(_) => PeerError::Refused,
        error => PeerError::Lost(error.to_string()),
    }
}
