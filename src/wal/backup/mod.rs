//! A copy of a node's items in one file: made piece by piece while the node serves, checked from
//! its first byte to its last, and made a data directory again. Knows no connection.
//!
//! The file is a snapshot by another name: the first block says "CRABBAK1", then come the frames
//! of all groups, and the last frame says where it begins itself. Nothing stands behind it.

mod read;
mod restore;
mod write;

pub use read::{BackupFacts, verify};
pub use restore::restore;
pub use write::{BackupStream, Overrun};

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A file there is while a data directory is being restored: what stands there does not count.
pub const RESTORING: &str = "RESTORING";

/// Why there is no backup, or no use of one.
#[derive(Debug)]
pub enum BackupError {
    /// A file or folder could not be read or written.
    Io(PathBuf, io::Error),
    /// The file is not what a backup wrote.
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// There is no place for what is to be restored, for this reason.
    Place(PathBuf, String),
}

impl BackupError {
    /// What the system said of that file.
    pub fn io(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
        let path = path.to_owned();
        move |error| BackupError::Io(path, error)
    }
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BackupError::Io(path, error) => write!(f, "{}: {error}", path.display()),
            BackupError::Damaged { path, offset, reason } => {
                write!(f, "{} at byte {offset}: {reason}", path.display())
            }
            BackupError::Place(path, reason) => write!(f, "{}: {reason}", path.display()),
        }
    }
}

impl std::error::Error for BackupError {}
