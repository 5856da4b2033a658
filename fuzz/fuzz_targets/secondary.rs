//! See `colo_fuzz::secondary`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| colo_fuzz::secondary(input));
