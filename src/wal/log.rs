//! The log of a node at work: one thread takes what the shards have recorded, writes it, and syncs
//! for everybody who waits. Nothing is forgotten before it is synced: after an error all of it is
//! written again, to another segment.

use super::lane::{Lane, LaneError};
use crate::clock;
use crate::config::{OnError, Wal, WalPolicy};
use crate::engine::{Engine, LogPiece};
use crate::limits;
use cluster::record::Seq;
use cluster::slot::Group;
use parking_lot::{Condvar, Mutex};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::watch;

/// How the log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogState {
    /// It is written.
    Well,
    /// It cannot be written, for this reason; it is tried again and again.
    Failing(String),
    /// It could not be written, and the node goes on without.
    GivenUp(String),
}

/// Told of every change of state; called on the log's thread.
pub type OnState = Box<dyn Fn(&LogState) + Send + Sync>;

/// The log as workers see it.
pub struct Log {
    engine: Arc<Engine>,
    options: Wal,
    /// Whether replies wait for the disk.
    gating: AtomicBool,
    /// The newest record on disk of each group, with all before it.
    durable: Box<[AtomicU64]>,
    state: Mutex<LogState>,
    on_state: OnceLock<OnState>,
    /// Counts rounds of the thread; waited for by who waits for the disk.
    rounds: watch::Sender<u64>,
    bell: Bell,
    ending: AtomicBool,
    figures: Figures,
}

/// Counts for metrics and INFO.
#[derive(Debug, Default)]
pub struct Figures {
    /// Bytes of frames written.
    pub written_bytes: AtomicU64,
    /// Syncs.
    pub syncs: AtomicU64,
    /// Errors of writes and syncs.
    pub errors: AtomicU64,
    /// Bytes taken from the shards and not synced yet.
    pub unsynced_bytes: AtomicU64,
}

/// Wakes the thread: whoever rings first pays, the others see that it has been done.
#[derive(Debug, Default)]
struct Bell {
    state: AtomicU8,
    lock: Mutex<()>,
    rung: Condvar,
}

const QUIET: u8 = 0;
const RUNG: u8 = 1;

impl Bell {
    fn ring(&self) {
        if self.state.swap(RUNG, Ordering::AcqRel) == QUIET {
            drop(self.lock.lock());
            self.rung.notify_one();
        }
    }

    fn wait(&self, longest: Duration) {
        let mut lock = self.lock.lock();
        if self.state.load(Ordering::Acquire) == QUIET {
            self.rung.wait_for(&mut lock, longest);
        }
        self.state.store(QUIET, Ordering::Release);
    }
}

impl Log {
    /// The log of an engine, not at work yet.
    pub fn new(engine: Arc<Engine>, options: Wal) -> Log {
        Log {
            gating: AtomicBool::new(options.policy == WalPolicy::Sync),
            engine,
            options,
            durable: Group::all().map(|_| AtomicU64::new(0)).collect(),
            state: Mutex::new(LogState::Well),
            on_state: OnceLock::new(),
            rounds: watch::Sender::new(0),
            bell: Bell::default(),
            ending: AtomicBool::new(false),
            figures: Figures::default(),
        }
    }

    /// Whether replies wait for the disk: `wal.policy = sync`.
    #[inline]
    pub fn is_gating(&self) -> bool {
        self.gating.load(Ordering::Relaxed)
    }

    /// Whether a record of a group is on disk, with all before it.
    #[inline]
    pub fn is_durable(&self, group: Group, seq: Seq) -> bool {
        seq.0 <= self.durable[usize::from(group.number())].load(Ordering::Acquire)
    }

    /// Whether all of these may go out.
    pub fn allows(&self, waits: &[(Group, Seq)]) -> bool {
        !self.is_gating() || waits.iter().all(|&(group, seq)| self.is_durable(group, seq))
    }

    /// Whether so much waits to be written that writers have to wait too.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.engine.log_bytes() >= self.options.buffer_bytes
    }

    /// Asks the thread for a round.
    #[inline]
    pub fn ring(&self) {
        self.bell.ring();
    }

    /// Where the end of every round is told.
    pub fn rounds(&self) -> watch::Receiver<u64> {
        self.rounds.subscribe()
    }

    /// How it is.
    pub fn state(&self) -> LogState {
        self.state.lock().clone()
    }

    /// When writes count as done.
    pub fn policy(&self) -> WalPolicy {
        self.options.policy
    }

    /// Counts.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Starts the thread: what the engine has recorded until now is on disk, what it records from
    /// now on will be. `on_state` is told of every change of state.
    ///
    /// # Errors
    /// The system's.
    pub fn start(self: &Arc<Log>, lane: Lane, on_state: OnState) -> io::Result<JoinHandle<()>> {
        let _ = self.on_state.set(on_state);
        self.engine.each_log_position(|group, seq| {
            self.durable[usize::from(group.number())].store(seq.0, Ordering::Release);
        });
        self.engine.start_log();
        let writer = Writer {
            log: self.clone(),
            lane,
            unsynced: Vec::new(),
            written: 0,
            unsynced_bytes: 0,
            spare: Vec::new(),
            synced_nanos: clock::monotonic_nanos(),
            failing: false,
        };
        thread::Builder::new().name("log".into()).spawn(move || writer.run())
    }

    /// Asks the thread to write and sync all there is, and to end.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Release);
        self.bell.ring();
    }

    fn set_state(&self, state: LogState) {
        let mut now = self.state.lock();
        if *now != state {
            *now = state.clone();
            drop(now);
            if let Some(tell) = self.on_state.get() {
                tell(&state);
            }
        }
    }
}

