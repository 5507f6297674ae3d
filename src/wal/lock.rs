//! Who owns a data folder: one process at a time, as long as it lives.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

const NAME: &str = "LOCK";

/// Takes hold of a data folder for as long as the file lives; `None` when a node runs on it.
///
/// # Errors
/// When the lock cannot be made there.
pub fn take(folder: &Path) -> io::Result<Option<File>> {
    let path = folder.join(NAME);
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    Ok(hold(&file).then_some(file))
}

/// Whether a node runs on a data folder.
pub fn is_owned(folder: &Path) -> bool {
    // The lock goes with the file.
    OpenOptions::new().read(true).open(folder.join(NAME)).is_ok_and(|file| !hold(&file))
}

fn hold(file: &File) -> bool {
    // SAFETY: a descriptor that lives during the call; no memory.
    unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) == 0 }
}
