//! The two machines, step by step: a checkpoint, the failovers, what is refused; and that no input makes them panic.
#![expect(clippy::unwrap_used, reason = "a test may")]

use colo_protocol::{
    BUGS, CheckpointNumber, Effect, Failover, Input, InputKind, Machine, Message, Node, NodeName,
    OutputOffset, PRESETS, ProtocolError, Rules, Secondary, rules_named,
};
use proptest::prelude::*;

/// Gives inputs by name ("guest-output 3") and returns, a line each, the effects and the phase that follow.
fn play(node: NodeName, rules: &str, inputs: &[&str]) -> Vec<String> {
    let rules = rules_named(rules).unwrap();
    let mut machine = Machine::new(node);
    inputs.iter().map(|text| told(&mut machine, &rules, input(text))).collect()
}

fn input(text: &str) -> Input {
    let (name, value) = text.split_once(' ').unwrap_or((text, "0"));
    Input::new(InputKind::from_name(name).unwrap(), value.parse().unwrap())
}

/// A failover that was asked for begins at once.
fn told(machine: &mut Machine, rules: &Rules, input: Input) -> String {
    let mut step = machine.step(rules, input);
    if step.effects.contains(&Effect::BeginFailover) {
        assert_eq!((step.effects.len(), machine.failover()), (1, Failover::Require));
        step = machine.step(rules, Input::FailoverBegins);
    }
    let effects: Vec<_> = step.effects.iter().map(ToString::to_string).collect();
    let error = step.error.map(|error| format!("error: {error}; ")).unwrap_or_default();
    format!("{error}[{}] {}", effects.join(", "), machine.phase_name())
}

const CHECKPOINT_AT_PRIMARY: [&str; 9] = [
    "checkpoint-ready",
    "guest-output 2",
    "checkpoint-due",
    "checkpoint-reply",
    "vm-suspended",
    "state-saved 12953",
    "ram-sent",
    "device-state-sent",
    "vmstate-received",
];

const CHECKPOINT_AT_SECONDARY: [&str; 8] = [
    "state-loaded 0",
    "checkpoint-request",
    "vmstate-send",
    "ram-received",
    "vmstate-size 12953",
    "device-state-received",
    "vm-locked",
    "state-loaded 2",
];

#[test]
fn a_checkpoint_of_the_primary() {
    let mut inputs = CHECKPOINT_AT_PRIMARY.to_vec();
    inputs.push("vmstate-loaded");
    assert_eq!(
        play(NodeName::Primary, "v12", &inputs),
        [
            "[start-replication, resume-vm, arm-checkpoint-timer 200] running",
            "[] running",
            "[checkpoint-request] wait-reply",
            "[suspend-vm] suspending",
            "[save-state 1] saving",
            "[vmstate-send, send-ram 1] sending-ram",
            "[vmstate-size 12953, send-device-state 1] sending-device-state",
            "[] wait-received",
            "[release 2] wait-loaded",
            "[resume-vm, arm-checkpoint-timer 200] running",
        ]
    );
}

#[test]
fn a_checkpoint_of_the_secondary() {
    assert_eq!(
        play(NodeName::Secondary, "v12", &CHECKPOINT_AT_SECONDARY),
        [
            "[start-replication, checkpoint-ready] wait-request",
            "[checkpoint-reply] wait-send",
            "[] receiving-ram",
            "[] wait-size",
            "[] receiving-device-state",
            "[vmstate-received, lock-vm] wait-lock",
            "[load-state 1] loading",
            "[checkpoint-disk 1, vmstate-loaded] wait-request",
        ]
    );
}

#[test]
fn output_is_released_where_the_rules_say() {
    let release = |rules, input: &str| {
        let mut inputs = CHECKPOINT_AT_PRIMARY.to_vec();
        inputs.push("vmstate-loaded");
        let place = inputs.iter().position(|known| *known == input).unwrap();
        play(NodeName::Primary, rules, &inputs)[place].contains("release 2")
    };
    for (rules, input) in [
        ("v12", "vmstate-received"),
        ("late-release", "vmstate-loaded"),
        ("bug:release-at-suspend", "vm-suspended"),
    ] {
        assert!(release(rules, input), "{rules} releases on {input}");
        let others = ["vm-suspended", "vmstate-received", "vmstate-loaded"]
            .into_iter()
            .filter(|other| *other != input);
        assert!(!others.into_iter().any(|other| release(rules, other)), "{rules} releases on {input} only");
    }
}

