//! Deadlines: EXPIRE and its kin, TTL and its kin, PERSIST, GETEX.
//! One at or before now has passed: the key is deleted, which counts as done.

use super::{Held, Target, write_count, write_value};
use crate::command::reply::{ReplyWriter, errors};
use crate::command::{ExpireCondition, ExpiryChange, Time};

/// EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT: 1 if done, 0 if not wanted or no such key.
pub(super) fn expire<W: ReplyWriter>(
    at: &mut Target<'_>,
    time: i64,
    condition: ExpireCondition,
    out: &mut W,
) {
    let Some(item) = at.peek() else { return out.integer(0) };
    let deadline = Time(u64::try_from(time).unwrap_or(0));
    if !wanted(condition, item.deadline, deadline) {
        return out.integer(0);
    }
    write_count(at.set_deadline(Some(deadline)), 1, out);
}

/// Whether the condition lets `new` replace `old`. No deadline is infinitely late.
fn wanted(condition: ExpireCondition, old: Option<Time>, new: Time) -> bool {
    let ExpireCondition { nx, xx, gt, lt } = condition;
    let refused = (nx && old.is_some())
        || (xx && old.is_none())
        || (gt && old.is_none_or(|old| new <= old))
        || (lt && old.is_some_and(|old| new >= old));
    !refused
}

/// TTL, PTTL, EXPIRETIME, PEXPIRETIME: -2 without such a key, -1 without a deadline.
pub(super) fn ttl<W: ReplyWriter>(at: &Target<'_>, absolute: bool, millis: bool, out: &mut W) {
    let Some(item) = at.peek() else { return out.integer(-2) };
    let Some(Time(deadline)) = item.deadline else { return out.integer(-1) };
    let time = if absolute { deadline } else { deadline.saturating_sub(at.now.0) };
    // Seconds are rounded to the nearest, as in Redis.
    let time = if millis { time } else { time.saturating_add(500) / 1000 };
    out.integer(i64::try_from(time).unwrap_or(i64::MAX));
}

/// PERSIST: 1 if a deadline was removed.
pub(super) fn persist<W: ReplyWriter>(at: &mut Target<'_>, out: &mut W) {
    if at.peek().and_then(|item| item.deadline).is_none() {
        return out.integer(0);
    }
    write_count(at.set_deadline(None), 1, out);
}

/// GETEX. The value is answered only when the deadline could be changed, so it is held meanwhile.
pub(super) fn get_ex<W: ReplyWriter>(at: &mut Target<'_>, change: ExpiryChange, out: &mut W) {
    let Some(item) = at.get() else { return out.null() };
    let deadline = match change {
        ExpiryChange::Keep => item.deadline,
        ExpiryChange::Clear => None,
        ExpiryChange::At(deadline) => Some(deadline),
        ExpiryChange::Refused(text) => return out.error(text),
    };
    if deadline == item.deadline {
        return write_value(item.value, out);
    }
    let held = Held::of(item.value);
    match at.set_deadline(deadline) {
        Ok(()) => held.write(out),
        Err(_) => out.error(errors::OUT_OF_MEMORY),
    }
}

#[cfg(test)]
mod tests {
    use super::wanted;
    use crate::command::{ExpireCondition, Time};

    #[test]
    fn conditions() {
        let none = ExpireCondition::default();
        let (early, late) = (Time(1), Time(2));
        assert!(wanted(none, None, early) && wanted(none, Some(late), early));
        let nx = ExpireCondition { nx: true, ..none };
        assert!(wanted(nx, None, early) && !wanted(nx, Some(late), early));
        let xx = ExpireCondition { xx: true, ..none };
        assert!(!wanted(xx, None, early) && wanted(xx, Some(late), early));
        let gt = ExpireCondition { gt: true, ..none };
        assert!(!wanted(gt, None, late) && wanted(gt, Some(early), late));
        assert!(!wanted(gt, Some(late), late) && !wanted(gt, Some(late), early));
        let lt = ExpireCondition { lt: true, ..none };
        assert!(wanted(lt, None, late) && wanted(lt, Some(late), early));
        assert!(!wanted(lt, Some(late), late) && !wanted(lt, Some(early), late));
        let both = ExpireCondition { xx: true, lt: true, ..none };
        assert!(!wanted(both, None, late) && wanted(both, Some(late), early));
    }
}
