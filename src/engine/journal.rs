//! The log of a shard as it grows: what commands did, as records in frames, until somebody takes
//! them. Knows neither what becomes of them nor the items they speak of.

mod followed;

use super::log::{LogPiece, LogShared};
use super::store::prefetch_to_write;
use super::walks::Walk;
use crate::command::Time;
use crate::command::effect::Effect;
use crate::limits::{LOG_EXPIRED_MS, LOG_FRAME_BYTES};
use bytes::Bytes;
use cluster::record::frame::OpenFrame;
use cluster::record::{Epoch, GroupTime, Header, Kind, Seq};
use cluster::replication::Mark;
use cluster::slot::Group;
use std::sync::Arc;

/// The log of the groups of one shard.
#[derive(Debug)]
pub(in crate::engine) struct Journal {
    shard: usize,
    shard_bits: u32,
    groups: Box<[GroupLog]>,
    mode: Mode,
    piece: LogPiece,
    open: Option<OpenFrame>,
    /// Groups with records in the piece, by their place in the shard.
    touched: Vec<u16>,
    time: GroupTime,
    /// Records of a command that holds several shards: they go into one frame when it is done.
    aside: Option<Vec<Aside>>,
    /// Whether records of several groups never wait for each other.
    apart: bool,
    walks: Vec<Walk>,
    /// Walks ever begun.
    walked: u64,
    expired_recorded: Time,
    shared: Arc<LogShared>,
}

/// How far the log of a group has come.
#[derive(Clone, Copy, Debug)]
struct GroupLog {
    epoch: Epoch,
    seq: Seq,
    /// The time its records have reached; the clocks of other primaries are not ours.
    time: GroupTime,
    touched: bool,
    /// The first of its records in the piece.
    first: Seq,
    walked: bool,
    expired: bool,
    /// Its records come from another node's primary.
    followed: bool,
    /// Items of it went while nothing was recorded: others who stand at the same record have more.
    lacks: bool,
}

/// A record that waits for the others of its command.
#[derive(Debug)]
pub(super) struct Aside {
    header: Header,
    payload: Vec<u8>,
    /// A value that stands elsewhere, and where in the payload it belongs.
    value: Option<(usize, Bytes)>,
}

/// What becomes of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Nothing: it comes from a log.
    Off,
    /// It counts, and walks hear of it.
    Count,
    /// It is recorded.
    Record,
    /// Walks hear of it: it comes from a record that is appended as it is.
    Replay,
}

/// What a change speaks of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scope<'a> {
    /// The item at this place in the hash order of its group.
    Item(u32),
    /// An item whose new value is this buffer.
    Shared(u32, &'a Bytes),
    /// All of the group.
    Group,
}

impl Journal {
    /// The log of a shard whose groups have none yet, in [`Mode::Off`].
    pub(super) fn new(shard: usize, shard_bits: u32, shared: Arc<LogShared>) -> Journal {
        let fresh = GroupLog {
            epoch: Epoch(1),
            seq: Seq(0),
            time: GroupTime(0),
            touched: false,
            first: Seq(0),
            walked: false,
            expired: false,
            followed: false,
            lacks: false,
        };
        let groups = usize::from(cluster::slot::GROUPS) >> shard_bits;
        Journal {
            shard,
            shard_bits,
            groups: vec![fresh; groups].into(),
            mode: Mode::Off,
            piece: LogPiece::default(),
            open: None,
            touched: Vec::new(),
            time: GroupTime(0),
            aside: None,
            apart: false,
            walks: Vec::new(),
            walked: 0,
            expired_recorded: Time(0),
            shared,
        }
    }

