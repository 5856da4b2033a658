//! What becomes of a pair that has failed over: the automaton of the failover, what a node answers to
//! query-colo-status, a survivor that is protected again; resets and disks that fail on the way.
#![expect(clippy::unwrap_used, reason = "a test may")]

use colo_protocol::{
    ColoMode, Effect, Execution, Failover, Input, InputKind, Machine, Node, NodeName, ProtocolError, Rules,
    StatusReason, rules_named,
};

const HYBRID: Rules = Rules { execution: Execution::Hybrid, ..Rules::V12 };

fn input(text: &str) -> Input {
    let (name, value) = text.split_once(' ').unwrap_or((text, "0"));
    Input::new(InputKind::from_name(name).unwrap(), value.parse().unwrap())
}

/// Gives inputs by name to a machine; what the last one leads to.
fn last(machine: &mut Machine, rules: &Rules, inputs: &str) -> String {
    let mut line = String::new();
    for text in inputs.split(", ") {
        let step = machine.step(rules, input(text));
        let effects: Vec<_> = step.effects.iter().map(ToString::to_string).collect();
        let error = step.error.map(|error| format!("error: {error}; ")).unwrap_or_default();
        line = format!("{error}[{}] {}", effects.join(", "), machine.phase_name());
    }
    line
}

fn after(node: NodeName, rules: &Rules, inputs: &str) -> Machine {
    let mut machine = Machine::new(node);
    last(&mut machine, rules, inputs);
    machine
}

const SAVING: &str = "checkpoint-ready, guest-output 2, checkpoint-due, checkpoint-reply, vm-suspended";
const LOADING: &str = "state-loaded 0, checkpoint-request, vmstate-send, ram-received, vmstate-size 9, \
                       device-state-received, vm-locked";
const ALONE: &str = "lost-heartbeat, failover-begins";

#[test]
fn a_failover_goes_through_the_states_that_qemu_gives_it() {
    use Failover::{Active, Completed, None, Relaunch, Require};
    let strict = Rules::STRICT;
    for (node, rules, inputs, expected) in [
        (NodeName::Primary, Rules::V12, "checkpoint-ready", None),
        (NodeName::Primary, Rules::V12, "checkpoint-ready, lost-heartbeat", Require),
        (NodeName::Primary, Rules::V12, "checkpoint-ready, lost-heartbeat, failover-begins", Completed),
        (NodeName::Primary, strict, "checkpoint-ready, lost-heartbeat, failover-begins", Active),
        (NodeName::Primary, strict, "checkpoint-ready, peer-silent", Active),
        (NodeName::Primary, strict, "checkpoint-ready, peer-silent, arbiter-granted", Completed),
        (NodeName::Primary, strict, "checkpoint-ready, peer-silent, arbiter-denied", None),
        (NodeName::Secondary, Rules::V12, "state-loaded 0, lost-heartbeat", Require),
        (NodeName::Secondary, Rules::V12, "state-loaded 0, lost-heartbeat, failover-begins", Completed),
    ] {
        assert_eq!(after(node, &rules, inputs).failover(), expected, "{node}: {inputs}");
    }
    for (inputs, expected) in [
        ("lost-heartbeat, failover-begins", Relaunch),
        ("lost-heartbeat, failover-begins, state-loaded 1", Completed),
        ("lost-heartbeat, failover-begins, load-failed", None),
        ("lost-heartbeat, load-failed, failover-begins", None),
    ] {
        let mut machine = after(NodeName::Secondary, &Rules::V12, LOADING);
        last(&mut machine, &Rules::V12, inputs);
        assert_eq!(machine.failover(), expected, "{inputs}");
    }
}

#[test]
fn a_second_lost_heartbeat_is_refused_while_the_first_is_under_way_and_after_it() {
    for (node, begin) in [(NodeName::Primary, "checkpoint-ready"), (NodeName::Secondary, "state-loaded 0")] {
        for (inputs, error) in [
            ("lost-heartbeat", ProtocolError::FailoverAlreadyActivated),
            (ALONE, ProtocolError::NotInColoMode { state: "alone" }),
        ] {
            let mut machine = after(node, &Rules::V12, &format!("{begin}, {inputs}"));
            assert_eq!(
                machine.step(&Rules::V12, Input::LostHeartbeat).error,
                Some(error),
                "{node}: {inputs}"
            );
        }
    }
}

