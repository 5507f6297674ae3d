//! Bad days of the control plane, one test each; docs/CLUSTER.md lists them. Knows no wire and no
//! data.

mod control_world;

use cluster::control::{ControlCommand, Join, Outcome, Rejection, Settings};
use cluster::node::{NodeId, Phase, Protocols};
use cluster::slot::Group;
use control_world::{World, node};
use crabcache::control::{ControlError, Published, Store};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const ALL: [u64; 3] = [1, 2, 3];

fn others(number: u64) -> Vec<u64> {
    ALL.into_iter().filter(|other| *other != number).collect()
}

fn troubled(world: &World, number: u64, by: &str) {
    world.wait(number, by, |p| p.trouble.as_ref().is_some_and(|why| why.contains(by)));
}

fn back(world: &World, number: u64, incarnation: u64) {
    world.wait(number, "back", |p| {
        let here = p.me.is_some_and(|me| me.incarnation.0 == incarnation);
        here && p.leader.is_some() && p.trouble.is_none()
    });
}

fn served_by_others(p: &Published, number: u64) -> bool {
    Group::all().all(|group| p.topology.owner(group).is_some_and(|o| o.number() != number))
}

fn phase(number: u64, phase: Phase) -> ControlCommand {
    ControlCommand::SetPhase { node: node(number), phase, at: None }
}

#[test]
fn all_restart_without_their_data() {
    let mut world = World::formed(3);
    let before = world.published(1).state.cluster;
    world.set_moves(1, 33);
    ALL.into_iter().for_each(|number| world.stop(number));
    ALL.into_iter().for_each(|number| world.wipe(number));
    ALL.into_iter().for_each(|number| world.start(number));
    // Nobody knows of a cluster any more: they form another.
    for number in ALL {
        back(&world, number, 1);
        let state = &world.published(number).state;
        assert_ne!(state.cluster, before);
        assert_eq!(state.cluster, world.published(1).state.cluster);
        assert_eq!(state.settings.moves_max, Settings::default().moves_max);
    }
}

#[test]
fn a_majority_that_lost_its_disks_is_no_cluster_of_its_own() {
    let mut world = World::formed(3);
    for number in [2, 3] {
        world.stop(number);
        world.wipe(number);
    }
    [2, 3].into_iter().for_each(|number| world.start(number));
    for number in [2, 3] {
        world.wait(number, "refused", |p| p.trouble.is_some());
    }
    // The one that has its disk cannot give them seats: it is no majority.
    let refused = world.runtime.block_on(world.control(1).propose(phase(3, Phase::Draining)));
    assert!(
        matches!(refused, Err(ControlError::NoLeader(_) | ControlError::Unknown)),
        "{refused:?}"
    );
    assert!([2, 3].into_iter().all(|number| !world.published(number).state.is_formed()));
}

#[test]
fn a_cut_in_one_direction_stops_nobody_else() {
    let world = World::formed(3);
    for (round, leader_sends) in [(21, true), (22, false)] {
        let leader = world.leader(&ALL);
        let followers = others(leader);
        let (deaf, third) = (followers[0], followers[1]);
        if leader_sends {
            world.network.cut(node(leader), node(deaf));
        } else {
            world.network.cut(node(deaf), node(leader));
        }
        world.set_moves(third, round);
        world
            .wait(third, "served", |p| Group::all().all(|group| p.topology.owner(group).is_some()));
        world.network.heal();
        world.all_know(&ALL, round);
    }
}

/// A world whose node `number` has a disk that can be full.
fn with_disk(world: &mut World, number: u64) -> Arc<AtomicBool> {
    let full = Arc::new(AtomicBool::new(false));
    let store = Store::Fillable(world.folder(number), full.clone());
    world.start_with(number, |options| options.store = store);
    full
}

/// Whether a node ever publishes something older than what it published before.
fn follow(world: &World, number: u64) -> Arc<AtomicBool> {
    let went_back = Arc::new(AtomicBool::new(false));
    let (noted, control) = (went_back.clone(), Arc::downgrade(&world.control(number)));
    let mut changes = world.control(number).changes();
    world.runtime.spawn(async move {
        let mut newest = (0, 0);
        while let Some(control) = control.upgrade() {
            let published = control.published();
            drop(control);
            let now = (published.applied_index, published.state.version);
            noted.fetch_or(now.0 < newest.0 || now.1 < newest.1, Ordering::Relaxed);
            newest = now.max(newest);
            if changes.changed().await.is_err() {
                return;
            }
        }
    });
    went_back
}