    /// What becomes of changes from now on. Unless they are recorded, what nobody took is
    /// forgotten.
    pub(super) fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
        if mode != Mode::Record {
            self.take(&mut LogPiece::default());
        }
    }

    /// The log of a group stands at this record.
    pub(super) fn set(&mut self, group: Group, epoch: Epoch, seq: Seq, time: GroupTime) {
        let log = &mut self.groups[self.local(group)];
        (log.epoch, log.seq, log.time) = (epoch.max(Epoch(1)), seq, time);
    }

    /// The newest record of a group, and the time it has reached.
    pub(super) fn position(&self, group: Group) -> (Epoch, Seq, GroupTime) {
        let log = &self.groups[self.local(group)];
        (log.epoch, log.seq, log.time)
    }

    /// The newest record of each group.
    pub(super) fn each_position(&self, mut tell: impl FnMut(Group, Seq)) {
        for (local, log) in self.groups.iter().enumerate() {
            tell(self.group(local), log.seq);
        }
    }

    /// An item of a group is about to go for want of room.
    #[inline]
    pub(super) fn gives_up(&mut self, local: usize) {
        self.groups[local].lacks |= self.mode == Mode::Off;
    }

    /// Items of a group are known to have had no room while data was loaded.
    pub(super) fn set_lacks(&mut self, group: Group) {
        let local = self.local(group);
        self.groups[local].lacks = true;
    }

    /// Whether items of a group had no room while data was loaded.
    pub(super) fn lacks(&self, group: Group) -> bool {
        self.groups[self.local(group)].lacks
    }

    #[inline]
    fn local(&self, group: Group) -> usize {
        usize::from(group.number()) >> self.shard_bits
    }

    fn group(&self, local: usize) -> Group {
        group_of(local, self.shard, self.shard_bits)
    }

    /// A command begins: the time of its records, and the place where a frame may end.
    #[inline]
    pub(super) fn begin(&mut self, now: Time) {
        self.time = self.time.max(GroupTime(now.0));
        if let Some(open) = &self.open
            && open.body_bytes(&self.piece.bytes) >= LOG_FRAME_BYTES
        {
            self.close();
        }
    }

    /// Records a change of a group that has just been made.
    #[inline]
    pub(super) fn record(&mut self, local: usize, effect: &Effect<'_>, scope: Scope<'_>) {
        if self.mode != Mode::Record {
            return self.count(local, effect, scope);
        }
        debug_assert!(!self.groups[local].followed, "a change of another node's group");
        let header = self.next_header(local, Kind::Effects);
        if self.groups[local].walked {
            self.forward(header.group, effect, scope);
        }
        if self.aside.is_some() {
            return self.put_aside(header, effect, scope);
        }
        self.push(&header, effect.encoded_bytes());
        match scope {
            Scope::Shared(_, value) => {
                let at = effect.encode_around(&mut self.piece.bytes);
                self.splice(at, value.clone());
            }
            Scope::Item(_) | Scope::Group => effect.encode(&mut self.piece.bytes),
        }
    }

    /// A change that is not recorded here.
    fn count(&mut self, local: usize, effect: &Effect<'_>, scope: Scope<'_>) {
        match self.mode {
            Mode::Off | Mode::Record => return,
            Mode::Count => {
                self.next_header(local, Kind::Effects);
            }
            Mode::Replay => {}
        }
        if self.groups[local].walked {
            self.forward(self.group(local), effect, scope);
        }
    }

    /// The header of the next record of a group, which counts from now on.
    #[inline]
    fn next_header(&mut self, local: usize, kind: Kind) -> Header {
        let log = &mut self.groups[local];
        log.seq = log.seq.next();
        log.time = log.time.max(self.time);
        let header = Header {
            kind,
            group: group_of(local, self.shard, self.shard_bits),
            epoch: log.epoch,
            seq: log.seq,
            time: log.time,
        };
        if self.mode == Mode::Record {
            self.note_touched(local);
        }
        header
    }

    #[inline]
    fn note_touched(&mut self, local: usize) {
        let log = &mut self.groups[local];
        if !log.touched {
            log.touched = true;
            log.first = log.seq;
            self.touched.push(local as u16);
        }
    }

    /// An item of the group was removed because its time had come.
    #[inline]
    pub(super) fn expired(&mut self, local: usize) {
        let log = &mut self.groups[local];
        log.expired = !log.followed;
    }

    /// Records from time to time which groups lost items whose time had come: one record a group.
    pub(super) fn upkeep(&mut self, now: Time) {
        self.begin(now);
        if now.0.abs_diff(self.expired_recorded.0) < LOG_EXPIRED_MS {
            return;
        }
        self.expired_recorded = now;
        for local in 0..self.groups.len() {
            if std::mem::take(&mut self.groups[local].expired) {
                let up_to = Time(self.time.0.max(self.groups[local].time.0));
                self.record(local, &Effect::ExpireUpTo { up_to }, Scope::Group);
            }
        }
    }

    /// Asks for the memory where the next records will be written, so many bytes: written without
    /// that, they would hold up whoever takes the next lock until it is there.
    #[inline]
    pub(super) fn prefetch(&self, bytes: usize) {
        if self.mode == Mode::Record {
            let at = self.piece.bytes.as_ptr().wrapping_add(self.piece.bytes.len());
            for offset in (0..bytes).step_by(64) {
                prefetch_to_write(at.wrapping_add(offset));
            }
        }
    }

    /// Begins a record in the open frame, or in a new one.
    #[inline]
    fn push(&mut self, header: &Header, payload_bytes: usize) {
        let bytes = &mut self.piece.bytes;
        if let Some(open) = &mut self.open
            && open.push(bytes, header, payload_bytes).is_ok()
        {
            return;
        }
        self.push_first(header, payload_bytes);
    }

    #[cold]
    fn push_first(&mut self, header: &Header, payload_bytes: usize) {
        self.close();
        self.shared.mark(self.shard);
        let mut open = OpenFrame::begin(&mut self.piece.bytes);
        let pushed = open.push(&mut self.piece.bytes, header, payload_bytes);
        assert!(pushed.is_ok(), "a record fits an empty frame");
        self.open = Some(open);
    }

    fn splice(&mut self, at: usize, value: Bytes) {
        if let Some(open) = &mut self.open {
            open.skip(value.len());
        }
        self.piece.splices.push((at, value));
    }

    /// Ends the open frame.
    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        match open.close(&mut self.piece.bytes) {
            Some(bytes) => {
                self.piece.end_frame(open.start(), bytes);
                self.shared.add(1, bytes as u64);
            }
            None => self.piece.bytes.truncate(open.start()),
        }
    }

    /// Hands over what was recorded since the last call, in exchange for an empty piece.
    pub(super) fn take(&mut self, piece: &mut LogPiece) {
        self.close();
        for local in self.touched.drain(..) {
            let log = &mut self.groups[usize::from(local)];
            log.touched = false;
            let group = (usize::from(local) << self.shard_bits | self.shard) as u16;
            let (first, last) = (log.first, log.seq);
            self.piece.marks.extend(Group::new(group).map(|group| Mark { group, first, last }));
        }
        piece.clear();
        std::mem::swap(&mut self.piece, piece);
    }
}

