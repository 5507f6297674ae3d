//! Settings of a node that is one of several: where the others find it, who it is to them, and how
//! a new cluster begins. Knows no certificate and no connection.

use super::value::{Expected, Kind, Raw, Words};
use super::{ConfigError, LOOPBACK, Setting};
use std::net::IpAddr;
use std::path::PathBuf;

/// The cluster a node belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Whether the node is one of several.
    pub enabled: bool,
    /// Address to listen on for other nodes.
    pub bind: IpAddr,
    /// UDP port for control; 0: any free one.
    pub port: u16,
    /// UDP port for data; 0: any free one.
    pub data_port: u16,
    /// Host or address that other nodes reach this one under; empty: `bind`.
    pub advertise: String,
    /// `host:port` of nodes to ask at the first start, the control port meant.
    pub seeds: Vec<String>,
    /// What fails together with this node; copies go to different ones.
    pub zone: String,
    /// When a write counts as done for its copies.
    pub replication: Replication,
    /// Copies of each item, the primary's included, if there are as many nodes.
    pub replication_factor: u8,
    /// What a node that is none of the seeds shows to be let in.
    pub join: Join,
    /// File with the one-time token that this node joins with; empty: none.
    pub join_token: PathBuf,
    /// Certificate of the cluster's authority.
    pub ca: PathBuf,
    /// Certificate of this node; it says which node of which cluster this is.
    pub cert: PathBuf,
    /// Key of this node's certificate.
    pub key: PathBuf,
    /// Whether the system may split packets for the node.
    pub gso: bool,
}

impl Default for Cluster {
    fn default() -> Cluster {
        Cluster {
            enabled: false,
            bind: LOOPBACK,
            port: 7101,
            data_port: 7301,
            advertise: String::new(),
            seeds: Vec::new(),
            zone: String::new(),
            replication: Replication::Async,
            replication_factor: 2,
            join: Join::Token,
            join_token: PathBuf::new(),
            ca: PathBuf::new(),
            cert: PathBuf::new(),
            key: PathBuf::new(),
            gso: true,
        }
    }
}

impl Cluster {
    /// Whether these settings go together.
    ///
    /// # Errors
    /// A node of a cluster that could not prove it, could not be reached, or has one port for two
    /// things.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if !self.enabled {
            return Ok(());
        }
        let together = |reason: String| Err(ConfigError::Together { reason });
        let files = [("ca", &self.ca), ("cert", &self.cert), ("key", &self.key)];
        if let Some((name, _)) = files.iter().find(|(_, path)| path.as_os_str().is_empty()) {
            return together(format!(
                "cluster.enabled needs cluster.{name}, a file: `crabcache cluster ca init` and \
                 `crabcache cluster ca issue` make the three it takes"
            ));
        }
        if self.port == self.data_port && self.port != 0 {
            return together(format!(
                "cluster.port and cluster.data_port are both {}, expected two ports",
                self.port
            ));
        }
        if self.bind.is_unspecified() && self.advertise.is_empty() {
            return together(format!(
                "cluster.bind is {}, which other nodes cannot reach: cluster.advertise has to say \
                 what they reach this node under",
                self.bind
            ));
        }
        Ok(())
    }

    /// What other nodes reach this one under.
    pub fn host(&self) -> String {
        if self.advertise.is_empty() { self.bind.to_string() } else { self.advertise.clone() }
    }
}

/// When a write counts as done for its copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replication {
    /// When the primary has it; copies follow.
    #[default]
    Async,
}

impl Words for Replication {
    const WORDS: &'static [(&'static str, Replication)] = &[("async", Replication::Async)];
}

/// What a node that is none of the seeds shows to be let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Join {
    /// Its certificate and a one-time token.
    #[default]
    Token,
    /// Its certificate.
    Certificate,
}

impl Words for Join {
    const WORDS: &'static [(&'static str, Join)] =
        &[("token", Join::Token), ("certificate", Join::Certificate)];
}

/// A name: of a host or a zone. Empty: none.
pub(super) struct Name;

/// Names of hosts with ports.
pub(super) struct Hosts;

/// Letters, digits and what else names and addresses are made of.
fn is_name(text: &str) -> bool {
    text.len() <= NAME_BYTES_MAX
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || b".-_:[]%".contains(&c))
}

/// The longest name of a host there may be.
const NAME_BYTES_MAX: usize = 253;

/// `host:port`, an IPv6 address in brackets.
fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host_is_right = match bare {
        Some(bare) => bare.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.contains([':', '[', ']']) && is_name(host),
    };
    host_is_right && port.parse::<u16>().is_ok_and(|port| port != 0)
}

impl Kind<String> for Name {
    type Bound = ();

    fn read(raw: &Raw, (): ()) -> Result<String, Expected> {
        let Raw::Text(text) = raw else { return Err("a name such as \"node-1\"".into()) };
        let text = text.trim();
        if is_name(text) {
            return Ok(text.to_owned());
        }
        Err("a name of letters, digits, \".\", \"-\", \"_\" such as \"node-1\"".into())
    }

    fn show(value: &String) -> Setting {
        Setting::Text(value.clone())
    }
}

impl Kind<Vec<String>> for Hosts {
    type Bound = ();

    fn read(raw: &Raw, (): ()) -> Result<Vec<String>, Expected> {
        let list: Vec<String> = match raw {
            Raw::List(list) => list.clone(),
            Raw::Text(text) if text.trim().is_empty() => Vec::new(),
            Raw::Text(text) => text.split(',').map(|one| one.trim().to_owned()).collect(),
            Raw::Integer(_) | Raw::Boolean(_) | Raw::Other(_) => vec![String::new()],
        };
        if list.iter().all(|one| is_host_and_port(one)) {
            return Ok(list);
        }
        Err("a list of host:port such as [\"node-1:7101\", \"10.0.0.2:7101\"]".into())
    }

    fn show(value: &Vec<String>) -> Setting {
        Setting::List(value.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::{is_host_and_port, is_name};

    #[test]
    fn hosts_and_ports() {
        for right in ["node-1:7101", "10.0.0.2:1", "[::1]:65535", "a.b_c:7101"] {
            assert!(is_host_and_port(right), "{right}");
        }
        for wrong in ["", "node", ":7101", "::1:7101", "node:0", "node:65536", "a b:1", "[x]:1"] {
            assert!(!is_host_and_port(wrong), "{wrong}");
        }
        assert!(is_name("") && is_name("eu-west.1") && !is_name("a\"b") && !is_name("a/b"));
    }
}