#[test]
fn a_full_disk_under_the_log_of_the_leader() {
    let mut world = World::new(3);
    let disks: Vec<Arc<AtomicBool>> =
        ALL.into_iter().map(|number| with_disk(&mut world, number)).collect();
    ALL.into_iter().for_each(|number| back(&world, number, 1));
    let leader = world.leader(&ALL);
    let place = usize::try_from(leader - 1).unwrap();
    let went_back = follow(&world, leader);
    disks[place].store(true, Ordering::Relaxed);
    // It finds out with the next entry, says so, and stops; the others go on.
    let asked = world.runtime.block_on(world.control(leader).propose(phase(leader, Phase::Active)));
    assert_ne!(asked, Ok(Outcome::Done));
    troubled(&world, leader, "the control store");
    world.set_moves(others(leader)[0], 44);
    world.wait(others(leader)[0], "failed over", |p| served_by_others(p, leader));
    let control = world.control(leader);
    let refused = world.runtime.block_on(control.propose(phase(leader, Phase::Draining)));
    assert!(refused.is_err(), "{refused:?}");
    assert!(!control.lease_ok());
    // With room again it comes back by itself, as the same start of the node.
    disks[place].store(false, Ordering::Relaxed);
    back(&world, leader, 1);
    world.all_know(&[leader], 44);
    // The rest of the node never saw what it had seen before.
    assert!(!went_back.load(Ordering::Relaxed));
    world.stop(leader);
    world.start(leader);
    back(&world, leader, 2);
    world.all_know(&[leader], 44);
}

#[test]
fn full_disks_everywhere_lose_nothing_that_was_decided() {
    let mut world = World::new(3);
    let disks: Vec<Arc<AtomicBool>> =
        ALL.into_iter().map(|number| with_disk(&mut world, number)).collect();
    ALL.into_iter().for_each(|number| back(&world, number, 1));
    world.set_moves(1, 55);
    disks.iter().for_each(|disk| disk.store(true, Ordering::Relaxed));
    let refused = world.runtime.block_on(world.control(2).propose(phase(3, Phase::Draining)));
    assert!(refused.is_err(), "{refused:?}");
    troubled(&world, world.published(1).state.voters().next().unwrap().number(), "");
    disks.iter().for_each(|disk| disk.store(false, Ordering::Relaxed));
    ALL.into_iter().for_each(|number| back(&world, number, 1));
    world.set_moves(3, 56);
    world.all_know(&ALL, 56);
}

#[test]
fn versions_side_by_side() {
    let mut world = World::new(3);
    let run = |world: &mut World, number, min, max| {
        world.start_with(number, |options| options.protocol = Protocols { min, max });
    };
    ALL.into_iter().for_each(|number| run(&mut world, number, 1, 1));
    ALL.into_iter().for_each(|number| back(&world, number, 1));
    assert_eq!(world.published(1).state.protocol, 1);
    // One after the other gets the new version; the old protocol is spoken until the last has it.
    for (number, spoken) in [(3, 1), (2, 1), (1, 2)] {
        world.stop(number);
        run(&mut world, number, 1, 2);
        back(&world, number, 2);
        world.set_moves(number, 60 + u16::try_from(number).unwrap());
        assert_eq!(world.published(number).state.protocol, spoken);
    }
    // The old version is not let in any more, whether it was there or not, and is told why.
    world.stop(3);
    run(&mut world, 3, 1, 1);
    troubled(&world, 3, "this node speaks protocol 1 to 1, the cluster 2");
    let hash = world.token(1, 4);
    world.start_with(4, |options| {
        (options.token, options.protocol) = (Some(hash), Protocols { min: 1, max: 1 });
    });
    troubled(&world, 4, "this node speaks protocol 1 to 1, the cluster 2");
    world.stop(4);
    // Nothing of that cost the token or the seat.
    run(&mut world, 4, 2, 9);
    assert!(world.published(1).state.tokens.contains_key(&hash));
    world.stop(4);
    world.start_with(4, |options| {
        (options.token, options.protocol) = (Some(hash), Protocols { min: 2, max: 9 });
    });
    back(&world, 4, 1);
    world.stop(3);
    run(&mut world, 3, 2, 2);
    back(&world, 3, 3);
}

