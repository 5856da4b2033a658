//! See `colo_fuzz::frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| colo_fuzz::frame(input));
