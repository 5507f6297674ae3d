//! Notices a server that has fallen silent. Time is an argument.

use super::error::BenchError;
use crate::limits::BENCH_STALL_MS_MAX;

const TICK_NANOS: u64 = 1_000_000_000;
const STALL_NANOS: u64 = BENCH_STALL_MS_MAX * 1_000_000;

/// Remembers when the server was last heard while something was asked of it.
#[derive(Debug)]
pub(super) struct Watchdog {
    heard_nanos: u64,
    tick_nanos: u64,
}

impl Watchdog {
    pub(super) fn new(now: u64) -> Watchdog {
        Watchdog { heard_nanos: now, tick_nanos: now + TICK_NANOS }
    }

    /// A reply came, or the first request after none was waiting left.
    pub(super) fn heard(&mut self, now: u64) {
        self.heard_nanos = now;
    }

    /// When to look again. Moves once a second only, so that a timer is rarely set anew.
    pub(super) fn tick(&mut self, now: u64) -> u64 {
        if self.tick_nanos <= now {
            self.tick_nanos = now + TICK_NANOS;
        }
        self.tick_nanos
    }

    /// An error once `waiting` requests have waited for any reply for too long.
    pub(super) fn check(&self, now: u64, waiting: usize) -> Result<(), BenchError> {
        if waiting == 0 || now.saturating_sub(self.heard_nanos) < STALL_NANOS {
            return Ok(());
        }
        Err(BenchError::Stalled { seconds: STALL_NANOS / 1_000_000_000, waiting })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_noticed_only_while_something_waits() {
        let mut watchdog = Watchdog::new(5);
        assert!(watchdog.check(STALL_NANOS + 4, 1).is_ok());
        assert!(watchdog.check(STALL_NANOS + 5, 0).is_ok());
        assert!(watchdog.check(STALL_NANOS + 5, 1).is_err());
        watchdog.heard(STALL_NANOS);
        assert!(watchdog.check(STALL_NANOS + 5, 1).is_ok());
        assert_eq!(watchdog.tick(5), TICK_NANOS + 5);
        assert_eq!(watchdog.tick(TICK_NANOS + 4), TICK_NANOS + 5);
        assert_eq!(watchdog.tick(TICK_NANOS + 6), 2 * TICK_NANOS + 6);
    }
}
