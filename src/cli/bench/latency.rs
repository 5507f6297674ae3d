//! Latencies of one kind of request: a histogram with a bounded relative error, and the exact
//! maximum. Knows nanoseconds only.

use histogram::Histogram;

/// Buckets are at most 2^-9 (0.2 %) of their value wide.
const GROUPING_POWER: u8 = 9;
/// Latencies of 2^42 ns (73 minutes) and more count as just below it.
const MAX_VALUE_POWER: u8 = 42;

/// A distribution of latencies in nanoseconds.
#[derive(Debug, Clone)]
pub(super) struct Latency {
    histogram: Histogram,
    count: u64,
    sum_nanos: u128,
    max_nanos: u64,
}

impl Latency {
    pub(super) fn new() -> Latency {
        let histogram = Histogram::new(GROUPING_POWER, MAX_VALUE_POWER)
            .expect("the powers are constants in range");
        Latency { histogram, count: 0, sum_nanos: 0, max_nanos: 0 }
    }

    /// Counts one latency.
    pub(super) fn record(&mut self, nanos: u64) {
        // Cannot fail: the value is clamped into the histogram's range.
        let _ = self.histogram.increment(nanos.min((1 << MAX_VALUE_POWER) - 1));
        self.count += 1;
        self.sum_nanos += u128::from(nanos);
        self.max_nanos = self.max_nanos.max(nanos);
    }

    /// Adds what `other` counted.
    pub(super) fn merge(&mut self, other: &Latency) {
        // Cannot fail: both have the same powers, and counts of one run do not overflow.
        let _ = self.histogram.checked_add_assign(&other.histogram);
        self.count += other.count;
        self.sum_nanos += other.sum_nanos;
        self.max_nanos = self.max_nanos.max(other.max_nanos);
    }

    /// How many latencies were counted.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The mean in nanoseconds, exact.
    pub(super) fn mean_nanos(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum_nanos as f64 / self.count as f64 }
    }

    /// The largest latency in nanoseconds, exact.
    pub(super) fn max_nanos(&self) -> u64 {
        self.max_nanos
    }

    /// The latency that the share `quantile` of the requests did not exceed, rounded up to the
    /// end of its bucket, never above the maximum; 0 when nothing was counted.
    pub(super) fn quantile_nanos(&self, quantile: f64) -> u64 {
        match self.histogram.quantile_bucket(quantile) {
            Ok(Some(bucket)) => bucket.end().min(self.max_nanos),
            Ok(None) | Err(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_the_relative_error() {
        let mut latency = Latency::new();
        for micros in 1..=100_000u64 {
            latency.record(micros * 1000);
        }
        for (quantile, exact) in [(0.5, 50_000_000.0), (0.99, 99_000_000.0), (0.999, 99_900_000.0)]
        {
            let got = latency.quantile_nanos(quantile) as f64;
            assert!((got / exact - 1.0).abs() < 0.003, "{quantile}: {got}");
        }
        assert_eq!(latency.max_nanos(), 100_000_000);
        assert_eq!(latency.quantile_nanos(1.0), 100_000_000);
        assert_eq!(latency.mean_nanos(), 50_000_500.0);
    }

    #[test]
    fn merging_is_adding_and_extremes_are_kept() {
        let (mut a, mut b) = (Latency::new(), Latency::new());
        assert_eq!(a.quantile_nanos(0.5), 0);
        a.record(0);
        b.record(u64::MAX);
        a.merge(&b);
        assert_eq!((a.count(), a.max_nanos()), (2, u64::MAX));
        assert!(a.quantile_nanos(0.999) >= (1 << MAX_VALUE_POWER) - 1);
    }
}
