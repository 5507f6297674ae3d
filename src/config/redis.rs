//! CONFIG GET and CONFIG SET: our keys by their own names and by Redis's, and what Redis tools ask
//! for although it is fixed here. Knows names and forms; the values are `keys`' business.

use super::value::{Raw, parse_size};
use super::{Config, Effective, KEYS, Key, Level, WalPolicy};
use crate::engine::{Policy, glob_match};

/// What a name of Redis's means here.
enum Meaning {
    /// One of our keys, written in Redis's form.
    Key(&'static str, Form),
    /// Follows from other settings.
    Derived(fn(&Config) -> String),
    /// The same in every node.
    Fixed(&'static str),
}

/// How Redis writes a value.
#[derive(Clone, Copy)]
enum Form {
    /// As we do.
    Plain,
    /// Bytes; for the memory bound 0 is none.
    Bytes,
    /// Whole seconds.
    Seconds,
    /// Microseconds; below zero is off.
    Micros,
    /// `yes` or `no`.
    YesNo,
    /// The name of an eviction policy.
    Policy,
}

use Meaning::{Derived, Fixed, Key as Ours};

/// Redis's names. Those fixed are what common tools read at their start.
static NAMES: &[(&str, Meaning)] = &[
    ("bind", Ours("server.bind", Form::Plain)),
    ("port", Ours("server.port", Form::Plain)),
    ("io-threads", Derived(|config| config.server.worker_count().to_string())),
    ("protected-mode", Ours("server.protected", Form::YesNo)),
    ("requirepass", Fixed("")),
    ("maxclients", Ours("server.max_clients", Form::Plain)),
    ("timeout", Ours("server.idle_timeout", Form::Seconds)),
    ("tcp-backlog", Ours("server.tcp_backlog", Form::Plain)),
    ("tcp-keepalive", Ours("server.tcp_keepalive", Form::Seconds)),
    ("client-query-buffer-limit", Ours("server.query_limit", Form::Bytes)),
    ("client-output-buffer-limit", Derived(output_limits)),
    ("proto-max-bulk-len", Derived(|c| c.server.validation.value_bytes_max().to_string())),
    ("maxmemory", Ours("memory.max_memory", Form::Bytes)),
    ("maxmemory-policy", Ours("memory.policy", Form::Policy)),
    ("loglevel", Derived(|config| log_level(config.log.level).into())),
    ("slowlog-log-slower-than", Ours("slowlog.threshold", Form::Micros)),
    ("slowlog-max-len", Ours("slowlog.max_len", Form::Plain)),
    ("activedefrag", Fixed("no")),
    ("active-expire-effort", Fixed("1")),
    ("appendfsync", Derived(|config| append_fsync(config.wal.policy).into())),
    ("appendonly", Derived(append_only)),
    ("cluster-enabled", Fixed("no")),
    ("daemonize", Fixed("no")),
    ("databases", Fixed("1")),
    ("dbfilename", Fixed("")),
    ("dir", Derived(|config| config.data.dir.display().to_string())),
    ("hz", Fixed("10")),
    ("latency-monitor-threshold", Fixed("0")),
    ("lazyfree-lazy-eviction", Fixed("no")),
    ("lazyfree-lazy-expire", Fixed("no")),
    ("lazyfree-lazy-server-del", Fixed("no")),
    ("lazyfree-lazy-user-del", Fixed("no")),
    ("lazyfree-lazy-user-flush", Fixed("no")),
    ("logfile", Fixed("")),
    ("maxmemory-clients", Fixed("0")),
    ("maxmemory-samples", Fixed("5")),
    ("min-replicas-max-lag", Fixed("10")),
    ("min-replicas-to-write", Fixed("0")),
    ("notify-keyspace-events", Fixed("")),
    ("replica-read-only", Fixed("yes")),
    ("replica-serve-stale-data", Fixed("yes")),
    ("replicaof", Fixed("")),
    ("save", Fixed("")),
    ("slave-read-only", Fixed("yes")),
    ("slaveof", Fixed("")),
    ("stop-writes-on-bgsave-error", Fixed("no")),
    ("tls-port", Fixed("0")),
    ("unixsocket", Fixed("")),
];

/// All settings whose name matches one of `patterns`, each once: Redis's names first, then ours. A
/// name that was asked for without a pattern comes as it was written, as from Redis since 7.0.
pub fn get(config: &Config, patterns: &[&[u8]]) -> Vec<(String, String)> {
    let asked = patterns;
    let patterns: Vec<Vec<u8>> = patterns.iter().map(|p| p.to_ascii_lowercase()).collect();
    let wanted = |name: &str| patterns.iter().any(|p| glob_match(p, name.as_bytes()));
    let shown = |name: &str| {
        let first = patterns.iter().position(|p| glob_match(p, name.as_bytes()));
        let exact = first.map(|i| asked[i]).filter(|a| a.eq_ignore_ascii_case(name.as_bytes()));
        exact.map_or_else(|| name.to_owned(), |a| String::from_utf8_lossy(a).into_owned())
    };
    let redis = NAMES
        .iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, meaning)| (shown(name), meaning.get(config)));
    let ours = KEYS
        .iter()
        .filter(|key| wanted(key.name))
        .map(|key| (shown(key.name), key.get(config).plain()));
    redis.chain(ours).collect()
}

