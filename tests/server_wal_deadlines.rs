//! Deadlines while a node reads its log back: what counts is what the log says in the end, not what
//! the clock makes of a record half-way.

mod common;

use common::{Node, eventually, resp};
use crabcache::clock;

const KEYS: usize = 100_000;
const AT_ONCE: usize = 1_000;
/// Long enough to write all of them twice.
const FIRST_MS: u64 = 8_000;

#[test]
fn deadlines_that_were_taken_back_remove_nothing_while_the_log_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = format!("data.dir={}", folder.path().display());
    let sets = [dir.as_str(), "wal.policy=sync"];
    let mut node = Node::start(&sets);
    node.until("it has its data", |client| {
        client.send_command(&["DBSIZE"]);
        client.line() == ":0"
    });
    let first = clock::now().0 + FIRST_MS;
    let mut client = node.connect();
    let mut all = |words: &dyn Fn(&str) -> Vec<u8>, answer: &str| {
        for from in (0..KEYS).step_by(AT_ONCE) {
            let batch = from..from + AT_ONCE;
            client.send(batch.flat_map(|i| words(&format!("key:{i}"))).collect::<Vec<u8>>());
            client.expect(answer.repeat(AT_ONCE));
        }
    };
    let deadline = first.to_string();
    all(&|key| resp(&["SET", key, "value", "PXAT", &deadline]), "+OK\r\n");
    all(&|key| resp(&["PERSIST", key]), ":1\r\n");
    node.signal("KILL");
    node.ended();
    eventually("the first deadlines have passed", || clock::now().0 > first + 1_000);
    let node = Node::start(&sets);
    let mut size = String::new();
    node.until("it has its data", |client| {
        client.send_command(&["DBSIZE"]);
        size = client.line();
        !size.starts_with("-LOADING")
    });
    assert_eq!(size, format!(":{KEYS}"));
}
