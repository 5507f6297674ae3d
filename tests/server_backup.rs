//! `crabcache backup` and `restore` as an operator sees them: a copy of a node that is written to
//! meanwhile is whole and comes back; a copy with any damage is refused.

mod common;

use common::{Client, Node};
use crabcache::clock::random_u64;
use crabcache::wal::backup::verify;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

fn crabcache(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crabcache"));
    command.args(words).env_clear().output().expect("the binary runs")
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&[&out.stdout[..], &out.stderr[..]].concat()).into_owned()
}

fn backup(node: &Node, to: &Path, more: &[&str]) -> Output {
    let (address, to) = (node.address().to_string(), to.display().to_string());
    let words = ["backup", "--to", &to, "--address", &address, "--rate", "0"];
    crabcache(&[&words[..], more].concat())
}

fn restore(from: &Path, to: &Path) -> Output {
    let (from, to) = (from.display().to_string(), to.display().to_string());
    crabcache(&["restore", "--from", &from, "--data-dir", &to])
}

#[track_caller]
fn good(out: &Output) -> String {
    assert!(out.status.success(), "{}", said(out));
    said(out)
}

fn start(folder: &Path, sets: &[&str]) -> Node {
    let dir = format!("data.dir={}", folder.display());
    let node = Node::start(&[&[dir.as_str(), "wal.segment_bytes=1MiB"], sets].concat());
    node.until("it has its data", |client| {
        client.send_command(&["DBSIZE"]);
        !client.line().starts_with("-LOADING")
    });
    node
}

/// The value of `key` at this version: some are long.
fn value(key: u64, version: u64) -> String {
    let bytes = if key.is_multiple_of(97) { 200_000 } else { 10 + key as usize % 200 };
    let text = format!("{key}:{version}:");
    text.repeat(bytes / text.len() + 1)
}

fn fill(client: &mut Client, keys: u64) {
    for key in 0..keys {
        client.send_command(&["SET", &format!("key:{key}"), &value(key, 0)]);
        if key % 100 == 99 {
            (0..100).for_each(|_| assert_eq!(client.line(), "+OK"));
        }
    }
}

/// Counts versions of keys up until told to stop; which version of each was acknowledged last.
struct Writer {
    stop: Arc<AtomicBool>,
    versions: Arc<Vec<AtomicU64>>,
    thread: thread::JoinHandle<()>,
}

impl Writer {
    fn start(node: &Node, keys: u64) -> Writer {
        let stop = Arc::new(AtomicBool::new(false));
        let versions = Arc::new((0..keys).map(|_| AtomicU64::new(0)).collect::<Vec<_>>());
        let (mut client, ending, at) = (node.connect(), stop.clone(), versions.clone());
        let thread = thread::spawn(move || {
            while !ending.load(Ordering::Relaxed) {
                let key = random_u64() % keys;
                let version = at[key as usize].load(Ordering::Relaxed) + 1;
                client.check(&["SET", &format!("key:{key}"), &value(key, version)], "+OK\r\n");
                at[key as usize].store(version, Ordering::SeqCst);
            }
        });
        Writer { stop, versions, thread }
    }

    fn now(&self) -> Vec<u64> {
        self.versions.iter().map(|version| version.load(Ordering::SeqCst)).collect()
    }
}

