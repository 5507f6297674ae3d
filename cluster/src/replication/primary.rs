//! The side of a primary: what each replica gets of the log, and when it gets a copy of the whole
//! group instead. Knows nothing of changes of the configuration; these are `planned`.

use super::led::{Led, Link, LinkState};
use super::{
    APPEND_BYTES, DELAY_MS_MAX, Output, PRESSED_MS_MAX, Piece, RESYNC_DONE_MS_MAX, RESYNCS_MAX,
    Replication, TICK_MS,
};
use crate::control::{GroupConfig, Position};
use crate::message::{APPEND_HEAD, Acked, Have, STREAM_SALT};
use crate::node::NodeId;
use crate::record::select::Selection;
use crate::record::{Header, Seq};
use crate::slot::{GROUPS, Group};
use crate::time::Millis;

/// Writers are delayed as much as may be when this part of half the backlog is left.
const RESERVE_PART: u64 = 4;
/// How full it is is looked at whenever it has grown by this part of itself.
const LOOK_PART: u64 = 16;

/// How much writers are held back.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    pub(super) delay_ms: u64,
    /// Since when they are held back as much as may be.
    full_since: Option<Millis>,
    /// Bytes logged since the last look.
    looked_bytes: u64,
}

impl<P: Piece> Replication<P> {
    /// The log has grown by this piece. Nobody has seen what it says before.
    pub fn logged(&mut self, piece: P, now: Millis) {
        for mark in piece.marks() {
            let Some(led) = self.led.get_mut(mark.group) else { continue };
            for node in led.holders() {
                let link = self.peers.get_mut(&node).and_then(|p| p.link(mark.group));
                if let Some(link) = link.filter(|link| link.state.acked() == Some(led.last)) {
                    link.well = now;
                }
            }
            led.last = led.last.max(mark.last);
            self.restless.insert(mark.group);
        }
        self.pressure.looked_bytes += piece.bytes() as u64;
        if self.times.back().is_none_or(|(_, at)| now.since(*at) >= TICK_MS) {
            self.times.push_back((self.backlog.end(), now));
        }
        let dropped = self.backlog.push(piece);
        self.give_up_overrun(&dropped, now);
        while self.times.get(1).is_some_and(|(number, _)| *number <= self.backlog.start()) {
            self.times.pop_front();
        }
        if self.pressure.looked_bytes >= self.backlog.bytes_max() / LOOK_PART {
            self.press(now);
        }
    }

    /// Writes what the node gets next as the bytes of a [`crate::message::Message::Append`] behind
    /// what `out` holds; whether there was anything. Records of large values are shared with the
    /// piece, the others are copied once.
    pub fn next_append(&mut self, to: NodeId, out: &mut Selection<P::Value>) -> bool {
        let Some(peer) = self.peers.get_mut(&to).filter(|peer| peer.up.is_some()) else {
            return false;
        };
        if peer.links.is_empty() {
            peer.cursor = self.backlog.end();
        }
        let (begin, led) = (out.bytes.len(), &self.led);
        let mut frame = None;
        let mut records = 0;
        while let Some(piece) = self.backlog.get(peer.cursor) {
            if out.bytes.len() - begin >= APPEND_BYTES {
                break;
            }
            peer.cursor += 1;
            let links = &mut peer.links;
            let wants = |group: Group, seq: Seq| match links[index(group)].state {
                LinkState::Streaming { sent, .. } => sent < seq,
                LinkState::Waiting | LinkState::Queued(_) | LinkState::Resyncing { .. } => false,
            };
            if !piece.marks().iter().any(|mark| wants(mark.group, mark.last)) {
                continue;
            }
            let open = frame.get_or_insert_with(|| {
                out.bytes.extend_from_slice(&APPEND_HEAD);
                out.begin()
            });
            let mut wanted = |header: &Header| {
                let link = &mut links[index(header.group)];
                let LinkState::Streaming { sent, .. } = &mut link.state else { return false };
                let is_ours = led.get(header.group).is_some_and(|l| l.epoch == header.epoch);
                let is_new = is_ours && header.seq > *sent;
                if is_new {
                    *sent = header.seq;
                }
                is_new
            };
            for parts in piece.frames() {
                // What does not fit is missed by the replica, which then asks for it.
                records += out.take(open, &parts, &mut wanted).unwrap_or(0);
            }
        }
        if let Some(open) = frame {
            out.finish(open, STREAM_SALT);
        }
        if records == 0 {
            out.bytes.truncate(begin);
        }
        records > 0
    }

