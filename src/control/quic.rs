//! The transport between nodes: the control plane's endpoint of the room `peer`. Passes on what
//! comes and goes; knows nothing of what is said.

use super::transport::{Bind, Boxed, CallError, Caller, Handler, Transport};
use crate::peer::{self, Answer, Endpoint, Options, PeerError, Receiver};
use crate::security::{Identity, Peer};
use bytes::Bytes;
use cluster::node::NodeId;
use std::sync::Arc;
use std::time::Duration;

/// Listens with this identity, when the control plane starts.
pub fn bind(options: Options, identity: impl Into<Arc<Identity>>) -> Bind {
    let options = Arc::new((options, identity.into()));
    Box::new(move |handler| {
        let options = options.clone();
        Box::pin(async move {
            let (options, identity) = &*options;
            let endpoint = Endpoint::bind(options, identity, Arc::new(Incoming(handler)))?;
            Ok(Arc::new(Quic(endpoint)) as Arc<dyn Transport>)
        })
    })
}

struct Quic(Endpoint);

struct Incoming(Arc<dyn Handler>);

impl peer::Handler for Incoming {
    fn on_datagram(&self, from: &Peer, body: Bytes) {
        self.0.on_datagram(caller(from), body);
    }

    fn on_call(&self, from: &Peer, kind: u8, body: Bytes) -> Answer {
        let answer = self.0.clone().on_call(caller(from), kind, body);
        Box::pin(async move { Some(answer.await).filter(|answer| !answer.is_empty()) })
    }

    fn on_stream(&self, _: NodeId, _: u8, receiver: Receiver) {
        // There are none on this plane.
        drop(receiver);
    }
}

fn caller(peer: &Peer) -> Caller {
    Caller { node: peer.name.node, certificate: Some(peer.fingerprint) }
}

impl Transport for Quic {
    fn call(
        &self,
        to: NodeId,
        kind: u8,
        body: Bytes,
        timeout: Duration,
    ) -> Boxed<'_, Result<Bytes, CallError>> {
        Box::pin(async move { self.0.call(to, kind, body, timeout).await.map_err(failed) })
    }

    fn call_address<'a>(
        &'a self,
        address: &'a str,
        kind: u8,
        body: Bytes,
        timeout: Duration,
    ) -> Boxed<'a, Result<(NodeId, Bytes), CallError>> {
        Box::pin(
            async move { self.0.call_address(address, kind, body, timeout).await.map_err(failed) },
        )
    }

    fn send_datagram(&self, to: NodeId, body: Bytes) {
        // Whether it arrives is not known anyway.
        let _ = self.0.send_datagram(to, body);
    }

    fn set_peers(&self, peers: Vec<(NodeId, String)>) {
        self.0.set_peers(peers);
    }

    fn close(&self) -> Boxed<'_, ()> {
        Box::pin(self.0.close())
    }
}

fn failed(error: PeerError) -> CallError {
    match &error {
        PeerError::TimedOut | PeerError::Lost(_) => CallError::TimedOut,
        PeerError::Refused => CallError::Refused(error.to_string()),
        PeerError::Unknown(_)
        | PeerError::Unreachable(_)
        | PeerError::TooLong { .. }
        | PeerError::Full => CallError::Unreachable(error.to_string()),
    }
}
