//! `crabcache bench --trace` against a small server of the tests' own: every format reads as it
//! should, and the hit ratio is the one a simulation finds.

mod bench_server;

use bench_server::{Manners, Server};
use clap::Parser;
use crabcache::cli::bench::{Failure, Options, measure};
use serde_json::Value;
use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

/// Replays a trace; gives the JSON or why it failed.
fn replay(server: &Server, trace: &Path, args: &str) -> Result<Value, Failure> {
    let trace = trace.to_str().expect("a path of plain letters");
    let line = format!("bench --port {} --json --trace {trace} {args}", server.port);
    let options = Line::try_parse_from(line.split_whitespace()).expect("good options").options;
    let mut out = Vec::new();
    measure(&options, &mut out)?;
    Ok(serde_json::from_slice(&out).expect("JSON"))
}

/// Hits of a replay on a fresh server.
fn hits(manners: Manners, trace: &Path, args: &str) -> u64 {
    let json = replay(&Server::start(manners), trace, args).expect("a replay to the end");
    json["trace"]["hits"].as_u64().expect("hits")
}

fn write(folder: &TempDir, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).expect("a file");
    path
}

/// Ids with some order and some repetition, of 100 different ones.
fn ids() -> Vec<u64> {
    (0..3000u64).map(|i| (i * i / 7 + i % 11) % 100 * (i % 3 + 1) % 100).collect()
}

fn lirs(ids: &[u64]) -> String {
    ids.iter().map(|id| format!("{id}\n")).collect()
}

/// Hits of a cache of `size` items that drops the one not used for longest.
fn simulate(ids: &[u64], size: usize) -> u64 {
    let mut recent: Vec<u64> = Vec::new();
    let mut hits = 0;
    for id in ids {
        if let Some(at) = recent.iter().position(|known| known == id) {
            recent.remove(at);
            hits += 1;
        }
        recent.push(*id);
        if recent.len() > size {
            recent.remove(0);
        }
    }
    hits
}

#[test]
fn strict_order_gives_exactly_the_hits_of_a_simulation() {
    let folder = TempDir::new().unwrap();
    let ids = ids();
    let trace = write(&folder, "t", lirs(&ids));
    for size in [5, 20, 60] {
        let manners = Manners { items_max: Some(size), ..Manners::default() };
        assert_eq!(hits(manners, &trace, "--window 1"), simulate(&ids, size), "{size} items");
    }
}

#[test]
fn no_window_makes_a_miss_of_a_key_that_was_asked_for_before() {
    let folder = TempDir::new().unwrap();
    let ids = ids();
    let trace = write(&folder, "t", lirs(&ids));
    let different = ids.iter().collect::<HashSet<_>>().len();
    for window in ["--window 1", "--window 7", "", "--window 10000"] {
        let found = hits(Manners::default(), &trace, window);
        assert_eq!(found as usize, ids.len() - different, "{window}");
    }
}

#[test]
fn formats_mean_the_same() {
    let folder = TempDir::new().unwrap();
    let ids = [7, 8, 9, 7, 1_000_000, 8, 8];
    let words: Vec<u8> = ids.iter().flat_map(|&id: &u32| id.to_be_bytes()).collect();
    let files = [
        ("lirs", b"7\n8\n*\n9\r\n\n7\n1000000\n8\n8".to_vec()),
        ("arc", b"7 3 0 0\n7 1 0 1\n1000000 1 0 2\n8 1 0 3\n8 1 0 4\n3 0 0 5\n".to_vec()),
        ("u32be", words),
        ("csv", b"time,size,id\n1,5,7\n1,5,8\n1,5,9\n1,5,7\n1,5,1000000\n1,5,8\n1,5,8\n".to_vec()),
    ];
    for (format, bytes) in files {
        let trace = write(&folder, format, bytes);
        for choice in [format, "auto"] {
            let server = Server::start(Manners::default());
            let args = format!("--trace-format {choice} --key-size 9");
            let json = replay(&server, &trace, &args).unwrap();
            assert_eq!(json["trace"]["format"], format);
            assert_eq!(
                (&json["trace"]["accesses"], &json["trace"]["hits"]),
                (&7.into(), &3.into())
            );
            let set: Vec<Vec<u8>> = server
                .data_commands()
                .into_iter()
                .filter(|command| command[0] == b"SET")
                .map(|command| command[1].clone())
                .collect();
            assert_eq!(set, [b"k00000007", b"k00000008", b"k00000009", b"k01000000"], "{format}");
        }
    }
}

