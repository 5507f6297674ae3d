//! How the log's thread is woken and how it wakes those who wait for it: at most one wake-up for
//! all who asked, and none for who does not wait. Knows nothing of the log.

use super::gather::Gather;
use crate::clock;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;
use tokio::sync::Notify;

/// Wakes the thread, once as many answers wait as it wants.
#[derive(Debug, Default)]
pub(super) struct Bell {
    /// Answers that wait for a round that has not begun; [`AT_ONCE`] for each who will not wait
    /// for others.
    asked: AtomicU64,
    /// With so many the thread is to wake.
    wanted: AtomicU64,
    lock: Mutex<()>,
    rung: Condvar,
}

/// More than there are answers.
const AT_ONCE: u64 = 1 << 40;

impl Bell {
    /// So many answers more wait for a round.
    pub(super) fn ask(&self, answers: u64) {
        let before = self.asked.fetch_add(answers, Ordering::SeqCst);
        let wanted = self.wanted.load(Ordering::SeqCst);
        // Who makes it enough pays, the others see that it has been done.
        if before < wanted && before + answers >= wanted {
            drop(self.lock.lock());
            self.rung.notify_one();
        }
    }

    /// A round is to begin, whoever waits.
    pub(super) fn ring(&self) {
        self.ask(AT_ONCE);
    }

    /// How many answers wait.
    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst) % AT_ONCE
    }

    /// A round begins: it serves all who have asked until now.
    pub(super) fn begin(&self) -> u64 {
        self.asked.swap(0, Ordering::SeqCst) % AT_ONCE
    }

    /// Waits for something to do: if there was something just now, until as many answers wait as
    /// are worth a sync; else until one does, or for `idle`.
    pub(super) fn gather(&self, busy: Option<&Gather>, idle: Duration) {
        let Some(gather) = busy.filter(|gather| gather.wanted() > 1) else {
            self.wait(1, idle);
            return;
        };
        let longest = gather.longest();
        let until = clock::monotonic_nanos() + longest.as_nanos() as u64;
        let mut enough = self.wait(gather.wanted(), longest);
        if self.asked.load(Ordering::SeqCst) == 0 {
            self.wait(1, idle);
            return;
        }
        while enough && clock::monotonic_nanos() < until {
            let asked = self.asked.load(Ordering::SeqCst);
            let Some(gap) = gather.gap(asked) else { return };
            enough = self.wait(asked + 1, gap);
        }
    }

    /// Returns when `wanted` answers wait, or somebody has rung, or after `longest`; whether it
    /// was one of the former.
    pub(super) fn wait(&self, wanted: u64, longest: Duration) -> bool {
        let mut lock = self.lock.lock();
        self.wanted.store(wanted, Ordering::SeqCst);
        if self.asked.load(Ordering::SeqCst) < wanted {
            self.rung.wait_for(&mut lock, longest);
        }
        self.asked.load(Ordering::SeqCst) >= wanted
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
    use super::{Bell, Rounds};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{Wake, Waker};
    use std::time::Duration;

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

    #[test]
    fn the_thread_wakes_when_enough_have_asked_or_somebody_will_not_wait() {
        let bell = Bell::default();
        assert!(!bell.wait(1, Duration::from_millis(1)));
        bell.ask(2);
        assert!(bell.wait(2, Duration::from_secs(60)));
        assert!(!bell.wait(3, Duration::from_millis(1)));
        bell.ring();
        assert!(bell.wait(1000, Duration::from_secs(60)));
        assert_eq!((bell.begin(), bell.asked()), (2, 0));
        std::thread::scope(|scope| {
            scope.spawn(|| (0..10).for_each(|_| bell.ask(1)));
            assert!(bell.wait(10, Duration::from_secs(60)));
        });
        assert_eq!(bell.begin(), 10);
    }
}
