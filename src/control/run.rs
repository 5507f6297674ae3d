//! The control thread: opens the store, runs the tasks, and begins anew when the store failed.
//! Knows what there is, not what it does.

use super::core::{Applier, Core, leader};
use super::disk::{Disk, Held, Place};
use super::log::Log;
use super::machine::Machine;
use super::network::Ways;
use super::publish::Shared;
use super::transport::Handler;
use super::types::Raft;
use super::{ControlError, ControlOptions, StartError, admit, lead, pulse};
use crate::limits::{
    CONTROL_PROPOSALS_MAX, CONTROL_REOPEN_MS, RAFT_ELECTION_MS_MAX, RAFT_ELECTION_MS_MIN,
    RAFT_HEARTBEAT_MS, RAFT_KEPT_ENTRIES, RAFT_PAYLOAD_ENTRIES_MAX, RAFT_SNAPSHOT_CHUNK_BYTES,
    RAFT_SNAPSHOT_CHUNK_MS_MAX, RAFT_SNAPSHOT_ENTRIES,
};
use cluster::control::{ControlCommand, Outcome};
use cluster::liveness::Input;
use cluster::node::Registration;
use openraft::{Config, SnapshotPolicy};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What is asked of the control thread.
pub(super) enum Request {
    Propose(ControlCommand, oneshot::Sender<Result<Outcome, ControlError>>),
    Without(Vec<String>),
    Room { usable_bytes: u64, pressure: bool },
}

/// Why a run ended.
enum End {
    Stopped,
    Failed(String),
}

/// What one run works with.
struct Opened {
    core: Arc<Core>,
    disk: Disk,
    thread: JoinHandle<()>,
}

/// What outlives a run.
struct Around {
    options: Arc<ControlOptions>,
    registration: Registration,
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Request>,
    stopped: watch::Receiver<bool>,
}

/// The control thread. `started` hears whether it could begin.
pub(super) fn run(
    options: ControlOptions,
    registration: Registration,
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Request>,
    stopped: watch::Receiver<bool>,
    started: &SyncSender<Result<(), StartError>>,
) {
    let mut around = Around { options: Arc::new(options), registration, shared, queue, stopped };
    let mut first = true;
    loop {
        let end = match around.begin() {
            Ok((runtime, opened)) => {
                if std::mem::take(&mut first) {
                    let _ = started.send(Ok(()));
                }
                around.finish(runtime, opened)
            }
            Err(error) if first => {
                let _ = started.send(Err(error));
                return;
            }
            Err(error) => End::Failed(error.to_string()),
        };
        match end {
            End::Stopped => return,
            End::Failed(reason) => {
                tracing::error!(reason, "the control plane stopped; it begins anew");
                around.shared.trouble(Some(reason.clone()));
                if around.wait(&reason) {
                    return;
                }
            }
        }
    }
}

fn system(error: &dyn std::fmt::Display) -> StartError {
    StartError::System(error.to_string())
}

fn config() -> Config {
    Config {
        cluster_name: "crabcache".into(),
        heartbeat_interval: RAFT_HEARTBEAT_MS,
        election_timeout_min: RAFT_ELECTION_MS_MIN,
        election_timeout_max: RAFT_ELECTION_MS_MAX,
        install_snapshot_timeout: RAFT_SNAPSHOT_CHUNK_MS_MAX,
        max_payload_entries: RAFT_PAYLOAD_ENTRIES_MAX,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(RAFT_SNAPSHOT_ENTRIES),
        max_in_snapshot_log_to_keep: RAFT_KEPT_ENTRIES,
        replication_lag_threshold: 2 * RAFT_SNAPSHOT_ENTRIES,
        snapshot_max_chunk_size: RAFT_SNAPSHOT_CHUNK_BYTES,
        ..Config::default()
    }
}

