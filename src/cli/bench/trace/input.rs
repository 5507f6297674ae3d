//! The bytes of a trace file, decompressed by the system's own programs where need be.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// How much of the beginning decides on the format.
const PEEK_BYTES: usize = 4096;
const BUFFER_BYTES: usize = 256 * 1024;

/// A readable trace. Ending it early ends the program that decompresses it.
pub(super) struct Input {
    reader: BufReader<Box<dyn Read>>,
    peek: Vec<u8>,
    unpacker: Option<Unpacker>,
}

struct Unpacker {
    program: &'static str,
    child: Child,
}

impl Input {
    /// Opens a file; one compressed by gzip, xz or zstd is known by its first bytes.
    pub(super) fn open(path: &Path) -> Result<Input, String> {
        let mut file = File::open(path).map_err(|error| error.to_string())?;
        let magic = read_up_to(&mut file, 6).map_err(|error| error.to_string())?;
        file.rewind().map_err(|error| error.to_string())?;
        let Some(program) = unpacker_of(&magic) else {
            return Input::new(Box::new(file), None);
        };
        let mut child = Command::new(program)
            .arg("-dc")
            .stdin(Stdio::from(file))
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| {
                format!(
                    "compressed by {program}, and the program {program} does not start \
                     ({error}): install it, or decompress the file"
                )
            })?;
        let Some(output) = child.stdout.take() else {
            return Err(format!("{program} has no output"));
        };
        Input::new(Box::new(output), Some(Unpacker { program, child }))
    }

    fn new(mut reader: Box<dyn Read>, unpacker: Option<Unpacker>) -> Result<Input, String> {
        let peek = read_up_to(&mut reader, PEEK_BYTES).map_err(|error| error.to_string())?;
        let whole: Box<dyn Read> = Box::new(Cursor::new(peek.clone()).chain(reader));
        let reader = BufReader::with_capacity(BUFFER_BYTES, whole);
        let mut input = Input { reader, peek, unpacker };
        if input.peek.is_empty() {
            input.end().map_err(|error| error.to_string())?;
        }
        Ok(input)
    }

    /// The first bytes of the trace, whether read already or not.
    pub(super) fn peek(&self) -> &[u8] {
        &self.peek
    }

    /// Reads a line, without its end, into `line`; false at the end of the trace.
    pub(super) fn line(&mut self, line: &mut Vec<u8>, bytes_max: usize) -> io::Result<bool> {
        line.clear();
        let limit = bytes_max as u64 + 1;
        if self.reader.by_ref().take(limit).read_until(b'\n', line)? == 0 {
            self.end()?;
            return Ok(false);
        }
        if line.len() > bytes_max {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the line is too long"));
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        Ok(true)
    }

    /// Reads four bytes; `None` at the end of the trace.
    pub(super) fn word(&mut self) -> io::Result<Option<[u8; 4]>> {
        if self.reader.fill_buf()?.is_empty() {
            self.end()?;
            return Ok(None);
        }
        let mut word = [0; 4];
        self.reader.read_exact(&mut word)?;
        Ok(Some(word))
    }

    /// At the end: was it the end of the file, or of a program that gave up?
    fn end(&mut self) -> io::Result<()> {
        let Some(mut unpacker) = self.unpacker.take() else { return Ok(()) };
        let status = unpacker.child.wait()?;
        if status.success() {
            return Ok(());
        }
        Err(io::Error::other(format!("{} ended with {status}", unpacker.program)))
    }
}

impl Drop for Unpacker {
    fn drop(&mut self) {
        // It may have ended by itself, and been waited for: then both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn unpacker_of(magic: &[u8]) -> Option<&'static str> {
    const MAGICS: [(&[u8], &str); 3] = [
        (&[0x1f, 0x8b], "gzip"),
        (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz"),
        (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
    ];
    MAGICS.iter().find(|(start, _)| magic.starts_with(start)).map(|&(_, program)| program)
}

fn read_up_to(reader: &mut dyn Read, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(count);
    reader.take(count as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}
