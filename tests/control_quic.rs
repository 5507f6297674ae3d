//! Three control planes over QUIC on loopback: they form, lose their leader, go on. Know no data.

mod ports;

use cluster::control::{Position, Settings};
use cluster::node::{Addresses, NodeId, Protocols};
use cluster::record::{Epoch, Seq};
use cluster::slot::Group;
use crabcache::control::{Control, ControlOptions, Published, Store, quic};
use crabcache::peer::{Options, Plane};
use crabcache::security::Authority;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

fn node(number: usize) -> NodeId {
    NodeId::new(number as u64).expect("not 0")
}

fn free_addresses(count: usize) -> Vec<SocketAddr> {
    (0..count).map(|_| (Ipv4Addr::LOCALHOST, ports::free_port()).into()).collect()
}

fn wait(control: &Control, what: &str, wanted: impl Fn(&Published) -> bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut changes = control.changes();
    let waited = runtime.block_on(async {
        let arrives = async {
            while !wanted(&control.published()) {
                changes.changed().await.expect("a control plane that is there");
            }
        };
        timeout(Duration::from_secs(20), arrives).await
    });
    let trouble = &control.published().trouble;
    assert!(waited.is_ok(), "not {what}: {trouble:?}");
}

fn start(authority: &Authority, number: usize, addresses: &[SocketAddr]) -> Arc<Control> {
    let at = addresses[number - 1];
    let options = Options::new(at, Plane::Control);
    let identity = authority.identity(node(number)).expect("an identity");
    let complete = |groups: &[Group]| {
        let at = Position { epoch: Epoch(1), seq: Seq(1) };
        groups.iter().map(|group| (*group, at)).collect()
    };
    let started = Control::start(ControlOptions {
        node: node(number),
        store: Store::Memory,
        seeds: addresses.iter().map(SocketAddr::to_string).collect(),
        addresses: Addresses { control: at.to_string(), ..Addresses::default() },
        zone: String::new(),
        protocol: Protocols { min: 1, max: 1 },
        fingerprint: Some(identity.fingerprint()),
        restored: false,
        cluster: Some(authority.cluster()),
        settings: Settings::default(),
        token: None,
        bind: quic::bind(options, identity),
        positions: Box::new(complete),
    });
    started.expect("a control plane")
}

#[test]
fn a_cluster_forms_and_outlives_its_leader() {
    let authority = Authority::new().unwrap();
    let addresses = free_addresses(3);
    let mut nodes: Vec<Arc<Control>> =
        (1..=3).map(|number| start(&authority, number, &addresses)).collect();
    for control in &nodes {
        wait(control, "registered", |p| p.me.is_some() && p.leader.is_some());
    }
    let before = nodes[0].published();
    assert_eq!(before.state.cluster.0, authority.cluster().0);
    let dead = before.leader.unwrap();
    nodes.remove(usize::try_from(dead.number()).unwrap() - 1).shutdown();
    for control in &nodes {
        wait(control, "failed over", |p| {
            Group::all().all(|group| p.topology.owner(group).is_some_and(|owner| owner != dead))
        });
    }
    // It lost its store, which was in memory.
    let back = start(&authority, usize::try_from(dead.number()).unwrap(), &addresses);
    wait(&back, "back", |p| p.me.is_some_and(|me| me.incarnation.0 == 2) && p.voters.len() == 3);
}

#[test]
fn a_certificate_of_another_cluster_opens_nothing_and_is_named() {
    let (ours, theirs) = (Authority::new().unwrap(), Authority::new().unwrap());
    let addresses = free_addresses(2);
    let (one, two) = (start(&ours, 1, &addresses), start(&theirs, 2, &addresses));
    for (control, other) in [(&one, &theirs), (&two, &ours)] {
        let named = format!("of cluster {}", other.cluster());
        wait(control, "told whose it is", |p| {
            p.trouble.as_ref().is_some_and(|why| why.contains(&named))
        });
        assert!(!control.published().state.is_formed());
    }
    // With the right one they form their cluster.
    two.shutdown();
    let two = start(&ours, 2, &addresses);
    for control in [&one, &two] {
        wait(control, "registered", |p| p.me.is_some() && p.state.nodes.len() == 2);
    }
}
