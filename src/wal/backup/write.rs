//! The bytes of a backup, made as somebody asks for them: the walks of the groups, one after the
//! other. Whoever asks keeps the time. Knows no file.

use crate::command::Time;
use crate::engine::{Engine, WalkChunk, WalkId, WalkStep};
use crate::limits;
use crate::wal::segment::{self, FileKind, HEADER_BYTES};
use crate::wal::snapshot::chunk;
use bytes::Bytes;
use cluster::record::frame::{HEAD_BYTES, OpenFrame, seal};
use cluster::record::{Epoch, GroupTime, Header, Kind, Salt, Seq};
use cluster::slot::{GROUPS, Group};
use std::fmt;
use std::sync::Arc;

/// A backup being made. Ends its walk when it is dropped.
pub struct BackupStream {
    engine: Arc<Engine>,
    salt: Salt,
    /// The log was opened for this backup.
    owns_log: bool,
    /// Bytes given so far.
    offset: u64,
    /// The group at hand; behind the last one: all are written.
    group: u16,
    walk: Option<Walking>,
    restarts: u32,
    finished: bool,
    chunk: WalkChunk,
    out: Parts,
}

#[derive(Clone, Copy, Debug)]
struct Walking {
    id: WalkId,
    /// The header of the parts.
    effects: Header,
}

impl fmt::Debug for BackupStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (offset, group) = (self.offset, self.group);
        f.debug_struct("BackupStream")
            .field("offset", &offset)
            .field("group", &group)
            .finish_non_exhaustive()
    }
}

/// Bytes on their way out; large values are shared.
#[derive(Debug, Default)]
struct Parts {
    whole: Vec<Bytes>,
    open: Vec<u8>,
    bytes: usize,
}

/// A group changed faster than it could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overrun(pub Group);

impl BackupStream {
    /// Begins one. The engine counts changes from now on, if it did not yet.
    pub fn begin(engine: Arc<Engine>, salt: Salt, now: Time) -> BackupStream {
        let owns_log = !engine.has_log();
        if owns_log {
            engine.open_log();
            engine.count_only();
        }
        let mut block = vec![0; HEADER_BYTES];
        segment::Header { salt, number: 1, created_ms: now.0 }
            .encode_as(FileKind::Backup, &mut block);
        let out = Parts { whole: Vec::new(), bytes: block.len(), open: block };
        BackupStream {
            engine,
            salt,
            owns_log,
            offset: 0,
            group: 0,
            walk: None,
            restarts: 0,
            finished: false,
            chunk: WalkChunk::default(),
            out,
        }
    }

    /// How many bytes were given.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How many groups are done.
    pub fn groups_done(&self) -> u16 {
        self.group
    }

    /// Whether all was given.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// The next bytes, about [`limits::BACKUP_CHUNK_BYTES`] of them, in parts; none at the end.
    ///
    /// # Errors
    /// When a group changes faster than it is read, again and again.
    pub fn read(&mut self, now: Time) -> Result<Vec<Bytes>, Overrun> {
        let mut steps = 0;
        while !self.finished
            && self.out.bytes < limits::BACKUP_CHUNK_BYTES
            && (steps < limits::BACKUP_STEPS_MAX || self.out.bytes == 0)
        {
            steps += 1;
            match Group::new(self.group).filter(|group| group.number() < GROUPS) {
                Some(group) => self.step(group, now)?,
                None => self.close(),
            }
        }
        self.offset += self.out.bytes as u64;
        Ok(self.out.take())
    }

