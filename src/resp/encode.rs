//! Answers as RESP2 or RESP3 bytes. Knows nothing of commands.

use std::fmt::Write as _;

use bytes::Bytes;

use super::output::Output;
use crate::command::reply::ReplyWriter;
use crate::limits;

/// Which protocol a client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// The one without HELLO.
    #[default]
    Resp2,
    /// The one with maps, sets, doubles, booleans, nulls.
    Resp3,
}

/// Writes answers to an output.
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut Output,
    version: Version,
}

impl<'a> Encoder<'a> {
    /// Writes to `out`, behind what is there.
    #[inline]
    pub fn new(out: &'a mut Output, version: Version) -> Encoder<'a> {
        Encoder { out, version }
    }

    /// The protocol it writes.
    pub fn version(&self) -> Version {
        self.version
    }

    /// A type byte, a number, CR LF.
    #[inline]
    fn header(&mut self, kind: u8, number: usize) {
        if number < 1000 {
            // Eight bytes at once, then cut to length: no call of memcpy for so few.
            let (line, len) = short_line(kind, number);
            let end = self.out.buffer.len() + len;
            self.out.buffer.extend_from_slice(&line);
            self.out.buffer.truncate(end);
        } else {
            self.long_line(kind, itoa::Buffer::new().format(number));
        }
    }

    fn long_line(&mut self, kind: u8, digits: &str) {
        let buffer = &mut self.out.buffer;
        buffer.reserve(digits.len() + 3);
        buffer.push(kind);
        buffer.extend_from_slice(digits.as_bytes());
        buffer.extend_from_slice(b"\r\n");
    }

    /// A type byte and a line of text, which must not hold line breaks.
    fn line(&mut self, kind: u8, text: &str) {
        let buffer = &mut self.out.buffer;
        buffer.reserve(text.len() + 3);
        buffer.push(kind);
        let start = buffer.len();
        buffer.extend_from_slice(text.as_bytes());
        for byte in &mut buffer[start..] {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        buffer.extend_from_slice(b"\r\n");
    }
}

impl ReplyWriter for Encoder<'_> {
    #[inline]
    fn simple(&mut self, text: &str) {
        if text == "OK" {
            self.out.buffer.extend_from_slice(b"+OK\r\n");
        } else {
            self.line(b'+', text);
        }
    }

    fn error(&mut self, text: &str) {
        self.line(b'-', text);
    }

    #[inline]
    fn integer(&mut self, value: i64) {
        match usize::try_from(value) {
            Ok(small) if small < 1000 => self.header(b':', small),
            _ => self.long_line(b':', itoa::Buffer::new().format(value)),
        }
    }

    #[inline]
    fn bulk(&mut self, bytes: &[u8]) {
        self.out.buffer.reserve(bytes.len() + 32);
        self.header(b'$', bytes.len());
        self.out.buffer.extend_from_slice(bytes);
        self.out.buffer.extend_from_slice(b"\r\n");
    }

    fn bulk_shared(&mut self, bytes: &Bytes) {
        if bytes.len() <= limits::SHARED_VALUE_BYTES_MIN {
            return self.bulk(bytes);
        }
        self.header(b'$', bytes.len());
        self.out.splice(bytes.clone());
        self.out.buffer.extend_from_slice(b"\r\n");
    }

    #[inline]
    fn null(&mut self) {
        match self.version {
            Version::Resp2 => self.out.buffer.extend_from_slice(b"$-1\r\n"),
            Version::Resp3 => self.out.buffer.extend_from_slice(b"_\r\n"),
        }
    }

    #[inline]
    fn array(&mut self, len: usize) {
        self.header(b'*', len);
    }

    fn map(&mut self, len: usize) {
        match self.version {
            Version::Resp2 => self.header(b'*', len * 2),
            Version::Resp3 => self.header(b'%', len),
        }
    }

    fn set(&mut self, len: usize) {
        match self.version {
            Version::Resp2 => self.header(b'*', len),
            Version::Resp3 => self.header(b'~', len),
        }
    }

    fn double(&mut self, value: f64) {
        let text = double_text(value);
        match self.version {
            Version::Resp2 => self.bulk(text.as_bytes()),
            Version::Resp3 => self.line(b',', &text),
        }
    }

    fn boolean(&mut self, value: bool) {
        self.out.buffer.extend_from_slice(match (self.version, value) {
            (Version::Resp2, false) => b":0\r\n",
            (Version::Resp2, true) => b":1\r\n",
            (Version::Resp3, false) => b"#f\r\n",
            (Version::Resp3, true) => b"#t\r\n",
        });
    }

    fn verbatim(&mut self, text: &str) {
        match self.version {
            Version::Resp2 => self.bulk(text.as_bytes()),
            Version::Resp3 => {
                self.header(b'=', text.len() + 4);
                self.out.buffer.extend_from_slice(b"txt:");
                self.out.buffer.extend_from_slice(text.as_bytes());
                self.out.buffer.extend_from_slice(b"\r\n");
            }
        }
    }
}

/// A type byte, a number below 1000 and CR LF at the front of eight bytes, and their length.
#[inline(always)]
fn short_line(kind: u8, number: usize) -> ([u8; 8], usize) {
    let digit = |n: usize| b'0' + (n % 10) as u8;
    let (ones, tens, hundreds) = (digit(number), digit(number / 10), digit(number / 100));
    if number < 10 {
        ([kind, ones, b'\r', b'\n', 0, 0, 0, 0], 4)
    } else if number < 100 {
        ([kind, tens, ones, b'\r', b'\n', 0, 0, 0], 5)
    } else {
        ([kind, hundreds, tens, ones, b'\r', b'\n', 0, 0], 6)
    }
}

/// The shortest decimal that reads back as `value`, laid out as Redis's fpconv_dtoa does: plain
/// for moderate exponents, otherwise scientific with a signed exponent.
fn double_text(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let count = digits.bytes().filter(u8::is_ascii_digit).count() as i32;
    // The value is its digits as an integer times ten to this.
    let power = exponent - count + 1;
    let plain =
        if power >= 0 { exponent.abs() < count + 7 } else { power > -7 || exponent.abs() < 4 };
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = if plain { write!(text, "{value}") } else { write!(text, "{digits}e{exponent:+}") };
    text
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Encoder, Version, double_text};
    use crate::command::reply::{Reply, ReplyWriter};
    use crate::resp::Output;

