//! The listeners of a node: opened, each once per worker, and told by name. Knows no connection.

use super::NodeError;
use crate::config::{Config, Listener};
use crate::security;
use crate::worker::{self, Entrance};
use cluster::node::ClientAddress;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// The listeners of a node, open.
pub(super) struct Doors {
    /// By worker, then by listener.
    pub(super) by_worker: Vec<Vec<TcpListener>>,
    /// Where each listens.
    pub(super) addresses: Vec<SocketAddr>,
    /// What the workers know of each.
    pub(super) entrances: Arc<[Entrance]>,
    /// What other nodes tell clients of each.
    pub(super) announced: Vec<ClientAddress>,
}

/// Opens all listeners of the configuration, each for all workers.
pub(super) fn open(config: &Config, clustered: bool, workers: usize) -> Result<Doors, NodeError> {
    let server = &config.server;
    let listeners = config.listeners(clustered);
    for listener in &listeners {
        let ip = listener.address.ip();
        security::check_bind(ip, !server.tokens.is_empty(), server.protected)
            .map_err(NodeError::Bind)?;
    }
    let mut by_worker: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    let mut addresses = Vec::with_capacity(listeners.len());
    for listener in &listeners {
        addresses.push(open_one(listener, server.tcp_backlog, &mut by_worker)?);
    }
    let entrance = |l: &Listener| Entrance { name: l.name.clone(), forwards: l.forward };
    let entrances = listeners.iter().map(entrance).collect();
    let announce = |(listener, at): (&Listener, &SocketAddr)| {
        let (host, port) = listener.reached_at(at.port());
        ClientAddress { listener: listener.name.clone(), host, port, forward: listener.forward }
    };
    let announced = listeners.iter().zip(&addresses).map(announce).collect();
    Ok(Doors { by_worker, addresses, entrances, announced })
}

/// Opens a listener for each worker, all on one address.
fn open_one(
    listener: &Listener,
    backlog: u32,
    by_worker: &mut [Vec<TcpListener>],
) -> Result<SocketAddr, NodeError> {
    let mut address = listener.address;
    // Others may share a port that shares itself; whether it is free is asked without sharing.
    worker::check_free(address).map_err(|error| NodeError::Listen(address, error))?;
    for of_worker in by_worker {
        let opened =
            worker::listen(address, backlog).map_err(|error| NodeError::Listen(address, error))?;
        // Port 0 means any free one: the first finds it, the others share it.
        address = opened.local_addr()?;
        of_worker.push(opened);
    }
    Ok(address)
}

/// Logs the listeners beside the first.
pub(super) fn announce(entrances: &[Entrance], addresses: &[SocketAddr]) {
    for (entrance, at) in entrances.iter().zip(addresses).skip(1) {
        let forwards = entrance.forwards;
        tracing::info!(listener = entrance.name, %at, forwards, "clients may come in here too");
    }
}
