//! Where answers wait for the disk: they are kept with their connection, which gets a turn
//! when the log has come further and looks again. Knows neither records nor files.

use super::Worker;
use super::batch::Stop;
use crate::limits::GATE_WAITS_KEPT_MAX;
use crate::wal::bell::Listener;
use crate::wal::log::Log;
use cluster::record::Seq;
use cluster::slot::Group;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// What a connection waits for, and how it goes on then.
#[derive(Debug)]
pub(super) struct Held {
    waits: Vec<(Group, Seq)>,
    /// Why executing had stopped.
    pub(super) stop: Stop,
    /// When executing had begun, in monotonic nanoseconds: the lease of that time has to last
    /// until the answers go.
    pub(super) began_nanos: u64,
}

/// What becomes of answers that are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// They wait on.
    Wait,
    /// All that they depend on is on disk.
    Go,
    /// Some of it never will be: this node gave the group up, or began it anew, so whether they
    /// count is not known here.
    Lost,
}

/// The connections of a worker that wait for the log. At most one place for each of them.
#[derive(Debug, Default)]
pub(super) struct Gate {
    waiting: RefCell<Vec<Waiting>>,
    /// Rounds of the log that were done before a connection last looked.
    looked: Cell<u64>,
    /// Answers that the log does not know of yet.
    asked: Cell<u64>,
    keeper: RefCell<Option<Waker>>,
}

#[derive(Debug)]
struct Waiting {
    looked: u64,
    seat: usize,
}

impl Held {
    /// Answers that depend on `waits`, which is left empty.
    pub(super) fn new(waits: &mut Vec<(Group, Seq)>, stop: Stop, began_nanos: u64) -> Held {
        Held { waits: std::mem::take(waits), stop, began_nanos }
    }

    fn look(&mut self, log: &Log) -> Fate {
        if !log.is_gating() {
            return Fate::Go;
        }
        self.waits.retain(|&(group, seq)| !log.is_durable(group, seq));
        match self.waits.iter().any(|&(group, seq)| log.is_gone(group, seq)) {
            true => Fate::Lost,
            false if self.waits.is_empty() => Fate::Go,
            false => Fate::Wait,
        }
    }
}

impl Gate {
    /// What becomes of answers that are held.
    pub(super) fn look(&self, held: &mut Held, log: &Log) -> Fate {
        self.looked.set(log.rounds());
        held.look(log)
    }

    /// Whether writers have to wait, since the log is full: the other look before [`Gate::wait`].
    pub(super) fn is_full(&self, log: &Log) -> bool {
        self.looked.set(log.rounds());
        log.is_full()
    }

    /// Answers are held: the log is asked for a round when all connections that have something
    /// to read had their turn, so that one sync serves them all.
    pub(super) fn ask(&self) {
        self.asked.set(self.asked.get() + 1);
    }

    /// Gives the connection in `seat` a turn when the log has come further than when
    /// [`Gate::look`] or [`Gate::is_full`] last looked, which must have been for this connection.
    /// `since` remembers for which look it has asked already.
    pub(super) fn wait(&self, seat: usize, since: &mut u64) {
        let looked = self.looked.get();
        if *since != looked + 1 {
            *since = looked + 1;
            self.waiting.borrow_mut().push(Waiting { looked, seat });
        }
        if let Some(keeper) = &*self.keeper.borrow() {
            keeper.wake_by_ref();
        }
    }

    /// Gives those a turn who looked before this round was done.
    fn open(&self, rounds: u64, mut wake: impl FnMut(usize)) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.extract_if(.., |waiting| waiting.looked < rounds).for_each(|w| wake(w.seat));
        waiting.shrink_to(GATE_WAITS_KEPT_MAX);
    }

    /// One turn of the keeper, behind those of the connections.
    fn keep(&self, log: &Log, listener: &Listener, cx: &Context<'_>, mut wake: impl FnMut(usize)) {
        listener.register(cx.waker());
        let mut keeper = self.keeper.borrow_mut();
        if !keeper.as_ref().is_some_and(|keeper| keeper.will_wake(cx.waker())) {
            *keeper = Some(cx.waker().clone());
        }
        drop(keeper);
        loop {
            let rounds = log.rounds();
            self.open(rounds, &mut wake);
            if self.waiting.borrow().is_empty() {
                break;
            }
            listener.wait();
            if log.rounds() == rounds {
                break;
            }
        }
        match self.asked.take() {
            0 => {}
            answers => log.ask(answers),
        }
    }
}

/// Lets connections look again after rounds of the log, for ever.
pub(super) async fn keep(worker: Rc<Worker>) {
    let Some(log) = worker.shared.log.clone() else { return };
    let listener = log.listen();
    poll_fn(|cx| {
        worker.gate.keep(&log, &listener, cx, |seat| worker.seats.wake(seat));
        Poll::Pending
    })
    .await
}
