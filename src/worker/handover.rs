//! Connections on their way from one worker to another: taken apart here, put together there.
//! They move between two commands only, when nothing of them is half-read or half-sent.

use super::Worker;
use super::accept::admit;
use super::connection::Connection;
use super::session::Session;
use crate::limits;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::OnceLock;
use tokio::sync::mpsc;

/// A connection that a worker gets from another.
#[derive(Debug)]
pub(super) enum Newcomer {
    /// Just accepted.
    Accepted(TcpStream, SocketAddr),
    /// It has been served before.
    Moved(TcpStream, Session),
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
        Newcomer::Accepted(stream, peer) => match tokio::net::TcpStream::from_std(stream) {
            Ok(stream) => admit(worker, stream, peer),
            Err(error) => tracing::warn!(%error, "cannot take a connection over"),
        },
        Newcomer::Moved(stream, session) => welcome(worker, stream, session),
    }
}

/// Goes on with a connection from another worker.
fn welcome(worker: &Rc<Worker>, stream: TcpStream, session: Session) {
    let client = session.client.clone();
    worker.metrics().connections_open.add(1);
    worker.shared.clients.transfer(&client, worker.index);
    match tokio::net::TcpStream::from_std(stream) {
        Ok(stream) => {
            let connection = Connection::new(stream, worker.clone(), session);
            let task = tokio::task::spawn_local(connection.serve());
            client.set_abort(task.abort_handle());
        }
        Err(error) => {
            tracing::warn!(%error, "cannot take a connection over");
            worker.metrics().connections_open.sub(1);
            worker.shared.clients.close(&client);
        }
    }
}

/// Which other worker should have a connection of this one, if any.
pub(super) fn target(worker: &Worker) -> Option<usize> {
    let shared = &worker.shared;
    let to = shared.load.lightest(|w| shared.metrics.worker(w).connections_open.get());
    (to != worker.index).then_some(to)
}

/// Sends a connection to another worker. If that is not possible now, it is served here again.
pub(super) fn hand_over(worker: &Rc<Worker>, to: usize, stream: TcpStream, session: Session) {
    let newcomer = Newcomer::Moved(stream, session);
    if let Err(newcomer) = worker.shared.inboxes.send(to, newcomer) {
        serve(worker, newcomer);
    }
}
