//! Waiting for sockets and for a moment, by epoll and timerfd: the moments of an open-loop
//! schedule need microseconds, which epoll's own timeout does not have. All `unsafe` of the
//! load generator is here. Knows neither requests nor replies.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Most events taken from the kernel at once.
const EVENTS_MAX: usize = 256;
/// The timer's token; sockets have smaller ones.
const TIMER_TOKEN: u64 = u64::MAX;

/// A socket that can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ready {
    pub(super) token: usize,
    pub(super) readable: bool,
    pub(super) writable: bool,
}

/// A set of sockets and one timer.
pub(super) struct Poller {
    epoll: OwnedFd,
    timer: OwnedFd,
    events: Vec<libc::epoll_event>,
    /// Events of the last wait.
    count: usize,
    /// What the timer is set to, so that it is set again only when that changes.
    armed: Option<u64>,
}

impl Poller {
    pub(super) fn new() -> io::Result<Poller> {
        // SAFETY: plain system call; the result is checked before use.
        let epoll = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: as above.
        let timer = owned(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })?;
        let poller = Poller {
            epoll,
            timer,
            events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX],
            count: 0,
            armed: None,
        };
        // Edge-triggered: it need not be read, setting it again is enough.
        let interest = (libc::EPOLLIN | libc::EPOLLET) as u32;
        poller.control(libc::EPOLL_CTL_ADD, poller.timer.as_raw_fd(), interest, TIMER_TOKEN)?;
        Ok(poller)
    }

    /// Watches a socket for input from now on.
    pub(super) fn add(&self, socket: BorrowedFd<'_>, token: usize) -> io::Result<()> {
        let interest = libc::EPOLLIN as u32;
        self.control(libc::EPOLL_CTL_ADD, socket.as_raw_fd(), interest, token as u64)
    }

    /// Watches a socket for input and, if asked, for room to write.
    pub(super) fn watch(
        &self,
        socket: BorrowedFd<'_>,
        token: usize,
        write: bool,
    ) -> io::Result<()> {
        let interest = libc::EPOLLIN as u32 | if write { libc::EPOLLOUT as u32 } else { 0 };
        self.control(libc::EPOLL_CTL_MOD, socket.as_raw_fd(), interest, token as u64)
    }

    /// Waits until a socket can go on or the clock, now at `now`, reaches `until` (both in
    /// nanoseconds); `ready` then tells which.
    pub(super) fn wait(&mut self, now: u64, until: u64) -> io::Result<()> {
        let timeout_ms = if until <= now {
            0
        } else {
            self.arm(now, until)?;
            -1
        };
        // SAFETY: `events` holds EVENTS_MAX initialised elements, which the kernel may overwrite.
        let count = unsafe {
            let events = self.events.as_mut_ptr();
            libc::epoll_wait(self.epoll.as_raw_fd(), events, EVENTS_MAX as i32, timeout_ms)
        };
        self.count = 0;
        if count < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
        }
        self.count = count as usize;
        if self.events[..self.count].iter().any(|event| event.u64 == TIMER_TOKEN) {
            self.armed = None;
        }
        Ok(())
    }

    /// How many events the last wait brought; `ready` takes indexes below it.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The socket of an event of the last wait, or `None` where it was the timer's.
    pub(super) fn ready(&self, index: usize) -> Option<Ready> {
        const READABLE: u32 =
            (libc::EPOLLIN | libc::EPOLLHUP | libc::EPOLLERR | libc::EPOLLRDHUP) as u32;
        let event = self.events[..self.count][index];
        (event.u64 != TIMER_TOKEN).then_some(Ready {
            token: event.u64 as usize,
            readable: event.events & READABLE != 0,
            writable: event.events & libc::EPOLLOUT as u32 != 0,
        })
    }

    fn arm(&mut self, now: u64, until: u64) -> io::Result<()> {
        if self.armed == Some(until) {
            return Ok(());
        }
        let nanos = until - now;
        let setting = libc::itimerspec {
            it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: libc::timespec {
                tv_sec: (nanos / 1_000_000_000) as libc::time_t,
                tv_nsec: (nanos % 1_000_000_000) as libc::c_long,
            },
        };
        // SAFETY: `setting` lives through the call; the old setting is not asked for.
        let result = unsafe {
            libc::timerfd_settime(self.timer.as_raw_fd(), 0, &setting, std::ptr::null_mut())
        };
        check(result)?;
        self.armed = Some(until);
        Ok(())
    }

    fn control(&self, operation: i32, fd: RawFd, interest: u32, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest, u64: token };
        // SAFETY: `event` lives through the call.
        check(unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd, &mut event) })
    }
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    check(fd)?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// CPU time this process has used so far, user and system, in nanoseconds.
pub(super) fn process_cpu_nanos() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` lives through the call.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    if result == 0 { time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64 } else { 0 }
}

/// Lets this process open as many files as the system allows it at most; a soft limit of 1024 is
/// usual. What is not allowed shows when a connection fails.
pub(super) fn raise_open_files_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` lives through both calls.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    fn take(poller: &Poller) -> Vec<Option<Ready>> {
        (0..poller.count()).map(|index| poller.ready(index)).collect()
    }

    #[test]
    fn sockets_and_the_timer_wake() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let mut poller = Poller::new().unwrap();
        poller.add(far.as_fd(), 7).unwrap();
        poller.wait(5, 5).unwrap();
        assert_eq!(poller.count(), 0);
        poller.wait(0, 1000).unwrap();
        assert_eq!(take(&poller), [None]);
        near.write_all(b"x").unwrap();
        poller.wait(0, u64::MAX / 2).unwrap();
        assert_eq!(take(&poller), [Some(Ready { token: 7, readable: true, writable: false })]);
        poller.watch(far.as_fd(), 7, true).unwrap();
        poller.wait(0, u64::MAX / 2).unwrap();
        assert_eq!(take(&poller), [Some(Ready { token: 7, readable: true, writable: true })]);
    }

    #[test]
    fn cpu_time_moves_forward() {
        let before = process_cpu_nanos();
        let mut random = super::super::random::Random::new(1);
        let sum = (0..3_000_000).fold(0u64, |sum, _| sum.wrapping_add(random.draw()));
        assert!(process_cpu_nanos() > before, "{sum}");
    }
}
