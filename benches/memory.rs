//! Bytes per key in resident memory, after a fresh fill and after a refill with another size, and
//! how well `max_memory` holds while filling at full speed. Each case in a process of its own.

mod common;

use common::{
    Cell, EPOCH, Options, Preparer, Report, Table, UpkeepPace, engine, resident_bytes, upkeep_step,
};
use crabcache::cli::bench::{KeyText, Random};
use crabcache::clock;
use crabcache::command::{Time, Value};
use crabcache::engine::Engine;
use crabcache::limits::{REBALANCE_MS, SHARED_VALUE_BYTES_MIN};
use serde::{Deserialize, Serialize};
use std::process::{Command, Stdio};
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Simulated commands in a millisecond.
const OPERATIONS_PER_MS: u64 = 1000;
/// Commands between two looks at the timer of upkeep.
const OPERATIONS_PER_BATCH: u64 = 64;
/// The bound of the cases that try to exceed it.
const BOUND_BYTES: u64 = 512 * 1024 * 1024;
/// Bytes written between two readings of resident memory.
const BYTES_PER_READING: u64 = 256 * 1024;
const TTL_MS: u64 = 100_000_000;

/// Whether a bound is set in a case of filling.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Bound {
    /// None.
    None,
    /// Four times what is needed: nothing is counted for the policy.
    Far,
    /// A third more than what is needed: the policy counts accesses.
    Near,
}

/// What a process of its own measures.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Case {
    /// `keys` keys written once.
    Fill { keys: u64, key: usize, value: usize, ttl: bool, bound: Bound },
    /// `keys` keys of 16/32 B, half of them deleted and written again with values of `value`.
    Refill { keys: u64, value: usize, bound: Bound },
    /// The same items as after `Refill`, written once.
    Same { keys: u64, value: usize, bound: Bound },
    /// `times` times the bound written by two threads, values of `min` to `max` bytes.
    Exceed { times: u64, min: u64, max: u64, ttl: bool },
}

/// What it found.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Found {
    /// Resident bytes beyond those of the empty engine, at the end or at most.
    bytes: u64,
    /// Items at the end.
    items: u64,
    /// Bytes the engine itself counts.
    counted: u64,
    evictions: u64,
}

fn main() {
    let options = Options::read(&["--case"]);
    if let Some(case) = options.value("--case") {
        let case: Case = serde_json::from_str(case).expect("a case of ours");
        println!("{}", serde_json::to_string(&case.run()).expect("numbers"));
        return;
    }
    let mut report = Report::new("memory");
    if options.wants("fresh") {
        fills(&options, &mut report);
    }
    if options.wants("refill") {
        refills(&options, &mut report);
    }
    if options.wants("bound") {
        bounds(&options, &mut report);
    }
    report.print(options.json);
}

/// Runs a case in a fresh process.
fn measure(case: Case) -> Found {
    let program = std::env::current_exe().expect("the name of this program");
    let case = serde_json::to_string(&case).expect("a case");
    let mut command = Command::new(program);
    command.args(["--case", &case]).stderr(Stdio::inherit());
    let output = command.output().expect("this program starts");
    assert!(output.status.success(), "{case}: {}", output.status);
    serde_json::from_slice(&output.stdout).expect("what it found")
}

