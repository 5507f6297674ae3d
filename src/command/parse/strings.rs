//! Commands on strings.

use super::{Action, Call, Parsed};
use crate::command::parse::number;
use crate::command::reply::errors;
use crate::command::{
    Args, Command, ExpiryChange, KeyOp, KeysOp, LcsOp, LongDouble, SetCondition, SetExpiry, SetOp,
    Time, Value,
};
use std::borrow::Cow;

pub(in crate::command) fn get(call: Call<'_>) -> Parsed<'_> {
    call.on_key(KeyOp::Get)
}

pub(in crate::command) fn getdel(call: Call<'_>) -> Parsed<'_> {
    call.on_key(KeyOp::GetDel)
}

pub(in crate::command) fn getset(call: Call<'_>) -> Parsed<'_> {
    call.on_key(KeyOp::GetSet(call.args.value(2)))
}

pub(in crate::command) fn setnx(call: Call<'_>) -> Parsed<'_> {
    call.on_key(KeyOp::SetNx(call.args.value(2)))
}

pub(in crate::command) fn append(call: Call<'_>) -> Parsed<'_> {
    call.on_key(KeyOp::Append(call.args.value(2)))
}

pub(in crate::command) fn strlen(call: Call<'_>) -> Parsed<'_> {
    call.on_key(KeyOp::StrLen)
}

pub(in crate::command) fn getrange(call: Call<'_>) -> Parsed<'_> {
    call.on_key(KeyOp::GetRange { start: call.integer(2)?, end: call.integer(3)? })
}

pub(in crate::command) fn setrange(call: Call<'_>) -> Parsed<'_> {
    let offset = u64::try_from(call.integer(2)?).map_err(|_| errors::OFFSET)?;
    call.on_key(KeyOp::SetRange { offset, value: call.args.get(3) })
}

pub(in crate::command) fn incr(call: Call<'_>) -> Parsed<'_> {
    call.on_key(KeyOp::IncrBy(1))
}

pub(in crate::command) fn decr(call: Call<'_>) -> Parsed<'_> {
    call.on_key(KeyOp::IncrBy(-1))
}

pub(in crate::command) fn incrby(call: Call<'_>) -> Parsed<'_> {
    call.on_key(KeyOp::IncrBy(call.integer(2)?))
}

pub(in crate::command) fn decrby(call: Call<'_>) -> Parsed<'_> {
    let by = call.integer(2)?.checked_neg().ok_or("ERR decrement would overflow")?;
    call.on_key(KeyOp::IncrBy(by))
}

pub(in crate::command) fn incrbyfloat(call: Call<'_>) -> Parsed<'_> {
    let by = LongDouble::parse(call.args.get(2)).ok_or(errors::NOT_A_FLOAT)?;
    call.on_key(KeyOp::IncrByFloat(by))
}

pub(in crate::command) fn mget(call: Call<'_>) -> Parsed<'_> {
    Ok(Action::Data(Command::Keys(KeysOp::MGet(call.args.from(1)))))
}

pub(in crate::command) fn mset(call: Call<'_>) -> Parsed<'_> {
    Ok(Action::Data(Command::Keys(KeysOp::MSet(pairs(call)?))))
}

pub(in crate::command) fn msetnx(call: Call<'_>) -> Parsed<'_> {
    Ok(Action::Data(Command::Keys(KeysOp::MSetNx(pairs(call)?))))
}

fn pairs(call: Call<'_>) -> Result<Args<'_>, Cow<'static, str>> {
    let list = call.args.from(1);
    if list.len().is_multiple_of(2) { Ok(list) } else { Err(call.wrong_number()) }
}

pub(in crate::command) fn set(call: Call<'_>) -> Parsed<'_> {
    let mut options = Options::default();
    let mut i = 3;
    while i < call.args.len() {
        i = options.read_set(call.args, i)?;
    }
    let expiry = match options.expiry {
        None if options.keep => SetExpiry::Keep,
        None => SetExpiry::Clear,
        Some(expiry) => SetExpiry::At(expiry.deadline(call)?),
    };
    let (condition, get) = (options.condition, options.get);
    call.on_key(KeyOp::Set(SetOp { value: call.args.value(2), condition, get, expiry }))
}

pub(in crate::command) fn getex(call: Call<'_>) -> Parsed<'_> {
    let mut options = Options::default();
    let mut i = 2;
    while i < call.args.len() {
        i = options.read_getex(call.args, i)?;
    }
    call.on_key(KeyOp::GetEx(match options.expiry {
        None if options.persist => ExpiryChange::Clear,
        None => ExpiryChange::Keep,
        Some(expiry) => expiry.moment(call.now).map_or_else(
            |wrong| match wrong {
                WrongExpiry::NotAnInteger => ExpiryChange::Refused(errors::NOT_AN_INTEGER),
                WrongExpiry::OutOfRange => {
                    ExpiryChange::Refused("ERR invalid expire time in 'getex' command")
                }
            },
            ExpiryChange::At,
        ),
    }))
}

pub(in crate::command) fn setex(call: Call<'_>) -> Parsed<'_> {
    let expiry = Expiry { unit: Unit::Ex, text: call.args.get(2) };
    call.on_key(plain_set(call.args.value(3), SetExpiry::At(expiry.deadline(call)?)))
}

pub(in crate::command) fn psetex(call: Call<'_>) -> Parsed<'_> {
    let expiry = Expiry { unit: Unit::Px, text: call.args.get(2) };
    call.on_key(plain_set(call.args.value(3), SetExpiry::At(expiry.deadline(call)?)))
}

pub(in crate::command) fn put(call: Call<'_>) -> Parsed<'_> {
    let expiry = match call.args.len() {
        3 => SetExpiry::Clear,
        4 => {
            let expiry = Expiry { unit: Unit::Ex, text: call.args.get(3) };
            SetExpiry::At(expiry.deadline(call)?)
        }
        _ => return Err(call.wrong_number()),
    };
    call.on_key(plain_set(call.args.value(2), expiry))
}

fn plain_set<'a>(value: Value<'a>, expiry: SetExpiry) -> KeyOp<'a> {
    KeyOp::Set(SetOp { value, condition: SetCondition::Always, get: false, expiry })
}

/// The options of SET and GETEX.
struct Options<'a> {
    condition: SetCondition,
    get: bool,
    keep: bool,
    persist: bool,
    expiry: Option<Expiry<'a>>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options {
            condition: SetCondition::Always,
            get: false,
            keep: false,
            persist: false,
            expiry: None,
        }
    }
}

impl<'a> Options<'a> {
    /// Reads the option at `i` of a SET; returns where the next one stands.
    fn read_set(&mut self, args: Args<'a>, i: usize) -> Result<usize, &'static str> {
        let word = args.get(i);
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        if is("nx") && self.condition != SetCondition::IfPresent {
            self.condition = SetCondition::IfAbsent;
        } else if is("xx") && self.condition != SetCondition::IfAbsent {
            self.condition = SetCondition::IfPresent;
        } else if is("get") {
            self.get = true;
        } else if is("keepttl") && self.expiry.is_none() {
            self.keep = true;
        } else {
            return self.read_expiry(args, i);
        }
        Ok(i + 1)
    }

    /// Reads the option at `i` of a GETEX; returns where the next one stands.
    fn read_getex(&mut self, args: Args<'a>, i: usize) -> Result<usize, &'static str> {
        if args.get(i).eq_ignore_ascii_case(b"persist") && self.expiry.is_none() {
            self.persist = true;
            return Ok(i + 1);
        }
        self.read_expiry(args, i)
    }

    /// EX and its kin may be repeated with the same word, as in Redis; the last one counts.
    fn read_expiry(&mut self, args: Args<'a>, i: usize) -> Result<usize, &'static str> {
        let unit = Unit::named(args.get(i)).ok_or(errors::SYNTAX)?;
        let other = self.expiry.as_ref().is_some_and(|e| e.unit != unit);
        if self.keep || self.persist || other || i + 1 >= args.len() {
            return Err(errors::SYNTAX);
        }
        self.expiry = Some(Expiry { unit, text: args.get(i + 1) });
        Ok(i + 2)
    }
}

/// A deadline as given.
struct Expiry<'a> {
    unit: Unit,
    text: &'a [u8],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Ex,
    Px,
    ExAt,
    PxAt,
}

impl Unit {
    fn named(word: &[u8]) -> Option<Unit> {
        let units =
            [("ex", Unit::Ex), ("px", Unit::Px), ("exat", Unit::ExAt), ("pxat", Unit::PxAt)];
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        units.into_iter().find(|(name, _)| is(name)).map(|(_, unit)| unit)
    }
}

/// Why there is no deadline.
enum WrongExpiry {
    NotAnInteger,
    OutOfRange,
}

impl Expiry<'_> {
    /// The moment meant, or what is answered instead.
    fn deadline(&self, call: Call<'_>) -> Result<Time, Cow<'static, str>> {
        self.moment(call.now).map_err(|wrong| match wrong {
            WrongExpiry::NotAnInteger => errors::NOT_AN_INTEGER.into(),
            WrongExpiry::OutOfRange => call.invalid_expire(),
        })
    }

    /// The moment meant: positive, within the 64-bit range.
    fn moment(&self, now: Time) -> Result<Time, WrongExpiry> {
        let given = number::integer(self.text).ok_or(WrongExpiry::NotAnInteger)?;
        let millis = match self.unit {
            Unit::Ex | Unit::ExAt => given.checked_mul(1000),
            Unit::Px | Unit::PxAt => Some(given),
        };
        let at = millis.filter(|_| given > 0).and_then(|millis| match self.unit {
            Unit::Ex | Unit::Px => millis.checked_add_unsigned(now.0),
            Unit::ExAt | Unit::PxAt => Some(millis),
        });
        let at = at.and_then(|at| u64::try_from(at).ok());
        at.map(Time).ok_or(WrongExpiry::OutOfRange)
    }
}

pub(in crate::command) fn lcs(call: Call<'_>) -> Parsed<'_> {
    let args = call.args;
    let mut op = LcsOp {
        a: args.get(1),
        b: args.get(2),
        len: false,
        idx: false,
        min_match_len: 0,
        with_match_len: false,
    };
    let mut i = 3;
    while i < args.len() {
        let is = |name: &str| args.get(i).eq_ignore_ascii_case(name.as_bytes());
        if is("idx") {
            op.idx = true;
        } else if is("len") {
            op.len = true;
        } else if is("withmatchlen") {
            op.with_match_len = true;
        } else if is("minmatchlen") && i + 1 < args.len() {
            i += 1;
            op.min_match_len = u64::try_from(call.integer(i)?).unwrap_or(0);
        } else {
            return Err(errors::SYNTAX.into());
        }
        i += 1;
    }
    if op.idx && op.len {
        let text = "ERR If you want both the length and indexes, please just use IDX.";
        return Err(text.into());
    }
    Ok(Action::Data(Command::Keys(KeysOp::Lcs(op))))
}
