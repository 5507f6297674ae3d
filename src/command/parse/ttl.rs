//! Commands on deadlines.

use super::{Call, Parsed};
use crate::command::{ExpireCondition, KeyOp, Time};
use std::borrow::Cow;

pub(in crate::command) fn expire(call: Call<'_>) -> Parsed<'_> {
    expire_from(call, call.now, 1000)
}

pub(in crate::command) fn pexpire(call: Call<'_>) -> Parsed<'_> {
    expire_from(call, call.now, 1)
}

pub(in crate::command) fn expireat(call: Call<'_>) -> Parsed<'_> {
    expire_from(call, Time(0), 1000)
}

pub(in crate::command) fn pexpireat(call: Call<'_>) -> Parsed<'_> {
    expire_from(call, Time(0), 1)
}

fn expire_from(call: Call<'_>, base: Time, millis_per_unit: i64) -> Parsed<'_> {
    let condition = condition(call)?;
    let millis = call.integer(2)?.checked_mul(millis_per_unit);
    let at = millis.and_then(|millis| millis.checked_add_unsigned(base.0));
    let at = at.ok_or_else(|| call.invalid_expire())?;
    call.on_key(KeyOp::Expire { at, condition })
}

fn condition(call: Call<'_>) -> Result<ExpireCondition, Cow<'static, str>> {
    let mut condition = ExpireCondition::default();
    for word in call.args.from(3).iter() {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        if is("nx") {
            condition.nx = true;
        } else if is("xx") {
            condition.xx = true;
        } else if is("gt") {
            condition.gt = true;
        } else if is("lt") {
            condition.lt = true;
        } else {
            let word = String::from_utf8_lossy(super::c_string(word));
            return Err(format!("ERR Unsupported option {word}").into());
        }
    }
    let ExpireCondition { nx, xx, gt, lt } = condition;
    if nx && (xx || gt || lt) {
        let text = "ERR NX and XX, GT or LT options at the same time are not compatible";
        return Err(text.into());
    }
    if gt && lt {
        return Err("ERR GT and LT options at the same time are not compatible".into());
    }
    Ok(condition)
}

pub(in crate::command) fn ttl(call: Call<'_>) -> Parsed<'_> {
    call.on_key(KeyOp::Ttl { absolute: false, millis: false })
}

pub(in crate::command) fn pttl(call: Call<'_>) -> Parsed<'_> {
    call.on_key(KeyOp::Ttl { absolute: false, millis: true })
}

pub(in crate::command) fn expiretime(call: Call<'_>) -> Parsed<'_> {
    call.on_key(KeyOp::Ttl { absolute: true, millis: false })
}

pub(in crate::command) fn pexpiretime(call: Call<'_>) -> Parsed<'_> {
    call.on_key(KeyOp::Ttl { absolute: true, millis: true })
}

pub(in crate::command) fn persist(call: Call<'_>) -> Parsed<'_> {
    call.on_key(KeyOp::Persist)
}