#[test]
fn a_failover_that_nobody_asked_for_does_not_begin() {
    for (node, inputs) in [(NodeName::Primary, "checkpoint-ready"), (NodeName::Secondary, "state-loaded 0")] {
        let mut machine = after(node, &Rules::V12, inputs);
        let line = last(&mut machine, &Rules::V12, "failover-begins");
        assert!(line.starts_with("error: unexpected input failover-begins in state "), "{line}");
    }
}

#[test]
fn a_failover_begins_before_all_else_that_waits() {
    let mut node = Node::new(NodeName::Primary);
    for text in SAVING.split(", ") {
        node.input(&Rules::V12, input(text));
    }
    node.input(&Rules::V12, Input::LostHeartbeat);
    assert_eq!(node.queue().first(), Some(Effect::BeginFailover));
    assert_eq!(node.next_effect(&Rules::V12), Some(Effect::BeginFailover));
    assert_eq!(node.machine().failover(), Failover::Active);
    assert_eq!(node.queue().first(), Some(Effect::CloseLink));
}

#[test]
fn a_failover_begins_when_the_node_comes_to_it_and_only_once() {
    let mut node = Node::new(NodeName::Primary);
    node.input(&Rules::V12, input("checkpoint-ready"));
    while node.next_effect(&Rules::V12).is_some() {}
    for text in ["lost-heartbeat", "bad-stream"] {
        node.input(&Rules::V12, input(text));
    }
    assert_eq!(node.next_effect(&Rules::V12), Some(Effect::CloseLink));
    assert_eq!(node.machine().failover(), Failover::Require, "another effect is no beginning");
    assert_eq!(node.next_effect(&Rules::V12), Some(Effect::BeginFailover));
    assert_eq!(node.machine().failover(), Failover::Completed);

    // A pair that cannot be fails over by itself; what was asked for before is done with that.
    let mut node = Node::new(NodeName::Primary);
    for text in ["lost-heartbeat", "capability-missing"] {
        assert_eq!(node.input(&Rules::V12, input(text)), Option::None);
    }
    let mut done = Vec::new();
    while let Some(effect) = node.next_effect(&Rules::V12) {
        done.push(effect.to_string());
    }
    assert_eq!(
        done,
        [
            "close-link",
            "begin-failover",
            "colo-exit error",
            "fail-over-disk",
            "take-over",
            "release 0",
            "resume-vm"
        ]
    );
}

#[test]
fn a_node_is_over_when_it_never_serves_again() {
    for (node, rules, inputs, over) in [
        (NodeName::Primary, Rules::V12, "checkpoint-ready", false),
        (NodeName::Primary, Rules::V12, "checkpoint-ready, link-down", false),
        (NodeName::Primary, Rules::V12, "checkpoint-ready, lost-heartbeat, failover-begins", false),
        (NodeName::Primary, Rules::QEMU, "checkpoint-ready, guest-powers-off", true),
        (NodeName::Primary, Rules::STRICT, "checkpoint-ready, peer-silent, arbiter-denied", true),
        (NodeName::Secondary, Rules::V12, "state-loaded 0", false),
        (NodeName::Secondary, Rules::V12, "state-loaded 0, lost-heartbeat, failover-begins", false),
        (NodeName::Secondary, Rules::V12, "load-failed", true),
        (NodeName::Secondary, Rules::QEMU, "state-loaded 0, guest-powers-off", true),
        (NodeName::Secondary, Rules::STRICT, "state-loaded 0, peer-silent, arbiter-denied", true),
    ] {
        assert_eq!(after(node, &rules, inputs).is_over(), over, "{node}: {inputs}");
    }
}

