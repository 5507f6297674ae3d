//! The frames of a file one behind the other, through a bounded buffer; and what stands where they
//! end. Decides nothing: what an end means depends on the file's place in the log.

use crate::limits::RECOVERY_READ_BYTES;
use cluster::record::Salt;
use cluster::record::frame::{BODY_BYTES_MAX, Frame, FrameError, HEAD_BYTES};
use memchr::memmem;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

/// Files that are not cut are a multiple of this long.
const PAGE_BYTES: u64 = 4096;

/// Bytes of a frame's head that may be zeros on either side of what was written: all but one of its
/// length and its salt.
const HEAD_MARGIN: u64 = 7;

/// Goes through the frames of a file.
#[derive(Debug)]
pub struct FrameStream {
    file: File,
    salt: Salt,
    /// Where nothing more is read.
    end: u64,
    /// Where in the file `buffer[at]` stands.
    offset: u64,
    buffer: Vec<u8>,
    at: usize,
    filled: usize,
}

/// What stands where no frame counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing, zeros, or what an earlier use of the file left behind.
    Clean,
    /// Part of a frame of this file, or a damaged one.
    Broken {
        /// How long it is as far as it tells, within the file.
        bytes: u64,
    },
    /// A whole frame that this version does not understand.
    Unknown(FrameError),
}

impl FrameStream {
    /// Reads the frames with `salt` that stand in `file` from `offset` up to `end`.
    pub fn new(file: File, salt: Salt, offset: u64, end: u64) -> FrameStream {
        FrameStream { file, salt, end, offset, buffer: Vec::new(), at: 0, filled: 0 }
    }

    /// Where the next frame begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Goes on at `offset`.
    pub fn resume(&mut self, offset: u64, end: u64) {
        (self.offset, self.end, self.at, self.filled) = (offset, end, 0, 0);
    }

    /// The next frame and where it stands.
    ///
    /// # Errors
    /// When the file cannot be read; inside, when no frame stands here: what does instead.
    pub fn next_frame(&mut self) -> io::Result<Result<(u64, Frame<'_>), End>> {
        let rest = self.rest();
        self.fill(HEAD_BYTES.min(rest))?;
        if let Some(bytes) = self.announced().filter(|&bytes| bytes <= rest) {
            self.fill(bytes)?;
        }
        match Frame::read(&self.buffer[self.at..self.filled], self.salt) {
            Ok(frame) => {
                let (offset, bytes) = (self.offset, frame.bytes().len());
                self.at += bytes;
                self.offset += bytes as u64;
                Ok(Ok((offset, frame)))
            }
            Err(error) if error.is_intact() => Ok(Err(End::Unknown(error))),
            Err(_) => self.ending().map(Err),
        }
    }

