//! COMMAND as clients see it.

use super::execute;
use crate::command::reply::{Reply, ReplyBuilder};
use crate::command::{Arg, Args, spec};

/// Knows `*` at the end, which is enough here.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.strip_suffix(b"*") {
        Some(start) => text.starts_with(start),
        None => pattern == text,
    }
}

fn answer(line: &str) -> Reply {
    let mut list = Vec::new();
    for word in line.split(' ') {
        let start = word.as_ptr() as usize - line.as_ptr() as usize;
        list.push(Arg::Span { start: start as u32, end: (start + word.len()) as u32 });
    }
    let args = Args::new(line.as_bytes(), &list);
    let name = match args.len() {
        1 => "command".to_owned(),
        _ => format!("command|{}", String::from_utf8_lossy(args.get(1))),
    };
    let spec = spec::lookup_full(name.as_bytes()).expect(line);
    let mut out = ReplyBuilder::default();
    execute(spec, args, glob, &mut out);
    let mut replies = out.finish();
    assert_eq!(replies.len(), 1, "{line} has one answer");
    replies.remove(0)
}

fn texts(words: &[&str]) -> Vec<Reply> {
    words.iter().map(Reply::bulk).collect()
}

fn statuses(words: &[&str]) -> Reply {
    Reply::Set(words.iter().map(|&w| Reply::Simple(w.into())).collect())
}

fn error(text: &str) -> Reply {
    Reply::Error(text.into())
}

fn field<'a>(map: &'a Reply, name: &str) -> Option<&'a Reply> {
    let Reply::Map(pairs) = map else { panic!("{map:?}") };
    pairs.iter().find(|(key, _)| *key == Reply::bulk(name)).map(|(_, value)| value)
}

#[test]
fn ten_elements_of_a_command() {
    let range = Reply::Map(vec![
        (Reply::bulk("lastkey"), Reply::Integer(0)),
        (Reply::bulk("keystep"), Reply::Integer(1)),
        (Reply::bulk("limit"), Reply::Integer(0)),
    ]);
    let typed = |kind: &str, spec: Reply| {
        let kind = (Reply::bulk("type"), Reply::bulk(kind));
        Reply::Map(vec![kind, (Reply::bulk("spec"), spec)])
    };
    let index = Reply::Map(vec![(Reply::bulk("index"), Reply::Integer(1))]);
    let key = Reply::Map(vec![
        (Reply::bulk("flags"), statuses(&["RO", "access"])),
        (Reply::bulk("begin_search"), typed("index", index)),
        (Reply::bulk("find_keys"), typed("range", range)),
    ]);
    let get = Reply::Array(vec![
        Reply::bulk("get"),
        Reply::Integer(2),
        statuses(&["readonly", "fast"]),
        Reply::Integer(1),
        Reply::Integer(1),
        Reply::Integer(1),
        statuses(&["@read", "@string", "@fast"]),
        Reply::Set(vec![]),
        Reply::Set(vec![key]),
        Reply::Set(vec![]),
    ]);
    let expected = Reply::Array(vec![get.clone(), Reply::Null, get]);
    assert_eq!(answer("command info GET nothing get"), expected);
}

#[test]
fn all_commands_with_their_subcommands() {
    let Reply::Array(list) = answer("command") else { panic!("an array") };
    assert_eq!(answer("command info"), Reply::Array(list.clone()));
    assert_eq!(answer("command count"), Reply::Integer(list.len() as i64));
    let names = list.iter().map(|one| match one {
        Reply::Array(elements) if elements.len() == 10 => elements[0].clone(),
        other => panic!("{other:?}"),
    });
    assert_eq!(answer("command list"), Reply::Set(names.collect()));
    let Reply::Array(info) = answer("command info client|id") else { panic!("an array") };
    assert!(list.iter().any(|one| matches!(one, Reply::Array(elements)
        if matches!(&elements[9], Reply::Set(subs) if subs.contains(&info[0])))));
}