#[test]
fn a_guest_that_powers_off_in_between_leaves_nothing_to_fail_over() {
    let qemu = rules_named("qemu").unwrap();
    for (node, inputs) in [(NodeName::Primary, "checkpoint-ready"), (NodeName::Secondary, "state-loaded 0")] {
        let mut machine = after(node, &qemu, &format!("{inputs}, lost-heartbeat, guest-powers-off"));
        assert_eq!(last(&mut machine, &qemu, "failover-begins"), "[] shut-down");
        assert_eq!(machine.failover(), Failover::None);
    }
}

#[test]
fn a_node_tells_its_status_in_qemus_words() {
    use StatusReason::{Error, None, Processing, Request};
    for (node, inputs, mode, reason) in [
        (NodeName::Primary, "guest-powers-off", "primary", None),
        (NodeName::Primary, "checkpoint-ready", "primary", None),
        (NodeName::Primary, "checkpoint-ready, link-down", "primary", Error),
        (NodeName::Primary, "checkpoint-ready, link-down, lost-heartbeat", "primary", Processing),
        (NodeName::Primary, "checkpoint-ready, lost-heartbeat, failover-begins", "none", Request),
        (NodeName::Secondary, "checkpoint-due", "none", None),
        (NodeName::Secondary, "state-loaded 0", "secondary", None),
        (NodeName::Secondary, "state-loaded 0, lost-heartbeat", "secondary", Processing),
        (NodeName::Secondary, "state-loaded 0, lost-heartbeat, failover-begins", "none", Request),
        (NodeName::Secondary, "state-loaded 0, bad-stream", "secondary", Error),
        (NodeName::Secondary, "load-failed", "none", Error),
    ] {
        let status = after(node, &Rules::V12, inputs).status();
        assert_eq!((status.mode.name(), status.reason), (mode, reason), "{node}: {inputs}");
        assert_eq!(status.last_mode.name(), node.name(), "{node}: {inputs}");
    }
    let fenced = after(NodeName::Primary, &Rules::STRICT, "checkpoint-ready, peer-silent, arbiter-denied");
    assert_eq!((fenced.status().mode, fenced.status().reason), (ColoMode::None, Error));
    assert_eq!(Error.name(), "error");
    assert_eq!([None, Request, Processing].map(StatusReason::name), ["none", "request", "processing"]);
}

#[test]
fn a_survivor_gives_its_state_to_a_replacement_and_then_takes_checkpoints_as_before() {
    for survivor in NodeName::ALL {
        let begin = if survivor == NodeName::Primary { "checkpoint-ready" } else { "state-loaded 0" };
        let mut machine = after(survivor, &Rules::V12, &format!("{begin}, {ALONE}, guest-output 3"));
        let lines = [
            ("protect", "[suspend-vm] suspending"),
            ("guest-output 4", "[] suspending"),
            ("vm-suspended", "[save-state 0] saving"),
            ("state-saved 9", "[send-ram 0] sending-ram"),
            ("ram-sent", "[send-device-state 0] sending-device-state"),
            ("device-state-sent", "[] wait-ready"),
            (
                "checkpoint-ready",
                "[release 4, start-replication, resume-vm, arm-checkpoint-timer 200] running",
            ),
            ("checkpoint-due", "[checkpoint-request] wait-reply"),
        ];
        for (text, expected) in lines {
            assert_eq!(last(&mut machine, &Rules::V12, text), expected, "{survivor}: {text}");
        }
        assert!(matches!(machine, Machine::Primary(_)), "a survivor is a primary");
        assert_eq!((machine.checkpoint().0, machine.failover()), (1, Failover::None));
    }
}

#[test]
fn a_replacement_loads_the_survivors_state_and_is_ready() {
    let mut machine = Machine::replacement();
    for (text, expected) in [
        ("ram-received", "[] incoming"),
        ("device-state-received", "[load-state 0] incoming"),
        ("state-loaded 4", "[start-replication, checkpoint-ready] wait-request"),
    ] {
        assert_eq!(last(&mut machine, &Rules::V12, text), expected);
    }
}

