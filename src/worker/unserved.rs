//! Commands on groups that nobody serves for a moment, here or anywhere: how long they wait, what
//! ends the wait, and what the client is told when nothing does. Knows no command.

use super::connection::Connection;
use super::session::Session;
use super::view::ClusterView;
use crate::clock;
use crate::command::spec::Spec;
use crate::engine::Duty;
use crate::limits::{
    FORWARD_REST_MS, FORWARD_STEP_MS_MAX, FORWARD_STEP_MS_MIN, FORWARD_WAIT_MS_MAX,
};
use std::time::Duration;

/// A group is going to another node, or has just come.
pub(super) const HANDED_OVER: &str =
    "TRYAGAIN The slot is being handed over from one node to another";

/// How long a connection's commands wait for groups that nobody serves.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Patience {
    /// Monotonic nanoseconds when it began to wait; 0 while nothing waits.
    since: u64,
}

const WAIT_NANOS: u64 = FORWARD_WAIT_MS_MAX * 1_000_000;
const REST_NANOS: u64 = FORWARD_REST_MS * 1_000_000;

impl Patience {
    /// A command was carried out.
    #[inline]
    pub(super) fn renew(&mut self) {
        self.since = 0;
    }

    /// A command waits, or waits on.
    pub(super) fn begin(&mut self, now_nanos: u64) {
        if self.since == 0 || self.has_rested(now_nanos) {
            self.since = now_nanos.max(1);
        }
    }

    /// Whether a command may wait, or wait on. When the wait is over, what comes soon after is not
    /// to wait either: each of many commands would wait anew.
    #[inline]
    pub(super) fn may_last(self, now_nanos: u64) -> bool {
        self.since == 0
            || now_nanos.saturating_sub(self.since) < WAIT_NANOS
            || self.has_rested(now_nanos)
    }

    fn has_rested(self, now_nanos: u64) -> bool {
        now_nanos.saturating_sub(self.since) >= WAIT_NANOS + REST_NANOS
    }

    /// Until the next look: soon at first, since waits are short when all is well.
    fn step(self, now_nanos: u64) -> Duration {
        let half_ms = now_nanos.saturating_sub(self.since) / 2_000_000;
        Duration::from_millis(half_ms.clamp(FORWARD_STEP_MS_MIN, FORWARD_STEP_MS_MAX))
    }
}

/// What a node of a cluster has to be to the groups of a command.
#[inline]
pub(super) fn duty(view: Option<&ClusterView>, session: &Session, spec: &Spec) -> Duty {
    match view {
        None => Duty::Any,
        Some(_) if session.readonly && !spec.is_write() => Duty::Copy,
        Some(_) => Duty::Primary,
    }
}

impl Connection {
    /// Waits until the next command may find who serves it.
    pub(super) async fn wait_for_service(&mut self) {
        let shared = self.worker.shared.clone();
        let step = self.peer.patience.step(clock::monotonic_nanos());
        let waiting = self.waiting();
        let changed = tokio::time::timeout(step, shared.views.changed());
        tokio::pin!(changed);
        tokio::select! {
            _ = &mut changed => {}
            // What waits for the client goes on being sent.
            _ = self.flush() => { let _ = changed.await; }
        }
        drop(waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::{Patience, REST_NANOS, WAIT_NANOS};

    #[test]
    fn many_commands_wait_together() {
        let mut patience = Patience::default();
        assert!(patience.may_last(5));
        patience.begin(5);
        assert!(patience.may_last(WAIT_NANOS));
        patience.begin(WAIT_NANOS);
        // It is over, for this command and for those behind it, but not for ever.
        assert!(!patience.may_last(5 + WAIT_NANOS) && !patience.may_last(6 + WAIT_NANOS));
        assert!(patience.may_last(5 + WAIT_NANOS + REST_NANOS));
        patience.renew();
        assert!(patience.may_last(6 + WAIT_NANOS));
    }
}
