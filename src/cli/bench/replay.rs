//! Replays a cache trace as an application would use a cache: GET, and after a miss SET. One
//! connection, so that the server sees the accesses in the trace's order.

use super::connection::{Connection, Ticket};
use super::control::Target;
use super::error::BenchError;
use super::keys::KeyText;
use super::poll::Poller;
use super::progress::Progress;
use super::random::Random;
use super::tally::Tally;
use super::team::{CpuMeter, Measured};
use super::trace::{Access, Format, Trace, TraceError};
use super::watchdog::Watchdog;
use super::wire::{Encoder, Kind, Outcome};
use super::workload::Span;
use crate::clock::monotonic_nanos;
use crate::limits::{BENCH_READ_BYTES, VALUE_BYTES_MAX};
use std::collections::HashSet;
use std::path::PathBuf;

/// A replay, as the options ask for it.
pub(super) struct ReplayPlan {
    pub(super) target: Target,
    pub(super) path: PathBuf,
    pub(super) format: Option<Format>,
    /// Most accesses to replay.
    pub(super) limit: u64,
    /// Most accesses on their way at once.
    pub(super) window: usize,
    pub(super) key_size: usize,
    /// Overrides the trace's sizes.
    pub(super) value_size: Option<Span>,
    /// For traces without sizes.
    pub(super) value_size_unknown: Span,
    pub(super) ttl_seconds: Option<Span>,
    pub(super) seed: u64,
}

/// What came of a replay.
pub(super) struct Replayed {
    pub(super) format: Format,
    pub(super) hits: Hits,
    pub(super) measured: Measured,
}

/// How the cache did on a trace.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hits {
    pub(super) accesses: u64,
    pub(super) hits: u64,
    /// Sums of the trace's own sizes; 0 in traces without.
    pub(super) accessed_bytes: u64,
    pub(super) hit_bytes: u64,
}

impl ReplayPlan {
    /// Replays the trace to its end or to the limit.
    pub(super) fn run(&self) -> Result<Replayed, BenchError> {
        let trace = Trace::open(&self.path, self.format)?;
        let format = trace.format();
        let poller = Poller::new().map_err(BenchError::io("making an epoll set"))?;
        let connection = Connection::new(self.target.connect()?, &poller, 0)?;
        let mut meter = CpuMeter::new(self.target.control().ok());
        meter.start();
        let start = monotonic_nanos();
        let mut random = Random::new(self.seed);
        let mut replay = Replay {
            plan: self,
            poller,
            connection,
            watchdog: Watchdog::new(start),
            progress: Progress::new("replay", start),
            encoder: Encoder::new(self.key_size, 0, &mut random),
            key: KeyText::new(self.key_size),
            random,
            buffer: vec![0; BENCH_READ_BYTES],
            window: Window::default(),
            hits: Hits::default(),
            tally: Tally::new(),
        };
        let accesses = trace.take(usize::try_from(self.limit).unwrap_or(usize::MAX));
        let failure = replay.replay(accesses).err();
        replay.progress.clear();
        let (hits, tally) = replay.finish();
        let elapsed_nanos = monotonic_nanos() - start;
        let (own_cpu_nanos, server_cpu_nanos) = meter.read();
        let measured = Measured { tally, elapsed_nanos, own_cpu_nanos, server_cpu_nanos, failure };
        Ok(Replayed { format, hits, measured })
    }
}

/// Accesses of different keys that are asked for together: none of them can depend on another.
#[derive(Default)]
struct Window {
    accesses: Vec<Access>,
    keys: HashSet<(u64, Option<u64>)>,
    /// The access that did not fit and opens the next window.
    next: Option<Access>,
    /// How many of `accesses` have been answered.
    answered: usize,
    /// Which of them were not there.
    missed: Vec<Access>,
}

impl Window {
    /// Takes up to `size` accesses, until one has a key that another has already: its hit may
    /// hang on the SET after the other's miss, so it must wait for the next window.
    fn fill(
        &mut self,
        accesses: &mut impl Iterator<Item = Result<Access, TraceError>>,
        size: usize,
    ) -> Result<(), BenchError> {
        self.accesses.clear();
        self.keys.clear();
        self.answered = 0;
        while self.accesses.len() < size {
            let access = match self.next.take() {
                Some(access) => access,
                None => match accesses.next() {
                    Some(access) => access?,
                    None => break,
                },
            };
            if !self.keys.insert((access.id, access.tag)) {
                self.next = Some(access);
                break;
            }
            self.accesses.push(access);
        }
        Ok(())
    }
}

struct Replay<'a> {
    plan: &'a ReplayPlan,
    poller: Poller,
    connection: Connection,
    watchdog: Watchdog,
    progress: Progress,
    encoder: Encoder,
    key: KeyText,
    random: Random,
    buffer: Vec<u8>,
    window: Window,
    hits: Hits,
    tally: Tally,
}

