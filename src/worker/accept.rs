//! Listening and letting clients in. Knows no command.

use super::Worker;
use super::clients::Opening;
use super::connection::Connection;
use super::handover::Newcomer;
use super::session::Session;
use crate::clock;
use crate::limits;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::JoinSet;

/// A listener that shares its address with those of the other workers: the kernel deals clients
/// out among them.
///
/// # Errors
/// The system's: the address is taken, or not ours.
pub fn listen(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Whether nobody listens at an address. Asked without listening: a client that came in that
/// moment would be thrown out.
///
/// # Errors
/// The system's: the address is taken, or not ours.
pub fn check_free(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())
}

/// Lets clients in by all listeners, for ever.
pub(super) async fn accept_all(worker: Rc<Worker>, listeners: Vec<tokio::net::TcpListener>) {
    let mut tasks = JoinSet::new();
    for (entrance, listener) in (0..).zip(listeners) {
        tasks.spawn_local(accept(worker.clone(), listener, entrance));
    }
    while tasks.join_next().await.is_some() {}
}

/// Lets clients in for ever.
async fn accept(worker: Rc<Worker>, listener: tokio::net::TcpListener, entrance: u8) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if let Ok(stream) = stream.into_std() {
                    place(&worker, stream, peer, entrance);
                }
            }
            Err(error) => {
                if let Some(more) = worker.quiet.pass(clock::monotonic_nanos()) {
                    tracing::warn!(%error, more, "cannot accept a connection");
                }
                // Out of descriptors, most likely: trying again at once would spin.
                tokio::time::sleep(Duration::from_millis(limits::ACCEPT_RETRY_MS)).await;
            }
        }
    }
}

/// Serves a client here, or on another worker if this one is to rest.
fn place(worker: &Rc<Worker>, stream: TcpStream, peer: SocketAddr, entrance: u8) {
    let shared = &worker.shared;
    if worker.index < shared.load.active() {
        return admit(worker, stream, peer, entrance);
    }
    let to = shared.load.lightest(|w| shared.connections(w));
    match shared.inboxes.send(to, Newcomer::Accepted(stream, peer, entrance)) {
        Ok(()) => {}
        Err(Newcomer::Accepted(stream, peer, entrance)) => admit(worker, stream, peer, entrance),
        Err(Newcomer::Moved(..) | Newcomer::Nobody(_)) => {
            unreachable!("it was given what was sent")
        }
    }
}

/// Lets one client in, or turns it away.
pub(super) fn admit(worker: &Rc<Worker>, stream: TcpStream, peer: SocketAddr, entrance: u8) {
    let settings = worker.shared.notice.settings();
    let metrics = worker.metrics();
    let Ok(local) = stream.local_addr() else { return };
    let opening = Opening {
        peer,
        local,
        fd: stream.as_raw_fd(),
        worker: worker.index,
        nanos: clock::monotonic_nanos(),
        authenticated: !settings.auth_required,
    };
    let Some(entry) = worker.shared.clients.open(opening, settings.clients_max) else {
        metrics.connections_rejected.add(1);
        if let Some(more) = worker.quiet.pass(clock::monotonic_nanos()) {
            tracing::warn!(%peer, more, "too many clients: turned one away");
        }
        return turn_away(stream);
    };
    metrics.connections_accepted.add(1);
    // A socket without these works too.
    let _ = stream.set_nodelay(true);
    if !settings.keepalive.is_zero() {
        let keepalive = TcpKeepalive::new().with_time(settings.keepalive);
        let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
    }
    let session = Session::new(entry.client().clone(), entrance, &worker.shared);
    Connection::new(stream, worker.clone(), session, entry).begin();
}

/// Says why and closes.
fn turn_away(mut stream: TcpStream) {
    let _ = stream.write_all(b"-ERR max number of clients reached\r\n");
}
