//! Defaults, file, environment, `--set`: who overrides whom, and where each mistake stands.
//! Knows TOML; knows no key by name.

use super::value::Raw;
use super::{Config, ConfigError, KEYS, Key, Place};
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What names of environment variables begin with.
const PREFIX: &str = "CRABCACHE_";

/// The defaults, then `file`, then `env`, then `sets`; the last word counts.
pub(super) fn load(
    file: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
    sets: &[String],
) -> Result<Config, ConfigError> {
    let mut config = Config::default();
    if let Some(path) = file {
        let text = std::fs::read_to_string(path)
            .map_err(|e| ConfigError::Read { path: path.to_owned(), reason: e.to_string() })?;
        read_file(&mut config, path, &text)?;
    }
    read_env(&mut config, env)?;
    for set in sets {
        read_set(&mut config, set)?;
    }
    config.wal.check(&config.data)?;
    config.cluster.check()?;
    config.check_listeners()?;
    Ok(config)
}

/// A file in the making: what is needed to say where something stands.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn place(&self, offset: usize) -> Place {
        let before = self.text.as_bytes().iter().take(offset);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        Place::File(self.path.to_owned(), line)
    }
}

/// What a file of this text sets.
pub(super) fn read_file(config: &mut Config, path: &Path, text: &str) -> Result<(), ConfigError> {
    let source = Source { path, text };
    let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
        place: source.place(error.span().map_or(0, |span| span.start)),
        reason: error.message().replace('\n', ", "),
    })?;
    for (section, value) in table.get_ref() {
        let known = KEYS.iter().any(|key| key.section() == section.get_ref().as_ref());
        let (true, DeValue::Table(keys)) = (known, value.get_ref()) else {
            return Err(unknown(source.place(section.span().start), section.get_ref()));
        };
        read_section(config, &source, section, keys)?;
    }
    Ok(())
}

fn read_section(
    config: &mut Config,
    source: &Source<'_>,
    section: &Spanned<impl AsRef<str>>,
    keys: &DeTable<'_>,
) -> Result<(), ConfigError> {
    for (key, value) in keys {
        let name = format!("{}.{}", section.get_ref().as_ref(), key.get_ref());
        let place = || source.place(key.span().start);
        let found = Key::find(&name).ok_or_else(|| unknown(place(), &name))?;
        put(config, found, &raw(value.get_ref(), &source.text[value.span()]), place)?;
    }
    Ok(())
}

fn raw(value: &DeValue<'_>, written: &str) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Boolean(flag) => Raw::Boolean(*flag),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Raw::Other(written.to_owned()), Raw::Integer),
        DeValue::Array(list) => {
            let texts: Option<Vec<String>> =
                list.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect();
            texts.map_or_else(|| Raw::Other("a list of other things".into()), Raw::List)
        }
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => {
            Raw::Other(written.to_owned())
        }
    }
}

/// `CRABCACHE_SERVER__PORT` is `server.port`. Variables without `__` are not ours: container
/// systems make such ones for every service they know.
fn read_env(
    config: &mut Config,
    env: impl Iterator<Item = (String, String)>,
) -> Result<(), ConfigError> {
    for (variable, value) in env {
        let Some((section, key)) =
            variable.strip_prefix(PREFIX).and_then(|rest| rest.split_once("__"))
        else {
            continue;
        };
        let name = format!("{section}.{key}").to_ascii_lowercase();
        let place = || Place::Environment(variable.clone());
        let found = Key::find(&name).ok_or_else(|| unknown(place(), &name))?;
        put(config, found, &Raw::Text(value), place)?;
    }
    Ok(())
}

fn read_set(config: &mut Config, set: &str) -> Result<(), ConfigError> {
    let Some((name, value)) = set.split_once('=') else {
        let place = Place::Argument(set.to_owned());
        return Err(ConfigError::Syntax { place, reason: "expected section.key=value".into() });
    };
    let name = name.trim();
    let place = || Place::Argument(name.to_owned());
    let found = Key::find(name).ok_or_else(|| unknown(place(), name))?;
    put(config, found, &Raw::Text(value.to_owned()), place)
}

fn put(
    config: &mut Config,
    key: &'static Key,
    raw: &Raw,
    place: impl Fn() -> Place,
) -> Result<(), ConfigError> {
    key.set(config, raw).map_err(|expected| ConfigError::BadValue {
        place: place(),
        key: key.name,
        value: if key.is_secret() { "something else".into() } else { raw.shown() },
        expected,
    })
}

fn unknown(place: Place, name: &str) -> ConfigError {
    ConfigError::UnknownKey { place, name: name.to_owned(), nearest: Key::nearest(name) }
}
