//! The options of `crabcache bench`, and what they amount to once checked.

use super::control::Target;
use super::error::BenchError;
use super::keys::Distribution;
use super::pace::Arrivals;
use super::replay::ReplayPlan;
use super::report::Settings;
use super::team::{Phase, Team};
use super::trace::Format;
use super::workload::{Plan, Shape, Span};
use crate::limits::{
    BENCH_CONNECTIONS_MAX, BENCH_KEYS_MAX, BENCH_PIPELINE_MAX, BENCH_THREADS_MAX, BENCH_WINDOW_MAX,
    KEY_BYTES_MAX, VALUE_BYTES_MAX,
};
use std::path::PathBuf;

/// Where the token is read from when `--token` is not given: a command line is seen by all.
const TOKEN_VARIABLE: &str = "CRABCACHE_TOKEN";
const CONNECTIONS: usize = 50;
const SECONDS: f64 = 10.0;
const VALUE_SIZE: Span = Span { min: 128, max: 128 };
const WINDOW: usize = 64;
/// Longer waits and runs are surely mistakes, and would not fit the arithmetic.
const SECONDS_MAX: f64 = 30.0 * 24.0 * 3600.0;
const RATE_MAX: f64 = 1e9;
const TTL_SECONDS_MAX: u64 = 100 * 365 * 24 * 3600;

/// Puts load on a server that speaks the Redis protocol and says how it bears it.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Host of the server
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Port of the server
    #[arg(short, long, default_value_t = 7001)]
    port: u16,
    /// Token for AUTH [default: environment variable CRABCACHE_TOKEN, if set]
    #[arg(long)]
    token: Option<String>,
    /// Connections, all threads together [default: 50]
    #[arg(short, long, value_name = "N")]
    connections: Option<usize>,
    /// Threads that make load
    #[arg(short, long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// Most requests on their way on each connection
    #[arg(short = 'P', long, value_name = "N", default_value_t = 1)]
    pipeline: usize,
    /// Stop after this many requests
    #[arg(short = 'n', long, value_name = "N")]
    requests: Option<u64>,
    /// Stop after this many seconds [default: 10, without --requests]
    #[arg(short, long, value_name = "S")]
    seconds: Option<f64>,
    /// Seconds at the beginning of a run limited by --seconds that do not count
    #[arg(long, value_name = "S", default_value_t = 0.5)]
    warmup: f64,
    /// How many different keys
    #[arg(short, long, value_name = "N", default_value_t = 1_000_000)]
    keys: u64,
    /// Bytes of a key: 'k', zeros, the key's number
    #[arg(long, value_name = "BYTES", default_value_t = 32)]
    key_size: usize,
    /// Bytes of a value, or MIN-MAX [default: 128, or the trace's sizes]
    #[arg(short = 'd', long, value_name = "BYTES", value_parser = Span::parse)]
    value_size: Option<Span>,
    /// uniform, or zipf:THETA
    #[arg(long, value_name = "NAME", default_value = "zipf:0.99",
          value_parser = Distribution::parse)]
    distribution: Distribution,
    /// Share of GETs among the requests; the others are SETs
    #[arg(short, long, value_name = "SHARE", default_value_t = 0.9)]
    reads: f64,
    /// Seconds until what a SET wrote expires, or MIN-MAX
    #[arg(long, value_name = "S", value_parser = Span::parse)]
    ttl: Option<Span>,
    /// SET every key once before the run; with --requests 0 that is all
    #[arg(long)]
    fill: bool,
    /// Empty the server first (FLUSHALL)
    #[arg(long)]
    flush: bool,
    /// Open loop: this many requests a second, whatever the server does
    #[arg(long, value_name = "PER-SECOND")]
    rate: Option<f64>,
    /// How the requests of an open loop are spread over time
    #[arg(long, value_name = "HOW", default_value = "constant", requires = "rate")]
    arrivals: Arrivals,
    /// Replay a cache trace instead: GET, and SET after a miss
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "connections", "threads", "pipeline", "requests", "seconds", "warmup", "keys",
        "distribution", "reads", "fill", "rate",
    ])]
    trace: Option<PathBuf>,
    /// The trace's format [default: recognised by its first bytes]
    #[arg(long, value_name = "FORMAT", requires = "trace", value_parser = parse_format)]
    trace_format: Option<TraceFormat>,
    /// Replay at most this many accesses of the trace
    #[arg(long, value_name = "N", requires = "trace")]
    limit: Option<u64>,
    /// Accesses of a trace that are on their way at once; 1 is strict order [default: 64]
    #[arg(long, value_name = "N", requires = "trace")]
    window: Option<usize>,
    /// Another seed, other random keys
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// `auto` or a format.
#[derive(Debug, Clone, Copy)]
struct TraceFormat(Option<Format>);