#[test]
fn sizes_are_the_values_and_weigh_the_byte_hit_ratio() {
    let folder = TempDir::new().unwrap();
    let trace = write(&folder, "t", "1 5 100\n2 6 300\n3 5 100\n4 5 101\n5\t6\t300\n");
    let server = Server::start(Manners::default());
    let json = replay(&server, &trace, "--window 1 --key-size 8").unwrap();
    let set: Vec<(Vec<u8>, usize)> = server
        .data_commands()
        .into_iter()
        .filter(|command| command[0] == b"SET")
        .map(|command| (command[1].clone(), command[2].len()))
        .collect();
    let expected =
        [(b"k005:100".to_vec(), 100), (b"k006:300".to_vec(), 300), (b"k005:101".to_vec(), 101)];
    assert_eq!(set, expected);
    assert_eq!(json["trace"]["format"], "sized");
    assert_eq!(json["trace"]["hit_ratio"], 0.4);
    assert_eq!(json["trace"]["byte_hit_ratio"], 400.0 / 901.0);

    let server = Server::start(Manners::default());
    replay(&server, &trace, "--value-size 7 --ttl 60").unwrap();
    let commands = server.data_commands();
    let mut sets = commands.iter().filter(|command| command[0] == b"SET");
    assert!(sets.all(|command| command[2].len() == 7 && command[4] == b"60"));
}

#[test]
fn a_limit_and_an_empty_start_are_kept() {
    let folder = TempDir::new().unwrap();
    let trace = write(&folder, "t", "1\n2\n1\n2\n1\n");
    let server = Server::start(Manners::default());
    for _ in 0..2 {
        let json = replay(&server, &trace, "--limit 3 --flush").unwrap();
        assert_eq!((&json["trace"]["accesses"], &json["trace"]["hits"]), (&3.into(), &1.into()));
    }
    let json = replay(&server, &trace, "").unwrap();
    assert_eq!(json["trace"]["hits"], 5);
}

#[test]
fn large_values_do_not_jam_a_window() {
    let folder = TempDir::new().unwrap();
    let lines: String = (0..120).map(|i| format!("{i} {} 200000\n", i % 60)).collect();
    let trace = write(&folder, "t", lines);
    assert_eq!(hits(Manners::default(), &trace, "--window 60"), 60);
}

#[test]
fn refused_sets_are_counted_and_leave_misses() {
    let folder = TempDir::new().unwrap();
    let trace = write(&folder, "t", "1\n1\n1\n");
    let set_error = Some("OOM no".to_owned());
    let server = Server::start(Manners { set_error, ..Manners::default() });
    let json = replay(&server, &trace, "").unwrap();
    assert_eq!(json["trace"]["hits"], 0);
    assert_eq!(json["phases"][0]["set"]["errors"], 3);
    assert_eq!(json["phases"][0]["errors"][0]["text"], "OOM no");
}

#[test]
fn compressed_traces_are_known_by_their_first_bytes() {
    let folder = TempDir::new().unwrap();
    let ids = ids();
    let plain = write(&folder, "plain", lirs(&ids));
    let expected = hits(Manners::default(), &plain, "");
    for program in ["gzip", "xz", "zstd"] {
        let Some(packed) = pack(program, &plain) else {
            println!("not run: no {program}");
            continue;
        };
        let trace = write(&folder, "packed", &packed);
        assert_eq!(hits(Manners::default(), &trace, ""), expected, "{program}");
        // The limit ends the replay, and the program that unpacks, early.
        let json = replay(&Server::start(Manners::default()), &trace, "--limit 10").unwrap();
        assert_eq!(json["trace"]["accesses"], 10);
        let torn = write(&folder, "torn", &packed[..packed.len() - 5]);
        let result = replay(&Server::start(Manners::default()), &torn, "");
        let Err(Failure::Broken(text)) = result else { panic!("{program}: {result:?}") };
        assert!(text.contains(&format!("{program} ended with")), "{text}");
    }
}

fn pack(program: &str, plain: &Path) -> Option<Vec<u8>> {
    let input = File::open(plain).expect("the plain trace");
    let output = Command::new(program).arg("-c").stdin(input).output().ok()?;
    assert!(output.status.success());
    Some(output.stdout)
}

#[test]
fn what_is_wrong_with_a_trace_is_said_with_its_place() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(Manners::default());
    let check = |bytes: &[u8], args: &str, expected: &str| {
        let trace = write(&folder, "bad", bytes);
        match replay(&server, &trace, args) {
            Err(Failure::Broken(text) | Failure::Usage(text)) => {
                assert!(text.contains(expected), "{text}, not {expected}");
            }
            Ok(json) => panic!("{json}"),
        }
    };
    check(b"1\n2\nthree\n", "", "bad: 3: 'three' is not a number");
    check(b"1 0 68\n2 1\n", "", "bad: 2: too few fields");
    check(b"a,b\n1,2\n", "", "bad: 1: no column is called id");
    check(b"\0\0\0\x01\0\0", "", "bad: 2: ");
    check(b"", "", "bad: the trace is empty");
    check(b"1 2\n", "", "--trace-format");
    check(b"1\n", "--trace-format arc", "bad: 1: too few fields");
    check(b"100\n", "--key-size 3", "--key-size 3 is too small");
    check(b"1 2 99999999999\n", "", "give a --value-size");
    let endless = vec![b'1'; 100_000];
    check(&endless, "", "bad: 1: the line is too long");
    let result = replay(&server, &folder.path().join("none"), "");
    let Err(Failure::Broken(text)) = result else { panic!("{result:?}") };
    assert!(text.contains("none: "), "{text}");
}
