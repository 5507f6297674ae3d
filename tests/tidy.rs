//! Holds the code to its picture: which room may use which, what the pure ones never mention, and
//! how long and wide things may be. docs/ARCHITECTURE.md explains the picture; this is the law.

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms of `src/`, lower ones first, each with the rooms it may use: its doors. Doors lead
/// downward only. A new one is a decision: half a page in docs/decisions.
const DOORS: &[(&str, &[&str])] = &[
    ("limits", &[]),
    ("command", &["limits"]),
    ("clock", &["command"]),
    ("metrics", &["limits"]),
    ("engine", &["command", "limits"]),
    ("resp", &["command", "limits"]),
    ("config", &["engine", "limits"]),
    ("wal", &["config", "engine", "command", "metrics", "clock", "limits"]),
    ("security", &["config", "clock"]),
    ("peer", &["security", "clock", "limits"]),
    ("control", &["peer", "security", "clock", "limits"]),
    (
        "replication",
        &["peer", "wal", "security", "config", "engine", "resp", "command", "clock", "limits"],
    ),
    (
        "worker",
        &["wal", "security", "config", "engine", "resp", "command", "metrics", "clock", "limits"],
    ),
    (
        "server",
        &[
            "worker", "wal", "security", "config", "engine", "resp", "command", "metrics", "clock",
            "limits",
        ],
    ),
    ("http", &["wal", "engine", "metrics", "limits"]),
    (
        "node",
        &[
            "control",
            "http",
            "server",
            "worker",
            "replication",
            "peer",
            "wal",
            "security",
            "config",
            "engine",
            "command",
            "metrics",
            "clock",
            "limits",
        ],
    ),
    ("cli", &["node", "wal", "security", "config", "clock", "limits"]),
    ("main", &["cli"]),
];

/// Rooms that take time, chance and bytes as arguments; so does all of `cluster/`.
const PURE: &[&str] = &["src/engine", "src/resp", "src/command", "cluster/src"];

/// What they never mention, tests aside.
const IMPURE: &[&str] = &[
    "tokio",
    "socket2",
    "std::net",
    "std::fs",
    "std::process",
    "std::env",
    "std::thread",
    "Instant",
    "SystemTime",
    "RandomState",
    "tracing",
];

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_CHARS_MAX: usize = 100;
const ARCHITECTURE_LINES_MAX: usize = 400;

/// A source file: as it is, and with comments and the insides of strings blanked.
struct Source {
    path: String,
    text: String,
    code: String,
}

impl Source {
    /// Its room: the first name below `src/`.
    fn room(&self) -> Option<&str> {
        let below = self.path.strip_prefix("src/")?;
        below.split('/').next()?.split('.').next()
    }

    /// What stands before its tests, which come last.
    fn code_without_tests(&self) -> &str {
        self.code.split("#[cfg(test)]\nmod ").next().unwrap_or_default()
    }

    /// How many `super::` lead out of its room.
    fn depth(&self) -> usize {
        let parts = self.path.trim_end_matches("/mod.rs").matches('/').count();
        parts.max(1)
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    for folder in ["src", "cluster", "jepsen", "tests", "benches", "fuzz"] {
        collect(&root().join(folder), &mut paths);
    }
    paths.sort();
    assert!(paths.len() > 20, "the sources are not where they were");
    paths.into_iter().map(|path| read(&path)).collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

fn read(path: &Path) -> Source {
    let text = fs::read_to_string(path).expect("a readable file");
    let path = path.strip_prefix(root()).expect("a file of ours").display().to_string();
    let code = blank(&text);
    Source { path, text, code }
}

/// Fails with all findings at once.
fn report(findings: Vec<String>, rule: &str) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}

#[test]
fn doors_lead_downward() {
    for (i, (room, doors)) in DOORS.iter().enumerate() {
        for door in *doors {
            let below = DOORS[..i].iter().any(|(lower, _)| lower == door);
            assert!(below, "{room} may not have a door to {door}: it is not below");
        }
    }
}

#[test]
fn rooms_use_only_their_doors() {
    let mut findings = Vec::new();
    for source in sources() {
        let Some(room) = source.room().filter(|room| *room != "lib") else { continue };
        let Some((_, doors)) = DOORS.iter().find(|(name, _)| *name == room) else {
            findings.push(format!("{}: {room} is not in the picture", source.path));
            continue;
        };
        for used in rooms_used(&source) {
            if used != room && !doors.contains(&used.as_str()) {
                findings.push(format!("{}: {room} has no door to {used}", source.path));
            }
        }
    }
    report(findings, "rooms use only their doors");
}

/// The rooms that a file names by `crate::`, or by a module-level `use super::` out of its own.
fn rooms_used(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for prefix in ["crate::", "crabcache::"] {
        for (at, _) in source.code.match_indices(prefix) {
            heads(&source.code[at + prefix.len()..], &mut found);
        }
    }
    let out = "super::".repeat(source.depth());
    for line in source.code.lines() {
        let path = line.strip_prefix("pub ").unwrap_or(line).strip_prefix("use ");
        if let Some(rest) = path.and_then(|path| path.strip_prefix(out.as_str())) {
            heads(rest, &mut found);
        }
    }
    found.sort();
    found.dedup();
    found.retain(|name| DOORS.iter().any(|(room, _)| room == name));
    found
}

/// The first names of a path: of `a::b` a, of `{a::b, c::{d, e}}` a and c.
fn heads(path: &str, found: &mut Vec<String>) {
    let Some(group) = path.strip_prefix('{') else {
        found.push(path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        return;
    };
    let mut depth = 0;
    let mut start = 0;
    for (i, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                heads(group[start..i].trim_start(), found);
                start = i + 1;
                if c == '}' {
                    return;
                }
            }
            _ => {}
        }
    }
}

