//! The ordered streams between this node and its peers: one each way, and a peer counts as there
//! while both are. Knows their bytes only as far as the first message.

use crate::peer::Sender;
use bytes::Bytes;
use cluster::message::{HEAD_BYTES, Message};
use cluster::node::{Member, NodeId};
use std::collections::BTreeMap;

/// The kind of a stream of records and of what is said about them.
pub(super) const RECORDS: u8 = 1;
/// The kind of a stream with a copy of one group.
pub(super) const RESYNC: u8 = 2;

/// The streams to and from one peer.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// Counts resets: what belongs to an earlier number is void.
    pub(super) number: u64,
    /// Ours, once it is open and our Hello is in it.
    pub(super) ours: Option<Sender>,
    /// Whether ours is being opened.
    pub(super) opening: bool,
    /// What the peer's Hello said.
    pub(super) theirs: Option<Member>,
    /// Whether replication was told that the peer is there.
    pub(super) up: bool,
}

/// The streams to and from all peers.
#[derive(Debug, Default)]
pub(super) struct AllStreams(pub(super) BTreeMap<NodeId, Streams>);

impl AllStreams {
    /// Those of a peer.
    pub(super) fn of(&mut self, node: NodeId) -> &mut Streams {
        self.0.entry(node).or_default()
    }

    /// Closes both; whether the peer had counted as there.
    pub(super) fn reset(&mut self, node: NodeId) -> bool {
        let streams = self.of(node);
        streams.number += 1;
        (streams.ours, streams.theirs, streams.opening) = (None, None, false);
        std::mem::take(&mut streams.up)
    }

    /// Closes ours alone, if it is open; whether the peer had counted as there.
    pub(super) fn lose_ours(&mut self, node: NodeId) -> bool {
        let streams = self.of(node);
        streams.ours.take().is_some() && std::mem::take(&mut streams.up)
    }

    /// Whether something that began at `number` still counts.
    pub(super) fn is_current(&self, node: NodeId, number: u64) -> bool {
        self.0.get(&node).is_some_and(|streams| streams.number == number)
    }
}

/// Whether a message is one of records, which are handled apart: its frame.
pub(super) fn records_of(body: &Bytes) -> Option<Bytes> {
    match Message::decode(body) {
        Ok(Message::Append(_)) => Some(body.slice(HEAD_BYTES..)),
        _ => None,
    }
}
