//! As much of a Redis client as a backup needs: one command at a time over a socket. Knows no
//! command; never reserves memory for what has not come.

use crate::limits::{BACKUP_ANSWER_MS_MAX, BACKUP_LINE_BYTES_MAX, BACKUP_PARTS_MAX};
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// A connection to a node.
pub(super) struct Client {
    reader: BufReader<TcpStream>,
    address: String,
}

/// What a node answered that was no error.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A line, or a number.
    Line(String),
    /// A string; nothing is an empty one.
    Bulk(Vec<u8>),
    /// A list.
    Array(Vec<Answer>),
}

/// Why there is no answer of use.
#[derive(Debug)]
pub(super) enum ClientError {
    /// The connection.
    Io(String, io::Error),
    /// The node refused.
    Refused(String),
    /// This is not how nodes answer.
    Protocol,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Io(address, error) => write!(f, "no answer from {address}: {error}"),
            ClientError::Refused(text) => write!(f, "the node says: {text}"),
            ClientError::Protocol => f.write_str("what answers is not a node of this version"),
        }
    }
}

impl Answer {
    /// The bytes of a string.
    pub(super) fn into_bulk(self) -> Result<Vec<u8>, ClientError> {
        match self {
            Answer::Bulk(bytes) => Ok(bytes),
            Answer::Line(_) | Answer::Array(_) => Err(ClientError::Protocol),
        }
    }

    /// The members of a list.
    pub(super) fn into_array(self) -> Result<Vec<Answer>, ClientError> {
        match self {
            Answer::Array(members) => Ok(members),
            Answer::Line(_) | Answer::Bulk(_) => Err(ClientError::Protocol),
        }
    }
}

impl Client {
    /// Connects to `HOST:PORT`.
    pub(super) fn connect(address: &str) -> Result<Client, ClientError> {
        let failed = |error| ClientError::Io(address.to_owned(), error);
        let longest = Duration::from_millis(BACKUP_ANSWER_MS_MAX);
        let mut last = io::Error::other("there is no such host");
        for at in address.to_socket_addrs().map_err(failed)? {
            match TcpStream::connect_timeout(&at, longest) {
                Ok(stream) => {
                    let set = stream
                        .set_read_timeout(Some(longest))
                        .and_then(|()| stream.set_write_timeout(Some(longest)))
                        .and_then(|()| stream.set_nodelay(true));
                    set.map_err(failed)?;
                    let reader = BufReader::with_capacity(256 * 1024, stream);
                    return Ok(Client { reader, address: address.to_owned() });
                }
                Err(error) => last = error,
            }
        }
        Err(failed(last))
    }

    /// Sends a command and returns its answer.
    pub(super) fn ask(&mut self, words: &[&[u8]]) -> Result<Answer, ClientError> {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(b"\r\n");
        }
        let sent = self.reader.get_mut().write_all(&bytes);
        sent.map_err(|error| self.failed(error))?;
        match read(&mut self.reader, 1) {
            Ok(answer) => answer,
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, error: io::Error) -> ClientError {
        ClientError::Io(self.address.clone(), error)
    }
}

/// Reads one answer, with lists in it up to this depth.
fn read(from: &mut impl BufRead, depth: u32) -> io::Result<Result<Answer, ClientError>> {
    let mut line = Vec::new();
    from.by_ref().take(BACKUP_LINE_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let text = String::from_utf8_lossy(&line);
    let Some((kind, rest)) = text.strip_suffix("\r\n").and_then(|t| t.split_at_checked(1)) else {
        return Ok(Err(ClientError::Protocol));
    };
    let length = rest.parse::<usize>().ok();
    Ok(match (kind, length) {
        ("+" | ":", _) => Ok(Answer::Line(rest.to_owned())),
        ("-", _) => Err(ClientError::Refused(rest.to_owned())),
        ("$", Some(length)) => {
            let mut bytes = Vec::new();
            from.by_ref().take(length as u64).read_to_end(&mut bytes)?;
            let mut end = [0; 2];
            from.read_exact(&mut end)?;
            if &end == b"\r\n" { Ok(Answer::Bulk(bytes)) } else { Err(ClientError::Protocol) }
        }
        ("*", Some(length @ 0..=BACKUP_PARTS_MAX)) if depth > 0 => {
            let mut members = Vec::new();
            for _ in 0..length {
                match read(from, depth - 1)? {
                    Ok(member) => members.push(member),
                    Err(error) => return Ok(Err(error)),
                }
            }
            Ok(Answer::Array(members))
        }
        _ => Err(ClientError::Protocol),
    })
}

#[cfg(test)]
mod tests {
    use super::{Answer, ClientError, read};

    #[test]
    fn answers() {
        let read = |text: &str| read(&mut text.as_bytes(), 1);
        let bulk = |text: &str| Answer::Bulk(text.into());
        assert_eq!(read("+OK\r\n").unwrap().unwrap(), Answer::Line("OK".into()));
        assert_eq!(read("$3\r\na\nb\r\n").unwrap().unwrap(), bulk("a\nb"));
        let list = Answer::Array(vec![bulk("a"), bulk("")]);
        assert_eq!(read("*2\r\n$1\r\na\r\n$0\r\n\r\n").unwrap().unwrap(), list);
        assert!(
            matches!(read("-ERR no\r\n").unwrap(), Err(ClientError::Refused(e)) if e == "ERR no")
        );
        for odd in ["$-1\r\n", "?\r\n", "\r\n", "*1\r\n*0\r\n", "*-1\r\n", "$1\r\nabc", "+OK"] {
            assert!(matches!(read(odd), Ok(Err(ClientError::Protocol))), "{odd:?}");
        }
        for cut in ["", "$3\r\nab", "*2\r\n$1\r\na\r\n", "$99999999999\r\nab"] {
            assert!(read(cut).is_err(), "{cut:?}");
        }
    }
}
