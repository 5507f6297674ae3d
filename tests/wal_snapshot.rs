//! Snapshots of an engine that goes on changing: what the file holds, with the log behind it, is
//! what the engine holds; and whatever call to the file system fails, no snapshot is left behind.

mod engine_ops;

use cluster::record::log::{LogReader, Tail};
use cluster::record::{Epoch, Kind, Salt, Seq, frame::Frame};
use cluster::slot::{Group, Slot};
use crabcache::command::Time;
use crabcache::engine::{Engine, EngineOptions, LogPiece, Payload};
use crabcache::wal::backup::{BackupStream, verify};
use crabcache::wal::files::{Call, Fault, FaultyFiles, Files, Outcome, SystemFiles, read_all};
use crabcache::wal::segment::{FileKind, HEADER_BYTES, Header};
use crabcache::wal::snapshot::{self, Host, SnapshotDone, SnapshotError, Target};
use crabcache::wal::snapshotter::{Busy, Purpose, Snapshotter, SnapshotterOptions};
use engine_ops::generate::{START_MS, Step, large_steps, steps};
use engine_ops::{run, words};
use parking_lot::Mutex;
use proptest::prelude::{ProptestConfig, proptest};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, mpsc};

type Items = BTreeMap<Vec<u8>, (Vec<u8>, Option<Time>)>;
type Records = BTreeMap<(Group, Seq), (Vec<u8>, Time)>;

fn items(engine: &Engine, now: Time) -> Items {
    let mut all = Items::new();
    for group in Group::all() {
        let mut guard = engine.lock(usize::from(group.number()) % engine.shard_count());
        let mut from = Some(0);
        while let Some(at) = from {
            from = guard.store().walk(group, at, 64, now, |key, item| {
                all.insert(key.to_vec(), (item.value.bytes().to_vec(), item.deadline));
            });
        }
    }
    all
}

fn salt() -> Salt {
    Salt::new(7).expect("not 0")
}

fn engine(shards: usize) -> Engine {
    Engine::new(&EngineOptions { shards, ..EngineOptions::default() })
}

fn recording(shards: usize) -> Engine {
    let engine = engine(shards);
    engine.open_log();
    engine.start_log();
    engine
}

/// Goes on with commands while a snapshot is written, some at each frame.
struct Busily<'a> {
    engine: &'a Engine,
    steps: std::slice::Iter<'a, Step>,
    each: usize,
    now: Cell<u64>,
    settled: usize,
    settle_fails: bool,
    stop_after: usize,
}

impl<'a> Busily<'a> {
    fn new(engine: &'a Engine, steps: &'a [Step], each: usize) -> Busily<'a> {
        let (now, stop_after) = (Cell::new(START_MS), usize::MAX);
        Busily {
            engine,
            steps: steps.iter(),
            each,
            now,
            settled: 0,
            settle_fails: false,
            stop_after,
        }
    }

    fn step(&self, step: &Step) {
        match step {
            Step::Do(words) => drop(run(self.engine, words, Time(self.now.get()))),
            Step::Wait(ms) => self.now.set(self.now.get() + ms),
            Step::Upkeep => {
                for shard in 0..self.engine.shard_count() {
                    self.engine.lock(shard).store().upkeep(Time(self.now.get()));
                }
            }
        }
    }
}

impl Host for Busily<'_> {
    fn now(&self) -> Time {
        Time(self.now.get())
    }

    fn pace(&mut self, bytes: u64) -> ControlFlow<()> {
        assert!(bytes > 0);
        for _ in 0..self.each {
            let Some(step) = self.steps.next() else { break };
            self.step(step);
        }
        self.stop_after -= 1;
        if self.stop_after == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn settle(&mut self, groups: &[(Group, Epoch, Seq)]) -> io::Result<()> {
        self.settled = groups.len();
        if self.settle_fails { Err(io::Error::other("no log")) } else { Ok(()) }
    }
}

