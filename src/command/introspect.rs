//! COMMAND and its subcommands: what the table says of itself, in the shapes of Redis 7.2. Written
//! from the table alone; knows no session, and no glob matcher but the one it is given.

#[cfg(test)]
mod tests;

use super::Args;
use super::parse::wrong_number;
use super::reply::{ReplyWriter, errors};
use super::spec::docs::{Kind, syntax};
use super::spec::{self, Argument, Category, Docs, Flag, KeyFlag, KeySpec, Spec};
use std::borrow::Cow;

/// Whether a text (second) matches a glob pattern (first).
pub type Matcher = fn(&[u8], &[u8]) -> bool;

/// Answers COMMAND or one of its subcommands, `spec`, with exactly one value. Other commands have
/// no answer here and get an error.
pub fn execute(spec: &Spec, args: Args<'_>, glob: Matcher, out: &mut impl ReplyWriter) {
    match spec.name {
        "command" => all_infos(out),
        "command|count" => out.integer(int(spec::commands().count())),
        "command|list" => list(args, glob, out),
        "command|info" if args.len() == 2 => all_infos(out),
        "command|info" => infos(args.from(2), out),
        "command|docs" => docs(args.from(2), out),
        "command|getkeys" => keys(args.from(2), false, out),
        "command|getkeysandflags" => keys(args.from(2), true, out),
        "command|help" => help(spec, out),
        _ => out.error(&wrong_number(spec)),
    }
}

/// Answers HELP of the command that `spec` is a subcommand of: each subcommand with its arguments
/// and what it is for. Serves every command that has subcommands.
pub fn help(spec: &Spec, out: &mut impl ReplyWriter) {
    let parent = spec.name.split('|').next().unwrap_or_default();
    let subcommands = spec::lookup(parent.as_bytes()).map_or(&[][..], Spec::subcommands);
    out.array(1 + 2 * subcommands.len());
    out.simple(&format!(
        "{} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        parent.to_ascii_uppercase()
    ));
    for sub in subcommands {
        let name = sub.own_name().to_ascii_uppercase();
        out.simple(format!("{name} {}", syntax(sub.docs.arguments)).trim_end());
        out.simple(&format!("    {}", sub.docs.summary));
    }
}

