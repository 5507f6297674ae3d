//! One thread of load: takes requests from a workload, puts them on connections when the pace
//! says so, and counts the replies. Knows nothing of other threads but the flag that ends all.

use super::connection::{Connection, Ticket};
use super::error::BenchError;
use super::pace::Schedule;
use super::poll::{Poller, Ready};
use super::tally::{Gauge, Tally};
use super::watchdog::Watchdog;
use super::workload::Workload;
use crate::clock::monotonic_nanos;
use crate::limits::BENCH_READ_BYTES;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What decides when the next request leaves.
pub(super) enum Pace {
    /// The replies: a request for every reply, always `depth` of them on their way.
    Closed,
    /// The clock alone.
    Open(Schedule),
}

/// The moments of a phase, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeline {
    /// Requests due before this are warm-up and not counted.
    pub(super) measure_from: u64,
    /// No request is made from here on; `u64::MAX` where their number is the limit.
    pub(super) stop_at: u64,
}

/// One thread's work, made before the thread starts.
pub(super) struct Generator {
    poller: Poller,
    connections: Vec<Connection>,
    workload: Workload,
    /// Most requests on their way on each connection.
    depth: usize,
    gauge: Arc<Gauge>,
    /// Set by the first thread that fails: all end.
    abort: Arc<AtomicBool>,
}

impl Generator {
    /// Takes over connected streams.
    pub(super) fn new(
        streams: Vec<TcpStream>,
        workload: Workload,
        depth: usize,
        gauge: Arc<Gauge>,
        abort: Arc<AtomicBool>,
    ) -> Result<Generator, BenchError> {
        let poller = Poller::new().map_err(BenchError::io("making an epoll set"))?;
        let connections = streams
            .into_iter()
            .enumerate()
            .map(|(token, stream)| Connection::new(stream, &poller, token))
            .collect::<Result<_, _>>()?;
        Ok(Generator { poller, connections, workload, depth, gauge, abort })
    }

    /// Works to the end of the phase. What was counted is given also when the run failed.
    pub(super) fn run(self, pace: Pace, timeline: Timeline) -> (Tally, Result<(), BenchError>) {
        let abort = Arc::clone(&self.abort);
        let mut run = Run {
            watchdog: Watchdog::new(monotonic_nanos()),
            pace,
            timeline,
            tally: Tally::new(),
            buffer: vec![0; BENCH_READ_BYTES],
            touched: Vec::new(),
            replies: 0,
            in_flight: 0,
            cursor: 0,
            producing: true,
            crowded: false,
            generator: self,
        };
        let result = run.drive();
        if result.is_err() {
            abort.store(true, Ordering::Relaxed);
        }
        (run.finish(), result)
    }
}

/// A generator at work.
struct Run {
    generator: Generator,
    pace: Pace,
    timeline: Timeline,
    tally: Tally,
    watchdog: Watchdog,
    buffer: Vec<u8>,
    /// Connections that were given requests since the last flush.
    touched: Vec<usize>,
    /// All replies so far, warm-up included.
    replies: u64,
    /// Requests without a reply, on all connections.
    in_flight: usize,
    /// The connection whose turn it is in an open loop.
    cursor: usize,
    /// Whether more requests are to be made.
    producing: bool,
    /// Whether the last request that was due found no room on any connection.
    crowded: bool,
}

impl Run {
    fn drive(&mut self) -> Result<(), BenchError> {
        let mut now = monotonic_nanos();
        self.begin(now)?;
        while self.producing || self.in_flight > 0 {
            let until = self.wake_at(now);
            self.generator.poller.wait(now, until).map_err(BenchError::io("waiting"))?;
            for index in 0..self.generator.poller.count() {
                if let Some(ready) = self.generator.poller.ready(index) {
                    self.serve(ready)?;
                }
            }
            now = monotonic_nanos();
            self.send_due(now)?;
            if now >= self.timeline.stop_at {
                self.stop();
            }
            self.generator.gauge.show(self.replies, self.tally.get.errors + self.tally.set.errors);
            self.watchdog.check(now, self.in_flight)?;
            if self.generator.abort.load(Ordering::Relaxed) {
                break;
            }
        }
        Ok(())
    }