fn write(
    files: &dyn Files,
    folder: &Path,
    host: &mut Busily<'_>,
) -> Result<SnapshotDone, SnapshotError> {
    let target = Target { files, folder, number: 7, salt: salt() };
    snapshot::write(host.engine, &target, Group::all(), host)
}

/// Reads a snapshot into `copy` as recovery does; the bases by group.
fn read(path: &Path, copy: &Engine) -> BTreeMap<Group, Seq> {
    let bytes = read_all(&SystemFiles, path).expect("a snapshot");
    let header = Header::decode_as(FileKind::Snapshot, &bytes).expect("a header");
    let mut log = LogReader::new(&bytes[HEADER_BYTES..], header.salt);
    let (mut bases, mut parts, mut last) = (BTreeMap::new(), Vec::new(), None);
    loop {
        let at = (HEADER_BYTES + log.offset()) as u64;
        let frame = match log.next_frame() {
            Ok(frame) => frame,
            Err(tail) => {
                assert_eq!((tail, at), (Tail::Clean, bytes.len() as u64));
                break;
            }
        };
        assert_eq!(last, None, "nothing follows the last frame");
        for record in frame.records() {
            let group = record.header.group;
            match record.header.kind {
                Kind::Effects => parts.push((record.payload, Time(record.header.time.0))),
                Kind::Truncate => parts.clear(),
                Kind::Base => {
                    for (payload, time) in parts.drain(..) {
                        apply(copy, group, payload, time);
                    }
                    assert!(bases.insert(group, record.header.seq).is_none(), "each group once");
                }
                Kind::Synced => {
                    let said = u64::from_le_bytes(record.payload.try_into().expect("eight"));
                    last = Some(said);
                    assert_eq!(said, at);
                }
                Kind::EpochStart | Kind::Drop => panic!("{record:?}"),
            }
        }
    }
    assert!(last.is_some() && parts.is_empty());
    bases
}

fn apply(engine: &Engine, group: Group, bytes: &[u8], now: Time) {
    engine.apply(&[Payload { group, bytes, now }], &mut Vec::new()).expect("a good payload");
}

fn take(engine: &Engine, records: &mut Records) {
    let mut pieces: Vec<LogPiece> = Vec::new();
    engine.take_log(&mut Vec::new(), &mut pieces);
    for piece in &pieces {
        for frame in 0..piece.frames() {
            let mut bytes = Vec::new();
            piece.seal(frame, salt(), |part| bytes.extend_from_slice(part));
            for record in Frame::read(&bytes, salt()).expect("a whole frame").records() {
                let place = (record.header.group, record.header.seq);
                records.insert(place, (record.payload.to_vec(), Time(record.header.time.0)));
            }
        }
    }
}

/// A snapshot taken while `during` goes on, with what the log holds behind it, is the engine; and
/// each group in it is what the log gives up to its base.
fn check(before: &[Step], during: &[Step], each: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = recording(4);
    let mut host = Busily::new(&engine, during, each);
    before.iter().for_each(|step| host.step(step));
    let done = write(&SystemFiles, dir.path(), &mut host).expect("a snapshot");
    assert_eq!((done.number, done.groups.len(), host.settled), (7, 1024, 1024));
    let path = dir.path().join(snapshot::file_name(7));
    assert_eq!(SystemFiles.list(dir.path()).expect("a folder").len(), 1);
    assert_eq!(std::fs::metadata(&path).expect("a file").len(), done.bytes);
    let copy = self::engine(1);
    let bases = read(&path, &copy);
    assert!(done.groups.iter().map(|(g, _, seq)| (*g, *seq)).eq(bases.clone()));
    let mut records = Records::new();
    take(&engine, &mut records);
    let from_log = self::engine(1);
    for ((group, seq), (payload, time)) in &records {
        if *seq <= bases[group] {
            apply(&from_log, *group, payload, *time);
        }
    }
    let now = Time(host.now.get());
    assert!(items(&copy, now) == items(&from_log, now), "at the bases");
    for ((group, seq), (payload, time)) in &records {
        if *seq > bases[group] {
            apply(&copy, *group, payload, *time);
        }
    }
    assert!(items(&copy, now) == items(&engine, now), "with the log behind it");
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn a_snapshot_and_the_log_behind_it_are_the_engine(
        before in steps(600, 2000),
        during in steps(600, 1500),
        each in 1usize..4,
    ) {
        check(&before, &during, each);
    }
}

