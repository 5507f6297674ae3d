//! One node is killed, stopped or cut off under load: how long its groups were away, what the
//! others' clients noticed, and what was lost. Each repetition has its own control time, just
//! before.

use crate::check::{Expected, Verdict, Waits, away_ns, group_of};
use crate::client::{Answer, ClusterClient, Counts, Doors, PlainClient};
use crate::clock::{self, MS, SECOND, now_ns};
use crate::figures::Figure;
use crate::history::{Event, Function, Op, Outcome};
use crate::limits::{ATTEMPT_NS_MAX, SHARED_LINKS, WELL_NS_MAX};
use crate::load::{Client, Keys, Load, Mix, Process, ended, interval_ns, tags, value_of};
use crate::nodes::{Fault, Nodes, number_of};
use crate::reply::request;
use crate::status::{Asker, Map};
use crate::{Failure, bulk};
use cluster::slot::GROUPS;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// How a repetition goes.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What happens.
    pub fault: Fault,
    /// Operations a second, in all.
    pub rate: u64,
    /// Time before the fault that is measured.
    pub control_ns: u64,
    /// Least time from the fault until it is undone: others have taken over before.
    pub event_ns: u64,
    /// Bytes of values.
    pub value_bytes: usize,
}

/// What a repetition showed.
#[derive(Clone, Debug)]
pub struct Run {
    /// Which node.
    pub victim: u64,
    /// Whether it led the Raft group.
    pub led: bool,
    /// How many groups it served.
    pub groups: usize,
    /// How long each of them was away that was written to again, the shortest first.
    pub away_ns: Vec<u64>,
    /// How users of other groups waited before the fault.
    pub control: Waits,
    /// And from it on.
    pub event: Waits,
    /// What became of the data.
    pub verdict: Verdict,
    /// When the writes were acknowledged that are gone, or were when somebody read.
    pub losses_ns: Vec<u64>,
    /// What clients met.
    pub counts: BTreeMap<String, u64>,
    /// Time from the end of the fault until all was well again.
    pub healing_ns: u64,
    /// When it was broken.
    pub at_ns: u64,
    /// All of it.
    pub ops: Vec<Op>,
    /// What was done.
    pub events: Vec<Event>,
}

/// A beginning of the measured time, in which connections are made.
const WARM_NS: u64 = SECOND / 2;
/// How long the load goes on when the fault is undone.
const AFTER_NS: u64 = SECOND;
/// How long before that a client of the broken node asks it something.
const STUBBORN_NS: u64 = 100 * MS;
/// How long it waits for an answer.
const STUBBORN_MS_MAX: u64 = 2_000;
/// How many groups it asks for.
const STUBBORN_GROUPS: usize = 32;
/// Of so many processes one uses a plain client.
const PLAIN_EVERY: usize = 4;
/// Registers of each group.
const REGISTERS: u64 = 2;

