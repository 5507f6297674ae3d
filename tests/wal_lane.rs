//! The lane of the log on real files, of which any call may fail: what was synced is there, what
//! was written is a run without gaps, and nothing of a file's earlier life shows.

mod wal_world;

use cluster::record::log::Tail;
use crabcache::wal::files::{Call, Fault, Outcome};
use crabcache::wal::lane::{Lane, LaneError, Operation};
use crabcache::wal::segment::HEADER_BYTES;
use wal_world::{BIG, SEGMENT_BYTES, World, frame, put, seqs};

#[test]
fn what_is_synced_is_read_back_across_segments() {
    let world = World::new(Vec::new());
    let mut lane = world.open(7, 1).expect("a lane");
    for seq in 1..=60 {
        put(&mut lane, seq).expect("a frame");
        match seq % 4 {
            0 => lane.sync().expect("a sync"),
            1 => lane.write().expect("a write"),
            _ => {}
        }
        assert!(lane.synced_offset() <= lane.position());
    }
    lane.sync().expect("a sync");
    let syncs = world.files.calls(Call::Sync);
    lane.sync().expect("nothing to do");
    assert_eq!(world.files.calls(Call::Sync), syncs);
    assert_eq!(lane.synced_offset(), lane.position());

    let segments = world.segments();
    assert!(segments.len() > 3, "it rolled over");
    assert_eq!(seqs(&segments), (1..=60).collect::<Vec<_>>());
    for (segment, number) in segments.iter().zip(7..) {
        assert_eq!((segment.number, segment.tail), (number, Tail::Clean));
        // The first note says that all before this segment is synced; each says something new.
        assert_eq!(segment.notes[0].1, HEADER_BYTES as u64);
        assert!(segment.notes.is_sorted_by(|a, b| a.1 < b.1));
        assert!(segment.notes.iter().all(|(at, synced)| synced <= at));
    }
    assert_eq!(segments.last().map(|segment| segment.number), Some(lane.number()));
}

#[test]
fn the_last_sync_is_noted_once_when_nothing_comes() {
    let world = World::new(Vec::new());
    let mut lane = world.open(1, 1).expect("a lane");
    lane.settle().expect("nothing to do");
    assert_eq!(lane.position(), HEADER_BYTES as u64);
    for seq in 1..=3 {
        put(&mut lane, seq).expect("a frame");
        lane.settle().expect("not yet");
        lane.sync().expect("a sync");
        let synced = lane.synced_offset();
        lane.settle().expect("noted");
        let (position, syncs) = (lane.position(), world.files.calls(Call::Sync));
        assert_eq!(lane.synced_offset(), position);
        lane.settle().expect("nothing to do");
        lane.sync().expect("nothing to do");
        assert_eq!((lane.position(), world.files.calls(Call::Sync)), (position, syncs));
        let notes = world.segments()[0].notes.clone();
        assert_eq!(notes.last(), Some(&(synced, synced)));
        assert_eq!(notes.len() as u64, seq + 1, "each says something new");
    }
    assert_eq!(seqs(&world.segments()), [1, 2, 3]);
}

#[test]
fn what_is_written_without_a_sync_is_there_for_who_reads() {
    let world = World::new(Vec::new());
    let mut lane = world.open(1, 1).expect("a lane");
    put(&mut lane, 1).expect("a frame");
    assert!(seqs(&world.segments()).is_empty());
    lane.write().expect("a write");
    assert_eq!(seqs(&world.segments()), [1]);
    // The last block is written again with what comes next.
    put(&mut lane, 2).expect("a frame");
    lane.write().expect("a write");
    assert_eq!(seqs(&world.segments()), [1, 2]);
    assert_eq!(lane.synced_offset(), HEADER_BYTES as u64);
}

#[test]
fn a_frame_larger_than_a_segment_has_its_own() {
    let world = World::new(Vec::new());
    let mut lane = world.open(1, 1).expect("a lane");
    while lane.prepare().expect("a step") {}
    for seq in [1, BIG, 4] {
        put(&mut lane, seq).expect("a frame");
        lane.sync().expect("a sync");
    }
    let segments = world.segments();
    assert_eq!(segments.iter().map(|s| s.seqs.clone()).collect::<Vec<_>>(), [[1], [BIG], [4]]);
    assert!(segments.iter().all(|segment| segment.tail == Tail::Clean));
    // It is of no use to others: removed, not kept.
    lane.retire(2).expect("put away");
    assert_eq!((world.segments().len(), world.spares()), (2, 0));
    lane.retire(1).expect("put away");
    assert_eq!((world.segments().len(), world.spares()), (1, 1));
}

