//! Asks a node's client port for one thing after another, in RESP2, blocking. Knows no answer.

use crate::limits::operators::{ADMIN_CALL_MS_MAX, ADMIN_REPLY_BYTES_MAX, ADMIN_REPLY_TEXTS_MAX};
use clap::Args;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

/// Whom to ask, and in which form to answer.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Target {
    /// Client port of any node. Else CRABCACHE_ADDRESS, else 127.0.0.1:7001.
    #[arg(long, short, value_name = "HOST:PORT")]
    pub(in crate::cli) address: Option<String>,
    /// File with the token that the node asks for. Else CRABCACHE_TOKEN.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) token_file: Option<PathBuf>,
    /// Answer as JSON.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// Why there is no answer, or no good one.
#[derive(Debug)]
pub(in crate::cli) enum CallError {
    /// Nobody answers there.
    Unreachable(String, io::Error),
    /// The node refuses, and says why.
    Refused(String),
    /// The answer makes no sense.
    Nonsense(String),
    /// Something else is in the way.
    Other(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Unreachable(address, error) => write!(
                f,
                "no answer from {address}: {error}. --address HOST:PORT names another node"
            ),
            CallError::Refused(reason) => f.write_str(reason),
            CallError::Nonsense(what) => write!(f, "no sensible answer: {what}"),
            CallError::Other(reason) => f.write_str(reason),
        }
    }
}

/// Where no node is named.
const DEFAULT: &str = "127.0.0.1:7001";

impl Target {
    /// The node to ask first.
    pub(in crate::cli) fn address(&self) -> String {
        let named = self.address.clone().or_else(|| std::env::var("CRABCACHE_ADDRESS").ok());
        named.unwrap_or_else(|| DEFAULT.to_owned())
    }

    /// Asks it.
    pub(in crate::cli) fn call(&self, words: &[&str]) -> Result<String, CallError> {
        self.connect()?.call(words)
    }

    /// What a setting is there, if there is one of this name.
    pub(in crate::cli) fn setting(&self, name: &str) -> Result<Option<String>, CallError> {
        let told = self.call(&["CONFIG", "GET", name])?;
        Ok(told.split_once('\n').map(|(_, value)| value.to_owned()))
    }

    /// Asks it for something about the cluster.
    pub(in crate::cli) fn ask(&self, words: &[&str]) -> Result<String, CallError> {
        self.call(&[&["CRABCACHE"], words].concat())
    }

    /// The same of another node.
    pub(in crate::cli) fn at(&self, address: &str) -> Target {
        Target { address: Some(address.to_owned()), ..self.clone() }
    }

    fn token(&self) -> Result<Option<String>, CallError> {
        let Some(path) = &self.token_file else { return Ok(std::env::var("CRABCACHE_TOKEN").ok()) };
        let read = std::fs::read_to_string(path);
        let text = read.map_err(|e| CallError::Other(format!("{}: {e}", path.display())))?;
        Ok(Some(text.trim().to_owned()))
    }

    fn connect(&self) -> Result<Connection, CallError> {
        let address = self.address();
        let unreachable = |error| CallError::Unreachable(address.clone(), error);
        let limit = Duration::from_millis(ADMIN_CALL_MS_MAX);
        if address.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
            return Err(CallError::Other(format!(
                "{address} has no port: --address HOST:PORT names a node, such as {DEFAULT}"
            )));
        }
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for found in address.to_socket_addrs().map_err(unreachable)? {
            match TcpStream::connect_timeout(&found, limit) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(limit)).map_err(unreachable)?;
                    stream.set_write_timeout(Some(limit)).map_err(unreachable)?;
                    let mut connection = Connection { address, reader: BufReader::new(stream) };
                    if let Some(token) = self.token()? {
                        connection.call(&["AUTH", &token])?;
                    }
                    return Ok(connection);
                }
                Err(error) => last = error,
            }
        }
        Err(unreachable(last))
    }
}

/// A connection for one command at a time.
struct Connection {
    address: String,
    reader: BufReader<TcpStream>,
}

impl Connection {
    fn call(&mut self, words: &[&str]) -> Result<String, CallError> {
        self.reader.get_mut().write_all(&request(words)).map_err(|e| self.gone(e))?;
        let line = self.line()?;
        let (head, rest) = line.split_at(line.len().min(1));
        match head {
            "+" | ":" => Ok(rest.to_owned()),
            "-" => Err(CallError::Refused(refusal(rest))),
            "$" => self.body(rest),
            "*" => self.list(rest),
            _ => Err(CallError::Nonsense(line)),
        }
    }

    fn line(&mut self) -> Result<String, CallError> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.reader).take(ADMIN_REPLY_BYTES_MAX as u64);
        let read = bounded.read_until(b'\n', &mut line);
        read.map_err(|error| self.gone(error))?;
        match line.strip_suffix(b"\r\n") {
            Some(text) => Ok(String::from_utf8_lossy(text).into_owned()),
            None => Err(self.gone(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    fn body(&mut self, digits: &str) -> Result<String, CallError> {
        let length = digits.parse().ok().filter(|length| *length <= ADMIN_REPLY_BYTES_MAX);
        let length = length.ok_or_else(|| CallError::Nonsense(format!("${digits}")))?;
        let mut body = vec![0; length + 2];
        self.reader.read_exact(&mut body).map_err(|error| self.gone(error))?;
        body.truncate(length);
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// Texts, each on a line of its own.
    fn list(&mut self, digits: &str) -> Result<String, CallError> {
        let nonsense = |line: &str| CallError::Nonsense(line.to_owned());
        let count = digits.parse().ok().filter(|count| *count <= ADMIN_REPLY_TEXTS_MAX);
        let mut texts = Vec::new();
        for _ in 0..count.ok_or_else(|| nonsense(&format!("*{digits}")))? {
            let line = self.line()?;
            let length = line.strip_prefix('$').ok_or_else(|| nonsense(&line))?;
            texts.push(self.body(length)?);
        }
        Ok(texts.join("\n"))
    }

    fn gone(&self, error: io::Error) -> CallError {
        CallError::Unreachable(self.address.clone(), error)
    }
}

/// A command as RESP.
fn request(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

/// An error as people read it.
fn refusal(text: &str) -> String {
    let text = text.strip_prefix("ERR ").unwrap_or(text);
    if text.starts_with("NOAUTH") || text.starts_with("WRONGPASS") {
        return format!("{text}. --token-file FILE or CRABCACHE_TOKEN says the token");
    }
    text.replace("FORCE", "--force")
}
