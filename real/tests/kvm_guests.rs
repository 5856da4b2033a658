//! The guests that have something to do of their own: what they write, when, and that it is in their state and nowhere
//! else.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use colo_real::abi;
use colo_real::vm::{Doorbell, Exit, Guest, Machine, Pattern, Workload};
use common::{assert_same_memory, bare, kvm_or_skip, request};
use std::time::Duration;

/// Pages a second: as many a millisecond as are easily counted.
const RATE: u64 = 20_000;

fn machine(workload: &Workload) -> Machine {
    let mut machine = bare();
    machine.boot(workload.guest.image(), &workload.parameters()).unwrap();
    assert_eq!(machine.run().unwrap(), Exit::Doorbell(Doorbell::Idle));
    machine
}

/// Lets so much time pass, and the guest do what it wants to do then.
fn pass(machine: &mut Machine, time: Duration) {
    machine.pass_time(time).unwrap();
    while machine.has_work().unwrap() {
        assert_eq!(machine.run().unwrap(), Exit::Doorbell(Doorbell::Idle));
    }
}

/// The pages of the working area that the guest has written to since the last harvest.
fn written(machine: &mut Machine) -> Vec<u64> {
    let mut pages = Vec::new();
    machine.harvest(&mut pages).unwrap();
    pages.retain(|page| *page >= abi::WORK / abi::PAGE_BYTES);
    pages
}

#[test]
fn a_rate_is_kept_over_time_in_every_pattern() {
    if !kvm_or_skip("a_rate_is_kept_over_time_in_every_pattern") {
        return;
    }
    for guest in [Guest::Dirtier, Guest::Mixed] {
        for (pattern, least, most) in
            [(Pattern::Sequential, 1_000, 1_000), (Pattern::Random, 600, 999), (Pattern::Hot, 100, 400)]
        {
            let workload =
                Workload { guest, pattern, pages_per_second: RATE, area_pages: 2_000, ..Workload::default() };
            let mut machine = machine(&workload);
            // Until all of the area has been read once: then KVM takes the page for written.
            pass(&mut machine, Duration::from_millis(400));
            machine.forget_dirty().unwrap();
            for _ in 0..50 {
                pass(&mut machine, Duration::from_millis(1));
            }
            let pages = written(&mut machine);
            let count = pages.len();
            assert!((least..=most).contains(&count), "{guest:?}, {pattern:?}: {count}");
            let end = abi::WORK / abi::PAGE_BYTES + 2_000;
            assert!(pages.iter().all(|page| *page < end), "{guest:?}, {pattern:?}: {pages:?}");
        }
    }
}

#[test]
fn a_guest_that_is_behind_still_answers_and_takes_up_no_debt_for_ever() {
    if !kvm_or_skip("a_guest_that_is_behind_still_answers_and_takes_up_no_debt_for_ever") {
        return;
    }
    let workload = Workload { guest: Guest::Dirtier, pages_per_second: RATE, ..Workload::default() };
    let mut machine = machine(&workload);
    machine.pass_time(Duration::from_hours(1)).unwrap();
    assert!(machine.put_request(&request(1, 1, abi::OP_ADD, 3, 4)).unwrap());
    assert_eq!(machine.run().unwrap(), Exit::Doorbell(Doorbell::Idle));
    let mut replies = Vec::new();
    assert_eq!(machine.take_replies(&mut replies).unwrap(), 1);
    assert!(machine.has_work().unwrap(), "it is behind");
    let mut looks = 1;
    while machine.has_work().unwrap() {
        assert_eq!(machine.run().unwrap(), Exit::Doorbell(Doorbell::Idle));
        looks += 1;
    }
    // A second's pages, 256 at a time, and not an hour's.
    assert_eq!(looks, RATE.div_ceil(256));
    assert_eq!(machine.wakes_in().unwrap(), Some(Duration::from_millis(1)));
}

#[test]
fn a_copy_of_a_guest_with_timers_does_what_the_guest_does() {
    if !kvm_or_skip("a_copy_of_a_guest_with_timers_does_what_the_guest_does") {
        return;
    }
    for guest in [Guest::Kv, Guest::Dirtier, Guest::Mixed] {
        let workload =
            Workload { guest, pattern: Pattern::Hot, pages_per_second: RATE, ..Workload::default() };
        let mut original = machine(&workload);
        pass(&mut original, Duration::from_micros(123_456));
        let mut copy = bare();
        for page in 0..original.memory().pages() {
            copy.write_page(page, original.page(page).unwrap()).unwrap();
        }
        let mut state = original.state();
        original.save(&mut state).unwrap();
        copy.restore(&state).unwrap();
        for machine in [&mut original, &mut copy] {
            for step in 1..=40 {
                assert!(machine.put_request(&request(2, step, abi::OP_ADD, step % 7, step)).unwrap());
                pass(machine, Duration::from_micros(7_001));
            }
        }
        assert_same_memory(&original, &copy, &format!("{guest:?}"));
    }
}

#[test]
fn a_guest_that_asks_for_no_time_gets_none() {
    if !kvm_or_skip("a_guest_that_asks_for_no_time_gets_none") {
        return;
    }
    let mut machine = machine(&Workload::default());
    machine.forget_dirty().unwrap();
    machine.pass_time(Duration::from_secs(1)).unwrap();
    assert_eq!((machine.wakes_in().unwrap(), machine.has_work().unwrap()), (None, false));
    let mut pages = Vec::new();
    machine.harvest(&mut pages).unwrap();
    assert_eq!(pages, Vec::<u64>::new());
}
