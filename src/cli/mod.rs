//! The command line: what can be asked of the binary, and with which settings. Knows no cache; it
//! reads arguments and hands over.

mod backup;
pub mod bench;
mod cluster;
mod demo;
mod healthcheck;
mod logging;
mod wal;

use crate::config::{Config, ConfigError};
use crate::node;
use clap::{Args, Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// How a process ends that was called wrongly; as clap does.
const WRONG_USE: u8 = 2;

/// A cache that speaks the Redis protocol. Without a subcommand: a node.
#[derive(Debug, Parser)]
#[command(name = "crabcache", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node; also what happens without a subcommand.
    Server(Settings),
    /// Run a whole cluster of processes on this machine, to try it.
    Demo(demo::Options),
    /// Generate load and measure: throughput, latency, hit ratio.
    Bench(Box<bench::Options>),
    /// Ask a node on this machine whether it is well; the exit code says.
    Healthcheck(healthcheck::Options),
    /// Copy all items of a running node to one file, and check that.
    Backup(backup::BackupOptions),
    /// Check a backup, and make a data directory of it that a node starts from.
    Restore(backup::RestoreOptions),
    /// Look at the log of a node that is not running, check it, repair it.
    #[command(subcommand)]
    Wal(wal::Options),
    /// Set a cluster up, ask about it, change it.
    #[command(subcommand)]
    Cluster(cluster::Options),
}

/// Where settings come from, the last word counting: defaults, file, environment
/// (CRABCACHE_SECTION__KEY), --set.
#[derive(Args, Clone, Debug, Default)]
struct Settings {
    /// Settings in TOML; config/crabcache.toml documents each of them.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting, such as server.port=7002 or memory.max_memory=512MiB; may be repeated.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    sets: Vec<String>,
}

impl Settings {
    fn load(&self) -> Result<Config, ConfigError> {
        let env = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Config::load(self.config.as_deref(), env, &self.sets)
    }
}

/// Does what the process's arguments say.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command.unwrap_or(Command::Server(cli.settings)) {
        Command::Server(settings) => {
            with_config(&settings, |config| serve(config, settings.config.as_deref()))
        }
        Command::Healthcheck(options) => {
            with_config(&options.settings, |config| healthcheck::run(&config, options.ready))
        }
        Command::Demo(options) => demo::run(&options),
        Command::Bench(options) => bench::run(*options),
        Command::Backup(options) => backup::backup(&options),
        Command::Restore(options) => backup::restore(&options),
        Command::Wal(options) => wal::run(options),
        Command::Cluster(options) => cluster::run(&options),
    }
}

fn with_config(settings: &Settings, run: impl FnOnce(Config) -> ExitCode) -> ExitCode {
    match settings.load() {
        Ok(config) => run(config),
        Err(error) => {
            eprintln!("crabcache: {error}");
            ExitCode::from(WRONG_USE)
        }
    }
}

fn serve(config: Config, file: Option<&Path>) -> ExitCode {
    logging::start(&config.log);
    match node::run(config, file) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the node stops");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cli, Command};
    use clap::{CommandFactory, Parser};

    #[test]
    fn clap_finds_no_contradiction() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_subcommand_is_a_node() {
        let cli = Cli::parse_from(["crabcache", "--set", "server.port=1", "--set", "a=b"]);
        assert!(cli.command.is_none());
        assert_eq!(cli.settings.sets, ["server.port=1", "a=b"]);
        let cli = Cli::parse_from(["crabcache", "server", "--config", "x.toml"]);
        assert!(matches!(cli.command, Some(Command::Server(s)) if s.config.is_some()));
    }

    #[test]
    fn health_is_asked_of_the_same_settings() {
        let cli = Cli::parse_from(["crabcache", "healthcheck", "--ready", "--set", "http.port=1"]);
        let Some(Command::Healthcheck(options)) = cli.command else {
            unreachable!("healthcheck was asked for")
        };
        assert!(options.ready);
        assert_eq!(options.settings.sets, ["http.port=1"]);
    }
}
