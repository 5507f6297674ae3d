//! One table row per command and subcommand: arity, flags, keys, parser, documentation. What is
//! done with it (parsing, COMMAND, metrics, routing) asks the row; no list of commands elsewhere.

pub mod docs;
mod flags;
mod keys;
#[cfg(test)]
mod tests;

pub use docs::{Argument, Docs};
pub use flags::{Categories, Category, Flag, Flags};
pub use keys::{KeyFlag, KeySpec};

use super::parse::Parser;
use super::table::{COMMANDS, NAMES, SLOTS, TABLE, hash};

/// How many commands and subcommands there are: one more than the largest [`CommandId`].
pub const COMMAND_IDS: usize = COMMANDS;

/// Number of a command or subcommand, dense from 0: an index for counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub(in crate::command) u16);

impl CommandId {
    /// Its number, below [`COMMAND_IDS`].
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// All of them in order.
    pub fn all() -> impl Iterator<Item = CommandId> {
        TABLE.iter().map(|spec| spec.id)
    }
}

/// What kind of work a command is: the label latencies are kept under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Reads strings.
    Get,
    /// Writes strings.
    Set,
    /// Counts in strings.
    Counter,
    /// Other commands on strings.
    StringOther,
    /// Keys whatever they hold.
    Key,
    /// Deadlines.
    Ttl,
    /// The keyspace as a whole.
    Scan,
    /// The connection itself.
    Connection,
    /// The node.
    Server,
}

impl Family {
    /// All of them, in order of declaration.
    pub const ALL: [Family; 9] = [
        Family::Get,
        Family::Set,
        Family::Counter,
        Family::StringOther,
        Family::Key,
        Family::Ttl,
        Family::Scan,
        Family::Connection,
        Family::Server,
    ];

    /// Its place in [`Family::ALL`].
    #[inline]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Family::Get => "get",
            Family::Set => "set",
            Family::Counter => "counter",
            Family::StringOther => "string",
            Family::Key => "key",
            Family::Ttl => "ttl",
            Family::Scan => "scan",
            Family::Connection => "connection",
            Family::Server => "server",
        }
    }
}

/// A command or subcommand: its row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Lower case; of a subcommand `client|list`.
    pub name: &'static str,
    /// Its number.
    pub id: CommandId,
    /// How many arguments it takes, all names included; negative: at least so many.
    pub arity: i16,
    /// What it is like.
    pub flags: Flags,
    /// ACL categories, those that its flags imply included.
    pub categories: Categories,
    /// Hints to clients, such as `request_policy:all_shards`.
    pub tips: &'static [&'static str],
    /// Which arguments are keys.
    pub key_specs: &'static [KeySpec],
    /// What kind of work it is.
    pub family: Family,
    /// What it is for, and its arguments.
    pub docs: &'static Docs,
    /// Turns its arguments into an action.
    pub(in crate::command) parser: Parser,
    /// First subcommand in the table, and how many there are.
    pub(in crate::command) subcommands: (u16, u16),
}

impl PartialEq for Spec {
    fn eq(&self, other: &Spec) -> bool {
        self.id == other.id
    }
}

impl Eq for Spec {}

impl Spec {
    /// Whether `args` arguments, all names included, are an acceptable number of them.
    #[inline]
    pub fn takes(&self, args: usize) -> bool {
        let wanted = usize::from(self.arity.unsigned_abs());
        if self.arity >= 0 { args == wanted } else { args >= wanted }
    }

