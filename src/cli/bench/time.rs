//! The load generator's clock: one function, so that the reading of time stays in one place.

use std::sync::LazyLock;
use std::time::Instant;

/// Nanoseconds on a clock that never goes back, since its first use in this process.
pub(super) fn nanos() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_nanos() as u64
}
