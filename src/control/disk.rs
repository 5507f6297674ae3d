//! The file under the Raft group: one redb database with one owner, a thread that writes and syncs
//! in the order it is asked. Knows rows and bytes, not what they mean.

use super::Store;
use super::full::Fillable;
use crate::clock;
use crate::limits::{CONTROL_DISK_BATCH_MAX, CONTROL_DISK_CACHE_BYTES, CONTROL_DISK_JOBS_MAX};
use redb::backends::InMemoryBackend;
use redb::{
    Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, TableDefinition,
    WriteTransaction,
};
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use tokio::sync::{mpsc, oneshot};

/// The layout of the tables; another number is another layout.
const LAYOUT: u64 = 1;
/// The file's name in its folder.
const NAME: &str = "raft.redb";
/// Numbers that say whose file it is.
const FACTS: TableDefinition<&str, u64> = TableDefinition::new("facts");
/// What is replaced as a whole.
const ROWS: TableDefinition<&str, &[u8]> = TableDefinition::new("rows");
/// Entries of the Raft log by their index.
const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");

/// Where a store is.
pub(super) enum Place {
    /// A file in this folder, which is made if need be.
    Folder(PathBuf),
    /// The same on a disk that is full while that says so.
    Fillable(PathBuf, Arc<AtomicBool>),
    /// Memory: gone with the process, so that the node comes back as a blank one.
    Memory,
    /// Something that a test watches.
    #[cfg(test)]
    Made(Database),
}

/// What is replaced as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// The term and whom this node voted for in it.
    Vote,
    /// Up to where the log is known to be committed.
    Committed,
    /// The last entry that was removed from the log's beginning.
    Purged,
    /// The state machine as it was at some entry.
    Snapshot,
}

/// A change of the file.
#[derive(Debug)]
pub(super) enum Write {
    /// A row gets this value.
    Put(Row, Vec<u8>),
    /// An entry of the log.
    Entry(u64, Vec<u8>),
    /// The log ends before this index.
    CutFrom(u64),
    /// The log begins after this index.
    CutThrough(u64),
}

/// Changes that take effect together.
struct Job {
    writes: Vec<Write>,
    synced: bool,
    /// Nothing is taken after it.
    last: bool,
    done: Done,
}

/// Who is told when they have.
type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// What the file held when it was opened.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Chance, drawn when the file was made: two stores never have the same. Never 0.
    pub(super) store: u64,
    /// The rows that are there.
    pub(super) vote: Option<Vec<u8>>,
    /// See [`Row::Committed`].
    pub(super) committed: Option<Vec<u8>>,
    /// See [`Row::Purged`].
    pub(super) purged: Option<Vec<u8>>,
    /// See [`Row::Snapshot`].
    pub(super) snapshot: Option<Vec<u8>>,
    /// The log, by index.
    pub(super) log: Vec<(u64, Vec<u8>)>,
}

/// Why a store cannot be used.
#[derive(Debug)]
pub enum DiskError {
    /// It is open elsewhere.
    Busy,
    /// It belongs to the node with this number.
    OtherNode(u64),
    /// It has this layout, which is not ours: written by a newer version.
    Layout(u64),
    /// What stands in it is not readable.
    Damaged(String),
    /// The system refuses.
    Io(io::Error),
}

/// The way to the thread that owns the file. The thread ends when it is told to,
/// or all of these are gone.
#[derive(Clone)]
pub(super) struct Disk {
    jobs: mpsc::Sender<Job>,
    /// Why nothing is written any more.
    failure: Arc<OnceLock<String>>,
}

impl Place {
    pub(super) fn of(store: &Store) -> Place {
        match store {
            Store::Folder(folder) => Place::Folder(folder.clone()),
            Store::Memory => Place::Memory,
            Store::Fillable(folder, full) => Place::Fillable(folder.clone(), full.clone()),
        }
    }
}

