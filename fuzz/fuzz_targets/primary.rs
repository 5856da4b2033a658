//! See `colo_fuzz::primary`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| colo_fuzz::primary(input));
