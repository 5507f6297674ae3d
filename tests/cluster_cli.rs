//! `crabcache cluster` from outside: what it prints and how it ends, against a real node whose
//! cluster is a control state in the test's own hands.

mod cluster_world;
mod common;

use cluster::control::{
    Change, ControlCommand, ControlState, GroupChange, Health, Outcome, Settings, plan,
};
use cluster::node::{Addresses, ClientAddress, ClusterId, NodeId, Phase, Registration};
use cluster::slot::Group;
use cluster::time::Millis;
use cluster_world::World;
use crabcache::security::{Authority, JoinToken};
use crabcache::worker::{ClusterAdmin, ClusterView, Ordered, Standing, ViewParts};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A node that answers, and the cluster that it believes in.
struct Desk {
    world: World,
    fake: Fake,
}

/// A cluster without a network: commands are applied as they come, and with every look at it
/// everybody has done what they should.
#[derive(Clone)]
struct Fake {
    state: Arc<Mutex<ControlState>>,
    up: BTreeSet<NodeId>,
    without: Arc<Mutex<Vec<String>>>,
    /// Whether nobody does anything.
    stuck: Arc<AtomicBool>,
}

fn node(number: u64) -> NodeId {
    NodeId::new(number).expect("it works")
}

fn registration(number: u64, port: u16) -> Registration {
    let client =
        ClientAddress { listener: String::new(), host: "127.0.0.1".into(), port, forward: false };
    let addresses = Addresses {
        control: format!("127.0.0.1:{}", 7100 + number),
        data: format!("127.0.0.1:{}", 7300 + number),
        clients: vec![client],
    };
    let zone = format!("z{number}");
    Registration { addresses, zone, ..Registration::new(node(number), number) }
}

impl Fake {
    /// One round of planner and primaries.
    fn step(&self) {
        if self.stuck.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.state.lock().expect("it works");
        let health = Health { up: self.up.clone(), ..Health::default() };
        for command in plan(&state, &health, Millis(0)) {
            state.apply(&command);
        }
        let mut changes = Vec::new();
        for (group, config) in state.groups() {
            let (Some(by), Some(first)) = (config.primary, config.target.first()) else { continue };
            if !self.up.contains(&by.node) {
                continue;
            }
            let learner = config.learners.first().and_then(|node| state.member(*node));
            let change = match learner {
                Some(add) => Change::Expand { by, add, clear: true },
                None => match config.in_sync(*first).filter(|to| *to != by) {
                    Some(to) => Change::Handover { by, to, clear: true },
                    None => continue,
                },
            };
            changes.push(GroupChange { group, version: config.version, change });
        }
        state.apply(&ControlCommand::Change(changes));
    }
}

impl ClusterAdmin for Fake {
    fn standing(&self) -> Standing {
        self.step();
        let state = Arc::new(self.state.lock().expect("it works").clone());
        let me = state.member(node(1));
        let trouble = (!state.is_formed()).then(|| "waiting for seed b:7101 to answer".to_owned());
        Standing { me, leader: me.map(|me| me.node), state, trouble }
    }

    fn propose(&self, command: ControlCommand) -> Ordered {
        let outcome = self.state.lock().expect("it works").apply(&command);
        Box::pin(async move { Ok(outcome) })
    }

    fn form_without(&self, seeds: Vec<String>) -> Result<(), String> {
        self.without.lock().expect("it works").extend(seeds);
        Ok(())
    }
}

impl Desk {
    /// So many nodes, of which all but the last `down` are there. None: no cluster yet.
    fn start(nodes: u64, down: u64) -> Desk {
        Desk::start_with(nodes, down, &[])
    }

    fn start_with(nodes: u64, down: u64, sets: &[&str]) -> Desk {
        Desk::start_of(ClusterId(0xC1), nodes, down, sets)
    }

