//! `crabcache healthcheck`: asks a node over HTTP whether it is well, with nothing but a socket, so
//! that images without a shell can check themselves. Knows two paths and what a status line is.

use super::Settings;
use crate::config::Config;
use crate::limits;
use clap::Args;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

/// What to ask.
#[derive(Args, Clone, Debug)]
pub(super) struct Options {
    /// Ask whether the node takes commands, not only whether it is alive.
    #[arg(long)]
    pub(super) ready: bool,
    #[command(flatten)]
    pub(super) settings: Settings,
}

/// Asks the node that runs with `config`: prints its answer, ends with 0 if it is well.
pub(super) fn run(config: &Config, ready: bool) -> ExitCode {
    if config.http.port == 0 {
        eprintln!("crabcache: http.port is 0, so there is nobody to ask");
        return ExitCode::FAILURE;
    }
    let address = SocketAddr::new(reachable(config.http.bind), config.http.port);
    match ask(address, if ready { "/ready" } else { "/health" }) {
        Ok(answer) => {
            println!("{}", answer.body);
            if answer.status == 200 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("crabcache: no answer from http://{address}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Where a listener on `bind` can be reached from this machine.
fn reachable(bind: IpAddr) -> IpAddr {
    match bind {
        IpAddr::V4(any) if any.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(any) if any.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        address => address,
    }
}

#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    body: String,
}

fn ask(address: SocketAddr, path: &str) -> std::io::Result<Answer> {
    let timeout = Duration::from_millis(limits::HEALTHCHECK_MS_MAX);
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut text = Vec::new();
    stream.take(limits::HEALTHCHECK_BYTES_MAX).read_to_end(&mut text)?;
    read(&String::from_utf8_lossy(&text)).ok_or_else(|| {
        std::io::Error::new(std::io::ErrorKind::InvalidData, "the answer is not HTTP")
    })
}

fn read(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut words = head.strip_prefix("HTTP/1.")?.split_ascii_whitespace();
    let status = words.nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.trim_end().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::{Answer, ask, reachable, read};
    use std::io::{BufRead, BufReader, Write};
    use std::net::{IpAddr, TcpListener};

    #[test]
    fn answers() {
        let well = Answer { status: 200, body: "{}".into() };
        assert_eq!(read("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), Some(well));
        let unwell = Answer { status: 503, body: "loading".into() };
        assert_eq!(read("HTTP/1.1 503 Service Unavailable\r\n\r\nloading\n"), Some(unwell));
        assert_eq!(read("-ERR unknown command\r\n"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn a_wildcard_is_reached_on_loopback() {
        let at = |text: &str| reachable(text.parse::<IpAddr>().expect("an address")).to_string();
        assert_eq!(at("0.0.0.0"), "127.0.0.1");
        assert_eq!(at("::"), "::1");
        assert_eq!(at("10.1.2.3"), "10.1.2.3");
    }

    #[test]
    fn asks_over_a_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let node = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let lines = BufReader::new(stream.try_clone().expect("a handle")).lines();
            let head: Vec<String> =
                lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nwell").expect("sent");
            head
        });
        let answer = ask(address, "/ready").expect("an answer");
        assert_eq!(answer, Answer { status: 200, body: "well".into() });
        assert_eq!(node.join().expect("the node ends")[0], "GET /ready HTTP/1.1");
    }
}
