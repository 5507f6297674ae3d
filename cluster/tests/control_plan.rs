//! Whole lives of clusters from a seed: nodes come, go, are drained, die and return; an instant
//! executor stands in for the primaries. After every command the invariants; in the end rest.

use cluster::control::{
    Change, ControlCommand, ControlState, Credential, GroupChange, Health, Outcome, Position,
    Replication, Settings, plan, positions_wanted,
};
use cluster::node::{ClusterId, Incarnation, Member, NodeId, Phase, Protocols, Registration};
use cluster::record::{Epoch, Seq};
use cluster::slot::{GROUPS, Group};
use cluster::time::Millis;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// A cluster whose primaries act at once, and whose copies are numbers.
struct World {
    state: ControlState,
    health: Health,
    now: Millis,
    starts: u64,
    /// Whose copies are complete, and how far they have come.
    copies: BTreeMap<(NodeId, Group), Position>,
    /// Nodes that are drained, leave or are gone take no part in balance.
    lost: u64,
}

fn node(number: u64) -> NodeId {
    NodeId::new(number).expect("not 0")
}

impl World {
    fn form(count: u64, seed: u64, zones: u64) -> World {
        let mut world = World {
            state: ControlState::blank(),
            health: Health::default(),
            now: Millis(1_000_000),
            starts: 0,
            copies: BTreeMap::new(),
            lost: 0,
        };
        let nodes: Vec<_> = (1..=count).map(|n| world.registration(n, zones, false)).collect();
        let settings = Settings { hash_seed: seed, ..Settings::default() };
        let formed = ControlCommand::Form { cluster: ClusterId(1), settings, nodes };
        assert_eq!(world.apply(&formed), Outcome::Done);
        world.health.up = (1..=count).map(node).collect();
        world.fill_copies();
        world
    }

    fn registration(&mut self, number: u64, zones: u64, restored: bool) -> Registration {
        self.starts += 1;
        let (zone, protocol) = (format!("zone {}", number % zones), Protocols { min: 1, max: 3 });
        let new = Registration::new(node(number), self.starts);
        Registration { zone, protocol, restored, ..new }
    }

    /// Every complete copy of an acting primary has all of its records.
    fn fill_copies(&mut self) {
        for (group, config) in self.state.groups() {
            let Some(primary) = config.primary else { continue };
            if !self.health.is_up(primary.node) || !self.state.is_current(primary) {
                continue;
            }
            let now = Position { epoch: config.epoch, seq: Seq(config.version) };
            for member in &config.in_sync {
                if self.health.is_up(member.node) {
                    self.copies.insert((member.node, group), now);
                }
            }
        }
    }

    /// Applies, and holds the invariants.
    fn apply(&mut self, command: &ControlCommand) -> Outcome {
        let before = self.state.clone();
        let outcome = self.state.apply(command);
        let mut again = before.clone();
        again.apply(command);
        assert_eq!(again, self.state, "not deterministic");
        assert!(self.state.version >= before.version);
        assert_eq!(self.state.version != before.version, self.state != before, "{command:?}");
        assert!(self.state.protocol >= before.protocol);
        for (group, config) in self.state.groups() {
            let old = before.group(group);
            assert!(config.version >= old.version && config.epoch >= old.epoch);
            assert_eq!(config.version != old.version, config != old, "{command:?}");
            if config.primary != old.primary && config.primary.is_some() {
                assert!(config.epoch > old.epoch, "two primaries in an epoch: {command:?}");
            }
            let nodes: BTreeSet<NodeId> = config.nodes().collect();
            assert_eq!(nodes.len(), config.in_sync.len() + config.learners.len());
            let floor = self.state.settings.floor();
            assert!(config.in_sync.len() >= floor || !self.state.is_formed());
            if let Some(primary) = config.primary {
                assert!(config.in_sync.contains(&primary) && self.state.is_current(primary));
            }
            assert_eq!(config.target.iter().collect::<BTreeSet<_>>().len(), config.target.len());
        }
        for (id, known) in &self.state.nodes {
            let before = before.nodes.get(id).map_or(Incarnation(0), |node| node.incarnation);
            assert!(known.incarnation >= before);
        }
        self.state.topology();
        outcome
    }

