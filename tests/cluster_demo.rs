//! `crabcache demo` as people run it: processes on loopback that are one cache, then gone.

mod common;

use common::{Client, eventually};
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// A demo that runs; it ends with the test.
struct Demo {
    child: Child,
    base: u16,
}

/// A base at which nobody listened a moment ago, for four nodes.
fn free_base() -> u16 {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let offsets = [0, 200, 2089];
    let all = |base: &u16| (1..=4).all(|i| offsets.iter().all(|offset| free(base + offset + i)));
    let start = 20_000 + u16::try_from(std::process::id() % 200).expect("small") * 50;
    (0..100).map(|i| start + i * 10).find(all).expect("free ports")
}

fn crabcache(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crabcache"));
    command.args(words).env_clear();
    command
}

impl Demo {
    fn start(dir: &Path) -> Demo {
        let base = free_base();
        let (dir, port) = (dir.to_str().expect("a name"), base.to_string());
        let words = ["demo", "--dir", dir, "--port-base", &port, "--memory", "32MiB"];
        let mut child = crabcache(&words).stdout(Stdio::piped()).spawn().expect("the binary runs");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let told: Vec<String> =
            lines.map_while(Result::ok).take_while(|line| !line.contains("Ctrl-C")).collect();
        assert!(told.iter().any(|line| line.starts_with("3 nodes are one cache")), "{told:#?}");
        Demo { child, base }
    }

    fn client(&self, node: u16) -> Client {
        Client::new(TcpStream::connect(("127.0.0.1", self.base + node)).expect("a node"))
    }

    fn cluster(&self, words: &[&str]) -> Output {
        let address = format!("127.0.0.1:{}", self.base + 1);
        let words = [&["cluster"], words].concat();
        crabcache(&words).env("CRABCACHE_ADDRESS", address).output().expect("the binary runs")
    }

    fn text(&self, words: &[&str]) -> String {
        let output = self.cluster(words);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn stop(&mut self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", "INT", &pid]).status().expect("kill runs");
        assert!(sent.success());
        assert!(self.child.wait().expect("a child").success());
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes where it belongs, following redirections.
fn set(demo: &Demo, key: &str, value: &str) -> u16 {
    let mut node = 1;
    for _ in 0..4 {
        let mut client = demo.client(node);
        client.send_command(&["SET", key, value]);
        let line = client.line();
        if line == "+OK" {
            return node;
        }
        let port: u16 =
            line.rsplit(':').next().expect("a part").parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(line.starts_with("-MOVED "), "{line}");
        node = port - demo.base;
    }
    panic!("nobody takes {key}");
}

#[test]
fn three_processes_are_one_cache() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut demo = Demo::start(dir.path());
    let owner = set(&demo, "hello", "world");
    // Read on another node: on its copy, or by way of the owner.
    let json = demo.text(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(status["nodes"].as_array().map(Vec::len), Some(3));
    assert_eq!(status["groups"]["without_primary"], 0);
    let other = owner % 3 + 1;
    let mut client = demo.client(other);
    client.send_command(&["GET", "hello"]);
    assert!(client.line().starts_with("-MOVED "));
    eventually("a copy of it", || {
        (1..=3).filter(|node| *node != owner).any(|node| {
            let mut client = demo.client(node);
            client.check(&["READONLY"], "+OK\r\n");
            client.send_command(&["GET", "hello"]);
            client.line() == "$5"
        })
    });
    assert!(demo.text(&["status"]).contains("well"));
    // The same ports again: refused, and the demo goes on.
    let port = demo.base.to_string();
    let again = crabcache(&["demo", "--port-base", &port]).output().expect("the binary runs");
    let error = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(
        !again.status.success() && error.contains("--port-base PORT takes other ports"),
        "{error}"
    );
    let removed = demo.text(&["remove", "3", "--timeout", "60"]);
    assert!(removed.ends_with("node 3 is gone; its process can be stopped\n"), "{removed}");
    assert!(set(&demo, "hello", "again") < 3);
    demo.stop();
    for node in 1..=3 {
        assert!(
            TcpStream::connect(("127.0.0.1", demo.base + node)).is_err(),
            "node {node} is left"
        );
    }
    assert!(dir.path().join("node-1/log").exists());
}
