//! Any bytes as effects: what is read, written and read again is the same.

#![no_main]

use crabcache::command::effect::Effect;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut rest = input;
    let mut bytes = Vec::new();
    let mut effects = Vec::new();
    while let Ok(effect) = Effect::decode(&mut rest) {
        effect.encode(&mut bytes);
        effects.push(effect);
    }
    let mut rest = bytes.as_slice();
    for effect in &effects {
        assert_eq!(Effect::decode(&mut rest).as_ref(), Ok(effect));
    }
    assert!(rest.is_empty());
});
