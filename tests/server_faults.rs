//! A running node whose disk fails: what it says, what it refuses, what it still has afterwards,
//! and that it goes on by itself once the disk is well.

mod common;
mod ports;

use common::{Client, Node};
use crabcache::config::Config;
use crabcache::node::{NodeError, run_on};
use crabcache::wal::files::{Call, Fault, FaultyFiles, Outcome, SystemFiles};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;

/// A node in this process, on files that fail when told to.
struct Site {
    address: SocketAddr,
    http: SocketAddr,
    files: FaultyFiles,
    thread: JoinHandle<Result<(), NodeError>>,
}

fn free_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, ports::free_port()).into()
}

impl Site {
    fn start(folder: &Path, sets: &[&str]) -> Site {
        let (address, http) = (free_address(), free_address());
        let files = FaultyFiles::new(Arc::new(SystemFiles), Vec::new());
        let mut all: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        all.extend([
            format!("data.dir={}", folder.display()),
            format!("server.port={}", address.port()),
            format!("http.port={}", http.port()),
            "wal.segment_bytes=1MiB".to_owned(),
            "server.workers=1".to_owned(),
        ]);
        let config = Config::load(None, std::iter::empty(), &all).expect("good settings");
        let of_node: Arc<FaultyFiles> = Arc::new(files.clone());
        let thread = std::thread::spawn(move || run_on(config, None, of_node));
        let mut thread = Some(thread);
        common::eventually("it has its data", || {
            if let Some(ended) = thread.take_if(|thread| thread.is_finished()) {
                panic!("it ended: {:?}", ended.join());
            }
            let Ok(stream) = TcpStream::connect(address) else { return false };
            let mut client = Client::new(stream);
            client.send_command(&["DBSIZE"]);
            client.line().starts_with(':')
        });
        Site { address, http, files, thread: thread.expect("it runs") }
    }

    fn connect(&self) -> Client {
        Client::new(TcpStream::connect(self.address).expect("the node listens"))
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.http).expect("the node listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        text
    }

    /// From now on every such call fails.
    fn fail(&self, calls: &[Call], outcome: Outcome) {
        let fault = |call: &Call| Fault { call: *call, nth: 0, times: u64::MAX, outcome };
        self.files.plan(calls.iter().map(fault).collect());
    }

    fn mend(&self) {
        self.files.plan(Vec::new());
    }

    fn stop(self) -> Result<(), NodeError> {
        if let Ok(stream) = TcpStream::connect(self.address) {
            Client::new(stream).send_command(&["SHUTDOWN", "NOSAVE"]);
        }
        self.thread.join().expect("no panic")
    }
}

fn set(client: &mut Client, key: &str) {
    client.check(&["SET", key, "acknowledged"], "+OK\r\n");
}

fn has(client: &mut Client, keys: &[&str]) {
    for key in keys {
        client.check(&["GET", key], "$12\r\nacknowledged\r\n");
    }
}

/// The ways a disk fails, each with the calls that do.
const FAULTS: [(&[Call], Outcome); 4] = [
    (&[Call::Write], Outcome::Error(libc::EIO)),
    (&[Call::Sync], Outcome::Error(libc::EIO)),
    (&[Call::Write, Call::Create], Outcome::Short(5000)),
    (
        &[Call::Write, Call::Sync, Call::Create, Call::Rename, Call::Truncate, Call::Remove],
        Outcome::Error(libc::EROFS),
    ),
];

