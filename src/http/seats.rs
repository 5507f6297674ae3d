//! Who has a place among the bounded number of HTTP connections, and which of them did nothing for
//! longest: it goes when another comes and all places are taken. Knows no socket.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

/// The connections at hand.
#[derive(Debug, Default)]
pub(super) struct Seats {
    list: Mutex<BTreeMap<u64, Arc<Seat>>>,
    /// Things that connections did, counted: the order in which they were last active.
    deeds: AtomicU64,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    number: u64,
    /// The newest of its deeds; [`BUSY`] while it is answered.
    newest: AtomicU64,
    leave: Notify,
}

const BUSY: u64 = u64::MAX;

/// A connection's part in its seat: the seat is free once this is dropped.
#[derive(Debug)]
pub(super) struct Taken(pub(super) Arc<Seat>);

impl Seats {
    /// A seat for another connection.
    pub(super) fn take(self: &Arc<Self>) -> Taken {
        let number = self.next();
        let newest = AtomicU64::new(number);
        let seat = Arc::new(Seat { seats: self.clone(), number, newest, leave: Notify::new() });
        self.list.lock().insert(number, seat.clone());
        Taken(seat)
    }

    /// Asks the one that did nothing for longest to leave, unless all are being answered.
    pub(super) fn ask_idlest_to_leave(&self) {
        let mut list = self.list.lock();
        let newest = |seat: &Seat| seat.newest.load(Ordering::Relaxed);
        let idle = list.values().filter(|seat| newest(seat) != BUSY);
        if let Some(number) = idle.min_by_key(|seat| newest(seat)).map(|seat| seat.number)
            && let Some(seat) = list.remove(&number)
        {
            seat.leave.notify_one();
        }
    }

    fn next(&self) -> u64 {
        self.deeds.fetch_add(1, Ordering::Relaxed)
    }
}

impl Seat {
    /// A request has come.
    pub(super) fn begin(&self) {
        self.newest.store(BUSY, Ordering::Relaxed);
    }

    /// Its answer is made.
    pub(super) fn end(&self) {
        self.newest.store(self.seats.next(), Ordering::Relaxed);
    }

    /// Returns once it is to leave.
    pub(super) async fn left(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.seats.list.lock().remove(&self.0.number);
    }
}