    /// What all primaries propose: shrink, expand, hand over.
    fn primaries_act(&mut self) -> bool {
        let mut changes = Vec::new();
        for (group, config) in self.state.groups() {
            let Some(by) = config.primary.filter(|by| self.health.is_up(by.node)) else { continue };
            let silent = config.in_sync.iter().find(|member| !self.health.is_up(member.node));
            // One that is being emptied meanwhile is refused until there is another target.
            let takes = |id| self.state.nodes.get(&id).is_some_and(|known| known.takes_copies());
            let able = |id: &NodeId| self.health.is_up(*id) && takes(*id);
            let learner = config.learners.iter().copied().find(able);
            let wanted = config.target.first().copied().filter(|id| takes(*id));
            let change = if let Some(silent) = silent {
                Change::Shrink { by, remove: silent.node, clear: true }
            } else if let Some(add) = learner.and_then(|node| self.state.member(node)) {
                Change::Expand { by, add, clear: true }
            } else if let Some(to) = wanted.and_then(|id| config.in_sync(id)).filter(|to| *to != by)
            {
                Change::Handover { by, to, clear: true }
            } else {
                continue;
            };
            changes.push(GroupChange { group, version: config.version, change });
        }
        if changes.is_empty() {
            return false;
        }
        let done = self.apply(&ControlCommand::Change(changes.clone()));
        let Outcome::Changed(results) = done else { panic!("changes are answered one by one") };
        for (change, result) in changes.iter().zip(&results) {
            assert_eq!(*result, Ok(()), "{change:?}");
        }
        self.fill_copies();
        true
    }

    /// The leader asks and plans, everything it proposes is applied, the primaries act; to rest.
    fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 5000, "the plan does not come to rest: {:?}", self.planned());
            let mut moved = self.lead();
            moved |= self.primaries_act();
            if !moved {
                break;
            }
        }
        assert!(self.planned().is_empty());
    }

    fn planned(&mut self) -> Vec<ControlCommand> {
        self.health.answered.clear();
        self.health.positions.clear();
        for (id, groups) in positions_wanted(&self.state, &self.health) {
            self.health.answered.insert(id);
            for group in groups {
                if let Some(position) = self.copies.get(&(id, group)) {
                    self.health.positions.insert((id, group), *position);
                }
            }
        }
        plan(&self.state, &self.health, self.now)
    }

    fn lead(&mut self) -> bool {
        let planned = self.planned();
        assert!(planned.len() < 30, "{} commands", planned.len());
        for command in &planned {
            if let ControlCommand::Change(changes) = command {
                changes.iter().for_each(|change| self.check_promotion(change));
            }
            match self.apply(command) {
                Outcome::Changed(results) => {
                    assert!(results.iter().all(Result::is_ok), "{command:?}: {results:?}");
                }
                outcome => assert_eq!(outcome, Outcome::Done, "{command:?}"),
            }
        }
        self.fill_copies();
        !planned.is_empty()
    }

    /// Nothing begins anew while a complete copy is up, and the best one is promoted.
    fn check_promotion(&mut self, change: &GroupChange) {
        let config = self.state.group(change.group);
        let mine = |(id, group): &(NodeId, Group)| {
            *group == change.group && self.health.is_up(*id) && config.is_holder(*id)
        };
        let copies = self.copies.iter().filter(|(key, _)| mine(key));
        let best = copies.map(|(_, position)| *position).max();
        match &change.change {
            Change::Recreate { .. } => {
                assert_eq!(best, None, "{change:?} {config:?}");
                self.lost += 1;
            }
            Change::Failover { to, .. } => {
                assert_eq!(self.copies.get(&(to.node, change.group)).copied(), best);
            }
            _ => {}
        }
    }

    fn kill(&mut self, id: NodeId) {
        self.health.up.remove(&id);
        self.health.down_since.insert(id, self.now);
    }

    fn start(&mut self, id: NodeId, zones: u64, restored: bool) {
        let registration = self.registration(id.number(), zones, restored);
        if !restored {
            self.copies.retain(|(holder, _), _| *holder != id);
        }
        self.health.up.insert(id);
        self.health.down_since.remove(&id);
        let outcome = self.apply(&ControlCommand::Register(registration));
        assert!(matches!(outcome, Outcome::Registered(_)), "{outcome:?}");
    }

    fn join(&mut self, number: u64, zones: u64) {
        let registration = self.registration(number, zones, false);
        self.copies.retain(|(holder, _), _| *holder != node(number));
        let credential = Credential::Seed;
        self.apply(&ControlCommand::Join { registration, credential });
        self.health.up.insert(node(number));
        self.health.down_since.remove(&node(number));
    }

    fn wait(&mut self, ms: u64) {
        self.now = self.now.after(ms);
    }

    /// Every active node has its share, and nobody else has anything.
    fn check_rest(&self) {
        let active: BTreeSet<NodeId> = self
            .state
            .nodes
            .iter()
            .filter(|(id, known)| known.takes_copies() && self.health.is_up(**id))
            .map(|(id, _)| *id)
            .collect();
        let factor = usize::from(self.state.settings.factor).min(active.len());
        let (mut copies, mut primaries) = (BTreeMap::new(), BTreeMap::new());
        for (_, config) in self.state.groups() {
            assert_eq!(config.learners, [], "{config:?}");
            assert_eq!(config.in_sync.len(), factor, "{config:?}");
            assert_eq!(config.primary.map(|member| member.node), config.target.first().copied());
            for member in &config.in_sync {
                *copies.entry(member.node).or_insert(0) += 1;
            }
            let primary = config.primary.expect("a primary");
            *primaries.entry(primary.node).or_insert(0) += 1;
        }
        assert!(copies.keys().eq(active.iter()) && primaries.keys().eq(active.iter()));
        for counts in [copies, primaries] {
            let (most, least) = (counts.values().max(), counts.values().min());
            assert!(most <= least.map(|least| least + 1).as_ref(), "{counts:?}");
        }
    }
}

