//! Hit ratios of real traces in the real engine, beside what other policies reach at the same
//! cache sizes (`hit_ratios.csv` in the folder of traces).

mod common;

use common::{Cell, Options, Report, Table};
use crabcache::cli::bench::{Access, Trace};
use crabcache::command::{Time, Value};
use crabcache::engine::{Engine, EngineOptions, Policy};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TRACES_VARIABLE: &str = "CRABCACHE_TRACES";
const TRACES_DEFAULT: &str = "traces";
/// Smaller caches say little.
const OBJECTS_MIN: u64 = 200;
/// Below this one shard, as `memory.shards = 1` gives.
const SHARDED_FROM: u64 = 50_000;
/// Bounds in bytes below this are too small for blocks of 64 KiB.
const BYTES_MIN: u64 = 16 * 1024 * 1024;
const THREADS: usize = 2;

/// A cell of the reference table.
struct Reference {
    trace: String,
    in_bytes: bool,
    /// The reference counts hits of bytes; all others count hits of objects.
    of_bytes: bool,
    size: u64,
    columns: HashMap<String, f64>,
}

/// Hits and requests, counted and in bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Hits {
    objects: f64,
    bytes: f64,
    /// Bytes of memory per live item beyond key and value, at the end.
    overhead: f64,
}

fn main() {
    let options = Options::read(&["--traces"]);
    let named = options.value("--traces").map(str::to_owned);
    let dir = named.or_else(|| std::env::var(TRACES_VARIABLE).ok());
    let dir = PathBuf::from(dir.unwrap_or_else(|| TRACES_DEFAULT.to_owned()));
    let Ok(text) = std::fs::read_to_string(dir.join("hit_ratios.csv")) else {
        println!("not run: no traces at {} (--traces DIR or {TRACES_VARIABLE})", dir.display());
        return;
    };
    let mut references = references(&text);
    references.retain(|r| options.wants(&r.trace) && file_of(&dir, &r.trace).is_some());
    let traces = load(&dir, &references);
    let mut report = Report::new("hit_ratio");
    objects(&references, &traces, &mut report);
    in_bytes(&references, &traces, &mut report);
    report.print(options.json);
}

fn references(text: &str) -> Vec<Reference> {
    // Two names of columns have a comma in them, inside quotes.
    let header = text.lines().next().unwrap_or_default().replace("ghost,", "ghost ");
    let names: Vec<&str> = header.split(',').map(|name| name.trim_matches('"')).collect();
    let reference = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let numbers = names.iter().zip(&fields).skip(4);
        let columns = numbers.filter_map(|(name, n)| Some(((*name).to_owned(), n.parse().ok()?)));
        Some(Reference {
            trace: fields[0].to_owned(),
            in_bytes: fields[1] == "byte",
            of_bytes: fields[3] == "byte",
            size: fields[2].parse().ok()?,
            columns: columns.collect(),
        })
    };
    text.lines().skip(1).filter_map(reference).collect()
}

impl Reference {
    fn get(&self, column: &str) -> f64 {
        self.columns.get(column).copied().unwrap_or(f64::NAN)
    }

    fn is_lirs(&self) -> bool {
        self.trace.starts_with("lirs-")
    }
}

/// Where the trace of this name is, if it is there.
fn file_of(dir: &Path, name: &str) -> Option<PathBuf> {
    let (folder, stem) = match name.split_once('-')? {
        ("lirs", stem) => ("lirs", stem.to_owned()),
        ("arc", stem) => ("arc", stem.to_owned()),
        ("cache2k", stem) => ("cache2k", stem.to_owned()),
        ("cloudphysics", stem) => ("block", stem.to_owned()),
        ("adaptsize", _) => ("sized", name.to_owned()),
        ("libcachesim", _) => ("sized", "cloudPhysicsIO".to_owned()),
        ("tencent", stem) => ("sized", format!("tencentBlock.{stem}")),
        _ => return None,
    };
    let files = std::fs::read_dir(dir.join(folder)).ok()?;
    let mut paths = files.flatten().map(|file| file.path());
    paths.find(|path| {
        let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
        file.strip_prefix(stem.as_str()).is_some_and(|rest| rest.starts_with('.'))
    })
}

fn load(dir: &Path, references: &[Reference]) -> HashMap<String, Vec<Access>> {
    let mut traces = HashMap::new();
    for reference in references {
        if traces.contains_key(&reference.trace) {
            continue;
        }
        let Some(path) = file_of(dir, &reference.trace) else { continue };
        let trace = Trace::open(&path, None).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        match trace {
            Ok(accesses) => traces.insert(reference.trace.clone(), accesses),
            Err(error) => {
                eprintln!("{error}");
                std::process::exit(1);
            }
        };
    }
    traces
}

/// Runs each cell, two at a time; the results in order.
fn run_all<'a>(cells: &[&'a Reference], run: impl Fn(&'a Reference) -> Hits + Sync) -> Vec<Hits> {
    let results = Mutex::new(vec![Hits::default(); cells.len()]);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let hits = run(cell);
                    let at = cells.iter().position(|c| std::ptr::eq(*c, *cell)).unwrap_or(0);
                    results.lock().expect("no thread panicked")[at] = hits;
                }
            });
        }
    });
    results.into_inner().expect("no thread panicked")
}

