//! Deadlines that change while the value stays.

use super::item::Draft;
use super::{Full, Key, Store};
use crate::command::Time;

impl Store {
    /// Changes the deadline of a live item; whether there was one.
    ///
    /// # Errors
    /// [`Full`] when the item had to move and there was no room; nothing has changed then.
    pub fn set_deadline(
        &mut self,
        key: &Key<'_>,
        deadline: Option<Time>,
        now: Time,
    ) -> Result<bool, Full> {
        let Some((_, word)) = self.find_live(key, now) else { return Ok(false) };
        let raw = self.segments.item(word.offset());
        if raw.deadline == deadline {
            return Ok(true);
        }
        let (big, edited) = (raw.big().is_some(), raw.is_edited());
        let mut value = std::mem::take(&mut self.scratch);
        value.clear();
        value.extend_from_slice(raw.value);
        let draft = Draft { key: key.bytes, value: &value, big, edited, deadline };
        let result = self.rewrite(key, &draft, now);
        self.scratch = value;
        if result == Ok(true) {
            self.log_deadline(key, deadline);
        }
        result
    }

    /// As `write`, keeping the big value that old and new refer to; whether the item was there.
    fn rewrite(&mut self, key: &Key<'_>, draft: &Draft<'_>, now: Time) -> Result<bool, Full> {
        let Some(at) = self.find(key) else { return Ok(false) };
        if self.segments.overwrite(self.index.get(&at).offset(), draft) {
            return Ok(true);
        }
        let local = self.local(key.group());
        if let Err(Full) = self.make_room(local, draft, false, now)
            && !self.may_overdraw()
        {
            return Err(Full);
        }
        // Making room may have evicted the item itself: then it is gone, deadline and all.
        let Some(at) = self.find(key) else { return Ok(true) };
        let word = self.index.get(&at);
        let region = self.region_of(local, word.offset());
        let offset = self.segments.append(region, draft, now).ok_or(Full)?;
        self.index.set(&at, word.at(offset).with_deadline(draft.deadline.is_some()));
        self.segments.kill(word.offset());
        Ok(true)
    }
}
