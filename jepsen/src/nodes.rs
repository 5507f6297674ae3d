//! Real nodes as processes of the binary, in a folder of their own that goes with them. Knows how
//! to start, stop, break and mend them, and nothing of clients.

use crate::Failure;
use crate::clock::{self, now_ns};
use crate::limits::{SETTLED_LOOKS, STOP_NS_MAX, WELL_NS_MAX};
use crate::net::Net;
use crate::status::{Map, Status};
use std::fmt::Write;
use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::{CommandExt, parent_id};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The ports of every node; their addresses differ.
pub const PORT_CLIENTS: u16 = 7001;
/// For clients that do not know clusters.
pub const PORT_FORWARD: u16 = 7201;
const PORT_CONTROL: u16 = 7101;
const PORT_DATA: u16 = 7301;

/// The number of the node at an address.
pub fn number_of(address: SocketAddr) -> u16 {
    match address.ip() {
        IpAddr::V4(ip) => u16::from(ip.octets()[3]).saturating_sub(1),
        IpAddr::V6(_) => 0,
    }
}

/// How nodes are set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The program.
    pub binary: PathBuf,
    /// How many nodes there are at first.
    pub nodes: u64,
    /// Whether each has a network namespace.
    pub netns: bool,
    /// Most memory of each, such as `256MiB`.
    pub memory: String,
    /// Whether the folder stays.
    pub keep: bool,
}

/// What can happen to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, later SIGCONT.
    Stop,
    /// Its network is cut, later mended; with --netns.
    Cut,
}

impl Fault {
    /// What a history calls it.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Kill => "kill",
            Fault::Stop => "stop",
            Fault::Cut => "cut",
        }
    }
}

/// A cluster of processes; it ends with this value.
#[derive(Debug)]
pub struct Nodes {
    setup: Setup,
    dir: Option<tempfile::TempDir>,
    path: PathBuf,
    all: Vec<Running>,
    // Last, so that it goes after the processes that live in it.
    net: Net,
}

#[derive(Debug)]
struct Running {
    id: u64,
    child: Option<Child>,
}

impl Nodes {
    /// Starts them and waits until they are one cache.
    pub fn start(setup: &Setup) -> Result<Nodes, Failure> {
        let binary = fs::canonicalize(&setup.binary)
            .map_err(|error| format!("{}: {error}", setup.binary.display()))?;
        let setup = Setup { binary, ..setup.clone() };
        let dir = tempfile::Builder::new().prefix("crabcache-jepsen-").tempdir();
        let dir = dir.map_err(|error| error.to_string())?;
        let (dir, path) = match setup.keep {
            true => (None, dir.keep()),
            false => {
                let path = dir.path().to_owned();
                (Some(dir), path)
            }
        };
        let net = Net::new(setup.netns)?;
        let mut nodes = Nodes { setup, dir, path, all: Vec::new(), net };
        let ca = nodes.path.join("ca");
        nodes.tool(&["cluster", "ca", "init", "--dir", &ca.display().to_string()])?;
        for id in 1..=nodes.setup.nodes {
            nodes.launch(id)?;
        }
        nodes.well()?;
        Ok(nodes)
    }

    /// The folder, with the log of each node.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether networks can be cut.
    pub fn can_cut(&self) -> bool {
        self.net.can_cut()
    }

    /// Numbers of the nodes whose processes run.
    pub fn ids(&self) -> Vec<u64> {
        self.all.iter().filter(|node| node.child.is_some()).map(|node| node.id).collect()
    }

    /// Where cluster clients reach a node.
    pub fn clients(&self, id: u64) -> SocketAddr {
        (self.net.address(id), PORT_CLIENTS).into()
    }

    /// Where plain clients reach it.
    pub fn forward(&self, id: u64) -> SocketAddr {
        (self.net.address(id), PORT_FORWARD).into()
    }

