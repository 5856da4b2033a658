//! See `colo_fuzz::chunks`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| colo_fuzz::chunks(input));
