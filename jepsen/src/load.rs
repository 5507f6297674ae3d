//! An open-loop load: many processes, each doing one thing after another when it is due, whatever
//! became of the last; latencies count from when things were due, so that a stall is not hidden by
//! those who wait in it. Knows no fault.

use crate::Failure;
use crate::client::{Answer, ClusterClient, PlainClient};
use crate::clock::{instant, now_ns};
use crate::history::{Function, Op, Outcome};
use crate::limits::DRAIN_NS_MAX;
use crate::nodes::number_of;
use crate::reply::{Nonsense, Reply, request};
use cluster::slot::{GROUPS, Slot};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How a process reaches the cluster.
#[derive(Clone, Debug)]
pub enum Client {
    /// By the map of slots.
    Cluster(Arc<ClusterClient>),
    /// By a node that forwards.
    Plain(Arc<PlainClient>),
}

/// The keys of a process, which nobody else writes.
#[derive(Clone, Debug)]
pub enum Keys {
    /// Some registers of one group, and keys that are written once, all with this beginning.
    OfGroup {
        /// What all of them begin with; it holds the tag that puts them into the group.
        start: String,
        /// How many registers.
        registers: u64,
    },
    /// Of numbered registers every so many.
    Numbered {
        /// The first.
        first: u64,
        /// The distance.
        step: u64,
        /// Numbers are below this.
        end: u64,
    },
}

/// Of a hundred operations so many are these; the others read a register.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// Write a register.
    pub write: u64,
    /// Write a key that was never there.
    pub unique: u64,
}

/// One who does one thing after another.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its number.
    pub id: u32,
    /// Its client.
    pub client: Client,
    /// Its keys.
    pub keys: Keys,
    /// What it does with them.
    pub mix: Mix,
    /// Bytes of its values, about.
    pub value_bytes: usize,
}

/// What a key begins with so that it belongs to a group: `{tag}` for each.
pub fn tags() -> Vec<String> {
    let mut tags = vec![String::new(); usize::from(GROUPS)];
    let (mut left, mut number) = (tags.len(), 0_u32);
    while left > 0 {
        let tag = format!("{{{number}}}");
        let place = &mut tags[usize::from(Slot::of(tag.as_bytes()).group().number())];
        if place.is_empty() {
            *place = tag;
            left -= 1;
        }
        number += 1;
    }
    tags
}

/// The name of a numbered key.
pub fn numbered(number: u64) -> String {
    format!("k{number}")
}

/// What is written under a key.
pub fn value_of(key: &str, value: u64, bytes: usize) -> Vec<u8> {
    let mut text = format!("{key}:{value}:").into_bytes();
    text.resize(bytes.max(text.len()), b'x');
    text
}

/// The number in what was found under a key; an error where nobody can have written that.
pub fn number_in(key: &str, found: &[u8]) -> Result<u64, Nonsense> {
    let rest = found.strip_prefix(key.as_bytes()).and_then(|rest| rest.strip_prefix(b":"));
    let digits = rest.and_then(|rest| rest.split(|byte| *byte == b':').next()).ok_or(Nonsense)?;
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or(Nonsense)
}

/// A load that runs in a thread of its own.
#[derive(Debug)]
pub struct Load {
    until_ns: Arc<AtomicU64>,
    thread: JoinHandle<Result<Vec<Op>, Failure>>,
}

impl Load {
    /// Starts it; each process begins something every `interval_ns`.
    pub fn start(processes: Vec<Process>, interval_ns: u64) -> Load {
        let until_ns = Arc::new(AtomicU64::new(u64::MAX));
        let until = until_ns.clone();
        let thread = thread::spawn(move || run(processes, interval_ns, &until));
        Load { until_ns, thread }
    }

    /// Nothing is begun from then on; what was done, in the order in which it ended.
    pub fn finish(self, at_ns: u64) -> Result<Vec<Op>, Failure> {
        self.until_ns.store(at_ns, Ordering::Relaxed);
        let mut ops = self.thread.join().map_err(|_| "the load panicked".to_owned())??;
        ops.sort_by_key(|op| op.completed_ns);
        Ok(ops)
    }
}

fn run(
    processes: Vec<Process>,
    interval_ns: u64,
    until_ns: &Arc<AtomicU64>,
) -> Result<Vec<Op>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let begun = now_ns();
        let count = processes.len() as u64;
        let mut tasks = Vec::new();
        for (i, process) in (0..).zip(processes) {
            // Spread over the interval, in an order that is not that of the groups.
            let first = begun + interval_ns * (i * 619 % count.max(1)) / count.max(1);
            tasks.push(tokio::spawn(live(process, first, interval_ns, until_ns.clone())));
        }
        let mut ops = Vec::new();
        for task in tasks {
            ops.extend(task.await.map_err(|error| error.to_string())?);
        }
        Ok(ops)
    })
}

