//! `crabcache bench` against a small server of the tests' own: does it send what it says it
//! sends, count what it got, and measure from the right moment?

mod bench_server;

use bench_server::{Command, Manners, Server};
use clap::Parser;
use crabcache::cli::bench::{Failure, Options, measure};
use serde_json::Value;
use std::collections::HashSet;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

/// Runs `bench ARGS --json` against a server; gives the JSON, and why it failed if it did.
fn bench(server: &Server, args: &str) -> (Value, Option<Failure>) {
    let line = format!("bench --port {} --json {args}", server.port);
    let options = Line::try_parse_from(line.split(' ')).expect("options that parse").options;
    let mut out = Vec::new();
    let failure = measure(&options, &mut out).err();
    let json =
        if out.is_empty() { Value::Null } else { serde_json::from_slice(&out).expect("JSON") };
    (json, failure)
}

/// As `bench`, of a run that must succeed.
fn bench_well(server: &Server, args: &str) -> Value {
    let (json, failure) = bench(server, args);
    assert_eq!(failure, None, "{json}");
    json
}

fn keys<'a>(commands: &'a [Command], name: &str) -> Vec<&'a [u8]> {
    let named = commands.iter().filter(|command| command[0] == name.as_bytes());
    named.map(|command| command[1].as_slice()).collect()
}

#[test]
fn fills_every_key_once_and_sends_as_many_requests_as_asked_for() {
    let server = Server::start(Manners::default());
    let json = bench_well(&server, "--fill -k 300 --key-size 9 -d 20 -n 0 -c 5 -t 2 -P 8");
    let commands = server.data_commands();
    let expected: HashSet<Vec<u8>> = (0..300).map(|id| format!("k{id:08}").into_bytes()).collect();
    let filled: HashSet<Vec<u8>> = keys(&commands, "SET").into_iter().map(<[u8]>::to_vec).collect();
    assert_eq!((commands.len(), server.len()), (300, 300));
    assert_eq!(filled, expected);
    assert!(commands.iter().all(|command| command.len() == 3 && command[2].len() == 20));
    assert_eq!(json["phases"][0]["name"], "fill");
    assert_eq!(json["phases"][0]["set"]["requests"], 300);

    let json = bench_well(&server, "-n 2000 -k 300 --key-size 9 -d 20 -c 5 -t 2 -P 8 -r 0.5");
    let commands = server.data_commands();
    assert_eq!(commands.len(), 2300);
    let run = &json["phases"][0];
    let number = |kind: &str, what: &str| run[kind][what].as_u64().unwrap();
    assert_eq!(number("all", "requests"), 2000);
    assert_eq!(number("get", "requests"), keys(&commands, "GET").len() as u64);
    assert_eq!(number("set", "requests"), keys(&commands, "SET").len() as u64 - 300);
    assert_eq!((number("get", "misses"), number("all", "errors")), (0, 0));
    assert!((800..1200).contains(&number("get", "requests")));
    assert_eq!((&run["unanswered"], &run["unsent"]), (&0.into(), &0.into()));
    assert!(keys(&commands, "GET").iter().all(|&key| expected.contains(key)));
}

#[test]
fn sizes_and_deadlines_are_drawn_from_their_ranges() {
    let server = Server::start(Manners::default());
    bench_well(&server, "-n 500 -k 50 -r 0 -d 0-40 --ttl 5-9 -c 3");
    let commands = server.data_commands();
    let sizes: HashSet<usize> = commands.iter().map(|command| command[2].len()).collect();
    assert!(sizes.iter().all(|&size| size <= 40) && sizes.len() > 30, "{sizes:?}");
    let deadlines: HashSet<&[u8]> = commands.iter().map(|command| &command[4][..]).collect();
    let expected: HashSet<&[u8]> = [&b"5"[..], b"6", b"7", b"8", b"9"].into();
    assert_eq!(deadlines, expected);
}

#[test]
fn the_same_seed_asks_for_the_same_keys() {
    let asked = |args: &str| {
        let server = Server::start(Manners::default());
        bench_well(&server, &format!("-n 200 -k 1000 -c 1 {args}"));
        server.data_commands()
    };
    assert_eq!(asked("--seed 3"), asked("--seed 3"));
    assert_ne!(asked("--seed 3"), asked("--seed 4"));
    let popular = |args: &str| {
        let commands = asked(args);
        commands.iter().map(|command| command[1].clone()).collect::<HashSet<_>>().len()
    };
    assert!(popular("--distribution uniform") > popular("--distribution zipf:1.2"));
}

#[test]
fn open_loop_latency_counts_from_the_moment_a_request_was_due() {
    let server = Server::start(Manners::default());
    // A request each microsecond, one at a time: the server cannot keep up. The last is due
    // after 199 us and is answered at the end, so it was late by nearly the whole run.
    let json = bench_well(&server, "-n 200 -k 10 -c 1 -P 1 --rate 1000000");
    let run = &json["phases"][0];
    let run_us = run["seconds"].as_f64().unwrap() * 1e6;
    let max_us = run["all"]["max_us"].as_f64().unwrap();
    assert!((run_us - 200.0..=run_us).contains(&max_us), "{max_us} of {run_us}");
    assert_eq!(run["all"]["requests"], 200);
}

