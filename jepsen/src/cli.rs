//! The command line: one command per figure. Reads arguments, tells stories, shows what they say.

use crate::clock::SECOND;
use crate::failover::{self, Run};
use crate::figures::{Figure, ms, percentile, table};
use crate::history::{Event, Op, edn};
use crate::limits::TOLD_MAX;
use crate::nodes::{Fault, Nodes, Setup};
use crate::{Failure, quiet, resize};
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Starts a real cluster, breaks it or changes it, and says what clients saw of that.
#[derive(Debug, Parser)]
#[command(name = "jepsen")]
struct Cli {
    #[command(subcommand)]
    story: Story,
}

#[derive(Debug, Subcommand)]
enum Story {
    /// A node dies, stops or is cut off: how long its slots are away, what others notice.
    Failover(FailoverOptions),
    /// A node is added and one removed: errors, lost and stale keys, stalls.
    Resize(ResizeOptions),
    /// All processors busy with large values: whether anybody is taken for dead.
    Quiet(QuietOptions),
}

#[derive(Args, Debug)]
struct Common {
    /// The program; else the `crabcache` beside this one.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// How many nodes there are at first.
    #[arg(long, default_value_t = 3)]
    nodes: u64,
    /// Each node in a network namespace of its own; needs root and iproute2.
    #[arg(long)]
    netns: bool,
    /// Most memory of each node.
    #[arg(long, default_value = "1GiB", value_name = "SIZE")]
    memory: String,
    /// Leave the folder with settings and logs.
    #[arg(long)]
    keep: bool,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
    /// Write the history as EDN to this file; of several runs, to FILE.1 and so on.
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct FailoverOptions {
    #[command(flatten)]
    common: Common,
    /// What happens to the node.
    #[arg(long, value_enum, default_value_t = Fault::Kill)]
    fault: Fault,
    /// Which node.
    #[arg(long, value_enum, default_value_t = Victim::Any)]
    victim: Victim,
    /// How often.
    #[arg(long, default_value_t = 50)]
    repetitions: u64,
    /// Operations a second.
    #[arg(long, default_value_t = 3000)]
    rate: u64,
    /// Seconds before the fault that are the control.
    #[arg(long, default_value_t = 2)]
    control: u64,
    /// Seconds that the fault lasts.
    #[arg(long, default_value_t = 2)]
    event: u64,
    /// Bytes of values.
    #[arg(long, default_value_t = 128)]
    value_bytes: usize,
    /// Ends early, well, when so many seconds have passed.
    #[arg(long, default_value_t = 86_400)]
    seconds: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Victim {
    /// One after another.
    Any,
    /// The one that leads the Raft group.
    Leader,
    /// One that does not.
    Other,
}

#[derive(Args, Debug)]
struct ResizeOptions {
    #[command(flatten)]
    common: Common,
    /// Keys that are there.
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// Clients; every second one is plain and uses the forward port.
    #[arg(long, default_value_t = 100)]
    connections: u32,
    /// Operations a second, half of them writes.
    #[arg(long, default_value_t = 3000)]
    rate: u64,
    /// How often a node is added and one removed.
    #[arg(long, default_value_t = 1)]
    cycles: u64,
    /// Seconds before each change that are the control.
    #[arg(long, default_value_t = 20)]
    control: u64,
    /// Bytes of values.
    #[arg(long, default_value_t = 128)]
    value_bytes: usize,
    /// So many values more of --large-bytes.
    #[arg(long, default_value_t = 0)]
    large: u64,
    /// Bytes of each of them; a node takes at most 64 MiB.
    #[arg(long, default_value_t = 60 << 20)]
    large_bytes: usize,
}

#[derive(Args, Debug)]
struct QuietOptions {
    #[command(flatten)]
    common: Common,
    /// How long.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Clients.
    #[arg(long, default_value_t = 6)]
    connections: usize,
    /// Bytes of values.
    #[arg(long, default_value_t = 10_000_000)]
    value_bytes: usize,
    /// Keys of each client.
    #[arg(long, default_value_t = 4)]
    keys: u64,
    /// Threads that only keep a processor busy.
    #[arg(long, default_value_t = 0)]
    burn: usize,
}

/// Tells the story that the arguments name; 0 when it was told to its end and nothing that must not
/// happen did.
pub fn main() -> ExitCode {
    let told = match Cli::parse().story {
        Story::Failover(options) => failover(&options),
        Story::Resize(options) => resize(&options),
        Story::Quiet(options) => quiet(&options),
    };
    match told {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("jepsen: {error}");
            ExitCode::from(2)
        }
    }
}

impl Common {
    fn start(&self) -> Result<Nodes, Failure> {
        let beside = || Some(std::env::current_exe().ok()?.parent()?.join("crabcache"));
        let binary = self.binary.clone().or_else(beside).ok_or("--binary FILE is missing")?;
        let Common { nodes, netns, keep, .. } = *self;
        let nodes =
            Nodes::start(&Setup { binary, nodes, netns, memory: self.memory.clone(), keep })?;
        if keep {
            eprintln!("settings and logs are in {}", nodes.path().display());
        }
        Ok(nodes)
    }

