//! Bad input and bad manners: a clear error or a closed connection with a log line, bounded
//! memory, and other clients that notice nothing.

mod common;

use common::{Client, Node, PATIENCE, resp};
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

/// Sends bytes and expects this error, the end, and a log line; then that others are served.
#[track_caller]
fn refused(node: &Node, bytes: impl AsRef<[u8]>, error: &str) {
    let mut client = node.connect();
    client.send(bytes);
    client.expect(format!("-ERR Protocol error: {error}\r\n"));
    client.expect_end();
    node.logged(&format!("closing a connection: Protocol error: {error}"));
    node.connect().check(&["PING"], "+PONG\r\n");
}

#[test]
fn malformed_commands() {
    let node = Node::start(&[]);
    refused(&node, "*x\r\n", "invalid multibulk length");
    refused(&node, "*1\r\nPING\r\n", "expected '$', got 'P'");
    refused(&node, "*1\r\n$-5\r\n", "invalid bulk length");
    refused(&node, "SET a \"b\r\n", "unbalanced quotes in request");
    refused(&node, b"\xCC\x01\x02", "the binary protocol is not spoken here");
    // What came before is answered first.
    let mut client = node.connect();
    client.send("SET a 1\r\nGET a\r\n*1\r\n!\r\nGET a\r\n");
    client.expect("+OK\r\n$1\r\n1\r\n-ERR Protocol error: expected '$', got '!'\r\n");
    client.expect_end();
}

#[test]
fn oversized_commands() {
    let node = Node::start(&["server.query_limit=1MiB"]);
    let before = node.resident_bytes();
    refused(&node, "*1000000000\r\n", "invalid multibulk length");
    refused(&node, "*2\r\n$3\r\nGET\r\n$999999999999\r\n", "invalid bulk length");
    refused(&node, "x".repeat(70_000), "too big inline request");
    // Announced is not sent: nothing is reserved for it.
    let mut patient: Vec<Client> = (0..50).map(|_| node.connect()).collect();
    for client in &mut patient {
        client.send("*1000000\r\n$3\r\nDEL\r\n$60000000\r\nabc");
        client.check_nothing();
    }
    assert!(node.resident_bytes() - before < 100 << 20, "memory follows what is announced");
    // A key has a length too.
    let mut client = node.connect();
    let most = crabcache::limits::KEY_BYTES_MAX;
    let refused = format!("-ERR key is too long, {most} bytes are the most\r\n");
    client.check(&["GET", &"k".repeat(most + 1)], &refused);
    client.check(&["GET", &"k".repeat(most)], "$-1\r\n");
}

#[test]
fn a_command_without_end() {
    let node = Node::start(&["server.query_limit=64KiB", "server.validation=normal"]);
    let mut client = node.connect();
    client.send("*1000000\r\n$4\r\nMSET\r\n");
    let part = &resp(&[&"x".repeat(10_000)])[4..];
    // As much as the largest value, then it ends.
    let taken = (0..20_000).take_while(|_| client.stream().write_all(part).is_ok()).count();
    assert!((1_000..10_000).contains(&taken), "{taken} arguments were taken");
    node.logged("closing a connection: its query buffer is full");
    node.connect().check(&["PING"], "+PONG\r\n");
}

#[test]
fn strict_validation_takes_only_clean_keys() {
    let node = Node::start(&["server.validation=strict"]);
    let mut client = node.connect();
    let refused = "-ERR key is not allowed: server.validation = \"strict\" takes 1 to 1024 bytes \
                   of UTF-8 without control characters\r\n";
    client.check(&["SET", "grün", "1"], "+OK\r\n");
    client.check(&["SET", "", "1"], refused);
    client.check(&["MGET", "a", "b\n"], refused);
    client.check(&["MSET", "a", "\n", "b", "1"], "+OK\r\n");
    client.check(&["RENAME", "a", "\t"], refused);
}

#[test]
fn truncated_commands() {
    let node = Node::start(&[]);
    let whole = [resp(&["SET", "k", "v"]), resp(&["SET", "big", &"v".repeat(40_000)])];
    for (command, step) in whole.iter().zip([1, 1_357]) {
        for cut in (0..command.len()).step_by(step) {
            let mut client = node.connect();
            client.send(&command[..cut]);
            client.finish();
            client.expect_end();
        }
    }
    node.connect().check(&["DBSIZE"], ":0\r\n");
}

