//! The bytes of one frame, written and read. Reading borrows: nothing is allocated, whatever length
//! a frame announces. Knows nothing of what stands before or after a frame; that is `log`.

use super::{Epoch, GroupTime, Header, Kind, Record, Salt, Seq, varint};
use crate::slot::Group;
use crc32fast::Hasher;
use std::iter::FusedIterator;

/// Bytes of a frame before its body.
pub const HEAD_BYTES: usize = 12;
/// Most bytes of a body: the largest value, twice.
pub const BODY_BYTES_MAX: usize = 1 << 30;
/// The format written, and the only one read.
pub const VERSION: u8 = 1;

const _: () = assert!(BODY_BYTES_MAX <= u32::MAX as usize);

/// The fields of a header that a flag stands for, bit 0 first: group, epoch, seq, time.
pub(super) type Fields = [u64; 4];

/// What the first record of a frame is coded against.
pub(super) const ORIGIN: Fields = [0, 0, 1, 0];
const FLAGS: u8 = 0b1111;
/// Bytes of a record up to its payload, at most.
const HEADER_BYTES_MAX: usize = 2 + 5 * varint::BYTES_MAX;

/// A frame being written at the end of a buffer. Dropped before [`FrameWriter::finish`], it leaves
/// the buffer as it found it.
#[derive(Debug)]
pub struct FrameWriter<'a> {
    out: &'a mut Vec<u8>,
    salt: Salt,
    open: OpenFrame,
}

/// A frame that grows at the end of somebody's buffer over many calls, large parts of its payloads
/// standing elsewhere. Closed, it has its length; [`seal`] gives it salt and checksum, which may
/// be done later and by somebody else.
#[derive(Clone, Copy, Debug)]
pub struct OpenFrame {
    start: usize,
    expected: Fields,
    elsewhere_bytes: usize,
    body_bytes_max: usize,
}

/// A record does not fit its frame any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// A whole frame: its checksum was right and every record in it is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    bytes: &'a [u8],
}

/// Why bytes are not a frame that this version reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// They end too early.
    Short {
        /// How many it takes to know more; at most [`HEAD_BYTES`] + [`BODY_BYTES_MAX`].
        bytes_min: usize,
    },
    /// They carry another salt, or none.
    Salt,
    /// No frame is that long, or that short.
    Length,
    /// They are not what was written.
    Checksum,
    /// Intact, of another format version.
    Version(u8),
    /// Intact, with a kind of record that this version does not know.
    Kind(u8),
    /// Intact, with a field that this version does not know.
    Flags(u8),
    /// Intact, but no version writes it so.
    Malformed,
}

impl FrameError {
    /// Whether a whole frame stands there, undamaged, that this version does not understand. It
    /// must stop whoever reads it: cutting it off would lose what was acknowledged.
    pub fn is_intact(self) -> bool {
        match self {
            FrameError::Short { .. }
            | FrameError::Salt
            | FrameError::Length
            | FrameError::Checksum => false,
            FrameError::Version(_)
            | FrameError::Kind(_)
            | FrameError::Flags(_)
            | FrameError::Malformed => true,
        }
    }
}

