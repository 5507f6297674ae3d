//! Any bytes as one line of text: it ends in a command or an error, and a command whose words are
//! quoted again is the same command.

#![no_main]

#[path = "../../tests/resp_stream/mod.rs"]
mod resp_stream;

use crabcache::resp::{DecodeLimits, ProtocolError};
use libfuzzer_sys::fuzz_target;
use resp_stream::Stream;

const LIMITS: DecodeLimits = DecodeLimits::authenticated(1 << 20);

fuzz_target!(|input: &[u8]| {
    if matches!(input.first(), None | Some(b'*' | 0xCC)) || input.contains(&b'\n') {
        return;
    }
    let line = [input, b"\n"].concat();
    let stream = Stream::of(LIMITS, &line, &[0]);
    let Some(words) = stream.commands.first() else {
        let blank = input.iter().all(|b| b.is_ascii_whitespace() || *b == 0x0b);
        assert!(stream.error.is_some() || blank, "{line:?} means nothing");
        return;
    };
    assert_eq!((stream.commands.len(), stream.error), (1, None));
    let mut quoted = Vec::new();
    for word in words {
        quoted.push(b'"');
        quoted.extend(word.iter().flat_map(|b| format!("\\x{b:02x}").into_bytes()));
        quoted.extend_from_slice(b"\" ");
    }
    quoted.push(b'\n');
    let again = Stream::of(LIMITS, &quoted, &[0]);
    // Four times the length may be too long, nothing else may change.
    if again.error != Some(ProtocolError::InlineLength) {
        assert_eq!((again.commands, again.error), (stream.commands, None));
    }
});
