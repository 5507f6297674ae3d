//! One connection to the server: requests go in as bytes, replies come out with the moment their
//! request was due. Decides nothing about what to ask for or when.

use super::error::BenchError;
use super::poll::{Poller, Ready};
use super::wire::{Kind, Outcome, Scanner};
use crate::limits::BENCH_OUT_BYTES_MAX;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;

/// What is remembered of a request until its reply comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    /// When the request was made or, in an open loop, when it should have been.
    pub(super) start_nanos: u64,
    pub(super) kind: Kind,
}

/// A connection registered with a poller under its token.
pub(super) struct Connection {
    stream: TcpStream,
    token: usize,
    out: Vec<u8>,
    /// How much of `out` has been sent.
    sent: usize,
    scanner: Scanner,
    /// Requests without a reply, oldest first.
    waiting: VecDeque<Ticket>,
    write_watched: bool,
    sent_bytes: u64,
    received_bytes: u64,
}

impl Connection {
    /// Takes over a connected stream.
    pub(super) fn new(
        stream: TcpStream,
        poller: &Poller,
        token: usize,
    ) -> Result<Connection, BenchError> {
        stream.set_nonblocking(true).map_err(BenchError::io("setting a socket up"))?;
        poller.add(stream.as_fd(), token).map_err(BenchError::io("watching a socket"))?;
        Ok(Connection {
            stream,
            token,
            out: Vec::new(),
            sent: 0,
            scanner: Scanner::default(),
            waiting: VecDeque::new(),
            write_watched: false,
            sent_bytes: 0,
            received_bytes: 0,
        })
    }

    /// Requests without a reply.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Bytes sent and received so far.
    pub(super) fn traffic(&self) -> (u64, u64) {
        (self.sent_bytes, self.received_bytes)
    }

    /// Whether one more request may be put in, with at most `depth` of them on their way.
    pub(super) fn has_room(&self, depth: usize) -> bool {
        self.waiting.len() < depth && self.out.len() - self.sent < BENCH_OUT_BYTES_MAX
    }

    /// Puts in a request, written by `write`; it leaves at the next `flush`.
    pub(super) fn request(&mut self, ticket: Ticket, write: impl FnOnce(&mut Vec<u8>)) {
        self.waiting.push_back(ticket);
        write(&mut self.out);
    }

    /// Sends what the socket takes; asks the poller to say when it takes the rest.
    pub(super) fn flush(&mut self, poller: &Poller) -> Result<(), BenchError> {
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(0) => return Err(BenchError::Closed),
                Ok(count) => {
                    self.sent += count;
                    self.sent_bytes += count as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.drop_sent();
                    return self.watch_write(poller, true);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(broken("sending", error)),
            }
        }
        self.out.clear();
        self.sent = 0;
        self.watch_write(poller, false)
    }

    /// Goes on after the poller's word: sends, and reads once. Gives the bytes read into
    /// `buffer`, which belong to `replies`.
    pub(super) fn advance(
        &mut self,
        ready: Ready,
        poller: &Poller,
        buffer: &mut [u8],
    ) -> Result<usize, BenchError> {
        if ready.writable {
            self.flush(poller)?;
        }
        if !ready.readable {
            return Ok(0);
        }
        match self.stream.read(buffer) {
            Ok(0) => Err(BenchError::Closed),
            Ok(count) => {
                self.received_bytes += count as u64;
                Ok(count)
            }
            Err(error) if is_retry(error.kind()) => Ok(0),
            Err(error) => Err(broken("receiving", error)),
        }
    }

    /// Calls `each` for every reply that ends in `bytes`, with its request's ticket. Gives how
    /// many there were.
    pub(super) fn replies(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(Ticket, Outcome<'_>),
    ) -> Result<usize, BenchError> {
        let before = self.waiting.len();
        let waiting = &mut self.waiting;
        let mut unasked = false;
        self.scanner
            .scan(bytes, |outcome| match waiting.pop_front() {
                Some(ticket) => each(ticket, outcome),
                None => unasked = true,
            })
            .map_err(BenchError::Protocol)?;
        if unasked {
            return Err(BenchError::Protocol("a reply that nobody asked for".to_owned()));
        }
        Ok(before - self.waiting.len())
    }

    /// Keeps the unsent rest only, once it is the smaller part: moving it is then cheap.
    fn drop_sent(&mut self) {
        if self.sent > self.out.len() / 2 {
            self.out.drain(..self.sent);
            self.sent = 0;
        }
    }

    fn watch_write(&mut self, poller: &Poller, write: bool) -> Result<(), BenchError> {
        if self.write_watched == write {
            return Ok(());
        }
        self.write_watched = write;
        poller
            .watch(self.stream.as_fd(), self.token, write)
            .map_err(BenchError::io("watching a socket"))
    }
}

fn is_retry(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn broken(doing: &'static str, source: std::io::Error) -> BenchError {
    match source.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => BenchError::Closed,
        _ => BenchError::Io { doing, source },
    }
}
