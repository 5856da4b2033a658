//! A real machine's state: moved to a second machine, whole and then by increments; kicked; misused.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod programs;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use colo_real::Error;
use colo_real::abi::{self, Reply, Request};
use colo_real::vm::{Doorbell, Exit, Failure, Machine, MachineState, decode, encode};
use common::{Dice, assert_same_memory, bare, kvm_or_skip, request, service, settle_all, with_program};

/// Copies pages and the processor's state, by way of a blob, as a checkpoint does.
fn copy(from: &mut Machine, to: &mut Machine, pages: &[u64], state: &mut MachineState) {
    for page in pages {
        to.write_page(*page, from.page(*page).unwrap()).unwrap();
    }
    from.save(state).unwrap();
    let mut blob = Vec::new();
    encode(state, 17, b"withheld", &mut blob).unwrap();
    let decoded = decode(&blob).unwrap();
    assert_eq!((decoded.output_end, decoded.output), (17, &b"withheld"[..]));
    to.restore(&decoded.state).unwrap();
}

/// Requests of a few clients who never wait for their replies.
struct Clients {
    dice: Dice,
    sequences: [u64; 8],
}

impl Clients {
    fn next(&mut self) -> Request {
        let client = self.dice.below(8);
        let sequence = &mut self.sequences[usize::try_from(client).unwrap()];
        *sequence += 1;
        let operation = abi::OP_PUT + self.dice.below(3);
        request(client, *sequence, operation, self.dice.below(40), self.dice.below(1000))
    }
}

/// Runs until a kick that comes after `delay`, or until idle; takes no replies.
fn run_for(machine: &mut Machine, delay: Duration) -> Exit {
    let kicker = machine.kicker();
    thread::scope(|scope| {
        scope.spawn(move || {
            thread::sleep(delay);
            kicker.kick();
        });
        loop {
            match machine.run().unwrap() {
                Exit::Doorbell(_) => thread::sleep(Duration::from_micros(50)),
                exit => break exit,
            }
        }
    })
}

/// Runs out what is left to do; the replies from here on.
fn finish(machine: &mut Machine, further: &[Request]) -> Vec<Reply> {
    for request in further {
        assert!(machine.put_request(request).unwrap());
    }
    settle_all(machine)
}

#[test]
fn a_machine_moves_by_increments_and_goes_on_identically() {
    if !kvm_or_skip("a_machine_moves_by_increments_and_goes_on_identically") {
        return;
    }
    let mut clients = Clients { dice: Dice(1), sequences: [0; 8] };
    let (mut left, mut right) = (service(60, 0), bare());
    let mut state = left.state();
    let mut pages = Vec::new();
    let mut in_the_middle = 0;
    left.harvest(&mut pages).unwrap();
    pages = (0..left.memory().pages()).collect();
    for epoch in 0..200 {
        for _ in 0..clients.dice.below(30) {
            left.put_request(&clients.next()).unwrap();
        }
        let delay = Duration::from_micros(clients.dice.below(3000));
        assert_eq!(run_for(&mut left, delay), Exit::Kicked);
        in_the_middle += u32::from(left.has_work().unwrap());
        if epoch > 0 {
            left.harvest(&mut pages).unwrap();
        }
        copy(&mut left, &mut right, &pages, &mut state);
        assert_same_memory(&left, &right, &format!("epoch {epoch}, copied"));
        if epoch % 5 == 4 {
            let further: Vec<Request> = (0..20).map(|_| clients.next()).collect();
            assert_eq!(finish(&mut left, &further), finish(&mut right, &further), "epoch {epoch}");
            assert_same_memory(&left, &right, &format!("epoch {epoch}, run on"));
            left.save(&mut state).unwrap();
            let registers = *state.cpu.registers();
            right.save(&mut state).unwrap();
            assert_eq!(registers, *state.cpu.registers());
        } else {
            left.take_replies(&mut Vec::new()).unwrap();
        }
    }
    assert!(in_the_middle > 20, "only {in_the_middle} of 200 epochs ended in the middle of work");
}