impl Disk {
    /// Opens or makes the store of a node, and starts its thread.
    ///
    /// # Errors
    /// When it is in use, another node's, of another layout or damaged, or the system refuses.
    pub(super) fn open(place: Place, node: u64) -> Result<(Disk, Held, JoinHandle<()>), DiskError> {
        let database = match place {
            Place::Folder(folder) => open_file(&folder, None)?,
            Place::Fillable(folder, full) => open_file(&folder, Some(full))?,
            Place::Memory => {
                let made = Database::builder().create_with_backend(InMemoryBackend::new());
                made.map_err(DiskError::from)?
            }
            #[cfg(test)]
            Place::Made(database) => database,
        };
        let held = claim(&database, node)?;
        let (jobs, queue) = mpsc::channel(CONTROL_DISK_JOBS_MAX);
        let failure = Arc::new(OnceLock::new());
        let of_thread = failure.clone();
        let thread = thread::Builder::new()
            .name("control-disk".into())
            .spawn(move || run(&database, queue, &of_thread))
            .map_err(DiskError::Io)?;
        Ok((Disk { jobs, failure }, held, thread))
    }

    /// Has changes made in the order of the calls; `done` hears when they are on disk.
    ///
    /// # Errors
    /// When the thread is gone; `done` is then not called.
    pub(super) async fn write_then(&self, writes: Vec<Write>, done: Done) -> io::Result<()> {
        self.send(Job { writes, synced: true, last: false, done }).await
    }

    /// Has changes made, and returns when they are on disk.
    ///
    /// # Errors
    /// When they are not, or nobody knows.
    pub(super) async fn write(&self, writes: Vec<Write>) -> io::Result<()> {
        let (tell, told) = oneshot::channel();
        let done = Box::new(move |result| drop(tell.send(result)));
        self.send(Job { writes, synced: true, last: false, done }).await?;
        told.await.map_err(|_| gone())?
    }

    /// Has changes made that may be lost with a crash.
    ///
    /// # Errors
    /// When the thread is gone.
    pub(super) async fn note(&self, writes: Vec<Write>) -> io::Result<()> {
        self.send(Job { writes, synced: false, last: false, done: Box::new(drop) }).await
    }

    /// Ends the thread once everything before is written; whoever writes later is told so.
    pub(super) async fn close(&self) {
        let done = Box::new(drop);
        // An error says that it has ended.
        let _ = self.send(Job { writes: Vec::new(), synced: true, last: true, done }).await;
    }

    /// Why nothing is written any more, if that is so.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    async fn send(&self, job: Job) -> io::Result<()> {
        self.jobs.send(job).await.map_err(|_| gone())
    }
}

fn gone() -> io::Error {
    io::Error::other("the control store is closed")
}

fn open_file(folder: &Path, full: Option<Arc<AtomicBool>>) -> Result<Database, DiskError> {
    fs::create_dir_all(folder).map_err(DiskError::Io)?;
    let path = folder.join(NAME);
    let mut builder = Database::builder();
    builder.set_cache_size(CONTROL_DISK_CACHE_BYTES);
    let database = match full {
        None => builder.create(&path)?,
        Some(full) => builder.create_with_backend(Fillable::open(&path, full)?)?,
    };
    // A name that a crash could take back would be a wiped node.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(DiskError::Io)?;
    Ok(database)
}

/// Makes the store this node's if it is new, and reads what it holds.
fn claim(database: &Database, node: u64) -> Result<Held, DiskError> {
    let write = database.begin_write().map_err(bad)?;
    let store = {
        let mut facts = write.open_table(FACTS).map_err(bad)?;
        let fact =
            |name: &str| Ok::<_, DiskError>(facts.get(name).map_err(bad)?.map(|v| v.value()));
        let (layout, owner, store) = (fact("layout")?, fact("node")?, fact("store")?);
        match (layout, owner, store) {
            (Some(layout), _, _) if layout != LAYOUT => return Err(DiskError::Layout(layout)),
            (Some(_), Some(owner), Some(_)) if owner != node => {
                return Err(DiskError::OtherNode(owner));
            }
            (Some(_), Some(_), Some(store)) => store,
            _ => {
                let store = clock::random_u64().max(1);
                for (name, value) in [("layout", LAYOUT), ("node", node), ("store", store)] {
                    facts.insert(name, value).map_err(bad)?;
                }
                store
            }
        }
    };
    write.open_table(ROWS).map_err(bad)?;
    write.open_table(LOG).map_err(bad)?;
    write.commit().map_err(bad)?;
    read(database, store)
}