impl<'a> FrameWriter<'a> {
    /// Begins a frame behind what `out` holds.
    pub fn begin(out: &'a mut Vec<u8>, salt: Salt) -> FrameWriter<'a> {
        FrameWriter::begin_within(out, salt, BODY_BYTES_MAX)
    }

    fn begin_within(out: &'a mut Vec<u8>, salt: Salt, body_bytes_max: usize) -> FrameWriter<'a> {
        let open = OpenFrame { body_bytes_max, ..OpenFrame::begin(out) };
        FrameWriter { out, salt, open }
    }

    /// Adds a record; `payload` is the concatenation of its parts, so that a large value need not
    /// be copied twice.
    ///
    /// # Errors
    /// When the frame would grow too long; it is then as it was before.
    pub fn push(&mut self, header: Header, payload: &[&[u8]]) -> Result<(), TooLong> {
        let payload_bytes = payload.iter().fold(0usize, |n, part| n.saturating_add(part.len()));
        self.open.push(self.out, &header, payload_bytes)?;
        payload.iter().for_each(|part| self.out.extend_from_slice(part));
        Ok(())
    }

    /// Completes the frame and returns its bytes; without a record there is none, and 0.
    pub fn finish(mut self) -> usize {
        let Some(bytes) = self.open.close(self.out) else { return 0 };
        let (head, body) = self.out[self.open.start..].split_at_mut(HEAD_BYTES);
        seal(head, [&*body].into_iter(), self.salt);
        self.open.start = self.out.len();
        bytes
    }
}

impl OpenFrame {
    /// Begins a frame behind what `out` holds.
    pub fn begin(out: &mut Vec<u8>) -> OpenFrame {
        let start = out.len();
        out.extend_from_slice(&[0; HEAD_BYTES]);
        out.push(VERSION);
        let (expected, elsewhere_bytes) = (ORIGIN, 0);
        OpenFrame { start, expected, elsewhere_bytes, body_bytes_max: BODY_BYTES_MAX }
    }

    /// Adds a record up to its payload, of which the caller appends exactly `payload_bytes` to
    /// `out`, or says with [`OpenFrame::skip`] how many of them stand elsewhere.
    ///
    /// # Errors
    /// When the frame would grow too long; it is then as it was before.
    #[inline]
    pub fn push(
        &mut self,
        out: &mut Vec<u8>,
        header: &Header,
        payload_bytes: usize,
    ) -> Result<(), TooLong> {
        let mark = out.len();
        put_header(out, header, &self.expected, payload_bytes);
        if self.body_bytes(out).saturating_add(payload_bytes) > self.body_bytes_max {
            out.truncate(mark);
            return Err(TooLong);
        }
        self.expected = expected_after(header);
        Ok(())
    }

    /// So many bytes of the payload at hand stand elsewhere.
    pub fn skip(&mut self, bytes: usize) {
        self.elsewhere_bytes += bytes;
    }

    /// Where it begins in its buffer.
    pub fn start(&self) -> usize {
        self.start
    }

    /// Bytes of its body so far, those elsewhere included.
    #[inline]
    pub fn body_bytes(&self, out: &[u8]) -> usize {
        out.len() - self.start - HEAD_BYTES + self.elsewhere_bytes
    }

    /// Writes its length and returns the bytes of the whole frame; `None` without a record.
    pub fn close(&self, out: &mut [u8]) -> Option<usize> {
        let length = self.body_bytes(out);
        if length <= size_of_val(&VERSION) {
            return None;
        }
        out[self.start..self.start + 4].copy_from_slice(&(length as u32).to_le_bytes());
        Some(HEAD_BYTES + length)
    }
}

/// Gives a closed frame its salt and its checksum. `head` is its first [`HEAD_BYTES`], `body` all
/// behind them, in parts.
pub fn seal<'a>(head: &mut [u8], body: impl Iterator<Item = &'a [u8]>, salt: Salt) {
    let mut hasher = Hasher::new();
    hasher.update(&head[0..4]);
    body.for_each(|part| hasher.update(part));
    let crc = hasher.finalize() ^ salt.number();
    head[4..8].copy_from_slice(&salt.number().to_le_bytes());
    head[8..12].copy_from_slice(&crc.to_le_bytes());
}

impl Drop for FrameWriter<'_> {
    fn drop(&mut self) {
        self.out.truncate(self.open.start);
    }
}

/// Gives whole frames, one behind the other as [`FrameWriter`] left them, another salt.
///
/// # Errors
/// Where something else stands; the frames before that have the new salt.
pub fn stamp(frames: &mut [u8], salt: Salt) -> Result<(), FrameError> {
    let mut rest = frames;
    while !rest.is_empty() {
        let head = head(rest)?;
        let crc = head.crc ^ head.salt ^ salt.number();
        rest[4..8].copy_from_slice(&salt.number().to_le_bytes());
        rest[8..12].copy_from_slice(&crc.to_le_bytes());
        rest = &mut rest[head.frame_bytes..];
    }
    Ok(())
}

impl<'a> Frame<'a> {
    /// Reads the frame at the front of `bytes`.
    ///
    /// # Errors
    /// When what stands there is not a frame with this salt, or not one this version understands.
    pub fn read(bytes: &'a [u8], salt: Salt) -> Result<Frame<'a>, FrameError> {
        if bytes.get(4..8).is_some_and(|field| field != salt.number().to_le_bytes()) {
            return Err(FrameError::Salt);
        }
        let head = head(bytes)?;
        let frame = Frame { bytes: &bytes[..head.frame_bytes] };
        if checksum(head.length, frame.body()) ^ head.salt != head.crc {
            return Err(FrameError::Checksum);
        }
        if frame.body()[0] != VERSION {
            return Err(FrameError::Version(frame.body()[0]));
        }
        let mut records = frame.records();
        while !records.rest.is_empty() {
            records.step()?;
        }
        Ok(frame)
    }

    /// All its bytes, the salt included.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Its records in order; at least one.
    pub fn records(&self) -> Records<'a> {
        Records { rest: &self.body()[1..], expected: ORIGIN }
    }

    fn body(&self) -> &'a [u8] {
        &self.bytes[HEAD_BYTES..]
    }
}

/// The records of a frame.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    expected: Fields,
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        self.step().ok()
    }
}

impl FusedIterator for Records<'_> {}

