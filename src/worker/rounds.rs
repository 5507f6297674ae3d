//! Whose turn it is: the worker's connections sit here, registered with an epoll of their own, and
//! one task gives those that are ready a turn each, without a task or a waker per connection. Who
//! has to wait for something else than its socket leaves for a task and comes back. Knows sockets
//! only by what they are ready for.

use super::Worker;
use super::ahead::{self, Guess};
use super::clients::Client;
use super::connection::{Connection, Turn};
use super::socket::Ready;
use crate::limits;
use mio::unix::SourceFd;
use mio::{Events, Interest, Registry, Token};
use parking_lot::Mutex;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// The seats of a worker's connections.
#[derive(Debug)]
pub(super) struct Seats {
    registry: Registry,
    table: RefCell<Table>,
    waker: RefCell<Option<Waker>>,
    doomed: Arc<Doomed>,
}

#[derive(Debug, Default)]
struct Table {
    seats: Vec<Seat>,
    free: Vec<usize>,
    /// Who gets a turn though no event says so. May hold a seat twice, and empty ones.
    again: Vec<usize>,
}

enum Seat {
    Free,
    /// Waits for its socket, or for the log.
    Here(Box<Connection>),
    /// Has its turn now.
    Busy,
    /// Waits for something else, in a task.
    Away(Away),
}

/// What a connection that is away has to know of its socket.
struct Away {
    client: Arc<Client>,
    ready: Ready,
    waker: Option<Waker>,
    task: Option<AbortHandle>,
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Seat::Free => "Free",
            Seat::Here(_) => "Here",
            Seat::Busy => "Busy",
            Seat::Away(_) => "Away",
        })
    }
}

/// Connections of a worker that somebody wants to end, on any thread.
#[derive(Debug, Default)]
pub(super) struct Doomed {
    /// Seats: each connection once at most.
    seats: Mutex<Vec<usize>>,
    wake: Notify,
}

/// How to end a connection from outside.
#[derive(Debug)]
pub(super) struct Ender {
    doomed: Arc<Doomed>,
    seat: usize,
}

impl Ender {
    /// Its worker ends it soon.
    pub(super) fn end(&self) {
        self.doomed.seats.lock().push(self.seat);
        self.doomed.wake.notify_one();
    }
}

/// A connection's seat while it is away, given up when this is dropped and it has not come back.
struct Leave {
    worker: Rc<Worker>,
    seat: usize,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.worker.seats.leave(self.seat);
    }
}