    fn start_of(cluster: ClusterId, nodes: u64, down: u64, sets: &[&str]) -> Desk {
        let world = World::start(1, sets);
        let mut state = ControlState::blank();
        if nodes > 0 {
            let settings = Settings { moves_max: 1024, linger_ms: 0, ..Settings::default() };
            let nodes = (1..=nodes).map(|number| registration(number, world.port(0))).collect();
            let formed = state.apply(&ControlCommand::Form { cluster, settings, nodes });
            assert_eq!(formed, Outcome::Done);
        }
        let up: BTreeSet<NodeId> = (1..=nodes.saturating_sub(down)).map(node).collect();
        let local = &world.nodes[0];
        local.shared.views.publish(Some(Arc::new(ClusterView::new(ViewParts {
            me: node(1),
            topology: Arc::new(state.topology()),
            state: Arc::new(state.clone()),
            up: up.clone(),
            lease: local.lease.clone(),
            entrances: local.shared.entrances.clone(),
            announce_replicas: false,
        }))));
        let state = Arc::new(Mutex::new(state));
        let fake = Fake { state, up, without: Arc::default(), stuck: Arc::default() };
        assert!(local.shared.others.admin.set(Box::new(fake.clone())).is_ok());
        Desk { world, fake }
    }

    fn command(&self, words: &[&str]) -> Command {
        let address = format!("127.0.0.1:{}", self.world.port(0));
        let waits = ["drain", "undrain", "remove", "rebalance", "move"].contains(&words[0]);
        let mut command = Command::new(env!("CARGO_BIN_EXE_crabcache"));
        command
            .arg("cluster")
            .args(words)
            .args(waits.then_some("--timeout=20"))
            .env_clear()
            .env("CRABCACHE_ADDRESS", address);
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("the binary runs")
    }

