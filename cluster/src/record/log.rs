//! Frames one behind the other, as a log file or a snapshot holds them: which of them count, and
//! what stands where they end. Decides nothing: who owns the file cuts it, or gives it up.

use super::Salt;
use super::frame::{Frame, FrameError, HEAD_BYTES};

/// Goes through the frames of a log from its beginning up to the first place without one.
#[derive(Clone, Debug)]
pub struct LogReader<'a> {
    bytes: &'a [u8],
    salt: Salt,
    offset: usize,
}

/// What stands behind the last frame that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Nothing: the log ends, or blank space follows.
    Clean,
    /// Part of a frame, or what an earlier use of the space left behind, and no whole frame
    /// anywhere behind it: writing was cut short. To be cut off.
    Torn,
    /// Damage, or a hole, with a whole frame behind it: what was once written is lost.
    Corrupt {
        /// Where the next whole frame begins, from the beginning of the log.
        next: usize,
    },
    /// A whole frame that this version does not understand.
    Unknown(FrameError),
}

impl<'a> LogReader<'a> {
    /// Reads `bytes`, of which frames with this salt count.
    pub fn new(bytes: &'a [u8], salt: Salt) -> LogReader<'a> {
        LogReader { bytes, salt, offset: 0 }
    }

    /// Where the next frame begins: how many bytes count so far.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The next frame that counts.
    ///
    /// # Errors
    /// When none stands here: what does instead.
    pub fn next_frame(&mut self) -> Result<Frame<'a>, Tail> {
        let rest = &self.bytes[self.offset..];
        match Frame::read(rest, self.salt) {
            Ok(frame) => {
                self.offset += frame.bytes().len();
                Ok(frame)
            }
            Err(error) if error.is_intact() => Err(Tail::Unknown(error)),
            Err(_) => Err(match self.next_whole() {
                Some(next) => Tail::Corrupt { next },
                None if rest.iter().take(HEAD_BYTES).all(|&byte| byte == 0) => Tail::Clean,
                None => Tail::Torn,
            }),
        }
    }

    /// Goes on at `offset`, which [`Tail::Corrupt`] named: what follows may still tell which
    /// groups lost something.
    pub fn resume(&mut self, offset: usize) {
        self.offset = offset.min(self.bytes.len());
    }

    /// The first place behind this one where a whole frame stands. Linear, since only bytes equal
    /// to the salt are tried, and a salt is random and never shown to a client.
    fn next_whole(&self) -> Option<usize> {
        let salt = self.salt.number().to_le_bytes();
        let behind = self.offset + 1..self.bytes.len().saturating_sub(HEAD_BYTES);
        behind.filter(|at| self.bytes[at + 4..at + 8] == salt).find(|&at| {
            Frame::read(&self.bytes[at..], self.salt).map_or_else(FrameError::is_intact, |_| true)
        })
    }
}