#[test]
fn a_node_with_another_hash_of_keys() {
    let mut world = World::formed_with(3, Settings { hash_seed: 5, ..Settings::default() });
    world.settings.hash_seed = 6;
    let hash = world.token(1, 4);
    world.start_with(4, |options| options.token = Some(hash));
    troubled(&world, 4, "another seed of the hash of keys");
    assert!(!world.published(1).state.nodes.contains_key(&node(4)));
    world.stop(3);
    world.start(3);
    troubled(&world, 3, "this node does not fit its cluster: another seed of the hash of keys");
    assert_eq!(world.published(3).me, None);
    world.settings.hash_seed = 5;
    world.stop(3);
    world.start(3);
    back(&world, 3, 2);
}

#[test]
fn who_is_no_seed_needs_a_token() {
    let mut world = World::formed(3);
    world.start(4);
    troubled(&world, 4, "has no one-time token that counts");
    assert!(!world.published(1).state.nodes.contains_key(&node(4)));
    world.stop(4);
    // Another's token does not do, its own does, once.
    let hash = world.token(1, 5);
    world.start_with(4, |options| options.token = Some(hash));
    troubled(&world, 4, "has no one-time token that counts");
    world.stop(4);
    world.start_joining(4);
    back(&world, 4, 1);
    let state = world.published(1).state.clone();
    assert!(state.tokens.keys().eq([&hash]), "{:?}", state.tokens);
    // Who is of the cluster needs none, even without its disk; who was removed does again.
    world.stop(4);
    world.wipe(4);
    world.start(4);
    back(&world, 4, 2);
    world.decide(1, |_| phase(4, Phase::Gone));
    world.stop(4);
    world.start(4);
    troubled(&world, 4, "has no one-time token that counts");
    // A seed that was removed is let in, and so is everybody where that is wished.
    world.decide(1, |_| phase(3, Phase::Gone));
    world.stop(3);
    world.start(3);
    back(&world, 3, 2);
    world.decide(1, |p| {
        let settings = Settings { join: Join::Certificate, ..p.state.settings.clone() };
        ControlCommand::Settings { settings, at: None }
    });
    back(&world, 4, 3);
}

#[test]
fn an_interrupted_removal_is_what_it_was_whoever_leads() {
    let mut world = World::formed(3);
    let leader = world.leader(&ALL);
    let (gone, left) = (others(leader)[0], others(leader)[1]);
    world.decide(left, |_| phase(gone, Phase::Leaving));
    // Neither who asked for it nor who led then is there any more.
    world.stop(leader);
    world.wait(left, "led by another", |p| p.leader.is_some_and(|l| l.number() != leader));
    world.wait(left, "told", |p| p.state.nodes[&node(gone)].phase == Phase::Leaving);
    world.decide(left, |_| phase(gone, Phase::Leaving));
    world.decide(left, |_| phase(gone, Phase::Active));
    world.start(leader);
    back(&world, leader, 2);
    world.wait(leader, "told", |p| p.state.nodes[&node(gone)].phase == Phase::Active);
}

#[test]
fn of_two_operators_who_saw_the_same_one_is_told_to_look_again() {
    let world = World::formed(3);
    let at = Some(world.published(1).state.revision);
    world.wait(2, "told", |p| Some(p.state.revision) == at);
    let drain =
        |number| ControlCommand::SetPhase { node: node(number), phase: Phase::Draining, at };
    let settings = |moves_max| ControlCommand::Settings {
        settings: Settings { moves_max, ..world.published(1).state.settings.clone() },
        at: world.published(1).state.revision.into(),
    };
    let (one, two) = (world.control(1), world.control(2));
    let both = |first, second| {
        let (one, two) = (one.clone(), two.clone());
        world.runtime.block_on(async move { tokio::join!(one.propose(first), two.propose(second)) })
    };
    let done = Ok(Outcome::Done);
    let late = Ok(Outcome::Rejected(Rejection::Revision));
    // Two nodes of three are not drained by two who each saw three.
    let (first, second) = both(drain(2), drain(3));
    assert!([&first, &second].contains(&&done), "{first:?} {second:?}");
    assert!([&first, &second].contains(&&late), "{first:?} {second:?}");
    let draining = |p: &Published| {
        p.state.nodes.values().filter(|known| known.phase == Phase::Draining).count() == 1
    };
    world.wait(1, "told", draining);
    let (first, second) = both(settings(71), settings(72));
    assert!([&first, &second].contains(&&done), "{first:?} {second:?}");
    assert!([&first, &second].contains(&&late), "{first:?} {second:?}");
}

