//! Replaying what a log holds: the other side of `execute`. What comes from a log is checked before
//! any of it counts.

use super::{Engine, Full, Key, Store};
use crate::command::effect::{Effect, EffectError};
use crate::command::{Time, Value};
use bytes::Bytes;
use cluster::slot::Group;

/// Why a payload was not applied; nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyError {
    /// Its bytes are no effects.
    Effect(EffectError),
    /// It speaks of a key of another group.
    Group,
}

/// The effects of a record or of a part of a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    /// Of which group.
    pub group: Group,
    /// The effects, one behind the other.
    pub bytes: &'a [u8],
    /// The time of the record: what had not expired then may have been given another deadline
    /// since.
    pub now: Time,
}

/// An item that had no room. Nothing is left of an older one of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The hash of its name.
    pub hash: u64,
    /// Bytes of its name and value.
    pub bytes: u64,
}

/// An effect that is about to be applied.
struct Step<'a> {
    payload: usize,
    effect: Effect<'a>,
    key: Option<Key<'a>>,
}

impl Engine {
    /// Applies payloads in order; `refused` gets the items that had no room. The cache lines of
    /// many are asked for before the first is looked at.
    ///
    /// # Errors
    /// At the first payload that is not effects of its group: its place and why. Those before it
    /// are applied, of it and of those behind it nothing is.
    pub fn apply(
        &self,
        payloads: &[Payload<'_>],
        refused: &mut Vec<Refused>,
    ) -> Result<(), (usize, ApplyError)> {
        let mut steps = Vec::with_capacity(APPLY_AHEAD);
        let mut done = 0;
        while done < payloads.len() {
            steps.clear();
            let from = done;
            let mut bad = None;
            while steps.len() < APPLY_AHEAD && done < payloads.len() && bad.is_none() {
                bad = self.take_steps(&payloads[done], done, &mut steps).err();
                done += usize::from(bad.is_none());
            }
            self.apply_steps(&payloads[from..done], from, &steps, refused);
            if let Some(error) = bad {
                return Err((done, error));
            }
        }
        Ok(())
    }

    /// All effects of a payload, or none.
    fn take_steps<'a>(
        &self,
        payload: &Payload<'a>,
        number: usize,
        steps: &mut Vec<Step<'a>>,
    ) -> Result<(), ApplyError> {
        let (mut rest, before) = (payload.bytes, steps.len());
        while !rest.is_empty() {
            let step = Effect::decode(&mut rest).map_err(ApplyError::Effect).and_then(|effect| {
                let key = effect.key().map(|key| self.key(key));
                match key {
                    Some(key) if key.group() != payload.group => Err(ApplyError::Group),
                    key => Ok(Step { payload: number, effect, key }),
                }
            });
            match step {
                Ok(step) => steps.push(step),
                Err(error) => {
                    steps.truncate(before);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Applies the steps of payloads, the first of which has this number.
    fn apply_steps(
        &self,
        payloads: &[Payload<'_>],
        first: usize,
        steps: &[Step<'_>],
        refused: &mut Vec<Refused>,
    ) {
        let mut rest = steps;
        while let Some(step) = rest.first() {
            let shard_of =
                |step: &Step<'_>| self.shard_of_group(payloads[step.payload - first].group);
            let shard = shard_of(step);
            let run = rest.iter().take(APPLY_AHEAD).take_while(|step| shard_of(step) == shard);
            let run = run.count();
            let (now, later) = rest.split_at(run);
            rest = later;
            let mut guard = self.lock(shard);
            now.iter()
                .filter_map(|s| s.key.as_ref())
                .for_each(|key| guard.store.prefetch_slot(key));
            now.iter()
                .filter_map(|s| s.key.as_ref())
                .for_each(|key| guard.store.prefetch_item(key));
            for step in now {
                let Payload { group, now, .. } = payloads[step.payload - first];
                let Step { effect, key, .. } = step;
                let done = apply_one(guard.store(), group, effect, key.as_ref(), None, now);
                if let (Err(Full), Some(key)) = (done, key) {
                    drop(guard);
                    refused.extend(self.apply_again(shard, group, effect, key, now).err());
                    guard = self.lock(shard);
                }
            }
        }
    }

    /// Applies an effect that found no room with what room the other shards can spare. If that is
    /// not enough, the item is removed: an old one, or its old deadline, would be wrong.
    #[cold]
    fn apply_again(
        &self,
        shard: usize,
        group: Group,
        effect: &Effect<'_>,
        key: &Key<'_>,
        now: Time,
    ) -> Result<(), Refused> {
        let value_bytes = match effect {
            Effect::Set { value, .. } => value.len(),
            _ => 0,
        };
        let bytes = (key.bytes.len() + value_bytes) as u64;
        self.divide(Some((shard, bytes)));
        // Large ones push out many small ones, in steps.
        let room = self.reserve(shard, self.extents.value_bytes_of(value_bytes), 0, now);
        let mut guard = self.lock(shard);
        let store = guard.store();
        let done = apply_one(store, group, effect, Some(key), None, now).map_err(|Full| {
            store.remove(key, now);
            store.log_given_up_of(group);
            Refused { hash: key.hash, bytes }
        });
        drop(guard);
        drop(room);
        done
    }

    /// Empties a group, as if it never had held anything.
    pub fn clear_group(&self, group: Group) {
        self.lock(self.shard_of_group(group)).store().clear_group(group);
    }
}

/// Effects whose cache lines are asked for at once.
const APPLY_AHEAD: usize = 64;

/// Applies one effect; `large` is its value, if that is in a buffer of its own.
pub(super) fn apply_one(
    store: &mut Store,
    group: Group,
    effect: &Effect<'_>,
    key: Option<&Key<'_>>,
    large: Option<&Bytes>,
    now: Time,
) -> Result<(), Full> {
    let Some(key) = key else {
        match *effect {
            Effect::Flush => store.clear_group(group),
            // Deadlines are exact on access, and time does not run backwards.
            Effect::ExpireUpTo { .. } => {}
            Effect::Set { .. } | Effect::Delete { .. } | Effect::Deadline { .. } => {}
        }
        return Ok(());
    };
    match *effect {
        Effect::Set { deadline: Some(d), .. } | Effect::Deadline { deadline: Some(d), .. }
            if d <= now =>
        {
            store.remove(key, now);
            Ok(())
        }
        Effect::Set { value, deadline, .. } => {
            let value = large.map_or(Value::Slice(value), Value::Shared);
            store.set(key, value, deadline, now)
        }
        Effect::Delete { .. } => {
            store.remove(key, now);
            Ok(())
        }
        Effect::Deadline { deadline, .. } => store.set_deadline(key, deadline, now).map(|_| ()),
        Effect::ExpireUpTo { .. } | Effect::Flush => Ok(()),
    }
}
