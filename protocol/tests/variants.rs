//! What each rule changes, step by step: both VMs executing, silence and the arbiter, the disk, powering off.
#![expect(clippy::unwrap_used, reason = "a test may")]

mod common;

use colo_protocol::{Execution, Input, InputKind, Machine, Node, NodeName, Rules, rules_named};
use common::told;

const HYBRID: Rules = Rules { execution: Execution::Hybrid, ..Rules::V12 };

/// Gives inputs by name ("guest-output 3") and returns, a line each, the effects and the phase that follow.
fn play(node: NodeName, rules: &Rules, inputs: &str) -> Vec<String> {
    let mut machine = Machine::new(node);
    inputs.split(", ").map(|text| told(&mut machine, rules, text)).collect()
}

/// What the last of the inputs leads to.
fn last(node: NodeName, rules: &Rules, inputs: &str) -> String {
    play(node, rules, inputs).pop().unwrap()
}

fn named(name: &str) -> Rules {
    rules_named(name).unwrap()
}

const RECEIVED: &str =
    "state-loaded 0, checkpoint-request, vmstate-send, ram-received, vmstate-size 9, device-state-received";
const RUNNING: &str = "checkpoint-ready, guest-output 2";
const SENT: &str = "checkpoint-ready, guest-output 2, checkpoint-due, checkpoint-reply, vm-suspended, state-saved 9, ram-sent, device-state-sent";

#[test]
fn both_vms_execute_and_the_secondary_stands_still_for_a_checkpoint_only() {
    let inputs = "state-loaded 0, guest-output 1, checkpoint-request, vm-suspended, vmstate-send, ram-received, \
                  vmstate-size 9, device-state-received, vm-locked, state-loaded 1";
    assert_eq!(
        play(NodeName::Secondary, &HYBRID, inputs),
        [
            "[start-replication, resume-vm, checkpoint-ready] wait-request",
            "[redirect-output 1] wait-request",
            "[suspend-vm] suspending",
            "[checkpoint-reply] wait-send",
            "[] receiving-ram",
            "[] wait-size",
            "[] receiving-device-state",
            "[vmstate-received, lock-vm] wait-lock",
            "[load-state 1] loading",
            "[checkpoint-disk 1, resume-vm, vmstate-loaded] wait-request",
        ]
    );
}

#[test]
fn output_that_matches_leaves_at_once_and_what_differs_asks_for_a_checkpoint() {
    let of = |inputs: &str| last(NodeName::Primary, &HYBRID, &format!("{RUNNING}, {inputs}"));
    assert_eq!(of("outputs-match 1"), "[release 1] running");
    assert_eq!(of("outputs-match 9"), "[release 2] running");
    assert_eq!(of("outputs-differ"), "[checkpoint-request] wait-reply");
    assert_eq!(of("output-held-too-long"), "[checkpoint-request] wait-reply");
    assert_eq!(of("link-down, outputs-match 1"), "[] error");
    let periodic = last(NodeName::Primary, &Rules::V12, &format!("{RUNNING}, outputs-match 1"));
    assert_eq!(periodic, "[] running");
}

#[test]
fn the_comparison_forgets_the_secondarys_output_with_the_checkpoint() {
    let of = |rules: &Rules, inputs: &str| last(NodeName::Primary, rules, &format!("{SENT}, {inputs}"));
    assert_eq!(of(&HYBRID, "vmstate-received"), "[release 2, forget-peer-output] wait-loaded");
    assert_eq!(of(&Rules::V12, "vmstate-received"), "[release 2] wait-loaded");
}

#[test]
fn what_is_not_compared_waits_or_leaves_at_once() {
    let of = |rules: &Rules, inputs: &str| last(NodeName::Primary, rules, &format!("{RUNNING}, {inputs}"));
    assert_eq!(of(&named("qemu"), "uncompared-output 3"), "[release-uncompared 3] running");
    assert_eq!(of(&named("qemu"), "guest-output 3"), "[] running");
    assert_eq!(of(&HYBRID, "uncompared-output 3"), "[] running");
    assert_eq!(
        of(&Rules { execution: Execution::Periodic, ..named("qemu") }, "uncompared-output 3"),
        "[] running"
    );
}

