//! See `colo_fuzz::stream_decoder`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| colo_fuzz::stream_decoder(input));
