//! Does what `cluster::replication` wants done, on the data thread: one state for all groups and
//! peers, which tasks of the thread share. Decides nothing.

use super::inner::{Inner, now};
use super::resync;
use super::source::Source;
use super::staging::Staging;
use super::streams::{AllStreams, RECORDS, RESYNC};
use super::{Event, Options, World};
use crate::engine::{Engine, Role};
use crate::limits;
use crate::peer::{Endpoint, Receiver};
use bytes::Bytes;
use cluster::control::Position;
use cluster::message::{Message, ResyncDone};
use cluster::node::NodeId;
use cluster::record::select::Selection;
use cluster::replication::{Digester, Input, Output, Replication};
use cluster::slot::Group;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// The state of the data thread; copies are the same one.
#[derive(Clone)]
pub(super) struct Drive(Rc<RefCell<Inner>>);

/// What a resync is known by.
pub(super) type ResyncId = (NodeId, Group, u64);

impl Drive {
    /// Takes the engine over: it serves nothing, and keeps what was restored.
    pub(super) fn new(options: Options, endpoint: Endpoint, grown: &Arc<Notify>) -> Drive {
        let engine = options.engine;
        let mut roles: Box<[Role]> = Group::all().map(|_| Role::Absent).collect();
        for &(group, _) in &options.restored {
            roles[usize::from(group.number())] = Role::Replica;
        }
        engine.keep_groups_apart();
        engine.follow_all();
        Drive(Rc::new(RefCell::new(Inner {
            core: None,
            world: None,
            restored: options.restored,
            backlog_bytes: options.backlog_bytes,
            source: Source::new(engine.clone(), options.log, grown),
            engine,
            endpoint,
            streams: AllStreams::default(),
            resyncs: BTreeMap::new(),
            selection: Selection::default(),
            roles,
            copied: None,
            propose: options.propose,
            on_roles: options.on_roles,
            save_copy: options.save_copy,
            on_copied: options.on_copied,
            staging: Staging::new(options.backlog_bytes),
            damaged: options.damaged,
            followers: options.followers,
            on_delay: options.on_delay,
            delay_ms: 0,
            looked: None,
        })))
    }

    /// The control state has changed.
    pub(super) fn applied(&self, world: World) {
        let mut inner = self.0.borrow_mut();
        let known = inner.world.as_ref().map(|world| world.me);
        if known != Some(world.me) {
            let restored = std::mem::take(&mut inner.restored);
            let lacking = restored.iter().map(|(group, _)| *group);
            let lacking: Vec<_> = lacking.filter(|group| inner.engine.lacks(*group)).collect();
            let mut core = Replication::new(world.me, restored, inner.backlog_bytes);
            lacking.into_iter().for_each(|group| core.lacks(group));
            inner.core = Some(core);
        }
        let others = world.state.nodes.iter().filter(|(id, _)| **id != world.me.node);
        // Who was removed is not listened to any more.
        let others = others.filter(|(_, node)| node.is_member() && !node.addresses.data.is_empty());
        let peers: Vec<_> = others.map(|(id, node)| (*id, node.addresses.data.clone())).collect();
        inner.endpoint.set_peers(peers);
        let state = world.state.clone();
        inner.world = Some(world);
        inner.handle(Input::Applied(&state));
        inner.settle_roles();
        Group::all().for_each(|group| inner.note_acked(group));
        drop(inner);
        self.open_streams();
        self.pump();
    }

    /// The endpoint has something to say.
    pub(super) fn event(&self, event: Event) {
        match event {
            Event::Down(node) => self.lost_ours(node),
            Event::Stream(from, RECORDS, receiver) => {
                tokio::task::spawn_local(self.clone().receive(from, receiver));
            }
            Event::Stream(from, RESYNC, receiver) => {
                tokio::task::spawn_local(resync::receive(self.clone(), from, receiver));
            }
            // Of a later version.
            Event::Stream(..) => {}
        }
    }

    /// There are records to take.
    pub(super) fn grown(&self) {
        self.0.borrow_mut().take_log();
        self.pump();
    }

