//! One run of the control plane: what its tasks share, and what it answers to others. Knows who
//! asks what; what follows is decided in the files of the tasks.

use super::log::Log;
use super::machine::{Applied, Watcher};
use super::message::{
    AskPositions, Iam, Join, Joined, Kind, Layout, Positions, Proposal, Proposed, Standing, Who,
};
use super::publish::{Published, Shared};
use super::transport::{Boxed, Caller, Handler, Transport};
use super::types::{Metrics, Raft, node};
use super::{ControlOptions, codec, network};
use crate::limits::CONTROL_CALLS_MAX;
use bytes::Bytes;
use cluster::control::{ControlCommand, ControlState};
use cluster::liveness::Liveness;
use cluster::node::{Node, NodeId, Registration};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A node is to be let in that is not the one who asks.
const NOT_ITSELF: &str = "it asks in the name of another node, or with another certificate";

/// What the tasks of a control plane share. They run on one thread; the locks are never held over
/// an await, and are there because openraft wants everything sendable.
pub(super) struct Core {
    pub(super) options: Arc<ControlOptions>,
    pub(super) registration: Registration,
    /// Which store this is: see [`super::types::Seat`].
    pub(super) store: u64,
    pub(super) log: Log,
    pub(super) shared: Arc<Shared>,
    pub(super) liveness: Mutex<Option<Liveness>>,
    /// What other nodes said of themselves when they were asked last.
    pub(super) seen: Mutex<BTreeMap<NodeId, Iam>>,
    /// Seeds that an operator says are not to be waited for.
    pub(super) without: Mutex<BTreeSet<String>>,
    /// Held while a seat is given or the membership changed: one change at a time.
    pub(super) seating: tokio::sync::Mutex<()>,
    /// Where another process answered, when it was looked for last, that is this node too and
    /// registered.
    pub(super) twin: Mutex<Option<String>>,
    /// Nodes that are looked for where they were before.
    pub(super) meeting: Mutex<BTreeSet<NodeId>>,
    book: Mutex<Book>,
    running: RwLock<Option<Running>>,
    calls: AtomicUsize,
}

struct Running {
    transport: Arc<dyn Transport>,
    raft: Raft,
}

/// Where nodes are: what was heard last counts, whether it was registered or seen.
#[derive(Default)]
struct Book {
    addresses: BTreeMap<NodeId, String>,
    registered: BTreeMap<NodeId, String>,
    /// Where others say that this node is, if that is not where this process is.
    elsewhere: Option<String>,
}

impl Core {
    pub(super) fn new(
        options: Arc<ControlOptions>,
        registration: Registration,
        store: u64,
        log: Log,
        shared: Arc<Shared>,
    ) -> Core {
        Core {
            options,
            registration,
            store,
            log,
            shared,
            liveness: Mutex::default(),
            seen: Mutex::default(),
            without: Mutex::default(),
            seating: tokio::sync::Mutex::default(),
            twin: Mutex::default(),
            meeting: Mutex::default(),
            book: Mutex::default(),
            running: RwLock::default(),
            calls: AtomicUsize::new(0),
        }
    }

    /// From now on calls are answered.
    pub(super) fn run(&self, transport: Arc<dyn Transport>, raft: Raft) {
        *self.running.write() = Some(Running { transport, raft });
        self.tell_peers();
    }

    /// From now on they are not; breaks the circle of those who know each other.
    pub(super) fn stop(&self) {
        *self.running.write() = None;
    }

    pub(super) fn me(&self) -> NodeId {
        self.registration.node
    }

    /// `None` before [`Core::run`] and after [`Core::stop`].
    pub(super) fn raft(&self) -> Option<Raft> {
        self.running.read().as_ref().map(|running| running.raft.clone())
    }

    /// `None` before [`Core::run`] and after [`Core::stop`].
    pub(super) fn transport(&self) -> Option<Arc<dyn Transport>> {
        self.running.read().as_ref().map(|running| running.transport.clone())
    }

    pub(super) fn metrics(&self) -> Option<Metrics> {
        self.raft().map(|raft| raft.metrics().borrow().clone())
    }

