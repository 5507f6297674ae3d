//! A few nodes as processes that are one real cluster, for tests that kill, damage and restart
//! them. Every node keeps its data in a folder of its own.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

use crate::common::Client;
use crabcache::clock::monotonic_nanos;
use crabcache::worker::check_free;
use serde_json::Value;
use std::fs::File;
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// Longest wait for a cluster to become as it should be, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(90);
/// Time between two looks.
const STEP: Duration = Duration::from_millis(20);

/// Blocks of ports that this process has looked at.
static TAKEN: AtomicU16 = AtomicU16::new(0);

/// Nodes 1 to so many.
pub struct Nodes {
    dir: tempfile::TempDir,
    base: u16,
    count: u16,
    sets: Vec<String>,
    /// Settings of one of them.
    special: (u16, String),
    running: Vec<Option<Child>>,
}

/// A process that does not outlive a failed test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Looks again and again until it is so.
pub fn within(what: &str, mut look: impl FnMut() -> bool) {
    let until = monotonic_nanos() + PATIENCE.as_nanos() as u64;
    // Nobody ever says anything: the time passes.
    let (_keep, nothing) = mpsc::channel::<()>();
    while !look() {
        assert!(monotonic_nanos() < until, "never: {what}");
        let _ = nothing.recv_timeout(STEP);
    }
}

/// A base at which nobody listened a moment ago.
fn free_base(count: u16) -> u16 {
    let tcp = |port: u16| check_free((Ipv4Addr::LOCALHOST, port).into()).is_ok();
    let udp = |port: u16| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let all = |base: &u16| {
        (1..=count).all(|i| {
            tcp(base + i) && tcp(base + 20 + i) && udp(base + 40 + i) && udp(base + 60 + i)
        })
    };
    // Those of other tests of this process, and of others', are not looked at again.
    let first = u16::try_from(std::process::id() % 25).expect("small") * 8;
    let next = || 10_000 + (first + TAKEN.fetch_add(1, Ordering::Relaxed)) % 200 * 100;
    (0..200).map(|_| next()).find(all).expect("free ports")
}

fn crabcache(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crabcache"));
    command.args(words).env_clear().stdin(Stdio::null());
    command
}

impl Nodes {
    /// Starts them, with these settings each, and waits until they are one cluster.
    pub fn start(count: u16, sets: &[&str]) -> Nodes {
        Nodes::start_with(count, sets, (0, ""))
    }

    /// The same, one of them with a setting of its own.
    pub fn start_with(count: u16, sets: &[&str], special: (u16, &str)) -> Nodes {
        let dir = tempfile::tempdir().expect("a folder");
        let ca = dir.path().join("ca").display().to_string();
        let done = crabcache(&["cluster", "ca", "init", "--dir", &ca]).output().expect("it runs");
        assert!(done.status.success(), "{done:?}");
        let base = free_base(count);
        let sets = sets.iter().map(|set| (*set).to_owned()).collect();
        let special = (special.0, special.1.to_owned());
        let mut nodes = Nodes { dir, base, count, sets, special, running: Vec::new() };
        for number in 1..=count {
            let (name, out) = (number.to_string(), nodes.folder(number).display().to_string());
            let words = ["cluster", "ca", "issue", "--dir", &ca, "--node", &name, "--out", &out];
            let done = crabcache(&words).output().expect("it runs");
            assert!(done.status.success(), "{done:?}");
            nodes.running.push(None);
            nodes.start_one(number);
        }
        nodes.until_well();
        nodes
    }

    /// The folder of the certificate authority.
    pub fn authority(&self) -> PathBuf {
        self.dir.path().join("ca")
    }

    /// Where others reach a node on the data plane.
    pub fn data_address(&self, number: u16) -> String {
        format!("127.0.0.1:{}", self.base + 60 + number)
    }

    /// Where a node keeps everything.
    pub fn folder(&self, number: u16) -> PathBuf {
        self.dir.path().join(format!("node-{number}"))
    }

    /// Starts a node, anew or again.
    pub fn start_one(&mut self, number: u16) {
        self.start_with_more(number, &[]);
    }

    fn start_with_more(&mut self, number: u16, more: &[String]) {
        let folder = self.folder(number);
        let file = |name: &str| folder.join(name).display().to_string();
        let seeds: Vec<String> =
            (1..=self.count).map(|i| format!("127.0.0.1:{}", self.base + 40 + i)).collect();
        let mut sets = vec![
            format!("server.port={}", self.base + number),
            format!("server.forward_port={}", self.base + 20 + number),
            "http.port=0".into(),
            "server.workers=1".into(),
            "memory.max_memory=64MiB".into(),
            "memory.shards=4".into(),
            format!("data.dir={}", file("data")),
            "cluster.enabled=true".into(),
            "cluster.bind=127.0.0.1".into(),
            "cluster.advertise=127.0.0.1".into(),
            format!("cluster.port={}", self.base + 40 + number),
            format!("cluster.data_port={}", self.base + 60 + number),
            format!("cluster.seeds={}", seeds.join(",")),
            format!("cluster.ca={}", file("ca.crt")),
            format!("cluster.cert={}", file("node.crt")),
            format!("cluster.key={}", file("node.key")),
        ];
        sets.extend(self.sets.iter().cloned());
        sets.extend_from_slice(more);
        sets.extend(Some(&self.special).filter(|s| s.0 == number).map(|s| s.1.clone()));
        let log = File::options().create(true).append(true).open(self.log(number)).expect("a file");
        let mut command = crabcache(&["server"]);
        sets.iter().for_each(|set| {
            command.args(["--set", set]);
        });
        command.stdout(log.try_clone().expect("a file")).stderr(log);
        self.running[usize::from(number) - 1] = Some(command.spawn().expect("the binary runs"));
    }

