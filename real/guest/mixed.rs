//! The guest `mixed`: answers requests, and has work of its own beside them, at times of its own: three timers.
//!
//! * Every millisecond it writes to memory, as much as the rate asks for.
//! * Every 10 milliseconds it reads some of what it has written, and adds it up.
//! * Every 100 milliseconds it copies all keys (16 pages at once), and looks whether each timer has fired as often as
//!   time has passed: a failover that lost a timer, or let one fire twice, ends the machine here.

#![no_std]
#![no_main]

#[allow(dead_code, reason = "the host's half of the agreement")]
mod abi;
mod bare;
#[macro_use]
mod entry;
mod service;
mod timer;
mod writer;

use abi::Parameters;
use bare::{check, load, store};
use service::Service;
use timer::Timer;
use writer::{Writer, work_off_ticks};

/// The periods of the timers, microseconds of guest time.
const WRITE_US: u64 = 1_000;
const READ_US: u64 = 10_000;
const COPY_US: u64 = 100_000;

/// Pages that are read at a time.
const READ_PAGES: u64 = 64;

/// What the guest knows.
#[repr(C)]
struct State {
    service: Service,
    writer: Writer,
    write: Timer,
    read: Timer,
    copy: Timer,
    /// What was read, added up.
    sum: u64,
    copied: [u64; abi::KEYS],
}

fn turn(state: &mut State, parameters: &Parameters) -> u32 {
    let now = load(abi::TIME_US);
    work_off_ticks(&mut state.writer, parameters);
    while state.write.fires(WRITE_US, now) {
        state.writer.keep_pace(parameters, state.write.fired() * WRITE_US, u64::MAX);
    }
    while state.read.fires(READ_US, now) {
        state.add_up(parameters);
    }
    while state.copy.fires(COPY_US, now) {
        state.copied.copy_from_slice(state.service.keys());
        state.check_timers();
    }
    let reason = state.service.work_off_requests(&mut state.writer, parameters);
    // The shortest period: no other timer fires before.
    store(abi::NEXT_US, state.write.next_us(WRITE_US));
    reason
}

entry!(State, turn);

impl State {
    /// Reads a word of each of the next pages of the area.
    fn add_up(&mut self, parameters: &Parameters) {
        let area = parameters.area_pages();
        if area == 0 {
            return;
        }
        let first = self.read.fired() * READ_PAGES;
        for page in (first..first + READ_PAGES).map(|page| page % area) {
            self.sum = self.sum.wrapping_add(load(abi::WORK + page * abi::PAGE_BYTES));
        }
    }

    /// When the slowest has fired, the others have fired as often as they do meanwhile, or once more has time passed.
    fn check_timers(&self) {
        let passed = self.copy.fired() * COPY_US;
        check(self.write.fired() * WRITE_US >= passed && self.read.fired() * READ_US >= passed, line!());
        let behind = load(abi::TIME_US);
        check(self.write.fired() * WRITE_US <= behind && self.read.fired() * READ_US <= behind, line!());
    }
}
