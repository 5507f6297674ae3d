//! Who may be a peer: certificates of others, of other nodes and clusters, the removed, and those
//! who only begin.

mod peer_world;

use bytes::Bytes;
use crabcache::limits;
use crabcache::peer::PeerError;
use crabcache::security::{Authority, ClusterId, Identity, NodeName, SecurityError, ephemeral_ca};
use peer_world::{ECHO, LONG, Node, WHO, any_port, id, run};
use std::time::Duration;

/// How long a refused dial is tried.
const SOON: Duration = Duration::from_millis(500);

/// What a node that dials another is told.
async fn refusal(from: &Node, to: &Node) -> String {
    from.knows(&[to]);
    let answer = from.endpoint.call(to.id, ECHO, Bytes::new(), SOON).await;
    let error = answer.expect_err("a refusal");
    assert!(error.is_unsent(), "{error}");
    error.to_string()
}

#[test]
fn another_cluster_is_named() {
    run(async {
        let (ours, theirs) = (Authority::new().unwrap(), Authority::new().unwrap());
        let (a, b) = (Node::new(&ours, 1), Node::new(&theirs, 2));
        let why = refusal(&a, &b).await;
        assert!(why.contains(&format!("of cluster {}", theirs.cluster())), "{why}");
        assert!(why.contains(&format!("this is cluster {}", ours.cluster())), "{why}");
    });
}

#[test]
fn an_authority_that_calls_itself_ours_is_not() {
    run(async {
        let (ours, theirs) = (Authority::new().unwrap(), Authority::new().unwrap());
        let name = NodeName { node: id(2), cluster: ours.cluster() };
        let (a, b) = (Node::new(&ours, 1), theirs.identity_named(name).unwrap());
        assert!(matches!(b.check(), Err(SecurityError::Untrusted(_))));
        let b = Node::with(&b, &any_port());
        let why = refusal(&a, &b).await;
        assert!(why.contains("UnknownIssuer"), "{why}");
        // Nor does it get in when it dials.
        let why = refusal(&b, &a).await;
        assert!(why.contains("certificate"), "{why}");
    });
}

#[test]
fn our_authority_vouches_for_no_other_cluster() {
    let ours = Authority::new().unwrap();
    let name = NodeName { node: id(2), cluster: ClusterId(7) };
    assert!(matches!(ours.identity_named(name).unwrap().check(), Err(SecurityError::Untrusted(_))));
    assert_eq!(ours.identity(id(2)).unwrap().check(), Ok(()));
}

#[test]
fn a_node_is_who_its_certificate_says() {
    run(async {
        let authority = Authority::new().unwrap();
        let (a, b) = (Node::new(&authority, 1), Node::new(&authority, 2));
        a.endpoint.set_peers(vec![(id(3), b.address())]);
        let error = a.endpoint.call(id(3), ECHO, Bytes::new(), SOON).await.unwrap_err();
        assert!(error.to_string().contains("of node 2, but node 3 was expected"), "{error}");
    });
}

#[test]
fn the_removed_are_told_so() {
    run(async {
        let authority = Authority::new().unwrap();
        let (a, b) = (Node::new(&authority, 1), Node::new(&authority, 2));
        b.refused.lock().unwrap().push(a.id);
        let why = refusal(&a, &b).await;
        assert!(why.contains("removed from the cluster"), "{why}");
        let why = refusal(&b, &a).await;
        assert!(why.contains("removed from the cluster"), "{why}");
    });
}

#[test]
fn who_knows_only_an_address_learns_the_rest() {
    run(async {
        let authority = Authority::new().unwrap();
        let (a, b) = (Node::new(&authority, 1), Node::new(&authority, 2));
        b.knows(&[&a]);
        b.call(&a, ECHO, b"").await.unwrap();
        let visit = b.endpoint.call_address(&a.address(), WHO, Bytes::new(), LONG).await;
        assert_eq!(visit, Ok((id(1), Bytes::from_static(b"1 to 2"))));
        // It left the connection that was there alone.
        assert!(b.endpoint.links()[0].up);
        let stranger = Node::new(&Authority::new().unwrap(), 3);
        let visit = stranger.endpoint.call_address(&a.address(), WHO, Bytes::new(), LONG).await;
        assert!(matches!(visit, Err(PeerError::Unreachable(_))), "{visit:?}");
    });
}

