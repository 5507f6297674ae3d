//! What memory commands will need, asked for before it is looked at: that of a batch all at once;
//! that of a connection's first command as soon as its bytes are there, so that it is on its way
//! while another connection has its turn. Guesses; a wrong guess costs a cache line.

use super::plan::Plan;
use crate::command::KeyOp;
use crate::engine::{self, Engine, Key, ShardPeek};
use crate::limits;
use std::ops::Range;

/// Batches of at least this many commands are asked for.
const ASK_FROM: usize = 3;
/// Heaps into which the plans of a batch are sorted by their shards.
const HEAPS: usize = 32;
/// Bytes of a record beside its key and its value, about.
const RECORD_BYTES: usize = 16;
/// Of a record that is longer only the beginning is asked for: the rest is written in order.
const LOG_BYTES_MAX: usize = 256;
const _: () = assert!(limits::BATCH_COMMANDS_MAX <= u64::BITS as usize, "a bit for each plan");

/// Asks for the cache lines that the plans of a batch will need, all at once: it then waits for
/// memory about once instead of twice per command. Two rounds, since where an item is stands in the
/// index. Shard by shard, since taking a lock waits for what was read before it.
#[inline]
pub(super) fn ask_for(engine: &Engine, plans: &[Plan<'_>]) {
    if plans.len() < ASK_FROM {
        return;
    }
    let mut heaps = [0u64; HEAPS];
    for (i, plan) in plans.iter().enumerate().take(limits::BATCH_COMMANDS_MAX) {
        if let Plan::Key { shard, .. } = plan {
            heaps[shard % HEAPS] |= 1 << i;
        }
    }
    round(engine, plans, &heaps, |shard, key, _| {
        shard.prefetch_slot(key);
        0
    });
    round(engine, plans, &heaps, |shard, key, op| {
        shard.prefetch_item(key);
        log_bytes(key, op)
    });
}

/// Bytes that a command will add to the log, about and at most so many: it may change nothing.
#[inline]
fn log_bytes(key: &Key<'_>, op: &KeyOp<'_>) -> usize {
    match op {
        KeyOp::Set(set) => {
            (key.bytes.len() + set.value.bytes().len() + RECORD_BYTES).min(LOG_BYTES_MAX)
        }
        _ => 0,
    }
}

#[inline]
fn round(
    engine: &Engine,
    plans: &[Plan<'_>],
    heaps: &[u64; HEAPS],
    ask: impl Fn(&ShardPeek<'_>, &Key<'_>, &KeyOp<'_>) -> usize,
) {
    for &heap in heaps {
        let mut left = heap;
        let mut log_bytes = 0;
        let mut held: Option<(usize, ShardPeek<'_>)> = None;
        while left != 0 {
            let i = left.trailing_zeros() as usize;
            left &= left - 1;
            let Plan::Key { shard, key, op, .. } = &plans[i] else { continue };
            if held.as_ref().is_none_or(|(holding, _)| holding != shard) {
                // Released before the next is taken: never two locks at once.
                drop(held.take());
                held = engine.peek(*shard).map(|peek| (*shard, peek));
            }
            if let Some((_, peek)) = &held {
                log_bytes += ask(peek, key, op);
            }
        }
        if let Some((_, peek)) = held.filter(|_| log_bytes > 0) {
            peek.prefetch_log(log_bytes);
        }
    }
}

/// A key that a buffer's first command is likely to be about.
#[derive(Clone, Debug)]
pub(super) struct Guess {
    at: Range<usize>,
    hash: u64,
    slot: cluster::slot::Slot,
}

impl Guess {
    /// Looks at what was read and asks for the leaf of the index.
    #[inline]
    pub(super) fn new(engine: &Engine, buffer: &[u8]) -> Option<Guess> {
        let at = second_word(buffer)?;
        let key = engine.key(&buffer[at.clone()]);
        engine.peek(engine.shard_of(&key))?.prefetch_leaf(&key);
        Some(Guess { at, hash: key.hash, slot: key.slot })
    }

    /// A while later, asks for the line of the index.
    #[inline]
    pub(super) fn slot(&self, engine: &Engine, buffer: &[u8]) {
        self.ask(engine, buffer, |shard, key| shard.prefetch_slot(key));
    }

    /// Again a while later, asks for the item.
    #[inline]
    pub(super) fn item(&self, engine: &Engine, buffer: &[u8]) {
        self.ask(engine, buffer, |shard, key| shard.prefetch_item(key));
    }

    #[inline]
    fn ask(&self, engine: &Engine, buffer: &[u8], of: impl FnOnce(&ShardPeek<'_>, &Key<'_>)) {
        let Some(bytes) = buffer.get(self.at.clone()) else { return };
        let key = Key { bytes, hash: self.hash, slot: self.slot };
        if let Some(shard) = engine.peek(engine.shard_of(&key)) {
            of(&shard, &key);
        }
    }
}

/// Asks for the lines of a value that will be looked at soon.
#[inline]
pub(super) fn prefetch<T>(value: &T) {
    let at = (&raw const *value).cast::<u8>();
    for offset in (0..size_of::<T>()).step_by(64) {
        engine::prefetch(at.wrapping_add(offset));
    }
}

/// Where the second word of a command stands, if it is all there.
#[inline]
fn second_word(buffer: &[u8]) -> Option<Range<usize>> {
    if *buffer.first()? != b'*' {
        return None;
    }
    let (_, at) = number(buffer, 1)?;
    let command = word(buffer, at)?;
    let key = word(buffer, command.end + 2)?;
    (key.end <= buffer.len()).then_some(key)
}

/// Where the word stands whose length is announced at `at`.
#[inline]
fn word(buffer: &[u8], at: usize) -> Option<Range<usize>> {
    if *buffer.get(at)? != b'$' {
        return None;
    }
    let (len, start) = number(buffer, at + 1)?;
    Some(start..start + len)
}

/// A number of at most four digits at `at`, and where the next line begins.
#[inline]
fn number(buffer: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut n = 0;
    for (i, &byte) in buffer.get(at..)?.iter().take(5).enumerate() {
        if byte == b'\r' {
            return Some((n, at + i + 2));
        }
        n = n * 10 + usize::from(byte.wrapping_sub(b'0'));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::second_word;

    #[test]
    fn the_second_word_is_found_or_nothing_is() {
        let get = b"*2\r\n$3\r\nGET\r\n$5\r\nhello\r\n";
        assert_eq!(second_word(get).map(|at| &get[at]), Some(&b"hello"[..]));
        for end in 0..get.len() - 2 {
            assert_eq!(second_word(&get[..end]), None, "{end}");
        }
        assert_eq!(second_word(b"*1\r\n$4\r\nPING\r\n"), None);
        assert_eq!(second_word(b"GET hello\r\n"), None);
        assert_eq!(second_word(b"*2\r\n$99999999999999999999\r\nx"), None);
    }
}
