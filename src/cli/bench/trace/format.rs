//! The formats of traces, and one parser for each.

use super::Access;
use super::input::Input;
use crate::limits::BENCH_TRACE_LINE_BYTES_MAX;
use std::fmt;

/// How a trace is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Text: an id a line; `*` separates.
    Lirs,
    /// Text: `start count ignored ignored`; stands for the `count` ids from `start` on.
    Arc,
    /// Big-endian 32-bit ids.
    U32be,
    /// Text: `time id size`; id and size together are the key.
    Sized,
    /// Text with commas: a line of column names, among them an id and perhaps a size.
    Csv,
}

/// Names of columns that hold an id, best first, and of those that hold a size.
const ID_COLUMNS: [&str; 8] = ["id", "obj_id", "object_id", "object", "key", "lbn", "lba", "block"];
const SIZE_COLUMNS: [&str; 5] = ["size", "obj_size", "object_size", "length", "bytes"];

impl Format {
    /// Recognises a format by the first bytes of a trace.
    pub(super) fn detect(start: &[u8]) -> Result<Format, String> {
        let is_text = |&byte: &u8| byte.is_ascii_graphic() || b" \t\r\n".contains(&byte);
        if start.is_empty() {
            return Err("the trace is empty".to_owned());
        }
        if !start.iter().all(is_text) {
            return Ok(Format::U32be);
        }
        let telling = |line: &&[u8]| !line.is_empty() && *line != b"*";
        let line = start.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).find(telling);
        match line {
            Some(line) if line.contains(&b',') => Ok(Format::Csv),
            Some(line) => match fields(line).count() {
                1 => Ok(Format::Lirs),
                3 => Ok(Format::Sized),
                4 => Ok(Format::Arc),
                count => Err(format!(
                    "cannot tell the format of a trace with {count} fields a line; name it \
                     with --trace-format"
                )),
            },
            None => {
                Err("cannot tell the format of the trace; name it with --trace-format".to_owned())
            }
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Lirs => "lirs",
            Format::Arc => "arc",
            Format::U32be => "u32be",
            Format::Sized => "sized",
            Format::Csv => "csv",
        })
    }
}

/// What is wrong with a trace, and where.
#[derive(Debug)]
pub(super) struct Wrong {
    /// The line, or the number of the id in a binary trace; the first is 1.
    place: u64,
    text: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// Turns lines or words into accesses.
pub(super) struct Parser {
    format: Format,
    line: Vec<u8>,
    place: u64,
    /// The rest of an `arc` line.
    run: std::ops::Range<u64>,
    /// Where the id and the size are in a `csv` line.
    columns: (usize, Option<usize>),
}

impl Parser {
    /// Reads what precedes the accesses.
    pub(super) fn new(format: Format, input: &mut Input) -> Result<Parser, Wrong> {
        let mut parser =
            Parser { format, line: Vec::new(), place: 0, run: 0..0, columns: (0, None) };
        if format == Format::Csv && parser.next_line(input)? {
            parser.columns = columns(&parser.line).map_err(|text| parser.wrong(text))?;
        }
        Ok(parser)
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// The next access, or `None` at the end.
    pub(super) fn next(&mut self, input: &mut Input) -> Result<Option<Access>, Wrong> {
        if self.format == Format::U32be {
            return self.next_word(input);
        }
        loop {
            if let Some(id) = self.run.next() {
                return Ok(Some(Access { id, tag: None, size: None }));
            }
            if !self.next_line(input)? {
                return Ok(None);
            }
            if self.line.is_empty() {
                continue;
            }
            if let Some(access) = self.parse_line().map_err(|text| self.wrong(text))? {
                return Ok(Some(access));
            }
        }
    }

    fn next_word(&mut self, input: &mut Input) -> Result<Option<Access>, Wrong> {
        self.place += 1;
        let word = input.word().map_err(|error| self.wrong(error.to_string()))?;
        Ok(word.map(|bytes| Access {
            id: u64::from(u32::from_be_bytes(bytes)),
            tag: None,
            size: None,
        }))
    }

    fn next_line(&mut self, input: &mut Input) -> Result<bool, Wrong> {
        self.place += 1;
        let more = input
            .line(&mut self.line, BENCH_TRACE_LINE_BYTES_MAX)
            .map_err(|error| self.wrong(error.to_string()))?;
        let blanks = self.line.len() - self.line.trim_ascii_end().len();
        self.line.truncate(self.line.len() - blanks);
        Ok(more)
    }

    /// The access of the current line; `None` where there is none, or a whole run of them.
    fn parse_line(&mut self) -> Result<Option<Access>, String> {
        match self.format {
            Format::Lirs if self.line == b"*" => Ok(None),
            Format::Lirs => {
                let id = number(self.line.trim_ascii_start())?;
                Ok(Some(Access { id, tag: None, size: None }))
            }
            Format::Arc => {
                let mut fields = fields(&self.line);
                let (start, count) = (next_number(&mut fields)?, next_number(&mut fields)?);
                self.run = start..start.saturating_add(count);
                Ok(None)
            }
            Format::Sized => {
                let mut fields = fields(&self.line).skip(1);
                let (id, size) = (next_number(&mut fields)?, next_number(&mut fields)?);
                Ok(Some(Access { id, tag: Some(size), size: Some(size) }))
            }
            Format::Csv => {
                let field = |column: usize| {
                    number(csv_fields(&self.line).nth(column).ok_or("too few fields")?)
                };
                let (id, size) = self.columns;
                let size = size.map(field).transpose()?;
                Ok(Some(Access { id: field(id)?, tag: None, size }))
            }
            Format::U32be => Err("a binary trace has no lines".to_owned()),
        }
    }

    fn wrong(&self, text: String) -> Wrong {
        Wrong { place: self.place, text }
    }
}

fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| byte.is_ascii_whitespace()).filter(|field| !field.is_empty())
}

