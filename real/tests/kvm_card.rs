//! A guest with a network card and a TCP/IP stack of its own, in one machine: what it answers to a frame.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use colo_real::net::Frame;
use colo_real::vm::{Exit, Guest, Machine, MachineConfig, Network, Workload};
use common::kvm_or_skip;

fn workload() -> Workload {
    Workload { guest: Guest::Redis, ..Workload::default() }
}

/// A machine whose guest has come to rest.
fn machine() -> Machine {
    let config = MachineConfig { memory_mib: 16, prefault: false, card: workload().card() };
    let mut machine = Machine::new(&config).unwrap();
    machine.boot(workload().guest.image(), &workload().parameters()).unwrap();
    machine
}

/// Runs the guest until it has nothing to do; what it has sent.
fn run(machine: &mut Machine) -> Vec<Frame> {
    let mut frames = Vec::new();
    while machine.has_work().unwrap() {
        let exit = machine.run().unwrap();
        assert!(matches!(exit, Exit::Doorbell(_)), "{exit:?}");
        machine.take_frames(&mut frames).unwrap();
    }
    frames
}

const CLIENT: [u8; 6] = [2, 0, 0, 0, 0x66, 1];

/// Who has the guest's address?
fn question() -> Vec<u8> {
    let body = [&CLIENT[..], &[10, 66, 0, 1], &[0; 6], &[10, 66, 0, 2]].concat();
    [&[0xff; 6][..], &CLIENT, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &body].concat()
}

#[test]
fn a_guest_says_where_it_is() {
    if !kvm_or_skip("a_guest_says_where_it_is") {
        return;
    }
    let mut machine = machine();
    let before = run(&mut machine);
    assert!(machine.put_frame(&question()).unwrap(), "its driver is ready when it rests");
    let answered = run(&mut machine);
    let own = Network::default().hardware_address;
    let body = [&own[..], &[10, 66, 0, 2], &CLIENT, &[10, 66, 0, 1]].concat();
    let expected = [&CLIENT[..], &own, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2], &body].concat();
    assert_eq!(answered.iter().map(|frame| frame.to_vec()).collect::<Vec<_>>(), [expected]);
    assert_eq!(machine.output_end().unwrap(), (before.len() + 1) as u64);
}
