//! How much those who write are held back, since copies on other nodes fall behind. Knows no copy;
//! whoever does says how much.

use crate::limits::WRITE_HOLD_MS_MAX;
use cluster::replication::DELAY_MS_MAX;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What is to pass between a write and the next command of its connection.
#[derive(Debug, Default)]
pub struct Pressure {
    delay_ms: AtomicU64,
}

impl Pressure {
    /// From now on so much, in milliseconds.
    pub fn set(&self, delay_ms: u64) {
        self.delay_ms.store(delay_ms, Ordering::Relaxed);
    }

    /// Whether anything is to.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.delay_ms.load(Ordering::Relaxed) > 0
    }

    /// Lets it pass: longer while it is as much as may be, but not for ever.
    pub async fn pass(&self) {
        let mut passed_ms = 0;
        while passed_ms < WRITE_HOLD_MS_MAX && self.is_on() {
            let delay_ms = self.delay_ms.load(Ordering::Relaxed).min(DELAY_MS_MAX);
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
            passed_ms += delay_ms;
            if delay_ms < DELAY_MS_MAX {
                return;
            }
        }
    }
}
