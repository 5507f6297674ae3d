//! The only room that reads the time, and where chance comes from. Knows nothing of who asks.

use crate::command::Time;
use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where [`monotonic_nanos`] counts from: about the start of the process.
static START: LazyLock<u64> = LazyLock::new(boot_nanos);

thread_local! {
    static CHANCE: Cell<u64> = Cell::new(seed());
}

/// The wall clock, in milliseconds since the Unix epoch: what deadlines are measured by. It may
/// step back when the machine's clock is set.
#[inline]
pub fn now() -> Time {
    Time(wall_nanos() / 1_000_000)
}

/// The wall clock, in microseconds since the Unix epoch.
pub fn now_micros() -> u64 {
    wall_nanos() / 1000
}

/// Nanoseconds since about the start of the process; never steps back, and counts while the
/// machine sleeps: a lease must not last longer for who slept.
#[inline]
pub fn monotonic_nanos() -> u64 {
    boot_nanos().saturating_sub(*START)
}

/// Milliseconds since the machine started, by the same clock: what nodes measure leases by.
pub fn boot_millis() -> u64 {
    boot_nanos() / 1_000_000
}

/// The time of [`monotonic_nanos`] at this one of [`boot_millis`].
pub fn nanos_at_boot_millis(millis: u64) -> u64 {
    millis.saturating_mul(1_000_000).saturating_sub(*START)
}

/// Read without a system call, as the clock is that stops while the machine sleeps.
#[inline]
fn boot_nanos() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a value of ours. Every Linux that this runs on has the clock.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) } != 0;
    assert!(!failed, "the machine has no clock");
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

/// Milliseconds from the start of the process's clock to the Unix epoch, times a million, as last
/// compared: what turns monotonic nanoseconds into the time of day without asking twice.
static OFFSET_NANOS: AtomicU64 = AtomicU64::new(0);

/// Compares the two clocks anew, so that [`at`] follows when the machine's clock is set. To be
/// called a few times a second; returns the time of day.
pub fn compare() -> Time {
    let (nanos, now) = (monotonic_nanos(), wall_nanos());
    OFFSET_NANOS.store(now.saturating_sub(nanos).max(1), Ordering::Relaxed);
    Time(now / 1_000_000)
}

/// The time of day at a monotonic time of now or lately.
#[inline]
pub fn at(nanos: u64) -> Time {
    let mut offset = OFFSET_NANOS.load(Ordering::Relaxed);
    if offset == 0 {
        compare();
        offset = OFFSET_NANOS.load(Ordering::Relaxed);
    }
    Time((offset + nanos) / 1_000_000)
}

#[expect(clippy::disallowed_methods, reason = "this is the room that reads the time")]
fn wall_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX / 2)
}

/// From now on short waits of this thread end when they should, and not up to 50 µs later.
pub fn wake_in_time() {
    // SAFETY: no memory is involved. If the system does not take it, waits are longer.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1000) };
}

/// A random number, from a generator of this thread's own that the system's chance has seeded.
/// Good enough for hash seeds, sampling and jitter; not for secrets.
#[inline]
pub fn random_u64() -> u64 {
    CHANCE.with(|state| {
        let next = state.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        state.set(next);
        mix(next)
    })
}

/// SplitMix64's finaliser (Steele, Lea, Flood: "Fast splittable pseudorandom number generators").
#[inline]
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The standard library seeds its hash maps from the system; a hash of nothing hands that on.
fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::{at, boot_millis, compare, monotonic_nanos, nanos_at_boot_millis, now, random_u64};

    #[test]
    fn the_time_of_day_follows_from_the_other_clock() {
        compare();
        let (before, between, after) = (now(), at(monotonic_nanos()), now());
        assert!(before.0 <= between.0 + 1 && between.0 <= after.0 + 1);
    }

    #[test]
    fn time_is_plausible_and_never_steps_back() {
        assert!(now().0 > 1_700_000_000_000);
        let readings: Vec<u64> = (0..1000).map(|_| monotonic_nanos()).collect();
        assert!(readings.is_sorted());
    }

    #[test]
    fn both_ways_to_measure_a_lease_are_one_clock() {
        let (before, millis, after) = (monotonic_nanos(), boot_millis(), monotonic_nanos());
        let between = nanos_at_boot_millis(millis);
        assert!(between <= after && before < between + 1_000_000, "{before} {between} {after}");
        assert_eq!(nanos_at_boot_millis(u64::MAX), u64::MAX - *super::START);
    }

    #[test]
    fn chance_differs_between_draws_and_threads() {
        let here: Vec<u64> = (0..100).map(|_| random_u64()).collect();
        let draw = || (0..100).map(|_| random_u64()).collect::<Vec<_>>();
        let there = std::thread::spawn(draw).join().expect("the thread ends");
        let mut all = [here, there].concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 200);
    }
}