    /// The next place from `from` on where a whole frame of this file stands, understood or not.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn find_frame(&mut self, from: u64) -> io::Result<Option<u64>> {
        let salt = self.salt.number().to_le_bytes();
        let finder = memmem::Finder::new(&salt);
        let mut from = from;
        let mut chunk = Vec::new();
        read_no_further(&self.file);
        while self.end.saturating_sub(from) > HEAD_BYTES as u64 {
            forget_pages(&self.file, from);
            let Some((data, hole)) = written_from(&self.file, from, self.end)? else {
                return Ok(None);
            };
            // The first bytes of a head may be zeros, and those before the data.
            from = from.max(data.saturating_sub(HEAD_MARGIN));
            let bytes = (hole - from).min(RECOVERY_READ_BYTES as u64);
            let is_last = from + bytes == hole;
            chunk.clear();
            // Its last bytes may be zeros too, and those of the hole. They are not read: a blank
            // page that the system holds in memory counts as written when it is asked again.
            chunk.resize((bytes + HEAD_MARGIN) as usize, 0);
            self.file.read_exact_at(&mut chunk[..bytes as usize], from)?;
            let searched = if is_last { chunk.len() } else { bytes as usize };
            for at in finder.find_iter(&chunk[..searched]).filter(|&at| at >= 4) {
                let start = from + at as u64 - 4;
                self.resume(start, self.end);
                if matches!(self.next_frame()?, Ok(_) | Err(End::Unknown(_))) {
                    return Ok(Some(start));
                }
            }
            // The last bytes may hold the beginning of a head whose salt is not read yet.
            from += if is_last { bytes } else { bytes - HEAD_MARGIN };
        }
        Ok(None)
    }

    fn rest(&self) -> usize {
        usize::try_from(self.end.saturating_sub(self.offset)).unwrap_or(usize::MAX)
    }

    /// Bytes of the frame at hand by its own account, if it is one of this file.
    fn announced(&self) -> Option<usize> {
        let head = self.buffer.get(self.at..self.filled)?;
        let length = length_of(head)?;
        (head.get(4..8)? == self.salt.number().to_le_bytes()).then_some(HEAD_BYTES + length)
    }

    /// Makes at least `bytes` of what stands here ready, all within the file.
    fn fill(&mut self, bytes: usize) -> io::Result<()> {
        if self.filled - self.at >= bytes {
            return Ok(());
        }
        self.buffer.copy_within(self.at..self.filled, 0);
        self.filled -= self.at;
        self.at = 0;
        let room = bytes.max(RECOVERY_READ_BYTES);
        if self.buffer.len() != room {
            self.buffer.truncate(room.max(self.filled));
            self.buffer.shrink_to_fit();
            self.buffer.resize(room.max(self.filled), 0);
        }
        let wanted = self.buffer.len().min(self.rest());
        while self.filled < wanted {
            let from = self.offset + self.filled as u64;
            match self.file.read_at(&mut self.buffer[self.filled..wanted], from) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(more) => self.filled += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What stands here, where no frame does.
    fn ending(&self) -> io::Result<End> {
        let rest = self.rest();
        let head = &self.buffer[self.at..self.filled];
        let head = &head[..head.len().min(HEAD_BYTES)];
        if head.iter().all(|&byte| byte == 0) {
            return Ok(End::Clean);
        }
        if head.len() < HEAD_BYTES {
            // A file of full length ends with the middle of something older, a cut one does not.
            let whole = self.end.is_multiple_of(PAGE_BYTES);
            return Ok(if whole { End::Clean } else { End::Broken { bytes: rest as u64 } });
        }
        let length = length_of(head);
        let bytes = length.map_or(HEAD_BYTES, |length| HEAD_BYTES + length).min(rest) as u64;
        if head[4..8] == self.salt.number().to_le_bytes() {
            return Ok(End::Broken { bytes });
        }
        // Another salt: left behind, unless only the salt is damaged.
        let ours = match length.filter(|length| HEAD_BYTES + length <= rest) {
            Some(length) => self.masked_crc(length)?.to_le_bytes() == head[8..12],
            None => false,
        };
        Ok(if ours { End::Broken { bytes } } else { End::Clean })
    }

    /// What the checksum in the head at hand is if it is of this file, read again in pieces.
    fn masked_crc(&self, length: usize) -> io::Result<u32> {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&(length as u32).to_le_bytes());
        let mut chunk = vec![0; length.min(RECOVERY_READ_BYTES)];
        let mut done = 0;
        while done < length {
            let bytes = chunk.len().min(length - done);
            let from = self.offset + (HEAD_BYTES + done) as u64;
            self.file.read_exact_at(&mut chunk[..bytes], from)?;
            hasher.update(&chunk[..bytes]);
            done += bytes;
        }
        Ok(hasher.finalize() ^ self.salt.number())
    }
}

/// Asks the system to read nothing of a file beyond what it is asked for: blank pages that it holds
/// in memory would count as data. Only a hint.
fn read_no_further(file: &File) {
    // SAFETY: a descriptor of our own; no memory.
    let _ = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_RANDOM) };
}

/// Asks the system to forget the pages of a file from `from` on: what it read ahead of the last
/// whole frame is mostly blank, and counts as data while it is in memory. Only a hint; what is not
/// on disk yet stays.
fn forget_pages(file: &File, from: u64) {
    let Ok(from) = libc::off_t::try_from(from) else { return };
    // SAFETY: a descriptor of our own; no memory.
    let _ = unsafe { libc::posix_fadvise(file.as_raw_fd(), from, 0, libc::POSIX_FADV_DONTNEED) };
}

/// From where to where, from `from` on and before `end`, the file holds something: what was never
/// written reads as zeros, and need not be read. `None`: nowhere.
fn written_from(file: &File, from: u64, end: u64) -> io::Result<Option<(u64, u64)>> {
    let Some(data) = sought(file, from, libc::SEEK_DATA, from)?.filter(|&data| data < end) else {
        return Ok(None);
    };
    let hole = sought(file, data, libc::SEEK_HOLE, end)?.unwrap_or(end);
    Ok(Some((data, hole.clamp(data + 1, end))))
}

/// Where `lseek` leads; `unknown` where the file system cannot tell. `None`: beyond all data.
fn sought(file: &File, from: u64, whence: i32, unknown: u64) -> io::Result<Option<u64>> {
    let Ok(at) = libc::off_t::try_from(from) else { return Ok(Some(unknown)) };
    // SAFETY: a descriptor of our own, whose place in the file nobody relies on; no memory.
    let found = unsafe { libc::lseek(file.as_raw_fd(), at, whence) };
    if let Ok(found) = u64::try_from(found) {
        return Ok(Some(found.max(from)));
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENXIO) => Ok(None),
        Some(libc::EINVAL | libc::EOPNOTSUPP | libc::ESPIPE) => Ok(Some(unknown)),
        _ => Err(error),
    }
}

