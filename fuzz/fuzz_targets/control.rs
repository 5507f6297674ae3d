//! What the control plane stores and sends: any bytes are refused or read without a panic, and
//! what is read is written and read again as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| assert!(crabcache::control::probe::holds(input)));
