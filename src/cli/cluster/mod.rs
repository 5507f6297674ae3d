//! `crabcache cluster`: what an operator does with a cluster, from any node's client port. Knows no
//! cluster; each file below knows one thing to do or to show.

pub(super) mod add;
mod ca;
pub(super) mod call;
mod change;
pub(super) mod document;
pub(super) mod node_file;
mod show;
mod wait;

use call::{CallError, Target};
use clap::{Args, Subcommand};
use std::io::{self, Write};
use std::process::ExitCode;

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Options {
    /// Show nodes, groups and what moves.
    Status(Target),
    /// Make a node's certificate and settings, and wait until it has its share.
    Add(add::Options),
    /// Make a one-time token with which a node may join, and print it: `add` does that too.
    Token(add::ForNode),
    /// Empty a node, wait until its clients are gone, take it off the list.
    Remove(change::Remove),
    /// Empty a node until `undrain`: before maintenance.
    Drain(change::Node),
    /// Give a drained node its share again.
    Undrain(change::Node),
    /// Wait until shares are even, which they become by themselves; or show what would move.
    Rebalance(change::Rebalance),
    /// Move slots to a node, in groups of 16.
    Move(change::Move),
    /// Take a node's groups from it, at once.
    Failover(change::Forced),
    /// Take a node that is lost off the list.
    Forget(change::Forced),
    /// Show or change what holds for the whole cluster.
    #[command(subcommand)]
    Config(change::Config),
    /// Form a cluster although some seeds do not answer.
    Form(change::Form),
    /// Make the cluster's certificate authority, and certificates for its nodes.
    #[command(subcommand)]
    Ca(ca::Options),
}

/// Whether to wait until it is done.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Waiting {
    /// Return when it has begun; it goes on by itself.
    #[arg(long)]
    pub(in crate::cli) no_wait: bool,
    /// Longest wait, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub(in crate::cli) timeout: u64,
}

/// Does it; 0 when all is well.
pub(super) fn run(options: &Options) -> ExitCode {
    let done = match options {
        Options::Ca(options) => return ca::run(options),
        Options::Status(target) => show::status(target),
        Options::Add(options) => add::run(options),
        Options::Token(options) => add::print_token(options),
        Options::Remove(options) => change::remove(options),
        Options::Drain(options) => change::drain(options),
        Options::Undrain(options) => change::undrain(options),
        Options::Rebalance(options) => change::rebalance(options),
        Options::Move(options) => change::move_slots(options),
        Options::Failover(options) => change::forced("FAILOVER", options),
        Options::Forget(options) => change::forced("FORGET", options),
        Options::Config(options) => change::config(options),
        Options::Form(options) => change::form(options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crabcache: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints; a reader that has gone away is no error.
pub(super) fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
    let _ = io::stdout().flush();
}

type Done = Result<(), CallError>;