#[inline]
fn group_of(local: usize, shard: usize, shard_bits: u32) -> Group {
    match Group::new((local << shard_bits | shard) as u16) {
        Some(group) => group,
        None => unreachable!("a shard has its share of the groups"),
    }
}

/// Commands that hold several shards.
impl Journal {
    /// From now on records wait for [`Journal::take_aside`], unless groups are kept apart.
    pub(super) fn set_aside(&mut self) {
        self.aside = (!self.apart).then(Vec::new);
    }

    /// From now on no frame is made of records of several groups of one command.
    pub(super) fn keep_groups_apart(&mut self) {
        self.apart = true;
    }

    /// The records that wait. What this shard recorded before them ends its frame here, wherever
    /// they go: a frame counts as a whole, and with records from before and behind them it would
    /// wait for theirs, and theirs for it.
    pub(super) fn take_aside(&mut self) -> Vec<Aside> {
        let records = self.aside.take().unwrap_or_default();
        if !records.is_empty() {
            self.close();
        }
        records
    }

    fn put_aside(&mut self, header: Header, effect: &Effect<'_>, scope: Scope<'_>) {
        let Some(aside) = &mut self.aside else { return };
        let mut payload = Vec::with_capacity(effect.encoded_bytes());
        let value = match scope {
            Scope::Shared(_, value) => Some((effect.encode_around(&mut payload), value.clone())),
            Scope::Item(_) | Scope::Group => {
                effect.encode(&mut payload);
                None
            }
        };
        aside.push(Aside { header, payload, value });
    }

    /// Writes the records of one command, of this and other shards, as one frame.
    pub(super) fn join(&mut self, records: Vec<Aside>, spans_shards: bool) {
        if records.is_empty() {
            return;
        }
        // What this shard recorded before stands before them, even if none of them is of its own.
        self.close();
        for Aside { header, payload, value } in records {
            let bytes = payload.len() + value.as_ref().map_or(0, |(_, v)| v.len());
            self.push(&header, bytes);
            let start = self.piece.bytes.len();
            self.piece.bytes.extend_from_slice(&payload);
            if let Some((at, value)) = value {
                self.splice(start + at, value);
            }
            let Header { group, seq, .. } = header;
            self.piece.marks.push(Mark { group, first: seq, last: seq });
        }
        self.close();
        // Once this shard is known to have something: who looks after that finds it.
        if spans_shards {
            self.shared.joined();
        }
    }
}
