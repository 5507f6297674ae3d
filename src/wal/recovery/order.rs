//! In which order records count: per group by seq without gaps, per frame all or none. Pure: sees
//! headers and places, never a payload or a file.
//!
//! What holds exactly: a frame counts once each of its records is either next in its group (or
//! follows one of the same frame that is) or already covered; until then it waits, and what
//! follows in its groups waits with it. What still waits in the end, and what touches a group that
//! is broken, is refused whole: every group that it would have carried on is broken as well. A
//! snapshot that holds one half of a frame keeps that half.

use cluster::record::{Epoch, GroupTime, Header, Kind, Seq};
use cluster::slot::{GROUPS, Group};
use std::collections::{BTreeMap, BTreeSet};

/// How far a group has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Which primary wrote its last record.
    pub epoch: Epoch,
    /// Its last record.
    pub seq: Seq,
    /// The group's greatest time.
    pub time: GroupTime,
}

/// A record on offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offered {
    /// The record without its payload.
    pub header: Header,
    /// A later `Truncate` or `Drop` took it back.
    pub dead: bool,
}

/// What to do with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Apply those of its records that are marked.
    Apply,
    /// Nothing for now; [`Order::next_ready`] names its place when its turn comes.
    Wait,
    /// Nothing ever.
    Refuse,
}

/// Why a group ends before its log does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// A record is missing, in this group or in one that shares a frame with it.
    Gap,
    /// The log goes on from a snapshot that is not there.
    Base,
}

/// A group that ends before its log does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken<P> {
    /// Which.
    pub group: Group,
    /// Why.
    pub why: Break,
    /// Where the first frame stands that could not count.
    pub place: P,
}

#[derive(Clone, Copy, Debug)]
struct State<P> {
    standing: Standing,
    broken: Option<(Break, P)>,
    /// How many of the damaged places are known to have held nothing of the group.
    confirmed: u32,
}

/// Orders the frames of a log; `P` says where a frame stands.
#[derive(Debug)]
pub struct Order<P> {
    groups: Vec<State<P>>,
    waiting: BTreeMap<u64, (P, Vec<Offered>)>,
    /// What waits for the record before this one.
    ahead: BTreeSet<(Group, Seq, u64)>,
    ready: BTreeSet<u64>,
    waited: u64,
    waiting_max: usize,
    damages: u32,
    armed: u32,
    refused: u64,
}

enum Turn {
    Now,
    Covered,
    Later,
    Never(Break),
}

impl<P: Copy> Order<P> {
    /// Begins where the snapshots end; at most `waiting_max` frames wait.
    pub fn new(start: impl Fn(Group) -> Standing, waiting_max: usize) -> Order<P> {
        let begin = |group| State { standing: start(group), broken: None, confirmed: 0 };
        Order {
            groups: Group::all().map(begin).collect(),
            waiting: BTreeMap::new(),
            ahead: BTreeSet::new(),
            ready: BTreeSet::new(),
            waited: 0,
            waiting_max,
            damages: 0,
            armed: 0,
            refused: 0,
        }
    }

    /// A frame stands at `place`; `marks` becomes one mark a record: whether it is to be applied.
    pub fn offer(&mut self, place: P, records: &[Offered], marks: &mut Vec<bool>) -> Verdict {
        match self.try_frame(records, marks) {
            Turn::Now | Turn::Covered => Verdict::Apply,
            Turn::Never(why) => {
                self.refuse(place, records, why);
                Verdict::Refuse
            }
            Turn::Later => {
                self.hold(place, records);
                Verdict::Wait
            }
        }
    }

    /// A frame that waited and whose turn has come: where it stands; `marks` as in
    /// [`Order::offer`].
    pub fn next_ready(&mut self, marks: &mut Vec<bool>) -> Option<P> {
        while let Some(id) = self.ready.pop_first() {
            let Some((place, records)) = self.waiting.remove(&id) else { continue };
            self.unlink(id, &records);
            match self.try_frame(&records, marks) {
                Turn::Now | Turn::Covered => return Some(place),
                Turn::Never(why) => self.refuse(place, &records, why),
                Turn::Later => {
                    self.link(id, &records);
                    self.waiting.insert(id, (place, records));
                }
            }
        }
        None
    }

    /// Something unreadable stands here: whatever group it was of.
    pub fn damage(&mut self) {
        self.damages += 1;
    }

    /// A sync ended here. Records of one batch stand in any order, but not across this.
    pub fn synced(&mut self) {
        self.armed = self.damages;
    }

    /// How far `group` has come.
    pub fn standing(&self, group: Group) -> Standing {
        self.groups[usize::from(group.number())].standing
    }

    /// How many of the damaged places, the first ones, are known to have held nothing of `group`.
    pub fn confirmed(&self, group: Group) -> u32 {
        self.groups[usize::from(group.number())].confirmed
    }

    /// Whether `group` takes no further records.
    pub fn is_broken(&self, group: Group) -> bool {
        self.groups[usize::from(group.number())].broken.is_some()
    }

