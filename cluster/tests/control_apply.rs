//! What each control command does and what it refuses, and that no command can break the state.

use cluster::control::{
    Change, ControlCommand, ControlState, Credential, GroupChange, GroupConfig, Outcome, Rejection,
    Settings, Token,
};
use cluster::node::{ClusterId, Incarnation, Member, NodeId, Phase, Protocols, Registration};
use cluster::record::Epoch;
use cluster::slot::Group;
use proptest::prelude::*;

fn node(number: u64) -> NodeId {
    NodeId::new(number).expect("not 0")
}

fn member(number: u64, incarnation: u64) -> Member {
    Member { node: node(number), incarnation: Incarnation(incarnation) }
}

fn registration(number: u64, start: u64, restored: bool) -> Registration {
    let protocol = Protocols { min: 1, max: 2 };
    Registration { protocol, restored, ..Registration::new(node(number), start) }
}

fn formed(count: u64) -> ControlState {
    let mut state = ControlState::blank();
    let nodes = (1..=count).map(|number| registration(number, 1, false)).collect();
    let settings = Settings::default();
    let form = ControlCommand::Form { cluster: ClusterId(7), settings, nodes };
    assert_eq!(state.apply(&form), Outcome::Done);
    assert_eq!(state.apply(&form), Outcome::Rejected(Rejection::AlreadyFormed));
    state
}

/// A group with this primary and this replica.
fn kept_by(state: &ControlState, primary: u64, replica: u64) -> Group {
    let wanted = [node(primary), node(replica)];
    let found = state.groups().find(|(_, config)| config.target == wanted);
    found.map(|(group, _)| group).expect("such a group")
}

fn change(state: &mut ControlState, group: Group, change: Change) -> Result<(), Rejection> {
    let version = state.group(group).version;
    let one = GroupChange { group, version, change };
    match state.apply(&ControlCommand::Change(vec![one])) {
        Outcome::Changed(results) => results[0],
        outcome => panic!("{outcome:?}"),
    }
}

fn register(state: &mut ControlState, number: u64, start: u64, restored: bool) -> Outcome {
    state.apply(&ControlCommand::Register(registration(number, start, restored)))
}

#[test]
fn nothing_before_there_is_a_cluster() {
    let mut state = ControlState::blank();
    let outcome = register(&mut state, 1, 1, false);
    assert_eq!(outcome, Outcome::Rejected(Rejection::NotFormed));
    assert_eq!(state, ControlState::blank());
    assert_eq!(formed(5).voters().count(), 5);
}

#[test]
fn a_start_registers_once_and_a_new_one_ends_the_old() {
    let mut state = formed(3);
    let group = kept_by(&state, 1, 2);
    let version = state.version;
    assert_eq!(register(&mut state, 1, 1, false), Outcome::Registered(Incarnation(1)));
    assert_eq!(state.version, version);
    assert_eq!(register(&mut state, 1, 2, false), Outcome::Registered(Incarnation(2)));
    let config = state.group(group);
    assert_eq!((config.primary, &config.in_sync[..]), (None, &[member(2, 1)][..]));
    assert_eq!(config.learners, [node(1)]);
    assert_eq!(state.topology().owner(group), None);
    // The sole copy: what came back empty stays as a trace, what was restored is a copy.
    register(&mut state, 2, 2, false);
    assert_eq!(state.group(group).in_sync, [member(2, 1)]);
    assert_eq!(state.topology().holders(group).replicas, []);
    let mut state = formed(3);
    register(&mut state, 1, 2, true);
    register(&mut state, 2, 2, true);
    assert_eq!(state.group(group).in_sync, [member(2, 2)]);
    let (from, to) = (None, member(2, 2));
    assert_eq!(change(&mut state, group, Change::Failover { from, to }), Ok(()));
    assert_eq!(state.group(group).epoch, Epoch(2));
}

