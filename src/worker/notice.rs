//! What all connections have to look at, in one word that a batch reads once: settings that may
//! change while they run, pauses, and the end of the node. Knows no command.

use crate::config::{Config, Routing, Validation};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Settings that count for connections, as they are now.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Most connections.
    pub clients_max: usize,
    /// Most bytes of unexecuted input of a connection.
    pub query_bytes_max: usize,
    /// Bytes of unsent answers at which no further command of a connection is read.
    pub output_bytes_max: usize,
    /// How strictly keys and values are checked.
    pub validation: Validation,
    /// Whether clients have to authenticate.
    pub auth_required: bool,
    /// Longest silence; zero: for ever.
    pub idle: Duration,
    /// Longest standstill within a command; zero: for ever.
    pub partial: Duration,
    /// Longest time until authentication; zero: for ever.
    pub auth: Duration,
    /// Longest standstill in taking answers; zero: for ever.
    pub write: Duration,
    /// Idle time after which the system probes; zero: never.
    pub keepalive: Duration,
    /// Commands that take longer are logged; `u64::MAX`: none.
    pub slow_nanos: u64,
    /// Whether new connections forward what belongs to other nodes.
    pub forwards: bool,
}

impl Settings {
    /// As `config` says.
    pub fn of(config: &Config) -> Settings {
        let server = &config.server;
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Settings {
            clients_max: server.max_clients,
            query_bytes_max: server.query_limit,
            output_bytes_max: server.output_limit,
            validation: server.validation,
            auth_required: !server.tokens.is_empty(),
            idle: server.idle_timeout,
            partial: server.partial_timeout,
            auth: server.auth_timeout,
            write: server.write_timeout,
            keepalive: server.tcp_keepalive,
            slow_nanos: config.slowlog.threshold.map_or(u64::MAX, nanos),
            forwards: config.clients.routing == Routing::Forward,
        }
    }
}

/// Which commands wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pause {
    /// None.
    #[default]
    None,
    /// Those that write.
    Writes,
    /// All, but those an administrator needs to end it.
    All,
}

/// The state behind the word.
#[derive(Clone, Copy, Debug)]
struct State {
    settings: Settings,
    pause: Pause,
    pause_until_nanos: u64,
    /// How many hold writes, whatever clients pause.
    holds: u32,
}

/// Settings, pause and end, and the word that changes with each.
#[derive(Debug)]
pub struct Notice {
    word: AtomicU64,
    state: Mutex<State>,
    resumed: Notify,
}

/// Lowest bits of the word: something is paused, the node is ending, it is loading its data, it
/// takes no writes. Above them a count of changes.
const PAUSED: u64 = 1;
const ENDING: u64 = 2;
const LOADING: u64 = 4;
const REFUSING: u64 = 8;
const STEP: u64 = 16;

/// The word as it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Word(u64);

impl Word {
    /// Whether some commands have to wait.
    pub fn is_paused(self) -> bool {
        self.0 & PAUSED != 0
    }

    /// Whether the node has not got its data yet.
    pub fn is_loading(self) -> bool {
        self.0 & LOADING != 0
    }

    /// Whether writes are refused because the log cannot be written.
    pub fn is_refusing(self) -> bool {
        self.0 & REFUSING != 0
    }

    /// Whether no further command is to be taken.
    pub fn is_ending(self) -> bool {
        self.0 & ENDING != 0
    }
}

impl Notice {
    /// Nothing paused, these settings.
    pub fn new(settings: Settings) -> Notice {
        let state = State { settings, pause: Pause::None, pause_until_nanos: 0, holds: 0 };
        Notice { word: AtomicU64::new(STEP), state: Mutex::new(state), resumed: Notify::new() }
    }

    /// The word: one relaxed load. Whoever sees another than last time looks at the rest.
    #[inline]
    pub fn word(&self) -> Word {
        Word(self.word.load(Ordering::Relaxed))
    }

    /// The settings now.
    pub fn settings(&self) -> Settings {
        self.state.lock().settings
    }

    /// Replaces the settings.
    pub fn set_settings(&self, settings: Settings) {
        let mut state = self.state.lock();
        state.settings = settings;
        self.publish(&state);
    }