    /// Records that were refused.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Nothing more comes: gives up what waits and says which groups end early.
    pub fn finish(&mut self) -> Vec<Broken<P>> {
        while let Some((id, (place, records))) = self.waiting.pop_first() {
            self.unlink(id, &records);
            self.refuse(place, &records, Break::Gap);
        }
        let broken = |group: Group| {
            let (why, place) = self.groups[usize::from(group.number())].broken?;
            Some(Broken { group, why, place })
        };
        Group::all().filter_map(broken).collect()
    }

    /// Takes the whole frame, or leaves everything as it was.
    fn try_frame(&mut self, records: &[Offered], marks: &mut Vec<bool>) -> Turn {
        marks.clear();
        let mut undo = Vec::new();
        for offered in records {
            let at = usize::from(offered.header.group.number());
            let before = self.groups[at];
            let turn = if offered.dead { Turn::Covered } else { self.take(&offered.header) };
            match turn {
                Turn::Now | Turn::Covered => marks.push(matches!(turn, Turn::Now)),
                Turn::Later | Turn::Never(_) => {
                    undo.into_iter().rev().for_each(|(at, state)| self.groups[at] = state);
                    return self.worst(records, turn);
                }
            }
            if records.len() > 1 {
                undo.push((at, before));
            }
        }
        for (offered, _) in records.iter().zip(&*marks).filter(|(_, mark)| **mark) {
            self.wake(offered.header.group, offered.header.seq.next());
        }
        Turn::Now
    }

    /// A frame that would wait is refused at once if a group further on in it is broken.
    fn worst(&self, records: &[Offered], turn: Turn) -> Turn {
        let broken = |o: &&Offered| self.counts(o) && self.is_broken(o.header.group);
        let found = records.iter().find(broken);
        if found.is_some() && matches!(turn, Turn::Later) { Turn::Never(Break::Gap) } else { turn }
    }

    /// Whether a record is neither taken back nor covered.
    fn counts(&self, offered: &Offered) -> bool {
        let standing = self.standing(offered.header.group);
        let (kind, header) = (offered.header.kind, &offered.header);
        let covered = header.seq <= standing.seq || header.epoch < standing.epoch;
        !offered.dead && !covered && matches!(kind, Kind::Effects | Kind::EpochStart | Kind::Base)
    }

    fn take(&mut self, header: &Header) -> Turn {
        let armed = self.armed;
        let state = &mut self.groups[usize::from(header.group.number())];
        let standing = &mut state.standing;
        match header.kind {
            Kind::Effects | Kind::EpochStart => {}
            Kind::Base => {
                return match (header.epoch.cmp(&standing.epoch), header.seq <= standing.seq) {
                    (std::cmp::Ordering::Less, _) | (std::cmp::Ordering::Equal, true) => {
                        Turn::Covered
                    }
                    (std::cmp::Ordering::Greater, _) => Turn::Never(Break::Base),
                    (std::cmp::Ordering::Equal, false) => Turn::Later,
                };
            }
            Kind::Truncate | Kind::Drop | Kind::Synced => return Turn::Covered,
        }
        if header.epoch < standing.epoch {
            return Turn::Covered;
        }
        if header.seq <= standing.seq {
            state.confirmed = armed;
            return Turn::Covered;
        }
        if state.broken.is_some() {
            return Turn::Never(Break::Gap);
        }
        if header.seq != standing.seq.next() {
            return Turn::Later;
        }
        state.confirmed = armed;
        standing.epoch = header.epoch;
        standing.seq = header.seq;
        standing.time = standing.time.max(header.time);
        Turn::Now
    }

    fn hold(&mut self, place: P, records: &[Offered]) {
        let id = self.waited;
        self.waited += 1;
        self.link(id, records);
        self.waiting.insert(id, (place, records.to_vec()));
        if self.waiting.len() > self.waiting_max
            && let Some((id, (place, records))) = self.waiting.pop_first()
        {
            self.unlink(id, &records);
            self.refuse(place, &records, Break::Gap);
        }
    }

    fn refuse(&mut self, place: P, records: &[Offered], why: Break) {
        let mut whys = Some(why);
        for offered in records {
            if self.counts(offered) || matches!(why, Break::Base) {
                self.refused += 1;
                let group = offered.header.group;
                let state = &mut self.groups[usize::from(group.number())];
                if state.broken.is_none() {
                    state.broken = Some((whys.take().unwrap_or(Break::Gap), place));
                    self.wake(group, Seq(u64::MAX));
                }
            }
        }
    }

    /// The frames of `group` that wait with a record up to `seq` are to be looked at again.
    fn wake(&mut self, group: Group, seq: Seq) {
        let found = self.ahead.range((group, Seq(0), 0)..=(group, seq, u64::MAX));
        self.ready.extend(found.map(|(_, _, id)| *id));
    }

    fn link(&mut self, id: u64, records: &[Offered]) {
        self.ahead.extend(records.iter().map(|offered| key(&offered.header, id)));
    }

    fn unlink(&mut self, id: u64, records: &[Offered]) {
        records.iter().for_each(|offered| {
            self.ahead.remove(&key(&offered.header, id));
        });
    }
}

/// When a waiting record is looked at again: a base once what it covers is there.
fn key(header: &Header, id: u64) -> (Group, Seq, u64) {
    let seq = if header.kind == Kind::Base { header.seq.next() } else { header.seq };
    (header.group, seq, id)
}

/// Groups are numbered without holes; a state for each is little.
const _: () = assert!(GROUPS <= 4096);
