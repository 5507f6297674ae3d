//! Nodes on loopback that talk: calls, datagrams, streams, and what happens when one is slow, gone
//! or back.

mod peer_world;

use bytes::Bytes;
use cluster::topology::NodeId;
use crabcache::limits;
use crabcache::peer::PeerError;
use crabcache::security::Authority;
use peer_world::{ECHO, Event, LONG, NEVER, Node, REFUSED, WHO, any_port, id, pair, run};
use std::slice::from_ref;
use std::time::Duration;

#[test]
fn three_nodes_call_each_other() {
    run(async {
        let authority = Authority::new().unwrap();
        let nodes: Vec<Node> = (1..=3).map(|n| Node::new(&authority, n)).collect();
        nodes.iter().for_each(|node| node.knows(&nodes.iter().collect::<Vec<_>>()));
        for from in &nodes {
            for to in nodes.iter().filter(|to| to.id != from.id) {
                let answer = from.call(to, WHO, b"").await.unwrap();
                assert_eq!(answer, format!("{} to {}", to.id.number(), from.id.number()));
            }
            let links = from.endpoint.links();
            assert!(links.len() == 2 && links.iter().all(|link| link.up && !link.rtt.is_zero()));
        }
        let long = vec![7; 3_000_000];
        assert_eq!(nodes[0].call(&nodes[1], ECHO, &long).await.unwrap(), long);
        assert_eq!(nodes[0].call(&nodes[1], ECHO, b"").await.unwrap(), "");
    });
}

#[test]
fn calls_that_are_not_answered() {
    run(async {
        let (a, b) = pair();
        assert_eq!(a.call(&b, REFUSED, b"x").await, Err(PeerError::Refused));
        let soon = Duration::from_millis(10);
        let late = a.endpoint.call(b.id, NEVER, Bytes::new(), soon).await;
        assert_eq!(late, Err(PeerError::TimedOut));
        let nobody = a.endpoint.call(id(9), ECHO, Bytes::new(), LONG).await;
        assert_eq!(nobody, Err(PeerError::Unknown(id(9))));
        let long = Bytes::from(vec![0; limits::PEER_DATA_MESSAGE_BYTES_MAX + 1]);
        let too_long = a.endpoint.call(b.id, ECHO, long, LONG).await.unwrap_err();
        assert!(matches!(too_long, PeerError::TooLong { .. }) && too_long.is_unsent());
        // A peer that hears us but takes its time keeps its connection.
        assert!(a.endpoint.links()[0].up);
    });
}

#[test]
fn datagrams_arrive_once_there_is_a_connection() {
    run(async {
        let (mut a, mut b) = pair();
        let dropped = a.endpoint.send_datagram(b.id, Bytes::from_static(b"lost"));
        assert!(matches!(dropped, Err(PeerError::Unreachable(_))));
        a.up(b.id).await;
        a.endpoint.send_datagram(b.id, Bytes::from_static(b"beat")).unwrap();
        let Event::Datagram(from, body) = b.event().await else { unreachable!("a datagram") };
        assert_eq!((from, &body[..]), (a.id, &b"beat"[..]));
        let long = a.endpoint.send_datagram(b.id, Bytes::from(vec![0; 2000]));
        assert!(matches!(long, Err(PeerError::TooLong { bytes: 2000, max }) if max > 1000));
    });
}

