//! What APPEND and SETRANGE make of a value. Pure.

use crate::command::KeyOp;

/// A change of a part of a value.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Change<'a> {
    /// Where it begins; `None`: behind the end.
    at: Option<u64>,
    bytes: &'a [u8],
}

impl<'a> Change<'a> {
    /// The one that a command makes.
    pub(in crate::engine) fn of(op: &KeyOp<'a>) -> Option<Change<'a>> {
        if let KeyOp::Append(more) = *op {
            Some(Change::append(more.bytes()))
        } else if let KeyOp::SetRange { offset, value } = *op {
            Some(Change::set_range(offset, value))
        } else {
            None
        }
    }

    pub(super) fn append(bytes: &'a [u8]) -> Change<'a> {
        Change { at: None, bytes }
    }

    pub(super) fn set_range(at: u64, bytes: &'a [u8]) -> Change<'a> {
        Change { at: Some(at), bytes }
    }

    /// What is written.
    pub(in crate::engine) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether it changes nothing.
    pub(in crate::engine) fn is_nothing(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How long it makes a value of `len` bytes.
    pub(in crate::engine) fn len(&self, len: usize) -> usize {
        let end = self.offset(len).saturating_add(self.bytes.len() as u64);
        len.max(usize::try_from(end).unwrap_or(usize::MAX))
    }

    fn offset(&self, len: usize) -> u64 {
        self.at.unwrap_or(len as u64)
    }

    /// Writes what it makes of `old` into zeros, as many as [`Change::len`] says.
    pub(in crate::engine) fn write(&self, old: &[u8], new: &mut [u8]) {
        let at = usize::try_from(self.offset(old.len())).unwrap_or(usize::MAX);
        let end = at.saturating_add(self.bytes.len());
        let head = &old[..at.min(old.len())];
        new[..head.len()].copy_from_slice(head);
        new[at..end].copy_from_slice(self.bytes);
        if let Some(tail) = old.get(end..) {
            new[end..].copy_from_slice(tail);
        }
    }

    /// What tells it from those of other commands.
    pub(super) fn identity(&self) -> (Option<u64>, *const [u8]) {
        (self.at, self.bytes)
    }
}
