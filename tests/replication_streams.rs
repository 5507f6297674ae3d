//! A node's replication against a primary that the test plays, over a real link.

mod peer_world;

use bytes::Bytes;
use cluster::control::{ControlCommand, ControlState, Settings};
use cluster::group_set::GroupSet;
use cluster::message::{Hello, Message, Plane, STREAM_SALT};
use cluster::node::{Addresses, ClusterId, Incarnation, Member, Protocols, Registration};
use cluster::record::frame::FrameWriter;
use cluster::record::{Epoch, GroupTime, Header, Kind, Seq};
use cluster::slot::Group;
use crabcache::engine::{Engine, EngineOptions};
use crabcache::peer::{Receiver, Sender};
use crabcache::replication::{Options, Replicator, World};
use crabcache::security::Authority;
use peer_world::{LONG, Node, any_port, id, run};
use std::sync::Arc;
use tokio::sync::watch;

/// The kind of the streams of records.
const RECORDS: u8 = 1;

fn member(number: u64) -> Member {
    Member { node: id(number), incarnation: Incarnation(1) }
}

/// Two nodes, the first of which is reached there.
fn formed(address: String) -> ControlState {
    let addresses = Addresses { data: address, ..Addresses::default() };
    let registration = |number| Registration {
        addresses: addresses.clone(),
        ..Registration::new(id(number), number)
    };
    let nodes = (1..=2).map(registration).collect();
    let mut state = ControlState::blank();
    let settings = Settings::default();
    state.apply(&ControlCommand::Form { cluster: ClusterId(1), settings, nodes });
    state
}

/// A replicator that keeps nothing on disk.
fn replicator(authority: &Authority, engine: &Arc<Engine>, world: World) -> Replicator {
    let (told, worlds) = watch::channel(None);
    let replicator = Replicator::start(Options {
        endpoint: any_port(),
        identity: Arc::new(authority.identity(world.me.node).expect("an identity")),
        engine: engine.clone(),
        log: None,
        restored: Vec::new(),
        worlds,
        propose: Box::new(drop),
        on_roles: Box::new(|| ()),
        save_copy: Box::new(|_| None),
        on_copied: Box::new(|| ()),
        calls: Arc::new(|_, _, _| Box::pin(async { None })),
        on_endpoint: Box::new(drop),
        backlog_bytes: 1 << 20,
        damaged: GroupSet::default(),
        followers: Arc::default(),
        on_delay: Box::new(drop),
    });
    told.send_replace(Some(world));
    replicator.expect("a replicator")
}

fn say(sender: &Sender, message: &Message<'_>) {
    sender.try_send(&[Bytes::from(message.to_bytes())]).expect("a stream");
}

/// A record of the first epoch.
fn record(group: Group, kind: Kind, seq: u64, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let mut writer = FrameWriter::begin(&mut frame, STREAM_SALT);
    let header = Header { kind, group, epoch: Epoch(1), seq: Seq(seq), time: GroupTime(1) };
    writer.push(header, &[payload]).expect("a short record");
    writer.finish();
    frame
}

/// Waits until the node says what it has of the group; whether that is a whole copy.
async fn has(replies: &mut Receiver, group: Group) -> bool {
    loop {
        let body = replies.next().await.expect("a stream").expect("a message");
        let Ok(Message::Have(list)) = Message::decode(&body) else { continue };
        if let Some(have) = list.iter().find(|have| have.group == group) {
            return have.position.is_some();
        }
    }
}

#[test]
fn a_copy_that_could_not_take_a_record_is_no_whole_one_for_anybody() {
    run(async {
        let authority = Authority::new().expect("an authority");
        let mut primary = Node::new(&authority, 1);
        let engine = Arc::new(Engine::new(&EngineOptions::default()));
        engine.open_log();
        engine.start_log();
        let state = Arc::new(formed(primary.address()));
        let leads = |group: &Group| state.group(*group).primary == Some(member(1));
        let group = Group::all().find(leads).expect("a group");
        let world = World { me: member(2), state: state.clone() };
        let replica = replicator(&authority, &engine, world);
        primary.endpoint.set_peers(vec![(id(2), replica.endpoint().local_address().to_string())]);
        let sender = primary.endpoint.open(id(2), RECORDS, LONG).await.expect("a stream");
        let protocol = Protocols { min: 1, max: 1 };
        let (cluster, plane) = (ClusterId(1), Plane::Data);
        say(&sender, &Message::Hello(Hello { cluster, from: member(1), protocol, plane }));
        let (_, _, mut replies) = primary.stream().await;
        assert!(has(&mut replies, group).await && engine.is_whole(group));
        say(&sender, &Message::Append(&record(group, Kind::EpochStart, 1, b"")));
        say(&sender, &Message::Append(&record(group, Kind::Effects, 2, b"no effect")));
        assert!(!has(&mut replies, group).await);
        assert!(!engine.is_whole(group));
    });
}
