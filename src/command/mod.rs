//! The vocabulary: what a client can ask, what it is answered, what it did. Engine and codecs meet
//! here and nowhere else; this room knows neither memory nor sockets.

pub mod effect;
pub mod introspect;
mod long_double;
pub mod parse;
pub mod reply;
pub mod spec;
mod table;

pub use long_double::LongDouble;

use crate::limits;
use bytes::Bytes;

/// Group time: milliseconds since the Unix epoch. Deadlines are absolute in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

/// The arguments of one command as they stand in a read buffer, its name first.
///
/// Bulk strings above `limits::SHARED_VALUE_BYTES_MIN` may arrive in a buffer of their own.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    buffer: &'a [u8],
    list: &'a [Arg],
}

/// One argument: a span of the read buffer or a buffer of its own.
#[derive(Clone, Debug)]
pub enum Arg {
    /// Bytes `start..end` of the read buffer.
    Span {
        /// First byte.
        start: u32,
        /// One past the last byte.
        end: u32,
    },
    /// A large bulk string, filled straight from the socket.
    Shared(Bytes),
}

impl<'a> Args<'a> {
    /// Arguments `list`, whose spans lie in `buffer`.
    #[inline]
    pub fn new(buffer: &'a [u8], list: &'a [Arg]) -> Args<'a> {
        Args { buffer, list }
    }

    /// How many there are, the name included.
    #[inline]
    pub fn len(self) -> usize {
        self.list.len()
    }

    /// Whether there are none, not even a name.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.list.is_empty()
    }

    /// Argument `i`; empty when there are fewer.
    #[inline]
    pub fn get(self, i: usize) -> &'a [u8] {
        match self.list.get(i) {
            Some(Arg::Span { start, end }) => {
                self.buffer.get(*start as usize..*end as usize).unwrap_or_default()
            }
            Some(Arg::Shared(bytes)) => bytes,
            None => &[],
        }
    }

    /// Argument `i` as a value to store.
    #[inline]
    pub fn value(self, i: usize) -> Value<'a> {
        match self.list.get(i) {
            Some(Arg::Shared(bytes)) => Value::Shared(bytes),
            _ => Value::Slice(self.get(i)),
        }
    }

    /// The arguments from `i` on.
    #[inline]
    pub fn from(self, i: usize) -> Args<'a> {
        Args { buffer: self.buffer, list: self.list.get(i..).unwrap_or_default() }
    }

    /// All of them in order.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        (0..self.len()).map(move |i| self.get(i))
    }
}

/// A value on its way into an item.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// Bytes of the read buffer, copied when stored.
    Slice(&'a [u8]),
    /// A buffer of its own, kept by reference when large and of the engine's making.
    Shared(&'a Bytes),
}

impl<'a> Value<'a> {
    /// Its bytes.
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Value::Slice(s) => s,
            Value::Shared(b) => b,
        }
    }
}

