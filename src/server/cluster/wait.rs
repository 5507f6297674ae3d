//! WAIT: until so many copies have what a connection has written, on this node and on others. Knows
//! no replica; it asks.

use super::super::Server;
use crate::clock;
use crate::command::Args;
use crate::command::parse::number;
use crate::command::reply::{ReplyWriter, errors};
use crate::limits;
use crate::worker::{After, Answer, Session, Shared, encoded};
use cluster::group_set::GroupSet;
use cluster::record::Seq;
use cluster::slot::Group;
use std::sync::Arc;
use std::time::Duration;

/// What WAIT waits for.
struct Wait {
    shared: Arc<Shared>,
    /// The newest records of groups that this node leads.
    records: Vec<(Group, Seq)>,
    /// Groups that others lead.
    elsewhere: GroupSet,
    wanted: u32,
    until_nanos: u64,
}

impl Server {
    pub(super) fn wait(
        &self,
        args: Args<'_>,
        session: &mut Session,
        out: &mut Answer<'_>,
    ) -> After {
        let Some(wanted) = number::integer(args.get(1)) else {
            out.error(errors::NOT_AN_INTEGER);
            return After::Continue;
        };
        let timeout = match number::integer(args.get(2)) {
            Some(ms @ 0..) => ms.unsigned_abs(),
            Some(_) => {
                out.error("ERR timeout is negative");
                return After::Continue;
            }
            None => {
                out.error("ERR timeout is not an integer or out of range");
                return After::Continue;
            }
        };
        let timeout = if timeout == 0 { limits::WAIT_MS_MAX } else { timeout };
        let nanos = timeout.min(limits::WAIT_MS_MAX) * 1_000_000;
        let until_nanos = clock::monotonic_nanos().saturating_add(nanos);
        let wanted = u32::try_from(wanted.max(0)).unwrap_or(u32::MAX);
        let wait = Wait::new(&self.shared, session.wrote().as_ref(), wanted, until_nanos);
        match wait.look().filter(|(_, gone)| wait.elsewhere.is_empty() && gone.is_empty()) {
            Some((copies, _)) => {
                if copies >= wanted {
                    session.settled();
                }
                out.integer(i64::from(copies));
            }
            None => {
                session.answer_later(Box::pin(wait.answer(session.version)));
                return After::Await;
            }
        }
        After::Continue
    }
}

impl Wait {
    /// For what was written to these groups; if to none, for all that this node leads.
    fn new(shared: &Arc<Shared>, wrote: Option<&GroupSet>, wanted: u32, until_nanos: u64) -> Wait {
        let (mut records, mut elsewhere) = (Vec::new(), GroupSet::default());
        if let Some(view) = shared.views.get() {
            let is_meant = |group| wrote.is_none_or(|wrote| wrote.contains(group));
            shared.engine.each_log_position(|group, seq| {
                if view.primary_of().contains(group) && is_meant(group) {
                    records.push((group, seq));
                }
            });
            let others = wrote.into_iter().flat_map(GroupSet::iter);
            elsewhere = others.filter(|group| !view.primary_of().contains(*group)).collect();
        }
        Wait { shared: shared.clone(), records, elsewhere, wanted, until_nanos }
    }

    /// How many copies there are of what this node leads, if it is time to say so, and the groups
    /// that this does not speak of since another leads them now.
    fn look(&self) -> Option<(u32, GroupSet)> {
        // A node alone has no copies, however long anybody waits.
        let Some(known) = self.shared.others.copies.get() else {
            return Some((0, GroupSet::default()));
        };
        let gone = self.gone();
        let here = self.records.iter().filter(|(group, _)| !gone.contains(*group));
        let of_each = here.map(|(group, seq)| known.copies(*group, *seq));
        let all_here = self.elsewhere.is_empty() && gone.is_empty();
        let none = if all_here { 0 } else { u32::MAX };
        let copies = of_each.min().unwrap_or(none);
        let over = copies >= self.wanted || clock::monotonic_nanos() >= self.until_nanos;
        over.then_some((copies, gone))
    }

    /// Groups that this node led when they were written to, and does not lead any more.
    fn gone(&self) -> GroupSet {
        let Some(view) = self.shared.views.get() else { return GroupSet::default() };
        let groups = self.records.iter().map(|(group, _)| *group);
        groups.filter(|group| !view.primary_of().contains(*group)).collect()
    }

    async fn here(&self) -> (u32, GroupSet) {
        loop {
            if let Some(found) = self.look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(limits::WAIT_STEP_MS)).await;
        }
    }

    async fn there(&self, groups: &GroupSet) -> u32 {
        let asked = self.shared.others.copies.get().filter(|_| !groups.is_empty());
        let Some(known) = asked else { return u32::MAX };
        let nanos = self.until_nanos.saturating_sub(clock::monotonic_nanos());
        known.elsewhere(groups.clone(), self.wanted, Duration::from_nanos(nanos)).await
    }

    async fn answer(self, version: crate::resp::Version) -> bytes::Bytes {
        let ((here, gone), there) = tokio::join!(self.here(), self.there(&self.elsewhere));
        // Who leads them now has to say of those that went meanwhile, and were left out.
        let gone = self.there(&gone).await;
        let copies = here.min(there).min(gone);
        encoded(version, |out| out.integer(i64::from(copies)))
    }
}