#[test]
fn output_that_comes_after_the_capture_is_not_released_with_the_checkpoint() {
    let mut machine = Machine::new(NodeName::Primary);
    let inputs =
        [&CHECKPOINT_AT_PRIMARY[..], &["vmstate-loaded", "guest-output 3", "checkpoint-due"]].concat();
    let lines: Vec<_> = inputs.iter().map(|text| told(&mut machine, &Rules::V12, input(text))).collect();
    assert_eq!(lines.last().unwrap(), "[checkpoint-request] wait-reply");
    assert_eq!(
        (machine.output().released(), machine.output().produced()),
        (OutputOffset(2), OutputOffset(3))
    );
}

#[test]
fn checkpoints_asked_for_during_a_checkpoint_are_one() {
    let mut inputs = CHECKPOINT_AT_PRIMARY.to_vec();
    inputs.extend(["checkpoint-due", "checkpoint-due", "vmstate-loaded"]);
    let lines = play(NodeName::Primary, "v12", &inputs);
    assert_eq!(
        lines[9..],
        ["[] wait-loaded", "[] wait-loaded", "[resume-vm, checkpoint-request] wait-reply"]
    );
}

#[test]
fn a_promised_checkpoint_is_applied_before_the_secondary_takes_over() {
    let until_promised = &CHECKPOINT_AT_SECONDARY[..6];
    let inputs =
        [until_promised, &["lost-heartbeat", "vm-locked", "state-loaded 2", "guest-output 3"]].concat();
    assert_eq!(
        play(NodeName::Secondary, "v12", &inputs)[6..],
        [
            "[close-link] taking-over",
            "[load-state 1] taking-over",
            "[checkpoint-disk 1, fail-over-disk, take-over, release 2, resume-vm, colo-exit request] alone",
            "[release 3] alone",
        ]
    );
}

#[test]
fn a_secondary_promises_a_checkpoint_when_it_has_all_of_it_and_holds_it_when_it_is_loaded() {
    for (rules, promised_at) in [("v12", 6), ("late-release", 8)] {
        let rules = rules_named(rules).unwrap();
        let mut secondary = Secondary::new();
        assert_eq!((secondary.checkpoint(), secondary.loaded(), secondary.promised()), Default::default());
        for (at, text) in (1_u64..).zip(CHECKPOINT_AT_SECONDARY) {
            secondary.step(&rules, input(text));
            let passed = |place: u64| CheckpointNumber(u64::from(at >= place));
            assert_eq!(secondary.checkpoint(), passed(2), "{text}");
            assert_eq!(secondary.promised(), passed(promised_at), "{text}");
            assert_eq!(secondary.loaded(), passed(8), "{text}");
        }
    }
}

#[test]
fn an_unpromised_checkpoint_is_thrown_away() {
    let inputs = [&CHECKPOINT_AT_SECONDARY[..5], &["lost-heartbeat"]].concat();
    assert_eq!(
        play(NodeName::Secondary, "v12", &inputs)[5],
        "[close-link, discard-staged 1, fail-over-disk, take-over, release 0, resume-vm, colo-exit request] alone"
    );
}

#[test]
fn a_lost_link_leads_to_the_error_state_and_only_lost_heartbeat_leads_on() {
    let inputs = [&CHECKPOINT_AT_PRIMARY[..7], &["link-down", "lost-heartbeat", "lost-heartbeat"]].concat();
    assert_eq!(
        play(NodeName::Primary, "v12", &inputs)[7..],
        [
            "[colo-exit error] error",
            "[fail-over-disk, take-over, release 2, resume-vm] alone",
            "error: the VM is not in COLO mode (state alone); [] alone",
        ]
    );
}

#[test]
fn a_promised_checkpoint_is_applied_although_the_link_is_lost_or_goes_mad() {
    for (loss, effects) in [("link-down", "[] loading"), ("checkpoint-request", "[close-link] loading")] {
        let inputs = [&CHECKPOINT_AT_SECONDARY[..7], &[loss, "state-loaded 2", "lost-heartbeat"]].concat();
        let lines = play(NodeName::Secondary, "v12", &inputs);
        assert!(lines[7].ends_with(effects), "{lines:?}");
        assert_eq!(
            lines[8..],
            [
                "[checkpoint-disk 1, colo-exit error] error",
                "[fail-over-disk, take-over, release 2, resume-vm] alone"
            ]
        );
    }
}

