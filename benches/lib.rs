//! Benchmarks live in this crate; it exports nothing.