    /// This node leads the group, with these holders.
    pub(super) fn lead(&mut self, group: Group, config: &GroupConfig, now: Millis) {
        let before = self.led.remove(group);
        let again = before.as_ref().is_some_and(|led| led.epoch == config.epoch);
        let (base, last, since, position) = match &before {
            Some(led) if again => (led.base, led.last, led.since, led.position()),
            // Deposed and back before it was heard of: its own log goes on, wherever it ends.
            Some(led) => (None, led.last, now, led.position()),
            None => {
                let is_exact = !self.held(group).lacks;
                let position = self.unfollow(group).unwrap_or_default();
                (is_exact.then_some(position), position.seq, now, position)
            }
        };
        if !again {
            let position = Some(position).filter(|position| *position != Position::default());
            self.backlog.forget(group);
            self.outputs.push_back(Output::Lead(group, config.epoch, position));
        } else if before.as_ref().is_some_and(|led| led.fence.is_some()) {
            // Whatever changed, the hand-over of the version before cannot come about any more.
            self.outputs.push_back(Output::Resume(group));
        }
        let led = Led {
            epoch: config.epoch,
            version: config.version,
            base,
            last,
            in_sync: config.in_sync.clone(),
            learners: config.learners.clone(),
            wanted: config.target.first().copied(),
            proposed: None,
            fence: None,
            fence_not_before: Millis(0),
            since,
        };
        for node in self.peers.keys().copied().collect::<Vec<_>>() {
            if !again || !led.keeps(node) {
                self.unlink(node, group, now);
            }
        }
        self.led.insert(group, led);
        self.restless.insert(group);
        for node in self.peers.keys().copied().collect::<Vec<_>>() {
            let early = self.peers.get_mut(&node).and_then(|peer| peer.early.remove(&group));
            if let Some(have) = early {
                self.has(node, have, now);
            }
        }
    }

    /// This node does not lead the group any more. The outer `None`: it did not; the inner: where
    /// its log ended is not known yet.
    pub(super) fn depose(&mut self, group: Group, now: Millis) -> Option<Option<Position>> {
        let led = self.led.remove(group)?;
        for node in self.peers.keys().copied().collect::<Vec<_>>() {
            self.unlink(node, group, now);
        }
        Some(led.fence.and_then(|fence| fence.stopped))
    }

    /// The replica gets nothing until it says what it has.
    fn unlink(&mut self, node: NodeId, group: Group, now: Millis) {
        let Some(link) = self.peers.get_mut(&node).and_then(|peer| peer.link(group)) else {
            return;
        };
        self.restless.insert(group);
        if let LinkState::Resyncing { id, .. } = link.state {
            self.resyncs.retain(|under_way| *under_way != (node, group));
            self.outputs.push_back(Output::CancelResync(node, group, id));
        }
        *link = Link { well: now, ..Link::default() };
    }

