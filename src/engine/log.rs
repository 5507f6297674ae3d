//! What leaves the engine for the log: pieces of it, one a shard, taken together so that they are
//! a consistent cut. Knows no file; whoever takes a piece seals its frames.

use super::Engine;
use super::journal::{Journal, Mode};
use bytes::Bytes;
use cluster::record::frame::{HEAD_BYTES, seal};
use cluster::record::select::{FrameParts, between};
use cluster::record::{Epoch, GroupTime, Salt, Seq};
use cluster::replication::{Mark, Piece};
use cluster::slot::Group;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Frames of one shard, closed but not sealed. Large values are shared with the store.
#[derive(Clone, Debug, Default)]
pub struct LogPiece {
    pub(super) bytes: Vec<u8>,
    /// Values that belong at these places of `bytes`, in order.
    pub(super) splices: Vec<(usize, Bytes)>,
    frames: Vec<Frame>,
    /// The records in the piece of each group in it.
    pub(super) marks: Vec<Mark>,
    /// Groups whose logs begin anew in it, as often as they do.
    pub(super) restarts: Vec<Group>,
}

#[derive(Clone, Debug)]
struct Frame {
    bytes: Range<usize>,
    splices: Range<usize>,
    total_bytes: usize,
}

/// What all shards of an engine share of the log.
#[derive(Debug)]
pub(super) struct LogShared {
    /// Bytes of closed frames that nobody has taken yet, and how many these are.
    bytes: AtomicU64,
    frames: AtomicU64,
    /// Frames that speak of several shards, ever.
    joints: AtomicU64,
    dirty: Box<[AtomicBool]>,
    /// How often the log of a group has begun anew without being on disk so far.
    restarts: Box<[AtomicU32]>,
    /// Whether the log of a group has ever begun anew.
    began_anew: Box<[AtomicBool]>,
    /// Told when there is something to take where there was nothing.
    nudge: OnceLock<Nudge>,
}

/// Called where a shard is locked: it must be quick and call nothing of the engine.
struct Nudge(Box<dyn Fn() + Send + Sync>);

impl fmt::Debug for Nudge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nudge")
    }
}

impl LogShared {
    pub(super) fn new(shards: usize) -> LogShared {
        LogShared {
            bytes: AtomicU64::new(0),
            frames: AtomicU64::new(0),
            joints: AtomicU64::new(0),
            dirty: (0..shards).map(|_| AtomicBool::new(false)).collect(),
            restarts: Group::all().map(|_| AtomicU32::new(0)).collect(),
            began_anew: Group::all().map(|_| AtomicBool::new(false)).collect(),
            nudge: OnceLock::new(),
        }
    }

    /// The log of a group begins anew: its numbers may go back.
    pub(super) fn restart(&self, group: Group) {
        let group = usize::from(group.number());
        self.began_anew[group].store(true, Ordering::Release);
        self.restarts[group].fetch_add(1, Ordering::AcqRel);
    }

    /// The shard has records to take.
    pub(super) fn mark(&self, shard: usize) {
        self.dirty[shard].store(true, Ordering::Release);
        if let Some(Nudge(nudge)) = self.nudge.get() {
            nudge();
        }
    }

