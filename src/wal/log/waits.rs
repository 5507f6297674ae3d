//! Who waits for the log: whether a record is on disk, or never will be. Knows neither the thread
//! that writes nor who waits.

use super::{Log, LogState};
use crate::{clock, limits};
use cluster::record::{Epoch, Seq};
use cluster::slot::Group;
use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

impl Log {
    /// Returns when the log is on disk up to these records, or will never be: was given up, or has
    /// begun anew with a record before.
    ///
    /// # Errors
    /// When the node is ending.
    pub fn settle(&self, groups: &[(Group, Epoch, Seq)]) -> io::Result<()> {
        self.settle_until(groups, u64::MAX)
    }

    /// The same, at most until this time of [`clock::monotonic_nanos`].
    pub(super) fn settle_until(
        &self,
        groups: &[(Group, Epoch, Seq)],
        until_nanos: u64,
    ) -> io::Result<()> {
        let mut state = self.state.lock();
        let is_settled = |group, seq| self.is_durable(group, seq) || self.is_gone(group, seq);
        while !groups.iter().all(|&(group, _, seq)| is_settled(group, seq)) {
            if let LogState::GivenUp(_) = &*state {
                return Ok(());
            }
            if self.ended.load(Ordering::Acquire) || self.unsettled.load(Ordering::Acquire) {
                return Err(io::Error::other("the node is ending"));
            }
            if clock::monotonic_nanos() >= until_nanos {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.asked.store(true, Ordering::Release);
            self.bell.ring();
            self.settled.wait_for(&mut state, Duration::from_millis(limits::WAL_IDLE_MS));
        }
        Ok(())
    }

    /// Whether a record of a group is on disk, with all before it.
    #[inline]
    pub fn is_durable(&self, group: Group, seq: Seq) -> bool {
        let durable = self.durable[usize::from(group.number())].load(Ordering::Acquire);
        seq.0 <= durable && !self.engine.log_restarts(group)
    }

    /// Whether a record of a group that is not on disk never will be: its log has begun anew with
    /// one before it, and that is on disk where records are kept. On a node alone no log begins
    /// anew, and the question costs no lock.
    pub fn is_gone(&self, group: Group, seq: Seq) -> bool {
        if !self.engine.log_began_anew(group) {
            return false;
        }
        // In this order: whose log has begun anew before is known to restart.
        self.engine.log_position(group).1 < seq && !self.engine.log_restarts(group)
    }
}
