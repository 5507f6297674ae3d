//! Setting up connections, and the few commands of the set-up (AUTH, FLUSHALL, INFO), one at a
//! time and blocking. Not for load.

use super::error::BenchError;
use super::wire::{put_command, read_length};
use crate::limits::{BENCH_CONNECT_MS_MAX, BENCH_CONTROL_REPLY_BYTES_MAX};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Where the server is, and what it must be told first.
#[derive(Clone)]
pub(super) struct Target {
    host: String,
    address: SocketAddr,
    token: Option<String>,
}

impl Target {
    /// Looks the host up.
    pub(super) fn resolve(
        host: &str,
        port: u16,
        token: Option<String>,
    ) -> Result<Target, BenchError> {
        let connect = |source| BenchError::Connect { address: format!("{host}:{port}"), source };
        let mut addresses = (host, port).to_socket_addrs().map_err(connect)?;
        let address = addresses.next().ok_or_else(|| {
            connect(std::io::Error::new(std::io::ErrorKind::NotFound, "the host has no address"))
        })?;
        Ok(Target { host: host.to_owned(), address, token })
    }

    /// Makes an authenticated connection.
    pub(super) fn connect(&self) -> Result<TcpStream, BenchError> {
        self.control().map(|control| control.reader.into_inner())
    }

    /// Makes an authenticated connection for commands of the set-up.
    pub(super) fn control(&self) -> Result<Control, BenchError> {
        let limit = Duration::from_millis(BENCH_CONNECT_MS_MAX);
        let stream = TcpStream::connect_timeout(&self.address, limit)
            .map_err(|source| BenchError::Connect { address: self.to_string(), source })?;
        stream
            .set_nodelay(true)
            .and_then(|()| stream.set_read_timeout(Some(limit)))
            .and_then(|()| stream.set_write_timeout(Some(limit)))
            .map_err(BenchError::io("setting a socket up"))?;
        let mut control = Control { reader: BufReader::new(stream) };
        if let Some(token) = &self.token {
            control.command("AUTH", &[token.as_bytes()])?;
        }
        Ok(control)
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.address.port())
    }
}

/// A connection for one command at a time.
pub(super) struct Control {
    reader: BufReader<TcpStream>,
}

impl Control {
    /// Empties the server.
    pub(super) fn flush_all(&mut self) -> Result<(), BenchError> {
        self.command("FLUSHALL", &[]).map(|_| ())
    }

    /// The CPU time the server has used so far, in nanoseconds, where its INFO tells.
    pub(super) fn server_cpu_nanos(&mut self) -> Option<u64> {
        let info = self.command("INFO", &[b"cpu"]).ok()?;
        let info = std::str::from_utf8(&info).ok()?;
        let field = |name: &str| -> Option<f64> {
            info.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?
                .trim()
                .parse()
                .ok()
        };
        let seconds = field("used_cpu_user")? + field("used_cpu_sys")?;
        Some((seconds * 1e9) as u64)
    }

    /// Sends a command and gives the text of its status or the bytes of its value.
    fn command(&mut self, name: &'static str, args: &[&[u8]]) -> Result<Vec<u8>, BenchError> {
        let mut request = Vec::new();
        let all: Vec<&[u8]> =
            std::iter::once(name.as_bytes()).chain(args.iter().copied()).collect();
        put_command(&mut request, &all);
        self.reader.get_mut().write_all(&request).map_err(BenchError::io("sending"))?;
        let line = self.line()?;
        match line.split_first() {
            Some((b'+' | b':', text)) => Ok(text.to_vec()),
            Some((b'-', text)) => {
                Err(BenchError::Refused { command: name, reply: text.escape_ascii().to_string() })
            }
            Some((b'$' | b'=', digits)) => self.body(digits),
            _ => Err(BenchError::Protocol(format!("reply to {name}: {}", line.escape_ascii()))),
        }
    }

    fn line(&mut self) -> Result<Vec<u8>, BenchError> {
        let mut line = Vec::new();
        (&mut self.reader)
            .take(BENCH_CONTROL_REPLY_BYTES_MAX as u64)
            .read_until(b'\n', &mut line)
            .map_err(BenchError::io("receiving"))?;
        match line.strip_suffix(b"\r\n") {
            Some(text) => Ok(text.to_vec()),
            None if line.is_empty() => Err(BenchError::Closed),
            None => Err(BenchError::Protocol("a reply line without its end".to_owned())),
        }
    }

    fn body(&mut self, digits: &[u8]) -> Result<Vec<u8>, BenchError> {
        let length = read_length(digits).map_err(BenchError::Protocol)?;
        if length > BENCH_CONTROL_REPLY_BYTES_MAX {
            return Err(BenchError::Protocol(format!("a reply of {length} bytes")));
        }
        let mut body = vec![0; length + 2];
        self.reader.read_exact(&mut body).map_err(BenchError::io("receiving"))?;
        body.truncate(length);
        Ok(body)
    }
}
