//! A node that keeps its data on disk: stopped, killed at random moments, started again. What it
//! acknowledged under `sync` is there; nobody saw what a restart took back.
//! CRABCACHE_KILLS says how many times the killing tests kill; the default is few.

mod common;

use common::{Client, Node};
use crabcache::clock::random_u64;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

fn start(folder: &Path, sets: &[&str]) -> Node {
    let dir = format!("data.dir={}", folder.display());
    let node = Node::start(&[&[dir.as_str(), "wal.segment_bytes=1MiB"], sets].concat());
    node.until("it has its data", |client| {
        client.send_command(&["DBSIZE"]);
        !client.line().starts_with("-LOADING")
    });
    node
}

fn stop(mut node: Node) {
    node.signal("SIGTERM");
    assert!(node.ended().success());
}

fn get(client: &mut Client, key: &str) -> Option<String> {
    client.send_command(&["GET", key]);
    let head = client.line();
    if head == "$-1" { None } else { Some(client.line()) }
}

#[test]
fn a_restart_keeps_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    for policy in ["wal.policy=async", "wal.policy=sync"] {
        let node = start(folder.path(), &[policy, "memory.shards=4"]);
        let mut client = node.connect();
        client.check(&["FLUSHALL"], "+OK\r\n");
        client.check(&["SET", "a", "1"], "+OK\r\n");
        client.check(&["INCRBY", "a", "41"], ":42\r\n");
        client.check(&["MSET", "b", "x", "c", "y", "d", "z"], "+OK\r\n");
        client.check(&["APPEND", "b", "more"], ":5\r\n");
        client.check(&["RENAME", "c", "e"], "+OK\r\n");
        client.check(&["DEL", "d"], ":1\r\n");
        client.check(&["SET", "soon", "gone", "PX", "1"], "+OK\r\n");
        client.check(&["SET", "late", "stays", "EX", "1000"], "+OK\r\n");
        client.check(&["EXPIRE", "a", "500"], ":1\r\n");
        let big = "v".repeat(300_000);
        client.check(&["SET", "big", &big], "+OK\r\n");
        stop(node);

        let node = start(folder.path(), &[policy, "memory.shards=16"]);
        let mut client = node.connect();
        client.check(&["GET", "a"], "$2\r\n42\r\n");
        client.check(&["GET", "b"], "$5\r\nxmore\r\n");
        client.check(&["MGET", "c", "d", "soon"], "*3\r\n$-1\r\n$-1\r\n$-1\r\n");
        client.check(&["GET", "e"], "$1\r\ny\r\n");
        client.check(&["STRLEN", "big"], ":300000\r\n");
        client.send_command(&["TTL", "late"]);
        assert!((900..=1000).contains(&client.line()[1..].parse::<i64>().expect("seconds")));
        client.send_command(&["TTL", "a"]);
        assert!((400..=500).contains(&client.line()[1..].parse::<i64>().expect("seconds")));
        stop(node);
    }
}

fn segments(folder: &Path) -> usize {
    let files = std::fs::read_dir(folder.join("wal")).expect("the log").flatten();
    files.filter(|file| file.path().extension().is_some_and(|e| e == "wal")).count()
}

#[test]
fn who_meets_a_full_log_again_and_again_goes_on_each_time() {
    let folder = tempfile::tempdir().expect("a folder");
    for (policy, rounds) in [("wal.policy=async", 40), ("wal.policy=sync", 4)] {
        let node = start(folder.path(), &[policy, "wal.buffer_bytes=1MiB"]);
        let mut client = node.connect();
        let value = "v".repeat(10_000);
        for round in 0..rounds {
            let set = |i: usize| common::resp(&["SET", &format!("k:{round}:{i}"), &value]);
            // Three times what the log takes. Nothing comes behind it that would wake anybody.
            client.send((0..300).flat_map(set).collect::<Vec<u8>>());
            client.expect("+OK\r\n".repeat(300));
        }
        client.check(&["FLUSHALL"], "+OK\r\n");
        stop(node);
    }
}

/// A value that tells which write it is, of a length of its own.
fn written(i: usize) -> String {
    format!("{i}:{}", "x".repeat([10, 100, 300, 700][i % 4]))
}

