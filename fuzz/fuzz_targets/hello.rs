//! See `colo_fuzz::hello`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| colo_fuzz::hello(input));
