//! Numbers as Redis reads them: in one way only, without blanks, plus signs or leading zeros.

use crate::command::reply::errors;

/// An integer: digits without leading zeros, maybe a minus before them, not `-0`.
#[inline]
pub fn integer(text: &[u8]) -> Option<i64> {
    let (digits, negative) = match text {
        [b'-', digits @ ..] => (digits, true),
        digits => (digits, false),
    };
    let (&first, rest) = digits.split_first()?;
    if rest.is_empty() && first == b'0' && !negative {
        return Some(0);
    }
    if !matches!(first, b'1'..=b'9') {
        return None;
    }
    let mut value = i64::from(first - b'0');
    if negative {
        value = -value;
    }
    for &digit in rest {
        let digit = i64::from(digit.wrapping_sub(b'0'));
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?;
        value = if negative { value.checked_sub(digit)? } else { value.checked_add(digit)? };
    }
    Some(value)
}

/// The number of a database: there is only 0.
///
/// # Errors
/// What Redis answers to anything else.
pub fn database(text: &[u8]) -> Result<(), &'static str> {
    match integer(text).map(i32::try_from) {
        Some(Ok(0)) => Ok(()),
        Some(Ok(_)) => Err("ERR DB index is out of range"),
        Some(Err(_)) => {
            Err("ERR value is out of range, value must between -2147483648 and 2147483647")
        }
        None => Err(errors::NOT_AN_INTEGER),
    }
}

/// An integer of 64 bits without a sign.
pub fn unsigned(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Longest text of a number with a fraction that is looked at, as in Redis
/// (`MAX_LONG_DOUBLE_CHARS`).
const FLOAT_BYTES_MAX: usize = 5 * 1024;

/// A number with a fraction or exponent, or an infinity; not a NaN.
pub fn float(text: &[u8]) -> Option<f64> {
    if text.len() >= FLOAT_BYTES_MAX {
        return None;
    }
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (!value.is_nan()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::{float, integer, unsigned};

    #[test]
    fn integers_in_one_way_only() {
        for n in [0, 1, -1, 10, 907, i64::MAX, i64::MIN, i64::MAX - 1] {
            assert_eq!(integer(n.to_string().as_bytes()), Some(n));
        }
        let not = ["", "-", "+1", "01", "-0", "-01", "1 ", " 1", "1a", "1.0", "0x1", "1-"];
        for text in not {
            assert_eq!(integer(text.as_bytes()), None, "{text}");
        }
        for text in ["9223372036854775808", "-9223372036854775809", "99999999999999999999"] {
            assert_eq!(integer(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn cursors() {
        assert_eq!(unsigned(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(unsigned(b"007"), Some(7));
        for text in ["", "-1", "+1", "1x", "18446744073709551616"] {
            assert_eq!(unsigned(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn floats() {
        for (text, value) in [("1", 1.0), ("-1.5", -1.5), ("3e2", 300.0), (".5", 0.5), ("5.", 5.0)]
        {
            assert_eq!(float(text.as_bytes()), Some(value), "{text}");
        }
        assert_eq!(float(b"inf"), Some(f64::INFINITY));
        for text in ["", " 1", "1 ", "nan", "abc", "1.2.3"] {
            assert_eq!(float(text.as_bytes()), None, "{text}");
        }
        assert_eq!(float(&[b'1'; 6000]), None);
    }
}