    /// Makes the certificate and the settings of a node, and starts it.
    pub fn launch(&mut self, id: u64) -> Result<(), Failure> {
        self.net.make(id)?;
        let dir = self.path.join(format!("node-{id}"));
        let settings = dir.join("crabcache.toml");
        if !settings.exists() {
            let (ca, out) = (self.path.join("ca").display().to_string(), dir.display().to_string());
            let number = id.to_string();
            self.tool(&["cluster", "ca", "issue", "--dir", &ca, "--node", &number, "--out", &out])?;
            let text = self.toml(id, &dir);
            fs::write(&settings, text).map_err(|error| error.to_string())?;
        }
        let child = self.spawn(id, &settings, &dir.join("log"))?;
        match self.all.iter_mut().find(|node| node.id == id) {
            Some(node) => node.child = Some(child),
            None => self.all.push(Running { id, child: Some(child) }),
        }
        Ok(())
    }

    fn toml(&self, id: u64, dir: &Path) -> String {
        let address = self.net.address(id);
        let seeds: Vec<String> = (1..=self.setup.nodes)
            .map(|seed| format!("\"{}:{PORT_CONTROL}\"", self.net.address(seed)))
            .collect();
        let mut text = format!("[server]\nbind = \"{address}\"\nport = {PORT_CLIENTS}\n");
        let _ = writeln!(text, "forward_port = {PORT_FORWARD}\nprotected = false");
        let _ =
            writeln!(text, "[http]\nport = 0\n[memory]\nmax_memory = \"{}\"", self.setup.memory);
        let _ = writeln!(text, "[data]\ndir = \"{}\"", dir.join("data").display());
        let _ = writeln!(text, "[cluster]\nenabled = true\nbind = \"{address}\"");
        let _ = writeln!(text, "port = {PORT_CONTROL}\ndata_port = {PORT_DATA}");
        let _ = writeln!(text, "seeds = [{}]\njoin = \"certificate\"", seeds.join(", "));
        for (key, name) in [("ca", "ca.crt"), ("cert", "node.crt"), ("key", "node.key")] {
            let _ = writeln!(text, "{key} = \"{}\"", dir.join(name).display());
        }
        text
    }

    fn spawn(&self, id: u64, settings: &Path, log: &Path) -> Result<Child, Failure> {
        let file = File::options().create(true).append(true).open(log);
        let file = file.map_err(|error| format!("{}: {error}", log.display()))?;
        let output = file.try_clone().map_err(|error| error.to_string())?;
        let mut words = self.net.prefix(id);
        words.push(self.setup.binary.display().to_string());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg("server").arg("--config").arg(settings);
        command.stdin(Stdio::null()).stdout(output).stderr(file).process_group(0);
        command.env("RUST_BACKTRACE", "1");
        let me = std::process::id();
        // SAFETY: between fork and exec it makes two system calls and allocates nothing.
        unsafe {
            command.pre_exec(move || {
                // It ends with this process, however that ends.
                let sent = libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                let orphan = parent_id() != me;
                if sent == 0 && !orphan { Ok(()) } else { Err(io::Error::last_os_error()) }
            });
        }
        command.spawn().map_err(|error| format!("{}: {error}", words[0]))
    }

