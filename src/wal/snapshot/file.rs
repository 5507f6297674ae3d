//! The file of a snapshot: frames, one behind the other, in whole blocks. Knows no engine.

use crate::limits::{WAL_BLOCK_BYTES, WAL_LANE_BUFFER_BYTES};
use crate::wal::files::{AlignedBytes, Files, LogFile};
use crate::wal::segment::{self, FileKind, HEADER_BYTES};
use cluster::record::frame::{HEAD_BYTES, OpenFrame, seal};
use cluster::record::{Epoch, GroupTime, Header, Kind, Salt, Seq};
use cluster::slot::Group;
use std::io;
use std::path::Path;

/// A snapshot being written.
pub(super) struct SnapshotFile {
    file: Box<dyn LogFile>,
    salt: Salt,
    buffer: AlignedBytes,
    /// Where in the file the buffer begins.
    base: u64,
    filled: usize,
    /// A frame up to its payload.
    head: Vec<u8>,
}

impl SnapshotFile {
    pub(super) fn create(
        files: &dyn Files,
        path: &Path,
        header: &segment::Header,
    ) -> io::Result<SnapshotFile> {
        let file = files.create(path, 0)?;
        let mut buffer = AlignedBytes::zeroed(WAL_LANE_BUFFER_BYTES);
        header.encode_as(FileKind::Snapshot, &mut buffer);
        let (salt, base, filled, head) = (header.salt, 0, HEADER_BYTES, Vec::new());
        Ok(SnapshotFile { file, salt, buffer, base, filled, head })
    }

    /// Writes a frame with one record, and says how long it is. The parts are the payload.
    pub(super) fn put(&mut self, header: &Header, parts: &[&[u8]]) -> io::Result<u64> {
        let mut head = std::mem::take(&mut self.head);
        head.clear();
        let payload_bytes = parts.iter().map(|part| part.len()).sum();
        let mut frame = OpenFrame::begin(&mut head);
        let pushed = frame.push(&mut head, header, payload_bytes);
        pushed.map_err(|_| io::Error::other("an item is longer than any frame"))?;
        frame.skip(payload_bytes);
        let bytes = frame.close(&mut head).unwrap_or(0);
        let (start, rest) = head.split_at_mut(HEAD_BYTES);
        let body = [&*rest].into_iter().chain(parts.iter().copied());
        seal(start, body, self.salt);
        self.append(&head)?;
        parts.iter().try_for_each(|part| self.append(part))?;
        self.head = head;
        Ok(bytes as u64)
    }

    /// Writes a record without payload.
    pub(super) fn control(&mut self, header: &Header) -> io::Result<u64> {
        self.put(header, &[])
    }

    /// Writes the last frame, and says how long the file is; all of it is then on disk, and a few
    /// zeros behind it. `log_from`: the segment from which on the log stays beside it, if known.
    pub(super) fn finish(mut self, log_from: u64) -> io::Result<u64> {
        let Some(group) = Group::new(0) else { unreachable!("there are groups") };
        let (epoch, seq, time) = (Epoch(0), Seq(log_from + 1), GroupTime(0));
        let at = self.position().to_le_bytes();
        self.put(&Header { kind: Kind::Synced, group, epoch, seq, time }, &[&at])?;
        let bytes = self.position();
        let padded = self.filled.next_multiple_of(WAL_BLOCK_BYTES);
        self.buffer[self.filled..padded].fill(0);
        if padded > 0 {
            self.file.write_at(&self.buffer[..padded], self.base)?;
        }
        self.file.sync()?;
        Ok(bytes)
    }

    fn position(&self) -> u64 {
        self.base + self.filled as u64
    }

    fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let fits = bytes.len().min(self.buffer.len() - self.filled);
            let (now, later) = bytes.split_at(fits);
            self.buffer[self.filled..self.filled + fits].copy_from_slice(now);
            self.filled += fits;
            bytes = later;
            if self.filled == self.buffer.len() {
                self.file.write_at(&self.buffer, self.base)?;
                self.base += self.filled as u64;
                self.filled = 0;
            }
        }
        Ok(())
    }
}
