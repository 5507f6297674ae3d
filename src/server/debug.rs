//! DEBUG: the few forms that harm nobody. SLEEP makes its own connection wait, not the node.
//! WORKERS says how many workers serve.

use super::Server;
use crate::command::Args;
use crate::command::parse::{self, number};
use crate::command::reply::{ReplyWriter, errors};
use crate::limits;
use crate::worker::{After, Answer};
use std::time::Duration;

const HELP: [&str; 12] = [
    "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "ERROR <string>",
    "    Return a Redis protocol error with <string> as message.",
    "PROTOCOL <type>",
    "    Reply with a test value of the given type, one of string, integer, double, null, array,",
    "    set, map, verbatim, true, false.",
    "SLEEP <seconds>",
    "    Let this connection wait; others go on. Decimals allowed.",
    "WORKERS [<number>|AUTO]",
    "    Return how many workers serve connections; let that many serve, whatever the load is; let",
    "    the load decide again.",
    "HELP",
];

impl Server {
    /// Answers DEBUG, given with its name.
    pub(super) fn debug(&self, words: Args<'_>, out: &mut Answer<'_>) -> After {
        let args = words.from(1);
        match (args.get(0).to_ascii_lowercase().as_slice(), args.len()) {
            (b"sleep", 2) => {
                // What is no number of seconds is none, as in Redis.
                let seconds = number::float(args.get(1)).unwrap_or(0.0);
                let seconds = seconds.clamp(0.0, limits::DEBUG_SLEEP_SECONDS_MAX);
                return After::Sleep(Duration::from_secs_f64(seconds));
            }
            (b"error", 2) => out.error(&String::from_utf8_lossy(args.get(1))),
            (b"protocol", 2) => protocol(args.get(1), out),
            (b"workers", 1) => {
                out.integer(i64::try_from(self.shared.load.active()).unwrap_or(i64::MAX));
            }
            (b"workers", 2) => self.debug_workers(args.get(1), out),
            (b"help", 1) => {
                out.array(HELP.len());
                HELP.iter().for_each(|line| out.simple(line));
            }
            _ => out.error(&parse::wrong_subcommand(words)),
        }
        After::Continue
    }

    /// Lets so many workers serve, or the load decide.
    fn debug_workers(&self, word: &[u8], out: &mut Answer<'_>) {
        if word.eq_ignore_ascii_case(b"auto") {
            self.shared.release_workers();
            return out.simple("OK");
        }
        let workers = self.shared.load.workers();
        match number::integer(word).and_then(|n| usize::try_from(n).ok()) {
            Some(n) if (1..=workers).contains(&n) => {
                self.shared.hold_workers(n);
                out.simple("OK");
            }
            _ => out.error(&format!("ERR workers must be a number from 1 to {workers}, or AUTO")),
        }
    }
}

/// One value of each type, as Redis gives it.
fn protocol(kind: &[u8], out: &mut Answer<'_>) {
    match kind.to_ascii_lowercase().as_slice() {
        b"string" => out.bulk(b"Hello World"),
        b"integer" => out.integer(12345),
        // Not pi, but what Redis answers.
        b"double" => out.double(3141.0 / 1000.0),
        b"null" => out.null(),
        b"array" => {
            out.array(3);
            (0..3).for_each(|i| out.integer(i));
        }
        b"set" => {
            out.set(3);
            (0..3).for_each(|i| out.integer(i));
        }
        b"map" => {
            out.map(3);
            for i in 0..3 {
                out.integer(i);
                out.boolean(i == 1);
            }
        }
        b"verbatim" => out.verbatim("This is a verbatim\nstring"),
        b"true" => out.boolean(true),
        b"false" => out.boolean(false),
        _ => out.error(errors::SYNTAX),
    }
}
