//! How values are written: numbers, sizes, times, words, lists; read from TOML or plain text, and
//! shown again. Knows no key; `keys` says which kind each of them is.

use super::{Format, Level, MaxMemory, Secret, Validation};
use crate::engine::Policy;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// A value as it was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Raw {
    /// A TOML string, or what stands behind `=` elsewhere.
    Text(String),
    /// A TOML integer.
    Integer(i64),
    /// A TOML boolean.
    Boolean(bool),
    /// A TOML array of strings.
    List(Vec<String>),
    /// Something that no key takes: a date, a fraction, a table.
    Other(String),
}

impl Raw {
    /// As it was written, for an error.
    pub(super) fn shown(&self) -> String {
        match self {
            Raw::Text(text) => format!("{text:?}"),
            Raw::Integer(number) => number.to_string(),
            Raw::Boolean(flag) => flag.to_string(),
            Raw::List(list) => format!("{list:?}"),
            Raw::Other(text) => text.clone(),
        }
    }

    fn text(&self) -> Option<&str> {
        if let Raw::Text(text) = self { Some(text.trim()) } else { None }
    }

    /// A number, or text that `parse` makes a number of.
    fn number(&self, parse: impl Fn(&str) -> Option<u64>) -> Option<u64> {
        match self {
            Raw::Integer(number) => u64::try_from(*number).ok(),
            Raw::Text(text) => parse(text.trim()),
            Raw::Boolean(_) | Raw::List(_) | Raw::Other(_) => None,
        }
    }
}

/// The value of a key, to be shown.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    /// A count.
    Number(u64),
    /// Bytes.
    Size(u64),
    /// A time.
    Time(Duration),
    /// Yes or no.
    Flag(bool),
    /// A word or an address.
    Text(String),
    /// Words or addresses.
    List(Vec<String>),
    /// Secrets; how many.
    Hidden(usize),
}

impl Setting {
    /// As it may stand in a TOML file.
    pub fn toml(&self) -> String {
        match self {
            Setting::Number(number) => number.to_string(),
            Setting::Flag(flag) => flag.to_string(),
            Setting::List(list) => format!("{list:?}"),
            Setting::Hidden(0) => "[]".into(),
            other => format!("\"{}\"", other.plain()),
        }
    }

    /// As it may stand behind `--set key=`.
    pub fn plain(&self) -> String {
        match self {
            Setting::Number(number) => number.to_string(),
            Setting::Size(bytes) => format_size(*bytes),
            Setting::Time(time) => format_duration(*time),
            Setting::Flag(flag) => flag.to_string(),
            Setting::Text(text) => text.clone(),
            Setting::List(list) => list.join(","),
            Setting::Hidden(0) => String::new(),
            Setting::Hidden(count) => format!("({count} hidden)"),
        }
    }
}

/// What was expected where something else stood.
pub(super) type Expected = String;

/// A way to write a `T`.
pub(super) trait Kind<T> {
    /// What may be said about the values of a key.
    type Bound;
    /// Reads a value.
    fn read(raw: &Raw, bound: Self::Bound) -> Result<T, Expected>;
    /// Shows it.
    fn show(value: &T) -> Setting;
}

/// Plain integers.
pub(super) struct Number;
/// Bytes: `"512MiB"`, `"64kb"`, `1048576`.
pub(super) struct Size;
/// Times: `"250ms"`, `"5s"`, `"2m"`.
pub(super) struct Time;
/// `true` or `false`.
pub(super) struct Flag;
/// One of a few words.
pub(super) struct Word;
/// An IP address.
pub(super) struct Address;
/// A path.
pub(super) struct Folder;
/// Texts that are never shown.
pub(super) struct Secrets;

fn within<T: TryFrom<u64>>(
    number: Option<u64>,
    bound: &RangeInclusive<u64>,
    expected: impl Fn() -> Expected,
) -> Result<T, Expected> {
    number.filter(|n| bound.contains(n)).and_then(|n| T::try_from(n).ok()).ok_or_else(expected)
}

fn widen<T: Copy + TryInto<u64>>(value: T) -> u64 {
    value.try_into().unwrap_or(u64::MAX)
}

impl<T: Copy + TryFrom<u64> + TryInto<u64>> Kind<T> for Number {
    type Bound = RangeInclusive<u64>;

    fn read(raw: &Raw, bound: Self::Bound) -> Result<T, Expected> {
        within(raw.number(|text| text.parse().ok()), &bound, || {
            let (low, high) = (bound.start(), bound.end());
            if *high == u64::MAX {
                format!("a whole number of at least {low}")
            } else {
                format!("a whole number between {low} and {high} inclusive")
            }
        })
    }

    fn show(value: &T) -> Setting {
        Setting::Number(widen(*value))
    }
}

impl<T: Copy + TryFrom<u64> + TryInto<u64>> Kind<T> for Size {
    type Bound = RangeInclusive<u64>;

    fn read(raw: &Raw, bound: Self::Bound) -> Result<T, Expected> {
        within(raw.number(parse_size), &bound, || {
            let (low, high) = (format_size(*bound.start()), format_size(*bound.end()));
            format!("a size from {low} to {high}, such as \"512MiB\", \"64kb\" or 1048576")
        })
    }

