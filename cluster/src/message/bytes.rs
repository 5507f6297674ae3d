//! Numbers, flags and lists as messages write and read them. Knows no message.

use super::{FORMAT, MessageError};
use crate::node::{Incarnation, Member, NodeId};
use crate::slot::Group;

/// Writes the fields of a message at the end of somebody's buffer.
pub(super) struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

/// Reads the fields of a message from its front.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Writer<'a> {
    pub(super) fn begin(out: &'a mut Vec<u8>, kind: u8) -> Writer<'a> {
        out.extend_from_slice(&[FORMAT, kind]);
        Writer { out }
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn u128(&mut self, value: u128) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn flag(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    pub(super) fn group(&mut self, group: Group) {
        self.u16(group.number());
    }

    pub(super) fn node(&mut self, node: NodeId) {
        self.u64(node.number());
    }

    pub(super) fn member(&mut self, member: Member) {
        self.node(member.node);
        self.u64(member.incarnation.0);
    }

    /// Lists are short by construction; one that is not is cut, and the reader asks again.
    pub(super) fn list<T>(&mut self, list: &[T], put: impl Fn(&mut Self, &T)) {
        let list = &list[..list.len().min(usize::from(u16::MAX))];
        self.u16(list.len() as u16);
        list.iter().for_each(|element| put(self, element));
    }

    pub(super) fn rest(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }
}

impl<'a> Reader<'a> {
    pub(super) fn begin(bytes: &'a [u8]) -> Result<(u8, Reader<'a>), MessageError> {
        match *bytes {
            [FORMAT, kind, ref bytes @ ..] => Ok((kind, Reader { bytes })),
            [format, _, ..] => Err(MessageError::Format(format)),
            _ => Err(MessageError::Length),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], MessageError> {
        let (array, rest) = self.bytes.split_first_chunk::<N>().ok_or(MessageError::Length)?;
        self.bytes = rest;
        Ok(*array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, MessageError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, MessageError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, MessageError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn u128(&mut self) -> Result<u128, MessageError> {
        self.array().map(u128::from_le_bytes)
    }

    pub(super) fn flag(&mut self) -> Result<bool, MessageError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(MessageError::Field),
        }
    }

    pub(super) fn group(&mut self) -> Result<Group, MessageError> {
        Group::new(self.u16()?).ok_or(MessageError::Field)
    }

    pub(super) fn node(&mut self) -> Result<NodeId, MessageError> {
        NodeId::new(self.u64()?).ok_or(MessageError::Field)
    }

    pub(super) fn member(&mut self) -> Result<Member, MessageError> {
        Ok(Member { node: self.node()?, incarnation: Incarnation(self.u64()?) })
    }

    /// At most `count_max` elements; room is made as they come, not as the count says.
    pub(super) fn list<T>(
        &mut self,
        count_max: usize,
        take: impl Fn(&mut Self) -> Result<T, MessageError>,
    ) -> Result<Vec<T>, MessageError> {
        let count = usize::from(self.u16()?);
        if count > count_max {
            return Err(MessageError::Field);
        }
        (0..count).map(|_| take(self)).collect()
    }

    /// Everything up to the end.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    pub(super) fn end(&self) -> Result<(), MessageError> {
        self.bytes.is_empty().then_some(()).ok_or(MessageError::Length)
    }
}
