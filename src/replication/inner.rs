//! The state of the data thread: what `cluster::replication` decided, carried out at the engine and
//! at the streams to the peers. Decides nothing, and knows no task.

use super::drive::ResyncId;
use super::source::Source;
use super::staging::{Part, Staging};
use super::streams::{AllStreams, records_of};
use super::{Followers, Lags, SaveCopy, World, resync};
use crate::clock;
use crate::engine::{Engine, Followed, LogPiece, Role};
use crate::limits;
use crate::peer::{Endpoint, PeerError};
use bytes::Bytes;
use cluster::control::{GroupChange, Position};
use cluster::group_set::GroupSet;
use cluster::message::{Hello, Message, Plane, ResyncEnd};
use cluster::node::{ClusterId, NodeId};
use cluster::record::select::Selection;
use cluster::replication::{Digester, Input, Output, Replication};
use cluster::slot::Group;
use cluster::time::Millis;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::AbortHandle;

/// What the tasks of the thread share.
pub(super) struct Inner {
    /// `None` before this node is registered.
    pub(super) core: Option<Replication<LogPiece>>,
    pub(super) world: Option<World>,
    pub(super) restored: Vec<(Group, Position)>,
    pub(super) backlog_bytes: u64,
    pub(super) engine: Arc<Engine>,
    pub(super) source: Source,
    pub(super) endpoint: Endpoint,
    pub(super) streams: AllStreams,
    pub(super) resyncs: BTreeMap<ResyncId, AbortHandle>,
    pub(super) selection: Selection<Bytes>,
    /// What the engine was told of each group.
    pub(super) roles: Box<[Role]>,
    /// When the last copy was received that the log on disk does not hold.
    pub(super) copied: Option<Millis>,
    pub(super) propose: Box<dyn Fn(Vec<GroupChange>) + Send>,
    pub(super) on_roles: Box<dyn Fn() + Send>,
    pub(super) save_copy: SaveCopy,
    pub(super) on_copied: Box<dyn Fn() + Send>,
    /// Copies that are coming.
    pub(super) staging: Staging,
    /// Groups that were damaged on disk and of which no copy has come yet.
    pub(super) damaged: GroupSet,
    pub(super) followers: Arc<Followers>,
    pub(super) on_delay: Box<dyn Fn(u64) + Send>,
    /// What it was told last.
    pub(super) delay_ms: u64,
    /// When it was last worked out how far the copies are behind.
    pub(super) looked: Option<Millis>,
}

pub(super) fn now() -> Millis {
    Millis(clock::boot_millis())
}

impl Inner {
    pub(super) fn handle(&mut self, input: Input<'_>) {
        if let Some(core) = &mut self.core {
            core.handle(input, now());
        }
    }

    pub(super) fn hello(&self) -> Option<Bytes> {
        let world = self.world.as_ref()?;
        let hello = Hello {
            cluster: world.state.cluster,
            from: world.me,
            protocol: world.state.nodes.get(&world.me.node)?.protocol,
            plane: Plane::Data,
        };
        Some(Message::Hello(hello).to_bytes().into())
    }

    /// Whether a Hello is for this cluster. One that is not of it yet takes any.
    pub(super) fn is_ours(&self, hello: &Hello) -> bool {
        let cluster = self.world.as_ref().map(|world| world.state.cluster);
        let same = |ours: ClusterId| ours == hello.cluster;
        hello.plane == Plane::Data && cluster.is_none_or(same)
    }

    /// Tells replication that a peer is there, once both streams are.
    pub(super) fn greet(&mut self, node: NodeId) {
        let streams = self.streams.of(node);
        let (Some(member), false, true) = (streams.theirs, streams.up, streams.ours.is_some())
        else {
            return;
        };
        streams.up = true;
        tracing::debug!(node = node.number(), "exchanging records");
        self.handle(Input::PeerUp(member));
    }

    /// A message on the stream of records.
    pub(super) fn message(&mut self, from: NodeId, body: &Bytes) -> Result<(), ()> {
        let Some(frame) = records_of(body) else {
            let message = Message::decode(body).map_err(|error| {
                tracing::warn!(node = from.number(), ?error, "a message that is none");
            })?;
            if let Message::Append(_) | Message::ResyncChunk(_) = message {
                return Err(());
            }
            self.said(from, message);
            return Ok(());
        };
        let (Some(core), engine) = (&mut self.core, &self.engine) else { return Ok(()) };
        let mut void = Vec::new();
        let applied = core.append(from, &frame, now(), |record| {
            let payload = frame.slice_ref(record.payload);
            match engine.follow(&record.header, &payload) {
                Ok(Followed::Applied | Followed::Known) => true,
                other => {
                    let group = record.header.group;
                    let (number, seq) = (group.number(), record.header.seq.0);
                    tracing::warn!(group = number, seq, ?other, "a copy is void");
                    void.push(group);
                    false
                }
            }
        });
        // Nobody is to take such a copy for a whole one, in a failover least of all.
        void.into_iter().for_each(|group| self.begin_copy(group));
        applied.map_err(|error| {
            tracing::warn!(node = from.number(), ?error, "records that are none");
        })
    }

