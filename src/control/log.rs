//! The Raft log and vote: in memory to be read, on disk before anybody relies on them. Knows
//! entries by their index and bytes, not what they command.

use super::codec::{self, CodecError};
use super::disk::{Disk, Held, Row, Write};
use super::types::{Entry, Group, LogId, StorageError, Vote};
use crate::limits::RAFT_PAYLOAD_ENTRIES_MAX;
use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{ErrorSubject, ErrorVerb, LogState, OptionalSend, RaftLogReader};
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::RangeBounds;
use std::sync::Arc;

/// The log of one node; clones read the same one. Bounded by the snapshots, which let its
/// beginning go.
#[derive(Clone)]
pub(super) struct Log {
    disk: Disk,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
    /// Without a hole.
    entries: BTreeMap<u64, Entry>,
}

impl Log {
    /// The log as the disk held it.
    ///
    /// # Errors
    /// When something in it is not readable, or an entry is missing.
    pub(super) fn new(disk: Disk, held: &Held) -> Result<Log, CodecError> {
        let mut kept = Kept {
            vote: held.vote.as_deref().map(codec::decode).transpose()?,
            committed: match &held.committed {
                Some(bytes) => codec::decode::<Option<LogId>>(bytes)?,
                None => None,
            },
            purged: held.purged.as_deref().map(codec::decode).transpose()?,
            entries: BTreeMap::new(),
        };
        let first = held.log.first().map_or(0, |(first, _)| *first);
        for (next, (index, bytes)) in (first..).zip(&held.log) {
            let entry: Entry = codec::decode(bytes)?;
            if entry.log_id.index != *index || *index != next {
                return Err(CodecError::Bad(format!("no entry {next} in the Raft log")));
            }
            kept.entries.insert(*index, entry);
        }
        Ok(Log { disk, kept: Arc::new(Mutex::new(kept)) })
    }

    /// Whether nothing was ever written in it: neither an entry nor the trace of one.
    pub(super) fn is_blank(&self) -> bool {
        let kept = self.kept.lock();
        kept.entries.is_empty() && kept.purged.is_none()
    }
}

impl RaftLogReader<Group> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        Ok(self.kept.lock().entries.range(range).map(|(_, entry)| entry.clone()).collect())
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, StorageError> {
        let end = end.min(start.saturating_add(RAFT_PAYLOAD_ENTRIES_MAX));
        self.try_get_log_entries(start..end).await
    }
}

impl RaftLogStorage<Group> for Log {
    type LogReader = Log;

    async fn get_log_state(&mut self) -> Result<LogState<Group>, StorageError> {
        let kept = self.kept.lock();
        let last = kept.entries.last_key_value().map(|(_, entry)| entry.log_id);
        Ok(LogState { last_purged_log_id: kept.purged, last_log_id: last.or(kept.purged) })
    }

    async fn get_log_reader(&mut self) -> Log {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let put = Write::Put(Row::Vote, bytes(vote, ErrorSubject::Vote)?);
        self.disk.write(vec![put]).await.map_err(|e| failed(ErrorSubject::Vote, e))?;
        self.kept.lock().vote = Some(*vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.kept.lock().vote)
    }

    /// Not synced by itself: with the next append, which is before anybody hears of it.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        let put = Write::Put(Row::Committed, bytes(&committed, ErrorSubject::Logs)?);
        self.disk.note(vec![put]).await.map_err(|e| failed(ErrorSubject::Logs, e))?;
        self.kept.lock().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        Ok(self.kept.lock().committed)
    }

    async fn append<I>(&mut self, entries: I, done: LogFlushed<Group>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut writes = Vec::new();
        {
            let mut kept = self.kept.lock();
            for entry in entries {
                let encoded = bytes(&entry, ErrorSubject::Log(entry.log_id))?;
                writes.push(Write::Entry(entry.log_id.index, encoded));
                kept.entries.insert(entry.log_id.index, entry);
            }
        }
        let told = Box::new(move |result| done.log_io_completed(result));
        self.disk.write_then(writes, told).await.map_err(|e| failed(ErrorSubject::Logs, e))
    }

    async fn truncate(&mut self, from: LogId) -> Result<(), StorageError> {
        self.kept.lock().entries.split_off(&from.index);
        let cut = self.disk.write(vec![Write::CutFrom(from.index)]).await;
        cut.map_err(|e| failed(ErrorSubject::Logs, e))
    }

    async fn purge(&mut self, through: LogId) -> Result<(), StorageError> {
        {
            let mut kept = self.kept.lock();
            kept.entries = kept.entries.split_off(&(through.index + 1));
            kept.purged = Some(through);
        }
        let put = Write::Put(Row::Purged, bytes(&through, ErrorSubject::Logs)?);
        let cut = self.disk.write(vec![put, Write::CutThrough(through.index)]).await;
        cut.map_err(|e| failed(ErrorSubject::Logs, e))
    }
}

/// The bytes of what goes to disk. Everything comes from here or through a decoder with the same
/// limit, so that a failure is as bad as one of the disk.
#[expect(clippy::result_large_err, reason = "the error is openraft's")]
pub(super) fn bytes<T: Serialize>(
    thing: &T,
    subject: ErrorSubject<u64>,
) -> Result<Vec<u8>, StorageError> {
    codec::encode(thing).map_err(|e| failed(subject, io::Error::other(e)))
}

/// A failure that ends this run of the Raft group.
pub(super) fn failed(subject: ErrorSubject<u64>, error: io::Error) -> StorageError {
    StorageError::from_io_error(subject, ErrorVerb::Write, error)
}
