//! Which segments of the log nobody needs any more, and when a snapshot is worth its work. Pure.

use crate::limits::SNAPSHOT_LOG_BYTES_MIN;
use cluster::record::Seq;
use cluster::slot::{GROUPS, Group};
use std::collections::BTreeMap;

/// The segments that are full, and what of them snapshots hold.
#[derive(Clone, Debug)]
pub struct Collector {
    closed: BTreeMap<u64, Closed>,
    /// By group: up to here the snapshots hold it that the node began with.
    covered: Box<[Seq]>,
    /// The newest snapshot says that the log stays from this segment on.
    needed_from: u64,
    /// When the first record since the last snapshot was logged.
    changed_ms: Option<u64>,
    /// When the last snapshot was written.
    snapshot_ms: Option<u64>,
}

#[derive(Clone, Debug)]
struct Closed {
    bytes: u64,
    created_ms: u64,
    /// The last record of each group in it.
    last: Vec<(Group, Seq)>,
}

/// The last record of each group in a segment.
pub(super) struct Marks(Box<[Seq]>);

impl Default for Marks {
    fn default() -> Marks {
        Marks(vec![Seq(0); usize::from(GROUPS)].into())
    }
}

impl Marks {
    pub(super) fn note(&mut self, group: Group, seq: Seq) {
        let last = &mut self.0[usize::from(group.number())];
        *last = (*last).max(seq);
    }

    pub(super) fn clear(&mut self) {
        self.0.fill(Seq(0));
    }

    pub(super) fn list(&self) -> Vec<(Group, Seq)> {
        Group::all().zip(&*self.0).filter(|(_, seq)| seq.0 > 0).map(|(g, seq)| (g, *seq)).collect()
    }
}

/// How things stand when somebody asks for a snapshot.
#[derive(Clone, Copy, Debug, Default)]
pub struct Need {
    /// Bytes of the log, the segment at hand included.
    pub log_bytes: u64,
    /// Bytes of the data.
    pub data_bytes: u64,
    /// Age of the oldest record that is kept; `None` without one.
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
        let (closed, needed_from) = (BTreeMap::new(), 0);
        Collector { closed, covered, needed_from, changed_ms: None, snapshot_ms: None }
    }
}

impl Collector {
    /// A segment is full; `last` is the last record of each group that has one in it.
    pub fn close(&mut self, number: u64, bytes: u64, created_ms: u64, last: Vec<(Group, Seq)>) {
        self.closed.insert(number, Closed { bytes, created_ms, last });
    }

    /// The snapshots that the node begins with hold these groups up to these records.
    pub fn cover(&mut self, groups: &[(Group, Seq)]) {
        for (group, seq) in groups {
            let covered = &mut self.covered[usize::from(group.number())];
            *covered = (*covered).max(*seq);
        }
    }

    /// The newest snapshot says that the log stays from this segment on: a start that finds less of
    /// it knows that it lacks something.
    pub fn need_from(&mut self, number: u64) {
        self.needed_from = number;
    }

    /// The segments that may go, oldest first: those before the one that the newest snapshot names.
    /// What was recorded before that it holds, or it is of a group that this node does not keep any
    /// more.
    pub fn retirable(&self) -> Vec<u64> {
        self.closed.range(..self.needed_from).map(|(number, _)| *number).collect()
    }

    /// Whether snapshots hold all that a segment holds.
    fn is_covered(&self, closed: &Closed) -> bool {
        closed.last.iter().all(|(g, seq)| *seq <= self.covered[usize::from(g.number())])
    }

    /// That segment is gone.
    pub fn retired(&mut self, number: u64) {
        self.closed.remove(&number);
    }

    /// Bytes of the full segments.
    pub fn bytes(&self) -> u64 {
        self.closed.values().map(|closed| closed.bytes).sum()
    }

    /// How many they are.
    pub fn segments(&self) -> u64 {
        self.closed.len() as u64
    }

    /// When the oldest of them began.
    pub fn oldest_created_ms(&self) -> Option<u64> {
        self.closed.values().next().map(|closed| closed.created_ms)
    }

    /// The node begins, with a snapshot of that time; what the segments hold beyond it is as good
    /// as logged now.
    pub fn begin(&mut self, snapshot_ms: Option<u64>) {
        self.snapshot_ms = snapshot_ms;
        let needed = self.closed.values().any(|closed| !self.is_covered(closed));
        self.changed_ms = self.oldest_created_ms().filter(|_| needed);
    }

    /// Records were logged.
    pub fn wrote(&mut self, now_ms: u64) {
        self.changed_ms.get_or_insert(now_ms);
    }

