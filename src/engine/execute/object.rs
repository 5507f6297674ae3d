//! Questions about an item that leave no trace: TYPE, OBJECT, MEMORY USAGE.

use super::Target;
use super::number::parse_integer;
use crate::command::reply::ReplyWriter;
use crate::engine::Policy;

/// The one type there is.
pub(in crate::engine) const STRING: &str = "string";

/// Longest string that Redis keeps beside its header.
const EMBEDDED_BYTES_MAX: usize = 44;

const NO_FREQUENCY: &str = "ERR An LFU maxmemory policy is not selected, access frequency not \
     tracked. Please note that when switching between policies at runtime LRU and LFU data will \
     take some time to adjust.";
const NO_IDLE_TIME: &str = "ERR An LFU maxmemory policy is selected, idle time not tracked. \
     Please note that when switching between policies at runtime LRU and LFU data will take some \
     time to adjust.";

/// TYPE.
pub(super) fn type_name<W: ReplyWriter>(at: &Target<'_>, out: &mut W) {
    out.simple(if at.peek().is_some() { STRING } else { "none" });
}

/// OBJECT ENCODING: what Redis says of a value just set follows from its bytes; what APPEND or
/// SETRANGE has changed is `raw` whatever they are. This is remembered in memory only: copies on
/// other nodes, and the item after a restart, are as just set. Not remembered at all is that a
/// whole number is the sum of INCRBYFLOAT, which is `embstr` in Redis.
pub(super) fn encoding<W: ReplyWriter>(at: &Target<'_>, out: &mut W) {
    let Some(item) = at.peek() else { return out.null() };
    let value = item.value.bytes();
    let name = match value.len() {
        _ if at.is_edited() => "raw",
        _ if parse_integer(value).is_some() => "int",
        0..=EMBEDDED_BYTES_MAX => "embstr",
        _ => "raw",
    };
    out.bulk(name.as_bytes());
}

/// OBJECT FREQ: only where the policy counts.
pub(super) fn freq<W: ReplyWriter>(at: &Target<'_>, out: &mut W) {
    if at.peek().is_none() {
        return out.null();
    }
    match at.store.policy() {
        Policy::TinyLfu | Policy::AllKeysLfu | Policy::VolatileLfu => {
            out.integer(at.store.frequency(at.key).into());
        }
        Policy::NoEviction
        | Policy::AllKeysLru
        | Policy::AllKeysRandom
        | Policy::VolatileLru
        | Policy::VolatileRandom
        | Policy::VolatileTtl => out.error(NO_FREQUENCY),
    }
}

/// OBJECT IDLETIME, in seconds; refused where Redis refuses it.
pub(super) fn idle_time<W: ReplyWriter>(at: &Target<'_>, out: &mut W) {
    if at.peek().is_none() {
        return out.null();
    }
    if matches!(at.store.policy(), Policy::AllKeysLfu | Policy::VolatileLfu) {
        return out.error(NO_IDLE_TIME);
    }
    let seconds = at.store.idle_ms(at.key, at.now) / 1000;
    out.integer(i64::try_from(seconds).unwrap_or(i64::MAX));
}

/// OBJECT REFCOUNT: an item is referred to by its key only.
pub(super) fn ref_count<W: ReplyWriter>(at: &Target<'_>, out: &mut W) {
    match at.peek() {
        Some(_) => out.integer(1),
        None => out.null(),
    }
}

/// MEMORY USAGE.
pub(super) fn memory_usage<W: ReplyWriter>(at: &Target<'_>, out: &mut W) {
    match at.store.item_bytes(at.key, at.now) {
        Some(bytes) => out.integer(i64::try_from(bytes).unwrap_or(i64::MAX)),
        None => out.null(),
    }
}