impl<'a> Records<'a> {
    fn step(&mut self) -> Result<Record<'a>, FrameError> {
        let header = take_header(&mut self.rest, &self.expected)?;
        let payload = take_payload(&mut self.rest).ok_or(FrameError::Malformed)?;
        self.expected = expected_after(&header);
        Ok(Record { header, payload })
    }
}

struct Head {
    length: u32,
    salt: u32,
    crc: u32,
    frame_bytes: usize,
}

/// The head of the frame at the front of `bytes`, which hold all of that frame.
fn head(bytes: &[u8]) -> Result<Head, FrameError> {
    let Some((head, _)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        return Err(FrameError::Short { bytes_min: HEAD_BYTES });
    };
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *head;
    let (length, salt) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    let crc = u32::from_le_bytes([i, j, k, l]);
    if length as usize <= size_of_val(&VERSION) || length as usize > BODY_BYTES_MAX {
        return Err(FrameError::Length);
    }
    let frame_bytes = HEAD_BYTES + length as usize;
    if bytes.len() < frame_bytes {
        return Err(FrameError::Short { bytes_min: frame_bytes });
    }
    Ok(Head { length, salt, crc, frame_bytes })
}

fn checksum(length: u32, body: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&length.to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}

fn fields(header: &Header) -> Fields {
    [u64::from(header.group.number()), header.epoch.0, header.seq.0, header.time.0]
}

pub(super) fn expected_after(header: &Header) -> Fields {
    fields(&Header { seq: header.seq.next(), ..*header })
}

/// Appends a record up to its payload.
#[inline]
fn put_header(out: &mut Vec<u8>, header: &Header, expected: &Fields, payload_bytes: usize) {
    // In place: to copy what was just written byte by byte, a processor waits for those writes.
    let start = out.len();
    out.resize(start + HEADER_BYTES_MAX, 0);
    let bytes = &mut out[start..];
    bytes[0] = header.kind.byte();
    let mut end = 2;
    for (bit, (value, expected)) in fields(header).into_iter().zip(*expected).enumerate() {
        if value != expected {
            bytes[1] |= 1 << bit;
            end = varint::put_difference(bytes, end, value, expected);
        }
    }
    end = varint::put(bytes, end, payload_bytes as u64);
    out.truncate(start + end);
}

pub(super) fn take_header(bytes: &mut &[u8], expected: &Fields) -> Result<Header, FrameError> {
    let (&[kind, flags], rest) = bytes.split_first_chunk::<2>().ok_or(FrameError::Malformed)?;
    *bytes = rest;
    let kind = Kind::of_byte(kind).ok_or(FrameError::Kind(kind))?;
    if flags & !FLAGS != 0 {
        return Err(FrameError::Flags(flags));
    }
    let mut fields = *expected;
    for (bit, field) in fields.iter_mut().enumerate() {
        if flags & 1 << bit != 0 {
            *field = varint::take_difference(bytes, *field).ok_or(FrameError::Malformed)?;
        }
    }
    let [group, epoch, seq, time] = fields;
    let group = u16::try_from(group).ok().and_then(Group::new).ok_or(FrameError::Malformed)?;
    Ok(Header { kind, group, epoch: Epoch(epoch), seq: Seq(seq), time: GroupTime(time) })
}

fn take_payload<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(varint::take(bytes)?).ok()?;
    let (payload, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(payload)
}

#[cfg(test)]
mod tests {
    use super::{Frame, FrameError, FrameWriter, HEAD_BYTES, TooLong, VERSION, checksum, stamp};
    use crate::record::{Epoch, GroupTime, Header, Kind, Salt, Seq};
    use crate::slot::Group;

    fn salt(number: u32) -> Salt {
        Salt::new(number).unwrap()
    }

    fn header(group: u16, seq: u64) -> Header {
        Header {
            kind: Kind::Effects,
            group: Group::new(group).unwrap(),
            epoch: Epoch(3),
            seq: Seq(seq),
            time: GroupTime(1000),
        }
    }

    /// A frame with this body, its checksum right.
    fn sealed(body: &[u8]) -> Vec<u8> {
        let length = body.len() as u32;
        let crc = checksum(length, body) ^ 7;
        [&length.to_le_bytes(), &7u32.to_le_bytes(), &crc.to_le_bytes(), body].concat()
    }

