//! All nodes of a cluster die at once, while groups go from one node to another or a moment after:
//! what their logs bring back. Real nodes as processes.

mod cluster_nodes;
mod common;

use cluster::slot::Slot;
use cluster_nodes::{Nodes, within};
use common::Client;
use std::collections::{BTreeMap, BTreeSet};

/// Slots that change hands, with both ends: of 16 groups.
const MOVED: (u16, u16) = (0, 255);
/// Keys of these slots, and keys of others.
const KEYS_MOVED: usize = 48;
const KEYS_OTHER: usize = 80;

/// When everything ends, as seen by the status of a node.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// The first group has another primary.
    First,
    /// All have.
    All,
    /// The copies that are not wanted any more are given up, too.
    Rest,
}

/// What was written of a key: versions count up.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    /// The last that was sent.
    sent: u64,
    /// The last that is not to be lost.
    kept: u64,
}

/// A cluster, and what its clients know.
struct Story {
    nodes: Nodes,
    keys: BTreeMap<String, Written>,
    /// Whether what is acknowledged is on disk.
    is_sync: bool,
}

fn is_moved(key: &str) -> bool {
    (MOVED.0..=MOVED.1).contains(&Slot::of(key.as_bytes()).number())
}

/// The line that follows the head of a string, or the answer itself.
fn answer(client: &mut Client) -> String {
    let head = client.line();
    if head.starts_with('$') && head != "$-1" { client.line() } else { head }
}

impl Story {
    fn begin(policy: &str) -> Story {
        let nodes = Nodes::start(3, &[&format!("wal.policy={policy}")]);
        let all = |moved: bool, count: usize| {
            let names = (0..).map(|i| format!("key:{i}"));
            names.filter(move |key| is_moved(key) == moved).take(count)
        };
        let keys = all(true, KEYS_MOVED).chain(all(false, KEYS_OTHER));
        let keys = keys.map(|key| (key, Written::default())).collect();
        let mut story = Story { nodes, keys, is_sync: policy == "sync" };
        let mut client = story.nodes.plain(1);
        story.write(&mut client, false);
        story.sync();
        story
    }

    /// Writes the next version of every key, or of those that move.
    fn write(&mut self, client: &mut Client, moved: bool) {
        for (key, written) in self.keys.iter_mut().filter(|(key, _)| !moved || is_moved(key)) {
            written.sent += 1;
            client.send_command(&["SET", key, &written.sent.to_string()]);
            if answer(client) == "+OK" && self.is_sync {
                written.kept = written.sent;
            }
        }
    }

    /// Waits until all that was sent is on the disks.
    fn sync(&mut self) {
        within("logs that are on disk", || {
            (1..=3).all(|number| {
                let info = self.nodes.client(number).text(&["INFO", "persistence"]);
                info.contains("aof_buffer_length:0\r\n")
                    && info.contains("aof_pending_bio_fsync:0\r\n")
            })
        });
        let mut client = self.nodes.plain(1);
        for (key, written) in &mut self.keys {
            client.send_command(&["GET", key]);
            let version: u64 = answer(&mut client).parse().expect("a version");
            assert!((written.kept..=written.sent).contains(&version), "{key}: {version}");
            written.kept = version;
        }
    }

    /// How many of the keys that move a node says are its own.
    fn owned(&self, number: u16) -> usize {
        let mut client = self.nodes.client(number);
        let moved = self.keys.keys().filter(|key| is_moved(key));
        let is_own = |key: &&String| {
            client.send_command(&["GET", key]);
            !answer(&mut client).starts_with("-MOVED ")
        };
        moved.filter(is_own).count()
    }

    /// Hands the groups to the node that has the fewest of them, under writes, and ends all nodes
    /// at some moment.
    fn move_and_end(&mut self, moment: Moment) {
        let each = (1..=3).map(|number| (self.owned(number), number));
        let (before, to) = each.min().expect("three nodes");
        let mut client = self.nodes.plain(to % 3 + 1);
        let (first, last, id) = (MOVED.0.to_string(), MOVED.1.to_string(), to.to_string());
        let said = self.nodes.client(to).text(&["CRABCACHE", "MOVE", &first, &last, &id]);
        assert!(said.contains("groups move to node"), "{said}");
        within(&format!("{moment:?} of what was moved"), || {
            self.write(&mut client, true);
            match moment {
                Moment::First => self.owned(to) > before,
                Moment::All | Moment::Rest => self.owned(to) == KEYS_MOVED,
            }
        });
        self.write(&mut client, true);
        if let Moment::Rest = moment {
            self.nodes.until_well();
            self.sync();
        }
        (1..=3).for_each(|number| self.nodes.signal(number, "KILL"));
        (1..=3).for_each(|number| self.nodes.kill(number));
    }

    /// Starts all nodes again; what must be there then.
    fn go_on(&mut self) {
        (1..=3).for_each(|number| self.nodes.start_one(number));
        self.nodes.until_well();
        self.sync();
        let mut plain = self.nodes.plain(1);
        within("copies of everything", || {
            plain.send_command(&["SET", "last", "one"]);
            let is_set = answer(&mut plain) == "+OK";
            plain.send_command(&["WAIT", "1", "1000"]);
            answer(&mut plain) == ":1" && is_set
        });
        let mut clients: Vec<Client> = (1..=3).map(|number| self.nodes.client(number)).collect();
        let mut copies: Vec<Client> = (1..=3).map(|number| self.nodes.client(number)).collect();
        copies.iter_mut().for_each(|client| client.check(&["READONLY"], "+OK\r\n"));
        for (key, written) in &self.keys {
            let mut asked = |client: &mut Client| {
                client.send_command(&["GET", key]);
                answer(client)
            };
            let said: Vec<String> = clients.iter_mut().map(&mut asked).collect();
            let is_told = |said: &&String| **said == written.kept.to_string();
            assert_eq!(said.iter().filter(is_told).count(), 1, "{key}: {said:?}");
            let moved: BTreeSet<&String> = said.iter().filter(|said| !is_told(said)).collect();
            assert!(moved.len() == 1 && moved.iter().all(|said| said.starts_with("-MOVED ")));
            // Nobody has an older one to give; a copy more than is wanted goes in time.
            let said: Vec<String> = copies.iter_mut().map(&mut asked).collect();
            assert!(said.iter().filter(is_told).count() >= 2, "{key}: {said:?}");
            let mut others = said.iter().filter(|said| !is_told(said));
            assert!(others.all(|said| said.starts_with("-MOVED ")), "{key}: {said:?}");
        }
    }
}

/// Whatever moves and whenever it ends, everything that was on a disk is there again, once.
fn everything_ends(policy: &str) {
    let mut story = Story::begin(policy);
    for moment in [Moment::First, Moment::All, Moment::Rest] {
        story.move_and_end(moment);
        story.go_on();
    }
    let status = story.nodes.status(1).expect("a status");
    assert_eq!(status["groups"]["lost"], 0);
}

#[test]
fn what_was_on_disk_survives_the_end_of_all_nodes_in_the_middle_of_a_move() {
    everything_ends("sync");
}

#[test]
fn what_was_synced_survives_the_end_of_all_nodes_in_the_middle_of_a_move() {
    everything_ends("async");
}
