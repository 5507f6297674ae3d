//! What an administrator does: looks at clients, ends them, pauses them, changes settings, ends
//! the node.

mod common;

use common::{Node, resp};

#[test]
fn clients_are_listed_and_ended() {
    let node = Node::start(&[]);
    let (mut admin, mut other) = (node.connect(), node.connect());
    other.check(&["CLIENT", "SETNAME", "victim"], "+OK\r\n");
    other.check(
        &["CLIENT", "SETNAME", "two words"],
        "-ERR Client names cannot contain spaces, newlines or special characters.\r\n",
    );
    other.check(&["CLIENT", "SETINFO", "LIB-NAME", "story"], "+OK\r\n");
    other.check(&["GET", "k"], "$-1\r\n");
    let list = admin.text(&["CLIENT", "LIST"]);
    let line = list.lines().find(|line| line.contains("name=victim")).expect("the other");
    for field in ["cmd=get ", "lib-name=story ", "resp=2 ", "flags=N ", "db=0 ", "user=default "] {
        assert!(line.contains(field), "{field} is missing in {line}");
    }
    assert!(list.lines().any(|line| line.contains("cmd=client|list ")), "{list}");
    let field = |name: &str| {
        let word = line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        word.expect("a field").to_owned()
    };
    let (id, address) = (field("id"), field("addr"));
    assert_eq!(admin.text(&["CLIENT", "LIST", "ID", &id]).lines().count(), 1);
    assert_eq!(admin.text(&["CLIENT", "LIST", "ID", &id, "0", "-1"]).lines().count(), 1);
    assert_eq!(admin.text(&["CLIENT", "LIST", "TYPE", "pubsub"]), "");
    assert_eq!(admin.text(&["CLIENT", "INFO"]).lines().count(), 1);
    admin.check(&["CLIENT", "KILL", "ID", "0"], "-ERR client-id should be greater than 0\r\n");
    admin.check(&["CLIENT", "KILL", "ID", "999"], ":0\r\n");
    admin.check(&["CLIENT", "KILL", "ID", &id], ":1\r\n");
    other.expect_end();
    admin.check(&["CLIENT", "KILL", &address], "-ERR No such client\r\n");
    let mut third = node.connect();
    let own = third.stream().local_addr().expect("an address").to_string();
    third.check(&["PING"], "+PONG\r\n");
    admin.check(&["CLIENT", "KILL", &own], "+OK\r\n");
    third.expect_end();
    // Who ends itself is answered first.
    let own = admin.text(&["CLIENT", "INFO"]);
    let id = own.split(' ').find_map(|word| word.strip_prefix("id=")).expect("an id");
    admin.check(&["CLIENT", "KILL", "ID", id, "SKIPME", "no"], ":1\r\n");
    admin.expect_end();
}

#[test]
fn a_pause_holds_commands_back() {
    let node = Node::start(&["server.workers=1"]);
    let (mut admin, mut reader, mut writer) = (node.connect(), node.connect(), node.connect());
    let big = "v".repeat(50_000);
    writer.check(&["SET", "k", "old"], "+OK\r\n");
    admin.check(&["CLIENT", "PAUSE", "-1"], "-ERR timeout is negative\r\n");
    admin.check(&["CLIENT", "PAUSE", "60000", "WRITE"], "+OK\r\n");
    writer.send([resp(&["GET", "k"]), resp(&["SET", "k", &big]), resp(&["STRLEN", "k"])].concat());
    writer.expect("$3\r\nold\r\n");
    writer.check_nothing();
    reader.check(&["GET", "k"], "$3\r\nold\r\n");
    let blocked = |list: &str| list.lines().filter(|line| line.contains("flags=b")).count();
    assert_eq!(blocked(&admin.text(&["CLIENT", "LIST"])), 1);
    admin.check(&["CLIENT", "UNPAUSE"], "+OK\r\n");
    writer.expect("+OK\r\n:50000\r\n");
    admin.check(&["CLIENT", "PAUSE", "60000"], "+OK\r\n");
    reader.send_command(&["PING"]);
    // Administrators are let through.
    node.until("it waits", |client| blocked(&client.text(&["CLIENT", "LIST"])) == 1);
    admin.check(&["CLIENT", "UNPAUSE"], "+OK\r\n");
    reader.expect("+PONG\r\n");
    // A pause ends by itself.
    admin.check(&["CLIENT", "PAUSE", "50"], "+OK\r\n");
    reader.check(&["PING"], "+PONG\r\n");
}

