//! Answers to the socket: at once if it takes them, else kept until it does. Knows no command.

use super::Worker;
use super::peer::Peer;
use super::socket::Socket;
use crate::clock;
use crate::limits;
use crate::resp::Output;
use std::io::{self, IoSlice};

/// What the client has not taken yet.
#[derive(Default)]
pub(super) struct Sender {
    pending: Option<Box<Output>>,
}

impl Sender {
    /// Whether something waits for the client.
    #[inline]
    pub(super) fn is_behind(&self) -> bool {
        self.pending.is_some()
    }

    /// How much waits.
    pub(super) fn len(&self) -> usize {
        self.pending.as_ref().map_or(0, |out| out.len())
    }

    /// Where answers are to be written: behind what waits, else to the worker's own output.
    #[inline]
    pub(super) fn target<'a>(&'a mut self, out: &'a mut Output) -> &'a mut Output {
        match &mut self.pending {
            Some(pending) => pending,
            None => out,
        }
    }

    /// Sends the worker's output. What the socket does not take is kept; `out` is empty then.
    ///
    /// # Errors
    /// The socket's.
    #[inline]
    pub(super) fn send(
        &mut self,
        socket: &mut Socket,
        out: &mut Output,
        peer: &Peer,
        worker: &Worker,
    ) -> io::Result<()> {
        if out.is_empty() {
            return Ok(());
        }
        let all = out.len();
        let sent = match write(socket, out) {
            Ok(n) => n,
            Err(e) => {
                out.clear();
                return Err(e);
            }
        };
        let metrics = worker.metrics();
        metrics.bytes_out.add(sent as u64);
        metrics.writes.add(1);
        if sent == all {
            out.clear();
        } else {
            self.keep(out, sent, peer);
        }
        Ok(())
    }

    /// Keeps the worker's output, which must not go out yet. Till [`Sender::release`] it is not the
    /// client's fault that it stays.
    #[cold]
    pub(super) fn hold(&mut self, out: &mut Output, peer: &Peer) {
        peer.session.client.set_held(true);
        if !out.is_empty() {
            self.keep(out, 0, peer);
        }
    }

    /// What was held may go: the client's time to take it begins.
    #[cold]
    pub(super) fn release(peer: &Peer) {
        peer.session.client.sent_nanos.set(clock::monotonic_nanos());
        peer.session.client.set_held(false);
    }

    #[cold]
    fn keep(&mut self, out: &mut Output, sent: usize, peer: &Peer) {
        out.advance(sent);
        peer.session.client.sent_nanos.set(clock::monotonic_nanos());
        peer.session.client.output_bytes.set(out.len() as u64);
        self.pending = Some(Box::new(std::mem::take(out)));
    }

    /// Sends what waits, as far as the socket takes it; an event says when it takes more.
    ///
    /// # Errors
    /// The socket's.
    #[cold]
    pub(super) fn flush(
        &mut self,
        socket: &mut Socket,
        peer: &Peer,
        worker: &Worker,
    ) -> io::Result<()> {
        let client = &peer.session.client;
        while let Some(out) = &mut self.pending {
            if out.is_empty() {
                self.pending = None;
                break;
            }
            if !socket.is_writable() {
                break;
            }
            let sent = write(socket, out)?;
            if sent > 0 {
                out.advance(sent);
                worker.metrics().bytes_out.add(sent as u64);
                worker.metrics().writes.add(1);
                client.sent_nanos.set(clock::monotonic_nanos());
            }
        }
        client.output_bytes.set(self.len() as u64);
        Ok(())
    }
}

#[inline]
fn write(socket: &mut Socket, out: &Output) -> io::Result<usize> {
    match out.as_one() {
        Some(bytes) => socket.write(bytes),
        None => write_pieces(socket, out),
    }
}

#[cold]
fn write_pieces(socket: &mut Socket, out: &Output) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); limits::OUTPUT_SLICES_MAX];
    let count = out.slices(&mut slices);
    socket.write_pieces(&slices[..count])
}
