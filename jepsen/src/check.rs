//! What a history says: which acknowledged writes are gone, which reads were too old, how long
//! groups were away and clients waited. Pure.
//!
//! Each key has one writer, whose values count up, so that no search is needed: a read must see at
//! least the greatest value acknowledged before it began, and at most the greatest that was begun
//! before it ended.

use crate::history::{Function, Op, Outcome};
use cluster::slot::{GROUPS, Slot};
use std::collections::HashMap;

/// A write that was acknowledged and is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: u64,
    /// What is there instead.
    pub found: Option<u64>,
    /// When it was acknowledged.
    pub acknowledged_ns: u64,
}

/// A read that saw less than had been acknowledged before it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// Its key.
    pub key: String,
    /// What it saw.
    pub found: Option<u64>,
    /// What had been acknowledged.
    pub expected: u64,
    /// How long before it began that had been.
    pub age_ns: u64,
    /// When it began.
    pub invoked_ns: u64,
    /// Which node had acknowledged that, as far as the client knew.
    pub acknowledged_by: Option<u16>,
}

/// What became of all of it.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Writes that were acknowledged.
    pub writes: usize,
    /// Reads that were answered.
    pub reads: usize,
    /// Operations that failed.
    pub failed: usize,
    /// Operations of which nobody knows.
    pub uncertain: usize,
    /// Acknowledged writes that are gone.
    pub lost: Vec<Lost>,
    /// Reads that were too old.
    pub stale: Vec<Stale>,
    /// Values that nobody had written when they were seen.
    pub phantom: usize,
    /// Keys that were looked at in the end.
    pub checked: usize,
}

/// The writes to one key.
#[derive(Clone, Debug, Default)]
struct Writes {
    /// Value, time and node of those acknowledged, in the order of time, which is that of values.
    acknowledged: Vec<(u64, u64, Option<u16>)>,
    /// Value and time of all, by when they were begun.
    begun: Vec<(u64, u64)>,
}

/// What may be found under each key.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    keys: HashMap<Box<str>, Writes>,
    /// The value of keys that nobody wrote to.
    initial: Option<u64>,
}

impl Expected {
    /// From all operations; keys that nobody wrote to have this value.
    pub fn new(ops: &[Op], initial: Option<u64>) -> Expected {
        let mut keys: HashMap<Box<str>, Writes> = HashMap::new();
        for op in ops.iter().filter(|op| op.function == Function::Write) {
            let Some(value) = op.value else { continue };
            let writes = keys.entry(op.key.clone()).or_default();
            writes.begun.push((value, op.invoked_ns));
            if op.outcome == Outcome::Ok {
                let node = op.node.filter(|_| !op.plain);
                writes.acknowledged.push((value, op.completed_ns, node));
            }
        }
        for writes in keys.values_mut() {
            writes.acknowledged.sort_unstable();
            writes.begun.sort_unstable();
        }
        Expected { keys, initial }
    }

