//! Which key comes next, and how a key is written. Knows no sockets and no protocol.

use super::random::Random;
use super::zipf::Zipf;

/// How often each key is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distribution {
    /// Every key as often as any other.
    Uniform,
    /// The r-th most popular key with a probability proportional to `1 / r^theta`.
    Zipf(f64),
}

impl Distribution {
    /// Reads `uniform`, `zipf` (theta 0.99, as in YCSB) or `zipf:THETA`.
    pub fn parse(text: &str) -> Result<Distribution, String> {
        let theta = match text.split_once(':') {
            None if text == "uniform" => return Ok(Distribution::Uniform),
            None if text == "zipf" => 0.99,
            Some(("zipf", theta)) => {
                theta.parse().map_err(|_| format!("'{theta}' is not a number"))?
            }
            _ => return Err("expected uniform, zipf, or zipf:THETA".to_owned()),
        };
        if theta > 0.0 && theta <= THETA_MAX {
            Ok(Distribution::Zipf(theta))
        } else {
            Err(format!("theta must be above 0 and at most {THETA_MAX}"))
        }
    }
}

impl std::fmt::Display for Distribution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Distribution::Uniform => f.write_str("uniform"),
            Distribution::Zipf(theta) => write!(f, "zipf {theta}"),
        }
    }
}

/// Beyond this nearly every request is for one key.
const THETA_MAX: f64 = 10.0;

/// Draws key numbers in `0..keys`.
#[derive(Debug, Clone)]
pub struct KeyChooser {
    keys: u64,
    zipf: Option<Zipf>,
    multiplier: u64,
}

impl KeyChooser {
    /// `keys` from 1 to `u32::MAX`, so that scattering needs no arithmetic beyond 64 bits.
    pub fn new(keys: u64, distribution: Distribution) -> KeyChooser {
        assert!(keys >= 1 && keys <= u64::from(u32::MAX));
        let zipf = match distribution {
            Distribution::Uniform => None,
            Distribution::Zipf(theta) => Some(Zipf::new(keys, theta)),
        };
        KeyChooser { keys, zipf, multiplier: scatter_multiplier(keys) }
    }

    /// The number of the key of the next request.
    pub fn next(&self, random: &mut Random) -> u64 {
        match &self.zipf {
            None => random.below(self.keys),
            Some(zipf) => self.scatter(zipf.sample(random) - 1),
        }
    }

    /// Maps popularity ranks one to one on key numbers so that popular keys lie far apart:
    /// neighbouring keys were also filled one after another, and must not all be hot.
    fn scatter(&self, rank: u64) -> u64 {
        rank * self.multiplier % self.keys
    }
}

/// A number near `keys` divided by the golden ratio that has no factor in common with `keys`:
/// multiplying by it modulo `keys` is then a permutation whose neighbours land far apart.
fn scatter_multiplier(keys: u64) -> u64 {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    let near = ((keys as f64 * GOLDEN) as u64).max(1);
    (near..).find(|&candidate| gcd(candidate, keys) == 1).unwrap_or(1)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Writes keys: `k`, zero padding, a decimal number, always exactly as long as asked for.
#[derive(Debug, Clone)]
pub struct KeyText {
    text: Vec<u8>,
}

impl KeyText {
    /// Keys of `size` bytes, at least 2.
    pub fn new(size: usize) -> KeyText {
        assert!(size >= 2);
        let mut text = vec![b'0'; size];
        text[0] = b'k';
        KeyText { text }
    }

    /// The bytes of the key written last.
    pub fn bytes(&self) -> &[u8] {
        &self.text
    }

    /// Writes key number `id`; false when its digits do not fit.
    pub fn write(&mut self, id: u64) -> bool {
        let end = self.text.len();
        let start = put_digits(&mut self.text[1..], end - 1, id);
        self.pad(start)
    }

    /// Writes `id:tag`, for traces whose keys are a pair of numbers; false when it does not fit.
    pub fn write_pair(&mut self, id: u64, tag: u64) -> bool {
        let digits = self.text.len() - 1;
        let Some(colon) =
            put_digits(&mut self.text[1..], digits, tag).and_then(|start| start.checked_sub(1))
        else {
            return false;
        };
        self.text[1 + colon] = b':';
        let start = put_digits(&mut self.text[1..], colon, id);
        self.pad(start)
    }

    /// Zeroes what precedes the digits that start at `start` (counted behind the `k`).
    fn pad(&mut self, start: Option<usize>) -> bool {
        match start {
            Some(start) => {
                self.text[1..1 + start].fill(b'0');
                true
            }
            None => false,
        }
    }
}

/// Writes `number` so that its last digit is just before `end`; gives where its first digit is.
fn put_digits(room: &mut [u8], end: usize, number: u64) -> Option<usize> {
    let mut start = end;
    let mut rest = number;
    loop {
        start = start.checked_sub(1)?;
        room[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return Some(start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_parse() {
        assert_eq!(Distribution::parse("uniform"), Ok(Distribution::Uniform));
        assert_eq!(Distribution::parse("zipf"), Ok(Distribution::Zipf(0.99)));
        assert_eq!(Distribution::parse("zipf:1.2"), Ok(Distribution::Zipf(1.2)));
        for wrong in ["", "zip", "zipf:", "zipf:0", "zipf:-1", "zipf:nan", "zipf:11", "uniform:1"] {
            assert!(Distribution::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn scatter_is_a_permutation_that_parts_neighbours() {
        for keys in [1, 2, 3, 10, 97, 1000, 65_536] {
            let chooser = KeyChooser::new(keys, Distribution::Zipf(0.99));
            let mut seen: Vec<u64> = (0..keys).map(|rank| chooser.scatter(rank)).collect();
            seen.sort_unstable();
            assert!(seen.iter().copied().eq(0..keys), "{keys}");
        }
        let largest = u64::from(u32::MAX);
        let chooser = KeyChooser::new(largest, Distribution::Zipf(0.99));
        assert!(chooser.scatter(largest - 1) < largest);
        assert!(chooser.scatter(0).abs_diff(chooser.scatter(1)) > largest / 4);
    }

    #[test]
    fn chosen_keys_are_in_range() {
        let mut random = Random::new(1);
        for distribution in [Distribution::Uniform, Distribution::Zipf(0.99)] {
            let chooser = KeyChooser::new(50, distribution);
            let mut seen = [false; 50];
            for _ in 0..20_000 {
                seen[chooser.next(&mut random) as usize] = true;
            }
            assert!(seen.iter().all(|&s| s), "{distribution}");
        }
    }

    #[test]
    fn keys_are_padded_and_rewritten_in_place() {
        let mut key = KeyText::new(8);
        assert!(key.write(1_234_567));
        assert_eq!(key.bytes(), b"k1234567");
        assert!(key.write(0));
        assert_eq!(key.bytes(), b"k0000000");
        assert!(!key.write(12_345_678));
        assert!(key.write_pair(12, 345));
        assert_eq!(key.bytes(), b"k012:345");
        assert!(key.write(9));
        assert_eq!(key.bytes(), b"k0000009");
        assert!(!key.write_pair(1, 1_234_567));
        assert!(!key.write_pair(1234, 123));
        let mut wide = KeyText::new(32);
        assert!(wide.write_pair(u64::MAX, 4_092_928_000));
        assert_eq!(wide.bytes(), b"k18446744073709551615:4092928000");
    }
}
