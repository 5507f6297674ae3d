//! Client libraries and Redis's own tools against a cluster of real processes: that they work, and
//! what their users notice when nodes come, go and die. Those that are not installed say "not run".

mod common;
mod demo_world;

use cluster::slot::Slot;
use common::Client;
use crabcache::clock::monotonic_nanos;
use demo_world::{Demo, within_patience};
use serde_json::Value;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// An interpreter that knows redis-py: `CRABCACHE_PYTHON`, or python3.
fn python() -> Option<String> {
    let program = std::env::var("CRABCACHE_PYTHON").unwrap_or_else(|_| "python3".into());
    let has = Command::new(&program).args(["-c", "import redis.cluster"]).output();
    if has.is_ok_and(|output| output.status.success()) {
        return Some(program);
    }
    eprintln!("not run: no python3 with redis-py");
    None
}

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster_clients/redis_py.py");

/// redis-py at work.
struct Steady {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

impl Steady {
    fn start(program: &str, port: u16) -> Steady {
        let mut command = Command::new(program);
        command.args([PROGRAM, "steady", &port.to_string()]);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python runs");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut steady = Steady { child, input, output };
        assert_eq!(steady.line(), "ready");
        steady
    }

    fn line(&mut self) -> String {
        self.output.next().expect("a line").expect("text")
    }

    /// How many calls it has made.
    fn calls(&mut self) -> u64 {
        let input = self.input.as_mut().expect("it runs");
        input.write_all(b"\n").expect("it listens");
        self.line().parse().expect("a number")
    }

    /// Lets it make so many calls more.
    fn go_on(&mut self, calls: u64) {
        let goal = self.calls() + calls;
        assert!(within_patience(|| self.calls() >= goal), "it makes no calls any more");
    }

    /// What it has seen.
    fn end(mut self) -> Value {
        self.input = None;
        let told = self.line();
        assert!(self.child.wait().expect("a child").success());
        serde_json::from_str(&told).expect("JSON")
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn redis_py_works() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let demo = Demo::start(dir.path());
    let port = (demo.base + 1).to_string();
    let output = Command::new(python).args([PROGRAM, "basics", &port]).output().expect("it runs");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{error}");
    demo.stop();
}

#[test]
fn redis_py_notices_nothing_when_nodes_come_and_go() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let mut demo = Demo::start(dir.path());
    let mut client = Steady::start(&python, demo.base + 1);
    demo.add();
    demo.text(&["rebalance", "--timeout", "90"]);
    client.go_on(1000);
    demo.text(&["remove", "4", "--timeout", "90"]);
    demo.stop_other(4);
    client.go_on(1000);
    let told = client.end();
    eprintln!("redis-py, a node added and removed: {told}");
    assert_eq!(told["errors"], serde_json::json!({}), "{told}");
    assert_eq!((told["wrong"].as_u64(), told["lost"].as_u64()), (Some(0), Some(0)), "{told}");
    demo.stop();
}

#[test]
fn redis_py_goes_on_when_a_node_dies() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let mut demo = Demo::start(dir.path());
    let mut client = Steady::start(&python, demo.base + 1);
    demo.kill(3);
    client.go_on(1000);
    demo.bring_back(3);
    demo.well(3);
    client.go_on(1000);
    let told = client.end();
    eprintln!("redis-py, a node killed and back: {told}");
    // Its own retries bear what happens; what it may show is that the connection broke.
    let errors = told["errors"].as_object().expect("an object");
    let known = ["ConnectionError", "TimeoutError", "ClusterDownError", "UNCERTAIN"];
    let is_known = |name: &String| known.iter().any(|known| name.contains(known));
    assert!(errors.keys().all(is_known), "{told}");
    demo.stop();
}

/// Moves of one group from node to node.
const MOVES: usize = 12;
/// Far more than it takes, since the machine may be busy.
const TOLD_NANOS_MAX: u64 = 10_000_000_000;

/// Times at which a node serves a group, and at which the last of the others names it.
fn follow_a_move(demo: &Demo, clients: &mut [Client], slot: &str, to: u16) -> (u64, u64) {
    let mut admin = demo.client(1);
    admin.send_command(&["CRABCACHE", "MOVE", slot, slot, &to.to_string()]);
    let begun = monotonic_nanos();
    let (mut served, mut told) = (0, [0; 3]);
    while served == 0 || told.contains(&0) {
        assert!(monotonic_nanos() - begun < TOLD_NANOS_MAX, "node {to}: {served} {told:?}");
        for (i, client) in clients.iter_mut().enumerate() {
            client.send_command(&["GET", "{foo}"]);
            let line = client.line();
            if line == "$-1" && usize::from(to) == i + 1 {
                served = if served == 0 { monotonic_nanos() } else { served };
                told[i] = served;
            } else if line.ends_with(&format!(":{}", demo.base + to)) && told[i] == 0 {
                told[i] = monotonic_nanos();
            }
        }
    }
    (served, told.into_iter().max().unwrap_or(0))
}

#[test]
fn everybody_is_told_of_a_new_owner() {
    let dir = tempfile::tempdir().expect("a folder");
    let demo = Demo::start(dir.path());
    let mut clients: Vec<Client> = (1..=3).map(|node| demo.client(node)).collect();
    let slot = Slot::of(b"{foo}").number().to_string();
    let mut late_micros = Vec::new();
    for i in 0..MOVES {
        let owner = (1..=3).find(|node| {
            clients[usize::from(node - 1)].send_command(&["GET", "{foo}"]);
            clients[usize::from(node - 1)].line() == "$-1"
        });
        let to = owner.expect("somebody serves it") % 3 + 1;
        let (served, told) = follow_a_move(&demo, &mut clients, &slot, to);
        late_micros.push(told.saturating_sub(served) / 1000);
        if i + 1 < MOVES {
            demo.text(&["rebalance", "--timeout", "60"]);
        }
    }
    late_micros.sort_unstable();
    let (middle, most) = (late_micros[MOVES / 2], late_micros[MOVES - 1]);
    eprintln!("the last node names a new owner {middle} us after it serves, {most} us at most");
    demo.stop();
}
