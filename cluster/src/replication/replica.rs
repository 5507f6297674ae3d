//! The side of a replica: which records fit its copy, what it asks for, how a copy of a whole
//! group arrives. Knows nothing of other replicas.

use super::{ASK_RETRY_MS, Output, Piece, Replication};
use crate::control::Position;
use crate::message::{Acked, Have, Message, ResyncBegin, ResyncDone, ResyncEnd, STREAM_SALT};
use crate::node::NodeId;
use crate::record::frame::{Frame, FrameError};
use crate::record::{Epoch, Header, Kind, Record};
use crate::slot::Group;
use crate::time::Millis;

/// What a node keeps of a group that it does not lead.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    /// The version of the configuration that was applied last.
    pub(super) version: u64,
    /// Whether this node should have a copy.
    pub(super) keeps: bool,
    /// In which epoch records are awaited, and from whom; none while nobody leads.
    epoch: Epoch,
    primary: Option<NodeId>,
    /// Where the copy stands; `None` when it is not complete, or while it is not known yet where
    /// this node's own log ended.
    pub(super) position: Option<Position>,
    /// Whether this node led until just now and has yet to say where its log ended.
    stopping: bool,
    /// Which copy of the whole group is coming.
    resync: Option<u64>,
    asked: Option<Millis>,
    /// Whether others who stand there have more.
    pub(super) lacks: bool,
}

/// What a record is to a copy.
enum Fit {
    Next,
    Known,
    Gap,
    Foreign,
}

impl Held {
    pub(super) fn follows(&self, node: NodeId) -> bool {
        self.keeps && self.primary == Some(node) && !self.stopping
    }

    pub(super) fn have(&self, group: Group) -> Option<Have> {
        let ready = self.keeps && !self.stopping && self.primary.is_some();
        // Who lacks something asks for all of it.
        let position = self.position.filter(|_| !self.lacks);
        ready.then_some(Have { group, epoch: self.epoch, position })
    }

    pub(super) fn acked(&self, group: Group) -> Option<Acked> {
        let seq = self.position.filter(|at| at.epoch == self.epoch)?.seq;
        Some(Acked { group, epoch: self.epoch, seq })
    }

    /// A record fits behind one of its own epoch, or begins an epoch: the primary, which was told
    /// the copy's position, has begun it there. Whoever sends such a record has given up what it
    /// may have begun to send of the whole group, or sent it before.
    fn fit(&self, from: NodeId, header: &Header) -> Fit {
        let is_of_log = matches!(header.kind, Kind::Effects | Kind::EpochStart);
        if !self.follows(from) || header.epoch != self.epoch || !is_of_log {
            return Fit::Foreign;
        }
        let Some(at) = self.position else { return Fit::Foreign };
        let begins = header.kind == Kind::EpochStart;
        if at.epoch == header.epoch && header.seq <= at.seq {
            Fit::Known
        } else if header.seq == at.seq.next() && begins == (at.epoch < header.epoch) {
            Fit::Next
        } else {
            Fit::Gap
        }
    }
}

