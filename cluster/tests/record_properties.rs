//! Records through damage: a log cut, overwritten or flipped anywhere gives exactly the frames that
//! are whole, says what stands behind them, and never panics.

#![allow(clippy::unwrap_used)]

use cluster::record::frame::{Frame, FrameError, FrameWriter, OpenFrame};
use cluster::record::log::{LogReader, Tail};
use cluster::record::select::{FrameParts, Selection};
use cluster::record::{Epoch, GroupTime, Header, Kind, Salt, Seq};
use cluster::slot::{GROUPS, Group};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{prop_assert, prop_assert_eq, prop_assume, proptest};

type Owned = (Header, Vec<u8>);

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..4u64, any::<u64>(), Just(u64::MAX), Just(1 << 40)]
}

fn header() -> impl Strategy<Value = Header> {
    let kinds = [Kind::Effects, Kind::EpochStart, Kind::Base, Kind::Truncate, Kind::Drop];
    let kind = (0..kinds.len()).prop_map(move |i| kinds[i]);
    (kind, 0..GROUPS, number(), number(), number()).prop_map(|(kind, group, epoch, seq, time)| {
        let group = Group::new(group).unwrap();
        Header { kind, group, epoch: Epoch(epoch), seq: Seq(seq), time: GroupTime(time) }
    })
}

fn frame() -> impl Strategy<Value = Vec<Owned>> {
    vec((header(), vec(any::<u8>(), 0..40)), 1..4)
}

/// A record, where its payload is cut into parts, and whether it is wanted.
fn to_select() -> impl Strategy<Value = (Header, Vec<u8>, [u8; 2], bool)> {
    (header(), vec(any::<u8>(), 0..40), any::<[u8; 2]>(), any::<bool>())
}

fn salt() -> impl Strategy<Value = Salt> {
    (1..=u32::MAX).prop_map(|number| Salt::new(number).unwrap())
}

/// Writes a log; also where each of its frames ends.
fn written(frames: &[Vec<Owned>], salt: Salt) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = Vec::new();
    let ends = frames.iter().map(|records| {
        let mut writer = FrameWriter::begin(&mut bytes, salt);
        for (header, payload) in records {
            let (a, b) = payload.split_at(payload.len() / 2);
            writer.push(*header, &[a, b]).unwrap();
        }
        writer.finish();
        bytes.len()
    });
    let ends = ends.collect();
    (bytes, ends)
}

fn owned(frame: &Frame<'_>) -> Vec<Owned> {
    frame.records().map(|record| (record.header, record.payload.to_vec())).collect()
}

/// Reads a log to its end: its frames, how many bytes they take, and what stands behind.
fn read(bytes: &[u8], salt: Salt) -> (Vec<Vec<Owned>>, usize, Tail) {
    let mut reader = LogReader::new(bytes, salt);
    let mut frames = Vec::new();
    loop {
        match reader.next_frame() {
            Ok(frame) => frames.push(owned(&frame)),
            Err(tail) => return (frames, reader.offset(), tail),
        }
    }
}

/// What a log must give whose bytes from `whole` frames on are no frames any more.
fn check_cut(bytes: &[u8], salt: Salt, frames: &[Vec<Owned>], ends: &[usize], whole: usize) {
    let at = whole.checked_sub(1).map_or(0, |last| ends[last]);
    let blank = bytes[at..].iter().take(12).all(|&byte| byte == 0);
    let tail = if blank { Tail::Clean } else { Tail::Torn };
    assert_eq!(read(bytes, salt), (frames[..whole].to_vec(), at, tail));
}