#[test]
fn a_secondary_that_is_being_suspended_takes_over_when_it_is() {
    let inputs = "state-loaded 0, guest-output 1, checkpoint-request, lost-heartbeat, vm-suspended";
    let lines = play(NodeName::Secondary, &HYBRID, inputs);
    assert_eq!(
        lines[3..],
        [
            "[close-link, discard-staged 1] taking-over",
            "[fail-over-disk, take-over, release 1, resume-vm, colo-exit request] alone",
        ]
    );
    let cut = "state-loaded 0, checkpoint-request, link-down, vm-suspended";
    assert_eq!(last(NodeName::Secondary, &HYBRID, cut), "[discard-staged 1, colo-exit error] error");
}

#[test]
fn a_vm_that_executes_already_is_not_resumed_at_its_promotion() {
    let line = last(NodeName::Secondary, &HYBRID, "state-loaded 0, lost-heartbeat");
    assert_eq!(line, "[close-link, fail-over-disk, take-over, release 0, colo-exit request] alone");
}

#[test]
fn requests_during_a_checkpoint_are_one_or_many() {
    let due = "checkpoint-due, outputs-differ, outputs-differ";
    for (rules, after) in [
        (HYBRID, "[resume-vm, arm-checkpoint-timer 200] running"),
        (named("bug:counted-requests"), "[resume-vm, checkpoint-request] wait-reply"),
    ] {
        let inputs = format!("{SENT}, vmstate-received, {due}, vmstate-loaded");
        // The first checkpoint answers all requests, or one of three.
        assert_eq!(last(NodeName::Primary, &rules, &inputs), "[resume-vm, checkpoint-request] wait-reply");
        let again = "checkpoint-reply, vm-suspended, state-saved 9, ram-sent, device-state-sent, vmstate-received, vmstate-loaded";
        assert_eq!(last(NodeName::Primary, &rules, &format!("{inputs}, {again}")), after);
    }
}

#[test]
fn silence_leads_to_the_arbiter_and_its_answer_to_one_of_two_ends() {
    let strict = named("strict");
    for (node, start, granted) in [
        (NodeName::Primary, RUNNING, "[fail-over-disk, take-over, release 2, colo-exit request] alone"),
        (
            NodeName::Secondary,
            "state-loaded 2",
            "[fail-over-disk, take-over, release 2, resume-vm, colo-exit request] alone",
        ),
    ] {
        let asked = format!("{start}, peer-silent");
        assert_eq!(last(node, &strict, &asked), "[close-link, ask-arbiter] taking-over");
        assert_eq!(last(node, &strict, &format!("{asked}, arbiter-granted")), granted);
        let denied = play(
            node,
            &strict,
            &format!("{asked}, arbiter-denied, guest-output 3, peer-silent, lost-heartbeat"),
        );
        assert_eq!(
            denied[denied.len() - 4..],
            [
                "[halt, colo-exit error] fenced",
                "[] fenced",
                "[] fenced",
                "error: the VM is not in COLO mode (state fenced); [] fenced",
            ]
        );
    }
}

#[test]
fn silence_means_nothing_to_those_who_do_not_watch() {
    for name in ["v12", "late-release", "remus", "fast", "qemu"] {
        for (node, start, phase) in
            [(NodeName::Primary, RUNNING, "running"), (NodeName::Secondary, "state-loaded 0", "wait-request")]
        {
            assert_eq!(last(node, &named(name), &format!("{start}, peer-silent")), format!("[] {phase}"));
        }
    }
}

#[test]
fn a_lost_link_is_not_yet_silence() {
    let strict = named("strict");
    let lines = play(NodeName::Primary, &strict, &format!("{RUNNING}, link-down, peer-silent, peer-silent"));
    assert_eq!(lines[2..], ["[colo-exit error] error", "[ask-arbiter] taking-over", "[] taking-over"]);
}

