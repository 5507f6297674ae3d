//! A large value on its way in: read straight into the buffer that will be stored, which takes
//! memory as far as it is filled, whatever length was announced. Before it is filled further, room
//! is made; where there is none, the rest of the value is skipped.

use super::socket::Socket;
use crate::command::Time;
use crate::engine::{BigBuffer, Engine};
use crate::limits::INCOMING_STEP_BYTES;
use bytes::Bytes;
use std::io;
use std::task::{Poll, ready};

/// A value of which some bytes are there.
#[derive(Debug)]
pub(super) enum Big {
    /// It will be stored.
    Kept {
        buffer: BigBuffer,
        filled: usize,
        /// Bytes of the values of the same command that came before.
        before: u64,
    },
    /// There was no room for it: so many bytes are still to come.
    Skipped { left: usize },
}

impl Big {
    /// A value as long as the buffer, behind so many bytes of others of its command. It begins with
    /// `payload`, of which so many bytes are taken.
    pub(super) fn begin(
        engine: &Engine,
        payload: &[u8],
        mut buffer: BigBuffer,
        before: u64,
        now: Time,
    ) -> (Big, usize) {
        let taken = payload.len().min(buffer.len());
        if !engine.claim(&mut buffer, taken, before, now) {
            return (Big::Skipped { left: buffer.len() - taken }, taken);
        }
        buffer[..taken].copy_from_slice(&payload[..taken]);
        (Big::Kept { buffer, filled: taken, before }, taken)
    }

    /// A value of `len` bytes for which there is no room, and how much of `payload` belongs to it.
    pub(super) fn skip(payload: &[u8], len: usize) -> (Big, usize) {
        let taken = payload.len().min(len);
        (Big::Skipped { left: len - taken }, taken)
    }

    /// Bytes that are there.
    pub(super) fn len(&self) -> usize {
        match self {
            Big::Kept { filled, .. } => *filled,
            Big::Skipped { .. } => 0,
        }
    }

    /// Whether nothing more of it is to come.
    pub(super) fn is_whole(&self) -> bool {
        match self {
            Big::Kept { buffer, filled, .. } => *filled == buffer.len(),
            Big::Skipped { left } => *left == 0,
        }
    }

    /// The whole value; `None` if it was skipped.
    pub(super) fn finish(self) -> Option<Bytes> {
        match self {
            Big::Kept { buffer, .. } => Some(buffer.freeze()),
            Big::Skipped { .. } => None,
        }
    }

    /// Makes room for more of it, as much again as is there. Without room the rest is skipped.
    pub(super) fn make_room(&mut self, engine: &Engine, now: Time) {
        let Big::Kept { buffer, filled, before } = self else { return };
        if *filled < buffer.claimed() {
            return;
        }
        let more = (*filled).clamp(1, INCOMING_STEP_BYTES).min(buffer.len() - *filled);
        if !engine.claim(buffer, *filled + more, *before, now) {
            *self = Big::Skipped { left: buffer.len() - *filled };
        }
    }

    /// Reads once, what is skipped into `waste`; 0 when the client has no more.
    pub(super) fn read(
        &mut self,
        socket: &mut Socket,
        waste: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Big::Kept { buffer, filled, .. } => {
                let claimed = buffer.claimed();
                let n = ready!(socket.read(&mut buffer[*filled..claimed]))?;
                *filled += n;
                Poll::Ready(Ok(n))
            }
            Big::Skipped { left } => {
                let most = waste.len().min(*left);
                let n = ready!(socket.read(&mut waste[..most]))?;
                *left -= n;
                Poll::Ready(Ok(n))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Big;
    use crate::command::Time;
    use crate::engine::{Engine, EngineOptions, Policy};

    #[test]
    fn announced_length_counts_for_nothing() {
        let engine = Engine::new(&EngineOptions::default());
        let buffer = engine.buffer(64 << 20).expect("memory");
        let (mut big, taken) = Big::begin(&engine, b"abc", buffer, 0, Time(0));
        assert_eq!((taken, big.len(), big.is_whole()), (3, 3, false));
        assert_eq!((engine.big_bytes(), engine.loose_bytes()), (0, 4096));
        big.make_room(&engine, Time(0));
        assert_eq!(engine.loose_bytes(), 4096);
    }

    #[test]
    fn a_whole_value_takes_no_more_than_its_length() {
        let engine = Engine::new(&EngineOptions::default());
        let buffer = engine.buffer(20_000).expect("memory");
        let (big, taken) = Big::begin(&engine, &[7; 20_010], buffer, 0, Time(0));
        assert_eq!((taken, big.is_whole()), (20_000, true));
        let value = big.finish().expect("it was kept");
        assert_eq!((&value[..], engine.big_bytes()), (&[7; 20_000][..], 20_480));
    }

    #[test]
    fn without_room_the_rest_is_skipped() {
        let max_memory = Some(8 << 20);
        let policy = Policy::NoEviction;
        let engine =
            Engine::new(&EngineOptions { max_memory, policy, shards: 1, ..Default::default() });
        let whole = |engine: &Engine| engine.buffer(6 << 20).expect("memory");
        let half = vec![7; 3 << 20];
        let (mut first, _) = Big::begin(&engine, &half, whole(&engine), 0, Time(0));
        assert_eq!(engine.loose_bytes(), 3 << 20);
        let (second, taken) = Big::begin(&engine, &half, whole(&engine), 0, Time(0));
        assert_eq!((taken, second.len(), second.is_whole()), (3 << 20, 0, false));
        assert!(matches!(second, Big::Skipped { left } if left == 3 << 20));
        first.make_room(&engine, Time(0));
        assert_eq!(first.len(), 3 << 20);
        drop(first);
        assert_eq!(engine.loose_bytes(), 0);
        let (third, _) = Big::begin(&engine, &half, whole(&engine), 0, Time(0));
        assert_eq!(third.len(), 3 << 20);
    }
}
