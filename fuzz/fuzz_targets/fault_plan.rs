//! See `colo_fuzz::fault_plan`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| colo_fuzz::fault_plan(input));
