//! Time as an argument: milliseconds of one node's monotonic clock. Knows no clock.

/// Milliseconds of a clock that never runs backwards and counts through suspension
/// (`CLOCK_BOOTTIME`). Times of two nodes are never compared, only durations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// This many milliseconds later.
    #[must_use]
    pub fn after(self, ms: u64) -> Millis {
        Millis(self.0.saturating_add(ms))
    }

    /// How many milliseconds have passed since `earlier`; 0 when it is not earlier.
    pub fn since(self, earlier: Millis) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