#[test]
fn a_file_in_its_second_life_shows_nothing_of_its_first() {
    let world = World::new(Vec::new());
    let mut lane = world.open(1, 1).expect("a lane");
    let mut seq = 0;
    while lane.number() < 5 {
        seq += 1;
        put(&mut lane, seq).expect("a frame");
    }
    for number in 1..5 {
        lane.retire(number).expect("put away");
    }
    lane.retire(1).expect("again");
    assert_eq!(world.spares(), 2, "some are kept");
    while lane.prepare().expect("a step") {}
    assert_eq!(world.spares(), 2, "that is enough");
    let created = world.files.calls(Call::Create);
    let first = seq;
    while lane.number() < 7 {
        seq += 1;
        put(&mut lane, seq).expect("a frame");
    }
    lane.sync().expect("a sync");
    assert_eq!(world.files.calls(Call::Create), created, "files are used again");
    let segments = world.segments();
    assert_eq!(segments.iter().map(|s| s.number).collect::<Vec<_>>(), [5, 6, 7]);
    assert_eq!(seqs(&segments), (first..=seq).collect::<Vec<_>>());
    assert!(segments.iter().all(|s| matches!(s.tail, Tail::Clean | Tail::Torn)));
}

#[test]
fn a_segment_prepared_ahead_is_used_and_a_start_clears_what_is_left() {
    let world = World::new(Vec::new());
    let mut lane = world.open(1, 1).expect("a lane");
    while lane.prepare().expect("a step") {}
    let created = world.files.calls(Call::Create);
    let mut seq = 0;
    while lane.number() < 2 {
        seq += 1;
        put(&mut lane, seq).expect("a frame");
    }
    assert_eq!(world.files.calls(Call::Create), created);
    while lane.prepare().expect("a step") {}
    drop(lane);
    assert_eq!(world.spares(), 1);
    let taken = world.open(2, 9).err().expect("segment 2 is there");
    assert_eq!(taken.operation, Operation::Folder);
    let lane = world.open(3, 9).expect("a lane");
    assert_eq!((lane.number(), world.spares()), (3, 0));
}

/// What a writer did and was promised.
#[derive(Default)]
struct Story {
    /// The next record to be put.
    next: u64,
    /// All up to this one was promised to be on disk.
    synced: u64,
    /// Records up to this one stood in segments that were put away.
    retired: u64,
    /// The first record of each segment.
    firsts: Vec<(u64, u64)>,
    errors: usize,
}

const LAST: u64 = 36;

impl Story {
    /// One step; returns false at the end.
    fn step(&mut self, lane: &mut Lane) -> Result<bool, LaneError> {
        if self.next > LAST {
            lane.sync()?;
            self.synced = LAST;
            return Ok(false);
        }
        self.forget(lane)?;
        let before = lane.number();
        let put = put(lane, self.next);
        if lane.number() != before {
            // It rolled over, which includes a sync.
            self.synced = self.next - 1;
            self.firsts.push((lane.number(), self.next));
        }
        put?;
        self.next += 1;
        match self.next % 5 {
            0 => {
                lane.sync()?;
                self.synced = self.next - 1;
            }
            1 => lane.write()?,
            2 => drop(lane.prepare()?),
            _ => {}
        }
        Ok(true)
    }

    /// Puts the first segment away once there are three.
    fn forget(&mut self, lane: &mut Lane) -> Result<(), LaneError> {
        let first = self.firsts.first().map_or(lane.number(), |(number, _)| *number);
        if lane.number() >= first + 2 {
            let (_, needed) = self.firsts[1];
            self.retired = needed - 1;
            lane.retire(first)?;
            self.firsts.remove(0);
        }
        Ok(())
    }

    /// After an error with the disk well again.
    fn mend(&mut self, lane: &mut Lane, error: &LaneError) {
        self.errors += 1;
        let gives_up = matches!(error.operation, Operation::Write | Operation::Sync);
        assert_eq!(lane.is_failed(), gives_up, "{error}");
        if lane.is_failed() {
            let told = lane.sync().expect_err("it was given up");
            assert_eq!(told.operation, Operation::GivenUp);
            lane.fail_over().expect("another segment");
            self.next = self.synced + 1;
            self.firsts.push((lane.number(), self.next));
        }
    }

