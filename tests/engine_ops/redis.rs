//! A real Redis to compare with, where one is installed: its process, and as much of its protocol
//! as the replies need.

use bytes::Bytes;
use crabcache::command::reply::Reply;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

/// A running Redis with a connection to it. Ends with it.
pub struct Redis {
    process: Child,
    stream: BufReader<UnixStream>,
    _folder: tempfile::TempDir,
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Redis {
    /// Starts `redis-server` on a socket of its own, or says that there is none.
    pub fn start() -> Option<Redis> {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("redis.sock");
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--unixsocket"]).arg(&socket);
        let command = command.current_dir(folder.path()).stdout(Stdio::piped());
        let Ok(mut process) = command.spawn() else {
            eprintln!("not run: no redis-server");
            return None;
        };
        // It says when it can be spoken to; the rest of its log is small enough for the pipe.
        let log = BufReader::new(process.stdout.as_mut().expect("its output"));
        let ready = |line: &String| line.contains("eady to accept connections");
        log.lines().map_while(Result::ok).find(ready).expect("a Redis that starts");
        let stream = BufReader::new(UnixStream::connect(&socket).expect("a connection"));
        Some(Redis { process, stream, _folder: folder })
    }

    /// Executes a command.
    pub fn run(&mut self, words: &[Vec<u8>]) -> Reply {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&bytes).expect("sent");
        self.reply()
    }

    fn reply(&mut self) -> Reply {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("a reply");
        let (kind, rest) = line.trim_end().split_at(1);
        let number = || rest.parse::<i64>().expect("a number");
        match kind {
            "+" => Reply::Simple(rest.into()),
            "-" => Reply::Error(rest.into()),
            ":" => Reply::Integer(number()),
            "$" | "*" if number() < 0 => Reply::Null,
            "$" => {
                let mut bytes = vec![0; number() as usize + 2];
                self.stream.read_exact(&mut bytes).expect("a string");
                bytes.truncate(bytes.len() - 2);
                Reply::Bulk(Bytes::from(bytes))
            }
            "*" => Reply::Array((0..number()).map(|_| self.reply()).collect()),
            _ => panic!("no reply: {line}"),
        }
    }
}

/// A reply as the older protocol has it: a map is an array.
pub fn flat(reply: Reply) -> Reply {
    match reply {
        Reply::Map(pairs) => {
            Reply::Array(pairs.into_iter().flat_map(|(k, v)| [flat(k), flat(v)]).collect())
        }
        Reply::Array(list) | Reply::Set(list) => Reply::Array(list.into_iter().map(flat).collect()),
        other => other,
    }
}