proptest! {
    #[test]
    fn what_is_written_is_read(frames in vec(frame(), 0..6), salt in salt()) {
        let (bytes, _) = written(&frames, salt);
        prop_assert_eq!(read(&bytes, salt), (frames, bytes.len(), Tail::Clean));
    }

    /// A log cut at every byte, with nothing, blank space or an older log behind the cut.
    #[test]
    fn a_torn_tail_costs_the_torn_frame_only(
        frames in vec(frame(), 1..4),
        older in vec(frame(), 1..4),
        salts in (salt(), salt()),
    ) {
        let (bytes, ends) = written(&frames, salts.0);
        prop_assume!(salts.0 != salts.1);
        let (mut stale, _) = written(&older, salts.1);
        stale.resize(bytes.len().max(stale.len()), 0);
        for cut in 0..=bytes.len() {
            let (kept, lost) = bytes.split_at(cut);
            for behind in [&[][..], &vec![0; lost.len()], &stale[cut..]] {
                let damaged = [kept, behind].concat();
                let same = |end: &&usize| damaged.get(..**end) == Some(&bytes[..**end]);
                let whole = ends.iter().take_while(same).count();
                check_cut(&damaged, salts.0, &frames, &ends, whole);
            }
        }
    }

    /// One bit flipped at every byte: the frames before it, and the damage is never silent.
    #[test]
    fn a_flipped_bit_is_torn_at_the_end_and_corruption_before_it(
        frames in vec(frame(), 1..5),
        salt in salt(),
        bit in 0..8u32,
    ) {
        let (mut bytes, ends) = written(&frames, salt);
        for at in 0..bytes.len() {
            bytes[at] ^= 1 << bit;
            let hit = ends.iter().filter(|&&end| end <= at).count();
            let start = hit.checked_sub(1).map_or(0, |before| ends[before]);
            let last = hit + 1 == ends.len();
            let tail = if last { Tail::Torn } else { Tail::Corrupt { next: ends[hit] } };
            let expected = (frames[..hit].to_vec(), start, tail);
            prop_assert_eq!(read(&bytes, salt), expected, "byte {}", at);
            bytes[at] ^= 1 << bit;
        }
    }

    /// A hole of zeros where whole frames stood is corruption while frames follow.
    #[test]
    fn a_hole_is_corruption(frames in vec(frame(), 2..5), salt in salt()) {
        let (mut bytes, ends) = written(&frames, salt);
        bytes[..ends[0]].fill(0);
        let mut reader = LogReader::new(&bytes, salt);
        prop_assert_eq!(reader.next_frame(), Err(Tail::Corrupt { next: ends[0] }));
        reader.resume(ends[0]);
        for records in &frames[1..] {
            prop_assert_eq!(&owned(&reader.next_frame().unwrap()), records);
        }
        prop_assert_eq!(reader.next_frame(), Err(Tail::Clean));
    }

    /// Bytes from anywhere, half of them behind a right checksum: no panic, and what is understood
    /// is written again as the same bytes.
    #[test]
    fn any_bytes(
        body in vec(prop_oneof![0..16u8, any::<u8>()], 0..60),
        salt in salt(),
        sealed: bool,
    ) {
        let mut bytes = (body.len() as u32).to_le_bytes().to_vec();
        bytes.extend_from_slice(&salt.number().to_le_bytes());
        let checksum = crc32fast::hash(&[&bytes[..4], body.as_slice()].concat()) ^ salt.number();
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes.extend_from_slice(&body);
        let bytes = if sealed { bytes } else { body };
        read(&bytes, salt);
        match Frame::read(&bytes, salt) {
            Ok(frame) => prop_assert_eq!(written(&[owned(&frame)], salt).0, frame.bytes()),
            Err(error) => prop_assert!(sealed || !error.is_intact()),
        }
    }

    /// A frame cut short says how many bytes it takes to know more, never more than the frame.
    #[test]
    fn a_stream_learns_how_much_to_wait_for(records in frame(), salt in salt()) {
        let (bytes, _) = written(&[records], salt);
        for cut in 0..bytes.len() {
            let bytes_min = if cut < 12 { 12 } else { bytes.len() };
            prop_assert_eq!(Frame::read(&bytes[..cut], salt), Err(FrameError::Short { bytes_min }));
        }
    }

    /// Selected from several frames, with values that stand elsewhere: exactly what was wanted, in
    /// order, as one frame that anybody reads.
    #[test]
    fn what_is_selected_is_what_was_wanted(
        frames in vec(vec(to_select(), 1..4), 1..4),
        salt in salt(),
    ) {
        let mut selection = Selection::<Vec<u8>>::default();
        let mut open = selection.begin();
        let mut wanted: Vec<Owned> = Vec::new();
        for records in &frames {
            let (mut bytes, mut values) = (Vec::new(), Vec::new());
            let mut frame = OpenFrame::begin(&mut bytes);
            for (header, payload, cuts, _) in records {
                let [a, b] = cuts.map(|cut| usize::from(cut) % (payload.len() + 1));
                let (a, b) = (a.min(b), a.max(b));
                frame.push(&mut bytes, header, payload.len()).unwrap();
                bytes.extend_from_slice(&payload[..a]);
                if a < b {
                    values.push((bytes.len(), payload[a..b].to_vec()));
                    frame.skip(b - a);
                }
                bytes.extend_from_slice(&payload[b..]);
            }
            frame.close(&mut bytes).unwrap();
            let parts = FrameParts { bytes: &bytes, values: &values, offset: 0 };
            let mut flags = records.iter().map(|(.., is_wanted)| *is_wanted);
            let taken = selection.take(&mut open, &parts, |_| flags.next().unwrap());
            let here = records.iter().filter(|(.., is_wanted)| *is_wanted);
            let here: Vec<Owned> = here.map(|(h, payload, ..)| (*h, payload.clone())).collect();
            prop_assert_eq!(taken, Ok(here.len()));
            wanted.extend(here);
        }
        let bytes = selection.finish(open, salt);
        let all: Vec<u8> = selection.parts().flatten().copied().collect();
        prop_assert_eq!(all.len(), bytes);
        let frame = (!all.is_empty()).then(|| Frame::read(&all, salt).unwrap());
        let read = frame.map(|frame| owned(&frame)).unwrap_or_default();
        prop_assert_eq!(read, wanted);
    }
}
