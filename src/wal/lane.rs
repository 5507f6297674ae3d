//! A lane writes frames into segments, one behind the other, and says how far they are on disk.
//! One thread owns it. Knows a frame's length, nothing of what stands in it.
//!
//! Three steps: frames are put into a buffer of whole blocks; `write` hands the buffer to the
//! system, the last block padded with zeros and kept, to be written again with what comes next;
//! `sync` returns when the disk has it. After a failed write or sync nobody knows what the file
//! holds behind the last sync: it is never written again, and `fail_over` begins another.

mod pool;

use super::files::{AlignedBytes, Files, LogFile};
use super::segment::{HEADER_BYTES, Header};
use crate::limits::sync::{WAL_FILL_AHEAD_BYTES, WAL_FILL_STEP_BYTES};
use crate::limits::{WAL_BLOCK_BYTES, WAL_LANE_BUFFER_BYTES};
use cluster::record::frame::FrameWriter;
use cluster::record::{Epoch, GroupTime, Header as RecordHeader, Kind, Salt, Seq};
use cluster::slot::Group;
use pool::{Pool, Taken};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a frame that says how far the file is synced, at most.
const NOTE_BYTES_MAX: u64 = 32;

const _: () = assert!((NOTE_BYTES_MAX as usize) < WAL_BLOCK_BYTES);

/// Where a lane writes, and how much at a time.
#[derive(Clone, Debug)]
pub struct LaneOptions {
    /// The folder of the log.
    pub folder: PathBuf,
    /// The number of the first segment; above all that are there.
    pub first_number: u64,
    /// Bytes of a segment, header included; rounded up to whole blocks.
    pub segment_bytes: u64,
    /// Whether zeros are written ahead of the log: for who syncs often.
    pub fill: bool,
}

/// Where the salts of segments come from: at random.
pub type Salts = Box<dyn FnMut() -> u32 + Send>;
/// Where a lane asks for the time, in milliseconds since the Unix epoch.
pub type NowMs = Box<dyn FnMut() -> u64 + Send>;

/// The writing end of the log.
pub struct Lane {
    pool: Pool,
    salts: Salts,
    now_ms: NowMs,
    segment: Segment,
    buffer: Buffer,
    /// What is written ahead; none when nothing is.
    zeros: Option<AlignedBytes>,
    /// Bytes of the frame at hand that are still to be put.
    frame_left: usize,
    /// Nothing more may be written to the segment.
    failed: bool,
}

/// The segment being written. `synced <= whole <= position <= bytes`, but for a frame at hand.
struct Segment {
    file: Box<dyn LogFile>,
    path: PathBuf,
    header: Header,
    bytes: u64,
    /// Up to here it is on disk.
    synced: u64,
    /// The last such offset that stands in it itself; 0: none.
    noted: u64,
    /// Where the note ends that nothing stands behind; 0: none.
    settled: u64,
    /// Up to here its bytes were written once; a multiple of a block.
    filled: u64,
}

/// What is put and not yet written, and the block that is to be written again.
struct Buffer {
    bytes: AlignedBytes,
    /// Where in the file it begins.
    base: u64,
    filled: usize,
    /// Whether it holds what is not in the file.
    unwritten: bool,
}

/// What a lane was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Making the folder, or listing it.
    Folder,
    /// Making a segment: creating, opening again, filling, heading, renaming.
    Create,
    /// Writing frames.
    Write,
    /// Syncing frames.
    Sync,
    /// Removing or putting away a segment that nobody needs.
    Retire,
    /// Cutting off what a segment given up holds behind its last sync.
    Truncate,
    /// None: the segment was given up by an earlier error; only `fail_over` helps.
    GivenUp,
}

/// Why a lane did not do what it should.
#[derive(Debug)]
pub struct LaneError {
    /// Of which file or folder.
    pub path: PathBuf,
    /// Doing what.
    pub operation: Operation,
    /// What the system said.
    pub source: io::Error,
}

impl LaneError {
    fn of(path: &Path, operation: Operation) -> impl FnOnce(io::Error) -> LaneError {
        move |source| LaneError { path: path.to_owned(), operation, source }
    }
}

