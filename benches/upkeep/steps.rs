//! Thread time of each write and each step of upkeep, at ten million keys: while the index grows,
//! while deleted items are cleaned away, at the bound, and at a million expiries in a second.

use crate::common::{Cell, Options, Report, Table};
use crate::world::{ITEM_BYTES, LONG_NANOS, Steps, World};
use crabcache::command::reply::ReplyBuilder;
use crabcache::command::{Command, SpaceOp};
use crabcache::engine::Policy;

const KEYS: u64 = 10_000_000;
/// Writes in a simulated millisecond, and looks at the timer of upkeep.
const WRITES_PER_MS: u64 = 1000;
const POLLS_PER_MS: u64 = 16;
/// Bounds of the columns, powers of two of nanoseconds.
const BOUNDS: [u32; 5] = [10, 14, 16, 18, LONG_NANOS.ilog2()];
/// Shares of the steps, of which the table tells how long the longest took.
const SHARES: [f64; 3] = [0.5, 0.99, 0.9999];

pub(crate) fn measure(options: &Options, report: &mut Report) {
    let keys = options.scaled(KEYS);
    let columns = [
        "while",
        "step",
        "count",
        "< 1 µs",
        "< 16 µs",
        "< 66 µs",
        "< 262 µs",
        "< 1.05 ms",
        "longer",
        "with a fault",
        "with a block",
        "p50 µs",
        "p99 µs",
        "p99.99 µs",
        "max µs",
        "over 2 ms",
    ];
    let mut table = Table::new("Thread CPU time of single steps, 10 M keys 16/32 B", &columns);
    nothing(&mut table, keys);
    if options.wants("steps-growth") {
        let mut world = grow(&mut table, keys);
        clean(&mut table, &mut world, keys);
        flush(&mut table, &mut world);
    }
    if options.wants("steps-evict") {
        evict(&mut table, Policy::TinyLfu, "tinylfu", keys);
        evict(&mut table, Policy::AllKeysLru, "allkeys-lru", keys);
        evict(&mut table, Policy::VolatileLru, "volatile-lru", keys);
    }
    if options.wants("steps-expire") {
        let (tenth, second) = (keys / 10, 1000);
        expire(&mut table, "1 M of 10 M expire within 1 s", keys - tenth, tenth, second);
        expire(&mut table, "1 M of 10 M expire at once", keys - tenth, tenth, 1);
    }
    report.table(table);
}

fn row(table: &mut Table, when: &str, step: &str, steps: &mut Steps) {
    let Steps { times: found, long_with_fault, long_with_block, over, .. } = std::mem::take(steps);
    let mut cells = vec![Cell::text(when), Cell::text(step), Cell::count(found.total())];
    let mut from = 0;
    for to in BOUNDS.map(|power| 1 << power) {
        cells.push(Cell::count(found.between(from, to)));
        from = to;
    }
    cells.push(Cell::count(found.between(from, u64::MAX)));
    cells.push(Cell::count(long_with_fault));
    cells.push(Cell::count(long_with_block));
    cells.extend(SHARES.map(|share| Cell::Number(found.quantile(share) as f64 / 1e3, 1)));
    cells.push(Cell::Number(found.max() as f64 / 1e3, 1));
    cells.push(Cell::count(over));
    table.row(cells);
}

/// What the clock and the machine cost when there is nothing to do.
fn nothing(table: &mut Table, count: u64) {
    let mut steps = Steps::default();
    for i in 0..count {
        steps.time(|| std::hint::black_box(i));
    }
    row(table, "nothing", "the clock alone", &mut steps);
}

/// Writes `count` new keys, timed, at the pace of a busy worker; every second one with a deadline,
/// if `ttl_ms` gives one.
fn fill(world: &mut World, count: u64, ttl_ms: Option<u64>) {
    for i in 1..=count {
        world.add(ttl_ms.filter(|_| i & 1 == 0), true);
        if i.is_multiple_of(WRITES_PER_MS / POLLS_PER_MS) {
            world.poll();
        }
        if i.is_multiple_of(WRITES_PER_MS) {
            world.tick(0);
        }
    }
}

fn quiet(world: &mut World, ms: u64) {
    (0..ms).for_each(|_| world.tick(POLLS_PER_MS));
}

fn grow(table: &mut Table, keys: u64) -> World {
    let mut world = World::new(None, Policy::TinyLfu);
    fill(&mut world, keys, None);
    row(table, "index growth", "SET", &mut world.writes);
    row(table, "index growth", "upkeep", &mut world.upkeep);
    world
}

fn clean(table: &mut Table, world: &mut World, keys: u64) {
    for id in 0..keys {
        if world.random.draw() & 1 == 0 {
            world.remove(id);
        }
        if id.is_multiple_of(WRITES_PER_MS / POLLS_PER_MS) {
            world.poll();
        }
        if id.is_multiple_of(WRITES_PER_MS) {
            world.tick(0);
        }
    }
    quiet(world, 2000);
    row(table, "half deleted at random", "DEL", &mut world.writes);
    row(table, "half deleted at random", "upkeep", &mut world.upkeep);
}

fn flush(table: &mut Table, world: &mut World) {
    let mut out = ReplyBuilder::default();
    let (engine, now) = (&world.engine, world.now());
    world.writes.time(|| engine.execute(&Command::Space(SpaceOp::Flush), now, &mut out));
    quiet(world, 2000);
    row(table, "FLUSHALL of 5 M", "FLUSHALL", &mut world.writes);
    row(table, "FLUSHALL of 5 M", "upkeep", &mut world.upkeep);
}

/// Half as many again as fit are written. Under a volatile policy half of the keys may go.
fn evict(table: &mut Table, policy: Policy, name: &str, keys: u64) {
    const HOUR_MS: u64 = 3_600_000;
    let mut world = World::new(Some(keys * (ITEM_BYTES + 15)), policy);
    let ttl_ms = (policy == Policy::VolatileLru).then_some(HOUR_MS);
    fill(&mut world, keys + keys / 2, ttl_ms);
    let when = format!("a third evicted, {name}");
    row(table, &when, "SET", &mut world.writes);
    row(table, &when, "upkeep", &mut world.upkeep);
    row(table, &when, "rebalance", &mut world.rebalance);
}

/// `mortal` of the keys expire, evenly over `over_ms`, the others never.
fn expire(table: &mut Table, when: &str, immortal: u64, mortal: u64, over_ms: u64) {
    let mut world = World::new(None, Policy::TinyLfu);
    let total = immortal + mortal;
    let first_ms = total / WRITES_PER_MS + 10_000;
    for i in 0..total {
        let is_mortal = i * mortal / total != (i + 1) * mortal / total;
        let at = first_ms + world.random.below(over_ms);
        let ttl = is_mortal.then(|| at - world.elapsed_ms());
        world.add(ttl, true);
        if i.is_multiple_of(WRITES_PER_MS) {
            world.tick(1);
        }
    }
    row(table, when, "SET before", &mut world.writes);
    world.upkeep = Steps::default();
    world.skip_to(first_ms - 1);
    quiet(&mut world, over_ms + 2000);
    row(table, when, "upkeep", &mut world.upkeep);
}
