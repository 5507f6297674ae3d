//! A node's part in a cluster, put together: the control plane, replication, and a thread that
//! hands what one of them says to the others and to the workers. Holds no logic of its own.

use super::admin::Admin;
use super::copies::{self, COPIES_CALL, Heard, LAGS_CALL};
use super::forward;
use super::{CONTROL_FOLDER, NodeError};
use crate::clock;
use crate::config::{self, Config, WalPolicy};
use crate::control::{self, Control, ControlOptions, Published, Store, quic};
use crate::limits;
use crate::peer::{self, Plane};
use crate::replication::forward::{FORWARD_CALL, Here};
use crate::replication::{Calls, Followers, Options, Replicator, SaveCopy, World};
use crate::security::{Identity, JoinToken};
use crate::server::Server;
use crate::wal::log::LogState;
use crate::wal::snapshotter::{Purpose, Snapshotter};
use crate::worker::{ClusterView, Entrance, Lease, Shared, ViewParts};
use cluster::control::{ControlCommand, GroupChange, Join, Position, Settings, TokenHash};
use cluster::group_set::GroupSet;
use cluster::node::{Addresses, ClientAddress, NodeId, Protocols};
use cluster::record::Seq;
use cluster::slot::Group;
use std::cell::Cell;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// The protocol versions that this program speaks with other nodes.
const PROTOCOLS: Protocols = Protocols { min: 1, max: 1 };
/// What the hash seed of the cluster is drawn from.
const HASH_SEED: &str = "crabcache hash seed";

/// A running part of a cluster.
pub(super) struct Cluster {
    control: Arc<Control>,
    replicator: Arc<Replicator>,
    stop: watch::Sender<bool>,
    /// Why the cluster wants no part of it, if it does not.
    refused: Arc<OnceLock<String>>,
    glue: JoinHandle<()>,
}

/// What it is started with beside its settings.
pub(super) struct Given<'a> {
    /// Where clients reach it, by listener.
    pub(super) announced: Vec<ClientAddress>,
    pub(super) snapshots: Option<&'a Arc<Snapshotter>>,
    /// Groups that were damaged on disk.
    pub(super) damaged: GroupSet,
    /// Ends the node, where need be.
    pub(super) server: Arc<Server>,
}

/// Who this node is, and what follows from that before it runs.
pub(super) struct Membership {
    identity: Arc<Identity>,
    hash_seed: u64,
}

impl Membership {
    /// Reads the node's certificate; `None` of a node alone.
    pub(super) fn load(config: &Config) -> Result<Option<Membership>, NodeError> {
        let files = &config.cluster;
        if !files.enabled {
            return Ok(None);
        }
        let identity = Identity::load(&files.ca, &files.cert, &files.key)
            .map_err(|error| NodeError::Cluster(error.to_string()))?;
        let secret = identity.shared_secret(HASH_SEED);
        let hash_seed = u64::from_le_bytes(std::array::from_fn(|i| secret[i]));
        Ok(Some(Membership { identity: Arc::new(identity), hash_seed }))
    }

    /// The seed of the hash of keys, the same on all nodes.
    pub(super) fn hash_seed(&self) -> u64 {
        self.hash_seed
    }

    fn node(&self) -> NodeId {
        self.identity.name().node
    }
}