    /// Its subcommands; none for most.
    #[inline]
    pub fn subcommands(&self) -> &'static [Spec] {
        let (first, count) = (usize::from(self.subcommands.0), usize::from(self.subcommands.1));
        &TABLE[first..first + count]
    }

    /// Whether it stands by itself, not behind another command's name.
    pub fn is_command(&self) -> bool {
        !self.name.contains('|')
    }

    /// Its own name without its command's: `list` of `client|list`.
    pub fn own_name(&self) -> &'static str {
        self.name.split_once('|').map_or(self.name, |(_, own)| own)
    }

    /// Whether it changes data.
    #[inline]
    pub fn is_write(&self) -> bool {
        self.flags.contains(Flag::Write)
    }

    /// Position of the first key, counted with the name; 0: it has none.
    pub fn first_key(&self) -> i64 {
        self.key_specs.first().map_or(0, |k| i64::from(k.first))
    }

    /// Position of the last key; negative: counted from the end; 0: it has none. Where there are
    /// several runs of keys, each begins behind the one before; a test holds the table to it.
    pub fn last_key(&self) -> i64 {
        self.key_specs.last().map_or(0, |k| {
            let last = i64::from(k.last);
            if last >= 0 { i64::from(k.first) + last } else { last }
        })
    }

    /// Distance from a key to the next; 0: it has none.
    pub fn key_step(&self) -> i64 {
        self.key_specs.first().map_or(0, |k| i64::from(k.step))
    }

    /// Positions of the keys among `args` arguments, all names included.
    pub fn key_positions(&self, args: usize) -> impl Iterator<Item = usize> {
        self.key_specs.iter().flat_map(move |k| k.positions(args))
    }
}

/// Making rows: used by the table alone.
impl Spec {
    pub(in crate::command) const fn new(
        name: &'static str,
        arity: i16,
        family: Family,
        parser: Parser,
    ) -> Spec {
        Spec {
            name,
            id: CommandId(0),
            arity,
            flags: Flags::NONE,
            categories: Flags::NONE.implied(),
            tips: &[],
            key_specs: &[],
            family,
            docs: &Docs::NONE,
            parser,
            subcommands: (0, 0),
        }
    }

    pub(in crate::command) const fn flags(mut self, flags: &[Flag]) -> Spec {
        self.flags = Flags::of(flags);
        self.categories = self.flags.implied();
        self
    }

    pub(in crate::command) const fn categories(mut self, more: &[Category]) -> Spec {
        self.categories = self.categories.with(more);
        self
    }

    pub(in crate::command) const fn tips(mut self, tips: &'static [&'static str]) -> Spec {
        self.tips = tips;
        self
    }

    pub(in crate::command) const fn keys(mut self, specs: &'static [KeySpec]) -> Spec {
        self.key_specs = specs;
        self
    }

    pub(in crate::command) const fn docs(mut self, docs: &'static Docs) -> Spec {
        self.docs = docs;
        self
    }
}

/// All rows, subcommands right behind their command.
pub fn all() -> &'static [Spec] {
    &TABLE
}

/// The rows that stand by themselves.
pub fn commands() -> impl Iterator<Item = &'static Spec> {
    TABLE.iter().filter(|spec| spec.is_command())
}

/// The row with this number.
#[inline]
pub fn by_id(id: CommandId) -> &'static Spec {
    &TABLE[id.index()]
}

/// The command of this name, in any case of letters.
#[inline]
pub fn lookup(name: &[u8]) -> Option<&'static Spec> {
    let wanted = hash::Words::of(name);
    let mut at = wanted.home(SLOTS.len());
    loop {
        let slot = &SLOTS[at];
        if slot.words == wanted {
            return Some(&TABLE[usize::from(slot.row)]);
        }
        if slot.is_free() {
            return None;
        }
        at = (at + 1) % SLOTS.len();
    }
}

/// The subcommand of `parent` of this name, in any case of letters.
pub fn subcommand(parent: &Spec, name: &[u8]) -> Option<&'static Spec> {
    parent.subcommands().iter().find(|sub| sub.own_name().as_bytes().eq_ignore_ascii_case(name))
}

/// The command or subcommand of this full name: `get`, `client|list`.
pub fn lookup_full(name: &[u8]) -> Option<&'static Spec> {
    match name.iter().position(|&b| b == b'|') {
        Some(bar) => subcommand(lookup(&name[..bar])?, &name[bar + 1..]),
        None => lookup(name),
    }
}

/// The number of the command with this full name, for constants to match on.
///
/// # Panics
/// When there is none: a compile error where it belongs, in a constant.
pub const fn id_of(name: &str) -> CommandId {
    let mut row = 0;
    while row < COMMANDS {
        if same(NAMES[row].as_bytes(), name.as_bytes()) {
            return CommandId(row as u16);
        }
        row += 1;
    }
    panic!("no such command in the table")
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}
