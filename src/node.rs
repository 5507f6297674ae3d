//! The composition root: makes a node out of its parts, starts and stops it. Nothing else knows
//! all of them.

mod admin;
mod cluster;
mod copies;
mod error;
pub mod forward;
mod lacking;
mod listen;
mod memory;
mod storage;

use crate::clock;
use crate::command::spec;
use crate::config::{Config, WalPolicy};
use crate::engine::{self, Engine, EngineOptions};
use crate::http::{self, HttpServer, HttpState};
use crate::limits;
use crate::metrics::{CommandIndex, Commands, Metrics};
use crate::server::{Identity, Server};
use crate::wal::files::{Files, SystemFiles};
use crate::wal::log::Log;
use crate::wal::snapshotter::Snapshotter;
use crate::worker::{
    self, Clients, DemandMeter, Elastic, Entrance, Inboxes, Load, Notice, Others, Pressure,
    Settings, Shared, Slowlog, Views, WorkerOptions,
};
use cluster::{Cluster, Membership};
pub use error::NodeError;
use listen::Doors;
use memory::Preparer;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use storage::{Loaded, Restored, Running, Storage};
use tokio::runtime::{self, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};

/// Where a node of a cluster keeps what the cluster agreed on, below its data folder.
pub const CONTROL_FOLDER: &str = "control";

/// Runs a node until a signal or a client ends it. `file` is where its settings were read from.
///
/// # Errors
/// Why it did not start, or ended otherwise.
pub fn run(config: Config, file: Option<&Path>) -> Result<(), NodeError> {
    let clustered = config.cluster.enabled;
    run_with(config, file, Arc::new(SystemFiles), clustered, |_, _| {})
}

/// The same, with the log and snapshots written to a file system of which calls may fail.
///
/// # Errors
/// As [`run`].
pub fn run_on(config: Config, file: Option<&Path>, files: Arc<dyn Files>) -> Result<(), NodeError> {
    run_with(config, file, files, false, |_, _| {})
}

/// The same as a part of another program, for tests: `prepared` is given what the workers share
/// and where the node listens, before anybody is served; `clustered`: with the listeners of a
/// node of a cluster. The log and snapshots go to `files`, of which calls may fail.
///
/// # Errors
/// As [`run`].
pub fn run_with(
    config: Config,
    file: Option<&Path>,
    files: Arc<dyn Files>,
    clustered: bool,
    prepared: impl FnOnce(&Arc<Shared>, &[SocketAddr]),
) -> Result<(), NodeError> {
    let workers = config.server.worker_count();
    raise_descriptor_limit(config.server.max_clients, workers);
    let doors = listen::open(&config, clustered, workers)?;
    let Doors { by_worker, addresses, entrances, announced } = doors;
    let nowhere = SocketAddr::new(config.server.bind, 0);
    let address = addresses.first().copied().unwrap_or(nowhere);

    // Signals are ours before anybody can know that the node is there.
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = signals(&runtime)?;
    let membership = Membership::load(&config)?;
    let hash_seed = membership.as_ref().map_or_else(clock::random_u64, Membership::hash_seed);
    let shared = Arc::new(share(&config, workers, entrances, hash_seed));
    let ready = Arc::new(AtomicBool::new(false));
    prepared(&shared, &addresses);
    let storage = Storage::open(&config, files)?.map(Arc::new);
    // Nothing is served before it is known what is ours.
    shared.notice.set_loading(storage.is_some() || membership.is_some());
    let (end, mut ending) = watch::channel(false);
    let identity = Identity::new(address, file);
    let mut server = Server::new(shared.clone(), config.clone(), identity, end);
    let snapshots = storage.as_ref().map(|storage| storage.snapshots(&config, &shared));
    let snapshots = snapshots.transpose()?;
    if let Some(snapshots) = &snapshots {
        server = server.with_snapshots(snapshots.clone());
    }
    let server = Arc::new(server);
    check_memory(&config, &shared.engine)?;
    let _preparer = Preparer::start(&shared.engine)?;
    let http = start_http(&config, &shared, &server, &ready)?;
    let (thread, numbers) = mpsc::channel();
    let threads = start_workers(by_worker, &shared, &server, &ending, &thread)?;
    drop(thread);
    let meter = meter(&config, numbers.iter().take(threads.len()).collect());
    announce(&config, address, http.as_ref(), workers, shared.notice.word().is_loading());
    listen::announce(&shared.entrances, &addresses);
    let Restored { log, damaged } = match storage.as_ref().zip(snapshots.as_ref()) {
        Some((storage, snapshots)) => {
            let loading =
                storage::Loading { config: config.clone(), storage, shared: &shared, snapshots };
            let loaded = loading.start(&server)?;
            runtime.block_on(load(&mut signals, &mut ending, loaded, &server))?
        }
        None => Restored::default(),
    };
    let is_ending = *ending.borrow();
    let kept = snapshots.as_ref();
    let given = cluster::Given { announced, snapshots: kept, damaged, server: server.clone() };
    let start = |of| Cluster::start(&config, of, &shared, given, &ready);
    let cluster = membership.filter(|_| !is_ending).map(start).transpose()?;
    shared.notice.set_loading(is_ending);
    if cluster.is_none() && !is_ending {
        serve_alone(&ready, storage.is_some());
    }

    let watch = watch_over(&mut signals, &shared, &server, &mut ending, &threads, meter);
    let lost = runtime.block_on(watch);
    ready.store(false, Ordering::Release);
    server.end();
    let parts = Parts { threads, http, cluster, snapshots, log };
    parts.stop(lost)
}

