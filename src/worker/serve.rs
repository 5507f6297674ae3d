//! The life of a connection between its turns: waiting, and the ways it ends. Cold.

use super::Worker;
use super::clients::Client;
use super::connection::{Connection, Turn};
use super::session::Answer;
use super::slowlog::SlowEntry;
use crate::clock;
use crate::command::reply::ReplyWriter;
use crate::limits;
use crate::resp::ProtocolError;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

impl Connection {
    /// Does what the last turn ended for. Whether there is a next one.
    pub(super) async fn between(&mut self, turn: Turn) -> bool {
        match turn {
            Turn::Paused => self.wait_for_resume().await,
            Turn::Unserved => self.wait_for_service().await,
            Turn::Slowed => self.wait_for_copies().await,
            Turn::Sleep(time) => return self.sleep(time).await,
            Turn::Again => {}
            Turn::Await => return self.wait_for_answer().await,
            Turn::Gone | Turn::Move(_) => return false,
            Turn::Close => {
                self.goodbye().await;
                return false;
            }
            Turn::Broken(error) => {
                self.broken(error).await;
                return false;
            }
            Turn::NoMemory => {
                self.log_close("there is no memory for its large value");
                return false;
            }
            Turn::Overflow => {
                self.metrics().query_overflows.add(1);
                self.log_close("its query buffer is full");
                return false;
            }
        }
        self.wake();
        true
    }

    async fn wait_for_resume(&mut self) {
        let worker = self.worker.clone();
        let notice = &worker.shared.notice;
        let now = clock::monotonic_nanos();
        let (_, until) = notice.pause_at(now);
        let longest = Duration::from_nanos(until.saturating_sub(now));
        let word = self.peer.word;
        let waiting = self.waiting();
        tokio::select! {
            () = notice.changed(word, longest) => {}
            // What waits for the client goes on being sent.
            _ = self.flush() => notice.changed(word, longest).await,
        }
        drop(waiting);
    }

    /// Waits until the copies have come further, or for long enough.
    async fn wait_for_copies(&mut self) {
        let shared = self.worker.shared.clone();
        let waiting = self.waiting();
        let passes = shared.pressure.pass();
        tokio::pin!(passes);
        tokio::select! {
            () = &mut passes => {}
            // What waits for the client goes on being sent.
            _ = self.flush() => passes.await,
        }
        drop(waiting);
    }

    /// Waits, then answers OK. Whether the connection is still there.
    async fn sleep(&mut self, time: Duration) -> bool {
        let waiting = self.waiting();
        tokio::time::sleep(time).await;
        drop(waiting);
        let worker = self.worker.clone();
        if time.as_nanos() > u128::from(self.peer.slow_nanos) {
            let client = self.client();
            worker.shared.slowlog.push(SlowEntry {
                id: 0,
                unix_seconds: clock::now().0 / 1000,
                micros: u64::try_from(time.as_micros()).unwrap_or(u64::MAX),
                args: vec![
                    b"DEBUG".to_vec(),
                    b"SLEEP".to_vec(),
                    time.as_secs_f64().to_string().into_bytes(),
                ],
                peer: client.peer.to_string(),
                name: client.names.lock().name.clone(),
            });
        }
        self.wake();
        self.answer(|out| out.simple("OK")).is_ok()
    }

    /// Waits for the answer that is not there yet. Whether the connection is still there.
    async fn wait_for_answer(&mut self) -> bool {
        let Some(mut pending) = self.peer.session.take_later() else { return true };
        let waiting = self.waiting();
        let bytes = tokio::select! {
            bytes = &mut pending.answer => bytes,
            // What waits for the client goes on being sent.
            _ = self.flush() => pending.answer.await,
        };
        drop(waiting);
        self.wake();
        !pending.is_wanted || self.answer(|out| out.raw(&bytes)).is_ok()
    }

    /// Writes one answer behind all others.
    fn answer(&mut self, write: impl FnOnce(&mut Answer<'_>)) -> io::Result<()> {
        let worker = self.worker.clone();
        let mut desk = worker.desk.borrow_mut();
        let version = self.peer.session.version;
        let out = self.sender.target(&mut desk.out);
        write(&mut Answer::new(out, version, worker.metrics()));
        self.sender.send(&mut self.socket, &mut desk.out, &self.peer, &worker)
    }

    /// Says what is wrong, and goodbye. HTTP gets no answer: somebody may have been tricked into
    /// sending it.
    async fn broken(&mut self, error: ProtocolError) {
        self.metrics().protocol_errors.add(1);
        self.log_close(&error.to_string());
        if error == ProtocolError::Http {
            return;
        }
        if self.answer(|out| out.error(&format!("ERR {error}"))).is_ok() {
            self.goodbye().await;
        }
    }

    /// Sends what is left, then reads on for a moment without looking: closing a socket with
    /// unread bytes would take the last answers away from the client.
    async fn goodbye(&mut self) {
        if self.flush().await.is_err() || self.socket.end_writing().is_err() {
            return;
        }
        let read_on = async {
            let mut bytes = [0; 4096];
            let mut left = limits::GOODBYE_BYTES_MAX;
            while let Ok(n @ 1..) = self.read(&mut bytes).await {
                left = left.saturating_sub(n);
                if left == 0 {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(Duration::from_millis(limits::GOODBYE_MS_MAX), read_on).await;
    }

    /// Sends all that waits for the client.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            self.note(self.worker.seats.poll_ready(self.seat(), cx));
            let Connection { sender, socket, peer, worker, .. } = &mut *self;
            match sender.flush(socket, peer, worker) {
                Ok(()) if sender.is_behind() => Poll::Pending,
                result => Poll::Ready(result),
            }
        })
        .await
    }

    /// Counts it among those that wait, until what is returned is dropped.
    pub(super) fn waiting(&self) -> Waiting {
        Waiting::new(self)
    }

    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| {
            self.note(self.worker.seats.poll_ready(self.seat(), cx));
            self.socket.read(buffer)
        })
        .await
    }

    fn log_close(&self, reason: &str) {
        let nanos = clock::monotonic_nanos();
        if let Some(more) = self.worker.quiet.pass(nanos) {
            let client = self.client();
            let (id, peer) = (client.id, client.peer);
            tracing::warn!(id, %peer, more, "closing a connection: {reason}");
        }
    }
}

/// Counts a connection among those that wait, until this is dropped: it may be ended meanwhile.
pub(super) struct Waiting {
    worker: Rc<Worker>,
    client: Arc<Client>,
}

impl Waiting {
    fn new(connection: &Connection) -> Waiting {
        connection.client().set_waiting(true);
        connection.metrics().connections_blocked.add(1);
        Waiting { worker: connection.worker.clone(), client: connection.client().clone() }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.client.set_waiting(false);
        self.worker.metrics().connections_blocked.sub(1);
    }
}
