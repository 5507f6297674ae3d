//! The log of slow commands: bounded, newest first. Knows what a command looked like, not what it
//! did, and reads no clock.

use crate::command::Args;
use crate::limits;
use parking_lot::Mutex;
use std::collections::VecDeque;

/// A command that took long.
#[derive(Clone, Debug)]
pub struct SlowEntry {
    /// Its number, from 0.
    pub id: u64,
    /// When it ended, in seconds since the Unix epoch.
    pub unix_seconds: u64,
    /// How long it took.
    pub micros: u64,
    /// Its words, shortened.
    pub args: Vec<Vec<u8>>,
    /// The client's address.
    pub peer: String,
    /// The client's name.
    pub name: Vec<u8>,
}

/// The latest slow commands.
#[derive(Debug)]
pub struct Slowlog {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    entries: VecDeque<SlowEntry>,
    next_id: u64,
    len_max: usize,
}

impl Slowlog {
    /// An empty log of at most `len_max` entries.
    pub fn new(len_max: usize) -> Slowlog {
        Slowlog { inner: Mutex::new(Inner { entries: VecDeque::new(), next_id: 0, len_max }) }
    }

    /// Adds an entry, whose number is given here; the oldest goes when there are too many.
    pub fn push(&self, mut entry: SlowEntry) {
        let mut inner = self.inner.lock();
        entry.id = inner.next_id;
        inner.next_id += 1;
        inner.entries.push_front(entry);
        inner.trim();
    }

    /// The latest `count`, newest first.
    pub fn latest(&self, count: usize) -> Vec<SlowEntry> {
        self.inner.lock().entries.iter().take(count).cloned().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.inner.lock().entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets them all.
    pub fn clear(&self) {
        self.inner.lock().entries.clear();
    }

    /// Keeps at most so many from now on.
    pub fn set_len_max(&self, len_max: usize) {
        let mut inner = self.inner.lock();
        inner.len_max = len_max;
        inner.trim();
    }
}

impl Inner {
    fn trim(&mut self) {
        let len_max = self.len_max.min(limits::SLOWLOG_LEN_MAX);
        self.entries.truncate(len_max);
    }
}

/// The words of a command for the log: the first few, the first bytes of each.
pub(super) fn shortened(args: Args<'_>) -> Vec<Vec<u8>> {
    let (len, max) = (args.len(), limits::SLOWLOG_ARGS_MAX);
    let shown = if len > max { max - 1 } else { len };
    let mut words: Vec<Vec<u8>> = args.iter().take(shown).map(shortened_word).collect();
    if len > shown {
        words.push(format!("... ({} more arguments)", len - shown).into_bytes());
    }
    words
}

fn shortened_word(word: &[u8]) -> Vec<u8> {
    let max = limits::SLOWLOG_ARG_BYTES_MAX;
    let Some(rest) = word.len().checked_sub(max).filter(|rest| *rest > 0) else {
        return word.to_vec();
    };
    [&word[..max], format!("... ({rest} more bytes)").as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::{SlowEntry, Slowlog, shortened};
    use crate::command::{Arg, Args};

    fn entry(micros: u64) -> SlowEntry {
        let (args, peer, name) = (Vec::new(), String::new(), Vec::new());
        SlowEntry { id: 0, unix_seconds: 1, micros, args, peer, name }
    }

    #[test]
    fn newest_first_and_bounded() {
        let log = Slowlog::new(2);
        (1..=3).for_each(|micros| log.push(entry(micros)));
        let seen = |n| log.latest(n).iter().map(|e| (e.id, e.micros)).collect::<Vec<_>>();
        assert_eq!(seen(9), [(2, 3), (1, 2)]);
        assert_eq!(seen(1), [(2, 3)]);
        log.set_len_max(1);
        assert_eq!(log.len(), 1);
        log.clear();
        assert!(log.is_empty());
        log.push(entry(4));
        assert_eq!(seen(9), [(3, 4)]);
    }

    #[test]
    fn long_commands_are_shortened() {
        let buffer = vec![b'x'; 200];
        let list = vec![Arg::Span { start: 0, end: 200 }; 40];
        let words = shortened(Args::new(&buffer, &list));
        assert_eq!(words.len(), 32);
        assert_eq!(words[31], b"... (9 more arguments)");
        assert!(words[0].ends_with(b"... (72 more bytes)"));
        assert_eq!(shortened(Args::new(&buffer, &list[..32])).len(), 32);
    }
}
