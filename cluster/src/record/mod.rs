//! What is logged and replicated: records and their bytes. Write-ahead log, replication, resync and
//! migration share this one format. Knows no file and no socket, and never looks into a payload.
//!
//! ```text
//! frame   length u32 | salt u32 | crc u32 | body: `length` bytes        numbers little-endian
//! body    version u8 | record, one or more
//! record  kind u8 | flags u8 | group? | epoch? | seq? | time? | payload length | payload
//! ```
//! Records of one frame count together or not at all, so the records of a command that touches
//! several groups stand in one frame. A record's header is coded against the record before it in
//! the frame: a flag says that a field differs from what was expected, and only then its
//! difference stands there (zigzag LEB128; expected is the same group, epoch and time, and the
//! next seq). There is exactly one way to write a given frame.
//!
//! `crc` is the CRC-32 (IEEE) of length and body, exclusive-or the salt. The salt says to which
//! file or stream the frame belongs, so that what an earlier use of the same space left behind is
//! not valid, not even behind a torn write that replaced only its length and salt: frames of equal
//! length at equal places are the rule, not the exception. Being masked and not mixed in, the salt
//! is exchanged ([`frame::stamp`]) without summing the body again.

pub mod frame;
pub mod log;
pub mod select;
mod varint;

use crate::slot::Group;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

/// Which primary of a group wrote a record: one more at every change of the primary. 0: none yet.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Epoch(pub u64);

/// The place of a record in its group's log, from 1 without gaps. 0: before the first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Seq(pub u64);

/// Milliseconds since the Unix epoch as the group counts them; never runs backwards in a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupTime(pub u64);

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The payload is the effects of a command.
    Effects,
    /// A primary begins this epoch: the barrier behind which it serves.
    EpochStart,
    /// The log of the group goes on from a snapshot that holds everything up to this seq.
    Base,
    /// What the group's log held after this seq does not count.
    Truncate,
    /// This node no longer keeps the group.
    Drop,
    /// Of no group: the file that the record stands in was synced to the disk up to the offset in
    /// the payload, eight bytes little-endian, and every file before it wholly. A broken frame
    /// before that offset is damage; behind the last such record it may be a write cut short.
    Synced,
}

/// All of a record but its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// What it says.
    pub kind: Kind,
    /// Of which group.
    pub group: Group,
    /// Which primary wrote it.
    pub epoch: Epoch,
    /// Where it stands in the group's log.
    pub seq: Seq,
    /// When it was written.
    pub time: GroupTime,
}

/// A record as it stands in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Record<'a> {
    /// All but its payload.
    pub header: Header,
    /// What only the engine understands; empty in records without effects.
    pub payload: &'a [u8],
}

/// To which file or stream a frame belongs; drawn at random when that begins. Never 0, so that
/// blank space carries no valid one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Salt(NonZeroU32);

impl Salt {
    /// The salt with this number, or `None` for 0.
    pub const fn new(number: u32) -> Option<Salt> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Salt(number)),
            None => None,
        }
    }

    /// Its number.
    pub fn number(self) -> u32 {
        self.0.get()
    }
}

impl Seq {
    /// The one behind it.
    #[must_use]
    pub fn next(self) -> Seq {
        Seq(self.0.wrapping_add(1))
    }
}

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Kind::Effects => 1,
            Kind::EpochStart => 2,
            Kind::Base => 3,
            Kind::Truncate => 4,
            Kind::Drop => 5,
            Kind::Synced => 6,
        }
    }

    fn of_byte(byte: u8) -> Option<Kind> {
        Some(match byte {
            1 => Kind::Effects,
            2 => Kind::EpochStart,
            3 => Kind::Base,
            4 => Kind::Truncate,
            5 => Kind::Drop,
            6 => Kind::Synced,
            _ => return None,
        })
    }
}
