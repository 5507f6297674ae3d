//! A folder of the log on a file system whose calls may fail, and records to put into it, for the
//! tests of the lane.

use cluster::record::frame::{FrameWriter, stamp};
use cluster::record::log::{LogReader, Tail};
use cluster::record::{Epoch, GroupTime, Header, Kind, Salt, Seq};
use cluster::slot::Group;
use crabcache::wal::files::{Fault, FaultyFiles, Files, SystemFiles, read_all};
use crabcache::wal::lane::{Lane, LaneError, LaneOptions};
use crabcache::wal::segment::{self, HEADER_BYTES};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) const SEGMENT_BYTES: u64 = 32 * 1024;

pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) files: FaultyFiles,
}

impl World {
    pub(crate) fn new(plan: Vec<Fault>) -> World {
        let dir = tempfile::tempdir().expect("a directory");
        World { dir, files: FaultyFiles::new(Arc::new(SystemFiles), plan) }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.dir.path().join(segment::FOLDER)
    }

    pub(crate) fn open(&self, first_number: u64, salt: u32) -> Result<Lane, LaneError> {
        let mut salt = salt;
        let salts = move || {
            salt = salt.wrapping_mul(0x9e37_79b1).wrapping_add(12345);
            salt
        };
        let folder = self.folder();
        let segment_bytes = SEGMENT_BYTES;
        let options = LaneOptions { folder, first_number, segment_bytes, fill: true };
        Lane::open(Arc::new(self.files.clone()), options, Box::new(salts), Box::new(|| 1_000))
    }

    /// Segments in order, read past the faults.
    pub(crate) fn segments(&self) -> Vec<Read> {
        let listed = SystemFiles.list(&self.folder()).unwrap_or_default();
        let segments = listed.iter().filter(|file| segment::number_of(&file.name).is_some());
        segments.map(|file| Read::of(&self.folder().join(&file.name))).collect()
    }

    pub(crate) fn spares(&self) -> usize {
        let listed = SystemFiles.list(&self.folder()).expect("a folder");
        listed.iter().filter(|file| segment::is_spare(&file.name)).count()
    }
}

/// What stands in a segment.
pub(crate) struct Read {
    pub(crate) number: u64,
    pub(crate) seqs: Vec<u64>,
    /// Offset of each note, and what it says.
    pub(crate) notes: Vec<(u64, u64)>,
    pub(crate) tail: Tail,
}

impl Read {
    fn of(path: &Path) -> Read {
        let bytes = read_all(&SystemFiles, path).expect("a segment");
        let header = segment::Header::decode(&bytes).expect("a segment has its header");
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        assert_eq!(segment::number_of(name), Some(header.number));
        let mut log = LogReader::new(&bytes[HEADER_BYTES..], header.salt);
        let (mut seqs, mut notes) = (Vec::new(), Vec::new());
        let tail = loop {
            let at = (log.offset() + HEADER_BYTES) as u64;
            let frame = match log.next_frame() {
                Ok(frame) => frame,
                Err(tail) => break tail,
            };
            for record in frame.records() {
                if record.header.kind == Kind::Synced {
                    let bytes = record.payload.try_into().expect("eight bytes");
                    notes.push((at, u64::from_le_bytes(bytes)));
                } else {
                    assert_eq!(record.payload, payload(record.header.seq.0));
                    seqs.push(record.header.seq.0);
                }
            }
        };
        Read { number: header.number, seqs, notes, tail }
    }
}

fn payload_of(seq: u64, bytes: usize) -> Vec<u8> {
    (0..bytes as u64).map(|i| (seq * 31 + i * 7) as u8).collect()
}

pub(crate) fn payload(seq: u64) -> Vec<u8> {
    let sizes = [10, 700, 4096, 1, 9000, 300];
    payload_of(seq, if seq == BIG { 2_500_000 } else { sizes[seq as usize % sizes.len()] })
}

/// The number of a record that no segment holds.
pub(crate) const BIG: u64 = 1_000_000;

pub(crate) fn frame(seq: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let mut frame = FrameWriter::begin(&mut out, Salt::new(1).expect("a salt"));
    let (group, epoch, time) = (Group::new(3).expect("a group"), Epoch(1), GroupTime(5));
    let header = Header { kind: Kind::Effects, group, epoch, seq: Seq(seq), time };
    frame.push(header, &[&payload(seq)]).expect("it fits");
    frame.finish();
    out
}

pub(crate) fn put(lane: &mut Lane, seq: u64) -> Result<(), LaneError> {
    let mut bytes = frame(seq);
    let salt = lane.begin_frame(bytes.len())?;
    stamp(&mut bytes, salt).expect("a frame");
    // In two parts, as large values come.
    let (first, second) = bytes.split_at(bytes.len() / 3);
    lane.put(first)?;
    lane.put(second)
}

pub(crate) fn seqs(segments: &[Read]) -> Vec<u64> {
    segments.iter().flat_map(|segment| segment.seqs.clone()).collect()
}
