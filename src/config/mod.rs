//! Settings: plain values with defaults, read from a TOML file, the environment and `--set`, and
//! shown and changed by CONFIG GET and SET. Knows what a value may be, not what it brings about.

mod cluster;
mod error;
mod keys;
mod layers;
mod listeners;
pub mod machine;
pub mod redis;
mod rewrite;
mod secret;
mod value;
mod wal;

pub use cluster::{Cluster, Join, Replication};
pub use error::{ConfigError, Place};
pub use keys::{Effective, KEYS, Key};
pub use listeners::{Advertised, Clients, Listener, Routing};
pub use rewrite::rewrite;
pub use secret::Secret;
pub use value::{Setting, format_duration, format_size, parse_duration, parse_size};
pub use wal::{Data, OnError, Wal, WalPolicy};

use crate::engine::Policy;
use crate::limits;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// All settings of a node. `config/crabcache.toml` documents each of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// Section `server`: the listener for clients and its limits.
    pub server: Server,
    /// Of section `cluster`: what clients see of it.
    pub clients: Clients,
    /// Section `http`: metrics and health.
    pub http: Http,
    /// Section `memory`: how much is kept, and what goes first.
    pub memory: Memory,
    /// Section `data`: where what outlives the node is kept.
    pub data: Data,
    /// Section `wal`: the write-ahead log and the snapshots.
    pub wal: Wal,
    /// Section `cluster`: the other nodes.
    pub cluster: Cluster,
    /// Section `log`.
    pub log: Log,
    /// Section `slowlog`.
    pub slowlog: Slowlog,
    /// Section `metrics`.
    pub metrics: Metrics,
}

impl Config {
    /// The defaults, then what `file` says, then the environment (`CRABCACHE_SECTION__KEY`), then
    /// `sets` (`section.key=value`); the last word counts.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place and what was expected there; then what does
    /// not go together.
    pub fn load(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        sets: &[String],
    ) -> Result<Config, ConfigError> {
        layers::load(file, env, sets)
    }
}

/// The listener for clients and its limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Address to listen on.
    pub bind: IpAddr,
    /// Port to listen on; 0: any free one.
    pub port: u16,
    /// How clients reach that port.
    pub advertise: Advertised,
    /// Port whose connections always forward, in a cluster; 0: none.
    pub forward_port: u16,
    /// How clients reach that port.
    pub forward_advertise: Advertised,
    /// More listeners.
    pub listeners: Vec<Listener>,
    /// Worker threads; 0: one per core.
    pub workers: usize,
    /// What AUTH accepts; none: nobody has to authenticate.
    pub tokens: Vec<Secret>,
    /// Whether an address other than loopback needs tokens.
    pub protected: bool,
    /// Only as many workers serve as the load needs.
    pub elastic: bool,
    /// Most connections at a time.
    pub max_clients: usize,
    /// How long a connection may say nothing; zero: for ever.
    pub idle_timeout: Duration,
    /// How long a half-sent command may stand still; zero: for ever.
    pub partial_timeout: Duration,
    /// How long a client may take to authenticate, where that is needed; zero: for ever.
    pub auth_timeout: Duration,
    /// How long a client may take none of the answer it is sent; zero: for ever.
    pub write_timeout: Duration,
    /// Bytes of unsent answers at which no further command of a connection is read. One answer
    /// may be larger.
    pub output_limit: usize,
    /// Bytes of unexecuted input a connection may hold.
    pub query_limit: usize,
    /// How strictly keys and values are checked.
    pub validation: Validation,
    /// Connections the system may hold that nobody has accepted yet.
    pub tcp_backlog: u32,
    /// Idle time after which the system probes whether a client is still there; zero: never.
    pub tcp_keepalive: Duration,
}

impl Server {
    /// How many workers: as set, or one per core.
    pub fn worker_count(&self) -> usize {
        if self.workers == 0 { machine::cores() } else { self.workers }
    }
}

