//! When requests are due in an open loop. The schedule does not know how the server is doing:
//! that is what makes it open. Time is an argument.

use super::random::Random;

/// How the requests of an open loop are spread over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Arrivals {
    /// At equal distances.
    Constant,
    /// As independent clients come: exponentially distributed distances.
    Poisson,
}

/// The moments at which one thread's requests are due.
#[derive(Debug)]
pub(super) struct Schedule {
    arrivals: Arrivals,
    gap_nanos: f64,
    /// A float, so that gaps below and between nanoseconds add up exactly enough: 2^53 ns are
    /// a hundred days.
    due_nanos: f64,
}

impl Schedule {
    /// `rate` requests a second from `start_nanos` on; threads are told apart by `phase` in
    /// [0, 1), a share of the first gap, so that they do not all send at the same moment.
    pub(super) fn new(rate: f64, arrivals: Arrivals, start_nanos: u64, phase: f64) -> Schedule {
        assert!(rate > 0.0 && (0.0..1.0).contains(&phase));
        let gap_nanos = 1e9 / rate;
        Schedule { arrivals, gap_nanos, due_nanos: start_nanos as f64 + phase * gap_nanos }
    }

    /// When the next request is due.
    pub(super) fn due_nanos(&self) -> u64 {
        self.due_nanos as u64
    }

    /// How many of the requests that have not been made yet are due from `from` and before
    /// `until`; for Poisson arrivals how many to expect.
    pub(super) fn due_between(&self, from: u64, until: u64) -> u64 {
        let behind = until as f64 - self.due_nanos.max(from as f64);
        (behind / self.gap_nanos).ceil().max(0.0) as u64
    }

    /// Goes on to the request after that.
    pub(super) fn step(&mut self, random: &mut Random) {
        self.due_nanos += match self.arrivals {
            Arrivals::Constant => self.gap_nanos,
            // 1 - unit() is in (0, 1], so the logarithm is finite.
            Arrivals::Poisson => -(1.0 - random.unit()).ln() * self.gap_nanos,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dues(arrivals: Arrivals, rate: f64, count: usize) -> Vec<u64> {
        let mut random = Random::new(9);
        let mut schedule = Schedule::new(rate, arrivals, 1_000, 0.5);
        (0..count)
            .map(|_| {
                let due = schedule.due_nanos();
                schedule.step(&mut random);
                due
            })
            .collect()
    }

    #[test]
    fn constant_arrivals_keep_their_distance() {
        assert_eq!(dues(Arrivals::Constant, 1e6, 4), [1_500, 2_500, 3_500, 4_500]);
        // A gap of 333.3 ns does not drift.
        let last = dues(Arrivals::Constant, 3e6, 3_000_001)[3_000_000];
        assert!(last.abs_diff(1_000_001_166) <= 2, "{last}");
    }

    #[test]
    fn what_was_not_sent_is_counted() {
        let schedule = Schedule::new(1e6, Arrivals::Constant, 1_000, 0.5);
        assert_eq!(schedule.due_between(0, 1_500), 0);
        assert_eq!(schedule.due_between(0, 1_501), 1);
        assert_eq!(schedule.due_between(0, 4_500), 3);
        assert_eq!(schedule.due_between(9_000, 4_500), 0);
        assert_eq!(schedule.due_between(0, 0), 0);
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_the_spread() {
        let dues = dues(Arrivals::Poisson, 1e6, 200_001);
        let gaps: Vec<f64> = dues.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean / 1000.0 - 1.0).abs() < 0.02, "{mean}");
        assert!((variance.sqrt() / 1000.0 - 1.0).abs() < 0.02, "{variance}");
    }
}