#[test]
fn a_stream_keeps_its_order_and_holds_its_writer_back() {
    run(async {
        let (a, mut b) = pair();
        let sender = a.open(&b, 5).await;
        let part = Bytes::from(vec![1; 60_000]);
        // More than the queue and the window hold: without a reader, the writer stands still.
        let mut sent: u32 = 0;
        let mut full = 0;
        while full < 200 {
            match sender.try_send(&[Bytes::copy_from_slice(&sent.to_le_bytes()), part.clone()]) {
                Ok(()) => (sent, full) = (sent + 1, 0),
                Err(PeerError::Full) => {
                    full += 1;
                    // Lets the endpoint work; with a round trip it had all its chances.
                    a.call(&b, ECHO, b"").await.unwrap();
                }
                Err(error) => unreachable!("{error}"),
            }
        }
        let held = sent as usize * (part.len() + 8);
        let most = limits::PEER_QUEUE_BYTES_MAX + limits::PEER_STREAM_WINDOW_BYTES as usize;
        assert!((most / 2..most + 2 * part.len()).contains(&held), "{held}");
        assert!(sender.queued_bytes() <= limits::PEER_QUEUE_BYTES_MAX + part.len() + 8);
        let (from, kind, mut receiver) = b.stream().await;
        assert_eq!((from, kind), (a.id, 5));
        let write = async {
            for number in sent..sent + 500 {
                let number = Bytes::copy_from_slice(&number.to_le_bytes());
                let parts = if number[0].is_multiple_of(2) {
                    vec![number]
                } else {
                    vec![number, part.clone()]
                };
                sender.send(&parts).await.unwrap();
            }
            sender.finish().await.unwrap();
        };
        let read = async {
            let mut next: u32 = 0;
            while let Some(message) = receiver.next().await.unwrap() {
                assert_eq!(message[..4], next.to_le_bytes());
                assert!(message.len() == 4 || message[4..] == part);
                next += 1;
            }
            assert_eq!(next, sent + 500);
        };
        tokio::join!(write, read);
    });
}

#[test]
fn a_slow_reader_is_nobody_elses_problem() {
    run(async {
        let (a, mut b) = pair();
        let slow = a.open(&b, 1).await;
        let part = Bytes::from(vec![1; 1_000_000]);
        let (mut full, mut kept) = (0, Vec::new());
        while full < 100 {
            if slow.try_send(from_ref(&part)) == Err(PeerError::Full) {
                full += 1;
                a.call(&b, ECHO, b"").await.unwrap();
            }
        }
        kept.push(b.stream().await);
        let fast = a.open(&b, 2).await;
        let write = async {
            for _ in 0..100 {
                fast.send(from_ref(&part)).await.unwrap();
            }
            fast.finish().await.unwrap();
        };
        let read = async {
            let (_, kind, mut receiver) = b.stream().await;
            let mut count = 0;
            while receiver.next().await.unwrap().is_some() {
                count += 1;
            }
            assert_eq!((kind, count), (2, 100));
        };
        tokio::join!(write, read);
        assert_eq!(slow.try_send(&[part]), Err(PeerError::Full));
        assert_eq!(kept.len(), 1);
    });
}

#[test]
fn a_stream_that_nobody_wants_says_so() {
    run(async {
        let (a, mut b) = pair();
        let sender = a.open(&b, 1).await;
        drop(b.stream().await);
        let part = Bytes::from(vec![1; 100_000]);
        let error = loop {
            if let Err(error) = sender.send(from_ref(&part)).await {
                break error;
            }
        };
        assert_eq!(error, PeerError::Refused);
        // And dropping the sender ends the stream for the reader.
        let sender = a.open(&b, 2).await;
        sender.send(&[Bytes::from_static(b"last")]).await.unwrap();
        drop(sender);
        let (_, _, mut receiver) = b.stream().await;
        assert_eq!(receiver.next().await.unwrap().unwrap(), "last");
        assert_eq!(receiver.next().await, Ok(None));
    });
}

#[test]
fn a_node_that_comes_back_is_found_at_once() {
    run(async {
        let authority = Authority::new().unwrap();
        let (mut a, identity) = (Node::new(&authority, 1), authority.identity(id(2)).unwrap());
        let b = Node::with(&identity, &any_port());
        a.knows(&[&b]);
        a.call(&b, ECHO, b"").await.unwrap();
        a.up(b.id).await;
        let mut options = any_port();
        options.address = b.endpoint.local_address();
        b.endpoint.close().await;
        let why = a.down(id(2)).await;
        assert!(why.contains("closing"), "{why}");
        drop(b);
        let b = bind_again(&identity, &options).await;
        assert_eq!(a.call(&b, WHO, b"").await.unwrap(), "2 to 1");
        a.up(b.id).await;
    });
}

/// The socket goes when the last task of the endpoint before has gone.
async fn bind_again(
    identity: &crabcache::security::Identity,
    options: &crabcache::peer::Options,
) -> Node {
    while std::net::UdpSocket::bind(options.address).is_err() {
        tokio::task::yield_now().await;
    }
    Node::with(identity, options)
}

