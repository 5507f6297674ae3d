//! Every message between nodes and its bytes. Knows neither how they travel nor what anybody does
//! with one; Raft's own are not among them.
//!
//! ```text
//! message  format u8 | kind u8 | fields, in the order of the struct     numbers little-endian
//! list     count u16 | elements          flags: one byte, 0 or 1; optional: flag, then the value
//! ```
//! A message has exactly one spelling. What carries a payload carries it last, up to the end of
//! the message, and borrows it: nothing is copied, and no length is believed before the bytes are
//! there.

mod bytes;
mod control;
mod data;
mod forward;

pub use control::{Heartbeat, HeartbeatAck, Hello, Plane, PositionOf};
pub use data::{Acked, Have, ResyncBegin, ResyncChunk, ResyncDone, ResyncEnd};
pub use forward::{Answer, Forward, Forwarded};

use crate::control::Position;
use crate::record::{Epoch, Salt};
use crate::slot::Group;
use bytes::{Reader, Writer};

/// The format written, and the only one read.
pub const FORMAT: u8 = 1;
/// Bytes before the fields of a message.
pub const HEAD_BYTES: usize = 2;
/// Most nodes a message lists: all that a cluster may have.
pub const NODES_MAX: usize = crate::control::NODES_MAX;
/// Most groups a message lists: all there are.
pub const GROUPS_MAX: usize = crate::slot::GROUPS as usize;
/// The salt of frames between nodes: a stream belongs to one sender and carries nothing older.
pub const STREAM_SALT: Salt = match Salt::new(0xCC_5A_17_01) {
    Some(salt) => salt,
    None => unreachable!(),
};

