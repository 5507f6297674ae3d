//! `crabcache wal`: looks at the log of a node that is not running, and repairs it. Knows no
//! format; `wal::recovery` does.

use super::WRONG_USE;
use crate::node::CONTROL_FOLDER;
use crate::wal::recovery::inspect::inspect;
use crate::wal::recovery::repair::{self, Action, Repair, repair};
use crate::wal::recovery::{Outcome, RecoveryError};
use crate::wal::{lock, segment};
use clap::{Args, Subcommand};
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What to do with the log.
#[derive(Debug, Subcommand)]
pub(super) enum Options {
    /// Print the frames and records of one file. Changes nothing.
    Inspect {
        /// A .wal or .snap file.
        file: PathBuf,
    },
    /// Check log and snapshots: what would a start find? Changes nothing; exit code 1 on damage.
    Verify(Verify),
    /// Cut a torn end off; with --force also make of a damaged log one that a node starts from.
    /// Stop the node first. Exit code 1 when there is damage left.
    Repair(RepairOptions),
}

/// What to check.
#[derive(Args, Debug)]
pub(super) struct Verify {
    /// The node's data folder, which holds wal/ and snapshots/.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What to repair.
#[derive(Args, Debug)]
pub(super) struct RepairOptions {
    /// The node's data folder, which holds wal/ and snapshots/.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Move damaged files aside and keep what is left of them; of each group that lost something
    /// give up what came after that.
    #[arg(long)]
    force: bool,
}

/// Does it; 0 when all is well.
pub(super) fn run(options: Options) -> ExitCode {
    let done = match options {
        Options::Inspect { file } => {
            inspect(&file, &mut io::stdout().lock()).map(|()| ExitCode::SUCCESS)
        }
        Options::Verify(options) => check(&options),
        Options::Repair(options) => mend(&options),
    };
    done.unwrap_or_else(|error| {
        eprintln!("crabcache: {error}");
        ExitCode::FAILURE
    })
}

/// Prints a line; whoever has heard enough and closed the pipe is no error.
fn tell(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn check(options: &Verify) -> Result<ExitCode, RecoveryError> {
    let dir = options.data_dir.join(segment::FOLDER);
    if !dir.is_dir() {
        eprintln!("crabcache: there is no {}", dir.display());
        return Ok(ExitCode::from(WRONG_USE));
    }
    if lock::is_owned(&options.data_dir) {
        eprintln!("crabcache: a node is running on it: what is being written looks like damage");
    }
    let outcome = repair::check(&dir)?;
    let found = Found { clustered: is_clustered(&options.data_dir), outcome };
    if options.json {
        tell(format_args!("{}", json(&found)))
    } else {
        say(&found)
    }
    Ok(if found.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What was found, and where.
struct Found {
    clustered: bool,
    outcome: Outcome,
}

impl Found {
    fn is_sound(&self) -> bool {
        self.outcome.is_sound() && (self.clustered || self.outcome.unsaved.is_empty())
    }

    /// Whether nobody need look: not when whole frames stand behind a write that was cut short,
    /// though a power failure explains them.
    fn is_well(&self) -> bool {
        self.is_sound() && self.outcome.cut.as_ref().is_none_or(|cut| cut.frames == 0)
    }
}

/// Whether the folder is that of a node of a cluster, which fetches again what it lacks.
fn is_clustered(data_dir: &Path) -> bool {
    data_dir.join(CONTROL_FOLDER).is_dir()
}

fn say(found: &Found) {
    let outcome = &found.outcome;
    let (files, snapshots) = (outcome.segments.len(), outcome.snapshots.len());
    tell(format_args!(
        "{files} files of the log, {snapshots} snapshots, {} groups",
        outcome.groups.len()
    ));
    tell(format_args!("{} records to apply, {} covered", outcome.applied, outcome.skipped));
    if let Some(cut) = &outcome.cut {
        let (path, at) = (cut.path.display(), cut.offset);
        tell(format_args!("torn end: {path} at {at}, {} bytes, {} frames", cut.bytes, cut.frames));
    }
    for damage in &outcome.damages {
        tell(format_args!("DAMAGE: {} at {}", damage.path.display(), damage.offset));
    }
    for corrupt in &outcome.corrupt {
        let (group, why) = (corrupt.group.number(), corrupt.why.name());
        tell(format_args!(
            "group {group}: {why}, {} at {}",
            corrupt.path.display(),
            corrupt.offset
        ));
    }
    if !outcome.unsaved.is_empty() {
        let groups = outcome.unsaved.len();
        tell(format_args!("{groups} groups were received as copies that no snapshot holds"));
    }
    tell(format_args!(
        "{}",
        match (found.is_sound(), found.is_well()) {
            (true, true) => "sound",
            (true, false) => {
                "CUT SHORT with whole frames behind: after a power failure that may be; else it is \
                 damage. A start, or wal repair, puts them into a file of their own"
            }
            (false, _) => "DAMAGED: try wal repair --force --dry-run",
        }
    ));
}

fn json(found: &Found) -> serde_json::Value {
    let outcome = &found.outcome;
    let cut = outcome.cut.as_ref().map(|cut| {
        serde_json::json!({ "file": cut.path, "offset": cut.offset, "bytes": cut.bytes,
            "frames": cut.frames })
    });
    let damages = outcome.damages.iter().map(|damage| {
        serde_json::json!({ "file": damage.path, "offset": damage.offset,
            "snapshot": damage.snapshot })
    });
    let corrupt = outcome.corrupt.iter().map(|corrupt| {
        serde_json::json!({ "group": corrupt.group.number(), "why": corrupt.why.name(),
            "file": corrupt.path, "offset": corrupt.offset })
    });
    serde_json::json!({
        "sound": found.is_sound(),
        "unsaved": outcome.unsaved.len(),
        "segments": outcome.segments.len(),
        "snapshots": outcome.snapshots.len(),
        "groups": outcome.groups.len(),
        "applied": outcome.applied,
        "skipped": outcome.skipped,
        "refused": outcome.refused,
        "cut": cut,
        "damages": damages.collect::<Vec<_>>(),
        "corrupt": corrupt.collect::<Vec<_>>(),
    })
}

fn mend(options: &RepairOptions) -> Result<ExitCode, RecoveryError> {
    let RepairOptions { data_dir, dry_run, force } = options;
    let dir = data_dir.join(segment::FOLDER);
    if !dir.is_dir() {
        eprintln!("crabcache: there is no {}", dir.display());
        return Ok(ExitCode::from(WRONG_USE));
    }
    let owned = lock::take(data_dir).map_err(|error| {
        let path = data_dir.clone();
        RecoveryError::Io { path, source: error }
    })?;
    if owned.is_none() && !dry_run {
        eprintln!("crabcache: a node is running on {}: stop it first", data_dir.display());
        return Ok(ExitCode::from(WRONG_USE));
    }
    let done = repair(&dir, Repair { dry_run: *dry_run, force: *force })?;
    let word = if *dry_run { "would " } else { "" };
    let damage_left = done.iter().any(|action| matches!(action, Action::NeedsForce(..)));
    for action in &done {
        match action {
            Action::NeedsForce(path, at) => tell(format_args!(
                "{} is damaged at {at}: nothing is done without --force",
                path.display()
            )),
            Action::GiveUp(path, groups) => tell(format_args!(
                "{word}give up what {groups} groups held behind their last good record, in {}",
                path.display()
            )),
            Action::Cut(cut) => {
                tell(format_args!("{word}cut {} at {}", cut.path.display(), cut.offset));
            }
            Action::Remove(path) => {
                tell(format_args!("{word}remove {}, never begun", path.display()))
            }
            Action::Aside { from, to } => {
                tell(format_args!("{word}move {} to {}", from.display(), to.display()));
            }
            Action::Salvage(path) => {
                tell(format_args!("{word}write what is left to {}", path.display()))
            }
        }
    }
    if done.is_empty() {
        tell(format_args!("nothing to repair"));
    }
    Ok(if damage_left { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
