//! Messages through their bytes: each comes back as it was, has one spelling only, and whatever
//! else stands there is an error, never a panic.

#![allow(clippy::unwrap_used)]

use cluster::control::Position;
use cluster::message::{
    Acked, Answer, Forward, Forwarded, GROUPS_MAX, Have, Heartbeat, HeartbeatAck, Hello, Message,
    MessageError, Plane, PositionOf, ResyncBegin, ResyncChunk, ResyncDone, ResyncEnd,
};
use cluster::node::{ClusterId, Incarnation, Member, NodeId, Protocols};
use cluster::record::{Epoch, GroupTime, Seq};
use cluster::slot::{GROUPS, Group};
use cluster::time::Millis;
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::TestCaseError;
use proptest::{prop_assert, prop_assert_eq, proptest};

/// Numbers and bytes that a test draws, dealt out to the fields of messages.
struct Deal<'a> {
    numbers: std::iter::Cycle<std::slice::Iter<'a, u64>>,
    bytes: &'a [u8],
}

impl<'a> Deal<'a> {
    fn number(&mut self) -> u64 {
        *self.numbers.next().unwrap()
    }

    fn flag(&mut self) -> bool {
        self.number() % 2 == 1
    }

    fn group(&mut self) -> Group {
        Group::new((self.number() % u64::from(GROUPS)) as u16).unwrap()
    }

    fn node(&mut self) -> NodeId {
        NodeId::new(self.number().max(1)).unwrap()
    }

    fn member(&mut self) -> Member {
        Member { node: self.node(), incarnation: Incarnation(self.number()) }
    }

    fn position(&mut self) -> Position {
        Position { epoch: Epoch(self.number()), seq: Seq(self.number()) }
    }

    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.number() % 5).map(|_| one(self)).collect()
    }

    fn have(&mut self) -> Have {
        let position = self.flag().then(|| self.position());
        Have { group: self.group(), epoch: Epoch(self.number()), position }
    }

    fn hello(&mut self) -> Hello {
        Hello {
            cluster: ClusterId(u128::from(self.number()) << 64 | u128::from(self.number())),
            from: self.member(),
            protocol: Protocols { min: self.number() as u16, max: self.number() as u16 },
            plane: if self.flag() { Plane::Data } else { Plane::Control },
        }
    }

    fn heartbeat(&mut self) -> Heartbeat {
        Heartbeat {
            from: self.member(),
            sent: Millis(self.number()),
            applied_index: self.number(),
            hears_you: self.flag(),
            lease_ok: self.flag(),
            pressure: self.flag(),
            usable_bytes: self.number(),
            silent: self.list(Deal::node),
        }
    }

    fn resync_end(&mut self) -> ResyncEnd {
        ResyncEnd {
            group: self.group(),
            id: self.number(),
            position: self.position(),
            time: GroupTime(self.number()),
            items: self.number(),
            digest: u128::from(self.number()) << 64 | u128::from(self.number()),
        }
    }

    fn forward(&mut self) -> Forward<'a> {
        Forward {
            id: self.number(),
            origin: Incarnation(self.number()),
            resp3: self.flag(),
            readonly: self.flag(),
            topology: self.number(),
            groups: self.flag().then(|| Group::all().filter(|_| self.flag()).collect()),
            request: self.bytes,
        }
    }

    fn answer(&mut self) -> Answer<'a> {
        match self.number() % 3 {
            0 => Answer::Reply(self.bytes),
            1 => Answer::WrongOwner { topology: self.number() },
            _ => Answer::Refused,
        }
    }

    /// One of every kind.
    fn all(&mut self) -> Vec<Message<'a>> {
        let group = self.group();
        let epoch = Epoch(self.number());
        let id = self.number();
        let ack = |deal: &mut Self| HeartbeatAck {
            from: deal.member(),
            echo_sent: Millis(deal.number()),
            applied_index: deal.number(),
        };
        let of = |deal: &mut Self| PositionOf { group: deal.group(), position: deal.position() };
        let acked = |deal: &mut Self| Acked {
            group: deal.group(),
            epoch: Epoch(deal.number()),
            seq: Seq(deal.number()),
        };
        vec![
            Message::Hello(self.hello()),
            Message::Heartbeat(self.heartbeat()),
            Message::HeartbeatAck(ack(self)),
            Message::PositionsAsk(self.list(Deal::group)),
            Message::Positions(self.list(of)),
            Message::Append(self.bytes),
            Message::Ack(self.list(acked)),
            Message::Have(self.list(Deal::have)),
            Message::ResyncBegin(ResyncBegin { group, epoch, id }),
            Message::ResyncChunk(ResyncChunk { group, id, payload: self.bytes }),
            Message::ResyncEnd(self.resync_end()),
            Message::ResyncDone(ResyncDone { group, id, complete: self.flag() }),
            Message::Forward(self.forward()),
            Message::Forwarded(Forwarded { id, answer: self.answer() }),
        ]
    }
}

/// Whether what follows the fields of a message belongs to it.
fn has_payload(message: &Message<'_>) -> bool {
    matches!(
        message,
        Message::Append(_)
            | Message::ResyncChunk(_)
            | Message::Forward(_)
            | Message::Forwarded(Forwarded { answer: Answer::Reply(_), .. })
    )
}

fn one_spelling(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(message) = Message::decode(bytes) {
        prop_assert_eq!(message.to_bytes(), bytes);
    }
    Ok(())
}

proptest! {
    #[test]
    fn messages_come_back(numbers in vec(any::<u64>(), 16..64), bytes in vec(any::<u8>(), 0..40)) {
        let mut deal = Deal { numbers: numbers.iter().cycle(), bytes: &bytes };
        for message in deal.all() {
            let mut encoded = message.to_bytes();
            prop_assert_eq!(Message::decode(&encoded), Ok(message.clone()));
            if !has_payload(&message) {
                for cut in 0..encoded.len() {
                    prop_assert!(Message::decode(&encoded[..cut]).is_err());
                }
                encoded.push(0);
                prop_assert!(Message::decode(&encoded).is_err());
            }
            for at in 0..encoded.len() {
                encoded[at] ^= 0x81;
                one_spelling(&encoded)?;
                encoded[at] ^= 0x81;
            }
        }
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(kind in 0..20u8, bytes in vec(any::<u8>(), 0..80)) {
        one_spelling(&[&[1, kind], bytes.as_slice()].concat())?;
    }
}

#[test]
fn the_bytes_of_an_ack() {
    let group = Group::new(258).unwrap();
    let ack = Message::Ack(vec![Acked { group, epoch: Epoch(3), seq: Seq(260) }]);
    let bytes = [1, 7, 1, 0, 2, 1, 3, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0];
    assert_eq!(ack.to_bytes(), bytes);
}

#[test]
fn every_error_by_its_name() {
    assert_eq!(Message::decode(&[]), Err(MessageError::Length));
    assert_eq!(Message::decode(&[2, 7]), Err(MessageError::Format(2)));
    assert_eq!(Message::decode(&[1, 99]), Err(MessageError::Kind(99)));
    assert_eq!(Message::decode(&[1, 4, 1, 0, 0, 4]), Err(MessageError::Field), "no such group");
    let count = (GROUPS_MAX as u16 + 1).to_le_bytes();
    assert_eq!(Message::decode(&[1, 4, count[0], count[1]]), Err(MessageError::Field));
    assert_eq!(Message::decode(&[1, 4, 1, 0]), Err(MessageError::Length));
}
