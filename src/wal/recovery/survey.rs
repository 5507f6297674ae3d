//! A first look at each file: where its whole frames stand, where something is damaged, where the
//! log was cut short. Applies nothing and writes nothing.

use super::header::{self, FileHeader, HEADER_BYTES, NoHeader, Sort};
use super::stream::{End, FrameStream};
use super::{Cut, RecoveryError};
use crate::limits::RECOVERY_MISSING_FILES_MAX;
use cluster::record::{Header, Kind, Salt, Seq};
use cluster::slot::{GROUPS, Group};
use std::fs::File;
use std::path::{Path, PathBuf};

/// What a file of the log or a snapshot holds.
#[derive(Clone, Debug)]
pub(super) struct FileSurvey {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    /// `None` when its header is damaged or the file is not there.
    pub(super) salt: Option<Salt>,
    pub(super) bytes: u64,
    pub(super) pieces: Vec<Piece>,
    /// Up to where its `Synced` records say that it was synced.
    pub(super) synced: u64,
    pub(super) cut: Option<Cut>,
    /// Control records that count, and where they stand.
    pub(super) controls: Vec<(Spot, Header)>,
    /// The last record of each group.
    pub(super) last: Vec<(Group, Seq)>,
    /// Where the record stands that closes a snapshot, if that is the last one.
    pub(super) closed: bool,
    /// Nothing was ever written to it.
    pub(super) blank: bool,
    /// The segment from which on the log stays beside this snapshot; 0: that is not known.
    pub(super) log_from: u64,
}

/// Where a record stands in a file: the offset of its frame, and its place in that.
pub(super) type Spot = (u64, usize);

/// A stretch of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Whole frames, up to `to`.
    Frames { from: u64, to: u64 },
    /// Something that cannot be read and was once written.
    Damage { at: u64 },
}

/// Frames one behind the other, and what ends them.
struct Run {
    from: u64,
    to: u64,
    end: End,
    frames: u64,
    controls: Vec<(Spot, Header)>,
    last: Vec<Seq>,
    synced: u64,
    closed: bool,
    log_from: u64,
}

impl FileSurvey {
    /// A file that should be there and is not, or whose header is damaged.
    pub(super) fn lost(path: PathBuf, number: u64) -> FileSurvey {
        FileSurvey {
            number,
            path,
            salt: None,
            bytes: 0,
            pieces: vec![Piece::Damage { at: 0 }],
            synced: 0,
            cut: None,
            controls: Vec::new(),
            last: Vec::new(),
            closed: false,
            blank: false,
            log_from: 0,
        }
    }

    /// Where something is damaged, first to last.
    pub(super) fn damages(&self) -> impl Iterator<Item = u64> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Frames { .. } => None,
            Piece::Damage { at } => Some(*at),
        })
    }

    /// Whether it is a snapshot that counts: complete, and nothing in it damaged.
    pub(super) fn is_whole(&self) -> bool {
        self.closed && self.cut.is_none() && self.damages().next().is_none()
    }
}

