//! The client's half of the Redis protocol, as much of it as a load generator needs: GET and SET
//! out, simple replies in. Bodies of values are counted and skipped, never copied.

use super::keys::KeyText;
use super::random::Random;
use crate::limits::BENCH_REPLY_LINE_BYTES_MAX;

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Get,
    Set,
}

/// Random bytes beyond the longest value, so that values start at different places.
const NOISE_EXTRA_BYTES: usize = 64 * 1024;

/// Writes requests. Everything that is the same in all of them is written once, beforehand.
pub(super) struct Encoder {
    get_head: Vec<u8>,
    set_head: Vec<u8>,
    set_ttl_head: Vec<u8>,
    /// Values are cut from here: they do not compress, and cost one copy.
    noise: Vec<u8>,
    decimal: itoa::Buffer,
}

impl Encoder {
    /// For keys of exactly `key_size` bytes and values of mostly up to `value_size_usual`.
    pub(super) fn new(key_size: usize, value_size_usual: usize, random: &mut Random) -> Encoder {
        let head = |args: usize, name: &str| {
            format!("*{args}\r\n$3\r\n{name}\r\n${key_size}\r\n").into_bytes()
        };
        let mut encoder = Encoder {
            get_head: head(2, "GET"),
            set_head: head(3, "SET"),
            set_ttl_head: head(5, "SET"),
            noise: Vec::new(),
            decimal: itoa::Buffer::new(),
        };
        encoder.make_noise(value_size_usual, random);
        encoder
    }

    /// Appends `GET key`.
    pub(super) fn get(&self, out: &mut Vec<u8>, key: &KeyText) {
        out.extend_from_slice(&self.get_head);
        out.extend_from_slice(key.bytes());
        out.extend_from_slice(b"\r\n");
    }

