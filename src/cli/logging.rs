//! Where log lines go: to standard error, as text or as JSON, panics included. Knows nothing of
//! what is logged.

use crate::config::{Format, Level, Log};
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Sends what this process logs to standard error from now on. At most once per process.
pub(super) fn start(log: &Log) {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(log.level))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match log.format {
        Format::Text => lines.try_init(),
        Format::Json => lines.json().flatten_event(true).try_init(),
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let backtrace = Backtrace::capture();
            match backtrace.status() {
                BacktraceStatus::Captured => tracing::error!(%backtrace, "{panic}"),
                _ => tracing::error!("{panic}"),
            }
        }));
    }
}

/// What is told at a level. Raft tells of each of its steps from `debug` on: of it only what is
/// wrong.
fn filter(level: Level) -> EnvFilter {
    let (ours, others) = match level {
        Level::Error => ("error", "error"),
        Level::Warn => ("warn", "warn"),
        Level::Info => ("info", "warn"),
        Level::Debug => ("debug", "warn"),
        Level::Trace => ("trace", "warn"),
    };
    EnvFilter::new(format!("{ours},openraft={others}"))
}
