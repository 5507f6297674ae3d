//! BACKUP: hands a copy of all items to a client, piece by piece, as fast as that asks for it. One
//! at a time; one of which nothing was read for long is given up. Knows no file.

use super::Server;
use crate::clock;
use crate::command::Args;
use crate::command::parse::number;
use crate::command::reply::ReplyWriter;
use crate::limits::BACKUP_IDLE_MS_MAX;
use crate::wal::backup::BackupStream;
use crate::worker::Answer;
use cluster::record::Salt;
use parking_lot::Mutex;

const NONE: &str = "ERR no such backup: it ended, or nothing was read for too long";

/// The backup that is being made, if there is one.
#[derive(Debug, Default)]
pub(super) struct Backups(Mutex<Option<Backup>>);

#[derive(Debug)]
struct Backup {
    /// Given to the client that began it.
    id: String,
    stream: BackupStream,
    used_nanos: u64,
}

impl Backup {
    fn idle_ms(&self, nanos: u64) -> u64 {
        nanos.saturating_sub(self.used_nanos) / 1_000_000
    }
}

impl Backups {
    /// Whether one is being made.
    pub(super) fn is_busy(&self) -> bool {
        self.0.lock().is_some()
    }

    /// Gives up one of which nothing was read for too long.
    fn sweep(&self, nanos: u64) {
        let mut backup = self.0.lock();
        if let Some(idle) = backup.take_if(|b| b.idle_ms(nanos) > BACKUP_IDLE_MS_MAX) {
            tracing::warn!(id = idle.id, "a backup was given up: nothing was read of it");
        }
    }
}

impl Server {
    /// Looks after what nobody may come back for; to be called every now and then.
    pub fn sweep(&self) {
        self.backups.sweep(clock::monotonic_nanos());
    }

    /// Carries out BACKUP `subcommand`; `args` without both names.
    pub(super) fn backup(&self, subcommand: &str, args: Args<'_>, out: &mut Answer<'_>) {
        let nanos = clock::monotonic_nanos();
        self.backups.sweep(nanos);
        let mut backup = self.backups.0.lock();
        match subcommand {
            "start" => self.begin(&mut backup, nanos, out),
            "status" => status(backup.as_ref(), nanos, out),
            "read" => read(&mut backup, args, nanos, out),
            _ => match backup.take_if(|backup| backup.id.as_bytes() == args.get(0)) {
                Some(_) => out.simple("OK"),
                None => out.error(NONE),
            },
        }
    }

    fn begin(&self, backup: &mut Option<Backup>, nanos: u64, out: &mut Answer<'_>) {
        if backup.is_some() {
            return out.error("ERR another backup is being made");
        }
        let Some(salt) = Salt::new((clock::random_u64() as u32).max(1)) else { return };
        let id = format!("{:016x}", clock::random_u64());
        let stream = BackupStream::begin(self.shared.engine.clone(), salt, clock::now());
        out.bulk(id.as_bytes());
        *backup = Some(Backup { id, stream, used_nanos: nanos });
    }
}

fn status(backup: Option<&Backup>, nanos: u64, out: &mut Answer<'_>) {
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    out.map(if backup.is_some() { 4 } else { 1 });
    out.bulk(b"in_progress");
    out.integer(i64::from(backup.is_some()));
    if let Some(backup) = backup {
        out.bulk(b"groups_done");
        out.integer(i64::from(backup.stream.groups_done()));
        out.bulk(b"bytes");
        out.integer(number(backup.stream.offset()));
        out.bulk(b"idle_ms");
        out.integer(number(backup.idle_ms(nanos)));
    }
}

/// The next piece in parts; none when all was given.
fn read(backup: &mut Option<Backup>, args: Args<'_>, nanos: u64, out: &mut Answer<'_>) {
    let Some(at_hand) = backup.as_mut().filter(|backup| backup.id.as_bytes() == args.get(0)) else {
        return out.error(NONE);
    };
    let offset = number::integer(args.get(1)).and_then(|offset| u64::try_from(offset).ok());
    let stands = at_hand.stream.offset();
    if offset != Some(stands) {
        return out.error(&format!("ERR a backup is read in order: it stands at {stands}"));
    }
    at_hand.used_nanos = nanos;
    match at_hand.stream.read(clock::now()) {
        Ok(parts) => {
            out.array(parts.len());
            parts.iter().for_each(|part| out.bulk_shared(part));
        }
        Err(overrun) => {
            *backup = None;
            let group = overrun.0.number();
            out.error(&format!("ERR group {group} changes faster than it is read; given up"));
        }
    }
}
