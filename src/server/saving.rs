//! SAVE, BGSAVE, BGREWRITEAOF, LASTSAVE, in Redis's words. A snapshot also makes the log shorter,
//! so that saving and rewriting are the same work.

use super::Server;
use crate::command::Args;
use crate::command::reply::{ReplyWriter, errors};
use crate::config::WalPolicy;
use crate::metrics::SaveFacts;
use crate::wal::snapshotter::{Busy, Purpose, Snapshotter};
use crate::worker::{After, Answer, Later, Session, Shared, encoded};
use bytes::Bytes;
use cluster::record::Seq;
use cluster::slot::Group;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What comes after a snapshot that a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// An answer.
    Answer,
    /// The end of the node, unless the snapshot failed.
    End,
    /// The end of the node.
    EndAnyway,
}

/// Writes wait, and clients that have sent some, while this is there: what is acknowledged while
/// the last snapshot is written would not be in it.
struct HeldWrites(Arc<Shared>);

impl HeldWrites {
    /// Returns once no worker carries any out.
    async fn hold(shared: Arc<Shared>) -> HeldWrites {
        shared.notice.hold();
        let held = HeldWrites(shared);
        held.0.inboxes.all_have_turned().await;
        held
    }
}

impl Drop for HeldWrites {
    fn drop(&mut self) {
        self.0.notice.release();
    }
}

/// Writes a snapshot that holds all that was acknowledged; nothing more is while what comes with
/// its outcome is there.
async fn save_last(
    shared: Arc<Shared>,
    snapshots: &Snapshotter,
) -> (HeldWrites, Result<(), String>) {
    let held = HeldWrites::hold(shared).await;
    let saved = snapshots.written(snapshots.begin_next(Purpose::Save)).await;
    (held, saved)
}

const OFF: &str = "ERR persistence is off: set data.dir";
const SAVING: &str = "ERR Background save already in progress";
const REWRITING: &str = "ERR Background append only file rewriting already in progress";
const SAVE_LATER: &str = "ERR Another child process is active (AOF?): can't BGSAVE right now. Use \
                          BGSAVE SCHEDULE in order to schedule a BGSAVE whenever possible.";

impl Server {
    /// Carries out a command about saving; `args` without its name.
    pub(super) fn saving(
        &self,
        name: &str,
        args: Args<'_>,
        session: &mut Session,
        out: &mut Answer<'_>,
    ) -> After {
        if name == "lastsave" {
            out.integer(i64::try_from(self.save_facts().last_unix).unwrap_or(i64::MAX));
            return After::Continue;
        }
        let schedule = args.len() == 1 && args.get(0).eq_ignore_ascii_case(b"schedule");
        if args.len() > usize::from(schedule) {
            out.error(errors::SYNTAX);
            return After::Continue;
        }
        let Some(snapshots) = &self.snapshots else {
            out.error(OFF);
            return After::Continue;
        };
        match name {
            "save" => match self.save(Then::Answer, session) {
                Ok(after) => return after,
                Err(error) => out.error(error),
            },
            "bgsave" => save_later(snapshots, schedule, out),
            _ => rewrite_later(snapshots, out),
        }
        After::Continue
    }