impl Seats {
    /// No connection yet.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn new(poll: &mio::Poll) -> io::Result<Seats> {
        Ok(Seats {
            registry: poll.registry().try_clone()?,
            table: RefCell::default(),
            waker: RefCell::default(),
            doomed: Arc::default(),
        })
    }

    /// A seat for a connection; it is to be taken at once.
    pub(super) fn reserve(&self) -> usize {
        let mut table = self.table.borrow_mut();
        match table.free.pop() {
            Some(seat) => {
                table.seats[seat] = Seat::Busy;
                seat
            }
            None => {
                table.seats.push(Seat::Busy);
                table.seats.len() - 1
            }
        }
    }

    /// Begins to serve a connection.
    pub(super) fn take(&self, connection: Connection) {
        let (seat, client) = (connection.seat(), connection.client().clone());
        let stream = connection.socket().stream().as_raw_fd();
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.registry.register(&mut SourceFd(&stream), Token(seat), interest) {
            tracing::warn!(%error, "cannot serve a connection");
            self.leave(seat);
            return;
        }
        self.table.borrow_mut().seats[seat] = Seat::Here(Box::new(connection));
        client.set_ender(Ender { doomed: self.doomed.clone(), seat });
    }

    /// Forgets a socket that goes on elsewhere.
    pub(super) fn forget(&self, stream: &TcpStream) -> io::Result<()> {
        self.registry.deregister(&mut SourceFd(&stream.as_raw_fd()))
    }

    /// Gives a seat up.
    fn leave(&self, seat: usize) {
        let mut table = self.table.borrow_mut();
        // None: the worker has ended.
        if let Some(place @ (Seat::Busy | Seat::Away(_))) = table.seats.get_mut(seat) {
            *place = Seat::Free;
            table.free.push(seat);
        }
    }

    /// Gives a connection a turn, whatever its socket says.
    pub(super) fn wake(&self, seat: usize) {
        self.table.borrow_mut().again.push(seat);
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// What the socket of a connection that is away has become ready for.
    pub(super) fn poll_ready(&self, seat: usize, cx: &Context<'_>) -> Ready {
        let mut table = self.table.borrow_mut();
        let Some(Seat::Away(away)) = table.seats.get_mut(seat) else { return Ready::default() };
        away.waker = Some(cx.waker().clone());
        std::mem::take(&mut away.ready)
    }

    /// Ends all connections.
    pub(super) fn clear(&self) {
        let seats = std::mem::take(&mut self.table.borrow_mut().seats);
        drop(seats);
    }

    /// Asks for the lines of a connection that will have a turn soon.
    #[inline]
    fn prefetch(&self, seat: usize) {
        if let Some(Seat::Here(connection)) = self.table.borrow().seats.get(seat) {
            ahead::prefetch(&**connection);
        }
    }

    /// Takes a connection that is here from its seat, to have a turn.
    #[inline]
    fn call(&self, seat: usize, ready: Ready) -> Option<Box<Connection>> {
        let mut table = self.table.borrow_mut();
        let place = table.seats.get_mut(seat)?;
        match std::mem::replace(place, Seat::Busy) {
            Seat::Here(mut connection) => {
                connection.note(ready);
                Some(connection)
            }
            other => {
                *place = other;
                elsewhere(place, ready);
                None
            }
        }
    }

    /// Where a connection goes after its turn.
    #[inline]
    fn seat(
        &self,
        worker: &Rc<Worker>,
        seat: usize,
        connection: Box<Connection>,
        turn: Poll<Turn>,
    ) {
        match turn {
            Poll::Pending => self.table.borrow_mut().seats[seat] = Seat::Here(connection),
            Poll::Ready(Turn::Again) => {
                let mut table = self.table.borrow_mut();
                table.seats[seat] = Seat::Here(connection);
                table.again.push(seat);
            }
            Poll::Ready(turn) => self.after(worker, seat, connection, turn),
        }
    }

    #[cold]
    fn after(&self, worker: &Rc<Worker>, seat: usize, connection: Box<Connection>, turn: Turn) {
        match turn {
            Turn::Gone => {
                drop(connection);
                self.leave(seat);
            }
            Turn::Move(to) => {
                self.leave(seat);
                connection.hand_over(to);
            }
            Turn::Again
            | Turn::Close
            | Turn::Broken(_)
            | Turn::Overflow
            | Turn::NoMemory
            | Turn::Paused
            | Turn::Unserved
            | Turn::Slowed
            | Turn::Await
            | Turn::Sleep(_) => self.send_away(worker, seat, connection, turn),
        }
    }

    /// Lets a connection wait in a task of its own, and come back if it is to go on.
    fn send_away(
        &self,
        worker: &Rc<Worker>,
        seat: usize,
        mut connection: Box<Connection>,
        turn: Turn,
    ) {
        let client = connection.client().clone();
        let away = Away { client, ready: Ready::default(), waker: None, task: None };
        self.table.borrow_mut().seats[seat] = Seat::Away(away);
        let leave = Leave { worker: worker.clone(), seat };
        let task = tokio::task::spawn_local(async move {
            if connection.between(turn).await {
                leave.worker.seats.come_back(leave.seat, connection);
            }
        });
        if let Seat::Away(away) = &mut self.table.borrow_mut().seats[seat] {
            away.task = Some(task.abort_handle());
        }
    }

    fn come_back(&self, seat: usize, mut connection: Box<Connection>) {
        if let Some(place) = self.table.borrow_mut().seats.get_mut(seat) {
            if let Seat::Away(away) = place {
                connection.note(away.ready);
            }
            *place = Seat::Here(connection);
        }
        self.wake(seat);
    }

    /// Ends a connection if somebody wanted that.
    fn end(&self, seat: usize) {
        let table = self.table.borrow();
        match table.seats.get(seat) {
            Some(Seat::Here(_)) => {
                drop(table);
                // The first thing a turn looks at.
                self.wake(seat);
            }
            Some(Seat::Away(Away { client, task: Some(task), .. })) if client.is_ended() => {
                task.abort();
            }
            Some(Seat::Away(_) | Seat::Busy | Seat::Free) | None => {}
        }
    }
}