impl fmt::Display for LaneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let doing = match self.operation {
            Operation::Folder => "opening the folder",
            Operation::Create => "making the segment",
            Operation::Write => "writing",
            Operation::Sync => "syncing",
            Operation::Retire => "putting away",
            Operation::Truncate => "cutting",
            Operation::GivenUp => "no longer written to",
        };
        write!(f, "{}: {doing}: {}", self.path.display(), self.source)
    }
}

impl std::error::Error for LaneError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl Lane {
    /// Begins the first segment, in a folder that is made if need be.
    ///
    /// # Errors
    /// When the folder or the segment cannot be made, or a segment of this or a higher number is
    /// there.
    pub fn open(
        files: Arc<dyn Files>,
        options: LaneOptions,
        mut salts: Salts,
        mut now_ms: NowMs,
    ) -> Result<Lane, LaneError> {
        let number = options.first_number;
        let bytes = options.segment_bytes.next_multiple_of(WAL_BLOCK_BYTES as u64);
        let bytes = bytes.max(2 * WAL_BLOCK_BYTES as u64);
        let mut pool = Pool::open(files, options.folder, bytes, number)?;
        let segment = Segment::begin(&mut pool, number, bytes, &mut salts, &mut now_ms)?;
        let buffer = Buffer::new();
        let zeros = options.fill.then(|| AlignedBytes::zeroed(WAL_FILL_STEP_BYTES));
        Ok(Lane { pool, salts, now_ms, segment, buffer, zeros, frame_left: 0, failed: false })
    }

    /// Begins a frame of exactly so many bytes and returns the salt it is to carry. What does not
    /// fit the rest of the segment begins the next one, once the old one is on disk; what fits
    /// none gets one of its own size.
    ///
    /// # Errors
    /// As [`Lane::sync`]; or when the next segment cannot be made: then the lane is as it was, and
    /// the call may be repeated.
    pub fn begin_frame(&mut self, frame_bytes: usize) -> Result<Salt, LaneError> {
        self.check()?;
        assert_eq!(self.frame_left, 0, "one frame at a time");
        assert!(frame_bytes > 0, "a frame has a head");
        let needed = frame_bytes as u64 + NOTE_BYTES_MAX;
        if self.position() + needed > self.segment.bytes {
            self.sync()?;
            let own = (HEADER_BYTES as u64 + NOTE_BYTES_MAX + needed)
                .next_multiple_of(WAL_BLOCK_BYTES as u64);
            self.begin_segment(own.max(self.pool.segment_bytes()))?;
        }
        self.frame_left = frame_bytes;
        Ok(self.segment.header.salt)
    }

