//! How soon the memory of expired items can be used again: equal TTLs at a million expiries a
//! second, and mixes of TTLs, also ones made to hurt.

use crate::common::{Cell, Options, Report, Table, sum};
use crate::world::{ITEM_BYTES, World};
use cluster::slot::{GROUPS, Group};
use crabcache::cli::bench::Random;
use crabcache::command::Time;
use crabcache::engine::Policy;

/// Looks at the timer of upkeep in a simulated millisecond.
const POLLS_PER_MS: u64 = 16;
/// Milliseconds between two readings.
const READ_EVERY_MS: u64 = 100;

/// A world in which every write is remembered until it expires.
struct Model {
    world: World,
    /// Bytes that expire, by millisecond.
    expiring: Vec<u32>,
    /// Bytes expired by the end of each past millisecond.
    expired: Vec<u64>,
    written: u64,
    /// Fractions of a write carried over to the next millisecond.
    due: f64,
}

impl Model {
    fn new(max_memory: Option<u64>) -> Model {
        let (world, expiring) = (World::new(max_memory, Policy::TinyLfu), Vec::new());
        Model { world, expiring, expired: vec![0], written: 0, due: 0.0 }
    }

    fn add(&mut self, ttl_ms: Option<u64>) {
        let bytes = self.world.add(ttl_ms, false);
        self.written += bytes;
        if let Some(ttl) = ttl_ms {
            let at = (self.world.elapsed_ms() + ttl) as usize;
            if at >= self.expiring.len() {
                self.expiring.resize(at + 60_000, 0);
            }
            self.expiring[at] += bytes as u32;
        }
    }

    /// A millisecond in which `rate` keys a second are written, whose TTLs `draw` gives.
    fn tick(&mut self, rate: f64, draw: Draw) {
        self.due += rate / 1000.0;
        let writes = self.due as u64;
        self.due -= writes as f64;
        let at = self.world.elapsed_ms();
        for _ in 0..writes {
            let ttl = draw(&mut self.world.random, at);
            self.add(ttl.map(|ms| ms.max(1)));
        }
        self.world.tick(POLLS_PER_MS);
        self.note_expired();
    }

    fn note_expired(&mut self) {
        for ms in self.expired.len()..=self.world.elapsed_ms() as usize {
            let before = self.expired[ms - 1];
            self.expired.push(before + u64::from(self.expiring.get(ms).copied().unwrap_or(0)));
        }
    }

    /// Bytes held of what had expired `lag_ms` ago.
    fn unreclaimed(&self, lag_ms: u64) -> u64 {
        let then = self.world.elapsed_ms().saturating_sub(lag_ms) as usize;
        let alive_then = self.written - self.expired[then];
        self.world.held_bytes().saturating_sub(alive_then)
    }
}

/// The TTL of the next key, in milliseconds, given chance and the time.
type Draw = fn(&mut Random, u64) -> Option<u64>;

pub(crate) fn measure_reuse(options: &Options, report: &mut Report) {
    let title = "1 M expiries a second: percent of the memory that expired in a second and can be \
                 used again so much later, worst second";
    let columns = ["TTL", "0.5 s", "1 s", "2 s", "at least", "upkeep CPU s / s"];
    let mut table = Table::new(title, &columns);
    let cases: [(&str, u64, Draw); 6] = [
        ("1 s", 1_000, |_, _| Some(1_000)),
        ("10 s", 10_000, |_, _| Some(10_000)),
        ("10 s ± 0.5 s", 9_500, |r, _| Some(9_500 + r.below(1000))),
        ("16 s ± 0.5 s", 15_500, |r, _| Some(15_500 + r.below(1000))),
        ("1 h", 3_600_000, |_, _| Some(3_600_000)),
        ("1 day ± 0.5 s", 86_400_000, |r, _| Some(86_400_000 - 500 + r.below(1000))),
    ];
    for (name, ttl_min, draw) in cases {
        let rate = options.scaled(1_000_000) as f64;
        table.row(reuse(name, ttl_min, draw, rate));
    }
    report.table(table);
}