impl Around {
    /// Opens everything.
    fn begin(&self) -> Result<(Runtime, Opened), StartError> {
        let place = Place::of(&self.options.store);
        let number = self.options.node.number();
        let (disk, held, thread) = Disk::open(place, number).map_err(StartError::Disk)?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| system(&error))?;
        let core = runtime.block_on(self.open(&disk, &held))?;
        Ok((runtime, Opened { core, disk, thread }))
    }

    async fn open(&self, disk: &Disk, held: &Held) -> Result<Arc<Core>, StartError> {
        let damaged = |error: super::codec::CodecError| StartError::Store(error.to_string());
        let log = Log::new(disk.clone(), held).map_err(damaged)?;
        let (options, registration) = (self.options.clone(), self.registration.clone());
        let shared = self.shared.clone();
        let core = Arc::new(Core::new(options, registration, held.store, log.clone(), shared));
        let watcher = Box::new(Applier(Arc::downgrade(&core)));
        let machine = Machine::new(disk.clone(), held, watcher).map_err(damaged)?;
        let handler: Arc<dyn Handler> = core.clone();
        let transport = (self.options.bind)(handler).await.map_err(|error| system(&error))?;
        let ways = Ways { transport: transport.clone() };
        let config = Arc::new(config().validate().map_err(|error| system(&error))?);
        let raft = Raft::new(core.me().number(), config, ways, log, machine).await;
        match raft {
            Ok(raft) => core.run(transport, raft),
            Err(error) => {
                transport.close().await;
                return Err(system(&error));
            }
        }
        Ok(core)
    }

    /// Runs until it is told to stop or the store fails, and closes everything.
    fn finish(&mut self, runtime: Runtime, opened: Opened) -> End {
        let Opened { core, disk, thread } = opened;
        let end = runtime.block_on(async {
            let end = match (self.serve(&core).await, disk.failure()) {
                (End::Failed(_), Some(reason)) => End::Failed(format!(
                    "the control store cannot be written: {reason}; until it can, this node \
                     neither votes nor serves"
                )),
                (end, _) => end,
            };
            if let Some(raft) = core.raft() {
                let _ = raft.shutdown().await;
            }
            if let Some(transport) = core.transport() {
                transport.close().await;
            }
            core.stop();
            disk.close().await;
            end
        });
        drop((runtime, core, disk));
        let _ = thread.join();
        self.shared.end_lease();
        self.shared.update(|published| published.leader = None);
        end
    }

    async fn serve(&mut self, core: &Arc<Core>) -> End {
        let Some(raft) = core.raft() else { return End::Stopped };
        let mut tasks = JoinSet::new();
        tasks.spawn(admit::keep(core.clone()));
        tasks.spawn(pulse::beat(core.clone()));
        tasks.spawn(lead::lead(core.clone()));
        tasks.spawn(watch_leader(core.clone(), raft.clone()));
        let mut proposals = JoinSet::new();
        let mut metrics = raft.metrics();
        loop {
            tokio::select! {
                biased;
                _ = self.stopped.wait_for(|stopped| *stopped) => return End::Stopped,
                failed = metrics.wait_for(|metrics| metrics.running_state.is_err()) => {
                    let state = failed.map(|metrics| format!("{:?}", metrics.running_state));
                    return End::Failed(state.unwrap_or_else(|error| error.to_string()));
                }
                Some(ended) = tasks.join_next() => return End::Failed(format!("{ended:?}")),
                Some(_) = proposals.join_next(), if !proposals.is_empty() => {}
                request = self.queue.recv() => match request {
                    Some(request) => take(core, request, &mut proposals),
                    None => return End::Stopped,
                },
            }
        }
    }

    /// Waits before the next run; whether it is to stop instead. Who asks for something meanwhile
    /// is told why that cannot be.
    fn wait(&mut self, reason: &str) -> bool {
        let Ok(runtime) = Builder::new_current_thread().enable_all().build() else { return true };
        let pause = Duration::from_millis(CONTROL_REOPEN_MS);
        let refuse = async {
            loop {
                tokio::select! {
                    biased;
                    _ = self.stopped.wait_for(|stopped| *stopped) => return,
                    request = self.queue.recv() => match request {
                        Some(Request::Propose(_, tell)) => {
                            let _ = tell.send(Err(ControlError::NoLeader(reason.to_owned())));
                        }
                        Some(Request::Without(_) | Request::Room { .. }) => {}
                        None => return,
                    },
                }
            }
        };
        runtime.block_on(async { timeout(pause, refuse).await.is_ok() })
    }
}

fn take(core: &Arc<Core>, request: Request, proposals: &mut JoinSet<()>) {
    match request {
        Request::Propose(_, tell) if proposals.len() >= CONTROL_PROPOSALS_MAX => {
            let _ = tell.send(Err(ControlError::Busy));
        }
        Request::Propose(command, tell) => {
            let core = core.clone();
            proposals.spawn(async move {
                let outcome = core.propose(command).await;
                let _ = tell.send(outcome);
            });
        }
        Request::Without(seeds) => core.without.lock().extend(seeds),
        Request::Room { usable_bytes, pressure } => {
            core.live(&Input::Room { usable_bytes, pressure });
        }
    }
}

/// Publishes who leads.
async fn watch_leader(core: Arc<Core>, raft: Raft) {
    let mut metrics = raft.metrics();
    loop {
        let now = leader(&metrics.borrow_and_update());
        if core.shared.get().leader != now {
            core.shared.update(|published| published.leader = now);
        }
        if metrics.changed().await.is_err() {
            // The end of openraft is noticed elsewhere.
            std::future::pending::<()>().await;
        }
    }
}
