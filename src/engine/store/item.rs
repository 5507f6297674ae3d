//! The bytes of an item in a segment:
//! `flags | key_len varint | key | value_len varint | value | [deadline]`, packed.
//! Knows nothing of segments and index.

use crate::command::Time;

/// The item is dead: overwritten, deleted, moved. Set in place when that happens.
const DEAD: u8 = 0x80;
/// The value is a buffer of its own; here stands its number (4 bytes).
const BIG: u8 = 0x08;
/// The value was made of another by changing a part of it: for OBJECT ENCODING.
const EDITED: u8 = 0x04;
const DEADLINE_MASK: u8 = 0x03;
const DEADLINE_NONE: u8 = 0;
/// Five bytes of milliseconds after [`DEADLINE_EPOCH_MS`].
const DEADLINE_SHORT: u8 = 1;
/// Eight bytes of milliseconds since the Unix epoch.
const DEADLINE_LONG: u8 = 2;
/// 2020-01-01T00:00:00Z; five bytes reach to 2054.
const DEADLINE_EPOCH_MS: u64 = 1_577_836_800_000;

/// An item as it stands in a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw<'a> {
    flags: u8,
    /// Its name.
    pub(super) key: &'a [u8],
    /// Its value, or what stands for a big one: see [`stub`].
    pub(super) value: &'a [u8],
    /// When it dies.
    pub(super) deadline: Option<Time>,
    /// Bytes of the whole item.
    pub(super) len: usize,
}

impl Raw<'_> {
    /// Whether nothing refers to it any more.
    #[inline]
    pub(super) fn is_dead(&self) -> bool {
        self.flags & DEAD != 0
    }

    /// The number of its big value, if it has one.
    #[inline]
    pub(super) fn big(&self) -> Option<u32> {
        if self.flags & BIG == 0 {
            return None;
        }
        Some(u32::from_le_bytes(*self.value.first_chunk()?))
    }

    /// See [`Draft::edited`].
    pub(super) fn is_edited(&self) -> bool {
        self.flags & EDITED != 0
    }

    /// Whether a draft without a deadline can take its place: see [`overwrite`].
    pub(super) fn has_place_for(&self, draft: &Draft<'_>) -> bool {
        let plain = self.flags & !EDITED == DEADLINE_NONE && draft.deadline.is_none() && !draft.big;
        plain && self.value.len() == draft.value.len()
    }

    /// Bytes that its big value takes outside of the segment.
    #[inline]
    pub(super) fn big_bytes(&self) -> u64 {
        if self.flags & BIG == 0 { 0 } else { big_bytes(self.value) }
    }
}

/// What stands in an item in place of a big value: its number, and the bytes it takes.
pub(super) fn stub(id: u32, bytes: u64) -> [u8; 8] {
    // A value of more does not exist; what is told here divides memory between regions, no more.
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    let mut stub = [0; 8];
    stub[..4].copy_from_slice(&id.to_le_bytes());
    stub[4..].copy_from_slice(&bytes.to_le_bytes());
    stub
}

fn big_bytes(stub: &[u8]) -> u64 {
    stub.last_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes).into())
}

/// What is to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draft<'a> {
    /// Its name.
    pub(super) key: &'a [u8],
    /// Its value, or the four bytes of a big value's number.
    pub(super) value: &'a [u8],
    /// Whether `value` is a stub.
    pub(super) big: bool,
    /// Whether the value was made of another by changing a part of it.
    pub(super) edited: bool,
    /// When it dies.
    pub(super) deadline: Option<Time>,
}

impl Draft<'_> {
    /// Bytes that its big value takes outside of the segment.
    #[inline]
    pub(super) fn big_bytes(&self) -> u64 {
        if self.big { big_bytes(self.value) } else { 0 }
    }

    /// Bytes it will take.
    #[inline]
    pub(super) fn len(&self) -> usize {
        1 + varint_len(self.key.len())
            + self.key.len()
            + varint_len(self.value.len())
            + self.value.len()
            + deadline_len(deadline_kind(self.deadline))
    }

    #[inline]
    fn flags(&self, kind: u8) -> u8 {
        kind | if self.big { BIG } else { 0 } | if self.edited { EDITED } else { 0 }
    }

    /// Writes it to the front of `out`, which has at least [`Draft::len`] bytes.
    #[inline]
    pub(super) fn write(&self, out: &mut [u8]) {
        let kind = deadline_kind(self.deadline);
        out[0] = self.flags(kind);
        let mut at = 1;
        at = put(out, at, self.key);
        at = put(out, at, self.value);
        if let Some(deadline) = self.deadline {
            put_deadline(&mut out[at..], kind, deadline);
        }
    }
}

/// Reads the item at the front of `bytes`, which this process wrote.
#[inline]
pub(super) fn parse(bytes: &[u8]) -> Raw<'_> {
    let flags = bytes[0];
    let (key_len, at) = varint(bytes, 1);
    let key = &bytes[at..at + key_len];
    let (value_len, at) = varint(bytes, at + key_len);
    let value = &bytes[at..at + value_len];
    let at = at + value_len;
    let kind = flags & DEADLINE_MASK;
    if kind == DEADLINE_NONE {
        return Raw { flags, key, value, deadline: None, len: at };
    }
    let deadline = Some(take_deadline(&bytes[at..], kind));
    Raw { flags, key, value, deadline, len: at + deadline_len(kind) }
}

/// Whether the item at the front of `bytes` has this name.
#[inline]
pub(super) fn has_key(bytes: &[u8], key: &[u8]) -> bool {
    let (key_len, at) = varint(bytes, 1);
    key_len == key.len() && bytes[at..at + key_len] == *key
}

/// Marks the item at the front of `bytes` dead.
#[inline]
pub(super) fn kill(bytes: &mut [u8]) {
    bytes[0] |= DEAD;
}

