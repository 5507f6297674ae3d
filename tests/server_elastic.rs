//! Connections that change their worker while they are used: nothing is lost, doubled or out of
//! order, and nobody notices but CLIENT LIST.

mod common;

use common::{Client, Node, eventually, resp};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Four workers, of which as many serve as the test says.
fn node(sets: &[&str]) -> (Node, Client) {
    let node = Node::start(&[&["server.workers=4"], sets].concat());
    let mut admin = node.connect();
    if sets.iter().any(|set| set.starts_with("server.tokens")) {
        admin.check(&["AUTH", TOKEN], "+OK\r\n");
    }
    serve_with(&mut admin, 1);
    (node, admin)
}

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Lets so many workers serve.
#[track_caller]
fn serve_with(admin: &mut Client, workers: usize) {
    admin.check(&["DEBUG", "WORKERS", &workers.to_string()], "+OK\r\n");
}

/// The number of a connection.
fn id(client: &mut Client) -> u64 {
    client.send_command(&["CLIENT", "ID"]);
    client.line()[1..].parse().expect("a number")
}

/// A field of a connection in CLIENT LIST.
fn field(admin: &mut Client, id: u64, name: &str) -> String {
    word(&admin.text(&["CLIENT", "LIST", "ID", &id.to_string()]), name).to_owned()
}

/// A field of a line of CLIENT LIST.
fn word<'a>(line: &'a str, name: &str) -> &'a str {
    let mut words = line.split_ascii_whitespace();
    let found = words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("no {name} in {line:?}"))
}

fn number(line: &str, name: &str) -> u64 {
    word(line, name).parse().expect("a number")
}

fn worker_of(admin: &mut Client, id: u64) -> usize {
    field(admin, id, "io-thread").parse().expect("a number")
}

/// Waits until what the node knows of a connection is as it should be.
fn until(admin: &mut Client, id: u64, name: &str, right: impl Fn(u64) -> bool) {
    eventually(name, || right(field(admin, id, name).parse().expect("a number")));
}

/// So many connections, which live on worker 3.
fn on_the_last(node: &Node, admin: &mut Client, count: usize) -> Vec<(Client, u64)> {
    // Four times as many, and the admin, are dealt out evenly as they speak.
    let mut all: Vec<(Client, u64)> = (0..4 * count)
        .map(|_| {
            let mut client = node.connect();
            let id = id(&mut client);
            assert_eq!(worker_of(admin, id), 0, "one worker serves");
            (client, id)
        })
        .collect();
    serve_with(admin, 4);
    for (client, _) in &mut all {
        client.check(&["PING"], "+PONG\r\n");
    }
    all.retain(|(_, id)| worker_of(admin, *id) == 3);
    assert_eq!(all.len(), count, "connections are not dealt out evenly");
    all
}

/// Adds to a number when it ends, also if the test has failed: nobody waits for ever.
struct Finally<'a>(&'a AtomicUsize, usize);

impl Drop for Finally<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(self.1, Ordering::Relaxed);
    }
}

/// Changes the number of workers again and again, counting, until told to stop.
fn flip(admin: &mut Client, flips: &AtomicUsize, stop: impl Fn(usize) -> bool) {
    let _enough = Finally(flips, FLIPS);
    let mut random = 7_u32;
    while !stop(flips.load(Ordering::Relaxed)) {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        serve_with(admin, 1 + (random >> 30) as usize);
        flips.fetch_add(1, Ordering::Relaxed);
    }
}

const FLIPS: usize = 400;

