//! What each command does to one key. Knows the store's verbs, not its memory.
//! Each arm is a call; what it does stands in the file of its family.

mod change;
mod counter;
mod held;
mod number;
mod object;
pub(super) mod prepared;
mod set;
mod text;
mod ttl;

pub(super) use change::Change;
pub(super) use held::Held;
pub(super) use object::STRING;

use super::{Full, Item, ItemValue, Key, Store};
use crate::command::reply::{ReplyWriter, errors};
use crate::command::{KeyOp, Time, Value};

/// Executes `op` on `key` and writes its one reply.
#[inline]
pub(super) fn execute<W: ReplyWriter>(
    store: &mut Store,
    key: &Key<'_>,
    op: &KeyOp<'_>,
    now: Time,
    access: Access,
    out: &mut W,
) {
    let mut at = Target { store, key, now, access };
    match *op {
        KeyOp::Get => get(&mut at, out),
        KeyOp::Set(ref op) => set::set(&mut at, op, out),
        KeyOp::GetEx(change) => ttl::get_ex(&mut at, change, out),
        KeyOp::GetDel => set::get_del(&mut at, out),
        KeyOp::GetSet(value) => set::get_set(&mut at, value, out),
        KeyOp::SetNx(value) => set::set_nx(&mut at, value, out),
        KeyOp::Append(more) => text::append(&mut at, more, out),
        KeyOp::StrLen => text::len(&mut at, out),
        KeyOp::GetRange { start, end } => text::get_range(&mut at, start, end, out),
        KeyOp::SetRange { offset, value } => text::set_range(&mut at, offset, value, out),
        KeyOp::IncrBy(by) => counter::incr_by(&mut at, by, out),
        KeyOp::IncrByFloat(by) => counter::incr_by_float(&mut at, by, out),
        KeyOp::Delete => out.integer(at.remove().into()),
        KeyOp::Exists => out.integer(at.peek().is_some().into()),
        KeyOp::Touch => out.integer(at.touch().into()),
        KeyOp::Type => object::type_name(&at, out),
        KeyOp::Expire { at: time, condition } => ttl::expire(&mut at, time, condition, out),
        KeyOp::Ttl { absolute, millis } => ttl::ttl(&at, absolute, millis, out),
        KeyOp::Persist => ttl::persist(&mut at, out),
        KeyOp::ObjectEncoding => object::encoding(&at, out),
        KeyOp::ObjectFreq => object::freq(&at, out),
        KeyOp::ObjectIdleTime => object::idle_time(&at, out),
        KeyOp::ObjectRefCount => object::ref_count(&at, out),
        KeyOp::MemoryUsage => object::memory_usage(&at, out),
    }
}

/// Whether a command makes the items that it reads and writes look used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It does.
    Counted,
    /// It does not: of a client that has switched that off with CLIENT NO-TOUCH.
    Untouched,
}

/// A key in its store at a time: what every command on one key works on.
pub(super) struct Target<'a> {
    pub(super) store: &'a mut Store,
    pub(super) key: &'a Key<'a>,
    pub(super) now: Time,
    pub(super) access: Access,
}

impl Target<'_> {
    /// The item, as a reader sees it: counted as a hit or a miss, and as an access.
    #[inline]
    pub(super) fn get(&mut self) -> Option<Item<'_>> {
        match self.access {
            Access::Counted => self.store.get(self.key, self.now),
            Access::Untouched => self.store.get_untouched(self.key, self.now),
        }
    }

    /// Whether there is an item, counting an access whoever asks: TOUCH is there for that.
    pub(super) fn touch(&mut self) -> bool {
        self.store.get(self.key, self.now).is_some()
    }

    /// The item, without a trace: for writers, whose write is the access, and for questions that
    /// must not make an item look used (EXISTS, TTL, TYPE, OBJECT).
    #[inline]
    pub(super) fn peek(&self) -> Option<Item<'_>> {
        self.store.peek(self.key, self.now)
    }

    /// Stores a value. With a deadline that has passed the key is deleted instead.
    #[inline]
    pub(super) fn put(&mut self, value: Value<'_>, deadline: Option<Time>) -> Result<(), Full> {
        self.put_as(value, deadline, false)
    }

    /// The same; `edited`: the value was made of another by changing a part of it.
    #[inline]
    pub(super) fn put_as(
        &mut self,
        value: Value<'_>,
        deadline: Option<Time>,
        edited: bool,
    ) -> Result<(), Full> {
        let (key, now) = (self.key, self.now);
        if deadline.is_some_and(|d| d <= self.now) {
            self.store.remove(self.key, self.now);
            return Ok(());
        }
        match self.access {
            Access::Counted => self.store.set_as(key, value, deadline, edited, now),
            Access::Untouched => {
                self.store.untouched(|store| store.set_as(key, value, deadline, edited, now))
            }
        }
    }

    /// The same for a value that goes away elsewhere: it needs no room of its own.
    pub(super) fn move_in(
        &mut self,
        value: Value<'_>,
        deadline: Option<Time>,
        edited: bool,
    ) -> Result<(), Full> {
        let Target { key, now, access, .. } = *self;
        self.store
            .moving_in(|store| Target { store, key, now, access }.put_as(value, deadline, edited))
    }

    /// Whether the value was made of another by changing a part of it.
    pub(super) fn is_edited(&self) -> bool {
        self.store.is_edited(self.key)
    }

    /// Removes the item; whether there was one.
    #[inline]
    pub(super) fn remove(&mut self) -> bool {
        self.store.remove(self.key, self.now)
    }

    /// Changes the deadline of an item known to be there. One that has passed deletes it.
    pub(super) fn set_deadline(&mut self, deadline: Option<Time>) -> Result<(), Full> {
        if deadline.is_some_and(|d| d <= self.now) {
            self.store.remove(self.key, self.now);
            return Ok(());
        }
        self.store.set_deadline(self.key, deadline, self.now).map(|_| ())
    }
}

#[inline]
fn get<W: ReplyWriter>(at: &mut Target<'_>, out: &mut W) {
    match at.get() {
        Some(item) => write_value(item.value, out),
        None => out.null(),
    }
}

/// Answers a value: a small one is copied, a big one goes by reference.
#[inline]
pub(super) fn write_value<W: ReplyWriter>(value: ItemValue<'_>, out: &mut W) {
    match value {
        ItemValue::Inline(bytes) => out.bulk(bytes),
        ItemValue::Shared(bytes) => out.bulk_shared(bytes),
    }
}

/// Answers OK, or that there was no room.
#[inline]
pub(super) fn write_done<W: ReplyWriter>(done: Result<(), Full>, out: &mut W) {
    match done {
        Ok(()) => out.simple("OK"),
        Err(Full) => out.error(errors::OUT_OF_MEMORY),
    }
}

/// Answers a number, or that there was no room.
#[inline]
fn write_count<W: ReplyWriter>(done: Result<(), Full>, count: i64, out: &mut W) {
    match done {
        Ok(()) => out.integer(count),
        Err(Full) => out.error(errors::OUT_OF_MEMORY),
    }
}
