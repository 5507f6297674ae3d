//! Exact Zipf sampling without a table, by rejection-inversion: W. Hörmann, G. Derflinger,
//! "Rejection-inversion to generate variates from monotone discrete distributions", ACM TOMACS
//! 6(3), 1996. Knows ranks only, not keys.

use super::random::Random;

/// The distribution on ranks 1..=n with probability proportional to `1 / rank^theta`.
///
/// The area under the hat `1 / x^theta` is inverted and the result rounded to a rank; the few
/// points that lie above the histogram of the true distribution are thrown again. Constant
/// memory, at most about 1.1 throws per sample, for any `theta > 0` and any `n`.
#[derive(Debug, Clone)]
pub(super) struct Zipf {
    ranks: f64,
    theta: f64,
    /// The hat's integral at the left end of rank 1's share.
    area_first: f64,
    /// The hat's integral at the right end of the last rank's share.
    area_last: f64,
    /// Points this close to the left of their rank are accepted without looking further.
    squeeze: f64,
}

impl Zipf {
    /// `ranks` at least 1, `theta` above 0.
    pub(super) fn new(ranks: u64, theta: f64) -> Zipf {
        assert!(ranks >= 1 && theta > 0.0 && theta.is_finite());
        let ranks = ranks as f64;
        Zipf {
            ranks,
            theta,
            area_first: hat_integral(1.5, theta) - 1.0,
            area_last: hat_integral(ranks + 0.5, theta),
            squeeze: 2.0 - hat_integral_inverse(hat_integral(2.5, theta) - hat(2.0, theta), theta),
        }
    }

    /// A rank, 1 the most frequent.
    pub(super) fn sample(&self, random: &mut Random) -> u64 {
        loop {
            let area = self.area_last + random.unit() * (self.area_first - self.area_last);
            let point = hat_integral_inverse(area, self.theta);
            let rank = (point + 0.5).floor().clamp(1.0, self.ranks);
            if rank - point <= self.squeeze
                || area >= hat_integral(rank + 0.5, self.theta) - hat(rank, self.theta)
            {
                return rank as u64;
            }
        }
    }
}

/// `1 / x^theta`.
fn hat(x: f64, theta: f64) -> f64 {
    (-theta * x.ln()).exp()
}

/// The integral of `hat` from 1 to `x`: `(x^(1-theta) - 1) / (1 - theta)`, `ln x` for theta 1.
fn hat_integral(x: f64, theta: f64) -> f64 {
    let log = x.ln();
    exp_m1_over((1.0 - theta) * log) * log
}

/// The inverse of `hat_integral`.
fn hat_integral_inverse(area: f64, theta: f64) -> f64 {
    // Rounding can carry the product just below the end of the domain of `ln_1p`.
    let t = (area * (1.0 - theta)).max(-1.0);
    (ln_1p_over(t) * area).exp()
}

/// `(e^x - 1) / x`, by its series near zero, where the quotient loses its digits.
fn exp_m1_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.exp_m1() / x } else { 1.0 + x * 0.5 * (1.0 + x / 3.0) }
}

/// `ln(1 + x) / x`, by its series near zero.
fn ln_1p_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.ln_1p() / x } else { 1.0 - x * (0.5 - x / 3.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares sampled frequencies with the exact probabilities, rank by rank, by chi-square.
    fn check(ranks: u64, theta: f64) {
        const SAMPLES: u64 = 400_000;
        let zipf = Zipf::new(ranks, theta);
        let mut random = Random::new(ranks ^ theta.to_bits());
        let mut counts = vec![0u64; ranks as usize];
        for _ in 0..SAMPLES {
            counts[zipf.sample(&mut random) as usize - 1] += 1;
        }
        let weights: Vec<f64> = (1..=ranks).map(|rank| (rank as f64).powf(-theta)).collect();
        let total: f64 = weights.iter().sum();
        let chi_square: f64 = weights
            .iter()
            .zip(&counts)
            .map(|(weight, &count)| {
                let expected = weight / total * SAMPLES as f64;
                (count as f64 - expected).powi(2) / expected
            })
            .sum();
        // Mean and spread of chi-square with ranks-1 degrees of freedom; five sigmas.
        let freedom = (ranks - 1) as f64;
        let bound = freedom + 5.0 * (2.0 * freedom).sqrt() + 5.0;
        assert!(chi_square < bound, "ranks {ranks} theta {theta}: {chi_square} > {bound}");
    }

    #[test]
    fn frequencies_are_those_of_zipf() {
        for theta in [0.2, 0.5, 0.99, 1.0, 1.2, 2.0] {
            check(200, theta);
        }
        check(1, 0.99);
        check(2, 1.0);
        check(3, 0.7);
    }

    #[test]
    fn a_hundred_million_ranks_stay_in_range() {
        const RANKS: u64 = 100_000_000;
        for theta in [0.5, 0.99, 1.0, 1.3] {
            let zipf = Zipf::new(RANKS, theta);
            let mut random = Random::new(3);
            let samples: Vec<u64> = (0..50_000).map(|_| zipf.sample(&mut random)).collect();
            assert!(samples.iter().all(|rank| (1..=RANKS).contains(rank)));
            assert!(samples.contains(&1) || theta < 0.9);
            assert!(samples.iter().any(|&rank| rank > 10_000));
        }
    }
}