fn fills(options: &Options, report: &mut Report) {
    let title = "Fresh fill: resident bytes per key beyond key and value";
    let columns = ["case", "7 M", "10 M", "14 M", "20 M", "mean", "at most"];
    let mut table = Table::new(title, &columns);
    for (bound, ttl, at_most) in [
        (Bound::None, false, 16.0),
        (Bound::None, true, 20.0),
        (Bound::Far, false, 22.0),
        (Bound::Far, true, 26.0),
        (Bound::Near, false, 22.0),
        (Bound::Near, true, 26.0),
    ] {
        let over = |millions: u64| {
            let keys = options.scaled(millions * 1_000_000);
            let found = measure(Case::Fill { keys, key: 16, value: 32, ttl, bound });
            assert_eq!((found.items, found.evictions), (keys, 0), "nothing had to go");
            found.bytes as f64 / keys as f64 - 48.0
        };
        let over = [7, 10, 14, 20].map(over);
        let name = format!("16/32 B{}{}", if ttl { ", TTL" } else { "" }, bound.name());
        let mut row = vec![Cell::text(name)];
        row.extend(over.map(|o| Cell::Number(o, 2)));
        row.extend([Cell::Number(over.iter().sum::<f64>() / 4.0, 2), Cell::Number(at_most, 0)]);
        table.row(row);
    }
    let keys = options.scaled(10_000_000);
    let case = Case::Fill { keys, key: 24, value: 128, ttl: false, bound: Bound::None };
    let over = Cell::Number(measure(case).bytes as f64 / keys as f64 - 152.0, 2);
    let empty = Cell::Empty;
    let name = Cell::text("24/128 B");
    table.row(vec![name, empty.clone(), over.clone(), empty.clone(), empty, over, Cell::count(22)]);
    report.table(table);
}

fn refills(options: &Options, report: &mut Report) {
    let title = "10 M keys 16/32 B, half deleted at random and written with other values";
    let columns = ["values", "bound", "bytes per key", "fresh fill", "ratio", "at most"];
    let mut table = Table::new(title, &columns);
    let keys = options.scaled(10_000_000);
    let cases = [8, 24, 40, 64, 200].map(|value| (value, Bound::None));
    for (value, bound) in cases.into_iter().chain([(64, Bound::Near)]) {
        let refilled = measure(Case::Refill { keys, value, bound });
        let fresh = measure(Case::Same { keys, value, bound });
        assert_eq!((refilled.items, fresh.items), (keys, keys));
        table.row(vec![
            Cell::text(format!("{value} B")),
            Cell::text(bound.name().trim_start_matches(", ")),
            Cell::Number(refilled.bytes as f64 / keys as f64, 2),
            Cell::Number(fresh.bytes as f64 / keys as f64, 2),
            Cell::Number(refilled.bytes as f64 / fresh.bytes as f64, 3),
            Cell::Number(1.15, 2),
        ]);
    }
    report.table(table);
}

fn bounds(options: &Options, report: &mut Report) {
    let title = "max_memory = 512 MiB, two threads write as fast as they can";
    let columns = ["values", "most resident / bound", "counted / bound", "evicted", "at most"];
    let mut table = Table::new(title, &columns);
    let kib = 1024;
    for (name, min, max, ttl) in [
        ("32 B", 32, 32, false),
        ("32 B, TTLs of 1 s to 1 h", 32, 32, true),
        ("16 B to 16 KiB", 16, 16 * kib - 1, false),
        ("16 B to 1 MiB", 16, 1024 * kib, false),
        ("16 B to 1 MiB, TTLs of 1 s to 1 h", 16, 1024 * kib, true),
        ("16 KiB to 64 KiB", 16 * kib, 64 * kib, false),
        ("64 KiB to 1 MiB", 64 * kib, 1024 * kib, false),
        ("1 MiB", 1024 * kib, 1024 * kib, false),
    ] {
        let times = if options.quick { 2 } else { 4 };
        let found = measure(Case::Exceed { times, min, max, ttl });
        table.row(vec![
            Cell::text(name),
            Cell::Number(found.bytes as f64 / BOUND_BYTES as f64, 4),
            Cell::Number(found.counted as f64 / BOUND_BYTES as f64, 4),
            Cell::count(found.evictions),
            Cell::Number(1.03, 2),
        ]);
    }
    report.table(table);
}

impl Bound {
    fn name(self) -> &'static str {
        match self {
            Bound::None => "",
            Bound::Far => ", bound far",
            Bound::Near => ", bound near",
        }
    }

    fn max_memory(self, needed: u64) -> Option<u64> {
        match self {
            Bound::None => None,
            Bound::Far => Some(4 * needed),
            Bound::Near => Some(needed / 3 * 4),
        }
    }
}

