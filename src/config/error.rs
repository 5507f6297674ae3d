//! What can be wrong with a setting, and where it stands: said so that it can be put right at once.

use std::fmt;
use std::path::PathBuf;

/// Where a setting was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file, on this line, counted from 1.
    File(PathBuf, usize),
    /// In this environment variable.
    Environment(String),
    /// In this `--set` argument.
    Argument(String),
}

/// Why there is no configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The file cannot be read.
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// This is not TOML, or not `key=value`.
    Syntax {
        /// Where.
        place: Place,
        /// What is wrong.
        reason: String,
    },
    /// There is no such key.
    UnknownKey {
        /// Where.
        place: Place,
        /// What was written.
        name: String,
        /// The most similar key there is, when there is a similar one.
        nearest: Option<&'static str>,
    },
    /// A key cannot have this value.
    BadValue {
        /// Where.
        place: Place,
        /// The key.
        key: &'static str,
        /// What was written, unless it is a secret.
        value: String,
        /// What was expected.
        expected: String,
    },
    /// Settings that are right each by itself do not go together.
    Together {
        /// Which, and what would.
        reason: String,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path, line) => write!(f, "{}:{line}", path.display()),
            Place::Environment(name) => write!(f, "environment variable {name}"),
            Place::Argument(text) => write!(f, "--set {text}"),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Read { path, reason } => {
                write!(f, "{}: cannot read the configuration: {reason}", path.display())
            }
            ConfigError::Syntax { place, reason } => write!(f, "{place}: {reason}"),
            ConfigError::UnknownKey { place, name, nearest: Some(nearest) } => {
                write!(f, "{place}: there is no key {name}; did you mean {nearest}?")
            }
            ConfigError::UnknownKey { place, name, nearest: None } => {
                write!(f, "{place}: there is no key {name}; config/crabcache.toml lists them all")
            }
            ConfigError::BadValue { place, key, value, expected } => {
                write!(f, "{place}: {key} is {value}, expected {expected}")
            }
            ConfigError::Together { reason } => f.write_str(reason),
        }
    }
}

impl std::error::Error for ConfigError {}
