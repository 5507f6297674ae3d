//! What a primary says and proposes to one replica, step by step, without a network.

#![allow(clippy::unwrap_used)]

use cluster::control::{Change, ControlCommand, ControlState, Position, Settings};
use cluster::message::{Acked, Have, Message, ResyncBegin, ResyncEnd, STREAM_SALT};
use cluster::node::{ClusterId, Incarnation, Member, NodeId, Registration};
use cluster::record::frame::FrameWriter;
use cluster::record::select::FrameParts;
use cluster::record::{Epoch, GroupTime, Header, Kind, Record, Seq};
use cluster::replication::{DELAY_MS_MAX, Input, Mark, Output, Piece, Replication};
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
        Pair::restored(None).0
    }

    /// The same, where the first has something of the group, and whether that lacks items; how the
    /// first begins to lead.
    fn restored(has: Option<(Position, bool)>) -> (Pair, Vec<Output>) {
        let nodes = (1..=2).map(|number| Registration::new(member(number).node, number));
        let mut state = ControlState::blank();
        let (cluster, settings) = (ClusterId(1), Settings::default());
        state.apply(&ControlCommand::Form { cluster, settings, nodes: nodes.collect() });
        let leads = |config: &cluster::control::GroupConfig| config.primary == Some(member(1));
        let group = state.groups().find(|(_, config)| leads(config)).unwrap().0;
        let there = has.map(|(position, _)| (group, position));
        let mut primary = Replication::new(member(1), there, 1000);
        if has.is_some_and(|(_, lacks)| lacks) {
            primary.lacks(group);
        }
        let now = Millis(1000);
        primary.handle(Input::Applied(&state), now);
        let mut pair = Pair { state, primary, group, replica: member(2), now };
        let outputs = pair.outputs();
        pair.primary.handle(Input::PeerUp(pair.replica), now);
        (pair, outputs)
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

#[test]
fn who_begins_to_lead_with_less_than_its_log_says_gives_everybody_a_copy() {
    let position = Position { epoch: Epoch(0), seq: Seq(7) };
    for lacks in [false, true] {
        let (mut pair, outputs) = Pair::restored(Some((position, lacks)));
        let lead = Output::Lead(pair.group, Epoch(1), Some(position));
        assert!(outputs.iter().any(|output| format!("{output:?}") == format!("{lead:?}")));
        pair.has(Some(position));
        assert_eq!(pair.resyncs(), usize::from(lacks), "{lacks}");
    }
}

#[test]
fn writers_are_held_back_while_a_copy_is_far_behind_but_not_for_ever() {
    let mut pair = Pair::formed();
    let at = |seq| Some(Position { epoch: Epoch(1), seq: Seq(seq) });
    pair.has(Some(Position::default()));
    let mut delays = Vec::new();
    for seq in 1..=10 {
        pair.log(seq, seq);
        delays.push(pair.primary.delay_ms());
    }
    // Five pieces are half of the backlog.
    assert_eq!(delays[..5], [0; 5]);
    assert!(delays[5..].is_sorted() && delays[5] > 0 && delays[8..] == [DELAY_MS_MAX; 2]);
    // It answers, and goes on being slow: that is waited for, …
    for seq in 1..=10 {
        pair.has(at(seq));
        pair.log(seq + 10, seq + 10);
        pair.passes(400);
        assert_eq!(pair.primary.delay_ms(), DELAY_MS_MAX, "{seq}");
    }
    // … but not for ever.
    let mut seq = 10;
    while pair.primary.delay_ms() > 0 {
        seq += 1;
        assert!(seq < 100);
        pair.has(at(seq));
        pair.log(seq + 10, seq + 10);
        pair.passes(400);
    }
    assert!(seq > 20, "{seq}");
    // Whoever has everything again is waited for again.
    pair.has(at(seq + 10));
    pair.passes(100);
    assert_eq!(pair.primary.delay_ms(), 0);
    for more in 1..=9 {
        pair.log(seq + 10 + more, seq + 10 + more);
    }
    assert_eq!(pair.primary.delay_ms(), DELAY_MS_MAX);
    // Whoever says nothing falls out, and is not waited for.
    assert_eq!(pair.passes(2000), ["shrink"]);
    assert_eq!(pair.primary.delay_ms(), 0);
}

/// The side of a replica whose copy of the group stands at a record of the primary's epoch.
struct Copy {
    group: Group,
    primary: Member,
    replica: Replication<Numbers>,
    now: Millis,
}

fn at(epoch: u64, seq: u64) -> Position {
    Position { epoch: Epoch(epoch), seq: Seq(seq) }
}

impl Copy {
    fn at(seq: u64) -> Copy {
        let pair = Pair::formed();
        let (group, primary, now) = (pair.group, member(1), pair.now);
        let mut replica = Replication::new(pair.replica, [(group, at(1, seq))], 1000);
        replica.handle(Input::Applied(&pair.state), now);
        replica.handle(Input::PeerUp(primary), now);
        Copy { group, primary, replica, now }
    }

    fn hears(&mut self, message: Message<'static>) {
        self.replica.handle(Input::Message(self.primary.node, message), self.now);
    }

    fn begins(&mut self, id: u64) {
        self.hears(Message::ResyncBegin(ResyncBegin { group: self.group, epoch: Epoch(1), id }));
    }

    fn end(&self, id: u64, seq: u64) -> ResyncEnd {
        let (group, position, time) = (self.group, at(1, seq), GroupTime(1));
        ResyncEnd { group, id, position, time, items: 0, digest: 0 }
    }

    /// A record comes; whether it is to be carried out.
    fn takes_record(&mut self, seq: u64) -> bool {
        let (mut bytes, mut applied) = (Vec::new(), false);
        let mut frame = FrameWriter::begin(&mut bytes, STREAM_SALT);
        let (group, epoch, time) = (self.group, Epoch(1), GroupTime(1));
        let header = Header { kind: Kind::Effects, group, epoch, seq: Seq(seq), time };
        frame.push(header, &[b"an effect"]).unwrap();
        frame.finish();
        let apply = |_: &Record<'_>| {
            applied = true;
            true
        };
        self.replica.append(self.primary.node, &bytes, self.now, apply).unwrap();
        applied
    }

    fn is_to_be_verified(&mut self) -> bool {
        let outputs: Vec<Output> = std::iter::from_fn(|| self.replica.poll()).collect();
        outputs.iter().any(|output| matches!(output, Output::Verify(_)))
    }
}

