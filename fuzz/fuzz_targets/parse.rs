//! Arguments as commands: each list is a request or a refusal whose text is an error with a code.
//! Names come from the command table, arguments from a list of words that mean something.

#![no_main]

use bytes::Bytes;
use crabcache::command::parse::{Action, parse};
use crabcache::command::{Arg, Args, Time};
use libfuzzer_sys::fuzz_target;

const NOW: Time = Time(1_700_000_000_000);

// An argument is a byte: how many bytes of the input it takes, or which word of the list it is.
fuzz_target!(|input: &[u8]| {
    let mut args = Vec::new();
    let mut rest = input;
    while let Some((&choice, behind)) = rest.split_first() {
        rest = behind;
        let word = match usize::from(choice).checked_sub(32) {
            Some(i) => WORDS[i % WORDS.len()].as_bytes(),
            None => {
                let (word, behind) = rest.split_at(rest.len().min(usize::from(choice)));
                rest = behind;
                word
            }
        };
        args.push(Arg::Shared(Bytes::copy_from_slice(word)));
    }
    let words = Args::new(&[], &args);
    match parse(words, NOW, 7) {
        Ok(request) => match request.action {
            Action::Session(given) => assert_eq!(given.len(), words.len()),
            Action::Data(_) => assert!(!words.is_empty()),
        },
        Err(refusal) => {
            let code = refusal.text.split(' ').next().unwrap_or_default();
            let named = !code.is_empty() && code.bytes().all(|b| b.is_ascii_uppercase());
            assert!(named, "an error without a code: {}", refusal.text);
        }
    }
});

const WORDS: &[&str] = &[
    "get",
    "set",
    "getex",
    "getdel",
    "getset",
    "mget",
    "mset",
    "msetnx",
    "setnx",
    "setex",
    "psetex",
    "append",
    "strlen",
    "getrange",
    "setrange",
    "substr",
    "incr",
    "decr",
    "incrby",
    "decrby",
    "incrbyfloat",
    "lcs",
    "del",
    "unlink",
    "exists",
    "touch",
    "type",
    "rename",
    "renamenx",
    "copy",
    "randomkey",
    "keys",
    "scan",
    "dbsize",
    "flushall",
    "flushdb",
    "object",
    "memory",
    "expire",
    "pexpire",
    "expireat",
    "pexpireat",
    "ttl",
    "pttl",
    "expiretime",
    "pexpiretime",
    "persist",
    "ping",
    "echo",
    "hello",
    "auth",
    "select",
    "client",
    "info",
    "config",
    "command",
    "time",
    "latency",
    "slowlog",
    "debug",
    "put",
    "stats",
    "cluster",
    "EX",
    "PX",
    "EXAT",
    "PXAT",
    "NX",
    "XX",
    "GT",
    "LT",
    "GET",
    "KEEPTTL",
    "PERSIST",
    "MATCH",
    "COUNT",
    "TYPE",
    "string",
    "LEN",
    "IDX",
    "MINMATCHLEN",
    "WITHMATCHLEN",
    "REPLACE",
    "DB",
    "ASYNC",
    "SYNC",
    "encoding",
    "freq",
    "idletime",
    "refcount",
    "usage",
    "samples",
    "help",
    "list",
    "docs",
    "getkeys",
    "filterby",
    "0",
    "1",
    "-1",
    "10",
    "3.5",
    "-inf",
    "nan",
    "1e400",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551615",
    "9223372036854775",
    "k",
    "{k}",
    "*",
    "",
];