impl Case {
    fn run(self) -> Found {
        match self {
            Case::Fill { keys, key, value, ttl, bound } => {
                let needed = keys * (key + value + if ttl { 19 } else { 14 }) as u64;
                let mut world = World::new(bound.max_memory(needed), key);
                let ttl_ms = ttl.then_some(TTL_MS);
                (0..keys).for_each(|id| world.set(id, value, ttl_ms));
                world.found()
            }
            Case::Refill { keys, value, bound } => {
                let mut world = World::new(bound.max_memory(needed_refilled(keys, value)), 16);
                (0..keys).for_each(|id| world.set(id, 32, None));
                (0..keys).filter(|&id| is_chosen(id)).for_each(|id| world.remove(id));
                (0..keys).filter(|&id| is_chosen(id)).for_each(|id| world.set(id, value, None));
                world.found()
            }
            Case::Same { keys, value, bound } => {
                let mut world = World::new(bound.max_memory(needed_refilled(keys, value)), 16);
                let size = |id| if is_chosen(id) { value } else { 32 };
                (0..keys).for_each(|id| world.set(id, size(id), None));
                world.found()
            }
            Case::Exceed { times, min, max, ttl } => exceed(times * BOUND_BYTES, min, max, ttl),
        }
    }
}

/// Room for either half with either size.
fn needed_refilled(keys: u64, value: usize) -> u64 {
    keys * (16 + 14 + value.max(32)) as u64
}

/// Half of all keys.
fn is_chosen(id: u64) -> bool {
    Random::new(id).draw() & 1 == 0
}

/// An engine with one thread that works on it, in simulated time.
struct World {
    engine: Arc<Engine>,
    _preparer: Preparer,
    pace: UpkeepPace,
    key: KeyText,
    value: Vec<u8>,
    operations: u64,
    base: u64,
}

impl World {
    fn new(max_memory: Option<u64>, key_bytes: usize) -> World {
        let engine = Arc::new(engine(max_memory));
        let pace = UpkeepPace::new(&engine, 0, 1);
        let (key, value) = (KeyText::new(key_bytes), vec![b'v'; 1024]);
        let base = resident_bytes();
        let preparer = Preparer::start(&engine);
        World { engine, _preparer: preparer, pace, key, value, operations: 0, base }
    }

    fn now(&self) -> Time {
        Time(EPOCH.0 + self.operations / OPERATIONS_PER_MS)
    }

    fn set(&mut self, id: u64, bytes: usize, ttl_ms: Option<u64>) {
        self.upkeep();
        let now = self.now();
        assert!(self.key.write(id), "the number fits the key");
        let key = self.engine.key(self.key.bytes());
        let mut shard = self.engine.lock(self.engine.shard_of(&key));
        let deadline = ttl_ms.map(|ttl| Time(now.0 + ttl));
        let value = Value::Slice(&self.value[..bytes]);
        shard.store().set(&key, value, deadline, now).expect("room");
    }

    fn remove(&mut self, id: u64) {
        self.upkeep();
        assert!(self.key.write(id), "the number fits the key");
        let key = self.engine.key(self.key.bytes());
        let now = self.now();
        let removed = self.engine.lock(self.engine.shard_of(&key)).store().remove(&key, now);
        assert!(removed, "it was there");
    }

    /// Counts an operation; between batches, does what a worker does.
    fn upkeep(&mut self) {
        self.operations += 1;
        let now = self.now();
        if self.operations.is_multiple_of(OPERATIONS_PER_BATCH) {
            self.pace.poll(now, |shard| upkeep_step(&self.engine, shard, now));
        }
        if self.operations.is_multiple_of(OPERATIONS_PER_MS * REBALANCE_MS) {
            self.engine.rebalance();
        }
    }