/// A node alone serves now; `loaded`: not from the beginning.
fn serve_alone(ready: &AtomicBool, loaded: bool) {
    ready.store(true, Ordering::Release);
    if loaded {
        tracing::info!("ready");
    }
}

/// What runs in a node, beside what has no thread.
struct Parts {
    threads: Vec<Thread>,
    http: Option<HttpServer>,
    cluster: Option<Cluster>,
    snapshots: Option<Arc<Snapshotter>>,
    log: Option<Running>,
}

impl Parts {
    /// Ends all of it, those first that others work for. `lost`: a worker that ended by itself.
    fn stop(self, lost: Option<usize>) -> Result<(), NodeError> {
        let threads = self.threads.into_iter();
        let crashed = threads.map(JoinHandle::join).position(|ended| !matches!(ended, Ok(Ok(()))));
        if let Some(http) = self.http {
            http.stop();
        }
        let refused = self.cluster.and_then(Cluster::stop);
        self.log.iter().for_each(Running::unsettle);
        self.snapshots.iter().for_each(|snapshots| snapshots.stop());
        let kept = self.log.is_none_or(Running::stop);
        match lost.or(crashed) {
            Some(index) => Err(NodeError::Worker(index)),
            None if !kept => Err(NodeError::Log),
            None => {
                tracing::info!("stopped");
                refused.map_or(Ok(()), |reason| Err(NodeError::Cluster(reason)))
            }
        }
    }
}

/// Whether the bounds are enough for the shards.
fn check_memory(config: &Config, engine: &Engine) -> Result<(), NodeError> {
    let (least, shards) = (engine.max_memory_min(), engine.shard_count());
    if let Some(items) = config.memory.items_bound().filter(|items| *items < shards as u64) {
        return Err(NodeError::Items(items, shards));
    }
    match config.memory.max_bytes().filter(|bytes| *bytes < least) {
        Some(bytes) => Err(NodeError::Memory { bytes, least, shards }),
        None => Ok(()),
    }
}

/// What asks the node from outside to end.
fn signals(runtime: &Runtime) -> io::Result<[Signal; 2]> {
    let _context = runtime.enter();
    Ok([signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?])
}

/// What tells how busy the workers are, if their number is to follow that.
fn meter(config: &Config, mut numbers: Vec<(usize, libc::pid_t)>) -> Option<DemandMeter> {
    numbers.sort_unstable();
    let numbers = numbers.into_iter().map(|(_, number)| number).collect();
    config.server.elastic.then(|| DemandMeter::new(numbers))
}

