//! Reads cache traces: one access after another, from files as their authors publish them,
//! compressed or not. Knows no server.

mod format;
mod input;

use super::error::BenchError;
pub(super) use format::Format;
use format::Parser;
use input::Input;
use std::path::Path;

/// One access of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) id: u64,
    /// The second half of the key, in traces whose keys are pairs.
    pub(super) tag: Option<u64>,
    /// The size of what is accessed, in traces that tell.
    pub(super) size: Option<u64>,
}

/// An open trace: an iterator over its accesses, which ends after the first error.
pub(super) struct Trace {
    input: Input,
    parser: Parser,
    name: String,
    failed: bool,
}

impl Trace {
    /// Opens a trace; without a format, its first bytes decide.
    pub(super) fn open(path: &Path, format: Option<Format>) -> Result<Trace, BenchError> {
        let name = path.display().to_string();
        let in_file = |text: String| BenchError::Trace(format!("{name}: {text}"));
        let mut input = Input::open(path).map_err(in_file)?;
        let format = match format {
            Some(format) => format,
            None => Format::detect(input.peek()).map_err(in_file)?,
        };
        let parser = Parser::new(format, &mut input).map_err(|wrong| in_file(wrong.to_string()))?;
        Ok(Trace { input, parser, name, failed: false })
    }

    /// The format it is read as.
    pub(super) fn format(&self) -> Format {
        self.parser.format()
    }
}

impl Iterator for Trace {
    type Item = Result<Access, BenchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        match self.parser.next(&mut self.input) {
            Ok(Some(access)) => Some(Ok(access)),
            Ok(None) => None,
            Err(wrong) => {
                self.failed = true;
                Some(Err(BenchError::Trace(format!("{}: {wrong}", self.name))))
            }
        }
    }
}
