//! See `colo_fuzz::secondary_table`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| colo_fuzz::secondary_table(input));