impl Replay<'_> {
    /// One round trip a window: the SETs of the last window's misses, then this window's GETs.
    fn replay(
        &mut self,
        mut accesses: impl Iterator<Item = Result<Access, TraceError>>,
    ) -> Result<(), BenchError> {
        loop {
            self.window.fill(&mut accesses, self.plan.window)?;
            self.set_missed()?;
            if self.window.accesses.is_empty() {
                return self.receive_all();
            }
            self.get_window()?;
            self.receive_all()?;
        }
    }

    fn set_missed(&mut self) -> Result<(), BenchError> {
        let mut missed = std::mem::take(&mut self.window.missed);
        for access in missed.drain(..) {
            self.make_room()?;
            self.put_key(access)?;
            let size = self.value_size(access)?;
            let ttl = self.plan.ttl_seconds.map(|ttl| ttl.draw(&mut self.random));
            let ticket = Ticket { start_nanos: monotonic_nanos(), kind: Kind::Set };
            let Replay { connection, encoder, key, random, .. } = self;
            connection.request(ticket, |out| encoder.set(out, key, size, ttl, random));
        }
        self.window.missed = missed;
        Ok(())
    }

    fn get_window(&mut self) -> Result<(), BenchError> {
        let ticket = Ticket { start_nanos: monotonic_nanos(), kind: Kind::Get };
        for index in 0..self.window.accesses.len() {
            self.make_room()?;
            self.put_key(self.window.accesses[index])?;
            let Replay { connection, encoder, key, .. } = self;
            connection.request(ticket, |out| encoder.get(out, key));
        }
        Ok(())
    }

    /// Sends until little is unsent, so that large values do not pile up.
    fn make_room(&mut self) -> Result<(), BenchError> {
        if self.connection.has_room(usize::MAX) {
            return Ok(());
        }
        self.exchange(|connection| connection.has_room(usize::MAX))
    }

    fn receive_all(&mut self) -> Result<(), BenchError> {
        self.exchange(|connection| connection.waiting() == 0)?;
        let now = monotonic_nanos();
        if self.progress.is_due(now) {
            let ratio = self.hits.hits as f64 / self.hits.accesses.max(1) as f64;
            let remark = format!(", hit ratio {:.2} %", ratio * 100.0);
            self.progress.show(now, self.hits.accesses, &remark);
        }
        Ok(())
    }

    /// Sends and receives until `done`.
    fn exchange(&mut self, done: impl Fn(&Connection) -> bool) -> Result<(), BenchError> {
        self.connection.flush(&self.poller)?;
        let mut now = monotonic_nanos();
        self.watchdog.heard(now);
        while !done(&self.connection) {
            let until = self.watchdog.tick(now);
            self.poller.wait(now, until).map_err(BenchError::io("waiting"))?;
            now = monotonic_nanos();
            for index in 0..self.poller.count() {
                if let Some(ready) = self.poller.ready(index) {
                    let count = self.connection.advance(ready, &self.poller, &mut self.buffer)?;
                    self.take_replies(count, now)?;
                }
            }
            self.watchdog.check(now, self.connection.waiting())?;
        }
        Ok(())
    }

    fn take_replies(&mut self, count: usize, now: u64) -> Result<(), BenchError> {
        let Replay { connection, buffer, window, hits, tally, .. } = self;
        let replies = connection.replies(&buffer[..count], |ticket, outcome| {
            tally.count(ticket, &outcome, now);
            if ticket.kind == Kind::Get {
                let access = window.accesses[window.answered];
                window.answered += 1;
                hits.count(access, &outcome);
                if outcome == Outcome::Missing {
                    window.missed.push(access);
                }
            }
        })?;
        if replies > 0 {
            self.watchdog.heard(now);
        }
        Ok(())
    }

    fn put_key(&mut self, access: Access) -> Result<(), BenchError> {
        let fits = match access.tag {
            None => self.key.write(access.id),
            Some(tag) => self.key.write_pair(access.id, tag),
        };
        if fits {
            return Ok(());
        }
        let text = format!("--key-size {} is too small for a key of the trace", self.plan.key_size);
        Err(BenchError::Usage(text))
    }

    fn value_size(&mut self, access: Access) -> Result<usize, BenchError> {
        let by_trace = access.size.map(|size| Span { min: size, max: size });
        let span = self.plan.value_size.or(by_trace).unwrap_or(self.plan.value_size_unknown);
        let size = span.draw(&mut self.random);
        if size <= VALUE_BYTES_MAX as u64 {
            return Ok(size as usize);
        }
        let text =
            format!("a value of {size} bytes, the most is {VALUE_BYTES_MAX}: give a --value-size");
        Err(TraceError::new(&self.plan.path.display().to_string(), text).into())
    }

    fn finish(mut self) -> (Hits, Tally) {
        (self.tally.sent_bytes, self.tally.received_bytes) = self.connection.traffic();
        self.tally.unanswered = self.connection.waiting() as u64;
        (self.hits, self.tally)
    }
}

impl Hits {
    fn count(&mut self, access: Access, outcome: &Outcome<'_>) {
        let size = access.size.unwrap_or(0);
        self.accesses += 1;
        self.accessed_bytes += size;
        if *outcome == Outcome::Found {
            self.hits += 1;
            self.hit_bytes += size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_end_at_a_key_that_comes_again() {
        let ids = [1, 2, 3, 4, 2, 5, 5, 5];
        let mut accesses = ids.into_iter().map(|id| Ok(Access { id, tag: None, size: None }));
        let mut window = Window::default();
        let mut windows: Vec<Vec<u64>> = Vec::new();
        loop {
            window.fill(&mut accesses, 3).unwrap();
            if window.accesses.is_empty() {
                break;
            }
            windows.push(window.accesses.iter().map(|access| access.id).collect());
        }
        assert_eq!(windows, [&[1, 2, 3][..], &[4, 2, 5], &[5], &[5]]);
    }
}
