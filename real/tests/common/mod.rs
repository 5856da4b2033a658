//! What the tests on real virtual machines share: the skip, a guest that is asked and answers, a seeded generator.

#![allow(dead_code, reason = "each test binary uses its own part")]

#[cfg(feature = "etcd")]
pub(crate) mod etcd;
pub(crate) mod pair;

use colo_real::abi::{Parameters, Reply, Request};
use colo_real::kvm_usable;
use colo_real::vm::{Doorbell, Exit, Guest, Machine, MachineConfig};

/// Whether to run at all. Without a usable /dev/kvm a test says loudly that it is skipped; with `COLO_REQUIRE_KVM=1` it
/// fails instead.
pub(crate) fn kvm_or_skip(test: &str) -> bool {
    let Err(error) = kvm_usable() else { return true };
    assert!(std::env::var("COLO_REQUIRE_KVM").as_deref() != Ok("1"), "{test}: {error}");
    eprintln!("SKIPPED {test}: {error}");
    false
}

/// A machine with the least memory, nothing in it.
pub(crate) fn bare() -> Machine {
    Machine::new(&MachineConfig { memory_mib: 16, prefault: false, card: None }).unwrap()
}

/// A machine with the least memory and the key-value service.
pub(crate) fn service(dirty_pages_per_request: u64, dirty_pages_per_tick: u64) -> Machine {
    let mut machine = bare();
    let parameters = Parameters { dirty_pages_per_request, dirty_pages_per_tick, ..Parameters::default() };
    machine.boot(Guest::Kv.image(), &parameters).unwrap();
    machine
}

/// A machine with a program of the test's own.
pub(crate) fn with_program(image: &[u8]) -> Machine {
    let mut machine = bare();
    machine.boot(image, &Parameters::default()).unwrap();
    machine
}

/// Runs until the guest has nothing left to do, and takes its replies.
pub(crate) fn settle_all(machine: &mut Machine) -> Vec<Reply> {
    assert_eq!(machine.run().unwrap(), Exit::Doorbell(Doorbell::Idle));
    let mut replies = Vec::new();
    machine.take_replies(&mut replies).unwrap();
    replies
}

/// Puts one request and gives what the guest answers.
pub(crate) fn ask(machine: &mut Machine, request: Request) -> Vec<Reply> {
    assert!(machine.put_request(&request).unwrap());
    settle_all(machine)
}

pub(crate) fn request(client: u64, sequence: u64, operation: u64, key: u64, value: u64) -> Request {
    Request { client, sequence, operation, key, value }
}

/// A small seeded generator: these tests need variety, not quality.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Panics at the first page in which two memories differ.
pub(crate) fn assert_same_memory(left: &Machine, right: &Machine, when: &str) {
    for page in 0..left.memory().pages() {
        assert!(left.page(page).unwrap() == right.page(page).unwrap(), "{when}: page {page:#x} differs");
    }
}