/// The thread's own.
struct Writer {
    log: Arc<Log>,
    lane: Lane,
    /// Taken and not synced, in order.
    unsynced: Vec<LogPiece>,
    /// How many of them are written.
    written: usize,
    unsynced_bytes: u64,
    spare: Vec<LogPiece>,
    synced_nanos: u64,
    failing: bool,
}

impl Writer {
    fn run(mut self) {
        loop {
            let ending = self.log.ending.load(Ordering::Acquire);
            if !ending {
                self.log.bell.wait(self.patience());
            }
            self.round(ending);
            if ending {
                return;
            }
            if !self.failing && self.lane.prepare().is_err() {
                // The roll-over that needs the file tells it again, and is told.
                self.log.figures.errors.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// How long to wait unless somebody rings.
    fn patience(&self) -> Duration {
        let idle = self.unsynced.is_empty() && !self.log.engine.log_waits();
        Duration::from_millis(match (self.failing, idle) {
            (true, _) => limits::WAL_RETRY_MS,
            (false, true) => limits::WAL_IDLE_MS,
            (false, false) => limits::WAL_TICK_MS,
        })
    }

    /// Takes, writes, syncs if it is time.
    fn round(&mut self, ending: bool) {
        if matches!(*self.log.state.lock(), LogState::GivenUp(_)) {
            return;
        }
        let done = self.write().and_then(|()| self.sync(ending));
        match done {
            Ok(()) => {}
            Err(error) => self.failed(&error),
        }
        self.log.rounds.send_modify(|round| *round += 1);
    }

    fn write(&mut self) -> Result<(), LaneError> {
        if self.failing {
            self.lane.fail_over()?;
            self.written = 0;
        }
        let mut pieces = std::mem::take(&mut self.spare);
        self.log.engine.take_log(&mut pieces);
        self.unsynced.append(&mut pieces);
        while let Some(piece) = self.unsynced.get_mut(self.written) {
            let bytes = put(&mut self.lane, piece)?;
            self.log.figures.written_bytes.fetch_add(bytes, Ordering::Relaxed);
            self.unsynced_bytes += bytes;
            self.written += 1;
        }
        self.log.figures.unsynced_bytes.store(self.unsynced_bytes, Ordering::Relaxed);
        self.lane.write()
    }

    fn sync(&mut self, ending: bool) -> Result<(), LaneError> {
        let now = clock::monotonic_nanos();
        let Wal { policy, interval, buffer_bytes, .. } = self.log.options;
        let due = policy == WalPolicy::Sync
            || ending
            || u128::from(now.saturating_sub(self.synced_nanos)) >= interval.as_nanos()
            || self.unsynced_bytes >= buffer_bytes / 2;
        if self.unsynced.is_empty() || !due {
            return Ok(());
        }
        self.lane.sync()?;
        self.synced_nanos = now;
        self.log.figures.syncs.fetch_add(1, Ordering::Relaxed);
        for mut piece in self.unsynced.drain(..) {
            for &(group, seq) in piece.marks() {
                let durable = &self.log.durable[usize::from(group.number())];
                durable.fetch_max(seq.0, Ordering::AcqRel);
            }
            if self.spare.len() < limits::WAL_PIECES_KEPT_MAX {
                piece.clear();
                self.spare.push(piece);
            }
        }
        (self.written, self.unsynced_bytes) = (0, 0);
        self.log.figures.unsynced_bytes.store(0, Ordering::Relaxed);
        if std::mem::take(&mut self.failing) {
            tracing::info!("the log is written again");
            self.log.set_state(LogState::Well);
        }
        Ok(())
    }

    #[cold]
    fn failed(&mut self, error: &LaneError) {
        self.log.figures.errors.fetch_add(1, Ordering::Relaxed);
        let reason = error.to_string();
        if !self.failing {
            tracing::error!("the log cannot be written: {reason}");
        }
        self.failing = true;
        self.unsynced_bytes = 0;
        if self.log.options.on_error == OnError::ContinueWithoutWal {
            self.log.engine.count_only();
            self.log.gating.store(false, Ordering::Relaxed);
            self.unsynced.clear();
            tracing::error!("going on without a log: what is written from now on is not kept");
            self.log.set_state(LogState::GivenUp(reason));
            return;
        }
        self.log.set_state(LogState::Failing(reason));
    }
}

/// Puts the frames of a piece into the lane; their bytes.
fn put(lane: &mut Lane, piece: &mut LogPiece) -> Result<u64, LaneError> {
    let mut bytes = 0;
    for frame in 0..piece.frames() {
        let salt = lane.begin_frame(piece.frame_bytes(frame))?;
        let mut done = Ok(());
        piece.seal(frame, salt, |part| {
            if done.is_ok() {
                done = lane.put(part);
            }
        });
        done?;
        bytes += piece.frame_bytes(frame) as u64;
    }
    Ok(bytes)
}