    /// A step of the walk of a group.
    fn step(&mut self, group: Group, now: Time) -> Result<(), Overrun> {
        let time = GroupTime(now.0.saturating_sub(limits::SNAPSHOT_TIME_MARGIN_MS));
        let walk = match self.walk {
            Some(walk) => walk,
            None if !self.engine.is_whole(group) => {
                // Not of this node, or not yet: as if nothing were in it.
                self.end_group(group, Epoch(1), Seq(0), time);
                return Ok(());
            }
            None => {
                let (epoch, _, _) = self.engine.log_position(group);
                let effects = Header { kind: Kind::Effects, group, epoch, seq: Seq(0), time };
                *self.walk.insert(Walking { id: self.engine.begin_walk(group), effects })
            }
        };
        match self.engine.walk_step(walk.id, now, &mut self.chunk) {
            WalkStep::More => {
                if self.chunk.len() >= limits::SNAPSHOT_FRAME_BYTES / 2 {
                    self.flush(&walk.effects);
                }
            }
            WalkStep::End { epoch, seq, time } => {
                self.flush(&walk.effects);
                self.end_group(group, epoch, seq, time);
            }
            WalkStep::Overrun => {
                self.end_walk();
                self.chunk.clear();
                self.restarts += 1;
                if self.restarts > limits::SNAPSHOT_RESTARTS_MAX {
                    return Err(Overrun(group));
                }
                let (epoch, seq, time) = (Epoch(1), Seq(0), GroupTime(now.0));
                let header = Header { kind: Kind::Truncate, group, epoch, seq, time };
                self.out.frame(&header, &[], &[], self.salt);
            }
        }
        Ok(())
    }

    /// Writes where the log of a group stands; the next one is at hand.
    fn end_group(&mut self, group: Group, epoch: Epoch, seq: Seq, time: GroupTime) {
        let header = Header { kind: Kind::Base, group, epoch, seq, time };
        self.out.frame(&header, &[], &[], self.salt);
        (self.walk, self.restarts) = (None, 0);
        self.group += 1;
    }

    /// Writes what the walk has brought.
    fn flush(&mut self, effects: &Header) {
        for part in chunk::split(&self.chunk, limits::SNAPSHOT_FRAME_BYTES) {
            self.out.frame(effects, &part, &self.chunk.values, self.salt);
        }
        self.chunk.clear();
        self.chunk.bytes.shrink_to(2 * limits::SNAPSHOT_FRAME_BYTES);
    }

    /// Writes the last frame.
    fn close(&mut self) {
        let Some(group) = Group::new(0) else { unreachable!("there are groups") };
        let at = (self.offset + self.out.bytes as u64).to_le_bytes();
        let (epoch, seq, time) = (Epoch(0), Seq(1), GroupTime(0));
        let header = Header { kind: Kind::Synced, group, epoch, seq, time };
        self.out.frame(&header, &[&at], &[], self.salt);
        self.finished = true;
    }

    fn end_walk(&mut self) {
        if let Some(walk) = self.walk.take() {
            self.engine.end_walk(walk.id);
        }
    }
}

impl Drop for BackupStream {
    fn drop(&mut self) {
        self.end_walk();
        if self.owns_log {
            self.engine.close_log();
        }
    }
}

impl Parts {
    /// Adds a frame with one record. Those of the parts that are long belong to `values`.
    fn frame(&mut self, header: &Header, parts: &[&[u8]], values: &[(usize, Bytes)], salt: Salt) {
        let payload_bytes = parts.iter().map(|part| part.len()).sum();
        let mut head = Vec::new();
        let mut frame = OpenFrame::begin(&mut head);
        let pushed = frame.push(&mut head, header, payload_bytes);
        assert!(pushed.is_ok(), "any item fits a frame");
        frame.skip(payload_bytes);
        let bytes = frame.close(&mut head).unwrap_or(0);
        let (start, rest) = head.split_at_mut(HEAD_BYTES);
        seal(start, [&*rest].into_iter().chain(parts.iter().copied()), salt);
        self.open.extend_from_slice(&head);
        for part in parts {
            let is_it = |value: &&(usize, Bytes)| value.1.as_ptr() == part.as_ptr();
            match values.iter().find(is_it) {
                Some((_, value)) if part.len() >= limits::BACKUP_SHARED_BYTES_MIN => {
                    self.whole.push(Bytes::from(std::mem::take(&mut self.open)));
                    self.whole.push(value.clone());
                }
                Some(_) | None => self.open.extend_from_slice(part),
            }
        }
        self.bytes += bytes;
    }

    fn take(&mut self) -> Vec<Bytes> {
        if !self.open.is_empty() {
            self.whole.push(Bytes::from(std::mem::take(&mut self.open)));
        }
        self.bytes = 0;
        std::mem::take(&mut self.whole)
    }
}
