//! Brings damaged files out of the way at an operator's word. Never deletes: what is damaged stays
//! beside the log under another name.

use super::damage::{self, Cut, RecoveryError};
use super::header::{self, FileHeader, HEADER_BYTES, Sort};
use super::stream::FrameStream;
use super::survey::{self, FileSurvey, Piece};
use cluster::record::{Kind, Salt};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// How far a repair may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// Only say what would be done.
    pub dry_run: bool,
    /// Also write, in place of each damaged or missing file of the log, one with the whole frames
    /// that are left. What was lost between them no longer shows.
    pub force: bool,
}

/// What a repair does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Cuts the torn end off the last file.
    Cut(Cut),
    /// Removes a last file that was never begun.
    Remove(PathBuf),
    /// Moves a damaged file aside.
    Aside {
        /// From here.
        from: PathBuf,
        /// To here.
        to: PathBuf,
    },
    /// Writes what is left of a damaged file in its place.
    Salvage(PathBuf),
}

/// Repairs the log in `dir` and the snapshots beside it. No node may be running on them.
///
/// # Errors
/// When a file cannot be read or changed, or needs a newer version.
pub fn repair(dir: &Path, how: Repair) -> Result<Vec<Action>, RecoveryError> {
    let snapshots = survey::survey_snapshots(&header::snapshots_beside(dir), 1, &|_| ())?;
    let (log, blank) = survey::survey_log(dir, 1, &|_| ())?;
    let mut done = Vec::new();
    for file in log.iter().filter(|file| file.damages().next().is_some()) {
        let aside = aside(&file.path);
        if file.path.exists() {
            done.push(Action::Aside { from: file.path.clone(), to: aside.clone() });
            if !how.dry_run {
                rename(&file.path, &aside)?;
            }
        }
        if how.force {
            done.push(Action::Salvage(file.path.clone()));
            if !how.dry_run {
                salvage(file, &aside).map_err(|error| RecoveryError::io(&file.path, error))?;
            }
        }
    }
    for file in snapshots.iter().filter(|file| !file.is_whole()) {
        let to = aside(&file.path);
        if !how.dry_run {
            rename(&file.path, &to)?;
        }
        done.push(Action::Aside { from: file.path.clone(), to });
    }
    let sound = log.last().filter(|file| file.damages().next().is_none());
    if let Some(cut) = sound.and_then(|file| file.cut.clone()) {
        if !how.dry_run {
            damage::cut_tail(&cut).map_err(|error| RecoveryError::io(&cut.path, error))?;
        }
        done.push(Action::Cut(cut));
    }
    if !how.dry_run {
        damage::remove_blank(&blank).map_err(|error| RecoveryError::io(dir, error))?;
    }
    done.extend(blank.into_iter().map(Action::Remove));
    Ok(done)
}

fn rename(from: &Path, to: &Path) -> Result<(), RecoveryError> {
    let moved = fs::rename(from, to).and_then(|()| damage::sync_folder(to));
    moved.map_err(|error| RecoveryError::io(from, error))
}

/// A name beside `path` that nothing has yet.
fn aside(path: &Path) -> PathBuf {
    let name = |i: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(".damaged");
        if i > 0 {
            name.push(format!(".{i}"));
        }
        PathBuf::from(name)
    };
    let mut i = 0;
    while name(i).exists() {
        i += 1;
    }
    name(i)
}

/// Writes the whole frames of `file`, which now stands at `aside`, where it was.
fn salvage(file: &FileSurvey, aside: &Path) -> std::io::Result<()> {
    let temporary = file.path.with_extension("salvage");
    let mut out = File::create(&temporary)?;
    // Without a salt no frame of the file is known; any will do for none.
    let salt = file.salt.or_else(|| Salt::new(1)).ok_or(std::io::ErrorKind::InvalidData)?;
    let created_ms = 0;
    let header = FileHeader { salt, number: file.number, created_ms };
    out.write_all(&header.bytes(Sort::Segment))?;
    if file.salt.is_some() {
        let source = File::open(aside)?;
        let mut stream = FrameStream::new(source, salt, HEADER_BYTES, HEADER_BYTES);
        for piece in &file.pieces {
            let Piece::Frames { from, to } = *piece else { continue };
            stream.resume(from, to);
            while stream.offset() < to {
                let Ok((_, frame)) = stream.next_frame()? else {
                    return Err(std::io::ErrorKind::InvalidData.into());
                };
                // Offsets are others in the new file.
                if frame.records().any(|record| record.header.kind != Kind::Synced) {
                    out.write_all(frame.bytes())?;
                }
            }
        }
    }
    out.sync_all()?;
    fs::rename(&temporary, &file.path)?;
    damage::sync_folder(&file.path)
}