/// Changes settings by Redis's names or ours: all of them, or none and an error as Redis words it.
///
/// # Errors
/// An unknown or repeated name, a setting that only counts at the start, a value that cannot be.
pub fn set(config: &mut Config, pairs: &[(&[u8], &[u8])]) -> Result<(), String> {
    let mut changed = config.clone();
    let mut seen = Vec::new();
    for (name, value) in pairs {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let value = String::from_utf8_lossy(value);
        let target = Target::find(&name).ok_or_else(|| {
            format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'")
        })?;
        let repeated = seen.contains(&target.name());
        seen.push(target.name());
        let done = if repeated {
            Err("duplicate parameter".into())
        } else {
            target.set(&mut changed, &value)
        };
        done.map_err(|reason| {
            format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")
        })?;
    }
    *config = changed;
    Ok(())
}

/// What CONFIG SET is to change.
enum Target {
    Ours(&'static Key, Option<Form>),
    Unchangeable(&'static str, &'static Meaning),
}

impl Target {
    fn find(name: &str) -> Option<Target> {
        if let Some(key) = Key::find(name) {
            return Some(Target::Ours(key, None));
        }
        let (name, meaning) = NAMES.iter().find(|(redis, _)| *redis == name)?;
        match meaning {
            Ours(key, form) => Some(Target::Ours(Key::find(key)?, Some(*form))),
            Derived(_) | Fixed(_) => Some(Target::Unchangeable(name, meaning)),
        }
    }

    /// The same for two names of one setting.
    fn name(&self) -> &'static str {
        match self {
            Target::Ours(key, _) => key.name,
            Target::Unchangeable(name, _) => name,
        }
    }

    fn set(&self, config: &mut Config, value: &str) -> Result<(), String> {
        match self {
            Target::Unchangeable(_, meaning) if meaning.get(config) == value => Ok(()),
            Target::Unchangeable(..) => Err(IMMUTABLE.into()),
            Target::Ours(key, _) if key.effective == Effective::AtStart => Err(IMMUTABLE.into()),
            Target::Ours(key, form) => {
                let text = form.map_or_else(|| Ok(value.to_owned()), |form| form.read(value))?;
                key.set(config, &Raw::Text(text)).map_err(|expected| {
                    let expected = expected.strip_prefix("a whole number ").unwrap_or(&expected);
                    format!("argument must be {expected}")
                })
            }
        }
    }
}

/// The longest time that Redis takes in seconds.
const SECONDS_MAX: i64 = i32::MAX as i64;

const IMMUTABLE: &str = "can't set immutable config";

impl Meaning {
    fn get(&self, config: &Config) -> String {
        match self {
            Ours(name, form) => form.show(name, config),
            Derived(value) => value(config),
            Fixed(value) => (*value).to_owned(),
        }
    }
}

impl Form {
    /// The value of our key `name` as Redis writes it.
    fn show(self, name: &str, config: &Config) -> String {
        use super::Setting;
        let Some(setting) = Key::find(name).map(|key| key.get(config)) else {
            return String::new();
        };
        match (self, setting) {
            (Form::Policy, _) => config.memory.policy_in_force().name().to_owned(),
            (Form::Bytes, Setting::Text(_)) => {
                config.memory.max_bytes().unwrap_or_default().to_string()
            }
            (Form::Micros, Setting::Text(_)) => "-1".into(),
            (_, Setting::Size(bytes)) => bytes.to_string(),
            (Form::Seconds, Setting::Time(time)) => time.as_millis().div_ceil(1000).to_string(),
            (_, Setting::Time(time)) => time.as_micros().to_string(),
            (_, Setting::Flag(flag)) => if flag { "yes" } else { "no" }.to_owned(),
            (_, other) => other.plain(),
        }
    }

