//! What a reader sees: an item under the lock, what else is known of it, and a hint to the
//! processor that it will be looked at soon. Changes nothing.

use super::index::Word;
use super::{Key, Store};
use crate::command::Time;
use bytes::Bytes;

/// An item as seen under the lock. Dead ones are never seen.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// Its value.
    pub value: ItemValue<'a>,
    /// When it dies.
    pub deadline: Option<Time>,
}

/// The value of an item.
#[derive(Clone, Copy, Debug)]
pub enum ItemValue<'a> {
    /// In a segment; valid under the lock only.
    Inline(&'a [u8]),
    /// A buffer of its own.
    Shared(&'a Bytes),
}

impl<'a> ItemValue<'a> {
    /// Its bytes.
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        match self {
            ItemValue::Inline(s) => s,
            ItemValue::Shared(b) => b,
        }
    }
}

impl Store {
    /// Before the first stage of a prefetch: the leaf of a key.
    #[inline]
    pub fn prefetch_leaf(&self, key: &Key<'_>) {
        if let Some(leaf) = self.index.leaf(self.local(key.group()), key.hash) {
            prefetch(leaf);
        }
    }

    /// First stage of a prefetch: the index's cache line of a key.
    #[inline]
    pub fn prefetch_slot(&self, key: &Key<'_>) {
        if let Some(home) = self.index.home(self.local(key.group()), key.hash) {
            prefetch(home);
        }
    }

    /// Second stage: the item, if the first found its slot.
    #[inline]
    pub fn prefetch_item(&self, key: &Key<'_>) {
        if let Some(word) = self.index.likely(self.local(key.group()), key.hash) {
            let at = self.segments.address(word.offset());
            prefetch(at);
            prefetch(at.wrapping_add(64));
            prefetch(at.wrapping_add(128));
        }
    }

    /// The item at an offset, dead or alive.
    #[inline]
    pub(super) fn view(&self, offset: u64) -> Item<'_> {
        let raw = self.segments.item(offset);
        let value = match raw.big() {
            None => ItemValue::Inline(raw.value),
            Some(id) => ItemValue::Shared(self.bigs.get(id)),
        };
        Item { value, deadline: raw.deadline }
    }

    /// Reads an item without leaving a trace.
    pub fn peek(&self, key: &Key<'_>, now: Time) -> Option<Item<'_>> {
        let word = self.index.get(&self.find(key)?);
        let item = self.view(word.offset());
        item.deadline.is_none_or(|d| d > now).then_some(item)
    }

    /// Whether the value of an item was made of another by changing a part of it, as far as that is
    /// remembered: of big ones it is not.
    pub fn is_edited(&self, key: &Key<'_>) -> bool {
        let raw = |at| self.segments.item(self.index.get(&at).offset());
        self.find(key).is_some_and(|at| raw(at).is_edited())
    }

    /// How often the item was asked for lately, as far as the policy counts it (0–15).
    pub fn frequency(&self, key: &Key<'_>) -> u8 {
        match &self.admission {
            Some(admission) => admission.estimate(key.hash),
            None => self.find(key).map_or(0, |at| self.index.get(&at).references()),
        }
    }

    /// Milliseconds since the item was written, at most: an upper bound of its idle time.
    pub fn idle_ms(&self, key: &Key<'_>, now: Time) -> u64 {
        let Some(at) = self.find(key) else { return 0 };
        let segment = self.segments.segment_of(self.index.get(&at).offset());
        now.0.saturating_sub(self.segments.get(segment).opened.0)
    }

    /// Bytes an item takes: index slot, header, key, value, deadline.
    pub fn item_bytes(&self, key: &Key<'_>, now: Time) -> Option<u64> {
        let item = self.peek(key, now)?;
        let at = self.find(key)?;
        let raw = self.segments.item(self.index.get(&at).offset());
        let big = match item.value {
            ItemValue::Inline(_) => 0,
            ItemValue::Shared(b) => self.bigs.bytes_of(b.len()) as usize + size_of::<Bytes>(),
        };
        Some((raw.len + big + size_of::<Word>()) as u64)
    }
}

/// Asks the processor to fetch a cache line; any address is harmless.
#[inline]
pub(crate) fn prefetch(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; it never faults.
    unsafe {
        std::arch::x86_64::_mm_prefetch(at.cast(), std::arch::x86_64::_MM_HINT_T0);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Asks the processor for a cache line that is about to be written, so that nobody else has it
/// then; any address is harmless.
#[inline]
pub(in crate::engine) fn prefetch_to_write(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; it never faults, and processors that do not know it do nothing.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) at, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(target_arch = "x86_64"))]
    prefetch(at);
}
