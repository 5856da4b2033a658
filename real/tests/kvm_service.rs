//! The guest's service on a real machine: answers, retries, refusals, full rings, ticks.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use colo_real::abi::{self, Parameters, Reply};
use colo_real::vm::{Button, Doorbell, Exit, Guest};
use common::{ask, bare, kvm_or_skip, request, service, settle_all};

#[test]
fn the_guest_answers() {
    if !kvm_or_skip("the_guest_answers") {
        return;
    }
    let mut machine = service(0, 0);
    assert_eq!(settle_all(&mut machine), []);
    assert!(!machine.has_work().unwrap());
    let dialogue = [
        (request(7, 1, abi::OP_PUT, 100, 11), 0),
        (request(7, 2, abi::OP_GET, 100, 0), 11),
        (request(9, 1, abi::OP_ADD, 100, u64::MAX), 10),
        (request(9, 2, abi::OP_PUT, 8191, 5), 0),
        (request(255, 1, abi::OP_GET, 100, 0), 10),
    ];
    for (serial, (request, value)) in (1..).zip(dialogue) {
        let reply = Reply {
            client: request.client,
            sequence: request.sequence,
            serial,
            status: abi::STATUS_OK,
            value,
            time: 0,
        };
        assert_eq!(ask(&mut machine, request), [reply]);
        assert_eq!(machine.output_end().unwrap(), serial);
    }
}

#[test]
fn a_retry_gets_the_same_reply_and_changes_nothing() {
    if !kvm_or_skip("a_retry_gets_the_same_reply_and_changes_nothing") {
        return;
    }
    let mut machine = service(0, 0);
    let add = request(3, 1, abi::OP_ADD, 1, 5);
    let first = ask(&mut machine, add);
    assert_eq!(first.len(), 1);
    assert_eq!(ask(&mut machine, request(4, 1, abi::OP_ADD, 1, 5))[0].value, 10);
    for _ in 0..3 {
        assert_eq!(ask(&mut machine, add), first);
    }
    // The same number with another content is still the same request.
    assert_eq!(ask(&mut machine, request(3, 1, abi::OP_PUT, 1, 99)), first);
    let next = ask(&mut machine, request(3, 2, abi::OP_GET, 1, 0))[0];
    assert_eq!((next.value, next.serial), (10, 3));
    // Older ones, and the number 0 that nobody may use, are passed over in silence.
    assert_eq!(ask(&mut machine, add), []);
    assert_eq!(ask(&mut machine, request(3, 0, abi::OP_ADD, 1, 5)), []);
    assert_eq!(ask(&mut machine, request(5, 0, abi::OP_ADD, 1, 5)), []);
    assert_eq!(ask(&mut machine, request(4, 2, abi::OP_GET, 1, 0))[0].value, 10);
}

#[test]
fn bad_requests_are_refused_and_hurt_nobody() {
    if !kvm_or_skip("bad_requests_are_refused_and_hurt_nobody") {
        return;
    }
    let mut machine = service(1, 0);
    assert_eq!(ask(&mut machine, request(1, 1, abi::OP_PUT, 5, 50)).len(), 1);
    let bad = [
        (request(1, 2, 0, 5, 1), abi::STATUS_UNKNOWN_OPERATION),
        (request(1, 2, u64::MAX, 5, 1), abi::STATUS_UNKNOWN_OPERATION),
        (request(1, 2, abi::OP_PUT, 8192, 1), abi::STATUS_BAD_KEY),
        (request(1, 2, abi::OP_ADD, u64::MAX, 1), abi::STATUS_BAD_KEY),
        (request(abi::CLIENTS as u64, 1, abi::OP_PUT, 5, 1), abi::STATUS_BAD_CLIENT),
        (request(u64::MAX, u64::MAX, abi::OP_SHUTDOWN, 5, 1), abi::STATUS_BAD_CLIENT),
    ];
    for (request, status) in bad {
        let refusal = Reply {
            client: request.client,
            sequence: request.sequence,
            serial: 0,
            status,
            value: 0,
            time: 0,
        };
        // Twice: a refusal is not recorded, so its retry is refused likewise.
        assert_eq!(ask(&mut machine, request), [refusal]);
        assert_eq!(ask(&mut machine, request), [refusal]);
    }
    let good = ask(&mut machine, request(1, 2, abi::OP_GET, 5, 0))[0];
    assert_eq!((good.status, good.value, good.serial), (abi::STATUS_OK, 50, 2));
}

