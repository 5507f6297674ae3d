//! The calls to the file system, behind a trait so that tests can make each of them fail. Knows
//! paths and bytes, not what they mean.

mod aligned;
mod faulty;
mod stuck;
mod system;

pub use aligned::AlignedBytes;
pub use faulty::{Call, Fault, FaultyFiles, Outcome};
pub use stuck::StuckFiles;
pub use system::SystemFiles;

use std::io;
use std::path::Path;

/// A file system.
pub trait Files: Send + Sync {
    /// Makes a file, or empties the one there is, with space for `bytes` that read as zeros. Past
    /// the page cache where the file system takes that.
    ///
    /// # Errors
    /// As the system says; the file may then be there.
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn LogFile>>;

    /// Opens a file that [`Files::create`] made to write it again; its bytes stay.
    ///
    /// # Errors
    /// As the system says.
    fn reopen(&self, path: &Path) -> io::Result<Box<dyn LogFile>>;

    /// Opens a file to read.
    ///
    /// # Errors
    /// As the system says.
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn ReadFile>>;

    /// Gives a file another name in the same folder; a file of that name is replaced.
    ///
    /// # Errors
    /// As the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// As the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// The files in a folder, by name.
    ///
    /// # Errors
    /// As the system says.
    fn list(&self, folder: &Path) -> io::Result<Vec<Listed>>;

    /// Cuts a file at `bytes`, so that it stays cut after a crash.
    ///
    /// # Errors
    /// As the system says.
    fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()>;

    /// Makes sure that what was created, renamed or removed in a folder is so after a crash.
    ///
    /// # Errors
    /// As the system says.
    fn sync_dir(&self, folder: &Path) -> io::Result<()>;

    /// Makes a folder and those above it, unless they are there, so that they are there after a
    /// crash.
    ///
    /// # Errors
    /// As the system says.
    fn make_dir(&self, folder: &Path) -> io::Result<()>;
}

/// A file being written.
pub trait LogFile: Send {
    /// Writes all of `bytes`. Their number, their place in memory (see [`AlignedBytes`]) and
    /// `offset` are multiples of [`crate::limits::WAL_BLOCK_BYTES`].
    ///
    /// # Errors
    /// As the system says; some of them may then be written.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Returns when all that was written is on disk. After an error nobody knows what is: the
    /// file is not to be written again.
    ///
    /// # Errors
    /// As the system says.
    fn sync(&mut self) -> io::Result<()>;

    /// How long it is.
    ///
    /// # Errors
    /// As the system says.
    fn bytes(&self) -> io::Result<u64>;
}

/// A file being read.
pub trait ReadFile: Send {
    /// Reads from `offset` on into `bytes`, and says how many there were; 0 at the end.
    ///
    /// # Errors
    /// As the system says.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// How long it is.
    ///
    /// # Errors
    /// As the system says.
    fn bytes(&self) -> io::Result<u64>;
}

/// A file in a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its name in the folder.
    pub name: String,
    /// How long it is.
    pub bytes: u64,
}

/// All of a file.
///
/// # Errors
/// As the system says, or when the file got shorter meanwhile.
pub fn read_all(files: &dyn Files, path: &Path) -> io::Result<Vec<u8>> {
    let file = files.open_read(path)?;
    let bytes = usize::try_from(file.bytes()?).map_err(io::Error::other)?;
    let mut out = vec![0; bytes];
    let mut filled = 0;
    while filled < bytes {
        match file.read_at(&mut out[filled..], filled as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
    }
    Ok(out)
}