#[test]
fn with_less_memory_nothing_old_and_nothing_deleted_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let sets = |memory| [memory, "wal.policy=async", "memory.shards=4", "server.workers=1"];
    let node = start(folder.path(), &sets("memory.max_memory=64MiB"));
    let mut client = node.connect();
    let names: Vec<String> = (0..40_000).map(|i| format!("key:{i}")).collect();
    for round in 0..2 {
        for (part, names) in names.chunks(1000).enumerate() {
            let value = |i: usize| written(round * names.len() + part + i);
            let set = |(i, name): (usize, &String)| common::resp(&["SET", name, &value(i)]);
            client.send(names.iter().enumerate().flat_map(set).collect::<Vec<u8>>());
            client.expect("+OK\r\n".repeat(names.len()));
        }
    }
    let info = client.text(&["INFO", "crabcache"]);
    let field = |name: &str| -> u64 {
        let of = |line: &str| line.strip_prefix(name)?.strip_prefix(':')?.parse().ok();
        info.lines().find_map(of).expect("a number")
    };
    let used = field("live_bytes") + field("index_bytes");
    stop(node);

    // A policy that lets nothing go is not obeyed by forgetting something.
    let dir = format!("data.dir={}", folder.path().display());
    let less = ["memory.max_memory=8MiB", "memory.policy=noeviction"];
    let on = ["server.port=0", "http.port=0", "wal.policy=async", "memory.shards=4", &dir];
    let out = Command::new(env!("CARGO_BIN_EXE_crabcache"))
        .arg("server")
        .args(on.iter().chain(&less).flat_map(|set| ["--set", set]))
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    assert!(!out.status.success() && said.contains("does not fit"), "{said}");
    let needed = said.split("It needs about ").nth(1).and_then(|text| text.split(' ').next());
    let needed: u64 = needed.and_then(|n| n.parse().ok()).expect("how much is needed");
    let off = (needed << 20).abs_diff(used);
    assert!(off < used / 10 + (1 << 20), "{used} bytes are used: {said}");

    let node = start(folder.path(), &sets("memory.max_memory=8MiB"));
    let mut client = node.connect();
    let mut kept = 0;
    for (part, names) in names.chunks(1000).enumerate() {
        for (i, name) in names.iter().enumerate() {
            let newest = written(names.len() + part + i);
            if let Some(value) = get(&mut client, name) {
                assert_eq!(value, newest, "{name}");
                kept += 1;
            }
        }
    }
    assert!((1..39_000).contains(&kept), "{kept} are kept");
    for names in names.chunks(1000) {
        let del = names.iter().flat_map(|name| common::resp(&["DEL", name])).collect::<Vec<u8>>();
        client.send(del);
        names.iter().for_each(|_| drop(client.line()));
    }
    client.check(&["DBSIZE"], ":0\r\n");
    stop(node);

    let node = start(folder.path(), &sets("memory.max_memory=64MiB"));
    node.connect().check(&["DBSIZE"], ":0\r\n");
    stop(node);
}

#[test]
fn what_fills_its_memory_to_the_brim_is_read_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let sets = ["memory.max_memory=16MiB", "memory.policy=noeviction", "wal.policy=async"];
    let sets = [&sets[..], &["memory.shards=4", "server.workers=1"]].concat();
    let node = start(folder.path(), &sets);
    let mut client = node.connect();
    let mut kept = 0;
    // Half of it in one group, whose shard needs the room of others.
    for part in 0..200 {
        let name = |i: usize| match i % 2 {
            0 => format!("{{one}}{part}:{i}"),
            _ => format!("{part}:{i}"),
        };
        let set = |i: usize| common::resp(&["SET", &name(i), &written(i)]);
        client.send((0..1000).flat_map(set).collect::<Vec<u8>>());
        kept += (0..1000).filter(|_| client.line() == "+OK").count();
    }
    assert!((1000..199_000).contains(&kept), "{kept} had room");
    stop(node);
    let node = start(folder.path(), &sets);
    node.connect().check(&["DBSIZE"], &format!(":{kept}\r\n"));
    stop(node);
}

#[test]
fn a_snapshot_makes_the_log_short_and_a_restart_begins_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let value = "v".repeat(10_000);
    for policy in ["wal.policy=async", "wal.policy=sync", "wal.policy=none"] {
        let node = start(folder.path(), &[policy]);
        let mut client = node.connect();
        client.check(&["FLUSHALL"], "+OK\r\n");
        for i in 0..500 {
            client.check(&["SET", &format!("key:{i}"), &value], "+OK\r\n");
        }
        client.check(&["DEL", "key:7"], ":1\r\n");
        client.check(&["SAVE"], "+OK\r\n");
        common::eventually("segments are put away", || segments(folder.path()) <= 2);
        client.check(&["SET", "key:8", "after"], "+OK\r\n");
        client.check(&["BGSAVE"], "+Background saving started\r\n");
        node.until("it is saved", |client| {
            client.text(&["INFO", "persistence"]).contains("rdb_bgsave_in_progress:0")
        });
        stop(node);

        let node = start(folder.path(), &[policy, "memory.shards=2"]);
        let mut client = node.connect();
        client.check(&["DBSIZE"], ":499\r\n");
        client.check(&["EXISTS", "key:7"], ":0\r\n");
        client.check(&["GET", "key:8"], "$5\r\nafter\r\n");
        client.check(&["STRLEN", "key:499"], ":10000\r\n");
        stop(node);
    }
}