fn objects(references: &[Reference], traces: &HashMap<String, Vec<Access>>, report: &mut Report) {
    let counts = |r: &&Reference| !r.in_bytes && r.size >= OBJECTS_MIN;
    let cells: Vec<&Reference> = references.iter().filter(counts).collect();
    if cells.is_empty() {
        return;
    }
    let found = run_all(&cells, |r| replay(&traces[&r.trace], None, Some(r.size)));
    let title = "Object hit ratios in percent, fixed-size values, max_items";
    let columns = [
        "trace",
        "items",
        "ours",
        "LRU",
        "S3-FIFO",
        "adaptive+ghost CLOCK",
        "ours - LRU",
        "ours - S3-FIFO",
        "ours - CLOCK",
    ];
    let mut table = Table::new(title, &columns);
    let (mut over_s3, mut clock_over_s3, mut count) = (0.0, 0.0, 0.0);
    let (mut worst, mut worst_lirs) = (f64::INFINITY, f64::INFINITY);
    for (reference, hits) in cells.iter().zip(found) {
        let percent = |name: &str| reference.get(name) * 100.0;
        let ours = hits.objects * 100.0;
        let (lru, s3, clock) =
            (percent("LRU"), percent("S3-FIFO"), percent("adaptive+ghost CLOCK"));
        if reference.is_lirs() {
            worst_lirs = worst_lirs.min(ours - lru);
        } else {
            worst = worst.min(ours - lru);
            over_s3 += ours - s3;
            clock_over_s3 += clock - s3;
            count += 1.0;
        }
        let mut row = vec![Cell::text(&reference.trace), Cell::count(reference.size)];
        row.extend([ours, lru, s3, clock].map(|n| Cell::Number(n, 2)));
        row.extend([lru, s3, clock].map(|n| Cell::Signed(ours - n, 2)));
        table.row(row);
    }
    report.table(table);
    report.remark(format!(
        "Mean over the {count} cells without lirs-*: {:+.3} points against S3-FIFO (at least \
         +0.3; the simulated CLOCK {:+.3}).",
        over_s3 / count,
        clock_over_s3 / count
    ));
    report.remark(format!("Worst of them against LRU: {worst:+.2} points (at least -1)."));
    report.remark(format!("Worst of lirs-* against LRU: {worst_lirs:+.2} points (at least -5)."));
}

fn in_bytes(references: &[Reference], traces: &HashMap<String, Vec<Access>>, report: &mut Report) {
    let counts = |r: &&Reference| r.in_bytes && r.size >= BYTES_MIN;
    let cells: Vec<&Reference> = references.iter().filter(counts).collect();
    if cells.is_empty() {
        return;
    }
    let found = run_all(&cells, |r| replay(&traces[&r.trace], Some(r.size), None));
    let title = "Hit ratios in percent, sizes of the trace, max_memory";
    let columns = [
        "trace",
        "MiB",
        "hits of",
        "ours",
        "LRU",
        "S3-FIFO",
        "GDSF",
        "ours - LRU",
        "ours - S3-FIFO",
        "bytes per item beyond key and value",
    ];
    let mut table = Table::new(title, &columns);
    for (reference, hits) in cells.iter().zip(found) {
        let percent = |name: &str| reference.get(name) * 100.0;
        let ours = 100.0 * if reference.of_bytes { hits.bytes } else { hits.objects };
        let (lru, s3) = (percent("LRU"), percent("S3-FIFO"));
        let mut row = vec![
            Cell::text(&reference.trace),
            Cell::Number(reference.size as f64 / 1024.0 / 1024.0, 1),
            Cell::text(if reference.of_bytes { "bytes" } else { "objects" }),
        ];
        row.extend([ours, lru, s3, percent("GDSF")].map(|n| Cell::Number(n, 2)));
        row.extend([lru, s3].map(|n| Cell::Signed(ours - n, 2)));
        row.push(Cell::Number(hits.overhead, 1));
        table.row(row);
    }
    report.table(table);
    report.remark(
        "The references count the sizes of the trace alone; ours must fit keys, index and \
         policy into the same bytes.",
    );
}

/// The trace as cache-aside traffic: a GET, and on a miss a SET.
fn replay(trace: &[Access], max_memory: Option<u64>, max_items: Option<u64>) -> Hits {
    let sharded = max_items.is_some_and(|items| items >= SHARDED_FROM);
    let engine = Engine::new(&EngineOptions {
        shards: if sharded { common::SHARDS } else { 1 },
        hash_seed: 1,
        max_memory,
        max_items,
        policy: Policy::TinyLfu,
    });
    let largest = trace.iter().filter_map(|a| a.size).max().unwrap_or(0);
    let value = vec![b'v'; if max_memory.is_some() { largest as usize } else { 0 }];
    let (mut hits, mut hit_bytes, mut all_bytes) = (0u64, 0u64, 0u64);
    for access in trace {
        let mut name = [0; 12];
        name[..8].copy_from_slice(&access.id.to_le_bytes());
        name[8..].copy_from_slice(&(access.tag.unwrap_or(0) as u32).to_le_bytes());
        let size = access.size.unwrap_or(0);
        all_bytes += size;
        let key = engine.key(&name);
        let mut shard = engine.lock(engine.shard_of(&key));
        if shard.store().get(&key, Time(1)).is_some() {
            hits += 1;
            hit_bytes += size;
            continue;
        }
        let len = if max_memory.is_some() { size as usize } else { 0 };
        // Without room the object stays uncached, as in the simulators.
        let _ = shard.store().set(&key, Value::Slice(&value[..len]), None, Time(1));
    }
    let [used, live, items] = [
        common::sum(&engine, |s| s.used_bytes),
        common::sum(&engine, |s| s.live_bytes),
        common::sum(&engine, |s| s.items),
    ];
    // Live bytes of an item in a segment are its key, its value and at least three bytes.
    let overhead = (used as f64 - live as f64) / items.max(1) as f64 + 3.0;
    Hits {
        objects: hits as f64 / trace.len() as f64,
        bytes: hit_bytes as f64 / all_bytes.max(1) as f64,
        overhead,
    }
}