#[test]
fn who_once_sent_a_command_in_pieces_may_be_idle() {
    let node = Node::start(&["server.workers=1", "server.partial_timeout=1s"]);
    let half_sent = |client: &mut Client| {
        client.send("*2\r\n$4\r\nECHO\r\n$2\r\nh");
        node.until("it is read", |other| {
            let list = other.text(&["CLIENT", "LIST"]);
            list.lines().any(|line| !line.contains(" qbuf=0 "))
        });
    };
    let mut idle = node.connect();
    half_sent(&mut idle);
    idle.send("i\r\n");
    idle.expect("$2\r\nhi\r\n");
    // Whoever would have been closed by mistake is closed no later than who came after.
    let mut stuck = node.connect();
    half_sent(&mut stuck);
    stuck.expect_end();
    node.logged("closing a connection: a command of it stands still half-sent");
    idle.check(&["PING"], "+PONG\r\n");
}

#[test]
fn http_is_turned_away_without_an_answer() {
    let node = Node::start(&[]);
    for request in ["GET / HTTP/1.1\r\n", "POST /x\r\n", "HEAD /\r\n", "Host: crab\r\n"] {
        let mut client = node.connect();
        client.send(format!("{request}Content-Length: 9\r\n\r\nSET a b\r\n"));
        client.expect_end();
    }
    node.logged("closing a connection: Protocol error: HTTP on the data port");
    node.connect().check(&["EXISTS", "a"], ":0\r\n");
}

#[test]
fn a_client_that_never_reads() {
    let node = Node::start(&["server.output_limit=1MiB", "server.write_timeout=1s"]);
    let value = "v".repeat(10_000);
    node.connect().check(&["SET", "k", &value], "+OK\r\n");
    let before = node.resident_bytes();
    let mut deaf = node.connect();
    deaf.stream().set_write_timeout(Some(Duration::from_millis(500))).expect("a socket");
    let part = resp(&["GET", "k"]).repeat(100);
    // The node stops reading, so that this does not get far: 1 MiB and what sockets hold.
    let sent = (0..10_000).take_while(|_| deaf.stream().write_all(&part).is_ok()).count();
    assert!(sent < 10_000, "the node reads on though nobody takes its answers");
    assert!(node.resident_bytes().saturating_sub(before) < 64 << 20, "answers pile up");
    node.connect().check(&["STRLEN", "k"], ":10000\r\n");
    node.logged("closing a connection: it takes no answers");
    node.until("it is gone", |client| client.text(&["CLIENT", "LIST"]).lines().count() == 1);
}

#[test]
fn many_clients_that_never_read() {
    const CLIENTS: usize = 40;
    let node = Node::start(&["server.workers=2"]);
    let mut other = node.connect();
    other.check(&["SET", "k", &"v".repeat(1000)], "+OK\r\n");
    let before = node.resident_bytes();
    let part = resp(&["GET", "k"]).repeat(1000);
    let deaf: Vec<Client> = (0..CLIENTS)
        .map(|_| {
            let mut client = node.connect();
            let patience = Some(Duration::from_millis(50));
            client.stream().set_write_timeout(patience).expect("a socket");
            while client.stream().write_all(&part).is_ok() {}
            client
        })
        .collect();
    let most = node.resident_bytes().saturating_sub(before);
    assert!(most < CLIENTS as u64 * (2 << 20), "{most} bytes of answers that nobody takes");
    other.check(&["STRLEN", "k"], ":1000\r\n");
    drop(deaf);
    // Nobody asks for anything then, and yet it is given back.
    common::eventually("the memory is given back", || {
        node.resident_bytes().saturating_sub(before) < 16 << 20
    });
}

#[test]
fn a_slow_reader_gets_all_in_the_end() {
    let node = Node::start(&["server.output_limit=64KiB"]);
    let value = "v".repeat(100_000);
    node.connect().check(&["SET", "k", &value], "+OK\r\n");
    let mut client = node.connect();
    let mut writer = Client::new(client.stream().try_clone().expect("a socket"));
    let thread = std::thread::spawn(move || writer.send(resp(&["GET", "k"]).repeat(300)));
    let answer = format!("$100000\r\n{value}\r\n");
    (0..300).for_each(|_| client.expect(&answer));
    thread.join().expect("all is sent");
    client.check(&["PING"], "+PONG\r\n");
}

