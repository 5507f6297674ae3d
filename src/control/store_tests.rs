//! Tests of the control store: openraft's own suite, what survives closing, what is refused, a disk
//! that fails, and the bytes of what is stored. Knows no cluster.

use super::codec;
use super::disk::{Disk, DiskError, Held, Place};
use super::log::Log;
use super::machine::{Applied, Machine, Watcher};
use super::types::{Entry, Group, LogId, Seat, StorageError, Vote};
use cluster::control::ControlCommand;
use cluster::node::{NodeId, Phase};
use openraft::entry::FromAppData;
use openraft::storage::{RaftLogStorage, RaftLogStorageExt, RaftStateMachine};
use openraft::testing::{StoreBuilder, Suite};
use openraft::{CommittedLeaderId, Membership, RaftLogReader, RaftSnapshotBuilder};
use redb::backends::InMemoryBackend;
use redb::{Database, StorageBackend};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use tempfile::TempDir;

struct Nobody;

impl Watcher for Nobody {
    fn applied(&self, _: &Applied) {}
}

/// A store that is open.
struct Open {
    log: Log,
    machine: Machine,
    store: u64,
    thread: JoinHandle<()>,
}

impl Open {
    fn at(place: Place) -> Open {
        let (disk, held, thread) = Disk::open(place, 7).expect("a store");
        let log = Log::new(disk.clone(), &held).expect("a log");
        let machine = Machine::new(disk, &held, Box::new(Nobody)).expect("a machine");
        Open { log, machine, store: held.store, thread }
    }

    fn close(self) {
        drop((self.log, self.machine));
        self.thread.join().expect("the thread ends");
    }
}

fn folder(folder: &Path) -> Place {
    Place::Folder(folder.to_owned())
}

/// Runs on a runtime of its own.
fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

struct Build;

impl StoreBuilder<Group, Log, Machine, TempDir> for Build {
    async fn build(&self) -> Result<(TempDir, Log, Machine), StorageError> {
        let dir = tempfile::tempdir().expect("a folder");
        let open = Open::at(folder(dir.path()));
        Ok((dir, open.log, open.machine))
    }
}

#[test]
fn it_is_what_openraft_asks_for() {
    Suite::test_all(Build).expect("the suite of openraft passes");
}

fn id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term, 7), index)
}

fn entry(index: u64) -> Entry {
    let command = ControlCommand::RemoveToken([u8::try_from(index).unwrap_or(0); 32]);
    let mut entry = Entry::from_app_data(command);
    entry.log_id = id(1, index);
    entry
}

#[test]
fn everything_is_there_again_after_closing() {
    let dir = tempfile::tempdir().unwrap();
    let store = block(async {
        let mut open = Open::at(folder(dir.path()));
        assert!(open.log.is_blank());
        open.log.save_vote(&Vote::new(3, 7)).await.unwrap();
        open.log.blocking_append((1..=9).map(entry)).await.unwrap();
        open.machine.apply((1..=4).map(entry)).await.unwrap();
        open.machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
        open.log.purge(id(1, 2)).await.unwrap();
        open.log.truncate(id(1, 8)).await.unwrap();
        open.log.save_committed(Some(id(1, 5))).await.unwrap();
        open.log.save_vote(&Vote::new(4, 7)).await.unwrap();
        let store = open.store;
        open.close();
        store
    });
    block(async {
        let mut open = Open::at(folder(dir.path()));
        assert_eq!(open.store, store);
        assert!(!open.log.is_blank());
        assert_eq!(open.log.read_vote().await.unwrap(), Some(Vote::new(4, 7)));
        assert_eq!(open.log.read_committed().await.unwrap(), Some(id(1, 5)));
        let state = open.log.get_log_state().await.unwrap();
        assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(id(1, 2)), Some(id(1, 7))));
        let entries = open.log.try_get_log_entries(..).await.unwrap();
        assert_eq!(entries, (3..=7).map(entry).collect::<Vec<_>>());
        let (applied, _) = open.machine.applied_state().await.unwrap();
        assert_eq!(applied, Some(id(1, 4)));
        open.close();
    });
}