/// An event for a connection that is away, or has just left.
#[cold]
fn elsewhere(seat: &mut Seat, ready: Ready) {
    if let Seat::Away(away) = seat {
        away.ready = away.ready.and(ready);
        if let Some(waker) = away.waker.take() {
            waker.wake();
        }
    }
}

/// Ends connections that somebody wants to end, for ever.
pub(super) async fn end_doomed(worker: Rc<Worker>) {
    loop {
        worker.seats.doomed.wake.notified().await;
        let seats = std::mem::take(&mut *worker.seats.doomed.seats.lock());
        for seat in seats {
            worker.seats.end(seat);
        }
    }
}

/// A connection whose bytes have been read and not executed.
struct Ahead {
    seat: usize,
    connection: Box<Connection>,
    len: usize,
}

/// Gives a turn to each connection that has an event. The next one's bytes are read first, and the
/// memory that its first command needs is on its way while this one is executed and answered.
fn round(worker: &Rc<Worker>, events: &Events, buffers: &mut [Box<[u8]>; 2]) {
    let (seats, engine) = (&worker.seats, &*worker.shared.engine);
    let [buffer, spare] = buffers;
    let mut ahead: Option<Ahead> = None;
    let mut guess: Option<Guess> = None;
    let finish = |ahead: Option<Ahead>, buffer: &[u8]| {
        if let Some(Ahead { seat, mut connection, len }) = ahead {
            let turn = connection.turn_with(&buffer[..len]);
            seats.seat(worker, seat, connection, turn);
        }
    };
    let mut events = events.iter().peekable();
    while let Some(event) = events.next() {
        let seat = event.token().0;
        if let Some(next) = events.peek() {
            seats.prefetch(next.token().0);
        }
        let Some(mut connection) = seats.call(seat, Ready::of(event)) else { continue };
        let len = connection.read_ahead(spare);
        if let Some(len @ limits::AHEAD_BYTES_MAX..) = len {
            // Many commands, which ask for memory ahead of each other.
            finish(ahead.take(), buffer);
            guess = None;
            let turn = connection.turn_with(&spare[..len]);
            seats.seat(worker, seat, connection, turn);
        } else if let Some(len) = len {
            if let Some(guess) = &guess {
                guess.item(engine, buffer);
            }
            guess = Guess::new(engine, &spare[..len]);
            finish(ahead.replace(Ahead { seat, connection, len }), buffer);
            std::mem::swap(buffer, spare);
            if let Some(guess) = &guess {
                guess.slot(engine, buffer);
            }
        } else {
            let turn = connection.turn();
            seats.seat(worker, seat, connection, turn);
        }
    }
    finish(ahead, buffer);
}

/// Gives connections their turns, for ever.
///
/// # Errors
/// The system's.
pub(super) async fn serve(worker: Rc<Worker>, poll: mio::Poll) -> io::Result<()> {
    // SAFETY: the descriptor is that of `poll`, which lives as long as this and is never replaced.
    let poll = unsafe { AsyncFd::register_with_interest(poll, tokio::io::Interest::READABLE) };
    let mut poll = poll.map_err(|error| error.into_parts().1)?;
    let mut events = Events::with_capacity(limits::ROUND_EVENTS_MAX);
    let mut again = Vec::new();
    let mut buffers = [0; 2].map(|_: u8| vec![0; limits::READ_BYTES].into_boxed_slice());
    poll_fn(|cx| {
        let seats = &worker.seats;
        if !seats.waker.borrow().as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *seats.waker.borrow_mut() = Some(cx.waker().clone());
        }
        for _ in 0..limits::ROUNDS_MAX {
            let mut come = false;
            if let Poll::Ready(guard) = poll.poll_read_ready_mut(cx) {
                let mut guard = guard?;
                if guard.get_inner_mut().poll(&mut events, Some(Duration::ZERO)).is_ok() {
                    come = !events.is_empty();
                    if !come {
                        guard.clear_ready();
                    }
                }
            } else if seats.table.borrow().again.is_empty() {
                return Poll::Pending;
            }
            if come {
                round(&worker, &events, &mut buffers);
            }
            std::mem::swap(&mut again, &mut seats.table.borrow_mut().again);
            for seat in again.drain(..) {
                if let Some(mut connection) = seats.call(seat, Ready::default()) {
                    let turn = connection.turn();
                    seats.seat(&worker, seat, connection, turn);
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}
