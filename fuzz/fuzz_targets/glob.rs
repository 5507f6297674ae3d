//! Any pattern on any text: it ends soon, and says the same as the recursive definition where that
//! is affordable.

#![no_main]

use crabcache::engine::glob_match;
use libfuzzer_sys::fuzz_target;

/// Longest pattern and text given to the slow definition.
const SLOW_BYTES_MAX: usize = 12;

fuzz_target!(|input: &[u8]| {
    let Some((&split, bytes)) = input.split_first() else { return };
    let (pattern, text) = bytes.split_at(bytes.len().min(usize::from(split)));
    let matches = glob_match(pattern, text);
    // Classes have corners of their own; the definition here is without them. In Redis an empty
    // text is matched by "" and "*" only.
    let simple = !text.is_empty() && !pattern.iter().any(|b| matches!(b, b'[' | b'\\'));
    if simple && pattern.len() <= SLOW_BYTES_MAX && text.len() <= SLOW_BYTES_MAX {
        assert_eq!(matches, by_definition(pattern, text), "{pattern:?} on {text:?}");
    }
    let escaped: Vec<u8> = text.iter().flat_map(|b| [b'\\', *b]).collect();
    assert!(glob_match(&escaped, text), "{text:?} is not matched by itself, escaped");
    assert!(glob_match(b"*", text));
});

fn by_definition(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, _) => text.is_empty(),
        (Some((b'*', rest)), None) => by_definition(rest, text),
        (Some((b'*', rest)), Some((_, behind))) => {
            by_definition(rest, text) || by_definition(pattern, behind)
        }
        (Some(_), None) => false,
        (Some((p, rest)), Some((t, behind))) => {
            (*p == b'?' || p == t) && by_definition(rest, behind)
        }
    }
}
