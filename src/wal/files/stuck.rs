//! For tests: a file system of which a sync takes as long as one likes. Knows no reason why.

use super::{Files, Listed, LogFile, ReadFile};
use parking_lot::{Condvar, Mutex};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A file system that can be told to sync nothing for a while. For tests.
#[derive(Clone)]
pub struct StuckFiles {
    inner: Arc<dyn Files>,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    shut: Mutex<bool>,
    opened: Condvar,
}

impl StuckFiles {
    /// `inner`, until it is told otherwise.
    pub fn new(inner: Arc<dyn Files>) -> StuckFiles {
        StuckFiles { inner, gate: Arc::default() }
    }

    /// From now on no sync ends.
    pub fn stick(&self) {
        *self.gate.shut.lock() = true;
    }

    /// They do again.
    pub fn free(&self) {
        *self.gate.shut.lock() = false;
        self.gate.opened.notify_all();
    }

    fn wrap(&self, inner: Box<dyn LogFile>) -> Box<dyn LogFile> {
        Box::new(StuckFile { inner, gate: self.gate.clone() })
    }
}

impl Files for StuckFiles {
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn LogFile>> {
        self.inner.create(path, bytes).map(|file| self.wrap(file))
    }

    fn reopen(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        self.inner.reopen(path).map(|file| self.wrap(file))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        self.inner.open_read(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Listed>> {
        self.inner.list(folder)
    }

    fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        self.inner.truncate(path, bytes)
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        self.inner.sync_dir(folder)
    }

    fn make_dir(&self, folder: &Path) -> io::Result<()> {
        self.inner.make_dir(folder)
    }
}

struct StuckFile {
    inner: Box<dyn LogFile>,
    gate: Arc<Gate>,
}

impl LogFile for StuckFile {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.inner.write_at(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut shut = self.gate.shut.lock();
        while *shut {
            self.gate.opened.wait(&mut shut);
        }
        drop(shut);
        self.inner.sync()
    }

    fn bytes(&self) -> io::Result<u64> {
        self.inner.bytes()
    }
}