    /// Puts the next bytes of the frame at hand behind what is there; writes when the buffer is
    /// full.
    ///
    /// # Errors
    /// When writing fails: the segment is given up.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), LaneError> {
        self.check()?;
        assert!(bytes.len() <= self.frame_left, "no more than was announced");
        self.append(bytes)?;
        self.frame_left -= bytes.len();
        Ok(())
    }

    /// Hands all that was put to the system.
    ///
    /// # Errors
    /// When that fails: the segment is given up.
    pub fn write(&mut self) -> Result<(), LaneError> {
        self.check()?;
        let written = self.buffer.write(&mut *self.segment.file);
        self.or_give_up(written, Operation::Write)
    }

    /// Returns when all that was put is on disk. Between two frames only. What a sync before this
    /// one reached is noted in the segment first, so that who reads it can tell a write cut short
    /// from damage.
    ///
    /// # Errors
    /// When writing or syncing fails: the segment is given up.
    pub fn sync(&mut self) -> Result<(), LaneError> {
        self.check()?;
        assert_eq!(self.frame_left, 0, "a frame is synced whole");
        if self.position() == self.segment.synced {
            return Ok(());
        }
        let Segment { synced, noted, settled, .. } = self.segment;
        if noted != synced && settled != synced {
            self.note()?;
        }
        self.write_through()
    }

    /// Notes in the segment how far it is synced, when nothing more comes for now: with that, what
    /// cannot be read before it is damage, and nothing is a write cut short. Does nothing when it
    /// has been done, or when there is something to be synced.
    ///
    /// # Errors
    /// When writing or syncing fails: the segment is given up.
    pub fn settle(&mut self) -> Result<(), LaneError> {
        self.check()?;
        let (position, Segment { synced, settled, bytes, .. }) = (self.position(), &self.segment);
        let nothing = position == HEADER_BYTES as u64 || position == *settled;
        if nothing || position != *synced || position + NOTE_BYTES_MAX > *bytes {
            return Ok(());
        }
        self.note()?;
        self.write_through()?;
        self.segment.settled = self.segment.synced;
        Ok(())
    }

    fn note(&mut self) -> Result<(), LaneError> {
        self.append(&note(self.segment.synced, self.segment.header.salt))?;
        self.segment.noted = self.segment.synced;
        Ok(())
    }

    fn write_through(&mut self) -> Result<(), LaneError> {
        self.write()?;
        let synced = self.segment.file.sync();
        self.or_give_up(synced, Operation::Sync)?;
        self.segment.synced = self.position();
        Ok(())
    }

    /// Works ahead, a little at a time, when there is nothing else to do: for what comes next in
    /// the segment, and for the next segment. Says whether there is more to be done.
    ///
    /// # Errors
    /// When that fails; what is and comes to be in the segment at hand is not concerned.
    pub fn prepare(&mut self) -> Result<bool, LaneError> {
        if self.fill()? {
            return Ok(true);
        }
        self.pool.prepare(self.segment.header.number + 1)?;
        Ok(false)
    }

    /// Writes zeros ahead, if a whole step of them is missing; whether it did.
    fn fill(&mut self) -> Result<bool, LaneError> {
        let Some(zeros) = self.zeros.as_deref().filter(|_| !self.failed) else { return Ok(false) };
        let position = self.buffer.base + self.buffer.filled as u64;
        let begun = position.next_multiple_of(WAL_BLOCK_BYTES as u64);
        let segment = &mut self.segment;
        let from = segment.filled.max(begun);
        let step = (zeros.len() as u64).min(segment.bytes.saturating_sub(from));
        if step == 0 || from + step > begun + WAL_FILL_AHEAD_BYTES {
            return Ok(false);
        }
        // Once is enough: it only makes syncs cheaper.
        segment.filled = from + step;
        let written = segment.file.write_at(&zeros[..step as usize], from);
        written.map_err(LaneError::of(&segment.path, Operation::Create))?;
        Ok(true)
    }

    /// Puts away a segment that nobody needs any more: it is used again, or removed.
    ///
    /// # Errors
    /// When that fails; the call may be repeated.
    pub fn retire(&mut self, number: u64) -> Result<(), LaneError> {
        assert!(number < self.segment.header.number, "the segment at hand is needed");
        self.pool.retire(number)
    }

    /// Gives up the segment at hand and begins the next: after an error, or to try whether the
    /// disk is well again. Cuts off what the old one holds behind its last sync and returns how
    /// many bytes of frames that were, the frame at hand included: they are to be written again,
    /// or snapshots to make them needless.
    ///
    /// # Errors
    /// When that fails; the old segment then stays given up, and the call may be repeated.
    pub fn fail_over(&mut self) -> Result<u64, LaneError> {
        self.failed = true;
        let lost = self.position() - self.segment.synced;
        if lost > 0 {
            let cut = self.pool.files().truncate(&self.segment.path, self.segment.synced);
            cut.map_err(LaneError::of(&self.segment.path, Operation::Truncate))?;
        }
        self.begin_segment(self.pool.segment_bytes())?;
        self.frame_left = 0;
        self.failed = false;
        Ok(lost)
    }

    /// Whether the segment at hand was given up.
    pub fn is_failed(&self) -> bool {
        self.failed
    }

    /// The number of the segment at hand.
    pub fn number(&self) -> u64 {
        self.segment.header.number
    }

    /// Where in it the next byte comes to stand.
    pub fn position(&self) -> u64 {
        self.buffer.base + self.buffer.filled as u64
    }

    /// Up to where in it all is on disk. All segments before it are wholly.
    pub fn synced_offset(&self) -> u64 {
        self.segment.synced
    }

    fn begin_segment(&mut self, bytes: u64) -> Result<(), LaneError> {
        let number = self.segment.header.number + 1;
        let (pool, salts, now_ms) = (&mut self.pool, &mut self.salts, &mut self.now_ms);
        self.segment = Segment::begin(pool, number, bytes, salts, now_ms)?;
        self.buffer.restart();
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), LaneError> {
        let appended = self.buffer.append(bytes, &mut *self.segment.file);
        self.or_give_up(appended, Operation::Write)
    }

    fn check(&self) -> Result<(), LaneError> {
        if self.failed {
            let source = io::Error::other("an earlier write or sync failed");
            return Err(LaneError::of(&self.segment.path, Operation::GivenUp)(source));
        }
        Ok(())
    }

    fn or_give_up(&mut self, done: io::Result<()>, operation: Operation) -> Result<(), LaneError> {
        self.failed |= done.is_err();
        done.map_err(LaneError::of(&self.segment.path, operation))
    }
}