    pub(super) fn add(&self, frames: u64, bytes: u64) {
        self.frames.fetch_add(frames, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn joined(&self) {
        self.joints.fetch_add(1, Ordering::AcqRel);
    }
}

impl LogPiece {
    pub(super) fn end_frame(&mut self, start: usize, total_bytes: usize) {
        let splices_from = self.frames.last().map_or(0, |f| f.splices.end);
        let splices = splices_from..self.splices.len();
        self.frames.push(Frame { bytes: start..self.bytes.len(), splices, total_bytes });
    }

    /// Empties it, keeping its memory up to the size of usual pieces.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(crate::limits::LOG_PIECE_KEPT_BYTES_MAX);
        self.splices.clear();
        self.frames.clear();
        self.marks.clear();
        self.restarts.clear();
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// How many frames it has.
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// Bytes of a frame.
    pub fn frame_bytes(&self, frame: usize) -> usize {
        self.frames[frame].total_bytes
    }

    /// The records of each group in it.
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// Groups whose logs begin anew in it, as often as they do.
    pub fn restarts(&self) -> &[Group] {
        &self.restarts
    }

    /// Gives a frame a salt and its checksum, and its bytes to `put` in order. The piece stays as
    /// it is: others may seal it for files or streams of their own.
    pub fn seal(&self, frame: usize, salt: Salt, mut put: impl FnMut(&[u8])) {
        let Frame { bytes, splices, .. } = &self.frames[frame];
        let (length, body) = self.bytes[bytes.clone()].split_at(HEAD_BYTES);
        let mut head = [0; HEAD_BYTES];
        head.copy_from_slice(length);
        let splices = &self.splices[splices.clone()];
        let offset = bytes.start + HEAD_BYTES;
        seal(&mut head, between(body, offset, splices), salt);
        put(&head);
        between(body, offset, splices).for_each(put);
    }
}

impl Piece for LogPiece {
    type Value = Bytes;

    fn bytes(&self) -> usize {
        self.bytes.capacity() + self.splices.iter().map(|(_, value)| value.len()).sum::<usize>()
    }

    fn marks(&self) -> &[Mark] {
        &self.marks
    }

    fn frames(&self) -> impl Iterator<Item = FrameParts<'_, Bytes>> {
        self.frames.iter().map(|frame| FrameParts {
            bytes: &self.bytes[frame.bytes.clone()],
            values: &self.splices[frame.splices.clone()],
            offset: frame.bytes.start,
        })
    }
}

impl Engine {
    /// Gives every shard a log, which records nothing before [`Engine::start_log`] or
    /// [`Engine::count_only`].
    pub fn open_log(&self) {
        let shared = &self.log;
        let bits = self.shard_count().trailing_zeros();
        for shard in 0..self.shard_count() {
            let journal = Journal::new(shard, bits, Arc::clone(shared));
            self.lock(shard).store().set_journal(Some(Box::new(journal)));
        }
    }

    /// Whether the shards have a log.
    pub fn has_log(&self) -> bool {
        self.lock(0).store().journal().is_some()
    }

    /// Takes the log away from every shard, and with it all walks.
    pub fn close_log(&self) {
        for shard in 0..self.shard_count() {
            self.lock(shard).store().set_journal(None);
        }
    }

    /// The log of a group stands at this record: said when it was recovered.
    pub fn set_log(&self, group: Group, epoch: Epoch, seq: Seq, time: GroupTime) {
        self.with_journal(group, |journal| journal.set(group, epoch, seq, time));
    }

    /// The newest record of a group and the time it has reached; zeros without a log.
    pub fn log_position(&self, group: Group) -> (Epoch, Seq, GroupTime) {
        let mut position = Default::default();
        self.with_journal(group, |journal| position = journal.position(group));
        position
    }

    /// Tells the newest record of every group, shard after shard.
    pub fn each_log_position(&self, mut tell: impl FnMut(Group, Seq)) {
        for shard in 0..self.shard_count() {
            if let Some(journal) = self.lock(shard).store().journal() {
                journal.each_position(&mut tell);
            }
        }
    }

    /// The newest record of a group; 0 without a log.
    pub fn log_seq(&self, group: Group) -> Seq {
        self.lock(self.shard_of_group(group)).log_seq(group)
    }

    /// From now on every change is recorded.
    pub fn start_log(&self) {
        self.each_journal(|journal| journal.set_mode(Mode::Record));
    }

    /// From now on changes are counted, so that walks can be told of them, but not recorded; what
    /// nobody took is forgotten.
    pub fn count_only(&self) {
        self.each_journal(|journal| journal.set_mode(Mode::Count));
        self.log.bytes.store(0, Ordering::Relaxed);
        self.log.frames.store(0, Ordering::Relaxed);
    }

    fn each_journal(&self, act: impl Fn(&mut Journal)) {
        for shard in 0..self.shard_count() {
            if let Some(journal) = self.lock(shard).store().journal() {
                act(journal);
            }
        }
    }

    pub(super) fn with_journal(&self, group: Group, act: impl FnOnce(&mut Journal)) {
        if let Some(journal) = self.lock(self.shard_of_group(group)).store().journal() {
            act(journal);
        }
    }

    /// Whether items of a group had no room while data was loaded: others who stand at the same
    /// record of its log have more than this node.
    pub fn lacks(&self, group: Group) -> bool {
        let mut lacks = false;
        self.with_journal(group, |journal| lacks = journal.lacks(group));
        lacks
    }

    /// Items of a group are known to have had no room, until a copy of it has come or this node
    /// leads it.
    pub fn set_lacks(&self, group: Group) {
        self.with_journal(group, |journal| journal.set_lacks(group));
    }

    /// Bytes that wait to be taken, to within a frame of each shard.
    #[inline]
    pub fn log_bytes(&self) -> u64 {
        self.log.bytes.load(Ordering::Relaxed)
    }

