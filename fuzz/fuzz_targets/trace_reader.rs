//! See `colo_fuzz::trace_reader`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| colo_fuzz::trace_reader(input));
