//! Rounds of pre-copy: RAM is sent while the primary's VM executes, and only the rest in the stop.
#![expect(clippy::unwrap_used, reason = "a test may")]

mod common;

use colo_protocol::{Abort, Machine, NodeName, Rules};
use common::told;

const TWO: Rules = Rules { precopy_rounds: 2, ..Rules::REMUS };
const REPLIED: &str = "checkpoint-ready, guest-output 2, checkpoint-due, checkpoint-reply";

/// Gives inputs by name to a primary and returns, a line each, the effects and the phase that follow.
fn play(rules: &Rules, inputs: &str) -> Vec<String> {
    let mut machine = Machine::new(NodeName::Primary);
    inputs.split(", ").map(|text| told(&mut machine, rules, text)).collect()
}

fn last(rules: &Rules, inputs: &str) -> String {
    play(rules, &format!("{REPLIED}, {inputs}")).pop().unwrap()
}

#[test]
fn rounds_are_sent_while_the_vm_executes_and_the_rest_when_it_has_been_captured() {
    let inputs =
        format!("{REPLIED}, guest-output 3, round-sent, round-sent, vm-suspended, state-saved 9, ram-sent");
    assert_eq!(
        play(&TWO, &inputs)[3..],
        [
            "[vmstate-send, send-round 1] pre-copying",
            "[] pre-copying",
            "[send-round 1] pre-copying",
            "[suspend-vm] suspending",
            "[save-state 1] saving",
            "[resume-vm, arm-checkpoint-timer 200, send-ram 1] sending-ram",
            "[vmstate-size 9, send-device-state 1] sending-device-state",
        ]
    );
}

#[test]
fn without_rounds_nothing_is_sent_before_the_capture() {
    assert_eq!(last(&Rules::REMUS, "vm-suspended"), "[save-state 1] saving");
    assert!(last(&Rules::REMUS, "vm-suspended, state-saved 9").contains("vmstate-send, send-ram 1"));
}

/// What is sent in the rounds' time is in the capture, and leaves with this checkpoint.
#[test]
fn output_of_the_rounds_is_covered_by_their_checkpoint() {
    let sent = "vm-suspended, state-saved 9, ram-sent, device-state-sent";
    let inputs = format!("guest-output 3, round-sent, guest-output 4, round-sent, {sent}, vmstate-received");
    assert_eq!(last(&TWO, &inputs), "[release 4] wait-loaded");
}

#[test]
fn a_failover_during_a_round_does_not_wait_for_it() {
    let alone = "[close-link, fail-over-disk, take-over, release 2, colo-exit request] alone";
    assert_eq!(last(&TWO, "lost-heartbeat"), alone);
    assert_eq!(last(&TWO, "round-sent, lost-heartbeat"), alone);
    assert_eq!(last(&TWO, "link-down"), "[colo-exit error] error");
    // A link that the node has closed may still have taken it.
    assert_eq!(last(&TWO, "lost-heartbeat, round-sent"), "[] alone");
    let never = Rules { abort: Abort::Never, ..TWO };
    assert_eq!(last(&never, "lost-heartbeat"), "[] taking-over");
    assert_eq!(last(&never, "lost-heartbeat, round-sent"), alone);
}

#[test]
fn requests_and_a_power_off_that_come_during_the_rounds_wait_for_the_next_checkpoint() {
    let end =
        "round-sent, round-sent, vm-suspended, state-saved 9, ram-sent, device-state-sent, vmstate-received";
    for early in ["checkpoint-due", "guest-powers-off"] {
        let inputs = format!("{early}, {end}, vmstate-loaded");
        assert_eq!(last(&TWO, &inputs), "[checkpoint-request] wait-reply", "{early}");
    }
}

/// The initial state of a replacement is captured in one piece.
#[test]
fn a_survivor_is_protected_without_rounds() {
    let protect = "lost-heartbeat, protect, vm-suspended, state-saved 9";
    assert_eq!(last(&TWO, protect), "[send-ram 0] sending-ram");
}
