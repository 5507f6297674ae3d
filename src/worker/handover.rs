//! Connections on their way from one worker to another: taken apart here, put together there.
//! They move between two commands only, when nothing of them is half-read or half-sent.

use super::Worker;
use super::accept::admit;
use super::clients::Entry;
use super::connection::Connection;
use super::session::Session;
use crate::limits;
use std::convert::Infallible;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::OnceLock;
use tokio::sync::mpsc;

/// A connection that a worker gets from another.
#[derive(Debug)]
pub(super) enum Newcomer {
    /// Just accepted, by the listener of this number.
    Accepted(TcpStream, SocketAddr, u8),
    /// It has been served before. Its entry in the list of clients travels with it, so that it
    /// is taken off should the connection never arrive.
    Moved(TcpStream, Session, Entry),
    /// Nobody: somebody waits for it to be received, between two turns of connections.
    Nobody(mpsc::Sender<Infallible>),
}

/// The inboxes of all workers.
#[derive(Debug)]
pub struct Inboxes(Box<[OnceLock<mpsc::Sender<Newcomer>>]>);

impl Inboxes {
    /// For so many workers, none of which has opened its own yet.
    pub fn new(workers: usize) -> Inboxes {
        Inboxes((0..workers).map(|_| OnceLock::new()).collect())
    }

    /// Opens the inbox of a worker.
    pub(super) fn open(&self, worker: usize) -> mpsc::Receiver<Newcomer> {
        let (sender, receiver) = mpsc::channel(limits::NEWCOMERS_MAX);
        let _ = self.0[worker].set(sender);
        receiver
    }

    /// Returns when every worker has been between two turns of connections: what was told to all
    /// before is known to whatever they execute from then on.
    pub async fn all_have_turned(&self) {
        let (tell, mut told) = mpsc::channel(1);
        for inbox in self.0.iter().filter_map(OnceLock::get) {
            // One that has ended executes nothing.
            let _ = inbox.send(Newcomer::Nobody(tell.clone())).await;
        }
        drop(tell);
        let _ = told.recv().await;
    }

    /// How many are on their way to a worker.
    pub(super) fn waiting(&self, worker: usize) -> usize {
        self.0[worker].get().map_or(0, |inbox| inbox.max_capacity() - inbox.capacity())
    }

    /// Whether a worker takes connections now: it has started, has not ended and is not behind.
    fn has_room(&self, worker: usize) -> bool {
        self.0[worker].get().is_some_and(|inbox| !inbox.is_closed() && inbox.capacity() > 0)
    }

    /// Sends a connection to a worker, or gives it back when the inbox is full or closed.
    pub(super) fn send(&self, worker: usize, newcomer: Newcomer) -> Result<(), Newcomer> {
        match self.0[worker].get() {
            None => Err(newcomer),
            Some(inbox) => inbox.try_send(newcomer).map_err(|e| e.into_inner()),
        }
    }
}

/// Serves what comes from other workers, for ever.
pub(super) async fn receive(worker: Rc<Worker>, mut inbox: mpsc::Receiver<Newcomer>) {
    while let Some(newcomer) = inbox.recv().await {
        serve(&worker, newcomer);
    }
}

fn serve(worker: &Rc<Worker>, newcomer: Newcomer) {
    match newcomer {
        Newcomer::Accepted(stream, peer, entrance) => admit(worker, stream, peer, entrance),
        Newcomer::Moved(stream, session, entry) => welcome(worker, stream, session, entry),
        Newcomer::Nobody(waiting) => drop(waiting),
    }
}

/// Goes on with a connection from another worker. Who was to end it meanwhile has ended it: a turn
/// looks.
fn welcome(worker: &Rc<Worker>, stream: TcpStream, session: Session, entry: Entry) {
    entry.transfer(worker.index);
    worker.metrics().connections_moved.add(1);
    Connection::new(stream, worker.clone(), session, entry).begin();
}

/// Which other worker a connection of this one, which may move now, goes to.
pub(super) fn target(worker: &Worker) -> Option<usize> {
    let shared = &worker.shared;
    let to = shared.load.destination(worker.index, |w| shared.connections(w))?;
    // Otherwise it would be back at once, and try again. That it was counted does no harm: a worker
    // hands one less over.
    shared.inboxes.has_room(to).then_some(to)
}

/// Sends a connection to another worker. If that is not possible now, it is served here again.
pub(super) fn hand_over(
    worker: &Rc<Worker>,
    to: usize,
    stream: TcpStream,
    session: Session,
    entry: Entry,
) {
    let newcomer = Newcomer::Moved(stream, session, entry);
    if let Err(newcomer) = worker.shared.inboxes.send(to, newcomer) {
        serve(worker, newcomer);
    }
}