/// What happens to a node, given by its place among those that are there.
#[derive(Clone, Copy, Debug)]
enum Event {
    Join,
    Phase(usize, Phase),
    Kill(usize),
    KillAll,
    Start(usize, bool),
    /// A restart so short that nobody noticed that it was down.
    Restart(usize, bool),
    Wait(u64),
    /// The leader acts once, and nobody waits for the end of it.
    Step,
    Settle,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let phase = prop_oneof![
        Just(Phase::Active),
        Just(Phase::Draining),
        Just(Phase::Leaving),
        Just(Phase::Gone),
    ];
    let event = prop_oneof![
        3 => Just(Event::Join),
        3 => (0..8usize, phase).prop_map(|(at, phase)| Event::Phase(at, phase)),
        3 => (0..8usize).prop_map(Event::Kill),
        1 => Just(Event::KillAll),
        4 => (0..8usize, any::<bool>()).prop_map(|(at, restored)| Event::Start(at, restored)),
        2 => (0..8usize, any::<bool>()).prop_map(|(at, restored)| Event::Restart(at, restored)),
        2 => prop_oneof![Just(1_000), Just(40_000), Just(400_000)].prop_map(Event::Wait),
        4 => Just(Event::Step),
        3 => Just(Event::Settle),
    ];
    prop::collection::vec(event, 1..14)
}

fn happen(world: &mut World, event: Event, zones: u64) {
    let of = |set: Vec<NodeId>, at: usize| set.get(at % set.len().max(1)).copied();
    let known: Vec<NodeId> = world.state.nodes.keys().copied().collect();
    let up: Vec<NodeId> = world.health.up.iter().copied().collect();
    let down: Vec<NodeId> = world
        .state
        .nodes
        .iter()
        .filter(|(id, known)| known.is_member() && !world.health.is_up(**id))
        .map(|(id, _)| *id)
        .collect();
    match event {
        Event::Join if known.len() < 9 => world.join(known.len() as u64 + 1, zones),
        Event::Join => {}
        Event::Phase(at, phase) => {
            let Some(id) = of(known, at) else { return };
            world.apply(&ControlCommand::SetPhase { node: id, phase, at: None });
            if world.state.nodes[&id].phase == Phase::Gone {
                world.kill(id);
            }
        }
        Event::Kill(at) => of(up, at).into_iter().for_each(|id| world.kill(id)),
        Event::KillAll => up.into_iter().for_each(|id| world.kill(id)),
        Event::Start(at, restored) => {
            of(down, at).into_iter().for_each(|id| world.start(id, zones, restored));
        }
        Event::Restart(at, restored) => {
            of(up, at).into_iter().for_each(|id| world.start(id, zones, restored));
        }
        Event::Wait(ms) => world.wait(ms),
        Event::Step => {
            world.lead();
        }
        Event::Settle => world.settle(),
    }
}

#[test]
fn a_node_that_is_emptied_on_its_way_to_lead_comes_to_rest() {
    let mut world = World::form(5, 7_355_175_358_981_716_636, 1);
    for event in [Event::Phase(6, Phase::Draining), Event::Step, Event::Phase(2, Phase::Draining)] {
        happen(&mut world, event, 1);
    }
    world.settle();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None,
        ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_it_comes_to_rest_in_balance(
        count in 1..6u64, seed: u64, zones in 1..4u64, events in events(),
    ) {
        let mut world = World::form(count, seed, zones);
        for event in events {
            happen(&mut world, event, zones);
        }
        // Everybody who may return does, drained nodes are taken back, and all settles.
        let all: Vec<NodeId> = world.state.nodes.keys().copied().collect();
        for id in all {
            let gone = world.state.nodes[&id].phase == Phase::Gone;
            if !gone && !world.health.is_up(id) {
                world.start(id, zones, true);
            }
        }
        world.settle();
        world.wait(40_000);
        world.settle();
        world.check_rest();
    }
}