fn parse_format(text: &str) -> Result<TraceFormat, String> {
    use clap::ValueEnum;
    if text == "auto" {
        return Ok(TraceFormat(None));
    }
    let names =
        || -> Vec<String> { Format::value_variants().iter().map(Format::to_string).collect() };
    Format::from_str(text, false)
        .map(|format| TraceFormat(Some(format)))
        .map_err(|_| format!("expected auto, {}", names().join(", ")))
}

/// What to do, checked.
pub(super) enum Job {
    Load { team: Team, phases: Vec<Phase> },
    Replay(ReplayPlan),
}

impl Options {
    /// Whether the result is wanted as JSON.
    pub(super) fn json(&self) -> bool {
        self.json
    }

    /// Whether the server is to be emptied first.
    pub(super) fn flush(&self) -> bool {
        self.flush
    }

    /// The server.
    pub(super) fn target(&self) -> Result<Target, BenchError> {
        let token = self.token.clone().or_else(|| std::env::var(TOKEN_VARIABLE).ok());
        Target::resolve(&self.host, self.port, token)
    }

    /// Checks the options against each other.
    pub(super) fn job(&self, target: Target) -> Result<Job, BenchError> {
        self.check().map_err(BenchError::Usage)?;
        if let Some(path) = &self.trace {
            return Ok(Job::Replay(ReplayPlan {
                target,
                path: path.clone(),
                format: self.trace_format.and_then(|format| format.0),
                limit: self.limit.unwrap_or(u64::MAX),
                window: self.window.unwrap_or(WINDOW),
                key_size: self.key_size,
                value_size: self.value_size,
                value_size_unknown: VALUE_SIZE,
                ttl_seconds: self.ttl,
                seed: self.seed,
            }));
        }
        let connections = self.connections.unwrap_or(CONNECTIONS);
        let shape = Shape {
            key_size: self.key_size,
            value_size: self.value_size.unwrap_or(VALUE_SIZE),
            ttl_seconds: self.ttl,
        };
        let team = Team {
            target,
            connections,
            threads: self.threads.min(connections),
            depth: self.pipeline,
            shape,
            seed: self.seed,
        };
        Ok(Job::Load { team, phases: self.phases() })
    }

    fn phases(&self) -> Vec<Phase> {
        let fill = Phase {
            name: "fill",
            plan: Plan::Fill { keys: self.keys },
            rate: None,
            warmup_nanos: 0,
            length_nanos: None,
        };
        let by_time = self.seconds.is_some() || self.requests.is_none();
        let run = Phase {
            name: "run",
            plan: Plan::Mix {
                keys: self.keys,
                distribution: self.distribution,
                reads: self.reads,
                requests: self.requests,
            },
            rate: self.rate.map(|rate| (rate, self.arrivals)),
            warmup_nanos: if by_time { to_nanos(self.warmup) } else { 0 },
            length_nanos: by_time.then(|| to_nanos(self.seconds.unwrap_or(SECONDS))),
        };
        let mut phases = Vec::new();
        if self.fill {
            phases.push(fill);
        }
        if self.requests != Some(0) {
            phases.push(run);
        }
        phases
    }

    /// What the report says about the load; for a trace the replay says it.
    pub(super) fn settings(&self) -> Settings {
        Settings {
            connections: self.connections.unwrap_or(CONNECTIONS),
            threads: self.threads,
            pipeline: self.pipeline,
            keys: self.keys,
            key_size: self.key_size,
            value_size: self.value_size.unwrap_or(VALUE_SIZE).to_string(),
            distribution: self.distribution.to_string(),
            reads: self.reads,
            ttl_seconds: self.ttl.map(|ttl| ttl.to_string()),
            rate: self.rate,
            arrivals: self.rate.map(|_| self.arrivals),
            seed: self.seed,
        }
    }