    /// Writes a snapshot that the client waits for, and nobody else.
    pub(super) fn save(&self, then: Then, session: &mut Session) -> Result<After, &'static str> {
        let snapshots = self.snapshots.as_ref().ok_or(OFF)?;
        if snapshots.status().in_progress == Some(Purpose::Save) {
            return Err(SAVING);
        }
        let (snapshots, ending) = (snapshots.clone(), self.ending.clone());
        let (version, shared) = (session.version, self.shared.clone());
        let begun = (then == Then::Answer).then(|| snapshots.begin_next(Purpose::Save));
        let saved: Later = Box::pin(async move {
            // Until it is known how it ended.
            let (_held, saved) = match begun {
                Some(number) => (None, snapshots.written(number).await),
                None => {
                    let (held, saved) = save_last(shared, &snapshots).await;
                    (Some(held), saved)
                }
            };
            match (saved, then) {
                (Ok(()), Then::Answer) => encoded(version, |out| out.simple("OK")),
                (Err(error), Then::Answer | Then::End) => {
                    encoded(version, |out| out.error(&format!("ERR not saved: {error}")))
                }
                (saved, Then::End | Then::EndAnyway) => {
                    if let Err(error) = saved {
                        tracing::error!("ending without having saved: {error}");
                    }
                    // The connection closes with the others, without an answer.
                    ending.end();
                    Bytes::new()
                }
            }
        });
        session.answer_later(saved);
        Ok(After::Await)
    }

    /// Whether the node saves unasked when it ends: when there is no log that has everything.
    pub(super) fn saves_at_end(&self) -> bool {
        self.snapshots.is_some() && self.current.lock().config.wal.policy == WalPolicy::None
    }

    /// Saves what is to be saved when the node is told to end; `None`: nothing is.
    pub fn save_at_end(&self) -> Option<impl Future<Output = ()> + use<>> {
        // What is not loaded yet would be missing in a snapshot, and is on disk anyway.
        let saves = self.saves_at_end() && !self.shared.notice.word().is_loading();
        let snapshots = self.snapshots.as_ref().filter(|_| saves)?.clone();
        let shared = self.shared.clone();
        Some(async move {
            let (held, saved) = save_last(shared, &snapshots).await;
            if let Err(error) = saved {
                tracing::error!("ending without having saved: {error}");
            }
            // Nothing more is written.
            std::mem::forget(held);
        })
    }

    /// How saving stands, as INFO tells it.
    pub(super) fn save_facts(&self) -> SaveFacts {
        let started = self.started_seconds();
        let Some(snapshots) = &self.snapshots else {
            return SaveFacts { last_unix: started, ..SaveFacts::default() };
        };
        let status = snapshots.status();
        SaveFacts {
            is_there: status.last_save_unix.is_some(),
            changes: self.changes_since(&status.last_positions),
            last_unix: status.last_save_unix.unwrap_or(started),
            in_progress: status.in_progress.is_some(),
            rewrite_in_progress: status.in_progress == Some(Purpose::Rewrite),
            rewrite_scheduled: status.scheduled == Some(Purpose::Rewrite),
            current_seconds: status.current_ms.map(|ms| ms / 1000),
            last_ms: status.last_ms,
            last_error: status.last_error,
            count: status.saves,
            rewrites: status.rewrites,
            last_bytes: status.last_bytes,
        }
    }
}

impl Server {
    /// Changes of the groups that are here, beyond these records. Of a group that came since, all.
    fn changes_since(&self, saved: &[(Group, Seq)]) -> u64 {
        let engine = &self.shared.engine;
        let saved: BTreeMap<Group, Seq> = saved.iter().copied().collect();
        let mut here = Vec::new();
        engine.each_log_position(|group, seq| here.push((group, seq)));
        here.retain(|(group, _)| engine.is_whole(*group));
        let since = |(group, seq): (Group, Seq)| match saved.get(&group) {
            Some(saved) if *saved <= seq => seq.0 - saved.0,
            Some(_) | None => seq.0,
        };
        here.into_iter().map(since).sum()
    }
}

fn save_later(snapshots: &Snapshotter, schedule: bool, out: &mut Answer<'_>) {
    match snapshots.begin(Purpose::Save) {
        Ok(()) => out.simple("Background saving started"),
        Err(Busy(Purpose::Save)) => out.error(SAVING),
        Err(Busy(Purpose::Rewrite)) if schedule => {
            snapshots.schedule(Purpose::Save);
            out.simple("Background saving scheduled");
        }
        Err(Busy(Purpose::Rewrite)) => out.error(SAVE_LATER),
    }
}

fn rewrite_later(snapshots: &Snapshotter, out: &mut Answer<'_>) {
    match snapshots.begin(Purpose::Rewrite) {
        Ok(()) => out.simple("Background append only file rewriting started"),
        Err(Busy(Purpose::Rewrite)) => out.error(REWRITING),
        Err(Busy(Purpose::Save)) => {
            snapshots.schedule(Purpose::Rewrite);
            out.simple("Background append only file rewriting scheduled");
        }
    }
}