    /// What is there after two and a half quiet seconds.
    fn found(mut self) -> Found {
        for _ in 0..2_500 * OPERATIONS_PER_MS / OPERATIONS_PER_BATCH {
            self.operations += OPERATIONS_PER_BATCH;
            let now = self.now();
            self.pace.poll(now, |shard| upkeep_step(&self.engine, shard, now));
        }
        found(&self.engine, resident_bytes().saturating_sub(self.base))
    }
}

fn found(engine: &Engine, bytes: u64) -> Found {
    Found {
        bytes,
        items: common::sum(engine, |s| s.items),
        counted: common::sum(engine, |s| s.used_bytes),
        evictions: common::sum(engine, |s| s.evictions),
    }
}

/// Two threads write `bytes` with values of `min` to `max`, evenly in the logarithm, and look at
/// the resident memory all the while.
fn exceed(bytes: u64, min: u64, max: u64, ttl: bool) -> Found {
    let engine = Arc::new(engine(Some(BOUND_BYTES)));
    let base = resident_bytes();
    let _preparer = Preparer::start(&engine);
    let most = std::thread::scope(|scope| {
        let thread = |index| {
            let engine = &engine;
            scope.spawn(move || {
                let mut writer = Writer::new(engine, index, min, max, ttl);
                writer.write(bytes / 2)
            })
        };
        let threads = [0, 1].map(thread);
        threads.map(|t| t.join().expect("a thread ends")).into_iter().max()
    });
    found(&engine, most.unwrap_or_default().saturating_sub(base))
}

/// One of two threads that fill an engine at full speed.
struct Writer<'a> {
    engine: &'a Engine,
    index: usize,
    pace: UpkeepPace,
    random: Random,
    min: u64,
    max: u64,
    ttl: bool,
}

impl Writer<'_> {
    fn new(engine: &Engine, index: usize, min: u64, max: u64, ttl: bool) -> Writer<'_> {
        let (pace, random) = (UpkeepPace::new(engine, index, 2), Random::new(index as u64));
        Writer { engine, index, pace, random, min, max, ttl }
    }

    /// Writes so many bytes. The most that was resident meanwhile.
    fn write(&mut self, bytes: u64) -> u64 {
        let (mut written, mut read, mut most, mut rebalanced) = (0, 0, 0, 0);
        let mut key = KeyText::new(16);
        let small = vec![b'v'; SHARED_VALUE_BYTES_MIN];
        let mut id = self.index as u64;
        while written < bytes {
            let now = clock::now();
            for _ in 0..16 {
                let len = self.log_uniform(self.min, self.max) as usize;
                assert!(key.write(id), "the number fits the key");
                self.set(key.bytes(), len, &small, now);
                id += 2;
                written += (len + 16) as u64;
                if written >= read + BYTES_PER_READING {
                    read = written;
                    most = most.max(resident_bytes());
                }
            }
            self.pace.poll(now, |shard| upkeep_step(self.engine, shard, now));
            if self.index == 0 && now.0 >= rebalanced + REBALANCE_MS {
                rebalanced = now.0;
                self.engine.rebalance();
            }
        }
        most
    }

    fn set(&mut self, name: &[u8], len: usize, small: &[u8], now: Time) {
        let ttl_ms = self.ttl.then(|| self.log_uniform(1000, 3_600_000));
        let deadline = ttl_ms.map(|ttl| Time(now.0 + ttl));
        let key = self.engine.key(name);
        // As the server does: a large value arrives in a buffer of the engine's.
        let big = (len >= SHARED_VALUE_BYTES_MIN).then(|| {
            let mut buffer = self.engine.buffer(len).expect("memory");
            buffer.fill(b'v');
            buffer.freeze()
        });
        let value = match &big {
            Some(bytes) => Value::Shared(bytes),
            None => Value::Slice(&small[..len]),
        };
        let mut shard = self.engine.lock(self.engine.shard_of(&key));
        shard.store().set(&key, value, deadline, now).expect("something can be evicted");
    }

    fn log_uniform(&mut self, min: u64, max: u64) -> u64 {
        let ratio = max as f64 / min as f64;
        (min as f64 * ratio.powf(self.random.unit())).round() as u64
    }
}
