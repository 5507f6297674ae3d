//! WAIT: until so many copies have what this node has done so far. Knows no replica; it asks.

use super::super::Server;
use crate::clock;
use crate::command::Args;
use crate::command::parse::number;
use crate::command::reply::{ReplyWriter, errors};
use crate::limits;
use crate::worker::{After, Answer, Session, Shared, encoded};
use cluster::record::Seq;
use cluster::slot::Group;
use std::sync::Arc;
use std::time::Duration;

/// What WAIT waits for.
struct Wait {
    shared: Arc<Shared>,
    /// Everything this node had done as a primary when it began: more than this connection did,
    /// which costs nothing to know and is there no later than the next commands of the others.
    records: Vec<(Group, Seq)>,
    wanted: i64,
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
        let shared = self.shared.clone();
        let wait = Wait { records: records(&shared), shared, wanted, until_nanos };
        match wait.look() {
            Some(copies) => out.integer(copies),
            None => {
                session.answer_later(Box::pin(wait.answer(session.version)));
                return After::Await;
            }
        }
        After::Continue
    }
}

/// The newest record of each group that this node is primary of.
fn records(shared: &Shared) -> Vec<(Group, Seq)> {
    let mut records = Vec::new();
    if let Some(view) = shared.views.get() {
        shared.engine.each_log_position(|group, seq| {
            if view.primary_of().contains(group) {
                records.push((group, seq));
            }
        });
    }
    records
}

impl Wait {
    /// The answer, if it is time for it.
    fn look(&self) -> Option<i64> {
        // A node alone has no copies, however long anybody waits.
        let Some(known) = self.shared.others.copies.get() else { return Some(0) };
        let of_each = self.records.iter().map(|(group, seq)| known.copies(*group, *seq));
        let copies = of_each.min().map_or(0, i64::from);
        let over = copies >= self.wanted || clock::monotonic_nanos() >= self.until_nanos;
        over.then_some(copies)
    }

    async fn answer(self, version: crate::resp::Version) -> bytes::Bytes {
        loop {
            if let Some(copies) = self.look() {
                return encoded(version, |out| out.integer(copies));
            }
            tokio::time::sleep(Duration::from_millis(limits::WAIT_STEP_MS)).await;
        }
    }
}
