//! Recovery against a model: small files, torn everywhere and damaged everywhere. What comes back
//! is exactly what was written up to the tear, or the damage is named.

use cluster::record::frame::FrameWriter;
use cluster::record::{Epoch, GroupTime, Header, Kind, Salt, Seq};
use cluster::slot::Group;
use crabcache::wal::recovery::header::{FileHeader, HEADER_BYTES, Sort};
use crabcache::wal::recovery::repair::{Action, Repair, repair};
use crabcache::wal::recovery::{BadPayload, Outcome, RecoveryError, Target, Why, recover, verify};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use tempfile::TempDir;

/// Of each group: the payloads in order.
type Model = BTreeMap<u16, Vec<Vec<u8>>>;

#[derive(Default)]
struct Memory(Mutex<Model>);

impl Target for Memory {
    fn apply(&self, group: Group, payload: &[u8], _: GroupTime) -> Result<(), BadPayload> {
        if payload == b"bad" {
            return Err(BadPayload);
        }
        let mut groups = self.0.lock().expect("no panic");
        groups.entry(group.number()).or_default().push(payload.to_vec());
        Ok(())
    }

    fn forget(&self, group: Group) {
        self.0.lock().expect("no panic").remove(&group.number());
    }

    fn set_log(&self, _: Group, _: Epoch, _: Seq, _: GroupTime) {}
}

/// A folder with a log and snapshots.
struct Disk(TempDir);

impl Disk {
    fn new() -> Disk {
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir(dir.path().join("wal")).expect("a folder");
        fs::create_dir(dir.path().join("snapshots")).expect("a folder");
        Disk(dir)
    }

    /// With these files.
    fn with<'a>(files: impl IntoIterator<Item = &'a Bytes>) -> Disk {
        let disk = Disk::new();
        files.into_iter().for_each(|file| disk.write(file));
        disk
    }

    fn log(&self) -> PathBuf {
        self.0.path().join("wal")
    }

    fn path(&self, sort: Sort, number: u64) -> PathBuf {
        let folder = if sort == Sort::Segment { "wal" } else { "snapshots" };
        self.0.path().join(folder).join(sort.name(number))
    }

    fn write(&self, file: &Bytes) {
        fs::write(self.path(file.sort, file.number), &file.bytes).expect("written");
    }

    fn recover(&self, threads: usize) -> (Model, Outcome) {
        self.try_recover(threads).expect("recovered")
    }

    fn try_recover(&self, threads: usize) -> Result<(Model, Outcome), RecoveryError> {
        let memory = Memory::default();
        let outcome = recover(&self.log(), threads, &memory, &|_| ())?;
        Ok((memory.0.into_inner().expect("no panic"), outcome))
    }
}