    fn check(&self) -> Result<(), String> {
        let connections = self.connections.unwrap_or(CONNECTIONS);
        within("--connections", connections, 1, BENCH_CONNECTIONS_MAX)?;
        within("--threads", self.threads, 1, BENCH_THREADS_MAX)?;
        within("--pipeline", self.pipeline, 1, BENCH_PIPELINE_MAX)?;
        within("--window", self.window.unwrap_or(WINDOW), 1, BENCH_WINDOW_MAX)?;
        within("--keys", self.keys, 1, BENCH_KEYS_MAX)?;
        within("--key-size", self.key_size, 2, KEY_BYTES_MAX)?;
        within("--reads", self.reads, 0.0, 1.0)?;
        within("--seconds", self.seconds.unwrap_or(SECONDS), 0.001, SECONDS_MAX)?;
        within("--warmup", self.warmup, 0.0, SECONDS_MAX)?;
        within("--rate", self.rate.unwrap_or(1.0), 0.001, RATE_MAX)?;
        let value_size = self.value_size.unwrap_or(VALUE_SIZE);
        within("--value-size", value_size.max, 0, VALUE_BYTES_MAX as u64)?;
        if let Some(ttl) = self.ttl {
            within("--ttl", ttl.min, 1, TTL_SECONDS_MAX)?;
            within("--ttl", ttl.max, 1, TTL_SECONDS_MAX)?;
        }
        let digits = (self.keys - 1).to_string().len();
        if self.trace.is_none() && digits + 1 > self.key_size {
            let needed = digits + 1;
            return Err(format!("{} keys need --key-size {needed} or more", self.keys));
        }
        Ok(())
    }
}

/// NaN is within nothing.
fn within<T: PartialOrd + std::fmt::Display>(
    name: &str,
    value: T,
    min: T,
    max: T,
) -> Result<(), String> {
    if value >= min && value <= max {
        Ok(())
    } else {
        Err(format!("{name} must be from {min} to {max}, not {value}"))
    }
}

fn to_nanos(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        options: Options,
    }

    fn options(args: &str) -> Result<Options, String> {
        let args = std::iter::once("bench").chain(args.split_whitespace());
        Command::try_parse_from(args).map(|c| c.options).map_err(|error| error.to_string())
    }

    fn phases(args: &str) -> Vec<Phase> {
        options(args).unwrap().phases()
    }

    #[test]
    fn time_is_the_limit_unless_a_number_is() {
        let [run] = phases("")[..] else { panic!() };
        assert_eq!((run.warmup_nanos, run.length_nanos), (500_000_000, Some(10_000_000_000)));
        let [run] = phases("-n 5")[..] else { panic!() };
        assert_eq!((run.warmup_nanos, run.length_nanos), (0, None));
        let [run] = phases("-n 5 -s 2 --warmup 0")[..] else { panic!() };
        assert_eq!((run.warmup_nanos, run.length_nanos), (0, Some(2_000_000_000)));
        let names = |args| phases(args).iter().map(|phase| phase.name).collect::<Vec<_>>();
        assert_eq!(names("--fill"), ["fill", "run"]);
        assert_eq!(names("--fill -n 0"), ["fill"]);
    }

    #[test]
    fn options_out_of_range_are_refused() {
        for wrong in [
            "-c 0",
            "-t 0",
            "-P 0",
            "-k 0",
            "-k 5000000000",
            "--reads 1.1",
            "--reads nan",
            "--key-size 6",
            "--key-size 70000",
            "-d 99999999999",
            "--ttl 0",
            "--rate 0",
            "-s 0",
            "--trace x --window 0",
        ] {
            let error = options(wrong).unwrap().check().expect_err(wrong);
            assert!(error.contains("must be") || error.contains("need"), "{wrong}: {error}");
        }
        for fine in ["", "-k 100 --key-size 3", "--trace x --key-size 2", "-r 0 --ttl 1-9"] {
            assert_eq!(options(fine).unwrap().check(), Ok(()), "{fine}");
        }
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        for wrong in [
            "--trace x -c 3",
            "--trace x --rate 10",
            "--window 3",
            "--limit 3",
            "--trace-format lirs",
            "--trace x --trace-format tar",
            "--arrivals poisson",
            "--distribution zipf:x",
        ] {
            assert!(options(wrong).is_err(), "{wrong}");
        }
        for fine in ["--trace x --trace-format auto --window 1 -d 1-9", "--trace x --limit 5"] {
            assert!(options(fine).is_ok(), "{fine}");
        }
    }
}
