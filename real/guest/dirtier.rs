//! The guest `dirtier`: writes to memory at a rate, in a pattern, over an area, all of which the host chooses; and answers
//! requests meanwhile.
//!
//! It writes a millisecond's share at a time. Where the rate is more than the machine can do it writes all the time.

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

/// How often it writes, microseconds of its time.
const EVERY_US: u64 = 1_000;

/// Pages after which it lets the host go on with requests and with the time.
const MOST_PAGES: u64 = 256;

/// What the guest knows.
#[repr(C)]
struct State {
    service: Service,
    writer: Writer,
}

fn turn(state: &mut State, parameters: &Parameters) -> u32 {
    let now = load(abi::TIME_US);
    work_off_ticks(&mut state.writer, parameters);
    let behind = state.writer.keep_pace(parameters, now, MOST_PAGES);
    let reason = state.service.work_off_requests(&mut state.writer, parameters);
    store(abi::NEXT_US, if behind { now } else { now + EVERY_US });
    reason
}

entry!(State, turn);
