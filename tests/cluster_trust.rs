//! Whom the nodes of a cluster speak to: a certificate of the cluster is not enough.

mod cluster_nodes;
mod common;

use bytes::Bytes;
use cluster::node::NodeId;
use cluster_nodes::{Nodes, within};
use crabcache::peer::{Answer, Endpoint, Handler, Options, Plane, Receiver};
use crabcache::security::{Authority, Identity, Peer};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Says nothing to anybody.
struct Mute;

impl Handler for Mute {
    fn on_datagram(&self, _: &Peer, _: Bytes) {}

    fn on_call(&self, _: &Peer, _: u8, _: Bytes) -> Answer {
        Box::pin(async { None })
    }

    fn on_stream(&self, _: NodeId, _: u8, _: Receiver) {}
}

fn id(number: u64) -> NodeId {
    NodeId::new(number).expect("not 0")
}

fn identity(ca: &Path, folder: &Path) -> Identity {
    let file = |name: &str| folder.join(name);
    Identity::load(ca, &file("node.crt"), &file("node.key")).expect("an identity")
}

/// Somebody with this certificate, who knows the data plane of node 1.
fn endpoint(nodes: &Nodes, identity: &Identity) -> Endpoint {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let options = Options::new(any, Plane::Data);
    let endpoint = Endpoint::bind(&options, identity, Arc::new(Mute)).expect("an endpoint");
    endpoint.set_peers(vec![(id(1), nodes.data_address(1))]);
    endpoint
}

/// Whether node 1 speaks to it.
async fn is_let_in(endpoint: &Endpoint) -> bool {
    // Of a later version: nobody minds.
    endpoint.open(id(1), 99, Duration::from_secs(5)).await.is_ok()
}

#[test]
fn neither_a_removed_node_nor_another_certificate_of_a_member_is_let_in() {
    let mut nodes = Nodes::start(3, &[]);
    nodes.stop(3);
    let (ca, folder) = (nodes.folder(3).join("ca.crt"), nodes.folder(3));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let _inside = runtime.enter();
    let third = endpoint(&nodes, &identity(&ca, &folder));
    assert!(runtime.block_on(is_let_in(&third)), "a member, with its certificate");
    let authority = Authority::load(&nodes.authority()).expect("an authority");
    let other = authority.identity(id(2)).expect("an identity");
    let other = endpoint(&nodes, &other);
    assert!(!runtime.block_on(is_let_in(&other)), "a certificate that nobody has registered");
    within("the end of node 3", || {
        let mut client = nodes.client(1);
        client.send_command(&["CRABCACHE", "FORGET", "3", "FORCE"]);
        client.line();
        nodes
            .status(1)
            .is_some_and(|status| status["gone"].as_array().expect("a list").contains(&3.into()))
    });
    // The connection that it had is closed, and it gets no other.
    within("no word with a removed node", || !runtime.block_on(is_let_in(&third)));
    assert!(!runtime.block_on(is_let_in(&third)));
    runtime.block_on(async {
        third.close().await;
        other.close().await;
    });
}

#[test]
fn a_second_process_with_the_certificate_of_a_running_node_ends_and_disturbs_nobody() {
    let mut nodes = Nodes::start(3, &[]);
    let started = |nodes: &Nodes| {
        let status = nodes.status(1).expect("a node that answers");
        status["nodes"].as_array().expect("a list")[2]["incarnation"].clone()
    };
    let before = started(&nodes);
    let mut client = nodes.plain(3);
    client.check(&["SET", "kept", "by the first"], "+OK\r\n");
    let said = nodes.run_second(3);
    assert!(said.contains("cannot be of a cluster: node 3 is running already, at 127.0.0.1:"));
    nodes.until_well();
    assert_eq!(started(&nodes), before);
    client.check(&["GET", "kept"], "$12\r\nby the first\r\n");
    assert!(!nodes.said(1).contains("a node does not answer"), "{}", nodes.said(1));
}
