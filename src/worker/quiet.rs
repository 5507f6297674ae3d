//! Log lines that a hostile client could cause at will: a few a second, the rest counted. Knows no
//! logger.

use crate::limits;
use std::cell::Cell;

/// How many lines of a kind were let through in the second at hand, and how many were not.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    second: Cell<u64>,
    passed: Cell<u32>,
    dropped: Cell<u64>,
}

impl Quiet {
    /// Whether a line may be logged at that monotonic time; if so, with how many were not before.
    pub(super) fn pass(&self, nanos: u64) -> Option<u64> {
        let second = nanos / 1_000_000_000;
        if second != self.second.replace(second) {
            self.passed.set(0);
        }
        if self.passed.get() >= limits::LOG_LINES_PER_SECOND_MAX {
            self.dropped.set(self.dropped.get() + 1);
            return None;
        }
        self.passed.set(self.passed.get() + 1);
        Some(self.dropped.take())
    }
}

#[cfg(test)]
mod tests {
    use super::Quiet;
    use crate::limits::LOG_LINES_PER_SECOND_MAX;

    #[test]
    fn a_few_a_second() {
        let quiet = Quiet::default();
        for _ in 0..LOG_LINES_PER_SECOND_MAX {
            assert_eq!(quiet.pass(5), Some(0));
        }
        assert_eq!(quiet.pass(6), None);
        assert_eq!(quiet.pass(7), None);
        assert_eq!(quiet.pass(1_000_000_005), Some(2));
        assert_eq!(quiet.pass(1_000_000_006), Some(0));
    }
}
