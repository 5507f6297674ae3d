//! Where a reply waits until its record is durable and replicated enough. Knows neither how a
//! record becomes so nor what a reply is; leases are not its business.

use crate::record::Seq;
use std::collections::BTreeMap;

/// What a record must have reached before replies that depend on it may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// It is synced to this node's disk: `wal.policy = sync`.
    pub durable: bool,
    /// Every member of the in-sync set has it: synchronous replication.
    pub replicated: bool,
}

/// How far the log of a group has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The newest record synced to this node's disk, with all before it.
    pub durable: Seq,
    /// The newest record that every member of the in-sync set has, with all before it.
    pub replicated: Seq,
}

/// The replies of one group that wait, in one epoch: [`Gate::advance`], then [`Gate::poll`] to the
/// end. Replies leave in the order of their records, those of one record as they came.
#[derive(Clone, Debug)]
pub struct Gate<T> {
    policy: Policy,
    progress: Progress,
    waiting: BTreeMap<(Seq, u64), T>,
    arrivals: u64,
    waiting_max: usize,
}

/// What becomes of a reply at the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage<T> {
    /// It may go at once.
    Go(T),
    /// It waits; [`Gate::poll`] gives it back.
    Waits,
    /// It has to wait and there is no place; the record of a write is in the log all the same, so
    /// that its outcome is unknown.
    Full(T),
}

impl Policy {
    /// Nothing is waited for: no log on disk or one synced later, and asynchronous replication.
    pub const OPEN: Policy = Policy { durable: false, replicated: false };

    /// Whether replies that depend on record `seq`, and on none behind it, may go.
    #[inline]
    pub fn allows(self, seq: Seq, progress: Progress) -> bool {
        (!self.durable || seq <= progress.durable)
            && (!self.replicated || seq <= progress.replicated)
    }
}

impl<T> Gate<T> {
    /// A gate at which at most `waiting_max` replies wait.
    pub fn new(policy: Policy, waiting_max: usize) -> Gate<T> {
        let (progress, waiting) = (Progress::default(), BTreeMap::new());
        Gate { policy, progress, waiting, arrivals: 0, waiting_max }
    }

    /// A reply that depends on record `seq`: the newest one of the keys it looked at, or of the
    /// whole group; 0 when there is none.
    #[inline]
    pub fn pass(&mut self, seq: Seq, reply: T) -> Passage<T> {
        if self.policy.allows(seq, self.progress) {
            return Passage::Go(reply);
        }
        if self.waiting.len() >= self.waiting_max {
            return Passage::Full(reply);
        }
        self.waiting.insert((seq, self.arrivals), reply);
        self.arrivals += 1;
        Passage::Waits
    }

    /// The log has come this far; what is less than before is old news.
    pub fn advance(&mut self, progress: Progress) {
        self.progress.durable = self.progress.durable.max(progress.durable);
        self.progress.replicated = self.progress.replicated.max(progress.replicated);
    }

    /// From now on this is asked of a record, also of those waited for.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// The next reply that may go now.
    pub fn poll(&mut self) -> Option<T> {
        let first = self.waiting.first_entry()?;
        self.policy.allows(first.key().0, self.progress).then(|| first.remove())
    }

    /// Takes every reply that waits, because the epoch is over: the outcome of these is unknown.
    pub fn abandon(&mut self) -> impl Iterator<Item = T> + use<T> {
        std::mem::take(&mut self.waiting).into_values()
    }

    /// How many replies wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::{Gate, Passage, Policy, Progress};
    use crate::record::Seq;

    const BOTH: Policy = Policy { durable: true, replicated: true };

    fn at(durable: u64, replicated: u64) -> Progress {
        Progress { durable: Seq(durable), replicated: Seq(replicated) }
    }

    fn polled<T>(gate: &mut Gate<T>) -> Vec<T> {
        std::iter::from_fn(|| gate.poll()).collect()
    }

    #[test]
    fn each_policy_asks_for_its_own() {
        let asked = |policy: Policy, progress| policy.allows(Seq(5), progress);
        for (durable, replicated) in [(4, 4), (5, 4), (4, 5), (5, 5)] {
            let progress = at(durable, replicated);
            assert!(asked(Policy::OPEN, progress));
            assert_eq!(asked(Policy { durable: true, ..Policy::OPEN }, progress), durable == 5);
            let sync = Policy { replicated: true, ..Policy::OPEN };
            assert_eq!(asked(sync, progress), replicated == 5);
            assert_eq!(asked(BOTH, progress), durable == 5 && replicated == 5);
        }
    }

    #[test]
    fn an_open_gate_keeps_nobody() {
        let mut gate = Gate::new(Policy::OPEN, 0);
        assert_eq!(gate.pass(Seq(u64::MAX), "reply"), Passage::Go("reply"));
    }

    #[test]
    fn replies_leave_with_their_record_and_in_order() {
        let mut gate = Gate::new(BOTH, 10);
        for (seq, reply) in [(2, "write 2"), (1, "read of 1"), (3, "write 3"), (2, "read of 2")] {
            assert_eq!(gate.pass(Seq(seq), reply), Passage::Waits);
        }
        assert_eq!(gate.pass(Seq(0), "nothing read"), Passage::Go("nothing read"));
        gate.advance(at(3, 0));
        assert_eq!(gate.poll(), None);
        gate.advance(at(0, 2));
        assert_eq!(polled(&mut gate), ["read of 1", "write 2", "read of 2"]);
        assert_eq!(gate.pass(Seq(2), "committed"), Passage::Go("committed"));
        assert_eq!(gate.waiting(), 1);
        gate.set_policy(Policy::OPEN);
        assert_eq!(polled(&mut gate), ["write 3"]);
    }

    #[test]
    fn no_more_wait_than_there_are_places() {
        let mut gate = Gate::new(BOTH, 2);
        assert_eq!(gate.pass(Seq(1), 1), Passage::Waits);
        assert_eq!(gate.pass(Seq(2), 2), Passage::Waits);
        assert_eq!(gate.pass(Seq(3), 3), Passage::Full(3));
        gate.advance(at(1, 1));
        assert_eq!(polled(&mut gate), [1]);
        assert_eq!(gate.pass(Seq(3), 3), Passage::Waits);
        assert_eq!(gate.abandon().collect::<Vec<_>>(), [2, 3]);
        assert_eq!(gate.waiting(), 0);
    }
}
