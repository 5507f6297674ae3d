//! A client's socket that never blocks, and what the system last said of it. Knows no runtime.

use mio::event::Event;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::task::Poll;

/// What a socket is ready for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ready {
    readable: bool,
    writable: bool,
    /// The client's end or an error can be read: a short read does not mean that there is no more.
    ended: bool,
}

/// A socket. It is tried only when the system has said that it is ready: it says so once.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    ready: Ready,
}

impl Ready {
    /// As an event says.
    #[inline]
    pub(super) fn of(event: &Event) -> Ready {
        let ended = event.is_read_closed() || event.is_error();
        Ready {
            readable: event.is_readable() || ended,
            writable: event.is_writable() || event.is_error(),
            ended,
        }
    }

    /// Both together.
    #[inline]
    pub(super) fn and(self, other: Ready) -> Ready {
        Ready {
            readable: self.readable | other.readable,
            writable: self.writable | other.writable,
            ended: self.ended | other.ended,
        }
    }
}

impl Socket {
    /// A socket that does not block. It may be written to; whether there is something to read the
    /// system will say.
    pub(super) fn new(stream: TcpStream) -> Socket {
        Socket { stream, ready: Ready { readable: false, writable: true, ended: false } }
    }

    /// The system has said more.
    #[inline]
    pub(super) fn note(&mut self, ready: Ready) {
        self.ready = self.ready.and(ready);
    }

    /// The socket itself.
    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The same, for another worker.
    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Reads once; 0 at the end. Pending: an event will come.
    ///
    /// # Errors
    /// The system's.
    #[inline]
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        while self.ready.readable {
            match (&self.stream).read(buffer) {
                Ok(n) => {
                    // A short read has taken all there was: what comes then comes with an event.
                    self.ready.readable = n == buffer.len() || n == 0 || self.ready.ended;
                    return Poll::Ready(Ok(n));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.ready.readable = false,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
        Poll::Pending
    }

    /// Whether reading is worth a try; if not, an event will come.
    #[inline]
    pub(super) fn is_readable(&self) -> bool {
        self.ready.readable
    }

    /// Whether writing is worth a try; if not, an event will come.
    #[inline]
    pub(super) fn is_writable(&self) -> bool {
        self.ready.writable
    }

    /// Writes what the system takes; 0: nothing now.
    ///
    /// # Errors
    /// The system's.
    #[inline]
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written(bytes.len(), |mut stream| stream.write(bytes))
    }

    /// The same for several pieces, `len` bytes in all.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn write_pieces(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let len = pieces.iter().map(|piece| piece.len()).sum();
        self.written(len, |mut stream| stream.write_vectored(pieces))
    }

    #[inline]
    fn written(
        &mut self,
        len: usize,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            match write(&self.stream) {
                Ok(n) => {
                    self.ready.writable = n == len;
                    return Ok(n);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.ready.writable = false;
                    return Ok(0);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Tells the client that no more will come.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn end_writing(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }
}
