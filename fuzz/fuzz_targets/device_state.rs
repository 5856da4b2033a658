//! See `colo_fuzz::device_state`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| colo_fuzz::device_state(input));