#[test]
fn a_replacement_that_has_nothing_yet_can_never_serve() {
    let link_closed = Rules { detection: colo_protocol::Detection::LinkClosed, ..Rules::V12 };
    for (rules, text) in [
        (Rules::V12, "link-down"),
        (Rules::V12, "bad-stream"),
        (Rules::STRICT, "peer-silent"),
        (link_closed, "link-down"),
    ] {
        let mut machine = Machine::replacement();
        last(&mut machine, &rules, &format!("ram-received, {text}"));
        assert_eq!(machine.phase_name(), "failed", "{text}");
        let refused = machine.step(&rules, Input::LostHeartbeat).error;
        assert_eq!(refused, Some(ProtocolError::NotInColoMode { state: "failed" }));
    }
}

#[test]
fn only_a_survivor_with_nothing_left_to_do_can_be_protected() {
    let not_alone = |state| Some(ProtocolError::NotAlone { state });
    for (node, inputs, state) in [
        (NodeName::Primary, "checkpoint-due", "wait-ready"),
        (NodeName::Primary, "checkpoint-ready, link-down", "error"),
        (NodeName::Secondary, "state-loaded 0", "wait-request"),
    ] {
        let mut machine = after(node, &Rules::V12, inputs);
        let step = machine.step(&Rules::V12, Input::Protect);
        assert_eq!((step.error, step.effects.len()), (not_alone(state), 0), "{inputs}");
    }
    // Behind the promotion of a secondary that had asked for the lock, the lock still comes.
    let early = Rules { deferral: colo_protocol::FailoverDeferral::Never, ..Rules::V12 };
    let received = LOADING.strip_suffix(", vm-locked").unwrap();
    let mut machine = after(NodeName::Secondary, &early, &format!("{received}, {ALONE}"));
    assert_eq!(machine.step(&early, Input::Protect).error, not_alone("alone"));
    last(&mut machine, &early, "vm-locked");
    assert_eq!(machine.step(&early, Input::Protect).error, None);
    // What the old pair has left to do comes first.
    let mut node = Node::new(NodeName::Primary);
    for text in ["checkpoint-ready", "lost-heartbeat"] {
        node.input(&Rules::V12, input(text));
    }
    while let Some(effect) = node.queue().first() {
        assert!(!node.can_be_protected());
        assert_eq!(
            node.input(&Rules::V12, Input::Protect),
            not_alone(node.machine().phase_name()),
            "{effect}"
        );
        node.next_effect(&Rules::V12);
    }
    assert!(node.can_be_protected());
    assert_eq!(node.input(&Rules::V12, Input::Protect), None);
}

#[test]
fn who_waits_for_nothing_can_be_protected_only_alone() {
    let fresh = NodeName::ALL.map(Node::new);
    for mut node in fresh.into_iter().chain([Node::replacement()]) {
        assert!(!node.can_be_protected(), "{node:?}");
        let refused = node.input(&Rules::V12, Input::Protect);
        assert_eq!(refused, Some(ProtocolError::NotAlone { state: node.machine().phase_name() }));
    }
    for (name, inputs, alone) in [
        (NodeName::Primary, "checkpoint-ready", false),
        (NodeName::Primary, "checkpoint-ready, lost-heartbeat", true),
        (NodeName::Primary, "checkpoint-ready, link-down", false),
        (NodeName::Secondary, "state-loaded 0", false),
        (NodeName::Secondary, "state-loaded 0, lost-heartbeat", true),
        (NodeName::Secondary, "load-failed", false),
    ] {
        let mut node = Node::new(name);
        for text in inputs.split(", ") {
            node.input(&Rules::V12, input(text));
            while node.next_effect(&Rules::V12).is_some() {}
        }
        assert_eq!(node.can_be_protected(), alone, "{name}: {inputs}");
    }
}

#[test]
fn the_output_of_a_new_pair_goes_on_where_that_of_the_old_one_was() {
    let begin = format!("checkpoint-ready, {ALONE}, guest-output 3, protect");
    let mut machine = after(NodeName::Primary, &Rules::V12, &begin);
    let marks = (machine.output().released().0, machine.output().sealed().0, machine.output().produced().0);
    assert_eq!(marks, (3, 3, 3));
    // The guest sends nothing more: then nothing waits for the replacement.
    last(&mut machine, &Rules::V12, "vm-suspended, state-saved 9, ram-sent, device-state-sent");
    assert_eq!(
        last(&mut machine, &Rules::V12, "checkpoint-ready"),
        "[start-replication, resume-vm, arm-checkpoint-timer 200] running"
    );
}