#[test]
fn a_closed_link_is_the_peers_death_where_the_rules_say_so() {
    let rules = Rules { detection: colo_protocol::Detection::LinkClosed, ..Rules::V12 };
    for (node, inputs, expected) in [
        (NodeName::Primary, RUNNING, "[fail-over-disk, take-over, release 2, colo-exit request] alone"),
        (
            NodeName::Secondary,
            "state-loaded 2",
            "[fail-over-disk, take-over, release 2, resume-vm, colo-exit request] alone",
        ),
    ] {
        assert_eq!(last(node, &rules, &format!("{inputs}, link-down")), expected);
        assert_eq!(last(node, &rules, &format!("{inputs}, link-down, link-down")), "[] alone");
        // So does a failover that was asked for before and has not begun: there is nothing more to wait for.
        let mut machine = Machine::new(node);
        for text in inputs.split(", ") {
            told(&mut machine, &rules, text);
        }
        machine.step(&rules, Input::LostHeartbeat);
        assert_eq!(told(&mut machine, &rules, "link-down"), expected);
    }
    // What is captured then is never sent: nobody is there to take it, and nothing would end the sending.
    let mut node = Node::new(NodeName::Primary);
    let saving = "checkpoint-ready, checkpoint-due, checkpoint-reply, vm-suspended";
    for text in saving.split(", ").chain(["lost-heartbeat", "link-down", "state-saved"]) {
        let kind = InputKind::from_name(text).unwrap();
        assert_eq!(node.input(&rules, Input::new(kind, 0)), None, "{text}");
    }
    while node.next_effect(&rules).is_some() {}
    assert_eq!(node.machine().phase_name(), "alone");
    // Before the initial state is loaded there is no VM that could serve.
    assert_eq!(
        play(NodeName::Secondary, &rules, "link-down, state-loaded 2"),
        [
            "[] taking-over",
            "[start-replication, fail-over-disk, take-over, release 2, resume-vm, colo-exit request] alone",
        ]
    );
    // What has been promised is applied first.
    let promised = format!("{RECEIVED}, vm-locked, link-down, state-loaded 2");
    assert_eq!(
        play(NodeName::Secondary, &rules, &promised)[7..],
        [
            "[] taking-over",
            "[checkpoint-disk 1, fail-over-disk, take-over, release 2, resume-vm, colo-exit request] alone",
        ]
    );
}

#[test]
fn a_timer_that_was_armed_before_the_node_left_colo_asks_for_nothing() {
    for (inputs, phase) in [("link-down", "error"), ("lost-heartbeat", "alone")] {
        let mut machine = Machine::new(NodeName::Primary);
        for text in format!("{RUNNING}, {inputs}").split(", ") {
            told(&mut machine, &Rules::V12, text);
        }
        assert_eq!(told(&mut machine, &Rules::V12, "checkpoint-due"), format!("[] {phase}"));
        assert_eq!(machine.pending_requests(), 0, "{phase}");
    }
}

#[test]
fn the_arbiter_is_asked_when_nothing_is_in_hand_any_more() {
    let strict = named("strict");
    let suspending = format!("{RUNNING}, checkpoint-due, checkpoint-reply, peer-silent, vm-suspended");
    assert_eq!(last(NodeName::Primary, &strict, &suspending), "[ask-arbiter] taking-over");
    let promised = format!("{RECEIVED}, peer-silent, vm-locked, state-loaded 2");
    assert_eq!(last(NodeName::Secondary, &strict, &promised), "[checkpoint-disk 1, ask-arbiter] taking-over");
    let unpromised = Rules { deferral: colo_protocol::FailoverDeferral::WhileLoading, ..strict };
    let lines = play(NodeName::Secondary, &unpromised, &format!("{RECEIVED}, peer-silent, vm-locked"));
    assert_eq!(lines[6..], ["[close-link, discard-staged 1] taking-over", "[ask-arbiter] taking-over"]);
}