proptest! {
    #![proptest_config(config(6))]

    #[test]
    fn so_with_large_values(before in large_steps(100, 300), during in large_steps(100, 300)) {
        check(&before, &during, 1);
    }
}

fn set_many(engine: &Engine, keys: usize) {
    for i in 0..keys {
        run(engine, &words(&format!("set key:{i} value-of-{i}")), Time(START_MS));
    }
}

/// Items of one group that take several steps of a walk and several buffers of a file, so that
/// what fails may fail in the middle of the walk.
fn set_group(engine: &Engine) {
    for i in 0..5000 {
        run(engine, &words(&format!("set {{t}}:{i} {i:01000}")), Time(START_MS));
    }
}

/// Writes more into one group than a walk of it keeps, so many times.
struct Flood<'a> {
    engine: &'a Engine,
    times: u32,
}

impl Flood<'_> {
    fn fill(&self, round: u32) {
        for i in 0..600 {
            let value = format!("{round:01000}");
            run(self.engine, &words(&format!("set {{t}}:{i} {value}")), Time(START_MS));
        }
    }
}

impl Host for Flood<'_> {
    fn now(&self) -> Time {
        Time(START_MS)
    }

    fn pace(&mut self, bytes: u64) -> ControlFlow<()> {
        // Only the group itself has frames of this length.
        if self.times > 0 && bytes > 10_000 {
            self.times -= 1;
            (0..80).for_each(|round| self.fill(round));
        }
        ControlFlow::Continue(())
    }

    fn settle(&mut self, _: &[(Group, Epoch, Seq)]) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_group_that_changes_too_fast_begins_again_and_at_last_is_given_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = recording(4);
    let mut host = Flood { engine: &engine, times: u32::MAX };
    host.fill(0);
    let target = Target { files: &SystemFiles, folder: dir.path(), number: 7, salt: salt() };
    let written = snapshot::write(&engine, &target, Group::all(), &mut host);
    assert!(matches!(written, Err(SnapshotError::Overrun(_))), "{written:?}");
    assert!(names(dir.path()).is_empty() && no_walk_is_left(&engine));
    host.times = 2;
    snapshot::write(&engine, &target, Group::all(), &mut host).expect("calm after two");
    let path = dir.path().join(snapshot::file_name(7));
    let bytes = read_all(&SystemFiles, &path).expect("a snapshot");
    let mut log = LogReader::new(&bytes[HEADER_BYTES..], salt());
    let mut truncated = 0;
    while let Ok(frame) = log.next_frame() {
        truncated += frame.records().filter(|r| r.header.kind == Kind::Truncate).count();
    }
    assert_eq!(truncated, 2);
    let copy = self::engine(1);
    read(&path, &copy);
    assert!(items(&copy, Time(START_MS)) == items(&engine, Time(START_MS)));
}

#[test]
fn a_backup_is_whole_though_groups_are_given_up_meanwhile() {
    let engine = Arc::new(recording(4));
    for i in 0..5000 {
        run(&engine, &words(&format!("SET key:{i} value")), Time(START_MS));
    }
    let given_up = |numbers: [u16; 2]| {
        numbers.iter().flat_map(|n| Group::new(*n)).for_each(|group| engine.drop_group(group));
    };
    given_up([0, 700]);
    let mut stream = BackupStream::begin(engine.clone(), salt(), Time(START_MS));
    let mut bytes = Vec::new();
    while !stream.is_finished() {
        let parts = stream.read(Time(START_MS)).expect("no group is overrun");
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        given_up([stream.groups_done(), 1023]);
    }
    drop(stream);
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, &bytes).expect("written");
    let facts = verify(file.path(), &mut |_| ()).expect("a whole backup");
    let is_left = |key: &&Vec<u8>| engine.is_whole(Slot::of(key).group());
    let left = items(&engine, Time(START_MS)).keys().filter(is_left).count() as u64;
    assert!(facts.groups == 1024 && (left..5000).contains(&facts.items), "{left}, {facts:?}");
    assert!(no_walk_is_left(&engine));
}