    /// A snapshot was written.
    pub fn saved(&mut self, now_ms: u64) {
        (self.changed_ms, self.snapshot_ms) = (None, Some(now_ms));
    }

    /// How things stand now, with so many bytes of log and data.
    pub fn need(&self, now_ms: u64, log_bytes: u64, data_bytes: u64) -> Need {
        let since = |ms: u64| now_ms.saturating_sub(ms);
        // A segment at hand may be filled for weeks: what counts is its oldest record of need.
        let oldest = self.oldest_created_ms().into_iter().chain(self.changed_ms).min();
        Need {
            log_bytes,
            data_bytes,
            oldest_age_ms: oldest.map(since),
            snapshot_age_ms: self.snapshot_ms.map(since),
            changed: self.changed_ms.is_some(),
        }
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
    fn segments_go_that_stand_before_the_one_a_snapshot_names() {
        let mut collector = Collector::default();
        collector.close(3, 100, 10, table(&[(0, 5), (7, 2)]));
        collector.close(4, 200, 20, table(&[(0, 9)]));
        collector.close(6, 400, 30, table(&[(1023, 1)]));
        assert_eq!((collector.bytes(), collector.oldest_created_ms()), (700, Some(10)));
        assert!(collector.retirable().is_empty(), "no snapshot says so");
        collector.need_from(4);
        assert_eq!(collector.retirable(), [3]);
        collector.retired(3);
        assert_eq!((collector.retirable(), collector.bytes()), (vec![], 600));
        collector.need_from(7);
        assert_eq!(collector.retirable(), [4, 6]);
    }

    const HOUR: u64 = 3_600_000;

    /// A node that writes a little every hour for 40 days: how many snapshots that makes, and how
    /// old a record on disk became at most.
    fn forty_days(ages: &Ages, begun_with_snapshot: bool) -> (u64, u64) {
        let mut collector = Collector::default();
        let began = 1_000_000 * HOUR;
        collector.need_from(u64::MAX);
        collector.begin(begun_with_snapshot.then_some(began));
        let (mut snapshots, mut oldest) = (0, 0);
        for hour in 0..40 * 24 {
            let now = began + hour * HOUR;
            collector.wrote(now);
            if hour % 100 == 99 {
                collector.close(hour, 1000, now - 99 * HOUR, table(&[(0, hour)]));
            }
            let need = collector.need(now, 5000, 5000);
            oldest = oldest.max(need.oldest_age_ms.unwrap_or(0));
            if wants_snapshot(&need, ages) {
                snapshots += 1;
                collector.cover(&table(&[(0, hour)]));
                collector.saved(now);
                for number in collector.retirable() {
                    collector.retired(number);
                }
                assert_eq!(collector.segments(), 0, "everything is in the snapshot");
            }
        }
        (snapshots, oldest / HOUR)
    }

    #[test]
    fn a_slow_log_is_put_into_a_snapshot_by_age_and_its_segments_go() {
        let day = 24 * HOUR;
        let both = Ages { wal_ms: 7 * day, snapshot_ms: day };
        let (snapshots, oldest) = forty_days(&both, true);
        assert!((36..=40).contains(&snapshots) && oldest <= 100, "{snapshots}, {oldest} h");
        // Without any snapshot the log's age brings the first.
        let (snapshots, oldest) = forty_days(&both, false);
        assert!((30..=34).contains(&snapshots) && oldest <= 170, "{snapshots}, {oldest} h");
        let log_only = Ages { wal_ms: 7 * day, snapshot_ms: 0 };
        let (snapshots, oldest) = forty_days(&log_only, true);
        // A segment counts from its beginning, though a snapshot holds half of it.
        assert!((4..=9).contains(&snapshots) && oldest <= 170, "{snapshots}, {oldest} h");
        assert_eq!(forty_days(&Ages::default(), true).0, 0);
    }

    #[test]
    fn who_does_not_change_needs_no_snapshot_however_old_things_are() {
        let ages = Ages { wal_ms: 1, snapshot_ms: 1 };
        let mut collector = Collector::default();
        collector.need_from(u64::MAX);
        collector.close(1, 1000, 10, table(&[(0, 5)]));
        collector.cover(&table(&[(0, 5)]));
        collector.begin(Some(10));
        assert!(!wants_snapshot(&collector.need(HOUR, 5000, 5000), &ages));
        collector.close(2, 1000, 10, table(&[(0, 6)]));
        collector.begin(Some(10));
        assert!(wants_snapshot(&collector.need(HOUR, 5000, 5000), &ages), "records of before");
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
