//! Ports for servers of a test that cannot choose their own.

use crabcache::worker::check_free;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below those that the system gives to who asks for any, and above those of clusters of tests.
const FIRST: u16 = 30_000;
const COUNT: u16 = 2_000;

/// How many this process has looked at.
static SEEN: AtomicU16 = AtomicU16::new(0);

/// A port at which nobody listens, given once in a process. A port of the system's choice would
/// be given to the next that asks as soon as it is closed, and a client of one test would talk to
/// what another one started.
pub(crate) fn free_port() -> u16 {
    let first = u16::try_from(std::process::id() % 25).expect("small") * 80;
    let next = || FIRST + (first + SEEN.fetch_add(1, Ordering::Relaxed)) % COUNT;
    let is_free = |port: &u16| {
        // Nobody listens meanwhile: a process that another test is just starting would have that
        // listener too for a moment, and throw out who came in.
        check_free((Ipv4Addr::LOCALHOST, *port).into()).is_ok()
            && UdpSocket::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
    };
    (0..COUNT).map(|_| next()).find(is_free).expect("a free port")
}
