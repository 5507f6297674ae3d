//! Before authentication: little is answered, little is kept, and not for long.

mod common;

use common::{Node, resp};
use std::io::Write;
use std::time::Duration;

const NOAUTH: &str = "-NOAUTH Authentication required.\r\n";
const WRONGPASS: &str = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";

fn node(more: &[&str]) -> Node {
    let sets = [&["server.tokens=sesame,second"], more].concat();
    Node::start(&sets)
}

#[test]
fn who_knows_a_token_may_do_everything() {
    let node = node(&[]);
    let mut client = node.connect();
    for words in [&["GET", "a"][..], &["SET", "a", "1"], &["INFO"], &["CLIENT", "LIST"]] {
        client.check(words, NOAUTH);
    }
    client.check(&["PING"], NOAUTH);
    client.check(&["AUTH", "open"], WRONGPASS);
    client.check(&["AUTH", "root", "sesame"], WRONGPASS);
    client.check(&["AUTH", "a", "b", "c"], "-ERR syntax error\r\n");
    client.check(&["AUTH", "sesame"], "+OK\r\n");
    client.check(&["SET", "a", "1"], "+OK\r\n");
    client.check(&["RESET"], "+RESET\r\n");
    client.check(&["GET", "a"], NOAUTH);
    client.check(&["AUTH", "default", "second"], "+OK\r\n");
    client.check(&["GET", "a"], "$1\r\n1\r\n");
    let mut other = node.connect();
    other.check(&["QUIT"], "+OK\r\n");
    other.expect_end();
}

#[test]
fn hello_authenticates_too() {
    let node = node(&[]);
    let mut client = node.connect();
    client.send_command(&["HELLO", "3"]);
    assert!(client.line().starts_with("-NOAUTH HELLO must be called with the client already"));
    client.check(&["HELLO", "3", "AUTH", "default", "wrong"], WRONGPASS);
    client.send_command(&["HELLO", "3", "AUTH", "default", "sesame"]);
    client.expect("%9\r\n");
    while client.line() != "crabcache_version" {}
    client.skip(2);
    client.check(&["GET", "none"], "_\r\n");
}

#[test]
fn a_large_command_right_behind_auth_is_taken() {
    let node = node(&[]);
    let mut client = node.connect();
    let value = "v".repeat(30_000);
    let all = [resp(&["AUTH", "sesame"]), resp(&["SET", "k", &value]), resp(&["STRLEN", "k"])];
    client.send(all.concat());
    client.expect("+OK\r\n+OK\r\n:30000\r\n");
}

#[test]
fn strangers_get_little() {
    let node = node(&[]);
    let mut client = node.connect();
    client.send("*11\r\n");
    client.expect("-ERR Protocol error: unauthenticated multibulk length\r\n");
    client.expect_end();
    let mut client = node.connect();
    client.send("*2\r\n$4\r\nAUTH\r\n$16385\r\n");
    client.expect("-ERR Protocol error: unauthenticated bulk length\r\n");
    client.expect_end();
    // Who never reads is not read any more: answers do not pile up.
    let before = node.resident_bytes();
    let mut deaf = node.connect();
    deaf.stream().set_write_timeout(Some(Duration::from_millis(500))).expect("a socket");
    let part = resp(&["GET", "k"]).repeat(2_000);
    let sent = (0..10_000).take_while(|_| deaf.stream().write_all(&part).is_ok()).count();
    assert!(sent < 10_000, "the node reads on though nobody takes its answers");
    assert!(node.resident_bytes().saturating_sub(before) < 16 << 20, "answers pile up");
    node.connect().check(&["AUTH", "sesame"], "+OK\r\n");
}

#[test]
fn guessing_costs_connections_but_locks_nobody_out() {
    let node = node(&[]);
    let tries = 200;
    let mut guesser = node.connect();
    guesser.send(resp(&["AUTH", "guess"]).repeat(tries));
    let answers = String::from_utf8(guesser.rest()).expect("text");
    let (others, last) = answers.trim_end().rsplit_once("\r\n").expect("many answers");
    assert!(last.starts_with("-ERR too many failed AUTH attempts"), "{last}");
    assert!(others.lines().all(|line| line.starts_with("-WRONGPASS")), "{others}");
    // Ten a second; a slow machine may need a few seconds for all.
    assert!(others.lines().count() < tries / 2, "{others}");
    // Whoever comes from there now and guesses wrong is told the same; who knows a token is not.
    let mut known = node.connect();
    known.check(&["AUTH", "sesame"], "+OK\r\n");
    known.check(&["GET", "k"], "$-1\r\n");
    let mut known = node.connect();
    known.send_command(&["HELLO", "3", "AUTH", "default", "sesame"]);
    known.expect("%9\r\n");
}

#[test]
fn silence_ends() {
    let node = node(&["server.auth_timeout=1s"]);
    let mut known = node.connect();
    known.check(&["AUTH", "sesame"], "+OK\r\n");
    let mut client = node.connect();
    client.check(&["PING"], NOAUTH);
    client.expect_end();
    node.logged("closing a connection: it did not authenticate in time");
    known.check(&["PING"], "+PONG\r\n");
}

#[test]
fn without_tokens_anybody_is_welcome() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    client.send_command(&["AUTH", "x"]);
    let answer = client.line();
    assert!(answer.starts_with("-ERR AUTH <password> called without any password"), "{answer}");
    client.check(&["AUTH", "default", "x"], "+OK\r\n");
    // There is nothing to guess: nothing is counted.
    (0..50).for_each(|_| client.check(&["AUTH", "other", "x"], WRONGPASS));
}

#[test]
fn secrets_are_in_no_log() {
    let node = node(&["slowlog.threshold=0ms"]);
    let mut client = node.connect();
    client.check(&["AUTH", "sesame"], "+OK\r\n");
    client.send_command(&["SLOWLOG", "GET", "-1"]);
    client.send_command(&["CONFIG", "GET", "*"]);
    client.check(&["ECHO", "stop"], "");
    let mut all = String::new();
    while !all.ends_with("stop") {
        all += &client.line();
    }
    assert!(all.contains("(redacted)"), "{all}");
    assert!(!all.contains("sesame"), "{all}");
}