#[test]
fn a_hand_over_that_is_refused_is_refused_once_and_for_all() {
    let mut state = formed(3);
    let group = kept_by(&state, 1, 2);
    let (by, to) = (member(1, 1), member(2, 1));
    let handover = Change::Handover { by, to, clear: true };
    let phase = |phase| ControlCommand::SetPhase { node: node(2), phase, at: None };
    state.apply(&phase(Phase::Draining));
    let (before, version) = (state.group(group).clone(), state.version);
    let late = GroupChange { group, version: before.version, change: handover.clone() };
    assert_eq!(change(&mut state, group, handover.clone()), Err(Rejection::NotActive));
    // Nothing but the version, which tells the primary to go on.
    let after = state.group(group).clone();
    assert_eq!(after, GroupConfig { version: before.version + 1, ..before });
    assert_eq!(state.version, version + 1);
    state.apply(&phase(Phase::Active));
    let outcome = state.apply(&ControlCommand::Change(vec![late]));
    assert_eq!(outcome, Outcome::Changed(vec![Err(Rejection::Version)]));
    // Who is not primary tells nobody anything.
    let others = Change::Handover { by: member(3, 1), to, clear: true };
    assert_eq!(change(&mut state, group, others), Err(Rejection::NotPrimary));
    assert_eq!(state.group(group).version, after.version);
    assert_eq!(change(&mut state, group, handover), Ok(()));
}

#[test]
fn who_may_enter_the_in_sync_set() {
    let mut state = formed(3);
    let group = kept_by(&state, 1, 2);
    let (by, clear) = (member(1, 1), true);
    let shrink = Change::Shrink { by, remove: node(2), clear };
    assert_eq!(change(&mut state, group, shrink.clone()), Ok(()));
    assert_eq!(change(&mut state, group, shrink), Err(Rejection::NotHolder));
    let myself = Change::Shrink { by, remove: node(1), clear };
    assert_eq!(change(&mut state, group, myself), Err(Rejection::Primary));
    register(&mut state, 2, 2, false);
    let expand = |by, number, incarnation| {
        let add = member(number, incarnation);
        Change::Expand { by, add, clear }
    };
    assert_eq!(change(&mut state, group, expand(by, 2, 1)), Err(Rejection::Incarnation));
    assert_eq!(change(&mut state, group, expand(by, 3, 1)), Err(Rejection::NotHolder));
    assert_eq!(change(&mut state, group, expand(member(2, 2), 2, 2)), Err(Rejection::NotPrimary));
    for (phase, result) in [(Phase::Draining, Err(Rejection::NotActive)), (Phase::Active, Ok(()))] {
        state.apply(&ControlCommand::SetPhase { node: node(2), phase, at: None });
        assert_eq!(change(&mut state, group, expand(by, 2, 2)), result);
    }
    assert_eq!(change(&mut state, group, expand(by, 2, 2)), Err(Rejection::AlreadyHolder));
    assert_eq!(change(&mut state, group, Change::AddLearner(node(3))), Ok(()));
    let swap = Change::Swap { by, remove: node(2), add: member(3, 1), clear };
    assert_eq!(change(&mut state, group, swap), Ok(()));
    let config = state.group(group);
    assert_eq!(config.in_sync, [member(1, 1), member(3, 1)]);
    assert_eq!(config.learners, [node(2)]);
}