#[test]
fn a_command_that_stands_still_half_sent() {
    let node = Node::start(&["server.partial_timeout=1s"]);
    let mut idle = node.connect();
    let mut client = node.connect();
    client.send("*2\r\n$3\r\nGET\r\n$5\r\nhal");
    client.expect_end();
    node.logged("closing a connection: a command of it stands still half-sent");
    // Half a large value is half a command too.
    let mut client = node.connect();
    client.send("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$50000\r\nhal");
    client.expect_end();
    idle.check(&["PING"], "+PONG\r\n");
}

#[test]
fn an_idle_client() {
    let node = Node::start(&["server.idle_timeout=1s"]);
    let mut client = node.connect();
    client.check(&["PING"], "+PONG\r\n");
    client.expect_end();
    node.logged("closing a connection: it is idle");
}

#[test]
fn too_many_clients() {
    let node = Node::start(&["server.max_clients=3"]);
    let mut clients: Vec<Client> = (0..3).map(|_| node.connect()).collect();
    clients.iter_mut().for_each(|client| client.check(&["PING"], "+PONG\r\n"));
    let mut fourth = node.connect();
    fourth.expect("-ERR max number of clients reached\r\n");
    fourth.expect_end();
    node.logged("too many clients");
    clients[0].check(&["CONFIG", "SET", "maxclients", "4"], "+OK\r\n");
    node.connect().check(&["PING"], "+PONG\r\n");
}

#[test]
fn ten_thousand_idle_connections() {
    let wanted = 10_000;
    let allowed = raise_descriptor_limit(wanted as u64 + 500) as usize;
    let count = wanted.min(allowed.saturating_sub(500));
    if count < wanted {
        println!("not run with {wanted} connections but with {count}: the system allows no more");
    }
    let node = Node::start(&["server.max_clients=20000", "server.tcp_backlog=4096"]);
    node.connect().check(&["PING"], "+PONG\r\n");
    let before = node.resident_bytes();
    let connect = |i: usize| {
        // Loopback has many addresses: one would run out of ports in some set-ups.
        let stream = TcpStream::connect_timeout(&node.address(), PATIENCE);
        stream.unwrap_or_else(|e| panic!("connection {i}: {e}"))
    };
    let mut idle: Vec<TcpStream> = (0..count).map(connect).collect();
    let line = format!("connected_clients:{}\r\n", count + 1);
    node.until("all are in", |client| client.text(&["INFO", "clients"]).contains(&line));
    let each = (node.resident_bytes() - before) / count as u64;
    println!("{each} bytes for an idle connection");
    assert!(each < 4096, "{each} bytes for an idle connection");
    for stream in idle.drain(..).step_by(100) {
        let mut client = Client::new(stream);
        client.check(&["PING"], "+PONG\r\n");
    }
    node.until("all are gone", |client| client.text(&["CLIENT", "LIST"]).lines().count() == 1);
}

fn raise_descriptor_limit(wanted: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the calls read and write only the struct they are given.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_cur.max(wanted.min(limit.rlim_max));
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
    }
    limit.rlim_cur
}

#[test]
fn values_grow_as_far_as_the_mode_allows() {
    const TOO_LONG: &str = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n";
    let node = Node::start(&["memory.max_memory=none"]);
    let mut client = node.connect();
    let end = (64 << 20).to_string();
    client.check(&["SETRANGE", "k", &end, "x"], TOO_LONG);
    client.check(&["CONFIG", "SET", "server.validation", "relaxed"], "+OK\r\n");
    client.check(&["SETRANGE", "k", &end, "x"], ":67108865\r\n");
    client.check(&["APPEND", "k", "yz"], ":67108867\r\n");
    client.check(&["GETRANGE", "k", "-4", "-1"], "$4\r\n\0xyz\r\n");
    client.check(&["SETRANGE", "k", &(512 << 20).to_string(), "x"], TOO_LONG);
    client.check(&["CONFIG", "SET", "server.validation", "normal"], "+OK\r\n");
    client.check(&["APPEND", "k", "yz"], TOO_LONG);
    let node = Node::start(&["server.validation=relaxed"]);
    node.connect().check(&["SETRANGE", "k", &end, "x"], ":67108865\r\n");
}

