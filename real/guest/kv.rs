//! The guest `kv`: a key-value service on bare ring 3, and nothing else.
//!
//! It takes requests from one ring, answers into another (`abi.rs` says where they lie), and rings a doorbell when
//! there is nothing left to do. Like all guests here it is **deterministic**: what it does depends on requests, ticks, the
//! time that the host has written, and their order, on nothing else: it may not read a clock, CPUID, RDTSC, RFLAGS or CS
//! (hardware values would show through), and it takes no interrupts.
//!
//! The host enters at `_start` in long mode, ring 3, with IOPL 3, SSE on, memory mapped one to one and `rsp` 8 below a
//! 16-byte boundary, as after a call. There is no operating system and no exception handler: a fault ends the machine.

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
use service::Service;
use writer::{Writer, work_off_ticks};

/// What the guest knows.
#[repr(C)]
struct State {
    service: Service,
    writer: Writer,
}

fn turn(state: &mut State, parameters: &Parameters) -> u32 {
    work_off_ticks(&mut state.writer, parameters);
    state.service.work_off_requests(&mut state.writer, parameters)
}

entry!(State, turn);