#[test]
fn a_dead_node_costs_a_handful_of_commands_and_its_return_brings_everything_back() {
    let mut world = World::form(3, 11, 1);
    let before = world.state.topology();
    assert!(world.planned().iter().all(|command| !matches!(command, ControlCommand::Change(_))));
    world.kill(node(2));
    let planned = world.planned();
    let failovers = |command: &ControlCommand| match command {
        ControlCommand::Change(changes) => changes.len(),
        _ => 0,
    };
    assert_eq!(planned.len(), 2);
    assert!((341..=342).contains(&planned.iter().map(failovers).sum::<usize>()));
    world.settle();
    let after = world.state.topology();
    assert!(Group::all().all(|group| after.owner(group) != Some(node(2))));
    assert!(Group::all().all(|group| after.owner(group).is_some()));
    world.start(node(2), 1, false);
    world.settle();
    world.check_rest();
    let back = world.state.topology();
    assert!(Group::all().all(|group| back.owner(group) == before.owner(group)));
}

#[test]
fn a_lost_node_is_rebuilt_elsewhere_and_few_groups_move_at_a_time() {
    let mut world = World::form(4, 3, 1);
    world.kill(node(4));
    world.settle();
    world.wait(world.state.settings.down_to_lost_ms - 1);
    assert!(world.planned().is_empty());
    world.wait(1);
    let targets = |command: &ControlCommand| match command {
        ControlCommand::Change(changes) => changes.len(),
        _ => 0,
    };
    let moved: usize = world.planned().iter().map(targets).sum();
    assert_eq!(moved, usize::from(world.state.settings.moves_max));
    world.settle();
    world.check_rest();
}

#[test]
fn what_every_holder_lost_begins_anew_at_once_and_what_one_kept_does_not() {
    let mut world = World::form(2, 3, 1);
    for id in [1, 2] {
        world.kill(node(id));
    }
    world.start(node(1), 1, false);
    assert!(!world.lead(), "the other may come back");
    world.start(node(2), 1, false);
    world.settle();
    assert_eq!((world.lost, world.state.groups_lost), (1024, 1024));
    for id in [1, 2] {
        world.kill(node(id));
    }
    world.start(node(1), 1, true);
    world.start(node(2), 1, false);
    world.settle();
    assert_eq!(world.state.groups_lost, 1024);
    world.check_rest();
}

#[test]
fn a_group_whose_holders_stay_away_is_given_up_after_a_while() {
    let mut world = World::form(4, 8, 1);
    world.kill(node(1));
    world.kill(node(2));
    let orphans = |world: &World| {
        let both = |nodes: Vec<NodeId>| nodes.iter().all(|id| [node(1), node(2)].contains(id));
        world.state.groups().filter(|(_, config)| both(config.target.clone())).count() as u64
    };
    let lost = orphans(&world);
    assert!(lost > 0);
    world.settle();
    assert_eq!(world.state.groups_lost, 0);
    world.wait(world.state.settings.lost_group_after_ms);
    world.settle();
    assert_eq!(world.state.groups_lost, lost);
}

#[test]
fn a_copy_that_fell_behind_is_waited_for_where_no_other_is_left() {
    let mut world = World::form(2, 3, 1);
    let given_up_after_ms = world.state.settings.lost_group_after_ms;
    for (away_ms, lost) in [(given_up_after_ms - 1, 0), (given_up_after_ms, u64::from(GROUPS))] {
        world.kill(node(1));
        world.settle();
        world.kill(node(2));
        world.start(node(2), 1, false);
        world.wait(away_ms);
        world.settle();
        assert_eq!(world.state.groups_lost, lost);
        // It was out of reach, and is the same start.
        world.health.up.insert(node(1));
        world.settle();
    }
    world.check_rest();
}

#[test]
fn a_fresh_leader_that_has_heard_of_nobody_deposes_nobody() {
    let mut world = World::form(3, 8, 1);
    world.settle();
    let health = Health::default();
    let nothing = |command: &ControlCommand| !matches!(command, ControlCommand::Change(_));
    assert!(plan(&world.state, &health, Millis(0)).iter().all(nothing));
    assert_eq!(world.state.settings.replication, Replication::Async);
    assert_eq!(world.state.group(Group::new(GROUPS - 1).unwrap()).epoch, Epoch(1));
}

#[test]
fn a_drained_node_is_emptied_without_failover_and_comes_back() {
    let mut world = World::form(3, 21, 1);
    for phase in [Phase::Draining, Phase::Active, Phase::Leaving] {
        world.apply(&ControlCommand::SetPhase { node: node(3), phase, at: None });
        world.settle();
        world.check_rest();
        let keeps = world.state.groups().any(|(_, config)| config.is_holder(node(3)));
        assert_eq!(keeps, phase == Phase::Active);
    }
    let gone = ControlCommand::SetPhase { node: node(3), phase: Phase::Gone, at: None };
    assert_eq!(world.apply(&gone), Outcome::Done);
    let member = Member { node: node(3), incarnation: Incarnation(1) };
    assert!(!world.state.is_current(member));
}