#[test]
fn a_node_that_is_written_to_comes_back_from_its_backup() {
    const KEYS: u64 = 3000;
    let folder = tempfile::tempdir().expect("a folder");
    let (data, file) = (folder.path().join("data"), folder.path().join("copy"));
    for sets in [&["memory.shards=4"][..], &["memory.shards=4", "wal.policy=async"]] {
        let in_memory = sets.len() == 1;
        let node = if in_memory { Node::start(sets) } else { start(&data, sets) };
        let mut client = node.connect();
        fill(&mut client, KEYS);
        client.check(&["SET", "soon", "gone", "PX", "1"], "+OK\r\n");
        client.check(&["SET", "late", "stays", "EX", "1000"], "+OK\r\n");
        client.check(&["SET", "binary", "a\r\nb"], "+OK\r\n");
        let writer = Writer::start(&node, KEYS);
        common::eventually("it is written to", || writer.now().iter().sum::<u64>() > 100);
        let before = writer.now();
        let told = good(&backup(&node, &file, &[]));
        let after = writer.now();
        writer.stop.store(true, Ordering::Relaxed);
        writer.thread.join().expect("it ends");
        assert!(before.iter().sum::<u64>() < after.iter().sum::<u64>(), "written to meanwhile");
        assert!(told.contains("1024 groups"), "{told}");
        client.send_command(&["BACKUP", "STATUS"]);
        assert_eq!((client.line(), client.line()), ("*2".into(), "$11".into()));
        assert_eq!((client.line(), client.line()), ("in_progress".into(), ":0".into()));
        let copies = verify(&file, &mut |_| ()).expect("whole").items;
        assert!((KEYS + 2..=KEYS + 3).contains(&copies), "{copies}");
        drop(node);

        let restored = folder.path().join("restored");
        let told = good(&restore(&file, &restored));
        assert!(told.contains(&format!("{copies} items")), "{told}");
        let node = start(&restored, &["wal.policy=sync", "memory.shards=2"]);
        let mut client = node.connect();
        for key in 0..KEYS {
            let at = key as usize;
            let found = client.text(&["GET", &format!("key:{key}")]);
            let version: u64 = found.split(':').nth(1).and_then(|v| v.parse().ok()).expect("one");
            assert!(found == value(key, version), "key {key} is whole");
            // What was acknowledged before it began is there; what came later is not. One write
            // may have been under way each time.
            assert!((before[at]..=after[at] + 1).contains(&version), "key {key}: {version}");
        }
        client.check(&["GET", "soon"], "$-1\r\n");
        client.check(&["GET", "binary"], "$4\r\na\r\nb\r\n");
        client.send_command(&["TTL", "late"]);
        assert!((900..=1000).contains(&client.line()[1..].parse::<i64>().expect("seconds")));
        client.check(&["DBSIZE"], &format!(":{}\r\n", KEYS + 2));
        // It is a node like any other: what is written now survives.
        client.check(&["SET", "new", "one"], "+OK\r\n");
        drop(node);
        let node = start(&restored, &["wal.policy=sync"]);
        node.connect().check(&["GET", "new"], "$3\r\none\r\n");
        drop(node);
        let again = restore(&file, &restored);
        assert!(!again.status.success() && said(&again).contains("empty folder"), "{again:?}");
        std::fs::remove_dir_all(&restored).expect("removed");
        std::fs::remove_file(&file).expect("removed");
    }
}

#[test]
fn any_damage_is_refused_with_file_and_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("copy");
    let node = Node::start(&["memory.shards=2"]);
    let mut client = node.connect();
    for key in 0..300 {
        client.check(&["SET", &format!("key:{key}"), &format!("{key}").repeat(50)], "+OK\r\n");
    }
    good(&backup(&node, &file, &["--quiet"]));
    let whole = std::fs::read(&file).expect("a file");
    let facts = verify(&file, &mut |_| ()).expect("whole");
    assert_eq!((facts.items, facts.groups, facts.bytes), (300, 1024, whole.len() as u64));
    let bad = folder.path().join("bad");
    let refused = |bytes: &[u8]| {
        std::fs::write(&bad, bytes).expect("written");
        let error = verify(&bad, &mut |_| ()).expect_err("it is damaged").to_string();
        assert!(error.starts_with(&format!("{} at byte ", bad.display())), "{error}");
    };
    for _ in 0..300 {
        let at = random_u64() as usize % whole.len();
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (random_u64() % 8);
        refused(&bytes);
        refused(&whole[..at]);
    }
    for cut in [0, 1, 4095, 4096, whole.len() - 1] {
        refused(&whole[..cut]);
    }
    refused(&[&whole[..], &[0]].concat());
    refused(&[&whole[..], &whole[4096..]].concat());

    let mut bytes = whole.clone();
    bytes[whole.len() / 2] ^= 1;
    std::fs::write(&bad, &bytes).expect("written");
    let to = folder.path().join("data");
    let out = restore(&bad, &to);
    assert!(!out.status.success() && said(&out).contains(" at byte "), "{out:?}");
    assert!(!to.exists(), "nothing was made");
    let out = crabcache(&["restore", "--verify-only", "--from", &bad.display().to_string()]);
    assert!(!out.status.success(), "{out:?}");
    let out = crabcache(&["restore", "--verify-only", "--from", &file.display().to_string()]);
    assert!(good(&out).contains("is whole: 300 items"), "{out:?}");
}

