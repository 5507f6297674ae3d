//! Commands on all keys: shard after shard, group after group. But for FLUSHALL a lock is held for
//! one step only, so other commands come in between.

use super::execute::STRING;
use super::{Engine, glob_match, log};
use crate::command::reply::ReplyWriter;
use crate::command::{ScanOp, SpaceOp, Time};
use crate::limits::WALK_ITEMS_PER_LOCK;
use cluster::slot::Group;

/// Executes `op` and writes its one reply.
pub(super) fn execute<W: ReplyWriter>(engine: &Engine, op: &SpaceOp<'_>, now: Time, out: &mut W) {
    match *op {
        SpaceOp::DbSize => out.integer(len(engine) as i64),
        SpaceOp::Keys { pattern } => keys(engine, pattern, now, out),
        SpaceOp::Scan(ref op) => scan(engine, op, now, out),
        SpaceOp::RandomKey { chance } => random_key(engine, chance, now, out),
        SpaceOp::Flush => {
            flush(engine, now);
            out.simple("OK");
        }
    }
}

/// Items in all shards, dead but unreclaimed ones included, as in Redis.
fn len(engine: &Engine) -> u64 {
    (0..engine.shard_count()).map(|shard| engine.lock(shard).store().len()).sum()
}

/// Empties all shards at once: all are locked before the first is emptied.
fn flush(engine: &Engine, now: Time) {
    let mut guards: Vec<_> = (0..engine.shard_count()).map(|shard| engine.lock(shard)).collect();
    log::set_aside(guards.iter_mut(), now);
    guards.iter_mut().for_each(|guard| guard.store().clear());
    log::join_aside(guards.iter_mut());
}

/// KEYS: every key that is there all the while, each at most once.
fn keys<W: ReplyWriter>(engine: &Engine, pattern: &[u8], now: Time, out: &mut W) {
    let mut names = Names::default();
    let mut cursor = Cursor::from_number(0);
    while let Some(at) = cursor {
        cursor = at.step(engine, WALK_ITEMS_PER_LOCK, now, |name| {
            if glob_match(pattern, name) {
                names.push(name);
            }
        });
    }
    names.write(out);
}

/// SCAN: a key that is there from the first call to the last is answered exactly once.
fn scan<W: ReplyWriter>(engine: &Engine, op: &ScanOp<'_>, now: Time, out: &mut W) {
    let mut names = Names::default();
    let wanted = |name: &[u8]| {
        op.type_name.is_none_or(|t| t == STRING.as_bytes())
            && op.pattern.is_none_or(|pattern| glob_match(pattern, name))
    };
    let mut left = usize::try_from(op.count).unwrap_or(usize::MAX).max(1);
    let mut cursor = Cursor::from_number(op.cursor);
    while let Some(at) = cursor {
        let mut seen = 0;
        cursor = at.step(engine, left.min(WALK_ITEMS_PER_LOCK), now, |name| {
            seen += 1;
            if wanted(name) {
                names.push(name);
            }
        });
        if seen >= left {
            break;
        }
        left -= seen;
    }
    out.array(2);
    let number = cursor.map_or(0, Cursor::number);
    out.bulk(itoa::Buffer::new().format(number).as_bytes());
    names.write(out);
}

/// RANDOMKEY: the shard by its share of the items, then one of its items.
fn random_key<W: ReplyWriter>(engine: &Engine, chance: u64, now: Time, out: &mut W) {
    let shards = engine.shard_count();
    let mut target = chance % len(engine).max(1);
    let first = (0..shards).find(|&shard| {
        let len = engine.lock(shard).store().len();
        let here = target < len;
        target = target.saturating_sub(len);
        here
    });
    let first = first.unwrap_or(0);
    // What decides within the shard must not be what decided for it.
    let chance = chance.rotate_left(32) ^ chance;
    for shard in (first..shards).chain(0..first) {
        if engine.lock(shard).store().random(chance, now, |name| out.bulk(name)) {
            return;
        }
    }
    out.null();
}

/// A place in the walk of all groups: a group, and a position in its hash order.
#[derive(Clone, Copy)]
struct Cursor {
    group: Group,
    position: u32,
}

impl Cursor {
    /// The place that a client named: 0 is the start, where a walk that goes on never is. `None`
    /// when it lies behind the last group.
    fn from_number(number: u64) -> Option<Cursor> {
        let group = Group::new(u16::try_from(number >> 32).ok()?)?;
        Some(Cursor { group, position: number as u32 })
    }

    /// How a client names it.
    fn number(self) -> u64 {
        u64::from(self.group.number()) << 32 | u64::from(self.position)
    }

    /// Visits about `want` live items of the group, under its lock. Returns where to go on: in
    /// the group, or at the start of the next; `None` behind the last.
    fn step(
        self,
        engine: &Engine,
        want: usize,
        now: Time,
        mut visit: impl FnMut(&[u8]),
    ) -> Option<Cursor> {
        // Groups go round the shards, as in `Engine::shard_of`.
        let shard = usize::from(self.group.number()) & (engine.shard_count() - 1);
        let mut guard = engine.lock(shard);
        let next = guard.store().walk(self.group, self.position, want, now, |name, _| visit(name));
        match next {
            Some(position) => Some(Cursor { position, ..self }),
            None => Group::new(self.group.number() + 1).map(|group| Cursor { group, position: 0 }),
        }
    }
}

/// Names one behind the other, until it is known how many they are.
#[derive(Default)]
struct Names {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Names {
    fn push(&mut self, name: &[u8]) {
        self.bytes.extend_from_slice(name);
        self.ends.push(self.bytes.len());
    }

    fn write<W: ReplyWriter>(&self, out: &mut W) {
        out.array(self.ends.len());
        let mut start = 0;
        for &end in &self.ends {
            out.bulk(&self.bytes[start..end]);
            start = end;
        }
    }
}