#[test]
fn where_output_is_compared_a_new_pair_begins_with_nothing_of_the_old_secondary() {
    let mut machine = after(NodeName::Primary, &HYBRID, &format!("checkpoint-ready, {ALONE}"));
    assert_eq!(last(&mut machine, &HYBRID, "protect"), "[forget-peer-output, suspend-vm] suspending");
}

#[test]
fn a_survivor_whose_replacement_dies_on_the_way_serves_alone_again() {
    let mut machine = after(NodeName::Secondary, &Rules::V12, &format!("state-loaded 0, {ALONE}"));
    last(&mut machine, &Rules::V12, "guest-output 1, protect, guest-output 2, vm-suspended, state-saved 9");
    assert_eq!(last(&mut machine, &Rules::V12, "link-down"), "[colo-exit error] error");
    assert_eq!(
        last(&mut machine, &Rules::V12, "lost-heartbeat, failover-begins"),
        "[fail-over-disk, take-over, release 2, resume-vm] alone"
    );
}

#[test]
fn under_remus_the_initial_state_is_no_moment_to_run_on() {
    let remus = Rules::REMUS;
    let mut machine = after(NodeName::Primary, &remus, &format!("checkpoint-ready, {ALONE}"));
    last(&mut machine, &remus, "protect, vm-suspended");
    assert_eq!(last(&mut machine, &remus, "state-saved 9"), "[send-ram 0] sending-ram");
}

#[test]
fn a_reset_waits_while_a_checkpoint_is_made_of_the_vm() {
    let mut machine = after(NodeName::Primary, &Rules::V12, "checkpoint-ready");
    assert_eq!(last(&mut machine, &Rules::V12, "guest-resets"), "[reset-vm] running");
    let mut machine = after(NodeName::Primary, &Rules::V12, SAVING);
    assert_eq!(last(&mut machine, &Rules::V12, "guest-resets"), "[] saving");
    last(&mut machine, &Rules::V12, "state-saved 9, ram-sent, device-state-sent, vmstate-received");
    assert_eq!(
        last(&mut machine, &Rules::V12, "vmstate-loaded"),
        "[reset-vm, resume-vm, arm-checkpoint-timer 200] running"
    );
}

#[test]
fn a_reset_of_one_of_two_executing_guests_asks_for_a_checkpoint() {
    let mut machine = after(NodeName::Primary, &HYBRID, "checkpoint-ready");
    assert_eq!(last(&mut machine, &HYBRID, "guest-resets"), "[reset-vm, checkpoint-request] wait-reply");
    let mut machine = after(NodeName::Secondary, &HYBRID, "state-loaded 0");
    assert_eq!(last(&mut machine, &HYBRID, "guest-resets"), "[reset-vm] wait-request");
    let mut machine = after(NodeName::Secondary, &Rules::V12, "state-loaded 0");
    assert_eq!(last(&mut machine, &Rules::V12, "guest-resets"), "[] wait-request");
}

#[test]
fn a_reset_of_what_has_stopped_for_good_is_nothing() {
    let qemu = rules_named("qemu").unwrap();
    for (node, inputs) in [(NodeName::Primary, "checkpoint-ready"), (NodeName::Secondary, "state-loaded 0")] {
        let mut machine = after(node, &qemu, &format!("{inputs}, guest-powers-off"));
        assert_eq!(last(&mut machine, &qemu, "guest-resets"), "[] shut-down");
    }
}

#[test]
fn a_primary_whose_disk_cannot_be_replicated_is_not_protected() {
    let mut machine = after(NodeName::Primary, &Rules::V12, "checkpoint-ready");
    assert_eq!(last(&mut machine, &Rules::V12, "disk-failed"), "[close-link, colo-exit error] error");
    // Alone, its disk is its own.
    last(&mut machine, &Rules::V12, ALONE);
    assert_eq!(last(&mut machine, &Rules::V12, "disk-failed"), "[] alone");
}

