//! CRABCACHE SETTINGS: what holds for the whole cluster, by name, in units for people. Pure.

use crate::config::{format_duration, format_size, parse_duration, parse_size};
use cluster::control::{ControlState, Join, Replication, Settings, SettingsError};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// A setting: its name, what it says now, and whether that stays for ever.
type Row = (&'static str, fn(&Settings) -> String, Write);

/// How a setting is changed.
enum Write {
    /// Not any more, once the cluster is formed.
    Fixed,
    /// By this; `None`: the text makes no sense.
    By(fn(&mut Settings, &str) -> Option<()>, &'static str),
}

const ROWS: &[Row] = &[
    (
        "replication",
        |settings| match settings.replication {
            Replication::Async => "async".into(),
            Replication::Sync => "sync".into(),
        },
        Write::Fixed,
    ),
    (
        "replication_factor",
        |settings| settings.factor.to_string(),
        Write::By(|settings, text| set(&mut settings.factor, text.parse().ok()), NUMBER),
    ),
    (
        "min_isr",
        |settings| settings.min_isr.to_string(),
        Write::By(|settings, text| set(&mut settings.min_isr, text.parse().ok()), NUMBER),
    ),
    (
        "lease",
        |settings| time(settings.lease_ms.into()),
        Write::By(|settings, text| set(&mut settings.lease_ms, short(text)), TIME),
    ),
    (
        "heartbeat",
        |settings| time(settings.heartbeat_ms.into()),
        Write::By(|settings, text| set(&mut settings.heartbeat_ms, short(text)), TIME),
    ),
    (
        "in_sync_timeout",
        |settings| time(settings.in_sync_timeout_ms.into()),
        Write::By(|settings, text| set(&mut settings.in_sync_timeout_ms, short(text)), TIME),
    ),
    (
        "down_to_lost",
        |settings| time(settings.down_to_lost_ms),
        Write::By(|settings, text| set(&mut settings.down_to_lost_ms, ms(text)), TIME),
    ),
    (
        "lost_group_after",
        |settings| time(settings.lost_group_after_ms),
        Write::By(|settings, text| set(&mut settings.lost_group_after_ms, ms(text)), TIME),
    ),
    (
        "linger",
        |settings| time(settings.linger_ms),
        Write::By(|settings, text| set(&mut settings.linger_ms, ms(text)), TIME),
    ),
    (
        "moves_max",
        |settings| settings.moves_max.to_string(),
        Write::By(|settings, text| set(&mut settings.moves_max, text.parse().ok()), NUMBER),
    ),
    (
        "resync_rate",
        |settings| format_size(settings.resync_bytes_per_second),
        Write::By(
            |settings, text| set(&mut settings.resync_bytes_per_second, parse_size(text)),
            "bytes a second, such as 64MiB; 0: no bound",
        ),
    ),
    (
        "join",
        |settings| match settings.join {
            Join::Token => "token".into(),
            Join::Certificate => "certificate".into(),
        },
        Write::By(|settings, text| set(&mut settings.join, join(text)), JOIN),
    ),
    ("virtual_nodes", |settings| settings.virtual_nodes.to_string(), Write::Fixed),
    (HIDDEN, |settings| format!("{:016x}", settings.hash_seed), Write::Fixed),
];

/// Nobody is told.
const HIDDEN: &str = "hash_seed";
const NUMBER: &str = "a whole number";
const JOIN: &str = "token or certificate";
const TIME: &str = "a time such as 500ms, 30s or 5m";

/// All of them, as texts, and which revision that is.
pub(super) fn json(state: &ControlState) -> String {
    let row = |(name, get, _): &Row| ((*name).to_owned(), Value::from(get(&state.settings)));
    // Who knows how keys are hashed can make them collide.
    let shown = ROWS.iter().filter(|row| row.0 != HIDDEN);
    let all: Map<String, Value> = shown.clone().map(row).collect();
    let fixed = shown.filter(|row| matches!(row.2, Write::Fixed));
    let fixed: Vec<&str> = fixed.map(|row| row.0).collect();
    json!({ "revision": state.revision, "settings": all, "fixed": fixed }).to_string()
}

/// The settings, with the pairs of name and value in them. `revision` is none of them: it says
/// which revision they are meant to change.
pub(super) fn changed(
    state: &ControlState,
    pairs: &[(String, String)],
) -> Result<Settings, String> {
    let before = &state.settings;
    let mut settings = before.clone();
    for (name, value) in pairs {
        let name = name.strip_prefix("cluster.").unwrap_or(name);
        if name == "revision" {
            if value.parse() == Ok(state.revision) {
                continue;
            }
            let now = state.revision;
            return Err(format!("ERR the cluster is at revision {now} by now, not {value}"));
        }
        let Some((_, _, write)) = ROWS.iter().find(|row| row.0 == name) else {
            let names: Vec<&str> = ROWS.iter().map(|row| row.0).collect();
            return Err(format!("ERR there is no setting {name}; there are {}", names.join(", ")));
        };
        match write {
            Write::Fixed => {
                return Err(format!("ERR {name} was fixed when the cluster was formed"));
            }
            Write::By(by, expected) => {
                let wrong = || format!("ERR {name} is {value:?}, expected {expected}");
                by(&mut settings, value).ok_or_else(wrong)?;
            }
        }
    }
    settings.check_change(before).map_err(|error| format!("ERR {}", explain(error)))?;
    Ok(settings)
}

/// Why settings are refused, for people.
pub(super) fn explain(error: SettingsError) -> &'static str {
    match error {
        SettingsError::Reserved => "synchronous replication is not there yet",
        SettingsError::Bounds => {
            "these settings do not go together or are out of bounds: replication_factor 1 to 8, \
             min_isr 1 to replication_factor, moves_max 1 to 1024, heartbeat 10ms to 1m, lease at \
             least 4 heartbeats, in_sync_timeout at least a heartbeat, down_to_lost at least a \
             lease"
        }
        SettingsError::Fixed => "that was fixed when the cluster was formed",
    }
}

fn set<T>(place: &mut T, value: Option<T>) -> Option<()> {
    *place = value?;
    Some(())
}

fn join(text: &str) -> Option<Join> {
    match text {
        "token" => Some(Join::Token),
        "certificate" => Some(Join::Certificate),
        _ => None,
    }
}

fn time(ms: u64) -> String {
    format_duration(Duration::from_millis(ms))
}

fn ms(text: &str) -> Option<u64> {
    u64::try_from(parse_duration(text)?.as_millis()).ok()
}

fn short(text: &str) -> Option<u32> {
    ms(text)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::{ROWS, changed, json};
    use cluster::control::ControlState;

    #[test]
    fn what_is_told_is_taken_again() {
        let state = ControlState::blank();
        let settings = &state.settings;
        let told: serde_json::Value = serde_json::from_str(&json(&state)).unwrap();
        let fixed: Vec<&str> =
            told["fixed"].as_array().unwrap().iter().filter_map(|name| name.as_str()).collect();
        let is_told = |name| told["settings"].get(name).is_some();
        for (name, get, _) in ROWS.iter().filter(|row| is_told(row.0) && !fixed.contains(&row.0)) {
            let pair = ((*name).to_owned(), get(settings));
            assert_eq!(changed(&state, &[pair]), Ok(settings.clone()), "{name}");
        }
        for name in fixed {
            assert!(changed(&state, &[(name.into(), "1".into())]).is_err(), "{name}");
        }
        let at = |revision: &str| changed(&state, &[("revision".into(), revision.into())]);
        assert_eq!(at("0"), Ok(settings.clone()));
        assert_eq!(at("7"), Err("ERR the cluster is at revision 0 by now, not 7".into()));
    }

    #[test]
    fn refusals_say_what_was_expected() {
        let refused = |name: &str, value: &str| {
            changed(&ControlState::blank(), &[(name.into(), value.into())]).unwrap_err()
        };
        assert!(refused("lease", "soon").ends_with("expected a time such as 500ms, 30s or 5m"));
        assert!(refused("join", "all").ends_with("expected token or certificate"));
        assert!(refused("leese", "1s").contains("there is no setting leese; there are"));
        assert!(refused("replication_factor", "9").contains("1 to 8"));
    }
}
