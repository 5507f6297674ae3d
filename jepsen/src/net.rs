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

    /// The namespace of the switch: of its own, since rules of the machine's firewall may hold for
    /// what its bridges carry.
    fn switch(&self) -> String {
        format!("crabj{}", self.parts[1])
    }

    fn namespace(&self, node: u64) -> String {
        format!("crabj{}-{node}", self.parts[1])
    }

    /// The machine's own link to the switch.
    fn own_link(&self) -> String {
        format!("crabj{}", self.parts[1])
    }

    fn bridge(&self) -> Result<(), Failure> {
        let (switch, link) = (self.switch(), self.own_link());
        ip(&format!("netns add {switch}"))?;
        ip(&format!("-n {switch} link add hub0 type bridge"))?;
        ip(&format!("-n {switch} link set hub0 up"))?;
        ip(&format!("link add {link} type veth peer name own netns {switch}"))?;
        ip(&format!("-n {switch} link set own master hub0 up"))?;
        let own = Ipv4Addr::new(10, 213, self.parts[1], 254);
        ip(&format!("addr add {own}/24 dev {link}"))?;
        ip(&format!("link set {link} up"))
    }

    /// Makes the place where a node lives, if it is not there.
    pub fn make(&mut self, node: u64) -> Result<(), Failure> {
        if !self.namespaces || self.made.contains(&node) {
            return Ok(());
        }
        let (space, switch, address) = (self.namespace(node), self.switch(), self.address(node));
        ip(&format!("netns add {space}"))?;
        self.made.push(node);
        ip(&format!("-n {switch} link add n{node} type veth peer name eth0 netns {space}"))?;
        ip(&format!("-n {switch} link set n{node} master hub0 up"))?;
        ip(&format!("-n {space} addr add {address}/24 dev eth0"))?;
        ip(&format!("-n {space} link set lo up"))?;
        ip(&format!("-n {space} link set eth0 up"))
    }

    /// Unplugs a node from the switch: nobody hears it, it hears nobody, and nobody is told.
    pub fn cut(&self, node: u64) -> Result<(), Failure> {
        ip(&format!("-n {} link set n{node} nomaster", self.switch()))
    }

    /// Plugs it in again.
    pub fn heal(&self, node: u64) -> Result<(), Failure> {
        ip(&format!("-n {} link set n{node} master hub0", self.switch()))
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        if self.namespaces {
            // A link goes with the namespace of either end.
            for node in &self.made {
                let _ = ip(&format!("netns del {}", self.namespace(*node)));
            }
            let _ = ip(&format!("link del {}", self.own_link()));
            let _ = ip(&format!("netns del {}", self.switch()));
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