/// Waits until the data is loaded, or the node is to end before that. Then the thread that loads
/// is left alone: it has written nothing, and ends with the process.
async fn load(
    [terminate, interrupt]: &mut [Signal; 2],
    ending: &mut watch::Receiver<bool>,
    loaded: oneshot::Receiver<Loaded>,
    server: &Server,
) -> Loaded {
    let what = tokio::select! {
        loaded = loaded => {
            return loaded.unwrap_or_else(|_| Err(io::Error::other("loading failed").into()));
        }
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        _ = ending.wait_for(|ending| *ending) => "SHUTDOWN",
    };
    tracing::info!("{what}: stopping before the data was loaded; nothing was changed");
    server.end();
    Ok(Restored::default())
}

/// What all workers share.
fn share(config: &Config, workers: usize, entrances: Arc<[Entrance]>, hash_seed: u64) -> Shared {
    let memory = &config.memory;
    let shards = match memory.shards {
        0 => engine::suitable_shards(
            workers * limits::SHARDS_PER_WORKER,
            memory.max_bytes(),
            memory.items_bound(),
        ),
        shards => shards,
    };
    let engine = Engine::new(&EngineOptions {
        shards,
        hash_seed,
        max_memory: memory.max_bytes(),
        max_items: memory.items_bound(),
        policy: memory.policy_in_force(),
    });
    engine.set_value_bytes_max(config.server.validation.value_bytes_max());
    let commands = Commands {
        count: spec::COMMAND_IDS,
        name: |index| row(index).map_or("", |spec| spec.name),
        family: |index| row(index).map_or("", |spec| spec.family.name()),
    };
    let engine = Arc::new(engine);
    if !config.data.dir.as_os_str().is_empty() || config.cluster.enabled {
        engine.open_log();
    }
    let log = (config.wal.policy != WalPolicy::None)
        .then(|| Arc::new(Log::new(engine.clone(), config.wal.clone())));
    Shared {
        engine,
        log,
        metrics: Arc::new(Metrics::new(workers, commands)),
        clients: Arc::new(Clients::new(workers)),
        notice: Notice::new(Settings::of(config)),
        slowlog: Slowlog::new(config.slowlog.max_len),
        load: Load::new(workers, config.server.elastic),
        inboxes: Inboxes::new(workers),
        entrances,
        views: Views::default(),
        others: Others::default(),
        pressure: Pressure::default(),
    }
}

fn row(index: CommandIndex) -> Option<&'static spec::Spec> {
    spec::all().get(usize::from(index.0))
}

fn start_http(
    config: &Config,
    shared: &Arc<Shared>,
    server: &Arc<Server>,
    ready: &Arc<AtomicBool>,
) -> Result<Option<HttpServer>, NodeError> {
    if config.http.port == 0 {
        return Ok(None);
    }
    let address = SocketAddr::new(config.http.bind, config.http.port);
    let listener = TcpListener::bind(address).map_err(|error| NodeError::Listen(address, error))?;
    let server = server.clone();
    let state = HttpState {
        engine: shared.engine.clone(),
        metrics: shared.metrics.clone(),
        facts: Arc::new(move || server.facts()),
        ready: ready.clone(),
        redis_compat: config.metrics.redis_compat,
    };
    Ok(Some(http::serve(listener, state)?))
}

type Thread = JoinHandle<io::Result<()>>;

fn start_workers(
    listeners: Vec<Vec<TcpListener>>,
    shared: &Arc<Shared>,
    server: &Arc<Server>,
    ending: &watch::Receiver<bool>,
    thread: &mpsc::Sender<(usize, libc::pid_t)>,
) -> io::Result<Vec<Thread>> {
    let start = |(index, listeners)| {
        let options = WorkerOptions {
            index,
            shared: shared.clone(),
            sessions: server.clone(),
            listeners,
            thread: thread.clone(),
            ending: ending.clone(),
        };
        let name = format!("worker-{index}");
        thread::Builder::new().name(name).spawn(move || worker::run(options))
    };
    listeners.into_iter().enumerate().map(start).collect()
}

