//! Numbers of INCRBYFLOAT: the 80-bit floating point of x86 that Redis's sums are made in, bit by
//! bit, since its rounding shows (123456789.1 + 0.2 is 123456789.29999999999563443). Pure.
//!
//! What stands in a value is read as `strtold` reads it, rounded to 64 significant bits, ties to
//! even; sums are rounded likewise; what is written is `%.17Lf` without zeros at its end. Numbers
//! below the normal range keep all 64 bits here: they are written as 0 either way.

mod natural;

use natural::Natural;

/// Longest text of a number that is looked at, as in Redis (`MAX_LONG_DOUBLE_CHARS`).
const TEXT_BYTES_MAX: usize = 5 * 1024 - 1;
/// Bits of a significand.
const BITS: u32 = 64;
/// Exponent of the lowest bit of the largest numbers.
const EXPONENT_MAX: i32 = 16383 - 63;
/// Exponent of the lowest bit of the smallest numbers there are.
const EXPONENT_MIN: i32 = -16445;
/// Powers of ten beyond which a number is out of range whatever its 5 KiB of digits are.
const TEN_MAX: i64 = 4932;
/// See [`TEN_MAX`].
const TEN_MIN: i64 = -4951 - TEXT_BYTES_MAX as i64;
/// A power that is out of range whatever stands before it.
const POWER_MAX: i64 = 64 * 1024;
/// Decimals that are written.
const DECIMALS: usize = 17;
const ONE: u128 = 10u128.pow(DECIMALS as u32);

/// A number of 64 significant bits, or an infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongDouble {
    negative: bool,
    size: Size,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Zero,
    /// `significand` × 2^`exponent`, the highest bit of the significand set.
    Finite {
        significand: u64,
        exponent: i32,
    },
    Infinite,
}

impl LongDouble {
    /// Nothing.
    pub const ZERO: LongDouble = LongDouble { negative: false, size: Size::Zero };

    /// Reads a number: decimal or hexadecimal, with fraction and exponent, or an infinity by its
    /// name. `None` for anything else, blanks included, and beyond the range on either side.
    pub fn parse(text: &[u8]) -> Option<LongDouble> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let named = |name: &[u8]| text.eq_ignore_ascii_case(name);
        let size = match text {
            _ if named(b"inf") || named(b"infinity") => Size::Infinite,
            [b'0', b'x' | b'X', rest @ ..] => Digits::read(rest, 16, b'p')?.hexadecimal()?,
            _ => Digits::read(text, 10, b'e')?.decimal()?,
        };
        Some(LongDouble { negative, size })
    }

    /// The sum, rounded to 64 bits; `None` when it is not finite.
    pub fn plus(self, other: LongDouble) -> Option<LongDouble> {
        match (self.size, other.size) {
            (Size::Infinite, _) | (_, Size::Infinite) => None,
            (Size::Zero, _) => Some(other),
            (_, Size::Zero) => Some(self),
            (Size::Finite { .. }, Size::Finite { .. }) => sum(self, other),
        }
    }

    /// Appends its text, without exponent and without zeros at the end of a fraction. Infinities
    /// have none.
    pub fn write(self, out: &mut Vec<u8>) {
        let start = out.len();
        if self.negative {
            out.push(b'-');
        }
        match self.size {
            Size::Zero | Size::Infinite => out.push(b'0'),
            Size::Finite { significand, exponent: up @ 0.. } => {
                Natural::from(significand).shifted(up as u32).write(out);
            }
            Size::Finite { significand, exponent } => {
                let scaled = u128::from(significand) * ONE;
                write_fixed(halved(scaled, exponent.unsigned_abs()), out);
            }
        }
        if out[start..] == *b"-0" {
            out.remove(start);
        }
    }
}

/// The sum of two finite numbers.
fn sum(a: LongDouble, b: LongDouble) -> Option<LongDouble> {
    /// Room below the significand: what is cut off the smaller number is felt but not seen.
    const GUARD: u32 = 62;
    let key = |n: LongDouble| match n.size {
        Size::Finite { significand, exponent } => (exponent, significand),
        Size::Zero | Size::Infinite => (i32::MIN, 0),
    };
    let (large, small) = if key(a) >= key(b) { (a, b) } else { (b, a) };
    let ((exponent, high), (lower, low)) = (key(large), key(small));
    let high = u128::from(high) << GUARD;
    let low = sticky_shift(u128::from(low) << GUARD, exponent.abs_diff(lower));
    let same_sign = large.negative == small.negative;
    let total = if same_sign { high + low } else { high - low };
    let size = rounded(total, exponent - GUARD as i32, false)?;
    Some(LongDouble { negative: large.negative && size != Size::Zero, size })
}

