//! Where a lane's files come from and go to: spares that had an earlier life or were made ahead of
//! time, and new ones. Knows nothing of frames.

use super::{LaneError, Operation};
use crate::limits::WAL_SPARE_SEGMENTS_MAX;
use crate::wal::files::{AlignedBytes, Files, LogFile};
use crate::wal::segment::{HEADER_BYTES, Header, file_name, is_spare, number_of, spare_name};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The files that are not at hand.
pub(super) struct Pool {
    files: Arc<dyn Files>,
    folder: PathBuf,
    segment_bytes: u64,
    /// Files of `segment_bytes` each.
    spares: Vec<Spare>,
}

struct Spare {
    path: PathBuf,
    /// It had an earlier life: its bytes were written once.
    written: bool,
}

/// A file that has become a segment.
pub(super) struct Taken {
    pub(super) file: Box<dyn LogFile>,
    pub(super) path: PathBuf,
    /// Whether its bytes were written once, in an earlier life.
    pub(super) written: bool,
}

impl Pool {
    /// Looks at what is in the folder, which is made if need be.
    pub(super) fn open(
        files: Arc<dyn Files>,
        folder: PathBuf,
        segment_bytes: u64,
        first_number: u64,
    ) -> Result<Pool, LaneError> {
        let failed = |error| LaneError::of(&folder, Operation::Folder)(error);
        files.make_dir(&folder).map_err(failed)?;
        let listed = files.list(&folder).map_err(failed)?;
        let highest = listed.iter().filter_map(|file| number_of(&file.name)).max();
        if highest.is_some_and(|highest| highest >= first_number) {
            return Err(failed(io::ErrorKind::AlreadyExists.into()));
        }
        // Whether a spare has its full length nobody knows: a crash may have cut that short.
        for spare in listed.iter().filter(|file| is_spare(&file.name)) {
            files.remove(&folder.join(&spare.name)).map_err(failed)?;
        }
        Ok(Pool { files, folder, segment_bytes, spares: Vec::new() })
    }

    pub(super) fn files(&self) -> &dyn Files {
        &*self.files
    }

    pub(super) fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// A file of `bytes` with this header, under the name that goes with it; all that is on disk.
    /// It gets the name last, so that no segment is ever without its header.
    pub(super) fn take(&mut self, header: &Header, bytes: u64) -> Result<Taken, LaneError> {
        // Good or bad, it is no spare any more.
        let spare = if bytes == self.segment_bytes { self.spares.pop() } else { None };
        let (found, from, written) = match spare {
            Some(Spare { path, written }) => (self.files.reopen(&path), path, written),
            None => {
                let path = self.folder.join(spare_name(header.number));
                // One made ahead of time may have the name, and not the length.
                self.spares.retain(|spare| spare.path != path);
                (self.files.create(&path, bytes), path, false)
            }
        };
        let path = self.folder.join(file_name(header.number));
        let made = found.and_then(|mut file| {
            let mut block = AlignedBytes::zeroed(HEADER_BYTES);
            header.encode(&mut block);
            file.write_at(&block, 0)?;
            file.sync()?;
            self.files.rename(&from, &path)?;
            self.files.sync_dir(&self.folder)?;
            Ok(file)
        });
        match made {
            Ok(file) => Ok(Taken { file, path, written }),
            Err(error) => {
                self.discard(&from);
                Err(LaneError::of(&path, Operation::Create)(error))
            }
        }
    }

    /// Makes a spare, if there is none.
    pub(super) fn prepare(&mut self, number: u64) -> Result<(), LaneError> {
        if self.spares.is_empty() {
            let path = self.folder.join(spare_name(number));
            let made = self.files.create(&path, self.segment_bytes);
            made.inspect_err(|_| self.discard(&path))
                .map_err(LaneError::of(&path, Operation::Create))?;
            self.spares.push(Spare { path, written: false });
        }
        Ok(())
    }

    /// Puts a segment away. It loses its name first, so that its earlier life is over before it is
    /// written again.
    pub(super) fn retire(&mut self, number: u64) -> Result<(), LaneError> {
        let path = self.folder.join(file_name(number));
        let spare = self.folder.join(spare_name(number));
        let kept = self.put_away(&path, &spare).and_then(|kept| {
            let synced = self.files.sync_dir(&self.folder);
            synced
                .inspect_err(|_| {
                    if kept {
                        self.discard(&spare)
                    }
                })
                .map(|()| kept)
        });
        if kept.map_err(LaneError::of(&path, Operation::Retire))? {
            self.spares.push(Spare { path: spare, written: true });
        }
        Ok(())
    }

    /// Whether it is now a spare. One that is not there was put away by a call that then failed.
    fn put_away(&self, path: &Path, spare: &Path) -> io::Result<bool> {
        let bytes = match self.files.open_read(path) {
            Ok(file) => file.bytes()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        // A file made ahead of time may have the name, if another was then used in its place.
        let taken = self.spares.iter().any(|other| other.path == spare);
        if taken || bytes != self.segment_bytes || self.spares.len() >= WAL_SPARE_SEGMENTS_MAX {
            return self.files.remove(path).map(|()| false);
        }
        self.files.rename(path, spare).map(|()| true)
    }

    /// Removes a file that is of no use. What cannot be removed is in nobody's way: it is no
    /// segment, and the next start tries again.
    fn discard(&self, path: &Path) {
        let _ = self.files.remove(path);
    }
}
