//! A command's name as two words, without its case: to hash and compare in a few instructions.

/// Longest name that fits: beyond, no command is found.
const NAME_BYTES_MAX: usize = 16;

/// A name of 1 to 16 bytes with bit 5 of each set, so that letters compare without their case.
/// Other bytes may fall together, but never with a letter: exact where one side is all letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::command) struct Words {
    len: u8,
    head: u64,
    tail: u64,
}

impl Words {
    const EMPTY: Words = Words { len: 0, head: 0, tail: 0 };
    /// Equal to no name: a length that none has, in a slot that is not free.
    const NONE: Words = Words { len: u8::MAX, head: 0, tail: 0 };

    #[inline]
    pub(in crate::command) const fn of(name: &[u8]) -> Words {
        const CASE: u64 = 0x2020_2020_2020_2020;
        let len = name.len();
        let (head, tail) = match len {
            8..=NAME_BYTES_MAX => match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
                (Some(h), Some(t)) => (u64::from_le_bytes(*h), u64::from_le_bytes(*t)),
                _ => return Words::NONE,
            },
            4..=7 => match (name.first_chunk::<4>(), name.last_chunk::<4>()) {
                (Some(h), Some(t)) => {
                    (u32::from_le_bytes(*h) as u64, u32::from_le_bytes(*t) as u64)
                }
                _ => return Words::NONE,
            },
            1..=3 => (name[0] as u64, (name[len / 2] as u64) << 8 | name[len - 1] as u64),
            _ => return Words::NONE,
        };
        Words { len: len as u8, head: head | CASE, tail: tail | CASE }
    }

    /// The first slot to look at, of a power of two of them.
    #[inline]
    pub(in crate::command) const fn home(&self, slots: usize) -> usize {
        let mixed = (self.head ^ self.tail.rotate_left(29)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> 40) as usize % slots
    }
}

/// Whether a name is such that [`Words`] compare exactly.
pub(super) const fn is_plain(name: &[u8]) -> bool {
    let mut i = 0;
    while i < name.len() {
        if !name[i].is_ascii_lowercase() {
            return false;
        }
        i += 1;
    }
    !name.is_empty() && name.len() <= NAME_BYTES_MAX
}

/// A place of the hash table of names.
#[derive(Clone, Copy, Debug)]
pub(in crate::command) struct Slot {
    pub(in crate::command) words: Words,
    pub(in crate::command) row: u16,
}

impl Slot {
    pub(super) const FREE: Slot = Slot { words: Words::EMPTY, row: 0 };

    #[inline]
    pub(in crate::command) const fn is_free(&self) -> bool {
        self.words.len == 0
    }
}