    /// What Redis's form of a value is in ours.
    fn read(self, value: &str) -> Result<String, String> {
        match self {
            Form::Plain => integer(value).map(|number| number.to_string()),
            // A blank may stand before the unit in our form, not in Redis's.
            Form::Bytes => match parse_size(value).filter(|_| !value.contains(' ')) {
                Some(0) => Ok("none".into()),
                Some(bytes) => Ok(bytes.to_string()),
                None => Err("argument must be a memory value".into()),
            },
            Form::Seconds => match integer(value)? {
                seconds @ 0..=SECONDS_MAX => Ok(format!("{seconds}s")),
                _ => Err("argument must be between 0 and 2147483647 inclusive".into()),
            },
            Form::Micros => match integer(value)? {
                micros @ 0.. => Ok(format!("{micros}us")),
                -1 => Ok("off".into()),
                _ => Err(format!("argument must be between -1 and {} inclusive", i64::MAX)),
            },
            Form::YesNo if matches!(value, "yes" | "no") => Ok(value.to_owned()),
            Form::YesNo => Err("argument must be 'yes' or 'no'".into()),
            Form::Policy => value.parse::<Policy>().map(|p| p.name().to_owned()).map_err(|()| {
                let names: Vec<&str> = Policy::NAMES.iter().map(|(name, _)| *name).collect();
                format!("argument(s) must be one of the following: {}", names.join(", "))
            }),
        }
    }
}

fn integer(text: &str) -> Result<i64, String> {
    // In one way only: Redis takes no plus and no leading zeros.
    let number = text.parse().ok().filter(|number: &i64| number.to_string() == text);
    number.ok_or_else(|| "argument couldn't be parsed into an integer".into())
}

fn output_limits(config: &Config) -> String {
    format!("normal {} 0 0 slave 0 0 0 pubsub 0 0 0", config.server.output_limit)
}

fn append_only(config: &Config) -> String {
    if config.wal.policy == WalPolicy::None { "no" } else { "yes" }.into()
}

fn append_fsync(policy: WalPolicy) -> &'static str {
    match policy {
        WalPolicy::None => "no",
        WalPolicy::Async => "everysec",
        WalPolicy::Sync => "always",
    }
}

fn log_level(level: Level) -> &'static str {
    match level {
        Level::Error | Level::Warn => "warning",
        Level::Info => "notice",
        Level::Debug => "verbose",
        Level::Trace => "debug",
    }
}

#[cfg(test)]
mod tests {
    use super::{NAMES, get, set};
    use crate::config::{Config, Effective, Key, MaxMemory};
    use crate::engine::Policy;
    use std::time::Duration;

    fn one(config: &Config, name: &str) -> String {
        let mut found = get(config, &[name.as_bytes()]);
        assert_eq!(found.len(), 1, "{name}");
        found.remove(0).1
    }

    fn change(config: &mut Config, pairs: &[(&str, &str)]) -> Result<(), String> {
        let pairs: Vec<_> = pairs.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        set(config, &pairs)
    }

    #[test]
    fn what_tools_read() {
        let config = Config::default();
        for (name, value) in [
            ("save", ""),
            ("appendonly", "no"),
            ("databases", "1"),
            ("port", "7001"),
            ("server.port", "7001"),
            ("MaxClients", "10000"),
            ("timeout", "0"),
            ("maxmemory-policy", "allkeys-tinylfu"),
            ("memory.policy", "auto"),
            ("slowlog-log-slower-than", "10000"),
            ("slowlog.threshold", "10ms"),
            ("protected-mode", "yes"),
            ("client-output-buffer-limit", "normal 1048576 0 0 slave 0 0 0 pubsub 0 0 0"),
            ("proto-max-bulk-len", "67108864"),
        ] {
            assert_eq!(one(&config, name), value, "{name}");
        }
        assert_eq!(get(&config, &[b"no-such-name"]), []);
    }