#[test]
fn a_node_that_was_killed_and_restarted_tells_its_old_connections() {
    run(async {
        let authority = Authority::new().unwrap();
        let (mut a, identity) = (Node::new(&authority, 1), authority.identity(id(2)).unwrap());
        let mut options = any_port();
        // The first life of the node, on a thread and runtime that end without a word.
        let (told, first) = std::sync::mpsc::channel();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let key = std::sync::Arc::new(identity);
        let its_key = key.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let node = Node::with(&its_key, &any_port());
                told.send(node.endpoint.local_address()).unwrap();
                let _ = ended.await;
                drop(node);
            });
        });
        options.address = first.recv().unwrap();
        a.endpoint.set_peers(vec![(id(2), options.address.to_string())]);
        a.endpoint.call(id(2), ECHO, Bytes::new(), LONG).await.unwrap();
        a.up(id(2)).await;
        end.send(()).unwrap();
        thread.join().unwrap();
        let b = bind_again(&key, &options).await;
        let before = Duration::from_millis(limits::PEER_IDLE_MS_MAX / 2);
        let why = tokio::time::timeout(before, a.down(id(2))).await.expect("sooner than silence");
        assert!(why.contains("reset"), "{why}");
        assert_eq!(a.call(&b, WHO, b"").await.unwrap(), "2 to 1");
    });
}

#[test]
fn silence_during_a_call_ends_the_connection() {
    run(async {
        let authority = Authority::new().unwrap();
        let mut a = Node::new(&authority, 1);
        let b = Node::new(&authority, 2);
        // A relay between the two that goes deaf.
        let relay = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (at, b_at) = (relay.local_addr().unwrap(), b.endpoint.local_address());
        let (deafen, mut deaf) = tokio::sync::oneshot::channel::<()>();
        let relaying = tokio::spawn(async move {
            let (mut buffer, mut a_at) = (vec![0; 65536], None);
            loop {
                let got = tokio::select! {
                    got = relay.recv_from(&mut buffer) => got.unwrap(),
                    _ = &mut deaf => std::future::pending().await,
                };
                if got.1 != b_at {
                    a_at = Some(got.1);
                }
                let to = if got.1 == b_at { a_at.unwrap() } else { b_at };
                relay.send_to(&buffer[..got.0], to).await.unwrap();
            }
        });
        a.endpoint.set_peers(vec![(b.id, at.to_string())]);
        a.call(&b, ECHO, b"").await.unwrap();
        a.up(b.id).await;
        deafen.send(()).unwrap();
        // What is on its way may still arrive during the first call.
        let soon = Duration::from_millis(300);
        for _ in 0..2 {
            let late = a.endpoint.call(b.id, ECHO, Bytes::new(), soon).await;
            assert!(matches!(late, Err(PeerError::TimedOut | PeerError::Unreachable(_))));
        }
        assert!(a.down(b.id).await.contains("closed"));
        relaying.abort();
    });
}

#[test]
fn peers_come_go_and_move() {
    run(async {
        let authority = Authority::new().unwrap();
        let (mut a, b) = (Node::new(&authority, 1), Node::new(&authority, 2));
        // Nobody is at this address: bound, and never read.
        let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let gone = nobody.local_addr().unwrap().to_string();
        a.endpoint.set_peers(vec![(b.id, gone), (id(3), "no such host.invalid:1".into())]);
        let soon = Duration::from_millis(50);
        let call = |node: NodeId| a.endpoint.call(node, ECHO, Bytes::new(), soon);
        assert!(call(b.id).await.unwrap_err().is_unsent());
        assert!(call(id(3)).await.unwrap_err().is_unsent());
        a.endpoint.set_peers(vec![(b.id, b.address())]);
        a.call(&b, ECHO, b"").await.unwrap();
        a.up(b.id).await;
        a.endpoint.set_peers(Vec::new());
        a.down(b.id).await;
        assert_eq!(a.call(&b, ECHO, b"").await, Err(PeerError::Unknown(b.id)));
    });
}

#[test]
fn a_closed_endpoint_is_closed() {
    run(async {
        let (mut a, b) = pair();
        let sender = a.open(&b, 1).await;
        a.endpoint.close().await;
        a.down(b.id).await;
        let after = a.endpoint.call(b.id, ECHO, Bytes::new(), LONG).await;
        assert_eq!(after, Err(PeerError::Unknown(b.id)));
        assert!(matches!(sender.finish().await, Err(PeerError::Lost(_))));
    });
}
