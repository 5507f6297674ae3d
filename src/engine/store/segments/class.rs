//! Classes of items by their time to live. Knows numbers only.

use crate::command::Time;

/// Items of about the same time to live: class 0 has no deadline, class 1 up to 1.024
/// seconds to live, each further one as much again as all before it.
pub(super) type Class = u8;
/// How many there are; the last one has no end.
pub(super) const CLASSES: usize = 40;

/// The class of an item with this deadline.
#[inline]
pub(super) fn class_of(deadline: Option<Time>, now: Time) -> Class {
    match deadline {
        None => 0,
        Some(d) => {
            let left = d.0.saturating_sub(now.0) >> 10;
            (65 - left.leading_zeros()).min(CLASSES as u32 - 1) as Class
        }
    }
}

/// Half of what the bins of a class span, in milliseconds: the width of the class.
#[inline]
pub(super) fn class_ms(class: Class) -> u64 {
    1 << (u32::from(class.max(1)) + 8)
}

/// The least time to live of a class, in milliseconds.
pub(super) fn class_from_ms(class: Class) -> u64 {
    if class <= 1 { 0 } else { class_ms(class) }
}
