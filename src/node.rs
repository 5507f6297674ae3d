//! The composition root: makes a node out of its parts, starts and stops it. Nothing else knows
//! all of them.

mod memory;
mod storage;

use crate::clock;
use crate::command::spec;
use crate::config::{Config, WalPolicy};
use crate::engine::{self, Engine, EngineOptions};
use crate::http::{self, HttpServer, HttpState};
use crate::limits;
use crate::metrics::{CommandIndex, Commands, Metrics};
use crate::security;
use crate::server::{Identity, Server};
use crate::wal::log::Log;
use crate::worker::{
    self, Clients, DemandMeter, Elastic, Inboxes, Load, Notice, Settings, Shared, Slowlog,
    WorkerOptions,
};
use memory::Preparer;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use storage::{Running, Storage};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Why a node did not start, or ended otherwise than it should.
#[derive(Debug)]
pub enum NodeError {
    /// It would listen where it must not.
    Bind(String),
    /// An address cannot be listened on.
    Listen(SocketAddr, io::Error),
    /// The system refused something else.
    System(io::Error),
    /// The bound on memory is too small for so many shards.
    Memory {
        /// The bound.
        bytes: u64,
        /// What it has to be.
        least: u64,
        /// How many shards there are.
        shards: usize,
    },
    /// A worker ended by itself.
    Worker(usize),
    /// The log could not be written to its end.
    Log,
    /// The folder of the data cannot be used, for this reason.
    Data(PathBuf, String),
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NodeError::Bind(reason) => f.write_str(reason),
            NodeError::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
            NodeError::System(error) => error.fmt(f),
            NodeError::Memory { bytes, least, shards } => write!(
                f,
                "memory.max_memory is {bytes} bytes, but {shards} shards need {least} at least: \
                 allow more, or set memory.shards to fewer"
            ),
            NodeError::Log => f.write_str("the log could not be written to its end"),
            NodeError::Data(folder, reason) => {
                write!(f, "cannot use data.dir {}: {reason}", folder.display())
            }
            NodeError::Worker(index) => write!(f, "worker {index} ended by itself"),
        }
    }
}

impl std::error::Error for NodeError {}

impl From<io::Error> for NodeError {
    fn from(error: io::Error) -> NodeError {
        NodeError::System(error)
    }
}

/// Runs a node until a signal or a client ends it. `file` is where its settings were read from.
///
/// # Errors
/// Why it did not start, or ended otherwise.
pub fn run(config: Config, file: Option<&Path>) -> Result<(), NodeError> {
    let listening = &config.server;
    security::check_bind(listening.bind, !listening.tokens.is_empty(), listening.protected)
        .map_err(NodeError::Bind)?;
    let workers = listening.worker_count();
    raise_descriptor_limit(listening.max_clients, workers);
    let listeners = listen(&config, workers)?;
    let address =
        listeners.first().map_or(Ok(SocketAddr::new(listening.bind, 0)), |l| l.local_addr())?;

    // Signals are ours before anybody can know that the node is there.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let signals = {
        let _context = runtime.enter();
        [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?]
    };
    let (shared, ready) = (Arc::new(share(&config, workers)), Arc::new(AtomicBool::new(false)));
    let storage = Storage::open(&config)?;
    shared.notice.set_loading(storage.is_some());
    let (end, mut ending) = watch::channel(false);
    let identity = Identity::new(address, file);
    let mut server = Server::new(shared.clone(), config.clone(), identity, end);
    let snapshots = storage.as_ref().map(|storage| storage.snapshots(&config, &shared));
    let snapshots = snapshots.transpose()?;
    if let Some(snapshots) = &snapshots {
        server = server.with_snapshots(snapshots.clone());
    }
    let server = Arc::new(server);
    let (least, shards) = (shared.engine.max_memory_min(), shared.engine.shard_count());
    if let Some(bytes) = config.memory.max_bytes().filter(|bytes| *bytes < least) {
        return Err(NodeError::Memory { bytes, least, shards });
    }
    let _preparer = Preparer::start(&shared.engine)?;
    let http = start_http(&config, &shared, &server, &ready)?;
    let (thread, numbers) = mpsc::channel();
    let threads = start_workers(listeners, &shared, &server, &ending, &thread)?;
    drop(thread);
    let mut numbers: Vec<_> = numbers.iter().take(threads.len()).collect();
    numbers.sort_unstable();
    let numbers = numbers.into_iter().map(|(_, number)| number).collect();
    let meter = config.server.elastic.then(|| DemandMeter::new(numbers));
    announce(&config, address, http.as_ref(), workers);
    let log = match storage.as_ref().zip(snapshots.as_ref()) {
        Some((storage, snapshots)) => storage.start(&config, &shared, snapshots, ender(&server))?,
        None => None,
    };
    shared.notice.set_loading(false);
    ready.store(true, Ordering::Release);

    let lost = runtime.block_on(watch_over(signals, &shared, &mut ending, &threads, meter));
    ready.store(false, Ordering::Release);
    server.end();
    let crashed = threads.into_iter().position(|thread| !matches!(thread.join(), Ok(Ok(()))));
    if let Some(http) = http {
        http.stop();
    }
    snapshots.iter().for_each(|snapshots| snapshots.stop());
    let kept = log.is_none_or(Running::stop);
    match lost.or(crashed) {
        Some(index) => Err(NodeError::Worker(index)),
        None if !kept => Err(NodeError::Log),
        None => {
            tracing::info!("stopped");
            Ok(())
        }
    }
}

