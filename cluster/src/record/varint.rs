//! Numbers of variable length: LEB128, and zigzag for differences. Each number has one spelling.

/// Most bytes of a number.
pub(super) const BYTES_MAX: usize = 10;

/// Writes `value` at `at`, seven bits a byte, the low ones first; returns the place behind it.
#[inline]
pub(super) fn put(out: &mut [u8], mut at: usize, mut value: u64) -> usize {
    while value >= 0x80 {
        out[at] = value as u8 | 0x80;
        value >>= 7;
        at += 1;
    }
    out[at] = value as u8;
    at + 1
}

/// Takes a number from the front of `bytes`; `None` when it ends too early, is longer than it has
/// to be, or exceeds 64 bits.
pub(super) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if (bits << shift) >> shift != bits || (byte == 0 && shift > 0) {
            return None;
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Writes how far `value` is from `expected`, on the circle of 64-bit numbers, as [`put`] does.
#[inline]
pub(super) fn put_difference(out: &mut [u8], at: usize, value: u64, expected: u64) -> usize {
    let difference = value.wrapping_sub(expected) as i64;
    put(out, at, ((difference << 1) ^ (difference >> 63)) as u64)
}

/// Takes a difference and adds it to `expected`; `None` as [`take`], or when there is none.
pub(super) fn take_difference(bytes: &mut &[u8], expected: u64) -> Option<u64> {
    let zigzag = take(bytes).filter(|&z| z != 0)?;
    let difference = (zigzag >> 1) ^ (zigzag & 1).wrapping_neg();
    Some(expected.wrapping_add(difference))
}

#[cfg(test)]
mod tests {
    use super::{BYTES_MAX, put, put_difference, take, take_difference};

    #[test]
    fn numbers_at_every_width_come_back() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let mut bytes = vec![0; BYTES_MAX];
                let end = put(&mut bytes, 0, value);
                bytes.truncate(end);
                assert_eq!(take(&mut bytes.as_slice()), Some(value));
                for cut in 0..bytes.len() {
                    assert_eq!(take(&mut &bytes[..cut]), None);
                }
            }
        }
    }

    #[test]
    fn one_spelling_only() {
        assert_eq!(take(&mut &[0x80, 0x00][..]), None);
        assert_eq!(take(&mut &[0xff; 10][..]), None);
        assert_eq!(take(&mut &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2][..]), None);
    }

    #[test]
    fn differences_go_both_ways_and_around() {
        for (value, expected) in [(5, 3), (3, 5), (0, u64::MAX), (u64::MAX, 0), (1 << 63, 0)] {
            let mut bytes = vec![0; BYTES_MAX];
            let end = put_difference(&mut bytes, 0, value, expected);
            bytes.truncate(end);
            assert_eq!(take_difference(&mut bytes.as_slice(), expected), Some(value));
        }
        assert_eq!(take_difference(&mut &[0][..], 7), None);
    }
}
