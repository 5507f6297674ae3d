//! What clients send and get, byte by byte: pipelines, any split, both protocols, plain text.

mod common;

use common::{Client, Node, resp};
use std::io::Read;

#[test]
fn a_session_as_people_type_it() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    client.send("PING\r\nPUT greeting \"hello world\" 100\nGET greeting\r\nTTL greeting\r\n\r\n");
    client.expect("+PONG\r\n+OK\r\n$11\r\nhello world\r\n:100\r\n");
    client.send("DEL greeting\r\nGET greeting\r\nNOSUCH thing\r\n");
    client.expect(":1\r\n$-1\r\n");
    client.expect("-ERR unknown command 'NOSUCH', with args beginning with: 'thing' \r\n");
    client.send("SET\r\nSTRLEN a b\r\nQUIT\r\nPING\r\n");
    client.expect("-ERR wrong number of arguments for 'set' command\r\n");
    client.expect("-ERR wrong number of arguments for 'strlen' command\r\n");
    client.expect("+OK\r\n");
    client.expect_end();
}

/// A conversation with some of everything, and its answers.
fn conversation() -> (Vec<u8>, Vec<u8>) {
    let big = "v".repeat(20_000);
    let mut input = resp(&["SET", "key", "value"]);
    input.extend(b"GET key\r\n");
    input.extend(resp(&["PING"]));
    input.extend(resp(&["SET", "big", &big]));
    input.extend(resp(&["STRLEN", "big"]));
    input.extend(resp(&["HELLO", "9"]));
    input.extend(resp(&["MGET", "key", "none", "key"]));
    input.extend(b"*0\r\n\r\nINCR n\r\n");
    input.extend(resp(&["ECHO", "over"]));
    let output = b"+OK\r\n$5\r\nvalue\r\n+PONG\r\n+OK\r\n:20000\r\n\
                   -NOPROTO unsupported protocol version\r\n\
                   *3\r\n$5\r\nvalue\r\n$-1\r\n$5\r\nvalue\r\n:1\r\n$4\r\nover\r\n";
    (input, output.to_vec())
}

#[test]
fn any_split_gives_the_same_answers() {
    let node = Node::start(&["server.workers=1"]);
    let (input, output) = conversation();
    // Inside the big value only a few places are worth a try.
    let boring = |i: usize| (200..20_000).contains(&i) && !i.is_multiple_of(997);
    let mut client = node.connect();
    for cut in (1..input.len()).filter(|i| !boring(*i)) {
        client.send(&input[..cut]);
        // The answer to another connection shows that the first part was read, most likely.
        node.connect().check(&["PING"], "+PONG\r\n");
        client.send(&input[cut..]);
        client.expect(&output);
        client.check(&["FLUSHALL"], "+OK\r\n");
    }
    for byte in &input[..200] {
        client.send([*byte]);
    }
    client.send(&input[200..]);
    client.expect(&output);
}

#[test]
fn a_long_pipeline_is_answered_in_order() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    let (mut input, mut output) = (Vec::new(), Vec::new());
    for i in 0..20_000 {
        let (key, value) = (format!("key:{i}"), format!("value:{i}"));
        input.extend(resp(&["SET", &key, &value]));
        input.extend(resp(&["GET", &key]));
        output.extend(format!("+OK\r\n${}\r\n{value}\r\n", value.len()).into_bytes());
        if i % 1000 == 0 {
            input.extend(resp(&["CLIENT", "SETINFO", "LIB-NAME", "story"]));
            output.extend(b"+OK\r\n");
        }
    }
    let mut reader = Client::new(client.stream().try_clone().expect("a socket"));
    let writer = std::thread::spawn(move || {
        client.send(&input);
        client.finish();
        client
    });
    // The end of input is no reason to lose an answer.
    assert!(reader.rest() == output, "an answer is wrong");
    drop(writer.join());
}

#[test]
fn values_of_every_size_come_back() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    for len in [0, 1, 16_383, 16_384, 16_385, 65_535, 65_536, 1_048_577, 9_000_000] {
        let value: String = (0..len).map(|i| char::from(b'a' + (i % 23) as u8)).collect();
        client.check(&["SET", "v", &value], "+OK\r\n");
        client.check(&["GET", "v"], &format!("${len}\r\n{value}\r\n"));
        client.check(&["MSET", "a", &value, "b", "x"], "+OK\r\n");
        client.check(&["MGET", "b", "a"], &format!("*2\r\n$1\r\nx\r\n${len}\r\n{value}\r\n"));
    }
}

#[test]
fn hello_changes_the_protocol_and_reset_changes_it_back() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    client.send(b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\nGET none\r\nRESET\r\nGET none\r\n");
    client.expect("%9\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.4.0\r\n");
    client.expect("$5\r\nproto\r\n:3\r\n$2\r\nid\r\n");
    let id = client.line();
    assert!(id.starts_with(':'), "{id}");
    client.expect("$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n");
    client.expect("$7\r\nmodules\r\n*0\r\n$11\r\nserver_name\r\n$9\r\ncrabcache\r\n");
    client.expect("$17\r\ncrabcache_version\r\n");
    client.skip(2);
    client.expect("_\r\n+RESET\r\n$-1\r\n");
    client.check(&["HELLO", "x"], "-ERR Protocol version is not an integer or out of range\r\n");
    client.check(&["HELLO", "3", "FOO"], "-ERR Syntax error in HELLO option 'FOO'\r\n");
    client.send_command(&["HELLO", "3", "SETNAME", "me"]);
    while client.line() != "crabcache_version" {}
    client.skip(2);
    client.check(&["CLIENT", "GETNAME"], "$2\r\nme\r\n");
}

#[test]
fn answers_can_be_switched_off() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    client.send("CLIENT REPLY OFF\r\nSET a 1\r\nGET a\r\nNOSUCH\r\nCLIENT REPLY ON\r\nGET a\r\n");
    client.expect("+OK\r\n$1\r\n1\r\n");
    client.send("CLIENT REPLY SKIP\r\nGET a\r\nINCR a\r\nGET a\r\n");
    client.expect(":2\r\n$1\r\n2\r\n");
    client.send("CLIENT REPLY MAYBE\r\n");
    client.expect("-ERR syntax error\r\n");
}

#[test]
fn one_database() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    client.check(&["SELECT", "0"], "+OK\r\n");
    client.check(&["SELECT", "1"], "-ERR DB index is out of range\r\n");
    client.check(&["SELECT", "x"], "-ERR value is not an integer or out of range\r\n");
    client.check(&["PING", "hi"], "$2\r\nhi\r\n");
    client.check(&["ROLE"], "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");
    client.check(&["WAIT", "0", "0"], ":0\r\n");
    client.check(&["CLUSTER", "KEYSLOT", "foo"], ":12182\r\n");
    let disabled = "-ERR This instance has cluster support disabled\r\n";
    client.check(&["CLUSTER", "INFO"], disabled);
    client.check(&["READONLY"], disabled);
    client.check(&["ACL", "WHOAMI"], "$7\r\ndefault\r\n");
    client.check(&["MODULE", "LIST"], "*0\r\n");
}

#[test]
fn an_inline_client_may_half_close() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    client.send("SET a 1\nGET a\n");
    client.finish();
    let mut all = String::new();
    client.stream().read_to_string(&mut all).expect("the answers");
    assert_eq!(all, "+OK\r\n$1\r\n1\r\n");
}