#[test]
fn what_a_node_had_counts_until_the_new_copy_is_whole() {
    let mut copy = Copy::at(7);
    let (group, primary, now) = (copy.group, copy.primary.node, copy.now);
    copy.begins(3);
    assert!(copy.replica.takes_chunk(primary, group, 3));
    assert_eq!(copy.replica.position(group), Some(at(1, 7)));
    let end = copy.end(3, 20);
    copy.hears(Message::ResyncEnd(end));
    assert_eq!(copy.replica.position(group), Some(at(1, 7)));
    copy.replica.handle(Input::Verified(end, true), now);
    assert_eq!(copy.replica.position(group), Some(at(1, 20)));
    // What had to go before is not there any more.
    copy.begins(4);
    copy.replica.void(group);
    assert_eq!(copy.replica.position(group), None);
    assert!(!copy.takes_record(21));
}

#[test]
fn a_copy_of_which_parts_are_missing_is_not_gone_on_with() {
    let mut copy = Copy::at(7);
    let (group, primary) = (copy.group, copy.primary);
    copy.begins(3);
    copy.replica.handle(Input::PeerDown(primary.node), copy.now);
    assert!(!copy.replica.takes_chunk(primary.node, group, 3));
    copy.replica.handle(Input::PeerUp(primary), copy.now);
    copy.hears(Message::ResyncEnd(copy.end(3, 20)));
    assert!(!copy.is_to_be_verified());
    assert!(copy.takes_record(8));
    assert_eq!(copy.replica.position(group), Some(at(1, 8)));
}

#[test]
fn who_gets_records_instead_of_a_copy_takes_them_and_keeps_them() {
    let mut copy = Copy::at(7);
    copy.begins(3);
    // The primary was asked again, and found the records.
    assert!(copy.takes_record(8) && copy.takes_record(9));
    copy.hears(Message::ResyncEnd(copy.end(3, 8)));
    assert!(!copy.is_to_be_verified());
    assert_eq!(copy.replica.position(copy.group), Some(at(1, 9)));
    assert!(copy.takes_record(10));
}

#[test]
fn who_lacks_items_asks_for_all_of_them_and_counts_meanwhile() {
    let mut copy = Copy::at(7);
    let (group, primary, now) = (copy.group, copy.primary, copy.now);
    let asked = |copy: &mut Copy| {
        let outputs: Vec<Output> = std::iter::from_fn(|| copy.replica.poll()).collect();
        outputs.into_iter().find_map(|output| match output {
            Output::Send(_, Message::Have(list)) => list.into_iter().find(|h| h.group == group),
            _ => None,
        })
    };
    copy.replica.lacks(group);
    assert_eq!(asked(&mut copy).expect("it asks").position, None);
    assert_eq!(copy.replica.position(group), Some(at(1, 7)));
    copy.begins(3);
    let end = copy.end(3, 20);
    copy.hears(Message::ResyncEnd(end));
    copy.replica.handle(Input::Verified(end, true), now);
    copy.replica.handle(Input::PeerDown(primary.node), now);
    copy.replica.handle(Input::PeerUp(primary), now);
    assert_eq!(asked(&mut copy).expect("it asks").position, Some(at(1, 20)));
}
