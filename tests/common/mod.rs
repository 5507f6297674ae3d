//! A real node in a process of its own, and a client that speaks bytes to it.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

use crabcache::clock::monotonic_nanos;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// Longest wait for anything: beyond it the test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A time in which something has to happen.
struct Deadline(u64);

impl Deadline {
    fn new() -> Deadline {
        Deadline(monotonic_nanos() + PATIENCE.as_nanos() as u64)
    }

    /// What is left of it.
    fn left(&self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(monotonic_nanos()))
    }
}

/// Asks until the answer is yes.
pub fn eventually(what: &str, mut ask: impl FnMut() -> bool) {
    let until = Deadline::new();
    while !ask() {
        assert!(!until.left().is_zero(), "never: {what}");
        thread::yield_now();
    }
}

/// A running node; ends with the test.
pub struct Node {
    child: Child,
    address: SocketAddr,
    log: Arc<Log>,
}

/// What a node said.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Log {
    /// Waits for the first line that `pick` takes something from.
    fn wait<T>(&self, what: &str, pick: impl Fn(&str) -> Option<T>) -> T {
        let until = Deadline::new();
        let mut lines = self.lines.lock().expect("the log");
        loop {
            if let Some(found) = lines.iter().find_map(|line| pick(line)) {
                return found;
            }
            let left = until.left();
            assert!(!left.is_zero(), "no log line with {what} in: {lines:#?}");
            lines = self.more.wait_timeout(lines, left).expect("the log").0;
        }
    }
}

impl Node {
    /// Starts a node on any free port, with these settings.
    pub fn start(sets: &[&str]) -> Node {
        Node::start_from(None, sets)
    }

    /// The same, from a file with settings.
    pub fn start_from(file: Option<&Path>, sets: &[&str]) -> Node {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crabcache"));
        command.args(["server", "--set", "server.port=0", "--set", "http.port=0"]);
        sets.iter().for_each(|set| {
            command.args(["--set", set]);
        });
        file.iter().for_each(|file| {
            command.arg("--config").arg(file);
        });
        command.env_clear().stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
        let mut child = command.spawn().expect("the binary runs");
        let log = Arc::new(Log::default());
        collect(child.stdout.take().expect("a pipe"), log.clone());
        collect(child.stderr.take().expect("a pipe"), log.clone());
        let address = log.wait("an address", |line| {
            let (_, rest) = line.split_once(" address=")?;
            rest.split_whitespace().next()?.parse().ok()
        });
        Node { child, address, log }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A new connection.
    pub fn connect(&self) -> Client {
        Client::new(TcpStream::connect(self.address).expect("the node listens"))
    }

    /// Waits for a log line with these words.
    pub fn logged(&self, words: &str) {
        self.log.wait(words, |line| line.contains(words).then_some(()));
    }

    /// Bytes of memory it holds.
    pub fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(path).expect("a running process");
        let line = text.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("KiB");
        kib * 1024
    }

    /// Sends a signal: SIGTERM, SIGINT.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        let until = Deadline::new();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(!until.left().is_zero(), "the node does not end");
            thread::yield_now();
        }
    }

    /// Asks until the answer is as it should be.
    pub fn until(&self, what: &str, mut ask: impl FnMut(&mut Client) -> bool) {
        let mut client = self.connect();
        eventually(what, || ask(&mut client));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(pipe: impl Read + Send + 'static, log: Arc<Log>) {
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            log.lines.lock().expect("the log").push(line);
            log.more.notify_all();
        }
    });
}

/// A connection to a node.
pub struct Client {
    stream: TcpStream,
}

impl Client {
    /// Over this socket.
    pub fn new(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        Client { stream }
    }

    /// The socket.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the node takes bytes");
    }

    /// Sends a command as RESP.
    pub fn send_command(&mut self, words: &[&str]) {
        self.send(resp(words));
    }

    /// Says that nothing more comes.
    pub fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("a socket");
    }

    /// Expects exactly these bytes next.
    #[track_caller]
    pub fn expect(&mut self, bytes: impl AsRef<[u8]>) {
        let want = bytes.as_ref();
        let mut got = vec![0; want.len()];
        let mut read = 0;
        while read < want.len() {
            match self.stream.read(&mut got[read..]) {
                Ok(n @ 1..) => read += n,
                Ok(0) => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => panic!("{e}; got {}", show(&got[..read])),
            }
            if got[..read] != want[..read] {
                break;
            }
        }
        assert_eq!(show(&got[..read]), show(want));
    }

    /// Sends a command and expects exactly this answer.
    #[track_caller]
    pub fn check(&mut self, words: &[&str], answer: &str) {
        self.send_command(words);
        self.expect(answer);
    }

    /// Expects that nothing comes, as far as can be told: another connection is answered first.
    #[track_caller]
    pub fn check_nothing(&mut self) {
        let peer = self.stream.peer_addr().expect("a connection");
        let other = TcpStream::connect(peer).expect("the node listens");
        Client::new(other).check(&["PING"], "+PONG\r\n");
        self.stream.set_nonblocking(true).expect("a socket");
        let error = self.stream.read(&mut [0]).expect_err("nothing to read");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        self.stream.set_nonblocking(false).expect("a socket");
    }

    /// Expects the end of the connection, and no byte before it.
    #[track_caller]
    pub fn expect_end(&mut self) {
        assert_eq!(show(&self.rest()), "");
    }

    /// Everything up to the end of the connection. A reset is an end too.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut bytes = [0; 4096];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return all,
                Ok(n) => all.extend_from_slice(&bytes[..n]),
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return all,
                Err(e) => panic!("{e}; got {}", show(&all)),
            }
        }
    }

    /// One line, without its end.
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") {
            self.stream.read_exact(&mut byte).expect("a line");
            line.push(byte[0]);
        }
        String::from_utf8_lossy(&line[..line.len() - 2]).into_owned()
    }

    /// Lets so many lines pass.
    pub fn skip(&mut self, lines: usize) {
        (0..lines).for_each(|_| drop(self.line()));
    }

    /// Sends a command whose answer is one string, verbatim or not, and returns that.
    pub fn text(&mut self, words: &[&str]) -> String {
        self.send_command(words);
        let head = self.line();
        let len: usize = head[1..].parse().unwrap_or_else(|_| panic!("no string: {head}"));
        let mut bytes = vec![0; len + 2];
        self.stream.read_exact(&mut bytes).expect("a string");
        String::from_utf8_lossy(&bytes[..len]).into_owned()
    }
}

/// A command as RESP.
pub fn resp(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

fn show(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(2000)];
    shown.escape_ascii().to_string()
}