    pub(super) fn state(&self) -> Arc<ControlState> {
        self.shared.get().state.clone()
    }

    /// Whether this start of this node is the one that the cluster knows.
    pub(super) fn is_registered(&self, state: &ControlState) -> bool {
        let known = state.nodes.get(&self.me());
        let same = known.is_some_and(|known| known.start == self.registration.start);
        same && state.member(self.me()).is_some()
    }

    /// A node was seen at an address.
    pub(super) fn learn(&self, node: NodeId, address: &str) {
        if node == self.me() || address.is_empty() {
            return;
        }
        let before = self.book.lock().addresses.insert(node, address.to_owned());
        if before.as_deref() != Some(address) {
            self.tell_peers();
        }
    }

    /// A node was said to be at an address: better than nothing.
    pub(super) fn suppose(&self, node: NodeId, address: &str) {
        if node == self.me() && address != self.registration.addresses.control {
            self.book.lock().elsewhere = Some(address.to_owned());
        } else if !self.book.lock().addresses.contains_key(&node) {
            self.learn(node, address);
        }
    }

    /// Where this node is said to be, if not here.
    pub(super) fn elsewhere(&self) -> Option<String> {
        self.book.lock().elsewhere.clone()
    }

    /// Where a node is, as far as is known.
    pub(super) fn address_of(&self, node: NodeId) -> Option<String> {
        self.book.lock().addresses.get(&node).cloned()
    }

    /// Everybody's address, this node's own excluded.
    pub(super) fn addresses(&self) -> Vec<(NodeId, String)> {
        let book = self.book.lock();
        book.addresses.iter().map(|(node, address)| (*node, address.clone())).collect()
    }

    /// How keys find their groups here.
    pub(super) fn layout(&self) -> Layout {
        Layout::new(self.options.settings.hash_seed)
    }

    fn tell_peers(&self) {
        if let Some(transport) = self.transport() {
            transport.set_peers(self.addresses());
        }
    }

    /// Addresses that were registered anew count from then on.
    fn register_addresses(&self, state: &ControlState) {
        for (&node, known) in &state.nodes {
            let address = &known.addresses.control;
            let before = self.book.lock().registered.insert(node, address.clone());
            if before.as_ref() != Some(address) {
                self.learn(node, address);
            }
        }
    }

    pub(super) fn iam(&self) -> Iam {
        let published = self.shared.get();
        let standing = if self.log.is_blank() {
            Standing::Blank { seeds: self.options.seeds.clone() }
        } else {
            let known = published.state.nodes.iter().filter(|(_, node)| node.is_member());
            let nodes = known.map(|(id, node)| (*id, node.addresses.control.clone())).collect();
            Standing::Member { cluster: published.state.cluster, leader: published.leader, nodes }
        };
        let (registration, layout) = (self.registration.clone(), self.layout());
        let registered = published.me.is_some();
        Iam { registration, layout, store: self.store, standing, registered }
    }

    async fn answer(self: Arc<Core>, caller: Caller, kind: u8, body: Bytes) -> Bytes {
        let Some(raft) = self.raft() else { return Bytes::new() };
        let (from, state) = (caller.node, self.state());
        match Kind::of(kind) {
            // What a node that is out of touch knows of the others may be long past.
            Some(Kind::Raft) if self.shared.lease_ok() && !is_member(&state, &caller) => {
                tracing::warn!(%from, "a message of Raft from a node that may not send any");
                Bytes::new()
            }
            Some(Kind::Raft) => network::take(&raft, self.store, from, &body).await,
            Some(Kind::Propose) => match codec::decode::<Proposal>(&body) {
                Ok(proposal) if may_propose(&state, &caller, &proposal.command) => {
                    encoded(&self.take(proposal.command).await)
                }
                Ok(_) => encoded(&Proposed::Refused("only members of the cluster decide".into())),
                Err(_) => Bytes::new(),
            },
            Some(Kind::Who) => match codec::decode::<Who>(&body) {
                Ok(who) => {
                    if !is_impostor(&state, &caller) {
                        self.meet(from, &who.address);
                    }
                    encoded(&self.iam())
                }
                Err(_) => Bytes::new(),
            },
            Some(Kind::Join) => match codec::decode::<Join>(&body) {
                Ok(join) if speaks_for_itself(&caller, &join.registration) => {
                    encoded(&self.seat(join).await)
                }
                Ok(_) => encoded(&Joined::Refused(NOT_ITSELF.into())),
                Err(_) => Bytes::new(),
            },
            Some(Kind::Positions) if !is_member(&state, &caller) => Bytes::new(),
            Some(Kind::Positions) => match codec::decode::<AskPositions>(&body) {
                Ok(ask) => encoded(&self.positions(&ask)),
                Err(_) => Bytes::new(),
            },
            None => Bytes::new(),
        }
    }

