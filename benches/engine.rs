//! The engine alone: commands in batches as a worker executes them, without decoding and sockets.
//! One thread and two, in turns, so that what else the machine does hits both.

mod common;

use common::{Cell, Options, Preparer, Report, Table, engine};
use crabcache::cli::bench::{Distribution, KeyChooser, KeyText, Random};
use crabcache::clock;
use crabcache::command::{KeyOp, SetCondition, SetExpiry, SetOp, Value};
use crabcache::engine::{Engine, Key, ShardGuard};
use crabcache::resp::{Encoder, Output, Version};
use std::sync::{Arc, Barrier};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: u64 = 1_000_000;
const KEY_BYTES: usize = 32;
const VALUE: &[u8] = &[b'v'; 128];
const BATCH: usize = 16;
/// Requests drawn before, gone through again and again.
const DRAWS: usize = 1 << 20;
const ROUNDS: usize = 7;
const ROUND_NANOS: u64 = 1_000_000_000;
/// Batches between two looks at the clock.
const BATCHES_PER_LOOK: usize = 256;

/// Key numbers in the order they are asked for; every tenth request is a SET.
struct Requests {
    ids: Vec<u32>,
    names: Vec<u8>,
}

impl Requests {
    fn new(keys: u64, distribution: Distribution) -> Requests {
        let (chooser, mut random) = (KeyChooser::new(keys, distribution), Random::new(7));
        let mut text = KeyText::new(KEY_BYTES);
        let mut names = Vec::with_capacity(keys as usize * KEY_BYTES);
        for id in 0..keys {
            assert!(text.write(id), "the number fits the key");
            names.extend_from_slice(text.bytes());
        }
        let ids = (0..DRAWS).map(|_| chooser.next(&mut random) as u32).collect();
        Requests { ids, names }
    }

    /// Name of request `i`, and whether it is a SET.
    #[inline]
    fn get(&self, i: usize) -> (&[u8], bool) {
        let at = self.ids[i % DRAWS] as usize * KEY_BYTES;
        (&self.names[at..at + KEY_BYTES], i.is_multiple_of(10))
    }
}

fn main() {
    let options = Options::read(&[]);
    let mut report = Report::new("engine");
    let keys = options.scaled(KEYS);
    let title =
        "Engine alone, 1 M keys 32/128 B, 90 % GET, batches of 16, median of rounds (spread)";
    let columns =
        ["load", "1 thread Mop/s", "ns/op", "2 threads Mop/s", "ns/op", "two / one", "at least"];
    let mut table = Table::new(title, &columns);
    for (name, distribution, bound) in [
        ("Zipf 0.99", Distribution::Zipf(0.99), false),
        ("Zipf 0.99, accesses counted", Distribution::Zipf(0.99), true),
        ("uniform", Distribution::Uniform, false),
    ] {
        if options.wants(name) {
            let max_memory = bound.then_some(keys * (KEY_BYTES + VALUE.len() + 16) as u64 * 4 / 3);
            table.row(measure(name, keys, distribution, max_memory, &options));
        }
    }
    report.table(table);
    report.remark("A thread draws its requests from a list and hashes, executes and encodes them.");
    report.print(options.json);
}

fn measure(
    name: &str,
    keys: u64,
    distribution: Distribution,
    max_memory: Option<u64>,
    options: &Options,
) -> Vec<Cell> {
    let requests = Requests::new(keys, distribution);
    let engine = Arc::new(engine(max_memory));
    let _preparer = Preparer::start(&engine);
    fill(&engine, &requests, keys);
    let nanos = if options.quick { ROUND_NANOS / 5 } else { ROUND_NANOS };
    run(&engine, &requests, 2, nanos / 4);
    let (mut one, mut two, mut ratio) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let rates = [1, 2].map(|threads| run(&engine, &requests, threads, nanos));
        one.push(rates[0]);
        two.push(rates[1]);
        ratio.push(rates[1] / rates[0]);
    }
    let rates = |rates: &[f64]| Cell::text(spread(rates, 2));
    vec![
        Cell::text(name),
        rates(&one),
        Cell::Number(1e3 / median(&one), 1),
        rates(&two),
        Cell::Number(2e3 / median(&two), 1),
        Cell::text(spread(&ratio, 3)),
        Cell::Number(1.8, 1),
    ]
}

fn fill(engine: &Engine, requests: &Requests, keys: u64) {
    let mut out = Output::new();
    for id in 0..keys as usize {
        let name = &requests.names[id * KEY_BYTES..(id + 1) * KEY_BYTES];
        let key = engine.key(name);
        let mut answer = Encoder::new(&mut out, Version::Resp2);
        engine.lock(engine.shard_of(&key)).execute(&key, &SET, clock::now(), &mut answer);
        out.clear();
    }
}

const SET: KeyOp<'static> = KeyOp::Set(SetOp {
    value: Value::Slice(VALUE),
    condition: SetCondition::Always,
    get: false,
    expiry: SetExpiry::Clear,
});

/// Operations in a microsecond, all threads together.
fn run(engine: &Engine, requests: &Requests, threads: usize, nanos: u64) -> f64 {
    let barrier = Barrier::new(threads);
    std::thread::scope(|scope| {
        let start = |index: usize| {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                work(engine, requests, index * DRAWS / 2, nanos)
            })
        };
        let threads: Vec<_> = (0..threads).map(start).collect();
        threads.into_iter().map(|t| t.join().expect("a thread ends")).sum()
    })
}

fn work(engine: &Engine, requests: &Requests, from: usize, nanos: u64) -> f64 {
    let mut out = Output::new();
    let (mut at, mut operations) = (from, 0);
    let began = clock::monotonic_nanos();
    loop {
        for _ in 0..BATCHES_PER_LOOK {
            batch(engine, requests, at, &mut out);
            at += BATCH;
            operations += BATCH;
        }
        let took = clock::monotonic_nanos() - began;
        if took >= nanos {
            return operations as f64 * 1e3 / took as f64;
        }
    }
}

/// What `worker::execute` does with a batch: plans all, then executes in order, keeping a lock
/// as long as the next command is on the same shard.
#[inline]
fn batch(engine: &Engine, requests: &Requests, at: usize, out: &mut Output) {
    let now = clock::now();
    let plans: [(Key<'_>, usize, bool); BATCH] = std::array::from_fn(|i| {
        let (name, is_set) = requests.get(at + i);
        let key = engine.key(name);
        let shard = engine.shard_of(&key);
        (key, shard, is_set)
    });
    let mut held: Option<(usize, ShardGuard<'_>)> = None;
    for (key, shard, is_set) in &plans {
        let locked = match &mut held {
            Some((holding, guard)) if holding == shard => guard,
            other => {
                *other = None;
                &mut other.insert((*shard, engine.lock(*shard))).1
            }
        };
        let mut answer = Encoder::new(out, Version::Resp2);
        let op = if *is_set { &SET } else { &KeyOp::Get };
        locked.execute(key, op, now, &mut answer);
    }
    drop(held);
    std::hint::black_box(out.len());
    out.clear();
}

/// The middle of some numbers.
fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// The middle, and how far the others reach.
fn spread(numbers: &[f64], decimals: usize) -> String {
    let min = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let max = numbers.iter().copied().fold(0.0, f64::max);
    let middle = median(numbers);
    format!("{middle:.decimals$} ({min:.decimals$}–{max:.decimals$})")
}