#[test]
fn two_nodes_do_not_share_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = start(folder.path(), &["wal.policy=async"]);
    let dir = format!("data.dir={}", folder.path().display());
    let out = Command::new(env!("CARGO_BIN_EXE_crabcache"))
        .args(["server", "--set", "server.port=0", "--set", "http.port=0", "--set", &dir])
        .output()
        .expect("the binary runs");
    assert!(!out.status.success());
    let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    assert!(said.contains("another node is running on it"), "{said}");
    stop(node);
}

/// Counts a key of its own up, as fast as answers come, until the node is gone. Tells the newest
/// number that was acknowledged.
fn count_up(node: &Node, name: String, from: u64, acked: Arc<AtomicU64>) -> thread::JoinHandle<()> {
    let stream = TcpStream::connect(node.address()).expect("the node listens");
    acked.store(from, Ordering::SeqCst);
    thread::spawn(move || {
        let mut stream = stream;
        let mut number = from;
        loop {
            number += 1;
            let value = number.to_string();
            if stream.write_all(&common::resp(&["SET", &name, &value])).is_err() {
                return;
            }
            let mut answer = [0; 5];
            if stream.read_exact(&mut answer).is_err() || &answer != b"+OK\r\n" {
                return;
            }
            acked.store(number, Ordering::SeqCst);
        }
    })
}

/// Reads the keys round and round; tells the newest number that was seen of each.
fn look(node: &Node, names: Vec<String>, seen: Arc<Vec<AtomicU64>>) -> thread::JoinHandle<()> {
    let mut stream = TcpStream::connect(node.address()).expect("the node listens");
    thread::spawn(move || {
        for i in (0..names.len()).cycle() {
            if stream.write_all(&common::resp(&["GET", &names[i]])).is_err() {
                return;
            }
            let mut bytes = [0; 64];
            let Ok(n @ 1..) = stream.read(&mut bytes) else { return };
            let text = String::from_utf8_lossy(&bytes[..n]).into_owned();
            if let Some(number) = text.split("\r\n").nth(1).and_then(|t| t.parse().ok()) {
                seen[i].fetch_max(number, Ordering::SeqCst);
            }
        }
    })
}

fn kills() -> u64 {
    std::env::var("CRABCACHE_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(6)
}

#[test]
fn killed_under_sync_it_has_all_that_was_acknowledged_or_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let names: Vec<String> = (0..6).map(|i| format!("counter:{i}")).collect();
    let mut newest = vec![0; names.len()];
    for round in 0..kills() {
        let shards = ["memory.shards=4", "memory.shards=16", "memory.shards=1"][round as usize % 3];
        let mut node = start(folder.path(), &["wal.policy=sync", shards]);
        let mut client = node.connect();
        for (name, newest) in names.iter().zip(&newest) {
            let found = get(&mut client, name).and_then(|n| n.parse().ok()).unwrap_or(0);
            assert!(found >= *newest, "round {round}: {name} is {found}, was {newest}");
        }
        let acked: Vec<_> = names.iter().map(|_| Arc::new(AtomicU64::new(0))).collect();
        let seen = Arc::new(names.iter().map(|_| AtomicU64::new(0)).collect::<Vec<_>>());
        let mut threads = vec![look(&node, names.clone(), seen.clone())];
        for (i, name) in names.iter().enumerate() {
            let from = get(&mut client, name).and_then(|n| n.parse().ok()).unwrap_or(0);
            threads.push(count_up(&node, name.clone(), from, acked[i].clone()));
        }
        let enough = 1 + random_u64() % 400;
        common::eventually("the counters count", || {
            acked.iter().map(|n| n.load(Ordering::SeqCst)).sum::<u64>()
                >= newest.iter().sum::<u64>() + enough
        });
        node.signal("SIGKILL");
        node.ended();
        threads.into_iter().for_each(|thread| thread.join().expect("it ends"));
        for (i, newest) in newest.iter_mut().enumerate() {
            let acked = acked[i].load(Ordering::SeqCst);
            *newest = acked.max(seen[i].load(Ordering::SeqCst)).max(*newest);
        }
    }
}

