//! What a primary and its replicas tell each other about copies, besides the records themselves.
//! Knows nothing of when any of it is said; that is `replication`.

use super::bytes::{Reader, Writer};
use super::{MessageError, put_epoch, put_position, take_position};
use crate::control::Position;
use crate::record::{Epoch, GroupTime, Seq};
use crate::slot::Group;

/// How far a copy has come that is streamed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acked {
    /// Of which group.
    pub group: Group,
    /// In the epoch of the primary that is told.
    pub epoch: Epoch,
    /// Its last record; all before it are there too.
    pub seq: Seq,
}

/// What a replica has of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Have {
    /// Which group.
    pub group: Group,
    /// The epoch of the primary that is asked, as the replica has applied it.
    pub epoch: Epoch,
    /// Where its copy stands; `None` when it is not complete.
    pub position: Option<Position>,
}

/// A copy of a whole group begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResyncBegin {
    /// Which group.
    pub group: Group,
    /// The epoch of its primary.
    pub epoch: Epoch,
    /// Which of that primary's resyncs; never repeats while it lives.
    pub id: u64,
}

/// Part of a copy of a whole group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResyncChunk<'a> {
    /// Which group.
    pub group: Group,
    /// Which resync.
    pub id: u64,
    /// Effects, to be applied in order.
    pub payload: &'a [u8],
}

/// The end of a copy of a whole group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResyncEnd {
    /// Which group.
    pub group: Group,
    /// Which resync.
    pub id: u64,
    /// What the copy is as of.
    pub position: Position,
    /// The time that the group had reached.
    pub time: GroupTime,
    /// How many items it has.
    pub items: u64,
    /// Their digest, see [`crate::replication::Digest`].
    pub digest: u128,
}

/// What became of a resync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResyncDone {
    /// Which group.
    pub group: Group,
    /// Which resync.
    pub id: u64,
    /// Whether the copy is complete now; else it has to be tried again.
    pub complete: bool,
}

impl Acked {
    pub(super) fn put(&self, to: &mut Writer<'_>) {
        put_epoch(to, self.group, self.epoch);
        to.u64(self.seq.0);
    }

    pub(super) fn take(from: &mut Reader<'_>) -> Result<Acked, MessageError> {
        Ok(Acked { group: from.group()?, epoch: Epoch(from.u64()?), seq: Seq(from.u64()?) })
    }
}

impl Have {
    pub(super) fn put(&self, to: &mut Writer<'_>) {
        put_epoch(to, self.group, self.epoch);
        to.flag(self.position.is_some());
        if let Some(position) = self.position {
            put_position(to, position);
        }
    }

    pub(super) fn take(from: &mut Reader<'_>) -> Result<Have, MessageError> {
        let (group, epoch) = (from.group()?, Epoch(from.u64()?));
        let position = from.flag()?.then(|| take_position(from)).transpose()?;
        Ok(Have { group, epoch, position })
    }
}

impl ResyncBegin {
    pub(super) fn put(&self, to: &mut Writer<'_>) {
        put_epoch(to, self.group, self.epoch);
        to.u64(self.id);
    }

    pub(super) fn take(from: &mut Reader<'_>) -> Result<ResyncBegin, MessageError> {
        Ok(ResyncBegin { group: from.group()?, epoch: Epoch(from.u64()?), id: from.u64()? })
    }
}

impl<'a> ResyncChunk<'a> {
    pub(super) fn put(&self, to: &mut Writer<'_>) {
        to.group(self.group);
        to.u64(self.id);
        to.rest(self.payload);
    }

    pub(super) fn take(from: &mut Reader<'a>) -> Result<ResyncChunk<'a>, MessageError> {
        Ok(ResyncChunk { group: from.group()?, id: from.u64()?, payload: from.rest() })
    }
}

impl ResyncEnd {
    pub(super) fn put(&self, to: &mut Writer<'_>) {
        to.group(self.group);
        to.u64(self.id);
        put_position(to, self.position);
        to.u64(self.time.0);
        to.u64(self.items);
        to.u128(self.digest);
    }

    pub(super) fn take(from: &mut Reader<'_>) -> Result<ResyncEnd, MessageError> {
        Ok(ResyncEnd {
            group: from.group()?,
            id: from.u64()?,
            position: take_position(from)?,
            time: GroupTime(from.u64()?),
            items: from.u64()?,
            digest: from.u128()?,
        })
    }
}

impl ResyncDone {
    pub(super) fn put(&self, to: &mut Writer<'_>) {
        to.group(self.group);
        to.u64(self.id);
        to.flag(self.complete);
    }

    pub(super) fn take(from: &mut Reader<'_>) -> Result<ResyncDone, MessageError> {
        Ok(ResyncDone { group: from.group()?, id: from.u64()?, complete: from.flag()? })
    }
}
