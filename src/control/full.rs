//! A file on a disk that is full when a test says so. Knows nothing of what is written.

use super::DiskError;
use redb::StorageBackend;
use redb::backends::FileBackend;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// See above. What is there can be read, and nothing is synced either: who hears of that knows
/// that what it wrote before may be lost.
#[derive(Debug)]
pub(super) struct Fillable {
    file: FileBackend,
    full: Arc<AtomicBool>,
}

impl Fillable {
    pub(super) fn open(path: &Path, full: Arc<AtomicBool>) -> Result<Fillable, DiskError> {
        let opened = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let file = FileBackend::new(opened.map_err(DiskError::Io)?)?;
        Ok(Fillable { file, full })
    }

    fn check(&self) -> io::Result<()> {
        let full = self.full.load(Ordering::Relaxed);
        if full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl StorageBackend for Fillable {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}