    /// Time has passed.
    pub(super) fn tick(&self) {
        let mut inner = self.0.borrow_mut();
        inner.take_log();
        inner.handle(Input::Tick);
        inner.look_at_lags();
        let now = now();
        if inner.copied.is_some_and(|at| now.since(at) >= limits::RESYNC_SNAPSHOT_MS) {
            inner.copied = None;
            (inner.on_copied)();
        }
        drop(inner);
        self.open_streams();
        self.pump();
    }

    /// The node ends.
    pub(super) fn end(&self) {
        let mut inner = self.0.borrow_mut();
        std::mem::take(&mut inner.resyncs).into_values().for_each(|task| task.abort());
    }

    /// Does all that is wanted, and sends the records that there are.
    fn pump(&self) {
        let mut inner = self.0.borrow_mut();
        let mut broken = Vec::new();
        while let Some(output) = inner.core.as_mut().and_then(Replication::poll) {
            match output {
                Output::Send(to, Message::ResyncDone(done)) if done.complete => {
                    tokio::task::spawn_local(self.clone().have_copy(to, done));
                }
                Output::Send(to, message) => {
                    if inner.send(to, &message).is_err() {
                        broken.push(to);
                    }
                }
                Output::StartResync { to, group, epoch, id } => {
                    tracing::debug!(to = to.number(), group = group.number(), id, "sending a copy");
                    let sending = resync::send(self.clone(), to, group, epoch, id);
                    let task = tokio::task::spawn_local(sending);
                    inner.resyncs.insert((to, group, id), task.abort_handle());
                }
                other => inner.carry_out(other),
            }
        }
        broken.extend(inner.send_records());
        inner.tell_delay();
        drop(inner);
        broken.into_iter().for_each(|node| self.reset(node));
    }

    /// Says that a copy has come, once it is on disk: until then it is to count nowhere. One that
    /// could not be written has to be sent again.
    async fn have_copy(self, to: NodeId, mut done: ResyncDone) {
        let (saved, number) = {
            let mut inner = self.0.borrow_mut();
            let saved = (inner.save_copy)(done.group);
            (saved, inner.streams.of(to).number)
        };
        if let Some(saved) = saved {
            // Nothing: the node ends.
            let Ok(written) = saved.await else { return };
            done.complete = written;
        }
        let mut inner = self.0.borrow_mut();
        if !inner.streams.is_current(to, number) {
            return;
        }
        let broken = inner.send(to, &Message::ResyncDone(done)).is_err();
        drop(inner);
        if broken {
            self.reset(to);
        }
    }

    /// Gives up both streams to and from a node: they are made anew.
    fn reset(&self, node: NodeId) {
        let was_up = self.0.borrow_mut().streams.reset(node);
        self.gone(node, was_up);
        self.0.borrow().endpoint.disconnect(node);
        self.pump();
    }

    /// Our connection to a node is lost, and our stream with it. The peer's may be a new one that
    /// came before the news did: it stays, and ends by itself if it is not.
    fn lost_ours(&self, node: NodeId) {
        let was_up = self.0.borrow_mut().streams.lose_ours(node);
        self.gone(node, was_up);
        self.pump();
    }

    /// Forgets what was under way with a node.
    fn gone(&self, node: NodeId, was_up: bool) {
        let mut inner = self.0.borrow_mut();
        if was_up {
            inner.handle(Input::PeerDown(node));
            inner.followers.forget(node);
            inner.staging.forget_from(node);
        }
        let ended = inner.resyncs.extract_if(.., |(to, _, _), _| *to == node);
        let ended: Vec<_> = ended.collect();
        for ((to, group, id), task) in ended {
            task.abort();
            inner.handle(Input::ResyncFailed(to, group, id));
        }
    }

    /// Opens the streams that are missing.
    fn open_streams(&self) {
        let mut inner = self.0.borrow_mut();
        let Some(world) = inner.world.clone() else { return };
        for (&node, config) in &world.state.nodes {
            if node == world.me.node || !config.is_member() || config.addresses.data.is_empty() {
                continue;
            }
            let streams = inner.streams.of(node);
            if streams.ours.is_some() || streams.opening {
                continue;
            }
            streams.opening = true;
            let number = streams.number;
            tokio::task::spawn_local(self.clone().open(node, number));
        }
    }