#[test]
fn a_secondary_whose_disk_is_not_that_of_its_memory_never_serves() {
    for inputs in ["state-loaded 0", "state-loaded 0, lost-heartbeat, failover-begins"] {
        let mut machine = after(NodeName::Secondary, &Rules::V12, inputs);
        last(&mut machine, &Rules::V12, "disk-failed");
        assert_eq!(machine.phase_name(), "failed", "{inputs}");
        assert_eq!(last(&mut machine, &Rules::V12, "disk-failed"), "[] failed");
    }
    let forgotten = rules_named("bug:failed-load-forgotten").unwrap();
    let mut machine = after(NodeName::Secondary, &forgotten, "state-loaded 0");
    assert_eq!(last(&mut machine, &forgotten, "disk-failed"), "[close-link, colo-exit error] error");
    let mut machine = after(NodeName::Secondary, &forgotten, &format!("state-loaded 0, {ALONE}"));
    assert_eq!(last(&mut machine, &forgotten, "disk-failed"), "[] alone");
}

#[test]
fn a_disk_that_fails_at_the_promotion_prevents_it_and_a_success_is_not_told() {
    let mut node = Node::new(NodeName::Secondary);
    for text in ["state-loaded 0", "lost-heartbeat"] {
        node.input(&Rules::V12, input(text));
    }
    while node.next_effect(&Rules::V12).is_some_and(|effect| effect != Effect::FailOverDisk) {}
    assert_eq!(node.queue().first(), Some(Effect::TakeOver));
    node.input(&Rules::V12, Input::DiskFailed);
    let waiting: Vec<_> = node.queue().iter().map(|effect| effect.to_string()).collect();
    assert_eq!(waiting, ["colo-exit error", "halt"]);
}

#[test]
fn an_arbiter_that_chooses_a_node_with_a_broken_disk_chooses_nobody() {
    let mut machine = after(NodeName::Secondary, &Rules::STRICT, "state-loaded 0, peer-silent, disk-failed");
    assert_eq!(last(&mut machine, &Rules::STRICT, "arbiter-granted"), "[] failed");
}

/// Under rules that forget a failed load, too: a promotion over what is about to be loaded would be torn by it.
#[test]
fn a_disk_that_fails_during_a_failover_does_not_promote_over_what_is_in_hand() {
    let forgotten = rules_named("bug:failed-load-forgotten").unwrap();
    let mut machine = after(NodeName::Secondary, &forgotten, &format!("{LOADING}, {ALONE}"));
    assert_eq!(last(&mut machine, &forgotten, "disk-failed"), "[] taking-over");
    assert!(last(&mut machine, &forgotten, "state-loaded 1").ends_with("alone"));
}

#[test]
fn a_guest_that_executes_powers_off_whatever_its_node_is_about() {
    let suspended = LOADING.replace("checkpoint-request", "checkpoint-request, vm-suspended");
    let loading = format!("{suspended}, {ALONE}");
    for (inputs, executes) in [
        ("state-loaded 0, link-down", true),
        ("state-loaded 0, checkpoint-request, lost-heartbeat, failover-begins", true),
        (&loading, false),
    ] {
        let mut machine = after(NodeName::Secondary, &HYBRID, inputs);
        last(&mut machine, &HYBRID, "guest-powers-off");
        assert_eq!(machine.phase_name() == "shut-down", executes, "{inputs}");
    }
}

#[test]
fn what_a_broken_node_still_sends_is_no_error() {
    let mut machine = after(NodeName::Secondary, &HYBRID, "state-loaded 0, disk-failed");
    assert_eq!(last(&mut machine, &HYBRID, "guest-output 1"), "[] failed");
}

#[test]
fn what_a_closing_link_still_takes_is_no_error() {
    for sending in ["state-saved 9", "state-saved 9, ram-sent"] {
        let mut machine = after(NodeName::Primary, &Rules::V12, &format!("{SAVING}, {sending}, {ALONE}"));
        for text in ["ram-sent", "device-state-sent"] {
            assert_eq!(last(&mut machine, &Rules::V12, text), "[] alone");
        }
    }
}
