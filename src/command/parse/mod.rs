//! Arguments to typed commands, with Redis's errors. Knows how to read a request, not how to carry
//! it out; the command table says which function below reads which command.

pub mod number;

pub(super) mod keys;
pub(super) mod space;
pub(super) mod strings;
pub(super) mod ttl;

#[cfg(test)]
mod tests;

use super::spec::{self, Spec};
use super::{Args, Command, KeyOp, SetCondition, SetExpiry, SetOp, Time};
use std::borrow::Cow;

/// What a client asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The row of the command; of its subcommand where there is one.
    pub spec: &'static Spec,
    /// Who does it, and what.
    pub action: Action<'a>,
}

/// Who carries a request out.
#[derive(Clone, Copy, Debug)]
pub enum Action<'a> {
    /// The engine.
    Data(Command<'a>),
    /// The session: these arguments, names included; their number fits the row's arity.
    Session(Args<'a>),
}

/// Why a request cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The row of the command, if there is such a command.
    pub spec: Option<&'static Spec>,
    /// What to answer: an error, its code first. May hold any characters, line breaks included.
    pub text: Cow<'static, str>,
}

/// Reads one request. `now` turns relative deadlines into absolute ones, `chance` is what commands
/// that pick at random pick by.
///
/// # Errors
/// When there is no such command or its arguments are not what it takes; the text is Redis's.
#[inline]
pub fn parse<'a>(args: Args<'a>, now: Time, chance: u64) -> Result<Request<'a>, Refusal> {
    if let (&[a, b, c], 2 | 3) = (args.get(0), args.len()) {
        match ([a | 0x20, b | 0x20, c | 0x20], args.len()) {
            ([b'g', b'e', b't'], 2) => return Ok(get(args)),
            ([b's', b'e', b't'], 3) => return Ok(set(args)),
            _ => {}
        }
    }
    parse_any(args, now, chance)
}

#[inline]
fn get(args: Args<'_>) -> Request<'_> {
    const GET: spec::CommandId = spec::id_of("get");
    let action = Action::Data(Command::Key(args.get(1), KeyOp::Get));
    Request { spec: spec::by_id(GET), action }
}

#[inline]
fn set(args: Args<'_>) -> Request<'_> {
    const SET: spec::CommandId = spec::id_of("set");
    let op = SetOp {
        value: args.value(2),
        condition: SetCondition::Always,
        get: false,
        expiry: SetExpiry::Clear,
    };
    Request {
        spec: spec::by_id(SET),
        action: Action::Data(Command::Key(args.get(1), KeyOp::Set(op))),
    }
}

fn parse_any<'a>(args: Args<'a>, now: Time, chance: u64) -> Result<Request<'a>, Refusal> {
    let spec = find(args)?;
    let refuse = |text| Refusal { spec: Some(spec), text };
    let call = Call { spec, args, now, chance };
    if !spec.takes(args.len()) {
        return Err(refuse(call.wrong_number()));
    }
    match (spec.parser)(call) {
        Ok(action) => Ok(Request { spec, action }),
        Err(text) => Err(refuse(text)),
    }
}

fn find(args: Args<'_>) -> Result<&'static Spec, Refusal> {
    let Some(command) = spec::lookup(args.get(0)) else {
        return Err(Refusal { spec: None, text: unknown_command(args).into() });
    };
    if command.subcommands().is_empty() || args.len() < 2 {
        return Ok(command);
    }
    spec::subcommand(command, args.get(1)).ok_or_else(|| Refusal {
        spec: None,
        text: unknown_subcommand(command, args.get(1)).into(),
    })
}

/// The words of a request and what is needed to make sense of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub(super) spec: &'static Spec,
    pub(super) args: Args<'a>,
    pub(super) now: Time,
    pub(super) chance: u64,
}

/// What a parser finds: an action, or the error to answer.
pub(super) type Parsed<'a> = Result<Action<'a>, Cow<'static, str>>;

/// Reads the arguments of a command, whose number fits its arity.
pub(super) type Parser = for<'a> fn(Call<'a>) -> Parsed<'a>;

/// For commands that the session carries out, down to reading their arguments.
pub(super) fn session(call: Call<'_>) -> Parsed<'_> {
    Ok(Action::Session(call.args))
}

impl<'a> Call<'a> {
    /// On its first argument as the key.
    fn on_key(self, op: KeyOp<'a>) -> Parsed<'a> {
        Ok(Action::Data(Command::Key(self.args.get(1), op)))
    }

    /// Argument `i` as an integer.
    fn integer(self, i: usize) -> Result<i64, Cow<'static, str>> {
        number::integer(self.args.get(i)).ok_or(super::reply::errors::NOT_AN_INTEGER.into())
    }

    /// The number of arguments is one that the command does not take.
    fn wrong_number(self) -> Cow<'static, str> {
        wrong_number(self.spec).into()
    }

    /// A deadline that is none: not positive, or beyond the 64-bit range.
    fn invalid_expire(self) -> Cow<'static, str> {
        format!("ERR invalid expire time in '{}' command", self.spec.name).into()
    }
}

/// The error for a number of arguments that a command does not take, also for the session's use.
pub fn wrong_number(spec: &Spec) -> String {
    format!("ERR wrong number of arguments for '{}' command", spec.name)
}

/// The error for a subcommand that does not take these arguments, or is not there, where the
/// session looks at both itself: of the whole command, names included.
pub fn wrong_subcommand(args: Args<'_>) -> String {
    let command = preview(args.get(0), PREVIEW_BYTES_MAX).to_ascii_uppercase();
    let name = preview(args.get(1), PREVIEW_BYTES_MAX);
    format!("ERR unknown subcommand or wrong number of arguments for '{name}'. Try {command} HELP.")
}

/// Most bytes of a name or of all arguments that an error repeats.
const PREVIEW_BYTES_MAX: usize = 128;

fn unknown_command(args: Args<'_>) -> String {
    let name = preview(args.get(0), PREVIEW_BYTES_MAX);
    let mut text = format!("ERR unknown command '{name}', with args beginning with: ");
    let mut shown = 0;
    for arg in args.from(1).iter() {
        if shown >= PREVIEW_BYTES_MAX {
            break;
        }
        let arg = c_string(arg);
        let arg = &arg[..arg.len().min(PREVIEW_BYTES_MAX - shown)];
        shown += arg.len() + "'' ".len();
        text.push('\'');
        text.push_str(&String::from_utf8_lossy(arg));
        text.push_str("' ");
    }
    text
}

/// The error for a subcommand that is not there.
fn unknown_subcommand(command: &Spec, name: &[u8]) -> String {
    let name = preview(name, PREVIEW_BYTES_MAX);
    format!("ERR unknown subcommand '{name}'. Try {} HELP.", command.name.to_ascii_uppercase())
}

fn preview(bytes: &[u8], bytes_max: usize) -> Cow<'_, str> {
    let bytes = c_string(bytes);
    String::from_utf8_lossy(&bytes[..bytes.len().min(bytes_max)])
}

/// The bytes before the first zero: what Redis prints of a string.
fn c_string(bytes: &[u8]) -> &[u8] {
    bytes.split(|&b| b == 0).next().unwrap_or_default()
}