impl Cluster {
    /// Starts it: from now on the engine serves what the cluster says, and nothing before. The
    /// data was read back from the disk, if it is kept there.
    pub(super) fn start(
        config: &Config,
        membership: Membership,
        shared: &Arc<Shared>,
        given: Given<'_>,
        ready: &Arc<AtomicBool>,
    ) -> Result<Cluster, NodeError> {
        let me = membership.node();
        let Given { announced, snapshots, damaged, server } = given;
        let restored = restored(shared);
        let lease = Lease::expired();
        let (worlds, world) = watch::channel(None);
        let (propose, proposals) = mpsc::channel(limits::CLUSTER_PROPOSALS_MAX);
        let control = start_control(config, &membership, shared, announced, !restored.is_empty())?;
        let _ = shared.others.admin.set(Box::new(Admin(control.clone())));
        let (asked, stirred) = (snapshots.cloned(), shared.clone());
        let here = forward::here(shared);
        let (forwarding, pressed) = (shared.clone(), shared.clone());
        let (followers, heard) = (Arc::new(Followers::default()), Arc::new(Heard::default()));
        let calls = calls(here.clone(), shared.clone(), followers.clone(), heard.clone());
        let replicator = Replicator::start(Options {
            endpoint: data_endpoint(config),
            identity: membership.identity,
            engine: shared.engine.clone(),
            log: shared.log.clone(),
            restored,
            worlds: world,
            propose: Box::new(move |changes| {
                // Full: what is not proposed now is proposed again.
                let _ = propose.try_send(changes);
            }),
            on_roles: Box::new(move || stirred.views.stir()),
            save_copy: save_copy(shared, snapshots),
            on_copied: Box::new(move || {
                // One that is being written will be followed by another.
                let _ = asked.as_ref().map(|snapshots| snapshots.begin(Purpose::Rewrite));
            }),
            calls,
            on_endpoint: Box::new(move |endpoint| forward::start(&forwarding, here, endpoint)),
            backlog_bytes: backlog_bytes(config),
            damaged,
            followers: followers.clone(),
            on_delay: Box::new(move |ms| pressed.pressure.set(ms)),
        })
        .map_err(NodeError::System)?;
        let endpoint = replicator.endpoint().clone();
        let known = copies::Known { shared: shared.clone(), followers, heard, endpoint };
        let _ = shared.others.copies.set(Box::new(known.clone()));
        if shared.log.is_none() {
            shared.engine.start_log();
        }
        let (stop, stopped) = watch::channel(false);
        let refused = Arc::new(OnceLock::new());
        let glue = Glue {
            me,
            control: control.clone(),
            shared: shared.clone(),
            lease,
            announce_replicas: config.clients.announce_replicas,
            worlds,
            ready: ready.clone(),
            copies: known,
            told_index: Cell::new(0),
            refused: refused.clone(),
            server,
            served: Cell::new(false),
        };
        let glue = glue.start(proposals, stopped)?;
        Ok(Cluster { control, replicator: Arc::new(replicator), stop, refused, glue })
    }

    /// Ends it; says why the cluster wants no part of it, if that is why the node ends.
    pub(super) fn stop(self) -> Option<String> {
        let _ = self.stop.send(true);
        if self.glue.join().is_err() {
            tracing::error!("the cluster thread panicked");
        }
        self.replicator.shutdown();
        self.control.shutdown();
        self.refused.get().cloned()
    }
}

/// Writes copies to the disk as they come, where there is a log on it that goes on from them.
fn save_copy(shared: &Shared, snapshots: Option<&Arc<Snapshotter>>) -> SaveCopy {
    let log = shared.log.clone().filter(|log| log.policy() != WalPolicy::None);
    let on_disk = log.zip(snapshots.cloned());
    Box::new(move |group| {
        let (log, snapshots) = on_disk.as_ref()?;
        // Once the node goes on without a log, copies are on no disk either.
        let given_up = matches!(log.state(), LogState::GivenUp(_));
        (!given_up).then(|| snapshots.save_copy(group))
    })
}

/// What other nodes may ask of this one on the data plane.
fn calls(
    here: Arc<Here>,
    shared: Arc<Shared>,
    followers: Arc<Followers>,
    heard: Arc<Heard>,
) -> Calls {
    Arc::new(move |from, kind, body| match kind {
        FORWARD_CALL => here.answer(body),
        COPIES_CALL => copies::answer(shared.clone(), followers.clone(), body),
        LAGS_CALL => heard.take(from, body),
        // Of a later version.
        _ => Box::pin(async { None }),
    })
}

/// What the disk brought back: whole copies, until the cluster says otherwise.
fn restored(shared: &Shared) -> Vec<(Group, Position)> {
    let position = |group| {
        let (epoch, seq, _) = shared.engine.log_position(group);
        (seq.0 > 0).then_some((group, Position { epoch, seq }))
    };
    Group::all().filter_map(position).collect()
}

fn data_endpoint(config: &Config) -> peer::Options {
    let at = SocketAddr::new(config.cluster.bind, config.cluster.data_port);
    let mut endpoint = peer::Options::new(at, Plane::Data);
    endpoint.gso = config.cluster.gso;
    endpoint
}