/// The body's length that a head names, if a frame may be that long.
fn length_of(head: &[u8]) -> Option<usize> {
    let (length, _) = head.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    (2..=BODY_BYTES_MAX).contains(&length).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::{FrameStream, forget_pages, written_from};
    use crate::limits::WAL_BLOCK_BYTES;
    use crate::wal::files::{AlignedBytes, Files, SystemFiles};
    use cluster::record::frame::FrameWriter;
    use cluster::record::{Epoch, GroupTime, Header, Kind, Salt, Seq};
    use cluster::slot::Group;
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::path::Path;

    fn frame(salt: Salt, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut frame = FrameWriter::begin(&mut out, salt);
        let group = Group::new(3).expect("a group");
        let (kind, epoch, seq, time) = (Kind::Effects, Epoch(1), Seq(2), GroupTime(3));
        frame.push(Header { kind, group, epoch, seq, time }, &[payload]).expect("it fits");
        frame.finish();
        out
    }

    #[test]
    fn frames_are_found_behind_what_was_never_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let salt = Salt::new(0x0101_0101).expect("a salt");
        let mut short = frame(salt, b"short");
        let length = short.len();
        // Its length begins with a zero byte: 256 and the bytes of a head.
        let long = (200..256).map(|n| frame(salt, &vec![1; n])).find(|f| f[0] == 0);
        let long = long.expect("one is as long");
        const END: u64 = 64 << 20;
        for (at, bytes) in [(5 << 20, &short), ((9 << 20) + 4090, &short), (1 << 21, &long)] {
            let file = File::create(&path).expect("a file");
            file.set_len(END).expect("its length");
            file.write_all_at(&short, 0).expect("written");
            // The zero in front is not written, and stands where nothing was.
            let zeros = usize::from(bytes[0] == 0);
            file.write_all_at(&bytes[zeros..], at).expect("written");
            let file = File::open(&path).expect("the file");
            let mut stream = FrameStream::new(file, salt, 0, END);
            let place = at - zeros as u64;
            assert_eq!(stream.find_frame(0).expect("read"), Some(0));
            assert_eq!(stream.find_frame(1).expect("read"), Some(place));
            assert_eq!(stream.find_frame(place).expect("read"), Some(place));
            assert_eq!(stream.find_frame(place + 1).expect("read"), None);
        }
        // At the very end, and one byte short of it.
        for cut in [0, 1] {
            let file = File::create(&path).expect("a file");
            file.set_len(END).expect("its length");
            short.truncate(length - cut);
            file.write_all_at(&short, END - short.len() as u64).expect("written");
            let mut stream = FrameStream::new(File::open(&path).expect("the file"), salt, 0, END);
            let place = Some(END - length as u64).filter(|_| cut == 0);
            assert_eq!(stream.find_frame(0).expect("read"), place);
        }
    }

    /// Bytes that this thread has read, if the system counts them.
    fn bytes_read() -> Option<u64> {
        let counts = std::fs::read_to_string("/proc/thread-self/io").ok()?;
        counts.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse().ok())
    }

    /// A file with a frame and much space behind it that was never written, all of it in memory.
    fn blank_in_memory(path: &Path, frame: &[u8], bytes: u64) -> File {
        let mut file = SystemFiles.create(path, bytes).expect("a file");
        let mut block = AlignedBytes::zeroed(WAL_BLOCK_BYTES);
        block[..frame.len()].copy_from_slice(frame);
        file.write_at(&block, 0).expect("written");
        file.sync().expect("synced");
        assert_eq!(std::fs::read(path).expect("read").len() as u64, bytes);
        File::open(path).expect("the file")
    }

    #[test]
    fn blank_pages_in_memory_are_not_searched() {
        const BYTES: u64 = 16 << 20;
        let folder = tempfile::tempdir().expect("a folder");
        let salt = Salt::new(7).expect("a salt");
        let frame = frame(salt, b"the only one");
        let file = blank_in_memory(&folder.path().join("tried"), &frame, BYTES);
        forget_pages(&file, 1);
        let blank = WAL_BLOCK_BYTES as u64;
        if written_from(&file, blank, BYTES).expect("asked").is_some() {
            return; // This file system cannot tell.
        }
        let file = blank_in_memory(&folder.path().join("file"), &frame, BYTES);
        let mut stream = FrameStream::new(file, salt, 0, BYTES);
        let Some(before) = bytes_read() else { return };
        assert_eq!(stream.find_frame(1).expect("read"), None);
        let read = bytes_read().expect("as before") - before;
        assert!(read < BYTES / 2, "{read} of {BYTES} bytes");
    }
}