    /// Runs the binary for something that ends, and returns what it said.
    pub fn tool(&self, words: &[&str]) -> Result<String, Failure> {
        let output = self.command(words).output().map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => {
                let words = words.join(" ");
                Err(format!("crabcache {words}: {}", String::from_utf8_lossy(&output.stderr)))
            }
        }
    }

    /// The binary, to be run for something else than a node.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.setup.binary);
        command.args(words).env_clear().stdin(Stdio::null());
        command
    }

    /// How the cluster stands, as the first node that answers tells.
    pub fn status(&self) -> Result<Status, Failure> {
        let mut error = "no node runs".to_owned();
        for id in self.ids() {
            match Status::of(self.clients(id)) {
                Ok(status) => return Ok(status),
                Err(other) => error = other,
            }
        }
        Err(error)
    }

    /// Waits until all nodes that run say that all is well, nothing moves and every slot is served;
    /// how long that took.
    pub fn well(&self) -> Result<u64, Failure> {
        let ids = self.ids();
        let (begun, mut last) = (now_ns(), String::new());
        let well = |id: &u64| {
            let address = self.clients(*id);
            let status = Status::of(address)?;
            let map = Map::of(address)?;
            match status.is_well(ids.len()) && status.is_settled() && map.is_whole() {
                true => Ok(()),
                false => Err(format!("{status:?}")),
            }
        };
        // What moves next begins a moment after the last has arrived.
        let mut looks = 0;
        let found = clock::eventually(WELL_NS_MAX, || {
            match ids.iter().try_for_each(well) {
                Ok(()) => looks += 1,
                Err(error) => (looks, last) = (0, error),
            }
            (looks >= SETTLED_LOOKS).then_some(())
        });
        match found {
            Some(()) => Ok(now_ns() - begun),
            None => Err(format!("the cluster does not become well: {last}")),
        }
    }

    /// Breaks a node; when that was, as late as it can be said before it had an effect.
    pub fn break_node(&mut self, id: u64, fault: Fault) -> Result<u64, Failure> {
        let at = now_ns();
        match fault {
            Fault::Kill => {
                self.signal(id, libc::SIGKILL)?;
                if let Some(mut child) = self.running(id)?.child.take() {
                    child.wait().map_err(|error| error.to_string())?;
                }
            }
            Fault::Stop => self.signal(id, libc::SIGSTOP)?,
            Fault::Cut => self.net.cut(id)?,
        }
        Ok(at)
    }

    /// Undoes that.
    pub fn mend_node(&mut self, id: u64, fault: Fault) -> Result<u64, Failure> {
        let at = now_ns();
        match fault {
            Fault::Kill => self.launch(id)?,
            Fault::Stop => self.signal(id, libc::SIGCONT)?,
            Fault::Cut => self.net.heal(id)?,
        }
        Ok(at)
    }

    /// Ends a node's process that is asked to.
    pub fn stop(&mut self, id: u64) -> Result<(), Failure> {
        self.signal(id, libc::SIGTERM)?;
        if let Some(mut child) = self.running(id)?.child.take() {
            end(&mut child);
        }
        Ok(())
    }

    fn running(&mut self, id: u64) -> Result<&mut Running, Failure> {
        let found = self.all.iter_mut().find(|node| node.id == id && node.child.is_some());
        found.ok_or_else(|| format!("node {id} does not run"))
    }

    fn signal(&mut self, id: u64, signal: i32) -> Result<(), Failure> {
        let child = self.running(id)?.child.as_mut();
        let child = child.ok_or_else(|| format!("node {id} does not run"))?;
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("node {id} has ended by itself: {status}"));
        }
        let pid = libc::pid_t::try_from(child.id()).map_err(|error| error.to_string())?;
        // SAFETY: a signal to a child that was not waited for; the number is its own.
        match unsafe { libc::kill(pid, signal) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error().to_string()),
        }
    }

    /// Fails when a process has ended that nobody ended.
    pub fn check(&mut self) -> Result<(), Failure> {
        for node in &mut self.all {
            let ended = node.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            if let Some(status) = ended {
                return Err(format!("node {} has ended by itself: {status}", node.id));
            }
        }
        Ok(())
    }

    /// Keeps the folder, for somebody to look into; where it is.
    pub fn keep(&mut self) -> PathBuf {
        if let Some(dir) = self.dir.take() {
            self.path = dir.keep();
        }
        self.path.clone()
    }
}

/// Waits for the end of a process, then no longer.
fn end(child: &mut Child) {
    let ended = clock::eventually(STOP_NS_MAX, || child.try_wait().ok().flatten());
    if ended.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for child in self.all.iter_mut().filter_map(|node| node.child.as_mut()) {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
