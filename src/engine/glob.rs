//! Glob patterns as KEYS and SCAN take them. Iterative, with a bound on its steps.
//!
//! `*` any bytes, `?` one byte, `[a-c]` one of a class, `[^a]` one not of it, `\` the next byte as
//! it is. A class without its end goes to the end of the pattern.

use crate::limits::GLOB_STEPS_MAX;

/// Whether `text` matches `pattern`. A match that takes more than [`GLOB_STEPS_MAX`] steps is
/// given up as none.
pub fn glob_match(pattern: &[u8], text: &[u8]) -> bool {
    if pattern == b"*" {
        return true;
    }
    if text.is_empty() {
        // As in Redis: only here are several stars not the same as one.
        return pattern.is_empty();
    }
    let (mut p, mut t, mut steps) = (0, 0, 0);
    // Where to go on when what follows the last star did not match: behind it, one byte later.
    // All but a star takes exactly one byte, so no star before the last needs another try.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        steps += 1;
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
            if p == pattern.len() {
                return true;
            }
            continue;
        }
        let Some(&byte) = text.get(t) else { return p == pattern.len() };
        let (next, cost) = one(pattern, p, byte);
        steps += cost;
        if let Some(next) = next {
            (p, t) = (next, t + 1);
            continue;
        }
        let Some((star, from)) = &mut retry else { return false };
        if steps > GLOB_STEPS_MAX {
            return false;
        }
        *from += 1;
        (p, t) = (*star, *from);
    }
}

/// Matches one byte against the element of the pattern at `p`: where the next one stands, or
/// `None`; and the steps it took beyond the first.
#[inline]
fn one(pattern: &[u8], p: usize, byte: u8) -> (Option<usize>, usize) {
    match pattern[p..] {
        [] => (None, 0),
        [b'?', ..] => (Some(p + 1), 0),
        [b'[', ..] => {
            let (matches, end) = class(pattern, p + 1, byte);
            (matches.then_some(end), end - p)
        }
        [b'\\', escaped, ..] => ((escaped == byte).then_some(p + 2), 0),
        [literal, ..] => ((literal == byte).then_some(p + 1), 0),
    }
}

/// Matches one byte against a class whose first byte stands at `p`; and where the class ends.
fn class(pattern: &[u8], mut p: usize, byte: u8) -> (bool, usize) {
    let not = pattern.get(p) == Some(&b'^');
    if not {
        p += 1;
    }
    let mut found = false;
    loop {
        match pattern.get(p..).unwrap_or_default() {
            [] => return (found != not, pattern.len()),
            [b'\\', escaped, ..] => {
                found |= *escaped == byte;
                p += 2;
            }
            [b']', ..] => return (found != not, p + 1),
            [a, b'-', b, ..] => {
                found |= (*a.min(b)..=*a.max(b)).contains(&byte);
                p += 3;
            }
            [literal, ..] => {
                found |= *literal == byte;
                p += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::glob_match;

    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        for text in yes {
            assert!(glob_match(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        for text in no {
            assert!(!glob_match(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
    }

    #[test]
    fn as_redis_matches() {
        check("*", &["", "a", "abc"], &[]);
        check("**", &["a", "abc"], &[""]);
        check("", &[""], &["a"]);
        check("h?llo", &["hello", "hallo"], &["hllo", "heello"]);
        check("h*llo", &["hllo", "heeeello", "hllollo"], &["hll", "ahllo"]);
        check("h[ae]llo", &["hello", "hallo"], &["hillo", "hllo"]);
        check("h[^e]llo", &["hallo", "hbllo"], &["hello"]);
        check("h[a-b]llo", &["hallo", "hbllo"], &["hcllo"]);
        check("h[b-a]llo", &["hallo", "hbllo"], &["hcllo"]);
        check("a*b*c", &["abc", "axxbyyc", "abbcc", "abcbc"], &["ab", "acb", "abcx"]);
        check("*a*", &["a", "xa", "ax", "xax"], &["", "x"]);
        check("**a**", &["a"], &["b"]);
        check("a\\*b", &["a*b"], &["axb", "a\\*b"]);
        check("a\\", &["a\\"], &["a"]);
        check("[\\]]", &["]"], &["\\"]);
        check("[]a]", &[], &["]", "a", "]a"]);
        check("[^]", &["a", "]"], &["", "ab"]);
        check("[abc", &["a", "c"], &["d", "["]);
        check("[a-]", &["a", "]", "^"], &["-", "b"]);
        check("[^", &["a"], &["", "aa"]);
        check("[", &[], &["[", ""]);
        check("[\\", &["\\"], &["a"]);
        check("user:*:name", &["user:1:name", "user::name"], &["user:1:nam", "user:1:names"]);
    }

    #[test]
    fn hostile_patterns_end() {
        let text = vec![b'a'; 60_000];
        let mut pattern = b"*a".repeat(1000);
        pattern.push(b'b');
        assert!(!glob_match(&pattern, &text));
        let mut pattern = vec![b'*'];
        pattern.extend_from_slice(&text[..30_000]);
        pattern.push(b'b');
        assert!(!glob_match(&pattern, &text));
        let mut pattern = b"*[".to_vec();
        pattern.extend_from_slice(&[b'b'; 60_000]);
        assert!(!glob_match(&pattern, &text));
    }
}