fn read(database: &Database, store: u64) -> Result<Held, DiskError> {
    let read = database.begin_read().map_err(bad)?;
    let rows = read.open_table(ROWS).map_err(bad)?;
    let row = |row: Row| {
        let found = rows.get(row.name()).map_err(bad)?;
        Ok::<_, DiskError>(found.map(|value| value.value().to_vec()))
    };
    let log = read.open_table(LOG).map_err(bad)?;
    let mut entries = Vec::new();
    for entry in log.iter().map_err(bad)? {
        let (index, bytes) = entry.map_err(bad)?;
        entries.push((index.value(), bytes.value().to_vec()));
    }
    Ok(Held {
        store,
        vote: row(Row::Vote)?,
        committed: row(Row::Committed)?,
        purged: row(Row::Purged)?,
        snapshot: row(Row::Snapshot)?,
        log: entries,
    })
}

/// Writes what comes until nobody can ask any more. Jobs that wait share one sync. After a failure
/// nothing is written any more: nobody knows what is on disk then.
fn run(database: &Database, mut queue: mpsc::Receiver<Job>, failure: &OnceLock<String>) {
    while let Some(first) = queue.blocking_recv() {
        let mut jobs = vec![first];
        while jobs.len() < CONTROL_DISK_BATCH_MAX
            && let Ok(next) = queue.try_recv()
        {
            jobs.push(next);
        }
        if failure.get().is_none()
            && let Err(error) = perform(database, &jobs)
        {
            let reason = failure.get_or_init(|| error.to_string());
            tracing::error!(reason, "the control store cannot be written");
        }
        let last = jobs.iter().any(|job| job.last);
        for job in jobs {
            let failed = failure.get().cloned();
            (job.done)(failed.map_or(Ok(()), |reason| Err(io::Error::other(reason))));
        }
        if last {
            return;
        }
    }
}

fn perform(database: &Database, jobs: &[Job]) -> Result<(), redb::Error> {
    let mut write = database.begin_write()?;
    let synced = jobs.iter().any(|job| job.synced);
    write.set_durability(if synced { Durability::Immediate } else { Durability::None })?;
    for change in jobs.iter().flat_map(|job| &job.writes) {
        apply(&write, change)?;
    }
    Ok(write.commit()?)
}

fn apply(write: &WriteTransaction, change: &Write) -> Result<(), redb::Error> {
    match change {
        Write::Put(row, bytes) => {
            write.open_table(ROWS)?.insert(row.name(), bytes.as_slice())?;
        }
        Write::Entry(index, bytes) => {
            write.open_table(LOG)?.insert(index, bytes.as_slice())?;
        }
        Write::CutFrom(first) => write.open_table(LOG)?.retain_in(*first.., |_, _| false)?,
        Write::CutThrough(last) => write.open_table(LOG)?.retain_in(..=*last, |_, _| false)?,
    }
    Ok(())
}

fn bad(error: impl Into<redb::Error>) -> DiskError {
    match error.into() {
        redb::Error::Io(error) => DiskError::Io(error),
        redb::Error::DatabaseAlreadyOpen => DiskError::Busy,
        other => DiskError::Damaged(other.to_string()),
    }
}

impl Row {
    fn name(self) -> &'static str {
        match self {
            Row::Vote => "vote",
            Row::Committed => "committed",
            Row::Purged => "purged",
            Row::Snapshot => "snapshot",
        }
    }
}

impl From<DatabaseError> for DiskError {
    fn from(error: DatabaseError) -> DiskError {
        bad(error)
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DiskError::Busy => write!(f, "the control store is in use by another process"),
            DiskError::OtherNode(node) => {
                write!(
                    f,
                    "the control store belongs to node {node}: give each node its own data.dir"
                )
            }
            DiskError::Layout(found) => {
                write!(f, "the control store has layout {found}, this version reads {LAYOUT}")
            }
            DiskError::Damaged(reason) => write!(f, "the control store is damaged: {reason}"),
            DiskError::Io(error) => write!(f, "the control store: {error}"),
        }
    }
}

impl std::error::Error for DiskError {}