#[test]
fn read_only_refuses_writes_says_so_and_goes_on_once_the_disk_is_well() {
    for (calls, outcome) in FAULTS {
        let folder = tempfile::tempdir().expect("a folder");
        let site = Site::start(folder.path(), &["wal.policy=sync"]);
        let mut client = site.connect();
        set(&mut client, "before");
        assert!(site.get("/health").contains(r#""state":"ok""#));
        site.fail(calls, outcome);
        let mut waiting = site.connect();
        waiting.send_command(&["SET", "during", "acknowledged"]);
        common::eventually("writes are refused", || {
            let mut other = site.connect();
            other.send_command(&["APPEND", "other", "x"]);
            other.stream().set_read_timeout(Some(common::PATIENCE / 100)).expect("a socket");
            let mut byte = [0; 9];
            // An answer that waits for the disk does not come.
            other.stream().read_exact(&mut byte).is_ok() && &byte == b"-MISCONF "
        });
        let mut client = site.connect();
        has(&mut client, &["before"]);
        let info = client.text(&["INFO", "persistence"]);
        assert!(info.contains("aof_enabled:1") && info.contains("aof_last_write_status:err"));
        let health = site.get("/health");
        assert!(health.starts_with("HTTP/1.1 200"), "{health}");
        assert!(health.contains(r#""status":"log_failing""#), "{health}");
        assert!(health.contains(r#""state":"failing""#) && health.contains("os error"), "{health}");
        let metrics = site.get("/metrics");
        assert!(metrics.contains("crabcache_wal_failing 1"), "{metrics}");
        assert!(metrics.contains("crabcache_wal_state{state=\"failing\"} 1"), "{metrics}");
        assert!(metrics.contains("redis_aof_last_write_status 0"), "{metrics}");

        site.mend();
        waiting.expect("+OK\r\n");
        common::eventually("it is well", || site.get("/health").contains(r#""state":"ok""#));
        let mut client = site.connect();
        set(&mut client, "after");
        assert!(site.get("/metrics").contains("crabcache_wal_failing 0"));
        let info = client.text(&["INFO", "persistence"]);
        assert!(info.contains("aof_last_write_status:ok"), "{info}");
        site.stop().expect("all is on disk");
        let site = Site::start(folder.path(), &["wal.policy=sync"]);
        has(&mut site.connect(), &["before", "during", "after"]);
        site.stop().expect("well");
    }
}

#[test]
fn who_waits_for_the_disk_holds_up_no_other_keys_and_is_not_taken_for_one_that_does_not_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let sets = ["wal.policy=sync", "server.write_timeout=1s", "server.partial_timeout=3s"];
    let site = Site::start(folder.path(), &sets);
    let mut client = site.connect();
    set(&mut client, "before");
    site.fail(&[Call::Sync], Outcome::Error(libc::EIO));
    let mut waiting = site.connect();
    waiting.send_command(&["SET", "during", "acknowledged"]);
    common::eventually("the log fails", || site.get("/health").contains("log_failing"));
    // Nothing of theirs is on its way to the disk.
    client.check(&["MGET", "before"], "*1\r\n$12\r\nacknowledged\r\n");
    client.check(&["EXISTS", "before", "none"], ":1\r\n");
    // Who stands still is ended, later than who does not read would have been.
    let mut still = site.connect();
    still.send("*1\r\n$4\r\nPI");
    still.expect_end();
    site.mend();
    waiting.expect("+OK\r\n");
    waiting.check(&["GET", "during"], "$12\r\nacknowledged\r\n");
    site.stop().expect("all is on disk");
}

#[test]
fn stop_ends_the_node_and_nothing_acknowledged_is_lost() {
    for (calls, outcome) in FAULTS {
        let folder = tempfile::tempdir().expect("a folder");
        let site = Site::start(folder.path(), &["wal.policy=sync", "wal.on_error=stop"]);
        set(&mut site.connect(), "before");
        site.fail(calls, outcome);
        let mut waiting = site.connect();
        waiting.send_command(&["SET", "during", "x"]);
        assert!(!waiting.rest().starts_with(b"+OK"), "it is not on disk");
        assert!(matches!(site.stop(), Err(NodeError::Log)));
        let site = Site::start(folder.path(), &["wal.policy=sync"]);
        has(&mut site.connect(), &["before"]);
        site.stop().expect("well");
    }
}

#[test]
fn continue_without_wal_goes_on_and_says_that_nothing_is_kept() {
    for (calls, outcome) in FAULTS {
        let folder = tempfile::tempdir().expect("a folder");
        let sets = ["wal.policy=sync", "wal.on_error=continue_without_wal"];
        let site = Site::start(folder.path(), &sets);
        set(&mut site.connect(), "before");
        site.fail(calls, outcome);
        let mut client = site.connect();
        set(&mut client, "during");
        common::eventually("it says so", || {
            site.get("/health").contains(r#""status":"log_given_up""#)
        });
        set(&mut client, "after");
        assert!(site.get("/ready").starts_with("HTTP/1.1 200"));
        let metrics = site.get("/metrics");
        assert!(metrics.contains("crabcache_wal_state{state=\"given_up\"} 1"), "{metrics}");
        assert!(client.text(&["INFO", "persistence"]).contains("aof_last_write_status:err"));
        // The log is lost, the data is not: a snapshot holds it.
        site.mend();
        client.check(&["SAVE"], "+OK\r\n");
        assert!(matches!(site.stop(), Err(NodeError::Log)));
        let site = Site::start(folder.path(), &["wal.policy=sync"]);
        has(&mut site.connect(), &["before", "during", "after"]);
        site.stop().expect("well");
    }
}

#[test]
fn a_snapshot_that_cannot_be_written_is_told_and_holds_up_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let site = Site::start(folder.path(), &["wal.policy=none"]);
    let mut client = site.connect();
    set(&mut client, "a");
    site.fail(&[Call::Create], Outcome::Error(libc::ENOSPC));
    client.send_command(&["SAVE"]);
    assert!(client.line().starts_with("-ERR not saved: "));
    let info = client.text(&["INFO", "persistence"]);
    assert!(info.contains("rdb_last_bgsave_status:err"), "{info}");
    assert!(info.contains("rdb_changes_since_last_save:1"), "{info}");
    assert!(site.get("/metrics").contains("crabcache_snapshot_failed 1"));
    site.mend();
    client.check(&["SAVE"], "+OK\r\n");
    let info = client.text(&["INFO", "persistence"]);
    assert!(info.contains("rdb_last_bgsave_status:ok"), "{info}");
    assert!(info.contains("rdb_changes_since_last_save:0"), "{info}");
    client.send_command(&["SHUTDOWN"]);
    client.expect_end();
    site.stop().expect("saved");
    let site = Site::start(folder.path(), &["wal.policy=none"]);
    has(&mut site.connect(), &["a"]);
    site.stop().expect("well");
}

#[test]
fn save_holds_up_its_own_connection_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let site = Site::start(folder.path(), &["wal.policy=sync"]);
    set(&mut site.connect(), "a");
    // The log can neither sync nor begin another file: a snapshot waits for it before its end.
    site.fail(&[Call::Sync, Call::Rename], Outcome::Error(libc::EIO));
    let mut waiting = site.connect();
    waiting.send_command(&["SET", "b", "acknowledged"]);
    common::eventually("the log fails", || site.get("/health").contains("log_failing"));
    site.fail(&[Call::Rename], Outcome::Error(libc::EIO));
    let mut saving = site.connect();
    saving.send_command(&["SAVE"]);
    // There is one worker.
    let mut other = site.connect();
    common::eventually("it saves", || {
        other.text(&["INFO", "persistence"]).contains("rdb_bgsave_in_progress:1")
    });
    other.check(&["PING"], "+PONG\r\n");
    other.check(&["SAVE"], "-ERR Background save already in progress\r\n");
    saving.check_nothing();
    site.mend();
    saving.expect("+OK\r\n");
    waiting.expect("+OK\r\n");
    site.stop().expect("well");
}

/// A file system of its own, as long as this lives.
struct Mount(tempfile::TempDir);

impl Mount {
    fn new(options: &str) -> Option<Mount> {
        let folder = tempfile::tempdir().expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder.path());
        let mounted = mount.output().is_ok_and(|out| out.status.success());
        if !mounted {
            eprintln!("not run: cannot mount");
        }
        mounted.then(|| Mount(folder))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Also a file system that takes no direct writes.
#[test]
fn a_disk_that_is_really_full() {
    let Some(mount) = Mount::new("size=8m") else { return };
    let ballast = mount.0.path().join("ballast");
    std::fs::write(&ballast, vec![1; 3 << 20]).expect("room");
    let dir = format!("data.dir={}", mount.0.path().join("data").display());
    let sets = [dir.as_str(), "wal.policy=sync", "wal.segment_bytes=1MiB"];
    let node = Node::start(&sets);
    node.until("it has its data", |client| {
        client.send_command(&["DBSIZE"]);
        client.line() == ":0"
    });
    let value = "v".repeat(10_000);
    let mut stored = 0;
    let refusal = loop {
        let mut client = node.connect();
        client.stream().set_read_timeout(Some(common::PATIENCE / 10)).expect("a socket");
        client.send_command(&["SET", &format!("key:{stored}"), &value]);
        let mut answer = [0; 5];
        match client.stream().read_exact(&mut answer) {
            Ok(()) if &answer == b"+OK\r\n" => stored += 1,
            Ok(()) => break client.line(),
            // It waits for the disk; the next one is refused.
            Err(_) => {}
        }
        assert!(stored < 1000, "the disk is not full");
    };
    assert!(refusal.contains("No space left"), "{refusal}");
    assert!(stored > 100, "{stored}");
    std::fs::remove_file(&ballast).expect("removed");
    node.until("it takes writes again", |client| {
        client.send_command(&["SET", "after", "x"]);
        client.line() == "+OK"
    });
    drop(node);
    let node = Node::start(&sets);
    node.until("it has its data", |client| {
        client.send_command(&["STRLEN", "after"]);
        client.line() == ":1"
    });
    let mut client = node.connect();
    for key in 0..stored {
        client.check(&["STRLEN", &format!("key:{key}")], ":10000\r\n");
    }
}
