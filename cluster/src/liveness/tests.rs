//! Heartbeats and leases between a few nodes whose datagrams the test carries.

use super::{Input, Liveness, Output};
use crate::control::ControlState;
use crate::message::{Heartbeat, HeartbeatAck};
use crate::node::{Addresses, Incarnation, Member, Node, NodeId, Phase, Protocols};
use crate::time::Millis;

fn id(number: u64) -> NodeId {
    NodeId::new(number).unwrap()
}

fn member(number: u64) -> Member {
    Member { node: id(number), incarnation: Incarnation(1) }
}

/// A cluster of nodes 1 to `nodes`, of which the first `voters` vote.
fn state(nodes: u64, voters: u64) -> ControlState {
    let mut state = ControlState::blank();
    for number in 1..=nodes {
        let node = Node {
            incarnation: Incarnation(1),
            start: number,
            addresses: Addresses::default(),
            zone: String::new(),
            phase: Phase::Active,
            protocol: Protocols { min: 1, max: 1 },
            fingerprint: None,
            voter: number <= voters,
        };
        state.nodes.insert(id(number), node);
    }
    state
}

fn liveness(nodes: u64, voters: u64) -> Liveness {
    let mut it = Liveness::new(member(1), Millis(0));
    it.handle(Input::Applied(5, &state(nodes, voters)), Millis(0));
    it
}

fn ack(it: &mut Liveness, from: u64, sent: u64, index: u64, now: u64) {
    let ack = HeartbeatAck { from: member(from), echo_sent: Millis(sent), applied_index: index };
    it.handle(Input::Ack(ack), Millis(now));
}

fn beat(it: &mut Liveness, from: u64, silent: &[u64], lease_ok: bool, now: u64) {
    let heartbeat = Heartbeat {
        from: member(from),
        sent: Millis(now),
        applied_index: 5,
        hears_you: true,
        lease_ok,
        pressure: false,
        usable_bytes: 7,
        silent: silent.iter().map(|&n| id(n)).collect(),
    };
    it.handle(Input::Heartbeat(heartbeat), Millis(now));
}

fn tick_until(it: &mut Liveness, from: u64, to: u64) {
    (from..=to).step_by(10).for_each(|now| it.handle(Input::Tick, Millis(now)));
}

#[test]
fn a_majority_of_the_voters_makes_a_lease() {
    let mut it = liveness(6, 5);
    ack(&mut it, 2, 100, 5, 110);
    assert_eq!(it.lease_until(), Millis(0), "two of five");
    ack(&mut it, 6, 100, 5, 110);
    assert_eq!(it.lease_until(), Millis(0), "the sixth does not vote");
    ack(&mut it, 3, 200, 5, 210);
    assert_eq!(it.lease_until(), Millis(1000), "0.9 of a second from the older of the two");
    assert!(it.lease_ok(Millis(999)) && !it.lease_ok(Millis(1000)));
    ack(&mut it, 2, 50, 5, 220);
    assert_eq!(it.lease_until(), Millis(1000), "late answers take nothing away");
    assert_eq!(liveness(1, 1).lease_until(), Millis(u64::MAX));
}

#[test]
fn grants_by_who_knows_more_wait_until_this_node_does_too() {
    let mut it = liveness(3, 3);
    ack(&mut it, 2, 100, 5, 110);
    ack(&mut it, 2, 300, 6, 310);
    assert_eq!(it.lease_until(), Millis(1000), "the older grant stays");
    it.handle(Input::Applied(6, &state(3, 3)), Millis(320));
    assert_eq!(it.lease_until(), Millis(1200));
}

#[test]
fn it_takes_two_to_call_a_node_dead() {
    let mut it = liveness(3, 3);
    let keep = |it: &mut Liveness, silent: &[u64], from: u64| {
        for now in (from..from + 500).step_by(100) {
            beat(it, 2, silent, true, now);
            tick_until(it, now, now + 90);
        }
    };
    keep(&mut it, &[], 0);
    assert!(it.silent(Millis(490)).eq([id(3)]));
    assert!(it.is_up(id(3), Millis(490)), "a cut between two nodes is no death");
    keep(&mut it, &[3], 500);
    assert!(!it.is_up(id(3), Millis(990)));
    let down: Vec<_> = it.nodes().filter(|(_, down)| down.is_some()).collect();
    assert_eq!(down, [(id(3), Some(Millis(500)))]);
    beat(&mut it, 3, &[], true, 1000);
    tick_until(&mut it, 1000, 1000);
    assert!(it.is_up(id(3), Millis(1000)) && it.nodes().all(|(_, down)| down.is_none()));
}

#[test]
fn a_node_that_says_it_has_no_lease_is_down_after_a_while() {
    let mut it = liveness(3, 3);
    for now in (0..=400).step_by(100) {
        beat(&mut it, 2, &[], true, now);
        beat(&mut it, 3, &[], false, now);
        assert_eq!(it.is_up(id(3), Millis(now)), now < 400);
    }
}

#[test]
fn who_slept_accuses_nobody() {
    let mut it = liveness(2, 2);
    beat(&mut it, 2, &[], true, 0);
    tick_until(&mut it, 0, 100);
    it.handle(Input::Tick, Millis(5000));
    assert!(it.is_up(id(2), Millis(5000)));
    tick_until(&mut it, 5010, 5500);
    assert!(!it.is_up(id(2), Millis(5500)), "with nobody to ask, this node's word is enough");
}

#[test]
fn heartbeats_go_to_everybody_and_say_whose_answers_come() {
    let mut it = liveness(3, 3);
    ack(&mut it, 2, 0, 5, 0);
    it.handle(Input::Tick, Millis(0));
    let mut hears = Vec::new();
    while let Some(output) = it.poll() {
        let Output::Heartbeat(to, heartbeat) = output else { continue };
        hears.push((to, heartbeat.hears_you));
    }
    assert_eq!(hears, [(id(2), true), (id(3), false)]);
    assert_eq!(it.next_tick(), Millis(100));
    beat(&mut it, 9, &[], true, 10);
    assert_eq!(it.poll(), None, "a stranger gets no answer");
}
