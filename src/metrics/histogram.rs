//! Latencies in log-linear buckets: recorded by one thread without a lock, read by any.
//! Knows nothing of whose latencies they are.

use super::counter::Counter;
use crate::limits::HISTOGRAM_NANOS_BITS;

/// Buckets that one thread fills. Every power of two is cut into `2^GROUPING` equal parts, so a
/// value is known to one part in `2^GROUPING`.
#[derive(Debug)]
pub struct Recorder<const GROUPING: u32> {
    counts: Box<[Counter]>,
    sum: Counter,
}

impl<const GROUPING: u32> Default for Recorder<GROUPING> {
    fn default() -> Recorder<GROUPING> {
        let counts = (0..bucket_count(GROUPING)).map(|_| Counter::default()).collect();
        Recorder { counts, sum: Counter::default() }
    }
}

impl<const GROUPING: u32> Recorder<GROUPING> {
    /// Records `times` times a latency of `nanos`. What is too long goes to the last bucket.
    #[inline]
    pub fn record(&self, nanos: u64, times: u64) {
        if let Some(count) = self.counts.get(bucket_of(nanos, GROUPING)) {
            count.add(times);
        }
        self.sum.add(nanos.wrapping_mul(times));
    }

    /// What has been recorded.
    pub fn distribution(&self) -> Distribution {
        let mut distribution = Distribution::new(GROUPING);
        self.add_to(&mut distribution);
        distribution
    }

    /// Adds what has been recorded to `distribution`, which must be of the same grouping.
    pub(super) fn add_to(&self, distribution: &mut Distribution) {
        debug_assert_eq!(distribution.grouping, GROUPING);
        distribution.counts.resize(self.counts.len(), 0);
        for (to, from) in distribution.counts.iter_mut().zip(&self.counts) {
            *to += from.get();
        }
        distribution.sum = distribution.sum.wrapping_add(self.sum.get());
    }
}

/// What has been recorded, as plain numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    grouping: u32,
    /// One per bucket; empty when nothing was recorded.
    counts: Vec<u64>,
    /// Of all values, in nanoseconds.
    sum: u64,
}

impl Distribution {
    /// Nothing yet, to collect what recorders of this grouping have.
    pub fn new(grouping: u32) -> Distribution {
        Distribution { grouping, counts: Vec::new(), sum: 0 }
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of the values in nanoseconds.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The value that a share `quantile` (0 to 1) of all values does not exceed, in nanoseconds:
    /// the upper end of its bucket, so never too low, and too high by less than one part in
    /// `2^grouping`. 0 when there are no values.
    pub fn quantile(&self, quantile: f64) -> u64 {
        let total = self.count();
        // At least the first value, so that the 0th percentile is the smallest one.
        let want = ((quantile.clamp(0.0, 1.0) * total as f64).ceil() as u64).clamp(1, total.max(1));
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= want {
                return bucket_last(bucket, self.grouping);
            }
        }
        0
    }

    /// How many values are at most `nanos`, to the resolution of the buckets; exact when
    /// `nanos + 1` is a power of two or another first value of a bucket.
    pub fn count_to(&self, nanos: u64) -> u64 {
        let whole = bucket_of(nanos.saturating_add(1), self.grouping);
        let last = self.counts.len().saturating_sub(1);
        // The last bucket has no upper end: everything too long is there.
        if whole >= last { self.count() } else { self.counts[..whole].iter().sum() }
    }