/// One repetition; `name` makes its keys differ from those of others.
pub fn run(nodes: &mut Nodes, plan: &Plan, victim: u64, name: &str) -> Result<Run, Failure> {
    let led = nodes.status()?.leader() == Some(victim);
    let address = nodes.clients(victim);
    let groups = Map::of(address)?.groups_of(address);
    let survivors: Vec<u64> = nodes.ids().into_iter().filter(|id| *id != victim).collect();
    let first = *survivors.first().ok_or("nobody is left")?;
    let counts = Counts::default();
    let tags = tags();
    let processes = processes(nodes, &survivors, plan, name, &tags, &counts);
    let interval = interval_ns(processes.len(), plan.rate);
    let begun = now_ns();
    let load = Load::start(processes, interval);
    clock::wait_until(begun + WARM_NS + plan.control_ns);
    // The connections of a process end with it.
    let mut stubborn = match plan.fault {
        Fault::Kill => None,
        Fault::Stop | Fault::Cut => Some(Asker::connect(address, STUBBORN_MS_MAX)?),
    };
    let at = nodes.break_node(victim, plan.fault)?;
    let mut events = vec![Event { time_ns: at, what: plan.fault.name(), node: victim }];
    clock::wait_until(at + plan.event_ns - STUBBORN_NS);
    replaced(nodes.clients(first), address)?;
    let mine = (0..usize::from(GROUPS)).filter(|group| groups[*group]);
    let starts: Vec<String> =
        mine.take(STUBBORN_GROUPS).map(|group| start(&tags[group], name)).collect();
    let ask = |asker: &mut Asker| ask(asker, &starts, plan.value_bytes);
    let asked = stubborn.as_mut().map(ask).unwrap_or_default();
    clock::wait(STUBBORN_NS);
    let mended = nodes.mend_node(victim, plan.fault)?;
    events.push(Event { time_ns: mended, what: "mend", node: victim });
    let mut told = match &mut stubborn {
        Some(asker) => answers(asker, asked, address),
        None => asked,
    };
    let mut ops = load.finish(mended + AFTER_NS)?;
    ops.append(&mut told);
    let well = nodes.well();
    well.map_err(|error| format!("after {}: {error}", plan.fault.name()))?;
    let healing_ns = now_ns() - mended;
    let mut verdict = judge(nodes, first, &ops)?;
    let number = number_of(address);
    let losses_ns = losses(&mut verdict, &groups, number, at);
    let mut away_ns = away_ns(&ops, &groups, number, at);
    away_ns.sort_unstable();
    let others = |op: &Op| !groups[group_of(&op.key)];
    let before = (at - plan.control_ns).max(begun + WARM_NS);
    Ok(Run {
        victim,
        led,
        groups: groups.iter().filter(|is| **is).count(),
        away_ns,
        control: Waits::of(&ops, before, at, others),
        event: Waits::of(&ops, at, at + plan.event_ns, others),
        verdict,
        losses_ns,
        counts: counts.all(),
        healing_ns,
        at_ns: at,
        ops,
        events,
    })
}

/// Waits until a node tells that others serve what the broken one did.
fn replaced(survivor: SocketAddr, broken: SocketAddr) -> Result<(), Failure> {
    let gone = || Map::of(survivor).ok().filter(|map| map.is_whole() && !map.names(broken));
    let found = clock::eventually(WELL_NS_MAX, gone);
    found.map(drop).ok_or_else(|| format!("nobody took over what {broken} served"))
}

/// What the keys of a group begin with.
fn start(tag: &str, name: &str) -> String {
    format!("{tag}{name}")
}

/// A process for each group, so that who waits for one group keeps nobody else waiting.
fn processes(
    nodes: &Nodes,
    survivors: &[u64],
    plan: &Plan,
    name: &str,
    tags: &[String],
    counts: &Counts,
) -> Vec<Process> {
    let seeds = nodes.ids().iter().map(|id| nodes.clients(*id)).collect();
    let shared = ClusterClient::new(seeds, SHARED_LINKS, ATTEMPT_NS_MAX, counts.clone());
    let shared = Arc::new(shared);
    let doors = survivors.iter().map(|id| nodes.forward(*id)).collect();
    let doors = Arc::new(Doors::new(doors));
    let client = |group: usize| match group % PLAIN_EVERY {
        // Patient: what a node forwards, it is itself that waits.
        0 => Client::Plain(Arc::new(PlainClient::new(
            doors.clone(),
            crate::limits::PATIENT_ATTEMPT_NS_MAX,
            counts.clone(),
        ))),
        _ => Client::Cluster(shared.clone()),
    };
    let process = |(group, tag): (usize, &String)| Process {
        id: u32::try_from(group).unwrap_or(u32::MAX),
        client: client(group),
        keys: Keys::OfGroup { start: start(tag, name), registers: REGISTERS },
        mix: Mix { write: 40, unique: 40 },
        value_bytes: plan.value_bytes,
    };
    tags.iter().enumerate().map(process).collect()
}

/// Asks the broken node about its groups, by a connection from before: reads of registers that may
/// have been written elsewhere meanwhile, and writes that only count if they last.
fn ask(asker: &mut Asker, starts: &[String], value_bytes: usize) -> Vec<Op> {
    let mut ops = Vec::new();
    let mut bytes = Vec::new();
    for start in starts {
        let read = format!("{start}r0");
        bytes.extend(request(&[b"GET", read.as_bytes()]));
        let write = format!("{start}s");
        bytes.extend(request(&[b"SET", write.as_bytes(), &value_of(&write, 1, value_bytes)]));
        let now = now_ns();
        for (key, function) in [(read, Function::Read), (write, Function::Write)] {
            ops.push(Op {
                process: u32::from(GROUPS),
                key: key.into(),
                function,
                value: (function == Function::Write).then_some(1),
                due_ns: now,
                invoked_ns: now,
                completed_ns: now,
                outcome: Outcome::Info,
                node: None,
                plain: true,
                garbled: false,
            });
        }
    }
    match asker.send(&bytes) {
        Ok(()) => ops,
        Err(_) => Vec::new(),
    }
}

