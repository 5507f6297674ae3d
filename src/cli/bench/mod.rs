//! `crabcache bench`: a load generator people can trust. Speaks to any server of the Redis
//! protocol over a client of its own, and knows nothing of this server's rooms.

mod options;

mod generator;
mod pace;
mod replay;
mod team;
mod trace;
mod workload;

mod connection;
mod control;
mod poll;
mod wire;

mod keys;
mod random;
mod zipf;

mod latency;
mod progress;
mod report;
mod table;
mod tally;

mod error;
mod watchdog;

pub use keys::{Distribution, KeyChooser, KeyText};
pub use options::Options;
pub use random::Random;
pub use trace::{Access, Format, Trace, TraceError};

use error::BenchError;
use options::Job;
use replay::ReplayPlan;
use report::{PhaseReport, Report, TraceReport};
use std::io::Write;
use std::process::ExitCode;
use team::{Phase, Team};

/// Options that make no sense, as the command line's own errors.
const EXIT_USAGE: u8 = 2;

/// Why there is no result, or only half of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The options contradict each other or are out of range; nothing was done.
    Usage(String),
    /// The benchmark could not be run to its end. What it found until then has been written.
    Broken(String),
}

/// Runs a benchmark and prints what it found on standard output. Fails when the benchmark could
/// not be run to its end; errors the server answered with are part of the result.
pub fn run(options: Options) -> ExitCode {
    let (code, text) = match measure(&options, &mut std::io::stdout()) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Usage(text)) => (ExitCode::from(EXIT_USAGE), text),
        Err(Failure::Broken(text)) => (ExitCode::FAILURE, text),
    };
    // Nothing is left to do should standard error be gone.
    let _ = writeln!(std::io::stderr(), "crabcache bench: {text}");
    code
}

/// Runs a benchmark and writes what it found to `out`, as `run` prints it.
pub fn measure(options: &Options, out: &mut dyn Write) -> Result<(), Failure> {
    let report = bench(options)?;
    let text = if options.json() {
        serde_json::to_string_pretty(&report).map(|text| text + "\n")
    } else {
        Ok(report.to_string())
    };
    text.map_err(std::io::Error::from)
        .and_then(|text| out.write_all(text.as_bytes()))
        .and_then(|()| out.flush())
        .map_err(BenchError::io("writing the result"))?;
    match report.failure() {
        Some(failure) => Err(Failure::Broken(failure.to_owned())),
        None => Ok(()),
    }
}

impl From<BenchError> for Failure {
    fn from(error: BenchError) -> Failure {
        match error {
            BenchError::Usage(text) => Failure::Usage(text),
            error => Failure::Broken(error.to_string()),
        }
    }
}

fn bench(options: &Options) -> Result<Report, BenchError> {
    let target = options.target()?;
    let job = options.job(target.clone())?;
    if options.flush() {
        target.control()?.flush_all()?;
    }
    let server = target.to_string();
    match job {
        Job::Load { team, phases } => {
            poll::raise_open_files_limit();
            let phases = load(&team, &phases)?;
            let settings = Some(options.settings());
            Ok(Report { server, settings, phases, trace: None })
        }
        Job::Replay(plan) => replay(server, &plan),
    }
}

/// Runs the phases one after another; one that ended early is the last.
fn load(team: &Team, phases: &[Phase]) -> Result<Vec<PhaseReport>, BenchError> {
    let mut reports = Vec::new();
    for phase in phases {
        let measured = team.run(phase)?;
        reports.push(PhaseReport::new(phase.name, team.threads, &measured));
        if measured.failure.is_some() {
            break;
        }
    }
    Ok(reports)
}

fn replay(server: String, plan: &ReplayPlan) -> Result<Report, BenchError> {
    let replayed = plan.run()?;
    let phase = PhaseReport::new("replay", 1, &replayed.measured);
    let trace = TraceReport::new(plan.path.display().to_string(), plan.window, &replayed);
    Ok(Report { server, settings: None, phases: vec![phase], trace: Some(trace) })
}
