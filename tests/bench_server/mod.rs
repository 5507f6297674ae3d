//! A small cache server for the tests of the load generator: written apart from the real one, so
//! that both sides cannot be wrong in the same way. Threads and blocking sockets, loopback only.

// Each test file uses its part of it.
#![allow(dead_code)]

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

/// A command as it came.
pub(crate) type Command = Vec<Vec<u8>>;

/// What a server does differently from a plain one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manners {
    /// Most items; the one not used for longest goes.
    pub(crate) items_max: Option<usize>,
    /// AUTH with this is asked for.
    pub(crate) token: Option<String>,
    /// SET is answered with this error.
    pub(crate) set_error: Option<String>,
    /// A connection is closed when it has sent this many commands.
    pub(crate) commands_max: Option<usize>,
    /// Every command is answered with these bytes.
    pub(crate) answer: Option<&'static [u8]>,
    /// Nothing is answered before a connection has sent this many commands.
    pub(crate) answer_from: usize,
}

/// A running server; its threads end with their connections, or with the process.
pub(crate) struct Server {
    pub(crate) port: u16,
    state: Arc<State>,
}

struct State {
    manners: Manners,
    cache: Mutex<Cache>,
    log: Mutex<Vec<Command>>,
}

/// Keys with their value and when they were used last.
#[derive(Default)]
struct Cache {
    items: HashMap<Vec<u8>, (Vec<u8>, u64)>,
    uses: u64,
}

impl Server {
    pub(crate) fn start(manners: Manners) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(State { manners, cache: Mutex::default(), log: Mutex::default() });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                // A client that goes away in the middle is no failure of the server.
                std::thread::spawn(move || state.serve(stream).unwrap_or_default());
            }
        });
        Server { port, state }
    }

    /// One that is not there: its port was free a moment ago.
    pub(crate) fn absent() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (cache, log) = (Mutex::default(), Mutex::default());
        Server { port, state: Arc::new(State { manners: Manners::default(), cache, log }) }
    }

    /// All GETs and SETs so far.
    pub(crate) fn data_commands(&self) -> Vec<Command> {
        let log = lock(&self.state.log);
        log.iter().filter(|c| c[0] == b"GET" || c[0] == b"SET").cloned().collect()
    }

    /// Items in the cache.
    pub(crate) fn len(&self) -> usize {
        lock(&self.state.cache).items.len()
    }
}

impl State {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut writer = stream;
        let mut held = Vec::new();
        let mut trusted = self.manners.token.is_none();
        let mut count = 0;
        while let Some(command) = read_command(&mut reader)? {
            count += 1;
            if self.manners.commands_max.is_some_and(|max| count > max) {
                return Ok(());
            }
            lock(&self.log).push(command.clone());
            self.answer(&command, &mut trusted, &mut held);
            let is_control = !matches!(&command[0][..], b"GET" | b"SET");
            if count >= self.manners.answer_from || is_control {
                writer.write_all(&held)?;
                held.clear();
            }
        }
        Ok(())
    }

    fn answer(&self, command: &Command, trusted: &mut bool, out: &mut Vec<u8>) {
        if let Some(answer) = self.manners.answer {
            return out.extend_from_slice(answer);
        }
        let args: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
        let mut cache = lock(&self.cache);
        match args[..] {
            [b"AUTH", token] => {
                *trusted = self.manners.token.as_deref().map(str::as_bytes) == Some(token);
                let answer = if *trusted { "+OK\r\n" } else { "-WRONGPASS no\r\n" };
                out.extend_from_slice(answer.as_bytes());
            }
            _ if !*trusted => out.extend_from_slice(b"-NOAUTH Authentication required.\r\n"),
            [b"FLUSHALL"] => {
                cache.items.clear();
                out.extend_from_slice(b"+OK\r\n");
            }
            [b"GET", key] => match cache.get(key) {
                Some(value) => {
                    out.extend_from_slice(format!("${}\r\n", value.len()).as_bytes());
                    out.extend_from_slice(value);
                    out.extend_from_slice(b"\r\n");
                }
                None => out.extend_from_slice(b"$-1\r\n"),
            },
            [b"SET", key, value] | [b"SET", key, value, b"EX", _] => {
                match &self.manners.set_error {
                    Some(error) => out.extend_from_slice(format!("-{error}\r\n").as_bytes()),
                    None => {
                        cache.set(key, value, self.manners.items_max);
                        out.extend_from_slice(b"+OK\r\n");
                    }
                }
            }
            _ => out.extend_from_slice(b"-ERR unknown command\r\n"),
        }
    }
}

impl Cache {
    fn get(&mut self, key: &[u8]) -> Option<&[u8]> {
        self.uses += 1;
        let (value, used) = self.items.get_mut(key)?;
        *used = self.uses;
        Some(value)
    }

    fn set(&mut self, key: &[u8], value: &[u8], items_max: Option<usize>) {
        self.uses += 1;
        self.items.insert(key.to_vec(), (value.to_vec(), self.uses));
        if self.items.len() > items_max.unwrap_or(usize::MAX) {
            let oldest = self.items.iter().min_by_key(|(_, (_, used))| *used);
            let oldest = oldest.map(|(key, _)| key.clone()).expect("an item");
            self.items.remove(&oldest);
        }
    }
}

fn read_command(reader: &mut impl BufRead) -> io::Result<Option<Command>> {
    let Some(count) = read_number(reader, b'*')? else { return Ok(None) };
    let mut command = Vec::new();
    for _ in 0..count {
        let length = read_number(reader, b'$')?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut arg = vec![0; length + 2];
        reader.read_exact(&mut arg)?;
        assert_eq!(arg.split_off(length), b"\r\n");
        command.push(arg);
    }
    Ok(Some(command))
}

fn read_number(reader: &mut impl BufRead, first: u8) -> io::Result<Option<usize>> {
    let mut line = Vec::new();
    if reader.by_ref().take(64).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    let text = line.strip_suffix(b"\r\n").and_then(|line| line.strip_prefix(&[first]));
    let text = std::str::from_utf8(text.expect("a well-formed line")).expect("digits");
    Ok(Some(text.parse().expect("a number")))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread of the server panics")
}