    /// Which commands wait, and until when in monotonic nanoseconds; a pause that is over by `now`
    /// ends here.
    pub fn pause_at(&self, now_nanos: u64) -> (Pause, u64) {
        let mut state = self.state.lock();
        if state.pause != Pause::None && state.pause_until_nanos <= now_nanos {
            state.pause = Pause::None;
            self.publish(&state);
        }
        match (state.pause, state.holds) {
            (Pause::None | Pause::Writes, 1..) => (Pause::Writes, u64::MAX),
            (pause, _) => (pause, state.pause_until_nanos),
        }
    }

    /// Pauses commands until then. Of two pauses the longer and the stricter count.
    pub fn pause(&self, pause: Pause, until_nanos: u64) {
        let mut state = self.state.lock();
        if state.pause == Pause::None {
            state.pause_until_nanos = 0;
        }
        state.pause_until_nanos = state.pause_until_nanos.max(until_nanos);
        if state.pause != Pause::All {
            state.pause = pause;
        }
        self.publish(&state);
    }

    /// Ends a pause.
    pub fn resume(&self) {
        let mut state = self.state.lock();
        state.pause = Pause::None;
        self.publish(&state);
    }

    /// Holds writes, until [`Notice::release`] was called as often; no client may end that.
    pub fn hold(&self) {
        let mut state = self.state.lock();
        state.holds += 1;
        self.publish(&state);
    }

    /// Ends one hold.
    pub fn release(&self) {
        let mut state = self.state.lock();
        state.holds -= 1;
        self.publish(&state);
    }

    /// Whether writes are held.
    pub fn is_held(&self) -> bool {
        self.state.lock().holds > 0
    }

    /// Whether the node has not got its data yet.
    pub fn set_loading(&self, loading: bool) {
        self.set(LOADING, loading);
    }

    /// Whether writes are refused because the log cannot be written.
    pub fn set_refusing(&self, refusing: bool) {
        self.set(REFUSING, refusing);
    }

    fn set(&self, bit: u64, on: bool) {
        let next = |word: u64| Some(((word + STEP) & !bit) | if on { bit } else { 0 });
        let _ = self.word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    /// From now on no further command is taken.
    pub fn end(&self) {
        self.word.fetch_or(ENDING, Ordering::Relaxed);
        self.resumed.notify_waiters();
    }

    /// Waits until something about a pause changes, at most for `longest`.
    pub(super) async fn changed(&self, seen: Word, longest: Duration) {
        let notified = self.resumed.notified();
        if self.word() == seen {
            let _ = tokio::time::timeout(longest, notified).await;
        }
    }

    /// Called with the state locked.
    fn publish(&self, state: &State) {
        let bit = if state.pause == Pause::None && state.holds == 0 { 0 } else { PAUSED };
        let next = |word: u64| Some(((word + STEP) & !PAUSED) | bit);
        let _ = self.word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        self.resumed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::{Notice, Pause, Settings};
    use crate::config::Config;

    #[test]
    fn every_change_shows_in_the_word() {
        let notice = Notice::new(Settings::of(&Config::default()));
        let first = notice.word();
        assert!(!first.is_paused() && !first.is_ending());
        notice.set_settings(notice.settings());
        let second = notice.word();
        assert_ne!(first, second);
        notice.pause(Pause::Writes, 100);
        assert!(notice.word().is_paused());
        notice.pause(Pause::All, 50);
        assert_eq!(notice.pause_at(99), (Pause::All, 100));
        notice.pause(Pause::Writes, 50);
        assert_eq!(notice.pause_at(99).0, Pause::All);
        assert_eq!(notice.pause_at(100).0, Pause::None);
        assert!(!notice.word().is_paused());
        notice.pause(Pause::Writes, 200);
        notice.resume();
        assert_eq!(notice.pause_at(0).0, Pause::None);
        notice.end();
        assert!(notice.word().is_ending());
    }

    #[test]
    fn what_clients_pause_and_resume_ends_no_hold() {
        let notice = Notice::new(Settings::of(&Config::default()));
        notice.hold();
        notice.hold();
        notice.pause(Pause::All, 50);
        assert_eq!(notice.pause_at(10), (Pause::All, 50));
        assert_eq!(notice.pause_at(60), (Pause::Writes, u64::MAX));
        notice.resume();
        notice.release();
        assert!(notice.is_held() && notice.word().is_paused());
        assert_eq!(notice.pause_at(70), (Pause::Writes, u64::MAX));
        notice.release();
        assert!(!notice.is_held() && !notice.word().is_paused());
        assert_eq!(notice.pause_at(80).0, Pause::None);
    }
}
