//! See `colo_fuzz::conform_captures`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| colo_fuzz::conform_captures(input));
