//! Large values of a connection: each is read into a buffer of its own, as far as the node has room
//! for it. Knows no command.

use super::{Connection, Turn};
use crate::clock;
use crate::worker::Desk;
use crate::worker::batch::Stop;
use crate::worker::big::Big;
use std::task::{Poll, ready};

impl Connection {
    /// Begins with a value of `len` bytes, which starts behind `kept` bytes of what is kept.
    #[cold]
    pub(super) fn begin_big(&mut self, kept: usize, len: usize) -> Option<Turn> {
        let engine = &*self.worker.shared.engine;
        let payload = self.rest.get(kept..).unwrap_or_default();
        let decoder = &self.peer.decoder;
        let hopeless = engine.max_memory().is_some_and(|max| len as u64 > max);
        let (big, taken) = if hopeless || decoder.is_refused() {
            Big::skip(payload, len)
        } else {
            let Some(buffer) = engine.buffer(len) else { return Some(Turn::NoMemory) };
            let before = decoder.shared_bytes() as u64;
            Big::begin(engine, payload, buffer, before, clock::now())
        };
        self.rest.drain(kept..kept + taken);
        self.big = Some(Box::new(big));
        self.end_big();
        None
    }

    /// Reads more of a large value.
    #[cold]
    pub(super) fn poll_big(&mut self, desk: &mut Desk) -> Poll<Result<Stop, Turn>> {
        let Some(big) = &mut self.big else { return Poll::Ready(Ok(Stop::More)) };
        big.make_room(&self.worker.shared.engine, clock::now());
        match ready!(big.read(&mut self.socket, &mut desk.read)) {
            Ok(0) => return Poll::Ready(Err(Turn::Close)),
            Ok(n) => self.heard(n),
            Err(_) => return Poll::Ready(Err(Turn::Gone)),
        }
        self.peer.session.client.heard_nanos.set(clock::monotonic_nanos());
        self.end_big();
        let over = self.query_bytes() > self.peer.query_max;
        Poll::Ready(if over { Err(Turn::Overflow) } else { Ok(Stop::More) })
    }

    /// Hands a large value to the decoder once it is all there.
    fn end_big(&mut self) {
        if let Some(big) = self.big.take_if(|big| big.is_whole()) {
            match big.finish() {
                Some(value) => self.peer.decoder.shared(value),
                None => self.peer.decoder.refuse(),
            }
            self.ready = true;
        }
        self.note_buffers();
    }
}