fn no_walk_is_left(engine: &Engine) -> bool {
    engine.walks() == 0
}

fn names(folder: &Path) -> Vec<String> {
    SystemFiles.list(folder).expect("a folder").into_iter().map(|file| file.name).collect()
}

#[test]
fn whatever_call_fails_there_is_no_snapshot_and_no_walk() {
    let engine = recording(4);
    set_many(&engine, 20_000);
    set_group(&engine);
    let mut tried = 0;
    for call in Call::ALL {
        for outcome in [Outcome::Error(libc::EIO), Outcome::Short(4096), Outcome::Torn(5000)] {
            for nth in 0.. {
                let dir = tempfile::tempdir().expect("a directory");
                let fault = Fault { call, nth, times: 1, outcome };
                let files = FaultyFiles::new(Arc::new(SystemFiles), vec![fault]);
                let written = write(&files, dir.path(), &mut Busily::new(&engine, &[], 0));
                if files.calls(call) <= nth {
                    written.expect("nothing failed");
                    break;
                }
                tried += 1;
                assert!(matches!(written, Err(SnapshotError::File(..))), "{fault:?} {written:?}");
                let left = names(dir.path());
                let dark = matches!(outcome, Outcome::Torn(_));
                // Behind a power cut nothing can be removed; with its name the file is whole.
                let is_whole =
                    |name: &String| snapshot::number_of(name).is_some() && call == Call::SyncDir;
                let harmless = |name: &String| snapshot::is_unfinished(name) || is_whole(name);
                assert!(left.is_empty() || dark && left.iter().all(harmless), "{fault:?} {left:?}");
                assert!(no_walk_is_left(&engine), "{fault:?}");
            }
        }
    }
    assert!(tried >= 6 * 3, "create, write, sync, truncate, rename, folder: {tried}");
}

#[test]
fn a_log_that_fails_and_a_stop_leave_nothing() {
    let engine = recording(4);
    set_many(&engine, 1000);
    set_group(&engine);
    let dir = tempfile::tempdir().expect("a directory");
    let mut host = Busily::new(&engine, &[], 0);
    host.settle_fails = true;
    let written = write(&SystemFiles, dir.path(), &mut host);
    assert!(matches!(written, Err(SnapshotError::Log(_))), "{written:?}");
    let paces = usize::MAX - host.stop_after;
    for stop_after in (1..=paces).step_by(8) {
        let mut host = Busily::new(&engine, &[], 0);
        host.stop_after = stop_after;
        let written = write(&SystemFiles, dir.path(), &mut host);
        assert!(matches!(written, Err(SnapshotError::Stopped)), "{written:?}");
        assert!(names(dir.path()).is_empty() && no_walk_is_left(&engine));
    }
}

/// A snapshotter, and the tables it said were saved.
fn start(
    folder: &Path,
    files: Arc<dyn Files>,
    settle: impl Fn() -> io::Result<()> + Send + Sync + 'static,
) -> (Snapshotter, Arc<Mutex<Vec<usize>>>) {
    let engine = Arc::new(recording(4));
    set_many(&engine, 1000);
    let saved: Arc<Mutex<Vec<usize>>> = Arc::default();
    let told = saved.clone();
    let options = SnapshotterOptions {
        engine,
        files,
        folder: folder.to_owned(),
        rate: 1 << 20,
        last_save_ms: Some(5_000),
        settle: Box::new(move |_| settle()),
        on_saved: Box::new(move |done| told.lock().push(done.groups.len())),
        log_number: Box::new(|| 0),
    };
    (Snapshotter::start(options).expect("a thread"), saved)
}