    /// A message about records or copies; what it acknowledges is noted.
    fn said(&mut self, from: NodeId, message: Message<'_>) {
        let groups: Vec<Group> = match &message {
            Message::Ack(list) => list.iter().map(|acked| acked.group).collect(),
            Message::Have(list) => list.iter().map(|have| have.group).collect(),
            Message::ResyncDone(done) => vec![done.group],
            _ => Vec::new(),
        };
        self.handle(Input::Message(from, message));
        for group in groups {
            let seq = self.core.as_ref().and_then(|core| core.acked_by(from, group));
            self.followers.set(from, group, seq);
        }
    }

    /// Notes anew how far all copies of a group have come.
    pub(super) fn note_acked(&self, group: Group) {
        for node in self.followers.nodes() {
            let seq = self.core.as_ref().and_then(|core| core.acked_by(node, group));
            self.followers.set(node, group, seq);
        }
    }

    /// Works out now and then how far the copies are behind.
    pub(super) fn look_at_lags(&mut self) {
        let now = now();
        let Some(core) = &self.core else { return };
        if self.looked.is_some_and(|at| now.since(at) < limits::LAG_LOOK_MS) {
            return;
        }
        self.looked = Some(now);
        let up = self.streams.0.iter().filter(|(_, streams)| streams.up);
        let nodes = up.map(|(node, _)| (*node, core.lag_of(*node, now))).collect();
        self.followers.set_lags(Lags { records: core.records(), nodes });
    }

    /// Tells how much writers are to be held back.
    pub(super) fn tell_delay(&mut self) {
        let delay_ms = self.core.as_ref().map_or(0, Replication::delay_ms);
        if std::mem::replace(&mut self.delay_ms, delay_ms) != delay_ms {
            (self.on_delay)(delay_ms);
        }
    }

    /// A message of a copy that comes; which one it is, where it begins.
    pub(super) fn resync_message(
        &mut self,
        from: NodeId,
        body: &Bytes,
    ) -> Result<Option<(Group, u64)>, ()> {
        let message = Message::decode(body).map_err(|_| ())?;
        let begun = match &message {
            Message::ResyncBegin(begin) => Some((begin.group, begin.id)),
            _ => None,
        };
        let Message::ResyncChunk(chunk) = message else {
            self.said(from, message);
            let takes = |core: &Replication<LogPiece>| {
                begun.filter(|(group, id)| core.takes_chunk(from, *group, *id))
            };
            if let Some((group, id)) = self.core.as_ref().and_then(takes) {
                self.staging.begin(group, from, id);
            }
            return Ok(begun);
        };
        let (Some(core), group) = (&mut self.core, chunk.group) else { return Err(()) };
        if !core.takes_chunk(from, group, chunk.id) {
            return Err(());
        }
        let payload = body.slice_ref(chunk.payload);
        match self.staging.put(group, payload.clone()) {
            Part::Kept => {}
            Part::Passed => self.copy(group, &payload)?,
            Part::Over(parts) => {
                core.void(group);
                self.begin_copy(group);
                parts.iter().try_for_each(|part| self.copy(group, part))?;
            }
        }
        Ok(None)
    }

    /// Empties a group for a copy of it.
    fn begin_copy(&mut self, group: Group) {
        self.engine.begin_copy(group);
        self.source.forget(group);
        self.set_role(group, Role::Replica);
    }

    fn copy(&self, group: Group, payload: &Bytes) -> Result<(), ()> {
        self.engine.copy(group, payload).map_err(|error| {
            tracing::warn!(group = group.number(), ?error, "a part of a copy is void");
        })
    }

    pub(super) fn send(&mut self, to: NodeId, message: &Message<'_>) -> Result<(), PeerError> {
        let Some(sender) = &self.streams.of(to).ours else { return Ok(()) };
        sender.try_send(&[message.to_bytes().into()])
    }

    /// Takes what the log has grown by.
    pub(super) fn take_log(&mut self) {
        let pieces = self.source.take();
        self.logged(pieces);
    }

    pub(super) fn logged(&mut self, pieces: Vec<LogPiece>) {
        if let Some(core) = &mut self.core {
            pieces.into_iter().for_each(|piece| core.logged(piece, now()));
        }
    }

