//! Control planes that form, lose and find each other: good days and bad ones. Knows no wire and no
//! data.

mod control_world;

use cluster::control::{ControlCommand, Outcome, Settings};
use cluster::node::Phase;
use cluster::slot::Group;
use control_world::{World, node};
use crabcache::control::{ControlError, Published};
use std::path::Path;
use std::time::Duration;

fn without(p: &Published, number: u64) -> bool {
    Group::all().all(|group| p.topology.owner(group).is_some_and(|o| o.number() != number))
}

fn with_moves(moves_max: u16) -> ControlCommand {
    let settings = Settings { moves_max, ..Settings::default() };
    ControlCommand::Settings { settings, at: None }
}

/// Settings in force, but for this.
fn settings(p: &Published, moves_max: u16) -> ControlCommand {
    let settings = Settings { moves_max, ..p.state.settings.clone() };
    ControlCommand::Settings { settings, at: None }
}

#[test]
fn three_blank_nodes_form_one_cluster() {
    let world = World::formed(3);
    let first = world.published(1);
    assert!(Group::all().all(|group| first.topology.owner(group).is_some()));
    for number in 2..=3 {
        world.wait(number, "the same", |p| p.state.cluster == first.state.cluster);
    }
    assert_eq!(first.state.voters().count(), 3);
    // From any node, whoever leads.
    for number in 1..=3 {
        let moves = 20 + u16::try_from(number).unwrap();
        let control = world.control(number);
        let command = settings(&control.published(), moves);
        let outcome = world.runtime.block_on(control.propose(command));
        assert_eq!(outcome, Ok(Outcome::Done));
        world.wait(number, "told", |p| p.state.settings.moves_max == moves);
    }
}

#[test]
fn a_dead_leader_is_replaced_and_so_is_a_dead_primary() {
    let mut world = World::formed(3);
    let dead = world.leader(&[1, 2, 3]);
    let alive: Vec<u64> = (1..=3).filter(|number| *number != dead).collect();
    assert!(!without(&world.published(alive[0]), dead));
    world.stop(dead);
    for &number in &alive {
        world.wait(number, "failed over", |p| without(p, dead));
    }
    world.start(dead);
    world.wait(dead, "back", |p| p.me.is_some_and(|me| me.incarnation.0 == 2));
}

#[test]
fn a_minority_decides_nothing_and_says_why() {
    let world = World::formed(3);
    let all = [1, 2, 3].map(node);
    let cut = world.leader(&[1, 2, 3]);
    let alive: Vec<u64> = (1..=3).filter(|number| *number != cut).collect();
    world.network.isolate(node(cut), &all);
    world.wait(alive[0], "led by another", |p| p.leader.is_some_and(|l| l.number() != cut));
    world.wait(alive[0], "failed over", |p| without(p, cut));
    let control = world.control(cut);
    let refused = world.runtime.block_on(control.propose(with_moves(9)));
    assert!(
        matches!(&refused, Err(ControlError::NoLeader(reason)) if !reason.is_empty())
            || refused == Err(ControlError::Unknown),
        "{refused:?}"
    );
    assert!(!control.lease_ok());
    world.network.heal();
    world.wait(cut, "told", |p| without(p, cut));
    let outcome = world.runtime.block_on(control.propose(settings(&control.published(), 9)));
    assert_eq!(outcome, Ok(Outcome::Done));
}

#[test]
fn all_restart_and_know_everything() {
    let mut world = World::formed(3);
    let before = world.published(1);
    let command = settings(&before, 33);
    assert_eq!(world.control(2).propose_blocking(command), Ok(Outcome::Done));
    (1..=3).for_each(|number| world.stop(number));
    (1..=3).for_each(|number| world.start(number));
    for number in 1..=3 {
        world.wait(number, "registered anew", |p| p.me.is_some_and(|me| me.incarnation.0 == 2));
        let now = world.published(number);
        assert_eq!(now.state.cluster, before.state.cluster);
        assert_eq!(now.state.settings.moves_max, 33);
    }
}

#[test]
fn two_of_three_restart_at_once() {
    let mut world = World::formed(3);
    (2..=3).for_each(|number| world.stop(number));
    (2..=3).for_each(|number| world.start(number));
    for number in 2..=3 {
        world.wait(number, "registered anew", |p| p.me.is_some_and(|me| me.incarnation.0 == 2));
    }
    world.leader(&[1, 2, 3]);
}

