//! Where a lane's files come from and go to: spares that had an earlier life or were made ahead of
//! time, and new ones. Knows nothing of frames.

use super::{LaneError, Operation};
use crate::limits::{WAL_BLOCK_BYTES, WAL_LANE_BUFFER_BYTES, WAL_SPARE_SEGMENTS_MAX};
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
    /// Files of `segment_bytes` each, every byte of which was written once.
    spares: Vec<PathBuf>,
    filling: Option<Filling>,
}

/// A new file on its way to be a spare. A sync of a file whose bytes were written before is
/// cheaper, for it need not change what the file system knows of the file.
struct Filling {
    file: Box<dyn LogFile>,
    path: PathBuf,
    zeros: AlignedBytes,
    filled: u64,
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
        // Whether a spare was filled to its end nobody knows: a crash may have cut that short.
        for spare in listed.iter().filter(|file| is_spare(&file.name)) {
            files.remove(&folder.join(&spare.name)).map_err(failed)?;
        }
        Ok(Pool { files, folder, segment_bytes, spares: Vec::new(), filling: None })
    }

    pub(super) fn files(&self) -> &dyn Files {
        &*self.files
    }

    pub(super) fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// A file of `bytes` with this header, under the name that goes with it; all that is on disk.
    /// It gets the name last, so that no segment is ever without its header.
    pub(super) fn take(
        &mut self,
        header: &Header,
        bytes: u64,
    ) -> Result<(Box<dyn LogFile>, PathBuf), LaneError> {
        let spare = self.spares.last().filter(|_| bytes == self.segment_bytes).cloned();
        let (found, from) = match spare {
            Some(path) => (self.files.reopen(&path), path),
            None => {
                let path = self.folder.join(spare_name(header.number));
                self.drop_filling(&path);
                (self.files.create(&path, bytes), path)
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
        // Good or bad, it is no spare any more.
        self.spares.retain(|spare| *spare != from);
        match made {
            Ok(file) => Ok((file, path)),
            Err(error) => {
                self.discard(&from);
                Err(LaneError::of(&path, Operation::Create)(error))
            }
        }
    }

    /// One step towards a spare, if there is none; whether there are more to be done.
    pub(super) fn prepare(&mut self, number: u64) -> Result<bool, LaneError> {
        if !self.spares.is_empty() {
            return Ok(false);
        }
        let path = self.folder.join(spare_name(number));
        let Some(mut filling) = self.filling.take() else {
            let file = self.files.create(&path, self.segment_bytes).inspect_err(|_| {
                self.discard(&path);
            });
            let file = file.map_err(LaneError::of(&path, Operation::Create))?;
            let zeros = AlignedBytes::zeroed(WAL_LANE_BUFFER_BYTES);
            self.filling = Some(Filling { file, path, zeros, filled: 0 });
            return Ok(true);
        };
        match filling.step(self.segment_bytes) {
            Ok(true) => {
                self.filling = Some(filling);
                Ok(true)
            }
            Ok(false) => {
                self.spares.push(filling.path);
                Ok(false)
            }
            Err(error) => {
                self.discard(&filling.path);
                Err(LaneError::of(&filling.path, Operation::Create)(error))
            }
        }
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
            self.spares.push(spare);
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
        let filling = self.filling.iter().map(|filling| filling.path.as_path());
        let taken = self.spares.iter().map(PathBuf::as_path).chain(filling).any(|p| p == spare);
        if taken || bytes != self.segment_bytes || self.spares.len() >= WAL_SPARE_SEGMENTS_MAX {
            return self.files.remove(path).map(|()| false);
        }
        self.files.rename(path, spare).map(|()| true)
    }

    /// Stops filling a file that is needed at once.
    fn drop_filling(&mut self, path: &Path) {
        self.filling.take_if(|filling| filling.path == path);
    }

    /// Removes a file that is of no use. What cannot be removed is in nobody's way: it is no
    /// segment, and the next start tries again.
    fn discard(&self, path: &Path) {
        let _ = self.files.remove(path);
    }
}

impl Filling {
    /// Whether there is more to be done.
    fn step(&mut self, bytes: u64) -> io::Result<bool> {
        let left = usize::try_from(bytes - self.filled).unwrap_or(usize::MAX);
        if left == 0 {
            self.file.sync()?;
            return Ok(false);
        }
        let now = left.min(self.zeros.len());
        debug_assert_eq!(now % WAL_BLOCK_BYTES, 0);
        self.file.write_at(&self.zeros[..now], self.filled)?;
        self.filled += now as u64;
        Ok(true)
    }
}
