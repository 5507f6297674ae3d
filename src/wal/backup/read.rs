//! Reads a backup from its first byte to its last and says what is in it, or where it is not what
//! was written. Applies nothing.

use super::BackupError;
use crate::command::Time;
use crate::command::effect::Effect;
use crate::limits::RECOVERY_PROGRESS_BYTES;
use crate::wal::recovery::stream::{End, FrameStream};
use crate::wal::segment::{FileKind, HEADER_BYTES, Header, HeaderError};
use cluster::record::{Kind, Record};
use cluster::slot::{GROUPS, Group, Slot};
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::BuildHasher;
use std::io::{self, Read};
use std::path::Path;

/// What is in a whole backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupFacts {
    /// Its header.
    pub header: Header,
    /// How long it is.
    pub bytes: u64,
    /// How many groups there are in it: all.
    pub groups: u16,
    /// How many items, those included that have died since.
    pub items: u64,
}

/// Reads all of a backup; `seen` is told from time to time how many bytes are read.
///
/// # Errors
/// When it cannot be read; where and why it is not whole.
pub fn verify(path: &Path, seen: &mut dyn FnMut(u64)) -> Result<BackupFacts, BackupError> {
    let damaged = |offset, reason: &str| {
        let (path, reason) = (path.to_owned(), reason.to_owned());
        BackupError::Damaged { path, offset, reason }
    };
    let mut file = File::open(path).map_err(BackupError::io(path))?;
    let bytes = file.metadata().map_err(BackupError::io(path))?.len();
    let header = match read_header(&mut file).map_err(BackupError::io(path))? {
        Ok(header) => header,
        Err(HeaderError::Magic) => return Err(damaged(0, "not a backup of CrabCache")),
        Err(error) => return Err(damaged(0, &error.to_string())),
    };
    let mut stream = FrameStream::new(file, header.salt, HEADER_BYTES as u64, bytes);
    let mut content = Content::default();
    let mut told = 0;
    while !content.closed {
        let at = stream.offset();
        let frame = match stream.next_frame().map_err(BackupError::io(path))? {
            Ok((_, frame)) => frame,
            Err(End::Unknown(_)) => return Err(damaged(at, "a newer version wrote this")),
            Err(End::Clean | End::Broken { .. }) if at >= bytes => {
                return Err(damaged(at, "cut short: the end is missing"));
            }
            Err(End::Clean | End::Broken { .. }) => {
                return Err(damaged(at, "damaged, or cut short: no whole frame stands here"));
            }
        };
        for record in frame.records() {
            content.take(&record, at).map_err(|reason| damaged(at, reason))?;
        }
        if at - told >= RECOVERY_PROGRESS_BYTES {
            seen(at);
            told = at;
        }
    }
    if stream.offset() != bytes {
        return Err(damaged(stream.offset(), "something stands behind the end"));
    }
    let Content { groups, items, .. } = content;
    Ok(BackupFacts { header, bytes, groups, items })
}

fn read_header(file: &mut File) -> io::Result<Result<Header, HeaderError>> {
    let mut block = vec![0; HEADER_BYTES];
    let mut filled = 0;
    while filled < block.len() {
        match file.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Header::decode_as(FileKind::Backup, &block[..filled]))
}

/// What the frames so far come to. Groups come in order.
#[derive(Default)]
struct Content {
    groups: u16,
    items: u64,
    closed: bool,
    /// The items of the group at hand: a hash of the key, and the deadline.
    living: HashMap<u64, Option<Time>>,
    hashes: RandomState,
}

impl Content {
    fn take(&mut self, record: &Record<'_>, at: u64) -> Result<(), &'static str> {
        let header = &record.header;
        if self.closed {
            return Err("something stands behind the end");
        }
        if header.kind == Kind::Synced {
            let says = record.payload.try_into().map(u64::from_le_bytes).ok();
            if self.groups != GROUPS || !self.living.is_empty() || says != Some(at) {
                return Err("the end comes too early");
            }
            self.closed = true;
            return Ok(());
        }
        if header.group.number() != self.groups {
            return Err("a group is not where it should be");
        }
        match header.kind {
            Kind::Effects => self.effects(header.group, record.payload),
            Kind::Truncate => {
                self.living.clear();
                Ok(())
            }
            Kind::Base => {
                self.items += self.living.len() as u64;
                self.living.clear();
                self.groups += 1;
                Ok(())
            }
            Kind::EpochStart | Kind::Drop | Kind::Synced => Err("a record that no backup holds"),
        }
    }

    fn effects(&mut self, group: Group, mut payload: &[u8]) -> Result<(), &'static str> {
        while !payload.is_empty() {
            let effect = Effect::decode(&mut payload).map_err(|_| "what stands here is no item")?;
            let key = effect.key();
            if key.is_some_and(|key| Slot::of(key).group() != group) {
                return Err("an item is not in its group");
            }
            let hash = key.map_or(0, |key| self.hashes.hash_one(key));
            match effect {
                Effect::Set { deadline, .. } => {
                    self.living.insert(hash, deadline);
                }
                Effect::Delete { .. } => {
                    self.living.remove(&hash);
                }
                Effect::Deadline { deadline, .. } => {
                    self.living.entry(hash).and_modify(|old| *old = deadline);
                }
                Effect::ExpireUpTo { up_to } => {
                    self.living.retain(|_, deadline| deadline.is_none_or(|time| time > up_to));
                }
                Effect::Flush => self.living.clear(),
            }
        }
        Ok(())
    }
}
