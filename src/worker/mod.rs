//! One thread each: a runtime, a listener, connections, upkeep of its home shards. Executes on any
//! shard under its lock. Knows no command about connections or the node; [`Sessions`] does.

mod accept;
mod admin;
mod ahead;
mod away;
mod batch;
mod big;
mod careful;
mod clients;
mod connection;
mod demand;
mod execute;
mod gate;
mod handover;
mod load;
mod notice;
mod peer;
mod plan;
mod pressure;
mod quiet;
mod rounds;
mod route;
mod send;
mod serve;
mod session;
mod slow;
mod slowlog;
mod socket;
mod sweep;
mod unserved;
mod upkeep;
mod view;

pub use accept::{check_free, listen};
pub use admin::{ClusterAdmin, Ordered, Standing};
pub use clients::{Client, Clients, Meter, Names, Pulse};
pub use demand::DemandMeter;
pub use handover::Inboxes;
pub use load::{Elastic, Load};
pub use notice::{Notice, Pause, Settings, Word};
pub use pressure::Pressure;
pub use route::{Copies, Forwarder, Forwarding, Later, Others, Scope, encoded};
pub use session::{After, Answer, Call, Replies, Session, Sessions};
pub use slowlog::{SlowEntry, Slowlog};
pub use view::{ClusterView, Entrance, Lease, Reached, TopologyAnswer, ViewParts, Views};

use crate::clock;
use crate::engine::Engine;
use crate::limits;
use crate::metrics::{Metrics, WorkerMetrics};
use crate::resp::Output;
use crate::wal::log::Log;
use batch::Tools;
use gate::Gate;
use quiet::Quiet;
use rounds::Seats;
use std::cell::RefCell;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;

/// What all workers of a node share.
pub struct Shared {
    /// The data.
    pub engine: Arc<Engine>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Who is connected.
    pub clients: Arc<Clients>,
    /// Settings, pauses and end.
    pub notice: Notice,
    /// Slow commands.
    pub slowlog: Slowlog,
    /// Which workers serve connections.
    pub load: Load,
    /// Where they take connections from each other.
    pub inboxes: Inboxes,
    /// The log on disk, if there is one.
    pub log: Option<Arc<Log>>,
    /// Where clients come in, in the order of the listeners.
    pub entrances: Arc<[Entrance]>,
    /// What is known of the cluster, if there is one.
    pub views: Views,
    /// What other nodes do for this one.
    pub others: Others,
    /// How much who writes is held back.
    pub pressure: Pressure,
}

impl Shared {
    /// Connections of a worker, with those on their way to it: many may move before it wakes up.
    fn connections(&self, worker: usize) -> u64 {
        let waiting = self.inboxes.waiting(worker) as u64;
        self.metrics.worker(worker).connections_open.get() + waiting
    }

    fn all_connections(&self) -> Vec<u64> {
        (0..self.load.workers()).map(|worker| self.connections(worker)).collect()
    }

    /// Lets so many workers serve, as the load asks for; connections move with their next commands.
    /// Whether it does: not if an administrator has said how many.
    pub fn follow_load(&self, active: usize) -> bool {
        self.load.follow(active, &self.all_connections())
    }

    /// Lets so many workers serve by order of an administrator: the number stays.
    pub fn hold_workers(&self, active: usize) {
        self.load.hold(active, &self.all_connections());
    }

    /// Ends that.
    pub fn release_workers(&self) {
        self.load.release(&self.all_connections());
    }
}

/// What one worker needs to run.
pub struct WorkerOptions {
    /// Its number, from 0.
    pub index: usize,
    /// What it shares with the others.
    pub shared: Arc<Shared>,
    /// The commands about connections and the node.
    pub sessions: Arc<dyn Sessions>,
    /// Where its clients come in: one for each entrance, in their order.
    pub listeners: Vec<TcpListener>,
    /// Told the number of the worker's thread.
    pub thread: std::sync::mpsc::Sender<(usize, libc::pid_t)>,
    /// True once the node is to end.
    pub ending: watch::Receiver<bool>,
}

/// A worker as its connections see it.
struct Worker {
    index: usize,
    shared: Arc<Shared>,
    sessions: Arc<dyn Sessions>,
    desk: RefCell<Desk>,
    quiet: Quiet,
    gate: Gate,
    seats: Seats,
}

/// Buffers that all connections of a worker use in turn: never held across an await.
struct Desk {
    read: Box<[u8]>,
    out: Output,
    tools: Tools,
}

impl Worker {
    #[inline]
    fn metrics(&self) -> &WorkerMetrics {
        self.shared.metrics.worker(self.index)
    }
}

/// Runs a worker on this thread until the node ends and its connections have their answers, or
/// have had time enough to take them.
///
/// # Errors
/// The system's, at the start.
pub fn run(options: WorkerOptions) -> io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .event_interval(limits::EVENT_INTERVAL)
        .build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let WorkerOptions { index, shared, sessions, listeners, thread, mut ending } = options;
        // SAFETY: only asks for a number. Nobody listens when the node failed to start.
        let _ = thread.send((index, unsafe { libc::gettid() }));
        // Who waits for all numbers must not wait for one that will not come.
        drop(thread);
        let listeners = listeners.into_iter().map(tokio::net::TcpListener::from_std);
        let listeners = listeners.collect::<io::Result<Vec<_>>>()?;
        let poll = mio::Poll::new()?;
        let desk = RefCell::new(Desk {
            read: vec![0; limits::READ_BYTES].into(),
            out: Output::new(),
            tools: Tools::default(),
        });
        let worker = Rc::new(Worker {
            index,
            shared,
            sessions,
            desk,
            quiet: Quiet::default(),
            gate: Gate::default(),
            seats: Seats::new(&poll)?,
        });
        worker.metrics().beat(clock::monotonic_nanos());
        let inbox = worker.shared.inboxes.open(index);
        tokio::task::spawn_local(handover::receive(worker.clone(), inbox));
        tokio::task::spawn_local(rounds::serve(worker.clone(), poll));
        tokio::task::spawn_local(rounds::end_doomed(worker.clone()));
        tokio::task::spawn_local(gate::keep(worker.clone()));
        tokio::task::spawn_local(upkeep::upkeep(worker.clone()));
        tokio::task::spawn_local(sweep::sweep(worker.clone()));
        tokio::select! {
            () = accept::accept_all(worker.clone(), listeners) => {}
            // An error means that whoever could end the node is gone.
            _ = ending.wait_for(|ending| *ending) => {}
        }
        drain(&worker).await;
        worker.seats.clear();
        Ok(())
    })
}

/// Waits until no answer is on its way any more, for a limited time.
async fn drain(worker: &Worker) {
    let until = clock::monotonic_nanos() + limits::DRAIN_MS_MAX * 1_000_000;
    let step = Duration::from_millis(limits::DRAIN_STEP_MS);
    // What was read when the end came is answered by then.
    tokio::time::sleep(step).await;
    while clock::monotonic_nanos() < until && worker.shared.clients.any_behind(worker.index) {
        tokio::time::sleep(step).await;
    }
}
