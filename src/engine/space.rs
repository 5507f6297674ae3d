//! Commands on all keys: shard after shard, group after group. But for FLUSHALL a lock is held for
//! one step only, so other commands come in between. Names are matched against patterns where no
//! lock is held: under it they are only copied.

mod parts;

use super::execute::STRING;
use super::{Duty, Engine, Shard, Unserved, glob_match, log};
use crate::command::reply::ReplyWriter;
use crate::command::{ScanOp, SpaceOp, Time};
use crate::limits::WALK_ITEMS_PER_LOCK;
use cluster::group_set::GroupSet;
use cluster::slot::{Group, Slot};

/// Which groups a question is about; `None`: all.
pub(super) type Within<'a> = Option<&'a GroupSet>;

/// Executes `op` on those groups and writes its one reply, if the node is primary of them.
pub(super) fn execute<W: ReplyWriter>(
    engine: &Engine,
    op: &SpaceOp<'_>,
    within: Within<'_>,
    now: Time,
    out: &mut W,
) -> Result<(), Unserved> {
    match (op, within) {
        (SpaceOp::DbSize, None) => out.integer(len(engine) as i64),
        (SpaceOp::DbSize, Some(groups)) => out.integer(parts::len(engine, groups)? as i64),
        (SpaceOp::Keys { pattern }, _) => keys(engine, pattern, within, now, out)?,
        (SpaceOp::Scan(op), _) => scan(engine, op, within, now, out)?,
        (SpaceOp::RandomKey { chance }, None) => random_key(engine, *chance, now, out),
        (SpaceOp::RandomKey { chance }, Some(groups)) => {
            parts::random_key(engine, groups, *chance, now, out)?;
        }
        (SpaceOp::Flush, within) => {
            match within {
                Some(groups) if !groups.is_full() => parts::flush(engine, groups, now)?,
                Some(_) => flush(engine, Duty::Primary, now)?,
                None => flush(engine, Duty::Any, now)?,
            }
            out.simple("OK");
        }
    }
    Ok(())
}

/// Visits the live keys of a slot, whoever keeps its group, until `visit` has had enough.
pub(super) fn keys_in_slot(
    engine: &Engine,
    slot: Slot,
    now: Time,
    mut visit: impl FnMut(&[u8]) -> bool,
) {
    let (group, mut more) = (slot.group(), true);
    let mut cursor = Some(Cursor { group, position: 0 });
    while let Some(at) = cursor.filter(|at| more && at.group == group) {
        cursor = at.step_anyway(engine, WALK_ITEMS_PER_LOCK, now, |name| {
            if more && Slot::of(name) == slot {
                more = visit(name);
            }
        });
    }
}

/// Items in all shards, dead but unreclaimed ones included, as in Redis.
fn len(engine: &Engine) -> u64 {
    (0..engine.shard_count()).map(|shard| engine.lock(shard).store().len()).sum()
}

/// Empties all shards at once: all are locked before the first is emptied.
fn flush(engine: &Engine, duty: Duty, now: Time) -> Result<(), Unserved> {
    let mut guards: Vec<_> = (0..engine.shard_count()).map(|shard| engine.lock(shard)).collect();
    for group in Group::all().filter(|_| duty != Duty::Any) {
        duty.check(&guards[engine.shard_of_group(group)], group)?;
    }
    log::set_aside(guards.iter_mut(), now);
    guards.iter_mut().for_each(|guard| guard.store().clear());
    log::join_aside(guards.iter_mut());
    Ok(())
}

/// KEYS: every key that is there all the while, each at most once.
fn keys<W: ReplyWriter>(
    engine: &Engine,
    pattern: &[u8],
    within: Within<'_>,
    now: Time,
    out: &mut W,
) -> Result<(), Unserved> {
    let (mut names, mut seen) = (Names::default(), Names::default());
    let mut cursor = Cursor::from_number(0);
    while let Some(at) = cursor.and_then(|at| at.skip_to(within)) {
        let visit = |name: &[u8]| seen.push(name);
        cursor = at.step(engine, within, WALK_ITEMS_PER_LOCK, now, &mut 0, visit)?;
        seen.drain(|name| {
            if glob_match(pattern, name) {
                names.push(name);
            }
        });
    }
    names.write(out);
    Ok(())
}

