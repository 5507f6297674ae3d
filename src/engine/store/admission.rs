//! What W-TinyLFU knows: how often keys were asked for, which were turned away lately, and how
//! large the window should be. Decides from numbers; moves no items.
//!
//! The window follows the density of hits: where a byte earns more hits, the region grows
//! (Caffeine's climber; Einziger, Eytan, Friedman, Manes: Adaptive Software Cache Management,
//! Middleware 2018).

use super::segments::Region;
use super::sketch::{Ghosts, Sketch};
use bytes::Bytes;

const WINDOW_START: f64 = 0.10;
const WINDOW_MIN: f64 = 0.02;
const WINDOW_MAX: f64 = 0.80;
/// The window is reconsidered after this many requests per item.
const SAMPLE_PER_ITEM: u64 = 4;
/// Largest step, as a share of the capacity.
const STEP_MAX: f64 = 0.30;
/// Step per unit of the error, as a share of the capacity.
const GAIN: f64 = 0.06;

/// Rounds of the hand that a small item stays in main unasked for, at most.
const CHANCES_MAX: u32 = 2;

/// One of two items of which one is to go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contender {
    /// Of its name.
    pub(super) hash: u64,
    /// What it takes of the bound; at least 1.
    pub(super) size: u64,
}

/// What the policy has learnt.
#[derive(Debug)]
pub(super) struct Admission {
    sketch: Sketch,
    ghosts: Option<Ghosts>,
    window: f64,
    adaptive: bool,
    requests: u64,
    hits: [u64; 2],
    admitted: u64,
    rejected: u64,
}

/// What is not needed any more: no bytes to read, but some to be given back.
struct Outgrown(Admission);

impl AsRef<[u8]> for Outgrown {
    fn as_ref(&self) -> &[u8] {
        let Outgrown(Admission { .. }) = self;
        &[]
    }
}

impl Admission {
    /// For about `items` items, with a window that adapts, and half as many ghosts.
    pub(super) fn adaptive(items: usize) -> Admission {
        Admission {
            sketch: Sketch::new(items),
            ghosts: Some(Ghosts::new(items / 2)),
            window: WINDOW_START,
            adaptive: true,
            requests: 0,
            hits: [0; 2],
            admitted: 0,
            rejected: 0,
        }
    }

    /// For about `items` items, by frequency alone: the smallest window, no ghosts.
    pub(super) fn by_frequency(items: usize) -> Admission {
        let ghosts = None;
        Admission { ghosts, window: WINDOW_MIN, adaptive: false, ..Admission::adaptive(items) }
    }

    /// As something that is dropped later: giving its pages back takes a while.
    pub(super) fn into_garbage(self) -> Bytes {
        Bytes::from_owner(Outgrown(self))
    }

