//! Files that only their owner may read, and that are never written over. Knows nothing of what
//! is in them.

use super::SecurityError;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What only the owner may do with a file, and with a folder.
const OWNER_FILE: u32 = 0o600;
const OWNER_FOLDER: u32 = 0o700;

/// Writes the files into a folder, which is made when it is missing, all or none: when one of
/// them exists already, nothing is written. Each has its rights from the moment it exists.
///
/// # Errors
/// Which file it is and what the system says.
pub(super) fn create(dir: &Path, files: &[(&str, &str)]) -> Result<Vec<PathBuf>, SecurityError> {
    let paths: Vec<PathBuf> = files.iter().map(|(name, _)| dir.join(name)).collect();
    if let Some(there) = paths.iter().find(|path| path.symlink_metadata().is_ok()) {
        return Err(SecurityError::Exists(there.clone()));
    }
    DirBuilder::new()
        .recursive(true)
        .mode(OWNER_FOLDER)
        .create(dir)
        .map_err(|error| failed(dir, &error))?;
    for (done, (path, (_, text))) in paths.iter().zip(files).enumerate() {
        if let Err(error) = write(path, text) {
            // What this call has made goes again; what somebody else made meanwhile stays.
            let ours = if error.kind() == ErrorKind::AlreadyExists { done } else { done + 1 };
            for made in &paths[..ours] {
                let _ = std::fs::remove_file(made);
            }
            return Err(failed(path, &error));
        }
    }
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| failed(dir, &error))?;
    Ok(paths)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_FILE).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The text of a file.
///
/// # Errors
/// Which file it is and what the system says.
pub(super) fn read(path: &Path) -> Result<String, SecurityError> {
    std::fs::read_to_string(path).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &io::Error) -> SecurityError {
    if error.kind() == ErrorKind::AlreadyExists {
        return SecurityError::Exists(path.to_owned());
    }
    SecurityError::File { path: path.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::create;
    use crate::security::SecurityError;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_the_owner_reads_and_nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a/b");
        let paths = create(&inner, &[("one", "1"), ("two", "2")]).unwrap();
        let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert!(paths.iter().all(|path| mode(path) == 0o600));
        assert_eq!(mode(&inner), 0o700);
        let again = create(&inner, &[("three", "3"), ("two", "other")]);
        assert_eq!(again, Err(SecurityError::Exists(inner.join("two"))));
        assert!(!inner.join("three").exists());
        assert_eq!(std::fs::read_to_string(&paths[1]).unwrap(), "2");
    }
}
