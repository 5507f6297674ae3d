//! The binary from outside: what it prints and how it ends when it is not to run a node.

use std::process::{Command, Output};

fn crabcache(args: &[&str], env: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_crabcache"))
        .args(args)
        .env_clear()
        .envs(env.iter().copied())
        .output()
        .expect("the binary runs")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn it_says_what_it_is_and_what_it_can_do() {
    let version = crabcache(&["--version"], &[]);
    let text = String::from_utf8_lossy(&version.stdout).into_owned();
    assert_eq!(text.trim_end(), concat!("crabcache ", env!("CARGO_PKG_VERSION")));
    let help = crabcache(&["--help"], &[]);
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    for word in ["server", "bench", "healthcheck", "--config", "--set"] {
        assert!(text.contains(word), "{word} is missing in:\n{text}");
    }
}

#[test]
fn a_wrong_setting_stops_the_start() {
    let output = crabcache(&["--set", "server.prot=1"], &[]);
    assert_eq!(output.status.code(), Some(2));
    let told = "crabcache: --set server.prot: there is no key server.prot; did you mean \
                server.port?\n";
    assert_eq!(stderr(&output), told);
    let output = crabcache(&["server"], &[("CRABCACHE_MEMORY__SHARDS", "many")]);
    assert_eq!(output.status.code(), Some(2));
    let told = "crabcache: environment variable CRABCACHE_MEMORY__SHARDS: ";
    assert!(stderr(&output).starts_with(told), "{}", stderr(&output));
    assert_eq!(crabcache(&["--no-such-option"], &[]).status.code(), Some(2));
}

#[test]
fn nobody_home_is_not_healthy() {
    // A port that was free a moment ago; nothing listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port")
        .port();
    let output = crabcache(&["healthcheck", "--set", &format!("http.port={port}")], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no answer from http://127.0.0.1:"), "{}", stderr(&output));
    let output = crabcache(&["healthcheck", "--set", "http.port=0"], &[]);
    assert_eq!(output.status.code(), Some(1));
}
