//! How the log's thread is woken and how it wakes those who wait for it: at most one wake-up for
//! all who rang, and none for who does not wait. Knows nothing of the log.

use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;
use tokio::sync::Notify;

/// Wakes the thread: whoever rings first pays, the others see that it has been done.
#[derive(Debug, Default)]
pub(super) struct Bell {
    state: AtomicU8,
    lock: Mutex<()>,
    rung: Condvar,
}

const QUIET: u8 = 0;
const RUNG: u8 = 1;

impl Bell {
    pub(super) fn ring(&self) {
        if self.state.swap(RUNG, Ordering::AcqRel) == QUIET {
            drop(self.lock.lock());
            self.rung.notify_one();
        }
    }

    /// Returns when somebody has rung since the last call, or after `longest`.
    pub(super) fn wait(&self, longest: Duration) {
        let mut lock = self.lock.lock();
        if self.state.load(Ordering::Acquire) == QUIET {
            self.rung.wait_for(&mut lock, longest);
        }
        self.state.store(QUIET, Ordering::Release);
    }
}

/// Counts the rounds of the log's thread and tells who listens; each listener is a worker.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    done: AtomicU64,
    listeners: Mutex<Vec<Arc<Listener>>>,
    /// For others.
    ended: Notify,
}

/// Who wants to be woken after a round.
#[derive(Debug, Default)]
pub struct Listener {
    waiting: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Rounds {
    /// How many are done.
    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::SeqCst)
    }

    /// One more.
    pub(super) fn listen(&self) -> Arc<Listener> {
        let listener = Arc::new(Listener::default());
        self.listeners.lock().push(listener.clone());
        listener
    }

    /// Waits until a round behind this one is done.
    pub(super) async fn behind(&self, round: u64) {
        loop {
            // Asked for before the look: no round is missed that ends in between.
            let mut ended = std::pin::pin!(self.ended.notified());
            ended.as_mut().enable();
            if self.done() > round {
                return;
            }
            ended.await;
        }
    }

    /// A round is done.
    pub(super) fn end(&self) {
        self.done.fetch_add(1, Ordering::SeqCst);
        self.ended.notify_waiters();
        for listener in &*self.listeners.lock() {
            if listener.waiting.swap(false, Ordering::SeqCst)
                && let Some(waker) = &*listener.waker.lock()
            {
                waker.wake_by_ref();
            }
        }
    }
}

impl Listener {
    /// Wakes this task from now on.
    pub fn register(&self, waker: &Waker) {
        let mut mine = self.waker.lock();
        if !mine.as_ref().is_some_and(|mine| mine.will_wake(waker)) {
            *mine = Some(waker.clone());
        }
    }

    /// Asks to be woken once, after the next round. Who then finds that a round was done since it
    /// last looked must look again: that one may not have seen this.
    pub fn wait(&self) {
        self.waiting.store(true, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::Rounds;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{Wake, Waker};

    #[derive(Default)]
    struct Counted(AtomicU32);

    impl Wake for Counted {
        fn wake(self: Arc<Counted>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_waits_is_woken_once_and_who_does_not_is_not() {
        let (rounds, counted) = (Rounds::default(), Arc::new(Counted::default()));
        let listener = rounds.listen();
        listener.register(&Waker::from(counted.clone()));
        rounds.end();
        assert_eq!(counted.0.load(Ordering::Relaxed), 0);
        listener.wait();
        rounds.end();
        rounds.end();
        assert_eq!((counted.0.load(Ordering::Relaxed), rounds.done()), (1, 3));
    }
}
