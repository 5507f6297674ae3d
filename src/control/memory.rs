//! A transport between nodes of one process, for tests: with delay, loss of single directions, and
//! addresses that can move. Knows nothing of what is said.

use super::transport::{Bind, Boxed, CallError, Caller, Handler, Transport};
use bytes::Bytes;
use cluster::topology::NodeId;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

/// What connects the nodes.
#[derive(Clone, Default)]
pub struct Network {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    listeners: BTreeMap<String, Listener>,
    /// Directions in which nothing arrives.
    cut: BTreeSet<(NodeId, NodeId)>,
    /// How long anything takes in one direction.
    delay: Duration,
}

#[derive(Clone)]
struct Listener {
    node: NodeId,
    handler: Arc<dyn Handler>,
    runtime: Handle,
}

/// The end of one node.
struct End {
    network: Network,
    me: NodeId,
    address: String,
    peers: Mutex<BTreeMap<NodeId, String>>,
}

impl Network {
    /// Has `node` listen at `address` when its transport is made.
    pub fn bind(&self, node: NodeId, address: &str) -> Bind {
        let (network, address) = (self.clone(), address.to_owned());
        Box::new(move |handler| {
            let (network, address) = (network.clone(), address.clone());
            Box::pin(async move {
                let listener = Listener { node, handler, runtime: Handle::current() };
                network.state.lock().listeners.insert(address.clone(), listener);
                let peers = Mutex::default();
                let end = Arc::new(End { network, me: node, address, peers });
                Ok(end as Arc<dyn Transport>)
            })
        })
    }

    /// Lets nothing arrive from one node at another any more.
    pub fn cut(&self, from: NodeId, to: NodeId) {
        self.state.lock().cut.insert((from, to));
    }

    /// Cuts a node off from all of `others`, both ways.
    pub fn isolate(&self, node: NodeId, others: &[NodeId]) {
        for &other in others.iter().filter(|&&other| other != node) {
            self.cut(node, other);
            self.cut(other, node);
        }
    }

    /// Lets everything arrive again.
    pub fn heal(&self) {
        self.state.lock().cut.clear();
    }

    /// Lets everything take this long in each direction.
    pub fn set_delay(&self, delay: Duration) {
        self.state.lock().delay = delay;
    }

    fn listener(&self, address: &str) -> Option<Listener> {
        self.state.lock().listeners.get(address).cloned()
    }

    fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.state.lock().cut.contains(&(from, to))
    }

    fn delay(&self) -> Duration {
        self.state.lock().delay
    }
}

impl End {
    /// The listener at the address, if it is there and one can get there.
    fn reach(&self, address: &str) -> Result<Listener, CallError> {
        let unreachable = || CallError::Unreachable(format!("nobody at {address}"));
        self.network.listener(address).ok_or_else(unreachable)
    }

    async fn ask(
        &self,
        listener: Listener,
        kind: u8,
        body: Bytes,
        bound: Duration,
    ) -> Result<Bytes, CallError> {
        let Listener { node, handler, runtime } = listener;
        let exchange = async {
            sleep(self.network.delay()).await;
            if self.network.is_cut(self.me, node) {
                std::future::pending::<()>().await;
            }
            let me = Caller { node: self.me, certificate: None };
            let answer = runtime.spawn(async move { handler.on_call(me, kind, body).await }).await;
            sleep(self.network.delay()).await;
            if self.network.is_cut(node, self.me) {
                std::future::pending::<()>().await;
            }
            answer.map_err(|_| CallError::TimedOut)
        };
        timeout(bound, exchange).await.unwrap_or(Err(CallError::TimedOut))
    }
}

impl Transport for End {
    fn call(
        &self,
        to: NodeId,
        kind: u8,
        body: Bytes,
        timeout: Duration,
    ) -> Boxed<'_, Result<Bytes, CallError>> {
        Box::pin(async move {
            let address = self.peers.lock().get(&to).cloned();
            let address = address.ok_or_else(|| CallError::Unreachable("no address".into()))?;
            let listener = self.reach(&address)?;
            if listener.node != to {
                return Err(CallError::Refused(format!("{} is at {address}", listener.node)));
            }
            self.ask(listener, kind, body, timeout).await
        })
    }

    fn call_address<'a>(
        &'a self,
        address: &'a str,
        kind: u8,
        body: Bytes,
        timeout: Duration,
    ) -> Boxed<'a, Result<(NodeId, Bytes), CallError>> {
        Box::pin(async move {
            let listener = self.reach(address)?;
            let node = listener.node;
            Ok((node, self.ask(listener, kind, body, timeout).await?))
        })
    }

    fn send_datagram(&self, to: NodeId, body: Bytes) {
        let address = self.peers.lock().get(&to).cloned();
        let Some(Ok(listener)) = address.map(|address| self.reach(&address)) else { return };
        if listener.node != to || self.network.is_cut(self.me, to) {
            return;
        }
        let me = Caller { node: self.me, certificate: None };
        let delay = self.network.delay();
        listener.runtime.clone().spawn(async move {
            sleep(delay).await;
            listener.handler.on_datagram(me, body);
        });
    }

    fn set_peers(&self, peers: Vec<(NodeId, String)>) {
        *self.peers.lock() = peers.into_iter().collect();
    }

    fn close(&self) -> Boxed<'_, ()> {
        let mut state = self.network.state.lock();
        if state.listeners.get(&self.address).is_some_and(|there| there.node == self.me) {
            state.listeners.remove(&self.address);
        }
        Box::pin(std::future::ready(()))
    }
}
