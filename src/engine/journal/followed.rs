//! What stands in the log of a shard beside its own commands' records: those that another node's
//! primary wrote, where an epoch or a copy begins or ends, and the walks that hear of changes.

use super::{Journal, Mode};
use crate::command::effect::Effect;
use crate::engine::journal::Scope;
use crate::engine::walks::{Walk, WalkId};
use crate::limits::LOG_SPLICE_BYTES_MIN;
use bytes::Bytes;
use cluster::record::{Epoch, GroupTime, Header, Kind, Seq};
use cluster::slot::Group;

impl Journal {
    /// Whether another node's primary writes the records of a group.
    pub(in crate::engine) fn set_followed(&mut self, group: Group, followed: bool) {
        let local = self.local(group);
        self.groups[local].followed = followed;
        self.groups[local].expired &= !followed;
    }

    /// Changes come from records of another node until [`Journal::followed`]; the mode to go back
    /// to.
    pub(in crate::engine) fn follow(&mut self) -> Mode {
        let mode = self.mode;
        if mode != Mode::Off {
            self.mode = Mode::Replay;
        }
        mode
    }

    /// That is over.
    pub(in crate::engine) fn followed(&mut self, mode: Mode) {
        self.mode = mode;
    }

    /// A record of another node's primary was carried out: it stands in this log as it is.
    pub(in crate::engine) fn append(&mut self, header: &Header, payload: &Bytes) {
        let local = self.local(header.group);
        let log = &mut self.groups[local];
        (log.epoch, log.seq) = (header.epoch, header.seq);
        log.time = log.time.max(header.time);
        if self.mode != Mode::Record {
            return;
        }
        self.note_touched(local);
        self.write(header, payload);
    }

    /// A primary begins an epoch.
    pub(in crate::engine) fn begin_epoch(&mut self, group: Group, epoch: Epoch) {
        let local = self.local(group);
        (self.groups[local].epoch, self.groups[local].lacks) = (epoch, false);
        let header = self.next_header(local, Kind::EpochStart);
        if self.mode == Mode::Record {
            self.write(&header, &Bytes::new());
        }
    }

    /// The log of a group goes on from a copy that holds everything up to this record, or, with
    /// [`Kind::Drop`], what it held does not count any more.
    pub(in crate::engine) fn restart(
        &mut self,
        kind: Kind,
        group: Group,
        (epoch, seq, time): (Epoch, Seq, GroupTime),
    ) {
        let local = self.local(group);
        self.groups[local].lacks = false;
        if self.mode == Mode::Record {
            self.shared.restart(group);
            self.note_touched(local);
            self.write(&Header { kind, group, epoch, seq, time }, &Bytes::new());
            self.piece.restarts.push(group);
        }
    }

    fn write(&mut self, header: &Header, payload: &Bytes) {
        self.push(header, payload.len());
        if payload.len() < LOG_SPLICE_BYTES_MIN {
            self.piece.bytes.extend_from_slice(payload);
        } else {
            let at = self.piece.bytes.len();
            self.splice(at, payload.clone());
        }
    }
}

/// Walks of groups: see [`crate::engine::walks`].
impl Journal {
    /// Begins a walk of a group.
    pub(in crate::engine) fn begin_walk(&mut self, group: Group) -> WalkId {
        let local = self.local(group);
        self.groups[local].walked = true;
        self.walked += 1;
        let id = WalkId { group, number: self.walked };
        self.walks.push(Walk::new(id));
        id
    }

    /// Ends a walk.
    pub(in crate::engine) fn end_walk(&mut self, id: WalkId) {
        self.walks.retain(|walk| walk.id != id);
        let local = self.local(id.group);
        self.groups[local].walked = self.walks.iter().any(|walk| walk.id.group == id.group);
    }

    /// How many walks there are.
    pub(in crate::engine) fn walks(&self) -> usize {
        self.walks.len()
    }

    /// A walk, while it goes on.
    pub(in crate::engine) fn walk(&mut self, id: WalkId) -> Option<&mut Walk> {
        self.walks.iter_mut().find(|walk| walk.id == id)
    }

    /// Ends all walks of a group, whose items are about to be given up.
    pub(in crate::engine) fn end_walks(&mut self, group: Group) {
        let local = self.local(group);
        self.groups[local].walked = false;
        self.walks.retain(|walk| walk.id.group != group);
    }

    #[cold]
    pub(super) fn forward(&mut self, group: Group, effect: &Effect<'_>, scope: Scope<'_>) {
        let walks = self.walks.iter_mut().filter(|walk| walk.id.group == group);
        walks.for_each(|walk| walk.forward(effect, scope));
    }
}