/// Pre-copy: pages are copied while the guest writes to them, and in the stop only those that it has written since.
#[test]
fn a_machine_moves_by_rounds_while_it_runs_and_a_rest() {
    if !kvm_or_skip("a_machine_moves_by_rounds_while_it_runs_and_a_rest") {
        return;
    }
    let mut clients = Clients { dice: Dice(4), sequences: [0; 8] };
    let (mut left, mut right) = (service(60, 0), bare());
    let mut running = left.running_memory();
    let mut state = left.state();
    let mut rest = Vec::new();
    left.forget_dirty().unwrap();
    for page in 0..left.memory().pages() {
        right.write_page(page, left.page(page).unwrap()).unwrap();
    }
    let mut written_again = 0;
    for epoch in 0..60 {
        for _ in 0..30 {
            left.put_request(&clients.next()).unwrap();
        }
        let (mut pages, mut page_copy) = (Vec::new(), [0; 4096]);
        let rounds = thread::scope(|scope| {
            let guest = scope.spawn(|| run_for(&mut left, Duration::from_millis(3)));
            let mut copied = Vec::new();
            for _ in 0..2 {
                running.harvest(&mut pages).unwrap();
                for page in &pages {
                    running.copy(*page, &mut page_copy).unwrap();
                    copied.push((*page, page_copy));
                }
            }
            assert_eq!(guest.join().unwrap(), Exit::Kicked);
            copied
        });
        for (page, content) in &rounds {
            right.write_page(*page, content).unwrap();
        }
        left.harvest(&mut rest).unwrap();
        written_again += rounds.iter().filter(|(page, _)| rest.contains(page)).count();
        copy(&mut left, &mut right, &rest, &mut state);
        assert_same_memory(&left, &right, &format!("epoch {epoch}"));
        left.take_replies(&mut Vec::new()).unwrap();
    }
    assert!(written_again > 0, "nothing was written while it was copied");
}

#[test]
fn registers_and_vectors_survive_the_move() {
    if !kvm_or_skip("registers_and_vectors_survive_the_move") {
        return;
    }
    let mut left = with_program(programs::registers());
    let mut right = bare();
    assert_eq!(left.run().unwrap(), Exit::Doorbell(Doorbell::Idle));
    let pages: Vec<u64> = (0..left.memory().pages()).collect();
    let mut state = left.state();
    copy(&mut left, &mut right, &pages, &mut state);
    assert!(state.cpu.msrs().count() > 10);
    for machine in [&mut left, &mut right] {
        assert_eq!(machine.run().unwrap(), Exit::Doorbell(Doorbell::Idle));
        let mut dump = vec![0; programs::DUMP_BYTES];
        machine.memory().read(abi::WORK, &mut dump).unwrap();
        assert_eq!(dump, programs::expected_dump());
    }
    assert_same_memory(&left, &right, "after the dump");
}

#[test]
fn a_half_done_port_access_is_completed_exactly_once() {
    if !kvm_or_skip("a_half_done_port_access_is_completed_exactly_once") {
        return;
    }
    let is_idle: fn(&Exit) -> bool = |exit| *exit == Exit::Doorbell(Doorbell::Idle);
    let is_input: fn(&Exit) -> bool = |exit| matches!(exit, Exit::Failed(Failure::Unexpected(_)));
    for (program, is_second) in [(programs::OUT_OUT_OUT, is_idle), (programs::OUT_IN_OUT, is_input)] {
        let mut left = with_program(&program);
        assert!(is_idle(&left.run().unwrap()));
        let mut state = left.state();
        left.save(&mut state).unwrap();
        assert!(is_second(&left.run().unwrap()));
        // The second access waits to be completed; in the restored state it has not even begun.
        left.restore(&state).unwrap();
        assert!(is_second(&left.run().unwrap()));
        // Now it is completed by the save, and over on either machine.
        let mut right = bare();
        let pages: Vec<u64> = (0..left.memory().pages()).collect();
        copy(&mut left, &mut right, &pages, &mut state);
        for machine in [&mut left, &mut right] {
            machine.settle().unwrap();
            assert_eq!(machine.run().unwrap(), Exit::Doorbell(Doorbell::ReplyRingFull));
        }
    }
}

