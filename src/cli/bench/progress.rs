//! The line that shows, once a second and on a terminal only, that a run is alive.

use std::io::{IsTerminal, Write};

/// How often the line changes.
pub(super) const INTERVAL_NANOS: u64 = 1_000_000_000;

/// A line on standard error, rewritten in place.
pub(super) struct Progress {
    name: &'static str,
    visible: bool,
    start_nanos: u64,
    shown_nanos: u64,
    shown_count: u64,
}

impl Progress {
    /// For a phase called `name` that starts now.
    pub(super) fn new(name: &'static str, now: u64) -> Progress {
        Progress {
            name,
            visible: std::io::stderr().is_terminal(),
            start_nanos: now,
            shown_nanos: now,
            shown_count: 0,
        }
    }

    /// Whether it is time for `show`.
    pub(super) fn is_due(&self, now: u64) -> bool {
        now >= self.shown_nanos + INTERVAL_NANOS
    }

    /// Shows what has been done since the start of the phase.
    pub(super) fn show(&mut self, now: u64, count: u64, remark: &str) {
        if self.visible {
            let line = self.line(now, count, remark);
            // A terminal that has gone away is no reason to end a run.
            let _ = write!(std::io::stderr(), "\r{line}\x1b[K");
        }
        (self.shown_nanos, self.shown_count) = (now, count);
    }

    /// Takes the line away again.
    pub(super) fn clear(&self) {
        if self.visible {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }

    fn line(&self, now: u64, count: u64, remark: &str) -> String {
        let seconds = (now - self.start_nanos) as f64 / 1e9;
        let interval = (now - self.shown_nanos).max(1) as f64 / 1e9;
        let rate = count.saturating_sub(self.shown_count) as f64 / interval;
        format!("{}: {seconds:.0} s, {count} requests, {rate:.0}/s{remark}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_the_rate_since_the_last_one() {
        let mut progress = Progress { visible: false, ..Progress::new("fill", 1_000_000_000) };
        assert!(!progress.is_due(1_999_999_999));
        assert!(progress.is_due(2_000_000_000));
        progress.show(2_000_000_000, 500, "");
        let line = progress.line(4_000_000_000, 1_500, ", 3 errors");
        assert_eq!(line, "fill: 3 s, 1500 requests, 500/s, 3 errors");
    }
}