#[test]
fn who_may_and_where() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, token) = (folder.path().join("copy"), folder.path().join("token"));
    std::fs::write(&token, "secret-token-1234\n").expect("written");
    let node = Node::start(&["server.tokens=secret-token-1234"]);
    let out = backup(&node, &file, &[]);
    assert!(!out.status.success() && said(&out).contains("NOAUTH"), "{out:?}");
    assert!(!file.exists());
    let token = token.display().to_string();
    good(&backup(&node, &file, &["--token-file", &token]));
    let out = backup(&node, &file, &["--token-file", &token]);
    assert!(!out.status.success() && said(&out).contains("--replace"), "{out:?}");
    good(&backup(&node, &file, &["--token-file", &token, "--replace"]));
    let names: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").flatten().collect();
    assert_eq!(names.len(), 2, "nothing unfinished is left: {names:?}");

    let data = folder.path().join("data");
    let running = start(&data, &["wal.policy=async"]);
    let out = restore(&file, &data);
    assert!(!out.status.success() && said(&out).contains("a node is running on it"), "{out:?}");
    drop(running);
    let half = folder.path().join("half");
    std::fs::create_dir(&half).expect("a folder");
    std::fs::write(half.join("RESTORING"), "").expect("written");
    let out = restore(&file, &half);
    assert!(!out.status.success() && said(&out).contains("not finished"), "{out:?}");
    let dir = format!("data.dir={}", half.display());
    let out =
        crabcache(&["server", "--set", "server.port=0", "--set", "http.port=0", "--set", &dir]);
    assert!(!out.status.success() && said(&out).contains("not finished"), "{out:?}");
}

#[test]
fn one_at_a_time_in_order_and_only_by_its_name() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    client.check(&["SET", "a", "b"], "+OK\r\n");
    let id = client.text(&["BACKUP", "START"]);
    client.check(&["BACKUP", "START"], "-ERR another backup is being made\r\n");
    let wrong = "-ERR no such backup: it ended, or nothing was read for too long\r\n";
    client.check(&["BACKUP", "READ", "x", "0"], wrong);
    client
        .check(&["BACKUP", "READ", &id, "7"], "-ERR a backup is read in order: it stands at 0\r\n");
    client.check(&["BACKUP", "END", "x"], wrong);
    client.check(&["BACKUP", "END", &id], "+OK\r\n");
    client.check(&["BACKUP", "READ", &id, "0"], wrong);
    let again = client.text(&["BACKUP", "START"]);
    assert_ne!(again, id);
    client.check(&["SET", "a", "c"], "+OK\r\n");
    client.check(&["GET", "a"], "$1\r\nc\r\n");
}

#[test]
fn without_a_log_an_orderly_end_saves() {
    let folder = tempfile::tempdir().expect("a folder");
    for (i, end) in ["SIGTERM", "SIGINT"].iter().enumerate() {
        let mut node = start(folder.path(), &["wal.policy=none"]);
        let mut client = node.connect();
        client.check(&["DBSIZE"], &format!(":{i}\r\n"));
        client.check(&["SET", end, "kept"], "+OK\r\n");
        node.signal(end);
        assert!(node.ended().success());
        node.logged(&format!("{end}: saving, then stopping"));
    }
    let node = start(folder.path(), &["wal.policy=none"]);
    node.connect().check(&["GET", "SIGTERM"], "$4\r\nkept\r\n");
    // What was started without a folder has nowhere to save to, and ends at once.
    let mut node = Node::start(&[]);
    node.signal("SIGTERM");
    assert!(node.ended().success());
    node.logged("SIGTERM: stopping");
}