/// A command that the engine executes.
#[derive(Clone, Copy, Debug)]
pub enum Command<'a> {
    /// On one key: the hot path.
    Key(&'a [u8], KeyOp<'a>),
    /// On several keys, atomically on a node.
    Keys(KeysOp<'a>),
    /// On all keys.
    Space(SpaceOp<'a>),
}

/// What to do with one key.
#[derive(Clone, Copy, Debug)]
pub enum KeyOp<'a> {
    /// GET.
    Get,
    /// GETEX.
    GetEx(ExpiryChange),
    /// GETDEL.
    GetDel,
    /// GETSET.
    GetSet(Value<'a>),
    /// SET, SETEX, PSETEX.
    Set(SetOp<'a>),
    /// SETNX: an integer reply.
    SetNx(Value<'a>),
    /// APPEND.
    Append(Value<'a>),
    /// STRLEN.
    StrLen,
    /// GETRANGE, SUBSTR: bounds as given, negative counts from the end.
    GetRange {
        /// First index.
        start: i64,
        /// Last index, included.
        end: i64,
    },
    /// SETRANGE.
    SetRange {
        /// Where to write; checked to be non-negative by the parser.
        offset: u64,
        /// What to write.
        value: &'a [u8],
    },
    /// INCR, DECR, INCRBY, DECRBY.
    IncrBy(i64),
    /// INCRBYFLOAT.
    IncrByFloat(LongDouble),
    /// DEL or UNLINK of one key.
    Delete,
    /// EXISTS of one key.
    Exists,
    /// TOUCH of one key.
    Touch,
    /// TYPE.
    Type,
    /// EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT. A deadline in the past deletes.
    Expire {
        /// Milliseconds since the Unix epoch; may be negative.
        at: i64,
        /// When to do it.
        condition: ExpireCondition,
    },
    /// TTL, PTTL, EXPIRETIME, PEXPIRETIME.
    Ttl {
        /// The deadline itself instead of the time left.
        absolute: bool,
        /// Milliseconds instead of seconds.
        millis: bool,
    },
    /// PERSIST.
    Persist,
    /// OBJECT ENCODING.
    ObjectEncoding,
    /// OBJECT FREQ.
    ObjectFreq,
    /// OBJECT IDLETIME.
    ObjectIdleTime,
    /// OBJECT REFCOUNT.
    ObjectRefCount,
    /// MEMORY USAGE.
    MemoryUsage,
}

impl KeyOp<'_> {
    /// Whether it may store a value for which room is made beforehand.
    #[inline]
    pub fn may_need_room(&self) -> bool {
        self.grows() || self.needs_room_with(0)
    }

    /// Whether what it stores depends on what it finds.
    #[inline]
    pub fn grows(&self) -> bool {
        matches!(self.stores(), Stores::Part)
    }

    /// Whether it does where it finds a value of `len` bytes.
    #[inline]
    pub fn needs_room_with(&self, len: u64) -> bool {
        match self.stores() {
            Stores::Nothing => false,
            Stores::Value(value) => value.bytes().len() >= limits::SHARED_VALUE_BYTES_MIN,
            Stores::Part => self.grown_bytes(len) >= limits::SHARED_VALUE_BYTES_MIN as u64,
        }
    }

    /// What it brings along to be stored.
    #[inline]
    pub fn stores(&self) -> Stores<'_> {
        match self {
            KeyOp::Set(op) => Stores::Value(op.value),
            KeyOp::GetSet(value) | KeyOp::SetNx(value) => Stores::Value(*value),
            KeyOp::Append(_) | KeyOp::SetRange { .. } => Stores::Part,
            KeyOp::Get
            | KeyOp::GetEx(_)
            | KeyOp::GetDel
            | KeyOp::StrLen
            | KeyOp::GetRange { .. }
            | KeyOp::IncrBy(_)
            | KeyOp::IncrByFloat(_)
            | KeyOp::Delete
            | KeyOp::Exists
            | KeyOp::Touch
            | KeyOp::Type
            | KeyOp::Expire { .. }
            | KeyOp::Ttl { .. }
            | KeyOp::Persist
            | KeyOp::ObjectEncoding
            | KeyOp::ObjectFreq
            | KeyOp::ObjectIdleTime
            | KeyOp::ObjectRefCount
            | KeyOp::MemoryUsage => Stores::Nothing,
        }
    }

    /// How long APPEND and SETRANGE make a value of `len` bytes; others as long as it is.
    pub fn grown_bytes(&self, len: u64) -> u64 {
        if let KeyOp::Append(more) = self {
            len.saturating_add(more.bytes().len() as u64)
        } else if let KeyOp::SetRange { offset, value } = self
            && !value.is_empty()
        {
            len.max(offset.saturating_add(value.len() as u64))
        } else {
            len
        }
    }
}

/// What a command on one key brings along to be stored.
#[derive(Clone, Copy, Debug)]
pub enum Stores<'a> {
    /// Nothing, or a number.
    Nothing,
    /// A whole value.
    Value(Value<'a>),
    /// A part of a value: how much is stored depends on what is there.
    Part,
}

/// SET with all its options.
#[derive(Clone, Copy, Debug)]
pub struct SetOp<'a> {
    /// The new value.
    pub value: Value<'a>,
    /// NX or XX.
    pub condition: SetCondition,
    /// GET: answer the old value.
    pub get: bool,
    /// What becomes of the deadline.
    pub expiry: SetExpiry,
}

/// When SET sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetCondition {
    /// Always.
    Always,
    /// NX: only when there is no such key.
    IfAbsent,
    /// XX: only when there is one.
    IfPresent,
}