#[test]
fn killed_under_async_it_has_all_but_the_last_moment() {
    let folder = tempfile::tempdir().expect("a folder");
    for _ in 0..kills().min(20) {
        let mut node = start(folder.path(), &["wal.policy=async"]);
        let mut client = node.connect();
        let first = format!("first:{}", random_u64());
        client.check(&["SET", &first, "here"], "+OK\r\n");
        // What a process has handed to the system outlives it: the log is written continuously.
        let written = || {
            let files = std::fs::read_dir(folder.path().join("wal")).expect("the log").flatten();
            let mut files = files.map(|f| std::fs::read(f.path()).unwrap_or_default());
            files.any(|bytes| bytes.windows(first.len()).any(|w| w == first.as_bytes()))
        };
        common::eventually("it is written", written);
        let acked = Arc::new(AtomicU64::new(0));
        let thread = count_up(&node, "counter".into(), 0, acked.clone());
        common::eventually("it counts", || acked.load(Ordering::SeqCst) > 100);
        node.signal("SIGKILL");
        node.ended();
        thread.join().expect("it ends");
        let node = start(folder.path(), &["wal.policy=async"]);
        let mut client = node.connect();
        client.check(&["GET", &first], "$4\r\nhere\r\n");
        let found: u64 = get(&mut client, "counter").and_then(|n| n.parse().ok()).unwrap_or(0);
        assert!(found <= acked.load(Ordering::SeqCst) + 1);
        client.check(&["FLUSHALL"], "+OK\r\n");
        stop(node);
    }
}

#[test]
fn a_damaged_log_is_told_with_the_command_that_helps() {
    let folder = tempfile::tempdir().expect("a folder");
    let sets = ["wal.policy=async"];
    let node = start(folder.path(), &sets);
    let mut client = node.connect();
    // All in one group: records of it stand behind the damage.
    for i in 0..3000 {
        client.check(&["SET", &format!("{{k}}:{i}"), &"v".repeat(1000)], "+OK\r\n");
    }
    stop(node);
    assert!(segments(folder.path()) >= 3);
    let first = folder.path().join("wal").join("00000000000000000001.wal");
    let mut bytes = std::fs::read(&first).expect("a segment");
    // In a value, the last: how full the file is depends on how long its frames are.
    let value = bytes.windows(100).rposition(|some| some == [b'v'; 100]).expect("one");
    bytes[value] ^= 1;
    std::fs::write(&first, &bytes).expect("written");

    let crabcache = |words: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_crabcache"))
            .args(words)
            .output()
            .expect("the binary runs");
        let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
        (out.status.success(), said)
    };
    let dir = format!("data.dir={}", folder.path().display());
    let on = ["--set", &dir, "--set", "server.port=0", "--set", "http.port=0"];
    let (fine, said) = crabcache(&[&["server"], &on[..], &["--set", "wal.policy=async"]].concat());
    assert!(!fine && said.contains("Nothing was changed"), "{said}");
    assert_eq!(std::fs::read(&first).expect("a segment"), bytes);
    let data_dir = folder.path().display().to_string();
    let repair = format!("`crabcache wal repair --data-dir {data_dir} --force`");
    assert!(said.contains(&repair) && said.contains("00000000000000000001.wal at byte"), "{said}");

    // Without force nothing is moved, and the exit code says that there is damage left.
    let (fine, said) = crabcache(&["wal", "repair", "--data-dir", &data_dir]);
    assert!(!fine && said.contains("nothing is done without --force"), "{said}");
    assert_eq!(std::fs::read(&first).expect("a segment"), bytes);
    let words: Vec<&str> = repair.trim_matches('`').split(' ').skip(1).collect();
    let (fine, said) = crabcache(&[&words[..], &["--dry-run"]].concat());
    assert!(fine && said.contains("would give up"), "{said}");
    let (fine, said) = crabcache(&words);
    assert!(fine && said.contains("give up what"), "{said}");
    let (fine, said) = crabcache(&["wal", "verify", "--data-dir", &data_dir]);
    assert!(fine, "{said}");

    let node = start(folder.path(), &sets);
    let mut client = node.connect();
    // What stands whole before the damage is there.
    client.check(&["STRLEN", "{k}:0"], ":1000\r\n");
    client.check(&["STRLEN", "{k}:100"], ":1000\r\n");
    for i in 0..3000 {
        client.check(&["SET", &format!("{{k}}:{i}"), "again"], "+OK\r\n");
    }
    stop(node);
    let node = start(folder.path(), &sets);
    node.connect().check(&["GET", "{k}:2999"], "$5\r\nagain\r\n");
    node.connect().check(&["DBSIZE"], ":3000\r\n");
    stop(node);
}

