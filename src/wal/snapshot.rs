//! Writes a snapshot: all items, group by group, each as it is when its walk ends. Commands go on
//! meanwhile. Knows the engine by its walks alone.
//!
//! A file begins as a segment does. Then frames: the effects of a group in parts, and a `Base` that
//! completes it; a `Truncate` says that what stands there of its group so far does not count. The
//! last frame is a `Synced` with the offset at which it begins itself, and as its seq the number of
//! the segment from which on the log stays beside the snapshot, plus one: a file without it does
//! not count. The file has another name until all of it is on disk.

pub mod chunk;
mod file;

use super::files::Files;
use super::segment::{self, FileKind, number_before};
use crate::command::Time;
use crate::engine::{Engine, WalkChunk, WalkId, WalkStep};
use crate::limits::{SNAPSHOT_FRAME_BYTES, SNAPSHOT_RESTARTS_MAX, SNAPSHOT_TIME_MARGIN_MS};
use cluster::record::{Epoch, GroupTime, Header, Kind, Salt, Seq};
use cluster::slot::Group;
use file::SnapshotFile;
use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// The folder of snapshots below the data directory.
pub const FOLDER: &str = "snapshots";

/// The name of a snapshot in its folder.
pub fn file_name(number: u64) -> String {
    FileKind::Snapshot.name(number)
}

/// The name of that snapshot while it is written.
pub fn unfinished_name(number: u64) -> String {
    format!("{}.tmp", file_name(number))
}

/// The number of the snapshot of this name.
pub fn number_of(name: &str) -> Option<u64> {
    FileKind::Snapshot.number(name)
}

/// Whether a file of this name is a snapshot that was not finished; what it holds counts for
/// nothing.
pub fn is_unfinished(name: &str) -> bool {
    number_before(name, ".snap.tmp").is_some()
}

/// Where a snapshot goes.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// The file system.
    pub files: &'a dyn Files,
    /// The folder of snapshots; it is there.
    pub folder: &'a Path,
    /// Above those that are there.
    pub number: u64,
    /// What its frames carry; drawn at random.
    pub salt: Salt,
}

/// What a snapshot being written asks of the world around it. No lock of the engine is held.
pub trait Host {
    /// The time.
    fn now(&self) -> Time;

    /// So many bytes more are written, or about to be: may wait, and may end it.
    fn pace(&mut self, bytes: u64) -> ControlFlow<()>;

    /// Returns when the log is on disk up to these places. A snapshot must not hold half of a
    /// command whose other half, of another group, a crash can still take back.
    ///
    /// # Errors
    /// When the log cannot be written; the snapshot then does not come to be.
    fn settle(&mut self, groups: &[(Group, Epoch, Seq)]) -> io::Result<()>;

    /// The number of the segment that the log is at: of what stands in those before it a snapshot
    /// of all groups that begins now holds everything. 0: that is not known, or there is no log.
    fn log_number(&self) -> u64 {
        0
    }
}

/// A snapshot that is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotDone {
    /// Its number.
    pub number: u64,
    /// How long it is.
    pub bytes: u64,
    /// The groups in it, and up to which record of their logs.
    pub groups: Vec<(Group, Epoch, Seq)>,
    /// The segment from which on the log stays beside it; 0: that is not known.
    pub log_from: u64,
}

/// Why there is no snapshot.
#[derive(Debug)]
pub enum SnapshotError {
    /// A file, or the folder, could not be written.
    File(PathBuf, io::Error),
    /// The log could not be written, which must come first.
    Log(io::Error),
    /// This group changed faster than it could be written.
    Overrun(Group),
    /// It was to end.
    Stopped,
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapshotError::File(path, error) => write!(f, "{}: {error}", path.display()),
            SnapshotError::Log(error) => write!(f, "the log cannot be written: {error}"),
            SnapshotError::Overrun(group) => {
                write!(f, "group {} changes faster than it can be written", group.number())
            }
            SnapshotError::Stopped => f.write_str("given up: the node ends"),
        }
    }
}

impl std::error::Error for SnapshotError {}

/// Writes a snapshot of these groups. The log must be recording.
///
/// # Errors
/// Why there is none; nothing of it is left, as far as the file system lets itself be cleaned.
pub fn write(
    engine: &Engine,
    target: &Target<'_>,
    groups: impl Iterator<Item = Group>,
    host: &mut dyn Host,
) -> Result<SnapshotDone, SnapshotError> {
    let path = target.folder.join(unfinished_name(target.number));
    let written = write_unfinished(engine, target, &path, groups, host)
        .and_then(|done| finish(target, &path, host, done));
    if written.is_err() {
        // What is left counts for nothing, and the next start of the node removes it.
        let _ = target.files.remove(&path);
    }
    written
}

