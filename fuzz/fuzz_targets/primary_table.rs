//! See `colo_fuzz::primary_table`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| colo_fuzz::primary_table(input));
