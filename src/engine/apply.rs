//! Replaying what a log holds: the other side of `execute`. What comes from a log is checked before
//! any of it counts.

use super::{Engine, Full, Key, Store};
use crate::command::effect::{Effect, EffectError};
use crate::command::{Time, Value};
use cluster::slot::Group;

/// Why a payload was not applied; nothing of it was, but for [`ApplyError::Full`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyError {
    /// Its bytes are no effects.
    Effect(EffectError),
    /// It speaks of a key of another group.
    Group,
    /// An item had no room; the others of the payload are there.
    Full,
}

impl Engine {
    /// Applies the effects of a record or of a part of a snapshot, in order, to a group, at the
    /// time of the record: what had not expired then may have been given another deadline since.
    ///
    /// # Errors
    /// When the payload is not one of this group, or there is no room for an item.
    pub fn apply(&self, group: Group, payload: &[u8], now: Time) -> Result<(), ApplyError> {
        let mut rest = payload;
        while !rest.is_empty() {
            let effect = Effect::decode(&mut rest).map_err(ApplyError::Effect)?;
            if effect.key().is_some_and(|key| self.key(key).group() != group) {
                return Err(ApplyError::Group);
            }
        }
        let mut guard = self.lock(self.shard_of_group(group));
        let store = guard.store();
        let (mut rest, mut result) = (payload, Ok(()));
        while !rest.is_empty() {
            let effect = Effect::decode(&mut rest).map_err(ApplyError::Effect)?;
            if self.apply_one(store, group, &effect, now).is_err() {
                result = Err(ApplyError::Full);
            }
        }
        result
    }

    /// Empties a group, as if it never had held anything.
    pub fn clear_group(&self, group: Group) {
        self.lock(self.shard_of_group(group)).store().clear_group(group);
    }

    fn apply_one(
        &self,
        store: &mut Store,
        group: Group,
        effect: &Effect<'_>,
        now: Time,
    ) -> Result<(), Full> {
        match *effect {
            Effect::Set { key, value, deadline } => {
                let key = self.key(key);
                if deadline.is_some_and(|d| d <= now) {
                    store.remove(&key, now);
                    return Ok(());
                }
                store.set(&key, Value::Slice(value), deadline, now)
            }
            Effect::Delete { key } => {
                store.remove(&self.key(key), now);
                Ok(())
            }
            Effect::Deadline { key, deadline } => {
                let key: Key<'_> = self.key(key);
                if deadline.is_some_and(|d| d <= now) {
                    store.remove(&key, now);
                    return Ok(());
                }
                store.set_deadline(&key, deadline, now).map(|_| ())
            }
            // Deadlines are exact on access, and time does not run backwards.
            Effect::ExpireUpTo { .. } => Ok(()),
            Effect::Flush => {
                store.clear_group(group);
                Ok(())
            }
        }
    }
}
