//! See `colo_fuzz::rings`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| colo_fuzz::rings(input));