#[test]
fn a_kick_ends_a_spinning_guest() {
    if !kvm_or_skip("a_kick_ends_a_spinning_guest") {
        return;
    }
    let mut machine = with_program(&programs::SPIN);
    for _ in 0..20 {
        assert_eq!(run_for(&mut machine, Duration::from_millis(1)), Exit::Kicked);
    }
    machine.kicker().kick();
    machine.kicker().kick();
    assert_eq!(machine.run().unwrap(), Exit::Kicked, "a kick between runs ends the next run");
    let kicker = machine.kicker();
    drop(machine);
    kicker.kick();
}

#[test]
fn no_kick_is_lost_in_a_storm() {
    if !kvm_or_skip("no_kick_is_lost_in_a_storm") {
        return;
    }
    let kicks = 3000;
    let mut machine = with_program(&programs::SPIN);
    let kicker = machine.kicker();
    let answered = AtomicBool::new(true);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut dice = Dice(2);
            for _ in 0..kicks {
                // The next kick only when the last has been answered: a lost one hangs the test.
                while !answered.swap(false, Ordering::AcqRel) {
                    thread::yield_now();
                }
                // So short that it lands before the guest is entered, while it is, or just after.
                for _ in 0..dice.below(1000) {
                    std::hint::spin_loop();
                }
                kicker.kick();
            }
        });
        for _ in 0..kicks {
            assert_eq!(machine.run().unwrap(), Exit::Kicked);
            answered.store(true, Ordering::Release);
        }
    });
}

#[test]
fn a_guest_that_misbehaves_fails_alone() {
    if !kvm_or_skip("a_guest_that_misbehaves_fails_alone") {
        return;
    }
    let mut good = service(0, 0);
    for (name, program) in programs::FAULTS {
        let mut machine = with_program(program);
        let exit = machine.run().unwrap();
        assert!(matches!(exit, Exit::Failed(Failure::Fault(_))), "{name}: {exit:?}");
    }
    for (name, program) in programs::ODDITIES {
        let mut machine = with_program(program);
        let exit = machine.run().unwrap();
        assert!(matches!(exit, Exit::Failed(Failure::Unexpected(_))), "{name}: {exit:?}");
    }
    let mut machine = with_program(&programs::PANIC);
    assert_eq!(machine.run().unwrap(), Exit::Failed(Failure::Panicked { line: 7 }));
    assert_eq!(settle_all(&mut good), []);
}

#[test]
fn corrupt_rings_are_errors() {
    if !kvm_or_skip("corrupt_rings_are_errors") {
        return;
    }
    let mut machine = service(0, 0);
    settle_all(&mut machine);
    for put in [1025, u64::MAX] {
        machine.write(abi::REPLIES_PUT, &u64::to_le_bytes(put)).unwrap();
        let mut replies = Vec::new();
        assert!(matches!(machine.take_replies(&mut replies), Err(Error::Ring { ring: "reply", .. })));
        assert!(replies.is_empty());
    }
    machine.write(abi::REPLIES_PUT, &[0; 8]).unwrap();
    for taken in [1, u64::MAX - 1024] {
        machine.write(abi::REQUESTS_TAKEN, &u64::to_le_bytes(taken)).unwrap();
        assert!(matches!(machine.put_request(&Request::default()), Err(Error::Ring { ring: "request", .. })));
        assert!(matches!(machine.has_work(), Err(Error::Ring { ring: "request", .. })));
    }
}

#[test]
fn images_and_addresses_have_limits() {
    if !kvm_or_skip("images_and_addresses_have_limits") {
        return;
    }
    let mut machine = bare();
    let parameters = abi::Parameters::default();
    assert!(matches!(machine.boot(&[], &parameters), Err(Error::Image { .. })));
    assert!(matches!(machine.boot(&vec![0x90; 1 << 20], &parameters), Err(Error::Image { .. })));
    let end = machine.memory().pages();
    assert!(matches!(machine.write_page(end, &[0; 4096]), Err(Error::Address { .. })));
    assert!(matches!(machine.write_page(u64::MAX, &[0; 4096]), Err(Error::Address { .. })));
    assert!(matches!(machine.page(end), Err(Error::Address { .. })));
}
