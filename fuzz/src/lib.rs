//! What the fuzz targets hold the house to: a function a target, which takes the fuzzer's bytes and panics where the
//! house breaks its word. The files in `fuzz_targets/` only pass the bytes on, so that the committed corpora run as an
//! ordinary test, too, on any toolchain (`corpora.rs`).
#![forbid(unsafe_code)]

mod captures;
#[cfg(test)]
mod corpora;
mod hello;
mod machines;
mod network;
mod packets;
mod readers;
mod reference;
mod round_trip;
mod runner;
mod stream;
mod structured;

pub use captures::conform_captures;
pub use hello::hello;
pub use machines::{primary, secondary};
pub use network::network_card;
pub use packets::{frame, packet_comparison};
pub use readers::{fault_plan, rules_file, trace_reader};
pub use reference::{primary_table, secondary_table};
pub use round_trip::round_trip;
pub use runner::{device_state, rings};
pub use stream::{chunks, stream_decoder, stream_decoder_v12};
pub use structured::structured_stream;

/// A target's name and what it does with the fuzzer's bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 19] = [
    ("stream_decoder", stream_decoder),
    ("stream_decoder_v12", stream_decoder_v12),
    ("chunks", chunks),
    ("round_trip", round_trip),
    ("structured_stream", structured_stream),
    ("primary", primary),
    ("secondary", secondary),
    ("primary_table", primary_table),
    ("secondary_table", secondary_table),
    ("device_state", device_state),
    ("rings", rings),
    ("network_card", network_card),
    ("frame", frame),
    ("packet_comparison", packet_comparison),
    ("hello", hello),
    ("fault_plan", fault_plan),
    ("rules_file", rules_file),
    ("trace_reader", trace_reader),
    ("conform_captures", conform_captures),
];
