//! What recovery could not read, and what that means for groups: named with file and offset, never
//! passed over. Words only; the judgement is in `outcome`.

use crate::limits::RECOVERY_READ_BYTES;
use cluster::record::frame::FrameError;
use cluster::slot::Group;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Where the log was cut short while it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The last file.
    pub path: PathBuf,
    /// Where its last whole frame ends.
    pub offset: u64,
    /// How many bytes behind that were written and do not count.
    pub bytes: u64,
    /// How many whole frames are among them.
    pub frames: u64,
}

/// A place that cannot be read though it was once synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file, which may be missing.
    pub path: PathBuf,
    /// Where in it; 0 for the whole file.
    pub offset: u64,
    /// Of what use the file was.
    pub snapshot: bool,
}

/// Why a group is not what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A record is missing before ones that are there.
    Gap,
    /// Its log goes on from a snapshot that is not there, or not whole.
    Snapshot,
    /// A payload was not understood.
    Payload,
    /// Something unreadable may have held its last records.
    Unknown,
}

/// A group of which something is lost, or may be. It was recovered up to its last good record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// Which.
    pub group: Group,
    /// What happened.
    pub why: Why,
    /// Where: the damage, or the first record that could not count.
    pub path: PathBuf,
    /// Where in that file.
    pub offset: u64,
}

/// Why nothing can be said about the log at all.
#[derive(Debug)]
pub enum RecoveryError {
    /// A file could not be read or changed.
    Io {
        /// Which.
        path: PathBuf,
        /// How.
        source: io::Error,
    },
    /// A file of a version that this one does not read.
    Version {
        /// Which.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// A whole frame that this version does not understand; a newer one wrote it.
    Unknown {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is unknown.
        error: FrameError,
    },
    /// A file changed between two looks at it: somebody else writes there.
    Changed {
        /// Which.
        path: PathBuf,
    },
}

impl RecoveryError {
    pub(super) fn io(path: &Path, source: io::Error) -> RecoveryError {
        RecoveryError::Io { path: path.to_owned(), source }
    }
}

impl Why {
    /// One word for it.
    pub fn name(self) -> &'static str {
        match self {
            Why::Gap => "gap",
            Why::Snapshot => "snapshot",
            Why::Payload => "payload",
            Why::Unknown => "unknown",
        }
    }
}

impl fmt::Display for RecoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecoveryError::Io { path, source } => write!(f, "{}: {source}", path.display()),
            RecoveryError::Version { path, version } => {
                write!(f, "{}: format version {version} is not known here", path.display())
            }
            RecoveryError::Unknown { path, offset, error } => write!(
                f,
                "{} at {offset}: a newer version wrote this ({error:?}); nothing was changed",
                path.display()
            ),
            RecoveryError::Changed { path } => {
                write!(f, "{}: changed while it was read; is a node running?", path.display())
            }
        }
    }
}

impl std::error::Error for RecoveryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RecoveryError::Io { source, .. } => Some(source),
            RecoveryError::Version { .. }
            | RecoveryError::Unknown { .. }
            | RecoveryError::Changed { .. } => None,
        }
    }
}

/// Cuts the file off where its last whole frame ends, and syncs that. Whole frames behind that are
/// kept in a file beside it, in case somebody misses them.
///
/// # Errors
/// When the file cannot be changed.
pub fn cut_tail(cut: &Cut) -> io::Result<()> {
    if cut.frames > 0 {
        let mut source = File::open(&cut.path)?;
        source.seek(SeekFrom::Start(cut.offset))?;
        let kept = aside(&cut.path);
        let mut kept = File::create_new(kept)?;
        io::copy(&mut source.take(cut.bytes), &mut kept)?;
        kept.sync_all()?;
        sync_folder(&cut.path)?;
    }
    let file = OpenOptions::new().write(true).open(&cut.path)?;
    file.set_len(cut.offset)?;
    file.sync_all()
}

/// Takes away files that were never begun: those that hold nothing but zeros are removed, others
/// keep their bytes under another name.
///
/// # Errors
/// When one cannot be read, removed or renamed.
pub(super) fn remove_blank(paths: &[PathBuf]) -> io::Result<()> {
    for path in paths {
        if is_blank(path)? {
            fs::remove_file(path)?;
        } else {
            fs::rename(path, aside(path))?;
        }
        sync_folder(path)?;
    }
    Ok(())
}

/// Whether a file holds nothing but zeros.
///
/// # Errors
/// When it cannot be read.
pub(super) fn is_blank(path: &Path) -> io::Result<bool> {
    let mut reader = BufReader::with_capacity(RECOVERY_READ_BYTES, File::open(path)?);
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Ok(true);
        }
        if bytes.iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
        let read = bytes.len();
        reader.consume(read);
    }
}

/// A name beside `path` that nothing has yet, for a file that is of no use here.
pub(super) fn aside(path: &Path) -> PathBuf {
    let name = |i: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(".damaged");
        if i > 0 {
            name.push(format!(".{i}"));
        }
        PathBuf::from(name)
    };
    let mut i = 0;
    while name(i).exists() {
        i += 1;
    }
    name(i)
}

/// Syncs the folder that `path` is in.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
