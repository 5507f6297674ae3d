//! `crabcache demo add`: one node more for a demo that runs, in the foreground. Knows the demo's
//! folder and ports.

use super::nodes::{Ending, Nodes, check_ports};
use super::{MARK, Place};
use crate::cli::cluster::add::token;
use crate::cli::cluster::call::{CallError, Target};
use crate::cli::cluster::document::Status;
use crate::cli::cluster::node_file::NewNode;
use crate::cli::cluster::print;
use crate::limits::operators::DEMO_START_MS_MAX;
use crate::security::Authority;
use ::cluster::node::NodeId;

/// Starts it, waits until it is of the cluster, runs it until the end of either.
pub(super) fn run(place: &Place) -> Result<(), CallError> {
    let dir = place.dir();
    if !dir.join(MARK).exists() {
        let dir = dir.display();
        return Err(CallError::Other(format!("no demo runs in {dir}: `crabcache demo` first")));
    }
    let first = place.ports(1)?.clients;
    let address = Some(format!("127.0.0.1:{first}"));
    let target = Target { address, token_file: None, json: true };
    let status = Status::of(&target)?;
    let known = status.nodes.iter().map(|node| node.id).chain(status.gone.iter().copied());
    let number = known.max().unwrap_or(0) + 1;
    let none = || CallError::Other("there is no number left for a node".into());
    let id = NodeId::new(number).ok_or_else(none)?;
    let ports = place.ports(number)?;
    check_ports(number, ports)?;
    let authority = Authority::load(&dir.join("ca"));
    let authority = authority.map_err(|error| CallError::Other(error.to_string()))?;
    let node = NewNode {
        id,
        host: "127.0.0.1".into(),
        ports,
        seeds: status.nodes.iter().map(|node| node.control.clone()).collect(),
        zone: String::new(),
        max_memory: None,
        factor: None,
        durable: false,
        token: Some(token(&target, id, None)?),
    };
    let path = node.write(&authority, &dir.join(format!("node-{number}")))?;
    let ending = Ending::new()?;
    let mut running = Nodes::default();
    running.start(number, &path)?;
    let Some(ms) = running.wait_healthy(&[(number, ports.clients)], &ending, DEMO_START_MS_MAX)?
    else {
        return Ok(());
    };
    print(&format!(
        "node {number} is of the cluster after {ms} ms and gets its share:\n  \
         crabcache cluster status -a 127.0.0.1:{first}\n  crabcache cluster rebalance -a \
         127.0.0.1:{first}\n  crabcache cluster remove {number} -a 127.0.0.1:{first}\nCtrl-C stops \
         it.\n"
    ));
    running.watch(&ending, &dir);
    print("stopping\n");
    Ok(())
}
