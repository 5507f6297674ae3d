//! Where nodes live: each has an address of its own, on loopback or in a network namespace behind a
//! bridge, where its link can be cut. Knows no node.

use crate::Failure;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// How many networks this process has made.
static MADE: AtomicU32 = AtomicU32::new(0);
/// Networks that are tried until one is free.
const TRIES: u32 = 64;

/// A network of nodes.
#[derive(Debug)]
pub struct Net {
    /// The third part of all addresses, and the second on loopback.
    parts: [u8; 2],
    /// Whether nodes have namespaces.
    namespaces: bool,
    /// Nodes that have theirs.
    made: Vec<u64>,
}

impl Net {
    /// A network that nobody else uses.
    pub fn new(namespaces: bool) -> Result<Net, Failure> {
        for _ in 0..TRIES {
            let pid = std::process::id();
            let number = pid.wrapping_add(MADE.fetch_add(1, Ordering::Relaxed).wrapping_mul(7919));
            let part = |n: u32| u8::try_from(n % 250 + 2).unwrap_or(2);
            let mut net =
                Net { parts: [part(number / 250), part(number)], namespaces, made: Vec::new() };
            if namespaces {
                if net.bridge().is_ok() {
                    return Ok(net);
                }
                net.parts = [0, 0];
            } else if TcpListener::bind((net.address(1), crate::nodes::PORT_CLIENTS)).is_ok() {
                return Ok(net);
            }
        }
        match namespaces {
            true => Err("no bridge could be made: this needs root and the command ip".into()),
            false => Err("no free addresses on loopback".into()),
        }
    }

    /// The address of a node.
    pub fn address(&self, node: u64) -> Ipv4Addr {
        let last = u8::try_from(node % 250).unwrap_or(0) + 1;
        match self.namespaces {
            true => Ipv4Addr::new(10, 213, self.parts[1], last),
            false => Ipv4Addr::new(127, self.parts[0], self.parts[1], last),
        }
    }

    /// Whether links can be cut.
    pub fn can_cut(&self) -> bool {
        self.namespaces
    }

    /// What a command has to begin with to run where a node lives.
    pub fn prefix(&self, node: u64) -> Vec<String> {
        match self.namespaces {
            true => ["ip", "netns", "exec", &self.namespace(node)].map(str::to_owned).to_vec(),
            false => Vec::new(),
        }
    }

    fn bridge_name(&self) -> String {
        format!("crabj{}", self.parts[1])
    }

    fn namespace(&self, node: u64) -> String {
        format!("crabj{}-{node}", self.parts[1])
    }

    fn link(&self, node: u64) -> String {
        format!("crabj{}n{node}", self.parts[1])
    }

    fn bridge(&self) -> Result<(), Failure> {
        let name = self.bridge_name();
        // Its own hardware address, so that it does not change when links come and go.
        let hardware = format!("02:c4:ab:00:00:{:02x}", self.parts[1]);
        ip(&format!("link add {name} address {hardware} type bridge"))?;
        let own = Ipv4Addr::new(10, 213, self.parts[1], 254);
        ip(&format!("addr add {own}/24 dev {name}"))?;
        ip(&format!("link set {name} up"))
    }

    /// Makes the place where a node lives, if it is not there.
    pub fn make(&mut self, node: u64) -> Result<(), Failure> {
        if !self.namespaces || self.made.contains(&node) {
            return Ok(());
        }
        let (space, link, inner) = (self.namespace(node), self.link(node), "eth0");
        let (bridge, address) = (self.bridge_name(), self.address(node));
        ip(&format!("netns add {space}"))?;
        self.made.push(node);
        ip(&format!("link add {link} type veth peer name {inner} netns {space}"))?;
        ip(&format!("link set {link} master {bridge} up"))?;
        ip(&format!("-n {space} addr add {address}/24 dev {inner}"))?;
        ip(&format!("-n {space} link set lo up"))?;
        ip(&format!("-n {space} link set {inner} up"))
    }

    /// Unplugs a node from the switch: nobody hears it, it hears nobody, and nobody is told.
    pub fn cut(&self, node: u64) -> Result<(), Failure> {
        ip(&format!("link set {} nomaster", self.link(node)))
    }

    /// Plugs it in again.
    pub fn heal(&self, node: u64) -> Result<(), Failure> {
        ip(&format!("link set {} master {}", self.link(node), self.bridge_name()))
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        if self.namespaces {
            for node in &self.made {
                // A link goes with the namespace of its other end.
                let _ = ip(&format!("link del {}", self.link(*node)));
                let _ = ip(&format!("netns del {}", self.namespace(*node)));
            }
            let _ = ip(&format!("link del {}", self.bridge_name()));
        }
    }
}

fn ip(words: &str) -> Result<(), Failure> {
    let mut command = Command::new("ip");
    command.args(words.split(' ')).stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("ip: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("ip {words}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}