/// Lengths of tables and arguments as replies have them.
fn int(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn all_infos(out: &mut impl ReplyWriter) {
    out.array(spec::commands().count());
    spec::commands().for_each(|spec| info(spec, out));
}

fn infos(names: Args<'_>, out: &mut impl ReplyWriter) {
    out.array(names.len());
    for name in names.iter() {
        match spec::lookup_full(name) {
            Some(spec) => info(spec, out),
            None => out.null(),
        }
    }
}

/// The ten elements of a command.
fn info(spec: &Spec, out: &mut impl ReplyWriter) {
    out.array(10);
    out.bulk(spec.name.as_bytes());
    out.integer(i64::from(spec.arity));
    words(spec.flags.iter().map(Flag::name), out);
    out.integer(spec.first_key());
    out.integer(spec.last_key());
    out.integer(spec.key_step());
    words(spec.categories.iter().map(Category::name), out);
    out.set(spec.tips.len());
    spec.tips.iter().for_each(|tip| out.bulk(tip.as_bytes()));
    out.set(spec.key_specs.len());
    spec.key_specs.iter().for_each(|k| key_spec(k, out));
    out.set(spec.subcommands().len());
    spec.subcommands().iter().for_each(|sub| info(sub, out));
}

/// A set of statuses.
fn words(names: impl Iterator<Item = &'static str> + Clone, out: &mut impl ReplyWriter) {
    out.set(names.clone().count());
    names.for_each(|name| out.simple(name));
}

fn key_spec(key: &KeySpec, out: &mut impl ReplyWriter) {
    out.map(3 + usize::from(key.notes.is_some()));
    text_pair("notes", key.notes, out);
    out.bulk(b"flags");
    words(key.flags.iter().map(|f| f.name()), out);
    out.bulk(b"begin_search");
    out.map(2);
    text_pair("type", Some("index"), out);
    out.bulk(b"spec");
    out.map(1);
    integer_pair("index", i64::from(key.first), out);
    out.bulk(b"find_keys");
    out.map(2);
    text_pair("type", Some("range"), out);
    out.bulk(b"spec");
    out.map(3);
    integer_pair("lastkey", i64::from(key.last), out);
    integer_pair("keystep", i64::from(key.step), out);
    integer_pair("limit", 0, out);
}

fn text_pair(key: &str, value: Option<&str>, out: &mut impl ReplyWriter) {
    if let Some(value) = value {
        out.bulk(key.as_bytes());
        out.bulk(value.as_bytes());
    }
}

fn integer_pair(key: &str, value: i64, out: &mut impl ReplyWriter) {
    out.bulk(key.as_bytes());
    out.integer(value);
}

/// Which commands COMMAND LIST lists.
enum Filter<'a> {
    All,
    /// There are no modules.
    Module,
    Category(Option<Category>),
    Pattern(Cow<'a, [u8]>),
}

fn list(args: Args<'_>, glob: Matcher, out: &mut impl ReplyWriter) {
    let Some(filter) = filter(args.from(2)) else {
        return out.error(errors::SYNTAX);
    };
    let names: Vec<&str> = match &filter {
        Filter::All => spec::commands().map(|s| s.name).collect(),
        Filter::Module => Vec::new(),
        Filter::Category(category) => {
            let has = |s: &&Spec| category.is_some_and(|c| s.categories.contains(c));
            spec::all().iter().filter(has).map(|s| s.name).collect()
        }
        Filter::Pattern(pattern) => {
            spec::all().iter().map(|s| s.name).filter(|n| glob(pattern, n.as_bytes())).collect()
        }
    };
    match filter {
        Filter::All => out.set(names.len()),
        Filter::Module | Filter::Category(_) | Filter::Pattern(_) => out.array(names.len()),
    }
    names.iter().for_each(|name| out.bulk(name.as_bytes()));
}

/// The filter meant by `FILTERBY kind value`, or by nothing.
fn filter(args: Args<'_>) -> Option<Filter<'_>> {
    let is = |i: usize, word: &str| args.get(i).eq_ignore_ascii_case(word.as_bytes());
    match args.len() {
        0 => Some(Filter::All),
        3 if !is(0, "filterby") => None,
        3 if is(1, "module") => Some(Filter::Module),
        3 if is(1, "aclcat") => Some(Filter::Category(Category::named(args.get(2)))),
        // Names are lower case: so is the pattern, and then case does not matter.
        3 if is(1, "pattern") => Some(Filter::Pattern(args.get(2).to_ascii_lowercase().into())),
        _ => None,
    }
}

fn docs(names: Args<'_>, out: &mut impl ReplyWriter) {
    let found: Vec<&Spec> = match names.len() {
        0 => spec::commands().collect(),
        _ => names.iter().filter_map(spec::lookup_full).collect(),
    };
    docs_of(&found, out);
}

fn docs_of(specs: &[&Spec], out: &mut impl ReplyWriter) {
    out.map(specs.len());
    for spec in specs {
        out.bulk(spec.name.as_bytes());
        document(spec, spec.docs, out);
    }
}

fn document(spec: &Spec, docs: &Docs, out: &mut impl ReplyWriter) {
    let subcommands: Vec<&Spec> = spec.subcommands().iter().collect();
    let marked = docs.system || docs.deprecated.is_some();
    let optional = [
        docs.complexity.is_some(),
        marked,
        docs.deprecated.is_some(),
        docs.deprecated.is_some(),
        !docs.history.is_empty(),
        !docs.arguments.is_empty(),
        !subcommands.is_empty(),
    ];
    out.map(3 + optional.into_iter().filter(|&there| there).count());
    text_pair("summary", Some(docs.summary), out);
    text_pair("since", Some(docs.since), out);
    text_pair("group", Some(docs.group), out);
    text_pair("complexity", docs.complexity, out);
    if marked {
        out.bulk(b"doc_flags");
        let flags = [docs.deprecated.map(|_| "deprecated"), docs.system.then_some("syscmd")];
        words(flags.into_iter().flatten(), out);
    }
    text_pair("deprecated_since", docs.deprecated.map(|(since, _)| since), out);
    text_pair("replaced_by", docs.deprecated.map(|(_, instead)| instead), out);
    if !docs.history.is_empty() {
        out.bulk(b"history");
        history(docs.history, out);
    }
    if !docs.arguments.is_empty() {
        out.bulk(b"arguments");
        arguments(docs.arguments, out);
    }
    if !subcommands.is_empty() {
        out.bulk(b"subcommands");
        docs_of(&subcommands, out);
    }
}

fn history(changes: &[(&str, &str)], out: &mut impl ReplyWriter) {
    out.set(changes.len());
    for (version, change) in changes {
        out.array(2);
        out.bulk(version.as_bytes());
        out.bulk(change.as_bytes());
    }
}

fn arguments(list: &[Argument], out: &mut impl ReplyWriter) {
    out.array(list.len());
    list.iter().for_each(|one| argument(one, out));
}

fn argument(one: &Argument, out: &mut impl ReplyWriter) {
    let marked = one.optional || one.multiple || one.multiple_token;
    let display = match one.kind {
        Kind::OneOf | Kind::Block => None,
        Kind::String
        | Kind::Integer
        | Kind::Double
        | Kind::Key
        | Kind::Pattern
        | Kind::UnixTime
        | Kind::PureToken => Some(one.display.unwrap_or(one.name)),
    };
    let optional = [
        one.key_spec.is_some(),
        one.token.is_some(),
        one.since.is_some(),
        one.deprecated.is_some(),
        marked,
    ];
    // Either how to show it or what it consists of.
    out.map(3 + optional.into_iter().filter(|&there| there).count());
    text_pair("name", Some(one.name), out);
    text_pair("type", Some(one.kind.name()), out);
    text_pair("display_text", display, out);
    if let Some(index) = one.key_spec {
        integer_pair("key_spec_index", i64::from(index), out);
    }
    text_pair("token", one.token, out);
    text_pair("since", one.since, out);
    text_pair("deprecated_since", one.deprecated, out);
    if marked {
        out.bulk(b"flags");
        let flags = [
            one.optional.then_some("optional"),
            one.multiple.then_some("multiple"),
            one.multiple_token.then_some("multiple_token"),
        ];
        words(flags.into_iter().flatten(), out);
    }
    if display.is_none() {
        out.bulk(b"arguments");
        arguments(one.arguments, out);
    }
}

/// COMMAND GETKEYS and GETKEYSANDFLAGS of the command `args`.
fn keys(args: Args<'_>, with_flags: bool, out: &mut impl ReplyWriter) {
    let found = spec::lookup(args.get(0)).and_then(|command| {
        let behind = args.len() > 1 && !command.subcommands().is_empty();
        if behind { spec::subcommand(command, args.get(1)) } else { Some(command) }
    });
    let Some(spec) = found else {
        return out.error("ERR Invalid command specified");
    };
    if spec.key_specs.is_empty() {
        return out.error("ERR The command has no key arguments");
    }
    if !spec.takes(args.len()) {
        return out.error("ERR Invalid number of arguments specified for command");
    }
    out.array(spec.key_positions(args.len()).count());
    for key in spec.key_specs {
        for at in key.positions(args.len()) {
            if with_flags {
                out.array(2);
            }
            out.bulk(args.get(at));
            if with_flags {
                words(key_flags(key, args).iter().map(|f| f.name()), out);
            }
        }
    }
}

/// What this call does to its keys. Only SET's options make a difference; a test holds the table
/// to it.
fn key_flags(key: &KeySpec, args: Args<'_>) -> &'static [KeyFlag] {
    if !key.flags.contains(&KeyFlag::VariableFlags) {
        return key.flags;
    }
    if args.from(3).iter().any(|word| word.eq_ignore_ascii_case(b"get")) {
        &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update]
    } else {
        &[KeyFlag::Ow, KeyFlag::Update]
    }
}