    /// The keys that were written to.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(|key| &**key)
    }

    /// Judges what was found under a key when all was over.
    pub fn judge_last(&self, key: &str, found: Option<u64>, verdict: &mut Verdict) {
        verdict.checked += 1;
        let none = Writes::default();
        let writes = self.keys.get(key).unwrap_or(&none);
        let last = writes.acknowledged.last().copied();
        let least = last.map(|(value, ..)| value).or(self.initial);
        let most = writes.begun.last().map(|(value, _)| *value).max(self.initial);
        if found < least {
            let (value, acknowledged_ns, _) = last.unwrap_or((self.initial.unwrap_or(0), 0, None));
            verdict.lost.push(Lost { key: key.to_owned(), value, found, acknowledged_ns });
        }
        verdict.phantom += usize::from(found > most);
    }

    /// Judges a read.
    fn judge_read(&self, op: &Op, verdict: &mut Verdict) {
        verdict.phantom += usize::from(op.garbled);
        let none = Writes::default();
        let writes = self.keys.get(&op.key).unwrap_or(&none);
        let before = writes.acknowledged.iter().rev().find(|(_, time, _)| *time < op.invoked_ns);
        let (least, time, node) = match before {
            Some((value, time, node)) => (Some(*value), *time, *node),
            None => (self.initial, 0, None),
        };
        if op.value < least && !op.garbled {
            verdict.stale.push(Stale {
                key: op.key.to_string(),
                found: op.value,
                expected: least.unwrap_or(0),
                age_ns: op.invoked_ns.saturating_sub(time),
                invoked_ns: op.invoked_ns,
                acknowledged_by: node,
            });
        }
        let begun = writes.begun.iter().rev().find(|(_, time)| *time <= op.completed_ns);
        let most = begun.map(|(value, _)| *value).max(self.initial);
        verdict.phantom += usize::from(op.value > most);
    }

    /// Judges all operations.
    pub fn judge(&self, ops: &[Op]) -> Verdict {
        let mut verdict = Verdict::default();
        for op in ops {
            match (op.outcome, op.function) {
                (Outcome::Ok, Function::Write) => verdict.writes += 1,
                (Outcome::Ok, Function::Read) => {
                    verdict.reads += 1;
                    self.judge_read(op, &mut verdict);
                }
                (Outcome::Fail, _) => verdict.failed += 1,
                (Outcome::Info, _) => verdict.uncertain += 1,
            }
        }
        verdict
    }
}

/// How long after `from_ns` each of these groups had its first acknowledged write by another node
/// than `victim`. Only of groups that somebody waited for when the first of them was back: of
/// others it is not known.
pub fn away_ns(ops: &[Op], groups: &[bool], victim: u16, from_ns: u64) -> Vec<u64> {
    let mut first: Vec<Option<&Op>> = vec![None; usize::from(GROUPS)];
    let by_others = |op: &&Op| {
        op.is_acknowledged_write() && !op.plain && op.node.is_some_and(|node| node != victim)
    };
    for op in ops.iter().filter(by_others).filter(|op| op.completed_ns > from_ns) {
        let group = group_of(&op.key);
        let place = &mut first[group];
        if groups[group] && place.is_none_or(|place| op.completed_ns < place.completed_ns) {
            *place = Some(op);
        }
    }
    let found: Vec<&Op> = first.into_iter().flatten().collect();
    let back_ns = found.iter().map(|op| op.completed_ns).min().unwrap_or(0);
    let waited = found.iter().filter(|op| op.due_ns < back_ns);
    waited.map(|op| op.completed_ns - from_ns).collect()
}

/// The number of the group that a key belongs to.
pub fn group_of(key: &str) -> usize {
    usize::from(Slot::of(key.as_bytes()).group().number())
}

/// How operations fared that were due in a window.
#[derive(Clone, Debug, Default)]
pub struct Waits {
    /// Latencies from when they were due, least first.
    pub latencies_ns: Vec<u64>,
    /// The longest time in which none was acknowledged.
    pub gap_ns: u64,
}

impl Waits {
    /// Of those operations due from `from_ns` until before `to_ns` that are picked.
    pub fn of(ops: &[Op], from_ns: u64, to_ns: u64, pick: impl Fn(&Op) -> bool) -> Waits {
        let due = |op: &&Op| (from_ns..to_ns).contains(&op.due_ns);
        let picked: Vec<&Op> = ops.iter().filter(due).filter(|op| pick(op)).collect();
        let mut latencies_ns: Vec<u64> = picked.iter().map(|op| op.latency_ns()).collect();
        latencies_ns.sort_unstable();
        let done = picked.iter().filter(|op| op.outcome == Outcome::Ok);
        let mut ends: Vec<u64> = done.map(|op| op.completed_ns.min(to_ns)).collect();
        ends.extend([from_ns, to_ns]);
        ends.sort_unstable();
        let gap_ns = ends.windows(2).map(|two| two[1] - two[0]).max().unwrap_or(0);
        Waits { latencies_ns, gap_ns }
    }

    /// The longest that anybody waited.
    pub fn stall_ns(&self) -> u64 {
        self.latencies_ns.last().copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Expected, Lost, Waits, away_ns, group_of};
    use crate::history::tests::op;
    use crate::history::{Function, Outcome};