/// Writes for some seconds, waits until all have expired, looks all the while.
fn reuse(name: &str, ttl_min: u64, draw: Draw, rate: f64) -> Vec<Cell> {
    const WRITE_MS: u64 = 12_000;
    const LAGS: [u64; 3] = [500, 1000, 2000];
    let mut model = Model::new(None);
    let mut worst = [0; LAGS.len()];
    let second = rate as u64 * (ITEM_BYTES + 5);
    let (mut busy_nanos, mut busy_ms) = (0, 0);
    let end_ms = ttl_min + WRITE_MS + 4000;
    while model.world.elapsed_ms() < end_ms {
        let at = model.world.elapsed_ms();
        if at == WRITE_MS + 100 && ttl_min > at {
            model.world.skip_to(ttl_min - 10);
            model.note_expired();
        }
        let before = model.world.upkeep.nanos;
        model.tick(if at < WRITE_MS { rate } else { 0.0 }, draw);
        if at >= ttl_min && at < ttl_min + WRITE_MS {
            busy_nanos += model.world.upkeep.nanos - before;
            busy_ms += 1;
        }
        if at.is_multiple_of(READ_EVERY_MS) {
            for (worst, lag) in worst.iter_mut().zip(LAGS) {
                *worst = model.unreclaimed(lag).max(*worst);
            }
        }
    }
    let mut row = vec![Cell::text(name)];
    row.extend(worst.map(|w| Cell::Number(100.0 - 100.0 * w as f64 / second as f64, 2)));
    row.push(Cell::count(99));
    row.push(Cell::Number(busy_nanos as f64 / 1e6 / busy_ms as f64, 3));
    row
}

