//! Settings from outside: the documented file, the layers, and what each mistake is answered.

use crabcache::config::{Config, Effective, KEYS, MaxMemory};
use crabcache::engine::Policy;
use std::path::Path;
use std::time::Duration;

const DOCUMENTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/crabcache.toml");

fn load(toml: &str, env: &[(&str, &str)], sets: &[&str]) -> Result<Config, String> {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("node.toml");
    std::fs::write(&file, toml).expect("a file");
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    Config::load(Some(&file), env, &sets)
        .map_err(|error| error.to_string().replace(&format!("{}/", dir.path().display()), ""))
}

fn mistake(toml: &str) -> String {
    load(toml, &[], &[]).expect_err("a mistake")
}

#[test]
fn the_documented_file_says_the_defaults() {
    let config = Config::load(Some(Path::new(DOCUMENTED)), std::iter::empty(), &[]);
    assert_eq!(config, Ok(Config::default()));
}

#[test]
fn the_documented_file_has_every_key_in_order_with_a_comment() {
    let text = std::fs::read_to_string(DOCUMENTED).expect("the file");
    let mut section = "";
    let mut found = Vec::new();
    let mut comment = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
        } else if let Some(words) = line.strip_prefix('#') {
            comment.push_str(words);
            continue;
        } else if let Some((key, value)) = line.split_once(" = ") {
            found.push((format!("{section}.{key}"), value.to_owned(), comment.contains("[live]")));
            assert!(comment.len() > 10, "{section}.{key} has no comment");
        }
        comment.clear();
    }
    let config = Config::default();
    let known: Vec<_> = KEYS
        .iter()
        .map(|key| {
            let live = key.effective == Effective::Live;
            (key.name.to_owned(), key.get(&config).toml(), live)
        })
        .collect();
    assert_eq!(found, known);
}

#[test]
fn the_guide_names_every_key() {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/CONFIGURATION.md");
    let guide = std::fs::read_to_string(guide).expect("the file");
    for key in KEYS {
        assert!(guide.contains(&format!("`{}`", key.name)), "{} is missing", key.name);
    }
}

#[test]
fn the_last_word_counts() {
    let toml = "[server]\nport = 1\nworkers = 1\nmax_clients = 1\n";
    let env = [
        ("CRABCACHE_SERVER__WORKERS", "2"),
        ("CRABCACHE_SERVER__MAX_CLIENTS", "2"),
        ("CRABCACHE_SERVICE_HOST", "not ours"),
        ("PATH", "/bin"),
    ];
    let config = load(toml, &env, &["server.max_clients=3"]).expect("a configuration");
    let server = config.server;
    assert_eq!((server.port, server.workers, server.max_clients), (1, 2, 3));
    assert_eq!(server.query_limit, Config::default().server.query_limit);
}

#[test]
fn every_way_to_write_a_value() {
    let toml = r#"
        memory.max_memory = "512MiB"
        [server]
        bind = "::1"
        tokens = ["first", "second"]
        output_limit = 1_000_000
        query_limit = "128kb"
        partial_timeout = "250ms"
        validation = "strict"
        protected = false
        [slowlog]
        threshold = "off"
    "#;
    let env = [("CRABCACHE_SERVER__TOKENS", "third,fourth, fifth")];
    let sets = ["memory.policy=volatile-ttl", "metrics.redis_compat=no"];
    let config = load(toml, &[], &sets).expect("a configuration");
    assert_eq!(config.memory.max_memory, MaxMemory::Bytes(512 << 20));
    assert_eq!(config.memory.policy, Some(Policy::VolatileTtl));
    assert_eq!(config.server.bind.to_string(), "::1");
    assert_eq!(config.server.tokens.len(), 2);
    assert_eq!(config.server.output_limit, 1_000_000);
    assert_eq!(config.server.query_limit, 128 * 1024);
    assert_eq!(config.server.partial_timeout, Duration::from_millis(250));
    assert!(!config.server.protected && !config.metrics.redis_compat);
    assert_eq!(config.slowlog.threshold, None);
    assert_eq!(load(toml, &env, &[]).expect("a configuration").server.tokens.len(), 3);
}

#[test]
fn tokens_are_shown_nowhere() {
    let config = load("server.tokens = [\"s3cret\"]", &[], &[]).expect("a configuration");
    let shown = crabcache::config::redis::get(&config, &[b"server.tokens", b"requirepass"]);
    assert!(!format!("{config:?} {shown:?}").contains("s3cret"));
    assert!(!mistake("server.tokens = [\"s3cret\", \"\"]").contains("s3cret"));
}

