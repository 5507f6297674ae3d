//! Any bytes as a stream of commands: whatever way it is cut into reads, the same commands and the
//! same error come out, and memory stays in proportion to what came.

#![no_main]

#[path = "../../tests/resp_stream/mod.rs"]
mod resp_stream;

use crabcache::resp::DecodeLimits;
use libfuzzer_sys::fuzz_target;
use resp_stream::Stream;

// The first byte chooses the limits, the next four the sizes of reads.
fuzz_target!(|input: &[u8]| {
    let Some(([choice, sizes @ ..], bytes)) = input.split_first_chunk::<5>() else { return };
    let limits = match choice % 4 {
        0 => DecodeLimits::UNAUTHENTICATED,
        1 => DecodeLimits { args_max: 3, bulk_bytes_max: 20, ..DecodeLimits::authenticated(0) },
        2 => DecodeLimits { inline_bytes_max: 20, ..DecodeLimits::authenticated(40_000) },
        _ => DecodeLimits::authenticated(1 << 29),
    };
    let whole = Stream::of(limits, bytes, &[0]);
    // Reads of nothing would not end: zero stands for one byte.
    let sizes = sizes.map(|size| usize::from(size).max(1));
    for sizes in [&[1][..], &sizes] {
        let cut = Stream::of(limits, bytes, sizes);
        assert_eq!(cut.error, whole.error);
        assert_eq!(cut.commands, whole.commands);
    }
});