#[test]
fn pure_rooms_know_no_world() {
    let mut findings = Vec::new();
    for source in sources() {
        if PURE.iter().any(|room| source.path.starts_with(room)) {
            let code = source.code_without_tests();
            let mentioned = IMPURE.iter().filter(|word| mentions(code, word));
            findings.extend(mentioned.map(|word| format!("{}: mentions {word}", source.path)));
        }
    }
    report(findings, "pure rooms take time, chance and bytes as arguments");
}

/// Whether `word` stands in `code` as a word.
fn mentions(code: &str, word: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .any(|(at, _)| !code[..at].ends_with(joins) && !code[at + word.len()..].starts_with(joins))
}

#[test]
fn cluster_depends_on_no_runtime() {
    let manifest = fs::read_to_string(root().join("cluster/Cargo.toml")).expect("a manifest");
    let names = ["tokio", "openraft", "quinn", "socket2", "libc", "rand", "getrandom", "tracing"];
    let found = names.iter().filter(|name| manifest.contains(&format!("\n{name} =")));
    report(found.map(|name| (*name).to_owned()).collect(), "cluster is pure");
}

#[test]
fn jepsen_is_a_black_box() {
    let manifest = fs::read_to_string(root().join("jepsen/Cargo.toml")).expect("a manifest");
    assert!(!manifest.contains("\ncrabcache ="), "jepsen sees nodes only from outside");
}

#[test]
fn every_file_says_at_the_door_what_it_is_for() {
    let silent = sources().into_iter().filter(|s| !s.text.starts_with("//! "));
    report(silent.map(|s| s.path).collect(), "a file opens with a `//!` sentence");
}

#[test]
fn files_and_lines_fit_the_screen() {
    let mut findings = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > FILE_LINES_MAX {
            findings.push(format!("{}: {lines} lines", source.path));
        }
        for (i, line) in source.text.lines().enumerate() {
            let chars = line.chars().count();
            if chars > LINE_CHARS_MAX {
                findings.push(format!("{}:{}: {chars} characters", source.path, i + 1));
            }
        }
    }
    report(findings, "files have at most 500 lines, lines at most 100 characters");
}

#[test]
fn functions_fit_the_screen() {
    let mut findings = Vec::new();
    for source in sources() {
        let lines: Vec<&str> = source.code.lines().collect();
        for (start, line) in lines.iter().enumerate().filter(|(_, line)| mentions(line, "fn")) {
            let length = function_lines(&lines[start..]);
            if length > FUNCTION_LINES_MAX {
                let name = line.trim();
                findings.push(format!("{}:{}: {length} lines: {name}", source.path, start + 1));
            }
        }
    }
    report(findings, "functions have at most 70 lines");
}

/// Lines from a `fn` to the end of its body; 1 when it has none. Formatting is `rustfmt`'s, so
/// the body ends with the first brace that stands where the `fn`'s line begins.
fn function_lines(lines: &[&str]) -> usize {
    let indent = lines[0].len() - lines[0].trim_start().len();
    let opens = lines.iter().position(|line| line.ends_with('{'));
    let ends = lines.iter().position(|line| line.ends_with(';') || line.ends_with('}'));
    if opens.is_none_or(|opens| ends.is_some_and(|ends| ends < opens)) {
        return 1;
    }
    let close = format!("{}}}", " ".repeat(indent));
    1 + lines.iter().position(|line| line.starts_with(&close)).unwrap_or(0)
}