    #[test]
    fn a_read_must_see_what_was_acknowledged_before_it_began() {
        let write = |value, from, to| op(Function::Write, Some(value), from, to);
        let read = |value, from, to| op(Function::Read, value, from, to);
        let mut unknown = write(3, 30, 40);
        unknown.outcome = Outcome::Info;
        let ops = [
            write(1, 0, 10),
            write(2, 15, 25),
            unknown,
            read(Some(1), 12, 14),
            read(Some(1), 20, 50), // begun before 2 was acknowledged
            read(Some(1), 26, 50), // stale by 1 ns
            read(None, 11, 12),    // stale by 1 ns
            read(Some(3), 27, 50), // may have been written
            read(Some(3), 27, 29), // not begun yet
        ];
        let verdict = Expected::new(&ops, None).judge(&ops);
        let stale: Vec<_> = verdict.stale.iter().map(|s| (s.found, s.expected, s.age_ns)).collect();
        assert_eq!(stale, [(Some(1), 2, 1), (None, 1, 1)]);
        assert_eq!((verdict.phantom, verdict.uncertain), (1, 1));
        assert_eq!((verdict.writes, verdict.reads), (2, 6));
    }

    #[test]
    fn what_is_gone_in_the_end_is_lost() {
        let mut unknown = op(Function::Write, Some(3), 30, 40);
        unknown.outcome = Outcome::Info;
        let ops = [op(Function::Write, Some(2), 15, 25), unknown];
        let expected = Expected::new(&ops, Some(0));
        let judge = |key, found| {
            let mut verdict = expected.judge(&ops);
            expected.judge_last(key, found, &mut verdict);
            (verdict.lost, verdict.phantom)
        };
        let lost = |key: &str, value, found, acknowledged_ns| {
            vec![Lost { key: key.into(), value, found, acknowledged_ns }]
        };
        assert_eq!(judge("k", Some(2)), (vec![], 0));
        assert_eq!(judge("k", Some(3)), (vec![], 0));
        assert_eq!(judge("k", Some(4)), (vec![], 1));
        assert_eq!(judge("k", Some(1)), (lost("k", 2, Some(1), 25), 0));
        assert_eq!(judge("untouched", Some(0)), (vec![], 0));
        assert_eq!(judge("untouched", None), (lost("untouched", 0, None, 0), 0));
    }

    #[test]
    fn a_group_is_back_with_the_first_write_that_another_node_takes() {
        let mut ops = vec![
            op(Function::Write, Some(1), 90, 105), // by the victim, on its way
            op(Function::Write, Some(2), 95, 150),
            op(Function::Write, Some(3), 120, 140),
            op(Function::Read, Some(1), 120, 130),
        ];
        ops[1].node = Some(1);
        ops[2].node = Some(1);
        let mut groups = vec![false; 1024];
        assert!(away_ns(&ops, &groups, 0, 100).is_empty());
        groups[group_of("k")] = true;
        assert_eq!(away_ns(&ops, &groups, 0, 100), [40]);
        let other = |key: &str, from, to| {
            let mut op = op(Function::Write, Some(1), from, to);
            (op.key, op.node) = (key.into(), Some(1));
            op
        };
        ops.extend([other("waited", 130, 160), other("came late", 141, 190)]);
        for key in ["waited", "came late"] {
            groups[group_of(key)] = true;
        }
        let mut away = away_ns(&ops, &groups, 0, 100);
        away.sort_unstable();
        assert_eq!(away, [40, 60]);
    }

    #[test]
    fn waits_count_from_when_they_were_due() {
        let mut ops: Vec<_> =
            (0..10).map(|i| op(Function::Read, None, i * 10, i * 10 + 2)).collect();
        ops[5].due_ns = 45;
        ops.remove(6);
        let waits = Waits::of(&ops, 0, 100, |_| true);
        assert_eq!((waits.stall_ns(), waits.gap_ns), (7, 20));
        assert_eq!(waits.latencies_ns.len(), 9);
        assert_eq!(Waits::of(&ops, 0, 100, |_| false).gap_ns, 100);
    }
}
