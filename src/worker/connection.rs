//! One connection: reads, lets `batch` execute, sends. While it is idle it holds no buffer. Knows
//! sockets, and no command.

mod large;

use super::batch::{Processed, Stop, process};
use super::big::Big;
use super::clients::{Client, Entry};
use super::gate::{Fate, Held};
use super::handover;
use super::peer::Peer;
use super::send::Sender;
use super::session::Session;
use super::socket::{Ready, Socket};
use super::{Desk, Worker};
use crate::limits;
use crate::metrics::WorkerMetrics;
use crate::resp::ProtocolError;
use std::io;
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

/// A connection on its worker.
pub(super) struct Connection {
    pub(super) socket: Socket,
    pub(super) worker: Rc<Worker>,
    pub(super) peer: Peer,
    pub(super) sender: Sender,
    /// Bytes read and not executed; empty while idle.
    rest: Vec<u8>,
    /// There may be whole commands in `rest`.
    ready: bool,
    /// A large value on its way.
    big: Option<Box<Big>>,
    /// Answers that wait for the disk.
    held: Option<Box<Held>>,
    place: Place,
    /// Its entry in the list of clients.
    entry: Entry,
    /// Where it sits.
    seat: usize,
    /// Round of the log in which it last asked to be told of the next.
    gate_round: u64,
}

/// A connection's place among those of its worker, given up when it ends or moves. While it moves
/// it has none.
struct Place {
    worker: Rc<Worker>,
    /// Bytes of buffers as last told to the metrics.
    noted_bytes: u64,
}

/// Why a connection's turns stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Others are to have a turn first.
    Again,
    /// The socket is dead.
    Gone,
    /// Nothing more to read or execute; what is not sent is still to be sent.
    Close,
    /// The client sent what is no protocol of ours.
    Broken(ProtocolError),
    /// The client sent more than it may without a whole command.
    Overflow,
    /// There is no memory for a large value.
    NoMemory,
    /// Another worker is to serve it.
    Move(usize),
    /// A pause holds the next command back.
    Paused,
    /// The session wants to wait.
    Sleep(Duration),
    /// The next answer is not there yet.
    Await,
    /// Nobody serves the group of the next command now.
    Unserved,
    /// Copies of what it wrote fall behind.
    Slowed,
}

impl Connection {
    /// A connection that has just come, from outside or from another worker.
    pub(super) fn new(
        stream: TcpStream,
        worker: Rc<Worker>,
        session: Session,
        entry: Entry,
    ) -> Connection {
        let settings = worker.shared.notice.settings();
        Connection {
            socket: Socket::new(stream),
            seat: worker.seats.reserve(),
            gate_round: 0,
            place: Place::new(&worker),
            entry,
            worker,
            peer: Peer::new(session, settings),
            sender: Sender::default(),
            rest: Vec::new(),
            ready: false,
            big: None,
            held: None,
        }
    }

    /// Lets it live, until it ends or somebody ends it.
    pub(super) fn begin(self) {
        let worker = self.worker.clone();
        worker.seats.take(self);
    }

    /// Where it sits.
    pub(super) fn seat(&self) -> usize {
        self.seat
    }

