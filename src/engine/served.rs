//! Commands that are carried out only where this node is to their groups what they need it to be:
//! asked under the locks that they are carried out under. Knows neither topology nor nodes.

use super::{Access, Engine, Shard, keys, space};
use crate::command::reply::ReplyWriter;
use crate::command::{Command, SpaceOp, Time};
use cluster::group_set::GroupSet;
use cluster::slot::Group;

/// What a node has to be to the groups of a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Duty {
    /// Whatever it is: a node alone.
    #[default]
    Any,
    /// Their primary, and none of them is about to go to another.
    Primary,
    /// That, or a keeper of whole copies.
    Copy,
}

/// A group that a command needs is not served here now: nothing was carried out or answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unserved(pub Group);

impl Duty {
    /// Whether a shard may carry out commands on one of its groups.
    #[inline]
    pub fn allows(self, shard: &Shard, group: Group) -> bool {
        match self {
            Duty::Any => true,
            Duty::Primary => shard.serves(group),
            Duty::Copy => shard.serves_reads(group),
        }
    }

    #[inline]
    pub(super) fn check(self, shard: &Shard, group: Group) -> Result<(), Unserved> {
        if self.allows(shard, group) { Ok(()) } else { Err(Unserved(group)) }
    }
}

impl Engine {
    /// Executes a command on keys if this node is what it has to be to all their groups.
    ///
    /// # Errors
    /// When it is not: then nothing was done.
    pub fn execute_for<W: ReplyWriter>(
        &self,
        command: &Command<'_>,
        duty: Duty,
        now: Time,
        access: Access,
        out: &mut W,
    ) -> Result<(), Unserved> {
        match command {
            Command::Key(bytes, op) => {
                let key = self.key(bytes);
                let mut shard = self.lock(self.shard_of(&key));
                duty.check(&shard, key.group())?;
                shard.execute_as(&key, op, now, access, out);
                Ok(())
            }
            Command::Keys(op) => keys::execute(self, op, keys::When { now, access, duty }, out),
            Command::Space(op) => space::execute(self, op, None, now, out),
        }
    }

    /// Executes a command on all keys of some groups that this node is primary of. What empties
    /// them needs groups that are not about to go; what looks at them does not.
    ///
    /// # Errors
    /// When it is not primary of one of them. Nothing was answered then, and what was done may be
    /// done again.
    pub fn execute_within<W: ReplyWriter>(
        &self,
        op: &SpaceOp<'_>,
        groups: &GroupSet,
        now: Time,
        out: &mut W,
    ) -> Result<(), Unserved> {
        space::execute(self, op, Some(groups), now, out)
    }
}
