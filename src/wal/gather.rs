//! How many answers are worth a sync, and how long they may wait for each other. Under load a sync
//! for each answer would take the processor from those who make the answers; alone, an answer
//! must not wait for others that never come. Pure: knows neither clock nor thread.

use crate::limits::sync::{
    WAL_GATHER_PART, WAL_GATHER_SYNCS_MAX, WAL_GATHER_US_MAX, WAL_GATHER_US_MIN,
};
use std::time::Duration;

/// Eighths, so that an average of small numbers moves.
const PARTS: u64 = 8;

/// What lately happened.
#[derive(Debug, Default)]
pub(super) struct Gather {
    /// How many answers wait when a sync ends, those that it serves included, times [`PARTS`]: an
    /// average in which the last one counts an eighth.
    waiting: u64,
    /// How long a sync takes: the same average, in nanoseconds.
    sync_nanos: u64,
}

impl Gather {
    /// A sync took so long and served so many; so many more wait already.
    pub(super) fn synced(&mut self, nanos: u64, served: u64, waiting: u64) {
        self.waiting = self.waiting - self.waiting.div_ceil(PARTS) + served + waiting;
        self.sync_nanos = if self.sync_nanos == 0 {
            nanos
        } else {
            self.sync_nanos - self.sync_nanos / PARTS + nanos / PARTS
        };
    }

    /// With so many the next sync begins.
    pub(super) fn wanted(&self) -> u64 {
        (self.waiting / (PARTS * WAL_GATHER_PART)).max(1)
    }

    /// So long they may wait for that.
    pub(super) fn longest(&self) -> Duration {
        let nanos = (self.sync_nanos / 2).max(WAL_GATHER_US_MAX * 1000);
        Duration::from_nanos(nanos.min(self.sync_nanos * WAL_GATHER_SYNCS_MAX))
    }

    /// So long it is worth to wait for one more when so many wait: what one more would lose if it
    /// came too late is a sync, what the others lose is this, each of them; half of that, since it
    /// may come later. `None`: that is no time at all.
    pub(super) fn gap(&self, waiting: u64) -> Option<Duration> {
        let nanos = self.sync_nanos / (2 * waiting.max(1));
        (nanos >= WAL_GATHER_US_MIN * 1000).then(|| Duration::from_nanos(nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::Gather;
    use std::time::Duration;

    #[test]
    fn who_is_alone_does_not_wait_and_many_wait_for_half_of_them() {
        let mut gather = Gather::default();
        assert_eq!(gather.wanted(), 1);
        (0..100).for_each(|_| gather.synced(90_000, 1, 0));
        assert_eq!(gather.wanted(), 1);
        (0..100).for_each(|_| gather.synced(90_000, 25, 25));
        assert!((22..=25).contains(&gather.wanted()), "{gather:?}");
        (0..30).for_each(|_| gather.synced(90_000, 1, 0));
        assert_eq!(gather.wanted(), 1, "they have gone");
    }

    #[test]
    fn nobody_waits_longer_than_the_disk_makes_worth_it() {
        let of = |nanos: u64| {
            let mut gather = Gather::default();
            gather.synced(nanos, 50, 0);
            gather
        };
        let (fast, slow) = (of(20_000), of(2_600_000));
        assert_eq!(fast.longest(), Duration::from_micros(80));
        assert_eq!(of(200_000).longest(), Duration::from_micros(500));
        assert_eq!(slow.longest(), Duration::from_micros(1300));
        assert_eq!(fast.gap(25), None);
        assert_eq!(slow.gap(26), Some(Duration::from_micros(50)));
        assert_eq!(slow.gap(200), None);
    }
}