    #[test]
    fn patterns_match_each_name_once_whatever_its_case() {
        let names = |patterns: &[&str]| -> Vec<String> {
            let patterns: Vec<&[u8]> = patterns.iter().map(|p| p.as_bytes()).collect();
            get(&Config::default(), &patterns).into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(&["MAXM*ory", "MAXMEMORY"]), ["maxmemory"]);
        assert_eq!(names(&["MAXMEMORY", "maxm*ory"]), ["MAXMEMORY"]);
        assert_eq!(names(&["Server.Port"]), ["Server.Port"]);
        assert_eq!(
            names(&["http.*", "*.port"]),
            ["server.port", "http.bind", "http.port", "cluster.port"]
        );
        assert_eq!(names(&["*"]).len(), NAMES.len() + crate::config::KEYS.len());
    }

    #[test]
    fn every_name_is_there_once_and_means_a_key() {
        let config = Config::default();
        for (i, (name, meaning)) in NAMES.iter().enumerate() {
            assert!(NAMES[i + 1..].iter().all(|(other, _)| other != name), "{name} twice");
            if let super::Meaning::Key(key, _) = meaning {
                assert!(Key::find(key).is_some(), "{key}");
            }
            let _ = one(&config, name);
        }
    }

    #[test]
    fn what_a_live_name_shows_it_takes_again() {
        let mut config = Config::default();
        config.memory.max_memory = MaxMemory::Bytes(100 << 20);
        for (name, meaning) in NAMES {
            let super::Meaning::Key(key, _) = meaning else { continue };
            if Key::find(key).is_some_and(|key| key.effective == Effective::Live) {
                let value = one(&config, name);
                assert_eq!(change(&mut config, &[(name, &value)]), Ok(()), "{name} {value}");
                assert_eq!(one(&config, name), value);
            }
        }
    }

    #[test]
    fn live_changes() {
        let mut config = Config::default();
        let pairs = [
            ("maxmemory", "100mb"),
            ("maxmemory-policy", "volatile-lru"),
            ("maxclients", "5"),
            ("timeout", "60"),
            ("slowlog-log-slower-than", "-1"),
            ("save", ""),
        ];
        assert_eq!(change(&mut config, &pairs), Ok(()));
        assert_eq!(config.memory.max_memory, MaxMemory::Bytes(100 << 20));
        assert_eq!(config.memory.policy, Some(Policy::VolatileLru));
        assert_eq!(config.server.max_clients, 5);
        assert_eq!(config.server.idle_timeout, Duration::from_secs(60));
        assert_eq!(config.slowlog.threshold, None);
        assert_eq!(change(&mut config, &[("maxmemory", "0")]), Ok(()));
        assert_eq!(config.memory.max_memory, MaxMemory::Unbounded);
        assert_eq!(change(&mut config, &[("memory.max_memory", "64MiB")]), Ok(()));
        assert_eq!(config.memory.max_memory, MaxMemory::Bytes(64 << 20));
    }

    #[test]
    fn all_or_nothing_with_the_errors_of_redis() {
        let failed = |name: &str, why: &str| {
            format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")
        };
        let before = Config::default();
        let mut config = before.clone();
        for (pairs, error) in [
            (
                &[("maxclients", "5"), ("nonsense", "1")][..],
                "ERR Unknown option or number of arguments for CONFIG SET - 'nonsense'".to_owned(),
            ),
            (&[("maxclients", "5"), ("port", "1")], failed("port", super::IMMUTABLE)),
            (&[("maxclients", "5"), ("appendonly", "yes")], failed("appendonly", super::IMMUTABLE)),
            (
                &[("maxclients", "5"), ("maxclients", "6")],
                failed("maxclients", "duplicate parameter"),
            ),
            (
                &[("maxclients", "x")],
                failed("maxclients", "argument couldn't be parsed into an integer"),
            ),
            (
                &[("maxclients", "0")],
                failed("maxclients", "argument must be between 1 and 1000000 inclusive"),
            ),
            (&[("maxmemory", "much")], failed("maxmemory", "argument must be a memory value")),
            (&[("maxmemory", "1 gb")], failed("maxmemory", "argument must be a memory value")),
            (
                &[("maxclients", "+5")],
                failed("maxclients", "argument couldn't be parsed into an integer"),
            ),
            (
                &[("timeout", "99999999999")],
                failed("timeout", "argument must be between 0 and 2147483647 inclusive"),
            ),
        ] {
            assert_eq!(change(&mut config, pairs), Err(error));
            assert_eq!(config, before);
        }
    }
}
