//! Brings damaged files out of the way at an operator's word. Never deletes: what is damaged stays
//! beside the log under another name.

use super::damage::{self, Cut, RecoveryError};
use super::header::{self, FileHeader, HEADER_BYTES, Sort};
use super::stream::FrameStream;
use super::survey::{self, FileSurvey, Piece};
use super::{BadPayload, Outcome, Standing, Target};
use crate::clock;
use crate::command::effect::Effect;
use cluster::record::frame::FrameWriter;
use cluster::record::{Epoch, GroupTime, Header, Kind, Salt, Seq};
use cluster::slot::{Group, Slot};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// How far a repair may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// Only say what would be done.
    pub dry_run: bool,
    /// Make something of what is damaged that a node starts from: in place of each damaged or
    /// missing file of the log comes one with the whole frames that are left, and of each group
    /// what follows a gap is given up.
    pub force: bool,
}

/// What a repair does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing without force: something is damaged here.
    NeedsForce(PathBuf, u64),
    /// Cuts the torn end off the last file.
    Cut(Cut),
    /// Removes a last file that was never begun.
    Remove(PathBuf),
    /// Moves a file aside that is damaged, or never had a whole header.
    Aside {
        /// From here.
        from: PathBuf,
        /// To here.
        to: PathBuf,
    },
    /// Writes what is left of a damaged file in its place.
    Salvage(PathBuf),
    /// Gives up what so many groups held behind their last good record: says so in this file.
    GiveUp(PathBuf, usize),
}

/// Repairs the log in `dir` and the snapshots beside it. No node may be running on them. With
/// force a node starts from what comes out.
///
/// # Errors
/// When a file cannot be read or changed, or needs a newer version.
pub fn repair(dir: &Path, how: Repair) -> Result<Vec<Action>, RecoveryError> {
    let snapshots = survey::survey_snapshots(&header::snapshots_beside(dir), 1, &|_| ())?;
    let (mut log, blank) = survey::survey_log(dir, 1, &|_| ())?;
    survey::complete_log(dir, &mut log, &snapshots);
    let mut done = Vec::new();
    for file in log.iter() {
        let Some(at) = file.damages().next() else { continue };
        if how.force {
            replace(file, how, &mut done)?;
        } else {
            done.push(Action::NeedsForce(file.path.clone(), at));
        }
    }
    for (i, file) in snapshots.iter().enumerate().filter(|(_, file)| !file.is_whole()) {
        // One that a later one replaces is of no use, and not missed.
        let needless =
            snapshots[i + 1..].iter().any(FileSurvey::is_whole) && !is_missed(dir, file)?;
        if needless || how.force {
            move_aside(&file.path, how, &mut done)?;
        } else {
            let at = file.damages().next().unwrap_or(file.bytes);
            done.push(Action::NeedsForce(file.path.clone(), at));
        }
    }
    let sound = log.last().filter(|file| file.damages().next().is_none());
    if let Some(cut) = sound.and_then(|file| file.cut.clone()) {
        if !how.dry_run {
            damage::cut_tail(&cut).map_err(|error| RecoveryError::io(&cut.path, error))?;
        }
        done.push(Action::Cut(cut));
    }
    for path in blank {
        let failed = |error| RecoveryError::io(&path, error);
        if !damage::is_blank(&path).map_err(failed)? {
            move_aside(&path, how, &mut done)?;
            continue;
        }
        if !how.dry_run {
            damage::remove_blank(std::slice::from_ref(&path)).map_err(failed)?;
        }
        done.push(Action::Remove(path));
    }
    if how.force {
        give_up(dir, how, &mut done)?;
    } else if !done.iter().any(|action| matches!(action, Action::NeedsForce(..))) {
        // Whole files may lack something all the same.
        let broken = check(dir)?.corrupt;
        let place = |bad: &super::Corrupt| Action::NeedsForce(bad.path.clone(), bad.offset);
        done.extend(broken.iter().map(place));
        done.dedup();
    }
    Ok(done)
}

