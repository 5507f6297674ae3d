//! A counter with one writer and any number of readers. Knows nothing of what it counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one thread changes and any thread reads.
///
/// One writer means that a load and a store do what a locked read-modify-write would, at the
/// price of two plain moves. A second writer would lose counts, but nothing else.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`; the total wraps.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.get().wrapping_add(n), Ordering::Relaxed);
    }

    /// Takes `n` off, down to zero at most.
    #[inline]
    pub fn sub(&self, n: u64) {
        self.0.store(self.get().saturating_sub(n), Ordering::Relaxed);
    }

    /// Replaces the number.
    #[inline]
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// Raises the number to `n` if it is lower.
    #[inline]
    pub fn raise(&self, n: u64) {
        if n > self.get() {
            self.set(n);
        }
    }

    /// The number now.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::Counter;

    #[test]
    fn counts_up_and_down() {
        let counter = Counter::default();
        counter.add(5);
        counter.sub(2);
        assert_eq!(counter.get(), 3);
        counter.sub(9);
        assert_eq!(counter.get(), 0);
        counter.raise(7);
        counter.raise(4);
        assert_eq!(counter.get(), 7);
    }
}
