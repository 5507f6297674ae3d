//! The command table put together: rows of all rooms numbered in order, subcommands found, names
//! hashed; all of it before the program runs. Key specifications, tips and texts follow the
//! command descriptions of Redis 7.2 (BSD-3-Clause).

pub(in crate::command) mod hash;

mod admin;
mod client;
mod cluster;
mod commands;
mod connection;
mod crabcache;
mod keys;
mod probes;
mod server;
mod space;
mod strings;
mod ttl;

use super::spec::{CommandId, Spec};
use hash::{Slot, Words};

const ROWS: [&[Spec]; 12] = [
    strings::ROWS,
    keys::ROWS,
    space::ROWS,
    ttl::ROWS,
    connection::ROWS,
    client::ROWS,
    commands::ROWS,
    cluster::ROWS,
    crabcache::ROWS,
    server::ROWS,
    admin::ROWS,
    probes::ROWS,
];

/// Slots of the hash table of names: several times as many as commands.
const HASH_SLOTS: usize = 512;
const _: () = assert!(HASH_SLOTS.is_power_of_two() && COMMANDS < HASH_SLOTS / 2);

/// How many rows there are.
pub(super) const COMMANDS: usize = count();
/// All rows; the number of each is its place.
pub(super) static TABLE: [Spec; COMMANDS] = assemble();
/// Their names, for constants.
pub(super) const NAMES: [&str; COMMANDS] = names();
/// Where to find a command by name: open addressing, linear probing.
pub(super) static SLOTS: [Slot; HASH_SLOTS] = slots();

const fn count() -> usize {
    let (mut rows, mut i) = (0, 0);
    while i < ROWS.len() {
        rows += ROWS[i].len();
        i += 1;
    }
    rows
}

const fn assemble() -> [Spec; COMMANDS] {
    let mut table = [ROWS[0][0]; COMMANDS];
    let (mut row, mut command, mut i) = (0, 0, 0);
    while i < ROWS.len() {
        let mut j = 0;
        while j < ROWS[i].len() {
            table[row] = ROWS[i][j];
            table[row].id = CommandId(row as u16);
            if is_command(table[row].name) {
                command = row;
                table[row].subcommands = (row as u16 + 1, 0);
            } else {
                table[command].subcommands.1 += 1;
            }
            row += 1;
            j += 1;
        }
        i += 1;
    }
    table
}

const fn names() -> [&'static str; COMMANDS] {
    let mut names = [""; COMMANDS];
    let mut row = 0;
    while row < COMMANDS {
        names[row] = TABLE[row].name;
        row += 1;
    }
    names
}

const fn slots() -> [Slot; HASH_SLOTS] {
    let mut slots = [Slot::FREE; HASH_SLOTS];
    let mut row = 0;
    while row < COMMANDS {
        if is_command(NAMES[row]) {
            assert!(hash::is_plain(NAMES[row].as_bytes()), "names of commands are short letters");
            let words = Words::of(NAMES[row].as_bytes());
            let mut at = words.home(slots.len());
            while !slots[at].is_free() {
                at = (at + 1) % slots.len();
            }
            slots[at] = Slot { words, row: row as u16 };
        }
        row += 1;
    }
    slots
}

const fn is_command(name: &str) -> bool {
    let (name, mut i) = (name.as_bytes(), 0);
    while i < name.len() {
        if name[i] == b'|' {
            return false;
        }
        i += 1;
    }
    true
}