    /// Appends `SET key value [EX ttl]` with a random value of `size` bytes.
    pub(super) fn set(
        &mut self,
        out: &mut Vec<u8>,
        key: &KeyText,
        size: usize,
        ttl_seconds: Option<u64>,
        random: &mut Random,
    ) {
        let head = if ttl_seconds.is_some() { &self.set_ttl_head } else { &self.set_head };
        out.extend_from_slice(head);
        out.extend_from_slice(key.bytes());
        out.extend_from_slice(b"\r\n$");
        out.extend_from_slice(self.decimal.format(size).as_bytes());
        out.extend_from_slice(b"\r\n");
        if self.noise.len() < size {
            self.make_noise(size, random);
        }
        let start = random.below((self.noise.len() - size) as u64 + 1) as usize;
        out.extend_from_slice(&self.noise[start..start + size]);
        out.extend_from_slice(b"\r\n");
        if let Some(seconds) = ttl_seconds {
            let text = self.decimal.format(seconds).as_bytes();
            out.extend_from_slice(b"$2\r\nEX\r\n$");
            out.extend_from_slice(itoa::Buffer::new().format(text.len()).as_bytes());
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(text);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Makes values of up to `size` bytes possible.
    fn make_noise(&mut self, size: usize, random: &mut Random) {
        self.noise.resize(size + NOISE_EXTRA_BYTES, 0);
        for chunk in self.noise.chunks_mut(8) {
            chunk.copy_from_slice(&random.draw().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Appends any command.
pub(super) fn put_command(out: &mut Vec<u8>, args: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
    for arg in args {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

/// What a reply says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome<'a> {
    /// A status or a number.
    Done,
    /// A value.
    Found,
    /// There is no such key.
    Missing,
    /// An error, with its text (code first).
    Failed(&'a [u8]),
}

/// Cuts a stream of bytes into replies, however the bytes come.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// Bytes of the current value, its line end included, that are still to come.
    skip: usize,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
}

impl Scanner {
    /// Calls `each` for every reply that ends in `bytes`, in order. An error means that the other
    /// side does not speak the protocol; the connection is then of no use.
    pub(super) fn scan(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(Outcome<'_>),
    ) -> Result<(), String> {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let used = self.skip.min(bytes.len());
                bytes = &bytes[used..];
                self.skip -= used;
                if self.skip == 0 {
                    each(Outcome::Found);
                }
                continue;
            }
            let Some(end) = memchr::memchr(b'\n', bytes) else {
                return self.keep(bytes);
            };
            let line = &bytes[..end + 1];
            bytes = &bytes[end + 1..];
            self.skip = if self.line.is_empty() {
                read_line(line, &mut each)?
            } else {
                self.keep(line)?;
                let skip = read_line(&self.line, &mut each)?;
                self.line.clear();
                skip
            };
        }
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), String> {
        if self.line.len() + bytes.len() > BENCH_REPLY_LINE_BYTES_MAX {
            return Err("a reply line does not end".to_owned());
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }
}

/// Reads a reply's first line. Gives the bytes of a value behind it, or 0 when it is a whole
/// reply, which has then been passed to `each`.
fn read_line(line: &[u8], each: &mut impl FnMut(Outcome<'_>)) -> Result<usize, String> {
    let [first, text @ .., b'\r', b'\n'] = line else {
        return Err(format!("a reply line without its end: {}", printable(line)));
    };
    match (first, text) {
        (b'$', b"-1") | (b'_', b"") => each(Outcome::Missing),
        (b'$', digits) => return read_length(digits).map(|length| length + 2),
        (b'+' | b':', _) => each(Outcome::Done),
        (b'-', text) => each(Outcome::Failed(text)),
        _ => return Err(format!("not a reply to GET or SET: {}", printable(line))),
    }
    Ok(0)
}

/// Reads the length of a value.
pub(super) fn read_length(digits: &[u8]) -> Result<usize, String> {
    let wrong = || format!("not a length: {}", printable(digits));
    if digits.is_empty() || digits.len() > 10 {
        return Err(wrong());
    }
    digits.iter().try_fold(0, |length, &digit| {
        if digit.is_ascii_digit() {
            Ok(length * 10 + usize::from(digit - b'0'))
        } else {
            Err(wrong())
        }
    })
}

/// Bytes from the other side, made fit for a message.
fn printable(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(60)].escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_read_as_redis_expects() {
        let mut random = Random::new(1);
        let mut encoder = Encoder::new(4, 3, &mut random);
        let mut key = KeyText::new(4);
        assert!(key.write(7));
        let mut out = Vec::new();
        encoder.get(&mut out, &key);
        assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$4\r\nk007\r\n");
        out.clear();
        encoder.set(&mut out, &key, 3, None, &mut random);
        assert_eq!(&out[..27], b"*3\r\n$3\r\nSET\r\n$4\r\nk007\r\n$3\r\n");
        assert_eq!((out.len(), &out[30..]), (32, &b"\r\n"[..]));
        out.clear();
        encoder.set(&mut out, &key, 0, Some(120), &mut random);
        assert_eq!(out, b"*5\r\n$3\r\nSET\r\n$4\r\nk007\r\n$0\r\n\r\n$2\r\nEX\r\n$3\r\n120\r\n");
        out.clear();
        put_command(&mut out, &[b"AUTH", b""]);
        assert_eq!(out, b"*2\r\n$4\r\nAUTH\r\n$0\r\n\r\n");
    }

    fn outcomes(pieces: &[&[u8]]) -> Result<Vec<String>, String> {
        let mut scanner = Scanner::default();
        let mut seen = Vec::new();
        for piece in pieces {
            scanner.scan(piece, |outcome| seen.push(format!("{outcome:?}")))?;
        }
        Ok(seen)
    }

    #[test]
    fn replies_are_the_same_however_they_are_split() {
        let stream =
            b"+OK\r\n$5\r\nab\r\nc\r\n$-1\r\n_\r\n$0\r\n\r\n:12\r\n-ERR no\r\n$1\r\n\n\r\n";
        let whole = outcomes(&[stream]).unwrap();
        let failed = format!("{:?}", Outcome::Failed(b"ERR no"));
        let expected =
            ["Done", "Found", "Missing", "Missing", "Found", "Done", failed.as_str(), "Found"];
        assert_eq!(whole, expected);
        for first in 0..stream.len() {
            for second in first..stream.len() {
                let pieces = [&stream[..first], &stream[first..second], &stream[second..]];
                assert_eq!(outcomes(&pieces).unwrap(), whole, "{first} {second}");
            }
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(outcomes(&bytes).unwrap(), whole);
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        let endless = vec![b'+'; BENCH_REPLY_LINE_BYTES_MAX + 1];
        for wrong in [
            &b"*2\r\n"[..],
            b"HTTP/1.1 400\r\n",
            b"+OK\n",
            b"\r\n",
            b"$\r\n",
            b"$-2\r\n",
            b"$12x\r\n",
            b"$99999999999\r\n",
            &endless,
        ] {
            assert!(outcomes(&[wrong]).is_err(), "{}", printable(wrong));
        }
    }
}