/// A message from a node to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// The first on every connection, in both directions.
    Hello(Hello),
    /// I am here.
    Heartbeat(Heartbeat),
    /// I have heard you.
    HeartbeatAck(HeartbeatAck),
    /// How far have your complete copies of these groups come? From the leader, for a failover.
    PositionsAsk(Vec<Group>),
    /// So far: those of the groups asked for of which the copy is complete.
    Positions(Vec<PositionOf>),
    /// Records of groups whose primary sends them: one frame, salted with [`STREAM_SALT`].
    Append(&'a [u8]),
    /// How far copies have come that are streamed to.
    Ack(Vec<Acked>),
    /// What a replica has of groups whose records do not come or do not fit: send me the rest.
    Have(Vec<Have>),
    /// A copy of a whole group begins, which takes the place of what the replica had of it.
    ResyncBegin(ResyncBegin),
    /// A part of it.
    ResyncChunk(ResyncChunk<'a>),
    /// That was all.
    ResyncEnd(ResyncEnd),
    /// What became of it.
    ResyncDone(ResyncDone),
    /// Commands for whoever keeps their group.
    Forward(Forward<'a>),
    /// What came of them.
    Forwarded(Forwarded<'a>),
}

/// Why bytes are not a message that this version reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageError {
    /// They end too early, or go on behind the end.
    Length,
    /// Another format.
    Format(u8),
    /// A kind of message that this version does not know.
    Kind(u8),
    /// A field holds what it cannot hold.
    Field,
}

const HELLO: u8 = 1;
const HEARTBEAT: u8 = 2;
const HEARTBEAT_ACK: u8 = 3;
const POSITIONS_ASK: u8 = 4;
const POSITIONS: u8 = 5;
const APPEND: u8 = 6;
const ACK: u8 = 7;
const HAVE: u8 = 8;
const RESYNC_BEGIN: u8 = 9;
const RESYNC_CHUNK: u8 = 10;
const RESYNC_END: u8 = 11;
const RESYNC_DONE: u8 = 12;
const FORWARD: u8 = 13;
const FORWARDED: u8 = 14;

/// What stands before the frame of an [`Message::Append`]: whoever filters records writes them
/// straight behind it.
pub const APPEND_HEAD: [u8; HEAD_BYTES] = [FORMAT, APPEND];

impl<'a> Message<'a> {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut to = Writer::begin(out, self.kind());
        match self {
            Message::Hello(hello) => hello.put(&mut to),
            Message::Heartbeat(heartbeat) => heartbeat.put(&mut to),
            Message::HeartbeatAck(ack) => ack.put(&mut to),
            Message::PositionsAsk(groups) => to.list(groups, |to, group| to.group(*group)),
            Message::Positions(list) => to.list(list, |to, of| of.put(to)),
            Message::Append(frame) => to.rest(frame),
            Message::Ack(list) => to.list(list, |to, acked| acked.put(to)),
            Message::Have(list) => to.list(list, |to, have| have.put(to)),
            Message::ResyncBegin(begin) => begin.put(&mut to),
            Message::ResyncChunk(chunk) => chunk.put(&mut to),
            Message::ResyncEnd(end) => end.put(&mut to),
            Message::ResyncDone(done) => done.put(&mut to),
            Message::Forward(forward) => forward.put(&mut to),
            Message::Forwarded(forwarded) => forwarded.put(&mut to),
        }
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }

    /// Reads a message that takes all of `bytes`.
    ///
    /// # Errors
    /// When they are anything else, whatever they are.
    pub fn decode(bytes: &'a [u8]) -> Result<Message<'a>, MessageError> {
        let (kind, mut from) = Reader::begin(bytes)?;
        let from = &mut from;
        let message = match kind {
            HELLO => Message::Hello(Hello::take(from)?),
            HEARTBEAT => Message::Heartbeat(Heartbeat::take(from)?),
            HEARTBEAT_ACK => Message::HeartbeatAck(HeartbeatAck::take(from)?),
            POSITIONS_ASK => Message::PositionsAsk(from.list(GROUPS_MAX, Reader::group)?),
            POSITIONS => Message::Positions(from.list(GROUPS_MAX, PositionOf::take)?),
            APPEND => Message::Append(from.rest()),
            ACK => Message::Ack(from.list(GROUPS_MAX, Acked::take)?),
            HAVE => Message::Have(from.list(GROUPS_MAX, Have::take)?),
            RESYNC_BEGIN => Message::ResyncBegin(ResyncBegin::take(from)?),
            RESYNC_CHUNK => Message::ResyncChunk(ResyncChunk::take(from)?),
            RESYNC_END => Message::ResyncEnd(ResyncEnd::take(from)?),
            RESYNC_DONE => Message::ResyncDone(ResyncDone::take(from)?),
            FORWARD => Message::Forward(Forward::take(from)?),
            FORWARDED => Message::Forwarded(Forwarded::take(from)?),
            unknown => return Err(MessageError::Kind(unknown)),
        };
        from.end()?;
        Ok(message)
    }

    fn kind(&self) -> u8 {
        match self {
            Message::Hello(_) => HELLO,
            Message::Heartbeat(_) => HEARTBEAT,
            Message::HeartbeatAck(_) => HEARTBEAT_ACK,
            Message::PositionsAsk(_) => POSITIONS_ASK,
            Message::Positions(_) => POSITIONS,
            Message::Append(_) => APPEND,
            Message::Ack(_) => ACK,
            Message::Have(_) => HAVE,
            Message::ResyncBegin(_) => RESYNC_BEGIN,
            Message::ResyncChunk(_) => RESYNC_CHUNK,
            Message::ResyncEnd(_) => RESYNC_END,
            Message::ResyncDone(_) => RESYNC_DONE,
            Message::Forward(_) => FORWARD,
            Message::Forwarded(_) => FORWARDED,
        }
    }
}

/// The group and epoch that several messages begin with.
fn put_epoch(to: &mut Writer<'_>, group: Group, epoch: Epoch) {
    to.group(group);
    to.u64(epoch.0);
}

fn put_position(to: &mut Writer<'_>, position: Position) {
    to.u64(position.epoch.0);
    to.u64(position.seq.0);
}

fn take_position(from: &mut Reader<'_>) -> Result<Position, MessageError> {
    Ok(Position { epoch: Epoch(from.u64()?), seq: crate::record::Seq(from.u64()?) })
}
