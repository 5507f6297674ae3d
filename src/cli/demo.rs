//! `crabcache demo`: a whole cluster of processes on loopback, gone when this one ends. Knows how
//! to start nodes and to ask them; what they do is theirs.

mod add;
mod nodes;
mod told;

use super::cluster::call::CallError;
use super::cluster::node_file::{NODE_FILE, NewNode, Ports, failed};
use super::cluster::print;
use crate::limits::operators::{DEMO_NODES_MAX, DEMO_START_MS_MAX};
use crate::security::{Authority, CA_CERT};
use ::cluster::node::NodeId;
use clap::{Args, Subcommand};
use nodes::{Ending, Nodes};
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// How large a cluster, and where.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Options {
    #[command(subcommand)]
    more: Option<More>,
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = node_count())]
    nodes: u64,
    #[command(flatten)]
    place: Place,
    /// Most memory for the data of each node.
    #[arg(long, default_value = "256MiB", value_name = "SIZE")]
    memory: String,
    /// Copies of each item.
    #[arg(long, default_value_t = 2, value_name = "COPIES")]
    factor: u32,
    /// Leave the folder at the end: the next demo there goes on with the same data.
    #[arg(long)]
    keep: bool,
}

fn node_count() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=DEMO_NODES_MAX)
}

#[derive(Clone, Debug, Subcommand)]
enum More {
    /// Start one node more for a demo that runs.
    Add(Place),
}

/// Which demo.
#[derive(Args, Clone, Debug)]
struct Place {
    /// Folder for certificates, data and logs, kept at the end. Else one below the system's folder
    /// for temporary files, removed at the end.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Node i serves clients on this port + i; forwards on + 200, peers on + 100 and + 300 (UDP),
    /// http on + 2089.
    #[arg(long, default_value_t = 7000, value_name = "PORT")]
    port_base: u16,
}

impl Place {
    fn dir(&self) -> PathBuf {
        let usual = || std::env::temp_dir().join(format!("crabcache-demo-{}", self.port_base));
        self.dir.clone().unwrap_or_else(usual)
    }

    fn ports(&self, i: u64) -> Result<Ports, CallError> {
        let none = || CallError::Other(format!("--port-base {} is too large", self.port_base));
        Ports::of(self.port_base, i).ok_or_else(none)
    }
}

/// Runs it; 0 when it was ended as people end it.
pub(super) fn run(options: &Options) -> ExitCode {
    let done = match &options.more {
        Some(More::Add(place)) => add::run(place),
        None => demo(options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crabcache: {error}");
            ExitCode::FAILURE
        }
    }
}

fn demo(options: &Options) -> Result<(), CallError> {
    let place = &options.place;
    let mut ids = Vec::new();
    for number in 1..=options.nodes {
        let ports = place.ports(number)?;
        nodes::check_ports(number, ports)?;
        ids.push((number, ports));
    }
    let dir = place.dir();
    let keep = options.keep || place.dir.is_some();
    prepare(&dir, keep)?;
    let _folder = Folder { dir: dir.clone(), keep };
    let added = added(place, &dir, options.nodes)?;
    let made = make(options, &dir, &ids, keep)?;
    let ending = Ending::new()?;
    let mut running = Nodes::default();
    let of_added = added.iter().map(|(number, _, path)| (*number, path));
    for (number, path) in made.iter().map(|(number, path)| (*number, path)).chain(of_added) {
        running.start(number, path)?;
    }
    let asked = |ids: &[(u64, Ports)]| -> Vec<(u64, u16)> {
        ids.iter().map(|(id, ports)| (*id, ports.clients)).collect()
    };
    let Some(mut ms) = running.wait_healthy(&asked(&ids), &ending, DEMO_START_MS_MAX)? else {
        return Ok(());
    };
    if let (false, Some((_, first))) = (added.is_empty(), ids.first()) {
        let members = nodes::members(first.clients)?;
        let (kept, gone): (Vec<_>, Vec<_>) =
            added.into_iter().partition(|(number, ..)| members.contains(number));
        gone.iter().for_each(|(number, ..)| running.end(*number));
        ids.extend(kept.iter().map(|(number, ports, _)| (*number, *ports)));
        match running.wait_healthy(&asked(&ids), &ending, DEMO_START_MS_MAX)? {
            Some(more) => ms += more,
            None => return Ok(()),
        }
    }
    print(&told::ready(&dir, &ids, ms, keep, &options.place, running.last_process()));
    running.watch(&ending, &dir);
    print("stopping\n");
    Ok(())
}

/// The nodes that were added to an earlier demo in this folder, with their settings. Which of them
/// were removed since, the others know.
fn added(place: &Place, dir: &Path, first: u64) -> Result<Vec<(u64, Ports, PathBuf)>, CallError> {
    let mut found = Vec::new();
    for number in first + 1..=DEMO_NODES_MAX {
        let path = dir.join(format!("node-{number}")).join(NODE_FILE);
        if path.exists() {
            let ports = place.ports(number)?;
            nodes::check_ports(number, ports)?;
            found.push((number, ports, path));
        }
    }
    Ok(found)
}

/// Removes the folder at the end, unless it is kept.
struct Folder {
    dir: PathBuf,
    keep: bool,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep && fs::remove_dir_all(&self.dir).is_err() {
            eprintln!("crabcache: {} is left", self.dir.display());
        }
    }
}

/// Makes the folder. One that an earlier demo has left, and nobody wants, goes first.
fn prepare(dir: &Path, keep: bool) -> Result<(), CallError> {
    let found = fs::symlink_metadata(dir);
    // SAFETY: the call takes nothing and cannot fail.
    let me = unsafe { libc::geteuid() };
    if let Ok(found) = &found {
        if !found.is_dir() || found.uid() != me {
            let reason = format!("{} is not a folder of yours: --dir names another", dir.display());
            return Err(CallError::Other(reason));
        }
        if !keep && dir.join(MARK).exists() {
            fs::remove_dir_all(dir).map_err(|error| failed(dir, &error))?;
        } else if !keep {
            let reason = format!("{} is there and no demo's: --dir names another", dir.display());
            return Err(CallError::Other(reason));
        }
    }
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| failed(dir, &error))?;
    let mark = dir.join(MARK);
    fs::write(&mark, "a folder of crabcache demo\n").map_err(|error| failed(&mark, &error))
}

/// What says that a folder is a demo's.
const MARK: &str = "demo";

/// Makes the authority, the certificates and the settings; what is there already stays.
fn make(
    options: &Options,
    dir: &Path,
    ids: &[(u64, Ports)],
    durable: bool,
) -> Result<Vec<(u64, PathBuf)>, CallError> {
    let ca = dir.join("ca");
    let authority = match ca.join(CA_CERT).exists() {
        true => Authority::load(&ca),
        false => Authority::init(&ca),
    };
    let authority = authority.map_err(|error| CallError::Other(error.to_string()))?;
    let seeds: Vec<String> =
        ids.iter().map(|(_, ports)| format!("127.0.0.1:{}", ports.control)).collect();
    let mut made = Vec::new();
    for (number, ports) in ids {
        let Some(id) = NodeId::new(*number) else { continue };
        let node = NewNode {
            id,
            host: "127.0.0.1".into(),
            ports: *ports,
            seeds: seeds.clone(),
            zone: String::new(),
            max_memory: Some(options.memory.clone()),
            factor: Some(options.factor),
            policy: durable.then(|| "async".to_owned()),
            token: None,
        };
        made.push((*number, node.write(&authority, &dir.join(format!("node-{number}")))?));
    }
    Ok(made)
}
