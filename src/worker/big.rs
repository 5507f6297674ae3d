//! A large value on its way in: read straight into the buffer that will be stored, which takes
//! memory as far as it is filled, whatever length was announced.

use super::socket::Socket;
use crate::engine::BigBuffer;
use bytes::Bytes;
use std::io;
use std::task::{Poll, ready};

/// A value of which some bytes are there.
#[derive(Debug)]
pub(super) struct Big {
    buffer: BigBuffer,
    filled: usize,
}

impl Big {
    /// A value that begins with `payload`, of which so many bytes are taken. It is as long as the
    /// buffer.
    pub(super) fn begin(payload: &[u8], mut buffer: BigBuffer) -> (Big, usize) {
        let taken = payload.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&payload[..taken]);
        (Big { buffer, filled: taken }, taken)
    }

    /// Bytes that are there.
    pub(super) fn len(&self) -> usize {
        self.filled
    }

    /// Whether all of it is there.
    pub(super) fn is_whole(&self) -> bool {
        self.filled == self.buffer.len()
    }

    /// The whole value.
    pub(super) fn finish(self) -> Bytes {
        self.buffer.freeze()
    }

    /// Reads once; 0 when the client has no more.
    pub(super) fn read(&mut self, socket: &mut Socket) -> Poll<io::Result<usize>> {
        let n = ready!(socket.read(&mut self.buffer[self.filled..]))?;
        self.filled += n;
        Poll::Ready(Ok(n))
    }
}

#[cfg(test)]
mod tests {
    use super::Big;
    use crate::engine::{Engine, EngineOptions};

    #[test]
    fn announced_length_counts_for_nothing() {
        let engine = Engine::new(&EngineOptions::default());
        let (big, taken) = Big::begin(b"abc", engine.buffer(64 << 20).expect("memory"));
        assert_eq!((taken, big.len(), big.is_whole()), (3, 3, false));
        assert_eq!(engine.big_bytes(), 0);
    }

    #[test]
    fn a_whole_value_takes_no_more_than_its_length() {
        let engine = Engine::new(&EngineOptions::default());
        let (big, taken) = Big::begin(&[7; 20_010], engine.buffer(20_000).expect("memory"));
        assert_eq!((taken, big.is_whole()), (20_000, true));
        let value = big.finish();
        assert_eq!((&value[..], engine.big_bytes()), (&[7; 20_000][..], 20_480));
    }
}
