//! What client libraries and Redis's own tools need of a cluster: replies in the shapes of a real
//! Redis where one is installed, each field that some client breaks without, and the tools at work.

mod cluster_world;
mod common;
mod ports;

use cluster::slot::SLOTS;
use cluster_world::{Value, World, ask};
use common::Client;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// A Redis node that keeps all slots of a cluster of its own.
struct Redis {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Redis {
    fn start() -> Option<Redis> {
        let folder = tempfile::tempdir().expect("a folder");
        // The port of its bus must be free too, and cannot be chosen by the system.
        let (port, bus) = (ports::free_port(), ports::free_port());
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--cluster-port", &bus.to_string()]);
        command.args(["--cluster-enabled", "yes", "--save", "", "--bind", "127.0.0.1"]);
        command.args(["--cluster-announce-ip", "127.0.0.1"]);
        let command = command.current_dir(folder.path()).stdout(Stdio::piped());
        let Ok(mut process) = command.spawn() else {
            eprintln!("not run: no redis-server");
            return None;
        };
        let log = BufReader::new(process.stdout.as_mut().expect("its output"));
        let ready = |line: &String| line.contains("eady to accept connections");
        log.lines().map_while(Result::ok).find(ready).expect("a Redis that starts");
        let redis = Redis { process, port, _folder: folder };
        redis.connect().check(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"], "+OK\r\n");
        let mut client = redis.connect();
        common::eventually("a Redis that serves", || {
            client.text(&["CLUSTER", "INFO"]).starts_with("cluster_state:ok")
        });
        Some(redis)
    }

    fn connect(&self) -> Client {
        Client::new(TcpStream::connect(("127.0.0.1", self.port)).expect("it listens"))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What is asked of both.
const QUESTIONS: &[&str] = &[
    "CLUSTER SLOTS",
    "CLUSTER SHARDS",
    "CLUSTER MYID",
    "CLUSTER LINKS",
    "CLUSTER KEYSLOT {a}b",
    "CLUSTER COUNTKEYSINSLOT 5",
    "CLUSTER COUNTKEYSINSLOT 16384",
    "CLUSTER COUNTKEYSINSLOT -1",
    "CLUSTER COUNTKEYSINSLOT x",
    "CLUSTER GETKEYSINSLOT 5 3",
    "CLUSTER GETKEYSINSLOT 5 -1",
    "CLUSTER GETKEYSINSLOT 16384 1",
    "CLUSTER GETKEYSINSLOT x 1",
    "CLUSTER GETKEYSINSLOT 1 x",
    "CLUSTER REPLICAS nobody",
    "CLUSTER SLAVES nobody",
    "CLUSTER COUNT-FAILURE-REPORTS nobody",
    "CLUSTER SLOTS now",
    "CLUSTER KEYSLOT",
    "READONLY",
    "READWRITE",
    "ASKING",
    "ROLE",
    "WAIT 0 0",
    "WAIT x 1",
    "WAIT 1 x",
    "WAIT 1 -1",
    "MGET a b",
    "SELECT 0",
    "SELECT 1",
    "DBSIZE",
    "INFO cluster",
];

#[test]
fn replies_have_the_shapes_of_redis() {
    let Some(redis) = Redis::start() else { return };
    let world = World::start(1, &[]);
    for protocol in ["2", "3"] {
        let (mut theirs, mut ours) = (redis.connect(), world.connect(0));
        ask(&mut theirs, &["HELLO", protocol]);
        ask(&mut ours, &["HELLO", protocol]);
        for line in QUESTIONS {
            let words: Vec<&str> = line.split(' ').collect();
            let (theirs, ours) = (ask(&mut theirs, &words), ask(&mut ours, &words));
            assert_eq!(ours.shape(), theirs.shape(), "{line}");
        }
        for form in ["REPLICAS", "COUNT-FAILURE-REPORTS"] {
            let about_itself = |client: &mut Client| {
                let id = ask(client, &["CLUSTER", "MYID"]).text().to_owned();
                ask(client, &["CLUSTER", form, &id]).shape()
            };
            assert_eq!(about_itself(&mut ours), about_itself(&mut theirs), "{form}");
        }
        let fields = |client: &mut Client| {
            let text = ask(client, &["CLUSTER", "INFO"]);
            let lines = text.text().split("\r\n").filter(|line| !line.contains("_messages_"));
            lines.map(|l| l.split(':').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(fields(&mut ours), fields(&mut theirs));
        let line = |client: &mut Client| {
            let text = ask(client, &["CLUSTER", "NODES"]);
            let words = text.text().trim_end_matches('\n').split(' ').map(str::to_owned);
            (words.collect::<Vec<_>>(), text.text().ends_with('\n'))
        };
        let (theirs, ours) = (line(&mut theirs), line(&mut ours));
        assert_eq!((ours.0.len(), ours.1), (theirs.0.len(), theirs.1), "{ours:?} {theirs:?}");
        for field in [2, 3, 7, 8] {
            assert_eq!(ours.0[field], theirs.0[field]);
        }
    }
}

/// The break matrix: what each client library that was tried does not work without.
#[test]
fn what_clients_break_without_is_there() {
    let world = World::start(2, &[]);
    let mut client = world.connect(0);
    for protocol in [2, 3] {
        // redis-py ("Invalid RESP version") and its near cache, which wants "redis" 7.4.0.
        let hello = ask(&mut client, &["HELLO", &protocol.to_string()]);
        assert_eq!(hello.field("proto"), &Value::Integer(protocol));
        assert_eq!(hello.field("server").text(), "redis");
        assert_eq!(hello.field("version").text(), "7.4.0");
        assert_eq!(hello.field("mode").text(), "cluster");
        assert_eq!(hello.field("role").text(), "master");
        // redis-py: "SET command doesn't exist in Redis commands".
        let commands = ask(&mut client, &["COMMAND"]);
        assert!(commands.list().iter().any(|c| c.list()[0].text() == "set"));
        assert!(commands.list().iter().all(|c| c.list().len() == 10));
        // redis-cli --cluster wants cluster_enabled, ioredis loading, lettuce all of it.
        let info = ask(&mut client, &["INFO"]).text().to_owned();
        for line in ["cluster_enabled:1", "loading:0", "redis_version:7.4.0", "redis_mode:cluster"]
        {
            assert!(info.contains(&format!("\r\n{line}\r\n")), "{line}");
        }
        // fred, ioredis, RedisInsight.
        let info = ask(&mut client, &["CLUSTER", "INFO"]).text().to_owned();
        assert!(info.split("\r\n").any(|line| line == "cluster_state:ok"), "{info}");
        check_slots(&ask(&mut client, &["CLUSTER", "SLOTS"]));
        check_shards(&ask(&mut client, &["CLUSTER", "SHARDS"]));
        check_nodes(ask(&mut client, &["CLUSTER", "NODES"]).text());
    }
}

/// Hosts are bulk strings, not empty and not null (redis-py, ioredis, fred, redis-rs, GLIDE), ports
/// integers (redis-rs, GLIDE), entries have an id (fred) and at most four elements (go-redis), and
/// every slot is covered (redis-py).
fn check_slots(slots: &Value) {
    let mut next = 0;
    for range in slots.list() {
        let [Value::Integer(first), Value::Integer(last), nodes @ ..] = range.list() else {
            panic!("{range:?}")
        };
        assert_eq!(*first, next);
        next = last + 1;
        assert_eq!(nodes.len(), 1, "one role per address");
        let [Value::Bulk(host), Value::Integer(port), Value::Bulk(id), metadata] = nodes[0].list()
        else {
            panic!("{range:?}")
        };
        assert!(!host.is_empty() && *port > 0 && id.len() == 40);
        assert!(
            matches!(metadata, Value::Array(list) if list.is_empty())
                || matches!(metadata, Value::Map(pairs) if pairs.is_empty())
        );
    }
    assert_eq!(next, i64::from(SLOTS));
}

/// What lettuce needs.
fn check_shards(shards: &Value) {
    assert_eq!(shards.list().len(), 2);
    for shard in shards.list() {
        assert!(shard.field("slots").list().len().is_multiple_of(2));
        let node = &shard.field("nodes").list()[0];
        assert_eq!(node.field("id").text().len(), 40);
        assert!(matches!(node.field("port"), Value::Integer(1..)));
        assert!(matches!(node.field("endpoint"), Value::Bulk(host) if !host.is_empty()));
        assert_eq!(node.field("role").text(), "master");
        assert_eq!(node.field("health").text(), "online");
        assert!(matches!(node.field("replication-offset"), Value::Integer(0..)));
    }
}

/// redis-cli and redis-benchmark: every line ends, exactly one is `myself`, hosts are there,
/// masters have `-` as their master.
fn check_nodes(text: &str) {
    assert!(text.ends_with('\n') && !text.contains('\r'), "{text:?}");
    assert_eq!(text.matches("myself,").count(), 1);
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(words.len(), 9, "{line}");
        assert_eq!((words[0].len(), words[3], words[7]), (40, "-", "connected"));
        assert!(!words[1].starts_with(':') && words[1].contains('@'), "{line}");
        assert!(words[2] == "master" || words[2] == "myself,master");
        assert!(words[6].parse::<u64>().is_ok());
    }
}

#[test]
fn redirections_name_the_hosts_that_slots_name() {
    let world = World::start(2, &["server.advertise=localhost"]);
    let mut client = world.connect(0);
    let slots = ask(&mut client, &["CLUSTER", "SLOTS"]);
    let node = slots.list()[1].list()[2].list().to_vec();
    let moved = Value::Error(format!("MOVED 12182 localhost:{}", world.port(1)));
    assert_eq!(ask(&mut client, &["GET", "foo"]), moved);
    assert_eq!(node[0].text(), "localhost");
    let nodes = client.text(&["CLUSTER", "NODES"]);
    assert!(nodes.contains(&format!(" localhost:{}@7101,localhost ", world.port(1))), "{nodes}");
}

/// A program of Redis's, or `None` where there is none.
fn tool(name: &str, args: &[&str]) -> Option<String> {
    let Ok(output) = Command::new(name).args(args).stdin(Stdio::null()).output() else {
        eprintln!("not run: no {name}");
        return None;
    };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{name} {args:?}: {text}");
    Some(text)
}

#[test]
fn redis_cli_follows_and_checks() {
    let world = World::start(2, &[]);
    let ports = [world.port(0).to_string(), world.port(1).to_string()];
    let cli = |args: &[&str]| tool("redis-cli", &[&["-p", &ports[0]], args].concat());
    let Some(set) = cli(&["-c", "SET", "foo", "v"]) else { return };
    assert_eq!(set, "OK\n");
    assert_eq!(cli(&["-c", "GET", "foo"]).as_deref(), Some("v\n"));
    assert_eq!(cli(&["-c", "-3", "GET", "foo"]).as_deref(), Some("v\n"));
    for node in &ports {
        let seed = format!("127.0.0.1:{node}");
        let check = tool("redis-cli", &["--cluster", "check", &seed]).unwrap_or_default();
        assert!(check.contains("[OK] All nodes agree about slots configuration."), "{check}");
        assert!(check.contains("[OK] All 16384 slots covered."), "{check}");
        let info = tool("redis-cli", &["--cluster", "info", &seed]).unwrap_or_default();
        assert!(info.contains("[OK] 1 keys in 2 masters."), "{info}");
        let call = tool("redis-cli", &["--cluster", "call", &seed, "dbsize"]).unwrap_or_default();
        let told = |port: &String| call.contains(&format!("127.0.0.1:{port}: "));
        assert!(ports.iter().all(told), "{call}");
    }
    let benchmark = ["--cluster", "-p", &ports[1], "-n", "2000", "-c", "4", "-q", "-t"];
    for kind in ["set", "get", "mset"] {
        let Some(text) = tool("redis-benchmark", &[&benchmark[..], &[kind]].concat()) else {
            return;
        };
        assert!(text.contains("requests per second"), "{text}");
        assert!(!text.contains("rror") && !text.contains("WARNING"), "{text}");
    }
}

/// What is to come of a command.
#[derive(Clone, Copy, PartialEq)]
enum Wants {
    /// An answer that is no error.
    Well,
    /// An answer; errors are what the client expects, or bears.
    Any,
}
use Wants::{Any, Well};

/// What each client says first, as traced or read in its source, in its own spelling.
const FIRST_WORDS: &[(&str, &[(Wants, &str)])] = &[
    ("redis-cli", &[(Any, "COMMAND DOCS"), (Well, "COMMAND"), (Well, "SELECT 0")]),
    ("redis-benchmark", &[(Well, "CLUSTER NODES"), (Well, "CONFIG GET save appendonly")]),
    (
        "redis-py",
        &[
            (Well, "HELLO 3"),
            (Any, "CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type internal-ip"),
            (Well, "CLIENT SETINFO LIB-NAME redis-py"),
            (Well, "CLIENT SETINFO LIB-VER 8.1.0"),
            (Well, "CLUSTER SLOTS"),
            (Well, "COMMAND"),
            (Well, "SCAN 0 COUNT 10"),
            (Well, "DBSIZE"),
        ],
    ),
    (
        "ioredis",
        &[
            (Well, "client setname ioredis-cluster(refresher)"),
            (Any, "client SETINFO LIB-NAME ioredis"),
            (Well, "cluster SLOTS"),
            (Well, "info"),
            (Well, "cluster INFO"),
            (Well, "hello 3"),
        ],
    ),
    (
        "GLIDE",
        &[
            (Well, "HELLO 3"),
            (Well, "CLIENT SETINFO LIB-NAME GlidePy"),
            (Well, "PING"),
            (Well, "CLIENT SETNAME glide_management_connection"),
            (Well, "READONLY"),
        ],
    ),
    ("redis-rs", &[(Well, "PING"), (Well, "READONLY"), (Well, "CLUSTER SLOTS")]),
    ("fred", &[(Well, "HELLO 3"), (Well, "CLIENT ID"), (Well, "INFO server")]),
    ("lettuce", &[(Well, "HELLO 3"), (Well, "CLUSTER NODES"), (Well, "INFO")]),
    ("memtier", &[(Well, "SELECT 0"), (Well, "HELLO 2"), (Well, "CLUSTER SLOTS")]),
    (
        "RedisInsight",
        &[
            (Any, "SENTINEL MASTERS"),
            (Any, "MODULE LIST"),
            (Well, "COMMAND INFO get"),
            (Well, "CONFIG GET databases"),
            (Well, "CLIENT LIST"),
            (Any, "ACL CAT dangerous"),
            (Well, "CLUSTER SHARDS"),
            (Well, "SLOWLOG GET"),
        ],
    ),
    (
        "redis_exporter",
        &[
            (Well, "CLIENT SETNAME redis_exporter"),
            (Well, "CONFIG GET *"),
            (Well, "INFO ALL"),
            (Any, "LATENCY LATEST"),
            (Well, "SLOWLOG LEN"),
            (Well, "SLOWLOG GET 1"),
        ],
    ),
];

#[test]
fn what_clients_say_first_is_answered() {
    let world = World::start(2, &[]);
    for (name, lines) in FIRST_WORDS {
        let mut client = world.connect(0);
        for (wants, line) in *lines {
            let words: Vec<&str> = line.split(' ').collect();
            let answer = ask(&mut client, &words);
            let is_error = matches!(answer, Value::Error(_));
            assert!(*wants == Any || !is_error, "{name}: {line}: {answer:?}");
        }
        // Whatever it was told, its connection is still good.
        assert_eq!(ask(&mut client, &["PING"]), Value::Simple("PONG".into()), "{name}");
    }
    // redis-benchmark warns where it learns nothing, and redis_exporter wants commandstats.
    let mut client = world.connect(0);
    for name in ["save", "appendonly", "databases"] {
        let pair = ask(&mut client, &["CONFIG", "GET", name]);
        assert_eq!(pair.list().len(), 2, "{name}");
    }
    assert!(client.text(&["INFO", "ALL"]).contains("\r\ncmdstat_config|get:calls="));
}

/// redis-py asks for the keys of commands that it does not know, and reads these errors; it and
/// go-redis refuse a COMMAND with tips that they do not know.
#[test]
fn keys_and_tips_of_commands_are_told_as_clients_read_them() {
    let world = World::start(2, &[]);
    let mut client = world.connect(0);
    let keys = ask(&mut client, &["COMMAND", "GETKEYS", "MSET", "a", "1", "b", "2"]);
    assert_eq!(keys, Value::Array(vec![Value::Bulk("a".into()), Value::Bulk("b".into())]));
    let error = |text: &str| Value::Error(text.into());
    let none = ask(&mut client, &["COMMAND", "GETKEYS", "PING"]);
    assert_eq!(none, error("ERR The command has no key arguments"));
    let few = ask(&mut client, &["COMMAND", "GETKEYS", "GET"]);
    assert_eq!(few, error("ERR Invalid number of arguments specified for command"));
    let request = ["all_nodes", "all_shards", "multi_shard", "special"];
    let response = [
        "one_succeeded",
        "all_succeeded",
        "agg_sum",
        "agg_min",
        "agg_max",
        "agg_logical_and",
        "agg_logical_or",
        "special",
    ];
    for command in ask(&mut client, &["COMMAND"]).list() {
        for tip in command.list()[7].list() {
            let known = match tip.text().split_once(':') {
                Some(("request_policy", policy)) => request.contains(&policy),
                Some(("response_policy", policy)) => response.contains(&policy),
                Some(_) => false,
                None => tip.text().starts_with("nondeterministic_"),
            };
            assert!(known, "{:?}: {tip:?}", command.list()[0]);
        }
    }
}