    async fn open(self, node: NodeId, number: u64) {
        let endpoint = self.0.borrow().endpoint.clone();
        let time = Duration::from_millis(limits::REPLICATION_OPEN_MS_MAX);
        let opened = endpoint.open(node, RECORDS, time).await;
        if opened.is_err() {
            tokio::time::sleep(Duration::from_millis(limits::REPLICATION_REOPEN_MS)).await;
        }
        let mut inner = self.0.borrow_mut();
        if !inner.streams.is_current(node, number) {
            return;
        }
        inner.streams.of(node).opening = false;
        let (Ok(sender), Some(hello)) = (opened, inner.hello()) else { return };
        if sender.try_send(&[hello]).is_err() {
            return;
        }
        inner.streams.of(node).ours = Some(sender);
        inner.greet(node);
        drop(inner);
        self.pump();
    }

    /// Takes what a peer says until its stream ends.
    async fn receive(self, from: NodeId, mut receiver: Receiver) {
        let Ok(Some(first)) = receiver.next().await else { return };
        let Ok(Message::Hello(hello)) = Message::decode(&first) else { return };
        let number = {
            let mut inner = self.0.borrow_mut();
            if hello.from.node != from || !inner.is_ours(&hello) {
                tracing::warn!(node = from.number(), "a stream of another cluster or plane");
                return;
            }
            if inner.streams.of(from).theirs.is_some() {
                // The one before is dead, whether we have noticed or not; so is ours.
                drop(inner);
                self.reset(from);
                inner = self.0.borrow_mut();
            }
            inner.streams.of(from).theirs = Some(hello.from);
            let number = inner.streams.of(from).number;
            inner.greet(from);
            number
        };
        self.open_streams();
        self.pump();
        let is_current = || self.0.borrow().streams.is_current(from, number);
        let take = |body: Bytes| self.0.borrow_mut().message(from, &body);
        while let Ok(Some(body)) = receiver.next().await {
            if !is_current() {
                break;
            }
            let mut taken = take(body);
            while taken.is_ok()
                && let Ok(Some(body)) = receiver.next_here()
            {
                taken = take(body);
            }
            self.pump();
            if taken.is_err() {
                break;
            }
        }
        if is_current() {
            self.reset(from);
        }
    }

    /// A message of a copy of a group; which one it is, where it begins.
    pub(super) fn resync_message(
        &self,
        from: NodeId,
        body: &Bytes,
    ) -> Result<Option<(Group, u64)>, ()> {
        let done = self.0.borrow_mut().resync_message(from, body);
        self.pump();
        done
    }

    /// Nothing more comes of a copy: what was kept of it and not taken is of no use.
    pub(super) fn resync_over(&self, from: NodeId, group: Group, id: u64) {
        self.0.borrow_mut().staging.end(group, from, id);
    }

    /// What became of a resync that was to be sent.
    pub(super) fn resync_ended(&self, (to, group, id): ResyncId, at: Option<Position>) {
        let mut inner = self.0.borrow_mut();
        if inner.resyncs.remove(&(to, group, id)).is_none() {
            return;
        }
        match at {
            Some(position) => inner.handle(Input::ResyncSent(to, group, id, position)),
            None => inner.handle(Input::ResyncFailed(to, group, id)),
        }
        drop(inner);
        self.pump();
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        self.0.borrow().endpoint.clone()
    }

    pub(super) fn digester(&self) -> Digester {
        self.0.borrow().digester()
    }

    pub(super) fn engine(&self) -> Arc<Engine> {
        self.0.borrow().engine.clone()
    }

    /// Most bytes a second of all copies together; 0: no bound. And how many are under way.
    pub(super) fn resync_rate(&self) -> (u64, usize) {
        let inner = self.0.borrow();
        let rate = inner.world.as_ref().map(|w| w.state.settings.resync_bytes_per_second);
        (rate.unwrap_or(0), inner.resyncs.len())
    }
}
