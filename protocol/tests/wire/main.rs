//! Tests of the wire codec from outside: against the bytes of a real QEMU, in every chunking, and against each error.
#![allow(clippy::unwrap_used, reason = "a test that meets an unexpected None or Err should stop there")]

mod captures;
mod chunks;
mod errors;
mod hostile;
mod limits;
mod roundtrip;
mod support;
