//! docs/TUTORIAL.md works as printed: its `console` blocks are typed in and what comes back is
//! compared, with `...` for anything. What needs a program that is not installed is left out, and
//! said so.
#![allow(clippy::unwrap_used)]

mod ports;

use crabcache::clock;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long a node may take to start, and one command of the page to end.
const WAIT: Duration = Duration::from_secs(60);
/// What a line begins with that is typed into a running program.
const PROMPTS: [&str; 2] = ["127.0.0.1:7001> ", ">>> "];
/// What is not on every machine: a word of the page that needs it, its name, and a command that
/// succeeds where it is.
const CLIENTS: [(&str, &str, &str); 6] = [
    ("redis-cli", "redis-cli", "redis-cli --version"),
    ("redis-benchmark", "redis-benchmark", "redis-benchmark --version"),
    ("python3", "python3", "python3 --version"),
    ("redis", "redis-py", "python3 -c 'import redis'"),
    ("nc", "nc", "command -v nc"),
    ("curl", "curl", "curl --version"),
];

#[test]
fn the_tutorial_works_as_printed() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/TUTORIAL.md");
    let steps = steps(&std::fs::read_to_string(page).unwrap());
    assert!(!steps.is_empty());
    let node = Node::start();
    let mut wrong = String::new();
    for step in steps {
        let typed = step.input.iter().chain([&step.command]);
        let words: Vec<&str> = typed.flat_map(|line| line.split_whitespace()).collect();
        let missing = CLIENTS.iter().find(|(word, _, probe)| {
            words.contains(word) && !node.shell(probe).output().unwrap().status.success()
        });
        match missing {
            Some((_, client, _)) => say(&format!("line {} not run: no {client}", step.line)),
            None => wrong.extend(node.check(&step).err()),
        }
    }
    assert!(wrong.is_empty(), "not as printed:\n{wrong}");
}

/// One command of the page, what is typed into it, and what it should print.
#[derive(Clone, Debug, Default, PartialEq)]
struct Step {
    line: usize,
    command: String,
    input: Vec<String>,
    expected: Vec<String>,
}

/// The steps of all `console` blocks.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for (index, line) in page.lines().enumerate() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if let (true, Some(command)) = (inside, line.strip_prefix("$ ")) {
            steps.push(Step { line: index + 1, command: command.into(), ..Step::default() });
        } else if let (true, Some(step)) = (inside, steps.last_mut()) {
            match PROMPTS.iter().find_map(|prompt| line.strip_prefix(prompt)) {
                Some(typed) => step.input.push(typed.into()),
                None => step.expected.push(line.into()),
            }
        }
    }
    steps
}

/// A node with ports of its own, for the length of a test.
struct Node {
    process: Child,
    port: u16,
    http_port: u16,
    directory: tempfile::TempDir,
    path: OsString,
}

impl Node {
    fn start() -> Node {
        let (port, http_port) = (ports::free_port(), ports::free_port());
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_crabcache"));
        let mut server = Command::new(&binary);
        server.args(["server", "--set", &format!("server.port={port}")]);
        server.args(["--set", &format!("http.port={http_port}")]);
        let process = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let own = [binary.parent().unwrap().to_owned()];
        let path = own.into_iter().chain(std::env::split_paths(&inherited));
        let path = std::env::join_paths(path).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let mut node = Node { process, port, http_port, directory, path };
        node.wait_until_ready();
        node
    }

    fn wait_until_ready(&mut self) {
        let ask = format!("crabcache healthcheck --ready --set http.port={}", self.http_port);
        let deadline = clock::monotonic_nanos() + WAIT.as_nanos() as u64;
        while !self.shell(&ask).output().unwrap().status.success() {
            assert_eq!(self.process.try_wait().unwrap(), None, "the node ended");
            assert!(clock::monotonic_nanos() < deadline, "the node does not become ready");
        }
    }

    fn shell(&self, command: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(&self.directory).env("PATH", &self.path);
        shell
    }

    /// Runs a step and compares what it prints; the error shows both.
    fn check(&self, step: &Step) -> Result<(), String> {
        let printed = self.run(step);
        let printed: Vec<&str> = printed.trim_end().lines().map(as_seen).collect();
        let expected: Vec<String> = step.expected.iter().map(|line| self.at_home(line)).collect();
        if lines_match(&expected, &printed) {
            return Ok(());
        }
        let (expected, printed) = (expected.join("\n"), printed.join("\n"));
        let complaints = std::fs::read_to_string(self.complaints()).unwrap();
        let Step { line, command, .. } = step;
        Err(format!(
            "line {line}: {command}\n-- expected\n{expected}\n-- printed\n{printed}\n\
             -- on standard error\n{complaints}\n"
        ))
    }

