//! Messages in a stream of bytes: a length of four bytes, least first, then so many bytes. Pure.
//! Memory is taken for what has come, never for what was announced.

use super::PeerError;
use crate::limits;
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;

/// Bytes of a length.
pub(super) const LENGTH_BYTES: usize = 4;

/// The length that stands before a message.
///
/// # Errors
/// When it is longer than `max`.
pub(super) fn length(bytes: usize, max: usize) -> Result<[u8; LENGTH_BYTES], PeerError> {
    match u32::try_from(bytes) {
        Ok(length) if bytes <= max => Ok(length.to_le_bytes()),
        _ => Err(PeerError::TooLong { bytes, max }),
    }
}

/// Cuts a stream of bytes, which comes in any pieces, into messages.
///
/// A short message that lies within one piece is not copied: it keeps the memory of the packets
/// it came with alive as long as it lives.
#[derive(Debug)]
pub(super) struct Splitter {
    bytes_max: usize,
    pieces: VecDeque<Bytes>,
    /// The beginning of a message, its length included, that lies in several pieces.
    begun: BytesMut,
}

impl Splitter {
    /// For messages of up to `bytes_max` bytes.
    pub(super) fn new(bytes_max: usize) -> Splitter {
        Splitter { bytes_max, pieces: VecDeque::new(), begun: BytesMut::new() }
    }

    /// Takes what has come.
    pub(super) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.pieces.push_back(piece);
        }
    }

    /// Whether the stream may end here: all that has come were whole messages.
    pub(super) fn is_between(&self) -> bool {
        self.begun.is_empty() && self.pieces.is_empty()
    }

    /// The next message, if it is there.
    ///
    /// # Errors
    /// When one is announced that is too long; nothing good comes after that.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, PeerError> {
        if self.begun.is_empty()
            && let Some(whole) = self.whole()?
        {
            return Ok(Some(whole));
        }
        loop {
            let wanted = self.wanted()?;
            if self.begun.len() >= LENGTH_BYTES && self.begun.len() == wanted {
                let mut message = std::mem::take(&mut self.begun).freeze();
                message.advance(LENGTH_BYTES);
                return Ok(Some(message));
            }
            let Some(piece) = self.pieces.front_mut() else { return Ok(None) };
            let part = piece.split_to(piece.len().min(wanted - self.begun.len()));
            if piece.is_empty() {
                self.pieces.pop_front();
            }
            self.make_room(part.len(), wanted);
            self.begun.extend_from_slice(&part);
        }
    }

    /// The message that lies whole in the first piece.
    fn whole(&mut self) -> Result<Option<Bytes>, PeerError> {
        let Some(piece) = self.pieces.front_mut() else { return Ok(None) };
        let Some(head) = piece.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let bytes = announced(head, self.bytes_max)?;
        if piece.len() < LENGTH_BYTES + bytes {
            return Ok(None);
        }
        piece.advance(LENGTH_BYTES);
        let message = piece.split_to(bytes);
        if piece.is_empty() {
            self.pieces.pop_front();
        }
        Ok(Some(message))
    }

    /// How long what has begun is to become: a length, or with it the message.
    fn wanted(&self) -> Result<usize, PeerError> {
        match self.begun.first_chunk::<LENGTH_BYTES>() {
            Some(head) => Ok(LENGTH_BYTES + announced(head, self.bytes_max)?),
            None => Ok(LENGTH_BYTES),
        }
    }

    /// Doubles the room when it is used up, but not beyond what is wanted.
    fn make_room(&mut self, more: usize, wanted: usize) {
        let (used, room) = (self.begun.len(), self.begun.capacity());
        if used + more > room {
            let target = (2 * room).max(limits::PEER_PIECE_BYTES).max(used + more).min(wanted);
            self.begun.reserve(target - used);
        }
    }
}

fn announced(head: &[u8; LENGTH_BYTES], max: usize) -> Result<usize, PeerError> {
    let bytes = u32::from_le_bytes(*head) as usize;
    if bytes > max { Err(PeerError::TooLong { bytes, max }) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::{LENGTH_BYTES, Splitter, length};
    use crate::peer::PeerError;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
        let head = |m: &Vec<u8>| length(m.len(), usize::MAX).unwrap();
        messages.iter().flat_map(|m| [&head(m)[..], m].concat()).collect()
    }

    fn all(splitter: &mut Splitter) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| splitter.next().unwrap()).map(|m| m.to_vec()).collect()
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
            cuts in prop::collection::vec(1..200_usize, 1..50),
        ) {
            let bytes = Bytes::from(framed(&messages));
            let mut splitter = Splitter::new(300);
            let (mut rest, mut cuts, mut found) = (bytes, cuts.iter().cycle(), Vec::new());
            while !rest.is_empty() {
                let cut = (*cuts.next().unwrap()).min(rest.len());
                splitter.push(rest.split_to(cut));
                if cut % 3 != 0 {
                    found.extend(all(&mut splitter));
                }
            }
            found.extend(all(&mut splitter));
            prop_assert_eq!(found, messages);
            prop_assert!(splitter.is_between());
        }
    }

    #[test]
    fn what_is_announced_too_long_is_refused_before_it_comes() {
        let too_long = PeerError::TooLong { bytes: 101, max: 100 };
        let mut splitter = Splitter::new(100);
        splitter.push(Bytes::copy_from_slice(&101_u32.to_le_bytes()));
        assert_eq!(splitter.next(), Err(too_long.clone()));
        let mut splitter = Splitter::new(100);
        for byte in 101_u32.to_le_bytes() {
            assert_eq!(splitter.next(), Ok(None));
            splitter.push(Bytes::copy_from_slice(&[byte]));
        }
        assert_eq!(splitter.next(), Err(too_long.clone()));
        assert_eq!(length(101, 100), Err(too_long));
        assert_eq!(length(100, 100), Ok([100, 0, 0, 0]));
        assert!(length(1 << 33, usize::MAX).is_err());
    }

    #[test]
    fn an_announcement_takes_no_memory() {
        let mut splitter = Splitter::new(usize::MAX);
        splitter.push(Bytes::copy_from_slice(&u32::MAX.to_le_bytes()));
        splitter.push(Bytes::from_static(&[7; 1000]));
        assert_eq!(splitter.next(), Ok(None));
        assert!(!splitter.is_between());
        assert!(splitter.begun.capacity() <= 2 * crate::limits::PEER_PIECE_BYTES);
    }

    #[test]
    fn what_lies_in_one_piece_is_not_copied() {
        let bytes = Bytes::from(framed(&[b"one".to_vec(), Vec::new(), b"two".to_vec()]));
        let begin = bytes.as_ptr() as usize;
        let mut splitter = Splitter::new(3);
        splitter.push(bytes);
        let first = splitter.next().unwrap().unwrap();
        assert_eq!(first.as_ptr() as usize, begin + LENGTH_BYTES);
        assert_eq!(all(&mut splitter), [b"".to_vec(), b"two".to_vec()]);
    }
}