/// The deadline after a SET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetExpiry {
    /// None: a deadline is removed.
    Clear,
    /// KEEPTTL.
    Keep,
    /// EX, PX, EXAT, PXAT: this one. In the past: the key is deleted.
    At(Time),
}

/// The deadline after a GETEX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiryChange {
    /// No option given.
    Keep,
    /// PERSIST.
    Clear,
    /// EX, PX, EXAT, PXAT: this one. In the past: the key is deleted.
    At(Time),
    /// What was given is no deadline: this error, if there is such a key. Redis looks for the key
    /// first, with GETEX alone.
    Refused(&'static str),
}

/// NX, XX, GT, LT of EXPIRE; XX may stand with GT or LT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpireCondition {
    /// Only when there is no deadline.
    pub nx: bool,
    /// Only when there is one.
    pub xx: bool,
    /// Only when the new one is later; no deadline counts as infinitely late.
    pub gt: bool,
    /// Only when the new one is earlier; no deadline counts as infinitely late.
    pub lt: bool,
}

/// What to do with several keys. On one node it is atomic: all shards concerned are locked.
#[derive(Clone, Copy, Debug)]
pub enum KeysOp<'a> {
    /// MGET: the arguments are keys.
    MGet(Args<'a>),
    /// MSET: key, value, key, value …
    MSet(Args<'a>),
    /// MSETNX.
    MSetNx(Args<'a>),
    /// DEL or UNLINK of several keys.
    Delete(Args<'a>),
    /// EXISTS of several keys; repeated ones count again.
    Exists(Args<'a>),
    /// TOUCH of several keys.
    Touch(Args<'a>),
    /// RENAME, RENAMENX.
    Rename {
        /// The old name.
        from: &'a [u8],
        /// The new name.
        to: &'a [u8],
        /// RENAMENX: only when the new name is free; an integer reply.
        if_absent: bool,
    },
    /// COPY.
    Copy {
        /// From.
        from: &'a [u8],
        /// To.
        to: &'a [u8],
        /// REPLACE.
        replace: bool,
    },
    /// LCS.
    Lcs(LcsOp<'a>),
}

/// LCS with all its options.
#[derive(Clone, Copy, Debug)]
pub struct LcsOp<'a> {
    /// First key.
    pub a: &'a [u8],
    /// Second key.
    pub b: &'a [u8],
    /// LEN.
    pub len: bool,
    /// IDX.
    pub idx: bool,
    /// MINMATCHLEN.
    pub min_match_len: u64,
    /// WITHMATCHLEN.
    pub with_match_len: bool,
}

/// What to do with all keys.
#[derive(Clone, Copy, Debug)]
pub enum SpaceOp<'a> {
    /// DBSIZE.
    DbSize,
    /// KEYS.
    Keys {
        /// Glob pattern.
        pattern: &'a [u8],
    },
    /// SCAN.
    Scan(ScanOp<'a>),
    /// RANDOMKEY, with the chance to pick by.
    RandomKey {
        /// A random number.
        chance: u64,
    },
    /// FLUSHALL, FLUSHDB.
    Flush,
}

/// SCAN with its options.
#[derive(Clone, Copy, Debug)]
pub struct ScanOp<'a> {
    /// Where to go on: 0 at first.
    pub cursor: u64,
    /// MATCH.
    pub pattern: Option<&'a [u8]>,
    /// COUNT, at least 1.
    pub count: u64,
    /// TYPE, lower case.
    pub type_name: Option<&'a [u8]>,
}
