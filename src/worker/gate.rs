//! Where answers wait for the disk: they are kept with their connection, which is woken when the
//! log has come further and looks again. Knows neither records nor files.

use super::Worker;
use super::batch::Stop;
use crate::limits::GATE_WAITS_KEPT_MAX;
use crate::wal::log::Log;
use cluster::record::Seq;
use cluster::slot::Group;
use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Waker};

/// What a connection waits for, and how it goes on then.
#[derive(Debug)]
pub(super) struct Held {
    waits: Vec<(Group, Seq)>,
    /// Why executing had stopped.
    pub(super) stop: Stop,
}

/// The connections of a worker that wait for the log. At most one place for each of them.
#[derive(Debug, Default)]
pub(super) struct Gate {
    wakers: RefCell<Vec<Waker>>,
}

impl Held {
    /// Answers that depend on `waits`, which is left empty.
    pub(super) fn new(waits: &mut Vec<(Group, Seq)>, stop: Stop) -> Held {
        Held { waits: std::mem::take(waits), stop }
    }

    /// Whether they may go now.
    pub(super) fn may_go(&mut self, log: &Log) -> bool {
        if !log.is_gating() {
            return true;
        }
        self.waits.retain(|&(group, seq)| !log.is_durable(group, seq));
        self.waits.is_empty()
    }
}

impl Gate {
    /// Wakes the task when the log has come further.
    pub(super) fn wait(&self, cx: &Context<'_>) {
        self.wakers.borrow_mut().push(cx.waker().clone());
    }

    fn open(&self) {
        let mut wakers = self.wakers.borrow_mut();
        wakers.drain(..).for_each(Waker::wake);
        wakers.shrink_to(GATE_WAITS_KEPT_MAX);
    }
}

/// Lets connections look again after every round of the log, for ever.
pub(super) async fn keep(worker: Rc<Worker>) {
    let Some(log) = worker.shared.log.clone() else { return };
    let mut rounds = log.rounds();
    while rounds.changed().await.is_ok() {
        worker.gate.open();
    }
}