#[test]
fn a_failed_load_is_the_end_of_the_secondary() {
    let inputs = [&CHECKPOINT_AT_SECONDARY[..7], &["load-failed", "lost-heartbeat"]].concat();
    assert_eq!(
        play(NodeName::Secondary, "v12", &inputs)[7..],
        [
            "[close-link, colo-exit error] failed",
            "error: the VM is not in COLO mode (state failed); [] failed",
        ]
    );
}

#[test]
fn a_failover_waits_until_the_vm_is_suspended_and_saved() {
    let inputs = [&CHECKPOINT_AT_PRIMARY[..5], &["lost-heartbeat", "state-saved 12953"]].concat();
    assert_eq!(
        play(NodeName::Primary, "v12", &inputs)[5..],
        [
            "[close-link] taking-over",
            "[fail-over-disk, take-over, release 2, resume-vm, colo-exit request] alone"
        ]
    );
}

#[test]
fn what_is_wrong_is_said_in_qemus_words() {
    for (node, inputs, error) in [
        (
            NodeName::Primary,
            &["checkpoint-ready", "checkpoint-due", "checkpoint-reply", "vmstate-loaded"][..],
            "error: unexpected COLO message vmstate-loaded (6), expected none; [close-link, colo-exit error] error",
        ),
        (
            NodeName::Primary,
            &["vmstate-received"],
            "error: unexpected COLO message vmstate-received (5), expected checkpoint-ready (0); \
             [close-link, colo-exit error] error",
        ),
        (
            NodeName::Primary,
            &["checkpoint-ready", "bad-stream"],
            "error: the stream from the peer cannot be read (state running); [close-link, colo-exit error] error",
        ),
        (
            NodeName::Secondary,
            &["state-loaded 0", "bad-stream"],
            "error: the stream from the peer cannot be read (state wait-request); [close-link, colo-exit error] error",
        ),
        (
            NodeName::Secondary,
            &["state-loaded 0", "vm-locked"],
            "error: unexpected input vm-locked in state wait-request; [close-link, colo-exit error] error",
        ),
        (
            NodeName::Primary,
            &["checkpoint-ready", "guest-output 2", "guest-output 2"],
            "error: guest output ends at 2, but 2 had been produced; [close-link, colo-exit error] error",
        ),
    ] {
        assert_eq!(play(node, "v12", inputs).last().unwrap(), error);
    }
}

fn any_input() -> impl Strategy<Value = Input> {
    let kinds: Vec<_> = InputKind::all().collect();
    (prop::sample::select(kinds), 0..4_u64).prop_map(|(kind, value)| Input::new(kind, value))
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let presets = PRESETS.iter().map(|preset| preset.rules);
    let all: Vec<_> = presets.chain(BUGS.iter().map(|bug| bug.rules)).collect();
    prop::sample::select(all)
}

proptest! {
    /// Whatever an environment tells, a machine answers with effects or an error, and a refusal changes nothing.
    #[test]
    fn no_input_makes_a_machine_panic(
        rules in any_rules(),
        name in prop::sample::select(NodeName::ALL.to_vec()),
        inputs in prop::collection::vec(any_input(), 0..60),
    ) {
        let mut machine = Machine::new(name);
        for input in inputs {
            let before = machine;
            let step = machine.step(&rules, input);
            if step.error.is_some_and(ProtocolError::is_refusal) {
                prop_assert_eq!((machine, step.effects.len()), (before, 0));
            }
        }
    }

    /// An environment that carries out nothing for a while cannot make the queue overflow: a machine waits for the
    /// end of its operation, and there is none that has not begun.
    #[test]
    fn the_queue_is_bounded(
        rules in any_rules(),
        name in prop::sample::select(NodeName::ALL.to_vec()),
        inputs in prop::collection::vec((any_input(), any::<bool>()), 0..120),
    ) {
        let mut node = Node::new(name);
        // The initial load has begun before the first input.
        let mut begun = (name == NodeName::Secondary).then_some(colo_protocol::Operation::LoadState);
        for (input, carry_out) in inputs {
            let ends = input.kind().ends();
            if ends.is_some() && ends != begun {
                continue;
            }
            if ends.is_some() {
                begun = None;
            }
            node.input(&rules, input);
            while carry_out && begun.is_none() {
                let Some(effect) = node.next_effect(&rules) else { break };
                begun = effect.operation();
            }
        }
    }
}