#[test]
fn full_rings_lose_nothing() {
    if !kvm_or_skip("full_rings_lose_nothing") {
        return;
    }
    let mut machine = service(0, 0);
    let mut put = 0;
    let mut fill = |machine: &mut colo_real::vm::Machine| {
        while machine.put_request(&request(2, put + 1, abi::OP_ADD, 0, 1)).unwrap() {
            put += 1;
        }
        put
    };
    assert_eq!(fill(&mut machine), 1024);
    assert_eq!(machine.run().unwrap(), Exit::Doorbell(Doorbell::Idle));
    assert_eq!(fill(&mut machine), 2048);
    assert!(!machine.has_work().unwrap(), "there are requests, but no room for replies");
    assert_eq!(machine.run().unwrap(), Exit::Doorbell(Doorbell::ReplyRingFull));
    let mut replies = Vec::new();
    assert_eq!(machine.take_replies(&mut replies).unwrap(), 1024);
    assert!(machine.has_work().unwrap());
    assert_eq!(machine.run().unwrap(), Exit::Doorbell(Doorbell::Idle));
    assert_eq!(machine.take_replies(&mut replies).unwrap(), 1024);
    assert_eq!(machine.take_replies(&mut replies).unwrap(), 0);
    for (n, reply) in (1..).zip(&replies) {
        assert_eq!((reply.sequence, reply.serial, reply.value), (n, n, n));
    }
    assert_eq!(machine.output_end().unwrap(), 2048);
}

#[test]
fn ticks_and_requests_dirty_as_many_pages_as_told() {
    if !kvm_or_skip("ticks_and_requests_dirty_as_many_pages_as_told") {
        return;
    }
    let mut machine = service(20, 300);
    settle_all(&mut machine);
    let mut pages = Vec::new();
    machine.harvest(&mut pages).unwrap();
    machine.harvest(&mut pages).unwrap();
    assert_eq!(pages, [] as [u64; 0], "an idle machine is clean");
    let work = |pages: &[u64]| pages.iter().filter(|page| **page >= abi::WORK / abi::PAGE_BYTES).count();
    machine.tick().unwrap();
    assert!(machine.has_work().unwrap());
    settle_all(&mut machine);
    machine.harvest(&mut pages).unwrap();
    assert!(pages.is_sorted());
    assert_eq!(work(&pages), 300);
    assert!(pages[0] * abi::PAGE_BYTES >= abi::PARAMETERS, "the page tables are written by nobody");
    assert!(pages.len() < 310, "{} pages beside the working area", pages.len() - 300);
    ask(&mut machine, request(1, 1, abi::OP_PUT, 1, 1));
    machine.harvest(&mut pages).unwrap();
    assert_eq!(work(&pages), 20);
    ask(&mut machine, request(1, 1, abi::OP_PUT, 1, 1));
    machine.harvest(&mut pages).unwrap();
    assert_eq!(work(&pages), 0, "a retry does no work");
    machine.write(0x30_0000, &[1]).unwrap();
    machine.forget_dirty().unwrap();
    machine.harvest(&mut pages).unwrap();
    assert_eq!(pages, [] as [u64; 0]);
}

#[test]
fn the_guest_can_ask_to_be_shut_down() {
    if !kvm_or_skip("the_guest_can_ask_to_be_shut_down") {
        return;
    }
    let mut machine = service(0, 0);
    machine.put_request(&request(0, 1, abi::OP_SHUTDOWN, 0, 0)).unwrap();
    assert_eq!(machine.run().unwrap(), Exit::Shutdown);
    let mut replies = Vec::new();
    assert_eq!(machine.take_replies(&mut replies).unwrap(), 1);
    assert_eq!(replies[0].status, abi::STATUS_OK);
}

/// A button does nothing by itself, and a reset nothing to what the service knows.
#[test]
fn a_guest_that_is_reset_knows_what_it_knew_and_loses_what_it_had_not_taken() {
    if !kvm_or_skip("a_guest_that_is_reset_knows_what_it_knew_and_loses_what_it_had_not_taken") {
        return;
    }
    for guest in [Guest::Kv, Guest::Clock, Guest::Dirtier, Guest::Mixed] {
        let mut machine = bare();
        machine.boot(guest.image(), &Parameters::default()).unwrap();
        ask(&mut machine, request(1, 1, abi::OP_PUT, 5, 77));
        let said = machine.output_end().unwrap();
        assert!(guest != Guest::Kv || !machine.has_work().unwrap());
        machine.press(Button::Reset).unwrap();
        assert!(machine.has_work().unwrap(), "{guest:?}");
        assert_eq!(machine.run().unwrap(), Exit::Reset, "{guest:?}");
        machine.put_request(&request(2, 1, abi::OP_PUT, 5, 78)).unwrap();
        machine.reset(guest.image(), &Parameters::default()).unwrap();
        let again = ask(&mut machine, request(1, 1, abi::OP_PUT, 5, 77));
        assert_eq!((again.len(), again[0].serial), (1, 1), "{guest:?}: a retry");
        let next = ask(&mut machine, request(3, 1, abi::OP_GET, 5, 0));
        assert_eq!((next[0].serial, next[0].value), (2, 77), "{guest:?}: client 2 has to ask again");
        assert_eq!(machine.output_end().unwrap(), said + 2, "{guest:?}");
        machine.press(Button::Power).unwrap();
        assert_eq!(machine.run().unwrap(), Exit::Shutdown, "{guest:?}");
        settle_all(&mut machine);
        assert_eq!(ask(&mut machine, request(4, 1, abi::OP_GET, 5, 0))[0].value, 77, "{guest:?}: it goes on");
    }
}
