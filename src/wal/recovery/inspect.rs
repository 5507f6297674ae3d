//! One file as text for people: every frame and record, and where it ends. Reads only.

use super::damage::RecoveryError;
use super::header::{FileHeader, NoHeader, Sort};
use super::stream::{End, FrameStream};
use cluster::record::Record;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Prints the frames and records of a log or snapshot file.
///
/// # Errors
/// When the file cannot be read, or `out` not be written.
pub fn inspect(path: &Path, out: &mut dyn Write) -> Result<(), RecoveryError> {
    inspect_io(path, out).map_err(|error| RecoveryError::io(path, error))
}

fn inspect_io(path: &Path, out: &mut dyn Write) -> io::Result<()> {
    let snapshot = path.extension().is_some_and(|ending| ending == Sort::Snapshot.ending());
    let sort = if snapshot { Sort::Snapshot } else { Sort::Segment };
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let header = match FileHeader::read(&file, sort)? {
        Ok(header) => header,
        Err(NoHeader::Blank) => return writeln!(out, "no header: never begun"),
        Err(NoHeader::Version(version)) => return writeln!(out, "unknown version {version}"),
        Err(NoHeader::Damaged) => return writeln!(out, "the header is damaged"),
    };
    let FileHeader { salt, number, created_ms } = header;
    writeln!(out, "{sort:?} {number}, salt {:#010x}, begun {created_ms}", salt.number())?;
    let mut stream = FrameStream::new(file, salt, super::header::HEADER_BYTES, bytes);
    loop {
        match stream.next_frame()? {
            Ok((at, frame)) => {
                writeln!(out, "{at} frame of {} bytes", frame.bytes().len())?;
                frame.records().try_for_each(|record| print(&record, out))?;
                continue;
            }
            Err(End::Clean) => writeln!(out, "{} end", stream.offset())?,
            Err(End::Broken { bytes }) => {
                writeln!(out, "{} broken frame of about {bytes} bytes", stream.offset())?;
            }
            Err(End::Unknown(error)) => {
                return writeln!(out, "{} unknown: {error:?}", stream.offset());
            }
        }
        match stream.find_frame(stream.offset() + 1)? {
            Some(next) => {
                writeln!(out, "{next} whole frames again")?;
                stream.resume(next, bytes);
            }
            None => return Ok(()),
        }
    }
}

fn print(record: &Record<'_>, out: &mut dyn Write) -> io::Result<()> {
    let Record { header, payload } = record;
    let (kind, group, epoch) = (header.kind, header.group.number(), header.epoch.0);
    let (seq, time, bytes) = (header.seq.0, header.time.0, payload.len());
    writeln!(out, "  {kind:?} group {group} epoch {epoch} seq {seq} time {time} bytes {bytes}")
}
