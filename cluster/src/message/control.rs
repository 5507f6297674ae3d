//! What nodes tell each other about themselves: hello, heartbeats, positions of copies. Knows
//! nothing of leases and detection; that is `liveness`.

use super::bytes::{Reader, Writer};
use super::{MessageError, NODES_MAX, put_position, take_position};
use crate::control::Position;
use crate::node::{ClusterId, Member, NodeId, Protocols};
use crate::slot::Group;
use crate::time::Millis;

/// Which of a node's endpoints speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plane {
    /// Heartbeats and Raft.
    Control,
    /// Records, resyncs and forwards.
    Data,
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Of which cluster; 0 while it is of none.
    pub cluster: ClusterId,
    /// Which node, which start of it; incarnation 0 before it is registered.
    pub from: Member,
    /// The protocol versions it speaks.
    pub protocol: Protocols,
    /// Which of its endpoints.
    pub plane: Plane,
}

/// A sign of life, every `heartbeat_ms` to every node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Who lives.
    pub from: Member,
    /// By the sender's clock; comes back in the answer.
    pub sent: Millis,
    /// The newest entry of the control log that the sender has applied.
    pub applied_index: u64,
    /// Whether the sender has had an answer of this receiver of late.
    pub hears_you: bool,
    /// Whether the sender has the lease of a majority of the voters.
    pub lease_ok: bool,
    /// Whether it has no room for another copy.
    pub pressure: bool,
    /// How many bytes it may use for data.
    pub usable_bytes: u64,
    /// Whom the sender does not hear.
    pub silent: Vec<NodeId>,
}

/// The answer to a heartbeat: a grant of the receiver's vote from the moment it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatAck {
    /// Who has heard it.
    pub from: Member,
    /// [`Heartbeat::sent`] of what it heard.
    pub echo_sent: Millis,
    /// The newest entry of the control log that it has applied.
    pub applied_index: u64,
}

/// How far a complete copy of a group has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PositionOf {
    /// Which group.
    pub group: Group,
    /// Its last record.
    pub position: Position,
}

impl Hello {
    pub(super) fn put(&self, to: &mut Writer<'_>) {
        to.u128(self.cluster.0);
        to.member(self.from);
        to.u16(self.protocol.min);
        to.u16(self.protocol.max);
        to.flag(self.plane == Plane::Data);
    }

    pub(super) fn take(from: &mut Reader<'_>) -> Result<Hello, MessageError> {
        Ok(Hello {
            cluster: ClusterId(from.u128()?),
            from: from.member()?,
            protocol: Protocols { min: from.u16()?, max: from.u16()? },
            plane: if from.flag()? { Plane::Data } else { Plane::Control },
        })
    }
}

impl Heartbeat {
    pub(super) fn put(&self, to: &mut Writer<'_>) {
        to.member(self.from);
        to.u64(self.sent.0);
        to.u64(self.applied_index);
        to.flag(self.hears_you);
        to.flag(self.lease_ok);
        to.flag(self.pressure);
        to.u64(self.usable_bytes);
        to.list(&self.silent, |to, node| to.node(*node));
    }

    pub(super) fn take(from: &mut Reader<'_>) -> Result<Heartbeat, MessageError> {
        Ok(Heartbeat {
            from: from.member()?,
            sent: Millis(from.u64()?),
            applied_index: from.u64()?,
            hears_you: from.flag()?,
            lease_ok: from.flag()?,
            pressure: from.flag()?,
            usable_bytes: from.u64()?,
            silent: from.list(NODES_MAX, Reader::node)?,
        })
    }
}

impl HeartbeatAck {
    pub(super) fn put(&self, to: &mut Writer<'_>) {
        to.member(self.from);
        to.u64(self.echo_sent.0);
        to.u64(self.applied_index);
    }

    pub(super) fn take(from: &mut Reader<'_>) -> Result<HeartbeatAck, MessageError> {
        Ok(HeartbeatAck {
            from: from.member()?,
            echo_sent: Millis(from.u64()?),
            applied_index: from.u64()?,
        })
    }
}

impl PositionOf {
    pub(super) fn put(&self, to: &mut Writer<'_>) {
        to.group(self.group);
        put_position(to, self.position);
    }

    pub(super) fn take(from: &mut Reader<'_>) -> Result<PositionOf, MessageError> {
        Ok(PositionOf { group: from.group()?, position: take_position(from)? })
    }
}