#[test]
fn the_disk_follows_the_memory_unless_it_was_failed_over_before() {
    let loaded = format!("{RECEIVED}, vm-locked, state-loaded 2");
    assert_eq!(
        last(NodeName::Secondary, &Rules::V12, &loaded),
        "[checkpoint-disk 1, vmstate-loaded] wait-request"
    );
    assert_eq!(
        last(NodeName::Secondary, &Rules::REMUS, &loaded),
        "[commit-disk-epoch 1, vmstate-loaded] wait-request"
    );
    let window = format!("{RECEIVED}, lost-heartbeat, vm-locked, state-loaded 2");
    let lines = play(NodeName::Secondary, &named("bug:load-after-failover"), &window);
    assert_eq!(
        lines[6..],
        [
            "[close-link, fail-over-disk] taking-over",
            "[load-state 1] taking-over",
            "[take-over, release 2, resume-vm, colo-exit request] alone",
        ]
    );
}

#[test]
fn ram_may_be_applied_before_the_devices_have_come() {
    let inputs = "state-loaded 0, checkpoint-request, vmstate-send, ram-received";
    assert_eq!(last(NodeName::Secondary, &named("bug:ram-first"), inputs), "[apply-ram 1] wait-size");
    assert_eq!(last(NodeName::Secondary, &Rules::V12, inputs), "[] wait-size");
}

#[test]
fn a_failed_load_that_is_forgotten_lets_half_a_vm_run() {
    let rules = named("bug:failed-load-forgotten");
    let failed = format!("{RECEIVED}, vm-locked, load-failed");
    assert_eq!(
        last(NodeName::Secondary, &rules, &failed),
        "[close-link, discard-staged 1, colo-exit error] error"
    );
    let promoted = last(NodeName::Secondary, &rules, &format!("{failed}, lost-heartbeat"));
    assert_eq!(promoted, "[fail-over-disk, take-over, release 0, resume-vm] alone");
    let deferred =
        last(NodeName::Secondary, &rules, &format!("{RECEIVED}, lost-heartbeat, vm-locked, load-failed"));
    assert_eq!(deferred, "[fail-over-disk, take-over, release 0, resume-vm, colo-exit request] alone");
    let first = last(NodeName::Secondary, &rules, "load-failed");
    assert_eq!(first, "[close-link, colo-exit error] failed");
}

#[test]
fn a_guest_that_powers_off_takes_the_secondary_along_in_the_v12_dialect() {
    let asked = format!("{RUNNING}, guest-powers-off");
    assert_eq!(last(NodeName::Primary, &Rules::V12, &asked), "[checkpoint-request] wait-reply");
    let rest = "checkpoint-reply, vm-suspended, state-saved 9, ram-sent, device-state-sent, vmstate-received, vmstate-loaded";
    let ended = last(NodeName::Primary, &Rules::V12, &format!("{asked}, {rest}"));
    assert_eq!(ended, "[resume-vm, arm-checkpoint-timer 200, guest-shutdown, shut-down] shut-down");
    let told = last(NodeName::Secondary, &Rules::V12, "state-loaded 0, guest-shutdown");
    assert_eq!(told, "[shut-down] shut-down");
    assert_eq!(
        last(NodeName::Secondary, &Rules::V12, "state-loaded 0, guest-shutdown, lost-heartbeat"),
        "error: the VM is not in COLO mode (state shut-down); [] shut-down"
    );
}

#[test]
fn a_guest_that_powers_off_just_goes_in_the_current_dialect() {
    let qemu = named("qemu");
    let gone = "[close-link, shut-down] shut-down";
    assert_eq!(last(NodeName::Primary, &qemu, &format!("{RUNNING}, guest-powers-off")), gone);
    assert_eq!(last(NodeName::Secondary, &qemu, "state-loaded 0, guest-powers-off"), gone);
    let twice = last(
        NodeName::Primary,
        &qemu,
        &format!("{RUNNING}, guest-powers-off, guest-powers-off, guest-output 3"),
    );
    assert_eq!(twice, "[] shut-down");
    let refused = last(NodeName::Primary, &qemu, &format!("{RUNNING}, guest-powers-off, lost-heartbeat"));
    assert_eq!(refused, "error: the VM is not in COLO mode (state shut-down); [] shut-down");
}

