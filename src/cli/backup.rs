//! `crabcache backup` and `crabcache restore`: a running node's items into one file, and a data
//! directory out of it. A client like any other; `wal::backup` knows the file.

mod client;

use crate::clock;
use crate::limits::BACKUP_TOLD_MS;
use crate::wal::backup::{self, BackupError, BackupFacts};
use clap::Args;
use client::{Client, ClientError};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

/// What to back up, and to where.
#[derive(Args, Debug)]
pub(super) struct BackupOptions {
    /// The file to write. It gets this name once it is whole, on disk and checked.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Where the node listens.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7001")]
    address: String,
    /// A file with the token to authenticate with; also CRABCACHE_TOKEN.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Replace the file if it is there.
    #[arg(long)]
    replace: bool,
    /// How many MiB a second to read at most; 0: no bound.
    #[arg(long, value_name = "MIB", default_value_t = 64)]
    rate: u64,
    /// Say nothing but what is wrong.
    #[arg(long, short)]
    quiet: bool,
}

/// What to restore, and to where.
#[derive(Args, Debug)]
pub(super) struct RestoreOptions {
    /// The file that `crabcache backup` wrote.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The data directory to make: empty, or not there.
    #[arg(long, value_name = "DIR", required_unless_present = "verify_only")]
    data_dir: Option<PathBuf>,
    /// Only check the file, from its first byte to its last.
    #[arg(long, conflicts_with = "data_dir")]
    verify_only: bool,
    /// Say nothing but what is wrong.
    #[arg(long, short)]
    quiet: bool,
}

/// Why there is no backup.
#[derive(Debug)]
enum Failed {
    File(BackupError),
    Node(ClientError),
    Told(String),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failed::File(error) => error.fmt(f),
            Failed::Node(error) => error.fmt(f),
            Failed::Told(reason) => f.write_str(reason),
        }
    }
}

impl From<BackupError> for Failed {
    fn from(error: BackupError) -> Failed {
        Failed::File(error)
    }
}

impl From<ClientError> for Failed {
    fn from(error: ClientError) -> Failed {
        Failed::Node(error)
    }
}

/// Backs a node up; 0 when the file is there and whole.
pub(super) fn backup(options: &BackupOptions) -> ExitCode {
    end(make(options), |facts| {
        if !options.quiet {
            say(&format!("backed up to {}: {}", options.to.display(), told(facts)));
        }
    })
}

/// Restores a backup; 0 when the directory is there.
pub(super) fn restore(options: &RestoreOptions) -> ExitCode {
    let from = &options.from;
    let mut progress = Progress::new(options.quiet, "checked");
    let mut seen = |bytes| progress.tell(bytes);
    let done = match &options.data_dir {
        Some(folder) => backup::restore(from, folder, &mut seen),
        None => backup::verify(from, &mut seen),
    };
    end(done.map_err(Failed::File), |facts| {
        if options.quiet {
            return;
        }
        match &options.data_dir {
            Some(folder) => say(&format!("restored to {}: {}", folder.display(), told(facts))),
            None => say(&format!("{} is whole: {}", from.display(), told(facts))),
        }
    })
}

fn end(done: Result<BackupFacts, Failed>, say: impl FnOnce(&BackupFacts)) -> ExitCode {
    match done {
        Ok(facts) => {
            say(&facts);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("crabcache: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a line; whoever has heard enough and closed the pipe is no error.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn told(facts: &BackupFacts) -> String {
    let BackupFacts { items, groups, bytes, .. } = facts;
    format!("{items} items, {groups} groups, {bytes} bytes")
}

fn make(options: &BackupOptions) -> Result<BackupFacts, Failed> {
    let to = &options.to;
    if to.exists() && !options.replace {
        return Err(Failed::Told(format!("{} is there; --replace replaces it", to.display())));
    }
    let mut client = Client::connect(&options.address)?;
    if let Some(token) = token(options)? {
        client.ask(&[b"AUTH", token.as_bytes()])?;
    }
    let mut name = to.as_os_str().to_owned();
    name.push(".unfinished");
    let unfinished = PathBuf::from(name);
    let made = copy(&mut client, &unfinished, options).and_then(|()| {
        let mut progress = Progress::new(options.quiet, "checked");
        let facts = backup::verify(&unfinished, &mut |bytes| progress.tell(bytes))?;
        fs::rename(&unfinished, to).map_err(BackupError::io(to))?;
        sync_folder_of(to).map_err(BackupError::io(to))?;
        Ok(facts)
    });
    if made.is_err() {
        // What is left is no backup by its name.
        let _ = fs::remove_file(&unfinished);
    }
    made
}

fn token(options: &BackupOptions) -> Result<Option<String>, Failed> {
    let Some(path) = &options.token_file else { return Ok(std::env::var("CRABCACHE_TOKEN").ok()) };
    let text = fs::read_to_string(path).map_err(BackupError::io(path))?;
    Ok(Some(text.trim().to_owned()))
}

/// Writes what the node gives to a file, and syncs that.
fn copy(client: &mut Client, path: &Path, options: &BackupOptions) -> Result<(), Failed> {
    let mut file = File::create(path).map_err(BackupError::io(path))?;
    let id = client.ask(&[b"BACKUP", b"START"])?.into_bulk()?;
    let (mut offset, mut progress) = (0, Progress::new(options.quiet, "read"));
    let began = clock::monotonic_nanos();
    loop {
        let at = offset.to_string();
        let parts = client.ask(&[b"BACKUP", b"READ", &id, at.as_bytes()])?.into_array()?;
        if parts.is_empty() {
            break;
        }
        for part in parts {
            let bytes = part.into_bulk()?;
            file.write_all(&bytes).map_err(BackupError::io(path))?;
            offset += bytes.len() as u64;
        }
        progress.tell(offset);
        pace(began, offset, options.rate << 20);
    }
    client.ask(&[b"BACKUP", b"END", &id])?;
    file.sync_all().map_err(BackupError::io(path))?;
    Ok(())
}

/// Waits when more was read than `rate` allows.
fn pace(began_nanos: u64, bytes: u64, rate: u64) {
    let due = u128::from(bytes) * 1_000_000_000;
    let Some(due) = due.checked_div(u128::from(rate)) else { return };
    let took = u128::from(clock::monotonic_nanos().saturating_sub(began_nanos));
    let ahead = u64::try_from(due.saturating_sub(took)).unwrap_or(0);
    thread::park_timeout(Duration::from_nanos(ahead));
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Says every now and then how far it is.
struct Progress {
    quiet: bool,
    verb: &'static str,
    told_nanos: u64,
}

impl Progress {
    fn new(quiet: bool, verb: &'static str) -> Progress {
        Progress { quiet, verb, told_nanos: clock::monotonic_nanos() }
    }

    fn tell(&mut self, bytes: u64) {
        let now = clock::monotonic_nanos();
        if self.quiet || now - self.told_nanos < BACKUP_TOLD_MS * 1_000_000 {
            return;
        }
        self.told_nanos = now;
        eprintln!("{} {} MiB", self.verb, bytes >> 20);
    }
}
