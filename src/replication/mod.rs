//! Carries out what `cluster::replication` decides: a thread with the data plane's endpoint sends
//! and applies records, walks groups for copies, and gives the engine its roles. Decides nothing
//! itself; knows neither Raft nor clients.

mod drive;
mod followers;
pub mod forward;
mod inner;
mod resync;
mod source;
mod staging;
mod streams;

use crate::engine::Engine;
use crate::limits;
use crate::peer::{self, Answer, Endpoint, Handler, Receiver};
use crate::security::{Identity, Peer};
use crate::wal::log::Log;
use bytes::Bytes;
use cluster::control::{ControlState, GroupChange, Position};
use cluster::group_set::GroupSet;
use cluster::node::{Member, NodeId};
use cluster::slot::Group;
use drive::Drive;
pub use followers::{Followers, Lags};
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::thread::{self, JoinHandle};
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// What this node is of which cluster, as the control plane publishes it.
#[derive(Clone, Debug)]
pub struct World {
    /// This start of this node.
    pub me: Member,
    /// What the control log has led to.
    pub state: Arc<ControlState>,
}

/// Answers calls of other nodes on the data plane.
pub type Calls = Arc<dyn Fn(NodeId, u8, Bytes) -> Answer + Send + Sync>;

/// See [`Options::save_copy`].
pub type SaveCopy = Box<dyn Fn(Group) -> Option<oneshot::Receiver<bool>> + Send>;

/// What replication is started with.
pub struct Options {
    /// The data plane's endpoint.
    pub endpoint: peer::Options,
    /// Who this node is.
    pub identity: Arc<Identity>,
    /// The data.
    pub engine: Arc<Engine>,
    /// The log on disk, if there is one; it must not be started yet.
    pub log: Option<Arc<Log>>,
    /// Copies that were read back from the disk, and where they stand.
    pub restored: Vec<(Group, Position)>,
    /// What the control plane publishes; `None` before this node is registered.
    pub worlds: watch::Receiver<Option<World>>,
    /// Proposes changes; never waits.
    pub propose: Box<dyn Fn(Vec<GroupChange>) + Send>,
    /// Told when groups begin or cease to be served here.
    pub on_roles: Box<dyn Fn() + Send>,
    /// Begins to write a group that was received as a copy to the disk, if there is one, and tells
    /// whether it is there, as soon as that is known.
    pub save_copy: SaveCopy,
    /// Told when copies were received that the log on disk does not hold.
    pub on_copied: Box<dyn Fn() + Send>,
    /// Answers what other nodes ask.
    pub calls: Calls,
    /// Told, on the thread, when the endpoint is there.
    pub on_endpoint: Box<dyn FnOnce(Endpoint) + Send>,
    /// Most memory for records that replicas may still ask for.
    pub backlog_bytes: u64,
    /// Groups of which the disk held damaged data that was given up.
    pub damaged: GroupSet,
    /// Told how far the copies have come.
    pub followers: Arc<Followers>,
    /// Told for how many milliseconds each write is to be held back, whenever that changes.
    pub on_delay: Box<dyn Fn(u64) + Send>,
}

/// Running replication.
pub struct Replicator {
    endpoint: Endpoint,
    stop: watch::Sender<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the endpoint tells the thread.
enum Event {
    /// Our connection to a node is gone.
    Down(NodeId),
    /// A node has opened a stream of this kind.
    Stream(NodeId, u8, Receiver),
}

struct Incoming {
    events: mpsc::Sender<Event>,
    calls: Calls,
    worlds: watch::Receiver<Option<World>>,
}

impl Handler for Incoming {
    /// Only members have business here, each with the certificate that it has registered. Whoever
    /// was registered a moment ago tries again.
    fn admit(&self, peer: &Peer) -> Result<(), String> {
        let worlds = self.worlds.borrow();
        let Some(world) = &*worlds else { return Ok(()) };
        let node = world.state.nodes.get(&peer.name.node).filter(|node| node.is_member());
        match node.map(|node| node.fingerprint) {
            None => Err("not a member of the cluster".into()),
            Some(Some(known)) if known != peer.fingerprint => {
                Err("registered with another certificate".into())
            }
            Some(_) => Ok(()),
        }
    }

    fn on_down(&self, node: NodeId, why: &str) {
        tracing::debug!(node = node.number(), why, "the link for data is down");
        // Full: the tick sees that streams have ended.
        let _ = self.events.try_send(Event::Down(node));
    }

    fn on_datagram(&self, _: &Peer, _: Bytes) {}

    fn on_call(&self, from: &Peer, kind: u8, body: Bytes) -> Answer {
        (self.calls)(from.name.node, kind, body)
    }

    fn on_stream(&self, from: NodeId, kind: u8, receiver: Receiver) {
        // Full: dropping it tells the peer, which tries again.
        let _ = self.events.try_send(Event::Stream(from, kind, receiver));
    }
}

impl Replicator {
    /// Starts replication on a thread of its own. From now on the engine serves no group before
    /// the cluster says so.
    ///
    /// # Errors
    /// When the system refuses a thread or the address.
    pub fn start(options: Options) -> io::Result<Replicator> {
        let (stop, stopped) = watch::channel(false);
        let (started, begun) = std_mpsc::sync_channel(1);
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => {
                    let local = tokio::task::LocalSet::new();
                    runtime.block_on(local.run_until(run(options, stopped, &started)));
                }
                Err(error) => drop(started.send(Err(error))),
            }
        };
        let thread = thread::Builder::new().name("data".into()).spawn(run)?;
        let endpoint =
            begun.recv().map_err(|_| io::Error::other("the data thread ended at its start"))??;
        Ok(Replicator { endpoint, stop, thread: Mutex::new(Some(thread)) })
    }

    /// The endpoint of the data plane.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Ends it.
    pub fn shutdown(&self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the data thread panicked");
        }
    }
}

impl Drop for Replicator {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// The thread.
async fn run(
    mut options: Options,
    mut stopped: watch::Receiver<bool>,
    started: &std_mpsc::SyncSender<io::Result<Endpoint>>,
) {
    let (events, mut inbox) = mpsc::channel(limits::REPLICATION_EVENTS_MAX);
    let handler =
        Arc::new(Incoming { events, calls: options.calls.clone(), worlds: options.worlds.clone() });
    let endpoint = match Endpoint::bind(&options.endpoint, &options.identity, handler) {
        Ok(endpoint) => endpoint,
        Err(error) => return drop(started.send(Err(error))),
    };
    let on_endpoint = std::mem::replace(&mut options.on_endpoint, Box::new(drop));
    on_endpoint(endpoint.clone());
    let grown = Arc::new(Notify::new());
    let mut worlds = options.worlds.clone();
    let drive = Drive::new(options, endpoint.clone(), &grown);
    if started.send(Ok(endpoint.clone())).is_err() {
        return;
    }
    let mut ticks =
        tokio::time::interval(std::time::Duration::from_millis(cluster::replication::TICK_MS));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let pause = std::time::Duration::from_micros(limits::REPLICATION_PAUSE_US);
    loop {
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => break,
            Ok(()) = worlds.changed() => {
                let world = worlds.borrow_and_update().clone();
                if let Some(world) = world {
                    drive.applied(world);
                }
            }
            Some(event) = inbox.recv() => drive.event(event),
            () = grown.notified() => {
                drive.grown();
                // What comes now goes with the next message.
                tokio::time::sleep(pause).await;
            }
            _ = ticks.tick() => drive.tick(),
        }
    }
    drive.end();
    endpoint.close().await;
}