#[test]
fn of_two_nodes_the_voter_may_leave_and_may_not_die() {
    let mut world = World::formed(2);
    // Both vote first: they formed the cluster together.
    world.wait(1, "one voter", |p| p.voters.len() == 1);
    let voter = world.published(1).voters.iter().copied().next().map_or(0, NodeId::number);
    let other = 3 - voter;
    world.stop(voter);
    let refused = world.runtime.block_on(world.control(other).propose(phase(other, Phase::Active)));
    assert!(refused.is_err(), "{refused:?}");
    world.start(voter);
    back(&world, voter, 2);
    world.set_moves(other, 81);
    world.decide(other, |_| phase(voter, Phase::Leaving));
    world.wait(other, "the voter", |p| p.voters.iter().eq([&node(other)]));
    world.decide(other, |_| phase(voter, Phase::Gone));
    world.stop(voter);
    world.set_moves(other, 82);
}

#[test]
fn five_nodes_vote_and_bear_the_loss_of_two() {
    let mut world = World::formed(3);
    [4, 5].into_iter().for_each(|number| world.start_joining(number));
    for number in 1..=5 {
        world.wait(number, "five voters", |p| p.voters.len() == 5);
    }
    let leader = world.leader(&[1, 2, 3, 4, 5]);
    let second = leader % 5 + 1;
    [leader, second].into_iter().for_each(|number| world.stop(number));
    let left = (1..=5).find(|number| ![leader, second].contains(number)).unwrap();
    world.set_moves(left, 91);
}

#[test]
fn who_was_away_for_long_gets_a_snapshot() {
    let mut world = World::formed(3);
    let away = others(world.leader(&ALL))[0];
    let asked = others(away)[0];
    world.stop(away);
    let before = world.published(asked).applied_index;
    // More than are kept behind a snapshot.
    let mut done = 0;
    while world.published(asked).applied_index < before + 1600 {
        let control = world.control(asked);
        let at_once = (0..32u8).map(|number| {
            let hash = [number; 32];
            let control = control.clone();
            async move {
                let token = cluster::control::Token { node: None, expires_at_ms: u64::MAX };
                let added = control.propose(ControlCommand::AddToken { hash, token }).await;
                let gone = control.propose(ControlCommand::RemoveToken(hash)).await;
                usize::from(added.is_ok()) + usize::from(gone.is_ok())
            }
        });
        let all = at_once.collect::<Vec<_>>();
        done += world.runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            all.into_iter().for_each(|task| drop(tasks.spawn(task)));
            tasks.join_all().await.into_iter().sum::<usize>()
        });
        assert!(done > 0, "nothing is decided");
    }
    world.set_moves(asked, 99);
    world.start(away);
    back(&world, away, 2);
    world.all_know(&ALL, 99);
    // By no other way: the others have no longer what it lacked.
    let voters = world.published(away).voters.len();
    assert_eq!(voters, 3);
    for number in others(away) {
        world.stop(number);
        let store = Database::open(world.folder(number).join("raft.redb")).unwrap();
        let log: TableDefinition<u64, &[u8]> = TableDefinition::new("log");
        let read = store.begin_read().unwrap();
        let first = read.open_table(log).unwrap().first().unwrap().unwrap().0.value();
        assert!(first > before + 1, "{number} has everything from {first} on, {before} was seen");
    }
    // And it is as good as another's: with the others back it goes on.
    others(away).into_iter().for_each(|number| world.start(number));
    world.set_moves(away, 100);
    world.all_know(&ALL, 100);
}

/// Leases, heartbeats and elections go by a clock that nobody sets.
#[test]
fn the_time_of_day_counts_where_that_is_said() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for (room, allowed) in [("control", &["members.rs"][..]), ("peer", &[]), ("worker", &[])] {
        for entry in std::fs::read_dir(root.join("src").join(room)).unwrap() {
            let path = entry.unwrap().path();
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            let name = path.file_name().unwrap().to_str().unwrap();
            let of_lease = room != "worker" || ["gate.rs", "view.rs"].contains(&name);
            let reads = text.contains("clock::now()") || text.contains("SystemTime");
            assert!(!reads || !of_lease || allowed.contains(&name), "{}", path.display());
        }
    }
}
