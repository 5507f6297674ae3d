//! The system's files: past the page cache where the file system takes that, else through it.

use super::{Files, Listed, LogFile, ReadFile};
use crate::limits::WAL_BLOCK_BYTES;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemFiles;

impl Files for SystemFiles {
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn LogFile>> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        let file = SystemFile::open(path, options)?;
        reserve(&file.file, bytes)?;
        Ok(Box::new(file))
    }

    fn reopen(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        let mut options = OpenOptions::new();
        options.write(true);
        Ok(Box::new(SystemFile::open(path, options)?))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        Ok(Box::new(File::open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Listed>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let facts = entry.metadata()?;
            if let (true, Ok(name)) = (facts.is_file(), entry.file_name().into_string()) {
                found.push(Listed { name, bytes: facts.len() });
            }
        }
        found.sort();
        Ok(found)
    }

    fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(bytes)?;
        file.sync_all()
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn make_dir(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() || folder.as_os_str().is_empty() {
            return Ok(());
        }
        let above = folder.parent().unwrap_or(Path::new(""));
        self.make_dir(above)?;
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let here = Path::new(".");
        self.sync_dir(if above.as_os_str().is_empty() { here } else { above })
    }
}

/// Gives a file its length and, where the file system can, its space on disk, so that a full disk
/// is met here and not by a write.
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    let length = libc::off_t::try_from(bytes).map_err(io::Error::other)?;
    if length == 0 {
        return Ok(());
    }
    loop {
        // SAFETY: the descriptor is open for as long as `file` is borrowed; no memory is involved.
        if unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, length) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EOPNOTSUPP | libc::ENOSYS) => return file.set_len(bytes),
            _ => return Err(error),
        }
    }
}

struct SystemFile {
    file: File,
    path: PathBuf,
    direct: bool,
}

impl SystemFile {
    fn open(path: &Path, mut options: OpenOptions) -> io::Result<SystemFile> {
        let path = path.to_owned();
        match options.clone().custom_flags(libc::O_DIRECT).open(&path) {
            Ok(file) => Ok(SystemFile { file, path, direct: true }),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                let file = options.custom_flags(0).open(&path)?;
                Ok(SystemFile { file, path, direct: false })
            }
            Err(error) => Err(error),
        }
    }

    /// Some file systems take the flag and then refuse the writes.
    fn go_through_the_cache(&mut self) -> io::Result<()> {
        self.file = OpenOptions::new().write(true).open(&self.path)?;
        self.direct = false;
        Ok(())
    }
}

impl LogFile for SystemFile {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut written = 0;
        while written < bytes.len() {
            match self.file.write_at(&bytes[written..], offset + written as u64) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                // The rest of a block would not be aligned: the whole block again.
                Ok(some) if self.direct && written + some < bytes.len() => {
                    let blocks = some / WAL_BLOCK_BYTES * WAL_BLOCK_BYTES;
                    if blocks == 0 {
                        return Err(io::ErrorKind::WriteZero.into());
                    }
                    written += blocks;
                }
                Ok(some) => written += some,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if self.direct && error.raw_os_error() == Some(libc::EINVAL) => {
                    self.go_through_the_cache()?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

impl ReadFile for File {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match FileExt::read_at(self, bytes, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

#[cfg(test)]
mod tests {
    use super::{Files, SystemFile, SystemFiles};
    use crate::wal::files::{AlignedBytes, LogFile, read_all};
    use std::fs::OpenOptions;

    #[test]
    fn a_file_system_that_refuses_direct_writes_gets_them_through_the_cache() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let mut block = AlignedBytes::zeroed(4096);
        block.fill(7);
        let mut file = SystemFiles.create(&path, 3 * 4096).expect("a file");
        file.write_at(&block, 0).expect("a block");
        drop(file);

        let mut options = OpenOptions::new();
        options.write(true);
        let mut file = SystemFile::open(&path, options).expect("the file");
        // What is not aligned is refused as a file system refuses all, where it goes direct.
        file.write_at(&[9; 100], 4096).expect("through the cache");
        let cached = !file.direct;
        file.write_at(&block, 2 * 4096).expect("a block");
        file.sync().expect("a sync");
        assert_eq!((file.bytes().expect("its length"), !file.direct), (3 * 4096, cached));
        let rest = vec![0; 3996];
        let expected = [&[7; 4096][..], &[9; 100], &rest, &[7; 4096]].concat();
        assert!(read_all(&SystemFiles, &path).expect("the file") == expected);
    }
}