#[test]
fn pipelines_stay_whole_and_in_order() {
    const ROUNDS: usize = 150;
    let (node, mut admin) = node(&[]);
    let (flips, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let talk = |name: usize| {
        let _done = Finally(&done, 1);
        let mut clients: Vec<Client> = (0..3).map(|_| node.connect()).collect();
        let keys: Vec<String> = (0..3).map(|i| format!("count:{name}:{i}")).collect();
        let big = "v".repeat(20_000 + name);
        let mut rounds = 0;
        while rounds < ROUNDS || flips.load(Ordering::Relaxed) < FLIPS {
            rounds += 1;
            // All are asked before the first is heard.
            for (client, key) in clients.iter_mut().zip(&keys) {
                let text = format!("{key} {rounds}");
                let ask = [&["INCR", key.as_str()][..], &["ECHO", &text]].map(resp).concat();
                client.send(ask.repeat(10));
                client.send([resp(&["SET", &text, &big]), resp(&["GET", &text])].concat());
                client.send_command(&["DEL", &text]);
            }
            for (client, key) in clients.iter_mut().zip(&keys) {
                let text = format!("{key} {rounds}");
                for i in 1..=10 {
                    let count = (rounds - 1) * 10 + i;
                    client.expect(format!(":{count}\r\n${}\r\n{text}\r\n", text.len()));
                }
                client.expect(format!("+OK\r\n${}\r\n{big}\r\n:1\r\n", big.len()));
            }
        }
    };
    let talk = &talk;
    thread::scope(|scope| {
        (0..4).for_each(|name| drop(scope.spawn(move || talk(name))));
        flip(&mut admin, &flips, |n| n >= FLIPS && done.load(Ordering::Relaxed) == 4);
    });
}

#[test]
fn a_session_keeps_what_it_said() {
    let (node, mut admin) = node(&[&format!("server.tokens={TOKEN}")]);
    let mut clients: Vec<(Client, u64, String)> = (0..6)
        .map(|i| {
            let (mut client, name) = (node.connect(), format!("bob{i}"));
            client.send_command(&["HELLO", "3", "AUTH", "default", TOKEN, "SETNAME", &name]);
            client.send_command(&["PING"]);
            while client.line() != "+PONG" {}
            client.check(&["CLIENT", "NO-TOUCH", "ON"], "+OK\r\n");
            let id = id(&mut client);
            (client, id, name)
        })
        .collect();
    let mut moves = 0;
    for workers in [4, 2, 3, 4, 2] {
        for (client, id, name) in &mut clients {
            let before = worker_of(&mut admin, *id);
            serve_with(&mut admin, workers);
            client.check(&["CLIENT", "GETNAME"], &format!("$4\r\n{name}\r\n"));
            client.check(&["GET", "none"], "_\r\n");
            moves += usize::from(worker_of(&mut admin, *id) != before);
            // Without answers on the next worker too, until it wants them again.
            client.send("CLIENT REPLY OFF\r\nSET a 1\r\n");
            serve_with(&mut admin, 1);
            client.send("INCR a\r\nPING\r\nCLIENT REPLY ON\r\nGET a\r\n");
            client.expect("+OK\r\n$1\r\n2\r\n");
            client.send("CLIENT REPLY SKIP\r\n");
            serve_with(&mut admin, workers);
            client.send("PING\r\nECHO x\r\n");
            client.expect("$1\r\nx\r\n");
            assert_eq!(field(&mut admin, *id, "name"), *name);
            assert_eq!(field(&mut admin, *id, "resp"), "3");
            assert_eq!(field(&mut admin, *id, "flags"), "T");
        }
    }
    assert!(moves > 0, "nobody moved");
    // Who has not authenticated has not on another worker either.
    let mut stranger = node.connect();
    for workers in [1, 4, 3, 1] {
        serve_with(&mut admin, workers);
        stranger.check(&["GET", "a"], "-NOAUTH Authentication required.\r\n");
    }
}

#[test]
fn what_is_half_sent_or_half_read_stays_where_it_is() {
    let (node, mut admin) = node(&[]);
    let huge = "h".repeat(3_000_000);
    admin.check(&["SET", "huge", &huge], "+OK\r\n");
    let mut clients = on_the_last(&node, &mut admin, 3);
    let big = resp(&["SET", "big", &"v".repeat(3_000_000)]);
    let small = resp(&["SET", "small", "value"]);
    let cuts = [(&small, 9, 20), (&big, 1_000_000, 2_000_000)];
    for ((client, id), (command, first, _)) in clients.iter_mut().zip(cuts) {
        client.send(&command[..first]);
        until(&mut admin, *id, "qbuf", |bytes| bytes > 0);
    }
    // More than the sockets hold.
    let asked = 10;
    let (mut deaf, deaf_id) = clients.pop().expect("three");
    deaf.send(resp(&["GET", "huge"]).repeat(asked));
    until(&mut admin, deaf_id, "omem", |bytes| bytes > 0);
    serve_with(&mut admin, 1);
    for ((client, id), (command, first, second)) in clients.iter_mut().zip(cuts) {
        let before: u64 = field(&mut admin, *id, "qbuf").parse().expect("a number");
        client.send(&command[first..second]);
        until(&mut admin, *id, "qbuf", |bytes| bytes > before);
        assert_eq!(worker_of(&mut admin, *id), 3, "it moved within a command");
        client.send(&command[second..]);
        client.expect("+OK\r\n");
        client.check(&["GET", "small"], "$5\r\nvalue\r\n");
        assert_eq!(worker_of(&mut admin, *id), 0, "it did not move between two commands");
    }
    clients[0].0.check(&["STRLEN", "big"], ":3000000\r\n");
    assert_eq!(worker_of(&mut admin, deaf_id), 3, "it moved with answers unsent");
    deaf.send_command(&["PING"]);
    let answer = format!("$3000000\r\n{huge}\r\n");
    (0..asked).for_each(|_| deaf.expect(&answer));
    deaf.expect("+PONG\r\n");
    deaf.check(&["GET", "small"], "$5\r\nvalue\r\n");
    assert_eq!(worker_of(&mut admin, deaf_id), 0);
}

#[test]
fn a_pause_holds_those_who_move_too() {
    let (node, mut admin) = node(&[]);
    let mut clients = on_the_last(&node, &mut admin, 2);
    admin.check(&["CLIENT", "PAUSE", "600000", "WRITE"], "+OK\r\n");
    serve_with(&mut admin, 1);
    for (client, id) in &mut clients {
        client.send_command(&["SET", "k", "v"]);
        eventually("it waits", || field(&mut admin, *id, "flags") == "b");
    }
    // One of them is ended while it waits: the other is the only one that waits then.
    let (_, killed) = clients.pop().expect("two");
    admin.check(&["CLIENT", "KILL", "ID", &killed.to_string()], ":1\r\n");
    let blocked = "blocked_clients:1\r\n";
    eventually(blocked, || admin.text(&["INFO", "clients"]).contains(blocked));
    serve_with(&mut admin, 4);
    admin.check(&["CLIENT", "UNPAUSE"], "+OK\r\n");
    clients[0].0.expect("+OK\r\n");
    clients[0].0.check(&["GET", "k"], "$1\r\nv\r\n");
}

#[test]
fn everybody_is_listed_once_at_any_time() {
    let (node, mut admin) = node(&[]);
    let mut watcher = node.connect();
    let mut clients: Vec<Client> = (0..12).map(|_| node.connect()).collect();
    let mut ids: BTreeSet<u64> = clients.iter_mut().map(id).collect();
    ids.extend([id(&mut admin), id(&mut watcher)]);
    let (flips, over) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let is_over = || over.load(Ordering::Relaxed) > 0;
    thread::scope(|scope| {
        for chunk in clients.chunks_mut(4) {
            scope.spawn(|| {
                while !is_over() {
                    chunk.iter_mut().for_each(|client| client.send("PING\r\n"));
                    chunk.iter_mut().for_each(|client| client.expect("+PONG\r\n"));
                }
            });
        }
        scope.spawn(|| flip(&mut admin, &flips, |_| is_over()));
        let _over = Finally(&over, 1);
        let (mut looks, mut seen) = (0, BTreeSet::new());
        while looks < 300 || flips.load(Ordering::Relaxed) < FLIPS {
            looks += 1;
            let list = watcher.text(&["CLIENT", "LIST"]);
            let listed: Vec<u64> = list.lines().map(|line| number(line, "id")).collect();
            assert!(listed.is_sorted(), "{listed:?}");
            assert_eq!(BTreeSet::from_iter(listed.iter().copied()), ids, "of {listed:?}");
            assert_eq!(listed.len(), ids.len(), "{listed:?}");
            seen.extend(list.lines().map(|line| number(line, "io-thread")));
        }
        assert!(seen.len() > 1, "nobody moved");
    });
}

#[test]
fn who_is_killed_is_gone_wherever_it_is() {
    let (node, mut admin) = node(&[]);
    // On a worker that rests, and just moved.
    let mut clients = on_the_last(&node, &mut admin, 2);
    serve_with(&mut admin, 1);
    clients[1].0.check(&["PING"], "+PONG\r\n");
    assert_eq!(worker_of(&mut admin, clients[0].1), 3);
    assert_eq!(worker_of(&mut admin, clients[1].1), 0);
    for (client, id) in &mut clients {
        admin.check(&["CLIENT", "KILL", "ID", &id.to_string()], ":1\r\n");
        client.expect_end();
    }
    // While it moves.
    let flips = AtomicUsize::new(0);
    let over = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| flip(&mut admin, &flips, |_| over.load(Ordering::Relaxed) > 0));
        let _over = Finally(&over, 1);
        let mut killer = node.connect();
        for round in 0..200 {
            let mut victim = node.connect();
            let id = id(&mut victim).to_string();
            victim.send("PING\r\n".repeat(round));
            killer.check(&["CLIENT", "KILL", "ID", &id], ":1\r\n");
            let answers = victim.rest();
            assert!(answers.len() <= 7 * round, "more answers than questions");
            assert!(answers.chunks(7).all(|answer| b"+PONG\r\n".starts_with(answer)));
        }
    });
    node.until("all are gone", |client| client.text(&["CLIENT", "LIST"]).lines().count() == 2);
}

