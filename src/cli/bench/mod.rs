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
mod time;
mod watchdog;

pub use options::Options;

use error::BenchError;
use options::Job;
use replay::ReplayPlan;
use report::{PhaseReport, Report, TraceReport};
use std::io::Write;
use std::process::ExitCode;
use team::{Phase, Team};

/// Options that make no sense, as the command line's own errors.
const EXIT_USAGE: u8 = 2;

/// Runs a benchmark and prints what it found on standard output. Fails when the benchmark could
/// not be run to its end; errors the server answered with are part of the result.
pub fn run(options: Options) -> ExitCode {
    match bench(&options).and_then(|report| print(&report, options.json()).map(|()| report)) {
        Ok(report) if report.phases.iter().all(|phase| phase.failure.is_none()) => {
            ExitCode::SUCCESS
        }
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            // Nothing is left to do should standard error be gone.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            match error {
                BenchError::Usage(_) => ExitCode::from(EXIT_USAGE),
                _ => ExitCode::FAILURE,
            }
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

fn print(report: &Report, json: bool) -> Result<(), BenchError> {
    let mut text = if json {
        serde_json::to_string_pretty(report)
            .map_err(|error| BenchError::io("writing the result")(error.into()))?
    } else {
        report.to_string()
    };
    if json {
        text.push('\n');
    }
    std::io::stdout().write_all(text.as_bytes()).map_err(BenchError::io("writing the result"))
}
