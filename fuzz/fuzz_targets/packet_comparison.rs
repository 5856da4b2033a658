//! See `colo_fuzz::packet_comparison`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| colo_fuzz::packet_comparison(input));
