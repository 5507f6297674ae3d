//! For tests: a file system of which chosen calls fail, as a plan says. Knows no reason why.

use super::{AlignedBytes, Files, Listed, LogFile, ReadFile};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A kind of call; each is counted apart, over all files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// [`Files::create`].
    Create,
    /// [`Files::reopen`].
    Reopen,
    /// [`Files::open_read`].
    OpenRead,
    /// [`Files::rename`].
    Rename,
    /// [`Files::remove`].
    Remove,
    /// [`Files::list`].
    List,
    /// [`Files::truncate`].
    Truncate,
    /// [`Files::sync_dir`].
    SyncDir,
    /// [`Files::make_dir`].
    MakeDir,
    /// [`LogFile::write_at`].
    Write,
    /// [`LogFile::sync`].
    Sync,
    /// [`ReadFile::read_at`].
    Read,
}

impl Call {
    /// All of them.
    pub const ALL: [Call; 12] = [
        Call::Create,
        Call::Reopen,
        Call::OpenRead,
        Call::Rename,
        Call::Remove,
        Call::List,
        Call::Truncate,
        Call::SyncDir,
        Call::MakeDir,
        Call::Write,
        Call::Sync,
        Call::Read,
    ];
}

/// What a call does instead. Calls that write nothing fail under each of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing, and answers this error of the system.
    Error(i32),
    /// Writes so many bytes and answers that the disk is full.
    Short(usize),
    /// Writes so many bytes, and then power fails: this call and all later ones of any kind
    /// answer an error, until there is another plan.
    Torn(usize),
}

/// Calls that fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Of which kind.
    pub call: Call,
    /// From which on, counted from 0.
    pub nth: u64,
    /// How many in a row.
    pub times: u64,
    /// How.
    pub outcome: Outcome,
}

/// A file system of which some calls fail. For tests.
#[derive(Clone)]
pub struct FaultyFiles {
    inner: Arc<dyn Files>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    plan: Vec<Fault>,
    dark: bool,
    counts: BTreeMap<Call, u64>,
}

impl FaultyFiles {
    /// `inner`, but for the calls that `plan` names.
    pub fn new(inner: Arc<dyn Files>, plan: Vec<Fault>) -> FaultyFiles {
        let state = State { plan, dark: false, counts: BTreeMap::new() };
        FaultyFiles { inner, state: Arc::new(Mutex::new(state)) }
    }

    /// How many calls of this kind there were, those that failed included.
    pub fn calls(&self, call: Call) -> u64 {
        self.state.lock().counts.get(&call).copied().unwrap_or(0)
    }

    /// From now on this plan; calls are counted on.
    pub fn plan(&self, plan: Vec<Fault>) {
        let mut state = self.state.lock();
        (state.plan, state.dark) = (plan, false);
    }

    fn pass(&self, call: Call) -> io::Result<()> {
        pass(&self.state, call)
    }

    fn wrap(&self, path: &Path, inner: Box<dyn LogFile>) -> io::Result<Box<dyn LogFile>> {
        let reader = self.inner.open_read(path)?;
        Ok(Box::new(FaultyFile { inner, reader, state: self.state.clone() }))
    }
}

/// Counts a call and says what is to become of it.
fn outcome(state: &Mutex<State>, call: Call) -> Option<Outcome> {
    let mut state = state.lock();
    let count = state.counts.entry(call).or_default();
    let at = *count;
    *count += 1;
    if state.dark {
        return Some(Outcome::Error(libc::EIO));
    }
    let due =
        |fault: &&Fault| fault.call == call && at >= fault.nth && at - fault.nth < fault.times;
    let outcome = state.plan.iter().find(due).map(|fault| fault.outcome);
    state.dark = matches!(outcome, Some(Outcome::Torn(_)));
    outcome
}

fn pass(state: &Mutex<State>, call: Call) -> io::Result<()> {
    match outcome(state, call) {
        None => Ok(()),
        Some(Outcome::Error(code)) => Err(io::Error::from_raw_os_error(code)),
        Some(Outcome::Short(_) | Outcome::Torn(_)) => Err(io::Error::from_raw_os_error(libc::EIO)),
    }
}

impl Files for FaultyFiles {
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn LogFile>> {
        self.pass(Call::Create)?;
        self.wrap(path, self.inner.create(path, bytes)?)
    }

    fn reopen(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        self.pass(Call::Reopen)?;
        self.wrap(path, self.inner.reopen(path)?)
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        self.pass(Call::OpenRead)?;
        let inner = self.inner.open_read(path)?;
        Ok(Box::new(FaultyReader { inner, state: self.state.clone() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.pass(Call::Rename)?;
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.pass(Call::Remove)?;
        self.inner.remove(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Listed>> {
        self.pass(Call::List)?;
        self.inner.list(folder)
    }

    fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        self.pass(Call::Truncate)?;
        self.inner.truncate(path, bytes)
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        self.pass(Call::SyncDir)?;
        self.inner.sync_dir(folder)
    }

    fn make_dir(&self, folder: &Path) -> io::Result<()> {
        self.pass(Call::MakeDir)?;
        self.inner.make_dir(folder)
    }
}

struct FaultyFile {
    inner: Box<dyn LogFile>,
    reader: Box<dyn ReadFile>,
    state: Arc<Mutex<State>>,
}

impl FaultyFile {
    /// Writes the first `keep` bytes; behind them the file keeps what it held.
    fn write_some(&mut self, bytes: &[u8], offset: u64, keep: usize) -> io::Result<()> {
        let keep = keep.min(bytes.len());
        let mut some = AlignedBytes::zeroed(keep);
        let mut held = 0;
        while held < some.len() {
            match self.reader.read_at(&mut some[held..], offset + held as u64)? {
                0 => break,
                read => held += read,
            }
        }
        some[..keep].copy_from_slice(&bytes[..keep]);
        self.inner.write_at(&some, offset)
    }
}

impl LogFile for FaultyFile {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match outcome(&self.state, Call::Write) {
            None => self.inner.write_at(bytes, offset),
            Some(Outcome::Error(code)) => Err(io::Error::from_raw_os_error(code)),
            Some(Outcome::Short(keep)) => {
                self.write_some(bytes, offset, keep)?;
                Err(io::Error::from_raw_os_error(libc::ENOSPC))
            }
            Some(Outcome::Torn(keep)) => {
                self.write_some(bytes, offset, keep)?;
                Err(io::Error::from_raw_os_error(libc::EIO))
            }
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        pass(&self.state, Call::Sync)?;
        self.inner.sync()
    }

    fn bytes(&self) -> io::Result<u64> {
        self.inner.bytes()
    }
}

struct FaultyReader {
    inner: Box<dyn ReadFile>,
    state: Arc<Mutex<State>>,
}

impl ReadFile for FaultyReader {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        pass(&self.state, Call::Read)?;
        self.inner.read_at(bytes, offset)
    }

    fn bytes(&self) -> io::Result<u64> {
        self.inner.bytes()
    }
}
