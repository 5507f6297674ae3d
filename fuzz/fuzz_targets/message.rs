//! Messages between nodes: any bytes are one or are not, and one is written again as it was.

#![no_main]

use cluster::message::Message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(message) = Message::decode(input) {
        assert_eq!(message.to_bytes(), input, "written in another way");
    }
});