#[test]
fn places_for_clients_are_given_back() {
    const MOST: usize = 20;
    let (node, mut admin) = node(&[&format!("server.max_clients={MOST}")]);
    let flips = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let _done = Finally(&done, 1);
                while flips.load(Ordering::Relaxed) < FLIPS {
                    // Most go before they are answered, some perhaps before they are let in, and
                    // some may be turned away.
                    let mut clients: Vec<Client> = (0..3).map(|_| node.connect()).collect();
                    let streams = clients.iter_mut().map(Client::stream);
                    let asked = streams.filter_map(|s| s.write_all(b"PING\r\n").ok()).count();
                    if asked > 0 {
                        let _ = clients[0].stream().read(&mut [0; 64]);
                    }
                }
            });
        }
        flip(&mut admin, &flips, |n| n >= FLIPS && done.load(Ordering::Relaxed) == 3);
    });
    for workers in [4, 1, 2] {
        serve_with(&mut admin, workers);
        eventually("all are gone", || admin.text(&["CLIENT", "LIST"]).lines().count() == 1);
        let mut clients: Vec<Client> = (1..MOST).map(|_| node.connect()).collect();
        clients.iter_mut().for_each(|client| client.check(&["PING"], "+PONG\r\n"));
        let mut further = node.connect();
        further.expect("-ERR max number of clients reached\r\n");
        further.expect_end();
        let line = format!("connected_clients:{MOST}\r\n");
        assert!(admin.text(&["INFO", "clients"]).contains(&line));
    }
}