#[test]
fn a_last_file_without_a_whole_header_is_kept_under_another_name() {
    let folder = tempfile::tempdir().expect("a folder");
    stop(start(folder.path(), &["wal.policy=async"]));
    let wal = folder.path().join("wal");
    let (odd, blank) = (wal.join("00000000000000000008.wal"), wal.join("00000000000000000009.wal"));
    std::fs::write(&odd, "something").expect("written");
    std::fs::write(&blank, [0; 5000]).expect("written");
    let node = start(folder.path(), &["wal.policy=async"]);
    node.connect().check(&["SET", "a", "b"], "+OK\r\n");
    let aside = wal.join("00000000000000000008.wal.damaged");
    assert_eq!(std::fs::read(&aside).expect("kept"), b"something");
    assert!(!blank.exists());
    stop(node);
}

#[test]
fn sigterm_while_the_data_is_loaded_is_obeyed_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    stop(start(folder.path(), &["wal.policy=async"]));
    // Who opens this to read waits for a writer, for ever.
    let endless = folder.path().join("wal").join("00000000000000000099.wal");
    let made = Command::new("mkfifo").arg(&endless).status().expect("mkfifo runs");
    assert!(made.success());
    let dir = format!("data.dir={}", folder.path().display());
    for end in ["SIGTERM", "SIGINT"] {
        let mut node = Node::start(&[&dir, "wal.policy=async"]);
        let mut client = node.connect();
        client.send_command(&["GET", "a"]);
        assert!(client.line().starts_with("-LOADING "));
        let info = client.text(&["INFO", "persistence"]);
        assert!(info.contains("loading:1") && info.contains("loading_total_bytes:"), "{info}");
        node.signal(end);
        assert!(node.ended().success());
    }
    std::fs::remove_file(&endless).expect("removed");
    let node = start(folder.path(), &["wal.policy=async"]);
    assert!(node.connect().text(&["INFO", "persistence"]).contains("loading:0"));
    stop(node);
}

/// Runs `crabcache wal` on a folder; its exit code and what it said.
fn wal(word: &str, folder: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crabcache"));
    let done = command.args(["wal", word, "--data-dir"]).arg(folder).output().expect("it runs");
    let said = [done.stdout, done.stderr].concat();
    (done.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn a_flipped_bit_after_a_clean_end_is_damage() {
    for policy in ["wal.policy=async", "wal.policy=sync"] {
        let folder = tempfile::tempdir().expect("a folder");
        let node = start(folder.path(), &[policy]);
        let mut client = node.connect();
        for i in 0..50 {
            client.check(&["SET", &format!("item:{i}"), "v"], "+OK\r\n");
        }
        stop(node);
        let (code, said) = wal("verify", folder.path());
        assert!(code == Some(0) && said.contains("sound") && !said.contains("torn"), "{said}");
        let path = folder.path().join("wal").join("00000000000000000001.wal");
        let whole = std::fs::read(&path).expect("a file of the log");
        for item in ["item:0", "item:25", "item:49"] {
            let at = whole.windows(item.len()).position(|bytes| bytes == item.as_bytes());
            let mut bytes = whole.clone();
            bytes[at.expect("it was logged")] ^= 1;
            std::fs::write(&path, &bytes).expect("written");
            let (code, said) = wal("verify", folder.path());
            assert!(code == Some(1) && said.contains("DAMAGE"), "{item}: {said}");
        }
    }
}

#[test]
fn a_running_node_is_not_repaired() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = start(folder.path(), &["wal.policy=async"]);
    let mut client = node.connect();
    client.check(&["SET", "a", "1"], "+OK\r\n");
    let (code, said) = wal("repair", folder.path());
    assert!(code == Some(2) && said.contains("a node is running"), "{said}");
    assert!(wal("verify", folder.path()).1.contains("a node is running"));
    stop(node);
    let (code, said) = wal("repair", folder.path());
    assert!(code == Some(0) && said.contains("nothing to repair"), "{said}");
    let node = start(folder.path(), &["wal.policy=async"]);
    assert_eq!(get(&mut node.connect(), "a").as_deref(), Some("1"));
    stop(node);
}