#[test]
fn one_at_a_time_and_only_the_newest_stays() {
    let dir = tempfile::tempdir().expect("a directory");
    let folder = dir.path().join(snapshot::FOLDER);
    std::fs::create_dir(&folder).expect("a folder");
    for name in [snapshot::file_name(41), snapshot::unfinished_name(90), "notes".into()] {
        std::fs::write(folder.join(name), b"x").expect("a file");
    }
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let wait = move || gate.lock().recv().map_err(io::Error::other);
    let (snapshotter, saved) = start(&folder, Arc::new(SystemFiles), wait);
    assert_eq!(snapshotter.status().last_save_unix, Some(5));
    snapshotter.begin(Purpose::Save).expect("idle");
    assert_eq!(snapshotter.begin(Purpose::Rewrite), Err(Busy(Purpose::Save)));
    snapshotter.schedule(Purpose::Rewrite);
    let status = snapshotter.status();
    assert_eq!(status.in_progress, Some(Purpose::Save));
    assert_eq!(status.scheduled, Some(Purpose::Rewrite));
    assert!(status.current_ms.is_some());
    go.send(()).expect("it waits");
    go.send(()).expect("it waits");
    snapshotter.wait().expect("saved");
    assert_eq!(*saved.lock(), [1024, 1024]);
    assert_eq!(names(&folder), [snapshot::file_name(43), "notes".into()]);
    let status = snapshotter.status();
    assert_eq!((status.saves, status.in_progress, status.scheduled), (2, None, None));
    assert!(status.last_save_unix > Some(5) && status.last_error.is_none());
    drop(go);
    snapshotter.save().expect_err("the log is gone");
    assert!(snapshotter.status().last_error.is_some_and(|e| e.contains("log")));
    assert_eq!(names(&folder), [snapshot::file_name(43), "notes".into()]);
    assert_eq!(saved.lock().len(), 2);
}

#[test]
fn a_snapshot_at_hand_does_not_hold_up_the_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let (snapshotter, saved) = start(dir.path(), Arc::new(SystemFiles), || Ok(()));
    snapshotter.begin(Purpose::Save).expect("idle");
    snapshotter.stop();
    assert!(saved.lock().len() <= 1);
    assert!(names(dir.path()).iter().all(|name| !snapshot::is_unfinished(name)));
}

#[test]
fn a_copy_that_could_not_be_written_is_told_as_such() {
    let (dir, group) = (tempfile::tempdir().expect("it"), Group::new(5).expect("a group"));
    let files = FaultyFiles::new(Arc::new(SystemFiles), Vec::new());
    let (snapshotter, _) = start(dir.path(), Arc::new(files.clone()), || Ok(()));
    for (call, written) in [(Call::Create, false), (Call::Sync, false), (Call::List, true)] {
        files.plan(vec![Fault { call, nth: 0, times: 99, outcome: Outcome::Short(0) }]);
        assert_eq!(snapshotter.save_copy(group).blocking_recv(), Ok(written), "{call:?}");
    }
}

#[test]
fn a_copy_is_written_while_a_snapshot_of_everything_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let folder = dir.path();
    let (snapshotter, saved) = start(folder, Arc::new(SystemFiles), || Ok(()));
    let group = |number| Group::new(number).expect("it");
    let told = [group(5), group(7)].map(|group| snapshotter.save_copy(group));
    told.into_iter().for_each(|told| assert_eq!(told.blocking_recv(), Ok(true)));
    let files = names(folder).len();
    assert!((1..=2).contains(&files), "{:?}", names(folder));
    assert!(saved.lock().is_empty(), "no log is needless by it");
    snapshotter.save().expect("saved");
    assert_eq!(names(folder), [snapshot::file_name(files as u64 + 1)], "it takes their place");
    snapshotter.stop();
    assert!(snapshotter.save_copy(group(5)).blocking_recv().is_err(), "the node ends");
}
