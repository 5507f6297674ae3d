//! What this node's log said last, kept in memory so that it can be said again: pieces of the log,
//! shared with whoever else uses them, found by group and record. One for all groups of the node.
//! Knows neither who wants records nor what is in one.

use crate::record::Seq;
use crate::record::select::FrameParts;
use crate::slot::{GROUPS, Group};
use std::collections::VecDeque;
use std::sync::Arc;

/// A piece of the log as the engine made it.
pub trait Piece {
    /// What large values are: shared, cheap to clone.
    type Value: Clone + AsRef<[u8]>;

    /// Memory that it keeps.
    fn bytes(&self) -> usize;

    /// Of which groups it has which records.
    fn marks(&self) -> &[Mark];

    /// Its frames, in order.
    fn frames(&self) -> impl Iterator<Item = FrameParts<'_, Self::Value>>;
}

/// The records of one group in a piece: all from `first` to `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Which group.
    pub group: Group,
    /// The first of them.
    pub first: Seq,
    /// The last.
    pub last: Seq,
}

/// The newest pieces of a log. Every piece has a number, one more than the one before it.
#[derive(Debug)]
pub struct Backlog<P> {
    pieces: VecDeque<Kept<P>>,
    /// The number of the first piece kept.
    start: u64,
    bytes_pushed: u64,
    bytes_dropped: u64,
    bytes_max: u64,
    places: Box<[VecDeque<Place>]>,
}

#[derive(Debug)]
struct Kept<P> {
    piece: P,
    bytes_before: u64,
}

/// Where records of a group are.
#[derive(Clone, Copy, Debug)]
struct Place {
    first: Seq,
    last: Seq,
    piece: u64,
}

impl<T: Piece> Piece for Arc<T> {
    type Value = T::Value;

    fn bytes(&self) -> usize {
        (**self).bytes()
    }

    fn marks(&self) -> &[Mark] {
        (**self).marks()
    }

    fn frames(&self) -> impl Iterator<Item = FrameParts<'_, T::Value>> {
        (**self).frames()
    }
}

impl<P: Piece> Backlog<P> {
    /// An empty one that keeps `bytes_max`, or one piece where that is larger.
    pub fn new(bytes_max: u64) -> Backlog<P> {
        Backlog {
            pieces: VecDeque::new(),
            start: 0,
            bytes_pushed: 0,
            bytes_dropped: 0,
            bytes_max,
            places: (0..GROUPS).map(|_| VecDeque::new()).collect(),
        }
    }

    /// Adds the newest piece; what there is no room for any more goes, the oldest first: these.
    pub fn push(&mut self, piece: P) -> Vec<P> {
        let number = self.end();
        for mark in piece.marks() {
            let places = &mut self.places[usize::from(mark.group.number())];
            if places.back().is_some_and(|place| place.last.next() != mark.first) {
                places.clear();
            }
            places.push_back(Place { first: mark.first, last: mark.last, piece: number });
        }
        let bytes_before = self.bytes_pushed;
        self.bytes_pushed += piece.bytes() as u64;
        self.pieces.push_back(Kept { piece, bytes_before });
        let mut dropped = Vec::new();
        while self.bytes() > self.bytes_max && self.pieces.len() > 1 {
            dropped.extend(self.drop_oldest());
        }
        dropped
    }

    fn drop_oldest(&mut self) -> Option<P> {
        let dropped = self.pieces.pop_front()?.piece;
        for mark in dropped.marks() {
            let places = &mut self.places[usize::from(mark.group.number())];
            while places.front().is_some_and(|place| place.piece <= self.start) {
                places.pop_front();
            }
        }
        self.start += 1;
        self.bytes_dropped += dropped.bytes() as u64;
        Some(dropped)
    }

    /// The number of the oldest piece there is; [`Backlog::end`] without one.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The number of the next piece to come.
    pub fn end(&self) -> u64 {
        self.start + self.pieces.len() as u64
    }

    /// The piece with this number.
    pub fn get(&self, number: u64) -> Option<&P> {
        let at = usize::try_from(number.checked_sub(self.start)?).ok()?;
        self.pieces.get(at).map(|kept| &kept.piece)
    }

    /// The piece that holds this record of the group, when it and everything behind it is there.
    pub fn find(&self, group: Group, seq: Seq) -> Option<u64> {
        let places = &self.places[usize::from(group.number())];
        let at = places.partition_point(|place| place.last < seq);
        places.get(at).filter(|place| place.first <= seq).map(|place| place.piece)
    }

    /// The log of the group begins anew: what there is of it is not found any more.
    pub fn forget(&mut self, group: Group) {
        self.places[usize::from(group.number())].clear();
    }

    /// Memory of the pieces.
    pub fn bytes(&self) -> u64 {
        self.bytes_pushed - self.bytes_dropped
    }

    /// Memory of the pieces from this one on.
    pub fn bytes_from(&self, number: u64) -> u64 {
        let at = usize::try_from(number.saturating_sub(self.start)).unwrap_or(usize::MAX);
        self.pieces.get(at).map_or(0, |kept| self.bytes_pushed - kept.bytes_before)
    }

    /// Most memory it keeps.
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// It keeps so much from now on.
    pub fn set_bytes_max(&mut self, bytes_max: u64) {
        self.bytes_max = bytes_max;
    }
}
