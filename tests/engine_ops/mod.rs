//! Commands as words, for the tests of the engine: how they become commands, and what a reply
//! looks like on a page. The road there is the parser's.
#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

pub mod generate;
pub mod model;
pub mod redis;

use bytes::Bytes;
use crabcache::command::parse::{self, Action, Request};
use crabcache::command::reply::{Reply, ReplyBuilder, ReplyWriter};
use crabcache::command::{Arg, Args, Time};
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
    let chance = 0x9E37_79B9_7F4A_7C15;
    match parse::parse(Args::new(&buffer, &list), now, chance) {
        Ok(Request { action: Action::Data(command), .. }) => {
            engine.execute(&command, now, &mut out);
        }
        Ok(Request { action: Action::Session(_), .. }) => panic!("{} is data", show(words)),
        Err(refusal) => out.error(&refusal.text),
    }
    let mut replies = out.finish();
    assert_eq!(replies.len(), 1, "one reply to {}", show(words));
    replies.remove(0)
}