#[test]
fn an_open_loop_does_not_wait_for_replies() {
    // In a closed loop of one connection this server would be waited for without end.
    let server = Server::start(Manners { answer_from: 40, ..Manners::default() });
    let json = bench_well(&server, "-n 50 -k 10 -c 1 -P 100 --rate 1000 --arrivals poisson");
    assert_eq!(json["phases"][0]["all"]["requests"], 50);
    assert_eq!(json["settings"]["arrivals"], "poisson");
}

#[test]
fn what_an_overloaded_open_loop_could_not_send_is_said() {
    // A request each 10 ns, one at a time: nearly all of them find no room.
    let server = Server::start(Manners::default());
    let json = bench_well(&server, "-s 0.05 --warmup 0 -k 10 -c 1 -P 1 --rate 100000000");
    let run = &json["phases"][0];
    assert!(run["unsent"].as_u64().unwrap() > 1000, "{json}");
    let warnings = run["warnings"].to_string();
    assert!(warnings.contains("did not keep up with the rate"), "{warnings}");
}

#[test]
fn errors_are_counted_and_quoted() {
    let error = "OOM command not allowed when used memory > 'maxmemory'.";
    let manners = Manners { set_error: Some(error.to_owned()), ..Manners::default() };
    let server = Server::start(manners);
    let json = bench_well(&server, "-n 100 -k 10 -r 0.5 -c 2 -P 4");
    let run = &json["phases"][0];
    assert_eq!(run["set"]["errors"], run["set"]["requests"]);
    assert_eq!(
        (&run["get"]["errors"], &run["get"]["misses"]),
        (&0.into(), &run["get"]["requests"])
    );
    assert_eq!(run["errors"][0]["text"], error);
    assert_eq!(run["errors"][0]["count"], run["set"]["requests"]);
    assert!(run["warnings"].to_string().contains("--fill"));
}

#[test]
fn a_token_is_presented_on_every_connection() {
    let token = Some("open sesame".to_owned());
    let server = Server::start(Manners { token, ..Manners::default() });
    let line = format!("bench --port {} --json -n 100 -k 10 -c 4 --token", server.port);
    let with_token = |token: &'static str| {
        let args = line.split(' ').chain([token]);
        let options = Line::try_parse_from(args).unwrap().options;
        measure(&options, &mut Vec::new())
    };
    assert_eq!(with_token("open sesame"), Ok(()));
    assert_eq!(server.data_commands().len(), 100);
    let refused = Failure::Broken("the server refused AUTH: WRONGPASS no".to_owned());
    assert_eq!(with_token("open barley"), Err(refused));
}

#[test]
fn large_values_move_both_ways_without_a_jam() {
    let server = Server::start(Manners::default());
    let json = bench_well(&server, "--fill -k 16 -d 300000 -n 400 -r 0.5 -c 2 -P 50");
    let run = &json["phases"][1];
    assert_eq!((&run["all"]["requests"], &run["get"]["misses"]), (&400.into(), &0.into()));
    assert!(run["received_bytes"].as_u64().unwrap() > 100 * 300_000);
}

#[test]
fn a_run_that_breaks_off_says_why_and_what_it_had() {
    let server = Server::start(Manners { commands_max: Some(30), ..Manners::default() });
    let (json, failure) = bench(&server, "-n 1000 -k 10 -c 4 -t 2");
    let closed = "the server closed the connection";
    assert_eq!(failure, Some(Failure::Broken(closed.to_owned())));
    assert_eq!(json["phases"][0]["failure"], closed);
    assert!(json["phases"][0]["all"]["requests"].as_u64().unwrap() >= 30);

    let answer: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\r\n";
    let server = Server::start(Manners { answer: Some(answer), ..Manners::default() });
    let Some(Failure::Broken(text)) = bench(&server, "-n 10 -k 10").1 else { panic!() };
    assert!(text.starts_with("not the Redis protocol: "), "{text}");

    let server = Server::start(Manners { answer: Some(b"+A\r\n+B\r\n"), ..Manners::default() });
    let Some(Failure::Broken(text)) = bench(&server, "-n 10 -k 10").1 else { panic!() };
    assert!(text.contains("nobody asked for"), "{text}");
}

#[test]
fn no_server_and_no_sense_are_told_apart() {
    let server = Server::start(Manners::default());
    let (_, failure) = bench(&server, "-k 100000 --key-size 3");
    let text = "100000 keys need --key-size 6 or more";
    assert_eq!(failure, Some(Failure::Usage(text.to_owned())));
    let Some(Failure::Broken(text)) = bench(&Server::absent(), "-n 1").1 else { panic!() };
    assert!(text.contains("cannot connect to 127.0.0.1:"), "{text}");
}