    /// Bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.sketch.bytes() + self.ghosts.as_ref().map_or(0, Ghosts::bytes)
    }

    /// Items the sketch is made for.
    pub(super) fn capacity(&self) -> usize {
        self.sketch.capacity()
    }

    /// Candidates let in and turned away.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.admitted, self.rejected)
    }

    /// Counts a request for a key: a hit in a region, or a write.
    #[inline]
    pub(super) fn accessed(&mut self, hash: u64, hit: Option<Region>) {
        self.sketch.count(hash);
        if let Some(region) = hit {
            // An item among the copies tells nothing of how window and main divide their room.
            if let Some(hits) = self.hits.get_mut(region as usize) {
                *hits += 1;
            }
            self.requests += 1;
        }
    }

    /// Counts a request that found nothing.
    #[inline]
    pub(super) fn missed(&mut self) {
        self.requests += 1;
    }

    /// About how often a key was asked for.
    #[inline]
    pub(super) fn estimate(&self, hash: u64) -> u8 {
        self.sketch.estimate(hash)
    }

    /// Whether a new key was turned away lately and should go straight to main.
    #[inline]
    pub(super) fn was_rejected(&mut self, hash: u64) -> bool {
        self.ghosts.as_mut().is_some_and(|g| g.take(hash))
    }

    /// Whether the candidate shall take the victim's place: if it is asked for more often, for its
    /// size. So a byte of the cache earns the most hits (GDSF; Cherkasova: Improving WWW Proxies
    /// Performance with Greedy-Dual-Size-Frequency Caching Policy, 1998). By frequency alone,
    /// sizes do not count.
    pub(super) fn admit(&mut self, candidate: Contender, victim: Contender) -> bool {
        let size = |contender: Contender| if self.adaptive { contender.size } else { 1 };
        // Half a request more, for what the sketch has never seen has a size, too.
        let worth = |contender: Contender, other: Contender| {
            u128::from(2 * u64::from(self.sketch.estimate(contender.hash)) + 1)
                * u128::from(size(other))
        };
        let admit = worth(candidate, victim) > worth(victim, candidate);
        if admit {
            self.admitted += 1;
        } else {
            self.rejected += 1;
            if let Some(ghosts) = &mut self.ghosts {
                ghosts.insert(candidate.hash);
            }
        }
        admit
    }

    /// How often the hand of main passes over an item of `size` that nobody asks for meanwhile:
    /// once more for each factor of four by which it is smaller than the mean there, so that what
    /// takes little room may wait longer for its next hit (as in GDSF, see above).
    pub(super) fn chances(&self, size: u64, mean: u64) -> u8 {
        let factor = if self.adaptive { mean / size.max(1) } else { 1 };
        (factor.checked_ilog2().unwrap_or(0) / 2).min(CHANCES_MAX) as u8
    }

    /// Share of the capacity that the window should have.
    pub(super) fn window(&self) -> f64 {
        self.window
    }

    /// Reconsiders the window when enough requests have passed since the last time.
    pub(super) fn adapt(&mut self, items: u64, window_size: u64, main_size: u64) {
        if !self.adaptive || self.requests < SAMPLE_PER_ITEM * items.max(1) {
            return;
        }
        let [window_hits, main_hits] = std::mem::take(&mut self.hits);
        self.requests = 0;
        let density = |hits: u64, size: u64| (hits as f64 + 1.0) / (size as f64 + 1.0);
        let error = (density(window_hits, window_size) / density(main_hits, main_size)).ln();
        let step = (error.abs() * GAIN).min(STEP_MAX).copysign(error);
        self.window = (self.window + step).clamp(WINDOW_MIN, WINDOW_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::{Admission, Contender};

    fn asked(admission: &mut Admission, hash: u64, size: u64, times: u32) -> Contender {
        (0..times).for_each(|_| admission.accessed(hash, None));
        Contender { hash, size }
    }

    #[test]
    fn a_byte_is_to_earn_the_most_hits() {
        let mut admission = Admission::adaptive(1000);
        let large = asked(&mut admission, 1 << 40, 64 * 1024, 6);
        let small = asked(&mut admission, 2 << 40, 1024, 2);
        let equal = asked(&mut admission, 3 << 40, 1024, 2);
        assert!(admission.admit(small, large), "fewer requests, but far fewer bytes");
        assert!(!admission.admit(large, small));
        assert!(!admission.admit(small, equal), "nobody goes without a reason");
    }

    #[test]
    fn what_is_small_beside_others_has_more_chances() {
        let admission = Admission::adaptive(1000);
        let chances: Vec<u8> =
            [1, 16, 63, 64, 65, 256, 999].map(|size| admission.chances(size, 256)).into();
        assert_eq!(chances, [2, 2, 1, 1, 0, 0, 0]);
        assert_eq!(admission.chances(0, 0), 0);
        assert_eq!(Admission::by_frequency(1000).chances(1, 256), 0);
    }

    #[test]
    fn by_frequency_alone_sizes_do_not_count() {
        let mut admission = Admission::by_frequency(1000);
        let large = asked(&mut admission, 1 << 40, 64 * 1024, 6);
        let small = asked(&mut admission, 2 << 40, 1024, 2);
        assert!(admission.admit(large, small));
        assert!(!admission.admit(small, large));
    }
}
