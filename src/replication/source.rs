//! Where the pieces of the log come from: from the log's thread, which gives each to the disk and
//! to here, or straight from the engine where there is no log on disk. Knows no peer.

use crate::config::WalPolicy;
use crate::engine::{Engine, LogPiece};
use crate::limits;
use crate::wal::log::{Log, LogState};
use cluster::record::Seq;
use cluster::replication::Piece;
use cluster::slot::{GROUPS, Group};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::Notify;

/// Gives every piece of the log once, in order.
pub(super) struct Source {
    engine: Arc<Engine>,
    log: Option<(Arc<Log>, mpsc::Receiver<LogPiece>)>,
    /// The newest record of each group that was given.
    given: Box<[Seq]>,
}

impl Source {
    /// Of an engine and its log on disk; `grown` is notified when there is something to take.
    pub(super) fn new(engine: Arc<Engine>, log: Option<Arc<Log>>, grown: &Arc<Notify>) -> Source {
        let given = vec![Seq(0); usize::from(GROUPS)].into();
        let grown = grown.clone();
        let Some(log) = log else {
            engine.on_log(move || grown.notify_one());
            return Source { engine, log: None, given };
        };
        // Bounded by `wal.buffer_bytes`: what waits there holds writers back.
        let (pieces, receiver) = mpsc::channel();
        let recorded = grown.clone();
        log.set_tap(Box::new(move |piece| {
            let _ = pieces.send(piece.clone());
            grown.notify_one();
        }));
        // Under `sync` whoever waits for the disk asks for a round himself.
        if log.policy() != WalPolicy::Sync {
            engine.on_log(move || recorded.notify_one());
        }
        Source { engine, log: Some((log, receiver)), given }
    }

    /// What was recorded since the last call.
    pub(super) fn take(&mut self) -> Vec<LogPiece> {
        let mut pieces = Vec::new();
        match &self.log {
            None => self.engine.take_log(&mut Vec::new(), &mut pieces),
            Some((log, receiver)) => {
                pieces.extend(receiver.try_iter());
                // Its thread would look by itself, but copies are not to be that far behind. Under
                // `sync` it waits for many answers at a time, and whoever waits asks for a round.
                let looks = log.policy() != WalPolicy::Sync;
                if looks && self.engine.log_waits() && log.state() == LogState::Well {
                    log.ring();
                }
            }
        }
        self.note(&pieces);
        pieces
    }

    /// Something was recorded for which no client waits.
    pub(super) fn hurry(&self) {
        if let Some((log, _)) = &self.log {
            log.ring();
        }
    }

    /// Everything up to this record of a group, on which nothing is executed any more. Waits for
    /// the log's thread, for a bounded time: a few milliseconds, unless the disk fails.
    pub(super) fn take_up_to(&mut self, group: Group, seq: Seq) -> Vec<LogPiece> {
        let mut pieces = self.take();
        for _ in 0..limits::REPLICATION_FLUSH_TRIES {
            if self.given[usize::from(group.number())] >= seq {
                break;
            }
            let Some((log, receiver)) = &self.log else { break };
            log.ring();
            let wait = Duration::from_millis(limits::REPLICATION_FLUSH_MS);
            if let Ok(piece) = receiver.recv_timeout(wait) {
                self.note(std::slice::from_ref(&piece));
                pieces.push(piece);
            }
        }
        pieces
    }

    /// The log of a group begins anew.
    pub(super) fn forget(&mut self, group: Group) {
        self.given[usize::from(group.number())] = Seq(0);
    }

    fn note(&mut self, pieces: &[LogPiece]) {
        for mark in pieces.iter().flat_map(Piece::marks) {
            self.given[usize::from(mark.group.number())] = mark.last;
        }
    }
}
