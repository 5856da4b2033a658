//! See `colo_fuzz::network_card`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| colo_fuzz::network_card(input));
