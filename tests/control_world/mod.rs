//! A cluster of control planes in one process, over a transport in memory. Knows no data: every
//! node says that its copies are complete.
#![allow(dead_code, reason = "each test uses some of it")]

use cluster::control::{ControlCommand, Outcome, Position, Settings, Token};
use cluster::node::{Addresses, NodeId, Protocols};
use cluster::record::{Epoch, Seq};
use cluster::slot::Group;
use crabcache::control::memory::Network;
use crabcache::control::{Control, ControlError, ControlOptions, Published, Store};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// Longest wait for anything; far more than it takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// The cluster.
pub(crate) struct World {
    pub network: Network,
    pub runtime: Runtime,
    nodes: BTreeMap<u64, Arc<Control>>,
    seeds: Vec<String>,
    pub settings: Settings,
    folder: TempDir,
}

pub(crate) fn node(number: u64) -> NodeId {
    NodeId::new(number).expect("a node")
}

/// Where a node listens at first.
pub(crate) fn address(number: u64) -> String {
    format!("node-{number}:7101")
}

impl World {
    /// Nobody runs yet; `seeds` are the nodes 1, 2, ….
    pub(crate) fn new(seeds: u64) -> World {
        World {
            network: Network::default(),
            runtime: Builder::new_current_thread().enable_all().build().expect("a runtime"),
            nodes: BTreeMap::new(),
            seeds: (1..=seeds).map(address).collect(),
            settings: Settings::default(),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    /// All seeds run and are registered.
    pub(crate) fn formed(seeds: u64) -> World {
        World::formed_with(seeds, Settings::default())
    }

    /// The same with other settings.
    pub(crate) fn formed_with(seeds: u64, settings: Settings) -> World {
        let mut world = World { settings, ..World::new(seeds) };
        (1..=seeds).for_each(|number| world.start(number));
        for number in 1..=seeds {
            let all = usize::try_from(seeds).expect("few");
            world.wait(number, "registered", |p| {
                p.me.is_some() && p.leader.is_some() && p.state.nodes.len() == all
            });
        }
        world
    }

    pub(crate) fn folder(&self, number: u64) -> PathBuf {
        self.folder.path().join(number.to_string())
    }

    pub(crate) fn start(&mut self, number: u64) {
        self.start_at(number, &address(number));
    }

    pub(crate) fn start_at(&mut self, number: u64, at: &str) {
        let bind = self.network.bind(node(number), at);
        self.start_with(number, |options| {
            (options.addresses.control, options.bind) = (at.to_owned(), bind);
        });
    }

    /// Starts another process of a node under a name of its own, with its own folder.
    pub(crate) fn start_as(&mut self, number: u64, name: u64, at: &str) {
        let bind = self.network.bind(node(number), at);
        self.start_with(name, |options| {
            options.node = node(number);
            (options.addresses.control, options.bind) = (at.to_owned(), bind);
        });
    }

    /// Starts a node that differs from the others in something.
    pub(crate) fn start_with(&mut self, number: u64, change: impl FnOnce(&mut ControlOptions)) {
        let address = &address(number);
        let mut options = ControlOptions {
            node: node(number),
            store: Store::Folder(self.folder(number)),
            seeds: self.seeds.clone(),
            addresses: Addresses { control: address.clone(), ..Addresses::default() },
            zone: String::new(),
            protocol: Protocols { min: 1, max: 1 },
            fingerprint: None,
            restored: true,
            cluster: None,
            settings: self.settings.clone(),
            token: None,
            bind: self.network.bind(node(number), address),
            positions: Box::new(complete),
        };
        change(&mut options);
        let started = Control::start(options);
        self.nodes.insert(number, started.expect("a control plane"));
    }

    pub(crate) fn stop(&mut self, number: u64) {
        self.nodes.remove(&number).expect("it runs").shutdown();
    }

    /// Has a command decided, with as many tries as it takes.
    pub(crate) fn decide(&self, number: u64, command: impl Fn(&Published) -> ControlCommand) {
        let control = self.control(number);
        let decided = self.runtime.block_on(async {
            let tries = async {
                loop {
                    match control.propose(command(&control.published())).await {
                        Ok(outcome) => return outcome,
                        Err(ControlError::Stopped) => panic!("it has stopped"),
                        Err(_) => {}
                    }
                }
            };
            timeout(PATIENCE, tries).await
        });
        assert_eq!(decided, Ok(Outcome::Done), "{:?}", control.published().trouble);
    }

    /// The cluster takes a token for a node, asked by another; its hash.
    pub(crate) fn token(&self, by: u64, number: u64) -> [u8; 32] {
        let hash = [u8::try_from(number).expect("few"); 32];
        let token = Token { node: Some(node(number)), expires_at_ms: u64::MAX };
        self.decide(by, |_| ControlCommand::AddToken { hash, token });
        hash
    }

    /// A setting changes.
    pub(crate) fn set_moves(&self, by: u64, moves_max: u16) {
        self.decide(by, |p| {
            let settings = Settings { moves_max, ..p.state.settings.clone() };
            ControlCommand::Settings { settings, at: None }
        });
    }

    /// Every node knows of the setting.
    pub(crate) fn all_know(&self, numbers: &[u64], moves_max: u16) {
        for number in numbers {
            self.wait(*number, "told", |p| p.state.settings.moves_max == moves_max);
        }
    }

    /// Starts a node that is none of the seeds, with a token.
    pub(crate) fn start_joining(&mut self, number: u64) {
        let hash = self.token(1, number);
        self.start_with(number, |options| options.token = Some(hash));
    }

    /// Its disk is gone.
    pub(crate) fn wipe(&self, number: u64) {
        std::fs::remove_dir_all(self.folder(number)).expect("a folder");
    }

    pub(crate) fn control(&self, number: u64) -> Arc<Control> {
        self.nodes[&number].clone()
    }

    pub(crate) fn published(&self, number: u64) -> Arc<Published> {
        self.nodes[&number].published()
    }

    /// Waits until what a node publishes is as wanted.
    pub(crate) fn wait(&self, number: u64, what: &str, wanted: impl Fn(&Published) -> bool) {
        let control = self.control(number);
        let mut changes = control.changes();
        let waited = self.runtime.block_on(async {
            let arrives = async {
                while !wanted(&control.published()) {
                    changes.changed().await.expect("it runs");
                }
            };
            timeout(PATIENCE, arrives).await
        });
        let now = control.published();
        let (leader, me, trouble) = (now.leader, now.me, &now.trouble);
        assert!(waited.is_ok(), "{number} not {what}: {leader:?} {me:?} {trouble:?}");
    }

    /// Who leads, once all of `numbers` say the same.
    pub(crate) fn leader(&self, numbers: &[u64]) -> u64 {
        let among = |p: &Published| p.leader.filter(|l| numbers.contains(&l.number()));
        loop {
            numbers.iter().for_each(|n| self.wait(*n, "led", |p| among(p).is_some()));
            let mut leaders: Vec<_> = numbers.iter().map(|n| among(&self.published(*n))).collect();
            leaders.dedup();
            if let [Some(leader)] = leaders[..] {
                return leader.number();
            }
        }
    }
}

fn complete(groups: &[Group]) -> Vec<(Group, Position)> {
    let at = Position { epoch: Epoch(1), seq: Seq(1) };
    groups.iter().map(|group| (*group, at)).collect()
}
