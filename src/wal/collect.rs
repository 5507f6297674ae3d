//! Which segments of the log nobody needs any more, and when a snapshot is worth its work. Pure.

use crate::limits::SNAPSHOT_LOG_BYTES_MIN;
use cluster::record::Seq;
use cluster::slot::{GROUPS, Group};
use std::collections::BTreeMap;

/// The segments that are full, and what of them snapshots hold.
#[derive(Clone, Debug)]
pub struct Collector {
    closed: BTreeMap<u64, Closed>,
    /// By group: up to here a snapshot holds it.
    covered: Box<[Seq]>,
}

#[derive(Clone, Debug)]
struct Closed {
    bytes: u64,
    created_ms: u64,
    /// The last record of each group in it.
    last: Vec<(Group, Seq)>,
}

/// How things stand when somebody asks for a snapshot.
#[derive(Clone, Copy, Debug, Default)]
pub struct Need {
    /// Bytes of the log, the segment at hand included.
    pub log_bytes: u64,
    /// Bytes of the data.
    pub data_bytes: u64,
    /// Age of the oldest segment; `None` without one.
    pub oldest_age_ms: Option<u64>,
    /// Age of the last snapshot; `None` without one.
    pub snapshot_age_ms: Option<u64>,
    /// Whether anything was logged since the last snapshot began.
    pub changed: bool,
}

/// How old things may get, in milliseconds; 0: as old as they like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ages {
    /// `wal.wal_ttl`.
    pub wal_ms: u64,
    /// `wal.snapshot_ttl`.
    pub snapshot_ms: u64,
}

impl Default for Collector {
    fn default() -> Collector {
        let covered = vec![Seq(0); usize::from(GROUPS)].into();
        Collector { closed: BTreeMap::new(), covered }
    }
}

impl Collector {
    /// A segment is full; `last` is the last record of each group that has one in it.
    pub fn close(&mut self, number: u64, bytes: u64, created_ms: u64, last: Vec<(Group, Seq)>) {
        self.closed.insert(number, Closed { bytes, created_ms, last });
    }

    /// A snapshot, or the end of a group on this node, makes the log of these groups needless up to
    /// these records.
    pub fn cover(&mut self, groups: &[(Group, Seq)]) {
        for (group, seq) in groups {
            let covered = &mut self.covered[usize::from(group.number())];
            *covered = (*covered).max(*seq);
        }
    }

    /// The segments that may go, oldest first: those before the first one with a record that no
    /// snapshot holds.
    pub fn retirable(&self) -> Vec<u64> {
        let needless = |closed: &Closed| {
            closed.last.iter().all(|(g, seq)| *seq <= self.covered[usize::from(g.number())])
        };
        self.closed.iter().take_while(|(_, c)| needless(c)).map(|(number, _)| *number).collect()
    }

    /// That segment is gone.
    pub fn retired(&mut self, number: u64) {
        self.closed.remove(&number);
    }

    /// Bytes of the full segments.
    pub fn bytes(&self) -> u64 {
        self.closed.values().map(|closed| closed.bytes).sum()
    }

    /// When the oldest of them began.
    pub fn oldest_created_ms(&self) -> Option<u64> {
        self.closed.values().next().map(|closed| closed.created_ms)
    }
}

/// Whether a snapshot is worth its work: the log is longer than what it would be replaced by, or
/// old, or the last snapshot is.
pub fn wants_snapshot(need: &Need, ages: &Ages) -> bool {
    let is_old = |age_ms: Option<u64>, bound: u64| bound > 0 && age_ms.is_some_and(|a| a > bound);
    let is_long = need.log_bytes > need.data_bytes.max(SNAPSHOT_LOG_BYTES_MIN);
    need.changed
        && (is_long
            || is_old(need.oldest_age_ms, ages.wal_ms)
            || is_old(need.snapshot_age_ms, ages.snapshot_ms))
}

#[cfg(test)]
mod tests {
    use super::{Ages, Collector, Need, wants_snapshot};
    use crate::limits::SNAPSHOT_LOG_BYTES_MIN;
    use cluster::record::Seq;
    use cluster::slot::Group;

    fn table(pairs: &[(u16, u64)]) -> Vec<(Group, Seq)> {
        pairs.iter().map(|(g, seq)| (Group::new(*g).expect("a group"), Seq(*seq))).collect()
    }

    #[test]
    fn a_segment_goes_when_all_its_groups_and_those_before_it_may() {
        let mut collector = Collector::default();
        assert!(collector.retirable().is_empty());
        collector.close(3, 100, 10, table(&[(0, 5), (7, 2)]));
        collector.close(4, 200, 20, table(&[(0, 9)]));
        collector.close(6, 400, 30, table(&[(1023, 1)]));
        assert_eq!((collector.bytes(), collector.oldest_created_ms()), (700, Some(10)));
        collector.cover(&table(&[(0, 9), (1023, 1)]));
        assert!(collector.retirable().is_empty(), "group 7 is needed");
        collector.cover(&table(&[(7, 1)]));
        assert!(collector.retirable().is_empty());
        collector.cover(&table(&[(7, 2), (1023, 0)]));
        assert_eq!(collector.retirable(), [3, 4, 6]);
        collector.retired(3);
        assert_eq!((collector.retirable(), collector.bytes()), (vec![4, 6], 600));
        collector.close(7, 1, 40, table(&[(0, 10)]));
        collector.close(8, 1, 40, Vec::new());
        assert_eq!(collector.retirable(), [4, 6]);
        collector.cover(&table(&[(0, 10)]));
        assert_eq!(collector.retirable(), [4, 6, 7, 8]);
    }

    #[test]
    fn what_was_covered_stays_so() {
        let mut collector = Collector::default();
        collector.cover(&table(&[(1, 9)]));
        collector.cover(&table(&[(1, 3)]));
        collector.close(1, 1, 1, table(&[(1, 9)]));
        assert_eq!(collector.retirable(), [1]);
    }

    #[test]
    fn a_snapshot_is_wanted_by_length_and_by_age() {
        let ages = Ages { wal_ms: 1000, snapshot_ms: 500 };
        let need = Need { changed: true, ..Need::default() };
        assert!(!wants_snapshot(&need, &ages));
        let long = Need { log_bytes: SNAPSHOT_LOG_BYTES_MIN + 1, ..need };
        assert!(wants_snapshot(&long, &ages));
        assert!(!wants_snapshot(&Need { log_bytes: SNAPSHOT_LOG_BYTES_MIN, ..need }, &ages));
        assert!(!wants_snapshot(&Need { data_bytes: SNAPSHOT_LOG_BYTES_MIN + 1, ..long }, &ages));
        let old_log = Need { oldest_age_ms: Some(1001), ..need };
        let old_snapshot = Need { snapshot_age_ms: Some(501), ..need };
        for need in [old_log, old_snapshot] {
            assert!(wants_snapshot(&need, &ages));
            assert!(!wants_snapshot(&need, &Ages::default()));
            assert!(!wants_snapshot(&Need { changed: false, ..need }, &ages));
        }
        assert!(!wants_snapshot(&Need { oldest_age_ms: Some(1000), ..need }, &ages));
        assert!(!wants_snapshot(&Need { snapshot_age_ms: Some(500), ..need }, &ages));
    }
}