    fn show(value: &T) -> Setting {
        Setting::Size(widen(*value))
    }
}

const TIME: &str = "a time such as \"250ms\", \"5s\" or \"2m\"";

impl Kind<Duration> for Time {
    type Bound = ();

    fn read(raw: &Raw, (): ()) -> Result<Duration, Expected> {
        raw.text().and_then(parse_duration).ok_or_else(|| format!("{TIME} (\"0s\": off)"))
    }

    fn show(value: &Duration) -> Setting {
        Setting::Time(*value)
    }
}

impl Kind<Option<Duration>> for Time {
    type Bound = ();

    fn read(raw: &Raw, (): ()) -> Result<Option<Duration>, Expected> {
        match raw.text() {
            Some("off") => Ok(None),
            text => {
                text.and_then(parse_duration).map(Some).ok_or_else(|| format!("{TIME}, or \"off\""))
            }
        }
    }

    fn show(value: &Option<Duration>) -> Setting {
        value.map_or_else(|| Setting::Text("off".into()), Setting::Time)
    }
}

impl Kind<bool> for Flag {
    type Bound = ();

    fn read(raw: &Raw, (): ()) -> Result<bool, Expected> {
        match raw {
            Raw::Boolean(flag) => Ok(*flag),
            Raw::Text(text) if matches!(text.trim(), "true" | "yes") => Ok(true),
            Raw::Text(text) if matches!(text.trim(), "false" | "no") => Ok(false),
            _ => Err("true or false".into()),
        }
    }

    fn show(value: &bool) -> Setting {
        Setting::Flag(*value)
    }
}

/// A closed set of values with a name each.
pub(super) trait Words: Copy + PartialEq + 'static {
    /// All of them.
    const WORDS: &'static [(&'static str, Self)];
}

impl Words for Validation {
    const WORDS: &'static [(&'static str, Validation)] = &[
        ("strict", Validation::Strict),
        ("normal", Validation::Normal),
        ("relaxed", Validation::Relaxed),
    ];
}

impl Words for Level {
    const WORDS: &'static [(&'static str, Level)] = &[
        ("error", Level::Error),
        ("warn", Level::Warn),
        ("info", Level::Info),
        ("debug", Level::Debug),
        ("trace", Level::Trace),
    ];
}

impl Words for Format {
    const WORDS: &'static [(&'static str, Format)] =
        &[("text", Format::Text), ("json", Format::Json)];
}

impl<T: Words> Kind<T> for Word {
    type Bound = ();

    fn read(raw: &Raw, (): ()) -> Result<T, Expected> {
        let named = |text: &str| T::WORDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        raw.text()
            .and_then(named)
            .map(|(_, value)| *value)
            .ok_or_else(|| one_of(T::WORDS.iter().map(|(name, _)| *name)))
    }

    fn show(value: &T) -> Setting {
        let name = T::WORDS.iter().find(|(_, v)| v == value).map_or("", |(name, _)| name);
        Setting::Text(name.into())
    }
}

impl Kind<Option<Policy>> for Word {
    type Bound = ();

    fn read(raw: &Raw, (): ()) -> Result<Option<Policy>, Expected> {
        match raw.text() {
            Some(text) if text.eq_ignore_ascii_case("auto") => Ok(None),
            text => text.and_then(|text| text.parse().ok()).map(Some).ok_or_else(|| {
                one_of(std::iter::once("auto").chain(Policy::NAMES.iter().map(|(name, _)| *name)))
            }),
        }
    }

    fn show(value: &Option<Policy>) -> Setting {
        Setting::Text(value.map_or("auto", Policy::name).into())
    }
}

fn one_of<'a>(names: impl Iterator<Item = &'a str>) -> Expected {
    format!("one of {}", names.map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", "))
}

impl Kind<MaxMemory> for Size {
    type Bound = RangeInclusive<u64>;

    fn read(raw: &Raw, bound: Self::Bound) -> Result<MaxMemory, Expected> {
        let word = raw.text().map(str::to_ascii_lowercase);
        match word.as_deref() {
            Some("auto") => Ok(MaxMemory::Auto),
            Some("none") => Ok(MaxMemory::Unbounded),
            _ => within(raw.number(parse_size), &bound, || {
                let least = format_size(*bound.start());
                format!("\"auto\", \"none\", or a size of at least {least} such as \"512MiB\"")
            })
            .map(MaxMemory::Bytes),
        }
    }

    fn show(value: &MaxMemory) -> Setting {
        match value {
            MaxMemory::Auto => Setting::Text("auto".into()),
            MaxMemory::Unbounded => Setting::Text("none".into()),
            MaxMemory::Bytes(bytes) => Setting::Size(*bytes),
        }
    }
}

impl Kind<IpAddr> for Address {
    type Bound = ();

    fn read(raw: &Raw, (): ()) -> Result<IpAddr, Expected> {
        raw.text()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| "an IP address such as \"127.0.0.1\", \"0.0.0.0\" or \"::1\"".into())
    }

    fn show(value: &IpAddr) -> Setting {
        Setting::Text(value.to_string())
    }
}

