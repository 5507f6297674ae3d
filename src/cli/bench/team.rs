//! Runs one phase of a benchmark on several threads and adds up what they counted.

use super::control::{Control, Target};
use super::error::BenchError;
use super::generator::{Generator, Pace, Timeline};
use super::pace::{Arrivals, Schedule};
use super::poll::process_cpu_nanos;
use super::progress::{INTERVAL_NANOS, Progress};
use super::tally::{Gauge, Tally};
use super::workload::{Plan, Shape, Workload};
use crate::clock::monotonic_nanos;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// What is the same in all phases of a run.
#[derive(Clone)]
pub(super) struct Team {
    pub(super) target: Target,
    pub(super) connections: usize,
    /// At most `connections`.
    pub(super) threads: usize,
    pub(super) depth: usize,
    pub(super) shape: Shape,
    pub(super) seed: u64,
}

/// One phase.
#[derive(Debug, Clone, Copy)]
pub(super) struct Phase {
    pub(super) name: &'static str,
    pub(super) plan: Plan,
    /// Requests a second of an open loop, all threads together; without it the loop is closed.
    pub(super) rate: Option<(f64, Arrivals)>,
    pub(super) warmup_nanos: u64,
    /// How long requests are made, warm-up apart; without it, until the plan is done.
    pub(super) length_nanos: Option<u64>,
}

/// What came of a phase.
pub(super) struct Measured {
    pub(super) tally: Tally,
    /// From the end of the warm-up to the last reply.
    pub(super) elapsed_nanos: u64,
    /// CPU time of this process in that time.
    pub(super) own_cpu_nanos: u64,
    /// CPU time of the server in that time, where it tells.
    pub(super) server_cpu_nanos: Option<u64>,
    /// Why it ended early, if it did.
    pub(super) failure: Option<BenchError>,
}

type ThreadResult = (Tally, Result<(), BenchError>);

impl Team {
    /// Connects, runs a phase to its end, and gives what it counted.
    pub(super) fn run(&self, phase: &Phase) -> Result<Measured, BenchError> {
        let gauges: Vec<Arc<Gauge>> = (0..self.threads).map(|_| Arc::default()).collect();
        let generators = self.generators(phase, &gauges)?;
        let mut meter = CpuMeter::new(self.target.control().ok());
        let start = monotonic_nanos();
        let measure_from = start + phase.warmup_nanos;
        let stop_at = phase.length_nanos.map_or(u64::MAX, |length| measure_from + length);
        let timeline = Timeline { measure_from, stop_at };
        let (sender, results) = channel();
        for (thread, generator) in generators.into_iter().enumerate() {
            let pace = self.pace(phase, start, thread);
            let sender = sender.clone();
            std::thread::Builder::new()
                .name(format!("bench-{thread}"))
                .spawn(move || {
                    // Fails only if the main thread is gone, and then nobody wants the result.
                    let _ = sender.send(generator.run(pace, timeline));
                })
                .map_err(BenchError::io("starting a thread"))?;
        }
        drop(sender);
        let (tally, failure) = gather(&results, &gauges, phase.name, measure_from, &mut meter);
        let elapsed_nanos = tally.last_reply_nanos.saturating_sub(measure_from).max(1);
        let (own_cpu_nanos, server_cpu_nanos) = meter.read();
        Ok(Measured { tally, elapsed_nanos, own_cpu_nanos, server_cpu_nanos, failure })
    }

    fn generators(
        &self,
        phase: &Phase,
        gauges: &[Arc<Gauge>],
    ) -> Result<Vec<Generator>, BenchError> {
        let abort = Arc::new(AtomicBool::new(false));
        let cut = |thread: usize| self.connections * thread / self.threads;
        gauges
            .iter()
            .enumerate()
            .map(|(thread, gauge)| {
                let streams = (cut(thread)..cut(thread + 1))
                    .map(|_| self.target.connect())
                    .collect::<Result<Vec<_>, _>>()?;
                let workload =
                    Workload::new(phase.plan, self.shape, self.seed, thread, self.threads);
                Generator::new(streams, workload, self.depth, Arc::clone(gauge), Arc::clone(&abort))
            })
            .collect()
    }

    fn pace(&self, phase: &Phase, start: u64, thread: usize) -> Pace {
        match phase.rate {
            None => Pace::Closed,
            Some((rate, arrivals)) => {
                let threads = self.threads as f64;
                let offset = thread as f64 / threads;
                Pace::Open(Schedule::new(rate / threads, arrivals, start, offset))
            }
        }
    }
}

/// Waits for all threads, showing progress; starts the meter at the end of the warm-up.
fn gather(
    results: &Receiver<ThreadResult>,
    gauges: &[Arc<Gauge>],
    name: &'static str,
    measure_from: u64,
    meter: &mut CpuMeter,
) -> (Tally, Option<BenchError>) {
    let mut tally = Tally::new();
    let mut failure = None;
    let mut progress = Progress::new(name, monotonic_nanos());
    loop {
        let now = monotonic_nanos();
        if !meter.started() && now >= measure_from {
            meter.start();
        }
        let wait = if meter.started() { INTERVAL_NANOS } else { measure_from - now };
        match results.recv_timeout(Duration::from_nanos(wait.min(INTERVAL_NANOS))) {
            Ok((counted, result)) => {
                tally.merge(counted);
                failure = failure.or(result.err());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let now = monotonic_nanos();
        if progress.is_due(now) {
            let (replies, errors) = gauges
                .iter()
                .map(|gauge| gauge.read())
                .fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
            let remark = if errors > 0 { format!(", {errors} errors") } else { String::new() };
            progress.show(now, replies, &remark);
        }
    }
    progress.clear();
    (tally, failure)
}

/// The CPU time both sides use between two moments.
pub(super) struct CpuMeter {
    control: Option<Control>,
    start: Option<(u64, Option<u64>)>,
}

impl CpuMeter {
    /// Asks the server over `control`, if there is one.
    pub(super) fn new(control: Option<Control>) -> CpuMeter {
        CpuMeter { control, start: None }
    }

    pub(super) fn start(&mut self) {
        self.start = Some(self.now());
    }

    fn started(&self) -> bool {
        self.start.is_some()
    }

    /// CPU time since the start: this process's, and the server's where it tells.
    pub(super) fn read(&mut self) -> (u64, Option<u64>) {
        let Some((own_start, server_start)) = self.start else { return (0, None) };
        let (own, server) = self.now();
        let server = server.zip(server_start).map(|(now, then)| now.saturating_sub(then));
        (own - own_start, server)
    }

    fn now(&mut self) -> (u64, Option<u64>) {
        let own = process_cpu_nanos();
        (own, self.control.as_mut().and_then(Control::server_cpu_nanos))
    }
}
