//! From decoded words to what is to be done: parsed, checked, hashed. Executes nothing.

use super::route::Away;
use crate::command::parse::{self, Action, Refusal};
use crate::command::spec::Spec;
use crate::command::{Args, Command, KeyOp, KeysOp, Time};
use crate::config::Validation;
use crate::engine::{Engine, Key};

/// One command, ready to be carried out.
#[derive(Clone, Debug)]
pub(super) enum Plan<'a> {
    /// On one key: the hot path.
    Key { spec: &'static Spec, shard: usize, key: Key<'a>, op: KeyOp<'a> },
    /// On several keys or on all.
    Data { spec: &'static Spec, command: Command<'a> },
    /// For the session.
    Session { spec: &'static Spec, args: Args<'a> },
    /// Not carried out here.
    Away { spec: &'static Spec, args: Args<'a>, away: Box<Away> },
    /// Nothing but an error.
    Refused(Refusal),
}

impl Plan<'_> {
    /// The row of the command, if there is such a command.
    pub(super) fn spec(&self) -> Option<&'static Spec> {
        match self {
            Plan::Key { spec, .. }
            | Plan::Data { spec, .. }
            | Plan::Session { spec, .. }
            | Plan::Away { spec, .. } => Some(spec),
            Plan::Refused(refusal) => refusal.spec,
        }
    }
}

/// Which keys are taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyRule {
    bytes_max: usize,
    validation: Validation,
    any_bytes: bool,
}

impl KeyRule {
    /// As `validation` says.
    pub(super) fn new(validation: Validation) -> KeyRule {
        let any_bytes = validation != Validation::Strict;
        KeyRule { bytes_max: validation.key_bytes_max(), validation, any_bytes }
    }

    #[inline]
    fn takes(&self, key: &[u8]) -> bool {
        key.len() <= self.bytes_max && (self.any_bytes || self.validation.allows_key(key))
    }

    fn takes_all(&self, op: &KeysOp<'_>) -> bool {
        match op {
            KeysOp::MGet(keys)
            | KeysOp::Delete(keys)
            | KeysOp::Exists(keys)
            | KeysOp::Touch(keys) => keys.iter().all(|key| self.takes(key)),
            KeysOp::MSet(pairs) | KeysOp::MSetNx(pairs) => {
                pairs.iter().step_by(2).all(|key| self.takes(key))
            }
            KeysOp::Rename { from, to, .. } | KeysOp::Copy { from, to, .. } => {
                self.takes(from) && self.takes(to)
            }
            KeysOp::Lcs(op) => self.takes(op.a) && self.takes(op.b),
        }
    }

    #[cold]
    fn refuse<'a>(&self, spec: &'static Spec) -> Plan<'a> {
        let bytes_max = self.bytes_max;
        let text = if self.any_bytes {
            format!("ERR key is too long, {bytes_max} bytes are the most")
        } else {
            format!(
                "ERR key is not allowed: server.validation = \"strict\" takes 1 to {bytes_max} \
                 bytes of UTF-8 without control characters"
            )
        };
        Plan::Refused(Refusal { spec: Some(spec), text: text.into() })
    }
}

/// Reads one command and hashes its key.
#[inline]
pub(super) fn plan<'a>(
    engine: &Engine,
    rule: &KeyRule,
    args: Args<'a>,
    now: Time,
    chance: u64,
) -> Plan<'a> {
    let request = match parse::parse(args, now, chance) {
        Ok(request) => request,
        Err(refusal) => return Plan::Refused(refusal),
    };
    let spec = request.spec;
    match request.action {
        Action::Data(Command::Key(name, op)) => {
            if !rule.takes(name) {
                return rule.refuse(spec);
            }
            let key = engine.key(name);
            Plan::Key { spec, shard: engine.shard_of(&key), key, op }
        }
        Action::Data(Command::Keys(op)) if !rule.takes_all(&op) => rule.refuse(spec),
        Action::Data(command) => Plan::Data { spec, command },
        Action::Session(args) => Plan::Session { spec, args },
    }
}

/// Whether a command may take so long that it is timed on its own.
pub(super) fn is_slow(command: &Command<'_>) -> bool {
    use crate::command::SpaceOp;
    match command {
        Command::Key(..) => false,
        Command::Keys(KeysOp::Lcs(_)) => true,
        Command::Keys(
            KeysOp::MGet(keys)
            | KeysOp::MSet(keys)
            | KeysOp::MSetNx(keys)
            | KeysOp::Delete(keys)
            | KeysOp::Exists(keys)
            | KeysOp::Touch(keys),
        ) => keys.len() > 64,
        Command::Keys(KeysOp::Rename { .. } | KeysOp::Copy { .. }) => false,
        Command::Space(SpaceOp::Keys { .. } | SpaceOp::Scan(_) | SpaceOp::Flush) => true,
        Command::Space(SpaceOp::DbSize | SpaceOp::RandomKey { .. }) => false,
    }
}