#[test]
fn a_wish_to_power_off_outlives_a_failover_or_is_forgotten() {
    let inputs = format!("{RUNNING}, guest-powers-off, lost-heartbeat");
    let promoted = "[close-link, fail-over-disk, take-over, release 2, colo-exit request";
    assert_eq!(last(NodeName::Primary, &Rules::V12, &inputs), format!("{promoted}, shut-down] shut-down"));
    let forgets = Rules { shutdown: colo_protocol::PendingShutdown::Forgotten, ..Rules::V12 };
    assert_eq!(last(NodeName::Primary, &forgets, &inputs), format!("{promoted}] alone"));
    assert_eq!(
        last(NodeName::Primary, &Rules::V12, &format!("{RUNNING}, lost-heartbeat, guest-powers-off")),
        "[shut-down] shut-down"
    );
}

#[test]
fn a_pair_without_the_capability_leaves_the_primary_as_it_was() {
    assert_eq!(
        last(NodeName::Primary, &Rules::V12, "capability-missing"),
        "[close-link, colo-exit error, fail-over-disk, take-over, release 0, resume-vm] alone"
    );
    // Where there is an arbiter, it is asked here, too: the secondary may have been taken in by a silence.
    let asked = last(NodeName::Primary, &named("strict"), "capability-missing");
    assert_eq!(asked, "[close-link, colo-exit error, ask-arbiter] taking-over");
    assert_eq!(
        last(NodeName::Secondary, &Rules::V12, "capability-missing"),
        "[close-link, colo-exit error] failed"
    );
    assert_eq!(last(NodeName::Secondary, &Rules::V12, "capability-missing, state-loaded 0"), "[] failed");
    for (node, start) in [(NodeName::Primary, RUNNING), (NodeName::Secondary, "state-loaded 0")] {
        let line = last(node, &Rules::V12, &format!("{start}, capability-missing"));
        assert!(line.starts_with("error: unexpected input capability-missing in state "), "{line}");
    }
}

#[test]
fn the_exit_reason_is_told_by_what_has_happened_or_by_what_was_asked() {
    let inputs = format!("{RUNNING}, lost-heartbeat");
    assert!(last(NodeName::Primary, &Rules::V12, &inputs).contains("colo-exit request"));
    assert!(last(NodeName::Primary, &named("bug:exit-reason"), &inputs).contains("colo-exit error"));
}

#[test]
fn what_was_still_on_a_closed_link_means_nothing() {
    for inputs in ["checkpoint-request", "guest-shutdown"] {
        let line = last(NodeName::Secondary, &Rules::V12, &format!("state-loaded 0, link-down, {inputs}"));
        assert_eq!(line, "[] error");
    }
    let late = "state-loaded 0, checkpoint-request, vmstate-send, lost-heartbeat, ram-received, device-state-received";
    assert_eq!(last(NodeName::Secondary, &Rules::V12, late), "[] alone");
    assert_eq!(
        last(NodeName::Primary, &Rules::V12, &format!("{RUNNING}, link-down, checkpoint-reply")),
        "[] error"
    );
}

#[test]
fn a_power_off_waits_for_the_end_of_a_checkpoint_that_was_requested_after_it_and_for_no_other() {
    let of = |inputs: &str| last(NodeName::Primary, &Rules::V12, inputs);
    let covered = format!("{SENT}, guest-powers-off, vmstate-received, vmstate-loaded");
    assert_eq!(of(&covered), "[resume-vm, checkpoint-request] wait-reply");
    let again =
        "checkpoint-reply, vm-suspended, state-saved 9, ram-sent, device-state-sent, vmstate-received";
    // What has become due meanwhile does not put it off once more.
    let end = format!("{covered}, {again}, checkpoint-due, vmstate-loaded");
    assert_eq!(of(&end), "[resume-vm, guest-shutdown, shut-down] shut-down");
}