#[test]
fn the_end_comes_while_they_move() {
    let (mut node, mut admin) = node(&[]);
    let mut clients: Vec<Client> = (0..8).map(|_| node.connect()).collect();
    for workers in [4, 1, 3, 1, 4] {
        serve_with(&mut admin, workers);
        clients.iter_mut().for_each(|client| client.send("PING\r\n".repeat(50)));
    }
    node.signal("TERM");
    assert!(node.ended().success());
    for mut client in clients {
        let answers = client.rest();
        assert!(answers.chunks(7).all(|answer| answer == b"+PONG\r\n"));
    }
}

#[test]
fn who_decides_how_many_serve() {
    let (_node, mut admin) = node(&[]);
    admin.check(&["DEBUG", "WORKERS"], ":1\r\n");
    let error = "-ERR workers must be a number from 1 to 4, or AUTO\r\n";
    ["0", "5", "-1", "x", ""].iter().for_each(|n| admin.check(&["DEBUG", "WORKERS", n], error));
    serve_with(&mut admin, 3);
    admin.check(&["DEBUG", "WORKERS"], ":3\r\n");
    assert!(admin.text(&["INFO", "server"]).contains("workers_active:3\r\n"));
    admin.check(&["DEBUG", "WORKERS", "auto"], "+OK\r\n");
    // Where the number is fixed, AUTO means all.
    let (_node, mut admin) = node(&["server.elastic=false"]);
    admin.check(&["DEBUG", "WORKERS"], ":1\r\n");
    admin.check(&["DEBUG", "WORKERS", "AUTO"], "+OK\r\n");
    admin.check(&["DEBUG", "WORKERS"], ":4\r\n");
}