#[test]
fn no_globs_of_our_own_modules() {
    let mut findings = Vec::new();
    for source in sources() {
        for (i, line) in source.code_without_tests().lines().enumerate() {
            let line = line.trim_start().trim_start_matches("pub ");
            let ours = ["crate::", "super::", "self::", "crabcache::", "cluster::"];
            let import = line.strip_prefix("use ").unwrap_or_default();
            if import.ends_with("::*;") && ours.iter().any(|start| import.starts_with(start)) {
                findings.push(format!("{}:{}: {line}", source.path, i + 1));
            }
        }
    }
    report(findings, "names are imported one by one");
}

#[test]
fn tests_neither_sleep_nor_hide() {
    let mut findings = Vec::new();
    for source in sources() {
        for word in ["#[ignore", "#[should_panic", "thread::sleep"] {
            if source.code.contains(word) {
                findings.push(format!("{}: {word}", source.path));
            }
        }
    }
    report(findings, "tests wait for what they wait for, run always, and assert what they mean");
}

#[test]
fn every_unsafe_says_why_it_is_sound() {
    let mut findings = Vec::new();
    for source in sources() {
        let text: Vec<&str> = source.text.lines().collect();
        for (i, line) in source.code.lines().enumerate() {
            let near = &text[i.saturating_sub(6)..=i];
            let said =
                near.iter().any(|line| line.contains("SAFETY:") || line.contains("# Safety"));
            if mentions(line, "unsafe") && !line.contains("unsafe_op_in") && !said {
                findings.push(format!("{}:{}: {}", source.path, i + 1, line.trim()));
            }
        }
    }
    report(findings, "every unsafe has its `SAFETY:` reason within six lines above");
}

#[test]
fn the_architecture_has_a_paragraph_per_room_and_stays_short() {
    let text = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).expect("the page");
    assert!(text.lines().count() <= ARCHITECTURE_LINES_MAX, "docs/ARCHITECTURE.md is too long");
    let missing = DOORS.iter().filter(|(room, _)| !text.contains(&format!("**`{room}`**")));
    report(missing.map(|(room, _)| (*room).to_owned()).collect(), "every room has its paragraph");
}

/// Comments and the insides of strings and characters as spaces, so that words in them do not
/// count; lines stay where they are.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = skipped(rest, out.chars().next_back());
        let (keep, hide) = if skipped > 0 { (0, skipped) } else { (first.len_utf8(), 0) };
        out.push_str(&rest[..keep]);
        out.extend(rest[..hide].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &rest[keep + hide..];
    }
    out
}

/// How many bytes at the start of `rest` are a comment, a string or a character; 0 when none.
fn skipped(rest: &str, before: Option<char>) -> usize {
    let until = |end: &str, from: usize| {
        rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len())
    };
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return until("*/", 2);
    }
    if rest.starts_with('"') {
        return quoted(rest, '"');
    }
    let in_word = before.is_some_and(|c| c.is_alphanumeric() && c != 'b' || c == '_');
    if !in_word && (rest.starts_with("r\"") || rest.starts_with("r#")) {
        let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
        if rest[1 + hashes..].starts_with('"') {
            return until(&format!("\"{}", "#".repeat(hashes)), hashes + 2);
        }
    }
    if rest.starts_with('\'') {
        let body: Vec<char> = rest.chars().skip(1).take(2).collect();
        let character = matches!(body[..], ['\\', _] | [_, '\'']);
        return if character { quoted(rest, '\'') } else { 0 };
    }
    0
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if !escaped && c == quote {
            return at + c.len_utf8();
        }
        escaped = !escaped && c == '\\';
    }
    rest.len()
}

#[test]
fn the_reader_of_code_sees_through_comments_and_strings() {
    let text = "use crate::{a::b, c::{d, e}}; // crate::x\nlet s = \"crate::y \\\" \"; 'z' '\\''";
    let text = format!("{text} r#\"crate::w\"# &'a str crate::v");
    let source = Source { path: "src/a/mod.rs".into(), code: blank(&text), text };
    let mut found = Vec::new();
    for (at, _) in source.code.match_indices("crate::") {
        heads(&source.code[at + 7..], &mut found);
    }
    assert_eq!(found, ["a", "c", "v"]);
    assert!(mentions(&source.code, "str") && !mentions(&source.code, "st"));
    assert_eq!(function_lines(&["  fn a(", "    b: u8,", "  ) {", "    c", "  }", "}"]), 5);
    assert_eq!(function_lines(&["fn a() {}", "fn b() {", "}"]), 1);
}
