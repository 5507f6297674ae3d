//! How QUIC is set up: sockets, windows, limits, times, all said explicitly. Knows no peer.

use super::frame::LENGTH_BYTES;
use crate::limits;
use crate::security::{Identity, client_config, server_config};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, EndpointConfig, IdleTimeout, ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use quinn_proto::HashedConnectionIdGenerator;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

/// Where a node is reached: `host:port`, an IPv6 address in brackets. Names are looked up anew at
/// each try to connect.
pub type Address = String;

/// What an endpoint is for. The two never share a socket, a thread or a connection, so that data
/// does not delay control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plane {
    /// Heartbeats and Raft.
    Control,
    /// Records, resyncs and forwarded commands.
    Data,
}

impl Plane {
    /// Its name, in logs.
    pub fn name(self) -> &'static str {
        match self {
            Plane::Control => "control",
            Plane::Data => "data",
        }
    }

    /// Its longest message.
    pub fn message_bytes_max(self) -> usize {
        match self {
            Plane::Control => limits::PEER_CONTROL_MESSAGE_BYTES_MAX,
            Plane::Data => limits::PEER_DATA_MESSAGE_BYTES_MAX,
        }
    }
}

/// A socket with room for bursts. Where the system gives less than asked for, it says so.
pub(super) fn socket(address: SocketAddr, plane: Plane) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(limits::PEER_SOCKET_BYTES)?;
    socket.set_send_buffer_size(limits::PEER_SOCKET_BYTES)?;
    // Linux says twice what it grants.
    let granted = socket.recv_buffer_size()?.min(socket.send_buffer_size()?) / 2;
    if granted < limits::PEER_SOCKET_BYTES {
        tracing::warn!(
            plane = plane.name(),
            granted,
            wanted = limits::PEER_SOCKET_BYTES,
            "small buffers for UDP; bursts may be lost and sent again: raise net.core.rmem_max and \
             net.core.wmem_max"
        );
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Opens an endpoint that dials and answers. To be called within the runtime that drives it.
pub(super) fn endpoint(
    socket: UdpSocket,
    identity: &Identity,
    plane: Plane,
    gso: bool,
) -> io::Result<quinn::Endpoint> {
    let config = endpoint_config(identity, plane);
    let server = server(identity, gso)?;
    quinn::Endpoint::new(config, Some(server), socket, Arc::new(TokioRuntime))
}

/// A node knows its connections of before a restart again as such, and tells those at the other
/// end: they need not find out by waiting.
fn endpoint_config(identity: &Identity, plane: Plane) -> EndpointConfig {
    let secret = identity.secret(&format!("stateless reset {}", plane.name()));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret);
    let ids = identity.secret(&format!("connection ids {}", plane.name()));
    let ids = u64::from_le_bytes(*ids.first_chunk().unwrap_or(&[0; 8]));
    let mut config = EndpointConfig::new(Arc::new(key));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
    config
}

fn server(identity: &Identity, gso: bool) -> io::Result<ServerConfig> {
    let tls = server_config(identity).map_err(io::Error::other)?;
    let tls = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
    let mut transport = transport(gso);
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(limits::PEER_CALLS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(limits::PEER_STREAMS_MAX));
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config
        .transport_config(Arc::new(transport))
        .max_incoming(limits::PEER_HANDSHAKES_MAX)
        .incoming_buffer_size(limits::PEER_INCOMING_BYTES_MAX)
        .incoming_buffer_size_total(limits::PEER_INCOMING_TOTAL_BYTES_MAX)
        .migration(false);
    Ok(config)
}

/// How to dial. Who answers may open one stream, for the greeting, and nothing else.
pub(super) fn client(identity: &Identity, gso: bool) -> io::Result<ClientConfig> {
    let tls = client_config(identity).map_err(io::Error::other)?;
    let tls = QuicClientConfig::try_from(tls).map_err(io::Error::other)?;
    let mut transport = transport(gso);
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(1));
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

fn transport(gso: bool) -> TransportConfig {
    let mut config = TransportConfig::default();
    let idle = u32::try_from(limits::PEER_IDLE_MS_MAX).unwrap_or(u32::MAX);
    config
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(idle))))
        .keep_alive_interval(Some(Duration::from_millis(limits::PEER_KEEP_ALIVE_MS)))
        .initial_rtt(Duration::from_millis(limits::PEER_INITIAL_RTT_MS))
        .stream_receive_window(VarInt::from_u32(limits::PEER_STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(limits::PEER_CONNECTION_WINDOW_BYTES))
        .send_window(limits::PEER_SEND_WINDOW_BYTES)
        .datagram_receive_buffer_size(Some(limits::PEER_DATAGRAM_BYTES_MAX))
        .datagram_send_buffer_size(limits::PEER_DATAGRAM_BYTES_MAX)
        .enable_segmentation_offload(gso);
    config
}

/// What stands before the body of a call, of its answer and of a stream: what it is, and for the
/// first two how long.
pub(super) const HEAD_BYTES: usize = 1 + LENGTH_BYTES;

/// Why a connection is closed, for the one at the other end. Numbers are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    /// The node stops, or does not need the connection any more.
    Closing,
    /// The node may not talk to us.
    Refused,
    /// A newer connection of the same node has come.
    Replaced,
    /// Nothing was heard during a whole call.
    Silent,
    /// What came was not what nodes say.
    Nonsense,
}

impl Farewell {
    /// Its number on the wire.
    pub(super) fn code(self) -> VarInt {
        VarInt::from_u32(match self {
            Farewell::Closing => 0,
            Farewell::Refused => 1,
            Farewell::Replaced => 2,
            Farewell::Silent => 3,
            Farewell::Nonsense => 4,
        })
    }

    /// What it says.
    pub(super) fn text(self) -> &'static [u8] {
        match self {
            Farewell::Closing => b"closing",
            Farewell::Refused => b"refused",
            Farewell::Replaced => b"replaced by a newer connection",
            Farewell::Silent => b"silent",
            Farewell::Nonsense => b"nonsense",
        }
    }
}