#[test]
fn what_has_no_room_to_grow_stays_as_it_is() {
    let node = Node::start(&["memory.max_memory=9MiB", "memory.shards=1"]);
    let mut client = node.connect();
    let (old, more) = ("o".repeat(4_100_000), "m".repeat(4_100_000));
    client.check(&["SET", "k", &old], "+OK\r\n");
    let full = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    client.check(&["APPEND", "k", &more], full);
    client.check(&["STRLEN", "k"], ":4100000\r\n");
    client.check(&["SETRANGE", "k", "4100000", &more], full);
    client.check(&["SETRANGE", "k", "9500000", "x"], full);
    client.check(&["GETRANGE", "k", "4099999", "-1"], "$1\r\no\r\n");
    client.check(&["APPEND", "k", "x"], ":4100001\r\n");
}

#[test]
fn values_half_received_stay_within_the_bound() {
    const PART: usize = 60 << 20;
    const WHOLE: usize = 64 << 20;
    let node = Node::start(&["memory.max_memory=128MiB", "server.workers=2"]);
    let mut other = node.connect();
    other.check(&["SET", "small", "1"], "+OK\r\n");
    let before = node.resident_bytes();
    let part = vec![b'v'; PART];
    let mut half: Vec<Client> = (0..12).map(|_| node.connect()).collect();
    for (i, client) in half.iter_mut().enumerate() {
        client.send(format!("*3\r\n$3\r\nSET\r\n$4\r\nbig{}\r\n${WHOLE}\r\n", i % 10));
        client.send(&part);
        other.check(&["INCR", "count"], &format!(":{}\r\n", i + 1));
        let more = node.resident_bytes().saturating_sub(before);
        assert!(more < (128 << 20) * 103 / 100 + (4 << 20), "{more} bytes with {i} values");
    }
    // A value of usual size finds room beside them.
    other.check(&["SET", "mine", &"m".repeat(1 << 20)], "+OK\r\n");
    // The rest of those that are refused is skipped, and the connections go on.
    let mut stored = 0;
    for client in &mut half {
        client.send(&part[..WHOLE - PART]);
        client.send("\r\n");
        let answer = client.line();
        stored += usize::from(answer == "+OK");
        assert!(answer == "+OK" || answer.starts_with("-OOM "), "{answer}");
        client.check(&["PING"], "+PONG\r\n");
    }
    assert!((1..=2).contains(&stored), "{stored} were stored");
    // Who goes leaves room.
    for client in &mut half {
        client.send(format!("*3\r\n$3\r\nSET\r\n$4\r\ngone\r\n${WHOLE}\r\n"));
        client.send(&part[..PART / 2]);
    }
    drop(half);
    let whole = "w".repeat(PART);
    node.until("there is room", |client| {
        client.send_command(&["SET", "last", &whole]);
        client.line() == "+OK"
    });
    other.check(&["STRLEN", "last"], &format!(":{PART}\r\n"));
    let more = node.resident_bytes().saturating_sub(before);
    assert!(more < (128 << 20) * 103 / 100 + (4 << 20), "{more} bytes at the end");
}

#[test]
fn what_follows_a_refused_value_is_executed() {
    let node = Node::start(&["memory.max_memory=32MiB", "memory.policy=noeviction"]);
    let mut client = node.connect();
    // Larger than the node: none of it is kept.
    let value = "v".repeat(40 << 20);
    client.send_command(&["MSET", "a", "1", "b", &value, "c", &"w".repeat(1 << 20)]);
    client.send_command(&["DBSIZE"]);
    client.expect("-OOM command not allowed when used memory > 'maxmemory'.\r\n:0\r\n");
    client.check(&["CLIENT", "REPLY", "SKIP"], "");
    client.send_command(&["SET", "b", &value]);
    client.check(&["DBSIZE"], ":0\r\n");
    client.check(&["SET", "c", &"w".repeat(1 << 20)], "+OK\r\n");
}