#[test]
fn settings_change_while_the_node_runs() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    client.check(&["CONFIG", "GET", "save"], "*2\r\n$4\r\nsave\r\n$0\r\n\r\n");
    client.check(
        &["CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", "allkeys-lru"],
        "+OK\r\n",
    );
    client.check(&["CONFIG", "GET", "maxmemory"], "*2\r\n$9\r\nmaxmemory\r\n$9\r\n104857600\r\n");
    let memory = client.text(&["INFO", "memory"]);
    assert!(memory.contains("maxmemory:104857600\r\n"), "{memory}");
    assert!(memory.contains("maxmemory_policy:allkeys-lru\r\n"), "{memory}");
    client.send_command(&["CONFIG", "SET", "port", "1"]);
    assert!(client.line().starts_with("-ERR CONFIG SET failed"), "a port is not changed");
    client.check(&["CONFIG", "RESETSTAT"], "+OK\r\n");
    client.check(&["CONFIG", "SET", "server.output_limit", "1MiB"], "+OK\r\n");
    client.check(&["CONFIG", "SET", "server.validation", "strict"], "+OK\r\n");
    client.send_command(&["SET", "a\tb", "1"]);
    assert!(client.line().starts_with("-ERR key is not allowed"), "validation is strict now");
}

#[test]
fn errors_of_administration_are_those_of_redis() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    let usage = |name: &str, command: &str| {
        format!(
            "-ERR unknown subcommand or wrong number of arguments for '{name}'. Try {command} \
             HELP.\r\n"
        )
    };
    let failed = |why: &str| {
        format!("-ERR CONFIG SET failed (possibly related to argument 'maxmemory') - {why}\r\n")
    };
    let not_memory = failed("argument must be a memory value");
    for (line, answer) in [
        ("CONFIG SET", "-ERR wrong number of arguments for 'config|set' command\r\n"),
        ("CONFIG SET maxmemory", "-ERR wrong number of arguments for 'config|set' command\r\n"),
        ("CONFIG SET maxmemory 1 x", "-ERR syntax error\r\n"),
        ("DEBUG", "-ERR wrong number of arguments for 'debug' command\r\n"),
        ("DEBUG FooBar x", &usage("FooBar", "DEBUG")),
        ("CLIENT UNBLOCK 1", ":0\r\n"),
        ("CLIENT UNBLOCK 1 Error", ":0\r\n"),
        ("CLIENT UNBLOCK x", "-ERR value is not an integer or out of range\r\n"),
        ("CLIENT UNBLOCK x y", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR\r\n"),
        ("CLIENT UNBLOCK 1 TIMEOUT x", &usage("UNBLOCK", "CLIENT")),
        ("SLOWLOG GET -2", "-ERR count should be greater than or equal to -1\r\n"),
        ("SLOWLOG GET x", "-ERR count should be greater than or equal to -1\r\n"),
        ("SLOWLOG GET 1 1", &usage("GET", "SLOWLOG")),
        ("SELECT 1", "-ERR DB index is out of range\r\n"),
        (
            "SELECT 9999999999999",
            "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n",
        ),
        ("CONFIG REWRITE", "-ERR The server is running without a config file\r\n"),
    ] {
        client.check(&line.split(' ').collect::<Vec<_>>(), answer);
    }
    for bytes in ["1 gb", "1gb ", " 1gb", "+1gb", "-1", "1.5gb"] {
        client.check(&["CONFIG", "SET", "maxmemory", bytes], &not_memory);
    }
}

#[test]
fn time_is_told_in_microseconds() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    let mut micros = || {
        client.send_command(&["TIME"]);
        let lines: Vec<String> = (0..5).map(|_| client.line()).collect();
        let number = |i: usize| lines[i].parse::<u64>().expect("a number");
        number(2) * 1_000_000 + number(4)
    };
    let times: Vec<u64> = (0..50).map(|_| micros()).collect();
    assert!(times.iter().any(|time| time % 1000 != 0), "{times:?}");
}

