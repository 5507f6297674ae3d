//! Short stories of `jepsen/` as part of the gate: real nodes as processes under load, one of which
//! is killed; then one is added and one removed. What has to hold always is asserted here; how long
//! things take is what `jepsen` measures.

use jepsen::clock::SECOND;
use jepsen::failover::{self, Plan as FailoverPlan};
use jepsen::history::{Outcome, edn};
use jepsen::nodes::{Fault, Nodes, Setup};
use jepsen::resize::{self, Plan as ResizePlan};
use std::path::PathBuf;

fn nodes() -> Nodes {
    let setup = Setup {
        binary: PathBuf::from(env!("CARGO_BIN_EXE_crabcache")),
        nodes: 3,
        netns: false,
        memory: "64MiB".into(),
        keep: false,
    };
    Nodes::start(&setup).expect("three nodes that are one cache")
}

#[test]
fn a_killed_node_is_replaced_and_comes_back() {
    let mut nodes = nodes();
    let plan = FailoverPlan {
        fault: Fault::Kill,
        rate: 500,
        control_ns: SECOND,
        event_ns: 2 * SECOND,
        value_bytes: 64,
    };
    let run = failover::run(&mut nodes, &plan, 2, "t").expect("a story");
    let verdict = &run.verdict;
    assert!(run.groups > 300 && !run.away_ns.is_empty(), "{} groups", run.groups);
    assert!(verdict.writes > 100 && verdict.reads > 20 && verdict.checked > 100, "{verdict:?}");
    assert_eq!((verdict.phantom, run.lost_after()), (0, 0), "{verdict:?}");
    // Copies are asynchronous: the last writes may be lost with the node, older ones never.
    let oldest = run.lost_age_ns();
    assert!(oldest < 5 * SECOND, "lost, {oldest} ns after it was acknowledged: {verdict:?}");
    let history = edn(&run.ops, &run.events);
    assert_eq!(history.lines().count(), run.ops.len() * 2 + run.events.len());
    assert!(history.contains("{:type :info, :f :kill, :value 2, :process :nemesis, :time "));
}

#[test]
fn a_node_comes_and_goes_and_every_key_stays() {
    let mut nodes = nodes();
    let plan = ResizePlan {
        keys: 2000,
        connections: 10,
        rate: 300,
        cycles: 1,
        control_ns: SECOND / 2,
        value_bytes: 64,
        large: 1,
        large_bytes: 1 << 20,
    };
    let run = resize::run(&mut nodes, &plan).expect("a story");
    let verdict = &run.verdict;
    assert_eq!(verdict.checked, 2000);
    assert_eq!((&verdict.lost[..], &verdict.stale[..], verdict.phantom), (&[][..], &[][..], 0));
    assert_eq!(run.large_wrong, 0);
    let failed: Vec<_> = run.ops.iter().filter(|op| op.outcome != Outcome::Ok).collect();
    assert!(failed.is_empty(), "{failed:?}, on the way {:?}", run.counts);
    assert!(run.phases.iter().map(|phase| phase.name).eq(["control", "add", "control", "remove"]));
    assert_eq!(nodes.ids(), [1, 2, 4]);
}
