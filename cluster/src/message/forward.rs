//! Commands that a node passes on for its client, and what came of them. Knows no command: the
//! bytes are those of the client protocol, RESP.

use super::MessageError;
use super::bytes::{Reader, Writer};
use crate::group_set::GroupSet;
use crate::node::Incarnation;

/// Commands for whoever keeps their group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward<'a> {
    /// Which of the sender's; never repeats while it lives.
    pub id: u64,
    /// Which start of the sender: with `id` it names the commands once and for all.
    pub origin: Incarnation,
    /// Whether replies are to be in RESP3; else in RESP2.
    pub resp3: bool,
    /// Whether a replica may answer.
    pub readonly: bool,
    /// The version of the topology by which the sender chose the receiver.
    pub topology: u64,
    /// The groups that a command on all keys is about; `None` with commands on keys.
    pub groups: Option<GroupSet>,
    /// Commands, one or more: those on keys all of one group, and executed together or not at all.
    pub request: &'a [u8],
}

/// What came of forwarded commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded<'a> {
    /// [`Forward::id`] of what it answers.
    pub id: u64,
    /// What.
    pub answer: Answer<'a>,
}

/// What came of forwarded commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Their replies, in order.
    Reply(&'a [u8]),
    /// Nothing was executed: the receiver does not keep the group.
    WrongOwner {
        /// The version of the topology that the receiver goes by; one that is newer than the
        /// sender's is worth waiting for.
        topology: u64,
    },
    /// Nothing was executed: the receiver has no room for it, or may not serve now.
    Refused,
}

const RESP3: u8 = 1;
const READONLY: u8 = 2;
const GROUPS: u8 = 4;
const REPLY: u8 = 0;
const WRONG_OWNER: u8 = 1;
const REFUSED: u8 = 2;

impl<'a> Forward<'a> {
    pub(super) fn put(&self, to: &mut Writer<'_>) {
        to.u64(self.id);
        to.u64(self.origin.0);
        let groups = u8::from(self.groups.is_some()) * GROUPS;
        to.u8((u8::from(self.resp3) * RESP3) | (u8::from(self.readonly) * READONLY) | groups);
        to.u64(self.topology);
        if let Some(groups) = &self.groups {
            groups.words().iter().for_each(|word| to.u64(*word));
        }
        to.rest(self.request);
    }

    pub(super) fn take(from: &mut Reader<'a>) -> Result<Forward<'a>, MessageError> {
        let (id, origin, flags) = (from.u64()?, Incarnation(from.u64()?), from.u8()?);
        if flags & !(RESP3 | READONLY | GROUPS) != 0 {
            return Err(MessageError::Field);
        }
        let (resp3, readonly) = (flags & RESP3 != 0, flags & READONLY != 0);
        let topology = from.u64()?;
        let groups = if flags & GROUPS != 0 {
            let mut words = [0; GroupSet::WORDS];
            for word in &mut words {
                *word = from.u64()?;
            }
            Some(GroupSet::from_words(words))
        } else {
            None
        };
        Ok(Forward { id, origin, resp3, readonly, topology, groups, request: from.rest() })
    }
}

impl<'a> Forwarded<'a> {
    pub(super) fn put(&self, to: &mut Writer<'_>) {
        to.u64(self.id);
        match self.answer {
            Answer::Reply(reply) => {
                to.u8(REPLY);
                to.rest(reply);
            }
            Answer::WrongOwner { topology } => {
                to.u8(WRONG_OWNER);
                to.u64(topology);
            }
            Answer::Refused => to.u8(REFUSED),
        }
    }

    pub(super) fn take(from: &mut Reader<'a>) -> Result<Forwarded<'a>, MessageError> {
        let id = from.u64()?;
        let answer = match from.u8()? {
            REPLY => Answer::Reply(from.rest()),
            WRONG_OWNER => Answer::WrongOwner { topology: from.u64()? },
            REFUSED => Answer::Refused,
            _ => return Err(MessageError::Field),
        };
        Ok(Forwarded { id, answer })
    }
}