    /// Where a step's standard error goes.
    fn complaints(&self) -> PathBuf {
        self.directory.path().join("standard-error")
    }

    fn run(&self, step: &Step) -> String {
        let mut command = self.at_home(&step.command);
        // Without a terminal both need to be told that somebody reads.
        match command.split(' ').next() {
            Some("redis-cli") if !step.input.is_empty() => command.push_str(" --no-raw"),
            Some("python3") if !step.input.is_empty() => command.push_str(" -i -q"),
            _ => {}
        }
        let mut shell = self.shell(&command);
        let mut shell = shell
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(self.complaints()).unwrap())
            .spawn()
            .unwrap();
        let input: String = step.input.iter().map(|line| self.at_home(line) + "\n").collect();
        shell.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let mut stdout = shell.stdout.take().unwrap();
        let (done, printed) = mpsc::channel();
        thread::spawn(move || {
            let mut text = Vec::new();
            let read = stdout.read_to_end(&mut text);
            done.send(read.map(|_| String::from_utf8_lossy(&text).into_owned()))
        });
        let text = printed.recv_timeout(WAIT);
        shell.kill().unwrap();
        shell.wait().unwrap();
        text.unwrap_or_else(|_| panic!("docs/TUTORIAL.md:{}: does not end", step.line)).unwrap()
    }

    /// A line of the page with this node's ports.
    fn at_home(&self, line: &str) -> String {
        line.replace("7001", &self.port.to_string()).replace("9090", &self.http_port.to_string())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A test that fails says why; that its node is gone already is not the reason.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A line as it looks on a terminal: behind a carriage return it begins anew.
fn as_seen(line: &str) -> &str {
    let line = line.trim_end();
    line.rsplit('\r').next().unwrap_or(line)
}

/// Whether the lines are the expected ones, where a line of dots stands for any number of lines.
fn lines_match(expected: &[String], printed: &[&str]) -> bool {
    match expected.split_first() {
        None => printed.is_empty(),
        Some((dots, rest)) if dots == "..." => {
            (0..=printed.len()).any(|from| lines_match(rest, &printed[from..]))
        }
        Some((line, rest)) => printed.split_first().is_some_and(|(first, printed)| {
            line_matches(line, first) && lines_match(rest, printed)
        }),
    }
}

/// Whether a line is the expected one, where dots stand for any text.
fn line_matches(expected: &str, printed: &str) -> bool {
    let Some((head, rest)) = expected.split_once("...") else {
        return expected.trim_end() == printed;
    };
    let Some(printed) = printed.strip_prefix(head) else {
        return false;
    };
    let tails = printed.char_indices().map(|(at, _)| at).chain([printed.len()]);
    tails.into_iter().any(|at| line_matches(rest, &printed[at..]))
}

/// Says it to whoever runs the tests, whether they pass or not.
fn say(text: &str) {
    let mut everybody = std::io::stderr();
    writeln!(everybody, "tutorial: {text}").unwrap();
}

#[test]
fn steps_of_a_page() {
    let page = "text\n```sh\n$ no\n```\n```console\n$ redis-cli -p 7001\n127.0.0.1:7001> GET a\n\
                \"b\"\n$ echo\n\n```\n$ no\n";
    let first = Step {
        line: 6,
        command: "redis-cli -p 7001".into(),
        input: vec!["GET a".into()],
        expected: vec!["\"b\"".into()],
    };
    let second =
        Step { line: 9, command: "echo".into(), expected: vec!["".into()], ..first.clone() };
    assert_eq!(steps(page), [first, Step { input: Vec::new(), ..second }]);
}

#[test]
fn dots_stand_for_anything() {
    let matches = |expected: &str, printed: &str| {
        let expected: Vec<String> = expected.lines().map(String::from).collect();
        lines_match(&expected, &printed.lines().map(as_seen).collect::<Vec<_>>())
    };
    assert!(matches("a\n...\nd ...%", "a\nb\nc\nd 12 %"));
    assert!(matches("...\nd", "d"));
    assert!(matches("SET: ... per second", "rps=1\rrps=2\rSET: 5 per second\r"));
    assert!(!matches("a", "a\nb"));
    assert!(!matches("a\nb", "a"));
    assert!(!matches("x=... y", "x=1 z"));
}