    /// How far complete copies have come here.
    pub(super) fn positions(&self, ask: &AskPositions) -> Positions {
        let copies = (self.options.positions)(&ask.groups);
        let copies = copies.into_iter().map(|(group, at)| (group, at.epoch, at.seq)).collect();
        Positions { start: self.registration.start, copies }
    }
}

/// Whether a node may have this ordered: what it says of itself, and as a member what members may.
/// Who is let in is the leader's to find out.
fn may_propose(state: &ControlState, from: &Caller, command: &ControlCommand) -> bool {
    match command {
        ControlCommand::Register(registration) => speaks_for_itself(from, registration),
        ControlCommand::Form { .. } | ControlCommand::Join { .. } => false,
        ControlCommand::SetPhase { .. }
        | ControlCommand::Change(_)
        | ControlCommand::Settings { .. }
        | ControlCommand::AddToken { .. }
        | ControlCommand::RemoveToken(_)
        | ControlCommand::Voters(_) => is_member(state, from),
    }
}

/// Whether it registers itself, with the certificate that it shows.
fn speaks_for_itself(from: &Caller, registration: &Registration) -> bool {
    let other = from.certificate.is_some() && registration.fingerprint != from.certificate;
    registration.node == from.node && !other
}

/// Whether it is a member, with the certificate that it has registered.
fn is_member(state: &ControlState, from: &Caller) -> bool {
    let node = state.nodes.get(&from.node).filter(|node| node.is_member());
    node.is_some_and(|node| !has_another(node, from))
}

/// Whether it comes with another certificate than the node has registered.
pub(super) fn is_impostor(state: &ControlState, from: &Caller) -> bool {
    state.nodes.get(&from.node).is_some_and(|node| has_another(node, from))
}

fn has_another(node: &Node, from: &Caller) -> bool {
    node.fingerprint.zip(from.certificate).is_some_and(|(known, shown)| known != shown)
}

fn encoded<T: serde::Serialize>(answer: &T) -> Bytes {
    codec::encode(answer).unwrap_or_default().into()
}

impl Handler for Core {
    fn on_call(self: Arc<Core>, from: Caller, kind: u8, body: Bytes) -> Boxed<'static, Bytes> {
        Box::pin(async move {
            let calls = self.calls.fetch_add(1, Ordering::Relaxed);
            let answer = if calls < CONTROL_CALLS_MAX {
                self.clone().answer(from, kind, body).await
            } else {
                Bytes::new()
            };
            self.calls.fetch_sub(1, Ordering::Relaxed);
            answer
        })
    }

    fn on_datagram(&self, from: Caller, body: Bytes) {
        self.hear(&from, &body);
    }
}

/// Hears of every new state.
pub(super) struct Applier(pub(super) std::sync::Weak<Core>);