fn backlog_bytes(config: &Config) -> u64 {
    let part = config.memory.max_bytes().unwrap_or(0) / limits::BACKLOG_PART;
    part.max(limits::BACKLOG_BYTES_MIN)
}

fn start_control(
    config: &Config,
    membership: &Membership,
    shared: &Arc<Shared>,
    clients: Vec<ClientAddress>,
    restored: bool,
) -> Result<Arc<Control>, NodeError> {
    let cluster = &config.cluster;
    let at = |port: u16| SocketAddr::new(cluster.bind, port);
    let named = |port: u16| format!("{}:{port}", cluster.host());
    let addresses =
        Addresses { control: named(cluster.port), data: named(cluster.data_port), clients };
    let settings = Settings {
        factor: cluster.replication_factor,
        hash_seed: membership.hash_seed,
        join: match cluster.join {
            config::Join::Token => Join::Token,
            config::Join::Certificate => Join::Certificate,
        },
        ..Settings::default()
    };
    let mut endpoint = peer::Options::new(at(cluster.port), Plane::Control);
    endpoint.gso = cluster.gso;
    let folder = &config.data.dir;
    let engine = shared.engine.clone();
    Control::start(ControlOptions {
        node: membership.node(),
        store: match folder.as_os_str().is_empty() {
            true => Store::Memory,
            false => Store::Folder(folder.join(CONTROL_FOLDER)),
        },
        seeds: cluster.seeds.clone(),
        addresses,
        zone: cluster.zone.clone(),
        protocol: PROTOCOLS,
        fingerprint: Some(membership.identity.fingerprint()),
        restored,
        cluster: Some(membership.identity.cluster()),
        settings,
        token: join_token(&cluster.join_token)?,
        bind: quic::bind(endpoint, membership.identity.clone()),
        positions: Box::new(move |groups| {
            let position = |group: &Group| {
                let (epoch, seq, _) = engine.log_position(*group);
                // Who lacks items comes behind who stands at the same record.
                let seq = Seq(seq.0.saturating_sub(u64::from(engine.lacks(*group))));
                engine.is_whole(*group).then_some((*group, Position { epoch, seq }))
            };
            groups.iter().filter_map(position).collect()
        }),
    })
    .map_err(|error| NodeError::Cluster(error.to_string()))
}

/// The hash of the token in a file, if there is one.
fn join_token(path: &Path) -> Result<Option<TokenHash>, NodeError> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let token = JoinToken::load(path).map_err(|error| NodeError::Cluster(error.to_string()))?;
    Ok(token.map(|token| token.hash()))
}

/// What the thread works with.
struct Glue {
    me: NodeId,
    control: Arc<Control>,
    shared: Arc<Shared>,
    lease: Lease,
    announce_replicas: bool,
    worlds: watch::Sender<Option<World>>,
    ready: Arc<AtomicBool>,
    copies: copies::Known,
    /// The entry of the control log by which the workers act.
    told_index: Cell<u64>,
    refused: Arc<OnceLock<String>>,
    server: Arc<Server>,
    /// Whether this node is of a cluster whose slots are all served by somebody.
    served: Cell<bool>,
}

impl Glue {
    /// Tells what is known at the start, that this node is one of a cluster, and goes on with that
    /// on a thread of its own.
    fn start(
        self,
        proposals: mpsc::Receiver<Vec<GroupChange>>,
        stopped: watch::Receiver<bool>,
    ) -> Result<JoinHandle<()>, NodeError> {
        self.tell(&self.control.published());
        self.publish(&self.control.published());
        let thread = thread::Builder::new().name("cluster".into());
        thread.spawn(move || self.run(proposals, stopped)).map_err(NodeError::System)
    }

