//! SAVE, BGSAVE, BGREWRITEAOF, LASTSAVE, in Redis's words. A snapshot also makes the log shorter,
//! so that saving and rewriting are the same work.

use super::Server;
use crate::command::Args;
use crate::command::reply::{ReplyWriter, errors};
use crate::config::WalPolicy;
use crate::metrics::SaveFacts;
use crate::wal::snapshotter::{Busy, Purpose, Snapshotter};
use crate::worker::Answer;

const OFF: &str = "ERR persistence is off: set data.dir";
const SAVING: &str = "ERR Background save already in progress";
const REWRITING: &str = "ERR Background append only file rewriting already in progress";
const SAVE_LATER: &str = "ERR Another child process is active (AOF?): can't BGSAVE right now. Use \
                          BGSAVE SCHEDULE in order to schedule a BGSAVE whenever possible.";

impl Server {
    /// Carries out a command about saving; `args` without its name.
    pub(super) fn saving(&self, name: &str, args: Args<'_>, out: &mut Answer<'_>) {
        if name == "lastsave" {
            let seconds = self.save_facts().last_unix;
            return out.integer(i64::try_from(seconds).unwrap_or(i64::MAX));
        }
        let schedule = args.len() == 1 && args.get(0).eq_ignore_ascii_case(b"schedule");
        if args.len() > usize::from(schedule) {
            return out.error(errors::SYNTAX);
        }
        let Some(snapshots) = &self.snapshots else { return out.error(OFF) };
        match name {
            "save" => match self.save_now() {
                Ok(()) => out.simple("OK"),
                Err(error) => out.error(&error),
            },
            "bgsave" => save_later(snapshots, schedule, out),
            _ => rewrite_later(snapshots, out),
        }
    }

    /// Writes a snapshot; returns when it is on disk. As in Redis, the worker waits with it.
    pub(super) fn save_now(&self) -> Result<(), String> {
        let snapshots = self.snapshots.as_ref().ok_or(OFF)?;
        if snapshots.status().in_progress == Some(Purpose::Save) {
            return Err(SAVING.into());
        }
        snapshots.save().map_err(|error| format!("ERR not saved: {error}"))
    }

    /// Whether SHUTDOWN saves unasked: when there is no log that has everything.
    pub(super) fn saves_at_end(&self) -> bool {
        self.snapshots.is_some() && self.current.lock().config.wal.policy == WalPolicy::None
    }

    /// How saving stands, as INFO tells it.
    pub(super) fn save_facts(&self) -> SaveFacts {
        let started = self.started_seconds();
        let Some(snapshots) = &self.snapshots else {
            return SaveFacts { last_unix: started, ..SaveFacts::default() };
        };
        let status = snapshots.status();
        SaveFacts {
            last_unix: status.last_save_unix.unwrap_or(started),
            in_progress: status.in_progress.is_some(),
            rewrite_in_progress: status.in_progress == Some(Purpose::Rewrite),
            rewrite_scheduled: status.scheduled == Some(Purpose::Rewrite),
            current_seconds: status.current_ms.map(|ms| ms / 1000),
            last_seconds: status.last_ms.map(|ms| ms / 1000),
            last_failed: status.last_error.is_some(),
            count: status.saves,
        }
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