/// SCAN: a key that is there from the first call to the last is answered exactly once. What is dead
/// but not removed counts as looked at, too: there may be very many of it.
fn scan<W: ReplyWriter>(
    engine: &Engine,
    op: &ScanOp<'_>,
    within: Within<'_>,
    now: Time,
    out: &mut W,
) -> Result<(), Unserved> {
    let (mut names, mut found) = (Names::default(), Names::default());
    let wanted = |name: &[u8]| {
        op.type_name.is_none_or(|t| t == STRING.as_bytes())
            && op.pattern.is_none_or(|pattern| glob_match(pattern, name))
    };
    let mut left = usize::try_from(op.count).unwrap_or(usize::MAX).max(1);
    let mut cursor = Cursor::from_number(op.cursor).and_then(|at| at.skip_to(within));
    while let Some(at) = cursor {
        let mut seen = 0;
        let want = left.min(WALK_ITEMS_PER_LOCK);
        cursor = at.step(engine, within, want, now, &mut seen, |name| found.push(name))?;
        found.drain(|name| {
            if wanted(name) {
                names.push(name);
            }
        });
        cursor = cursor.and_then(|at| at.skip_to(within));
        if seen >= left {
            break;
        }
        left -= seen;
    }
    out.array(2);
    let number = cursor.map_or(0, Cursor::number);
    out.bulk(itoa::Buffer::new().format(number).as_bytes());
    names.write(out);
    Ok(())
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

    /// This place, or the start of the next group that is asked for.
    fn skip_to(self, within: Within<'_>) -> Option<Cursor> {
        let Some(groups) = within else { return Some(self) };
        if groups.contains(self.group) {
            return Some(self);
        }
        let numbers = self.group.number() + 1..;
        let mut later = numbers.map_while(Group::new);
        later.find(|group| groups.contains(*group)).map(|group| Cursor { group, position: 0 })
    }

    /// Visits the live ones of about `want` items of the group, under its lock; `seen` is how many
    /// were looked at. Returns where to go on: in the group, or at the start of the next; `None`
    /// behind the last. Where the question is about some groups, the node must be their primary.
    fn step(
        self,
        engine: &Engine,
        within: Within<'_>,
        want: usize,
        now: Time,
        seen: &mut usize,
        visit: impl FnMut(&[u8]),
    ) -> Result<Option<Cursor>, Unserved> {
        let mut guard = engine.lock(engine.shard_of_group(self.group));
        if within.is_some() {
            parts::check(&mut guard, self.group)?;
        }
        Ok(self.walk(&mut guard, want, now, seen, visit))
    }

    /// The same, whatever the node is to the group.
    fn step_anyway(
        self,
        engine: &Engine,
        want: usize,
        now: Time,
        visit: impl FnMut(&[u8]),
    ) -> Option<Cursor> {
        let mut guard = engine.lock(engine.shard_of_group(self.group));
        self.walk(&mut guard, want, now, &mut 0, visit)
    }

    fn walk(
        self,
        shard: &mut Shard,
        want: usize,
        now: Time,
        seen: &mut usize,
        mut visit: impl FnMut(&[u8]),
    ) -> Option<Cursor> {
        let (group, from) = (self.group, self.position);
        let next = shard.store().walk_counted(group, from, want, now, seen, |name, _| visit(name));
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
        self.iter().for_each(|name| out.bulk(name));
    }

    /// Visits all, and forgets them.
    fn drain(&mut self, visit: impl FnMut(&[u8])) {
        self.iter().for_each(visit);
        self.bytes.clear();
        self.ends.clear();
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(&from, &to)| &self.bytes[from..to])
    }
}
