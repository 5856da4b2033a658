//! The wire format. placeholder
