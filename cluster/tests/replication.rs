//! What a primary says and proposes to one replica, step by step, without a network.

#![allow(clippy::unwrap_used)]

use cluster::control::{Change, ControlCommand, ControlState, Position, Settings};
use cluster::message::{Acked, Have, Message};
use cluster::node::{Addresses, ClusterId, Incarnation, Member, NodeId, Protocols, Registration};
use cluster::record::select::FrameParts;
use cluster::record::{Epoch, Seq};
use cluster::replication::{Input, Mark, Output, Piece, Replication};
use cluster::slot::Group;
use cluster::time::Millis;

/// Records of which only the numbers matter.
struct Numbers([Mark; 1]);

impl Piece for Numbers {
    type Value = Vec<u8>;

    fn bytes(&self) -> usize {
        100
    }

    fn marks(&self) -> &[Mark] {
        &self.0
    }

    fn frames(&self) -> impl Iterator<Item = FrameParts<'_, Vec<u8>>> {
        std::iter::empty()
    }
}

struct Pair {
    state: ControlState,
    primary: Replication<Numbers>,
    group: Group,
    replica: Member,
    now: Millis,
}

fn member(number: u64) -> Member {
    Member { node: NodeId::new(number).unwrap(), incarnation: Incarnation(1) }
}

impl Pair {
    /// Two nodes; the first leads a group that the second keeps too.
    fn formed() -> Pair {
        let nodes = (1..=2).map(|number| Registration {
            node: member(number).node,
            start: number,
            addresses: Addresses::default(),
            zone: String::new(),
            protocol: Protocols { min: 1, max: 1 },
            fingerprint: None,
            restored: false,
        });
        let mut state = ControlState::blank();
        let (cluster, settings) = (ClusterId(1), Settings::default());
        state.apply(&ControlCommand::Form { cluster, settings, nodes: nodes.collect() });
        let leads = |config: &cluster::control::GroupConfig| config.primary == Some(member(1));
        let group = state.groups().find(|(_, config)| leads(config)).unwrap().0;
        let mut primary = Replication::new(member(1), [], 1000);
        let now = Millis(1000);
        primary.handle(Input::Applied(&state), now);
        let mut pair = Pair { state, primary, group, replica: member(2), now };
        pair.outputs();
        pair.primary.handle(Input::PeerUp(pair.replica), now);
        pair
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.primary.poll()).collect()
    }

    fn log(&mut self, first: u64, last: u64) {
        let mark = Mark { group: self.group, first: Seq(first), last: Seq(last) };
        self.primary.logged(Numbers([mark]), self.now);
    }

    fn says(&mut self, message: Message<'static>) {
        self.primary.handle(Input::Message(self.replica.node, message), self.now);
    }

    fn has(&mut self, position: Option<Position>) {
        let have = Have { group: self.group, epoch: Epoch(1), position };
        self.says(Message::Have(vec![have]));
    }

    fn acks(&mut self, seq: u64) {
        let acked = Acked { group: self.group, epoch: Epoch(1), seq: Seq(seq) };
        self.says(Message::Ack(vec![acked]));
    }

    /// Time passes; what is proposed for the group takes effect. Its changes, as words.
    fn passes(&mut self, ms: u64) -> Vec<&'static str> {
        let mut words = Vec::new();
        for _ in 0..ms / 20 {
            self.now = self.now.after(20);
            self.primary.handle(Input::Tick, self.now);
            for output in self.outputs() {
                let Output::Propose(changes) = output else { continue };
                for change in changes.into_iter().filter(|change| change.group == self.group) {
                    words.push(match change.change {
                        Change::Shrink { .. } => "shrink",
                        Change::Expand { .. } => "expand",
                        _ => "other",
                    });
                    self.state.apply(&ControlCommand::Change(vec![change]));
                }
                self.primary.handle(Input::Applied(&self.state), self.now);
            }
        }
        words
    }

    fn resyncs(&mut self) -> usize {
        let of_group = |o: &Output| matches!(o, Output::StartResync { .. });
        self.outputs().iter().filter(|output| of_group(output)).count()
    }
}

#[test]
fn a_silent_replica_falls_out_once_and_comes_back_when_it_answers() {
    let mut pair = Pair::formed();
    pair.has(Some(Position::default()));
    pair.log(1, 3);
    let mut out = Default::default();
    pair.primary.next_append(pair.replica.node, &mut out);
    assert_eq!(pair.passes(400), [""; 0]);
    assert_eq!(pair.passes(2000), ["shrink"]);
    assert!(pair.state.group(pair.group).learners.contains(&pair.replica.node));
    pair.has(Some(Position { epoch: Epoch(1), seq: Seq(3) }));
    assert_eq!(pair.passes(400), ["expand"]);
    assert_eq!(pair.passes(2000), [""; 0]);
    pair.acks(3);
    assert_eq!(pair.state.group(pair.group).in_sync.len(), 2);
}

#[test]
fn a_copy_is_continued_where_the_backlog_has_it_and_else_copied_anew() {
    let mut pair = Pair::formed();
    for seq in 1..=30 {
        pair.log(seq, seq);
    }
    let at = |epoch, seq| Some(Position { epoch: Epoch(epoch), seq: Seq(seq) });
    for (position, copied) in
        [(at(1, 30), 0), (at(1, 25), 0), (at(1, 5), 1), (at(1, 31), 1), (at(0, 25), 1), (None, 1)]
    {
        pair.primary.handle(Input::PeerDown(pair.replica.node), pair.now);
        pair.primary.handle(Input::PeerUp(pair.replica), pair.now);
        pair.outputs();
        pair.has(position);
        assert_eq!(pair.resyncs(), copied, "{position:?}");
    }
}