impl Segment {
    /// Heads a file and gives it its name; both are on disk when this returns.
    fn begin(
        pool: &mut Pool,
        number: u64,
        bytes: u64,
        salts: &mut Salts,
        now_ms: &mut NowMs,
    ) -> Result<Segment, LaneError> {
        let salt = Salt::new(salts().max(1)).unwrap_or_else(|| unreachable!("it is not 0"));
        let header = Header { salt, number, created_ms: now_ms() };
        let Taken { file, path, written } = pool.take(&header, bytes)?;
        let synced = HEADER_BYTES as u64;
        let filled = if written { bytes } else { synced };
        Ok(Segment { file, path, header, bytes, synced, noted: 0, settled: 0, filled })
    }
}

impl Buffer {
    fn new() -> Buffer {
        let bytes = AlignedBytes::zeroed(WAL_LANE_BUFFER_BYTES);
        Buffer { bytes, base: HEADER_BYTES as u64, filled: 0, unwritten: false }
    }

    /// Empty, at the beginning of another file.
    fn restart(&mut self) {
        (self.base, self.filled, self.unwritten) = (HEADER_BYTES as u64, 0, false);
    }

    fn append(&mut self, mut bytes: &[u8], file: &mut dyn LogFile) -> io::Result<()> {
        while !bytes.is_empty() {
            let fits = bytes.len().min(self.bytes.len() - self.filled);
            let (now, later) = bytes.split_at(fits);
            self.bytes[self.filled..self.filled + fits].copy_from_slice(now);
            self.filled += fits;
            self.unwritten = true;
            bytes = later;
            if self.filled == self.bytes.len() {
                self.write(file)?;
            }
        }
        Ok(())
    }

    /// Writes what it holds, the last block padded, and keeps that block unless it is full.
    fn write(&mut self, file: &mut dyn LogFile) -> io::Result<()> {
        if !self.unwritten {
            return Ok(());
        }
        let padded = self.filled.next_multiple_of(WAL_BLOCK_BYTES);
        self.bytes[self.filled..padded].fill(0);
        file.write_at(&self.bytes[..padded], self.base)?;
        let whole = self.filled / WAL_BLOCK_BYTES * WAL_BLOCK_BYTES;
        self.bytes.copy_within(whole..self.filled, 0);
        self.base += whole as u64;
        self.filled -= whole;
        self.unwritten = false;
        Ok(())
    }
}

/// A frame that says up to where the file it stands in was synced.
fn note(synced: u64, salt: Salt) -> Vec<u8> {
    let mut out = Vec::with_capacity(NOTE_BYTES_MAX as usize);
    let mut frame = FrameWriter::begin(&mut out, salt);
    let Some(group) = Group::new(0) else { unreachable!("there are groups") };
    let (epoch, seq, time) = (Epoch(0), Seq(1), GroupTime(0));
    let header = RecordHeader { kind: Kind::Synced, group, epoch, seq, time };
    let pushed = frame.push(header, &[&synced.to_le_bytes()]);
    assert!(pushed.is_ok(), "eight bytes fit a frame");
    frame.finish();
    assert!(out.len() as u64 <= NOTE_BYTES_MAX, "room was left for it");
    out
}
