//! Where clients come in, and what they are told about it: listeners, each with the address that
//! its clients can reach. A container's inner and outer network differ. Knows no socket.

use super::value::{Expected, Kind, Raw, Setting, Words};
use super::{Config, ConfigError, machine};
use crate::limits;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// What MOVED and CLUSTER SLOTS tell of a listener; empty parts follow from where it listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advertised {
    /// A name or an address.
    host: String,
    /// `None`: the port it listens on.
    port: Option<u16>,
}

/// A place where clients come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The same name means the same network on all nodes of a cluster.
    pub name: String,
    /// Where it listens; port 0: any free one.
    pub address: SocketAddr,
    /// How clients reach it.
    pub advertise: Advertised,
    /// Whether its connections forward what belongs to other nodes, always.
    pub forward: bool,
}

/// What a connection does with a command that belongs to another node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Routing {
    /// Tell the client where to go.
    #[default]
    Redirect,
    /// Ask that node and pass its answer on.
    Forward,
}

/// What clients see of a cluster: a part of section `cluster`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    /// What a connection does at first with what belongs to other nodes.
    pub routing: Routing,
    /// Whether CLUSTER SLOTS tells of replicas.
    pub announce_replicas: bool,
}

/// The name of the listener on `server.port`.
const MAIN: &str = "";
/// The name of the listener on `server.forward_port`.
const FORWARD: &str = "forward";

impl Listener {
    /// What clients are told to reach it by, when it listens on `port`.
    pub fn reached_at(&self, port: u16) -> (String, u16) {
        let host = match (self.advertise.host.as_str(), self.address.ip()) {
            ("", ip) if ip.is_unspecified() => machine::host_name(),
            ("", ip) => ip.to_string(),
            (host, _) => host.to_owned(),
        };
        (host, self.advertise.port.unwrap_or(port))
    }
}

impl Config {
    /// All listeners: that of `server.port` first; that of `server.forward_port` only in a
    /// cluster, since a node alone has nobody to forward to.
    pub fn listeners(&self, clustered: bool) -> Vec<Listener> {
        let server = &self.server;
        let at = |name: &str, port, advertise: &Advertised, forward| Listener {
            name: name.into(),
            address: SocketAddr::new(server.bind, port),
            advertise: advertise.clone(),
            forward,
        };
        let mut all = vec![at(MAIN, server.port, &server.advertise, false)];
        if clustered && server.forward_port != 0 {
            all.push(at(FORWARD, server.forward_port, &server.forward_advertise, true));
        }
        all.extend(server.listeners.iter().cloned());
        all
    }

    /// Whether the listeners go together.
    pub(super) fn check_listeners(&self) -> Result<(), ConfigError> {
        let all = &self.server.listeners;
        let mut names = vec![MAIN, FORWARD];
        for listener in all {
            if names.contains(&listener.name.as_str()) {
                let reason = format!("there are two listeners named \"{}\"", listener.name);
                return Err(ConfigError::Together { reason });
            }
            names.push(&listener.name);
        }
        Ok(())
    }
}

/// `HOST`, `HOST:PORT` or nothing.
pub(super) struct Endpoint;
/// Listeners, as texts.
pub(super) struct Listeners;

const ENDPOINT: &str = "a host, or host:port, such as \"cache1.example\" or \"127.0.0.1:7001\"";
const LISTENER: &str = "texts such as \"outer 0.0.0.0:17001 advertise localhost:17001\" (name, \
                        address and port, optionally advertise and host:port, optionally forward)";

/// Whether clients may be told this as a name or an address.
fn is_host(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    !text.is_empty() && text.len() <= limits::HOST_BYTES_MAX && text.chars().all(plain)
}

impl Advertised {
    fn parse(text: &str) -> Option<Advertised> {
        let bare = |host: &str, port| {
            let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
            is_host(host).then(|| Advertised { host: host.into(), port })
        };
        // An address of IP version 6 has colons of its own.
        if text.is_empty() || text.parse::<IpAddr>().is_ok() {
            return Some(Advertised { host: text.into(), port: None });
        }
        match text.rsplit_once(':') {
            Some((host, port)) => bare(host, Some(port.parse().ok().filter(|port| *port > 0)?)),
            None => bare(text, None),
        }
    }
}

impl fmt::Display for Advertised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) if self.host.contains(':') => write!(f, "[{}]:{port}", self.host),
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

