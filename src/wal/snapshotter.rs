//! The thread that writes snapshots, one at a time, at a bounded rate; and what it tells of them.

mod copies;

use super::files::Files;
use super::snapshot::{self, Host, SnapshotDone, SnapshotError, Target};
use crate::clock;
use crate::command::Time;
use crate::engine::Engine;
use crate::limits::{SNAPSHOT_PAUSE_MS_MAX, SNAPSHOT_PAUSE_US_MIN};
use cluster::record::{Epoch, Salt, Seq};
use cluster::slot::Group;
use copies::{Copy, CopyClerk};
use parking_lot::{Condvar, Mutex};
use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;

/// Told of a snapshot that is on disk, and that older ones are gone.
pub type OnSaved = Box<dyn Fn(&SnapshotDone) + Send + Sync>;
/// Asked for the number of the segment that the log is at; 0: there is none.
pub type LogNumber = Box<dyn Fn() -> u64 + Send + Sync>;
/// Returns when the log is on disk up to these records, or says why it cannot be.
pub type Settle = Box<dyn Fn(&[(Group, Epoch, Seq)]) -> io::Result<()> + Send + Sync>;

/// What a [`Snapshotter`] works with.
pub struct SnapshotterOptions {
    /// Whose items; its log is recording by the first request.
    pub engine: Arc<Engine>,
    /// The file system.
    pub files: Arc<dyn Files>,
    /// The folder of snapshots, made if need be.
    pub folder: PathBuf,
    /// Bytes a second that it may write; 0: no bound.
    pub rate: u64,
    /// When the snapshot was written that the node began with, in milliseconds since the Unix
    /// epoch.
    pub last_save_ms: Option<u64>,
    /// See [`Settle`].
    pub settle: Settle,
    /// See [`OnSaved`].
    pub on_saved: OnSaved,
    /// See [`LogNumber`].
    pub log_number: LogNumber,
}

/// What a snapshot is written for; they are all alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To have one.
    Save,
    /// To make the log shorter.
    Rewrite,
}

/// A snapshot is being written, for this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy(pub Purpose);

/// How saving stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SaveStatus {
    /// When the last snapshot was on disk, in seconds since the Unix epoch; `None`: there is none.
    pub last_save_unix: Option<u64>,
    /// What one is being written for.
    pub in_progress: Option<Purpose>,
    /// What another waits for.
    pub scheduled: Option<Purpose>,
    /// How long the one at hand has taken.
    pub current_ms: Option<u64>,
    /// How long the last one took; `None` before the first.
    pub last_ms: Option<u64>,
    /// Why the last one failed; `None` when it did not.
    pub last_error: Option<String>,
    /// How many were written since the start.
    pub saves: u64,
    /// How many of them to make the log shorter.
    pub rewrites: u64,
    /// Bytes of the last one.
    pub last_bytes: u64,
    /// The newest record of each group that it holds.
    pub last_positions: Arc<[(Group, Seq)]>,
}

impl fmt::Debug for Snapshotter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshotter").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// Writes snapshots, on a thread of its own that ends with it.
pub struct Snapshotter {
    desk: Arc<Desk>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Where the thread and those who ask it meet.
#[derive(Default)]
struct Desk {
    state: Mutex<State>,
    changed: Condvar,
    /// [`State::ended`], for who must not hold up a thread; the greatest number at the end.
    ended: watch::Sender<u64>,
    /// The number of the next snapshot.
    next: AtomicU64,
}

/// Somebody waits for a snapshot, until this is dropped.
struct Awaiting<'a>(&'a Desk);

impl Desk {
    fn awaiting(&self) -> Awaiting<'_> {
        self.state.lock().awaited += 1;
        self.changed.notify_all();
        Awaiting(self)
    }
}

impl Drop for Awaiting<'_> {
    fn drop(&mut self) {
        self.0.state.lock().awaited -= 1;
    }
}

#[derive(Default)]
struct State {
    status: SaveStatus,
    /// When the one at hand was asked for, on the monotonic clock.
    began_nanos: u64,
    /// How many wait for the one at hand: then it is not to wait itself.
    awaited: u32,
    /// How many were tried to their end, and the last of them that is on disk.
    ended: u64,
    written: u64,
    /// Groups to be written at once.
    copies: Vec<Copy>,
    stop: bool,
}