#[test]
fn live_changes_are_written_to_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("node.toml");
    let text = "# Ours.\n[server]\nport = 0 # any\nmax_clients = 100 # few\n[http]\nport = 0\n";
    std::fs::write(&file, text).expect("a file");
    let node = Node::start_from(Some(&file), &["slowlog.max_len=7"]);
    let mut client = node.connect();
    let info = client.text(&["INFO", "server"]);
    assert!(info.contains(&format!("config_file:{}\r\n", file.display())), "{info}");
    client.check(&["CONFIG", "REWRITE"], "+OK\r\n");
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), text);
    client.check(&["CONFIG", "SET", "maxclients", "200", "timeout", "60"], "+OK\r\n");
    client.check(&["CONFIG", "SET", "maxmemory", "100mb"], "+OK\r\n");
    client.check(&["CONFIG", "REWRITE"], "+OK\r\n");
    let text = "# Ours.\n[server]\nport = 0 # any\nmax_clients = 200 # few\nidle_timeout = \"1m\"\n\
                [http]\nport = 0\n\n[memory]\nmax_memory = \"100MiB\"\n";
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), text);
    // What was changed back is written back.
    client.check(&["CONFIG", "SET", "maxclients", "100"], "+OK\r\n");
    client.check(&["CONFIG", "REWRITE"], "+OK\r\n");
    let text = text.replace("200", "100");
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), text);
    drop(node);
    let node = Node::start_from(Some(&file), &[]);
    let answer = "*2\r\n$9\r\nmaxmemory\r\n$9\r\n104857600\r\n";
    node.connect().check(&["CONFIG", "GET", "maxmemory"], answer);
    std::fs::remove_file(&file).expect("a file");
    let mut client = node.connect();
    client.send_command(&["CONFIG", "REWRITE"]);
    let answer = client.line();
    assert!(answer.starts_with("-ERR Rewriting config file: No such file"), "{answer}");
}

#[test]
fn who_must_not_touch_leaves_no_trace() {
    let sets = ["memory.max_items=10", "memory.shards=1", "memory.policy=allkeys-lru"];
    let node = Node::start(&sets);
    let (mut silent, mut other) = (node.connect(), node.connect());
    for key in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] {
        other.check(&["SET", key, "old"], "+OK\r\n");
    }
    other.check(&["GET", "b"], "$3\r\nold\r\n");
    silent.check(&["CLIENT", "NO-TOUCH", "ON"], "+OK\r\n");
    silent.check(&["GET", "a"], "$3\r\nold\r\n");
    silent.check(&["MGET", "a"], "*1\r\n$3\r\nold\r\n");
    silent.check(&["SET", "a", "new"], "+OK\r\n");
    silent.check(&["STRLEN", "a"], ":3\r\n");
    // TOUCH is there to touch, whoever asks.
    silent.check(&["TOUCH", "c"], ":1\r\n");
    silent.check(&["TOUCH", "d", "e"], ":2\r\n");
    other.check(&["SET", "k", "v"], "+OK\r\n");
    other.check(&["SET", "l", "v"], "+OK\r\n");
    // The oldest that nobody was seen to use are gone.
    other.check(&["MGET", "a", "f"], "*2\r\n$-1\r\n$-1\r\n");
    other.check(&["EXISTS", "b", "c", "d", "e", "g", "h", "i", "j"], ":8\r\n");
    let hits = |client: &mut common::Client| {
        let info = client.text(&["INFO", "stats"]);
        let line = info.lines().find_map(|line| line.strip_prefix("keyspace_hits:"));
        line.expect("hits").parse::<u64>().expect("a number")
    };
    let before = hits(&mut other);
    silent.check(&["GET", "b"], "$3\r\nold\r\n");
    assert_eq!(hits(&mut other), before + 1, "they are hits nevertheless");
    silent.check(&["CLIENT", "NO-TOUCH", "OFF"], "+OK\r\n");
    silent.check(&["GET", "b"], "$3\r\nold\r\n");
}

#[test]
fn what_is_slow_is_kept() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    client.check(&["DEBUG", "SLEEP", "0.02"], "+OK\r\n");
    client.check(&["SLOWLOG", "LEN"], ":1\r\n");
    client.send_command(&["SLOWLOG", "GET"]);
    client.expect("*1\r\n*6\r\n:0\r\n");
    client.skip(2);
    client.expect("*3\r\n$5\r\nDEBUG\r\n$5\r\nSLEEP\r\n$4\r\n0.02\r\n");
    client.skip(4);
    client.check(&["SLOWLOG", "RESET"], "+OK\r\n");
    client.check(&["CONFIG", "SET", "slowlog-log-slower-than", "0"], "+OK\r\n");
    client.check(&["SET", "k", "v"], "+OK\r\n");
    client.send_command(&["SLOWLOG", "GET", "1"]);
    client.expect("*1\r\n*6\r\n");
    client.skip(3);
    client.expect("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n");
    client.skip(4);
    client.check(&["LATENCY", "LATEST"], "*0\r\n");
    client.send_command(&["LATENCY", "HISTOGRAM", "set"]);
    client.expect("*2\r\n$3\r\nset\r\n*4\r\n$5\r\ncalls\r\n:1\r\n$14\r\nhistogram_usec\r\n");
}

