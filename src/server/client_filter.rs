//! Which clients CLIENT LIST shows and CLIENT KILL ends. Pure.

use crate::command::Args;
use crate::command::parse::number;
use crate::command::reply::errors;
use crate::worker::Client;

/// Picks clients.
#[derive(Debug)]
pub(super) enum Filter {
    /// The old form of CLIENT KILL: the one with this address.
    Address(Vec<u8>),
    /// All that have every property asked for.
    Properties(Properties),
}

/// What a client has to have. Everybody has what is not asked for.
#[derive(Debug, Default)]
pub(super) struct Properties {
    ids: Option<Vec<u64>>,
    not_id: Option<u64>,
    address: Option<Vec<u8>>,
    local: Option<Vec<u8>>,
    age_seconds_min: Option<u64>,
    /// Asked for what no client here is: a replica, a subscriber.
    nobody: bool,
}

impl Filter {
    /// Whether a client is picked.
    pub(super) fn takes(&self, client: &Client, now_nanos: u64) -> bool {
        let is = |wanted: &[u8], is: String| wanted == is.as_bytes();
        match self {
            Filter::Address(wanted) => is(wanted, client.peer.to_string()),
            Filter::Properties(p) => {
                let age = now_nanos.saturating_sub(client.opened_nanos) / 1_000_000_000;
                !p.nobody
                    && p.ids.as_ref().is_none_or(|ids| ids.contains(&client.id))
                    && p.not_id != Some(client.id)
                    && p.address.as_ref().is_none_or(|a| is(a, client.peer.to_string()))
                    && p.local.as_ref().is_none_or(|a| is(a, client.local.to_string()))
                    && p.age_seconds_min.is_none_or(|min| age >= min)
            }
        }
    }
}

/// The arguments of CLIENT LIST.
pub(super) fn list(args: Args<'_>) -> Result<Filter, String> {
    let mut properties = Properties::default();
    if args.is_empty() {
        return Ok(Filter::Properties(properties));
    }
    if args.get(0).eq_ignore_ascii_case(b"type") && args.len() == 2 {
        properties.nobody = !is_normal(args.get(1))?;
    } else if args.get(0).eq_ignore_ascii_case(b"id") && args.len() > 1 {
        // Nobody has 0 or less; Redis takes it.
        let id = |word: &[u8]| number::integer(word).map(|id| u64::try_from(id).unwrap_or(0));
        let ids: Option<Vec<u64>> = args.from(1).iter().map(id).collect();
        properties.ids = Some(ids.ok_or("ERR Invalid client ID")?);
    } else {
        return Err(errors::SYNTAX.into());
    }
    Ok(Filter::Properties(properties))
}

/// The arguments of CLIENT KILL, asked by client `own`.
pub(super) fn kill(args: Args<'_>, own: u64) -> Result<Filter, String> {
    if args.len() == 1 {
        return Ok(Filter::Address(args.get(0).to_vec()));
    }
    if !args.len().is_multiple_of(2) {
        return Err(errors::SYNTAX.into());
    }
    let mut properties = Properties { not_id: Some(own), ..Properties::default() };
    for i in (0..args.len()).step_by(2) {
        kill_option(args.get(i), args.get(i + 1), own, &mut properties)?;
    }
    Ok(Filter::Properties(properties))
}

fn kill_option(
    option: &[u8],
    value: &[u8],
    own: u64,
    properties: &mut Properties,
) -> Result<(), String> {
    match option.to_ascii_lowercase().as_slice() {
        b"id" => {
            let id = number::unsigned(value).filter(|id| *id > 0);
            properties.ids = Some(vec![id.ok_or("ERR client-id should be greater than 0")?]);
        }
        b"type" => properties.nobody |= !is_normal(value)?,
        b"addr" => properties.address = Some(value.to_vec()),
        b"laddr" => properties.local = Some(value.to_vec()),
        b"maxage" => {
            let age = number::unsigned(value).filter(|age| *age > 0);
            properties.age_seconds_min = Some(age.ok_or("ERR maxage should be greater than 0")?);
        }
        b"user" if value == b"default" => {}
        b"user" => {
            return Err(format!("ERR No such user '{}'", String::from_utf8_lossy(value)));
        }
        b"skipme" if value.eq_ignore_ascii_case(b"yes") => properties.not_id = Some(own),
        b"skipme" if value.eq_ignore_ascii_case(b"no") => properties.not_id = None,
        _ => return Err(errors::SYNTAX.into()),
    }
    Ok(())
}

/// Whether a type is the one that all clients here have.
fn is_normal(kind: &[u8]) -> Result<bool, String> {
    match kind.to_ascii_lowercase().as_slice() {
        b"normal" => Ok(true),
        b"master" | b"replica" | b"slave" | b"pubsub" => Ok(false),
        _ => Err(format!("ERR Unknown client type '{}'", String::from_utf8_lossy(kind))),
    }
}
