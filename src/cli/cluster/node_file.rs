//! The settings of a new node as a file, and its certificate beside it. Knows no running node.

use super::call::CallError;
use crate::security::{
    Authority, CA_CERT, JOIN_TOKEN, JoinToken, NODE_CERT, NODE_KEY, SecurityError,
};
use ::cluster::node::NodeId;
use std::fmt::Write;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// The name of the file.
pub(in crate::cli) const NODE_FILE: &str = "crabcache.toml";

/// A node that does not run yet.
#[derive(Clone, Debug)]
pub(in crate::cli) struct NewNode {
    pub(in crate::cli) id: NodeId,
    /// What others reach it under.
    pub(in crate::cli) host: String,
    pub(in crate::cli) ports: Ports,
    pub(in crate::cli) seeds: Vec<String>,
    pub(in crate::cli) zone: String,
    /// `None`: by itself.
    pub(in crate::cli) max_memory: Option<String>,
    pub(in crate::cli) factor: Option<u32>,
    /// When what is written counts as done, where its data is to outlive it.
    pub(in crate::cli) policy: Option<String>,
    /// What it joins with, if it is to join a cluster that is there.
    pub(in crate::cli) token: Option<JoinToken>,
}

/// Its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Ports {
    pub(in crate::cli) clients: u16,
    pub(in crate::cli) forward: u16,
    pub(in crate::cli) control: u16,
    pub(in crate::cli) data: u16,
    pub(in crate::cli) http: u16,
}

impl Ports {
    /// Those of a node on a machine of its own.
    pub(in crate::cli) const USUAL: Ports =
        Ports { clients: 7001, forward: 7201, control: 7101, data: 7301, http: 9090 };

    /// Those of node `i` of several on a machine; `None` where there are no such ports.
    pub(in crate::cli) fn of(base: u16, i: u64) -> Option<Ports> {
        let port = |offset: u16| {
            let port = u64::from(base) + u64::from(offset) + i;
            u16::try_from(port).ok()
        };
        Some(Ports {
            clients: port(0)?,
            forward: port(200)?,
            control: port(100)?,
            data: port(300)?,
            http: port(2089)?,
        })
    }

    /// Each with what it is for, and whether it is of UDP.
    pub(in crate::cli) fn all(self) -> [(&'static str, u16, bool); 5] {
        [
            ("clients", self.clients, false),
            ("forwarding", self.forward, false),
            ("control", self.control, true),
            ("data", self.data, true),
            ("http", self.http, false),
        ]
    }
}

impl NewNode {
    /// Makes the folder, the certificate and the settings; where these are already, they stay. A
    /// token takes the place of an earlier one.
    /// The path of the settings.
    pub(in crate::cli) fn write(
        &self,
        authority: &Authority,
        dir: &Path,
    ) -> Result<PathBuf, CallError> {
        let dir = std::path::absolute(dir).map_err(|error| failed(dir, &error))?;
        if !dir.join(NODE_CERT).exists() {
            let issued: Result<_, SecurityError> = authority.issue(self.id, &dir);
            issued.map_err(|error| CallError::Other(error.to_string()))?;
        }
        if let Some(token) = &self.token {
            token.save(&dir).map_err(|error| CallError::Other(error.to_string()))?;
        }
        let path = dir.join(NODE_FILE);
        if !path.exists() {
            fs::write(&path, self.toml(&dir)).map_err(|error| failed(&path, &error))?;
        }
        Ok(path)
    }

    /// Its settings, with everything in `dir`.
    fn toml(&self, dir: &Path) -> String {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let file = |name: &str| quoted(&dir.join(name).display().to_string());
        // An address is listened on; of a name nobody knows which address it will be.
        let bind = self.host.parse::<IpAddr>().map_or("0.0.0.0".into(), |ip| ip.to_string());
        let (bind, host, ports) = (quoted(&bind), quoted(&self.host), self.ports);
        let seeds: Vec<String> = self.seeds.iter().map(|seed| quoted(seed)).collect();
        let mut text = format!("# Node {} of a cluster.\n\n[server]\n", self.id.number());
        let _ = writeln!(text, "bind = {bind}\nport = {}\nadvertise = {host}", ports.clients);
        let _ = writeln!(text, "forward_port = {}\nforward_advertise = {host}", ports.forward);
        let _ = writeln!(text, "\n[http]\nport = {}", ports.http);
        if let Some(most) = &self.max_memory {
            let _ = writeln!(text, "\n[memory]\nmax_memory = {}", quoted(most));
        }
        let _ = writeln!(text, "\n[data]\ndir = {}", file("data"));
        if let Some(policy) = &self.policy {
            let _ = writeln!(text, "\n[wal]\npolicy = {}", quoted(policy));
        }
        let _ = writeln!(text, "\n[cluster]\nenabled = true\nbind = {bind}\nadvertise = {host}");
        let _ = writeln!(text, "port = {}\ndata_port = {}", ports.control, ports.data);
        let _ = writeln!(text, "seeds = [{}]", seeds.join(", "));
        if !self.zone.is_empty() {
            let _ = writeln!(text, "zone = {}", quoted(&self.zone));
        }
        if let Some(factor) = self.factor {
            let _ = writeln!(text, "replication_factor = {factor}");
        }
        let token = self.token.as_ref().map(|_| ("join_token", JOIN_TOKEN));
        let files = [("ca", CA_CERT), ("cert", NODE_CERT), ("key", NODE_KEY)];
        for (key, name) in files.into_iter().chain(token) {
            let _ = writeln!(text, "{key} = {}", file(name));
        }
        text
    }
}

/// Something about a file went wrong.
pub(in crate::cli) fn failed(path: &Path, error: &io::Error) -> CallError {
    CallError::Other(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::{NewNode, Ports};
    use crate::config::Config;
    use crate::security::JoinToken;
    use ::cluster::node::NodeId;
    use std::path::Path;

    #[test]
    fn the_file_is_one_that_a_node_takes() {
        let node = NewNode {
            id: NodeId::new(4).unwrap(),
            host: "127.0.0.1".into(),
            ports: Ports::of(7000, 4).unwrap(),
            seeds: vec!["127.0.0.1:7101".into(), "127.0.0.1:7102".into()],
            zone: "a".into(),
            max_memory: Some("256MiB".into()),
            factor: Some(2),
            policy: Some("async".into()),
            token: Some(JoinToken::new().unwrap()),
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), node.toml(Path::new("/a b"))).unwrap();
        let config = Config::load(Some(file.path()), std::iter::empty(), &[]).unwrap();
        assert!(config.cluster.enabled);
        assert_eq!(config.cluster.seeds, node.seeds);
        assert_eq!(config.cluster.key, Path::new("/a b/node.key"));
        assert_eq!(config.cluster.join_token, Path::new("/a b/join.token"));
        assert_eq!((config.server.port, config.cluster.port), (7004, 7104));
        assert_eq!(config.cluster.data_port, 7304);
        assert_eq!((config.http.port, config.memory.max_bytes()), (9093, Some(256 << 20)));
    }

    #[test]
    fn ports_have_an_end() {
        assert!(Ports::of(65000, 1).is_none());
        assert_eq!(Ports::of(7000, 1).unwrap().http, 9090);
    }
}
