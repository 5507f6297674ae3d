//! One row per key: its name, when a change takes effect, its kind and bounds. The file, the
//! environment, `--set`, CONFIG GET and CONFIG SET all go through these rows.

use super::Config;
use super::cluster::{Hosts, Name};
use super::listeners::{Endpoint, Listeners};
use super::value::{
    Address, Expected, Flag, Folder, Kind, Number, Raw, Secrets, Setting, Size, Time, Word,
};
use crate::limits;
use std::ops::RangeInclusive;

/// When a change of a key takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effective {
    /// At once: CONFIG SET may change it.
    Live,
    /// At the next start.
    AtStart,
}

/// A key of the configuration.
pub struct Key {
    /// `section.key`.
    pub name: &'static str,
    /// When a change takes effect.
    pub effective: Effective,
    get: fn(&Config) -> Setting,
    set: fn(&mut Config, &Raw) -> Result<(), Expected>,
}

impl Key {
    /// The key of this name.
    pub fn find(name: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// What stands before the dot.
    pub fn section(&self) -> &'static str {
        self.name.split('.').next().unwrap_or_default()
    }

    /// Its value in `config`.
    pub fn get(&self, config: &Config) -> Setting {
        (self.get)(config)
    }

    /// Whether its value is never shown.
    pub(super) fn is_secret(&self) -> bool {
        matches!(self.get(&Config::default()), Setting::Hidden(_))
    }

    pub(super) fn set(&self, config: &mut Config, raw: &Raw) -> Result<(), Expected> {
        (self.set)(config, raw)
    }

    /// The key whose name is most like `name`, if one is like it at all.
    pub(super) fn nearest(name: &str) -> Option<&'static str> {
        KEYS.iter()
            .map(|key| (distance(name, key.name).min(misplaced(name, key.name)), key.name))
            .min()
            .filter(|(distance, _)| *distance <= EDITS_TOLERATED)
            .map(|(_, nearest)| nearest)
    }
}

/// Names that differ by more are not like each other.
const EDITS_TOLERATED: usize = 3;

/// 1 when only the section is missing or wrong.
fn misplaced(name: &str, key: &str) -> usize {
    let last = |text: &str| text.rsplit('.').next().unwrap_or_default().to_owned();
    if last(name) == last(key) { 1 } else { usize::MAX }
}

/// Levenshtein distance, one row at a time.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

macro_rules! key {
    ($section:ident . $field:ident, $effective:ident, $kind:ty, $bound:expr) => {
        key!($section.$field in $section, $effective, $kind, $bound)
    };
    // The fields of a section may stand in several structs.
    ($section:ident . $field:ident in $part:ident, $effective:ident, $kind:ty, $bound:expr) => {
        Key {
            name: concat!(stringify!($section), ".", stringify!($field)),
            effective: Effective::$effective,
            get: |config| <$kind as Kind<_>>::show(&config.$part.$field),
            set: |config, raw| {
                config.$part.$field = <$kind as Kind<_>>::read(raw, $bound)?;
                Ok(())
            },
        }
    };
}

const KIB: u64 = 1024;
const GIB: u64 = 1 << 30;
const SEGMENT_BYTES: RangeInclusive<u64> =
    limits::WAL_SEGMENT_BYTES_MIN..=limits::WAL_SEGMENT_BYTES_MAX;

