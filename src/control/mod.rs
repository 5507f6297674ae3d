//! The Raft group of a cluster around `cluster::control::ControlState`: forming, joining, ordering
//! commands, finding out who is up, and publishing one topology. The only room that knows openraft
//! and redb; it knows no data, and no wire but through a [`transport::Transport`].

mod admit;
mod choice;
mod codec;
mod core;
mod disk;
mod forming;
mod full;
mod lead;
mod log;
mod machine;
mod meet;
mod members;
pub mod memory;
mod message;
mod network;
#[doc(hidden)]
pub mod probe;
mod propose;
mod publish;
mod pulse;
pub mod quic;
mod refusal;
mod run;
#[cfg(test)]
mod store_tests;
pub mod transport;
mod types;

pub use disk::DiskError;
pub use publish::{Lease, Published};

use crate::clock;
use crate::limits::CONTROL_PROPOSALS_MAX;
use cluster::control::{ControlCommand, Outcome, Position, Settings, TokenHash};
use cluster::node::{Addresses, ClusterId, Fingerprint, NodeId, Protocols, Registration};
use cluster::slot::Group;
use parking_lot::Mutex;
use publish::Shared;
use run::Request;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, mpsc as std_mpsc};
use std::thread::{self, JoinHandle};
use tokio::sync::{mpsc, oneshot, watch};
use transport::Bind;

/// Answers how far the complete copies here have come, of these groups. Called on the control
/// thread: it must be quick.
pub type PositionsHook = Box<dyn Fn(&[Group]) -> Vec<(Group, Position)> + Send + Sync>;

/// What a control plane is started with.
pub struct ControlOptions {
    /// Who this is.
    pub node: NodeId,
    /// Where its store is.
    pub store: Store,
    /// Control addresses of the nodes that form the cluster, the same list on each of them; none:
    /// this node is a cluster of its own.
    pub seeds: Vec<String>,
    /// Where this node is reached.
    pub addresses: Addresses,
    /// What it fails together with.
    pub zone: String,
    /// The protocol versions it speaks.
    pub protocol: Protocols,
    /// Its certificate.
    pub fingerprint: Option<Fingerprint>,
    /// Whether what it kept was read back from its disk.
    pub restored: bool,
    /// The cluster's name, where the certificates say it; else it is drawn when it is formed.
    pub cluster: Option<ClusterId>,
    /// What holds in a cluster that this node forms.
    pub settings: Settings,
    /// What lets it join, beside its certificate.
    pub token: Option<TokenHash>,
    /// Makes the way to the other nodes, on the control thread.
    pub bind: Bind,
    /// See there.
    pub positions: PositionsHook,
}

/// Where the store of a control plane is.
#[derive(Clone, Debug)]
pub enum Store {
    /// In a folder, which is made if need be.
    Folder(PathBuf),
    /// In memory, so that a restart is that of a node that lost it.
    Memory,
    /// In a folder on a disk that is full while that says so: for tests.
    #[doc(hidden)]
    Fillable(PathBuf, Arc<AtomicBool>),
}

/// A running control plane.
pub struct Control {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
    stop: watch::Sender<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Why a command has no outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlError {
    /// It was not ordered: there is no leader that could, for this reason.
    NoLeader(String),
    /// It may have been ordered or not. What is compared and set may simply be tried again.
    Unknown,
    /// It was not ordered: too many others wait.
    Busy,
    /// The control plane is not running.
    Stopped,
    /// It was not ordered: this node runs already, in another process at this address.
    Elsewhere(String),
}

/// Why a control plane does not start.
#[derive(Debug)]
pub enum StartError {
    /// Its store cannot be used.
    Disk(DiskError),
    /// What stands in it is not readable.
    Store(String),
    /// The system refuses a thread or a socket.
    System(String),
}

impl Control {
    /// Starts a control plane on a thread of its own. It forms or joins its cluster by itself, and
    /// registers this start before it publishes [`Published::me`].
    ///
    /// # Errors
    /// When its store cannot be used, or the system refuses something.
    pub fn start(options: ControlOptions) -> Result<Arc<Control>, StartError> {
        let registration = Registration {
            node: options.node,
            start: clock::random_u64().max(1),
            addresses: options.addresses.clone(),
            zone: options.zone.clone(),
            protocol: options.protocol,
            fingerprint: options.fingerprint,
            restored: options.restored,
        };
        let shared = Arc::new(Shared::new());
        let (requests, queue) = mpsc::channel(CONTROL_PROPOSALS_MAX);
        let (stop, stopped) = watch::channel(false);
        let (started, begun) = std_mpsc::sync_channel(1);
        let of_thread = shared.clone();
        let thread = thread::Builder::new()
            .name("control".into())
            .spawn(move || run::run(options, registration, of_thread, queue, stopped, &started))
            .map_err(|error| StartError::System(error.to_string()))?;
        match begun.recv() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(StartError::System("the control thread ended".into())),
        }
        let thread = Mutex::new(Some(thread));
        Ok(Arc::new(Control { shared, requests, stop, thread }))
    }

