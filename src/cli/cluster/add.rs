//! `crabcache cluster add`: a certificate, a token and settings for one node more, and how to
//! start it; then waits until it has its share. Knows no secret of the cluster but its authority's
//! folder.

use super::call::{CallError, Target};
use super::change::settle;
use super::document::Status;
use super::node_file::{NewNode, Ports};
use super::wait::{Progress, Watch};
use super::{Done, Waiting, print};
use crate::security::{Authority, JoinToken};
use ::cluster::node::NodeId;
use clap::Args;
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which node, and where.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Options {
    /// Folder of the cluster's certificate authority (ca.crt, ca.key).
    #[arg(long, value_name = "DIR")]
    ca: PathBuf,
    /// The new node's number; else the next that nobody has had.
    #[arg(long, value_name = "ID")]
    node: Option<u64>,
    /// Folder for its certificate, settings and data; else node-ID.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What the others and clients reach it under; else 127.0.0.1, if they are there too.
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// What it fails together with.
    #[arg(long, default_value = "", value_name = "ZONE")]
    zone: String,
    /// Start it here, in the foreground, instead of waiting for it.
    #[arg(long)]
    start: bool,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    target: Target,
}

/// For `token`.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct ForNode {
    /// The number of the node that is to join.
    node: u64,
    /// How long it may take; else 10 minutes.
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(options: &Options) -> Done {
    let status = Status::of(&options.target)?;
    let authority = Authority::load(&options.ca).map_err(|e| CallError::Other(e.to_string()))?;
    if status.cluster != Some(authority.cluster().to_string()) {
        return Err(CallError::Other(format!(
            "{} is the authority of another cluster than that of {}",
            options.ca.display(),
            options.target.address()
        )));
    }
    let mut node = new_node(options, &status)?;
    let id = node.id.number();
    if status.node(id).is_none() {
        node.token = Some(token(&options.target, node.id, None)?);
    }
    let out = options.out.clone().unwrap_or_else(|| PathBuf::from(format!("node-{id}")));
    let path = node.write(&authority, &out)?;
    let program = std::env::current_exe().unwrap_or_else(|_| "crabcache".into());
    if options.start {
        let error = Command::new(&program).arg("server").arg("--config").arg(&path).exec();
        return Err(CallError::Other(format!("{}: {error}", program.display())));
    }
    if !options.target.json {
        print(&told(&node, &path, &out));
    }
    if options.waiting.no_wait {
        return Ok(());
    }
    Watch::new(&options.target, &options.waiting).until(|status| {
        match status.node(id).is_some_and(|node| node.up && node.incarnation > 0) {
            true => Progress::Done,
            false => Progress::At(format!("waiting for node {id}; Ctrl-C leaves that to it")),
        }
    })?;
    settle(&options.target, &options.waiting)
}

/// Makes a token for a node that is to join, and has the cluster take it. Only its SHA-256 goes
/// over the wire.
pub(in crate::cli) fn token(
    target: &Target,
    node: NodeId,
    seconds: Option<u64>,
) -> Result<JoinToken, CallError> {
    let token = JoinToken::new().map_err(|error| CallError::Other(error.to_string()))?;
    let (hash, node) = (token.hash_text(), node.number().to_string());
    let seconds = seconds.map(|seconds| seconds.to_string());
    let words = ["TOKEN", &hash, &node].into_iter().chain(seconds.as_deref());
    target.ask(&words.collect::<Vec<&str>>())?;
    Ok(token)
}

/// Prints a token for a node whose settings somebody else makes.
pub(super) fn print_token(options: &ForNode) -> Done {
    let wrong = || CallError::Other("nodes are numbered from 1 on".into());
    let node = NodeId::new(options.node).ok_or_else(wrong)?;
    let token = token(&options.target, node, options.seconds)?;
    print(&format!("{}\n", token.expose()));
    Ok(())
}

fn new_node(options: &Options, status: &Status) -> Result<NewNode, CallError> {
    let all = || status.nodes.iter().map(|node| node.id).chain(status.gone.iter().copied());
    let number = options.node.unwrap_or_else(|| all().max().unwrap_or(0) + 1);
    if status.node(number).is_some_and(|node| node.up) {
        return Err(CallError::Other(format!("node {number} is of the cluster already")));
    }
    let wrong = || CallError::Other("nodes are numbered from 1 on".into());
    let id = NodeId::new(number).ok_or_else(wrong)?;
    let local = status.nodes.iter().all(|node| is_local(&node.control));
    let (host, ports) = match (&options.host, local) {
        (None, true) => ("127.0.0.1".to_owned(), beside(status, number)?),
        (Some(host), _) => (host.clone(), Ports::USUAL),
        (None, false) => {
            let reason = "--host HOST has to say what the others reach the new node under";
            return Err(CallError::Other(reason.into()));
        }
    };
    // Nodes of a cluster should be alike.
    let max_memory = options.target.setting("memory.max_memory")?;
    let policy = options.target.setting("wal.policy")?;
    Ok(NewNode {
        id,
        host,
        ports,
        seeds: status.nodes.iter().map(|node| node.control.clone()).collect(),
        zone: options.zone.clone(),
        max_memory,
        factor: None,
        policy: policy.filter(|policy| policy != "none"),
        token: None,
    })
}

fn is_local(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Ports on the machine of the others: numbered as theirs are.
fn beside(status: &Status, number: u64) -> Result<Ports, CallError> {
    let base = status.nodes.iter().find_map(|node| {
        let port: u64 = node.address()?.rsplit(':').next()?.parse().ok()?;
        u16::try_from(port.checked_sub(node.id)?).ok()
    });
    let base = base.unwrap_or(Ports::USUAL.clients - 1);
    let none = || CallError::Other(format!("there are no ports for a node {number} here"));
    Ports::of(base, number).ok_or_else(none)
}

/// How to start it.
fn told(node: &NewNode, path: &Path, out: &Path) -> String {
    let id = node.id.number();
    format!(
        "node {id}: certificate, key, token and settings are in {}; the token lets it join once,\n\
         within 10 minutes\n\
         clients on {host}:{}, forwarding {}, control {}/udp, data {}/udp\n\
         if it runs elsewhere, move that folder there and change the paths in the settings; a\n\
         cluster whose clients need tokens wants server.tokens there too\n\n\
         start it:  crabcache server --config {}\n",
        out.display(),
        node.ports.clients,
        node.ports.forward,
        node.ports.control,
        node.ports.data,
        path.display(),
        host = node.host,
    )
}