    fn run(self, proposals: mpsc::Receiver<Vec<GroupChange>>, stopped: watch::Receiver<bool>) {
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(self.serve(proposals, stopped)),
            Err(error) => tracing::error!(%error, "the cluster thread has no runtime"),
        }
        self.lease.set(0, 0);
    }

    async fn serve(
        &self,
        mut proposals: mpsc::Receiver<Vec<GroupChange>>,
        mut stopped: watch::Receiver<bool>,
    ) {
        let mut changes = self.control.changes();
        // What was published before anybody listened.
        self.end_if_refused(&self.control.published());
        let mut ticks = tokio::time::interval(Duration::from_millis(limits::LEASE_LOOK_MS));
        let mut tells = tokio::time::interval(Duration::from_millis(limits::LAG_TELL_MS));
        loop {
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stop| *stop) => return,
                _ = ticks.tick() => self.extend_lease(self.control.lease()),
                _ = tells.tick() => self.copies.tell(),
                Ok(()) = changes.changed() => {
                    changes.borrow_and_update();
                    // For what this node is by what is published next, or was before.
                    let lease = self.control.lease();
                    let published = self.control.published();
                    self.end_if_refused(&published);
                    self.tell(&published);
                    self.let_settle(&published).await;
                    self.publish(&self.control.published());
                    self.extend_lease(lease);
                }
                Some(changes) = proposals.recv() => {
                    tokio::spawn(propose(self.control.clone(), changes));
                }
            }
        }
    }

    /// Ends the node, once, if it runs in another process too.
    fn end_if_refused(&self, published: &Published) {
        if let Some(reason) = &published.must_end
            && self.refused.set(reason.clone()).is_ok()
        {
            tracing::error!(reason, "stopping");
            self.server.end();
        }
    }

    /// Tells the workers and replication of the cluster as it is now.
    fn publish(&self, published: &Published) {
        let served = Group::all().all(|group| published.topology.owner(group).is_some());
        self.served.set(published.me.is_some() && served);
        let entrances: Arc<[Entrance]> = self.shared.entrances.clone();
        let others = published.state.nodes.keys().copied();
        let heard = others.filter(|node| !published.down.contains(node));
        let up = heard.chain([self.me]).collect();
        self.shared.views.publish(Some(Arc::new(ClusterView::new(ViewParts {
            me: self.me,
            state: published.state.clone(),
            topology: published.topology.clone(),
            up,
            lease: self.lease.clone(),
            entrances,
            announce_replicas: self.announce_replicas,
        }))));
        self.told_index.set(published.applied_index);
    }

    /// Tells replication.
    fn tell(&self, published: &Published) {
        if let Some(me) = published.me {
            let world = World { me, state: published.state.clone() };
            self.worlds.send_replace(Some(world));
        }
    }

    /// Waits, for a bounded time, until the nodes that have become primary of groups of ours say
    /// so with the first record of their epochs. Clients wait at the fence meanwhile: sent on at
    /// once, they would be sent back by a node that has not heard yet that a group is its own.
    async fn let_settle(&self, published: &Published) {
        let Some(view) = self.shared.views.get() else { return };
        let given = |group: &Group| {
            let owner = published.topology.owner(*group);
            view.topology().owner(*group) == Some(self.me)
                && owner.is_some_and(|node| node != self.me)
        };
        let mut waiting: Vec<Group> = Group::all().filter(given).collect();
        for _ in 0..limits::HANDOVER_LOOKS_MAX {
            let engine = &self.shared.engine;
            waiting.retain(|group| {
                engine.log_position(*group).0 < published.topology.holders(*group).epoch
            });
            if waiting.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(limits::HANDOVER_LOOK_MS)).await;
        }
    }

    /// Tells the workers of the lease; but for what they do not know yet that this node is, or is
    /// no more, it does not count. The node is ready while it has one and all slots are served: a
    /// node that is out of touch answers nothing.
    fn extend_lease(&self, lease: control::Lease) {
        let leased = clock::boot_millis() < lease.until_ms;
        let serves = self.served.get() && leased && !self.shared.notice.word().is_ending();
        self.ready.store(serves, Ordering::Release);
        if lease.until_ms > 0 && lease.applied_index > self.told_index.get() {
            return;
        }
        let [since, until] = [lease.since_ms, lease.until_ms].map(clock::nanos_at_boot_millis);
        self.lease.set(since, until);
    }
}

async fn propose(control: Arc<Control>, changes: Vec<GroupChange>) {
    if let Err(error) = control.propose(ControlCommand::Change(changes)).await {
        tracing::debug!(%error, "a change was not decided");
    }
}
