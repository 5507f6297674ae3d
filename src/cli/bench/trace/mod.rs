//! Reads cache traces: one access after another, from files as their authors publish them,
//! compressed or not. Knows no server.

mod format;
mod input;

pub use format::Format;
use format::Parser;
use input::Input;
use std::fmt;
use std::path::Path;

/// One access of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// What is accessed.
    pub id: u64,
    /// The second half of the key, in traces whose keys are pairs.
    pub tag: Option<u64>,
    /// The size of what is accessed, in traces that tell.
    pub size: Option<u64>,
}

/// Why a trace cannot be read: names the file and, where it can, the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceError(String);

impl TraceError {
    pub(super) fn new(name: &str, text: impl fmt::Display) -> TraceError {
        TraceError(format!("{name}: {text}"))
    }
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TraceError {}

/// An open trace: an iterator over its accesses, which ends after the first error.
pub struct Trace {
    input: Input,
    parser: Parser,
    name: String,
    failed: bool,
}

impl Trace {
    /// Opens a trace; without a format, its first bytes decide.
    ///
    /// # Errors
    /// There is no such file, or no way to read it.
    pub fn open(path: &Path, format: Option<Format>) -> Result<Trace, TraceError> {
        let name = path.display().to_string();
        let in_file = |text: String| TraceError::new(&name, text);
        let mut input = Input::open(path).map_err(in_file)?;
        let format = match format {
            Some(format) => format,
            None => Format::detect(input.peek()).map_err(in_file)?,
        };
        let parser = Parser::new(format, &mut input).map_err(|wrong| in_file(wrong.to_string()))?;
        Ok(Trace { input, parser, name, failed: false })
    }

    /// The format it is read as.
    pub fn format(&self) -> Format {
        self.parser.format()
    }
}

impl Iterator for Trace {
    type Item = Result<Access, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        match self.parser.next(&mut self.input) {
            Ok(Some(access)) => Some(Ok(access)),
            Ok(None) => None,
            Err(wrong) => {
                self.failed = true;
                Some(Err(TraceError::new(&self.name, wrong)))
            }
        }
    }
}
