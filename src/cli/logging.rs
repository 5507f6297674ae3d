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
/// wrong. Of a node that cannot be reached it tells several times for each message that it has for
/// it: the control plane says it once, which is enough for most.
fn filter(level: Level) -> EnvFilter {
    const UNREACHED: &str =
        "openraft::replication=off,openraft::engine::handler::replication_handler=error";
    EnvFilter::new(match level {
        Level::Error => format!("error,{UNREACHED}"),
        Level::Warn => format!("warn,{UNREACHED}"),
        Level::Info => format!("info,openraft=warn,{UNREACHED}"),
        Level::Debug => "debug,openraft=warn".to_owned(),
        Level::Trace => "trace,openraft=warn".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::filter;
    use crate::config::Level;

    #[test]
    fn raft_tells_of_who_cannot_be_reached_only_where_that_is_wanted() {
        for (level, tells) in [(Level::Info, false), (Level::Debug, true)] {
            let subscriber = tracing_subscriber::fmt().with_env_filter(filter(level)).finish();
            tracing::subscriber::with_default(subscriber, || {
                let tells_of_one = tracing::enabled!(
                    target: "openraft::replication", tracing::Level::ERROR
                );
                assert_eq!(tells_of_one, tells, "{level:?}");
                assert!(tracing::enabled!(target: "openraft::core", tracing::Level::WARN));
                assert!(!tracing::enabled!(target: "openraft::core", tracing::Level::INFO));
                assert!(tracing::enabled!(target: "crabcache", tracing::Level::INFO));
            });
        }
    }
}