    /// A run without gaps, from what is needed to at least what was promised.
    fn check(&self, world: &World, what: &str) {
        let segments = world.segments();
        let found = seqs(&segments);
        for segment in &segments {
            let fine = matches!(segment.tail, Tail::Clean | Tail::Torn);
            assert!(fine, "{what}: {:?} in {}", segment.tail, segment.number);
        }
        assert!(found.is_sorted_by(|a, b| a + 1 == *b), "{what}: {found:?}");
        let last = found.last().copied().unwrap_or(self.retired);
        assert!(last >= self.synced, "{what}: {} was promised, {found:?}", self.synced);
        if self.synced > self.retired {
            assert!(found[0] <= self.retired + 1, "{what}: {found:?}");
        }
    }
}

/// Writes the whole story in a world whose disk is mended after the first error.
fn tell(world: &World, what: &str) -> Story {
    let mut story = Story { next: 1, ..Story::default() };
    let mut lane = match world.open(1, 1) {
        Ok(lane) => lane,
        Err(_) => {
            story.errors += 1;
            story.check(world, what);
            world.files.plan(Vec::new());
            let first = if world.segments().is_empty() { 1 } else { 2 };
            world.open(first, 1).expect("the disk is well again")
        }
    };
    story.firsts.push((lane.number(), 1));
    loop {
        match story.step(&mut lane) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                story.check(world, what);
                world.files.plan(Vec::new());
                story.mend(&mut lane, &error);
                story.check(world, what);
            }
        }
    }
    story.check(world, what);
    story
}

/// How often each kind of call is made when none fails.
fn counted() -> Vec<(Call, u64)> {
    let world = World::new(Vec::new());
    let story = tell(&world, "no fault");
    assert!(story.retired > 0 && story.errors == 0);
    Call::ALL.into_iter().map(|call| (call, world.files.calls(call))).collect()
}

#[test]
fn any_call_may_fail_and_what_was_synced_stays() {
    let outcomes = [
        Outcome::Error(libc::ENOSPC),
        Outcome::Error(libc::EIO),
        Outcome::Error(libc::EROFS),
        Outcome::Short(0),
        Outcome::Short(100),
        Outcome::Short(5000),
    ];
    let mut worlds = 0;
    for (call, count) in counted() {
        for nth in 0..count {
            let kinds = if call == Call::Write { 0..outcomes.len() } else { nth as usize % 3..3 };
            for outcome in &outcomes[kinds] {
                let what = format!("{call:?} {nth} {outcome:?}");
                let world = World::new(vec![Fault { call, nth, times: 1, outcome: *outcome }]);
                assert_eq!(tell(&world, &what).errors, 1, "{what}: nobody was told");
                worlds += 1;
            }
        }
    }
    assert!(worlds > 100, "{worlds}");
}

#[test]
fn power_may_fail_in_any_write() {
    let (_, writes) = counted().into_iter().find(|(call, _)| *call == Call::Write).expect("it");
    for nth in 0..writes {
        for keep in [0, 1, 13, 511, 4095, 4096, 5000] {
            let what = format!("write {nth} torn at {keep}");
            let fault = Fault { call: Call::Write, nth, times: 1, outcome: Outcome::Torn(keep) };
            let world = World::new(vec![fault]);
            let mut story = Story { next: 1, ..Story::default() };
            if let Ok(mut lane) = world.open(1, 1) {
                story.firsts.push((1, 1));
                while let Ok(more) = story.step(&mut lane) {
                    assert!(more, "{what}: nobody noticed");
                }
                if lane.is_failed() {
                    lane.fail_over().expect_err("it is dark");
                    assert!(lane.is_failed());
                }
            }
            story.check(&world, &what);
        }
    }
}

