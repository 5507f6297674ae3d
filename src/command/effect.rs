//! What a command did, as a deterministic change: what `execute` produces and `apply` replays.
//! Bytes of a record's payload are made and read here; their frame is `cluster::record`'s business.

use super::Time;

/// A deterministic change of one group on the exact predecessor state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect<'a> {
    /// The key holds this string until the deadline.
    Set {
        /// Its name.
        key: &'a [u8],
        /// All of its value.
        value: &'a [u8],
        /// When it dies.
        deadline: Option<Time>,
    },
    /// The key is gone: deleted or evicted.
    Delete {
        /// Its name.
        key: &'a [u8],
    },
    /// The key dies then, or no longer dies.
    Deadline {
        /// Its name.
        key: &'a [u8],
        /// The new deadline.
        deadline: Option<Time>,
    },
    /// Everything in the group with a deadline at or before this is dead.
    ExpireUpTo {
        /// The time reached.
        up_to: Time,
    },
    /// The group is empty.
    Flush,
}

/// Why bytes are not an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffectError {
    /// They end too early.
    Truncated,
    /// A kind that this version does not know.
    UnknownKind(u8),
    /// A length in more bytes than it takes: nobody wrote it so.
    Overlong,
}

const SET: u8 = 1;
const SET_UNTIL: u8 = 2;
const DELETE: u8 = 3;
const DEADLINE: u8 = 4;
const PERSIST: u8 = 5;
const EXPIRE_UP_TO: u8 = 6;
const FLUSH: u8 = 7;

impl<'a> Effect<'a> {
    /// Appends its bytes: kind, then fields; lengths are LEB128, times 8 bytes little-endian.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(self.encoded_bytes());
        match *self {
            Effect::Set { key, value, deadline } => {
                out.push(if deadline.is_some() { SET_UNTIL } else { SET });
                put_bytes(out, key);
                put_bytes(out, value);
                if let Some(Time(t)) = deadline {
                    out.extend_from_slice(&t.to_le_bytes());
                }
            }
            Effect::Delete { key } => {
                out.push(DELETE);
                put_bytes(out, key);
            }
            Effect::Deadline { key, deadline } => {
                out.push(if deadline.is_some() { DEADLINE } else { PERSIST });
                put_bytes(out, key);
                if let Some(Time(t)) = deadline {
                    out.extend_from_slice(&t.to_le_bytes());
                }
            }
            Effect::ExpireUpTo { up_to } => {
                out.push(EXPIRE_UP_TO);
                out.extend_from_slice(&up_to.0.to_le_bytes());
            }
            Effect::Flush => out.push(FLUSH),
        }
    }

    /// Bytes that [`Effect::encode`] appends.
    #[inline]
    pub fn encoded_bytes(&self) -> usize {
        match *self {
            Effect::Set { key, value, deadline } => {
                1 + sized(key) + sized(value) + if deadline.is_some() { 8 } else { 0 }
            }
            Effect::Delete { key } => 1 + sized(key),
            Effect::Deadline { key, deadline } => {
                1 + sized(key) + if deadline.is_some() { 8 } else { 0 }
            }
            Effect::ExpireUpTo { .. } => 9,
            Effect::Flush => 1,
        }
    }

    /// As [`Effect::encode`] but for the bytes of the value, which stand elsewhere; returns the
    /// place in `out` where they belong.
    pub fn encode_around(&self, out: &mut Vec<u8>) -> usize {
        let Effect::Set { key, value, deadline } = *self else {
            self.encode(out);
            return out.len();
        };
        out.push(if deadline.is_some() { SET_UNTIL } else { SET });
        put_bytes(out, key);
        put_len(out, value.len());
        let at = out.len();
        if let Some(Time(t)) = deadline {
            out.extend_from_slice(&t.to_le_bytes());
        }
        at
    }

    /// Bytes of the effect that begins with this byte that stand behind its value: where it ends,
    /// for who keeps the value elsewhere.
    pub fn bytes_behind_value(first: u8) -> usize {
        if first == SET_UNTIL { size_of::<u64>() } else { 0 }
    }

    /// The key it speaks of, if it is not about all of the group.
    pub fn key(&self) -> Option<&'a [u8]> {
        match *self {
            Effect::Set { key, .. } | Effect::Delete { key } | Effect::Deadline { key, .. } => {
                Some(key)
            }
            Effect::ExpireUpTo { .. } | Effect::Flush => None,
        }
    }

    /// Reads one effect from the front of `bytes`, which then begin behind it.
    ///
    /// # Errors
    /// When the bytes end too early or start with an unknown kind.
    pub fn decode(bytes: &mut &'a [u8]) -> Result<Effect<'a>, EffectError> {
        let (&kind, rest) = bytes.split_first().ok_or(EffectError::Truncated)?;
        *bytes = rest;
        Ok(match kind {
            SET => {
                let (key, value) = (take_bytes(bytes)?, take_bytes(bytes)?);
                Effect::Set { key, value, deadline: None }
            }
            SET_UNTIL => {
                let (key, value) = (take_bytes(bytes)?, take_bytes(bytes)?);
                Effect::Set { key, value, deadline: Some(take_time(bytes)?) }
            }
            DELETE => Effect::Delete { key: take_bytes(bytes)? },
            DEADLINE => {
                let key = take_bytes(bytes)?;
                Effect::Deadline { key, deadline: Some(take_time(bytes)?) }
            }
            PERSIST => Effect::Deadline { key: take_bytes(bytes)?, deadline: None },
            EXPIRE_UP_TO => Effect::ExpireUpTo { up_to: take_time(bytes)? },
            FLUSH => Effect::Flush,
            other => return Err(EffectError::UnknownKind(other)),
        })
    }
}