#[test]
fn roles_change_by_handover_and_failover() {
    let mut state = formed(3);
    let group = kept_by(&state, 1, 2);
    let stale = GroupChange { group, version: 9, change: Change::AddLearner(node(3)) };
    let outcome = state.apply(&ControlCommand::Change(vec![stale]));
    assert_eq!(outcome, Outcome::Changed(vec![Err(Rejection::Version)]));
    let hand = |by, to| Change::Handover { by, to, clear: true };
    let (one, two) = (member(1, 1), member(2, 1));
    assert_eq!(change(&mut state, group, hand(one, member(3, 1))), Err(Rejection::NotHolder));
    assert_eq!(change(&mut state, group, hand(one, two)), Ok(()));
    assert_eq!(state.group(group).in_sync, [one, two]);
    let fail = |from, to| Change::Failover { from: Some(from), to };
    assert_eq!(change(&mut state, group, fail(one, two)), Err(Rejection::NotPrimary));
    assert_eq!(change(&mut state, group, fail(two, member(3, 1))), Err(Rejection::NotHolder));
    assert_eq!(change(&mut state, group, fail(two, one)), Ok(()));
    let config = state.group(group);
    assert_eq!((config.epoch, config.primary), (Epoch(3), Some(one)));
    assert_eq!((&config.learners[..], &config.unreleased[..]), (&[node(2)][..], &[node(2)][..]));
    register(&mut state, 2, 2, false);
    assert_eq!(state.group(group).unreleased, []);
    assert_eq!(change(&mut state, group, Change::RemoveReplica(node(1))), Err(Rejection::Primary));
    assert_eq!(change(&mut state, group, Change::Recreate { to: member(3, 1) }), Ok(()));
    assert_eq!(state.group(group).learners, [node(1), node(2)]);
    assert_eq!(state.groups_lost, 1);
    for target in [vec![], vec![node(1), node(1)], vec![node(1); 9]] {
        assert_eq!(change(&mut state, group, Change::Target(target)), Err(Rejection::Target));
    }
    let unknown = Change::Target(vec![node(9)]);
    assert_eq!(change(&mut state, group, unknown), Err(Rejection::UnknownNode));
}

#[test]
fn a_token_admits_one_node_once_and_in_time() {
    let mut state = formed(1);
    let hash = [3; 32];
    let token = Token { node: Some(node(2)), expires_at_ms: 1000 };
    state.apply(&ControlCommand::AddToken { hash, token });
    let join = |number, shown_at_ms| ControlCommand::Join {
        registration: registration(number, 5, false),
        credential: Credential::Token { hash, shown_at_ms },
    };
    assert_eq!(state.apply(&join(3, 500)), Outcome::Rejected(Rejection::Token));
    assert_eq!(state.apply(&join(2, 1001)), Outcome::Rejected(Rejection::Token));
    assert_eq!(state.apply(&join(2, 1000)), Outcome::Registered(Incarnation(1)));
    assert_eq!(state.apply(&join(2, 1000)), Outcome::Registered(Incarnation(1)));
    assert_eq!(state.apply(&join(3, 500)), Outcome::Rejected(Rejection::Token));
    let gone = ControlCommand::SetPhase { node: node(2), phase: Phase::Gone, at: None };
    assert_eq!(state.apply(&gone), Outcome::Done);
    assert_eq!(register(&mut state, 2, 5, false), Outcome::Rejected(Rejection::Forgotten));
    let last = ControlCommand::SetPhase { node: node(1), phase: Phase::Draining, at: None };
    assert_eq!(state.apply(&last), Outcome::Rejected(Rejection::LastNode));
    let again = registration(2, 5, false);
    let again = ControlCommand::Join { registration: again, credential: Credential::Seed };
    assert_eq!(state.apply(&again), Outcome::Registered(Incarnation(2)));
}

#[test]
fn who_decides_by_what_is_over_is_told_so() {
    let mut state = formed(3);
    let seen = state.revision;
    let drain = |number, at| {
        let (node, phase) = (node(number), Phase::Draining);
        ControlCommand::SetPhase { node, phase, at }
    };
    let set = |factor, at| {
        let settings = Settings { factor, ..Settings::default() };
        ControlCommand::Settings { settings, at }
    };
    let too_late = Outcome::Rejected(Rejection::Revision);
    assert_eq!(state.apply(&drain(3, Some(seen))), Outcome::Done);
    // Two who both see three nodes do not drain two of them, nor undo each other's settings.
    let before = state.clone();
    for late in [drain(2, Some(seen)), set(3, Some(seen)), set(3, Some(seen + 2))] {
        assert_eq!(state.apply(&late), too_late);
    }
    assert_eq!(state, before);
    assert_eq!(state.apply(&set(3, Some(seen + 1))), Outcome::Done);
    assert_eq!(state.revision, seen + 2);
    // What changes nothing is no revision, nor is what the cluster does by itself.
    state.apply(&set(3, None));
    register(&mut state, 1, 9, true);
    let group = kept_by(&state, 2, 1);
    let target = Change::Target(vec![node(1), node(2)]);
    assert_eq!(change(&mut state, group, target), Ok(()));
    assert_eq!(state.revision, seen + 2);
    assert_eq!(state.apply(&drain(2, None)), Outcome::Done);
}

