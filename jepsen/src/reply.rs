//! RESP2 as values and bytes. Pure.

use crate::limits::{REPLY_BYTES_MAX, REPLY_DEPTH_MAX};

/// An answer of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Such as OK.
    Simple(String),
    /// A refusal.
    Error(String),
    /// A number.
    Integer(i64),
    /// A string, or none.
    Bulk(Option<Vec<u8>>),
    /// Several.
    Array(Vec<Reply>),
}

/// Bytes that are no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonsense;

impl Reply {
    /// Its elements, if it has any.
    pub fn list(&self) -> &[Reply] {
        match self {
            Reply::Array(list) => list,
            Reply::Simple(_) | Reply::Error(_) | Reply::Integer(_) | Reply::Bulk(_) => &[],
        }
    }

    /// The text of a string.
    pub fn text(&self) -> Option<&str> {
        match self {
            Reply::Simple(text) => Some(text),
            Reply::Bulk(Some(bytes)) => std::str::from_utf8(bytes).ok(),
            Reply::Bulk(None) | Reply::Error(_) | Reply::Integer(_) | Reply::Array(_) => None,
        }
    }

    /// A number that is not negative.
    pub fn number(&self) -> Option<u64> {
        match self {
            Reply::Integer(number) => u64::try_from(*number).ok(),
            Reply::Simple(_) | Reply::Bulk(_) | Reply::Error(_) | Reply::Array(_) => None,
        }
    }
}

/// A command as bytes.
pub fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// The first answer in `bytes` and its length; `None` when it is not complete.
pub fn parse(bytes: &[u8]) -> Result<Option<(Reply, usize)>, Nonsense> {
    parse_within(bytes, REPLY_DEPTH_MAX)
}

fn parse_within(bytes: &[u8], depth: usize) -> Result<Option<(Reply, usize)>, Nonsense> {
    let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| Nonsense)?;
    let after = end + 2;
    let (kind, rest) = line.split_at_checked(1).ok_or(Nonsense)?;
    let number = || rest.parse::<i64>().map_err(|_| Nonsense);
    let reply = match kind {
        "+" => Reply::Simple(rest.to_owned()),
        "-" => Reply::Error(rest.to_owned()),
        ":" => Reply::Integer(number()?),
        "$" => return bulk(bytes, after, number()?),
        "*" => return array(bytes, after, number()?, depth),
        _ => return Err(Nonsense),
    };
    Ok(Some((reply, after)))
}

fn bulk(bytes: &[u8], at: usize, length: i64) -> Result<Option<(Reply, usize)>, Nonsense> {
    let Ok(length) = usize::try_from(length) else { return Ok(Some((Reply::Bulk(None), at))) };
    if length > REPLY_BYTES_MAX {
        return Err(Nonsense);
    }
    let Some(body) = bytes.get(at..at + length + 2) else { return Ok(None) };
    Ok(Some((Reply::Bulk(Some(body[..length].to_vec())), at + length + 2)))
}

fn array(
    bytes: &[u8],
    mut at: usize,
    length: i64,
    depth: usize,
) -> Result<Option<(Reply, usize)>, Nonsense> {
    let below = depth.checked_sub(1).ok_or(Nonsense)?;
    let mut list = Vec::new();
    for _ in 0..length {
        let Some((reply, used)) = parse_within(&bytes[at..], below)? else { return Ok(None) };
        list.push(reply);
        at += used;
    }
    Ok(Some((Reply::Array(list), at)))
}

#[cfg(test)]
mod tests {
    use super::{Reply, parse, request};

    #[test]
    fn answers_are_read_when_they_are_complete() {
        let bytes = b"*3\r\n:7\r\n$2\r\nab\r\n*1\r\n$-1\r\n+OK\r\n";
        let all = bytes.len() - 5;
        for cut in 0..all {
            assert_eq!(parse(&bytes[..cut]), Ok(None), "{cut}");
        }
        let inner = Reply::Array(vec![Reply::Bulk(None)]);
        let list = vec![Reply::Integer(7), Reply::Bulk(Some(b"ab".to_vec())), inner];
        assert_eq!(parse(bytes), Ok(Some((Reply::Array(list), all))));
        assert_eq!(parse(b"-ERR no\r\n"), Ok(Some((Reply::Error("ERR no".into()), 9))));
        assert!(parse(b"what\r\n").is_err());
        assert!(parse(&b"*1\r\n".repeat(20)).is_err());
    }

    #[test]
    fn a_command_is_an_array_of_strings() {
        assert_eq!(request(&[b"GET", b"k"]), b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
    }
}