/// The life of a process.
async fn live(
    process: Process,
    first_ns: u64,
    interval_ns: u64,
    until_ns: Arc<AtomicU64>,
) -> Vec<Op> {
    let mut ops = Vec::new();
    let mut written = HashMap::new();
    let mut due_ns = first_ns;
    let mut chance = Chance(u64::from(process.id) << 32 | 0x5EED);
    let mut unique = 0;
    loop {
        while now_ns() < due_ns && until_ns.load(Ordering::Relaxed) == u64::MAX {
            // Not for long, since the end may come first.
            let nap = instant(due_ns).min(instant(now_ns() + crate::limits::POLL_NS));
            tokio::time::sleep_until(nap).await;
        }
        let until = until_ns.load(Ordering::Relaxed);
        if due_ns >= until || now_ns() > until.saturating_add(DRAIN_NS_MAX) {
            return ops;
        }
        tokio::time::sleep_until(instant(due_ns)).await;
        let die = chance.next() % 100;
        let (function, key, value) = if die < process.mix.unique {
            unique += 1;
            (Function::Write, process.unique(unique), 1)
        } else {
            let key = process.register(&mut chance);
            let last = written.get(&key).copied().unwrap_or(0);
            match die < process.mix.unique + process.mix.write {
                true => {
                    written.insert(key.clone(), last + 1);
                    (Function::Write, key, last + 1)
                }
                false => (Function::Read, key, 0),
            }
        };
        ops.push(process.perform(function, key, value, due_ns).await);
        due_ns += interval_ns;
    }
}

impl Process {
    fn register(&self, chance: &mut Chance) -> String {
        match &self.keys {
            Keys::OfGroup { start, registers } => format!("{start}r{}", chance.next() % registers),
            Keys::Numbered { first, step, end } => {
                let count = end.saturating_sub(*first).div_ceil(*step).max(1);
                numbered(first + step * (chance.next() % count))
            }
        }
    }

    fn unique(&self, number: u64) -> String {
        match &self.keys {
            Keys::OfGroup { start, .. } => format!("{start}u{number}"),
            Keys::Numbered { .. } => format!("u{}-{number}", self.id),
        }
    }

    async fn perform(&self, function: Function, key: String, value: u64, due_ns: u64) -> Op {
        let words = match function {
            Function::Write => {
                let value = value_of(&key, value, self.value_bytes);
                request(&[b"SET", key.as_bytes(), &value])
            }
            Function::Read => request(&[b"GET", key.as_bytes()]),
        };
        let invoked_ns = now_ns();
        let answer = self.call(&key, words.into()).await;
        let asked = Op {
            process: self.id,
            key: key.into(),
            function,
            value: (function == Function::Write).then_some(value),
            due_ns,
            invoked_ns,
            completed_ns: now_ns(),
            outcome: Outcome::Info,
            node: answer.from.map(number_of),
            plain: matches!(self.client, Client::Plain(_)),
            garbled: false,
        };
        ended(asked, &answer)
    }

    async fn call(&self, key: &str, words: Arc<[u8]>) -> Answer {
        let turn = usize::try_from(self.id).unwrap_or(0);
        match &self.client {
            Client::Cluster(client) => {
                client.call(Slot::of(key.as_bytes()).number(), turn, words).await
            }
            Client::Plain(client) => client.call(turn, words).await,
        }
    }
}

/// An operation with its end as the answer tells.
pub fn ended(mut op: Op, answer: &Answer) -> Op {
    op.outcome = Outcome::Ok;
    match (&answer.reply, op.function) {
        (Some(Reply::Simple(_)), Function::Write) => {}
        (Some(Reply::Bulk(found)), Function::Read) => {
            let number = found.as_ref().map(|found| number_in(&op.key, found));
            op.garbled = number == Some(Err(Nonsense));
            op.value = number.and_then(Result::ok);
        }
        (_, Function::Write) if answer.uncertain => op.outcome = Outcome::Info,
        _ => op.outcome = Outcome::Fail,
    }
    op
}

/// Chance that is the same in every run (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// The time between two operations of one of so many processes, for so many a second in all.
pub fn interval_ns(processes: usize, rate: u64) -> u64 {
    let interval = Duration::from_secs(processes as u64).as_nanos() / u128::from(rate.max(1));
    u64::try_from(interval).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{interval_ns, number_in, tags, value_of};
    use crate::check::group_of;

    #[test]
    fn a_tag_for_each_group() {
        for (group, tag) in tags().iter().enumerate() {
            assert_eq!(group_of(&format!("{tag}r1")), group);
        }
    }

    #[test]
    fn values_say_whose_they_are() {
        assert_eq!(value_of("k1", 12, 10), b"k1:12:xxxx");
        assert_eq!(number_in("k1", b"k1:12:xxxx"), Ok(12));
        assert_eq!(number_in("k1", &value_of("k1", 7, 0)), Ok(7));
        assert!(number_in("k2", b"k1:12:").is_err() && number_in("k1", b"k12:3:").is_err());
    }

    #[test]
    fn many_processes_wait_long_between_two_operations() {
        assert_eq!(interval_ns(100, 2000), 50_000_000);
    }
}
