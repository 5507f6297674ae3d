//! Connections that others have made: who may, how many at a time, and what comes over them.
//! Knows no message.

use super::PeerError;
use super::endpoint::Core;
use super::frame::length;
use super::link::{admitted, say};
use super::receiver::Receiver;
use super::transport::Farewell;
use crate::limits;
use crate::security::{Peer, any_node};
use bytes::Bytes;
use cluster::topology::NodeId;
use quinn::crypto::rustls::HandshakeData;
use quinn::{Connection, Incoming, RecvStream, SendStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::timeout;

/// What is counted while it goes on.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Counted<'a> {
        count.fetch_add(1, Ordering::Relaxed);
        Counted(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Takes connections until the endpoint is closed.
pub(super) async fn accept(core: Arc<Core>) {
    while let Some(incoming) = core.quic.accept().await {
        let open = core.handshakes.load(Ordering::Relaxed);
        if open >= limits::PEER_HANDSHAKES_MAX {
            incoming.ignore();
        } else if open >= limits::PEER_HANDSHAKES_RETRY && !incoming.remote_address_validated() {
            // Whoever hears this comes again; who has forged an address has cost us nothing.
            let _ = incoming.retry();
        } else {
            core.handshakes.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(serve(core.clone(), incoming));
        }
    }
}

async fn serve(core: Arc<Core>, incoming: Incoming) {
    let from = incoming.remote_address();
    let connection = handshake(&core, incoming).await;
    core.handshakes.fetch_sub(1, Ordering::Relaxed);
    let done = match connection {
        Ok((connection, peer)) => greet(&core, connection, peer).await,
        Err(error) => Err(error),
    };
    if let Err(why) = done {
        tracing::warn!(%from, plane = core.plane.name(), why, "a connection was not accepted");
    }
}

async fn handshake(core: &Core, incoming: Incoming) -> Result<(Connection, Peer), String> {
    let connecting = incoming.accept().map_err(|error| error.to_string())?;
    let time = Duration::from_millis(limits::PEER_DIAL_MS_MAX);
    let Ok(connection) = timeout(time, connecting).await else {
        return Err("the handshake took too long".into());
    };
    let connection = connection.map_err(|error| error.to_string())?;
    match admitted(&connection, &*core.handler) {
        Ok(peer) => Ok((connection, peer)),
        Err(why) => {
            connection.close(Farewell::Refused.code(), why.as_bytes());
            Err(why)
        }
    }
}

/// Tells the peer that it is accepted, and takes what it sends until the end of the connection.
async fn greet(core: &Arc<Core>, connection: Connection, peer: Peer) -> Result<(), String> {
    let node = peer.name.node;
    let visit = any_node(core.name.cluster);
    let is_visit = asked_for(&connection).is_some_and(|name| name == visit);
    if is_visit && core.visits.load(Ordering::Relaxed) >= limits::PEER_VISITS_MAX {
        connection.close(Farewell::Refused.code(), b"too many visitors");
        return Err("too many visitors".into());
    }
    let _counted = is_visit.then(|| Counted::new(&core.visits));
    let mut greeting = connection.open_uni().await.map_err(|error| error.to_string())?;
    greeting.finish().map_err(|error| error.to_string())?;
    if !is_visit {
        let before = core.from.lock().insert(node, connection.clone());
        if let Some(before) = before {
            say(&before, Farewell::Replaced);
        }
    }
    tokio::join!(
        datagrams(core, &connection, &peer),
        calls(core, &connection, peer),
        streams(core, &connection, node),
    );
    let mut from = core.from.lock();
    if from.get(&node).is_some_and(|last| last.stable_id() == connection.stable_id()) {
        from.remove(&node);
    }
    Ok(())
}

/// The name that the peer has dialled.
fn asked_for(connection: &Connection) -> Option<String> {
    connection.handshake_data()?.downcast::<HandshakeData>().ok()?.server_name
}

async fn datagrams(core: &Core, connection: &Connection, peer: &Peer) {
    while let Ok(body) = connection.read_datagram().await {
        core.handler.on_datagram(peer, body);
    }
}

async fn calls(core: &Arc<Core>, connection: &Connection, peer: Peer) {
    while let Ok((answer, question)) = connection.accept_bi().await {
        let (core, connection) = (core.clone(), connection.clone());
        tokio::spawn(async move {
            match call(&core, &peer, question, answer).await {
                Ok(()) | Err(PeerError::Lost(_)) => {}
                Err(error) => {
                    let node = peer.name.node.number();
                    tracing::warn!(peer = node, %error, "a call that is none");
                    say(&connection, Farewell::Nonsense);
                }
            }
        });
    }
}

async fn call(
    core: &Core,
    from: &Peer,
    question: RecvStream,
    mut answer: SendStream,
) -> Result<(), PeerError> {
    let mut receiver = Receiver::new(question, core.message_bytes_max);
    let Some(kind) = receiver.kind().await? else { return Ok(()) };
    let Some(body) = receiver.next().await? else { return Ok(()) };
    match core.handler.on_call(from, kind, on_its_own(body)).await {
        Some(body) => write(&mut answer, None, body, core.message_bytes_max).await,
        None => {
            let _ = answer.reset(Farewell::Refused.code());
            Ok(())
        }
    }
}

/// A short body, which may live long, without the packets it came with.
fn on_its_own(body: Bytes) -> Bytes {
    if body.len() > limits::PEER_COPY_BYTES_MAX { body } else { Bytes::copy_from_slice(&body) }
}

/// Writes a message and ends the stream.
pub(super) async fn write(
    stream: &mut SendStream,
    kind: Option<u8>,
    body: Bytes,
    bytes_max: usize,
) -> Result<(), PeerError> {
    let length = length(body.len(), bytes_max)?;
    let mut head = Vec::with_capacity(super::transport::HEAD_BYTES);
    head.extend(kind);
    head.extend(length);
    let lost = |error: quinn::WriteError| PeerError::Lost(error.to_string());
    stream.write_all_chunks(&mut [Bytes::from(head), body]).await.map_err(lost)?;
    stream.finish().map_err(|error| PeerError::Lost(error.to_string()))
}

async fn streams(core: &Arc<Core>, connection: &Connection, node: NodeId) {
    while let Ok(stream) = connection.accept_uni().await {
        let core = core.clone();
        tokio::spawn(async move {
            let mut receiver = Receiver::new(stream, core.message_bytes_max);
            if let Ok(Some(kind)) = receiver.kind().await {
                core.handler.on_stream(node, kind, receiver);
            }
        });
    }
}
