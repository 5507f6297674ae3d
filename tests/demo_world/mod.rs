//! `crabcache demo` as people run it: nodes as processes on loopback that are one cache and end
//! with the test. Kills, brings back, adds; asks as clients and as operators do.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

use crate::common::{Client, eventually};
use crabcache::clock::monotonic_nanos;
use crabcache::worker::check_free;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

/// A demo that runs.
pub struct Demo {
    child: Child,
    pub base: u16,
    pub dir: PathBuf,
    /// Nodes that were started beside it.
    others: BTreeMap<u16, Child>,
}

/// A base at which nobody listened a moment ago, for so many nodes. Tests that run beside each
/// other look at different ones.
fn free_base(nodes: u16) -> u16 {
    static DEMOS: AtomicU16 = AtomicU16::new(0);
    let free = |port: u16| check_free((Ipv4Addr::LOCALHOST, port).into()).is_ok();
    let offsets = [0, 200, 2089];
    let all =
        |base: &u16| (1..=nodes).all(|i| offsets.iter().all(|offset| free(base + offset + i)));
    let start = 20_000 + u16::try_from(std::process::id() % 200).expect("small") * 50;
    let mine = DEMOS.fetch_add(1, Ordering::Relaxed) % DEMOS_MAX;
    (0..10).map(|i| start + (i * DEMOS_MAX + mine) * 10).find(all).expect("free ports")
}

/// Most demos of a test program that run at a time.
const DEMOS_MAX: u16 = 8;

/// The program, with nothing of this process's environment.
pub fn crabcache(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crabcache"));
    command.args(words).env_clear();
    command
}

/// Starts it and waits for a line with these words; all up to there.
fn told(mut command: Command, words: &str) -> (Child, Vec<String>) {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary runs");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut told: Vec<String> = Vec::new();
    for line in lines.by_ref().map_while(Result::ok) {
        told.push(line);
        if told.last().is_some_and(|line| line.contains(words)) {
            // What comes later goes nowhere, but the pipe stays open.
            thread::spawn(move || lines.for_each(drop));
            return (child, told);
        }
    }
    let _ = child.wait();
    panic!("no line with {words:?} in {told:#?}");
}

impl Demo {
    /// Three nodes that keep their data in `dir`.
    pub fn start(dir: &Path) -> Demo {
        Demo::start_at(dir, free_base(4))
    }

    /// The same with these ports: the nodes that were there before.
    pub fn start_at(dir: &Path, base: u16) -> Demo {
        let (name, port) = (dir.to_str().expect("a name"), base.to_string());
        let words = ["demo", "--dir", name, "--port-base", &port, "--memory", "32MiB"];
        let (child, told) = told(crabcache(&words), "Ctrl-C");
        assert!(told.iter().any(|line| line.contains(" nodes are one cache")), "{told:#?}");
        Demo { child, base, dir: dir.to_owned(), others: BTreeMap::new() }
    }

    /// A connection to a node, as of a client that knows clusters.
    pub fn client(&self, node: u16) -> Client {
        Client::new(TcpStream::connect(("127.0.0.1", self.base + node)).expect("a node"))
    }

    /// A connection to a node's forwarding port.
    pub fn plain(&self, node: u16) -> Client {
        Client::new(TcpStream::connect(("127.0.0.1", self.base + 200 + node)).expect("a node"))
    }

    /// `crabcache cluster` with these words, asking node 1.
    pub fn cluster(&self, words: &[&str]) -> Output {
        let address = format!("127.0.0.1:{}", self.base + 1);
        let words = [&["cluster"], words].concat();
        crabcache(&words).env("CRABCACHE_ADDRESS", address).output().expect("the binary runs")
    }

    /// What it prints when it goes well.
    #[track_caller]
    pub fn text(&self, words: &[&str]) -> String {
        let output = self.cluster(words);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits until node 1 says that all is well with so many nodes.
    pub fn well(&self, nodes: usize) {
        let is_well = |text: &str| {
            let rows = text.matches("  127.0.0.1:").count();
            text.contains("\nwell: every group has") && rows == nodes
        };
        self.status_until("all is well", is_well);
    }

    /// Waits until node 1 says so.
    pub fn status_until(&self, what: &str, says: impl Fn(&str) -> bool) {
        let mut last = String::new();
        let happened = within_patience(|| {
            last = String::from_utf8_lossy(&self.cluster(&["status"]).stdout).into_owned();
            says(&last)
        });
        assert!(happened, "never: {what}; {last}");
    }

    fn process_of(&self, node: u16) -> String {
        let info = self.client(node).text(&["INFO", "server"]);
        let line = info.lines().find_map(|line| line.strip_prefix("process_id:"));
        line.expect("a process").trim().to_owned()
    }

    /// Sends a signal to a node's process.
    pub fn signal(&self, node: u16, name: &str) {
        let pid = self.process_of(node);
        signal(&pid, name);
    }

    /// Kills a node's process, and waits until nobody listens there.
    pub fn kill(&self, node: u16) {
        self.signal(node, "KILL");
        eventually("the end of a node", || {
            TcpStream::connect(("127.0.0.1", self.base + node)).is_err()
        });
    }

    /// Starts a node of the demo again.
    pub fn bring_back(&mut self, node: u16) {
        let file = self.dir.join(format!("node-{node}")).join("crabcache.toml");
        let mut command = crabcache(&["server", "--config", file.to_str().expect("a name")]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.others.insert(node, child.expect("the binary runs"));
    }

    /// Adds a node, the fourth.
    pub fn add(&mut self) {
        let (dir, port) = (self.dir.to_str().expect("a name"), self.base.to_string());
        let command = crabcache(&["demo", "add", "--dir", dir, "--port-base", &port]);
        let (child, _) = told(command, "is of the cluster");
        self.others.insert(4, child);
    }

    /// Ends a node that was started beside the demo.
    pub fn stop_other(&mut self, node: u16) {
        if let Some(mut child) = self.others.remove(&node) {
            signal(&child.id().to_string(), "TERM");
            assert!(child.wait().expect("a child").success());
        }
    }

    /// Ends all as people do: Ctrl-C.
    pub fn stop(mut self) -> PathBuf {
        let others: Vec<u16> = self.others.keys().copied().collect();
        others.into_iter().for_each(|node| self.stop_other(node));
        signal(&self.child.id().to_string(), "INT");
        assert!(self.child.wait().expect("a child").success());
        for node in 1..=4 {
            let left = TcpStream::connect(("127.0.0.1", self.base + node)).is_ok();
            assert!(!left, "node {node} is left");
        }
        self.dir.clone()
    }
}

/// Whether it happens in time; there is much, since whole groups move.
pub fn within_patience(mut ask: impl FnMut() -> bool) -> bool {
    let until = monotonic_nanos() + PATIENCE_NANOS;
    while !ask() {
        if monotonic_nanos() > until {
            return false;
        }
        thread::park_timeout(Duration::from_millis(20));
    }
    true
}

const PATIENCE_NANOS: u64 = 90_000_000_000;

fn signal(pid: &str, name: &str) {
    let sent = Command::new("kill").args(["-s", name, pid]).status().expect("kill runs");
    assert!(sent.success());
}

impl Drop for Demo {
    fn drop(&mut self) {
        // They may have ended already. The nodes of a demo end with it.
        for child in self.others.values_mut().chain([&mut self.child]) {
            if !matches!(child.try_wait(), Ok(None)) {
                continue;
            }
            let _ = Command::new("kill").arg(child.id().to_string()).output();
            if !within_patience(|| !matches!(child.try_wait(), Ok(None))) {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}