    /// Runs a second process with the certificate of a node and a folder of its own, until it
    /// ends by itself.
    pub fn run_second(&mut self, number: u16) -> String {
        let sets = [
            format!("server.port={}", self.base + 81),
            format!("server.forward_port={}", self.base + 82),
            format!("cluster.port={}", self.base + 83),
            format!("cluster.data_port={}", self.base + 84),
            format!("data.dir={}", self.dir.path().join("second").display()),
        ];
        let first = self.running[usize::from(number) - 1].take();
        self.start_with_more(number, &sets);
        let second = self.running[usize::from(number) - 1].take().expect("started");
        self.running[usize::from(number) - 1] = first;
        let mut second = Ends(second);
        within("the end of the second", || second.0.try_wait().expect("a child").is_some());
        assert_eq!(second.0.wait().expect("ended").code(), Some(1));
        self.said(number)
    }

    fn log(&self, number: u16) -> PathBuf {
        self.dir.path().join(format!("log-{number}"))
    }

    /// What a node has said so far.
    pub fn said(&self, number: u16) -> String {
        std::fs::read_to_string(self.log(number)).expect("a log")
    }

    /// Ends a node without a word.
    pub fn kill(&mut self, number: u16) {
        if let Some(mut child) = self.running[usize::from(number) - 1].take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Ends a node as an operator does.
    pub fn stop(&mut self, number: u16) {
        self.signal(number, "TERM");
        if let Some(mut child) = self.running[usize::from(number) - 1].take() {
            within("the end of a node", || child.try_wait().expect("a child").is_some());
        }
    }

    /// Sends a node a signal.
    pub fn signal(&self, number: u16, name: &str) {
        let child = self.running[usize::from(number) - 1].as_ref().expect("it runs");
        let pid = child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// Where clients reach a node.
    pub fn port(&self, number: u16) -> u16 {
        self.base + number
    }

    /// A connection that forwards.
    pub fn plain(&self, number: u16) -> Client {
        self.try_connect(self.base + 20 + number).expect("the node listens")
    }

    /// One that is sent on.
    pub fn client(&self, number: u16) -> Client {
        self.try_connect(self.base + number).expect("the node listens")
    }

    fn try_connect(&self, port: u16) -> Option<Client> {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok().map(Client::new)
    }

    /// What a node tells operators of the cluster; nothing while it cannot.
    pub fn status(&self, number: u16) -> Option<Value> {
        let mut client = self.try_connect(self.base + number)?;
        client.send_command(&["CRABCACHE", "STATUS"]);
        let head = client.line();
        let len: usize = head.strip_prefix('$')?.parse().ok()?;
        let mut bytes = vec![0; len + 2];
        std::io::Read::read_exact(client.stream(), &mut bytes).ok()?;
        serde_json::from_slice(&bytes[..len]).ok()
    }

    /// What tells whether a node had to let items go.
    fn counts(&self, number: u16) -> Vec<String> {
        let of = ["used_memory:", "maxmemory:", "evicted_keys:", "expired_keys:", "db0:"];
        let Some(mut client) = self.try_connect(self.base + number) else { return Vec::new() };
        let info = client.text(&["INFO"]);
        let lines = info.lines().filter(|line| of.iter().any(|name| line.starts_with(name)));
        lines.map(str::to_owned).collect()
    }

    /// Waits until every running node says that every group has its primary and its copies, and
    /// nothing moves.
    pub fn until_well(&self) {
        within("a cluster that is well", || {
            (1..=self.count).filter(|i| self.running[usize::from(*i) - 1].is_some()).all(|i| {
                self.status(i).is_some_and(|status| {
                    let groups = &status["groups"];
                    let is_zero = |name: &str| groups[name] == 0;
                    status["cluster"].is_string()
                        && status["lease"] == true
                        && ["without_primary", "under_replicated", "moving"]
                            .into_iter()
                            .all(is_zero)
                })
            })
        });
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for number in 1..=self.count {
                let said = self.said(number);
                let lines: Vec<&str> = said.lines().rev().take(30).collect();
                eprintln!("node {number} said last, the newest first: {lines:#?}");
                let asked = std::panic::AssertUnwindSafe(|| self.counts(number));
                eprintln!("node {number} counts {:?}", std::panic::catch_unwind(asked).ok());
            }
        }
        (1..=self.count).for_each(|number| self.kill(number));
    }
}
