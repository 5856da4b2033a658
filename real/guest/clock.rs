//! The guest `clock`: the key-value service, and in every reply the time, in milliseconds of the guest's own.
//!
//! It is as deterministic as the others, and its time is part of what it depends on. Where two of it execute the same
//! requests, each has a time of its own, and so they answer differently, again and again: by nature, and not by a fault.

#![no_std]
#![no_main]

#[allow(dead_code, reason = "the host's half of the agreement")]
mod abi;
mod bare;
#[macro_use]
mod entry;
mod service;
mod writer;

use abi::Parameters;
use bare::{load, store};
use service::Service;
use writer::{Writer, work_off_ticks};

/// How often it wants to run though nobody asks, microseconds: time passes only for a guest that wants to.
const PERIOD_US: u64 = 1_000_000;

/// What the guest knows.
#[repr(C)]
struct State {
    service: Service,
    writer: Writer,
}

fn turn(state: &mut State, parameters: &Parameters) -> u32 {
    let now = load(abi::TIME_US);
    work_off_ticks(&mut state.writer, parameters);
    state.service.tell_time(now / 1_000);
    let reason = state.service.work_off_requests(&mut state.writer, parameters);
    store(abi::NEXT_US, (now / PERIOD_US + 1) * PERIOD_US);
    reason
}

entry!(State, turn);