/// Looks through one file. `last`: no file of the log comes after it, so that it may end with a
/// write that was cut short.
pub(super) fn survey(
    path: &Path,
    number: u64,
    sort: Sort,
    last: bool,
) -> Result<FileSurvey, RecoveryError> {
    let failed = |error| RecoveryError::io(path, error);
    let file = File::open(path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    let lost = FileSurvey { bytes, ..FileSurvey::lost(path.to_owned(), number) };
    let found = match FileHeader::read(&file, sort).map_err(failed)? {
        Ok(found) => found,
        Err(NoHeader::Version(version)) => {
            return Err(RecoveryError::Version { path: path.to_owned(), version });
        }
        Err(NoHeader::Blank) => {
            return Ok(FileSurvey { blank: blank(&file, bytes).map_err(failed)?, ..lost });
        }
        // Cut before its header was whole: no frame can have been there.
        Err(NoHeader::Damaged) => return Ok(FileSurvey { blank: bytes < HEADER_BYTES, ..lost }),
    };
    if found.number != number {
        // A file is given its new number before its new header.
        return Ok(FileSurvey { blank: found.number < number, ..lost });
    }
    let mut stream = FrameStream::new(file, found.salt, HEADER_BYTES, bytes);
    let runs = runs(&mut stream, bytes).map_err(failed)?;
    let salt = Some(found.salt);
    let mut out = FileSurvey { salt, pieces: Vec::new(), ..lost };
    out.synced = runs.iter().map(|run| run.synced).max().unwrap_or(0);
    judge(&mut out, &runs, last)?;
    Ok(out)
}

/// Whether a file without a header holds nothing else either.
fn blank(file: &File, bytes: u64) -> std::io::Result<bool> {
    use std::io::Read;
    let mut reader = std::io::BufReader::with_capacity(64 * 1024, file.take(bytes));
    let mut chunk = [0; 4096];
    loop {
        match reader.read(&mut chunk)? {
            0 => return Ok(true),
            read if chunk[..read].iter().any(|&byte| byte != 0) => return Ok(false),
            _ => {}
        }
    }
}

/// All whole frames of a file, also those behind damage.
fn runs(stream: &mut FrameStream, bytes: u64) -> std::io::Result<Vec<Run>> {
    let mut found = Vec::new();
    loop {
        let run = run(stream)?;
        let (to, unknown) = (run.to, matches!(run.end, End::Unknown(_)));
        found.push(run);
        if unknown {
            return Ok(found);
        }
        let Some(next) = stream.find_frame(to + 1)? else { return Ok(found) };
        stream.resume(next, bytes);
    }
}

fn run(stream: &mut FrameStream) -> std::io::Result<Run> {
    let from = stream.offset();
    let last = vec![Seq(0); usize::from(GROUPS)];
    let (controls, end) = (Vec::new(), End::Clean);
    let (to, frames, synced, closed, log_from) = (from, 0, 0, false, 0);
    let mut run = Run { from, to, end, frames, controls, last, synced, closed, log_from };
    loop {
        match stream.next_frame()? {
            Ok((at, frame)) => {
                run.frames += 1;
                run.closed = false;
                for (i, record) in frame.records().enumerate() {
                    run.note((at, i), &record.header, record.payload);
                }
            }
            Err(end) => {
                (run.to, run.end) = (stream.offset(), end);
                return Ok(run);
            }
        }
    }
}

impl Run {
    fn note(&mut self, at: Spot, header: &Header, payload: &[u8]) {
        let group = usize::from(header.group.number());
        match header.kind {
            Kind::Synced => {
                let offset = payload.try_into().map(u64::from_le_bytes).unwrap_or(0);
                self.synced = self.synced.max(offset);
                self.closed = offset == at.0;
                self.log_from = header.seq.0.saturating_sub(1);
            }
            Kind::Effects | Kind::EpochStart => {
                self.last[group] = self.last[group].max(header.seq);
            }
            Kind::Base | Kind::Truncate | Kind::Drop => {
                self.last[group] = self.last[group].max(header.seq);
                self.controls.push((at, *header));
            }
        }
    }
}

/// Which of the runs count, and what lies between them.
fn judge(out: &mut FileSurvey, runs: &[Run], last: bool) -> Result<(), RecoveryError> {
    let mut table = vec![Seq(0); usize::from(GROUPS)];
    let mut counted = 0;
    for (i, run) in runs.iter().enumerate() {
        counted = i + 1;
        out.pieces.push(Piece::Frames { from: run.from, to: run.to });
        out.controls.extend_from_slice(&run.controls);
        table.iter_mut().zip(&run.last).for_each(|(all, seq)| *all = (*all).max(*seq));
        let broken = match run.end {
            End::Clean => 0,
            End::Broken { bytes } => bytes,
            End::Unknown(error) => {
                let path = out.path.clone();
                return Err(RecoveryError::Unknown { path, offset: run.to, error });
            }
        };
        let behind = &runs[i + 1..];
        if behind.is_empty() && broken == 0 && run.to >= out.synced {
            break;
        }
        if last && run.to >= out.synced {
            let end = behind.last().map_or(0, |run| run.to).max(run.to + broken);
            let frames = behind.iter().map(|run| run.frames).sum();
            let (path, offset) = (out.path.clone(), run.to);
            out.cut = Some(Cut { path, offset, bytes: end - offset, frames });
            break;
        }
        out.pieces.push(Piece::Damage { at: run.to });
    }
    out.closed = runs[counted - 1].closed && counted == runs.len();
    out.log_from = runs[counted - 1].log_from;
    let group = |(i, seq)| Group::new(i as u16).map(|group| (group, seq));
    out.last = table.into_iter().enumerate().filter(|(_, s)| s.0 > 0).filter_map(group).collect();
    Ok(())
}

/// The files of the log in order, those included that are missing between others; behind them
/// files that were never begun.
pub(super) fn survey_log(
    dir: &Path,
    threads: usize,
    seen: &(dyn Fn(u64) + Sync),
) -> Result<(Vec<FileSurvey>, Vec<PathBuf>), RecoveryError> {
    let mut listed =
        header::list(dir, Sort::Segment).map_err(|error| RecoveryError::io(dir, error))?;
    let mut blank = Vec::new();
    let mut tail = None;
    while let Some((number, path)) = listed.last() {
        let found = survey(path, *number, Sort::Segment, true)?;
        if !found.blank {
            tail = Some(found);
            break;
        }
        blank.extend(listed.pop().map(|(_, path)| path));
    }
    listed.pop();
    let found = super::parallel(threads, &listed, &|(number, path): &(u64, PathBuf)| {
        let found = survey(path, *number, Sort::Segment, false)?;
        seen(found.bytes);
        Ok(found)
    })?;
    let mut files: Vec<FileSurvey> = Vec::new();
    for file in found.into_iter().chain(tail) {
        if let Some(before) = files.last().map(|before| before.number) {
            files.extend(missing(dir, before + 1, file.number));
        }
        files.push(file);
    }
    Ok((files, blank))
}

/// Segments that should be there, as lost ones.
fn missing(dir: &Path, from: u64, to: u64) -> impl Iterator<Item = FileSurvey> {
    let lost = |number| FileSurvey::lost(dir.join(Sort::Segment.name(number)), number);
    (from..to).take(RECOVERY_MISSING_FILES_MAX).map(lost)
}

/// Puts in front of the log the segments that are missing there: a snapshot that counts says from
/// which one on the log stayed beside it.
pub(super) fn complete_log(dir: &Path, log: &mut Vec<FileSurvey>, snapshots: &[FileSurvey]) {
    let from = log_from(snapshots);
    if from > 0 {
        let first = log.first().map_or(from + 1, |file| file.number);
        log.splice(..0, missing(dir, from, first));
    }
}

/// The segment from which on snapshots that count say that the log stayed; 0: none says that.
pub(super) fn log_from(snapshots: &[FileSurvey]) -> u64 {
    snapshots.iter().filter(|file| file.is_whole()).map(|file| file.log_from).max().unwrap_or(0)
}

/// All snapshots, oldest first.
pub(super) fn survey_snapshots(
    dir: &Path,
    threads: usize,
    seen: &(dyn Fn(u64) + Sync),
) -> Result<Vec<FileSurvey>, RecoveryError> {
    let listed =
        header::list(dir, Sort::Snapshot).map_err(|error| RecoveryError::io(dir, error))?;
    super::parallel(threads, &listed, &|(number, path): &(u64, PathBuf)| {
        let found = survey(path, *number, Sort::Snapshot, false)?;
        seen(found.bytes);
        Ok(found)
    })
}
