//! Values as strings of bytes: STRLEN, GETRANGE, and the two that change a part of a value,
//! APPEND and SETRANGE. These keep the deadline.

use super::change::Change;
use super::{Full, Held, Item, ItemValue, Target, prepared, write_count};
use crate::command::reply::{ReplyWriter, errors};
use crate::command::{Time, Value};
use crate::limits::SHARED_VALUE_BYTES_MIN;

/// STRLEN.
pub(super) fn len<W: ReplyWriter>(at: &mut Target<'_>, out: &mut W) {
    out.integer(at.get().map_or(0, |item| item.value.bytes().len() as i64));
}

/// APPEND. On a missing key it is a SET, even of nothing.
pub(super) fn append<W: ReplyWriter>(at: &mut Target<'_>, value: Value<'_>, out: &mut W) {
    let more = value.bytes();
    if at.peek().is_none() {
        return write_count(at.put(value, None), more.len() as i64, out);
    }
    write_changed(at, Change::append(more), out);
}

/// SETRANGE. Writing nothing changes nothing; a gap is filled with zeros.
pub(super) fn set_range<W: ReplyWriter>(
    at: &mut Target<'_>,
    offset: u64,
    value: &[u8],
    out: &mut W,
) {
    write_changed(at, Change::set_range(offset, value), out);
}

/// Changes a value and answers how long it is.
fn write_changed<W: ReplyWriter>(at: &mut Target<'_>, change: Change<'_>, out: &mut W) {
    let item = at.peek();
    let old = item.map_or(&[][..], |item| item.value.bytes());
    if change.is_nothing() {
        return out.integer(old.len() as i64);
    }
    let len = change.len(old.len());
    if len > at.store.value_bytes_max() {
        return out.error(errors::TOO_LONG);
    }
    let kept = Kept::of(item, len);
    let prepared = if len < SHARED_VALUE_BYTES_MIN {
        None
    } else {
        prepared::take(item.map(|item| item.value), change)
    };
    let new = match prepared {
        Some(new) => new.map(Held::Shared),
        None => Held::changed(at.store, old, change),
    };
    write_count(put_changed(at, new, kept), len as i64, out);
}

/// What is known of an item whose value is about to be changed.
struct Kept {
    deadline: Option<Time>,
    /// Its value, if the new one is so large that it may have to go first to make room.
    value: Option<Held>,
}

impl Kept {
    fn of(item: Option<Item<'_>>, new_len: usize) -> Kept {
        let is_large = new_len >= SHARED_VALUE_BYTES_MIN;
        let value = item.filter(|_| is_large).map(|item| Held::of(item.value));
        Kept { deadline: item.and_then(|item| item.deadline), value }
    }
}

/// Stores a changed value; the deadline stays. When there is no room for it, the old value stays.
fn put_changed(at: &mut Target<'_>, new: Result<Held, Full>, kept: Kept) -> Result<(), Full> {
    let done = new.and_then(|new| at.put_as(new.value(), kept.deadline, true));
    if let (Err(_), Some(old)) = (done, kept.value)
        && at.peek().is_none()
    {
        // It went while room was made, in vain. There is room for it, or the policy wants it gone.
        let _ = at.put(old.value(), kept.deadline);
    }
    done
}

/// GETRANGE, SUBSTR.
pub(super) fn get_range<W: ReplyWriter>(at: &mut Target<'_>, start: i64, end: i64, out: &mut W) {
    let Some(item) = at.get() else { return out.bulk(b"") };
    let Some((from, to)) = clamp(start, end, item.value.bytes().len()) else {
        return out.bulk(b"");
    };
    match item.value {
        ItemValue::Shared(bytes) if to - from >= SHARED_VALUE_BYTES_MIN => {
            out.bulk_shared(&bytes.slice(from..to));
        }
        value => out.bulk(&value.bytes()[from..to]),
    }
}

/// Redis's inclusive bounds, negative ones counted from the end, as a range; `None` when empty.
fn clamp(start: i64, end: i64, len: usize) -> Option<(usize, usize)> {
    if start < 0 && end < 0 && start > end {
        return None;
    }
    let signed = i64::try_from(len).ok()?;
    let place = |i: i64| if i < 0 { signed.saturating_add(i).max(0) } else { i };
    let (start, end) = (place(start), place(end).min(signed - 1));
    (start <= end && len > 0).then(|| (start as usize, end as usize + 1))
}

#[cfg(test)]
mod tests {
    use super::clamp;

    #[test]
    fn bounds() {
        assert_eq!(clamp(0, -1, 5), Some((0, 5)));
        assert_eq!(clamp(-3, -2, 5), Some((2, 4)));
        assert_eq!(clamp(-2, -3, 5), None);
        assert_eq!(clamp(-100, -90, 5), Some((0, 1)));
        assert_eq!(clamp(3, 2, 5), None);
        assert_eq!(clamp(5, 9, 5), None);
        assert_eq!(clamp(1, i64::MAX, 5), Some((1, 5)));
        assert_eq!(clamp(i64::MIN, i64::MAX, 5), Some((0, 5)));
        assert_eq!(clamp(0, -1, 0), None);
        assert_eq!(clamp(-1, -1, 0), None);
    }
}
