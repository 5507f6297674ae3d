//! scratch
use crabcache::command::{Time, Value};
use crabcache::engine::{Engine, EngineOptions, Policy};
use std::collections::HashMap;
fn main() {
    let dir = "/tmp/crab/tr/";
    let filter = std::env::args().skip(1).find(|a| !a.starts_with("--")).unwrap_or_default();
    let csv = std::fs::read_to_string("/work/shared/traces/hit_ratios.csv").expect("csv");
    let mut cache: HashMap<String, Vec<u32>> = HashMap::new();
    let mut jobs = vec![];
    for line in csv.lines().skip(1) {
        let f: Vec<&str> = line.split(',').collect();
        if f[1] != "obj" || !f[0].contains(&filter) || f[0].starts_with("zipf") {
            continue;
        }
        let size: u64 = f[2].parse().expect("size");
        if size < 200 {
            continue;
        }
        let name = f[0].to_string();
        cache.entry(name.clone()).or_insert_with(|| {
            let b = std::fs::read(format!("{dir}{name}.ids")).expect("ids");
            b.chunks_exact(4).map(|c| u32::from_le_bytes(c.try_into().expect("whole"))).collect()
        });
        let g = |i: usize| f[i].parse::<f64>().unwrap_or(f64::NAN);
        jobs.push((name, size, g(5), g(12), g(16), g(17)));
    }
    print(&jobs, &run_all(&jobs, &cache));
}
type Job = (String, u64, f64, f64, f64, f64);
fn run_all(jobs: &[Job], cache: &HashMap<String, Vec<u32>>) -> Vec<(usize, f64)> {
    let results: std::sync::Mutex<Vec<(usize, f64)>> = Default::default();
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                loop {
                    let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if i >= jobs.len() {
                        break;
                    }
                    let r = run(&cache[&jobs[i].0], jobs[i].1);
                    results.lock().expect("whole").push((i, r));
                }
            });
        }
    });
    let mut res = results.into_inner().expect("whole");
    res.sort_by_key(|x| x.0);
    res
}
fn print(jobs: &[Job], res: &[(usize, f64)]) {
    let (mut n, mut sum, mut sumref) = (0, 0.0, 0.0);
    let mut worst: f64 = 9.0;
    let mut worstl: f64 = 9.0;
    for &(i, r) in res {
        let (name, size, lru, s3, slru, clock) = &jobs[i];
        let lirs = name.starts_with("lirs");
        if !lirs {
            n += 1;
            sum += r - s3;
            sumref += clock - s3;
            worst = worst.min(r - lru);
        }
        if std::env::var("V").is_ok() {
            println!(
                "{name:28} {size:8} ours {:6.2} lru {:6.2} s3 {:6.2} slru {:6.2} \
                 clock {:6.2}  d_s3 {:+6.2} d_lru {:+6.2} d_clock {:+6.2}{}",
                r * 100.,
                lru * 100.,
                s3 * 100.,
                slru * 100.,
                clock * 100.,
                (r - s3) * 100.,
                (r - lru) * 100.,
                (r - clock) * 100.,
                if r - lru < if lirs { -0.05 } else { -0.01 } { " !!" } else { "" }
            );
        }
        if lirs && r - lru < worstl {
            worstl = r - lru;
        }
    }
    println!("lirs worst {:+.2}", worstl * 100.);
    println!(
        "mean over {n}: {:+.3} (reference clock {:+.3}), worst against LRU {:+.2}",
        sum / n as f64 * 100.,
        sumref / n as f64 * 100.,
        worst * 100.
    );
}
fn run(ids: &[u32], size: u64) -> f64 {
    let shards = if size < 50_000 { 1 } else { 16 };
    let engine = Engine::new(&EngineOptions {
        shards,
        hash_seed: 1,
        max_memory: None,
        max_items: Some(size),
        policy: Policy::TinyLfu,
    });
    let mut hits = 0u64;
    for id in ids {
        let name = id.to_le_bytes();
        let key = engine.key(&name);
        let mut shard = engine.lock(engine.shard_of(&key));
        let store = shard.store();
        if store.get(&key, Time(1)).is_some() {
            hits += 1;
        } else {
            let _ = store.set(&key, Value::Slice(b""), None, Time(1));
        }
    }
    hits as f64 / ids.len() as f64
}
