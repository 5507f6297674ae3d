//! What a step does to segments, counted: no step may take long, whatever a shard holds, and what
//! is counted can be tested on any machine.

use crate::limits::{
    STEP_BYTES_MAX, STEP_DEAD_BYTES_MAX, STEP_ITEMS_MAX, STEP_LEAVES_MAX, WEIGH_SEGMENTS_MAX,
};

/// What a step has done so far.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::engine::store) struct Work {
    /// Live items looked at.
    pub(in crate::engine::store) items: usize,
    /// Bytes of items written.
    pub(in crate::engine::store) bytes: usize,
    /// Bytes of dead items passed over, a cache line of each at most.
    pub(in crate::engine::store) dead: usize,
    /// Segments weighed.
    pub(in crate::engine::store) segments: usize,
    /// Leaves of the index moved out of a block.
    pub(in crate::engine::store) leaves: usize,
}

/// What a step ends at. What it has begun then, it finishes: at most as much again.
const LIMITS: Work = Work {
    items: STEP_ITEMS_MAX,
    bytes: STEP_BYTES_MAX,
    dead: STEP_DEAD_BYTES_MAX,
    segments: WEIGH_SEGMENTS_MAX,
    leaves: STEP_LEAVES_MAX,
};

impl Work {
    fn against(self, limits: Work) -> [(usize, usize); 5] {
        [
            (self.items, limits.items),
            (self.bytes, limits.bytes),
            (self.dead, limits.dead),
            (self.segments, limits.segments),
            (self.leaves, limits.leaves),
        ]
    }

    /// Whether it is time to end the step.
    #[inline]
    pub(in crate::engine::store) fn is_enough(self) -> bool {
        self.against(LIMITS).iter().any(|(done, limit)| done >= limit)
    }

    /// Whether the step ended in time.
    pub(in crate::engine::store) fn is_bounded(self) -> bool {
        self.against(LIMITS).iter().all(|(done, limit)| *done <= 2 * limit)
    }

    /// Asserts that the step ended in time.
    #[inline]
    pub(in crate::engine::store) fn assert_bounded(self) {
        debug_assert!(self.is_bounded(), "a step did {self:?}");
    }
}
