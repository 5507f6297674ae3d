//! What of the store's doing goes into the log. Knows the journal's verbs, not its bytes.

use super::Store;
use crate::command::Time;
use crate::command::effect::Effect;
use crate::engine::Key;
use crate::engine::journal::{Journal, Scope};
use cluster::slot::Group;

impl Store {
    /// Gives it a log, or takes it away.
    pub(in crate::engine) fn set_journal(&mut self, journal: Option<Box<Journal>>) {
        self.journal = journal;
    }

    /// Its log.
    #[inline]
    pub(in crate::engine) fn journal(&mut self) -> Option<&mut Journal> {
        self.journal.as_deref_mut()
    }

    /// Asks for the memory that the next records of so many bytes will be written to.
    #[inline]
    pub(in crate::engine) fn prefetch_log(&self, bytes: usize) {
        if let Some(journal) = &self.journal {
            journal.prefetch(bytes);
        }
    }

    /// An item was stored.
    #[inline]
    pub(super) fn log_set(&mut self, key: &Key<'_>, value: &[u8], deadline: Option<Time>) {
        let local = self.local(key.group());
        if let Some(journal) = &mut self.journal {
            let effect = Effect::Set { key: key.bytes, value, deadline };
            journal.record(local, &effect, Scope::Item(key.position()));
        }
    }

    /// An item was stored whose value is a buffer of its own.
    pub(super) fn log_set_big(&mut self, key: &Key<'_>, id: u32, deadline: Option<Time>) {
        let local = self.local(key.group());
        if let Some(journal) = &mut self.journal {
            let value = self.bigs.get(id);
            let effect = Effect::Set { key: key.bytes, value, deadline };
            journal.record(local, &effect, Scope::Shared(key.position(), value));
        }
    }

    /// An item is about to go that did not expire.
    #[inline]
    pub(super) fn log_delete(&mut self, group: usize, offset: u64) {
        if let Some(journal) = &mut self.journal {
            let key = self.segments.item(offset).key;
            let position = Key::position_of(key, &self.seed);
            journal.record(group, &Effect::Delete { key }, Scope::Item(position));
        }
    }

    /// An item is about to go for want of room.
    #[inline]
    pub(super) fn log_given_up(&mut self, group: usize) {
        if let Some(journal) = &mut self.journal {
            journal.gives_up(group);
        }
    }

    /// An item of a group had no room.
    pub(in crate::engine) fn log_given_up_of(&mut self, group: Group) {
        self.log_given_up(self.local(group));
    }

    /// An item's deadline was changed.
    pub(super) fn log_deadline(&mut self, key: &Key<'_>, deadline: Option<Time>) {
        let local = self.local(key.group());
        if let Some(journal) = &mut self.journal {
            let effect = Effect::Deadline { key: key.bytes, deadline };
            journal.record(local, &effect, Scope::Item(key.position()));
        }
    }

    /// An item of the group has gone because its time had come.
    #[inline]
    pub(super) fn log_expired(&mut self, group: usize) {
        if let Some(journal) = &mut self.journal {
            journal.expired(group);
        }
    }

    /// All groups are about to be emptied.
    pub(super) fn log_flush(&mut self) {
        let Some(journal) = &mut self.journal else { return };
        let groups = usize::from(cluster::slot::GROUPS) >> self.shard_bits;
        for group in (0..groups).filter(|&group| self.index.count(group) > 0) {
            journal.record(group, &Effect::Flush, Scope::Group);
        }
    }

    /// Empties one group by a command: the log says so.
    pub(in crate::engine) fn flush_group(&mut self, group: Group) {
        let local = self.local(group);
        if self.index.count(local) == 0 {
            return;
        }
        if let Some(journal) = &mut self.journal {
            journal.record(local, &Effect::Flush, Scope::Group);
        }
        self.clear_group(group);
    }

    /// Empties one group, item by item, and tells no log.
    pub(in crate::engine) fn clear_group(&mut self, group: Group) {
        while self.clear_step(self.local(group), usize::MAX) {}
    }
}
