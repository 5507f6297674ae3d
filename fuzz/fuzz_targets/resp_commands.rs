//! Commands made from the input, encoded, cut into reads: exactly they come out again. Reaches what
//! single bytes hardly make: long lists, values that are cut out of the stream.

#![no_main]

#[path = "../../tests/resp_stream/mod.rs"]
mod resp_stream;

use crabcache::resp::DecodeLimits;
use libfuzzer_sys::fuzz_target;
use resp_stream::Stream;

// The first four bytes are the sizes of reads. Then two bytes make a word (how many bytes, which
// one); a zero and one more byte end a command, with empty ones behind it.
fuzz_target!(|input: &[u8]| {
    let Some((sizes, mut rest)) = input.split_first_chunk::<4>() else { return };
    let mut commands = vec![Vec::new()];
    let mut bytes = Vec::new();
    while let Some(([size, byte], behind)) = rest.split_first_chunk::<2>() {
        rest = behind;
        if *size == 0 {
            encode(&commands[commands.len() - 1], *byte, &mut bytes);
            commands.push(Vec::new());
            continue;
        }
        // Small sizes are meant literally; large ones go up to twice what must be shared.
        let len = usize::from(*size - 1) + 600 * usize::from(size.saturating_sub(200));
        if bytes.len() + len < 1 << 20
            && let Some(command) = commands.last_mut()
        {
            command.push(vec![*byte; len]);
        }
    }
    commands.pop();
    commands.retain(|command| !command.is_empty());
    let sizes = sizes.map(|size| usize::from(size).pow(2).max(1));
    for sizes in [&[0][..], &sizes] {
        let stream = Stream::of(DecodeLimits::authenticated(1 << 20), &bytes, sizes);
        assert_eq!(stream.error, None);
        assert_eq!(stream.commands, commands);
    }
});

fn encode(words: &[Vec<u8>], filler: u8, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    let fillers: [&[u8]; 4] = [b"", b"*0\r\n", b"*-1\r\n", b"\r\n"];
    bytes.extend_from_slice(fillers[usize::from(filler % 4)]);
}
