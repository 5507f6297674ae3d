//! The decimal numbers of RESP and their CR LF. Strict as Redis's string2ll: no plus, no leading
//! zeros, nothing else on the line.

/// Characters of the longest number: `-9223372036854775808`.
const DIGITS_MAX: usize = 20;
/// Digits of the longest number that [`short`] reads: it cannot overflow.
const SHORT_DIGITS_MAX: usize = 9;

/// What stands at the front of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A number and its CR LF, which take `used` bytes.
    Number {
        /// Its value.
        value: i64,
        /// Bytes of it and of CR LF.
        used: usize,
    },
    /// Perhaps the beginning of a number.
    More,
    /// No number.
    Malformed,
    /// Too many characters for a number.
    TooLong,
}

/// The hot path: a non-negative number below 10^9 and its CR LF, all there; otherwise none, and
/// [`line`] tells why.
#[inline(always)]
pub(super) fn short(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0usize;
    let mut i = 0;
    loop {
        let byte = *bytes.get(i)?;
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            let whole = byte == b'\r' && i != 0 && *bytes.get(i + 1)? == b'\n';
            let padded = i > 1 && bytes[0] == b'0';
            return (whole && !padded).then_some((value, i + 2));
        }
        if i == SHORT_DIGITS_MAX {
            return None;
        }
        value = value * 10 + usize::from(digit);
        i += 1;
    }
}

/// The number at the front of `bytes`. What is said of a prefix is said of all that begins with it,
/// unless it was `More`.
pub(super) fn line(bytes: &[u8]) -> Line {
    let negative = bytes.first() == Some(&b'-');
    let first = usize::from(negative);
    let mut value = 0i64;
    for (i, &byte) in bytes.iter().enumerate().skip(first) {
        if byte == b'\r' && i > first {
            return match bytes.get(i + 1) {
                None => Line::More,
                Some(b'\n') => Line::Number { value, used: i + 2 },
                Some(_) => Line::Malformed,
            };
        }
        if i == DIGITS_MAX {
            return if byte.is_ascii_digit() { Line::TooLong } else { Line::Malformed };
        }
        let starts_with_zero = bytes[first] == b'0' && (i > first || negative);
        if !byte.is_ascii_digit() || starts_with_zero {
            return Line::Malformed;
        }
        // Negative numbers count downwards, so that the smallest one is reached.
        let digit = i64::from(byte - b'0') * if negative { -1 } else { 1 };
        match value.checked_mul(10).and_then(|v| v.checked_add(digit)) {
            Some(v) => value = v,
            None => return Line::Malformed,
        }
    }
    Line::More
}

#[cfg(test)]
mod tests {
    use super::{Line, line, short};

    #[track_caller]
    fn check(text: &str, want: Line) {
        assert_eq!(line(text.as_bytes()), want, "{text:?}");
        let want = match want {
            Line::Number { value, used } if (0..1_000_000_000).contains(&value) => {
                Some((value as usize, used))
            }
            _ => None,
        };
        assert_eq!(short(text.as_bytes()), want, "{text:?}");
    }

    #[test]
    fn numbers_are_read_as_string2ll_does() {
        check("0\r\n", Line::Number { value: 0, used: 3 });
        check("32\r\nab", Line::Number { value: 32, used: 4 });
        check("999999999\r\n", Line::Number { value: 999_999_999, used: 11 });
        check("1000000000\r\n", Line::Number { value: 1_000_000_000, used: 12 });
        check("-1\r\n", Line::Number { value: -1, used: 4 });
        check("-9223372036854775808\r\n", Line::Number { value: i64::MIN, used: 22 });
        check("9223372036854775807\r\n", Line::Number { value: i64::MAX, used: 21 });
        for bad in ["00\r\n", "01", "-0\r\n", "+1\r\n", "\r\n", "-\r\n", " 1\r\n", "1 \r\n", "1\rx"]
        {
            check(bad, Line::Malformed);
        }
        check("9223372036854775808\r\n", Line::Malformed);
        check("-9223372036854775809", Line::Malformed);
        check("-92233720368547758080", Line::TooLong);
        for more in ["", "-", "1", "123", "1\r", "9223372036854775807"] {
            check(more, Line::More);
        }
    }
}
