//! Commands as a line of text, as typed into `nc`: Redis's quoting rules (sdssplitargs), and the
//! guard against HTTP clients that somebody sent to the wrong port.

use bytes::Bytes;

use super::error::ProtocolError;
use crate::command::Arg;

/// Appends the words of `line`, which begins at `at` of the buffer that spans count from.
///
/// A word that does not stand in the line as it is meant, because of an escape or a quotation mark
/// in its middle, becomes a buffer of its own.
pub(super) fn split(
    line: &[u8],
    at: usize,
    args_max: usize,
    args: &mut Vec<Arg>,
) -> Result<(), ProtocolError> {
    let args_max = args.len().saturating_add(args_max);
    let mut position = 0;
    loop {
        position += line[position..].iter().take_while(|b| is_space(**b)).count();
        if position == line.len() {
            return Ok(());
        }
        if args.len() == args_max {
            return Err(ProtocolError::InlineLength);
        }
        let (arg, used) = word(&line[position..], at + position)?;
        args.push(arg);
        position += used;
    }
}

/// Whether a line looks like one of a HTTP request.
pub(super) fn is_http(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    let first = line.split(|b| is_space(*b)).next().unwrap_or_default();
    let names: [&[u8]; 3] = [b"POST", b"HEAD", b"Host:"];
    names.iter().any(|name| first.eq_ignore_ascii_case(name))
        || matches!(line, [.., b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit())
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// The word at the front of `text`, which begins at `at`, and how many bytes it takes.
fn word(text: &[u8], at: usize) -> Result<(Arg, usize), ProtocolError> {
    let span =
        |start: usize, end: usize| Arg::Span { start: (at + start) as u32, end: (at + end) as u32 };
    let (open, skip): (fn(u8) -> bool, usize) = match text[0] {
        b'"' => (|b| matches!(b, b'"' | b'\\'), 1),
        b'\'' => (|b| matches!(b, b'\'' | b'\\'), 1),
        _ => (|b| is_space(b) || matches!(b, b'"' | b'\''), 0),
    };
    let plain = text[skip..].iter().take_while(|b| !open(**b)).count();
    match (skip, text.get(skip + plain)) {
        (0, None) => return Ok((span(0, plain), plain)),
        (0, Some(b)) if is_space(*b) => return Ok((span(0, plain), plain)),
        (1, Some(b)) if *b == text[0] && ends_at(text, plain + 2) => {
            return Ok((span(1, plain + 1), plain + 2));
        }
        _ => {}
    }
    let (word, used) = unquote(text)?;
    Ok((Arg::Shared(Bytes::from(word)), used))
}

/// Whether the word ends before `text[position]`.
fn ends_at(text: &[u8], position: usize) -> bool {
    text.get(position).is_none_or(|b| is_space(*b))
}

/// The word at the front of `text` with its quotation marks and escapes resolved, and how many
/// bytes it took.
fn unquote(text: &[u8]) -> Result<(Vec<u8>, usize), ProtocolError> {
    let mut word = Vec::new();
    let mut position = 0;
    let mut quote = None;
    while let Some(&byte) = text.get(position) {
        position += 1;
        match quote {
            None if is_space(byte) => return Ok((word, position - 1)),
            None if matches!(byte, b'"' | b'\'') => quote = Some(byte),
            Some(open) if byte == open => {
                if !ends_at(text, position) {
                    return Err(ProtocolError::UnbalancedQuotes);
                }
                return Ok((word, position));
            }
            Some(b'"') if byte == b'\\' && position < text.len() => {
                let (byte, used) = escape(&text[position..]);
                word.push(byte);
                position += used;
            }
            Some(b'\'') if byte == b'\\' && text.get(position) == Some(&b'\'') => {
                word.push(b'\'');
                position += 1;
            }
            _ => word.push(byte),
        }
    }
    if quote.is_some() { Err(ProtocolError::UnbalancedQuotes) } else { Ok((word, position)) }
}

/// What stands for the escape whose bytes behind the backslash begin `text`, and how many they are.
fn escape(text: &[u8]) -> (u8, usize) {
    let hex = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    if let [b'x', high, low, ..] = text
        && let (Some(high), Some(low)) = (hex(*high), hex(*low))
    {
        return (high << 4 | low, 3);
    }
    let byte = match text[0] {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    };
    (byte, 1)
}

#[cfg(test)]
mod tests {
    use super::{ProtocolError, is_http, split};
    use crate::command::Args;

    fn words(line: &str) -> Result<Vec<Vec<u8>>, ProtocolError> {
        let buffer = format!("####{line}");
        let mut args = Vec::new();
        split(line.as_bytes(), 4, 5, &mut args)?;
        Ok(Args::new(buffer.as_bytes(), &args).iter().map(<[u8]>::to_vec).collect())
    }

    #[track_caller]
    fn check(line: &str, want: &[&[u8]]) {
        assert_eq!(words(line).unwrap(), want, "{line:?}");
    }

    #[test]
    fn words_are_split_as_redis_does() {
        check("", &[]);
        check(" \t\r", &[]);
        check("PUT  key value\r", &[b"PUT", b"key", b"value"]);
        check("set k \"a b\"", &[b"set", b"k", b"a b"]);
        check("set k 'a b' ", &[b"set", b"k", b"a b"]);
        check("set \"\" ''", &[b"set", b"", b""]);
        check(r#""\x00\xfF\n\r\t\b\a\q\"\\\xg1" b"#, &[b"\x00\xff\n\r\t\x08\x07q\"\\xg1", b"b"]);
        check(r#"'it\'s \n' b"#, &[br"it's \n", b"b"]);
        check("a\"b c\" d'e f'", &[b"ab c", b"de f"]);
        check("\x0ba\\n", &[b"a\\n"]);
        for bad in ["\"", "'", "\"a", "'a", "\"a\"b", "'a'b", "a\"b\"c", r#""a\"#, r#""a\""#] {
            assert_eq!(words(bad), Err(ProtocolError::UnbalancedQuotes), "{bad:?}");
        }
        check("1 2 3 4 5", &[b"1", b"2", b"3", b"4", b"5"]);
        assert_eq!(words("1 2 3 4 5 6"), Err(ProtocolError::InlineLength));
    }

    #[test]
    fn http_is_recognised() {
        for line in ["POST / ", "post x", " HEAD", "Host: a", "GET / HTTP/1.1\r", "PRI * HTTP/2.0"]
        {
            assert!(is_http(line.as_bytes()), "{line:?}");
        }
        for line in ["", "GET post", "POSTS", "SET HTTP/1.1 x", "SET k HTTP/1.", "hosts: x"] {
            assert!(!is_http(line.as_bytes()), "{line:?}");
        }
    }
}
