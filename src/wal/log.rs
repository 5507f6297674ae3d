//! The log of a node at work: one thread takes what the shards have recorded, writes it, and syncs
//! for everybody who waits. Nothing is forgotten before it is synced: after an error all of it is
//! written again, to another segment.

mod figures;
mod put;
mod waits;

pub use figures::Figures;

use super::bell::{Bell, Listener, Rounds};
use super::collect::{Ages, Collector, Marks, wants_snapshot};
use super::gather::Gather;
use super::lane::{Lane, LaneError};
use crate::clock;
use crate::config::{OnError, Wal, WalPolicy};
use crate::engine::{Engine, LogPiece};
use crate::limits;
use cluster::record::Epoch;
use cluster::replication::Mark;
use cluster::slot::Group;
use parking_lot::{Condvar, Mutex};
use put::put;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

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

/// Asked for a snapshot when the log has become long or old.
pub type WantSnapshot = Box<dyn Fn() + Send>;

/// What the log's thread calls, and what it begins with.
pub struct Hooks {
    /// Told of every change of state.
    pub on_state: OnState,
    /// See [`WantSnapshot`].
    pub want_snapshot: WantSnapshot,
    /// When the last snapshot was written, in milliseconds since the Unix epoch.
    pub last_snapshot_ms: Option<u64>,
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
    rounds: Rounds,
    bell: Bell,
    ending: AtomicBool,
    ended: AtomicBool,
    /// Somebody waits for a sync, whatever the policy.
    asked: AtomicBool,
    figures: Figures,
    /// From which segment on the last snapshot needs the log, as told and not looked at yet.
    saved: Mutex<Option<u64>>,
    /// Nobody waits any more in [`Log::settle`].
    unsettled: AtomicBool,
    /// The number of the segment at hand.
    segment: AtomicU64,
    /// Signalled after every round.
    settled: Condvar,
    /// Who else wants the pieces.
    tap: OnceLock<Tap>,
}