/// All keys, in the order in which `config/crabcache.toml` documents them.
pub static KEYS: &[Key] = &[
    key!(server.bind, AtStart, Address, ()),
    key!(server.port, AtStart, Number, 0..=65535),
    key!(server.advertise, AtStart, Endpoint, ()),
    key!(server.forward_port, AtStart, Number, 0..=65535),
    key!(server.forward_advertise, AtStart, Endpoint, ()),
    key!(server.listeners, AtStart, Listeners, ()),
    key!(server.workers, AtStart, Number, 0..=limits::WORKERS_MAX as u64),
    key!(server.elastic, AtStart, Flag, ()),
    key!(server.tokens, AtStart, Secrets, ()),
    key!(server.protected, AtStart, Flag, ()),
    key!(server.max_clients, Live, Number, 1..=limits::CLIENTS_MAX as u64),
    key!(server.idle_timeout, Live, Time, ()),
    key!(server.partial_timeout, Live, Time, ()),
    key!(server.auth_timeout, Live, Time, ()),
    key!(server.write_timeout, Live, Time, ()),
    key!(server.output_limit, Live, Size, KIB..=64 * GIB),
    key!(server.query_limit, Live, Size, 64 * KIB..=64 * GIB),
    key!(server.validation, Live, Word, ()),
    key!(server.tcp_backlog, AtStart, Number, 1..=65535),
    key!(server.tcp_keepalive, Live, Time, ()),
    key!(http.bind, AtStart, Address, ()),
    key!(http.port, AtStart, Number, 0..=65535),
    key!(memory.max_memory, Live, Size, limits::MAX_MEMORY_BYTES_MIN..=u64::MAX),
    key!(memory.max_items, Live, Number, 0..=u64::MAX),
    key!(memory.policy, Live, Word, ()),
    key!(memory.shards, AtStart, Number, 0..=limits::SHARDS_MAX as u64),
    key!(data.dir, AtStart, Folder, ()),
    key!(wal.policy, AtStart, Word, ()),
    key!(wal.interval, AtStart, Time, ()),
    key!(wal.on_error, AtStart, Word, ()),
    key!(wal.segment_bytes, AtStart, Size, SEGMENT_BYTES),
    key!(wal.buffer_bytes, AtStart, Size, limits::WAL_BUFFER_BYTES_MIN..=64 * GIB),
    key!(wal.wal_ttl, AtStart, Time, ()),
    key!(wal.snapshot_ttl, AtStart, Time, ()),
    key!(wal.snapshot_rate, AtStart, Size, 0..=u64::MAX),
    key!(cluster.enabled, AtStart, Flag, ()),
    key!(cluster.bind, AtStart, Address, ()),
    key!(cluster.port, AtStart, Number, 0..=65535),
    key!(cluster.data_port, AtStart, Number, 0..=65535),
    key!(cluster.advertise, AtStart, Name, ()),
    key!(cluster.seeds, AtStart, Hosts, ()),
    key!(cluster.zone, AtStart, Name, ()),
    key!(cluster.replication, AtStart, Word, ()),
    key!(cluster.replication_factor, AtStart, Number, 1..=limits::REPLICATION_FACTOR_MAX),
    key!(cluster.join, AtStart, Word, ()),
    key!(cluster.join_token, AtStart, Folder, ()),
    key!(cluster.ca, AtStart, Folder, ()),
    key!(cluster.cert, AtStart, Folder, ()),
    key!(cluster.key, AtStart, Folder, ()),
    key!(cluster.gso, AtStart, Flag, ()),
    key!(cluster.routing in clients, Live, Word, ()),
    key!(cluster.announce_replicas in clients, AtStart, Flag, ()),
    key!(log.level, AtStart, Word, ()),
    key!(log.format, AtStart, Word, ()),
    key!(slowlog.threshold, Live, Time, ()),
    key!(slowlog.max_len, Live, Number, 0..=limits::SLOWLOG_LEN_MAX as u64),
    key!(metrics.redis_compat, Live, Flag, ()),
];

#[cfg(test)]
mod tests {
    use super::{KEYS, Key};
    use crate::config::Config;
    use crate::config::value::Raw;

    #[test]
    fn what_a_key_shows_it_reads_again() {
        let config = Config::default();
        for key in KEYS {
            let mut copy = config.clone();
            let shown = Raw::Text(key.get(&config).plain());
            assert_eq!(key.set(&mut copy, &shown), Ok(()), "{}", key.name);
            assert_eq!(copy, config, "{}", key.name);
        }
    }

    #[test]
    fn near_misses() {
        for (name, nearest) in [
            ("server.prot", Some("server.port")),
            ("memory.maxmemory", Some("memory.max_memory")),
            ("max_memory", Some("memory.max_memory")),
            ("http.workers", Some("server.workers")),
            ("something.else.entirely", None),
        ] {
            assert_eq!(Key::nearest(name), nearest, "{name}");
        }
    }
}
