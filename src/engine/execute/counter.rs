//! Values as numbers: INCR and its kin, INCRBYFLOAT. A missing key counts as 0; the deadline stays.

use super::number;
use super::{Held, Target, write_count};
use crate::command::reply::{ReplyWriter, errors};
use crate::command::{LongDouble, Value};

/// INCR, DECR, INCRBY, DECRBY.
pub(super) fn incr_by<W: ReplyWriter>(at: &mut Target<'_>, by: i64, out: &mut W) {
    let (old, deadline) = match at.peek() {
        Some(item) => (number::parse_integer(item.value.bytes()), item.deadline),
        None => (Some(0), None),
    };
    let Some(old) = old else { return out.error(errors::NOT_AN_INTEGER) };
    let Some(new) = old.checked_add(by) else { return out.error(errors::OVERFLOW) };
    let mut digits = itoa::Buffer::new();
    let value = Value::Slice(digits.format(new).as_bytes());
    write_count(at.put(value, deadline), new, out);
}

/// INCRBYFLOAT: the sum is answered as it is stored.
pub(super) fn incr_by_float<W: ReplyWriter>(at: &mut Target<'_>, by: LongDouble, out: &mut W) {
    let (old, deadline) = match at.peek() {
        Some(item) => (LongDouble::parse(item.value.bytes()), item.deadline),
        None => (Some(LongDouble::ZERO), None),
    };
    let Some(old) = old else { return out.error(errors::NOT_A_FLOAT) };
    let Some(sum) = old.plus(by) else { return out.error(errors::NAN) };
    let new = Held::small(|buffer| sum.write(buffer));
    match at.put(new.value(), deadline) {
        Ok(()) => new.write(out),
        Err(_) => out.error(errors::OUT_OF_MEMORY),
    }
}
