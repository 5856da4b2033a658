//! See `colo_fuzz::structured_stream`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| colo_fuzz::structured_stream(input));
