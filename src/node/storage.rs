//! What a node keeps on disk, put together: the folder and who owns it, recovery, the log's thread.
//! Cold; the parts are in the room `wal`.

use super::NodeError;
use crate::clock;
use crate::command::Time;
use crate::config::{Config, OnError, WalPolicy};
use crate::engine::{ApplyError, Engine};
use crate::limits;
use crate::wal::collect::Collector;
use crate::wal::files::SystemFiles;
use crate::wal::lane::{Lane, LaneError, LaneOptions};
use crate::wal::log::{Hooks, Log, LogState};
use crate::wal::recovery::{self, BadPayload, Outcome, Progress, Target};
use crate::wal::snapshotter::{Purpose, Snapshotter, SnapshotterOptions};
use crate::worker::Shared;
use cluster::record::frame::{FrameWriter, stamp};
use cluster::record::{Epoch, GroupTime, Header, Kind, Salt, Seq};
use cluster::slot::Group;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

/// The folder of a node's data, owned as long as this lives.
pub(super) struct Storage {
    folder: PathBuf,
    _owned: File,
}

/// The log's thread.
pub(super) struct Running {
    log: Arc<Log>,
    thread: JoinHandle<()>,
}

impl Storage {
    /// Makes the folder if need be and takes hold of it; `None` when data lives in memory only.
    ///
    /// # Errors
    /// When it cannot be made, or belongs to a running node.
    pub(super) fn open(config: &Config) -> Result<Option<Storage>, NodeError> {
        let folder = config.data.dir.clone();
        if folder.as_os_str().is_empty() {
            return Ok(None);
        }
        let refused = |reason: String| NodeError::Data(folder.clone(), reason);
        fs::create_dir_all(folder.join("wal")).map_err(|e| refused(e.to_string()))?;
        let path = folder.join("LOCK");
        let owned = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let owned = owned.map_err(|e| refused(e.to_string()))?;
        // SAFETY: a descriptor of our own.
        if unsafe { libc::flock(owned.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
            return Err(refused("another node is running on it".into()));
        }
        Ok(Some(Storage { folder, _owned: owned }))
    }

    /// Gets the data back, then lets the log begin.
    ///
    /// # Errors
    /// When the data on disk cannot be trusted, or the log cannot be written.
    pub(super) fn start(
        &self,
        config: &Config,
        shared: &Arc<Shared>,
        snapshots: &Arc<Snapshotter>,
        end: impl Fn() + Send + Sync + 'static,
    ) -> Result<Option<Running>, NodeError> {
        let engine = &shared.engine;
        let refused = |reason: String| NodeError::Data(self.folder.clone(), reason);
        let found = self.recover(engine).map_err(refused)?;
        let Some(log) = shared.log.clone().filter(|_| config.wal.policy != WalPolicy::None) else {
            engine.count_only();
            return Ok(None);
        };
        let options = LaneOptions {
            folder: self.folder.join("wal"),
            first_number: found.segment_next,
            segment_bytes: config.wal.segment_bytes,
        };
        let salts = Box::new(|| clock::random_u64() as u32);
        let now = Box::new(|| clock::now().0);
        let lane = Lane::open(Arc::new(SystemFiles), options, salts, now)
            .and_then(|mut lane| take_back(&mut lane, &found).map(|()| lane))
            .map_err(|error| refused(error.to_string()))?;
        let (told, on_error) = (Arc::downgrade(shared), config.wal.on_error);
        let on_state = Box::new(move |state: &LogState| {
            let Some(shared) = told.upgrade() else { return };
            let failing = matches!(state, LogState::Failing(_));
            shared.notice.set_refusing(failing);
            if failing && on_error == OnError::Stop {
                tracing::error!("stopping: wal.on_error = \"stop\"");
                end();
            }
        });
        let asked = Arc::downgrade(snapshots);
        let want_snapshot = Box::new(move || {
            // One that is being written is as good.
            let _ = asked.upgrade().map(|snapshots| snapshots.begin(Purpose::Rewrite));
        });
        let last_snapshot_ms = found.snapshots.last().and_then(|file| modified_ms(&file.path));
        let hooks = Hooks { on_state, want_snapshot, last_snapshot_ms };
        let thread = log.start(lane, collector(&found), hooks)?;
        Ok(Some(Running { log, thread }))
    }
}

impl Storage {
    /// Brings back what the snapshots and the log hold.
    fn recover(&self, engine: &Engine) -> Result<Outcome, String> {
        let began = clock::monotonic_nanos();
        let loader = Loader { engine, full: AtomicU64::new(0) };
        let told = AtomicU64::new(began);
        let progress = |at: Progress| {
            let (now, last) = (clock::monotonic_nanos(), told.load(Ordering::Relaxed));
            if now - last > limits::RECOVERY_TOLD_MS * 1_000_000 {
                told.store(now, Ordering::Relaxed);
                let (stage, mib) = (if at.applying { "applying" } else { "checking" }, 1 << 20);
                let (done, of) = (at.bytes / mib, at.bytes_total / mib);
                tracing::info!(stage, done_mib = done, of_mib = of, "loading the data");
            }
        };
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let folder = self.folder.join("wal");
        let found = recovery::recover(&folder, threads, &loader, &progress);
        let found = found.map_err(|error| error.to_string())?;
        if !found.is_sound() {
            return Err(told_damage(&found));
        }
        found.settle().map_err(|error| error.to_string())?;
        if let Some(cut) = &found.cut {
            let (path, offset) = (cut.path.display(), cut.offset);
            let (bytes, frames) = (cut.bytes, cut.frames);
            tracing::warn!(%path, offset, bytes, frames, "cut off a write that was not finished");
        }
        let full = loader.full.load(Ordering::Relaxed);
        if full > 0 {
            tracing::error!(records = full, "items had no room: memory.max_memory is too small");
        }
        if found.time.0 > clock::now().0 {
            tracing::warn!("the machine's clock is behind the data: deadlines come late");
        }
        let millis = (clock::monotonic_nanos() - began) / 1_000_000;
        let (groups, records) = (found.groups.len(), found.applied);
        tracing::info!(groups, records, millis, "loaded the data");
        Ok(found)
    }
}

impl Storage {
    /// The thread for snapshots of the node's engine.
    ///
    /// # Errors
    /// When the folder of snapshots cannot be used.
    pub(super) fn snapshots(
        &self,
        config: &Config,
        shared: &Shared,
    ) -> Result<Arc<Snapshotter>, NodeError> {
        let folder = self.folder.join("snapshots");
        let newest = fs::read_dir(&folder).into_iter().flatten().flatten();
        let last_save_ms = newest.filter_map(|file| modified_ms(&file.path())).max();
        let (settling, covering) = (shared.log.clone(), shared.log.clone());
        let options = SnapshotterOptions {
            engine: shared.engine.clone(),
            files: Arc::new(SystemFiles),
            folder,
            rate: config.wal.snapshot_rate,
            last_save_ms,
            settle: Box::new(move |groups| settling.as_ref().map_or(Ok(()), |l| l.settle(groups))),
            on_saved: Box::new(move |groups| {
                if let Some(log) = &covering {
                    log.cover(groups);
                }
            }),
        };
        let refused = |error: io::Error| NodeError::Data(self.folder.clone(), error.to_string());
        Snapshotter::start(options).map(Arc::new).map_err(refused)
    }
}

/// What is on disk already, for who decides when it may go.
fn collector(found: &Outcome) -> Collector {
    let mut collector = Collector::default();
    for file in &found.segments {
        let created_ms = modified_ms(&file.path).unwrap_or(0);
        collector.close(file.number, file.bytes, created_ms, file.last.clone());
    }
    found.snapshots.iter().for_each(|file| collector.cover(&file.last));
    collector
}

fn modified_ms(path: &Path) -> Option<u64> {
    let modified = fs::metadata(path).and_then(|facts| facts.modified()).ok()?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

/// What is damaged, and what to do.
fn told_damage(found: &Outcome) -> String {
    let places: Vec<String> = found
        .damages
        .iter()
        .take(limits::RECOVERY_DAMAGES_TOLD_MAX)
        .map(|damage| format!("{} at byte {}", damage.path.display(), damage.offset))
        .collect();
    let corrupt = found.corrupt.len();
    format!(
        "it is damaged ({}; {corrupt} groups lost something): `crabcache wal verify` tells more, \
         `crabcache wal repair` gives up what cannot be read",
        places.join(", ")
    )
}

/// Logs first which records of the old log do not count, lest they would next time.
fn take_back(lane: &mut Lane, found: &Outcome) -> Result<(), LaneError> {
    let Some(draft) = Salt::new(1).filter(|_| !found.truncate.is_empty()) else { return Ok(()) };
    let mut frame = Vec::new();
    let mut writer = FrameWriter::begin(&mut frame, draft);
    for &(group, epoch, seq) in &found.truncate {
        let header = Header { kind: Kind::Truncate, group, epoch, seq, time: found.time };
        // A few thousand short records always fit.
        let _ = writer.push(header, &[]);
    }
    writer.finish();
    let salt = lane.begin_frame(frame.len())?;
    let _ = stamp(&mut frame, salt);
    lane.put(&frame)?;
    lane.sync()
}

/// Gives records to the engine.
struct Loader<'a> {
    engine: &'a Engine,
    full: AtomicU64,
}

impl Target for Loader<'_> {
    fn apply(&self, group: Group, payload: &[u8], time: GroupTime) -> Result<(), BadPayload> {
        // The command's own time may have been a little behind its record's.
        let time = Time(time.0.saturating_sub(limits::REPLAY_LATE_MS));
        match self.engine.apply(group, payload, time) {
            Ok(()) => Ok(()),
            Err(ApplyError::Full) => {
                self.full.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(ApplyError::Effect(_) | ApplyError::Group) => Err(BadPayload),
        }
    }

    fn forget(&self, group: Group) {
        self.engine.clear_group(group);
    }

    fn set_log(&self, group: Group, epoch: Epoch, seq: Seq, time: GroupTime) {
        self.engine.set_log(group, epoch, seq, time);
    }
}

impl Running {
    /// Writes what there is, syncs it, ends the thread. Whether all of it is on disk.
    pub(super) fn stop(self) -> bool {
        self.log.end();
        let ended = self.thread.join().is_ok();
        ended && self.log.state() == LogState::Well
    }
}
