//! Frames of records: any body under a right checksum is read and written again as it was; a log
//! with one damaged byte is read up to the frame that holds it.

#![no_main]

use cluster::record::frame::{Frame, FrameWriter, HEAD_BYTES};
use cluster::record::log::LogReader;
use cluster::record::{Header, Record, Salt};
use libfuzzer_sys::fuzz_target;

// The first two bytes are where the damage is, the third is what is done there; behind each
// length follows a body.
fuzz_target!(|input: &[u8]| {
    let Some(salt) = Salt::new(0x5eed_5a17) else { return };
    let _ = Frame::read(input, salt);
    let Some(([at, above, damage], mut rest)) = input.split_first_chunk::<3>() else { return };
    let mut log = Vec::new();
    let mut ends = Vec::new();
    while let Some((&len, behind)) = rest.split_first() {
        let (body, behind) = behind.split_at(behind.len().min(usize::from(len)));
        rest = behind;
        let bytes = framed(body, salt);
        if let Ok(frame) = Frame::read(&bytes, salt) {
            assert_eq!(frame.bytes(), bytes);
            assert_eq!(written(frame.records(), salt), bytes, "written in another way");
            log.extend_from_slice(&bytes);
            ends.push(log.len());
        }
    }
    assert_eq!(frames(&log, salt), ends);
    if !log.is_empty() && *damage != 0 {
        let at = usize::from(u16::from_le_bytes([*at, *above])) % log.len();
        log[at] ^= damage;
        ends.retain(|end| *end <= at);
        assert_eq!(frames(&log, salt), ends, "a damaged frame was read");
    }
});

fn framed(body: &[u8], salt: Salt) -> Vec<u8> {
    let length = (body.len() as u32).to_le_bytes();
    let crc = crc32fast::hash(&[&length, body].concat()) ^ salt.number();
    let bytes = [&length, &salt.number().to_le_bytes(), &crc.to_le_bytes(), body].concat();
    assert_eq!(bytes.len(), HEAD_BYTES + body.len());
    bytes
}

fn written<'a>(records: impl Iterator<Item = Record<'a>>, salt: Salt) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = FrameWriter::begin(&mut out, salt);
    for Record { header, payload } in records {
        let header: Header = header;
        let (head, tail) = payload.split_at(payload.len() / 2);
        assert!(writer.push(header, &[head, tail]).is_ok());
    }
    writer.finish();
    out
}

/// Where the frames that count end.
fn frames(log: &[u8], salt: Salt) -> Vec<usize> {
    let mut reader = LogReader::new(log, salt);
    let mut ends = Vec::new();
    while reader.next_frame().is_ok() {
        ends.push(reader.offset());
    }
    ends
}