#[test]
fn a_disk_that_stays_broken_is_told_each_time() {
    for outcome in [Outcome::Error(libc::ENOSPC), Outcome::Error(libc::EROFS)] {
        let world = World::new(Vec::new());
        let mut lane = world.open(1, 1).expect("a lane");
        put(&mut lane, 1).expect("a frame");
        lane.sync().expect("a sync");
        let broken = |call| Fault { call, nth: 0, times: u64::MAX, outcome };
        world.files.plan(Call::ALL.map(broken).to_vec());
        put(&mut lane, 2).expect("into the buffer");
        assert_eq!(lane.sync().expect_err("an error").operation, Operation::Write);
        for _ in 0..3 {
            assert_eq!(lane.fail_over().expect_err("an error").operation, Operation::Truncate);
            assert_eq!(put(&mut lane, 2).expect_err("an error").operation, Operation::GivenUp);
        }
        world.files.plan(Vec::new());
        let lost = lane.fail_over().expect("another segment");
        assert!(lost >= frame(2).len() as u64, "the note is lost, too: {lost}");
        put(&mut lane, 2).expect("a frame");
        lane.sync().expect("a sync");
        assert_eq!(seqs(&world.segments()), [1, 2]);
    }
}

#[test]
fn a_segment_begins_when_the_one_before_is_on_disk() {
    let world = World::new(Vec::new());
    let mut lane = world.open(1, 1).expect("a lane");
    let nth = world.files.calls(Call::Sync);
    let outcome = Outcome::Error(libc::EIO);
    world.files.plan(vec![Fault { call: Call::Sync, nth, times: 1, outcome }]);
    let error = (1..100).find_map(|seq| put(&mut lane, seq).err()).expect("an error");
    assert_eq!((error.operation, lane.number()), (Operation::Sync, 1));
    assert!(lane.is_failed());
    // All of it is to be written again, for nobody knows what the disk has.
    assert!(lane.fail_over().expect("another segment") > SEGMENT_BYTES / 2);
    assert!(seqs(&world.segments()).is_empty());
}

#[test]
fn the_disk_may_fail_in_the_middle_of_a_frame() {
    for kept in [0, 100, 5000, 1 << 20] {
        let world = World::new(Vec::new());
        let mut lane = world.open(1, 1).expect("a lane");
        put(&mut lane, 1).expect("a frame");
        lane.sync().expect("a sync");
        // The header of the large segment, then the frame in parts as large as the buffer.
        let (nth, outcome) = (world.files.calls(Call::Write) + 2, Outcome::Short(kept));
        world.files.plan(vec![Fault { call: Call::Write, nth, times: 1, outcome }]);
        let error = put(&mut lane, BIG).expect_err("an error");
        assert_eq!((error.operation, lane.number()), (Operation::Write, 2));
        for error in [put(&mut lane, BIG).err(), lane.sync().err(), lane.put(&[1]).err()] {
            assert_eq!(error.map(|error| error.operation), Some(Operation::GivenUp));
        }
        lane.fail_over().expect("another segment");
        put(&mut lane, BIG).expect("a frame");
        put(&mut lane, 4).expect("a frame");
        lane.sync().expect("a sync");
        let segments = world.segments();
        assert_eq!(seqs(&segments), [1, BIG, 4]);
        assert!(segments.iter().all(|segment| segment.tail == Tail::Clean));
    }
}

#[test]
fn what_a_segment_was_given_up_with_can_be_put_away() {
    let world = World::new(Vec::new());
    let mut lane = world.open(1, 1).expect("a lane");
    put(&mut lane, 1).expect("a frame");
    lane.fail_over().expect("another segment");
    put(&mut lane, 1).expect("a frame");
    lane.sync().expect("a sync");
    assert_eq!(lane.fail_over().expect("another segment"), 0, "all was on disk");
    lane.retire(1).expect("put away");
    assert_eq!(world.spares(), 0, "it was cut: of no use");
    lane.retire(2).expect("put away");
    assert_eq!((world.segments().len(), world.spares()), (1, 1));
}

#[test]
fn an_error_says_which_file_and_what_for() {
    let world = World::new(Vec::new());
    let mut lane = world.open(42, 1).expect("a lane");
    put(&mut lane, 1).expect("a frame");
    let nth = world.files.calls(Call::Sync);
    let outcome = Outcome::Error(libc::EIO);
    world.files.plan(vec![Fault { call: Call::Sync, nth, times: 1, outcome }]);
    let error = lane.sync().expect_err("an error");
    assert_eq!(error.operation, Operation::Sync);
    assert_eq!(error.path, world.folder().join("00000000000000000042.wal"));
    assert!(error.to_string().contains("42.wal: syncing: "), "{error}");
    assert_eq!(lane.synced_offset(), HEADER_BYTES as u64);
}
