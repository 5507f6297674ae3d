//! No fault at all, but all the load that fits: values of 10 MB as fast as they go. Whether anybody
//! is taken for dead who is not.

use crate::clock::{self, SECOND, now_ns};
use crate::limits::ASK_MS_MAX;
use crate::nodes::Nodes;
use crate::reply::{Reply, request};
use crate::status::{Asker, Map, Status};
use crate::{Failure, load};
use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// How it goes.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How long.
    pub length_ns: u64,
    /// Clients that write and read as fast as they are answered.
    pub connections: usize,
    /// Bytes of values.
    pub value_bytes: usize,
    /// Different keys of each client.
    pub keys: u64,
    /// Threads that do nothing but keep a core busy.
    pub burn: usize,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// How often it was looked.
    pub looks: u64,
    /// Looks at which a node was told to be down.
    pub down: u64,
    /// Looks at which other nodes served groups than before.
    pub changed: u64,
    /// Looks that were not answered.
    pub unanswered: u64,
    /// Steps of the topology from begin to end, whatever they were for.
    pub versions: u64,
    /// Answers to clients.
    pub answers: u64,
    /// Refusals to clients, and connections that broke.
    pub errors: u64,
    /// How much of the processors' time was in use, of 100.
    pub busy_percent: u64,
}

/// Between two looks.
const LOOK_NS: u64 = SECOND / 4;

/// All of it.
pub fn run(nodes: &mut Nodes, plan: &Plan) -> Result<Run, Failure> {
    let ids = nodes.ids();
    let doors: Vec<SocketAddr> = ids.iter().map(|id| nodes.forward(*id)).collect();
    let first = nodes.clients(*ids.first().ok_or("no nodes")?);
    let before = nodes.status()?.version();
    let mut map = Map::of(first)?;
    let (over, answers, errors) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let mut run = Run::default();
    let busy_before = processors();
    let until = now_ns() + plan.length_ns;
    thread::scope(|scope| {
        for number in 0..plan.connections {
            let door = doors[number % doors.len()];
            let (over, answers, errors) = (&over, &answers, &errors);
            scope.spawn(move || drive(plan, number, door, over, [answers, errors]));
        }
        for _ in 0..plan.burn {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        for id in ids.iter().cycle() {
            if now_ns() >= until || nodes.check().is_err() {
                break;
            }
            clock::wait(LOOK_NS);
            look(nodes.clients(*id), &mut map, &mut run);
        }
        over.store(true, Ordering::Relaxed);
    });
    nodes.check()?;
    run.busy_percent = busy_percent(busy_before, processors());
    run.answers = answers.into_inner();
    run.errors = errors.into_inner();
    run.versions = nodes.status()?.version() - before;
    Ok(run)
}

/// One look at the cluster by one node.
fn look(address: SocketAddr, map: &mut Map, run: &mut Run) {
    run.looks += 1;
    match (Status::of(address), Map::of(address)) {
        (Ok(status), Ok(now)) => {
            run.down += u64::from(!status.down().is_empty());
            run.changed += u64::from(now != *map);
            *map = now;
        }
        _ => run.unanswered += 1,
    }
}

/// One client: writes and reads in turns, and connects again when it has to.
fn drive(
    plan: &Plan,
    number: usize,
    door: SocketAddr,
    over: &AtomicBool,
    [answers, errors]: [&AtomicU64; 2],
) {
    let mut asker = None;
    let mut turn = 0;
    while !over.load(Ordering::Relaxed) {
        turn += 1;
        let key = format!("q{number}-{}", turn / 2 % plan.keys.max(1));
        let words = match turn % 2 {
            0 => request(&[b"SET", key.as_bytes(), &load::value_of(&key, turn, plan.value_bytes)]),
            _ => request(&[b"GET", key.as_bytes()]),
        };
        if asker.is_none() {
            asker = Asker::connect(door, ASK_MS_MAX * 4).ok();
        }
        let answer = asker.as_mut().map(|asker| {
            asker.send(&words)?;
            asker.receive()
        });
        match answer {
            Some(Ok(Reply::Simple(_) | Reply::Bulk(_))) => {
                answers.fetch_add(1, Ordering::Relaxed);
            }
            _ => {
                errors.fetch_add(1, Ordering::Relaxed);
                asker = None;
                clock::wait(crate::limits::RETRY_NS);
            }
        }
    }
}

/// Time in use and in all of the machine's processors, in ticks.
fn processors() -> [u64; 2] {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line.split_whitespace().skip(1).flat_map(str::parse).take(8).collect();
    let idle = ticks.get(3).copied().unwrap_or(0) + ticks.get(4).copied().unwrap_or(0);
    let all = ticks.iter().sum::<u64>();
    [all - idle, all]
}

fn busy_percent(before: [u64; 2], after: [u64; 2]) -> u64 {
    (after[0] - before[0]) * 100 / (after[1] - before[1]).max(1)
}
