//! Commands as words, for the tests of the engine: how they become commands, and what a reply
//! looks like on a page. Takes well-formed commands only; what is wrong is the parser's business.
#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

pub mod generate;
pub mod model;
pub mod redis;

use bytes::Bytes;
use crabcache::command::reply::{Reply, ReplyBuilder};
use crabcache::command::{
    Arg, Args, Command, ExpireCondition, ExpiryChange, KeyOp, KeysOp, LcsOp, ScanOp, SetCondition,
    SetExpiry, SetOp, SpaceOp, Time,
};
use crabcache::engine::Engine;
use crabcache::limits::SHARED_VALUE_BYTES_MIN;

/// A command, its name first, in lower case as are its options.
pub type Words = Vec<Vec<u8>>;

/// Words from a text, split at blanks.
pub fn words(line: &str) -> Words {
    line.split_whitespace().map(|w| w.as_bytes().to_vec()).collect()
}

/// Words as a page shows them.
pub fn show(words: &[Vec<u8>]) -> String {
    let shorten = |w: &Vec<u8>| match w.len() {
        0 => "\"\"".to_string(),
        1..=24 => w.escape_ascii().to_string(),
        n => format!("{}...({n} bytes)", w[..8].escape_ascii()),
    };
    words.iter().map(shorten).collect::<Vec<_>>().join(" ")
}

/// Executes a command on the engine and returns its one reply.
pub fn run(engine: &Engine, words: &[Vec<u8>], now: Time) -> Reply {
    let (mut buffer, mut list) = (Vec::new(), Vec::new());
    for word in words {
        if word.len() > SHARED_VALUE_BYTES_MIN {
            list.push(Arg::Shared(Bytes::copy_from_slice(word)));
            continue;
        }
        let start = buffer.len() as u32;
        buffer.extend_from_slice(word);
        list.push(Arg::Span { start, end: buffer.len() as u32 });
    }
    let mut out = ReplyBuilder::default();
    engine.execute(&command(Args::new(&buffer, &list), now), now, &mut out);
    let mut replies = out.finish();
    assert_eq!(replies.len(), 1, "one reply to {}", show(words));
    replies.remove(0)
}

