//! What the workers' threads and the machine did lately, as the kernel tells it. Decides nothing.

use super::load::Demand;
use std::fs;

/// Reads the kernel's counters and tells what was between two looks.
#[derive(Debug)]
pub struct DemandMeter {
    threads: Vec<libc::pid_t>,
    before: Option<Counters>,
}

#[derive(Clone, Copy, Debug)]
struct Counters {
    nanos: u64,
    active: usize,
    /// Nanoseconds on a core and waiting for one, of the active workers.
    ran: u64,
    waited: u64,
    /// Nanoseconds of all cores without work.
    idle: u64,
}

impl DemandMeter {
    /// For the threads of the workers, in their order.
    pub fn new(threads: Vec<libc::pid_t>) -> DemandMeter {
        DemandMeter { threads, before: None }
    }

    /// What the first `active` workers and the machine did since the last look. `None` when the
    /// kernel does not tell, or when the number of active workers has changed.
    pub fn look(&mut self, nanos: u64, active: usize) -> Option<Demand> {
        let now = self.read(nanos, active);
        let before = std::mem::replace(&mut self.before, now);
        let (now, before) = (now?, before?);
        let passed = now.nanos.checked_sub(before.nanos).filter(|&p| p > 0)? as f64;
        if now.active != before.active {
            return None;
        }
        let cores = |now: u64, before: u64| now.saturating_sub(before) as f64 / passed;
        Some(Demand {
            busy: cores(now.ran, before.ran),
            delayed: cores(now.waited, before.waited),
            idle: cores(now.idle, before.idle),
        })
    }

    fn read(&self, nanos: u64, active: usize) -> Option<Counters> {
        let (mut ran, mut waited) = (0, 0);
        for thread in self.threads.iter().take(active) {
            let text = fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?;
            let mut fields = text.split_ascii_whitespace().map_while(|f| f.parse::<u64>().ok());
            ran += fields.next()?;
            waited += fields.next()?;
        }
        Some(Counters { nanos, active, ran, waited, idle: idle_nanos()? })
    }
}

/// Nanoseconds that the machine's cores had nothing to do, since it started.
fn idle_nanos() -> Option<u64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let fields = text.lines().next()?.split_ascii_whitespace().skip(1);
    // user nice system idle iowait …, in ticks.
    let ticks: u64 = fields.skip(3).take(2).map_while(|f| f.parse::<u64>().ok()).sum();
    // SAFETY: only reads a setting of the system.
    let per_second = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).ok()?.max(1);
    Some(ticks * (1_000_000_000 / per_second))
}