#[test]
fn one_connection_sleeps_and_others_go_on() {
    let node = Node::start(&["server.workers=1"]);
    let (mut sleeper, mut other) = (node.connect(), node.connect());
    sleeper.send_command(&["CLIENT", "ID"]);
    let id = sleeper.line();
    sleeper.send("DEBUG SLEEP 600\r\nPING\r\n");
    (0..100).for_each(|_| other.check(&["PING"], "+PONG\r\n"));
    sleeper.check_nothing();
    other.check(&["CLIENT", "KILL", "ID", &id[1..]], ":1\r\n");
    sleeper.expect_end();
}

#[test]
fn counters_count() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    client.check(&["SET", "k", "1"], "+OK\r\n");
    client.check(&["GET", "k"], "$1\r\n1\r\n");
    client.check(&["GET", "none"], "$-1\r\n");
    client.check(&["APPEND", "k", "x"], ":2\r\n");
    client.check(&["INCR", "k"], "-ERR value is not an integer or out of range\r\n");
    client.check(&["GET"], "-ERR wrong number of arguments for 'get' command\r\n");
    let info = client.text(&["INFO", "all"]);
    for field in [
        "keyspace_hits:",
        "keyspace_misses:1\r\n",
        "cmdstat_get:calls=2,",
        "errorstat_ERR:count=2\r\n",
        "total_connections_received:1\r\n",
        "connected_clients:1\r\n",
        "db0:keys=1,",
    ] {
        assert!(info.contains(field), "{field} is missing in {info}");
    }
    let incr = info.lines().find(|line| line.starts_with("cmdstat_incr:")).expect("incr");
    assert!(incr.contains("rejected_calls=0,failed_calls=1"), "{incr}");
    let get = info.lines().find(|line| line.starts_with("cmdstat_get:")).expect("get");
    assert!(get.contains("rejected_calls=1,failed_calls=0"), "{get}");
    let stats = client.text(&["STATS"]);
    assert!(stats.starts_with('{') && stats.contains("\"shards\""), "{stats}");
}

#[test]
fn a_signal_ends_the_node_with_all_answers_given() {
    for name in ["TERM", "INT"] {
        let mut node = Node::start(&[]);
        let mut client = node.connect();
        client.check(&["SET", "k", "v"], "+OK\r\n");
        let answers = 1000;
        client.send(resp(&["GET", "k"]).repeat(answers));
        client.expect("$1\r\nv\r\n");
        node.signal(name);
        assert_eq!(client.rest().len() % "$1\r\nv\r\n".len(), 0, "half an answer");
        assert!(node.ended().success());
        node.logged("stopped");
    }
}

#[test]
fn a_client_ends_the_node() {
    let mut node = Node::start(&[]);
    let mut client = node.connect();
    client.check(&["SHUTDOWN", "ABORT"], "-ERR No shutdown in progress.\r\n");
    for words in [&["SHUTDOWN", "SOON"][..], &["SHUTDOWN", "SAVE", "NOSAVE"]] {
        client.check(words, "-ERR syntax error\r\n");
    }
    client.check(&["SHUTDOWN", "SAVE"], "-ERR persistence is off: set data.dir\r\n");
    client.send_command(&["SHUTDOWN", "NOSAVE"]);
    client.expect_end();
    assert!(node.ended().success());
    node.logged("SHUTDOWN by a client");
}

#[test]
fn nothing_is_saved_where_there_is_no_directory() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    for words in [&["SAVE"][..], &["BGSAVE"], &["BGSAVE", "schedule"], &["BGREWRITEAOF"]] {
        client.check(words, "-ERR persistence is off: set data.dir\r\n");
    }
    client.check(&["BGSAVE", "now"], "-ERR syntax error\r\n");
}

#[test]
fn a_taken_port_stops_the_start() {
    let node = Node::start(&[]);
    let port = format!("server.port={}", node.address().port());
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_crabcache"))
        .args(["--set", &port, "--set", "http.port=0"])
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(1));
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert!(told.contains("cannot listen on 127.0.0.1:"), "{told}");
}

#[test]
fn an_open_address_needs_tokens() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_crabcache"))
        .args(["--set", "server.bind=0.0.0.0", "--set", "server.port=0"])
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(1));
    let told = [output.stdout, output.stderr].concat();
    assert!(String::from_utf8_lossy(&told).contains("without tokens"));
}
