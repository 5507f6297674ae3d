//! Which groups had no room for all of their items when the data was loaded, kept in a file beside
//! it: at the next start nothing else tells that less is there than the log's place says. An entry
//! holds as long as its group stands at the same record, so what is written to it ends it; of a
//! group that nobody writes to one more copy is asked for at the next start. Beside the file it
//! knows only the engine's word for it.

use crate::engine::Engine;
use cluster::record::{Epoch, Seq};
use cluster::slot::Group;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// A group and the newest record of its log.
type Entry = (Group, Epoch, Seq);

/// In the folder of the data: a line for each group with its number, epoch and record.
const FILE: &str = "lacking";
const FILE_NEW: &str = "lacking.new";

/// Tells the engine what was known at earlier starts; keeps that and what was found at this one.
///
/// # Errors
/// The system's: it is not kept then.
pub(super) fn keep(folder: &Path, engine: &Engine) -> io::Result<()> {
    let stands = |group| {
        let (epoch, seq, _) = engine.log_position(group);
        (group, epoch, seq)
    };
    match read(folder) {
        Ok(known) => {
            let still = known.into_iter().filter(|entry| *entry == stands(entry.0));
            still.for_each(|(group, ..)| engine.set_lacks(group));
        }
        Err(error) => {
            tracing::warn!(%error, "what had no room at earlier starts is not known");
            Group::all().for_each(|group| engine.set_lacks(group));
        }
    }
    let lacking = Group::all().filter(|group| engine.lacks(*group));
    write(folder, &lacking.map(stands).collect::<Vec<_>>())
}

/// What was written last; nothing if nothing was.
///
/// # Errors
/// The system's, and when it is no such file.
fn read(folder: &Path) -> io::Result<Vec<Entry>> {
    let text = match fs::read_to_string(folder.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text?,
    };
    let entry = |line: &str| {
        let mut numbers = line.split(' ').map(str::parse::<u64>);
        let mut next = || numbers.next()?.ok();
        let group = u16::try_from(next()?).ok().and_then(Group::new)?;
        Some((group, Epoch(next()?), Seq(next()?)))
    };
    let entries: Option<Vec<Entry>> = text.lines().map(entry).collect();
    entries.ok_or_else(|| io::Error::other("not a list of groups"))
}

/// Puts these in place of what was written last; on disk on return.
///
/// # Errors
/// The system's; what was written last is there still.
fn write(folder: &Path, entries: &[Entry]) -> io::Result<()> {
    let (path, new) = (folder.join(FILE), folder.join(FILE_NEW));
    if entries.is_empty() && !path.exists() {
        return Ok(());
    }
    let mut file = File::create(&new)?;
    for (group, epoch, seq) in entries {
        writeln!(file, "{} {} {}", group.number(), epoch.0, seq.0)?;
    }
    file.sync_all()?;
    fs::rename(&new, &path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::{FILE, keep, read, write};
    use crate::engine::{Engine, EngineOptions};
    use cluster::record::{Epoch, GroupTime, Seq};
    use cluster::slot::Group;

    #[test]
    fn what_was_written_last_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(read(folder.path()).expect("none"), []);
        write(folder.path(), &[]).expect("nothing to write");
        assert!(!folder.path().join(FILE).exists());
        let group = |number| Group::new(number).expect("a group");
        let entries = [(group(0), Epoch(1), Seq(7)), (group(1023), Epoch(3), Seq(u64::MAX))];
        write(folder.path(), &entries).expect("written");
        assert_eq!(read(folder.path()).expect("read"), entries);
        write(folder.path(), &[]).expect("written");
        assert_eq!(read(folder.path()).expect("read"), []);
        for bad in ["1024 1 1", "1 1", "1 1 x", "\0", "5 1 1\n\n"] {
            std::fs::write(folder.path().join(FILE), bad).expect("written");
            assert!(read(folder.path()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_entry_holds_as_long_as_its_group_stands_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let group = |number| Group::new(number).expect("a group");
        let start = |seqs: [u64; 2]| {
            let engine = Engine::new(&EngineOptions::default());
            engine.open_log();
            for (number, seq) in (1..).zip(seqs) {
                engine.set_log(group(number), Epoch(2), Seq(seq), GroupTime(0));
            }
            engine
        };
        let lacking = |engine: &Engine| {
            keep(folder.path(), engine).expect("kept");
            [1, 2].map(|number| engine.lacks(group(number)))
        };
        assert_eq!(lacking(&start([5, 6])), [false, false]);
        let engine = start([5, 6]);
        engine.set_lacks(group(1));
        engine.set_lacks(group(2));
        assert_eq!(lacking(&engine), [true, true]);
        // A copy of one of them comes.
        assert_eq!(lacking(&start([5, 9])), [true, false]);
        assert_eq!(lacking(&start([5, 6])), [true, false]);
        // This node leads the other.
        let engine = start([5, 6]);
        assert_eq!(lacking(&engine), [true, false]);
        engine.become_primary(group(1), Epoch(3), crate::command::Time(1));
        assert!(!engine.lacks(group(1)));
        // Nobody knows.
        std::fs::write(folder.path().join(FILE), "x").expect("written");
        assert_eq!(lacking(&start([5, 6])), [true, true]);
        assert_eq!(lacking(&start([5, 6])), [true, true]);
    }
}