/// Is given every piece of the log once, in order, on the log's thread.
pub type Tap = Box<dyn Fn(&LogPiece) + Send + Sync>;

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
            rounds: Rounds::default(),
            bell: Bell::default(),
            ending: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            figures: Figures::default(),
            saved: Mutex::default(),
            unsettled: AtomicBool::new(false),
            segment: AtomicU64::new(0),
            settled: Condvar::new(),
            tap: OnceLock::new(),
        }
    }

    /// Gives every piece to `tap` too, from the start on.
    pub fn set_tap(&self, tap: Tap) {
        let _ = self.tap.set(tap);
    }

    /// A snapshot is on disk that needs the log from this segment on: those before it may go.
    pub fn saved(&self, needed_from: u64) {
        *self.saved.lock() = Some(needed_from);
        self.bell.ring();
    }

    /// The number of the segment being written, or of one before it: all that stands in those
    /// before has been recorded by now. Waits a limited time for what is recorded and not written.
    pub fn segment_number(&self) -> u64 {
        let mut all = Vec::new();
        self.engine.each_log_position(|group, seq| all.push((group, Epoch(0), seq)));
        let until = clock::monotonic_nanos() + limits::log::WAL_NUMBER_MS_MAX * 1_000_000;
        // With an older number more of the log stays for now.
        let _ = self.settle_until(&all, until);
        self.segment.load(Ordering::Acquire)
    }

    /// From now on nobody waits in [`Log::settle`]: the node ends, and may not get to write.
    pub fn unsettle(&self) {
        self.unsettled.store(true, Ordering::Release);
        self.settled.notify_all();
    }

    /// Whether replies wait for the disk: `wal.policy = sync`.
    #[inline]
    pub fn is_gating(&self) -> bool {
        self.gating.load(Ordering::Relaxed)
    }

    /// Whether so much waits to be written that writers have to wait too.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.engine.log_bytes() >= self.options.buffer_bytes
            || self.engine.log_frames() >= limits::LOG_FRAMES_MAX
    }

    /// Asks the thread for a round, now.
    #[inline]
    pub fn ring(&self) {
        self.bell.ring();
    }

    /// So many answers more wait for a round, which may begin once others wait, too.
    #[inline]
    pub fn ask(&self, answers: u64) {
        self.bell.ask(answers);
    }

    /// How many rounds the thread has done.
    pub fn rounds(&self) -> u64 {
        self.rounds.done()
    }

    /// Waits for a round behind this one, for who is no worker.
    pub async fn round_behind(&self, round: u64) {
        self.rounds.behind(round).await;
    }

    /// Where a worker is told of the end of a round.
    pub fn listen(&self) -> Arc<Listener> {
        self.rounds.listen()
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
    pub fn start(
        self: &Arc<Log>,
        lane: Lane,
        mut collector: Collector,
        hooks: Hooks,
    ) -> io::Result<JoinHandle<()>> {
        let Hooks { on_state, want_snapshot, last_snapshot_ms } = hooks;
        let _ = self.on_state.set(on_state);
        self.engine.each_log_position(|group, seq| {
            self.durable[usize::from(group.number())].store(seq.0, Ordering::Release);
        });
        self.engine.start_log();
        collector.begin(last_snapshot_ms);
        let lane_number = lane.number();
        self.segment.store(lane_number, Ordering::Release);
        let writer = Writer {
            log: self.clone(),
            lane,
            unsynced: Vec::new(),
            written: 0,
            unsynced_bytes: 0,
            spare: Vec::new(),
            synced_nanos: clock::monotonic_nanos(),
            failing: false,
            segment: lane_number,
            began_ms: clock::now().0,
            last: Marks::default(),
            collector,
            want_snapshot,
            weighed_nanos: 0,
            gather: Gather::default(),
            served: 0,
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
    /// The segment at hand: its number, when it began, the last record of each group in it.
    segment: u64,
    began_ms: u64,
    last: Marks,
    collector: Collector,
    want_snapshot: WantSnapshot,
    weighed_nanos: u64,
    gather: Gather,
    /// How many answers the last round served.
    served: u64,
}

impl Writer {
    fn run(mut self) {
        clock::wake_in_time();
        loop {
            let ending = self.log.ending.load(Ordering::Acquire);
            if !ending {
                let busy = !self.failing && self.served > 0;
                self.log.bell.gather(busy.then_some(&self.gather), self.patience());
            }
            self.served = self.log.bell.begin();
            self.round(ending);
            if ending {
                self.log.ended.store(true, Ordering::Release);
                self.log.settled.notify_all();
                return;
            }
            while !self.failing {
                match self.lane.prepare() {
                    Ok(true) if self.log.bell.asked() == 0 && !self.log.engine.log_waits() => {}
                    Ok(_) => break,
                    Err(_) => {
                        // The roll-over that needs the file tells it again, and is told.
                        self.log.figures.errors.fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                }
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
        let done = self.put().and_then(|()| self.write_or_sync(ending));
        match done {
            Ok(()) => {}
            Err(error) => self.failed(&error),
        }
        if !self.failing {
            self.collect();
        }
        self.log.settled.notify_all();
        self.log.rounds.end();
    }

    /// Takes what was recorded and puts it into the lane.
    fn put(&mut self) -> Result<(), LaneError> {
        if self.failing {
            self.lane.fail_over()?;
            self.written = 0;
        }
        let known = self.unsynced.len();
        self.log.engine.take_log(&mut self.spare, &mut self.unsynced);
        if let Some(tap) = self.log.tap.get() {
            self.unsynced[known..].iter().for_each(tap);
        }
        while let Some(piece) = self.unsynced.get(self.written) {
            let bytes = put(&mut self.lane, piece)?;
            piece.marks().iter().for_each(|mark| self.last.note(mark.group, mark.last));
            self.collector.wrote(clock::now().0);
            if self.lane.number() != self.segment {
                self.close_segments();
            }
            self.log.figures.written_bytes.fetch_add(bytes, Ordering::Relaxed);
            self.unsynced_bytes += bytes;
            self.written += 1;
        }
        self.log.figures.unsynced_bytes.store(self.unsynced_bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Whether it is time to sync. Under `async` also before the interval has passed: pieces are
    /// kept until then, and memory that is soon used again is still in the processor's cache.
    fn is_sync_due(&mut self, now: u64, ending: bool) -> bool {
        let Wal { policy, interval, buffer_bytes, .. } = self.log.options;
        let passed = u128::from(now.saturating_sub(self.synced_nanos));
        policy == WalPolicy::Sync
            || ending
            || self.log.asked.swap(false, Ordering::AcqRel)
            || passed >= interval.as_nanos()
            || self.unsynced_bytes >= limits::WAL_UNSYNCED_BYTES_MAX.min(buffer_bytes / 2)
    }

    fn write_or_sync(&mut self, ending: bool) -> Result<(), LaneError> {
        let now = clock::monotonic_nanos();
        let due = self.is_sync_due(now, ending);
        if self.unsynced.is_empty() {
            let idle = now.saturating_sub(self.synced_nanos) >= limits::WAL_IDLE_MS * 1_000_000;
            if idle || ending {
                self.lane.settle()?;
            }
            self.well();
            return Ok(());
        }
        if !due {
            return self.lane.write();
        }
        let began = clock::monotonic_nanos();
        self.lane.sync()?;
        self.synced_nanos = now;
        let took = clock::monotonic_nanos().saturating_sub(began);
        self.log.figures.synced(took);
        self.gather.synced(took, self.served, self.log.bell.asked());
        for mut piece in self.unsynced.drain(..) {
            for &Mark { group, last: seq, .. } in piece.marks() {
                let durable = &self.log.durable[usize::from(group.number())];
                if piece.restarts().contains(&group) {
                    durable.store(seq.0, Ordering::Release);
                } else {
                    durable.fetch_max(seq.0, Ordering::AcqRel);
                }
            }
            self.log.engine.log_restarted(piece.restarts());
            if self.spare.len() < limits::WAL_PIECES_KEPT_MAX {
                piece.clear();
                self.spare.push(piece);
            }
        }
        (self.written, self.unsynced_bytes) = (0, 0);
        self.log.figures.unsynced_bytes.store(0, Ordering::Relaxed);
        self.well();
        if ending {
            self.lane.settle()?;
        }
        Ok(())
    }

    /// What there was is on disk.
    fn well(&mut self) {
        if std::mem::take(&mut self.failing) {
            tracing::info!("the log is written again");
            self.log.set_state(LogState::Well);
        }
    }

    /// The lane has gone on to another segment. What the piece at hand holds may stand in either:
    /// it counts for both.
    fn close_segments(&mut self) {
        let (now_ms, bytes) = (clock::now().0, self.log.options.segment_bytes);
        for number in self.segment..self.lane.number() {
            self.collector.close(number, bytes, self.began_ms, self.last.list());
        }
        (self.segment, self.began_ms) = (self.lane.number(), now_ms);
        self.log.segment.store(self.segment, Ordering::Release);
        self.last.clear();
        let at_hand = self.unsynced.get(self.written).into_iter().flat_map(|piece| piece.marks());
        at_hand.for_each(|mark| self.last.note(mark.group, mark.last));
    }

    /// Puts segments away that nobody needs, and asks for a snapshot when it is worth it.
    fn collect(&mut self) {
        let saved = self.log.saved.lock().take();
        if let Some(needed_from) = saved {
            self.collector.need_from(needed_from);
            self.collector.saved(clock::now().0);
            for number in self.collector.retirable() {
                if let Err(error) = self.lane.retire(number) {
                    tracing::warn!("a segment nobody needs stays: {error}");
                    break;
                }
                self.collector.retired(number);
            }
        }
        let figures = &self.log.figures;
        let log_bytes = self.collector.bytes() + self.lane.position();
        figures.segments.store(self.collector.segments() + 1, Ordering::Relaxed);
        figures.log_bytes.store(log_bytes, Ordering::Relaxed);
        let nanos = clock::monotonic_nanos();
        if nanos.saturating_sub(self.weighed_nanos) < limits::WAL_WEIGH_MS * 1_000_000 {
            return;
        }
        self.weighed_nanos = nanos;
        let data_bytes = self.log.engine.used_bytes();
        let need = self.collector.need(clock::now().0, log_bytes, data_bytes);
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let Wal { wal_ttl, snapshot_ttl, .. } = self.log.options;
        if wants_snapshot(&need, &Ages { wal_ms: ms(wal_ttl), snapshot_ms: ms(snapshot_ttl) }) {
            (self.want_snapshot)();
        }
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