/// Whether a group may lack what a damaged snapshot held; later ones need not hold all groups.
fn is_missed(dir: &Path, file: &FileSurvey) -> Result<bool, RecoveryError> {
    let found = check(dir)?;
    Ok(!found.unsaved.is_empty() || found.corrupt.iter().any(|bad| bad.path == file.path))
}

/// Puts what is left of a file of the log in its place.
fn replace(file: &FileSurvey, how: Repair, done: &mut Vec<Action>) -> Result<(), RecoveryError> {
    let aside = damage::aside(&file.path);
    if file.path.exists() {
        move_aside(&file.path, how, done)?;
    }
    if !how.dry_run {
        salvage(file, &aside).map_err(|error| RecoveryError::io(&file.path, error))?;
    }
    done.push(Action::Salvage(file.path.clone()));
    Ok(())
}

fn move_aside(from: &Path, how: Repair, done: &mut Vec<Action>) -> Result<(), RecoveryError> {
    let to = damage::aside(from);
    if !how.dry_run {
        rename(from, &to)?;
    }
    done.push(Action::Aside { from: from.to_owned(), to });
    Ok(())
}

/// Says of each group that still lacks something that what is behind does not count, so that the
/// log is a whole one of less. A dry run says it of the log as it is.
fn give_up(dir: &Path, how: Repair, done: &mut Vec<Action>) -> Result<(), RecoveryError> {
    let found = check(dir)?;
    if found.corrupt.is_empty() {
        return Ok(());
    }
    let path = dir.join(Sort::Segment.name(found.segment_next));
    if !how.dry_run {
        write_truncates(&path, &found).map_err(|error| RecoveryError::io(&path, error))?;
    }
    done.push(Action::GiveUp(path, found.corrupt.len()));
    Ok(())
}

fn write_truncates(path: &Path, found: &Outcome) -> std::io::Result<()> {
    let temporary = path.with_extension("salvage");
    let salt = Salt::new((clock::random_u64() as u32).max(1));
    let salt = salt.ok_or(std::io::ErrorKind::InvalidData)?;
    let header = FileHeader { salt, number: found.segment_next, created_ms: clock::now().0 };
    let mut bytes = header.bytes(Sort::Segment);
    let mut frame = FrameWriter::begin(&mut bytes, salt);
    for corrupt in &found.corrupt {
        let standing = found.groups.iter().find(|(group, _)| *group == corrupt.group);
        let Standing { epoch, seq, time } = standing.map_or_else(Standing::default, |(_, s)| *s);
        let header = Header { kind: Kind::Truncate, group: corrupt.group, epoch, seq, time };
        // A thousand short records always fit.
        let _ = frame.push(header, &[]);
    }
    frame.finish();
    let mut out = File::create(&temporary)?;
    out.write_all(&bytes)?;
    out.sync_all()?;
    fs::rename(&temporary, path)?;
    damage::sync_folder(path)
}

/// What a start would find, payloads included. Never writes.
///
/// # Errors
/// As [`super::recover`].
pub fn check(dir: &Path) -> Result<Outcome, RecoveryError> {
    super::recover(dir, 1, &Checker, &|_| ())
}

/// Takes what the engine would take.
struct Checker;

impl Target for Checker {
    fn apply(&self, group: Group, mut payload: &[u8], _: GroupTime) -> Result<(), BadPayload> {
        while !payload.is_empty() {
            let effect = Effect::decode(&mut payload).map_err(|_| BadPayload)?;
            if effect.key().is_some_and(|key| Slot::of(key).group() != group) {
                return Err(BadPayload);
            }
        }
        Ok(())
    }

    fn forget(&self, _: Group) {}

    fn set_log(&self, _: Group, _: Epoch, _: Seq, _: GroupTime) {}
}

fn rename(from: &Path, to: &Path) -> Result<(), RecoveryError> {
    let moved = fs::rename(from, to).and_then(|()| damage::sync_folder(to));
    moved.map_err(|error| RecoveryError::io(from, error))
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