#[test]
fn tokens_of_a_command_line_are_no_toml() {
    for text in ["server.tokens=[\"a\"]", "server.tokens=\"a\"", "server.tokens=a,'b'"] {
        let told = load("", &[], &[text]).expect_err("a mistake");
        assert!(told.contains("without brackets and quotes"), "{told}");
    }
    let config = load("", &[], &["server.tokens=a,b"]).expect("a configuration");
    assert_eq!(config.server.tokens.len(), 2);
}

#[test]
fn a_mistake_is_told_with_its_line_and_what_was_expected() {
    for (toml, told) in [
        (
            "[server]\n# here\nprot = 1\n",
            "node.toml:3: there is no key server.prot; did you mean server.port?",
        ),
        (
            "[server]\nport = 70000\n",
            "node.toml:2: server.port is 70000, expected a whole number between 0 and 65535 \
             inclusive",
        ),
        (
            "\n[server]\n\n\nport = \"many\"\n",
            "node.toml:5: server.port is \"many\", expected a whole number between 0 and 65535 \
             inclusive",
        ),
        (
            "[memory]\nmax_memory = 1.5\n",
            "node.toml:2: memory.max_memory is 1.5, expected \"auto\", \"none\", or a size of at \
             least 1MiB such as \"512MiB\"",
        ),
        (
            "[server]\npartial_timeout = 30\n",
            "node.toml:2: server.partial_timeout is 30, expected a time such as \"250ms\", \"5s\" \
             or \"2m\" (\"0s\": off)",
        ),
        (
            "[server]\nvalidation = \"lax\"\n",
            "node.toml:2: server.validation is \"lax\", expected one of \"strict\", \"normal\", \
             \"relaxed\"",
        ),
        ("[sever]\n", "node.toml:1: there is no key sever; config/crabcache.toml lists them all"),
        (
            "[server.tls]\nkey = 1\n",
            "node.toml:1: there is no key server.tls; config/crabcache.toml lists them all",
        ),
    ] {
        assert_eq!(mistake(toml), told);
    }
    let syntax = mistake("[server]\nport = 1\nbind = \n");
    assert!(syntax.starts_with("node.toml:3: "), "{syntax}");
    let twice = mistake("[server]\nport = 1\nport = 2\n");
    assert!(twice.starts_with("node.toml:3: duplicate key"), "{twice}");
}

#[test]
fn a_log_needs_a_place_and_a_pace() {
    use crabcache::config::{OnError, WalPolicy};
    for policy in ["async", "sync"] {
        assert_eq!(
            mistake(&format!("[wal]\npolicy = \"{policy}\"\n")),
            "wal.policy other than \"none\" needs data.dir, a directory for the log"
        );
    }
    let told = load("wal.interval = \"0s\"", &[], &[]).expect_err("a mistake");
    assert!(told.starts_with("wal.interval is 0s, expected a longer time"), "{told}");
    let told = mistake("data.dir = \"a\\nb\"\n");
    assert!(told.ends_with("expected a path such as \"/var/lib/crabcache\""), "{told}");
    let told = mistake("wal.segment_bytes = \"4kb\"\n");
    assert!(told.contains("expected a size from 1MiB to 4GiB"), "{told}");
    // The place may come from elsewhere than the policy.
    let env = [("CRABCACHE_DATA__DIR", "/var/lib/crab cache")];
    let toml = "[wal]\npolicy = \"sync\"\non_error = \"stop\"\nsnapshot_rate = 0\n";
    let config = load(toml, &env, &["wal.interval=20ms"]).expect("a configuration");
    assert_eq!(config.data.dir, Path::new("/var/lib/crab cache"));
    assert_eq!((config.wal.policy, config.wal.on_error), (WalPolicy::Sync, OnError::Stop));
    assert_eq!(config.wal.interval, Duration::from_millis(20));
    assert_eq!(config.wal.snapshot_rate, 0);
    let shown = crabcache::config::redis::get(&config, &[b"append*", b"dir"]);
    let shown: Vec<&str> = shown.iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(shown, ["always", "yes", "/var/lib/crab cache"]);
}

#[test]
fn mistakes_elsewhere_name_their_place() {
    let env = [("CRABCACHE_SERVER__PROT", "1")];
    assert_eq!(
        load("", &env, &[]).expect_err("a mistake"),
        "environment variable CRABCACHE_SERVER__PROT: there is no key server.prot; did you mean \
         server.port?"
    );
    assert_eq!(
        load("", &[], &["server.workers=x"]).expect_err("a mistake"),
        "--set server.workers: server.workers is \"x\", expected a whole number between 0 and 256 \
         inclusive"
    );
    assert_eq!(
        load("", &[], &["verbose"]).expect_err("a mistake"),
        "--set verbose: expected section.key=value"
    );
    let missing = Config::load(Some(Path::new("/no/such.toml")), std::iter::empty(), &[]);
    let told = missing.expect_err("a mistake").to_string();
    assert!(told.starts_with("/no/such.toml: cannot read the configuration: No such"), "{told}");
}
