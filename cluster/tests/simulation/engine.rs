//! A map as engine: groups of numbered keys, and what it logs, in pieces.

use cluster::control::Position;
use cluster::record::frame::OpenFrame;
use cluster::record::select::FrameParts;
use cluster::record::{Epoch, GroupTime, Header, Kind, Record, Seq};
use cluster::replication::{Digest, Digester, Mark, Piece};
use cluster::slot::Group;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A key's value, and the record that set it.
pub(crate) type Item = (u64, Seq);

#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    pub(crate) position: Position,
    pub(crate) items: BTreeMap<u64, Item>,
    digest: Digest,
    /// What is on the disk as a whole: the log goes on from here.
    pub(crate) floor: Position,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Engine {
    pub(crate) groups: BTreeMap<Group, Store>,
    pending: Vec<(Header, Vec<u8>)>,
}

/// A value that stands apart.
#[derive(Clone, Debug)]
pub(crate) struct Value(Arc<[u8]>);

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[derive(Debug)]
pub(crate) struct SimPiece {
    bytes: Vec<u8>,
    values: Vec<(usize, Value)>,
    marks: Vec<Mark>,
}

impl Piece for SimPiece {
    type Value = Value;

    fn bytes(&self) -> usize {
        self.bytes.len() + 8 * self.values.len()
    }

    fn marks(&self) -> &[Mark] {
        &self.marks
    }

    fn frames(&self) -> impl Iterator<Item = FrameParts<'_, Value>> {
        std::iter::once(FrameParts { bytes: &self.bytes, values: &self.values, offset: 0 })
    }
}

impl Store {
    fn insert(&mut self, key: u64, item: Item) {
        let hash =
            |value: u64| Digester::new(1).item(&key.to_le_bytes(), &value.to_le_bytes(), None);
        if let Some((before, _)) = self.items.insert(key, item) {
            self.digest.items -= 1;
            self.digest.sum = self.digest.sum.wrapping_sub(hash(before));
        }
        self.digest.add(hash(item.0));
    }
}

impl Engine {
    /// Executes a write of a key that was never written before.
    pub(crate) fn set(&mut self, group: Group, key: u64, value: u64) -> Position {
        let payload = [key.to_le_bytes(), value.to_le_bytes()].concat();
        let at = self.log(group, Kind::Effects, None, payload);
        self.groups.entry(group).or_default().insert(key, (value, at.seq));
        at
    }

    pub(crate) fn begin_epoch(&mut self, group: Group, epoch: Epoch) {
        let at = self.log(group, Kind::EpochStart, Some(epoch), Vec::new());
        self.groups.entry(group).or_default().floor = at;
    }

    fn log(
        &mut self,
        group: Group,
        kind: Kind,
        epoch: Option<Epoch>,
        payload: Vec<u8>,
    ) -> Position {
        let store = self.groups.entry(group).or_default();
        let epoch = epoch.unwrap_or(store.position.epoch);
        store.position = Position { epoch, seq: store.position.seq.next() };
        let Position { epoch, seq } = store.position;
        let header = Header { kind, group, epoch, seq, time: GroupTime(1) };
        self.pending.push((header, payload));
        store.position
    }

    /// What was logged since the last piece; the value of every other key stands apart.
    pub(crate) fn take_piece(&mut self) -> Option<SimPiece> {
        if self.pending.is_empty() {
            return None;
        }
        let (mut bytes, mut values, mut marks) = (Vec::new(), Vec::new(), Vec::<Mark>::new());
        let mut frame = OpenFrame::begin(&mut bytes);
        for (header, payload) in self.pending.drain(..) {
            frame.push(&mut bytes, &header, payload.len()).unwrap();
            if payload.len() == 16 && payload[0] % 2 == 1 {
                bytes.extend_from_slice(&payload[..8]);
                values.push((bytes.len(), Value(payload[8..].into())));
                frame.skip(8);
            } else {
                bytes.extend_from_slice(&payload);
            }
            match marks.iter_mut().find(|mark| mark.group == header.group) {
                Some(mark) => mark.last = header.seq,
                None => {
                    marks.push(Mark { group: header.group, first: header.seq, last: header.seq })
                }
            }
        }
        frame.close(&mut bytes).unwrap();
        Some(SimPiece { bytes, values, marks })
    }

    pub(crate) fn apply(&mut self, record: &Record<'_>) {
        let header = record.header;
        let store = self.groups.entry(header.group).or_default();
        store.position = Position { epoch: header.epoch, seq: header.seq };
        if header.kind == Kind::EpochStart {
            store.floor = store.position;
        } else {
            self.apply_effects(header.group, record.payload);
        }
    }

    /// Sixteen bytes an item in records, twenty-four in copies of a group.
    pub(crate) fn apply_effects(&mut self, group: Group, payload: &[u8]) {
        let store = self.groups.entry(group).or_default();
        let number = |at: usize| u64::from_le_bytes(payload[at..at + 8].try_into().unwrap());
        if payload.len() == 16 {
            store.insert(number(0), (number(8), store.position.seq));
        } else {
            for at in (0..payload.len()).step_by(24) {
                store.insert(number(at), (number(at + 8), Seq(number(at + 16))));
            }
        }
    }

    pub(crate) fn copy_of(&self, group: Group) -> Vec<u8> {
        let items = self.groups.get(&group).into_iter().flat_map(|store| &store.items);
        let bytes = |(key, (value, seq)): (&u64, &Item)| {
            [key.to_le_bytes(), value.to_le_bytes(), seq.0.to_le_bytes()].concat()
        };
        items.flat_map(bytes).collect()
    }

    pub(crate) fn digest(&self, group: Group) -> Digest {
        self.groups.get(&group).map(|store| store.digest).unwrap_or_default()
    }

    pub(crate) fn position(&self, group: Group) -> Position {
        self.groups.get(&group).map(|store| store.position).unwrap_or_default()
    }

    pub(crate) fn has(&self, group: Group, key: u64) -> bool {
        self.groups.get(&group).is_some_and(|store| store.items.contains_key(&key))
    }

    /// What a disk still has whose last `records` of each group were not written.
    pub(crate) fn cut(&mut self, records: u64) {
        self.pending.clear();
        // Whoever loses the beginning of a copy or of an epoch has nothing.
        let whole = |store: &Store| store.position.seq.0 >= store.floor.seq.0 + records;
        self.groups.retain(|_, store| records == 0 || whole(store));
        for store in self.groups.values_mut() {
            let seq = store.position.seq.0.saturating_sub(records);
            store.position.seq = Seq(seq);
            let items = std::mem::take(&mut store.items);
            store.digest = Digest::default();
            let kept = items.into_iter().filter(|(_, (_, at))| at.0 <= seq);
            kept.for_each(|(key, item)| store.insert(key, item));
        }
    }
}
