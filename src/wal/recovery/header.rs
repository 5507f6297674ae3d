//! The first bytes of a log or snapshot file, and the names such files have. Knows no frame.

use cluster::record::Salt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Where the first frame of a file begins.
pub const HEADER_BYTES: u64 = 4096;
/// The format written, and the only one read.
pub const VERSION: u32 = 1;
const USED_BYTES: usize = 36;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// A piece of the log.
    Segment,
    /// Groups as they were.
    Snapshot,
}

/// What stands at the beginning of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// To which frames the file belongs.
    pub salt: Salt,
    /// Its number, which is also its name.
    pub number: u64,
    /// When it was begun, in Unix milliseconds.
    pub created_ms: u64,
}

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

impl Sort {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            Sort::Segment => b"CRABWAL1",
            Sort::Snapshot => b"CRABSNP1",
        }
    }

    /// What its file names end with.
    pub fn ending(self) -> &'static str {
        match self {
            Sort::Segment => "wal",
            Sort::Snapshot => "snap",
        }
    }

    /// The name of the file with this number.
    pub fn name(self, number: u64) -> String {
        format!("{number:020}.{}", self.ending())
    }

    /// The number of the file with this name.
    pub fn number(self, name: &str) -> Option<u64> {
        let digits = name.strip_suffix(self.ending())?.strip_suffix('.')?;
        let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse().ok()).flatten()
    }
}

impl FileHeader {
    /// Its bytes, up to the first frame.
    pub fn bytes(&self, sort: Sort) -> Vec<u8> {
        let mut out = sort.magic().to_vec();
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.salt.number().to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.created_ms.to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        out.resize(HEADER_BYTES as usize, 0);
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
    let (fields, crc) = bytes.split_at(USED_BYTES - 4);
    if crc32fast::hash(fields).to_le_bytes() != crc || fields[..8] != *sort.magic() {
        return Err(NoHeader::Damaged);
    }
    let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| fields[at + i]));
    let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
    if word(8) != VERSION {
        return Err(NoHeader::Version(word(8)));
    }
    let salt = Salt::new(word(12)).ok_or(NoHeader::Damaged)?;
    Ok(FileHeader { salt, number: long(16), created_ms: long(24) })
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
    dir.parent().unwrap_or(dir).join("snapshots")
}
