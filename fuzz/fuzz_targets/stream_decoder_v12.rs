//! See `colo_fuzz::stream_decoder_v12`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| colo_fuzz::stream_decoder_v12(input));
