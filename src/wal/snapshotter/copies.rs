//! Snapshots of single groups that were received as copies: until one is on disk the log goes on
//! from nothing, and the node may not say that it has the group. On a thread of its own, lest they
//! wait for a snapshot of everything, which takes the place of them all later.

use super::{Desk, Snapshotter, SnapshotterOptions, write};
use crate::clock;
use crate::command::Time;
use crate::wal::snapshot::Host;
use cluster::record::{Epoch, Seq};
use cluster::slot::Group;
use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use tokio::sync::oneshot;

/// A group to be written, and whom to tell.
pub(super) type Copy = (Group, oneshot::Sender<bool>);

impl Snapshotter {
    /// Writes a group that was received as a copy. Tells whether it is on disk, once it is or could
    /// not be written; nothing when the node ends.
    pub fn save_copy(&self, group: Group) -> oneshot::Receiver<bool> {
        let (tell, told) = oneshot::channel();
        let mut state = self.desk.state.lock();
        if !state.stop {
            state.copies.push((group, tell));
        }
        drop(state);
        self.desk.changed.notify_all();
        told
    }
}

/// The thread's side.
pub(super) struct CopyClerk {
    pub(super) desk: Arc<Desk>,
    pub(super) options: Arc<SnapshotterOptions>,
}

impl CopyClerk {
    pub(super) fn work(self) {
        while let Some(copies) = self.next() {
            let groups: BTreeSet<Group> = copies.iter().map(|(group, _)| *group).collect();
            let mut host = Unpaced { clerk: &self };
            let written = write(&self.desk, &self.options, groups.iter().copied(), &mut host);
            match &written {
                Ok(done) => {
                    let groups = done.groups.len();
                    tracing::debug!(number = done.number, groups, "copies written");
                }
                Err(error) => tracing::error!("copies of groups are not on disk: {error}"),
            }
            if !self.desk.state.lock().stop {
                // Whoever asked may be gone.
                let written = written.is_ok();
                for (_, tell) in copies {
                    let _ = tell.send(written);
                }
            }
        }
    }

    /// Waits for copies; `None` when there will be none.
    fn next(&self) -> Option<Vec<Copy>> {
        let mut state = self.desk.state.lock();
        while !state.stop && state.copies.is_empty() {
            self.desk.changed.wait(&mut state);
        }
        let copies = std::mem::take(&mut state.copies);
        (!state.stop).then_some(copies)
    }
}

/// Somebody waits: as fast as it can be.
struct Unpaced<'a> {
    clerk: &'a CopyClerk,
}

impl Host for Unpaced<'_> {
    fn now(&self) -> Time {
        clock::now()
    }

    fn pace(&mut self, _: u64) -> ControlFlow<()> {
        if self.clerk.desk.state.lock().stop {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn settle(&mut self, groups: &[(Group, Epoch, Seq)]) -> io::Result<()> {
        (self.clerk.options.settle)(groups)
    }
}