    /// Frames that wait to be taken.
    #[inline]
    pub fn log_frames(&self) -> u64 {
        self.log.frames.load(Ordering::Relaxed)
    }

    /// Whether the log of a group has begun anew and that is not on disk: what is known of its
    /// records there is of others.
    #[inline]
    pub fn log_restarts(&self, group: Group) -> bool {
        self.log.restarts[usize::from(group.number())].load(Ordering::Acquire) > 0
    }

    /// Whether the log of a group has ever begun anew since the node started.
    #[inline]
    pub fn log_began_anew(&self, group: Group) -> bool {
        self.log.began_anew[usize::from(group.number())].load(Ordering::Acquire)
    }

    /// What these logs began anew with is on disk.
    pub fn log_restarted(&self, groups: &[Group]) {
        for group in groups {
            self.log.restarts[usize::from(group.number())].fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Calls `nudge` from now on when a shard has records to take and had none: where the shard is
    /// locked, so it must be quick and call nothing of the engine. Only the first one counts.
    pub fn on_log(&self, nudge: impl Fn() + Send + Sync + 'static) {
        let _ = self.log.nudge.set(Nudge(Box::new(nudge)));
    }

    /// From now on a command on several groups is recorded as if each were on its own: what one
    /// node keeps of it another may not.
    pub fn keep_groups_apart(&self) {
        self.each_journal(Journal::keep_groups_apart);
    }

    /// Whether there are records to take.
    pub fn log_waits(&self) -> bool {
        self.log.dirty.iter().any(|dirty| dirty.load(Ordering::Acquire))
    }

    /// Appends to `pieces` what all shards have recorded since the last call; at most one caller
    /// at a time. `spare` were used before and become what shards record into. The pieces are a
    /// consistent cut: with a record they hold, or held before, all records that came before it in
    /// its group. Usually one lock is held at a time; only when a command on several shards came
    /// between, all are.
    pub fn take_log(&self, spare: &mut Vec<LogPiece>, pieces: &mut Vec<LogPiece>) {
        let from = pieces.len();
        let joints = self.log.joints.load(Ordering::Acquire);
        for shard in 0..self.shard_count() {
            if self.log.dirty[shard].load(Ordering::Acquire) {
                self.take_piece(shard, &mut self.lock(shard), spare, pieces);
            }
        }
        if self.log.joints.load(Ordering::Acquire) != joints {
            let mut guards: Vec<_> = (0..self.shard_count()).map(|s| self.lock(s)).collect();
            for (shard, guard) in guards.iter_mut().enumerate() {
                self.take_piece(shard, guard, spare, pieces);
            }
        }
        let frames = pieces[from..].iter().flat_map(|piece| &piece.frames);
        let sizes = frames.map(|frame| frame.total_bytes as u64);
        let (count, bytes) = sizes.fold((0, 0), |(count, sum), bytes| (count + 1, sum + bytes));
        self.log.frames.fetch_sub(count, Ordering::Relaxed);
        self.log.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn take_piece(
        &self,
        shard: usize,
        guard: &mut super::ShardGuard<'_>,
        spare: &mut Vec<LogPiece>,
        pieces: &mut Vec<LogPiece>,
    ) {
        if !self.log.dirty[shard].swap(false, Ordering::AcqRel) {
            return;
        }
        let Some(journal) = guard.store().journal() else { return };
        let mut piece = spare.pop().unwrap_or_default();
        journal.take(&mut piece);
        pieces.push(piece);
    }
}

/// A command begins that holds these shards: its records go into one frame together.
pub(super) fn set_aside<'g, 'e: 'g>(
    guards: impl Iterator<Item = &'g mut super::ShardGuard<'e>>,
    now: crate::command::Time,
) {
    for guard in guards {
        if let Some(journal) = guard.store().journal() {
            journal.begin(now);
            journal.set_aside();
        }
    }
}

/// It is done: its records go into the log of the first of the shards.
pub(super) fn join_aside<'g, 'e: 'g>(guards: impl Iterator<Item = &'g mut super::ShardGuard<'e>>) {
    let mut journals: Vec<&mut Journal> =
        guards.filter_map(|guard| guard.store().journal()).collect();
    let mut records = Vec::new();
    for journal in &mut journals {
        records.append(&mut journal.take_aside());
    }
    let spans_shards = journals.len() > 1;
    if let Some(journal) = journals.first_mut() {
        journal.join(records, spans_shards);
    }
}
