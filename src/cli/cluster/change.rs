//! What changes a cluster: each is asked of a node, which refuses or begins it, then waited for.
//! All may be repeated, and interrupted: what has begun goes on by itself.

use super::call::{CallError, Target};
use super::document::{Settings, Status, Wished, read};
use super::show::{self, plural};
use super::wait::{Progress, Watch, pause};
use super::{Done, Waiting, print};
use crate::clock;
use crate::config::parse_duration;
use crate::limits::operators::ADMIN_POLL_MS;
use clap::{Args, Subcommand};

/// A node, and how to go about it.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Node {
    /// The node's number, as `status` shows it.
    node: u64,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    target: Target,
}

/// The same for `remove`.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Remove {
    #[command(flatten)]
    node: Node,
    /// Although too few nodes would be left for all copies; and if the node is down, as soon as
    /// others have what it had.
    #[arg(long)]
    force: bool,
}

/// A node, and whether what speaks against it counts.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Forced {
    /// The node's number, as `status` shows it.
    node: u64,
    /// Although something may be lost.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    target: Target,
}

/// For `rebalance`.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Rebalance {
    /// Show what would move; move nothing.
    #[arg(long)]
    plan: bool,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    target: Target,
}

/// For `move`.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Move {
    /// A slot, 0 to 16383, or a range such as 0-31; groups of 16 move whole.
    slots: String,
    /// The node that they go to.
    #[arg(long, value_name = "NODE")]
    to: u64,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    target: Target,
}

/// For `config`.
#[derive(Clone, Debug, Subcommand)]
pub(in crate::cli) enum Config {
    /// Show all settings of the cluster, or some.
    Get {
        /// Names; all if there are none.
        names: Vec<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Change settings of the cluster.
    Set {
        /// Such as moves_max=32.
        #[arg(required = true, value_name = "NAME=VALUE")]
        pairs: Vec<String>,
        #[command(flatten)]
        target: Target,
    },
}

/// For `form`.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Form {
    /// A seed that is not waited for, as in cluster.seeds; may be repeated. Only for seeds that
    /// belong to no cluster: else there will be two.
    #[arg(long, required = true, value_name = "HOST:PORT")]
    without: Vec<String>,
    #[command(flatten)]
    target: Target,
}

/// Asks for something, and tells what the node says to it.
fn wish(target: &Target, words: &[&str]) -> Done {
    tell(target, &target.ask(words)?)
}

fn tell(target: &Target, answer: &str) -> Done {
    if target.json {
        print(&format!("{answer}\n"));
    } else {
        let wished: Wished = read(answer)?;
        print(&format!("{}\n", wished.message));
    }
    Ok(())
}

/// A line for people.
fn say(target: &Target, text: &str) {
    if !target.json {
        print(&format!("{text}\n"));
    }
}

pub(super) fn drain(options: &Node) -> Done {
    let id = options.node;
    wish(&options.target, &["DRAIN", &id.to_string()])?;
    if options.waiting.no_wait {
        return Ok(());
    }
    let mut watch = Watch::new(&options.target, &options.waiting);
    empty(&mut watch, id)?;
    say(
        &options.target,
        &format!("node {id} keeps nothing; `undrain {id}` gives it its share again"),
    );
    Ok(())
}

/// Waits until a node keeps nothing.
fn empty(watch: &mut Watch<'_>, id: u64) -> Result<Status, CallError> {
    let mut most = 0;
    watch.until(|status| {
        let left = status.node(id).map_or(0, |node| node.keeps());
        most = most.max(left);
        if left == 0 {
            return Progress::Done;
        }
        let percent = (most - left) * 100 / most.max(1);
        Progress::At(format!("node {id} keeps {left} of {most} copies, {percent} % are gone"))
    })
}

/// The same; but one that is down is forgotten as soon as nobody needs it.
fn abandon(watch: &mut Watch<'_>, id: u64) -> Result<Status, CallError> {
    let number = id.to_string();
    watch.until_asked(|watch, status| {
        let Some(node) = status.node(id).filter(|node| node.keeps() > 0) else {
            return Ok(Progress::Done);
        };
        let left = node.keeps();
        if node.up {
            return Ok(Progress::At(format!("node {id} keeps {left} copies")));
        }
        match watch.ask(&["FORGET", &number]) {
            Ok(_) => Ok(Progress::Done),
            // It is up after all, or has the only copy of something: others will have it.
            Err(CallError::Refused(why)) => Ok(Progress::At(why)),
            Err(error) => Err(error),
        }
    })
}

pub(super) fn undrain(options: &Node) -> Done {
    wish(&options.target, &["UNDRAIN", &options.node.to_string()])?;
    settle(&options.target, &options.waiting)
}