/// The command in these words.
pub fn command(args: Args<'_>, now: Time) -> Command<'_> {
    let name = text(args, 0);
    let key = |op| Command::Key(args.get(1), op);
    match name {
        "get" => key(KeyOp::Get),
        "getex" => key(KeyOp::GetEx(change(args, now))),
        "getdel" => key(KeyOp::GetDel),
        "getset" => key(KeyOp::GetSet(args.value(2))),
        "set" => key(KeyOp::Set(set(args, now))),
        "setex" => key(KeyOp::Set(set_until(args, Time(now.0 + 1000 * unsigned(args, 2))))),
        "psetex" => key(KeyOp::Set(set_until(args, Time(now.0 + unsigned(args, 2))))),
        "setnx" => key(KeyOp::SetNx(args.value(2))),
        "append" => key(KeyOp::Append(args.get(2))),
        "strlen" => key(KeyOp::StrLen),
        "getrange" | "substr" => {
            key(KeyOp::GetRange { start: number(args, 2), end: number(args, 3) })
        }
        "setrange" => key(KeyOp::SetRange { offset: unsigned(args, 2), value: args.get(3) }),
        "incr" => key(KeyOp::IncrBy(1)),
        "decr" => key(KeyOp::IncrBy(-1)),
        "incrby" => key(KeyOp::IncrBy(number(args, 2))),
        "decrby" => key(KeyOp::IncrBy(-number(args, 2))),
        "incrbyfloat" => key(KeyOp::IncrByFloat(text(args, 2).parse().expect("a float"))),
        "del" | "unlink" if args.len() == 2 => key(KeyOp::Delete),
        "exists" if args.len() == 2 => key(KeyOp::Exists),
        "touch" if args.len() == 2 => key(KeyOp::Touch),
        "type" => key(KeyOp::Type),
        "expire" => key(expire(args, now.0 as i64 + 1000 * number(args, 2))),
        "pexpire" => key(expire(args, now.0 as i64 + number(args, 2))),
        "expireat" => key(expire(args, 1000 * number(args, 2))),
        "pexpireat" => key(expire(args, number(args, 2))),
        "ttl" => key(KeyOp::Ttl { absolute: false, millis: false }),
        "pttl" => key(KeyOp::Ttl { absolute: false, millis: true }),
        "expiretime" => key(KeyOp::Ttl { absolute: true, millis: false }),
        "pexpiretime" => key(KeyOp::Ttl { absolute: true, millis: true }),
        "persist" => key(KeyOp::Persist),
        "object" | "memory" => Command::Key(args.get(2), question(args)),
        "dbsize" | "keys" | "scan" | "randomkey" | "flushall" | "flushdb" => {
            Command::Space(on_all(args))
        }
        _ => Command::Keys(on_several(args)),
    }
}

fn question(args: Args<'_>) -> KeyOp<'_> {
    match text(args, 1) {
        "encoding" => KeyOp::ObjectEncoding,
        "freq" => KeyOp::ObjectFreq,
        "idletime" => KeyOp::ObjectIdleTime,
        "refcount" => KeyOp::ObjectRefCount,
        "usage" => KeyOp::MemoryUsage,
        other => panic!("no question {other}"),
    }
}

fn on_several(args: Args<'_>) -> KeysOp<'_> {
    let (rest, from, to) = (args.from(1), args.get(1), args.get(2));
    match text(args, 0) {
        "mget" => KeysOp::MGet(rest),
        "mset" => KeysOp::MSet(rest),
        "msetnx" => KeysOp::MSetNx(rest),
        "del" | "unlink" => KeysOp::Delete(rest),
        "exists" => KeysOp::Exists(rest),
        "touch" => KeysOp::Touch(rest),
        "rename" => KeysOp::Rename { from, to, if_absent: false },
        "renamenx" => KeysOp::Rename { from, to, if_absent: true },
        "copy" => KeysOp::Copy { from, to, replace: option(args, 3, "replace").is_some() },
        "lcs" => KeysOp::Lcs(LcsOp {
            a: from,
            b: to,
            len: option(args, 3, "len").is_some(),
            idx: option(args, 3, "idx").is_some(),
            min_match_len: option(args, 3, "minmatchlen").map_or(0, |i| unsigned(args, i + 1)),
            with_match_len: option(args, 3, "withmatchlen").is_some(),
        }),
        other => panic!("no command {other}"),
    }
}

fn on_all(args: Args<'_>) -> SpaceOp<'_> {
    match text(args, 0) {
        "dbsize" => SpaceOp::DbSize,
        "keys" => SpaceOp::Keys { pattern: args.get(1) },
        "scan" => SpaceOp::Scan(ScanOp {
            cursor: unsigned(args, 1),
            pattern: option(args, 2, "match").map(|i| args.get(i + 1)),
            count: option(args, 2, "count").map_or(10, |i| unsigned(args, i + 1)),
            type_name: option(args, 2, "type").map(|i| args.get(i + 1)),
        }),
        "randomkey" => SpaceOp::RandomKey { chance: 0x9E37_79B9_7F4A_7C15 },
        _ => SpaceOp::Flush,
    }
}

fn set(args: Args<'_>, now: Time) -> SetOp<'_> {
    let has = |name| option(args, 3, name).is_some();
    let condition = match (has("nx"), has("xx")) {
        (true, _) => SetCondition::IfAbsent,
        (_, true) => SetCondition::IfPresent,
        _ => SetCondition::Always,
    };
    let expiry = match deadline(args, 3, now) {
        Some(deadline) => SetExpiry::At(deadline),
        None if has("keepttl") => SetExpiry::Keep,
        None => SetExpiry::Clear,
    };
    SetOp { value: args.value(2), condition, get: has("get"), expiry }
}

fn set_until(args: Args<'_>, deadline: Time) -> SetOp<'_> {
    let condition = SetCondition::Always;
    SetOp { value: args.value(3), condition, get: false, expiry: SetExpiry::At(deadline) }
}

fn change(args: Args<'_>, now: Time) -> ExpiryChange {
    match deadline(args, 2, now) {
        Some(deadline) => ExpiryChange::At(deadline),
        None if option(args, 2, "persist").is_some() => ExpiryChange::Clear,
        None => ExpiryChange::Keep,
    }
}

fn deadline(args: Args<'_>, from: usize, now: Time) -> Option<Time> {
    let units = [("ex", now.0, 1000), ("px", now.0, 1), ("exat", 0, 1000), ("pxat", 0, 1)];
    units.iter().find_map(|&(name, start, unit)| {
        option(args, from, name).map(|i| Time(start + unit * unsigned(args, i + 1)))
    })
}

fn expire(args: Args<'_>, at: i64) -> KeyOp<'_> {
    let has = |name| option(args, 3, name).is_some();
    let condition = ExpireCondition { nx: has("nx"), xx: has("xx"), gt: has("gt"), lt: has("lt") };
    KeyOp::Expire { at, condition }
}

/// Where an option stands, from argument `from` on.
fn option(args: Args<'_>, from: usize, name: &str) -> Option<usize> {
    (from..args.len()).find(|&i| args.get(i) == name.as_bytes())
}

fn text(args: Args<'_>, i: usize) -> &str {
    std::str::from_utf8(args.get(i)).expect("text")
}

fn number(args: Args<'_>, i: usize) -> i64 {
    text(args, i).parse().expect("a number")
}

fn unsigned(args: Args<'_>, i: usize) -> u64 {
    text(args, i).parse().expect("a number, not negative")
}
