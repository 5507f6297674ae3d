//! Waits until something is done, and shows how far it is. Asks whichever node answers; changes
//! nothing, so that it may be interrupted at any time.

use super::Waiting;
use super::call::{CallError, Target};
use super::document::Status;
use crate::clock;
use crate::limits::operators::{ADMIN_LINE_MS, ADMIN_POLL_MS, ADMIN_SILENT_MS_MAX};
use std::io::{IsTerminal, Write};
use std::thread;
use std::time::Duration;

/// How far something is.
pub(super) enum Progress {
    /// All of it.
    Done,
    /// Not all: what to show.
    At(String),
}

/// Asks the cluster, whichever node answers.
pub(super) struct Watch<'a> {
    target: &'a Target,
    /// Other nodes, once they are known.
    others: Vec<String>,
    until_ms: u64,
    line: Line,
}

/// A line of progress: one that changes on a terminal, else a new one now and then.
struct Line {
    terminal: bool,
    quiet: bool,
    shown: String,
    shown_ms: u64,
}

/// Milliseconds that only go forward.
fn now_ms() -> u64 {
    clock::monotonic_nanos() / 1_000_000
}

/// Lets so much time pass.
pub(in crate::cli) fn pause(ms: u64) {
    let until = now_ms() + ms;
    while now_ms() < until {
        thread::park_timeout(Duration::from_millis(until.saturating_sub(now_ms()).max(1)));
    }
}

impl<'a> Watch<'a> {
    /// Waits as long as that says.
    pub(super) fn new(target: &'a Target, waiting: &Waiting) -> Watch<'a> {
        let until_ms = now_ms().saturating_add(waiting.timeout.saturating_mul(1000));
        Watch { target, others: Vec::new(), until_ms, line: Line::new(target.json) }
    }

    /// Asks again and again until it is done.
    pub(super) fn until(
        &mut self,
        mut look: impl FnMut(&Status) -> Progress,
    ) -> Result<Status, CallError> {
        self.until_asked(|_, status| Ok(look(status)))
    }

    /// The same, where a look may ask for more.
    pub(super) fn until_asked(
        &mut self,
        mut look: impl FnMut(&Watch<'_>, &Status) -> Result<Progress, CallError>,
    ) -> Result<Status, CallError> {
        loop {
            let status = self.status()?;
            match look(self, &status)? {
                Progress::Done => {
                    self.line.end();
                    return Ok(status);
                }
                Progress::At(text) if now_ms() >= self.until_ms => {
                    self.line.end();
                    return Err(CallError::Other(format!(
                        "not done in time: {text}. It goes on by itself; the same command waits \
                         for it again"
                    )));
                }
                Progress::At(text) => self.line.show(&text),
            }
            pause(ADMIN_POLL_MS);
        }
    }

    /// How the cluster stands, as whichever node tells that answers.
    pub(super) fn status(&mut self) -> Result<Status, CallError> {
        let silent_from = now_ms();
        loop {
            let mut failed = None;
            let first = self.target.clone();
            let others = self.others.iter().map(|address| self.target.at(address));
            for target in std::iter::once(first).chain(others) {
                match Status::of(&target) {
                    Ok(status) if status.cluster.is_some() => {
                        let all = status.nodes.iter().filter(|node| node.up);
                        self.others =
                            all.filter_map(|node| node.address()).map(str::to_owned).collect();
                        return Ok(status);
                    }
                    Ok(_) => {}
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
            if now_ms() - silent_from >= ADMIN_SILENT_MS_MAX {
                self.line.end();
                let nobody = || CallError::Other("no node knows of a cluster".into());
                return Err(failed.unwrap_or_else(nobody));
            }
            pause(ADMIN_POLL_MS);
        }
    }

    /// Has something done by whichever node answers; refusals are final.
    pub(super) fn ask(&self, words: &[&str]) -> Result<String, CallError> {
        let mut asked = self.target.ask(words);
        for address in &self.others {
            if !matches!(asked, Err(CallError::Unreachable(..))) {
                break;
            }
            asked = self.target.at(address).ask(words);
        }
        asked
    }
}

impl Line {
    fn new(quiet: bool) -> Line {
        let terminal = std::io::stderr().is_terminal();
        Line { terminal, quiet, shown: String::new(), shown_ms: 0 }
    }

    fn show(&mut self, text: &str) {
        if self.quiet || text == self.shown {
            return;
        }
        let mut stderr = std::io::stderr();
        if self.terminal {
            let _ = write!(stderr, "\r\x1b[K{text}");
        } else if self.shown_ms + ADMIN_LINE_MS <= now_ms() || self.shown.is_empty() {
            let _ = writeln!(stderr, "{text}");
            self.shown_ms = now_ms();
        } else {
            return;
        }
        let _ = stderr.flush();
        text.clone_into(&mut self.shown);
    }

    fn end(&mut self) {
        if self.terminal && !self.shown.is_empty() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
        self.shown.clear();
    }
}