fn write_unfinished(
    engine: &Engine,
    target: &Target<'_>,
    path: &Path,
    groups: impl Iterator<Item = Group>,
    host: &mut dyn Host,
) -> Result<SnapshotDone, SnapshotError> {
    let failed = |error| SnapshotError::File(path.to_owned(), error);
    let created_ms = host.now().0;
    let header = segment::Header { salt: target.salt, number: target.number, created_ms };
    let mut file = SnapshotFile::create(target.files, path, &header).map_err(failed)?;
    let (number, log_from) = (target.number, host.log_number());
    let mut done = SnapshotDone { number, bytes: 0, groups: Vec::new(), log_from };
    let (mut chunk, mut skipped) = (WalkChunk::default(), Vec::new());
    for group in groups {
        let writer = GroupWriter { engine, group };
        let written = writer.write(&mut file, &mut chunk, host).map_err(|why| match why {
            Why::File(error) => failed(error),
            Why::Overrun => SnapshotError::Overrun(group),
            Why::Stopped => SnapshotError::Stopped,
        })?;
        match written {
            Some((epoch, seq)) => done.groups.push((group, epoch, seq)),
            // That this node gave it up has to be on disk before the log that says otherwise goes.
            None => skipped.push((group, Epoch(0), Seq(0))),
        }
    }
    if !skipped.is_empty() {
        host.settle(&skipped).map_err(SnapshotError::Log)?;
    }
    done.bytes = file.finish(log_from).map_err(failed)?;
    Ok(done)
}

/// Gives a whole file its name.
fn finish(
    target: &Target<'_>,
    path: &Path,
    host: &mut dyn Host,
    done: SnapshotDone,
) -> Result<SnapshotDone, SnapshotError> {
    let files = target.files;
    let named = target.folder.join(file_name(target.number));
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| SnapshotError::File(path, error)
    };
    files.truncate(path, done.bytes).map_err(failed(path))?;
    host.settle(&done.groups).map_err(SnapshotError::Log)?;
    files.rename(path, &named).map_err(failed(path))?;
    if let Err(error) = files.sync_dir(target.folder) {
        // Whole as it is, nobody may rely on its name.
        let _ = files.remove(&named);
        return Err(failed(target.folder)(error));
    }
    Ok(done)
}

/// Why a group was not written.
enum Why {
    File(io::Error),
    Overrun,
    Stopped,
}

impl From<io::Error> for Why {
    fn from(error: io::Error) -> Why {
        Why::File(error)
    }
}

/// A walk, which ends with this.
struct Walk<'a> {
    engine: &'a Engine,
    id: WalkId,
}

impl Drop for Walk<'_> {
    fn drop(&mut self) {
        self.engine.end_walk(self.id);
    }
}

/// Writes one group.
struct GroupWriter<'a> {
    engine: &'a Engine,
    group: Group,
}

impl GroupWriter<'_> {
    /// Writes the group as it is at a record of its log, or nothing that counts when this node
    /// does not hold all of it.
    fn write(
        &self,
        file: &mut SnapshotFile,
        chunk: &mut WalkChunk,
        host: &mut dyn Host,
    ) -> Result<Option<(Epoch, Seq)>, Why> {
        for _ in 0..=SNAPSHOT_RESTARTS_MAX {
            if !self.engine.is_whole(self.group) {
                return Ok(None);
            }
            if let Some(position) = self.try_write(file, chunk, host)? {
                return Ok(Some(position));
            }
            let time = GroupTime(host.now().0);
            file.control(&self.header(Kind::Truncate, Epoch(1), Seq(0), time))?;
        }
        Err(Why::Overrun)
    }

    /// Writes the group, or `None` when it changed too fast for that.
    fn try_write(
        &self,
        file: &mut SnapshotFile,
        chunk: &mut WalkChunk,
        host: &mut dyn Host,
    ) -> Result<Option<(Epoch, Seq)>, Why> {
        let began = GroupTime(host.now().0.saturating_sub(SNAPSHOT_TIME_MARGIN_MS));
        let (epoch, _, _) = self.engine.log_position(self.group);
        let effects = self.header(Kind::Effects, epoch, Seq(0), began);
        let walk = Walk { engine: self.engine, id: self.engine.begin_walk(self.group) };
        chunk.clear();
        loop {
            let before = chunk.len();
            let step = self.engine.walk_step(walk.id, host.now(), chunk);
            if step == WalkStep::Overrun {
                return Ok(None);
            }
            // After each step, so that who needs the processor waits for one step at most.
            if chunk.len() > before {
                pace(host, (chunk.len() - before) as u64)?;
            }
            if step == WalkStep::More && chunk.len() < SNAPSHOT_FRAME_BYTES / 2 {
                continue;
            }
            for part in chunk::split(chunk, SNAPSHOT_FRAME_BYTES) {
                file.put(&effects, &part)?;
            }
            chunk.clear();
            chunk.bytes.shrink_to(2 * SNAPSHOT_FRAME_BYTES);
            if let WalkStep::End { epoch, seq, time } = step {
                let bytes = file.control(&self.header(Kind::Base, epoch, seq, time))?;
                pace(host, bytes)?;
                return Ok(Some((epoch, seq)));
            }
        }
    }

    fn header(&self, kind: Kind, epoch: Epoch, seq: Seq, time: GroupTime) -> Header {
        Header { kind, group: self.group, epoch, seq, time }
    }
}

fn pace(host: &mut dyn Host, bytes: u64) -> Result<(), Why> {
    match host.pace(bytes) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Why::Stopped),
    }
}