    /// Adds the values of another of the same grouping.
    pub fn merge(&mut self, other: &Distribution) {
        debug_assert_eq!(self.grouping, other.grouping);
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (to, from) in self.counts.iter_mut().zip(&other.counts) {
            *to += from;
        }
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// Takes away the values of an earlier state of the same distribution.
    pub fn subtract(&mut self, earlier: &Distribution) {
        for (to, from) in self.counts.iter_mut().zip(&earlier.counts) {
            *to = to.saturating_sub(*from);
        }
        self.sum = self.sum.saturating_sub(earlier.sum);
    }
}

/// Buckets of a histogram: a linear run up to `2^(grouping + 1)`, then `2^grouping` of them for
/// each further power of two.
const fn bucket_count(grouping: u32) -> usize {
    ((HISTOGRAM_NANOS_BITS - grouping + 1) << grouping) as usize
}

/// The bucket of a value.
#[inline]
fn bucket_of(nanos: u64, grouping: u32) -> usize {
    let nanos = nanos.min((1 << HISTOGRAM_NANOS_BITS) - 1);
    // Below 2^grouping a bucket is one value wide; `| low` keeps the logarithm at `grouping`.
    let power = (nanos | (1 << grouping)).ilog2();
    let shift = power - grouping;
    ((u64::from(shift) << grouping) + (nanos >> shift)) as usize
}

/// The largest value of a bucket.
fn bucket_last(bucket: usize, grouping: u32) -> u64 {
    let bucket = bucket as u64;
    if bucket < 1 << grouping {
        return bucket;
    }
    let shift = (bucket >> grouping) - 1;
    let first = (bucket - (shift << grouping)) << shift;
    first + (1 << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::{Distribution, Recorder, bucket_count, bucket_last, bucket_of};
    use crate::limits::HISTOGRAM_NANOS_BITS;
    use proptest::collection::vec;
    use proptest::prelude::{ProptestConfig, Strategy, prop_assert, prop_assert_eq, proptest};

    fn collect<const G: u32>(recorder: &Recorder<G>) -> Distribution {
        let mut all = Distribution::new(G);
        recorder.add_to(&mut all);
        all
    }

    #[test]
    fn buckets_follow_each_other_without_gap() {
        for grouping in [3, 5] {
            let mut bucket = 0;
            while bucket < bucket_count(grouping) - 1 {
                let last = bucket_last(bucket, grouping);
                assert_eq!(bucket_of(last, grouping), bucket);
                assert_eq!(bucket_of(last + 1, grouping), bucket + 1);
                bucket += 1;
            }
            assert_eq!(bucket_of(u64::MAX, grouping), bucket);
            assert_eq!(bucket_last(bucket, grouping), (1 << HISTOGRAM_NANOS_BITS) - 1);
        }
    }

    #[test]
    fn nothing_recorded_is_zero() {
        let empty = collect(&Recorder::<5>::default());
        assert_eq!((empty.count(), empty.sum(), empty.quantile(0.99)), (0, 0, 0));
        assert_eq!(Distribution::new(5).quantile(0.5), 0);
        assert_eq!(Distribution::new(5).count_to(1000), 0);
    }

    #[test]
    fn too_long_counts_in_the_last_bucket() {
        let recorder = Recorder::<5>::default();
        recorder.record(u64::MAX, 2);
        let all = collect(&recorder);
        assert_eq!(all.count(), 2);
        assert_eq!(all.quantile(1.0), (1 << HISTOGRAM_NANOS_BITS) - 1);
        assert_eq!(all.count_to(u64::MAX), 2);
    }

    #[test]
    fn the_difference_of_two_states_is_what_came_between() {
        let recorder = Recorder::<5>::default();
        recorder.record(1_000, 10);
        let earlier = collect(&recorder);
        recorder.record(50_000, 4);
        let mut later = collect(&recorder);
        later.subtract(&earlier);
        assert_eq!((later.count(), later.sum()), (4, 200_000));
        let mut merged = earlier.clone();
        merged.merge(&later);
        assert_eq!(merged, collect(&recorder));
    }

    fn nanos() -> impl Strategy<Value = u64> {
        (0u32..35, 0u64..=u64::MAX).prop_map(|(bits, any)| any & ((1 << bits) - 1))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn percentiles_are_never_low_and_at_most_a_bucket_high(mut values in vec(nanos(), 1..400)) {
            let recorder = Recorder::<5>::default();
            values.iter().for_each(|v| recorder.record(*v, 1));
            let all = collect(&recorder);
            values.sort_unstable();
            prop_assert_eq!(all.count(), values.len() as u64);
            prop_assert_eq!(all.sum(), values.iter().sum::<u64>());
            for quantile in [0.0, 0.5, 0.95, 0.99, 0.999, 1.0] {
                let rank = ((quantile * values.len() as f64).ceil() as usize).max(1);
                let exact = values[rank - 1];
                let got = all.quantile(quantile);
                prop_assert!(got >= exact, "{} of {:?}: {} < {}", quantile, values, got, exact);
                prop_assert!(got - exact <= exact / 32, "{}: {} for {}", quantile, got, exact);
            }
        }

        #[test]
        fn counts_up_to_a_power_of_two_are_exact(values in vec(nanos(), 1..200), bits in 0u32..36) {
            let recorder = Recorder::<3>::default();
            values.iter().for_each(|v| recorder.record(*v, 1));
            let bound = (1u64 << bits) - 1;
            let exact = values.iter().filter(|v| **v <= bound).count() as u64;
            prop_assert_eq!(collect(&recorder).count_to(bound), exact);
        }
    }
}