#[test]
fn the_protocol_is_what_all_speak_and_never_goes_back() {
    let mut state = formed(2);
    assert_eq!(state.protocol, 2);
    let speaks = |number, start, min, max| {
        let protocol = Protocols { min, max };
        ControlCommand::Register(Registration { protocol, ..registration(number, start, true) })
    };
    assert_eq!(state.apply(&speaks(1, 2, 2, 3)), Outcome::Registered(Incarnation(2)));
    assert_eq!(state.protocol, 2);
    assert_eq!(state.apply(&speaks(2, 2, 2, 4)), Outcome::Registered(Incarnation(2)));
    assert_eq!(state.protocol, 3);
    for (min, max) in [(1, 2), (4, 5)] {
        assert_eq!(state.apply(&speaks(2, 3, min, max)), Outcome::Rejected(Rejection::Protocol));
    }
}

fn any_change() -> impl Strategy<Value = Change> {
    let one = || (1..6u64, 0..4u64).prop_map(|(number, life)| member(number, life));
    let id = || (1..6u64).prop_map(node);
    prop_oneof![
        (one(), id(), any::<bool>()).prop_map(|(by, remove, clear)| Change::Shrink {
            by,
            remove,
            clear
        }),
        (one(), one(), any::<bool>()).prop_map(|(by, add, clear)| Change::Expand {
            by,
            add,
            clear
        }),
        (one(), id(), one(), any::<bool>()).prop_map(|(by, remove, add, clear)| Change::Swap {
            by,
            remove,
            add,
            clear
        }),
        (one(), one(), any::<bool>()).prop_map(|(by, to, clear)| Change::Handover {
            by,
            to,
            clear
        }),
        (prop::option::of(one()), one()).prop_map(|(from, to)| Change::Failover { from, to }),
        prop::collection::vec(id(), 0..4).prop_map(Change::Target),
        id().prop_map(Change::AddLearner),
        id().prop_map(Change::RemoveReplica),
        one().prop_map(|to| Change::Recreate { to }),
    ]
}

proptest! {
    #[test]
    fn no_change_breaks_a_group(
        changes in prop::collection::vec((any_change(), 1..6u64, any::<bool>()), 1..60),
    ) {
        let mut state = formed(4);
        let group = kept_by(&state, 1, 2);
        for (start, (one, number, restored)) in (10..).zip(changes) {
            let before = state.group(group).clone();
            let tells = matches!(one, Change::Handover { by, .. } if before.primary == Some(by));
            let done = change(&mut state, group, one);
            let config = state.group(group);
            prop_assert_eq!(config.version, before.version + u64::from(done.is_ok() || tells));
            let moved = config.primary != before.primary;
            prop_assert!(config.epoch >= before.epoch && (!moved || config.epoch > before.epoch));
            if start % 7 == 0 {
                register(&mut state, number, start, restored);
            }
            let config = state.group(group);
            prop_assert!(!config.in_sync.is_empty());
            prop_assert!(config.primary.is_none_or(|primary| config.in_sync.contains(&primary)));
            let mut nodes: Vec<NodeId> = config.nodes().collect();
            nodes.sort_unstable();
            prop_assert!(nodes.windows(2).all(|pair| pair[0] != pair[1]));
        }
    }
}
