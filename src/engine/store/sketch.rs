//! How often keys were asked for lately: a Count-Min sketch of 4-bit counters that are halved
//! from time to time (Einziger, Friedman, Manes: TinyLFU, ACM TOS 2017). All four counters of a
//! key lie in one cache line. Knows hashes only.

use super::arena::Zeroed;

/// Bytes of counters per item it is made for.
const BYTES_PER_ITEM: usize = 5;
/// Counters are halved once per this many counted requests per item.
const SAMPLE_PER_ITEM: u64 = 20;
/// Lines halved per counted request while a halving is under way.
const LINES_PER_STEP: usize = 8;
/// Largest count.
pub(super) const COUNT_MAX: u8 = 15;

/// Words of a cache line: 128 counters of 4 bits, a quarter of the line (two words) for each of a
/// key's four counters.
const LINE_WORDS: usize = 8;
const LINE_BYTES: usize = LINE_WORDS * size_of::<u64>();

// A halving is over long before the next one is due.
const _: () = assert!(
    BYTES_PER_ITEM as u64 * 16 < SAMPLE_PER_ITEM / 2 * (LINE_BYTES * LINES_PER_STEP) as u64
);

/// Estimates of request counts.
#[derive(Debug)]
pub(super) struct Sketch {
    lines: Zeroed<LINE_WORDS>,
    counted: u64,
    sample: u64,
    /// Lines from here on still have to be halved in the halving under way.
    halving: usize,
}

/// Which word and which bit of a line counter `row` of a hash is at.
#[inline]
fn place(hash: u64, row: usize) -> (usize, u32) {
    let byte = (hash >> (row * 8)) as u8;
    (row * 2 + usize::from(byte & 1), u32::from(byte >> 1 & 15) * 4)
}

impl Sketch {
    /// A sketch for about `items` items.
    pub(super) fn new(items: usize) -> Sketch {
        let lines = (items.max(64) * BYTES_PER_ITEM).div_ceil(LINE_BYTES);
        Sketch {
            lines: Zeroed::new(lines),
            counted: 0,
            sample: items.max(64) as u64 * SAMPLE_PER_ITEM,
            halving: lines,
        }
    }

    /// Items it is made for.
    pub(super) fn capacity(&self) -> usize {
        self.bytes() / BYTES_PER_ITEM
    }

    /// Bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.lines.len() * LINE_BYTES
    }

    #[inline]
    fn line(&self, hash: u64) -> usize {
        let spread = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        ((spread * self.lines.len() as u64) >> 32) as usize
    }

    /// Counts a request.
    #[inline]
    pub(super) fn count(&mut self, hash: u64) {
        let at = self.line(hash);
        let line = &mut self.lines[at];
        let mut added = false;
        for row in 0..4 {
            let (word, bit) = place(hash, row);
            if line[word] >> bit & 15 < u64::from(COUNT_MAX) {
                line[word] += 1 << bit;
                added = true;
            }
        }
        if added {
            self.counted += 1;
            if self.counted >= self.sample {
                self.counted /= 2;
                self.halving = 0;
            }
        }
        if self.halving < self.lines.len() {
            self.halve();
        }
    }

    /// One step of a halving.
    fn halve(&mut self) {
        let end = (self.halving + LINES_PER_STEP).min(self.lines.len());
        for line in &mut self.lines[self.halving..end] {
            for word in line {
                *word = *word >> 1 & 0x7777_7777_7777_7777;
            }
        }
        self.halving = end;
    }

    /// About how often it was asked for, at most [`COUNT_MAX`].
    #[inline]
    pub(super) fn estimate(&self, hash: u64) -> u8 {
        let line = &self.lines[self.line(hash)];
        let counts = (0..4).map(|row| {
            let (word, bit) = place(hash, row);
            (line[word] >> bit & 15) as u8
        });
        counts.min().unwrap_or(0)
    }
}

/// Fingerprints of keys that were turned away lately, in sets of eight with FIFO replacement.
#[derive(Debug)]
pub(super) struct Ghosts {
    sets: Zeroed<SET_WORDS>,
}

const LANES: u32 = 8;
const SET_WORDS: usize = 2;

/// A set as one number, its newest lane lowest.
#[inline]
fn lanes_of([low, high]: [u64; SET_WORDS]) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

#[inline]
fn set_of(lanes: u128) -> [u64; SET_WORDS] {
    [lanes as u64, (lanes >> 64) as u64]
}

impl Ghosts {
    /// Room for about `items` fingerprints.
    pub(super) fn new(items: usize) -> Ghosts {
        Ghosts { sets: Zeroed::new(items.max(64).div_ceil(LANES as usize)) }
    }

    /// Bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.sets.len() * size_of::<[u64; SET_WORDS]>()
    }

    #[inline]
    fn place(&self, hash: u64) -> (usize, u16) {
        let spread = hash.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        let set = ((spread >> 32) * self.sets.len() as u64) >> 32;
        (set as usize, (spread as u16).max(1))
    }

    /// Remembers a key.
    pub(super) fn insert(&mut self, hash: u64) {
        let (set, print) = self.place(hash);
        self.sets[set] = set_of(lanes_of(self.sets[set]) << 16 | u128::from(print));
    }

    /// Forgets a key; whether it was remembered.
    pub(super) fn take(&mut self, hash: u64) -> bool {
        let (set, print) = self.place(hash);
        let lanes = lanes_of(self.sets[set]);
        for lane in 0..LANES {
            if (lanes >> (lane * 16)) as u16 == print {
                self.sets[set] = set_of(lanes & !(0xffff << (lane * 16)));
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::{COUNT_MAX, Ghosts, Sketch};

    fn hash(i: u64) -> u64 {
        rapidhash::v3::rapidhash_v3(&i.to_le_bytes())
    }

    #[test]
    fn counts_what_is_frequent() {
        let mut sketch = Sketch::new(1000);
        for round in 0..10u64 {
            for i in 0..100 {
                sketch.count(hash(i));
            }
            sketch.count(hash(10_000 + round));
        }
        assert!((0..100).all(|i| sketch.estimate(hash(i)) >= 10));
        let rare = (0..10).filter(|r| sketch.estimate(hash(10_000 + r)) <= 2).count();
        assert!(rare >= 8, "{rare}");
    }

    #[test]
    fn old_counts_fade() {
        let mut sketch = Sketch::new(100);
        (0..50).for_each(|_| sketch.count(hash(1)));
        assert_eq!(sketch.estimate(hash(1)), COUNT_MAX);
        for i in 0..20_000 {
            sketch.count(hash(100 + i % 500));
        }
        assert!(sketch.estimate(hash(1)) < COUNT_MAX);
    }

    #[test]
    fn ghosts_are_remembered_once_and_for_a_while() {
        let mut ghosts = Ghosts::new(1000);
        (0..500).for_each(|i| ghosts.insert(hash(i)));
        let known = (0..500).filter(|&i| ghosts.take(hash(i))).count();
        assert!(known > 450, "{known}");
        let again = (0..500).filter(|&i| ghosts.take(hash(i))).count();
        assert!(again < 10, "{again}");
    }
}