/// A mix: what it is, mean TTL of the keys that have one, longest TTL, TTLs.
type Mix = (&'static str, u64, u64, Draw);

fn log_uniform(random: &mut Random, min: u64, max: u64) -> u64 {
    (min as f64 * (max as f64 / min as f64).powf(random.unit())) as u64
}

fn either(random: &mut Random, percent: u64, first: u64, second: u64) -> Option<u64> {
    Some(if random.below(100) < percent { first } else { second })
}

/// A class of TTLs reaches from 32.768 s to 65.536 s, its bins are 4.096 s wide.
const MIXES: [Mix; 14] = [
    ("1 s to 60 s", 30_000, 60_000, |r, _| Some(1_000 + r.below(59_000))),
    ("exponential, mean 30 s", 30_000, 300_000, |r, _| {
        Some((-30_000.0 * (1.0 - r.unit()).ln()) as u64)
    }),
    ("1 s to 1 h, even in log", 440_000, 3_600_000, |r, _| Some(log_uniform(r, 1_000, 3_600_000))),
    ("1 ms to 10 s, even in log", 1_100, 10_000, |r, _| Some(log_uniform(r, 1, 10_000))),
    ("33 s or 65 s", 49_000, 65_000, |r, _| either(r, 50, 33_000, 65_000)),
    ("32.8 s or 65 s", 49_000, 65_000, |r, _| either(r, 50, 32_800, 65_000)),
    ("33 s (9 %) or 65 s", 62_000, 65_000, |r, _| either(r, 9, 33_000, 65_000)),
    ("33 s (20 %) or 65 s", 59_000, 65_000, |r, _| either(r, 20, 33_000, 65_000)),
    ("33 s (90 %) or 65 s", 36_000, 65_000, |r, _| either(r, 90, 33_000, 65_000)),
    ("33 s to 65 s", 49_000, 65_000, |r, _| Some(33_000 + r.below(32_000))),
    ("36.9 s, 49.2 s or 61.4 s", 49_000, 61_500, |r, _| Some(36_900 + 12_280 * r.below(3))),
    ("until the next full minute", 30_000, 60_000, |_, now| Some(60_000 - now % 60_000)),
    ("2 s (half) or none", 2_000, 2_000, |r, _| (r.below(2) == 0).then_some(2_000)),
    ("1 s to 60 s (90 %) or none", 30_000, 60_000, |r, _| {
        (r.below(10) > 0).then(|| 1_000 + r.below(59_000))
    }),
];

pub(crate) fn measure_mixed(options: &Options, report: &mut Report) {
    let title = "Mixed TTLs, no bound: percent of memory that is expired but not yet reclaimed";
    let columns = [
        "TTL",
        "M writes",
        "MiB at most",
        "most, of memory in use",
        "most, of peak",
        "for over 2 s, of peak",
        "mean",
        "at most",
        "upkeep CPU ns / write",
    ];
    let mut table = Table::new(title, &columns);
    for mix in MIXES {
        table.row(mixed(mix, options.scaled(3_000_000)));
    }
    report.table(table);
}

/// Writes so that about `keys` keys are alive at once, for twice the longest TTL, then waits
/// until all are gone.
fn mixed((name, mean_ms, longest_ms, draw): Mix, keys: u64) -> Vec<Cell> {
    let mut model = Model::new(None);
    let rate = keys as f64 / mean_ms as f64 * 1000.0;
    let write_ms = (longest_ms * 2).min(longest_ms + 8 * mean_ms).max(10_000);
    let (mut readings, mut share_most, mut share_sum) = (0.0, 0f64, 0.0);
    let (mut most, mut most_late, mut peak) = (0, 0, 0);
    while model.world.elapsed_ms() < write_ms + longest_ms + 5_000 {
        let at = model.world.elapsed_ms();
        model.tick(if at < write_ms { rate } else { 0.0 }, draw);
        if !at.is_multiple_of(READ_EVERY_MS) {
            continue;
        }
        let (unreclaimed, used) = (model.unreclaimed(0), model.world.used_bytes());
        most = most.max(unreclaimed);
        most_late = most_late.max(model.unreclaimed(2000));
        peak = peak.max(used);
        // What is shared out before there is much, and what is left of it, says little.
        if at >= mean_ms.min(write_ms / 2) && at < write_ms {
            let share = unreclaimed as f64 / used as f64;
            readings += 1.0;
            share_sum += share;
            share_most = share_most.max(share);
        }
    }
    let writes = model.world.writes_count() as f64;
    vec![
        Cell::text(name),
        Cell::Number(writes / 1e6, 1),
        Cell::Number(peak as f64 / 1024.0 / 1024.0, 0),
        Cell::Number(100.0 * share_most, 2),
        Cell::Number(100.0 * most as f64 / peak as f64, 2),
        Cell::Number(100.0 * most_late as f64 / peak as f64, 2),
        Cell::Number(100.0 * share_sum / readings, 2),
        Cell::count(10),
        Cell::Number(model.world.upkeep.nanos as f64 / writes, 0),
    ]
}

pub(crate) fn measure_bounded(options: &Options, report: &mut Report) {
    let title = "Mixed TTLs under a bound of half the need: percent of the bound";
    let columns = [
        "TTL",
        "expired, not yet removed",
        "for over 2 s",
        "removed, not yet reclaimed",
        "at most",
        "refused",
        "upkeep CPU ns / write",
    ];
    let mut table = Table::new(title, &columns);
    for i in [0, 1, 2, 4, 6, 9, 11, 13] {
        table.row(bounded(MIXES[i], options.scaled(3_000_000)));
    }
    report.table(table);
}

fn bounded((name, mean_ms, longest_ms, draw): Mix, keys: u64) -> Vec<Cell> {
    const READ_EVERY_MS: u64 = 2_500;
    let bound = keys * (ITEM_BYTES + 16) / 2;
    let mut world = World::new(Some(bound), Policy::TinyLfu);
    let rate = keys as f64 / mean_ms as f64;
    let (mut due, mut expired_most, mut late_most, mut dead_most) = (0.0, 0, 0, 0);
    let end_ms = (longest_ms * 2).min(longest_ms + 4 * mean_ms);
    while world.elapsed_ms() < end_ms {
        due += rate;
        let at = world.elapsed_ms();
        while due >= 1.0 {
            due -= 1.0;
            let ttl = draw(&mut world.random, at);
            world.add(ttl.map(|ms| ms.max(1)), false);
        }
        world.tick(POLLS_PER_MS);
        if world.elapsed_ms().is_multiple_of(READ_EVERY_MS.max(end_ms / 100)) {
            let now = world.now();
            expired_most = expired_most.max(expired_bytes(&world, now));
            late_most = late_most.max(expired_bytes(&world, Time(now.0 - 2_000)));
            dead_most = dead_most.max(sum(&world.engine, |s| s.dead_bytes));
        }
    }
    vec![
        Cell::text(name),
        Cell::Number(100.0 * expired_most as f64 / bound as f64, 2),
        Cell::Number(100.0 * late_most as f64 / bound as f64, 2),
        Cell::Number(100.0 * dead_most as f64 / bound as f64, 2),
        Cell::count(10),
        Cell::count(world.refused),
        Cell::Number(world.upkeep.nanos as f64 / world.writes_count() as f64, 0),
    ]
}

/// Bytes of items that were past their deadline at `then` and are still counted as alive: all that
/// are counted less those that a walk as of then finds.
fn expired_bytes(world: &World, then: Time) -> u64 {
    let engine = &world.engine;
    let mut alive = 0;
    for group in (0..GROUPS).filter_map(Group::new) {
        let shard = usize::from(group.number()) & (engine.shard_count() - 1);
        let mut guard = engine.lock(shard);
        guard.store().walk(group, 0, usize::MAX, then, |_, item| {
            alive += ITEM_BYTES + item.deadline.map_or(0, |_| 5);
        });
    }
    sum(engine, |s| s.live_bytes).saturating_sub(alive)
}
