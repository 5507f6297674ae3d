//! What a node keeps on disk, put together: the folder and who owns it, recovery, the log's thread.
//! Cold; the parts are in the room `wal`.

use super::NodeError;
use super::lacking;
use crate::clock;
use crate::command::Time;
use crate::config::{Config, OnError, WalPolicy};
use crate::engine::{self, Engine};
use crate::limits;
use crate::metrics::{LoadFacts, RecoveryFacts};
use crate::server::Server;
use crate::wal::backup;
use crate::wal::collect::Collector;
use crate::wal::files::Files;
use crate::wal::lane::{Lane, LaneError, LaneOptions};
use crate::wal::lock;
use crate::wal::log::{Hooks, Log, LogState};
use crate::wal::recovery::repair::{Repair, repair};
use crate::wal::recovery::{self, BadPayload, Outcome, Payload, Progress, Target};
use crate::wal::segment;
use crate::wal::snapshot;
use crate::wal::snapshotter::{Purpose, Snapshotter, SnapshotterOptions};
use crate::worker::Shared;
use cluster::group_set::GroupSet;
use cluster::record::frame::{FrameWriter, stamp};
use cluster::record::{Epoch, GroupTime, Header, Kind, Salt, Seq};
use cluster::slot::Group;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use tokio::sync::oneshot;

/// The folder of a node's data, owned as long as this lives.
pub(super) struct Storage {
    folder: PathBuf,
    files: Arc<dyn Files>,
    _owned: File,
}

/// What came of loading.
pub(super) type Loaded = Result<Restored, NodeError>;

/// What a node goes on with.
#[derive(Default)]
pub(super) struct Restored {
    /// The log's thread, if there is a log and the node goes on.
    pub(super) log: Option<Running>,
    /// Groups that were damaged on disk; nothing of them is kept.
    pub(super) damaged: GroupSet,
}

/// What is needed to load the data.
pub(super) struct Loading<'a> {
    pub(super) config: Config,
    pub(super) storage: &'a Arc<Storage>,
    pub(super) shared: &'a Arc<Shared>,
    pub(super) snapshots: &'a Arc<Snapshotter>,
}