    #[test]
    fn the_bytes_of_two_records() {
        let mut out = Vec::new();
        let mut frame = FrameWriter::begin(&mut out, salt(0x0403_0201));
        frame.push(header(2, 130), &[b"ab", b"c"]).unwrap();
        frame.push(Header { kind: Kind::Drop, ..header(2, 131) }, &[]).unwrap();
        assert_eq!(frame.finish(), out.len());
        let body = [
            1, /* Effects */ 1, 0b1111, /* group +2 */ 4, /* epoch +3 */ 6,
            /* seq +129 */ 0x82, 0x02, /* time +1000 */ 0xd0, 0x0f, 3, b'a', b'b', b'c',
            /* Drop */ 5, 0, 0,
        ];
        assert_eq!(out[..8], [body.len() as u8, 0, 0, 0, 1, 2, 3, 4]);
        assert_eq!(out[8..12], (0x5925_76eeu32 ^ 0x0403_0201).to_le_bytes());
        assert_eq!(out[12..], body);
    }

    #[test]
    fn a_frame_without_records_or_without_an_end_leaves_no_trace() {
        let mut out = b"before".to_vec();
        assert_eq!(FrameWriter::begin(&mut out, salt(7)).finish(), 0);
        FrameWriter::begin(&mut out, salt(7)).push(header(0, 1), &[b"lost"]).unwrap();
        assert_eq!(out, b"before");
    }

    #[test]
    fn what_does_not_fit_is_refused_and_the_rest_stands() {
        let mut out = Vec::new();
        let mut frame = FrameWriter::begin_within(&mut out, salt(7), 39);
        frame.push(header(0, 1), &[&[1; 10]]).unwrap();
        assert_eq!(frame.push(header(0, 2), &[&[2; 10], &[3; 10]]), Err(TooLong));
        frame.push(header(0, 2), &[&[2; 10]]).unwrap();
        frame.finish();
        let records = Frame::read(&out, salt(7)).unwrap().records();
        assert_eq!(records.map(|r| r.payload.to_vec()).collect::<Vec<_>>(), [[1; 10], [2; 10]]);
    }

    #[test]
    fn a_stamp_changes_the_owner_of_frames() {
        let mut out = Vec::new();
        for seq in 1..4 {
            let mut frame = FrameWriter::begin(&mut out, salt(7));
            frame.push(header(1, seq), &[b"x"]).unwrap();
            frame.finish();
        }
        stamp(&mut out, salt(8)).unwrap();
        let mut rest = out.as_slice();
        for _ in 1..4 {
            assert_eq!(Frame::read(rest, salt(7)), Err(FrameError::Salt));
            rest = &rest[Frame::read(rest, salt(8)).unwrap().bytes().len()..];
        }
        assert!(rest.is_empty());
        assert!(matches!(stamp(&mut [1, 2], salt(9)), Err(FrameError::Short { .. })));
    }

    #[test]
    fn a_new_length_and_salt_before_an_old_body_are_no_frame() {
        let write = |number, payload: &[u8]| {
            let mut out = Vec::new();
            let mut frame = FrameWriter::begin(&mut out, salt(number));
            frame.push(header(1, 1), &[payload]).unwrap();
            frame.finish();
            out
        };
        let (old, new) = (write(7, b"old"), write(8, b"new"));
        for cut in 5..new.len() {
            let torn = [&new[..cut], &old[cut..]].concat();
            assert!(Frame::read(&torn, salt(7)).is_err());
            assert!(Frame::read(&torn, salt(8)).is_err());
        }
    }

    #[test]
    fn every_error_by_its_name() {
        let good = sealed(&[VERSION, 1, 0, 2, b'h', b'i']);
        let read = |bytes: &[u8]| Frame::read(bytes, salt(7)).map(|_| ());
        assert_eq!(read(&good), Ok(()));
        assert_eq!(read(&good[..9]), Err(FrameError::Short { bytes_min: HEAD_BYTES }));
        assert_eq!(read(&good[..13]), Err(FrameError::Short { bytes_min: good.len() }));
        assert_eq!(read(&[0; 12]), Err(FrameError::Salt));
        assert_eq!(read(&[&[0, 0, 0, 0], &good[4..]].concat()), Err(FrameError::Length));
        assert_eq!(read(&[&[0xff; 4], &good[4..]].concat()), Err(FrameError::Length));
        assert_eq!(read(&[&good[..17], b"o"].concat()), Err(FrameError::Checksum));
        assert_eq!(read(&sealed(&[9, 1, 0, 0])), Err(FrameError::Version(9)));
        assert_eq!(read(&sealed(&[VERSION, 99, 0, 0])), Err(FrameError::Kind(99)));
        assert_eq!(read(&sealed(&[VERSION, 1, 0x10, 0])), Err(FrameError::Flags(0x10)));
        let malformed: [&[u8]; 5] = [
            &[VERSION, 1],
            &[VERSION, 1, 0, 9],
            &[VERSION, 1, 1, 0, 0],
            &[VERSION, 1, 1, 0x80, 0x10, 0],
            &[VERSION, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        ];
        for body in malformed {
            assert_eq!(read(&sealed(body)), Err(FrameError::Malformed), "{body:?}");
        }
    }
}
