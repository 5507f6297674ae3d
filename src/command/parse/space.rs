//! Commands on the keyspace as a whole.

use super::{Action, Call, Parsed, number};
use crate::command::reply::errors;
use crate::command::{Command, ScanOp, SpaceOp};

fn on_space(op: SpaceOp<'_>) -> Parsed<'_> {
    Ok(Action::Data(Command::Space(op)))
}

pub(in crate::command) fn dbsize(_call: Call<'_>) -> Parsed<'_> {
    on_space(SpaceOp::DbSize)
}

pub(in crate::command) fn keys(call: Call<'_>) -> Parsed<'_> {
    on_space(SpaceOp::Keys { pattern: call.args.get(1) })
}

pub(in crate::command) fn randomkey(call: Call<'_>) -> Parsed<'_> {
    on_space(SpaceOp::RandomKey { chance: call.chance })
}

/// ASYNC and SYNC are both taken: memory is given back in steps whichever it is.
pub(in crate::command) fn flush(call: Call<'_>) -> Parsed<'_> {
    let word = call.args.get(1);
    match call.args.len() {
        1 => on_space(SpaceOp::Flush),
        2 if word.eq_ignore_ascii_case(b"async") || word.eq_ignore_ascii_case(b"sync") => {
            on_space(SpaceOp::Flush)
        }
        _ => Err(errors::SYNTAX.into()),
    }
}

/// COUNT of a SCAN without one.
const SCAN_COUNT: u64 = 10;

pub(in crate::command) fn scan(call: Call<'_>) -> Parsed<'_> {
    let args = call.args;
    let cursor = number::unsigned(args.get(1)).ok_or("ERR invalid cursor")?;
    let mut op = ScanOp { cursor, pattern: None, count: SCAN_COUNT, type_name: None };
    let mut i = 2;
    while i < args.len() {
        let is = |name: &str| args.get(i).eq_ignore_ascii_case(name.as_bytes());
        if i + 1 >= args.len() {
            return Err(errors::SYNTAX.into());
        } else if is("count") {
            let count = u64::try_from(call.integer(i + 1)?).ok().filter(|&count| count > 0);
            op.count = count.ok_or(errors::SYNTAX)?;
        } else if is("match") {
            op.pattern = Some(args.get(i + 1));
        } else if is("type") {
            op.type_name = Some(type_name(args.get(i + 1)));
        } else {
            return Err(errors::SYNTAX.into());
        }
        i += 2;
    }
    on_space(SpaceOp::Scan(op))
}

/// The name of a type in lower case; as given if there is no such type.
fn type_name(given: &[u8]) -> &[u8] {
    let names: [&[u8]; 6] = [b"string", b"list", b"set", b"zset", b"hash", b"stream"];
    names.into_iter().find(|name| name.eq_ignore_ascii_case(given)).unwrap_or(given)
}
