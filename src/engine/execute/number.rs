//! Numbers as Redis reads and writes them in values. Pure functions on bytes.

use std::io::Write;

/// Reads a 64-bit integer in its one canonical form: no plus, blank, leading zero or `-0`.
pub(super) fn parse_integer(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, bytes),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut value = 0u64;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        // Nineteen digits fit.
        value = value * 10 + u64::from(digit - b'0');
    }
    if negative { 0i64.checked_sub_unsigned(value) } else { i64::try_from(value).ok() }
}

/// Why there is no sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FloatError {
    /// The value is not a number.
    NotANumber,
    /// The sum is not finite.
    NotFinite,
}

/// Decimals of a number with a fraction, as in Redis's `%.17Lf`.
const DECIMALS: usize = 17;
/// One, as a fixed-point number of that many decimals.
const ONE: i128 = 10i128.pow(DECIMALS as u32);
/// Longest text of a number, as in Redis.
const TEXT_BYTES_MAX: usize = 5 * 1024 - 1;

/// Appends `value + by` to `out`, without exponent and trailing zeros.
///
/// Redis adds in 80-bit floating point, which gives 0.3 for 0.1 + 0.2. We add as decimal numbers
/// where both have at most 19 digits before and 17 behind the point, so we do too; otherwise in
/// 64-bit floating point, written as short as it can be read back.
pub(super) fn add_float(value: &[u8], by: f64, out: &mut Vec<u8>) -> Result<(), FloatError> {
    // Display of f64 is the shortest text that reads back, and has no exponent.
    let _ = write!(out, "{by}");
    let by_fixed = parse_fixed(out);
    out.clear();
    if let (Some(a), Some(b)) = (parse_fixed(value), by_fixed) {
        write_fixed(a + b, out);
        return Ok(());
    }
    let sum = parse_float(value).ok_or(FloatError::NotANumber)? + by;
    if !sum.is_finite() {
        return Err(FloatError::NotFinite);
    }
    let _ = write!(out, "{sum}");
    if decimals(out) > DECIMALS {
        out.clear();
        let _ = write!(out, "{sum:.DECIMALS$}");
        trim_zeros(out);
    }
    if out == b"-0" {
        out.remove(0);
    }
    Ok(())
}

/// A floating-point number as `strtold` takes it, but for hexadecimal ones. Beyond the range is
/// not a number; an infinity by its name is one.
fn parse_float(bytes: &[u8]) -> Option<f64> {
    if bytes.len() > TEXT_BYTES_MAX {
        return None;
    }
    let text = std::str::from_utf8(bytes).ok()?;
    let number: f64 = text.parse().ok()?;
    let named = !text.bytes().any(|b| b.is_ascii_digit());
    (number.is_finite() || (number.is_infinite() && named)).then_some(number)
}

/// A decimal number without exponent as a multiple of 10⁻¹⁷, or `None` when it is not one or has
/// too many digits.
fn parse_fixed(text: &[u8]) -> Option<i128> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let point = digits.iter().position(|&b| b == b'.').unwrap_or(digits.len());
    let (whole, fraction) = (&digits[..point], digits.get(point + 1..).unwrap_or_default());
    if whole.len() > 19 || fraction.len() > DECIMALS || whole.len() + fraction.len() == 0 {
        return None;
    }
    let mut number = 0i128;
    for &digit in whole.iter().chain(fraction) {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + i128::from(digit - b'0');
    }
    number *= 10i128.pow((DECIMALS - fraction.len()) as u32);
    Some(if negative { -number } else { number })
}

fn write_fixed(number: i128, out: &mut Vec<u8>) {
    let sign = if number < 0 { "-" } else { "" };
    let number = number.unsigned_abs();
    let one = ONE.unsigned_abs();
    let _ = write!(out, "{sign}{}.{:0DECIMALS$}", number / one, number % one);
    trim_zeros(out);
}

/// How many digits stand behind the point.
fn decimals(text: &[u8]) -> usize {
    text.iter().rev().position(|&b| b == b'.').unwrap_or(0)
}

/// Takes zeros at the end of a fraction away, and then a bare point.
fn trim_zeros(text: &mut Vec<u8>) {
    while text.last() == Some(&b'0') {
        text.pop();
    }
    if text.last() == Some(&b'.') {
        text.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::{FloatError, add_float, parse_integer};

    #[test]
    fn integers_have_one_form() {
        for n in [0, 1, -1, 10, 99, i64::MAX, i64::MIN, i64::MAX - 1, i64::MIN + 1] {
            assert_eq!(parse_integer(n.to_string().as_bytes()), Some(n));
        }
        for bad in [
            "",
            "-",
            "+1",
            " 1",
            "1 ",
            "01",
            "-0",
            "-01",
            "00",
            "1.0",
            "1e3",
            "a",
            "--1",
            "0x1",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
        ] {
            assert_eq!(parse_integer(bad.as_bytes()), None, "{bad}");
        }
    }

    fn sum(value: &str, by: f64) -> Result<String, FloatError> {
        let mut out = Vec::new();
        add_float(value.as_bytes(), by, &mut out)?;
        Ok(String::from_utf8(out).expect("text"))
    }

    #[test]
    fn sums_as_redis_writes_them() {
        for (value, by, text) in [
            ("0", 10.50, "10.5"),
            ("10.5", 0.1, "10.6"),
            ("10.6", -5.0, "5.6"),
            ("0.1", 0.2, "0.3"),
            ("5.0e3", 2.0e2, "5200"),
            ("3.0", 1.0, "4"),
            ("-1", 1.0, "0"),
            ("-0.0", 0.0, "0"),
            ("+1.50", 0.0, "1.5"),
            (".5", 0.0, "0.5"),
            ("5.", 0.0, "5"),
            ("-0.25", -0.5, "-0.75"),
            ("9223372036854775807", 1.0, "9223372036854775808"),
            ("0", 1e-18, "0"),
            ("0", 1e18, "1000000000000000000"),
            ("1e20", 0.0, "100000000000000000000"),
        ] {
            assert_eq!(sum(value, by), Ok(text.to_string()), "{value} + {by}");
        }
    }

    #[test]
    fn what_is_no_number() {
        for bad in ["", "abc", " 1", "1 ", "1.2.3", "nan", "1e999", ".", "-", "1_0"] {
            assert_eq!(sum(bad, 1.0), Err(FloatError::NotANumber), "{bad}");
        }
        assert_eq!(sum("inf", 1.0), Err(FloatError::NotFinite));
        assert_eq!(sum("1", f64::INFINITY), Err(FloatError::NotFinite));
        assert_eq!(sum("1e308", f64::MAX), Err(FloatError::NotFinite));
    }
}
