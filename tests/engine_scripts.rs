//! Sessions with the engine as pages in `tests/engine_scripts/`, each with its recorded replies,
//! which are those of Redis: compared where a `redis-server` is installed. And random commands
//! given to both. `CRABCACHE_RECORD=1` writes the pages anew with the engine's replies.
//!
//! A page: `> ` a command, `+ ` milliseconds that pass (such a page is not given to Redis), `# ` a
//! remark, and replies as redis-cli shows them.

mod engine_ops;

use crabcache::command::Time;
use crabcache::command::reply::Reply;
use crabcache::engine::{Engine, EngineOptions};
use engine_ops::generate::{START_MS, command};
use engine_ops::redis::{Redis, flat};
use engine_ops::{Words, run, show};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use std::fmt::Write;
use std::path::PathBuf;

/// Where pages start: long before the deadlines they name, long after those that have passed.
const PAGE_START_MS: u64 = 10_000_000;

fn pages() -> Vec<(PathBuf, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/engine_scripts");
    let files = std::fs::read_dir(folder).expect("the folder of pages");
    let mut paths: Vec<PathBuf> = files.map(|f| f.expect("a page").path()).collect();
    paths.sort();
    paths.into_iter().map(|p| (p.clone(), std::fs::read_to_string(p).expect("text"))).collect()
}

/// A page with the replies that `answer` gives.
fn play(page: &str, mut answer: impl FnMut(&Words, u64) -> Reply) -> String {
    let (mut out, mut now) = (String::new(), PAGE_START_MS);
    for line in page.lines() {
        let is_reply = !line.starts_with(['>', '+', '#']) && !line.is_empty();
        if is_reply {
            continue;
        }
        out.push_str(line);
        out.push('\n');
        if let Some(command) = line.strip_prefix("> ") {
            print(&flat(answer(&split(command), now)), "", &mut out);
        } else if let Some(ms) = line.strip_prefix("+ ") {
            now += ms.parse::<u64>().expect("milliseconds");
        }
    }
    out
}

/// Words of a line: between blanks, or between quotes with `\n`, `\\`, `\"`, `\xff`.
fn split(line: &str) -> Words {
    let mut words = Words::new();
    let mut bytes = line.bytes().peekable();
    while let Some(first) = bytes.next() {
        match first {
            b' ' => continue,
            b'"' => {}
            _ => {
                let mut word = vec![first];
                while let Some(byte) = bytes.next_if(|&b| b != b' ') {
                    word.push(byte);
                }
                words.push(word);
                continue;
            }
        }
        let mut word = Vec::new();
        while let Some(byte) = bytes.next_if(|&b| b != b'"') {
            word.push(if byte == b'\\' { escaped(&mut bytes) } else { byte });
        }
        bytes.next();
        words.push(word);
    }
    words
}

fn escaped(bytes: &mut impl Iterator<Item = u8>) -> u8 {
    let digit =
        |byte: Option<u8>| char::from(byte.expect("a digit")).to_digit(16).expect("a digit") as u8;
    match bytes.next().expect("what is escaped") {
        b'x' => digit(bytes.next()) * 16 + digit(bytes.next()),
        b'n' => b'\n',
        other => other,
    }
}

fn print(reply: &Reply, indent: &str, out: &mut String) {
    let _ = match reply {
        Reply::Simple(text) => writeln!(out, "{text}"),
        Reply::Error(text) => writeln!(out, "(error) {text}"),
        Reply::Integer(n) => writeln!(out, "(integer) {n}"),
        Reply::Bulk(bytes) => writeln!(out, "\"{}\"", bytes.escape_ascii()),
        Reply::Null => writeln!(out, "(nil)"),
        Reply::Array(list) if list.is_empty() => writeln!(out, "(empty array)"),
        Reply::Array(list) => {
            let inner = format!("{indent}   ");
            for (i, item) in list.iter().enumerate() {
                let _ = write!(out, "{}{}) ", if i == 0 { "" } else { indent }, i + 1);
                print(item, &inner, out);
            }
            Ok(())
        }
        other => writeln!(out, "{other:?}"),
    };
}

#[test]
fn the_engine_answers_as_recorded() {
    for (path, page) in pages() {
        let engine = Engine::new(&EngineOptions { shards: 4, ..EngineOptions::default() });
        let played = play(&page, |words, now| run(&engine, words, Time(now)));
        if std::env::var_os("CRABCACHE_RECORD").is_some() {
            std::fs::write(&path, &played).expect("written");
        } else {
            assert_eq!(played, page, "{}", path.display());
        }
    }
}

#[test]
fn redis_answers_as_recorded() {
    let Some(mut redis) = Redis::start() else { return };
    for (path, page) in pages() {
        if page.lines().any(|line| line.starts_with("+ ")) {
            continue;
        }
        redis.run(&engine_ops::words("flushall"));
        assert_eq!(play(&page, |words, _| redis.run(words)), page, "{}", path.display());
    }
}

/// Whether both must answer the same, whatever their clocks and their innards.
fn comparable(words: &Words) -> bool {
    let relative: [&[u8]; 10] = [
        b"ex",
        b"px",
        b"expire",
        b"pexpire",
        b"setex",
        b"psetex",
        b"ttl",
        b"pttl",
        b"randomkey",
        b"scan",
    ];
    // DBSIZE counts what is dead but unreclaimed; encodings and sizes are each one's own.
    let own: [&[u8]; 3] = [b"dbsize", b"object", b"memory"];
    // Redis adds in the floating point of its machine, we in that of x86.
    let foreign = words[0] == b"incrbyfloat" && !cfg!(target_arch = "x86_64");
    !foreign && !words.iter().any(|w| relative.contains(&&w[..])) && !own.contains(&&words[0][..])
}

#[test]
fn random_commands_have_the_answers_of_redis() {
    let Some(mut redis) = Redis::start() else { return };
    let engine = Engine::new(&EngineOptions { shards: 4, ..EngineOptions::default() });
    let now = Time(PAGE_START_MS);
    assert!(now.0 < START_MS, "deadlines near the start of the generator are to come");
    let mut runner = TestRunner::default();
    let commands = command(16);
    let mut said = Vec::new();
    for _ in 0..20_000 {
        let words = commands.new_tree(&mut runner).expect("a command").current();
        if !comparable(&words) {
            continue;
        }
        said.push(show(&words));
        let (mut ours, mut theirs) = (flat(run(&engine, &words, now)), redis.run(&words));
        if let (b"keys", Reply::Array(a), Reply::Array(b)) = (&words[0][..], &mut ours, &mut theirs)
        {
            a.sort_by_key(|name| format!("{name:?}"));
            b.sort_by_key(|name| format!("{name:?}"));
        }
        if ours == theirs {
            continue;
        }
        let last = said[said.len().saturating_sub(40)..].join("\n");
        panic!("{last}\nours {ours:?}\ntheirs {theirs:?}");
    }
}