impl Listener {
    fn parse(text: &str) -> Option<Listener> {
        let mut words = text.split_ascii_whitespace();
        let name = words.next().filter(|name| {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            name.len() <= limits::LISTENER_NAME_BYTES_MAX && name.chars().all(plain)
        })?;
        let mut listener = Listener {
            name: name.into(),
            address: words.next()?.parse().ok()?,
            advertise: Advertised::default(),
            forward: false,
        };
        while let Some(word) = words.next() {
            match word {
                "advertise" => listener.advertise = Advertised::parse(words.next()?)?,
                "forward" => listener.forward = true,
                _ => return None,
            }
        }
        Some(listener)
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.address)?;
        if self.advertise != Advertised::default() {
            write!(f, " advertise {}", self.advertise)?;
        }
        f.write_str(if self.forward { " forward" } else { "" })
    }
}

impl Kind<Advertised> for Endpoint {
    type Bound = ();

    fn read(raw: &Raw, (): ()) -> Result<Advertised, Expected> {
        let Raw::Text(text) = raw else { return Err(ENDPOINT.into()) };
        Advertised::parse(text.trim()).ok_or_else(|| ENDPOINT.into())
    }

    fn show(value: &Advertised) -> Setting {
        Setting::Text(value.to_string())
    }
}

impl Kind<Vec<Listener>> for Listeners {
    type Bound = ();

    fn read(raw: &Raw, (): ()) -> Result<Vec<Listener>, Expected> {
        let list: Vec<&str> = match raw {
            Raw::List(list) => list.iter().map(String::as_str).collect(),
            Raw::Text(text) if text.trim().is_empty() => Vec::new(),
            Raw::Text(text) => text.split(',').collect(),
            Raw::Integer(_) | Raw::Boolean(_) | Raw::Other(_) => return Err(LISTENER.into()),
        };
        if list.len() > limits::LISTENERS_MAX {
            return Err(format!("at most {} {LISTENER}", limits::LISTENERS_MAX));
        }
        let parsed: Option<Vec<_>> = list.into_iter().map(Listener::parse).collect();
        parsed.ok_or_else(|| LISTENER.into())
    }

    fn show(value: &Vec<Listener>) -> Setting {
        Setting::List(value.iter().map(Listener::to_string).collect())
    }
}

impl Words for Routing {
    const WORDS: &'static [(&'static str, Routing)] =
        &[("redirect", Routing::Redirect), ("forward", Routing::Forward)];
}

#[cfg(test)]
mod tests {
    use super::{Advertised, Listener};
    use crate::config::Config;

    fn shown(text: &str) -> Option<String> {
        Listener::parse(text).map(|listener| listener.to_string())
    }

    #[test]
    fn listeners_are_shown_as_they_are_written() {
        for text in [
            "outer 0.0.0.0:17001",
            "outer [::]:0 advertise localhost:17001",
            "plain 127.0.0.1:7201 advertise 10.0.0.1 forward",
            "six [::1]:7201 advertise [fe80::1]:80",
        ] {
            assert_eq!(shown(text).as_deref(), Some(text));
        }
        for text in ["", "outer", "outer 7001", "out;er 1.2.3.4:1", "a 1.2.3.4:1 advertise"] {
            assert_eq!(shown(text), None, "{text}");
        }
        for text in ["a b", "host:0", "host:x", ":7001", "a\"b"] {
            assert_eq!(Advertised::parse(text), None, "{text}");
        }
    }

    #[test]
    fn clients_are_told_what_they_can_reach() {
        let mut config = Config::default();
        let told = |config: &Config, i: usize, port| {
            let listener = &config.listeners(true)[i];
            let (host, port) = listener.reached_at(port);
            format!("{} {host} {port} {}", listener.name, listener.forward)
        };
        assert_eq!(told(&config, 0, 7001), " 127.0.0.1 7001 false");
        assert_eq!(told(&config, 1, 7201), "forward 127.0.0.1 7201 true");
        assert_eq!(config.listeners(false).len(), 1);
        config.server.advertise = Advertised::parse("crab1").unwrap();
        config.server.listeners =
            vec![Listener::parse("outer 0.0.0.0:0 advertise localhost:17001").unwrap()];
        assert_eq!(told(&config, 0, 7001), " crab1 7001 false");
        assert_eq!(told(&config, 2, 4711), "outer localhost 17001 false");
    }

    #[test]
    fn a_node_on_all_addresses_names_its_machine() {
        let mut config = Config::default();
        config.server.bind = "0.0.0.0".parse().unwrap();
        let (host, port) = config.listeners(false)[0].reached_at(1);
        assert!(!host.is_empty() && host != "0.0.0.0" && port == 1, "{host}");
    }
}
