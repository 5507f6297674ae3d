//! What a step does to segments, counted: no step may take long, whatever a shard holds, and what
//! is counted can be tested on any machine.

use crate::limits::{STEP_BYTES_MAX, STEP_ITEMS_MAX};

/// What a step has done so far.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::engine::store) struct Work {
    /// Live items looked at.
    pub(super) items: usize,
    /// Bytes of items written.
    pub(super) bytes: usize,
}

impl Work {
    /// Whether it is time to end the step.
    #[inline]
    pub(in crate::engine::store) fn is_enough(self) -> bool {
        self.items >= STEP_ITEMS_MAX || self.bytes >= STEP_BYTES_MAX
    }

    /// Asserts that the step ended in time.
    #[inline]
    pub(in crate::engine::store) fn assert_bounded(self) {
        debug_assert!(self.items <= 2 * STEP_ITEMS_MAX, "a step looked at {} items", self.items);
        debug_assert!(self.bytes <= 2 * STEP_BYTES_MAX, "a step moved {} bytes", self.bytes);
    }
}
