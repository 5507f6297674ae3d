//! What a connection keeps from batch to batch, and what follows from settings, pauses and
//! authentication for it. Knows no socket.

use super::Worker;
use super::careful::Postponed;
use super::notice::{Settings, Word};
use super::plan::KeyRule;
use super::session::{Replies, Session};
use super::unserved::Patience;
use crate::limits;
use crate::resp::{DecodeLimits, Decoder};

/// What a connection keeps from batch to batch.
pub(super) struct Peer {
    pub(super) decoder: Decoder,
    pub(super) session: Session,
    /// A command that waits for a pause to end, or for who serves it, and whose bytes cannot be
    /// decoded again.
    pub(super) postponed: Option<Box<Postponed>>,
    /// How long commands wait that nobody serves.
    pub(super) patience: Patience,
    /// Settings, pauses and end as last seen.
    pub(super) word: Word,
    /// Away from what every turn touches.
    settings: Box<Settings>,
    /// Commands that take longer are logged.
    pub(super) slow_nanos: u64,
    /// Which keys are taken.
    pub(super) rule: KeyRule,
    /// Bytes of unsent answers at which no further command is taken.
    pub(super) output_max: usize,
    /// Most bytes that may be kept of commands that are not whole.
    pub(super) query_max: usize,
    /// Commands go one by one, each looked at: before authentication, in a pause, without answers,
    /// without accesses that count.
    pub(super) careful: bool,
    /// Commands decoded at once; less after a command of the session, since it ends a batch.
    pub(super) commands_max: usize,
}

impl Peer {
    /// A connection that has just opened.
    pub(super) fn new(session: Session, settings: Settings) -> Peer {
        let decoder = Decoder::new(DecodeLimits::UNAUTHENTICATED);
        let mut peer = Peer {
            decoder,
            session,
            postponed: None,
            patience: Patience::default(),
            word: Word::default(),
            settings: Box::new(settings),
            slow_nanos: settings.slow_nanos,
            rule: KeyRule::new(settings.validation),
            output_max: 0,
            query_max: 0,
            careful: true,
            commands_max: 1,
        };
        peer.renew();
        peer
    }

    /// Derives what follows from settings, session and pause.
    #[cold]
    pub(super) fn renew(&mut self) {
        let session = &self.session;
        self.rule = KeyRule::new(self.settings.validation);
        self.slow_nanos = self.settings.slow_nanos;
        let (decode, output_max) = if session.authenticated {
            let value_bytes_max = self.settings.validation.value_bytes_max();
            (DecodeLimits::authenticated(value_bytes_max), self.settings.output_bytes_max)
        } else {
            (DecodeLimits::UNAUTHENTICATED, limits::OUTPUT_BYTES_MAX_UNAUTHENTICATED)
        };
        self.decoder.set_limits(decode);
        // A single value of the largest size is always taken.
        let command_max = decode.bulk_bytes_max.max(decode.inline_bytes_max);
        self.query_max = self.settings.query_bytes_max.max(command_max) + 2 * limits::READ_BYTES;
        if !session.authenticated {
            self.query_max = limits::QUERY_BYTES_MAX_UNAUTHENTICATED;
        }
        self.output_max = output_max;
        self.careful = !session.authenticated
            || self.word.is_paused()
            || self.word.is_loading()
            || self.word.is_refusing()
            || session.replies != Replies::On
            || session.client.is_no_touch();
        self.commands_max = 1;
    }

    /// Starts decoding anew at a command's first byte.
    #[cold]
    pub(super) fn rewind(&mut self) {
        self.decoder = Decoder::new(self.decoder.limits());
    }

    /// Looks at what all connections have to look at.
    #[inline]
    pub(super) fn look(&mut self, worker: &Worker) {
        let word = worker.shared.notice.word();
        if word != self.word {
            self.word = word;
            *self.settings = worker.shared.notice.settings();
            self.renew();
        }
    }
}
