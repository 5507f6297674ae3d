//! Makes a data directory out of a backup: a snapshot that a node begins with. Checks all of the
//! backup before it makes anything, and all of the snapshot before that gets its name.

use super::{BackupError, BackupFacts, RESTORING, verify};
use crate::wal::lock;
use crate::wal::segment::{self, FileKind, HEADER_BYTES};
use crate::wal::snapshot;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Restores the backup `from` to the folder `to`, which must be empty or not there. Returns what
/// was in the backup.
///
/// # Errors
/// When the backup is not whole: then nothing was made. When there is no place for it: then
/// nothing was changed. Otherwise what was made says of itself that it is not finished, and no
/// node starts from it.
pub fn restore(
    from: &Path,
    to: &Path,
    seen: &mut dyn FnMut(u64),
) -> Result<BackupFacts, BackupError> {
    let facts = verify(from, seen)?;
    check_place(to)?;
    let folder = to.join(snapshot::FOLDER);
    fs::create_dir_all(to).map_err(BackupError::io(to))?;
    let mark = to.join(RESTORING);
    let made = File::create(&mark).and_then(|file| file.sync_all());
    made.and_then(|()| sync_dir(to)).map_err(BackupError::io(&mark))?;
    for folder in [&folder, &to.join(segment::FOLDER)] {
        fs::create_dir(folder).map_err(BackupError::io(folder))?;
    }
    let number = 1;
    let (unfinished, named) =
        (folder.join(snapshot::unfinished_name(number)), folder.join(snapshot::file_name(number)));
    copy(from, &facts, &unfinished, number).map_err(BackupError::io(&unfinished))?;
    compare(from, &unfinished)?;
    fs::rename(&unfinished, &named)
        .and_then(|()| sync_dir(&folder))
        .and_then(|()| fs::remove_file(&mark))
        .and_then(|()| sync_dir(to))
        .map_err(BackupError::io(&named))?;
    Ok(facts)
}

/// Whether a folder can be made, or is there and empty.
fn check_place(to: &Path) -> Result<(), BackupError> {
    let place = |reason: &str| BackupError::Place(to.to_owned(), reason.to_owned());
    let entries = match fs::read_dir(to) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(BackupError::Io(to.to_owned(), error)),
    };
    let names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    // A file system of its own has this folder from the beginning.
    if names.iter().all(|name| name == "lost+found") {
        return Ok(());
    }
    if lock::is_owned(to) {
        return Err(place("a node is running on it: stop it, and restore to another folder"));
    }
    if names.iter().any(|name| name == RESTORING) {
        return Err(place(
            "an earlier restore to it was not finished: remove what is in it, then try again",
        ));
    }
    Err(place("there is something in it; a backup is restored to an empty folder"))
}

fn sync_dir(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Frames stand where they stood; only the first block is that of a snapshot.
fn copy(from: &Path, facts: &BackupFacts, to: &PathBuf, number: u64) -> io::Result<()> {
    let mut block = vec![0; HEADER_BYTES];
    segment::Header { number, ..facts.header }.encode_as(FileKind::Snapshot, &mut block);
    let (mut source, mut file) = (File::open(from)?, File::create_new(to)?);
    source.seek(SeekFrom::Start(HEADER_BYTES as u64))?;
    file.write_all(&block)?;
    let copied = io::copy(&mut source, &mut file)?;
    if copied + HEADER_BYTES as u64 != facts.bytes {
        return Err(io::Error::other("the backup changed while it was read"));
    }
    file.sync_all()
}

/// Reads both again behind their first blocks.
fn compare(from: &Path, to: &Path) -> Result<(), BackupError> {
    let open = |path: &Path| {
        let file = File::open(path).and_then(|mut file| {
            file.seek(SeekFrom::Start(HEADER_BYTES as u64))?;
            Ok(file)
        });
        file.map_err(BackupError::io(path))
    };
    let (mut left, mut right) = (open(from)?, open(to)?);
    let (mut a, mut b) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut offset = HEADER_BYTES as u64;
    loop {
        let read = left.read(&mut a).map_err(BackupError::io(from))?;
        if read == 0 {
            return Ok(());
        }
        right.read_exact(&mut b[..read]).map_err(BackupError::io(to))?;
        if a[..read] != b[..read] {
            let (path, reason) = (to.to_owned(), "not what was written".to_owned());
            return Err(BackupError::Damaged { path, offset, reason });
        }
        offset += read as u64;
    }
}