#[test]
fn a_closed_link_overtakes_what_waits_to_be_sent() {
    let mut node = Node::new(NodeName::Primary);
    for text in &CHECKPOINT_AT_PRIMARY[..6] {
        node.input(&Rules::V12, input(text));
    }
    let waiting: Vec<_> = node.queue().iter().map(|effect| effect.to_string()).collect();
    assert_eq!(waiting[waiting.len() - 2..], ["vmstate-send", "send-ram 1"]);
    node.input(&Rules::V12, Input::LostHeartbeat);
    assert_eq!(node.next_effect(&Rules::V12), Some(Effect::BeginFailover));
    let waiting: Vec<_> = node.queue().iter().collect();
    assert!(!waiting.iter().any(|effect| effect.needs_link()), "{waiting:?}");
    assert_eq!(waiting[0].to_string(), "close-link");
    // What was still on the link means nothing any more.
    assert_eq!(node.input(&Rules::V12, Input::Message(Message::CheckpointReply)), None);
}

#[test]
fn effects_come_off_the_queue_in_order_and_an_operation_waits_for_the_one_in_hand() {
    let mut node = Node::new(NodeName::Primary);
    node.input(&Rules::V12, input("checkpoint-ready"));
    node.input(&Rules::V12, input("checkpoint-due"));
    node.input(&Rules::V12, input("checkpoint-reply"));
    let names =
        ["start-replication", "resume-vm", "arm-checkpoint-timer 200", "checkpoint-request", "suspend-vm"];
    assert_eq!(node.queue().iter().map(|effect| effect.to_string()).collect::<Vec<_>>(), names);
    for name in &names[..4] {
        assert_eq!(node.queue().first().unwrap().to_string(), *name);
        assert_eq!(node.queue().ready(true), node.queue().first(), "what is no operation does not wait");
        assert_eq!(node.next_effect(&Rules::V12).unwrap().to_string(), *name);
    }
    assert_eq!(node.queue().ready(true), None);
    assert_eq!(node.queue().ready(false).unwrap().to_string(), "suspend-vm");
    assert_eq!(node.next_effect(&Rules::V12).unwrap().to_string(), "suspend-vm");
    assert_eq!(
        (node.queue().first(), node.queue().ready(false), node.next_effect(&Rules::V12)),
        (None, None, None)
    );
}

#[test]
fn a_lost_link_drops_what_waits_to_be_sent_and_nothing_else() {
    let mut node = Node::new(NodeName::Primary);
    for text in &CHECKPOINT_AT_PRIMARY[..6] {
        node.input(&Rules::V12, input(text));
    }
    let local = node.queue().iter().filter(|effect| !effect.needs_link()).count();
    let before = node.queue().iter().count();
    assert!(before > local, "something waits to be sent");
    node.input(&Rules::V12, Input::LinkDown);
    let waiting: Vec<_> = node.queue().iter().map(|effect| effect.to_string()).collect();
    assert_eq!(waiting.len(), local + 1, "{waiting:?}");
    assert_eq!(waiting.last().unwrap(), "colo-exit error");
}

#[test]
fn requests_that_wait_are_counted_where_they_can_wait() {
    for (rules, waiting) in [("v12", 1), ("bug:counted-requests", 3)] {
        let rules = rules_named(rules).unwrap();
        let mut machine = Machine::new(NodeName::Primary);
        for text in CHECKPOINT_AT_PRIMARY {
            machine.step(&rules, input(text));
        }
        assert_eq!(machine.pending_requests(), 0);
        for _ in 0..3 {
            machine.step(&rules, input("checkpoint-due"));
        }
        assert_eq!(machine.pending_requests(), waiting);
    }
    assert_eq!(Machine::new(NodeName::Secondary).pending_requests(), 0);
}
