//! The only file of this crate that reads the time, and where it waits.

use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

/// Where [`now_ns`] counts from: about the start of the process.
#[expect(clippy::disallowed_methods, reason = "this is the file that reads the time")]
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds in a millisecond.
pub const MS: u64 = 1_000_000;
/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;

/// Nanoseconds since about the start of the process; never steps back.
#[expect(clippy::disallowed_methods, reason = "this is the file that reads the time")]
pub fn now_ns() -> u64 {
    u64::try_from(Instant::now().saturating_duration_since(*START).as_nanos()).unwrap_or(u64::MAX)
}

/// That time as the timers of a runtime want it.
pub fn instant(at_ns: u64) -> tokio::time::Instant {
    tokio::time::Instant::from_std(*START + Duration::from_nanos(at_ns))
}

/// Lets the thread wait until then.
pub fn wait_until(at_ns: u64) {
    loop {
        let left = at_ns.saturating_sub(now_ns());
        if left == 0 {
            return;
        }
        thread::park_timeout(Duration::from_nanos(left));
    }
}

/// Lets the thread wait for so long.
pub fn wait(ns: u64) {
    wait_until(now_ns() + ns);
}

/// Asks every now and then until there is an answer, or `None` when so much time has passed.
pub fn eventually<T>(within_ns: u64, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let until = now_ns() + within_ns;
    loop {
        if let Some(found) = ask() {
            return Some(found);
        }
        if now_ns() >= until {
            return None;
        }
        wait(crate::limits::POLL_NS);
    }
}