impl Snapshotter {
    /// Begins; removes what an earlier run left unfinished.
    ///
    /// # Errors
    /// When the folder cannot be made or read, or there is no thread.
    pub fn start(options: SnapshotterOptions) -> io::Result<Snapshotter> {
        let desk = Arc::new(Desk::default());
        desk.state.lock().status.last_save_unix = options.last_save_ms.map(|ms| ms / 1000);
        options.files.make_dir(&options.folder)?;
        let mut next = 1;
        for file in options.files.list(&options.folder)? {
            if snapshot::is_unfinished(&file.name) {
                options.files.remove(&options.folder.join(&file.name))?;
            }
            next = next.max(snapshot::number_of(&file.name).map_or(0, |n| n.saturating_add(1)));
        }
        desk.next.store(next, Ordering::Relaxed);
        let options = Arc::new(options);
        let snapshotter = Snapshotter { desk: desk.clone(), threads: Mutex::default() };
        let clerk = Clerk { desk: desk.clone(), options: options.clone() };
        let copies = CopyClerk { desk, options };
        // When the second cannot be made, the first ends with the snapshotter.
        let thread = std::thread::Builder::new().name("snapshots".into());
        snapshotter.threads.lock().push(thread.spawn(move || clerk.work())?);
        let thread = std::thread::Builder::new().name("copies".into());
        snapshotter.threads.lock().push(thread.spawn(move || copies.work())?);
        Ok(snapshotter)
    }

    /// Begins a snapshot of all groups.
    ///
    /// # Errors
    /// When one is being written.
    pub fn begin(&self, purpose: Purpose) -> Result<(), Busy> {
        let mut state = self.desk.state.lock();
        if let Some(other) = state.status.in_progress {
            return Err(Busy(other));
        }
        state.begin(purpose);
        self.desk.changed.notify_all();
        Ok(())
    }

    /// Begins one, once the one at hand is written.
    pub fn schedule(&self, purpose: Purpose) {
        let mut state = self.desk.state.lock();
        match state.status.in_progress {
            Some(_) => state.status.scheduled = Some(purpose),
            None => state.begin(purpose),
        }
        self.desk.changed.notify_all();
    }

    /// Begins one that holds all that has happened so far, or lets it follow the one at hand:
    /// its number, for [`Snapshotter::written`].
    pub fn begin_next(&self, purpose: Purpose) -> u64 {
        let mut state = self.desk.state.lock();
        let number = match state.status.in_progress {
            Some(_) => {
                state.status.scheduled = Some(purpose);
                state.ended + 2
            }
            None => {
                state.begin(purpose);
                state.ended + 1
            }
        };
        self.desk.changed.notify_all();
        number
    }

    /// Returns when that snapshot, or a later one, is on disk. It is written as fast as it can be
    /// meanwhile.
    ///
    /// # Errors
    /// Why it failed.
    pub async fn written(&self, number: u64) -> Result<(), String> {
        let _awaiting = self.desk.awaiting();
        let mut ended = self.desk.ended.subscribe();
        let _ = ended.wait_for(|ended| *ended >= number).await;
        let state = self.desk.state.lock();
        if state.written >= number {
            return Ok(());
        }
        let failed = state.status.last_error.clone().filter(|_| state.ended >= number);
        Err(failed.unwrap_or_else(|| SnapshotError::Stopped.to_string()))
    }

    /// Returns when none is being written, and how the last one ended. What is waited for is
    /// written as fast as it can be.
    ///
    /// # Errors
    /// Why the last one failed.
    pub fn wait(&self) -> Result<(), String> {
        let _awaiting = self.desk.awaiting();
        let mut state = self.desk.state.lock();
        while state.status.in_progress.is_some() && !state.stop {
            self.desk.changed.wait(&mut state);
        }
        if state.status.in_progress.is_some() {
            return Err(SnapshotError::Stopped.to_string());
        }
        state.status.last_error.clone().map_or(Ok(()), Err)
    }

    /// Writes one that holds all that has happened so far, and returns when it is on disk.
    ///
    /// # Errors
    /// Why it failed.
    pub fn save(&self) -> Result<(), String> {
        self.schedule(Purpose::Save);
        self.wait()
    }

    /// The node begins with a snapshot of so many bytes that holds groups up to these records.
    pub fn begin_with(&self, bytes: u64, positions: &[(Group, Seq)]) {
        let status = &mut self.desk.state.lock().status;
        (status.last_bytes, status.last_positions) = (bytes, positions.into());
    }

    /// How saving stands.
    pub fn status(&self) -> SaveStatus {
        let state = self.desk.state.lock();
        let mut status = state.status.clone();
        let since = clock::monotonic_nanos().saturating_sub(state.began_nanos) / 1_000_000;
        status.current_ms = status.in_progress.map(|_| since);
        status
    }

    /// Ends the thread; a snapshot at hand is given up.
    pub fn stop(&self) {
        self.desk.state.lock().stop = true;
        self.desk.changed.notify_all();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            if thread.join().is_err() {
                tracing::error!("a thread that writes snapshots ended by itself");
            }
        }
        self.desk.ended.send_replace(u64::MAX);
    }
}

impl Drop for Snapshotter {
    fn drop(&mut self) {
        self.stop();
    }
}

impl State {
    fn begin(&mut self, purpose: Purpose) {
        self.status.in_progress = Some(purpose);
        self.began_nanos = clock::monotonic_nanos();
    }

