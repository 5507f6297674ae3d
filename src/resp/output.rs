//! Bytes on their way to a client: answers in order, large values by reference. Knows neither the
//! protocol nor the socket.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

use crate::limits;

/// Bytes to send: one buffer for everything small, and large values that are sent from where they
/// are. Positions in the stream of small bytes count from the output's creation, so that sent bytes
/// may be dropped at any time.
#[derive(Debug, Default)]
pub struct Output {
    /// Small bytes; those before `sent` are sent.
    pub(super) buffer: Vec<u8>,
    sent: usize,
    /// Position of the first byte of `buffer`.
    base: u64,
    /// Large values in order.
    splices: VecDeque<Splice>,
    /// Bytes of the first splice that are sent.
    splice_sent: usize,
    /// Bytes of all splices that are not sent.
    splice_bytes: usize,
    /// Uses in a row that needed little of the buffer.
    small_uses: u32,
}

/// A large value, to be sent before the small byte at `position`.
#[derive(Debug)]
struct Splice {
    position: u64,
    bytes: Bytes,
}

/// A place in an [`Output`], to go back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    position: u64,
    splices_end: usize,
}

impl Output {
    /// An empty one, which holds no memory.
    pub fn new() -> Output {
        Output::default()
    }

    /// How many bytes are to be sent.
    #[inline]
    pub fn len(&self) -> usize {
        self.buffer.len() - self.sent + self.splice_bytes
    }

    /// Whether there is nothing to send.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.buffer.len() == self.sent && self.splices.is_empty()
    }

    /// Memory held, values by reference included.
    pub fn held_bytes(&self) -> usize {
        self.buffer.capacity() + self.splice_bytes
    }

    /// Everything to be sent, if it is one piece: for write(2).
    #[inline]
    pub fn as_one(&self) -> Option<&[u8]> {
        self.splices.is_empty().then(|| &self.buffer[self.sent..])
    }

    /// Fills `into` with the next pieces to be sent and tells how many: for writev(2).
    pub fn slices<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        let mut from = self.sent;
        let mut skip = self.splice_sent;
        for splice in &self.splices {
            let to = (splice.position - self.base) as usize;
            for piece in [&self.buffer[from..to], &splice.bytes[skip..]] {
                if piece.is_empty() {
                    continue;
                }
                let Some(slot) = into.get_mut(count) else { return count };
                *slot = IoSlice::new(piece);
                count += 1;
            }
            (from, skip) = (to, 0);
        }
        if from < self.buffer.len()
            && let Some(slot) = into.get_mut(count)
        {
            *slot = IoSlice::new(&self.buffer[from..]);
            count += 1;
        }
        count
    }

    /// Moves everything to the end of `into`: for answers that go on as bytes.
    pub fn move_to(&mut self, into: &mut Vec<u8>) {
        into.reserve(self.len());
        while !self.is_empty() {
            let mut slices = [IoSlice::new(&[]); limits::OUTPUT_SLICES_MAX];
            let count = self.slices(&mut slices);
            let pieces = &slices[..count];
            let moved = pieces.iter().map(|piece| piece.len()).sum();
            pieces.iter().for_each(|piece| into.extend_from_slice(piece));
            self.advance(moved);
        }
    }

    /// Forgets the first `n` bytes: they are sent.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn advance(&mut self, mut n: usize) {
        assert!(n <= self.len(), "more bytes were sent than there are");
        while let Some(splice) = self.splices.front() {
            let small = (splice.position - self.base) as usize - self.sent;
            if n < small {
                break;
            }
            self.sent += small;
            n -= small;
            let large = splice.bytes.len() - self.splice_sent;
            if n < large {
                self.splice_sent += n;
                self.splice_bytes -= n;
                return;
            }
            n -= large;
            self.splice_bytes -= large;
            self.splice_sent = 0;
            self.splices.pop_front();
        }
        self.sent += n;
        if self.is_empty() {
            self.clear();
        } else if self.sent >= limits::OUTPUT_KEPT_BYTES_MAX && self.sent >= self.buffer.len() / 2 {
            self.drop_sent();
        }
    }

    /// Drops everything. A buffer that grew is kept as long as it is needed now and then.
    pub fn clear(&mut self) {
        let capacity = self.buffer.capacity();
        if capacity > limits::OUTPUT_KEPT_BYTES_MAX {
            let small = self.buffer.len() < capacity / 4;
            self.small_uses = if small { self.small_uses + 1 } else { 0 };
        }
        self.base += self.buffer.len() as u64;
        self.buffer.clear();
        self.sent = 0;
        self.splices.clear();
        self.splice_sent = 0;
        self.splice_bytes = 0;
        if self.small_uses > limits::OUTPUT_SMALL_USES_MAX {
            self.buffer.shrink_to(limits::OUTPUT_KEPT_BYTES_MAX);
            self.splices.shrink_to(0);
            self.small_uses = 0;
        }
    }

    /// Gives all memory back when there is nothing to send: for connections that fell idle.
    pub fn release(&mut self) {
        if self.is_empty() {
            self.clear();
            self.buffer = Vec::new();
            self.splices = VecDeque::new();
        }
    }

    /// Appends bytes that are an answer already.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Appends a large value by reference.
    pub fn splice(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.splice_bytes += bytes.len();
            let position = self.base + self.buffer.len() as u64;
            self.splices.push_back(Splice { position, bytes });
        }
    }

    /// The place behind everything appended so far.
    pub fn mark(&self) -> Mark {
        Mark { position: self.base + self.buffer.len() as u64, splices_end: self.splices.len() }
    }

    /// Takes back everything appended since `mark`, between which and now nothing was sent.
    pub fn rollback(&mut self, mark: Mark) {
        for splice in self.splices.drain(mark.splices_end..) {
            self.splice_bytes -= splice.bytes.len();
        }
        self.buffer.truncate((mark.position - self.base) as usize);
    }

    /// Moves the bytes that are not sent to the front of the buffer. Called when at least half of
    /// it is sent, so that each byte moves once on average.
    fn drop_sent(&mut self) {
        self.buffer.drain(..self.sent);
        self.base += self.sent as u64;
        self.sent = 0;
    }
}
