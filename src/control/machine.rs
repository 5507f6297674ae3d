//! The state machine that openraft applies the log to: `ControlState`, and its snapshots. Decides
//! nothing: `ControlState::apply` does.

use super::codec::{self, CodecError};
use super::disk::{Disk, Held, Row, Write};
use super::log::{bytes, failed};
use super::types::{
    Answer, Entry, Group, LogId, Membership, Snapshot, SnapshotMeta, StorageError, node,
};
use cluster::control::ControlState;
use cluster::node::NodeId;
use openraft::storage::RaftStateMachine;
use openraft::{EntryPayload, ErrorSubject, OptionalSend, RaftSnapshotBuilder};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::{self, Cursor};
use std::sync::Arc;
use tokio::sync::Mutex;

/// The state with what it comes from.
pub(super) struct Machine {
    disk: Disk,
    applied: Applied,
    snapshot: Arc<Mutex<Option<Stored>>>,
    watcher: Box<dyn Watcher>,
}

/// Who hears of every new state, on the thread that applies it.
pub(super) trait Watcher: Send + Sync {
    /// The state after some entries.
    fn applied(&self, applied: &Applied);
}

/// A state, and the last entry and membership in it.
#[derive(Clone)]
pub(super) struct Applied {
    pub(super) state: Arc<ControlState>,
    pub(super) last: Option<LogId>,
    pub(super) membership: Membership,
}

impl Applied {
    /// Who votes. While that changes it is still the voters before: Raft needs their majority
    /// until the end.
    pub(super) fn voters(&self) -> BTreeSet<NodeId> {
        let configs = self.membership.membership().get_joint_config();
        configs.first().into_iter().flatten().filter_map(|voter| node(*voter)).collect()
    }
}

/// A snapshot as it is stored.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Stored {
    meta: SnapshotMeta,
    /// The bytes of a `ControlState`.
    state: Vec<u8>,
}

/// Makes a snapshot of the state at one moment.
pub(super) struct Builder {
    disk: Disk,
    applied: Applied,
    snapshot: Arc<Mutex<Option<Stored>>>,
}

impl Machine {
    /// The state of the last snapshot; what came after it is applied by openraft.
    ///
    /// # Errors
    /// When the snapshot is not readable.
    pub(super) fn new(
        disk: Disk,
        held: &Held,
        watcher: Box<dyn Watcher>,
    ) -> Result<Machine, CodecError> {
        let stored: Option<Stored> = held.snapshot.as_deref().map(codec::decode).transpose()?;
        let applied = match &stored {
            Some(stored) => stored.applied()?,
            None => Applied {
                state: Arc::new(ControlState::default()),
                last: None,
                membership: Membership::default(),
            },
        };
        watcher.applied(&applied);
        Ok(Machine { disk, applied, snapshot: Arc::new(Mutex::new(stored)), watcher })
    }
}

impl Stored {
    fn applied(&self) -> Result<Applied, CodecError> {
        Ok(Applied {
            state: Arc::new(codec::decode(&self.state)?),
            last: self.meta.last_log_id,
            membership: self.meta.last_membership.clone(),
        })
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot { meta: self.meta.clone(), snapshot: Box::new(Cursor::new(self.state.clone())) }
    }
}

impl RaftStateMachine<Group> for Machine {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Membership), StorageError> {
        Ok((self.applied.last, self.applied.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Answer>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut answers = Vec::new();
        for entry in entries {
            self.applied.last = Some(entry.log_id);
            answers.push(Answer(match entry.payload {
                EntryPayload::Blank => None,
                EntryPayload::Membership(members) => {
                    self.applied.membership = Membership::new(Some(entry.log_id), members);
                    None
                }
                EntryPayload::Normal(command) => {
                    Some(Arc::make_mut(&mut self.applied.state).apply(&command))
                }
            }));
        }
        self.watcher.applied(&self.applied);
        Ok(answers)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let (disk, snapshot) = (self.disk.clone(), self.snapshot.clone());
        Builder { disk, applied: self.applied.clone(), snapshot }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError> {
        let subject = ErrorSubject::Snapshot(Some(meta.signature()));
        let stored = Stored { meta: meta.clone(), state: snapshot.into_inner() };
        let applied = stored.applied();
        self.applied = applied.map_err(|e| failed(subject, io::Error::other(e)))?;
        store(&self.disk, &self.snapshot, stored).await?;
        self.watcher.applied(&self.applied);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, StorageError> {
        Ok(self.snapshot.lock().await.as_ref().map(Stored::snapshot))
    }
}

impl RaftSnapshotBuilder<Group> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot, StorageError> {
        let Applied { state, last, membership } = &self.applied;
        let at = last.map_or(0, |last| last.index);
        let meta = SnapshotMeta {
            last_log_id: *last,
            last_membership: membership.clone(),
            snapshot_id: format!("{}-{at}", last.map_or(0, |last| last.leader_id.term)),
        };
        let state = bytes(&**state, ErrorSubject::Snapshot(Some(meta.signature())))?;
        let stored = Stored { meta, state };
        let snapshot = stored.snapshot();
        store(&self.disk, &self.snapshot, stored).await?;
        Ok(snapshot)
    }
}

/// Keeps a snapshot, unless a later one is kept already: the log begins after the latest one.
async fn store(
    disk: &Disk,
    kept: &Mutex<Option<Stored>>,
    stored: Stored,
) -> Result<(), StorageError> {
    let subject = ErrorSubject::Snapshot(Some(stored.meta.signature()));
    let put = Write::Put(Row::Snapshot, bytes(&stored, subject.clone())?);
    // Held until it is on disk, so that an earlier one cannot be written over a later one.
    let mut kept = kept.lock().await;
    if kept.as_ref().is_some_and(|kept| kept.meta.last_log_id > stored.meta.last_log_id) {
        return Ok(());
    }
    disk.write(vec![put]).await.map_err(|e| failed(subject, e))?;
    *kept = Some(stored);
    Ok(())
}