impl Kind<PathBuf> for Folder {
    type Bound = ();

    /// What would not stand between quotes as it is, is refused: nobody names folders so.
    fn read(raw: &Raw, (): ()) -> Result<PathBuf, Expected> {
        raw.text()
            .filter(|text| !text.chars().any(|c| c.is_control() || matches!(c, '"' | '\\')))
            .map(PathBuf::from)
            .ok_or_else(|| "a path such as \"/var/lib/crabcache\"".into())
    }

    fn show(value: &PathBuf) -> Setting {
        Setting::Text(value.display().to_string())
    }
}

impl Kind<Vec<Secret>> for Secrets {
    type Bound = ();

    fn read(raw: &Raw, (): ()) -> Result<Vec<Secret>, Expected> {
        let list: Vec<&str> = match raw {
            Raw::List(list) => list.iter().map(String::as_str).collect(),
            Raw::Text(text) if text.is_empty() => Vec::new(),
            Raw::Text(text) => text.split(',').map(str::trim).collect(),
            Raw::Integer(_) | Raw::Boolean(_) | Raw::Other(_) => vec![""],
        };
        let quoted = |token: &&str| token.starts_with(['[', '"', '\'']);
        if matches!(raw, Raw::Text(_)) && list.iter().any(quoted) {
            return Err("tokens separated by commas, without brackets and quotes".into());
        }
        if list.iter().any(|token| token.is_empty()) {
            return Err(
                "a list of texts that are not empty, such as [\"a long random text\"]".into()
            );
        }
        Ok(list.into_iter().map(Secret::new).collect())
    }

    fn show(value: &Vec<Secret>) -> Setting {
        Setting::Hidden(value.len())
    }
}

/// Units of sizes. As in Redis, `k` is a thousand and `kb` 1024; `KiB` says what it means.
const SIZES: [(&str, u64); 14] = [
    ("", 1),
    ("b", 1),
    ("k", 1000),
    ("kb", 1 << 10),
    ("kib", 1 << 10),
    ("m", 1_000_000),
    ("mb", 1 << 20),
    ("mib", 1 << 20),
    ("g", 1_000_000_000),
    ("gb", 1 << 30),
    ("gib", 1 << 30),
    ("t", 1_000_000_000_000),
    ("tb", 1 << 40),
    ("tib", 1 << 40),
];

/// Units of times, in microseconds.
const TIMES: [(&str, u64); 6] = [
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

/// Reads a size such as `512MiB`, `64kb` or `1048576`; `None` when it is none.
pub fn parse_size(text: &str) -> Option<u64> {
    parse_with(text, &SIZES)
}

/// Reads a time such as `250ms`, `5s` or `2m`; `None` when it is none.
pub fn parse_duration(text: &str) -> Option<Duration> {
    parse_with(text, &TIMES).map(Duration::from_micros)
}

fn parse_with(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let unit = text[digits..].trim_start();
    let (_, factor) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.checked_mul(*factor)
}

/// Writes a size with the largest unit that leaves a whole number: `64MiB`.
pub fn format_size(bytes: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let fitting = units.iter().find(|(_, bits)| bytes > 0 && bytes.trailing_zeros() >= *bits);
    fitting.map_or_else(|| bytes.to_string(), |(name, bits)| format!("{}{name}", bytes >> bits))
}

/// Writes a time with the largest unit that leaves a whole number: `5m`, `250ms`, `0s`.
pub fn format_duration(time: Duration) -> String {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    if micros == 0 {
        return "0s".into();
    }
    let fitting = TIMES.iter().rev().find(|(_, unit)| micros.is_multiple_of(*unit));
    fitting.map_or_else(|| format!("{micros}us"), |(name, unit)| format!("{}{name}", micros / unit))
}

#[cfg(test)]
mod tests {
    use super::{format_duration, format_size, parse_duration, parse_size};
    use std::time::Duration;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("512MiB", 512 << 20),
            ("64kb", 65536),
            ("64k", 64000),
            ("1 GiB", 1 << 30),
            ("2tb", 2 << 40),
            ("7B", 7),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
            assert_eq!(parse_size(&format_size(bytes)), Some(bytes), "{text}");
        }
        for wrong in ["", "MiB", "-1", "1.5MiB", "10 apples", "99999999999TiB", "1k1"] {
            assert_eq!(parse_size(wrong), None, "{wrong}");
        }
        assert_eq!(format_size(1536), "1536");
        assert_eq!(format_size(3 << 19), "1536KiB");
    }

    #[test]
    fn times() {
        for (text, micros) in [
            ("250ms", 250_000),
            ("5s", 5_000_000),
            ("2m", 120_000_000),
            ("1h", 3_600_000_000),
            ("1d", 86_400_000_000),
            ("10us", 10),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_micros(micros)), "{text}");
            assert_eq!(format_duration(Duration::from_micros(micros)), text);
        }
        for wrong in ["", "5", "s", "5 apples", "-5s", "1.5s"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }
}
