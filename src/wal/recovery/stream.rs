//! The frames of a file one behind the other, through a bounded buffer; and what stands where they
//! end. Decides nothing: what an end means depends on the file's place in the log.

use crate::limits::RECOVERY_READ_BYTES;
use cluster::record::Salt;
use cluster::record::frame::{BODY_BYTES_MAX, Frame, FrameError, HEAD_BYTES};
use memchr::memmem;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Files that are not cut are a multiple of this long.
const PAGE_BYTES: u64 = 4096;

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
        let mut chunk = vec![0; RECOVERY_READ_BYTES];
        while self.end.saturating_sub(from) > HEAD_BYTES as u64 {
            let bytes = chunk.len().min((self.end - from) as usize);
            self.file.read_exact_at(&mut chunk[..bytes], from)?;
            for at in finder.find_iter(&chunk[..bytes]).filter(|&at| at >= 4) {
                let start = from + at as u64 - 4;
                self.resume(start, self.end);
                if matches!(self.next_frame()?, Ok(_) | Err(End::Unknown(_))) {
                    return Ok(Some(start));
                }
            }
            // The last seven bytes may hold the beginning of a head whose salt is not read yet.
            from += (bytes - 7) as u64;
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

/// The body's length that a head names, if a frame may be that long.
fn length_of(head: &[u8]) -> Option<usize> {
    let (length, _) = head.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    (2..=BODY_BYTES_MAX).contains(&length).then_some(length)
}