/// Replaces value and deadline of the item at the front of `bytes` where they have the same
/// sizes as before; whether they had.
#[inline]
pub(super) fn overwrite(bytes: &mut [u8], draft: &Draft<'_>) -> bool {
    let kind = deadline_kind(draft.deadline);
    let flags = draft.flags(kind);
    if (bytes[0] ^ flags) & !EDITED != 0 {
        return false;
    }
    let (key_len, at) = varint(bytes, 1);
    let (value_len, at) = varint(bytes, at + key_len);
    if value_len != draft.value.len() {
        return false;
    }
    bytes[0] = flags;
    bytes[at..at + value_len].copy_from_slice(draft.value);
    if let Some(deadline) = draft.deadline {
        put_deadline(&mut bytes[at + value_len..], kind, deadline);
    }
    true
}

#[inline]
fn deadline_kind(deadline: Option<Time>) -> u8 {
    match deadline {
        None => DEADLINE_NONE,
        Some(Time(t)) if t.wrapping_sub(DEADLINE_EPOCH_MS) < 1 << 40 => DEADLINE_SHORT,
        Some(_) => DEADLINE_LONG,
    }
}

#[inline]
fn deadline_len(kind: u8) -> usize {
    match kind {
        DEADLINE_NONE => 0,
        DEADLINE_SHORT => 5,
        _ => 8,
    }
}

fn put_deadline(out: &mut [u8], kind: u8, deadline: Time) {
    if kind == DEADLINE_SHORT {
        out[..5].copy_from_slice(&(deadline.0 - DEADLINE_EPOCH_MS).to_le_bytes()[..5]);
    } else {
        out[..8].copy_from_slice(&deadline.0.to_le_bytes());
    }
}

fn take_deadline(bytes: &[u8], kind: u8) -> Time {
    let mut le = [0u8; 8];
    if kind == DEADLINE_SHORT {
        le[..5].copy_from_slice(&bytes[..5]);
        Time(u64::from_le_bytes(le) + DEADLINE_EPOCH_MS)
    } else {
        le.copy_from_slice(&bytes[..8]);
        Time(u64::from_le_bytes(le))
    }
}

#[inline]
fn varint_len(n: usize) -> usize {
    match n {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        _ => 3,
    }
}

#[inline]
fn varint(bytes: &[u8], at: usize) -> (usize, usize) {
    let first = usize::from(bytes[at]);
    if first < 0x80 {
        return (first, at + 1);
    }
    let second = usize::from(bytes[at + 1]);
    let low = first & 0x7f | (second & 0x7f) << 7;
    if second < 0x80 {
        return (low, at + 2);
    }
    (low | usize::from(bytes[at + 2]) << 14, at + 3)
}

#[inline]
fn put(out: &mut [u8], mut at: usize, bytes: &[u8]) -> usize {
    let n = bytes.len();
    match varint_len(n) {
        1 => out[at] = n as u8,
        2 => {
            out[at] = n as u8 | 0x80;
            out[at + 1] = (n >> 7) as u8;
        }
        _ => {
            out[at] = n as u8 | 0x80;
            out[at + 1] = (n >> 7) as u8 | 0x80;
            out[at + 2] = (n >> 14) as u8;
        }
    }
    at += varint_len(n);
    out[at..at + n].copy_from_slice(bytes);
    at + n
}

/// Longest key or value that fits the three-byte lengths used here.
const FIELD_BYTES_MAX: usize = (1 << 21) - 1;
const _: () = assert!(crate::limits::KEY_BYTES_MAX <= FIELD_BYTES_MAX);
const _: () = assert!(crate::limits::SHARED_VALUE_BYTES_MIN <= FIELD_BYTES_MAX);

#[cfg(test)]
mod tests {
    use super::{DEADLINE_EPOCH_MS, Draft, has_key, kill, overwrite, parse};
    use crate::command::Time;

    #[test]
    fn what_is_written_is_read() {
        let long = vec![b'x'; 20_000];
        let times = [None, Some(Time(DEADLINE_EPOCH_MS + 5)), Some(Time(3)), Some(Time(u64::MAX))];
        for key in [&b""[..], b"k", &long[..127], &long[..128], &long[..16384]] {
            for value in [&b""[..], b"v", &long[..300], &long] {
                for deadline in times {
                    let draft = Draft { key, value, big: false, edited: false, deadline };
                    let mut bytes = vec![0u8; draft.len() + 3];
                    draft.write(&mut bytes);
                    let raw = parse(&bytes);
                    assert_eq!((raw.key, raw.value), (key, value));
                    assert_eq!((raw.deadline, raw.len), (deadline, draft.len()));
                    assert!(has_key(&bytes, key) && !has_key(&bytes, b"other"));
                    assert!(!raw.is_dead() && raw.big().is_none());
                    assert!(overwrite(&mut bytes, &draft));
                    kill(&mut bytes);
                    assert!(parse(&bytes).is_dead());
                }
            }
        }
    }

    #[test]
    fn overwriting_needs_the_same_sizes() {
        let draft = Draft { key: b"k", value: b"abc", big: false, edited: false, deadline: None };
        let mut bytes = vec![0u8; draft.len()];
        draft.write(&mut bytes);
        assert!(!overwrite(&mut bytes, &Draft { value: b"ab", ..draft }));
        assert!(!overwrite(&mut bytes, &Draft { deadline: Some(Time(1)), ..draft }));
        for edited in [false, true, false] {
            assert!(overwrite(&mut bytes, &Draft { value: b"xyz", edited, ..draft }));
            let raw = parse(&bytes);
            assert_eq!((raw.value, raw.is_edited()), (&b"xyz"[..], edited));
        }
    }
}
