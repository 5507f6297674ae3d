//! A bucket of the index: one cache line of seven slots. Knows neither keys nor items.

/// Slots in a bucket.
pub(super) const SLOTS: usize = 7;

/// A slot of the index: where an item is and what is known of it without touching it.
///
/// `offset 36 | tag 20 | references 3 | deadline 1 | kind 4`, low bits first; all zero
/// means empty, so an offset of 0 is never used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine::store) struct Word(pub(super) u64);

const OFFSET_BITS: u32 = 36;
/// One past the largest offset.
pub(in crate::engine::store) const OFFSET_MAX: u64 = 1 << OFFSET_BITS;
pub(super) const TAG_BITS: u32 = 20;
const TAG_SHIFT: u32 = OFFSET_BITS;
const TAG_MASK: u64 = ((1 << TAG_BITS) - 1) << TAG_SHIFT;
const REFERENCES_SHIFT: u32 = TAG_SHIFT + TAG_BITS;
/// Largest count of references.
pub(in crate::engine::store) const REFERENCES_MAX: u8 = 7;
const REFERENCES_MASK: u64 = (REFERENCES_MAX as u64) << REFERENCES_SHIFT;
const DEADLINE: u64 = 1 << 59;

impl Word {
    /// A slot for the item at `offset`.
    #[inline]
    pub(in crate::engine::store) fn new(offset: u64, hash: u64, has_deadline: bool) -> Word {
        debug_assert!(offset != 0 && offset < OFFSET_MAX);
        let deadline = if has_deadline { DEADLINE } else { 0 };
        Word(offset | u64::from(tag_of(hash)) << TAG_SHIFT | deadline)
    }

    /// Where the item is.
    #[inline]
    pub(in crate::engine::store) fn offset(self) -> u64 {
        self.0 & (OFFSET_MAX - 1)
    }

    /// The same slot for an item that moved.
    #[inline]
    pub(in crate::engine::store) fn at(self, offset: u64) -> Word {
        debug_assert!(offset != 0 && offset < OFFSET_MAX);
        Word(self.0 & !(OFFSET_MAX - 1) | offset)
    }

    /// How often it was asked for since the hand came by, up to [`REFERENCES_MAX`].
    #[inline]
    pub(in crate::engine::store) fn references(self) -> u8 {
        ((self.0 & REFERENCES_MASK) >> REFERENCES_SHIFT) as u8
    }

    /// The same slot with another count of references.
    #[inline]
    pub(in crate::engine::store) fn with_references(self, n: u8) -> Word {
        Word(self.0 & !REFERENCES_MASK | u64::from(n.min(REFERENCES_MAX)) << REFERENCES_SHIFT)
    }

    /// Whether the item has a deadline.
    #[inline]
    pub(in crate::engine::store) fn has_deadline(self) -> bool {
        self.0 & DEADLINE != 0
    }

    /// The same slot for an item with or without a deadline.
    #[inline]
    pub(in crate::engine::store) fn with_deadline(self, has: bool) -> Word {
        Word(if has { self.0 | DEADLINE } else { self.0 & !DEADLINE })
    }

    #[inline]
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[inline]
    pub(super) fn tag(self) -> u32 {
        ((self.0 & TAG_MASK) >> TAG_SHIFT) as u32
    }
}

/// What a slot keeps of a hash: its low bits. The high bits are the position in hash order.
#[inline]
pub(super) fn tag_of(hash: u64) -> u32 {
    hash as u32 & ((1 << TAG_BITS) - 1)
}

/// One cache line: a header of one fingerprint byte per slot and a count of items that belong
/// here but found no room, then the slots.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    header: u64,
    slots: [Word; SLOTS],
}

const LOW: u64 = 0x0001_0101_0101_0101;
const HIGH: u64 = LOW << 7;
const OVERFLOW_SHIFT: u32 = 56;
/// An overflow count of this much is never lowered again until the leaf is rebuilt.
const OVERFLOW_STUCK: u8 = u8::MAX;

impl Bucket {
    pub(super) const EMPTY: Bucket = Bucket { header: 0, slots: [Word(0); SLOTS] };

    /// Slots that may hold `tag`, as a mask with bit `8 * slot + 7` set; a few others may be set
    /// too, so the slot is looked at.
    #[inline]
    fn candidates(&self, tag: u32) -> u64 {
        let x = self.header ^ LOW.wrapping_mul(u64::from(tag as u8));
        x.wrapping_sub(LOW) & !x & HIGH
    }

    /// The slot that holds `tag` and that `is_it` says yes to.
    #[inline]
    pub(super) fn find(&self, tag: u32, mut is_it: impl FnMut(Word) -> bool) -> Option<usize> {
        let mut mask = self.candidates(tag);
        while mask != 0 {
            let slot = (mask.trailing_zeros() / 8) as usize;
            let word = self.slots[slot];
            if word.tag() == tag && !word.is_empty() && is_it(word) {
                return Some(slot);
            }
            mask &= mask - 1;
        }
        None
    }

    #[inline]
    pub(super) fn get(&self, slot: usize) -> Word {
        self.slots[slot]
    }

    #[inline]
    pub(super) fn put(&mut self, slot: usize, word: Word) {
        self.slots[slot] = word;
        let shift = slot as u32 * 8;
        self.header = self.header & !(0xff << shift) | u64::from(word.tag() as u8) << shift;
    }

    /// The first slot without an item.
    #[inline]
    pub(super) fn vacant(&self) -> Option<usize> {
        self.slots.iter().position(|w| w.is_empty())
    }

    /// Whether an item that belongs here may be in its other bucket.
    #[inline]
    pub(super) fn has_overflow(&self) -> bool {
        self.header >> OVERFLOW_SHIFT != 0
    }

    pub(super) fn overflow_add(&mut self) {
        if (self.header >> OVERFLOW_SHIFT) as u8 != OVERFLOW_STUCK {
            self.header += 1 << OVERFLOW_SHIFT;
        }
    }

    pub(super) fn overflow_sub(&mut self) {
        if (self.header >> OVERFLOW_SHIFT) as u8 != OVERFLOW_STUCK {
            debug_assert!(self.has_overflow());
            self.header -= 1 << OVERFLOW_SHIFT;
        }
    }

    /// The items in it.
    pub(super) fn words(&self) -> impl Iterator<Item = Word> {
        self.slots.into_iter().filter(|w| !w.is_empty())
    }
}

const _: () = assert!(size_of::<Bucket>() == 64);
