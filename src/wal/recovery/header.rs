//! What a scan keeps of the head of a segment or snapshot file; the head itself is
//! `wal::segment`'s. Knows no frame.

use crate::wal::segment::{self, HeaderError, USED_BYTES};
use crate::wal::snapshot;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub use crate::wal::segment::{FileKind as Sort, Header as FileHeader};

/// Where the first frame of a file begins.
pub const HEADER_BYTES: u64 = segment::HEADER_BYTES as u64;

/// Why a file has no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHeader {
    /// It is empty, or zeros stand there: it was never begun.
    Blank,
    /// It was written by a version that this one does not know.
    Version(u32),
    /// It is damaged.
    Damaged,
}

impl FileHeader {
    /// Its bytes, up to the first frame.
    pub fn bytes(&self, sort: Sort) -> Vec<u8> {
        let mut out = vec![0; segment::HEADER_BYTES];
        self.encode_as(sort, &mut out);
        out
    }

    /// Reads the header of `file`.
    ///
    /// # Errors
    /// When it cannot be read; inside, when there is none.
    pub fn read(file: &File, sort: Sort) -> io::Result<Result<FileHeader, NoHeader>> {
        let mut bytes = [0; USED_BYTES];
        let mut filled = 0;
        while filled < USED_BYTES {
            match file.read_at(&mut bytes[filled..], filled as u64) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let short = file.metadata()?.len() < HEADER_BYTES;
        Ok(match parse(&bytes, sort) {
            Err(NoHeader::Damaged) if bytes == [0; USED_BYTES] => Err(NoHeader::Blank),
            Ok(_) if short => Err(NoHeader::Damaged),
            result => result,
        })
    }
}

fn parse(bytes: &[u8; USED_BYTES], sort: Sort) -> Result<FileHeader, NoHeader> {
    FileHeader::decode_used(sort, bytes).map_err(|error| match error {
        HeaderError::Version(version) => NoHeader::Version(version),
        HeaderError::Short | HeaderError::Magic | HeaderError::Checksum => NoHeader::Damaged,
    })
}

/// The files of `sort` in `dir`, by number. A folder that is not there holds none.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(dir: &Path, sort: Sort) -> io::Result<Vec<(u64, PathBuf)>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Some(number) = entry.file_name().to_str().and_then(|name| sort.number(name)) {
            found.push((number, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// Where the snapshots are that belong to the log in `dir`: beside it.
pub fn snapshots_beside(dir: &Path) -> PathBuf {
    dir.parent().unwrap_or(dir).join(snapshot::FOLDER)
}
