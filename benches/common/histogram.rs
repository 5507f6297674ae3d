//! A histogram of nanoseconds, each known to an eighth.

const PARTS_BITS: u32 = 3;
const PARTS: usize = 1 << PARTS_BITS;

/// Counts of durations, and the longest.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: vec![0; 64 * PARTS], total: 0, max: 0 }
    }
}

fn index(nanos: u64) -> usize {
    if nanos < PARTS as u64 {
        return nanos as usize;
    }
    let power = nanos.ilog2();
    let part = (nanos >> (power - PARTS_BITS)) as usize & (PARTS - 1);
    power as usize * PARTS + part
}

/// The least duration counted at an index.
fn least(index: usize) -> u64 {
    let (power, part) = (index / PARTS, index % PARTS);
    if power < PARTS_BITS as usize {
        return index as u64;
    }
    ((PARTS + part) as u64) << (power - PARTS_BITS as usize)
}

impl Histogram {
    /// Counts one.
    #[inline]
    pub(crate) fn add(&mut self, nanos: u64) {
        self.counts[index(nanos)] += 1;
        self.total += 1;
        self.max = self.max.max(nanos);
    }

    /// How many were counted.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The longest.
    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// How many took at least `from` and less than `to`, both powers of two.
    pub(crate) fn between(&self, from: u64, to: u64) -> u64 {
        let inside = |&(i, _): &(usize, &u64)| (from..to).contains(&least(i));
        self.counts.iter().enumerate().filter(inside).map(|(_, n)| n).sum()
    }

    /// What `share` of them did not exceed, to an eighth.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let mut left = (self.total as f64 * share).ceil() as u64;
        for (i, n) in self.counts.iter().enumerate() {
            if *n >= left {
                return least(i + 1).min(self.max);
            }
            left -= n;
        }
        self.max
    }
}