#[inline]
fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.extend_from_slice(bytes);
}

#[inline]
fn put_len(out: &mut Vec<u8>, mut n: usize) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Bytes that [`put_bytes`] appends.
#[inline]
fn sized(bytes: &[u8]) -> usize {
    let bits = usize::BITS - (bytes.len() | 1).leading_zeros();
    bits.div_ceil(7) as usize + bytes.len()
}

fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], EffectError> {
    let mut len = 0usize;
    for shift in (0..63).step_by(7) {
        let (&b, rest) = bytes.split_first().ok_or(EffectError::Truncated)?;
        *bytes = rest;
        len |= usize::from(b & 0x7f) << shift;
        if b < 0x80 {
            if b == 0 && shift > 0 {
                return Err(EffectError::Overlong);
            }
            let (taken, rest) = bytes.split_at_checked(len).ok_or(EffectError::Truncated)?;
            *bytes = rest;
            return Ok(taken);
        }
    }
    Err(EffectError::Overlong)
}

fn take_time(bytes: &mut &[u8]) -> Result<Time, EffectError> {
    let (head, rest) = bytes.split_first_chunk::<8>().ok_or(EffectError::Truncated)?;
    *bytes = rest;
    Ok(Time(u64::from_le_bytes(*head)))
}

#[cfg(test)]
mod tests {
    use super::{Effect, EffectError, Time};

    #[test]
    fn what_is_written_is_read() {
        let long = vec![7u8; 300];
        let effects = [
            Effect::Set { key: b"k", value: &long, deadline: None },
            Effect::Set { key: b"", value: b"v", deadline: Some(Time(9)) },
            Effect::Delete { key: &long },
            Effect::Deadline { key: b"k", deadline: Some(Time(u64::MAX)) },
            Effect::Deadline { key: b"k", deadline: None },
            Effect::ExpireUpTo { up_to: Time(77) },
            Effect::Flush,
        ];
        let mut bytes = Vec::new();
        effects.iter().for_each(|e| e.encode(&mut bytes));
        assert_eq!(bytes.len(), effects.iter().map(Effect::encoded_bytes).sum::<usize>());
        for e in &effects {
            let (mut whole, mut around) = (Vec::new(), Vec::new());
            e.encode(&mut whole);
            let at = e.encode_around(&mut around);
            if let Effect::Set { value, .. } = e {
                around.splice(at..at, value.iter().copied());
            }
            assert_eq!(around, whole);
        }
        let mut rest = bytes.as_slice();
        for e in &effects {
            assert_eq!(Effect::decode(&mut rest).as_ref(), Ok(e));
        }
        assert!(rest.is_empty());
        for cut in 0..bytes.len() {
            let mut rest = &bytes[..cut];
            while Effect::decode(&mut rest).is_ok() {}
        }
        for overlong in [&[3, 0x80, 0][..], &[3, 0x81, 0x80, 0, b'k'], &[3; 1]] {
            assert!(Effect::decode(&mut &overlong[..]).is_err(), "{overlong:?}");
        }
        let overlong = Effect::decode(&mut &[3, 0x81, 0, b'k'][..]);
        assert_eq!(overlong, Err(EffectError::Overlong));
        assert_eq!(Effect::decode(&mut &[99u8][..]), Err(EffectError::UnknownKind(99)));
    }
}