/// Waits until nothing is to be moved.
pub(super) fn settle(target: &Target, waiting: &Waiting) -> Done {
    if waiting.no_wait {
        return Ok(());
    }
    let mut watch = Watch::new(target, waiting);
    let mut still = 0;
    watch.until(|status| {
        let groups = &status.groups;
        // The next groups begin to move a moment after the last have arrived.
        still = if groups.moving == 0 { still + 1 } else { 0 };
        if still >= SETTLED_LOOKS {
            return Progress::Done;
        }
        Progress::At(match groups.moving {
            0 => "waiting until nothing moves any more".to_owned(),
            count => format!("{} moving", plural(count.into(), "group", "groups")),
        })
    })?;
    say(target, "shares are even");
    Ok(())
}

/// Looks in a row at which nothing moves, until that is believed.
const SETTLED_LOOKS: u32 = 3;

pub(super) fn remove(options: &Remove) -> Done {
    let Remove { node: Node { node: id, waiting, target }, force } = options;
    let number = id.to_string();
    let mut words = vec!["REMOVE", &number];
    words.extend(force.then_some("FORCE"));
    let before = Status::of(target)?;
    wish(target, &words)?;
    if before.gone.contains(id) {
        return Ok(());
    }
    if waiting.no_wait {
        say(
            target,
            &format!("`crabcache cluster remove {id}` again waits, and takes it off the list"),
        );
        return Ok(());
    }
    let mut watch = Watch::new(target, waiting);
    let status = if *force { abandon(&mut watch, *id) } else { empty(&mut watch, *id) }?;
    if status.node(*id).is_some() {
        linger(&mut watch, target, *id)?;
        watch.ask(&["FORGET", &number])?;
    }
    say(target, &format!("node {id} is gone; its process can be stopped"));
    Ok(())
}

/// The node serves the clients it still has as a proxy: until they are gone, or for a while.
fn linger(watch: &mut Watch<'_>, target: &Target, id: u64) -> Done {
    let settings: Settings = read(&watch.ask(&["SETTINGS"])?)?;
    let linger = settings.settings.get("linger").and_then(|text| parse_duration(text));
    let now_ms = || clock::monotonic_nanos() / 1_000_000;
    let until = now_ms() + linger.map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(0));
    watch.until(|status| {
        let Some(node) = status.node(id).filter(|node| node.up) else { return Progress::Done };
        let left = until.saturating_sub(now_ms()).div_ceil(1000);
        let clients = node.address().and_then(|address| clients(&target.at(address)));
        match clients {
            Some(0) => Progress::Done,
            _ if left == 0 => Progress::Done,
            Some(count) => {
                let clients = plural(count, "client", "clients");
                Progress::At(format!("node {id} is empty and still has {clients}; {left} s left"))
            }
            None => Progress::At(format!("node {id} is empty; {left} s left for its clients")),
        }
    })?;
    pause(ADMIN_POLL_MS);
    Ok(())
}

/// How many others are connected to a node; `None` if it does not tell.
fn clients(target: &Target) -> Option<u64> {
    let info = target.call(&["INFO", "clients"]).ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("connected_clients:"))?;
    line.trim().parse::<u64>().ok().map(|count| count.saturating_sub(1))
}

pub(super) fn rebalance(options: &Rebalance) -> Done {
    if !options.plan {
        return settle(&options.target, &options.waiting);
    }
    let answer = options.target.ask(&["PLAN"])?;
    if options.target.json {
        print(&format!("{answer}\n"));
    } else {
        print(&show::plan(&read(&answer)?));
    }
    Ok(())
}

pub(super) fn move_slots(options: &Move) -> Done {
    let (first, last) = options.slots.split_once('-').unwrap_or((&options.slots, &options.slots));
    wish(&options.target, &["MOVE", first, last, &options.to.to_string()])?;
    settle(&options.target, &options.waiting)
}

pub(super) fn forced(verb: &str, options: &Forced) -> Done {
    let number = options.node.to_string();
    let mut words = vec![verb, &number];
    words.extend(options.force.then_some("FORCE"));
    wish(&options.target, &words)
}

pub(super) fn config(options: &Config) -> Done {
    match options {
        Config::Get { names, target } => {
            let answer = target.ask(&["SETTINGS"])?;
            let mut settings: Settings = read(&answer)?;
            if let Some(name) = names.iter().find(|name| !settings.settings.contains_key(*name)) {
                let known: Vec<&str> = settings.settings.keys().map(String::as_str).collect();
                let known = known.join(", ");
                return Err(CallError::Other(format!(
                    "there is no setting {name}; there are {known}"
                )));
            }
            if target.json {
                print(&format!("{answer}\n"));
                return Ok(());
            }
            settings.settings.retain(|name, _| names.is_empty() || names.contains(name));
            print(&show::settings(&settings));
            Ok(())
        }
        Config::Set { pairs, target } => {
            let mut words = vec!["SETTINGS"];
            for pair in pairs {
                let wrong = || CallError::Other(format!("{pair}: expected NAME=VALUE"));
                let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
                words.extend([name, value]);
            }
            wish(target, &words)
        }
    }
}

pub(super) fn form(options: &Form) -> Done {
    let seeds: Vec<&str> = options.without.iter().map(String::as_str).collect();
    wish(&options.target, &[&["FORM"], &seeds[..]].concat())
}