impl Loading<'_> {
    /// Begins to load, on a thread of its own.
    ///
    /// # Errors
    /// When there is no thread.
    pub(super) fn start(self, server: &Arc<Server>) -> io::Result<oneshot::Receiver<Loaded>> {
        let Loading { config, storage, shared, snapshots } = self;
        let (storage, shared) = (storage.clone(), shared.clone());
        let (snapshots, server) = (snapshots.clone(), server.clone());
        let (tell, told) = oneshot::channel();
        let load = move || {
            // Nobody asks when the node ends meanwhile.
            let _ = tell.send(storage.start(&config, &shared, &snapshots, &server));
        };
        thread::Builder::new().name("loading".into()).spawn(load)?;
        Ok(told)
    }
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
    pub(super) fn open(
        config: &Config,
        files: Arc<dyn Files>,
    ) -> Result<Option<Storage>, NodeError> {
        let folder = config.data.dir.clone();
        if folder.as_os_str().is_empty() {
            return Ok(None);
        }
        let refused = |reason: String| NodeError::Data(folder.clone(), reason);
        if folder.join(backup::RESTORING).exists() {
            let reason = "a restore to it was not finished: remove what is in it and restore again";
            return Err(refused(reason.into()));
        }
        fs::create_dir_all(folder.join(segment::FOLDER)).map_err(|e| refused(e.to_string()))?;
        let owned = lock::take(&folder).map_err(|e| refused(e.to_string()))?;
        let Some(owned) = owned else {
            return Err(refused("another node is running on it".into()));
        };
        Ok(Some(Storage { folder, files, _owned: owned }))
    }

    /// Gets the data back, then lets the log begin.
    ///
    /// # Errors
    /// When the data on disk cannot be trusted, or the log cannot be written.
    fn start(
        &self,
        config: &Config,
        shared: &Arc<Shared>,
        snapshots: &Arc<Snapshotter>,
        server: &Arc<Server>,
    ) -> Loaded {
        let engine = &shared.engine;
        let refused = |reason: String| NodeError::Data(self.folder.clone(), reason);
        let began = clock::monotonic_nanos();
        let (found, damaged, lossy) = self.recover_within(shared, config).map_err(refused)?;
        let items = (0..engine.shard_count()).map(|i| engine.lock(i).store().stats().items).sum();
        let millis = (clock::monotonic_nanos() - began) / 1_000_000;
        server.set_recovery(RecoveryFacts { millis, records: found.applied, items });
        if let Some(file) = found.snapshots.last() {
            snapshots.begin_with(file.bytes, &file.last);
        }
        if config.cluster.enabled {
            // Nothing is recorded that is not its primary's.
            engine.follow_all();
            lacking::keep(&self.folder, engine).map_err(|error| refused(error.to_string()))?;
        }
        let Some(log) = shared.log.clone().filter(|_| config.wal.policy != WalPolicy::None) else {
            engine.count_only();
            damaged.iter().for_each(|group| engine.drop_group(group));
            return Ok(Restored { log: None, damaged });
        };
        let options = LaneOptions {
            folder: self.folder.join(segment::FOLDER),
            first_number: found.segment_next,
            segment_bytes: config.wal.segment_bytes,
            fill: config.wal.policy == WalPolicy::Sync,
        };
        let salts = Box::new(|| clock::random_u64() as u32);
        let now = Box::new(|| clock::now().0);
        let lane = Lane::open(self.files.clone(), options, salts, now)
            .and_then(|mut lane| take_back(&mut lane, &found).map(|()| lane))
            .map_err(|error| refused(error.to_string()))?;
        let (told, ending) = (Arc::downgrade(shared), Arc::downgrade(server));
        let on_error = config.wal.on_error;
        let on_state = Box::new(move |state: &LogState| {
            let Some(shared) = told.upgrade() else { return };
            let failing = matches!(state, LogState::Failing(_));
            shared.notice.set_refusing(failing);
            if failing && on_error == OnError::Stop {
                tracing::error!("stopping: wal.on_error = \"stop\"");
                if let Some(server) = ending.upgrade() {
                    server.end();
                }
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
        let log = Running { log, thread };
        damaged.iter().for_each(|group| engine.drop_group(group));
        if (lossy || evictions(engine) > 0)
            && let Err(reason) = keep_loss(snapshots)
        {
            log.stop();
            return Err(refused(reason));
        }
        Ok(Restored { log: Some(log), damaged })
    }
}

/// Items had no room while data was loaded, and the log says nothing of it: they would come back,
/// even those that are deleted or written anew meanwhile. A snapshot without them is to be on disk
/// before anybody is served.
fn keep_loss(snapshots: &Snapshotter) -> Result<(), String> {
    tracing::warn!("not all of the data had room: writing a snapshot of what has, before serving");
    let told = |reason| format!("no snapshot of what had room could be written: {reason}");
    snapshots.save().map_err(told)
}

/// Items that were evicted since the node began.
fn evictions(engine: &Engine) -> u64 {
    (0..engine.shard_count()).map(|i| engine.lock(i).store().stats().evictions).sum()
}

impl Storage {
    /// Brings back what is on disk; whether items of it had no room. Where the policy would not
    /// let them go, a little more than the bound may be used meanwhile; beyond that the node does
    /// not start.
    fn recover_within(
        &self,
        shared: &Shared,
        config: &Config,
    ) -> Result<(Outcome, GroupSet, bool), String> {
        let engine = &*shared.engine;
        let (clustered, policy) = (config.cluster.enabled, config.memory.policy_in_force());
        let bound = engine.max_memory().filter(|_| !policy.evicts_all());
        let Some(bound) = bound else {
            let (found, damaged, refused) = self.recover(shared, clustered)?;
            return Ok((found, damaged, refused > 0));
        };
        let items = config.memory.items_bound();
        let wide = bound.saturating_add(bound / limits::RECOVERY_SPARE_PART);
        engine.set_limits(Some(wide), items);
        let recovered = self.recover(shared, clustered);
        // Unless it was set meanwhile.
        if engine.max_memory() == Some(wide) {
            engine.set_limits(Some(bound), items);
        }
        let (found, damaged, refused) = recovered?;
        if refused > 0 {
            let mib = |bytes: u64| bytes.div_ceil(1 << 20);
            // What has found room, and what has not.
            let used = engine.used_bytes();
            return Err(format!(
                "the data does not fit into memory.max_memory ({} MiB), and memory.policy ({}) \
                 lets none of it go. Nothing was changed. It needs about {} MiB",
                mib(bound),
                policy.name(),
                mib(used.saturating_add(refused)),
            ));
        }
        Ok((found, damaged, false))
    }

    /// Brings back what the snapshots and the log hold. A node of a cluster gives up what is
    /// damaged: these groups. Tells the bytes of items that had no room, too.
    fn recover(
        &self,
        shared: &Shared,
        clustered: bool,
    ) -> Result<(Outcome, GroupSet, u64), String> {
        let (found, refused) = self.load(shared)?;
        if !(clustered || found.is_sound() && found.unsaved.is_empty()) {
            return Err(told_damage(&self.folder, &found));
        }
        if found.is_sound() {
            let unsaved: GroupSet = found.unsaved.iter().copied().collect();
            return self.settle(found).map(|found| (found, unsaved, refused));
        }
        let damaged = found.corrupt.iter().map(|corrupt| corrupt.group);
        let damaged: GroupSet = damaged.chain(found.unsaved.iter().copied()).collect();
        self.give_up(shared, &found)?;
        let (found, refused) = self.load(shared)?;
        if !found.is_sound() {
            return Err(told_damage(&self.folder, &found));
        }
        self.settle(found).map(|found| (found, damaged, refused))
    }

    /// Moves what is damaged aside, and forgets what was read.
    fn give_up(&self, shared: &Shared, found: &Outcome) -> Result<(), String> {
        for damage in found.damages.iter().take(limits::RECOVERY_DAMAGES_TOLD_MAX) {
            let (path, offset) = (damage.path.display(), damage.offset);
            tracing::error!(%path, offset, "the data on disk is damaged here");
        }
        let (groups, files) = (found.corrupt.len(), self.folder.display());
        tracing::error!(
            groups,
            folder = %files,
            "groups are damaged on disk: they are given up here and fetched from other nodes; the \
             damaged files stay, under another name"
        );
        let how = Repair { dry_run: false, force: true };
        let done = repair(&self.folder.join(segment::FOLDER), how);
        done.map_err(|error| error.to_string())?;
        for group in Group::all() {
            shared.engine.clear_group(group);
            shared.engine.set_log(group, Epoch(0), Seq(0), GroupTime(0));
        }
        Ok(())
    }

    /// Reads all there is into the engine. Tells about how many bytes had no room.
    fn load(&self, shared: &Shared) -> Result<(Outcome, u64), String> {
        let engine = &*shared.engine;
        let began = clock::monotonic_nanos();
        let loader = Loader { engine, refused: Mutex::default() };
        let told = AtomicU64::new(began);
        let progress = |at: Progress| {
            let (is_applying, bytes, bytes_total) = (at.applying, at.bytes, at.bytes_total);
            shared.metrics.load.set(LoadFacts { is_applying, bytes, bytes_total });
            let (now, last) = (clock::monotonic_nanos(), told.load(Ordering::Relaxed));
            if now - last > limits::RECOVERY_TOLD_MS * 1_000_000 {
                told.store(now, Ordering::Relaxed);
                let (stage, mib) = (if at.applying { "applying" } else { "checking" }, 1 << 20);
                let (done, of) = (at.bytes / mib, at.bytes_total / mib);
                tracing::info!(stage, done_mib = done, of_mib = of, "loading the data");
            }
        };
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let folder = self.folder.join(segment::FOLDER);
        let found = recovery::recover(&folder, threads, &loader, &progress);
        let found = found.map_err(|error| error.to_string())?;
        if shared.notice.word().is_ending() {
            return Err("the node ends before its data is loaded".into());
        }
        let refused = loader.refused.into_inner();
        if !refused.is_empty() {
            let items = refused.len();
            tracing::error!(items, "items had no room: memory.max_memory is too small");
        }
        let refused = refused.values().map(|bytes| bytes + limits::RECOVERY_ITEM_BYTES).sum();
        let millis = (clock::monotonic_nanos() - began) / 1_000_000;
        let (groups, records) = (found.groups.len(), found.applied);
        tracing::info!(groups, records, millis, "loaded the data");
        Ok((found, refused))
    }

    /// Takes away what a crash left at the end of the log.
    fn settle(&self, found: Outcome) -> Result<Outcome, String> {
        found.settle().map_err(|error| error.to_string())?;
        for path in found.blank.iter().filter(|path| !path.exists()) {
            let path = path.display();
            tracing::warn!(%path, "a last file that was never begun: removed, or moved aside");
        }
        if let Some(cut) = &found.cut {
            let (path, offset) = (cut.path.display(), cut.offset);
            let (bytes, frames) = (cut.bytes, cut.frames);
            tracing::warn!(%path, offset, bytes, frames, "cut off a write that was not finished");
        }
        if !found.unsaved.is_empty() {
            let groups = found.unsaved.len();
            tracing::warn!(groups, "copies that were not on disk yet: fetched again");
        }
        if found.time.0 > clock::now().0 {
            tracing::warn!("the machine's clock is behind the data: deadlines come late");
        }
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
        let folder = self.folder.join(snapshot::FOLDER);
        let newest = fs::read_dir(&folder).into_iter().flatten().flatten();
        let last_save_ms = newest.filter_map(|file| modified_ms(&file.path())).max();
        let (settling, saving) = (shared.log.clone(), shared.log.clone());
        let numbering = shared.log.clone();
        let options = SnapshotterOptions {
            engine: shared.engine.clone(),
            files: self.files.clone(),
            folder,
            rate: config.wal.snapshot_rate,
            last_save_ms,
            settle: Box::new(move |groups| settling.as_ref().map_or(Ok(()), |l| l.settle(groups))),
            on_saved: Box::new(move |done| {
                saving.iter().for_each(|log| log.saved(done.log_from));
            }),
            log_number: Box::new(move || numbering.as_ref().map_or(0, |l| l.segment_number())),
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
    collector.need_from(found.log_from);
    collector
}

fn modified_ms(path: &Path) -> Option<u64> {
    let modified = fs::metadata(path).and_then(|facts| facts.modified()).ok()?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

/// What is damaged, and what to do.
fn told_damage(folder: &Path, found: &Outcome) -> String {
    let at = |path: &Path, offset: u64| format!("{} at byte {offset}", path.display());
    let mut places: Vec<String> =
        found.damages.iter().map(|damage| at(&damage.path, damage.offset)).collect();
    if places.is_empty() {
        // All that is there can be read; what is missing shows in single groups.
        let corrupt = found.corrupt.iter().map(|bad| {
            let (group, why) = (bad.group.number(), bad.why.name());
            format!("group {group}: {why}, {}", at(&bad.path, bad.offset))
        });
        let unsaved = found.unsaved.iter();
        let unsaved = unsaved.map(|group| format!("group {}: its snapshot", group.number()));
        places = corrupt.chain(unsaved).collect();
    }
    let corrupt = found.corrupt.len() + found.unsaved.len();
    let more = places.len().saturating_sub(limits::RECOVERY_DAMAGES_TOLD_MAX);
    places.truncate(limits::RECOVERY_DAMAGES_TOLD_MAX);
    let more = if more > 0 { format!(" and {more} more places") } else { String::new() };
    let folder = folder.display();
    format!(
        "it is damaged ({}{more}; {corrupt} of 1024 groups lost something, or may have). Nothing \
         was changed. To go on: copy the folder away, look at `crabcache wal verify --data-dir \
         {folder}` and `crabcache wal repair --data-dir {folder} --force --dry-run`, then run \
         `crabcache wal repair --data-dir {folder} --force`: it keeps of every group all that is \
         whole before the damage, gives up the rest, and the node starts. A backup is restored \
         to an empty folder by `crabcache restore`",
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
    /// Items that had no room, by the hashes of their names, and how long they are.
    refused: Mutex<BTreeMap<u64, u64>>,
}

impl Target for Loader<'_> {
    fn apply(&self, group: Group, payload: &[u8], time: GroupTime) -> Result<(), BadPayload> {
        self.apply_all(&[Payload { group, bytes: payload, time }]).map_err(|_| BadPayload)
    }

    fn apply_all(&self, payloads: &[Payload<'_>]) -> Result<(), usize> {
        // The command's own time may have been a little behind its record's.
        let now = |time: GroupTime| Time(time.0.saturating_sub(limits::REPLAY_LATE_MS));
        let given: Vec<engine::Payload<'_>> = payloads
            .iter()
            .map(|&Payload { group, bytes, time }| engine::Payload { group, bytes, now: now(time) })
            .collect();
        let mut refused = Vec::new();
        let done = self.engine.apply(&given, &mut refused);
        if !refused.is_empty() {
            self.refused.lock().extend(refused.iter().map(|item| (item.hash, item.bytes)));
        }
        done.map_err(|(at, _)| at)
    }

    fn forget(&self, group: Group) {
        self.engine.clear_group(group);
    }

    fn set_log(&self, group: Group, epoch: Epoch, seq: Seq, time: GroupTime) {
        self.engine.set_log(group, epoch, seq, time);
    }
}

impl Running {
    /// Nobody waits for the disk any more: it may not come back.
    pub(super) fn unsettle(&self) {
        self.log.unsettle();
    }

    /// Writes what there is, syncs it, ends the thread. Whether all of it is on disk.
    pub(super) fn stop(self) -> bool {
        self.log.end();
        let ended = self.thread.join().is_ok();
        ended && self.log.state() == LogState::Well
    }
}