    /// Its socket has become ready for more.
    #[inline]
    pub(super) fn note(&mut self, ready: Ready) {
        self.socket.note(ready);
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(super) fn client(&self) -> &Arc<Client> {
        &self.peer.session.client
    }

    pub(super) fn metrics(&self) -> &WorkerMetrics {
        self.worker.metrics()
    }

    /// Looks at kept bytes again, as if they had just come.
    pub(super) fn wake(&mut self) {
        self.ready = true;
    }

    /// Reads before its turn, if it would do nothing else first: then `turn_with` is to follow.
    #[inline]
    pub(super) fn read_ahead(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let shared = &self.worker.shared;
        let busy = self.ready
            || !self.rest.is_empty()
            || self.big.is_some()
            || self.held.is_some()
            || self.sender.is_behind()
            || shared.load.is_moving(self.worker.index)
            || shared.log.as_ref().is_some_and(|log| log.is_full())
            || self.client().is_ended();
        if busy {
            return None;
        }
        // The end and errors are there to be read again.
        match self.socket.read(buffer) {
            Poll::Ready(Ok(n)) if n > 0 => Some(n),
            _ => None,
        }
    }

    /// A turn with what was read ahead.
    #[inline]
    pub(super) fn turn_with(&mut self, buffer: &[u8]) -> Poll<Turn> {
        if self.client().is_ended() {
            return Poll::Ready(Turn::Gone);
        }
        self.heard(buffer.len());
        let worker = self.worker.clone();
        let mut desk = worker.desk.borrow_mut();
        let Desk { tools, out, .. } = &mut *desk;
        let out = self.sender.target(out);
        let Processed { used, stop } = process(&worker, tools, &mut self.peer, buffer, out);
        if used < buffer.len() {
            self.keep(&buffer[used..]);
        }
        if let Some(turn) = self.executed(&mut desk, stop, &worker) {
            return Poll::Ready(turn);
        }
        if self.ready || self.held.is_some() || self.socket.is_readable() {
            drop(desk);
            return self.turn();
        }
        Poll::Pending
    }

    /// Sends the answers, or keeps them. What is to be done if not to go on.
    #[inline]
    fn executed(&mut self, desk: &mut Desk, stop: Stop, worker: &Worker) -> Option<Turn> {
        if !desk.tools.waits.is_empty() {
            self.hold(desk, stop, worker);
            return None;
        }
        if self.sender.send(&mut self.socket, &mut desk.out, &self.peer, worker).is_err() {
            return Some(Turn::Gone);
        }
        if stop != Stop::More
            && let Some(turn) = self.stopped(stop)
        {
            return Some(turn);
        }
        let over = !self.rest.is_empty() && self.query_bytes() > self.peer.query_max;
        over.then_some(Turn::Overflow)
    }

    /// Reads, executes and sends until there is nothing to read, or others are to have a turn.
    pub(super) fn turn(&mut self) -> Poll<Turn> {
        let worker = self.worker.clone();
        if self.client().is_ended() {
            return Poll::Ready(Turn::Gone);
        }
        let mut desk = worker.desk.borrow_mut();
        for _ in 0..limits::TURN_READS_MAX {
            if worker.shared.log.is_some()
                && let Some(turn) = ready!(self.wait_for_log(&worker))
            {
                return Poll::Ready(turn);
            }
            if self.sender.is_behind() {
                if self.sender.flush(&mut self.socket, &self.peer, &worker).is_err() {
                    return Poll::Ready(Turn::Gone);
                }
                if self.sender.len() >= self.peer.output_max {
                    self.note_buffers();
                    return Poll::Pending;
                }
            }
            if worker.shared.load.is_moving(worker.index)
                && let Some(to) = self.may_move()
            {
                return Poll::Ready(Turn::Move(to));
            }
            let stop = match ready!(self.input(&mut desk)) {
                Ok(stop) => stop,
                Err(turn) => return Poll::Ready(turn),
            };
            if let Some(turn) = self.executed(&mut desk, stop, &worker) {
                return Poll::Ready(turn);
            }
        }
        Poll::Ready(Turn::Again)
    }

    /// Keeps answers until the log has their records.
    #[cold]
    fn hold(&mut self, desk: &mut Desk, stop: Stop, worker: &Worker) {
        self.sender.hold(&mut desk.out, &self.peer);
        let began_nanos = self.client().heard_nanos.get();
        self.held = Some(Box::new(Held::new(&mut desk.tools.waits, stop, began_nanos)));
        worker.gate.ask();
    }

    /// Waits until the answers that are held may go, and until the log takes more. Then executing
    /// goes on as it had stopped.
    fn wait_for_log(&mut self, worker: &Worker) -> Poll<Option<Turn>> {
        let Some(log) = &worker.shared.log else { return Poll::Ready(None) };
        let Some(held) = &mut self.held else {
            if worker.gate.is_full(log) {
                worker.gate.wait(self.seat, &mut self.gate_round);
                log.ring();
                return Poll::Pending;
            }
            return Poll::Ready(None);
        };
        match worker.gate.look(held, log) {
            Fate::Wait => {
                worker.gate.wait(self.seat, &mut self.gate_round);
                return Poll::Pending;
            }
            Fate::Lost => return Poll::Ready(Some(Turn::Gone)),
            Fate::Go => {}
        }
        let Held { stop, began_nanos, .. } = **held;
        self.held = None;
        Sender::release(&self.peer);
        let view = worker.shared.views.load();
        let view = view.as_ref().and_then(|view| view.as_deref());
        if view.is_some_and(|view| !view.was_leased_since(began_nanos)) {
            // Whether they count is not known: another node may have been the primary meanwhile.
            return Poll::Ready(Some(Turn::Gone));
        }
        Poll::Ready(if stop == Stop::More { None } else { self.stopped(stop) })
    }

    /// Where it may move now: nothing of it is half-read or half-sent.
    #[cold]
    fn may_move(&self) -> Option<usize> {
        let rests = self.rest.is_empty() && !self.ready && self.big.is_none();
        if !rests || self.sender.is_behind() || self.peer.postponed.is_some() {
            return None;
        }
        handover::target(&self.worker)
    }

    /// Goes on with another worker.
    pub(super) fn hand_over(self, to: usize) {
        let Connection { socket, worker, peer, place, entry, .. } = self;
        let stream = socket.into_stream();
        if worker.seats.forget(&stream).is_err() {
            return;
        }
        drop(place);
        handover::hand_over(&worker, to, stream, peer.session, entry);
    }

    /// Gets bytes and executes them.
    #[inline]
    fn input(&mut self, desk: &mut Desk) -> Poll<Result<Stop, Turn>> {
        if self.ready {
            return Poll::Ready(Ok(self.again(desk)));
        }
        if self.big.is_some() {
            return self.poll_big(desk);
        }
        Poll::Ready(match ready!(self.poll_read(desk)) {
            Ok(Some(stop)) => Ok(stop),
            Ok(None) => Err(Turn::Close),
            Err(_) => Err(Turn::Gone),
        })
    }

    /// Reads once, behind what is left of last time, and executes. `None`: there is no more.
    fn poll_read(&mut self, desk: &mut Desk) -> Poll<io::Result<Option<Stop>>> {
        let kept = self.rest.len();
        if kept > limits::READ_BYTES / 2 {
            return self.poll_read_long(desk);
        }
        desk.read[..kept].copy_from_slice(&self.rest);
        let n = ready!(self.socket.read(&mut desk.read[kept..]))?;
        if n == 0 {
            return Poll::Ready(Ok(None));
        }
        self.heard(n);
        let Desk { read, tools, out } = desk;
        let buffer = &read[..kept + n];
        let out = self.sender.target(out);
        let Processed { used, stop } = process(&self.worker, tools, &mut self.peer, buffer, out);
        if kept > 0 || used < buffer.len() {
            self.keep(&buffer[used..]);
        }
        Poll::Ready(Ok(Some(stop)))
    }

    /// The same for a command of many bytes, which are collected in a buffer of its own.
    #[cold]
    fn poll_read_long(&mut self, desk: &mut Desk) -> Poll<io::Result<Option<Stop>>> {
        let n = ready!(self.socket.read(&mut desk.read))?;
        if n == 0 {
            return Poll::Ready(Ok(None));
        }
        self.heard(n);
        self.rest.extend_from_slice(&desk.read[..n]);
        Poll::Ready(Ok(Some(self.again(desk))))
    }

    /// Executes what is kept.
    #[cold]
    fn again(&mut self, desk: &mut Desk) -> Stop {
        self.ready = false;
        let Desk { tools, out, .. } = desk;
        let out = self.sender.target(out);
        let Processed { used, stop } =
            process(&self.worker, tools, &mut self.peer, &self.rest, out);
        self.rest.drain(..used);
        if self.rest.is_empty() {
            self.rest = Vec::new();
        }
        self.note_buffers();
        stop
    }

    /// Counts bytes that came.
    #[inline]
    fn heard(&self, n: usize) {
        let metrics = self.worker.metrics();
        metrics.bytes_in.add(n as u64);
        metrics.reads.add(1);
    }

    #[cold]
    fn keep(&mut self, bytes: &[u8]) {
        self.rest.clear();
        if bytes.is_empty() {
            self.rest = Vec::new();
        } else {
            self.rest.extend_from_slice(bytes);
        }
        self.note_buffers();
    }

    /// What to do when executing stopped before the bytes ended. `None`: go on.
    #[cold]
    fn stopped(&mut self, stop: Stop) -> Option<Turn> {
        match stop {
            Stop::More | Stop::Refused => None,
            Stop::Yield => {
                self.ready = true;
                None
            }
            Stop::Big { kept, len } => self.begin_big(kept, len),
            Stop::Paused => Some(Turn::Paused),
            Stop::Unserved => Some(Turn::Unserved),
            Stop::Slowed => Some(Turn::Slowed),
            Stop::Sleep(time) => Some(Turn::Sleep(time)),
            Stop::Await => Some(Turn::Await),
            Stop::Close => Some(Turn::Close),
            Stop::Broken(error) => Some(Turn::Broken(error)),
        }
    }

    /// Bytes of what is not a whole command yet. Between two commands that is nothing, whatever
    /// room the decoder keeps: who is idle then has not left anything half-sent.
    fn query_bytes(&self) -> usize {
        if self.rest.is_empty() && self.big.is_none() {
            return 0;
        }
        let big = self.big.as_ref().map_or(0, |big| big.len());
        self.rest.len() + self.peer.decoder.held_bytes() + big
    }

    /// Tells administrators and metrics how large the buffers are.
    #[cold]
    pub(super) fn note_buffers(&mut self) {
        let (query, output) = (self.query_bytes() as u64, self.sender.len() as u64);
        let client = &self.peer.session.client;
        client.query_bytes.set(query);
        client.output_bytes.set(output);
        let metrics = self.worker.metrics();
        metrics.buffer_bytes.sub(self.place.noted_bytes);
        metrics.buffer_bytes.add(query + output);
        metrics.input_bytes_max.raise(query);
        metrics.output_bytes_max.raise(output);
        self.place.noted_bytes = query + output;
    }
}

impl Place {
    fn new(worker: &Rc<Worker>) -> Place {
        worker.metrics().connections_open.add(1);
        Place { worker: worker.clone(), noted_bytes: 0 }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let metrics = self.worker.metrics();
        metrics.buffer_bytes.sub(self.noted_bytes);
        metrics.connections_open.sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::Connection;

    /// Each line that a turn touches comes from far away once there are thousands of connections.
    #[test]
    fn a_connection_stays_small() {
        let connection = size_of::<Connection>();
        assert!(connection <= 320, "{connection} bytes");
    }
}