    pub(super) fn peer_down(&mut self, node: NodeId, now: Millis) {
        for group in Group::all() {
            self.unlink(node, group, now);
            self.forget_resync(node, group);
        }
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.up = None;
            peer.early.clear();
            (peer.acks, peer.asks) = Default::default();
        }
    }

    /// A replica says what it has.
    pub(super) fn has(&mut self, from: NodeId, have: Have, now: Millis) {
        let group = have.group;
        let Some(peer) = self.peers.get_mut(&from).filter(|peer| peer.up.is_some()) else { return };
        let led = self.led.get(group).filter(|led| led.epoch >= have.epoch && led.keeps(from));
        let Some(led) = led else {
            peer.early.insert(group, have);
            return;
        };
        if have.epoch < led.epoch {
            return;
        }
        let (base, last, epoch) = (led.base, led.last, led.epoch);
        let continues = |at: &Position| at.epoch == epoch && at.seq <= last || Some(*at) == base;
        let at = have.position.filter(continues);
        self.unlink(from, group, now);
        if at.is_none_or(|at| !self.stream(from, group, at.seq, now)) {
            self.queue_resync(from, group, now);
        }
    }

    /// Sends records from behind `seq` on, where the backlog has them.
    fn stream(&mut self, to: NodeId, group: Group, seq: Seq, now: Millis) -> bool {
        let (Some(led), Some(peer)) = (self.led.get(group), self.peers.get_mut(&to)) else {
            return false;
        };
        if peer.links.is_empty() {
            peer.links = vec![Link::default(); usize::from(GROUPS)];
            peer.cursor = self.backlog.end();
        }
        if seq < led.last {
            let Some(piece) = self.backlog.find(group, seq.next()) else { return false };
            peer.cursor = peer.cursor.min(piece);
        }
        let link = &mut peer.links[index(group)];
        link.state = LinkState::Streaming { sent: seq, acked: seq, goal: led.last };
        link.well = now;
        true
    }

    fn queue_resync(&mut self, to: NodeId, group: Group, now: Millis) {
        let Some(peer) = self.peers.get_mut(&to) else { return };
        if peer.links.is_empty() {
            peer.links = vec![Link::default(); usize::from(GROUPS)];
        }
        peer.links[index(group)].state = LinkState::Queued(now);
        peer.queued.insert(group);
        self.start_resyncs(now);
    }

    fn start_resyncs(&mut self, now: Millis) {
        for (&node, peer) in self.peers.iter_mut().filter(|(_, peer)| peer.up.is_some()) {
            for group in peer.queued.clone().iter() {
                if self.resyncs.len() >= RESYNCS_MAX {
                    return;
                }
                let Some(link) = peer.links.get_mut(index(group)) else { continue };
                if matches!(link.state, LinkState::Queued(at) if at > now) {
                    continue;
                }
                peer.queued.remove(group);
                let is_queued = matches!(link.state, LinkState::Queued(_));
                let Some(led) = self.led.get(group).filter(|_| is_queued) else { continue };
                let (to, epoch, id) = (node, led.epoch, self.resync_next);
                self.resync_next += 1;
                self.resyncs.push((node, group));
                link.state = LinkState::Resyncing { id, sent: None };
                self.outputs.push_back(Output::StartResync { to, group, epoch, id });
            }
        }
    }

    /// The link on which this very resync is under way.
    fn resyncing(&mut self, to: NodeId, group: Group, id: u64) -> Option<&mut Link> {
        let link = self.peers.get_mut(&to)?.link(group)?;
        matches!(link.state, LinkState::Resyncing { id: now, .. } if now == id).then_some(link)
    }

    pub(super) fn resync_sent(
        &mut self,
        to: NodeId,
        group: Group,
        id: u64,
        position: Position,
        now: Millis,
    ) {
        if let Some(link) = self.resyncing(to, group, id) {
            link.state = LinkState::Resyncing { id, sent: Some((position, now)) };
        }
    }

    pub(super) fn resync_failed(&mut self, to: NodeId, group: Group, id: u64, now: Millis) {
        let Some(link) = self.resyncing(to, group, id) else { return };
        link.queue_again(now);
        self.resyncs.retain(|under_way| *under_way != (to, group));
        if let Some(peer) = self.peers.get_mut(&to) {
            peer.queued.insert(group);
        }
        self.start_resyncs(now);
    }

    pub(super) fn resync_done(
        &mut self,
        from: NodeId,
        group: Group,
        id: u64,
        complete: bool,
        now: Millis,
    ) {
        let Some(link) = self.resyncing(from, group, id) else { return };
        let LinkState::Resyncing { sent, .. } = link.state else { return };
        let at = sent.filter(|_| complete).map(|(position, _)| position);
        if at.is_some_and(|at| self.stream(from, group, at.seq, now)) {
            self.resyncs.retain(|under_way| *under_way != (from, group));
            if let Some(link) = self.peers.get_mut(&from).and_then(|peer| peer.link(group)) {
                link.failures = 0;
            }
            self.start_resyncs(now);
        } else {
            self.resync_failed(from, group, id, now);
        }
    }

    pub(super) fn acked(&mut self, from: NodeId, ack: &Acked, now: Millis) {
        let Some(led) = self.led.get(ack.group).filter(|led| led.epoch == ack.epoch) else {
            return;
        };
        let last = led.last;
        let Some(link) = self.peers.get_mut(&from).and_then(|peer| peer.link(ack.group)) else {
            return;
        };
        if let LinkState::Streaming { acked, sent, .. } = &mut link.state
            && ack.seq > *acked
            && ack.seq <= last.min(*sent)
        {
            *acked = ack.seq;
            link.well = now;
        }
        self.handover_acked(ack.group, now);
    }

    /// Links whose next records have left the backlog unsent, with these pieces, begin anew.
    fn give_up_overrun(&mut self, dropped: &[P], now: Millis) {
        let start = self.backlog.start();
        for peer in self.peers.values_mut().filter(|peer| peer.cursor < start) {
            peer.cursor = start;
            for group in dropped.iter().flat_map(Piece::marks).map(|mark| mark.group) {
                let link = peer.links.get_mut(index(group));
                let (Some(link), Some(led)) = (link, self.led.get(group)) else { continue };
                let LinkState::Streaming { sent, .. } = link.state else { continue };
                if sent < led.last && self.backlog.find(group, sent.next()).is_none() {
                    link.queue_again(now);
                    peer.queued.insert(group);
                }
            }
        }
    }

    pub(super) fn tick_links(&mut self, now: Millis) {
        let mut late = Vec::new();
        for &(node, group) in &self.resyncs {
            let link = self.peers.get(&node).and_then(|peer| peer.links.get(index(group)));
            if let Some(&Link { state: LinkState::Resyncing { id, sent: Some((_, at)) }, .. }) =
                link
                && now.since(at) >= RESYNC_DONE_MS_MAX
            {
                late.push((node, group, id));
            }
        }
        for (node, group, id) in late {
            self.outputs.push_back(Output::CancelResync(node, group, id));
            self.resync_failed(node, group, id, now);
        }
        self.start_resyncs(now);
    }

    /// Works out how long writers are delayed. A copy that is far behind for too long is not waited
    /// for any more: it falls out of the backlog, and is made anew.
    pub(super) fn press(&mut self, now: Millis) {
        let delay_ms = self.delay();
        let pressure = &mut self.pressure;
        pressure.looked_bytes = 0;
        if delay_ms < DELAY_MS_MAX {
            (pressure.full_since, pressure.delay_ms) = (None, delay_ms);
            return;
        }
        let since = *pressure.full_since.get_or_insert(now);
        pressure.delay_ms = if now.since(since) < PRESSED_MS_MAX { delay_ms } else { 0 };
    }

    /// From half of the backlog on, what the in-sync replicas that answer have not acknowledged
    /// delays writers, the more the fuller it is, and as much as it may when a part is left.
    fn delay(&self) -> u64 {
        let half = self.backlog.bytes_max() / 2;
        if self.backlog.bytes() <= half {
            return 0;
        }
        // What rests has acknowledged everything.
        let oldest = self.restless.iter().filter_map(|group| {
            let led = self.led.get(group)?;
            let others = led.in_sync.iter().filter(|member| member.node != self.me.node);
            let acked = others.filter_map(|member| {
                self.peers.get(&member.node)?.links.get(index(group))?.state.acked()
            });
            let acked = acked.min().filter(|acked| *acked < led.last)?;
            // What was sent and is not in the backlog any more counts as the oldest there.
            Some(self.backlog.find(group, acked.next()).unwrap_or(self.backlog.start()))
        });
        let waits = oldest.min().map_or(0, |piece| self.backlog.bytes_from(piece));
        let span = half - half / RESERVE_PART;
        (waits.saturating_sub(half).saturating_mul(DELAY_MS_MAX) / span.max(1)).min(DELAY_MS_MAX)
    }
}

impl super::Peer {
    pub(super) fn link(&mut self, group: Group) -> Option<&mut Link> {
        self.links.get_mut(index(group))
    }
}

fn index(group: Group) -> usize {
    usize::from(group.number())
}