    /// The cluster as this node knows it now.
    pub fn published(&self) -> Arc<Published> {
        self.shared.get()
    }

    /// Changes whenever something new is published.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes()
    }

    /// Who leads the Raft group, as far as this node knows.
    pub fn leader(&self) -> Option<NodeId> {
        self.shared.get().leader
    }

    /// Since when and until when this node may act as a primary. To be compared after a request
    /// has come, never before.
    pub fn lease(&self) -> Lease {
        self.shared.lease()
    }

    /// Whether this node may act as a primary now.
    pub fn lease_ok(&self) -> bool {
        self.shared.lease_ok()
    }

    /// Has a command ordered, whoever leads, and returns what it brought. Waits for a leader for a
    /// bounded time (`CONTROL_PROPOSAL_MS_MAX`). Where the leader changed meanwhile it may have
    /// been ordered twice: a compare-and-set that is rejected may be one's own.
    ///
    /// # Errors
    /// When it was not ordered, or nobody knows.
    pub async fn propose(&self, command: ControlCommand) -> Result<Outcome, ControlError> {
        self.ask(|tell| Request::Propose(command, tell))?
            .await
            .map_err(|_| ControlError::Stopped)?
    }

    /// The same for a thread without a runtime.
    ///
    /// # Errors
    /// As [`Control::propose`].
    pub fn propose_blocking(&self, command: ControlCommand) -> Result<Outcome, ControlError> {
        let told = self.ask(|tell| Request::Propose(command, tell))?;
        told.blocking_recv().map_err(|_| ControlError::Stopped)?
    }

    /// Has this node, while it belongs to nothing, no longer wait for these seeds. Only the first
    /// of the others forms the cluster.
    ///
    /// # Errors
    /// When it is busy or stopped.
    pub fn form_without(&self, seeds: Vec<String>) -> Result<(), ControlError> {
        self.requests.try_send(Request::Without(seeds)).map_err(refused)
    }

    /// Says from now on how much memory this node may use for data, and whether it is out of room.
    ///
    /// # Errors
    /// When it is busy or stopped.
    pub fn set_room(&self, usable_bytes: u64, pressure: bool) -> Result<(), ControlError> {
        self.requests.try_send(Request::Room { usable_bytes, pressure }).map_err(refused)
    }

    fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<oneshot::Receiver<T>, ControlError> {
        let (tell, told) = oneshot::channel();
        self.requests.try_send(request(tell)).map_err(refused)?;
        Ok(told)
    }

    /// Ends it and waits until its store is closed. Nothing is said to the others: they find out.
    pub fn shutdown(&self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the control thread panicked");
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.shutdown();
    }
}

fn refused(error: mpsc::error::TrySendError<Request>) -> ControlError {
    match error {
        mpsc::error::TrySendError::Full(_) => ControlError::Busy,
        mpsc::error::TrySendError::Closed(_) => ControlError::Stopped,
    }
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ControlError::NoLeader(reason) => {
                write!(f, "the cluster decides nothing now: {reason}")
            }
            ControlError::Unknown => write!(f, "it is not known whether that was done"),
            ControlError::Busy => write!(f, "too many decisions wait already"),
            ControlError::Stopped => write!(f, "the control plane is not running"),
            ControlError::Elsewhere(address) => {
                write!(f, "this node runs already, in another process at {address}")
            }
        }
    }
}

impl std::error::Error for ControlError {}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Disk(error) => write!(f, "{error}"),
            StartError::Store(reason) => write!(f, "the control store is damaged: {reason}"),
            StartError::System(reason) => write!(f, "the control plane does not start: {reason}"),
        }
    }
}

impl std::error::Error for StartError {}