    #[track_caller]
    fn check(reply: &Reply, resp2: &str, resp3: &str) {
        for (version, want) in [(Version::Resp2, resp2), (Version::Resp3, resp3)] {
            let mut out = Output::new();
            reply.write(&mut Encoder::new(&mut out, version));
            assert_eq!(String::from_utf8_lossy(out.as_one().unwrap()), want, "{reply:?}");
        }
    }

    #[test]
    fn answers_have_the_forms_of_both_versions() {
        check(&Reply::ok(), "+OK\r\n", "+OK\r\n");
        check(&Reply::Simple("PONG".into()), "+PONG\r\n", "+PONG\r\n");
        check(&Reply::error("ERR a\r\nb"), "-ERR a  b\r\n", "-ERR a  b\r\n");
        for n in [0, 9, 10, 99, 100, 999, 1000, -1, i64::MAX, i64::MIN] {
            check(&Reply::Integer(n), &format!(":{n}\r\n"), &format!(":{n}\r\n"));
        }
        for len in [0, 9, 10, 99, 100, 999, 1000, 16 * 1024] {
            let want = format!("${len}\r\n{}\r\n", "x".repeat(len));
            check(&Reply::bulk("x".repeat(len)), &want, &want);
        }
        check(&Reply::Null, "$-1\r\n", "_\r\n");
        let pairs = vec![(Reply::Integer(1), Reply::Null)];
        check(&Reply::Map(pairs), "*2\r\n:1\r\n$-1\r\n", "%1\r\n:1\r\n_\r\n");
        check(&Reply::Set(vec![Reply::ok()]), "*1\r\n+OK\r\n", "~1\r\n+OK\r\n");
        check(&Reply::Array(vec![]), "*0\r\n", "*0\r\n");
        check(&Reply::Boolean(true), ":1\r\n", "#t\r\n");
        check(&Reply::Boolean(false), ":0\r\n", "#f\r\n");
        check(&Reply::Double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n");
        check(&Reply::Verbatim("a\r\n".into()), "$3\r\na\r\n\r\n", "=7\r\ntxt:a\r\n\r\n");
    }

    #[test]
    fn large_values_are_not_copied() {
        let value = Bytes::from(vec![b'v'; 16 * 1024 + 1]);
        let mut out = Output::new();
        Encoder::new(&mut out, Version::Resp2).bulk_shared(&value);
        let mut slices = [std::io::IoSlice::new(&[]); 4];
        assert_eq!(out.slices(&mut slices), 3);
        assert_eq!(&*slices[0], b"$16385\r\n");
        assert_eq!(slices[1].as_ptr(), value.as_ptr());
        assert_eq!(&*slices[2], b"\r\n");
    }

    #[test]
    fn doubles_look_as_redis_writes_them() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (3.25, "3.25"),
            (1e20, "1e+20"),
            (1e7, "10000000"),
            (123456789.5, "123456789.5"),
            (0.001, "0.001"),
            (1.5e-10, "1.5e-10"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ];
        for (value, want) in cases {
            assert_eq!(double_text(value), want);
        }
    }
}