/// A file being written.
#[derive(Clone)]
struct Bytes {
    sort: Sort,
    number: u64,
    salt: Salt,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Bytes {
    fn new(sort: Sort, number: u64) -> Bytes {
        let salt = Salt::new(0x5eed_0000 + number as u32).expect("not 0");
        let bytes = FileHeader { salt, number, created_ms: 5 }.bytes(sort);
        Bytes { sort, number, salt, bytes, ends: Vec::new() }
    }

    fn frame(&mut self, records: &[(Header, &[u8])]) -> &mut Bytes {
        let mut frame = FrameWriter::begin(&mut self.bytes, self.salt);
        for (header, payload) in records {
            frame.push(*header, &[payload]).expect("short");
        }
        frame.finish();
        self.ends.push(self.bytes.len());
        self
    }

    fn set(&mut self, group: u16, seq: u64) -> &mut Bytes {
        let payload = value(group, seq);
        self.frame(&[(header(Kind::Effects, group, seq), &payload)])
    }

    fn synced(&mut self) -> &mut Bytes {
        let offset = (self.bytes.len() as u64).to_le_bytes();
        self.frame(&[(header(Kind::Synced, 0, 0), &offset)])
    }
}

fn header(kind: Kind, group: u16, seq: u64) -> Header {
    let group = Group::new(group).expect("a group");
    Header { kind, group, epoch: Epoch(1), seq: Seq(seq), time: GroupTime(1000 + seq) }
}

fn value(group: u16, seq: u64) -> Vec<u8> {
    format!("{group}:{seq}").into_bytes()
}

fn model(groups: &[(u16, std::ops::RangeInclusive<u64>)]) -> Model {
    let values = |(group, seqs): &(u16, std::ops::RangeInclusive<u64>)| {
        (*group, seqs.clone().map(|seq| value(*group, seq)).collect())
    };
    groups.iter().filter(|(_, seqs)| !seqs.is_empty()).map(values).collect()
}

/// Whether each group holds a beginning of what it holds in `whole`.
fn is_beginning(part: &Model, whole: &Model) -> bool {
    part.iter().all(|(group, values)| {
        whole.get(group).is_some_and(|whole| whole.starts_with(values.as_slice()))
    })
}

fn why(outcome: &Outcome, group: u16) -> Option<Why> {
    outcome.corrupt.iter().find(|c| c.group.number() == group).map(|c| c.why)
}

#[test]
fn a_tear_at_every_byte_leaves_the_whole_frames_before_it() {
    let mut file = Bytes::new(Sort::Segment, 1);
    (1..=4).for_each(|seq| {
        file.set(3, seq).set(4, seq);
    });
    for torn in 0..=file.bytes.len() {
        let part = Bytes { bytes: file.bytes[..torn].to_vec(), ..file.clone() };
        let disk = Disk::with([&part]);
        let (found, outcome) = disk.recover(1 + torn % 3);
        let whole = file.ends.iter().filter(|end| **end <= torn).count() as u64;
        assert_eq!(found, model(&[(3, 1..=whole.div_ceil(2)), (4, 1..=whole / 2)]), "{torn}");
        assert!(outcome.is_sound(), "{torn}: {outcome:?}");
        outcome.settle().expect("settled");
        let end = file.ends.iter().rfind(|end| **end <= torn).copied();
        let end = end.unwrap_or(HEADER_BYTES as usize);
        let left = fs::metadata(disk.path(Sort::Segment, 1)).map(|facts| facts.len() as usize);
        assert_eq!(left.ok(), (torn >= HEADER_BYTES as usize).then_some(end));
        assert_eq!(disk.recover(2).0, found);
    }
}

#[test]
fn a_flipped_bit_anywhere_in_a_synced_segment_is_named() {
    let mut file = Bytes::new(Sort::Segment, 1);
    file.set(3, 1).set(4, 1).set(3, 2).set(4, 2).synced();
    let whole = model(&[(3, 1..=2), (4, 1..=2)]);
    for at in (0..36).chain(HEADER_BYTES as usize..file.bytes.len()) {
        let mut damaged = file.clone();
        damaged.bytes[at] ^= 1 << (at % 8);
        let disk = Disk::with([&damaged]);
        let Ok((found, outcome)) = disk.try_recover(2) else {
            assert!(at < 36, "{at}: refused");
            continue;
        };
        assert!(is_beginning(&found, &whole), "{at}: {found:?}");
        if at < file.ends[3] {
            let lost = |group| found.get(&group) != whole.get(&group);
            assert!(!outcome.damages.is_empty(), "{at}: {outcome:?}");
            assert!([3, 4].into_iter().all(|g| !lost(g) || why(&outcome, g).is_some()), "{at}");
        } else {
            assert_eq!(found, whole, "{at}");
            assert!(outcome.cut.is_some_and(|cut| cut.bytes > 0), "{at}");
        }
        assert_eq!(memory_of(&damaged), damaged.bytes);
    }
}

/// What a verification leaves of a file.
fn memory_of(file: &Bytes) -> Vec<u8> {
    let disk = Disk::with([file]);
    let _ = verify(&disk.log());
    fs::read(disk.path(file.sort, file.number)).expect("still there")
}

fn snapshot(number: u64, groups: &[(u16, u64)]) -> Bytes {
    let mut file = Bytes::new(Sort::Snapshot, number);
    for &(group, seq) in groups {
        for value_of in 1..=seq {
            let payload = value(group, value_of);
            file.frame(&[(header(Kind::Effects, group, 0), &payload)]);
        }
        file.frame(&[(header(Kind::Base, group, seq), b"")]);
    }
    file.synced();
    file
}

#[test]
fn a_snapshot_and_the_log_behind_it() {
    let mut log = Bytes::new(Sort::Segment, 7);
    log.set(3, 3).set(4, 2).set(3, 4).set(3, 5).synced();
    let disk = Disk::with([&snapshot(1, &[(3, 2), (4, 1)]), &snapshot(2, &[(3, 4)]), &log]);
    for threads in 1..4 {
        let (found, outcome) = disk.recover(threads);
        assert_eq!(found, model(&[(3, 1..=5), (4, 1..=2)]));
        assert!(outcome.is_sound(), "{outcome:?}");
        assert_eq!((outcome.segment_next, outcome.snapshot_next), (8, 3));
        assert_eq!((outcome.applied, outcome.time), (2, GroupTime(1005)));
    }
}

#[test]
fn a_flipped_bit_anywhere_in_a_snapshot_falls_back_or_is_named() {
    let newer = snapshot(2, &[(3, 3)]);
    for at in (0..36).chain(HEADER_BYTES as usize..newer.bytes.len()) {
        for reaches_back in [true, false] {
            let mut damaged = newer.clone();
            damaged.bytes[at] ^= 1 << (at % 8);
            let mut log = Bytes::new(Sort::Segment, 1);
            let first = if reaches_back { 2 } else { 4 };
            (first..=5).for_each(|seq| {
                log.set(3, seq);
            });
            log.synced();
            let disk = Disk::with([&snapshot(1, &[(3, 1)]), &damaged, &log]);
            let Ok((found, outcome)) = disk.try_recover(2) else {
                assert!(at < 36, "{at}: refused");
                continue;
            };
            assert!(outcome.damages.iter().any(|damage| damage.snapshot), "{at}");
            let last = if reaches_back { 5 } else { 1 };
            assert_eq!(found, model(&[(3, 1..=last)]), "{at}");
            assert_eq!(why(&outcome, 3).is_none(), reaches_back, "{at}: {outcome:?}");
        }
    }
}

#[test]
fn an_unfinished_snapshot_does_not_count() {
    let mut open = snapshot(2, &[(3, 3)]);
    open.bytes.truncate(open.ends[open.ends.len() - 2]);
    let disk = Disk::with([&snapshot(1, &[(3, 1)]), &open]);
    let (found, outcome) = disk.recover(1);
    assert_eq!(found, model(&[(3, 1..=1)]));
    assert_eq!(why(&outcome, 3), Some(Why::Snapshot));
}

#[test]
fn frames_of_a_batch_stand_in_any_order() {
    let mut log = Bytes::new(Sort::Segment, 1);
    log.set(3, 2).set(3, 3).set(4, 1).set(3, 1).synced();
    let disk = Disk::with([&log]);
    let (found, outcome) = disk.recover(2);
    assert_eq!(found, model(&[(3, 1..=3), (4, 1..=1)]));
    assert!(outcome.is_sound() && outcome.truncate.is_empty());
}

#[test]
fn no_half_of_a_frame_counts() {
    let mut log = Bytes::new(Sort::Segment, 1);
    let both: [(Header, &[u8]); 2] =
        [(header(Kind::Effects, 3, 2), b"x"), (header(Kind::Effects, 4, 2), b"y")];
    log.set(3, 1).frame(&both).set(3, 3);
    let disk = Disk::with([&log]);
    let (found, outcome) = disk.recover(2);
    assert_eq!(found, model(&[(3, 1..=1)]));
    let groups: Vec<u16> = outcome.truncate.iter().map(|(g, ..)| g.number()).collect();
    assert_eq!((groups, outcome.refused), (vec![3, 4], 3));
    assert!(outcome.is_sound(), "never synced: {outcome:?}");
    disk.write(log.synced());
    let (_, outcome) = disk.recover(2);
    assert_eq!((why(&outcome, 3), why(&outcome, 4)), (Some(Why::Gap), Some(Why::Gap)));
}

#[test]
fn what_was_truncated_stays_away_even_behind_a_newer_snapshot() {
    let mut old = Bytes::new(Sort::Segment, 1);
    let gone = header(Kind::Effects, 3, 3);
    old.set(3, 1).frame(&[(gone, b"old")]);
    let mut new = Bytes::new(Sort::Segment, 2);
    new.frame(&[(header(Kind::Truncate, 3, 1), b"")]).set(3, 2).set(3, 3).synced();
    let disk = Disk::with([&old, &new]);
    assert_eq!(disk.recover(1).0, model(&[(3, 1..=3)]));
    disk.write(&snapshot(1, &[(3, 2)]));
    let (found, outcome) = disk.recover(2);
    assert_eq!(found, model(&[(3, 1..=3)]));
    assert!(outcome.is_sound());
}

/// As [`header`], in a later epoch.
fn later(kind: Kind, group: u16, epoch: u64, seq: u64) -> Header {
    Header { epoch: Epoch(epoch), ..header(kind, group, seq) }
}

#[test]
fn a_group_that_begins_and_is_dropped_in_one_frame_is_gone() {
    let mut log = Bytes::new(Sort::Segment, 1);
    log.set(3, 1).set(3, 2).frame(&[
        (header(Kind::Effects, 4, 1), &value(4, 1)),
        (later(Kind::EpochStart, 3, 2, 3), b""),
        (later(Kind::Drop, 3, 2, 3), b""),
    ]);
    log.synced();
    let disk = Disk::with([&log]);
    let (found, outcome) = disk.recover(2);
    assert_eq!(found, model(&[(4, 1..=1)]));
    assert!(outcome.is_sound() && outcome.unsaved.is_empty(), "{outcome:?}");
    // What follows the drop in its own frame counts.
    log.frame(&[
        (header(Kind::Drop, 4, 1), b""),
        (later(Kind::Effects, 4, 2, 1), &value(4, 1)),
        (later(Kind::Effects, 4, 2, 2), &value(4, 2)),
    ]);
    disk.write(log.synced());
    let (found, outcome) = disk.recover(1);
    assert_eq!(found, model(&[(4, 1..=2)]));
    assert!(outcome.is_sound(), "{outcome:?}");
}

#[test]
fn a_copy_received_again_counts_behind_an_older_drop() {
    let mut log = Bytes::new(Sort::Segment, 1);
    log.set(3, 1).set(3, 2).frame(&[(header(Kind::Drop, 3, 2), b"")]);
    log.frame(&[(header(Kind::Base, 3, 2), b"")]).set(3, 3).set(4, 1).synced();
    let disk = Disk::with([&log, &snapshot(1, &[(3, 2)])]);
    let (found, outcome) = disk.recover(2);
    assert_eq!(found, model(&[(3, 1..=3), (4, 1..=1)]));
    assert!(outcome.is_sound() && outcome.unsaved.is_empty(), "{outcome:?}");
    // Dropped once more, it is gone, its snapshot with it.
    disk.write(log.frame(&[(header(Kind::Drop, 3, 3), b"")]).synced());
    let (found, outcome) = disk.recover(2);
    assert_eq!(found, model(&[(4, 1..=1)]));
    assert!(outcome.is_sound() && outcome.unsaved.is_empty(), "{outcome:?}");
}

#[test]
fn a_copy_that_no_snapshot_holds_is_none() {
    for older in [false, true] {
        let mut log = Bytes::new(Sort::Segment, 1);
        log.set(3, 1).frame(&[(header(Kind::Drop, 3, 1), b"")]);
        log.frame(&[(header(Kind::Effects, 4, 1), &value(4, 1)), (header(Kind::Base, 3, 5), b"")]);
        log.frame(&[(header(Kind::Effects, 3, 6), b"x"), (header(Kind::Effects, 4, 2), b"4:2")]);
        let disk = Disk::with([&*log.synced()]);
        if older {
            disk.write(&snapshot(1, &[(3, 1)]));
        }
        let (found, outcome) = disk.recover(2);
        assert_eq!(found, model(&[(4, 1..=2)]));
        assert!(outcome.is_sound() && outcome.truncate.is_empty(), "{outcome:?}");
        assert_eq!(outcome.unsaved, [Group::new(3).expect("a group")]);
        // Said to be gone, it is as if it never was.
        disk.write(log.frame(&[(header(Kind::Drop, 3, 0), b"")]).synced());
        let (found, outcome) = disk.recover(2);
        assert_eq!(found, model(&[(4, 1..=2)]));
        assert!(outcome.is_sound() && outcome.unsaved.is_empty(), "{outcome:?}");
    }
}

#[test]
fn leftovers_of_an_earlier_use_are_nothing() {
    let mut before = Bytes::new(Sort::Segment, 1);
    (1..=9).for_each(|seq| {
        before.set(9, seq);
    });
    let mut log = Bytes::new(Sort::Segment, 2);
    log.set(3, 1).set(3, 2).synced();
    let used = log.bytes.len();
    log.bytes.extend_from_slice(&before.bytes[used..]);
    log.bytes.resize(2 * HEADER_BYTES as usize, 0);
    let disk = Disk::with([&log]);
    let (found, outcome) = disk.recover(2);
    assert_eq!(found, model(&[(3, 1..=2)]));
    assert!(outcome.is_sound() && outcome.cut.is_none(), "{outcome:?}");
}

#[test]
fn a_hole_is_a_cut_behind_the_last_sync_and_damage_before() {
    let mut log = Bytes::new(Sort::Segment, 1);
    log.set(3, 1).synced().set(3, 2).set(3, 3);
    let (from, to) = (log.ends[1], log.ends[2]);
    log.bytes[from..to].fill(0);
    let disk = Disk::with([&log]);
    let (found, outcome) = disk.recover(1);
    assert_eq!(found, model(&[(3, 1..=1)]));
    let cut = outcome.cut.clone().expect("a cut");
    assert_eq!((cut.offset, cut.frames), (from as u64, 1));
    assert!(outcome.is_sound());
    disk.write(log.synced());
    let (found, outcome) = disk.recover(1);
    assert_eq!(found, model(&[(3, 1..=1)]));
    assert_eq!((outcome.damages[0].offset, why(&outcome, 3)), (from as u64, Some(Why::Gap)));
}

#[test]
fn a_missing_file_is_damage_until_it_is_given_up() {
    let disk = Disk::new();
    for number in [1, 3] {
        let mut log = Bytes::new(Sort::Segment, number);
        log.set(3, number).set(4, number.min(2)).synced();
        disk.write(&log);
    }
    let (found, outcome) = disk.recover(2);
    assert_eq!(found, model(&[(3, 1..=1), (4, 1..=2)]));
    assert!(outcome.damages[0].path.ends_with(Sort::Segment.name(2)));
    assert_eq!(why(&outcome, 3), Some(Why::Gap));
    let dir = disk.log();
    let said = repair(&dir, Repair { dry_run: true, force: true }).expect("said");
    assert!(matches!(said[0], Action::Salvage(_)), "{said:?}");
    assert_eq!(disk.recover(1).1.damages.len(), 1);
    repair(&dir, Repair { dry_run: false, force: true }).expect("repaired");
    assert!(disk.recover(1).1.damages.is_empty());
}

#[test]
fn a_gap_is_a_crash_in_a_batch_of_several_files_and_damage_before_a_sync() {
    let [mut one, mut two, three] = [1, 2, 3].map(|number| Bytes::new(Sort::Segment, number));
    // The record before the last was to come in the third file.
    one.set(3, 1).synced().set(3, 3);
    two.synced().set(4, 1);
    let (found, outcome) = Disk::with([&one, &two, &three]).recover(2);
    assert_eq!((found, outcome.is_sound()), (model(&[(3, 1..=1), (4, 1..=1)]), true));
    let mut torn = one.synced().set(5, 1).clone();
    torn.bytes.truncate(torn.bytes.len() - 1);
    let disk = Disk::with([&torn]);
    assert_eq!(why(&disk.recover(1).1, 3), Some(Why::Gap));
    let done = repair(&disk.log(), Repair::default()).expect("nothing is done");
    assert!(done.iter().any(|action| matches!(action, Action::NeedsForce(..))), "{done:?}");
}

#[test]
fn a_payload_that_is_not_understood_ends_its_group_only() {
    let mut log = Bytes::new(Sort::Segment, 1);
    log.set(3, 1).frame(&[(header(Kind::Effects, 3, 2), b"bad")]).set(3, 3).set(4, 1);
    let disk = Disk::with([&log]);
    let (found, outcome) = disk.recover(2);
    assert_eq!(found, model(&[(3, 1..=1), (4, 1..=1)]));
    assert_eq!(why(&outcome, 3), Some(Why::Payload));
    assert_eq!(outcome.groups[0].1.seq, Seq(1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Batches of shuffled frames of several groups, synced between, torn anywhere.
    #[test]
    fn what_was_synced_comes_back_and_the_rest_is_a_beginning(
        batches in prop::collection::vec(prop::collection::vec(0u16..4, 1..6), 1..6),
        swaps in prop::collection::vec((0usize..6, 0usize..6), 0..6),
        torn in 0usize..200,
        threads in 1usize..4,
    ) {
        let mut log = Bytes::new(Sort::Segment, 1);
        let (mut seqs, mut synced) = ([0u64; 4], (0, [0u64; 4]));
        for batch in &batches {
            let mut frames: Vec<(u16, u64)> = batch.iter().map(|group| {
                seqs[usize::from(*group)] += 1;
                (*group, seqs[usize::from(*group)])
            }).collect();
            for (a, b) in &swaps {
                let len = frames.len();
                frames.swap(a % len, b % len);
            }
            frames.iter().for_each(|(group, seq)| { log.set(*group, *seq); });
            log.synced();
            synced = (log.bytes.len(), seqs);
        }
        let whole = model(&[(0, 1..=seqs[0]), (1, 1..=seqs[1]), (2, 1..=seqs[2]),
            (3, 1..=seqs[3])]);
        let end = log.bytes.len().saturating_sub(torn).max(HEADER_BYTES as usize);
        log.bytes.truncate(end);
        let disk = Disk::with([&log]);
        let (found, outcome) = disk.recover(threads);
        prop_assert!(is_beginning(&found, &whole));
        prop_assert!(outcome.is_sound(), "{outcome:?}");
        if end >= synced.0 {
            prop_assert_eq!(found, whole);
        }
    }
}