/// What it says to that when it is back. Their waits are nobody's, so they are due when they end.
fn answers(asker: &mut Asker, asked: Vec<Op>, from: SocketAddr) -> Vec<Op> {
    let mut silent = false;
    let end = |mut op: Op| {
        let reply = if silent { None } else { asker.receive().ok() };
        silent |= reply.is_none();
        op.completed_ns = now_ns();
        op.due_ns = op.completed_ns;
        op.node = Some(number_of(from));
        ended(op, &Answer { uncertain: reply.is_none(), reply, from: Some(from) })
    };
    asked.into_iter().map(end).collect()
}

/// Reads every key that was written to, and judges all of it.
fn judge(nodes: &Nodes, any: u64, ops: &[Op]) -> Result<Verdict, Failure> {
    let expected = Expected::new(ops, None);
    let mut verdict = expected.judge(ops);
    let keys: Vec<String> = expected.keys().map(str::to_owned).collect();
    let found = bulk::read(nodes.clients(any), &keys, false)?;
    for (key, found) in keys.iter().zip(found) {
        verdict.phantom += usize::from(found.is_err());
        expected.judge_last(key, found.unwrap_or(None), &mut verdict);
    }
    Ok(verdict)
}

/// A read that misses what the broken node had acknowledged is no stale read: it saw a loss, which
/// the next write to that register hides from the look in the end. When each loss was acknowledged.
fn losses(verdict: &mut Verdict, groups: &[bool], victim: u16, at_ns: u64) -> Vec<u64> {
    let mut all: BTreeMap<(String, u64), u64> = BTreeMap::new();
    for lost in &verdict.lost {
        all.insert((lost.key.clone(), lost.value), lost.acknowledged_ns);
    }
    verdict.stale.retain(|stale| {
        let acknowledged_ns = stale.invoked_ns - stale.age_ns;
        let by_victim = acknowledged_ns <= at_ns || stale.acknowledged_by == Some(victim);
        let lost = groups[group_of(&stale.key)] && stale.invoked_ns > at_ns && by_victim;
        if lost {
            all.insert((stale.key.clone(), stale.expected), acknowledged_ns);
        }
        !lost
    });
    all.into_values().collect()
}

impl Run {
    /// How long before the fault the oldest loss was acknowledged; 0 where all came after it.
    pub fn lost_age_ns(&self) -> u64 {
        let ages = self.losses_ns.iter().map(|time| self.at_ns.saturating_sub(*time));
        ages.max().unwrap_or(0)
    }

    /// Losses that were acknowledged after it.
    pub fn lost_after(&self) -> usize {
        self.losses_ns.iter().filter(|time| **time > self.at_ns).count()
    }
}

/// The figures of many repetitions.
pub fn figures(runs: &[Run]) -> Vec<Figure> {
    let of = |name: &str, pick: &dyn Fn(&Run) -> Option<u64>| {
        Figure::new(name, runs.iter().filter_map(pick).collect())
    };
    let middle = |run: &Run| crate::figures::percentile(&run.away_ns, 50.0);
    let first = |run: &Run| run.away_ns.first().copied();
    let p99 = |waits: &Waits| crate::figures::percentile(&waits.latencies_ns, 99.0);
    vec![
        of("first write on its groups", &first),
        of("... where it led the Raft group", &|run| first(run).filter(|_| run.led)),
        of("... where it did not", &|run| first(run).filter(|_| !run.led)),
        of("a group away, middle one of a run", &|run| Some(middle(run))),
        of("a group away, longest of a run", &|run| run.away_ns.last().copied()),
        of("other groups, longest wait", &|run| Some(run.event.stall_ns())),
        of("... of the control", &|run| Some(run.control.stall_ns())),
        of("other groups, longest gap", &|run| Some(run.event.gap_ns)),
        of("... of the control", &|run| Some(run.control.gap_ns)),
        of("other groups, p99", &|run| Some(p99(&run.event))),
        of("... of the control", &|run| Some(p99(&run.control))),
        of("all is well again after", &|run| Some(run.healing_ns)),
    ]
}
