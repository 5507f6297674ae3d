//! Where answers end: to take several apart, or one that holds others. Knows nothing of what they
//! say.

use memchr::memchr;

/// One past the value that begins at `at`, with all that it holds; `None` when it is not whole or
/// no value.
pub fn value_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut missing = 1u64;
    while missing > 0 {
        let (kind, number, end) = head(bytes, at)?;
        at = end;
        missing -= 1;
        match kind {
            b'$' | b'=' | b'!' => {
                if let Ok(len) = usize::try_from(number?) {
                    at = at.checked_add(len)?.checked_add(2).filter(|end| *end <= bytes.len())?;
                }
            }
            b'*' | b'~' | b'>' => missing += u64::try_from(number?).unwrap_or(0),
            b'%' => missing = missing.checked_add(u64::try_from(number?).ok()?.checked_mul(2)?)?,
            b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => {}
            _ => return None,
        }
    }
    Some(at)
}

/// The number of an array or of an integer that begins at `at`, and where what follows begins.
pub fn number(bytes: &[u8], at: usize, kind: u8) -> Option<(i64, usize)> {
    let (found, number, end) = head(bytes, at)?;
    (found == kind).then_some(())?;
    Some((number?, end))
}

/// The kind of a value, the number behind it if it is one, and where the next line begins.
fn head(bytes: &[u8], at: usize) -> Option<(u8, Option<i64>, usize)> {
    let rest = bytes.get(at..)?;
    let line = &rest[..memchr(b'\n', rest)?];
    let (kind, text) = line.strip_suffix(b"\r")?.split_first()?;
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    Some((*kind, number, at + line.len() + 1))
}

#[cfg(test)]
mod tests {
    use super::{number, value_end};

    #[test]
    fn a_value_ends_with_all_that_it_holds() {
        let all: [&[u8]; 9] = [
            b"+OK\r\n",
            b"-ERR x\r\n",
            b":12\r\n",
            b"$-1\r\n",
            b"$2\r\n\r\n\r\n",
            b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
            b"%1\r\n+a\r\n~1\r\n_\r\n",
            b"*0\r\n",
            b"*-1\r\n",
        ];
        for value in all {
            let bytes = [value, b":0\r\n"].concat();
            assert_eq!(value_end(&bytes, 0), Some(value.len()));
            for cut in 0..value.len() {
                assert_eq!(value_end(&value[..cut], 0), None);
            }
        }
        assert_eq!(value_end(b"?\r\n", 0), None);
        assert_eq!(value_end(b"$9223372036854775807\r\n", 0), None);
        assert_eq!(number(b":-3\r\n", 0, b':'), Some((-3, 5)));
        assert_eq!(number(b"*2\r\n", 0, b':'), None);
    }
}
