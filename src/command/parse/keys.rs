//! Commands on keys whatever they hold.

use super::{Action, Call, Parsed, number};
use crate::command::reply::errors;
use crate::command::{Args, Command, KeyOp, KeysOp};

/// On one key as a command on one key, on several as one on several.
fn one_or_more<'a>(call: Call<'a>, one: KeyOp<'a>, more: fn(Args<'a>) -> KeysOp<'a>) -> Parsed<'a> {
    match call.args.len() {
        2 => call.on_key(one),
        _ => Ok(Action::Data(Command::Keys(more(call.args.from(1))))),
    }
}

pub(in crate::command) fn del(call: Call<'_>) -> Parsed<'_> {
    one_or_more(call, KeyOp::Delete, KeysOp::Delete)
}

pub(in crate::command) fn exists(call: Call<'_>) -> Parsed<'_> {
    one_or_more(call, KeyOp::Exists, KeysOp::Exists)
}

pub(in crate::command) fn touch(call: Call<'_>) -> Parsed<'_> {
    one_or_more(call, KeyOp::Touch, KeysOp::Touch)
}

pub(in crate::command) fn kind(call: Call<'_>) -> Parsed<'_> {
    call.on_key(KeyOp::Type)
}

pub(in crate::command) fn rename(call: Call<'_>) -> Parsed<'_> {
    renamed(call, false)
}

pub(in crate::command) fn renamenx(call: Call<'_>) -> Parsed<'_> {
    renamed(call, true)
}

fn renamed(call: Call<'_>, if_absent: bool) -> Parsed<'_> {
    let (from, to) = (call.args.get(1), call.args.get(2));
    Ok(Action::Data(Command::Keys(KeysOp::Rename { from, to, if_absent })))
}

pub(in crate::command) fn copy(call: Call<'_>) -> Parsed<'_> {
    let args = call.args;
    let (from, to, mut replace) = (args.get(1), args.get(2), false);
    let mut i = 3;
    while i < args.len() {
        if args.get(i).eq_ignore_ascii_case(b"replace") {
            replace = true;
        } else if args.get(i).eq_ignore_ascii_case(b"db") && i + 1 < args.len() {
            i += 1;
            number::database(args.get(i))?;
        } else {
            return Err(errors::SYNTAX.into());
        }
        i += 1;
    }
    if from == to {
        return Err("ERR source and destination objects are the same".into());
    }
    Ok(Action::Data(Command::Keys(KeysOp::Copy { from, to, replace })))
}

/// On the key behind the name of a subcommand.
fn on_key_behind<'a>(call: Call<'a>, op: KeyOp<'a>) -> Parsed<'a> {
    Ok(Action::Data(Command::Key(call.args.get(2), op)))
}

pub(in crate::command) fn object_encoding(call: Call<'_>) -> Parsed<'_> {
    on_key_behind(call, KeyOp::ObjectEncoding)
}

pub(in crate::command) fn object_freq(call: Call<'_>) -> Parsed<'_> {
    on_key_behind(call, KeyOp::ObjectFreq)
}

pub(in crate::command) fn object_idletime(call: Call<'_>) -> Parsed<'_> {
    on_key_behind(call, KeyOp::ObjectIdleTime)
}

pub(in crate::command) fn object_refcount(call: Call<'_>) -> Parsed<'_> {
    on_key_behind(call, KeyOp::ObjectRefCount)
}

/// SAMPLES is for collections: checked, and without effect on a string.
pub(in crate::command) fn memory_usage(call: Call<'_>) -> Parsed<'_> {
    let mut i = 3;
    while i < call.args.len() {
        let samples = call.args.get(i).eq_ignore_ascii_case(b"samples");
        if !samples || i + 1 >= call.args.len() || call.integer(i + 1)? < 0 {
            return Err(errors::SYNTAX.into());
        }
        i += 2;
    }
    on_key_behind(call, KeyOp::MemoryUsage)
}
