//! A large value on its way in: read straight into the buffer that will be stored. Grows by what
//! really came, never by what was announced, and ends without room to spare.

use crate::limits;
use bytes::{BufMut, Bytes};
use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// A value of `len` bytes, of which some are there.
pub(super) struct Big {
    bytes: Vec<u8>,
    len: usize,
}

impl Big {
    /// A value that begins with `payload`, of which so many bytes are taken.
    pub(super) fn begin(payload: &[u8], len: usize) -> (Big, usize) {
        let taken = payload.len().min(len);
        let mut big = Big { bytes: Vec::new(), len };
        big.bytes.reserve_exact(taken.max(len.min(limits::BIG_STEP_BYTES)));
        big.bytes.extend_from_slice(&payload[..taken]);
        (big, taken)
    }

    /// Bytes that are there.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether all of it is there.
    pub(super) fn is_whole(&self) -> bool {
        self.bytes.len() == self.len
    }

    /// The whole value.
    pub(super) fn finish(self) -> Bytes {
        Bytes::from(self.bytes)
    }

    /// Reads once; 0 when the client has no more.
    pub(super) fn poll_read(
        &mut self,
        stream: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.grow();
        let missing = self.len - self.bytes.len();
        let room = missing.min(self.bytes.capacity() - self.bytes.len());
        let mut into = (&mut self.bytes).limit(room);
        pin!(stream.read_buf(&mut into)).poll(cx)
    }

    /// Makes room for as much again as is there, but for a step at least and for no more than the
    /// value needs.
    fn grow(&mut self) {
        let have = self.bytes.len();
        if have == self.bytes.capacity() {
            let more = have.max(limits::BIG_STEP_BYTES).min(self.len - have);
            self.bytes.reserve_exact(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Big;
    use crate::limits::BIG_STEP_BYTES;

    #[test]
    fn announced_length_reserves_little() {
        let (mut big, taken) = Big::begin(b"abc", 64 << 20);
        assert_eq!(taken, 3);
        assert_eq!(big.bytes.capacity(), BIG_STEP_BYTES);
        big.bytes.resize(BIG_STEP_BYTES, 0);
        big.grow();
        assert!(big.bytes.capacity() <= 2 * BIG_STEP_BYTES);
    }

    #[test]
    fn a_whole_value_has_no_room_to_spare() {
        let (big, taken) = Big::begin(&[7; 20_010], 20_000);
        assert_eq!((taken, big.is_whole(), big.bytes.capacity()), (20_000, true, 20_000));
        assert_eq!(big.finish().len(), 20_000);
    }
}