impl<P: Piece> Replication<P> {
    /// Takes the frame of a [`Message::Append`]: records that fit are given to `apply`, which says
    /// whether it could; what does not fit is asked for again.
    ///
    /// # Errors
    /// When it is no frame: the connection is of no use.
    pub fn append(
        &mut self,
        from: NodeId,
        frame: &[u8],
        now: Millis,
        mut apply: impl FnMut(&Record<'_>) -> bool,
    ) -> Result<(), FrameError> {
        let frame = Frame::read(frame, STREAM_SALT)?;
        let Some(peer) = self.peers.get_mut(&from) else { return Ok(()) };
        for record in frame.records() {
            let header = &record.header;
            let held = &mut self.groups[usize::from(header.group.number())];
            match held.fit(from, header) {
                Fit::Next if apply(&record) => {
                    held.position = Some(Position { epoch: header.epoch, seq: header.seq });
                    // A copy that was to come instead is older than that.
                    (held.asked, held.resync) = (None, None);
                    peer.acks.insert(header.group);
                }
                // Part of it may have been applied.
                Fit::Next => {
                    held.position = None;
                    peer.asks.insert(header.group);
                }
                Fit::Known => {
                    peer.acks.insert(header.group);
                }
                Fit::Gap if held.asked.is_none_or(|at| now.since(at) >= ASK_RETRY_MS) => {
                    held.asked = Some(now);
                    peer.asks.insert(header.group);
                }
                Fit::Gap | Fit::Foreign => {}
            }
        }
        Ok(())
    }

    /// Whether the effects of a [`Message::ResyncChunk`] are to be applied.
    pub fn takes_chunk(&self, from: NodeId, group: Group, id: u64) -> bool {
        let held = self.held(group);
        held.follows(from) && held.resync == Some(id)
    }

    pub(super) fn resync_begin(&mut self, from: NodeId, begin: &ResyncBegin) {
        let held = &mut self.groups[usize::from(begin.group.number())];
        if held.follows(from) && held.epoch == begin.epoch {
            // What is here stays until all of the new copy is: it may be the last one.
            held.resync = Some(begin.id);
        }
    }

    /// What this node had of the group is gone, and the copy that is coming is not whole yet.
    pub fn void(&mut self, group: Group) {
        self.held_mut(group).position = None;
    }

    /// Nothing more comes from the node: what it has begun to send of the group is not gone on
    /// with, for parts of it are missing.
    pub(super) fn forget_resync(&mut self, from: NodeId, group: Group) {
        let held = self.held_mut(group);
        if held.primary == Some(from) {
            held.resync = None;
        }
    }

    pub(super) fn resync_end(&mut self, from: NodeId, end: ResyncEnd) {
        if !self.takes_chunk(from, end.group, end.id) {
            return;
        }
        let held = self.held_mut(end.group);
        let is_old = |at: Position| at.epoch == held.epoch && at.seq > end.position.seq;
        if held.position.is_some_and(is_old) {
            // The primary has gone on with records since: what they made is not taken back.
            held.resync = None;
            return;
        }
        self.outputs.push_back(Output::Verify(end));
    }

    pub(super) fn verified(&mut self, end: &ResyncEnd, matches: bool) {
        let held = &mut self.groups[usize::from(end.group.number())];
        let Some(primary) = held.primary else { return };
        if held.resync != Some(end.id) {
            return;
        }
        held.resync = None;
        held.lacks = false;
        held.position = matches.then_some(end.position);
        let done = ResyncDone { group: end.group, id: end.id, complete: matches };
        self.outputs.push_back(Output::Send(primary, Message::ResyncDone(done)));
    }

    /// This node does not lead the group; it keeps a copy of what `primary` leads, or none.
    pub(super) fn follow(
        &mut self,
        group: Group,
        epoch: Epoch,
        primary: Option<NodeId>,
        keeps: bool,
        now: Millis,
    ) {
        let led = self.depose(group, now);
        let held = self.held_mut(group);
        let had = held.keeps || led.is_some() || held.position.is_some();
        let news = held.epoch != epoch || held.primary != primary || !held.keeps;
        (held.epoch, held.primary, held.keeps) = (epoch, primary, keeps);
        if news {
            (held.resync, held.asked) = (None, None);
        }
        match led {
            // Its log has ended already, for a hand-over.
            Some(Some(position)) => held.position = Some(position),
            Some(None) => {
                (held.stopping, held.position) = (true, None);
                self.outputs.push_back(Output::Stop(group));
            }
            None => {}
        }
        if !keeps {
            let held = self.held_mut(group);
            (held.position, held.resync) = (None, None);
            if had && !held.stopping {
                self.outputs.push_back(Output::Drop(group));
            }
        } else if news || led.is_some() {
            self.ask(group);
        }
    }

    /// Asks the primary for what is behind the copy, when there is somebody to ask.
    pub(super) fn ask(&mut self, group: Group) {
        let Some(primary) = self.held(group).primary else { return };
        if self.held(group).have(group).is_some()
            && let Some(peer) = self.peers.get_mut(&primary).filter(|peer| peer.up.is_some())
        {
            peer.asks.insert(group);
        }
    }

    /// The log of a group that this node led has ended.
    pub(super) fn log_ended(&mut self, group: Group, position: Position) {
        let held = self.held_mut(group);
        if !std::mem::take(&mut held.stopping) {
            return;
        }
        if held.keeps {
            held.position = Some(position);
            self.ask(group);
        } else {
            self.outputs.push_back(Output::Drop(group));
        }
    }

    /// This node leads the group from now on: where its copy stands.
    pub(super) fn unfollow(&mut self, group: Group) -> Option<Position> {
        let held = self.held_mut(group);
        let position = held.position.take();
        *held = Held { version: held.version, ..Held::default() };
        position
    }
}
