//! `crabcache cluster ca`: makes the certificate authority of a cluster, and certificates for its
//! nodes. Knows no certificate; `security` does.

use crate::security::{Authority, CA_CERT, CA_KEY, NODE_CERT, NODE_KEY, SecurityError};
use ::cluster::topology::NodeId;
use clap::Subcommand;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What to make.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Options {
    /// Make a certificate authority: with it begins a new cluster.
    Init {
        /// Folder for ca.crt and ca.key; made when it is missing.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
    /// Make an authority in DIR/ca and certificates for nodes 1 to N in DIR/node-N, where they are
    /// missing: for machines that start without a person.
    Prepare {
        /// The folder for all of them.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// How many nodes.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1024))]
        nodes: u64,
    },
    /// Make a certificate for a node of the cluster.
    Issue {
        /// The authority's folder.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// The node's number, 1 or more; also 0x and hexadecimal. No two nodes share one.
        #[arg(long, value_name = "ID", value_parser = node_id)]
        node: NodeId,
        /// Folder for ca.crt, node.crt and node.key; made when it is missing.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

/// Makes it; 0 when that went well.
pub(super) fn run(options: &Options) -> ExitCode {
    let made = match options {
        Options::Init { dir } => init(dir),
        Options::Prepare { dir, nodes } => prepare(dir, *nodes),
        Options::Issue { dir, node, out } => issue(dir, *node, out),
    };
    match made {
        Ok(told) => {
            let _ = io::stdout().write_all(told.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("crabcache: {error}");
            ExitCode::FAILURE
        }
    }
}

fn init(dir: &Path) -> Result<String, SecurityError> {
    let authority = Authority::init(dir)?;
    let mut told = format!("cluster {}\n", authority.cluster());
    let _ = writeln!(told, "{}: for every node", dir.join(CA_CERT).display());
    let _ = writeln!(told, "{}: secret, makes new nodes", dir.join(CA_KEY).display());
    let _ = writeln!(
        told,
        "next: crabcache cluster ca issue --dir {} --node 1 --out node-1",
        dir.display()
    );
    Ok(told)
}

fn prepare(dir: &Path, nodes: u64) -> Result<String, SecurityError> {
    let ca = dir.join("ca");
    let (mut told, authority) = match ca.join(CA_CERT).exists() {
        true => (String::new(), Authority::load(&ca)?),
        false => (init(&ca)?, Authority::load(&ca)?),
    };
    for id in (1..=nodes).filter_map(NodeId::new) {
        let out = dir.join(format!("node-{}", id.number()));
        if !out.join(NODE_CERT).exists() {
            authority.issue(id, &out)?;
            let _ = writeln!(told, "node {} in {}", id.number(), out.display());
        }
    }
    Ok(told)
}

fn issue(dir: &Path, node: NodeId, out: &Path) -> Result<String, SecurityError> {
    let name = Authority::load(dir)?.issue(node, out)?;
    let mut told = format!("node {} of cluster {}\n", node.number(), name.cluster);
    for (key, file) in [("ca", CA_CERT), ("cert", NODE_CERT), ("key", NODE_KEY)] {
        let _ = writeln!(told, "cluster.{key} = \"{}\"", out.join(file).display());
    }
    Ok(told)
}

fn node_id(text: &str) -> Result<NodeId, String> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    number.and_then(NodeId::new).ok_or_else(|| "expected a whole number from 1 on".to_owned())
}

#[cfg(test)]
mod tests {
    use super::node_id;

    #[test]
    fn numbers_of_nodes() {
        for (text, number) in [("1", 1), ("0xff", 255), ("18446744073709551615", u64::MAX)] {
            assert_eq!(node_id(text).map(|id| id.number()), Ok(number));
        }
        for wrong in ["", "0", "0x0", "-1", "ff", "0xg", "18446744073709551616"] {
            assert!(node_id(wrong).is_err(), "{wrong}");
        }
    }
}
