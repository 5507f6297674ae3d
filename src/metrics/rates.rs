//! How fast totals grow: a ring of samples, fed by whoever has a timer. Reads no clock.

use crate::limits::RATE_SAMPLES;
use parking_lot::Mutex;
use std::collections::VecDeque;

/// Totals at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Monotonic nanoseconds.
    pub nanos: u64,
    /// Commands processed so far.
    pub commands: u64,
    /// Bytes read so far.
    pub bytes_in: u64,
    /// Bytes written so far.
    pub bytes_out: u64,
}

/// How fast the totals grew over the samples kept.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Commands a second.
    pub ops_per_sec: f64,
    /// Bytes read a second.
    pub bytes_in_per_sec: f64,
    /// Bytes written a second.
    pub bytes_out_per_sec: f64,
}

/// The latest samples.
#[derive(Debug, Default)]
pub(super) struct Sampler(Mutex<VecDeque<Sample>>);

impl Sampler {
    /// Takes a sample; the oldest goes when there are too many.
    pub(super) fn push(&self, sample: Sample) {
        let mut samples = self.0.lock();
        if samples.len() >= RATE_SAMPLES {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    /// The rates between the oldest sample and the newest.
    pub(super) fn rates(&self) -> Rates {
        let samples = self.0.lock();
        let (Some(first), Some(last)) = (samples.front(), samples.back()) else {
            return Rates::default();
        };
        let seconds = last.nanos.saturating_sub(first.nanos) as f64 / 1e9;
        if seconds <= 0.0 {
            return Rates::default();
        }
        let per_second = |from: u64, to: u64| to.saturating_sub(from) as f64 / seconds;
        Rates {
            ops_per_sec: per_second(first.commands, last.commands),
            bytes_in_per_sec: per_second(first.bytes_in, last.bytes_in),
            bytes_out_per_sec: per_second(first.bytes_out, last.bytes_out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Rates, Sample, Sampler};
    use crate::limits::RATE_SAMPLES;

    #[test]
    fn rates_are_those_of_the_window() {
        let sampler = Sampler::default();
        assert_eq!(sampler.rates(), Rates::default());
        for i in 0..RATE_SAMPLES as u64 * 3 {
            let nanos = i * 100_000_000;
            // Ten times as fast once the samples kept have all been replaced.
            let commands = if i < RATE_SAMPLES as u64 { i * 10 } else { i * 100 };
            sampler.push(Sample { nanos, commands, bytes_in: i * 5, bytes_out: 7 });
        }
        let rates = sampler.rates();
        assert_eq!(rates.ops_per_sec.round(), 1000.0);
        assert_eq!(rates.bytes_in_per_sec.round(), 50.0);
        assert_eq!(rates.bytes_out_per_sec, 0.0);
    }
}
