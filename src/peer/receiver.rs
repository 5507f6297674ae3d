//! The receiving end of a stream: messages in order. What is not taken is not asked for from the
//! peer: a reader that stands still stops its writer, and nobody else.

use super::PeerError;
use super::frame::Splitter;
use super::transport::Farewell;
use crate::limits;
use bytes::Bytes;
use quinn::{ReadError, RecvStream};

/// Receives the messages of a stream. Dropping it tells the peer to stop.
#[derive(Debug)]
pub struct Receiver {
    stream: RecvStream,
    splitter: Splitter,
}

impl Receiver {
    pub(super) fn new(stream: RecvStream, bytes_max: usize) -> Receiver {
        Receiver { stream, splitter: Splitter::new(bytes_max) }
    }

    /// What the stream is, which stands before its first message; `None` when it is empty.
    pub(super) async fn kind(&mut self) -> Result<Option<u8>, PeerError> {
        let mut kind = [0];
        match self.stream.read(&mut kind).await {
            Ok(read) => Ok(read.map(|_| kind[0])),
            Err(error) => Err(broken(&error)),
        }
    }

    /// The next message; `None` after the last. Nothing is lost when the future is dropped before
    /// it is done.
    ///
    /// A message may share memory with others that came with it; whoever keeps a short one for
    /// long should copy it.
    ///
    /// # Errors
    /// When the stream broke, or the peer announces a message that is too long, or ends within
    /// one; there is nothing after that.
    pub async fn next(&mut self) -> Result<Option<Bytes>, PeerError> {
        loop {
            if let Some(message) = self.splitter.next()? {
                return Ok(Some(message));
            }
            let mut pieces = [const { Bytes::new() }; limits::PEER_CHUNKS_PER_READ];
            match self.stream.read_chunks(&mut pieces).await {
                Ok(Some(read)) => {
                    pieces.into_iter().take(read).for_each(|piece| self.splitter.push(piece));
                }
                Ok(None) if self.splitter.is_between() => return Ok(None),
                Ok(None) => return Err(PeerError::Lost("ended within a message".into())),
                Err(error) => return Err(broken(&error)),
            }
        }
    }

    /// The next message if it is here already: to handle together what came together.
    ///
    /// # Errors
    /// As [`Receiver::next`].
    pub fn next_here(&mut self) -> Result<Option<Bytes>, PeerError> {
        self.splitter.next()
    }
}

fn broken(error: &ReadError) -> PeerError {
    match error {
        ReadError::Reset(code) if *code == Farewell::Refused.code() => PeerError::Refused,
        error => PeerError::Lost(error.to_string()),
    }
}
