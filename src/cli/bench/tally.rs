//! What a run counted: latencies by kind, misses, errors by their text. Plain sums that can be
//! added up over threads.

use super::connection::Ticket;
use super::latency::Latency;
use super::wire::{Kind, Outcome};
use crate::limits::BENCH_ERROR_TEXTS_MAX;
use std::sync::atomic::{AtomicU64, Ordering};

/// The replies to one kind of request.
#[derive(Debug, Clone)]
pub(super) struct KindTally {
    /// Latencies of all replies, errors included.
    pub(super) latency: Latency,
    pub(super) misses: u64,
    pub(super) errors: u64,
}

impl KindTally {
    fn new() -> KindTally {
        KindTally { latency: Latency::new(), misses: 0, errors: 0 }
    }

    /// Adds what `other` counted.
    pub(super) fn merge(&mut self, other: &KindTally) {
        self.latency.merge(&other.latency);
        self.misses += other.misses;
        self.errors += other.errors;
    }
}

/// An error the server answered, by its code, with the first text that had it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(super) struct ErrorText {
    pub(super) text: String,
    pub(super) count: u64,
}

/// Everything one thread, or all of them, counted.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    pub(super) get: KindTally,
    pub(super) set: KindTally,
    /// At most `BENCH_ERROR_TEXTS_MAX` codes.
    pub(super) errors: Vec<ErrorText>,
    /// Requests that were due in an open loop but found no room on any connection in time.
    pub(super) unsent: u64,
    /// Requests whose reply never came.
    pub(super) unanswered: u64,
    pub(super) sent_bytes: u64,
    pub(super) received_bytes: u64,
    /// When the last reply came.
    pub(super) last_reply_nanos: u64,
}

impl Tally {
    pub(super) fn new() -> Tally {
        Tally {
            get: KindTally::new(),
            set: KindTally::new(),
            errors: Vec::new(),
            unsent: 0,
            unanswered: 0,
            sent_bytes: 0,
            received_bytes: 0,
            last_reply_nanos: 0,
        }
    }

    /// Counts the reply to a request.
    pub(super) fn count(&mut self, ticket: Ticket, outcome: &Outcome<'_>, now_nanos: u64) {
        let kind = match ticket.kind {
            Kind::Get => &mut self.get,
            Kind::Set => &mut self.set,
        };
        kind.latency.record(now_nanos.saturating_sub(ticket.start_nanos));
        self.last_reply_nanos = now_nanos;
        match outcome {
            Outcome::Done | Outcome::Found => {}
            Outcome::Missing => kind.misses += 1,
            Outcome::Failed(text) => {
                kind.errors += 1;
                let text = String::from_utf8_lossy(text).into_owned();
                self.count_error(ErrorText { text, count: 1 });
            }
        }
    }

    /// Adds what `other` counted.
    pub(super) fn merge(&mut self, other: Tally) {
        self.get.merge(&other.get);
        self.set.merge(&other.set);
        for error in other.errors {
            self.count_error(error);
        }
        self.unsent += other.unsent;
        self.unanswered += other.unanswered;
        self.sent_bytes += other.sent_bytes;
        self.received_bytes += other.received_bytes;
        self.last_reply_nanos = self.last_reply_nanos.max(other.last_reply_nanos);
    }

    fn count_error(&mut self, error: ErrorText) {
        let code = |text: &str| text.split(' ').next().unwrap_or_default().to_owned();
        let same = |known: &&mut ErrorText| code(&known.text) == code(&error.text);
        if let Some(known) = self.errors.iter_mut().find(same) {
            known.count += error.count;
        } else if self.errors.len() < BENCH_ERROR_TEXTS_MAX {
            self.errors.push(error);
        }
    }
}

/// What a running thread shows the progress line.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    replies: AtomicU64,
    errors: AtomicU64,
}

impl Gauge {
    /// Shows these sums.
    pub(super) fn show(&self, replies: u64, errors: u64) {
        self.replies.store(replies, Ordering::Relaxed);
        self.errors.store(errors, Ordering::Relaxed);
    }

    /// The sums shown last.
    pub(super) fn read(&self) -> (u64, u64) {
        (self.replies.load(Ordering::Relaxed), self.errors.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_counted_by_kind_and_errors_by_code() {
        let ticket = |kind| Ticket { start_nanos: 100, kind };
        let mut tally = Tally::new();
        tally.count(ticket(Kind::Get), &Outcome::Found, 150);
        tally.count(ticket(Kind::Get), &Outcome::Missing, 160);
        tally.count(ticket(Kind::Set), &Outcome::Failed(b"MOVED 1 a:1"), 170);
        tally.count(ticket(Kind::Set), &Outcome::Failed(b"MOVED 2 b:1"), 180);
        for code in 0..2 * BENCH_ERROR_TEXTS_MAX {
            let text = format!("E{code} x");
            tally.count(ticket(Kind::Set), &Outcome::Failed(text.as_bytes()), 90);
        }
        let mut sum = Tally::new();
        sum.merge(tally.clone());
        sum.merge(tally);
        assert_eq!((sum.get.latency.count(), sum.get.misses, sum.get.errors), (4, 2, 0));
        assert_eq!(sum.set.errors, 4 + 4 * BENCH_ERROR_TEXTS_MAX as u64);
        assert_eq!(sum.errors.len(), BENCH_ERROR_TEXTS_MAX);
        assert_eq!(sum.errors[0], ErrorText { text: "MOVED 1 a:1".to_owned(), count: 4 });
        assert_eq!(sum.get.latency.max_nanos(), 60);
    }
}