#[test]
fn what_is_longer_than_the_reader_allows_ends_the_connection() {
    run(async {
        let authority = Authority::new().unwrap();
        let mut options = any_port();
        options.message_bytes_max = 1000;
        let (mut a, b) =
            (Node::new(&authority, 1), Node::with(&authority.identity(id(2)).unwrap(), &options));
        a.knows(&[&b]);
        assert_eq!(a.call(&b, ECHO, &[0; 1000]).await.unwrap().len(), 1000);
        a.up(b.id).await;
        let error = a.call(&b, ECHO, &[0; 1001]).await.unwrap_err();
        assert!(matches!(error, PeerError::Lost(_)), "{error}");
        assert!(a.down(b.id).await.contains("nonsense"));
    });
}

#[test]
fn half_open_handshakes_keep_nobody_out() {
    run(async {
        let authority = Authority::new().unwrap();
        let (a, b) = (Node::new(&authority, 1), Node::new(&authority, 2));
        // What a sends to this relay reaches b; nothing comes back: handshakes that never end.
        let relay = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (at, b_at) = (relay.local_addr().unwrap().to_string(), b.endpoint.local_address());
        let relaying = tokio::spawn(async move {
            let mut buffer = vec![0; 65536];
            loop {
                let (bytes, _) = relay.recv_from(&mut buffer).await.unwrap();
                relay.send_to(&buffer[..bytes], b_at).await.unwrap();
            }
        });
        let dials: Vec<_> = (0..2 * limits::PEER_HANDSHAKES_RETRY)
            .map(|_| {
                let (a, at) = (a.endpoint.clone(), at.clone());
                let dial = async move { a.call_address(&at, ECHO, Bytes::new(), LONG).await };
                tokio::spawn(dial)
            })
            .collect();
        while b.endpoint.handshakes() < limits::PEER_HANDSHAKES_RETRY {
            tokio::task::yield_now().await;
        }
        let c = Node::new(&authority, 3);
        c.knows(&[&b]);
        assert_eq!(c.call(&b, WHO, b"").await.unwrap(), "2 to 3");
        assert!(b.endpoint.handshakes() <= limits::PEER_HANDSHAKES_RETRY);
        for dial in dials {
            assert!(dial.await.unwrap().unwrap_err().is_unsent());
        }
        relaying.abort();
    });
}

#[test]
fn files_of_a_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let folders = ephemeral_ca(dir.path(), &[id(1), id(2)]).unwrap();
    let load = |ca: usize, cert: usize, key: usize| {
        let file = |folder: usize, name: &str| folders[folder].join(name);
        Identity::load(&file(ca, "ca.crt"), &file(cert, "node.crt"), &file(key, "node.key"))
    };
    let (one, two) = (load(0, 0, 0).unwrap(), load(1, 1, 1).unwrap());
    assert_eq!((one.name().node, two.name().node), (id(1), id(2)));
    assert_eq!(one.cluster(), two.cluster());
    assert!(one.check().is_ok() && one.fingerprint() != two.fingerprint());
    assert!(load(0, 0, 1).unwrap_err().to_string().contains("does not belong"));
    let authority = Authority::load(&dir.path().join("ca")).unwrap();
    assert_eq!(authority.cluster(), one.cluster());
    let again = authority.issue(id(1), &folders[0]).unwrap_err();
    assert!(matches!(again, SecurityError::Exists(_)), "{again}");
    assert!(matches!(ephemeral_ca(dir.path(), &[]), Err(SecurityError::Exists(_))));
    let other = Authority::init(&dir.path().join("other")).unwrap();
    std::fs::copy(dir.path().join("other/ca.key"), dir.path().join("ca/ca.key")).unwrap();
    assert_ne!(other.cluster(), one.cluster());
    let mixed = Authority::load(&dir.path().join("ca")).unwrap_err();
    assert!(mixed.to_string().contains("does not belong"), "{mixed}");
}