#[test]
fn an_older_snapshot_does_not_replace_a_newer_one() {
    block(async {
        let mut open = Open::at(Place::Memory);
        open.machine.apply((1..=2).map(entry)).await.unwrap();
        let mut early = open.machine.get_snapshot_builder().await;
        open.machine.apply((3..=4).map(entry)).await.unwrap();
        open.machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
        early.build_snapshot().await.unwrap();
        drop(early);
        let kept = open.machine.get_current_snapshot().await.unwrap().unwrap();
        assert_eq!(kept.meta.last_log_id, Some(id(1, 4)));
        open.close();
    });
}

#[test]
fn a_store_has_one_owner_and_one_node() {
    let dir = tempfile::tempdir().unwrap();
    let open = Open::at(folder(dir.path()));
    let first = open.store;
    let again = Disk::open(folder(dir.path()), 7).map(drop);
    assert!(matches!(again, Err(DiskError::Busy)), "{again:?}");
    open.close();
    let other = Disk::open(folder(dir.path()), 8).map(drop);
    assert!(matches!(other, Err(DiskError::OtherNode(7))), "{other:?}");
    // Wiped, it is another store.
    std::fs::remove_dir_all(dir.path()).unwrap();
    let wiped = Open::at(folder(dir.path()));
    assert_ne!(wiped.store, first);
    wiped.close();
}

#[test]
fn what_is_damaged_is_refused_and_not_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("raft.redb"), b"not a store").unwrap();
    let refused = Disk::open(folder(dir.path()), 7).map(drop);
    assert!(matches!(refused, Err(DiskError::Damaged(_) | DiskError::Io(_))), "{refused:?}");
    let (disk, _, _) = Disk::open(Place::Memory, 7).unwrap();
    let held = Held { vote: Some(vec![1]), ..Held::default() };
    assert!(Log::new(disk.clone(), &held).is_err());
    let hole = [1, 3].map(|index| (index, codec::encode(&entry(index)).unwrap()));
    let held = Held { log: hole.to_vec(), ..Held::default() };
    assert!(Log::new(disk, &held).is_err());
}

/// A disk that can be full.
#[derive(Debug, Clone)]
struct Full(Arc<InMemoryBackend>, Arc<AtomicBool>);

impl Full {
    fn check(&self) -> io::Result<()> {
        let full = self.1.load(Ordering::Relaxed);
        if full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl StorageBackend for Full {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check()?;
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check()?;
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
        self.0.write(offset, data)
    }
}

#[test]
fn a_full_disk_acknowledges_nothing_any_more() {
    let full = Full(Arc::new(InMemoryBackend::new()), Arc::default());
    block(async {
        let mut open =
            Open::at(Place::Made(Database::builder().create_with_backend(full.clone()).unwrap()));
        open.log.blocking_append((1..=3).map(entry)).await.unwrap();
        full.1.store(true, Ordering::Relaxed);
        assert!(open.log.save_vote(&Vote::new(9, 7)).await.is_err());
        assert_eq!(open.log.read_vote().await.unwrap(), None);
        full.1.store(false, Ordering::Relaxed);
        // Nobody knows what is on disk: it stays so until it is opened anew.
        assert!(open.log.blocking_append([entry(4)]).await.is_err());
        open.close();
    });
}

#[test]
fn stored_bytes_do_not_change() {
    let hex = |bytes: Vec<u8>| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let of_vote = hex(codec::encode(&Vote::new_committed(300, 7)).unwrap());
    assert_eq!(of_vote, "01fb2c010701");
    let mut blank = entry(5);
    blank.payload = openraft::EntryPayload::Blank;
    assert_eq!(hex(codec::encode(&blank).unwrap()), "0101070500");
    let mut phase = Entry::from_app_data(ControlCommand::SetPhase {
        node: NodeId::new(2).unwrap(),
        phase: Phase::Draining,
        at: None,
    });
    phase.log_id = id(2, 6);
    assert_eq!(hex(codec::encode(&phase).unwrap()), "0102070601030202".to_owned() + "00");
    let nodes = BTreeMap::from([(1, Seat { store: 9 }), (2, Seat { store: 8 })]);
    let members: Membership<u64, Seat> = Membership::new(vec![BTreeSet::from([1])], nodes);
    let mut membership = blank;
    membership.payload = openraft::EntryPayload::Membership(members);
    assert_eq!(hex(codec::encode(&membership).unwrap()), "01010705020101010201090208");
}
