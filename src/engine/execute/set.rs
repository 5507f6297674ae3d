//! Writing a whole value: SET with its options, SETNX, GETSET; and GETDEL.

use super::{Held, Target, write_count, write_done, write_value};
use crate::command::reply::{ReplyWriter, errors};
use crate::command::{SetCondition, SetExpiry, SetOp, Value};

/// SET. A plain one does not look at what is there.
#[inline]
pub(super) fn set<W: ReplyWriter>(at: &mut Target<'_>, op: &SetOp<'_>, out: &mut W) {
    let deadline = match (op.condition, op.get, op.expiry) {
        (SetCondition::Always, false, SetExpiry::Clear) => None,
        (SetCondition::Always, false, SetExpiry::At(deadline)) => Some(deadline),
        _ => return set_looking(at, op, out),
    };
    write_done(at.put(op.value, deadline), out);
}

/// SET with an option that asks what is there. The old value is answered only when the new one
/// has found room, so it is held over the write.
fn set_looking<W: ReplyWriter>(at: &mut Target<'_>, op: &SetOp<'_>, out: &mut W) {
    let old = if op.get { at.get() } else { at.peek() };
    let wanted = match op.condition {
        SetCondition::Always => true,
        SetCondition::IfAbsent => old.is_none(),
        SetCondition::IfPresent => old.is_some(),
    };
    if !wanted {
        return match old {
            Some(item) if op.get => write_value(item.value, out),
            _ => out.null(),
        };
    }
    let deadline = match op.expiry {
        SetExpiry::Clear => None,
        SetExpiry::Keep => old.and_then(|item| item.deadline),
        SetExpiry::At(deadline) => Some(deadline),
    };
    let held = old.filter(|_| op.get).map(|item| Held::of(item.value));
    match (at.put(op.value, deadline), held) {
        (Err(_), _) => out.error(errors::OUT_OF_MEMORY),
        (Ok(()), Some(held)) => held.write(out),
        (Ok(()), None) if op.get => out.null(),
        (Ok(()), None) => out.simple("OK"),
    }
}

/// GETSET: SET with GET. The deadline goes.
pub(super) fn get_set<W: ReplyWriter>(at: &mut Target<'_>, value: Value<'_>, out: &mut W) {
    let condition = SetCondition::Always;
    set_looking(at, &SetOp { value, condition, get: true, expiry: SetExpiry::Clear }, out);
}

/// SETNX: 1 if set, 0 if something was there.
pub(super) fn set_nx<W: ReplyWriter>(at: &mut Target<'_>, value: Value<'_>, out: &mut W) {
    if at.peek().is_some() {
        return out.integer(0);
    }
    write_count(at.put(value, None), 1, out);
}

/// GETDEL.
pub(super) fn get_del<W: ReplyWriter>(at: &mut Target<'_>, out: &mut W) {
    match at.get() {
        Some(item) => write_value(item.value, out),
        None => return out.null(),
    }
    at.remove();
}
