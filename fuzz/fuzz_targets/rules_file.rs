//! See `colo_fuzz::rules_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| colo_fuzz::rules_file(input));
