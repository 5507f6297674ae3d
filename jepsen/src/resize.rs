//! A node is added and one removed under load, from cluster clients and plain ones: what these
//! noticed against the time just before, and whether every key has its value in the end.

use crate::check::{Expected, Verdict, Waits};
use crate::client::{ClusterClient, Counts, Doors, PlainClient};
use crate::clock::{self, SECOND, now_ns};
use crate::figures::percentile;
use crate::history::{Event, Op, Outcome};
use crate::limits::{CHANGE_NS_MAX, CHECKED_KEYS, PATIENT_ATTEMPT_NS_MAX, POLL_NS};
use crate::load::{Client, Keys, Load, Mix, Process, interval_ns, numbered};
use crate::nodes::Nodes;
use crate::{Failure, bulk};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::sync::Arc;

/// How it goes.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Keys that are there from the beginning.
    pub keys: u64,
    /// Clients, half of them plain.
    pub connections: u32,
    /// Operations a second, in all; half of them write.
    pub rate: u64,
    /// How often a node is added and one removed.
    pub cycles: u64,
    /// Least time before each change that is measured.
    pub control_ns: u64,
    /// Bytes of values.
    pub value_bytes: usize,
    /// How many values there are that are large, which nobody writes meanwhile.
    pub large: u64,
    /// Bytes of these.
    pub large_bytes: usize,
}

/// A time that is looked at by itself.
#[derive(Clone, Debug)]
pub struct Phase {
    /// What happened in it.
    pub name: &'static str,
    /// How long it was.
    pub length_ns: u64,
    /// How users of cluster clients waited.
    pub cluster: Waits,
    /// And those of plain ones.
    pub plain: Waits,
}

/// What it showed.
#[derive(Clone, Debug)]
pub struct Run {
    /// In the order of time: a control before each change.
    pub phases: Vec<Phase>,
    /// What became of the data.
    pub verdict: Verdict,
    /// Large values that are not what they were.
    pub large_wrong: usize,
    /// What clients met.
    pub counts: BTreeMap<String, u64>,
    /// All of it.
    pub ops: Vec<Op>,
    /// What was done.
    pub events: Vec<Event>,
}

/// A beginning that is not measured, in which connections are made.
const WARM_NS: u64 = 2 * SECOND;
/// How long the load goes on when a change is done.
const AFTER_NS: u64 = SECOND;

/// All of it.
pub fn run(nodes: &mut Nodes, plan: &Plan) -> Result<Run, Failure> {
    let any = nodes.clients(*nodes.ids().first().ok_or("no nodes")?);
    for from in (0..plan.keys).step_by(usize::try_from(CHECKED_KEYS).unwrap_or(1)) {
        bulk::fill(any, &names(from, plan.keys), plan.value_bytes)?;
    }
    let large: Vec<String> = (0..plan.large).map(|i| format!("large{i}")).collect();
    bulk::fill(any, &large, plan.large_bytes)?;
    nodes.well()?;
    let counts = Counts::default();
    let doors = Arc::new(Doors::new(nodes.ids().iter().map(|id| nodes.forward(*id)).collect()));
    let processes = processes(nodes, plan, &doors, &counts);
    let interval = interval_ns(processes.len(), plan.rate);
    let load = Load::start(processes, interval);
    clock::wait(WARM_NS);
    let mut spans = Vec::new();
    let mut events = Vec::new();
    let changed = changes(nodes, plan, &doors, &mut spans, &mut events);
    let ops = load.finish(now_ns())?;
    changed?;
    let (verdict, large_wrong) = judge(nodes, plan, &large, &ops)?;
    let phase = |(name, from, to): (&'static str, u64, u64)| Phase {
        name,
        length_ns: to - from,
        cluster: Waits::of(&ops, from, to, |op| !op.plain),
        plain: Waits::of(&ops, from, to, |op| op.plain),
    };
    let phases = spans.into_iter().map(phase).collect();
    Ok(Run { phases, verdict, large_wrong, counts: counts.all(), ops, events })
}

fn names(from: u64, end: u64) -> Vec<String> {
    (from..end.min(from + CHECKED_KEYS)).map(numbered).collect()
}

fn processes(nodes: &Nodes, plan: &Plan, doors: &Arc<Doors>, counts: &Counts) -> Vec<Process> {
    let seeds: Vec<_> = nodes.ids().iter().map(|id| nodes.clients(*id)).collect();
    let patience = PATIENT_ATTEMPT_NS_MAX;
    let client = |id: u32| match id % 2 {
        0 => {
            let client = ClusterClient::new(seeds.clone(), 1, patience, counts.clone());
            Client::Cluster(Arc::new(client))
        }
        _ => Client::Plain(Arc::new(PlainClient::new(doors.clone(), patience, counts.clone()))),
    };
    let process = |id: u32| Process {
        id,
        client: client(id),
        keys: Keys::Numbered {
            first: u64::from(id),
            step: u64::from(plan.connections),
            end: plan.keys,
        },
        mix: Mix { write: 50, unique: 0 },
        value_bytes: plan.value_bytes,
    };
    (0..plan.connections).map(process).collect()
}