    /// Sends records to all peers, as far as they take them; those whose stream is over.
    pub(super) fn send_records(&mut self) -> Vec<NodeId> {
        let Some(core) = &mut self.core else { return Vec::new() };
        let mut broken = Vec::new();
        for (&node, streams) in self.streams.0.iter().filter(|(_, streams)| streams.up) {
            let Some(sender) = &streams.ours else { continue };
            while sender.queued_bytes() < limits::REPLICATION_AHEAD_BYTES
                && core.next_append(node, &mut self.selection)
            {
                let sent = sender.try_send(&parts(&mut self.selection));
                if sent.is_err() {
                    broken.push(node);
                    break;
                }
            }
        }
        broken
    }

    pub(super) fn carry_out(&mut self, output: Output) {
        tracing::debug!(?output, "carrying out");
        match output {
            Output::CancelResync(to, group, id) => {
                if let Some(task) = self.resyncs.remove(&(to, group, id)) {
                    task.abort();
                }
            }
            Output::Propose(changes) => (self.propose)(changes),
            Output::Lead(group, epoch, position) => {
                self.staging.forget(group);
                if position.is_none() {
                    self.begin_empty(group);
                }
                self.note_acked(group);
                self.engine.become_primary(group, epoch, clock::now());
                self.source.hurry();
                self.set_role(group, Role::Primary);
            }
            Output::Stop(group) => self.stop(group),
            Output::Resume(group) => {
                self.engine.set_fenced(group, false);
                (self.on_roles)();
            }
            Output::Drop(group) => {
                self.staging.forget(group);
                self.engine.drop_group(group);
                self.source.forget(group);
                self.set_role(group, Role::Absent);
            }
            Output::Verify(end) => self.verify(end),
            Output::Send(..) | Output::StartResync { .. } => unreachable!("done by the caller"),
        }
    }

    /// Lets nothing more be executed on a group, and says where its log ends.
    pub(super) fn stop(&mut self, group: Group) {
        self.engine.set_fenced(group, true);
        let (epoch, seq, _) = self.engine.log_position(group);
        let pieces = self.source.take_up_to(group, seq);
        self.logged(pieces);
        self.handle(Input::Stopped(group, Position { epoch, seq }));
        self.settle_role(group);
        (self.on_roles)();
    }

    /// Nobody has a whole copy of a group that this node is to lead.
    fn begin_empty(&mut self, group: Group) {
        self.engine.begin_copy(group);
        self.source.forget(group);
        if self.damaged.contains(group) {
            tracing::error!(
                group = group.number(),
                "no other node had a copy of a group that was damaged on this disk: it begins \
                 anew, empty"
            );
        }
    }

    /// A copy has come wholly: it takes the place of what there was.
    pub(super) fn verify(&mut self, end: ResyncEnd) {
        let Position { epoch, seq } = end.position;
        let mut whole = true;
        if let Some(parts) = self.staging.take(end.group, end.id) {
            self.begin_copy(end.group);
            whole = parts.iter().all(|part| self.copy(end.group, part).is_ok());
        }
        self.damaged.remove(end.group);
        self.engine.end_copy(end.group, epoch, seq, end.time);
        let counted = end.items == resync::NOT_COUNTED
            || self
                .engine
                .digest(end.group, clock::now(), &self.digester())
                .is_some_and(|(_, digest)| (digest.items, digest.sum) == (end.items, end.digest));
        let matches = whole && counted;
        if !matches {
            tracing::error!(group = end.group.number(), "a copy differs from its original");
            self.engine.begin_copy(end.group);
        }
        self.copied = Some(now());
        self.handle(Input::Verified(end, matches));
    }

    pub(super) fn digester(&self) -> Digester {
        let seed = self.world.as_ref().map_or(0, |world| world.state.settings.hash_seed);
        Digester::new(seed)
    }

    pub(super) fn set_role(&mut self, group: Group, role: Role) {
        self.roles[usize::from(group.number())] = role;
        (self.on_roles)();
    }

    /// Makes copies of what this node does not lead any more, or holds since the beginning.
    pub(super) fn settle_roles(&mut self) {
        Group::all().for_each(|group| self.settle_role(group));
    }

    pub(super) fn settle_role(&mut self, group: Group) {
        let (Some(core), Some(world)) = (&self.core, &self.world) else { return };
        let role = self.roles[usize::from(group.number())];
        let config = world.state.group(group);
        let leads = config.primary == Some(world.me);
        let keeps = config.is_holder(world.me.node);
        if leads || !keeps || role == Role::Replica || core.position(group).is_none() {
            return;
        }
        self.engine.become_replica(group);
        self.set_role(group, Role::Replica);
    }
}

/// What was selected, as parts of one message; the selection is empty then.
fn parts(selection: &mut Selection<Bytes>) -> Vec<Bytes> {
    let bytes = Bytes::from(std::mem::take(&mut selection.bytes));
    let (mut parts, mut from) = (Vec::with_capacity(2 * selection.values.len() + 1), 0);
    for (at, value) in selection.values.drain(..) {
        parts.push(bytes.slice(from..at));
        parts.push(value);
        from = at;
    }
    parts.push(bytes.slice(from..));
    parts
}