/// What ends the node.
fn ender(server: &Arc<Server>) -> impl Fn() + Send + Sync + use<> {
    let server = server.clone();
    move || server.end()
}

/// One listener for each worker, all on one address.
fn listen(config: &Config, workers: usize) -> Result<Vec<TcpListener>, NodeError> {
    let server = &config.server;
    let mut address = SocketAddr::new(server.bind, server.port);
    // Others may share a port that shares itself; whether it is free is asked without sharing.
    drop(TcpListener::bind(address).map_err(|error| NodeError::Listen(address, error))?);
    let mut listeners = Vec::with_capacity(workers);
    for _ in 0..workers {
        let listener = worker::listen(address, server.tcp_backlog)
            .map_err(|error| NodeError::Listen(address, error))?;
        // Port 0 means any free one: the first finds it, the others share it.
        address = listener.local_addr()?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// What all workers share.
fn share(config: &Config, workers: usize) -> Shared {
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
        hash_seed: clock::random_u64(),
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
    if !config.data.dir.as_os_str().is_empty() {
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
    listeners: Vec<TcpListener>,
    shared: &Arc<Shared>,
    server: &Arc<Server>,
    ending: &watch::Receiver<bool>,
    thread: &mpsc::Sender<(usize, libc::pid_t)>,
) -> io::Result<Vec<Thread>> {
    let start = |(index, listener)| {
        let options = WorkerOptions {
            index,
            shared: shared.clone(),
            sessions: server.clone(),
            listener,
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
    [mut terminate, mut interrupt]: [Signal; 2],
    shared: &Shared,
    ending: &mut watch::Receiver<bool>,
    threads: &[Thread],
    mut meter: Option<DemandMeter>,
) -> Option<usize> {
    let mut ticks = tokio::time::interval(Duration::from_millis(limits::RATE_SAMPLE_MS));
    let mut elastic = Elastic::default();
    let load_tick = Duration::from_millis(limits::LOAD_TICK_MS);
    let mut load = tokio::time::interval_at(tokio::time::Instant::now() + load_tick, load_tick);
    let mut rebalance = tokio::time::interval(Duration::from_millis(limits::REBALANCE_MS));
    loop {
        tokio::select! {
            // In this order: workers that were told to end have not ended by themselves.
            biased;
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
            // An error means that nobody is left who could end the node.
            _ = ending.wait_for(|ending| *ending) => {}
            _ = ticks.tick() => {
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
        return None;
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

fn announce(config: &Config, address: SocketAddr, http: Option<&HttpServer>, workers: usize) {
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
        "CrabCache is ready"
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