/// `bits` × 2^`exponent`, rounded to 64 bits, ties to even; `more`: plus a little. `None` when it
/// is too large.
fn rounded(bits: u128, exponent: i32, more: bool) -> Option<Size> {
    let excess = (u128::BITS - bits.leading_zeros()).saturating_sub(BITS);
    let cut = bits & ((1u128 << excess) - 1);
    let half = (1u128 << excess) >> 1;
    let mut significand = bits >> excess;
    let up = excess > 0 && (cut > half || (cut == half && (more || significand & 1 == 1)));
    significand += u128::from(up);
    let mut exponent = exponent + excess as i32;
    if significand >> BITS > 0 {
        significand >>= 1;
        exponent += 1;
    }
    let Ok(significand) = u64::try_from(significand) else { return None };
    if significand == 0 {
        return Some(Size::Zero);
    }
    let zeros = significand.leading_zeros();
    let (significand, exponent) = (significand << zeros, exponent - zeros as i32);
    (exponent <= EXPONENT_MAX).then_some(Size::Finite { significand, exponent })
}

/// `bits` / 2^`by`; the lowest bit tells whether anything was lost.
fn sticky_shift(bits: u128, by: u32) -> u128 {
    match bits.checked_shr(by) {
        Some(kept) => kept | u128::from(kept << by != bits),
        None => u128::from(bits != 0),
    }
}

/// `bits` / 2^`by`, rounded, ties to even. The highest bit of `bits` is not set.
fn halved(bits: u128, by: u32) -> u128 {
    let Some(kept) = bits.checked_shr(by) else { return 0 };
    let (cut, half) = (bits - (kept << by), (1u128 << by) >> 1);
    kept + u128::from(cut > half || (cut == half && kept & 1 == 1))
}

/// Appends a multiple of 10⁻¹⁷.
fn write_fixed(number: u128, out: &mut Vec<u8>) {
    use std::io::Write;
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{}.{:0DECIMALS$}", number / ONE, number % ONE);
    while out.last() == Some(&b'0') {
        out.pop();
    }
    if out.last() == Some(&b'.') {
        out.pop();
    }
}

/// Digits as they stand in a text, without sign: `number` × base^-`behind` × 10^`power` or
/// 2^`power`.
struct Digits {
    number: Natural,
    behind: i64,
    power: i64,
}

impl Digits {
    /// Reads digits with at most one point among them, then maybe an exponent. `None` when there
    /// are none, or anything else is left.
    fn read(text: &[u8], base: u32, exponent: u8) -> Option<Digits> {
        let is_digit = |byte: &u8| char::from(*byte).is_digit(base);
        let whole = text.iter().take_while(|byte| is_digit(byte)).count();
        let (digits, rest) = text.split_at(whole);
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => {
                rest.split_at(rest.iter().take_while(|byte| is_digit(byte)).count())
            }
            _ => (&rest[..0], rest),
        };
        if digits.len() + fraction.len() == 0 {
            return None;
        }
        let power = match rest {
            [] => 0,
            [mark, rest @ ..] if mark.to_ascii_lowercase() == exponent => power(rest)?,
            _ => return None,
        };
        let mut number = Natural::from(0);
        for byte in digits.iter().chain(fraction) {
            number.multiply(base, char::from(*byte).to_digit(base)?);
        }
        Some(Digits { number, behind: fraction.len() as i64, power })
    }

    fn hexadecimal(self) -> Option<Size> {
        let exponent = self.power - 4 * self.behind;
        ratio(self.number, Natural::from(1), exponent)
    }

    fn decimal(self) -> Option<Size> {
        if self.number.is_zero() {
            return Some(Size::Zero);
        }
        let power = self.power - self.behind;
        if !(TEN_MIN..=TEN_MAX).contains(&power) {
            return None;
        }
        let (mut above, mut below) = (self.number, Natural::from(1));
        let scaled = if power < 0 { &mut below } else { &mut above };
        scaled.multiply_ten(power.unsigned_abs() as u32);
        ratio(above, below, 0)
    }
}

/// A signed decimal number behind `e` or `p`. Beyond any range it stays there.
fn power(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let far = |power: i64, byte: &u8| (power * 10 + i64::from(byte - b'0')).min(POWER_MAX);
    let power = digits.iter().fold(0, far);
    Some(if negative { -power } else { power })
}

/// `above` / `below` × 2^`exponent`, rounded. `None` beyond the range.
fn ratio(above: Natural, below: Natural, exponent: i64) -> Option<Size> {
    if above.is_zero() {
        return Some(Size::Zero);
    }
    // As many bits on both sides, then a quotient of two bits more than a significand has.
    let by = i64::from(above.bits()) - i64::from(below.bits());
    let up = |by: i64| u32::try_from(by).unwrap_or(0);
    let (mut above, below) = (above.shifted(up(-by)), below.shifted(up(by)));
    let mut quotient = 0u128;
    for _ in 0..=BITS + 1 {
        quotient <<= 1;
        if above.subtract(&below) {
            quotient |= 1;
        }
        above.double();
    }
    let exponent = i32::try_from(exponent + by - i64::from(BITS + 1)).ok()?;
    let size = rounded(quotient, exponent, !above.is_zero())?;
    match size {
        // Half of the smallest number or less would be zero, which is not what was written.
        Size::Finite { significand, exponent } => {
            let top = exponent + BITS as i32 - 1;
            let just_half = top == EXPONENT_MIN - 1 && significand == 1 << 63;
            (top >= EXPONENT_MIN - 1 && !just_half).then_some(size)
        }
        Size::Zero | Size::Infinite => Some(size),
    }
}

#[cfg(test)]
mod tests;