/// Waits until the node is to end; samples rates and divides memory between shards meanwhile.
/// Tells a worker that ended by itself.
async fn watch_over(
    [terminate, interrupt]: &mut [Signal; 2],
    shared: &Shared,
    server: &Server,
    ending: &mut watch::Receiver<bool>,
    threads: &[Thread],
    mut meter: Option<DemandMeter>,
) -> Option<usize> {
    let mut ticks = tokio::time::interval(Duration::from_millis(limits::RATE_SAMPLE_MS));
    let mut elastic = Elastic::default();
    let mut saving = None;
    let load_tick = Duration::from_millis(limits::LOAD_TICK_MS);
    let mut load = tokio::time::interval_at(tokio::time::Instant::now() + load_tick, load_tick);
    let mut rebalance = tokio::time::interval(Duration::from_millis(limits::REBALANCE_MS));
    loop {
        tokio::select! {
            // In this order: workers that were told to end have not ended by themselves.
            biased;
            // An error means that nobody is left who could end the node.
            _ = ending.wait_for(|ending| *ending) => {}
            signal = next_signal(terminate, interrupt) => {
                if saving.is_none() {
                    saving = server.save_at_end().map(Box::pin);
                    if saving.is_some() {
                        tracing::info!("{signal}: saving, then stopping; another stops at once");
                        continue;
                    }
                }
                tracing::info!("{signal}: stopping");
            }
            () = async { saving.as_mut().expect("looked at").await }, if saving.is_some() => {
                tracing::info!("stopping");
            }
            _ = ticks.tick() => {
                server.sweep();
                shared.metrics.sample(clock::monotonic_nanos());
                if let Some(index) = threads.iter().position(JoinHandle::is_finished) {
                    return Some(index);
                }
                continue;
            }
            _ = load.tick(), if meter.is_some() => {
                if let Some(meter) = &mut meter {
                    weigh(shared, meter, &mut elastic);
                }
                continue;
            }
            _ = rebalance.tick() => {
                shared.engine.rebalance();
                continue;
            }
        }
        // Before what holds writes for a snapshot is dropped.
        server.end();
        return None;
    }
}

/// What the process is sent next.
async fn next_signal(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// Lets more or fewer workers serve, as the load asks for; all, where the kernel does not tell.
fn weigh(shared: &Shared, meter: &mut DemandMeter, elastic: &mut Elastic) {
    let (active, workers) = (shared.load.active(), shared.load.workers());
    let demand = meter.look(clock::monotonic_nanos(), active);
    let next = match demand {
        Some(demand) => elastic.decide(demand, active, workers),
        None if meter.is_blind() => workers,
        None => active,
    };
    if next != active && shared.follow_load(next) {
        tracing::debug!(active = next, ?demand, "another number of workers serves");
    }
}

/// Says where the node listens; `loads`: it serves only later.
fn announce(
    config: &Config,
    address: SocketAddr,
    http: Option<&HttpServer>,
    workers: usize,
    loads: bool,
) {
    let memory = match config.memory.max_bytes() {
        Some(bytes) => crate::config::format_size(bytes),
        None => "no limit".into(),
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        %address,
        http = http.map_or("off".into(), |http| http.address().to_string()),
        workers,
        memory,
        policy = config.memory.policy_in_force().name(),
        "CrabCache {}",
        if loads { "listens; it serves once it has its data" } else { "is ready" }
    );
    if !config.server.bind.is_loopback() && config.server.tokens.is_empty() {
        tracing::warn!("anybody who reaches {address} can read and change everything");
    }
}

/// Allows as many open files as clients may come, or warns that there will be fewer.
fn raise_descriptor_limit(clients: usize, workers: usize) {
    let wanted = (clients + limits::DESCRIPTORS_RESERVED + workers * 8) as u64;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls only read or write the struct they are given.
    let allowed = unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 {
            return;
        }
        if limit.rlim_cur < wanted {
            let max = limit.rlim_max.max(wanted);
            let raised = libc::rlimit { rlim_cur: wanted, rlim_max: max };
            // Raising the hard limit takes a privilege; without it the hard limit is the most.
            if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) != 0 {
                let most =
                    libc::rlimit { rlim_cur: wanted.min(limit.rlim_max), rlim_max: limit.rlim_max };
                libc::setrlimit(libc::RLIMIT_NOFILE, &raw const most);
            }
            libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        }
        limit.rlim_cur
    };
    if allowed < wanted {
        tracing::warn!(allowed, wanted, "the system allows too few open files for max_clients");
    }
}