#[test]
fn lists_filtered() {
    let list = |names: &[&str]| Reply::Array(texts(names));
    let gets = list(&["get", "getex", "getdel", "getset", "getrange"]);
    assert_eq!(answer("command list FILTERBY PATTERN GET*"), gets);
    assert_eq!(answer("command list filterby pattern client|id"), list(&["client|id"]));
    assert_eq!(answer("command list filterby module x"), list(&[]));
    assert_eq!(answer("command list filterby aclcat nothing"), list(&[]));
    let Reply::Array(admin) = answer("command list filterby aclcat ADMIN") else {
        panic!("an array");
    };
    assert!(admin.contains(&Reply::bulk("config|set")) && !admin.contains(&Reply::bulk("get")));
    for line in ["command list x", "command list filterby", "command list filterby x y"] {
        assert_eq!(answer(line), error("ERR syntax error"), "{line}");
    }
}

#[test]
fn documentation() {
    let both = answer("command docs GET nothing client|id");
    let Reply::Map(pairs) = &both else { panic!("{both:?}") };
    assert_eq!(pairs.len(), 2);
    let get = field(&both, "get").expect("get");
    assert_eq!(field(get, "group"), Some(&Reply::bulk("string")));
    assert_eq!(field(get, "doc_flags"), None);
    let argument = Reply::Map(vec![
        (Reply::bulk("name"), Reply::bulk("key")),
        (Reply::bulk("type"), Reply::bulk("key")),
        (Reply::bulk("display_text"), Reply::bulk("key")),
        (Reply::bulk("key_spec_index"), Reply::Integer(0)),
    ]);
    assert_eq!(field(get, "arguments"), Some(&Reply::Array(vec![argument])));
    let all = answer("command docs");
    let Reply::Map(pairs) = &all else { panic!("{all:?}") };
    assert_eq!(pairs.len(), spec::commands().count());
    let getset = field(&all, "getset").expect("getset");
    assert_eq!(field(getset, "doc_flags"), Some(&statuses(&["deprecated"])));
    let client = field(&all, "client").expect("client");
    let subs = field(client, "subcommands").expect("subcommands");
    assert!(field(subs, "client|list").is_some());
}

#[test]
fn keys_of_a_command() {
    let keys = |words: &[&str]| Reply::Array(texts(words));
    assert_eq!(answer("command getkeys mset a 1 b 2"), keys(&["a", "b"]));
    assert_eq!(answer("command getkeys object freq a"), keys(&["a"]));
    assert_eq!(answer("command getkeys RENAME a b"), keys(&["a", "b"]));
    let with_flags = |pairs: &[(&str, &[&str])]| {
        let pair =
            |(key, flags): &(&str, &[&str])| Reply::Array(vec![Reply::bulk(key), statuses(flags)]);
        Reply::Array(pairs.iter().map(pair).collect())
    };
    let plain = with_flags(&[("a", &["OW", "update"])]);
    assert_eq!(answer("command getkeysandflags set a b"), plain);
    let with_get = with_flags(&[("a", &["RW", "access", "update"])]);
    assert_eq!(answer("command getkeysandflags set a b GET"), with_get);
    let copied = with_flags(&[("a", &["RO", "access"]), ("b", &["OW", "update"])]);
    assert_eq!(answer("command getkeysandflags copy a b"), copied);
    let refused = [
        ("command getkeys foo a", "ERR Invalid command specified"),
        ("command getkeys object foo", "ERR Invalid command specified"),
        ("command getkeys ping", "ERR The command has no key arguments"),
        ("command getkeys get", "ERR Invalid number of arguments specified for command"),
    ];
    for (line, text) in refused {
        assert_eq!(answer(line), error(text), "{line}");
    }
}

#[test]
fn help_names_every_subcommand() {
    let Reply::Array(lines) = answer("command help") else { panic!("an array") };
    let head = "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:";
    assert_eq!(lines[0], Reply::Simple(head.into()));
    let getkeys = "GETKEYS command [arg [arg ...]]";
    assert!(lines.contains(&Reply::Simple(getkeys.into())), "{lines:?}");
    assert_eq!(lines.len(), 1 + 2 * 7);
}
