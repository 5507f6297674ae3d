//! Sessions: what a connection may do, and the commands about connections and the node. Executes
//! no command on data and knows no socket.

mod admin;
mod admin_cluster;
mod backup;
mod client;
mod client_filter;
mod cluster;
mod debug;
mod facts;
mod handshake;
pub mod info;
mod probes;
mod reports;
mod saving;
mod settings;
pub mod stats;

pub use facts::Identity;

use crate::command::introspect;
use crate::config::{Config, Key};
use crate::engine::glob_match;
use crate::metrics::RecoveryFacts;
use crate::security::Tokens;
use crate::wal::snapshotter::Snapshotter;
use crate::worker::{After, Answer, Call, Session, Sessions, Shared};
use backup::Backups;
use handshake::Attempts;
use parking_lot::Mutex;
use stats::Statistics;
use std::sync::Arc;
use tokio::sync::watch;

/// The commands of a node that are not about data.
pub struct Server {
    shared: Arc<Shared>,
    identity: Identity,
    statistics: Statistics,
    current: Mutex<Current>,
    tokens: Tokens,
    attempts: Attempts,
    ending: Ending,
    /// `None`: data lives in memory only.
    snapshots: Option<Arc<Snapshotter>>,
    backups: Backups,
    recovery: Mutex<Option<RecoveryFacts>>,
}

/// Where the node is told to end.
#[derive(Clone)]
struct Ending {
    shared: Arc<Shared>,
    told: watch::Sender<bool>,
}

impl Ending {
    /// No command is taken any more, workers send what is left and stop.
    fn end(&self) {
        self.shared.notice.end();
        self.told.send_replace(true);
    }
}

/// The settings in force.
struct Current {
    config: Config,
    /// Those that CONFIG SET has changed since the start or the last CONFIG REWRITE.
    changed: Vec<&'static Key>,
}

impl Server {
    /// Of this node. `ending` becomes true when a client ends the node.
    pub fn new(
        shared: Arc<Shared>,
        config: Config,
        identity: Identity,
        ending: watch::Sender<bool>,
    ) -> Server {
        Server {
            statistics: Statistics::new(shared.engine.clone(), shared.metrics.clone()),
            tokens: Tokens::new(&config.server.tokens),
            current: Mutex::new(Current { config, changed: Vec::new() }),
            attempts: Attempts::default(),
            ending: Ending { shared: shared.clone(), told: ending },
            shared,
            identity,
            snapshots: None,
            backups: Backups::default(),
            recovery: Mutex::new(None),
        }
    }

    /// That server, of a node that keeps snapshots.
    #[must_use]
    pub fn with_snapshots(mut self, snapshots: Arc<Snapshotter>) -> Server {
        self.snapshots = Some(snapshots);
        self
    }

    /// Lets the node end: no command is taken any more, workers send what is left and stop.
    pub fn end(&self) {
        self.ending.end();
    }
}

impl Sessions for Server {
    fn run(&self, call: &Call<'_>, session: &mut Session, out: &mut Answer<'_>) -> After {
        let name = call.spec.name;
        let (family, subcommand) = name.split_once('|').unwrap_or((name, ""));
        match (family, subcommand) {
            // COMMAND HELP has the same form, and comes with the others of COMMAND.
            ("command", _) => introspect::execute(call.spec, call.args, glob_match, out),
            (_, "help") => introspect::help(call.spec, out),
            ("client", _) => return self.client(subcommand, call, session, out),
            ("config", _) => self.configure(subcommand, call.args.from(2), out),
            ("backup", _) => self.backup(subcommand, call.args.from(2), out),
            ("slowlog", _) => self.slowlog(subcommand, call.args, out),
            ("latency", _) => self.latency(subcommand, call.args.from(2), out),
            ("memory", _) => self.memory(subcommand, out),
            ("cluster" | "readonly" | "readwrite" | "asking" | "wait", _) => {
                return self.clustered(call, session, out);
            }
            ("crabcache", _) => return self.admin_cluster(subcommand, call.args, session, out),
            ("acl" | "module" | "function", _) => {
                probes::run(name, call.args.from(2), out);
            }
            ("debug", _) => return self.debug(call.args, out),
            ("save" | "bgsave" | "bgrewriteaof" | "lastsave", _) => {
                return self.saving(name, call.args.from(1), session, out);
            }
            ("shutdown", _) => return self.shutdown(call.args.from(1), session, out),
            ("ping" | "echo" | "hello" | "auth" | "quit" | "reset" | "select", _) => {
                return self.handshake(call, session, out);
            }
            _ => self.node(call, session, out),
        }
        After::Continue
    }
}