    fn end(&mut self, saved: &Result<SnapshotDone, SnapshotError>) {
        let status = &mut self.status;
        let took = clock::monotonic_nanos().saturating_sub(self.began_nanos) / 1_000_000;
        status.last_ms = Some(took);
        self.ended += 1;
        match saved {
            Ok(done) => {
                status.last_save_unix = Some(clock::now().0 / 1000);
                (status.saves, status.last_bytes) = (status.saves + 1, done.bytes);
                status.rewrites += u64::from(status.in_progress == Some(Purpose::Rewrite));
                let positions = done.groups.iter().map(|(group, _, seq)| (*group, *seq));
                status.last_positions = positions.collect();
                status.last_error = None;
                self.written = self.ended;
            }
            Err(error) => status.last_error = Some(error.to_string()),
        }
        status.in_progress = None;
        if let Some(purpose) = self.status.scheduled.take() {
            self.begin(purpose);
        }
    }
}

/// The thread's side.
struct Clerk {
    desk: Arc<Desk>,
    options: Arc<SnapshotterOptions>,
}

impl Clerk {
    fn work(self) {
        while self.next_request() {
            let saved = self.save();
            match &saved {
                Ok(done) => {
                    tracing::info!(number = done.number, bytes = done.bytes, "snapshot written");
                }
                Err(error) => tracing::error!("no snapshot: {error}"),
            }
            let ended = {
                let mut state = self.desk.state.lock();
                state.end(&saved);
                state.ended
            };
            self.desk.ended.send_replace(ended);
            self.desk.changed.notify_all();
        }
    }

    /// Waits for a request; `false` when there will be none.
    fn next_request(&self) -> bool {
        let mut state = self.desk.state.lock();
        while !state.stop && state.status.in_progress.is_none() {
            self.desk.changed.wait(&mut state);
        }
        !state.stop
    }

    fn save(&self) -> Result<SnapshotDone, SnapshotError> {
        let options = &*self.options;
        let mut pacer = Pacer { desk: &self.desk, options, due_nanos: 0 };
        let done = write(&self.desk, options, Group::all(), &mut pacer)?;
        if self.remove_before(done.number) {
            (options.on_saved)(&done);
        }
        Ok(done)
    }

    /// Removes the snapshots before this one, which holds all they hold that counts; whether none
    /// is left. As long as one is, the log stays that says what of it does not count.
    fn remove_before(&self, number: u64) -> bool {
        let (files, folder) = (&self.options.files, &self.options.folder);
        let removed = files.list(folder).and_then(|listed| {
            let is_old = |name: &str| snapshot::number_of(name).is_some_and(|n| n < number);
            for file in listed.iter().filter(|file| is_old(&file.name)) {
                files.remove(&folder.join(&file.name))?;
            }
            files.sync_dir(folder)
        });
        if let Err(error) = &removed {
            // It only takes space: the next snapshot tries again.
            tracing::warn!("an old snapshot cannot be removed: {error}");
        }
        removed.is_ok()
    }
}

/// Writes a snapshot of these groups, with a number of its own.
fn write(
    desk: &Desk,
    options: &SnapshotterOptions,
    groups: impl Iterator<Item = Group>,
    host: &mut dyn Host,
) -> Result<SnapshotDone, SnapshotError> {
    let number = desk.next.fetch_add(1, Ordering::Relaxed);
    let salt = Salt::new((clock::random_u64() as u32).max(1));
    let salt = salt.unwrap_or_else(|| unreachable!("it is not 0"));
    let target = Target { files: &*options.files, folder: &options.folder, number, salt };
    snapshot::write(&options.engine, &target, groups, host)
}

/// Keeps a snapshot to its rate.
struct Pacer<'a> {
    desk: &'a Desk,
    options: &'a SnapshotterOptions,
    /// When what was written so far should have been, on the monotonic clock.
    due_nanos: u64,
}

impl Host for Pacer<'_> {
    fn now(&self) -> Time {
        clock::now()
    }

    fn pace(&mut self, bytes: u64) -> ControlFlow<()> {
        let now = clock::monotonic_nanos();
        if let Some(nanos) = bytes.saturating_mul(1_000_000_000).checked_div(self.options.rate) {
            self.due_nanos = self.due_nanos.max(now).saturating_add(nanos);
        }
        let mut state = self.desk.state.lock();
        loop {
            if state.stop {
                return ControlFlow::Break(());
            }
            let ahead = self.due_nanos.saturating_sub(clock::monotonic_nanos());
            if ahead < SNAPSHOT_PAUSE_US_MIN * 1000 || state.awaited > 0 {
                return ControlFlow::Continue(());
            }
            let pause = Duration::from_nanos(ahead);
            let pause = pause.min(Duration::from_millis(SNAPSHOT_PAUSE_MS_MAX));
            self.desk.changed.wait_for(&mut state, pause);
        }
    }

    fn settle(&mut self, groups: &[(Group, Epoch, Seq)]) -> io::Result<()> {
        (self.options.settle)(groups)
    }

    fn log_number(&self) -> u64 {
        (self.options.log_number)()
    }
}