fn csv_fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

fn next_number<'a>(fields: &mut impl Iterator<Item = &'a [u8]>) -> Result<u64, String> {
    number(fields.next().ok_or("too few fields")?)
}

fn number(text: &[u8]) -> Result<u64, String> {
    let wrong = || format!("'{}' is not a number", text[..text.len().min(40)].escape_ascii());
    if text.is_empty() {
        return Err(wrong());
    }
    text.iter().try_fold(0u64, |number, &digit| {
        let value = digit.wrapping_sub(b'0');
        let next = number.checked_mul(10).and_then(|tens| tens.checked_add(u64::from(value)));
        next.filter(|_| value < 10).ok_or_else(wrong)
    })
}

/// Finds the columns of id and size by the names in the first line.
fn columns(header: &[u8]) -> Result<(usize, Option<usize>), String> {
    let names: Vec<String> =
        csv_fields(header).map(|name| String::from_utf8_lossy(name).to_ascii_lowercase()).collect();
    let find =
        |known: &[&str]| known.iter().find_map(|known| names.iter().position(|name| name == known));
    let id = find(&ID_COLUMNS).ok_or_else(|| {
        format!("no column is called {}: the first line must name them", ID_COLUMNS.join(", "))
    })?;
    Ok((id, find(&SIZE_COLUMNS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_apart() {
        for (start, format) in [
            (&b"1\n2\n"[..], Format::Lirs),
            (b"*\n17\n", Format::Lirs),
            (b" 5 \r\n", Format::Lirs),
            (b"230027 8 0 0\n", Format::Arc),
            (b"1 0 68\n", Format::Sized),
            (b"0\t1\t65536\n", Format::Sized),
            (b"version,time,op,size,lbn\n", Format::Csv),
            (b"\0\0\0\x01", Format::U32be),
            (b"1 2 3\n\xff", Format::U32be),
        ] {
            assert_eq!(Format::detect(start), Ok(format), "{}", start.escape_ascii());
        }
        for unclear in [&b""[..], b"\n*\n", b"1 2\n", b"1 2 3 4 5\n"] {
            assert!(Format::detect(unclear).is_err());
        }
    }

    #[test]
    fn numbers_are_digits_that_fit() {
        assert_eq!(number(b"0"), Ok(0));
        assert_eq!(number(b"18446744073709551615"), Ok(u64::MAX));
        for wrong in [&b""[..], b"-1", b"1x", b"18446744073709551616", b"1.5"] {
            assert!(number(wrong).is_err());
        }
    }

    #[test]
    fn columns_are_found_by_name() {
        assert_eq!(columns(b"version,time,op,size,lbn"), Ok((4, Some(3))));
        assert_eq!(columns(b"Time, OBJ_ID"), Ok((1, None)));
        assert!(columns(b"1,2,3").is_err());
    }
}