#[test]
fn a_failover_that_does_not_abort_waits_for_what_is_being_sent() {
    let never = named("bug:no-abort");
    let sending = SENT.strip_suffix(", ram-sent, device-state-sent").unwrap();
    let of = |inputs: &str| last(NodeName::Primary, &never, &format!("{sending}, lost-heartbeat{inputs}"));
    assert_eq!(of(""), "[] taking-over");
    for end in [", ram-sent", ", link-down"] {
        assert!(of(end).contains("take-over") && of(end).ends_with("alone"), "{end}: {}", of(end));
    }
    let at_once = last(NodeName::Primary, &Rules::V12, &format!("{sending}, lost-heartbeat"));
    assert!(at_once.starts_with("[close-link, ") && at_once.ends_with("alone"), "{at_once}");
}

#[test]
fn a_failover_that_waits_for_a_load_goes_on_or_fails_when_it_fails_but_not_in_series_v12() {
    let of = |rules: &Rules| {
        let inputs = format!("{RECEIVED}, vm-locked, lost-heartbeat, load-failed");
        last(NodeName::Secondary, rules, &inputs)
    };
    assert_eq!(of(&named("bug:relaunch-forgotten")), "[] taking-over");
    assert_eq!(of(&Rules::V12), "[colo-exit error] failed");
    assert!(of(&named("bug:failed-load-forgotten")).ends_with("alone"));
}

#[test]
fn what_nobody_sees_is_not_claimed_to_end() {
    use colo_protocol::{Detection, Liveness};
    let by_link = Rules { detection: Detection::LinkClosed, ..Rules::V12 };
    for property in Liveness::ALL {
        use Liveness::{DeferredFailoverCompletes, FailoverCompletes, SurvivorGoesOn, UnattendedRecovery};
        let own = matches!(property, FailoverCompletes | DeferredFailoverCompletes | SurvivorGoesOn);
        for silent in [false, true] {
            assert!(Rules::STRICT.claims_liveness(property, silent));
            let seen = own || (!silent && property != UnattendedRecovery);
            for rules in [by_link, Rules::V12] {
                assert_eq!(rules.claims_liveness(property, silent), seen, "{property:?} {silent}");
            }
        }
    }
}

#[test]
fn what_a_guest_does_while_it_is_being_suspended_is_not_lost_in_a_failover() {
    let suspending = "state-loaded 0, guest-output 1, checkpoint-request, lost-heartbeat";
    let powers_off = format!("{suspending}, guest-powers-off");
    assert_eq!(last(NodeName::Secondary, &HYBRID, &powers_off), "[shut-down] shut-down");
    assert_eq!(
        last(NodeName::Secondary, &HYBRID, &format!("{powers_off}, vm-suspended")),
        "[] shut-down",
        "nobody promotes a guest that has gone"
    );
    let resets = format!("{suspending}, guest-resets, vm-suspended");
    assert_eq!(
        last(NodeName::Secondary, &HYBRID, &resets),
        "[fail-over-disk, take-over, release 1, reset-vm, resume-vm, colo-exit request] alone"
    );
    let before = "state-loaded 0, checkpoint-request, guest-resets, vm-suspended, vmstate-send, ram-received, \
                  vmstate-size 9, device-state-received, vm-locked, state-loaded 1";
    assert_eq!(
        last(NodeName::Secondary, &HYBRID, before),
        "[checkpoint-disk 1, resume-vm, vmstate-loaded] wait-request",
        "the VM is the primary's now"
    );
}

#[test]
fn without_the_initial_state_there_is_nothing_to_promote_however_a_failed_load_is_taken() {
    let rules = Rules { failed_load: colo_protocol::FailedLoad::Forgotten, ..named("strict") };
    assert_eq!(last(NodeName::Secondary, &rules, "peer-silent, load-failed"), "[colo-exit error] failed");
}