type Span = (&'static str, u64, u64);

/// Adds and removes, each after a control time.
fn changes(
    nodes: &mut Nodes,
    plan: &Plan,
    doors: &Arc<Doors>,
    spans: &mut Vec<Span>,
    events: &mut Vec<Event>,
) -> Result<(), Failure> {
    for _ in 0..plan.cycles {
        let newest = nodes.ids().into_iter().max().unwrap_or(0);
        let mut from = now_ns();
        clock::wait(plan.control_ns);
        spans.push(("control", from, now_ns()));
        from = now_ns();
        events.push(Event { time_ns: from, what: "add", node: newest + 1 });
        nodes.launch(newest + 1)?;
        let serves = || nodes.status().ok()?.keeps(newest + 1).filter(|(primary, _)| *primary > 0);
        let found = clock::eventually(CHANGE_NS_MAX, serves);
        found.ok_or_else(|| format!("node {} gets nothing to serve", newest + 1))?;
        nodes.well()?;
        events.push(Event { time_ns: now_ns(), what: "added", node: newest + 1 });
        clock::wait(AFTER_NS);
        spans.push(("add", from, now_ns()));
        doors.set(nodes.ids().iter().map(|id| nodes.forward(*id)).collect());
        from = now_ns();
        clock::wait(plan.control_ns);
        spans.push(("control", from, now_ns()));
        from = now_ns();
        events.push(Event { time_ns: from, what: "remove", node: newest });
        remove(nodes, newest, doors)?;
        events.push(Event { time_ns: now_ns(), what: "removed", node: newest });
        clock::wait(AFTER_NS);
        spans.push(("remove", from, now_ns()));
    }
    Ok(())
}

/// A child that ends with this value.
struct Tool(Child);

impl Drop for Tool {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Removes a node by the operator's command. Plain clients go elsewhere when it is empty, as those
/// behind a load balancer do; others learn from the map.
fn remove(nodes: &mut Nodes, id: u64, doors: &Arc<Doors>) -> Result<(), Failure> {
    let stay: Vec<u64> = nodes.ids().into_iter().filter(|other| *other != id).collect();
    let any = nodes.clients(*stay.first().ok_or("nobody would be left")?);
    let words = ["cluster", "remove", &id.to_string(), "--address", &any.to_string()];
    let mut command = nodes.command(&words);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut tool = Tool(child.map_err(|error| error.to_string())?);
    let until = now_ns() + CHANGE_NS_MAX;
    let mut left = false;
    let status = loop {
        if let Some(status) = tool.0.try_wait().map_err(|error| error.to_string())? {
            break status;
        }
        if now_ns() > until {
            return Err(format!("node {id} is not removed: {:?}", nodes.status()?));
        }
        let keeps = crate::status::Status::of(any).ok().and_then(|status| status.keeps(id));
        if !left && matches!(keeps, Some((_, 0)) | None) {
            doors.set(stay.iter().map(|id| nodes.forward(*id)).collect());
            left = true;
        }
        clock::wait(POLL_NS);
    };
    if !status.success() {
        return Err(format!("cluster remove {id}: {status}"));
    }
    nodes.stop(id)?;
    nodes.well().map(drop)
}

/// Looks at every key.
fn judge(
    nodes: &Nodes,
    plan: &Plan,
    large: &[String],
    ops: &[Op],
) -> Result<(Verdict, usize), Failure> {
    let any = nodes.clients(*nodes.ids().first().ok_or("no nodes")?);
    let expected = Expected::new(ops, Some(0));
    let mut verdict = expected.judge(ops);
    for from in (0..plan.keys).step_by(usize::try_from(CHECKED_KEYS).unwrap_or(1)) {
        let keys = names(from, plan.keys);
        for (key, found) in keys.iter().zip(bulk::read(any, &keys, false)?) {
            verdict.phantom += usize::from(found.is_err());
            expected.judge_last(key, found.unwrap_or(None), &mut verdict);
        }
    }
    let found = bulk::read(any, large, true)?;
    Ok((verdict, found.iter().filter(|found| **found != Ok(Some(0))).count()))
}

impl Run {
    /// Errors that users of clients saw: operations that failed, and whatever a plain client was
    /// told that is no answer.
    pub fn errors(&self) -> u64 {
        let failed = self.ops.iter().filter(|op| op.outcome != Outcome::Ok).count() as u64;
        let told = self.counts.iter().filter(|(kind, _)| kind.starts_with("plain: "));
        failed + told.map(|(_, count)| count).sum::<u64>()
    }
}

impl Phase {
    /// Stall, gap and percentiles of both kinds of clients.
    pub fn json(&self) -> Value {
        let waits = |waits: &Waits| {
            json!({
                "operations": waits.latencies_ns.len(),
                "stall_ns": waits.stall_ns(),
                "gap_ns": waits.gap_ns,
                "p50_ns": percentile(&waits.latencies_ns, 50.0),
                "p99_ns": percentile(&waits.latencies_ns, 99.0),
            })
        };
        json!({
            "name": self.name,
            "length_ns": self.length_ns,
            "cluster": waits(&self.cluster),
            "plain": waits(&self.plain),
        })
    }
}