impl Watcher for Applier {
    fn applied(&self, applied: &Applied) {
        let Some(core) = self.0.upgrade() else { return };
        let index = applied.last.map_or(0, |last| last.index);
        let state = applied.state.clone();
        let published = core.shared.get();
        if is_old(&published, index, &state) {
            // Begun anew, the log is applied again from its snapshot on: the rest of the node has
            // seen more, and does not go back.
            core.register_addresses(&published.state);
            return;
        }
        core.register_addresses(&state);
        core.follow_lives(index, applied);
        let registered = core.is_registered(&state);
        let me = state.member(core.me()).filter(|_| registered);
        let voters = applied.voters();
        core.shared.update(|published| {
            if published.state.version != state.version {
                published.topology = Arc::new(state.topology());
            }
            published.state = state;
            published.applied_index = index;
            published.me = me;
            published.voters = voters;
        });
    }
}

/// Whether a state is one of before what was published already, of the same cluster.
fn is_old(published: &Published, index: u64, state: &ControlState) -> bool {
    let same = !state.is_formed() || state.cluster == published.state.cluster;
    let behind = index < published.applied_index || state.version < published.state.version;
    published.state.is_formed() && same && behind
}

/// Who leads, by what openraft says.
pub(super) fn leader(metrics: &Metrics) -> Option<NodeId> {
    metrics.current_leader.and_then(node)
}

#[cfg(test)]
mod tests {
    use super::{Published, is_impostor, is_member, is_old, may_propose, speaks_for_itself};
    use crate::control::publish::Shared;
    use crate::control::transport::Caller;
    use cluster::control::{ControlCommand, ControlState, Settings};
    use cluster::node::{ClusterId, NodeId, Phase, Registration};
    use std::sync::Arc;

    fn node(number: u64) -> NodeId {
        NodeId::new(number).expect("not 0")
    }

    fn registration(number: u64) -> Registration {
        let fingerprint = Some([u8::try_from(number).expect("small"); 32]);
        Registration { fingerprint, ..Registration::new(node(number), number) }
    }

    fn formed(cluster: u128) -> ControlState {
        let mut state = ControlState::blank();
        let nodes = (1..=3).map(registration).collect();
        let (cluster, settings) = (ClusterId(cluster), Settings::default());
        state.apply(&ControlCommand::Form { cluster, settings, nodes });
        state
    }

    fn caller(number: u64, certificate: u8) -> Caller {
        Caller { node: node(number), certificate: Some([certificate; 32]) }
    }

    #[test]
    fn only_members_with_their_certificates_decide() {
        let mut state = formed(1);
        let gone = ControlCommand::SetPhase { node: node(3), phase: Phase::Gone, at: None };
        state.apply(&gone);
        let order = ControlCommand::Voters(vec![node(1)]);
        for (from, member, impostor) in [
            (caller(1, 1), true, false),
            (caller(1, 9), false, true),
            (caller(3, 3), false, false),
            (caller(7, 7), false, false),
            (Caller { node: node(1), certificate: None }, true, false),
        ] {
            assert_eq!(is_member(&state, &from), member, "{from:?}");
            assert_eq!(is_impostor(&state, &from), impostor, "{from:?}");
            assert_eq!(may_propose(&state, &from, &order), member, "{from:?}");
        }
        // Everybody speaks for himself, and shows what he registers.
        let register = |number| ControlCommand::Register(registration(number));
        assert!(may_propose(&state, &caller(3, 3), &register(3)));
        assert!(!may_propose(&state, &caller(3, 3), &register(1)));
        assert!(!may_propose(&state, &caller(1, 9), &register(1)));
        // So does who joins.
        assert!(speaks_for_itself(&caller(7, 7), &registration(7)));
        assert!(!speaks_for_itself(&caller(7, 9), &registration(7)));
        assert!(!speaks_for_itself(&caller(7, 7), &registration(8)));
    }

    #[test]
    fn what_was_published_does_not_go_back() {
        let shared = Shared::new();
        assert!(!is_old(&shared.get(), 0, &ControlState::blank()));
        let published = |index| Published {
            state: Arc::new(formed(1)),
            applied_index: index,
            ..Published::clone(&shared.get())
        };
        assert!(is_old(&published(5), 4, &formed(1)));
        assert!(is_old(&published(5), 0, &ControlState::blank()));
        assert!(!is_old(&published(5), 5, &formed(1)));
        assert!(!is_old(&published(5), 1, &formed(2)), "another cluster");
    }
}