    fn begin(&mut self, now: u64) -> Result<(), BenchError> {
        match self.pace {
            Pace::Closed => {
                (0..self.generator.connections.len()).try_for_each(|index| self.top_up(index, now))
            }
            Pace::Open(_) => self.send_due(now),
        }
    }

    /// Lets one connection go on.
    fn serve(&mut self, ready: Ready) -> Result<(), BenchError> {
        let Generator { poller, connections, .. } = &mut self.generator;
        let connection = &mut connections[ready.token];
        let count = connection.advance(ready, poller, &mut self.buffer)?;
        let now = monotonic_nanos();
        if count > 0 {
            let (tally, measure_from) = (&mut self.tally, self.timeline.measure_from);
            let replies = connection.replies(&self.buffer[..count], |ticket, outcome| {
                if ticket.start_nanos >= measure_from {
                    tally.count(ticket, &outcome, now);
                }
            })?;
            self.in_flight -= replies;
            self.replies += replies as u64;
            self.watchdog.heard(now);
        }
        match self.pace {
            Pace::Closed => self.top_up(ready.token, now),
            Pace::Open(_) => Ok(()),
        }
    }

    /// Closed loop: fills a connection up to its depth again.
    fn top_up(&mut self, index: usize, now: u64) -> Result<(), BenchError> {
        while self.producing && self.generator.connections[index].has_room(self.generator.depth) {
            self.producing = self.request(index, now, now);
        }
        self.generator.connections[index].flush(&self.generator.poller)
    }

    /// Open loop: makes every request whose moment has come, as long as there is room.
    fn send_due(&mut self, now: u64) -> Result<(), BenchError> {
        self.crowded = false;
        let horizon = now.min(self.timeline.stop_at.saturating_sub(1));
        while self.producing
            && let Some(due) = self.due()
            && due <= horizon
        {
            let Some(index) = self.next_with_room() else {
                self.crowded = true;
                break;
            };
            self.producing = self.request(index, due, now);
            self.touched.push(index);
            if let Pace::Open(schedule) = &mut self.pace {
                schedule.step(self.generator.workload.random());
            }
        }
        for index in self.touched.drain(..) {
            self.generator.connections[index].flush(&self.generator.poller)?;
        }
        Ok(())
    }

    /// Puts the next request on a connection; false when there is none left.
    fn request(&mut self, index: usize, start_nanos: u64, now: u64) -> bool {
        let Generator { connections, workload, .. } = &mut self.generator;
        let Some((kind, id)) = workload.next() else { return false };
        connections[index]
            .request(Ticket { start_nanos, kind }, |out| workload.write(kind, id, out));
        if self.in_flight == 0 {
            self.watchdog.heard(now);
        }
        self.in_flight += 1;
        true
    }

    /// The moment of the next request, in an open loop.
    fn due(&self) -> Option<u64> {
        match &self.pace {
            Pace::Closed => None,
            Pace::Open(schedule) => Some(schedule.due_nanos()),
        }
    }

    /// The next connection in turn that takes a request.
    fn next_with_room(&mut self) -> Option<usize> {
        let Generator { connections, depth, .. } = &self.generator;
        let count = connections.len();
        let index = (0..count)
            .map(|step| (self.cursor + step) % count)
            .find(|&index| connections[index].has_room(*depth))?;
        self.cursor = (index + 1) % count;
        Some(index)
    }

    fn wake_at(&mut self, now: u64) -> u64 {
        let mut until = self.watchdog.tick(now);
        if self.producing {
            until = until.min(self.timeline.stop_at);
            if !self.crowded {
                until = until.min(self.due().unwrap_or(u64::MAX));
            }
        }
        until
    }

    /// The time is over: what is due by now and not sent will never be.
    fn stop(&mut self) {
        if !self.producing {
            return;
        }
        self.producing = false;
        if let Pace::Open(schedule) = &self.pace {
            let Timeline { measure_from, stop_at } = self.timeline;
            self.tally.unsent = schedule.due_between(measure_from, stop_at);
        }
    }

    fn finish(mut self) -> Tally {
        self.tally.unanswered = self.in_flight as u64;
        for connection in &self.generator.connections {
            let (sent, received) = connection.traffic();
            self.tally.sent_bytes += sent;
            self.tally.received_bytes += received;
        }
        self.tally
    }
}