    /// What it prints when it goes well.
    #[track_caller]
    fn well(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {told}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Why it does not.
    #[track_caller]
    fn refused(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn state(&self) -> ControlState {
        self.fake.state.lock().expect("it works").clone()
    }
}

#[test]
fn status_shows_who_keeps_what() {
    let desk = Desk::start(3, 0);
    let text = desk.well(&["status"]);
    assert!(text.starts_with("cluster 00000000  3 nodes, 2 copies of each item"), "{text}");
    assert!(text.contains("\nwell: every group has its primary and its copies\n"), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.iter().all(|line| line.chars().count() <= 90), "{text}");
    let rows = lines.iter().filter(|line| line.contains("127.0.0.1:")).count();
    assert_eq!(rows, 3, "{text}");
    assert!(text.contains("leader") && text.contains(" z2 "), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&desk.well(&["status", "--json"])).expect("JSON");
    assert_eq!(json["nodes"].as_array().map(Vec::len), Some(3));
    let primaries =
        json["nodes"].as_array().expect("it works").iter().map(|n| n["primaries"].as_u64());
    assert_eq!(primaries.map(Option::unwrap).sum::<u64>(), 1024);
    assert_eq!(json["groups"]["without_primary"], 0);
}

#[test]
fn a_node_that_is_down_is_seen_first() {
    let desk = Desk::start(3, 1);
    let text = desk.well(&["status"]);
    assert!(text.contains("NOT WELL: "), "{text}");
    assert!(text.contains("groups have too few copies") && text.contains("down: node 3"), "{text}");
}

#[test]
fn drain_empties_and_undrain_gives_back() {
    let desk = Desk::start(3, 0);
    let text = desk.well(&["drain", "2"]);
    assert!(
        text.ends_with("node 2 keeps nothing; `undrain 2` gives it its share again\n"),
        "{text}"
    );
    assert!(desk.state().groups().all(|(_, config)| !config.is_holder(node(2))));
    // Again, as after an interruption.
    assert!(desk.well(&["drain", "2"]).starts_with("node 2 is draining already\n"));
    let text = desk.well(&["undrain", "2"]);
    assert!(text.ends_with("shares are even\n"), "{text}");
    let own =
        desk.state().groups().filter(|(_, c)| c.primary.is_some_and(|p| p.node == node(2))).count();
    assert!((341..=342).contains(&own), "{own}");
}

#[test]
fn remove_takes_a_node_off_the_list_and_may_be_repeated() {
    let desk = Desk::start(3, 0);
    let begun = desk.well(&["remove", "3", "--no-wait"]);
    assert!(begun.contains("node 3 hands its groups to the others"), "{begun}");
    assert_eq!(desk.state().nodes[&node(3)].phase, Phase::Leaving);
    let text = desk.well(&["remove", "3"]);
    assert!(text.ends_with("node 3 is gone; its process can be stopped\n"), "{text}");
    assert_eq!(desk.state().nodes[&node(3)].phase, Phase::Gone);
    assert_eq!(desk.well(&["remove", "3"]), "node 3 is gone\n");
    let refused = desk.refused(&["drain", "3"]);
    assert_eq!(refused, "crabcache: node 3 is gone: to come back, it joins anew\n");
}

#[test]
fn a_removal_that_is_interrupted_goes_on_or_is_taken_back() {
    let desk = Desk::start(3, 0);
    desk.fake.stuck.store(true, Ordering::Relaxed);
    let mut child = desk.command(&["remove", "3"]).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut told = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let line = told.next().expect("a line").expect("text");
    assert!(line.starts_with("node 3 keeps "), "{line}");
    child.kill().expect("killed");
    child.wait().expect("ended");
    assert_eq!(desk.state().nodes[&node(3)].phase, Phase::Leaving);
    // What was begun is taken back, or begun again, or gone on with.
    desk.well(&["undrain", "3", "--no-wait"]);
    assert_eq!(desk.state().nodes[&node(3)].phase, Phase::Active);
    desk.well(&["remove", "3", "--no-wait"]);
    assert!(desk.well(&["remove", "3", "--no-wait"]).contains("is being removed already"));
    desk.fake.stuck.store(false, Ordering::Relaxed);
    let text = desk.well(&["remove", "3"]);
    assert!(text.ends_with("node 3 is gone; its process can be stopped\n"), "{text}");
}

#[test]
fn refusals_say_what_to_do() {
    let desk = Desk::start(2, 0);
    assert!(
        desk.refused(&["drain", "9"]).contains("no node of the number 9; its nodes are 1, 2\n")
    );
    let portless = desk.refused(&["status", "--address", "127.0.0.1"]);
    assert!(portless.contains("127.0.0.1 has no port: --address HOST:PORT"), "{portless}");
    let few = desk.refused(&["remove", "2"]);
    assert!(few.contains("only 1 would be left for 2 copies") && few.contains("--force"), "{few}");
    let forced = desk.well(&["remove", "2", "--force"]);
    assert!(forced.contains("1 copies of each item instead of 2"), "{forced}");
    let last = desk.refused(&["remove", "1", "--force"]);
    assert!(last.contains("the last node that keeps data cannot be emptied"), "{last}");
    let up = desk.refused(&["forget", "1"]);
    assert!(up.contains("node 1 is up and keeps 1024 groups"), "{up}");
    let up = desk.refused(&["failover", "1"]);
    assert!(up.contains("draining it hands its groups over without losing anything"), "{up}");
}

#[test]
fn what_only_a_lost_node_has_is_not_given_up_unasked() {
    let desk = Desk::start(2, 1);
    // Node 1 falls out of a group of node 2's, which then dies.
    let state = desk.state();
    let of_second = state.groups().find(|(_, c)| c.primary.is_some_and(|p| p.node == node(2)));
    let (group, version, by) =
        of_second.map(|(g, c)| (g, c.version, c.primary.expect("it works"))).expect("it works");
    let change = Change::Shrink { by, remove: node(1), clear: true };
    let shrunk = ControlCommand::Change(vec![GroupChange { group, version, change }]);
    assert_eq!(
        desk.fake.state.lock().expect("it works").apply(&shrunk),
        Outcome::Changed(vec![Ok(())])
    );
    let refused = desk.refused(&["forget", "2"]);
    assert!(refused.contains("has the only complete copy of 1 groups"), "{refused}");
    assert_eq!(desk.well(&["forget", "2", "--force"]), "node 2 is gone\n");
}

/// Its groups have other primaries and copies of it are missed by nobody: what is left of its share
/// need not be made elsewhere first.
#[test]
fn a_stopped_node_is_gone_as_soon_as_nothing_depends_on_it() {
    let desk = Desk::start(3, 1);
    desk.well(&["failover", "3"]);
    desk.fake.stuck.store(true, Ordering::Relaxed);
    let text = desk.well(&["remove", "3", "--force"]);
    assert!(text.ends_with("node 3 is gone; its process can be stopped\n"), "{text}");
    assert_eq!(desk.state().nodes[&node(3)].phase, Phase::Gone);
}

#[test]
fn failover_takes_the_groups_of_a_node_that_is_down() {
    let desk = Desk::start(3, 1);
    let text = desk.well(&["failover", "3"]);
    assert!(text.contains("groups of node 3 have other primaries"), "{text}");
    assert!(desk.state().groups().all(|(_, c)| c.primary.is_some_and(|p| p.node != node(3))));
    assert_eq!(desk.well(&["failover", "3"]), "node 3 is primary of nothing\n");
}

#[test]
fn a_moved_group_stays_where_it_was_moved() {
    let desk = Desk::start(3, 0);
    let first = desk
        .state()
        .group(Group::new(0).expect("it works"))
        .primary
        .expect("it works")
        .node
        .number();
    let to = first % 3 + 1;
    let text = desk.well(&["move", "0-31", "--to", &to.to_string()]);
    assert!(text.starts_with(&format!("2 groups move to node {to}")), "{text}");
    assert!(!text.contains("will move again"), "{text}");
    for number in 0..2 {
        let owner = desk
            .state()
            .group(Group::new(number).expect("it works"))
            .primary
            .expect("it works")
            .node;
        assert_eq!(owner, node(to));
    }
    let again = desk.well(&["move", "0-31", "--to", &to.to_string()]);
    assert!(again.contains(&format!("wanted on node {to} already")), "{again}");
}

#[test]
fn settings_are_shown_and_changed() {
    let desk = Desk::start(3, 0);
    let text = desk.well(&["config", "get"]);
    assert!(text.contains("  down_to_lost        5m\n"), "{text}");
    assert!(
        text.lines().any(|line| line.contains("replication  ") && line.ends_with("fixed")),
        "{text}"
    );
    assert_eq!(desk.well(&["config", "set", "moves_max=32"]), "that holds from now on\n");
    assert_eq!(desk.state().settings.moves_max, 32);
    assert_eq!(desk.well(&["config", "set", "moves_max=32"]), "that holds already\n");
    // Who has seen something else looks again.
    let json: serde_json::Value =
        serde_json::from_str(&desk.well(&["config", "get", "--json"])).expect("JSON");
    assert_eq!(json["revision"], desk.state().revision);
    let late = desk.refused(&["config", "set", "revision=0", "moves_max=33"]);
    assert!(late.contains("the cluster is at revision 1 by now, not 0"), "{late}");
    let set = desk.well(&["config", "set", "revision=1", "moves_max=33"]);
    assert_eq!(set, "that holds from now on\n");
    assert!(desk.refused(&["config", "set", "lease=soon"]).contains("expected a time such as"));
    assert!(desk.refused(&["config", "set", "hash_seed=1"]).contains("was fixed when"));
    assert!(desk.refused(&["config", "get", "x"]).contains("there is no setting x; there are"));
}

#[test]
fn the_plan_is_shown_and_not_carried_out() {
    let desk = Desk::start(3, 0);
    assert_eq!(desk.well(&["rebalance", "--plan"]), "shares are even: nothing would move\n");
    // Another node, which the fake's planner serves with the next look but one.
    let registration = registration(4, desk.world.port(0));
    let credential = cluster::control::Credential::Seed;
    let join = ControlCommand::Join { registration, credential };
    desk.fake.state.lock().expect("it works").apply(&join);
    let text = desk.well(&["rebalance"]);
    assert_eq!(text, "shares are even\n");
}

#[test]
fn before_there_is_a_cluster_one_can_form_it() {
    let desk = Desk::start(0, 0);
    let text = desk.well(&["status"]);
    assert_eq!(text, "no cluster yet: waiting for seed b:7101 to answer\n");
    let refused = desk.refused(&["drain", "1"]);
    assert!(refused.contains("there is no cluster yet: waiting for seed b:7101"), "{refused}");
    let text = desk.well(&["form", "--without", "b:7101", "--without", "c:7101"]);
    assert_eq!(text, "no longer waiting for b:7101, c:7101\n");
    assert_eq!(*desk.fake.without.lock().expect("it works"), ["b:7101", "c:7101"]);
}

#[test]
fn a_formed_cluster_waits_for_nobody_and_keeps_its_seed_to_itself() {
    let desk = Desk::start(3, 0);
    let refused = desk.refused(&["form", "--without", "x:1"]);
    assert!(refused.contains("the cluster is formed"), "{refused}");
    let text = desk.well(&["config", "get"]);
    assert!(text.contains("virtual_nodes") && !text.contains("hash_seed"), "{text}");
}

#[test]
fn add_makes_all_that_a_node_needs() {
    let desk = Desk::start(3, 0);
    let dir = tempfile::tempdir().expect("a folder");
    let (ca, out) = (dir.path().join("ca"), dir.path().join("node-4"));
    let (ca, out) = (ca.to_str().expect("it works"), out.to_str().expect("it works"));
    desk.well(&["ca", "init", "--dir", ca]);
    let other = desk.refused(&["add", "--ca", ca, "--out", out, "--no-wait"]);
    assert!(other.contains("is the authority of another cluster"), "{other}");
    assert!(!std::path::Path::new(out).exists());
}

#[test]
fn a_new_node_gets_a_token_that_only_the_cluster_and_it_know() {
    let dir = tempfile::tempdir().expect("a folder");
    let (ca, out) = (dir.path().join("ca"), dir.path().join("node-4"));
    let authority = Authority::init(&ca).expect("an authority");
    let desk = Desk::start_of(authority.cluster(), 3, 0, &["memory.max_memory=96MiB"]);
    let words = ["add", "--ca", ca.to_str().expect("text"), "--out", out.to_str().expect("text")];
    let words = [&words[..], &["--no-wait"]].concat();
    let mut hashes = Vec::new();
    for _ in 0..2 {
        // Again, since the first has not been used in time.
        let text = desk.well(&words);
        let file = out.join("join.token");
        let token = JoinToken::load(&file).expect("read").expect("a token");
        assert!(!text.contains(token.expose()), "{text}");
        assert_eq!(file.metadata().expect("a file").permissions().mode() & 0o777, 0o600);
        assert_eq!(desk.state().tokens[&token.hash()].node, Some(node(4)));
        hashes.push(token.hash());
    }
    assert_ne!(hashes[0], hashes[1]);
    let settings = std::fs::read_to_string(out.join("crabcache.toml")).expect("settings");
    assert!(settings.contains("join_token = "), "{settings}");
    // As the others are.
    assert!(settings.contains("[memory]\nmax_memory = \"96MiB\""), "{settings}");
    let printed = desk.well(&["token", "9", "--seconds", "60"]);
    assert_eq!(printed.trim().len(), 64, "{printed}");
    assert_eq!(desk.state().tokens.len(), 3);
    assert!(desk.refused(&["token", "3"]).contains("node 3 is of the cluster"));
    assert!(desk.refused(&["token", "9", "--seconds", "0"]).contains("1 to 86400 seconds"));
}

#[test]
fn tokens_are_asked_for_and_given() {
    let desk = Desk::start_with(3, 0, &["server.tokens=alpha"]);
    let refused = desk.refused(&["status"]);
    assert!(refused.contains("--token-file FILE or CRABCACHE_TOKEN"), "{refused}");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "alpha\n").expect("written");
    let text = desk.well(&["status", "--token-file", file.path().to_str().expect("it works")]);
    assert!(text.starts_with("cluster "), "{text}");
    // The world cannot end it: it knows no token.
    let mut client = desk.world.connect(0);
    client.check(&["AUTH", "alpha"], "+OK\r\n");
    client.send_command(&["SHUTDOWN", "NOSAVE"]);
    client.expect_end();
}

#[test]
fn a_node_alone_and_nobody_say_so() {
    let world = World::start(1, &[]);
    let address = format!("127.0.0.1:{}", world.port(0));
    let ask = |address: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_crabcache"))
            .args(["cluster", "status", "--address", address])
            .env_clear()
            .output()
            .expect("the binary runs");
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(ask(&address).contains("this node is not one of a cluster: cluster.enabled is false"));
    let nobody = ask("127.0.0.1:1");
    assert!(
        nobody.contains("no answer from 127.0.0.1:1") && nobody.contains("--address"),
        "{nobody}"
    );
}
