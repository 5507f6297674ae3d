//! Nodes as processes of their own that end with this one. Knows how to start, watch and stop them.

use crate::cli::cluster::call::{CallError, Target};
use crate::cli::cluster::document::Status;
use crate::cli::cluster::node_file::{Ports, failed};
use crate::cli::cluster::print;
use crate::clock;
use crate::limits::operators::{DEMO_LOG_LINES_TOLD, DEMO_POLL_MS, DEMO_STOP_MS_MAX};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::process::{CommandExt, parent_id};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;
use tokio::runtime::{self, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What ends a demo: a signal, or the end of who started it.
pub(super) struct Ending {
    runtime: Runtime,
    signals: RefCell<[Signal; 3]>,
    parent: u32,
}

impl Ending {
    /// From now on signals end the demo and not the process.
    pub(super) fn new() -> Result<Ending, CallError> {
        let all = || -> io::Result<(Runtime, [Signal; 3])> {
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            let _context = runtime.enter();
            let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
            let [one, two, three] = kinds.map(signal);
            let signals = [one?, two?, three?];
            drop(_context);
            Ok((runtime, signals))
        };
        let (runtime, signals) = all().map_err(|error| CallError::Other(error.to_string()))?;
        Ok(Ending { runtime, signals: RefCell::new(signals), parent: parent_id() })
    }

    /// Waits so long; whether the end has come.
    pub(super) fn within(&self, ms: u64) -> bool {
        let mut signals = self.signals.borrow_mut();
        let [one, two, three] = &mut *signals;
        let came = self.runtime.block_on(async {
            tokio::select! {
                _ = one.recv() => true,
                _ = two.recv() => true,
                _ = three.recv() => true,
                () = tokio::time::sleep(Duration::from_millis(ms)) => false,
            }
        });
        came || parent_id() != self.parent
    }
}

/// Fails when somebody listens on one of these ports.
pub(super) fn check_ports(number: u64, ports: Ports) -> Result<(), CallError> {
    for (what, port, udp) in ports.all() {
        let at = (Ipv4Addr::LOCALHOST, port);
        let bound =
            if udp { UdpSocket::bind(at).map(drop) } else { TcpListener::bind(at).map(drop) };
        if let Err(error) = bound {
            let kind = if udp { "UDP" } else { "TCP" };
            return Err(CallError::Other(format!(
                "node {number} would use {kind} port {port} for {what}, but: {error}. Does \
                 another demo run? --port-base PORT takes other ports"
            )));
        }
    }
    Ok(())
}

/// Nodes that run.
#[derive(Default)]
pub(super) struct Nodes(Vec<Running>);

struct Running {
    number: u64,
    child: Child,
    log: PathBuf,
    path: PathBuf,
    ended: bool,
}

impl Nodes {
    /// Starts a node from its settings; it ends when this process does.
    pub(super) fn start(&mut self, number: u64, path: &Path) -> Result<(), CallError> {
        let log = path.with_file_name("log");
        let file = File::options().create(true).append(true).open(&log);
        let file = file.map_err(|error| failed(&log, &error))?;
        let program = std::env::current_exe().map_err(|e| CallError::Other(e.to_string()))?;
        let mut command = Command::new(&program);
        command.arg("server").arg("--config").arg(path).stdin(Stdio::null());
        let of_output = file.try_clone().map_err(|error| failed(&log, &error))?;
        command.stdout(of_output).stderr(file);
        // Ctrl-C is for this process, which ends the nodes.
        command.process_group(0);
        let me = std::process::id();
        // SAFETY: between fork and exec it makes two system calls and allocates nothing.
        unsafe {
            command.pre_exec(move || {
                let sent = libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
                let orphan = parent_id() != me;
                if sent == 0 && !orphan { Ok(()) } else { Err(io::Error::last_os_error()) }
            });
        }
        let child = command.spawn().map_err(|error| failed(&program, &error))?;
        let path = path.to_owned();
        self.0.push(Running { number, child, log, path, ended: false });
        Ok(())
    }

    /// Ends a node.
    pub(super) fn end(&mut self, number: u64) {
        drop(Nodes(self.0.extract_if(.., |node| node.number == number).collect()));
    }

    /// The number of the process that was started last.
    pub(super) fn last_process(&self) -> u32 {
        self.0.last().map_or(0, |node| node.child.id())
    }

    /// Waits until every node tells that all is well with the cluster: after how many milliseconds;
    /// `None` when the end came first.
    pub(super) fn wait_healthy(
        &mut self,
        asked: &[(u64, u16)],
        ending: &Ending,
        ms_max: u64,
    ) -> Result<Option<u64>, CallError> {
        let begun = clock::monotonic_nanos();
        let passed = || (clock::monotonic_nanos() - begun) / 1_000_000;
        loop {
            self.check()?;
            let mut reason = None;
            for (number, port) in asked {
                reason = reason.or_else(|| unwell(*number, *port, asked.len()));
            }
            let Some(reason) = reason else { return Ok(Some(passed())) };
            if passed() > ms_max {
                return Err(CallError::Other(format!("not well after {ms_max} ms: {reason}")));
            }
            if ending.within(DEMO_POLL_MS) {
                return Ok(None);
            }
        }
    }

    /// Fails when a node has ended before its time.
    fn check(&mut self) -> Result<(), CallError> {
        for node in &mut self.0 {
            if let Ok(Some(status)) = node.child.try_wait() {
                node.ended = true;
                let (number, tail) = (node.number, tail(&node.log));
                return Err(CallError::Other(format!("node {number} ended: {status}\n{tail}")));
            }
        }
        Ok(())
    }

    /// Until the end comes, or the folder goes. A node that ends meanwhile is only told of: that
    /// may be what the demo is for.
    pub(super) fn watch(&mut self, ending: &Ending, dir: &Path) {
        while !ending.within(DEMO_POLL_MS * 4) && dir.exists() {
            for node in self.0.iter_mut().filter(|node| !node.ended) {
                if let Ok(Some(status)) = node.child.try_wait() {
                    node.ended = true;
                    let path = node.path.display();
                    print(&format!("node {} ended: {status}. To start it again:\n", node.number));
                    print(&format!("  crabcache server --config {path}\n"));
                }
            }
            if self.0.iter().all(|node| node.ended) {
                return;
            }
        }
    }
}

/// All end: asked first, killed after a while.
impl Drop for Nodes {
    fn drop(&mut self) {
        for node in self.0.iter().filter(|node| !node.ended) {
            if let Ok(pid) = libc::pid_t::try_from(node.child.id()) {
                // SAFETY: a signal to a child that was not waited for; the number is its own.
                unsafe { libc::kill(pid, libc::SIGTERM) };
            }
        }
        let begun = clock::monotonic_nanos();
        for node in &mut self.0 {
            while matches!(node.child.try_wait(), Ok(None)) {
                if (clock::monotonic_nanos() - begun) / 1_000_000 > DEMO_STOP_MS_MAX {
                    let _ = node.child.kill();
                    let _ = node.child.wait();
                    break;
                }
                thread::park_timeout(Duration::from_millis(DEMO_POLL_MS));
            }
        }
    }
}

/// The members of the cluster, as the node that listens there knows it.
pub(super) fn members(port: u16) -> Result<BTreeSet<u64>, CallError> {
    let status = Status::of(&target(port))?;
    Ok(status.nodes.iter().map(|node| node.id).collect())
}

fn target(port: u16) -> Target {
    Target { address: Some(format!("127.0.0.1:{port}")), token_file: None, json: true }
}

/// Why a node is not well, as far as it tells.
fn unwell(number: u64, port: u16, nodes: usize) -> Option<String> {
    match Status::of(&target(port)) {
        Ok(status)
            if status.is_healthy() && status.nodes.iter().filter(|n| n.up).count() >= nodes =>
        {
            None
        }
        Ok(status) => Some(match status.trouble {
            Some(trouble) => format!("node {number}: {trouble}"),
            None => format!("node {number} knows of {} of {nodes} nodes", status.nodes.len()),
        }),
        Err(error) => Some(format!("node {number}: {error}")),
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(DEMO_LOG_LINES_TOLD)..].join("\n")
}
