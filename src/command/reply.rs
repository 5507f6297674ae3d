//! Answers: what a codec can write, an owned form for the cold path, and the error texts clients
//! know from Redis. Knows no protocol version; a codec decides how a map or a null looks.

use bytes::Bytes;

/// Where an answer is written, in order. One command writes exactly one value: a scalar, or an
/// aggregate header followed by that many values.
pub trait ReplyWriter {
    /// A status such as `OK`.
    fn simple(&mut self, text: &str);
    /// An error, its code first: `ERR syntax error`. Line breaks are replaced by spaces.
    fn error(&mut self, text: &str);
    /// An integer.
    fn integer(&mut self, value: i64);
    /// A string of bytes.
    fn bulk(&mut self, bytes: &[u8]);
    /// A string of bytes that may be kept by reference until it is sent.
    fn bulk_shared(&mut self, bytes: &Bytes);
    /// No value.
    fn null(&mut self);
    /// An array of `len` values that follow.
    fn array(&mut self, len: usize);
    /// A map of `len` pairs that follow, key, value, key, value.
    fn map(&mut self, len: usize);
    /// A set of `len` values that follow.
    fn set(&mut self, len: usize);
    /// A number with a fraction.
    fn double(&mut self, value: f64);
    /// True or false (1 or 0 where the protocol has no booleans).
    fn boolean(&mut self, value: bool);
    /// Text meant for people, as INFO gives it.
    fn verbatim(&mut self, text: &str);
}

/// An answer as a value: for tests, for the cold path, for answers that are put together.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// A status.
    Simple(String),
    /// An error, its code first.
    Error(String),
    /// An integer.
    Integer(i64),
    /// A string of bytes.
    Bulk(Bytes),
    /// No value.
    Null,
    /// An array.
    Array(Vec<Reply>),
    /// A map.
    Map(Vec<(Reply, Reply)>),
    /// A set.
    Set(Vec<Reply>),
    /// A number with a fraction.
    Double(f64),
    /// True or false.
    Boolean(bool),
    /// Text meant for people.
    Verbatim(String),
}

impl Reply {
    /// The status OK.
    pub fn ok() -> Reply {
        Reply::Simple("OK".into())
    }

    /// A string of bytes.
    pub fn bulk(bytes: impl AsRef<[u8]>) -> Reply {
        Reply::Bulk(Bytes::copy_from_slice(bytes.as_ref()))
    }

    /// An error, its code first.
    pub fn error(text: impl Into<String>) -> Reply {
        Reply::Error(text.into())
    }

    /// Writes it out.
    pub fn write(&self, out: &mut impl ReplyWriter) {
        match self {
            Reply::Simple(s) => out.simple(s),
            Reply::Error(s) => out.error(s),
            Reply::Integer(i) => out.integer(*i),
            Reply::Bulk(b) => out.bulk_shared(b),
            Reply::Null => out.null(),
            Reply::Array(list) => {
                out.array(list.len());
                list.iter().for_each(|r| r.write(out));
            }
            Reply::Map(pairs) => {
                out.map(pairs.len());
                for (k, v) in pairs {
                    k.write(out);
                    v.write(out);
                }
            }
            Reply::Set(list) => {
                out.set(list.len());
                list.iter().for_each(|r| r.write(out));
            }
            Reply::Double(d) => out.double(*d),
            Reply::Boolean(b) => out.boolean(*b),
            Reply::Verbatim(s) => out.verbatim(s),
        }
    }
}

/// Builds [`Reply`] values out of what is written: the codec of tests.
#[derive(Debug, Default)]
pub struct ReplyBuilder {
    done: Vec<Reply>,
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    kind: Kind,
    want: usize,
    got: Vec<Reply>,
}

#[derive(Debug)]
enum Kind {
    Array,
    Map,
    Set,
}

impl ReplyBuilder {
    /// The finished answers, in order.
    pub fn finish(self) -> Vec<Reply> {
        self.done
    }

    fn push(&mut self, mut reply: Reply) {
        while let Some(top) = self.open.last_mut() {
            top.got.push(reply);
            if top.got.len() < top.want {
                return;
            }
            let Some(top) = self.open.pop() else { return };
            reply = top.close();
        }
        self.done.push(reply);
    }

    fn begin(&mut self, kind: Kind, want: usize) {
        let open = Open { kind, want, got: Vec::new() };
        if want == 0 { self.push(open.close()) } else { self.open.push(open) }
    }
}

impl Open {
    fn close(self) -> Reply {
        match self.kind {
            Kind::Array => Reply::Array(self.got),
            Kind::Set => Reply::Set(self.got),
            Kind::Map => {
                let mut pairs = Vec::with_capacity(self.want / 2);
                let mut items = self.got.into_iter();
                while let (Some(k), Some(v)) = (items.next(), items.next()) {
                    pairs.push((k, v));
                }
                Reply::Map(pairs)
            }
        }
    }
}

impl ReplyWriter for ReplyBuilder {
    fn simple(&mut self, text: &str) {
        self.push(Reply::Simple(text.into()));
    }
    fn error(&mut self, text: &str) {
        self.push(Reply::Error(text.into()));
    }
    fn integer(&mut self, value: i64) {
        self.push(Reply::Integer(value));
    }
    fn bulk(&mut self, bytes: &[u8]) {
        self.push(Reply::bulk(bytes));
    }
    fn bulk_shared(&mut self, bytes: &Bytes) {
        self.push(Reply::Bulk(bytes.clone()));
    }
    fn null(&mut self) {
        self.push(Reply::Null);
    }
    fn array(&mut self, len: usize) {
        self.begin(Kind::Array, len);
    }
    fn map(&mut self, len: usize) {
        self.begin(Kind::Map, len * 2);
    }
    fn set(&mut self, len: usize) {
        self.begin(Kind::Set, len);
    }
    fn double(&mut self, value: f64) {
        self.push(Reply::Double(value));
    }
    fn boolean(&mut self, value: bool) {
        self.push(Reply::Boolean(value));
    }
    fn verbatim(&mut self, text: &str) {
        self.push(Reply::Verbatim(text.into()));
    }
}

/// Error texts as Redis 7 words them.
pub mod errors {
    /// A syntax error in the options of a command.
    pub const SYNTAX: &str = "ERR syntax error";
    /// An argument that should be an integer.
    pub const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
    /// An argument or value that should be a number.
    pub const NOT_A_FLOAT: &str = "ERR value is not a valid float";
    /// A sum that left the 64-bit range.
    pub const OVERFLOW: &str = "ERR increment or decrement would overflow";
    /// A sum that is not a number.
    pub const NAN: &str = "ERR increment would produce NaN or Infinity";
    /// RENAME or OBJECT of a key that is not there.
    pub const NO_SUCH_KEY: &str = "ERR no such key";
    /// A negative offset.
    pub const OFFSET: &str = "ERR offset is out of range";
    /// A string above the largest value.
    pub const TOO_LONG: &str = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    /// A command on a value of another type.
    pub const WRONG_TYPE: &str =
        "WRONGTYPE Operation against a key holding the wrong kind of value";
    /// A write that found no room.
    pub const OUT_OF_MEMORY: &str = "OOM command not allowed when used memory > 'maxmemory'.";
}