impl Default for Server {
    fn default() -> Server {
        Server {
            bind: LOOPBACK,
            port: 7001,
            advertise: Advertised::default(),
            forward_port: 7201,
            forward_advertise: Advertised::default(),
            listeners: Vec::new(),
            workers: 0,
            tokens: Vec::new(),
            protected: true,
            elastic: true,
            max_clients: 10_000,
            idle_timeout: Duration::ZERO,
            partial_timeout: Duration::from_secs(30),
            auth_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(60),
            output_limit: 1 << 20,
            query_limit: 64 << 20,
            validation: Validation::Normal,
            tcp_backlog: 1024,
            tcp_keepalive: Duration::from_secs(300),
        }
    }
}

/// How strictly keys and values are checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Validation {
    /// Short keys of printable text; values as in normal.
    Strict,
    /// Any bytes; moderate sizes.
    #[default]
    Normal,
    /// Any bytes; values as large as Redis takes them.
    Relaxed,
}

impl Validation {
    /// Longest key.
    pub fn key_bytes_max(self) -> usize {
        match self {
            Validation::Strict => limits::KEY_BYTES_MAX_STRICT,
            Validation::Normal | Validation::Relaxed => limits::KEY_BYTES_MAX,
        }
    }

    /// Longest value.
    pub fn value_bytes_max(self) -> usize {
        match self {
            Validation::Strict | Validation::Normal => limits::VALUE_BYTES_MAX,
            Validation::Relaxed => limits::VALUE_BYTES_MAX_RELAXED,
        }
    }

    /// Whether a key is made of what keys may be made of. Strict: UTF-8 without control
    /// characters, and not empty. Its length is [`Validation::key_bytes_max`]'s business.
    pub fn allows_key(self, key: &[u8]) -> bool {
        match self {
            Validation::Strict => std::str::from_utf8(key)
                .is_ok_and(|text| !text.is_empty() && !text.chars().any(char::is_control)),
            Validation::Normal | Validation::Relaxed => true,
        }
    }
}

/// Metrics and health.
#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    /// Address to listen on.
    pub bind: IpAddr,
    /// Port to listen on; 0: do not listen.
    pub port: u16,
}

impl Default for Http {
    fn default() -> Http {
        Http { bind: LOOPBACK, port: 9090 }
    }
}

/// How much is kept, and what goes first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// Bound on the resident bytes of the data.
    pub max_memory: MaxMemory,
    /// Bound on the number of items; 0: none.
    pub max_items: u64,
    /// Which items go when a bound is reached; `None`: the node chooses.
    pub policy: Option<Policy>,
    /// Number of shards, rounded up to a power of two; 0: the node chooses.
    pub shards: usize,
}

impl Memory {
    /// The bound in bytes, `auto` resolved by what the machine has; `None`: no bound.
    pub fn max_bytes(&self) -> Option<u64> {
        match self.max_memory {
            MaxMemory::Auto => machine::memory_bytes().map(|all| all / 4 * 3),
            MaxMemory::Unbounded => None,
            MaxMemory::Bytes(bytes) => Some(bytes),
        }
    }

    /// The bound on the number of items; `None`: no bound.
    pub fn items_bound(&self) -> Option<u64> {
        (self.max_items > 0).then_some(self.max_items)
    }

    /// The policy in force.
    pub fn policy_in_force(&self) -> Policy {
        self.policy.unwrap_or(Policy::TinyLfu)
    }
}

/// Bound on the resident bytes of the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaxMemory {
    /// 75 % of the smaller of the machine's memory and the control group's limit.
    #[default]
    Auto,
    /// No bound.
    Unbounded,
    /// This many.
    Bytes(u64),
}

/// What is logged, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Log {
    /// The least severe level that is logged.
    pub level: Level,
    /// How a line looks.
    pub format: Format,
}

/// Severity of a log line, most severe first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// Something failed.
    Error,
    /// Something is odd.
    Warn,
    /// Something an operator wants to know happened.
    #[default]
    Info,
    /// What a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The log of slow commands.
#[derive(Clone, Debug, PartialEq)]
pub struct Slowlog {
    /// Commands that take longer are kept; zero: all; `None`: none.
    pub threshold: Option<Duration>,
    /// How many are kept.
    pub max_len: usize,
}

impl Default for Slowlog {
    fn default() -> Slowlog {
        Slowlog { threshold: Some(Duration::from_millis(10)), max_len: 128 }
    }
}

/// What `/metrics` shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// Also the names that redis_exporter uses, for dashboards made for it.
    pub redis_compat: bool,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics { redis_compat: true }
    }
}