    fn write_history(&self, number: usize, ops: &[Op], events: &[Event]) -> Result<(), Failure> {
        let Some(path) = &self.history else { return Ok(()) };
        let mut name = path.clone().into_os_string();
        if number > 0 {
            name.push(format!(".{number}"));
        }
        let failed = |error| format!("{}: {error}", Path::new(&name).display());
        fs::write(&name, edn(ops, events)).map_err(failed)
    }

    fn print(&self, json: &Value, text: &str) {
        let text = if self.json { format!("{json}\n") } else { text.to_owned() };
        // Whoever reads it may have gone.
        let _ = std::io::stdout().write_all(text.as_bytes());
    }
}

/// The node that is to be broken next.
fn victim(nodes: &Nodes, which: Victim, number: u64) -> Result<u64, Failure> {
    let leader = nodes.status()?.leader();
    let (ids, at) = (nodes.ids(), usize::try_from(number).unwrap_or(0));
    let others: Vec<u64> = ids.iter().copied().filter(|id| Some(*id) != leader).collect();
    let found = match which {
        Victim::Any => ids.get(at % ids.len().max(1)).copied(),
        Victim::Leader => leader,
        Victim::Other => others.get(at % others.len().max(1)).copied(),
    };
    found.ok_or_else(|| "nobody leads".to_owned())
}

fn failover(options: &FailoverOptions) -> Result<bool, Failure> {
    let common = &options.common;
    let plan = failover::Plan {
        fault: options.fault,
        rate: options.rate,
        control_ns: options.control.max(1) * SECOND,
        event_ns: options.event.max(1) * SECOND,
        value_bytes: options.value_bytes,
    };
    let begun = crate::clock::now_ns();
    let mut nodes = common.start()?;
    if options.fault == Fault::Cut && !nodes.can_cut() {
        return Err("--fault cut needs --netns".into());
    }
    let mut runs: Vec<Run> = Vec::new();
    for number in 0..options.repetitions {
        if crate::clock::now_ns() - begun > options.seconds * SECOND {
            break;
        }
        let victim = victim(&nodes, options.victim, number)?;
        let told = failover::run(&mut nodes, &plan, victim, &format!("{number}-"));
        let mut run = told.map_err(|error| {
            format!("repetition {number}, node {victim}: {error}\nleft: {}", nodes.keep().display())
        })?;
        common.write_history(usize::try_from(number).unwrap_or(0), &run.ops, &run.events)?;
        eprintln!("{number:>3}  {}", line(&run));
        run.ops.clear();
        runs.push(run);
    }
    let figures = failover::figures(&runs);
    common.print(&failover_json(&runs, &figures), &failover_text(&runs, &figures));
    Ok(runs.iter().all(|run| run.verdict.phantom == 0))
}

/// A repetition as a line.
fn line(run: &Run) -> String {
    let ends = [run.away_ns.first(), run.away_ns.last()].map(|v| v.map_or("-".into(), |v| ms(*v)));
    let role = if run.led { "leader" } else { "voter" };
    format!(
        "node {} ({role})  away {} to {} ms ({} of {} groups)  others {} ms, control {} ms  lost \
         {} stale {} phantom {} failed {} uncertain {}  {:?}",
        run.victim,
        ends[0],
        ends[1],
        run.away_ns.len(),
        run.groups,
        ms(run.event.stall_ns()),
        ms(run.control.stall_ns()),
        run.losses_ns.len(),
        run.verdict.stale.len(),
        run.verdict.phantom,
        run.verdict.failed,
        run.verdict.uncertain,
        run.counts,
    )
}

/// Over all repetitions: what became of the data.
struct Sums {
    writes: usize,
    reads: usize,
    lost: usize,
    lost_after: usize,
    lost_age_ns: u64,
    stale: usize,
    stale_age_ns: u64,
    phantom: usize,
    failed: usize,
    uncertain: usize,
    calm: usize,
}

/// What a fault may add to the longest wait of others.
const STALL_NS_MAX: u64 = 30 * crate::clock::MS;

fn sums(runs: &[Run]) -> Sums {
    let sum = |pick: &dyn Fn(&Run) -> usize| runs.iter().map(pick).sum();
    let stale = runs.iter().flat_map(|run| &run.verdict.stale);
    let calm = |run: &&Run| run.event.gap_ns <= run.control.gap_ns + STALL_NS_MAX;
    Sums {
        writes: sum(&|run| run.verdict.writes),
        reads: sum(&|run| run.verdict.reads),
        lost: sum(&|run| run.losses_ns.len()),
        lost_after: sum(&Run::lost_after),
        lost_age_ns: runs.iter().map(Run::lost_age_ns).max().unwrap_or(0),
        stale: sum(&|run| run.verdict.stale.len()),
        stale_age_ns: stale.map(|stale| stale.age_ns).max().unwrap_or(0),
        phantom: sum(&|run| run.verdict.phantom),
        failed: sum(&|run| run.verdict.failed),
        uncertain: sum(&|run| run.verdict.uncertain),
        calm: runs.iter().filter(calm).count(),
    }
}

fn failover_text(runs: &[Run], figures: &[Figure]) -> String {
    let sums = sums(runs);
    format!(
        "{}\nothers' longest gap within 30 ms of the control's in {} of {} runs\n\
         {} writes and {} reads; lost {} (the oldest acknowledged {} ms before the fault, {} after \
         it), stale reads {} (at most {} ms), never written {}, failed {}, uncertain {}\n",
        table(figures),
        sums.calm,
        runs.len(),
        sums.writes,
        sums.reads,
        sums.lost,
        ms(sums.lost_age_ns),
        sums.lost_after,
        sums.stale,
        ms(sums.stale_age_ns),
        sums.phantom,
        sums.failed,
        sums.uncertain,
    )
}

fn failover_json(runs: &[Run], figures: &[Figure]) -> Value {
    let sums = sums(runs);
    json!({
        "runs": runs.len(),
        "figures": figures.iter().map(Figure::json).collect::<Vec<_>>(),
        "calm_runs": sums.calm,
        "writes": sums.writes,
        "reads": sums.reads,
        "lost": sums.lost,
        "lost_after_fault": sums.lost_after,
        "lost_age_ns_max": sums.lost_age_ns,
        "stale": sums.stale,
        "stale_age_ns_max": sums.stale_age_ns,
        "phantom": sums.phantom,
        "failed": sums.failed,
        "uncertain": sums.uncertain,
    })
}

fn resize(options: &ResizeOptions) -> Result<bool, Failure> {
    let common = &options.common;
    let plan = resize::Plan {
        keys: options.keys,
        connections: options.connections,
        rate: options.rate,
        cycles: options.cycles,
        control_ns: options.control.max(1) * SECOND,
        value_bytes: options.value_bytes,
        large: options.large,
        large_bytes: options.large_bytes,
    };
    let mut nodes = common.start()?;
    let told = resize::run(&mut nodes, &plan);
    let run = told.map_err(|error| format!("{error}\nleft: {}", nodes.keep().display()))?;
    common.write_history(0, &run.ops, &run.events)?;
    let verdict = &run.verdict;
    let json = json!({
        "phases": run.phases.iter().map(resize::Phase::json).collect::<Vec<_>>(),
        "errors": run.errors(),
        "lost": verdict.lost.len(),
        "stale": verdict.stale.len(),
        "phantom": verdict.phantom,
        "checked": verdict.checked,
        "large_wrong": run.large_wrong,
        "writes": verdict.writes,
        "reads": verdict.reads,
        "met": run.counts,
    });
    common.print(&json, &resize_text(&run));
    let wrong = verdict.lost.len() + verdict.stale.len() + verdict.phantom + run.large_wrong;
    Ok(wrong == 0)
}

fn resize_text(run: &resize::Run) -> String {
    let mut text = format!(
        "{:<9} {:>8} {:>8} {:>9} {:>9} {:>9} {:>9}\n",
        "ms", "length", "clients", "p50", "p99", "stall", "gap"
    );
    for phase in &run.phases {
        for (kind, waits) in [("cluster", &phase.cluster), ("plain", &phase.plain)] {
            let [p50, p99] = [50.0, 99.0].map(|p| ms(percentile(&waits.latencies_ns, p)));
            text.push_str(&format!(
                "{:<9} {:>8} {kind:>8} {p50:>9} {p99:>9} {:>9} {:>9}\n",
                phase.name,
                phase.length_ns / crate::clock::MS,
                ms(waits.stall_ns()),
                ms(waits.gap_ns),
            ));
        }
    }
    let verdict = &run.verdict;
    text.push_str(&format!(
        "\n{} writes and {} reads; errors that users saw {}, keys checked {}, lost {}, stale {}, \
         never written {}, large values wrong {}\nmet on the way: {:?}\n",
        verdict.writes,
        verdict.reads,
        run.errors(),
        verdict.checked,
        verdict.lost.len(),
        verdict.stale.len(),
        verdict.phantom,
        run.large_wrong,
        run.counts,
    ));
    for lost in verdict.lost.iter().take(TOLD_MAX) {
        text.push_str(&format!("{lost:?}\n"));
    }
    for stale in verdict.stale.iter().take(TOLD_MAX) {
        text.push_str(&format!("{stale:?}\n"));
    }
    text
}

fn quiet(options: &QuietOptions) -> Result<bool, Failure> {
    let common = &options.common;
    let plan = quiet::Plan {
        length_ns: options.seconds * SECOND,
        connections: options.connections,
        value_bytes: options.value_bytes,
        keys: options.keys,
        burn: options.burn,
    };
    let mut nodes = common.start()?;
    let told = quiet::run(&mut nodes, &plan);
    let run = told.map_err(|error| format!("{error}\nleft: {}", nodes.keep().display()))?;
    let json = json!({
        "looks": run.looks,
        "down": run.down,
        "changed": run.changed,
        "unanswered": run.unanswered,
        "versions": run.versions,
        "answers": run.answers,
        "errors": run.errors,
        "busy_percent": run.busy_percent,
    });
    let text = format!(
        "{} looks: a node down at {}, other owners at {}, unanswered {}; {} steps of the topology\n\
         {} answers to clients, {} errors; processors {} % busy\n",
        run.looks,
        run.down,
        run.changed,
        run.unanswered,
        run.versions,
        run.answers,
        run.errors,
        run.busy_percent,
    );
    common.print(&json, &text);
    Ok(run.down == 0 && run.changed == 0)
}