#[test]
fn a_wiped_node_gets_a_new_seat_and_no_cluster_of_its_own() {
    let mut world = World::formed(3);
    let cluster = world.published(1).state.cluster;
    // Even the first of the seeds, while nobody else can be asked.
    world.stop(1);
    world.wipe(1);
    world.network.isolate(node(1), &[1, 2, 3].map(node));
    world.start(1);
    world.wait(1, "waiting", |p| {
        p.trouble.as_ref().is_some_and(|why| why.contains("node-2:7101, node-3:7101"))
    });
    assert!(!world.published(1).state.is_formed());
    world.network.heal();
    world.wait(1, "back", |p| p.me.is_some_and(|me| me.incarnation.0 == 2));
    assert_eq!(world.published(1).state.cluster, cluster);
    // It votes again: the two others cannot decide without it.
    world.wait(1, "a voter", |p| p.voters.len() == 3);
    world.leader(&[1, 2, 3]);
    world.stop(3);
    let control = world.control(1);
    let outcome = world.runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                let command = settings(&control.published(), 12);
                if let Ok(outcome) = control.propose(command).await {
                    return outcome;
                }
            }
        })
        .await
    });
    assert_eq!(outcome, Ok(Outcome::Done));
}

#[test]
fn a_node_joins_and_leaves() {
    let mut world = World::formed(3);
    world.start_joining(4);
    world.wait(4, "registered", |p| p.me.is_some() && p.leader.is_some());
    let control = world.control(4);
    let leave = ControlCommand::SetPhase { node: node(4), phase: Phase::Draining, at: None };
    assert_eq!(world.runtime.block_on(control.propose(leave)), Ok(Outcome::Done));
    world.wait(1, "told", |p| p.state.nodes[&node(4)].phase == Phase::Draining);
}

#[test]
fn a_node_returns_with_another_address() {
    let mut world = World::formed(3);
    let moved = world.leader(&[1, 2, 3]) % 3 + 1;
    world.stop(moved);
    world.start_at(moved, "elsewhere:1");
    world.wait(moved, "back", |p| p.me.is_some_and(|me| me.incarnation.0 == 2));
    for number in 1..=3 {
        world.wait(number, "told", |p| {
            p.state.nodes[&node(moved)].addresses.control == "elsewhere:1"
        });
    }
    world.leader(&[1, 2, 3]);
}

#[test]
fn two_operators_at_once_both_get_an_answer() {
    let world = World::formed(3);
    let phase = |phase| ControlCommand::SetPhase { node: node(3), phase, at: None };
    let (one, other) = (world.control(1), world.control(2));
    let (one, other) = world.runtime.block_on(async {
        tokio::join!(one.propose(phase(Phase::Draining)), other.propose(phase(Phase::Draining)))
    });
    assert_eq!((one, other), (Ok(Outcome::Done), Ok(Outcome::Done)));
}

#[test]
fn a_slow_network_is_enough() {
    let world = World::new(3);
    world.network.set_delay(Duration::from_millis(10));
    let mut world = world;
    (1..=3).for_each(|number| world.start(number));
    for number in 1..=3 {
        world.wait(number, "registered", |p| p.me.is_some());
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("a file");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

#[test]
fn a_second_process_of_a_node_is_sent_away_while_the_first_one_runs() {
    let mut world = World::formed(3);
    for (name, copied) in [(31, false), (32, true)] {
        if copied {
            world.stop(3);
            copy(&world.folder(3), &world.folder(name));
            world.start(3);
            world.wait(3, "back", |p| p.me.is_some() && p.leader.is_some());
        }
        let second = format!("second-{name}:7101");
        world.start_as(3, name, &second);
        world.wait(name, "sent away", |p| p.must_end.is_some());
        let published = world.published(name);
        let why = published.must_end.as_deref().expect("a reason");
        assert!(why.starts_with("node 3 is running already, at node-3:7101"), "{why}");
        assert_eq!(published.me, None);
        // Nobody has taken the first one for dead, or asked the second one instead of it.
        let moves = u16::try_from(name).expect("small");
        world.set_moves(1, moves);
        world.all_know(&[1, 2, 3], moves);
        world.stop(name);
    }
    // Once the first one is gone, another may come in its place.
    world.stop(3);
    world.start_as(3, 33, "second-33:7101");
    world.wait(33, "let in", |p| p.me.is_some() && p.leader.is_some());
}
