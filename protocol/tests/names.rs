//! What everything is called, and what it carries: each name means one thing and is found again, each number arrives.

use colo_protocol::{
    CheckpointNumber, ColoMode, Effect, EffectKind, ExitReason, Failover, Input, InputKind, Liveness,
    Message, MessageKind, NodeName, Operation, OutputOffset, Property,
};

const AT: CheckpointNumber = CheckpointNumber(7);
const END: OutputOffset = OutputOffset(8);

/// An effect of every kind, and how a person reads it.
const EFFECTS: [(Effect, &str); 29] = [
    (Effect::Send(Message::CheckpointReady), "checkpoint-ready"),
    (Effect::Send(Message::VmstateSize(9)), "vmstate-size 9"),
    (Effect::SuspendVm, "suspend-vm"),
    (Effect::SaveState(AT), "save-state 7"),
    (Effect::SendRound(AT), "send-round 7"),
    (Effect::SendRam(AT), "send-ram 7"),
    (Effect::SendDeviceState(AT), "send-device-state 7"),
    (Effect::LockVm, "lock-vm"),
    (Effect::LoadState(AT), "load-state 7"),
    (Effect::ApplyRam(AT), "apply-ram 7"),
    (Effect::DiscardStaged(AT), "discard-staged 7"),
    (Effect::ResumeVm, "resume-vm"),
    (Effect::Release(END), "release 8"),
    (Effect::ReleaseUncompared(END), "release-uncompared 8"),
    (Effect::RedirectOutput(END), "redirect-output 8"),
    (Effect::ForgetPeerOutput, "forget-peer-output"),
    (Effect::StartReplication, "start-replication"),
    (Effect::CheckpointDisk(AT), "checkpoint-disk 7"),
    (Effect::CommitDiskEpoch(AT), "commit-disk-epoch 7"),
    (Effect::FailOverDisk, "fail-over-disk"),
    (Effect::ResetVm, "reset-vm"),
    (Effect::ShutDown, "shut-down"),
    (Effect::ArmCheckpointTimer { delay_ms: 200 }, "arm-checkpoint-timer 200"),
    (Effect::BeginFailover, "begin-failover"),
    (Effect::CloseLink, "close-link"),
    (Effect::AskArbiter, "ask-arbiter"),
    (Effect::Halt, "halt"),
    (Effect::TakeOver, "take-over"),
    (Effect::Exit(ExitReason::Request), "colo-exit request"),
];

/// The names of the effects of which this holds.
fn effects_that(hold: impl Fn(Effect) -> bool) -> Vec<&'static str> {
    EFFECTS.into_iter().filter(|(effect, _)| hold(*effect)).map(|(effect, _)| effect.kind().name()).collect()
}

#[test]
fn an_effect_is_told_by_its_name_and_its_number() {
    for (effect, text) in EFFECTS {
        assert_eq!(effect.to_string(), text);
        let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
        assert_eq!(effect.kind().name(), name);
        assert_eq!(effect.value(), rest.parse().ok(), "{text}");
        let plain = !matches!(effect, Effect::Send(_));
        assert!(!plain || effect.kind().to_string() == name, "{text}");
    }
    assert_eq!(Effect::Exit(ExitReason::Error).to_string(), "colo-exit error");
    assert_eq!(EffectKind::Send(MessageKind::VmstateLoaded).to_string(), "vmstate-loaded");
}

#[test]
fn a_name_means_one_effect_one_input_one_message() {
    let kinds: Vec<_> = EffectKind::all().collect();
    for (effect, _) in EFFECTS {
        assert_eq!(kinds.iter().filter(|kind| **kind == effect.kind()).count(), 1, "{effect}");
    }
    assert_eq!(kinds.len(), 8 + EFFECTS.len() - 2, "eight messages, of which two stand above");
    for kind in kinds {
        assert_eq!(EffectKind::from_name(kind.name()), Some(kind));
    }
    for kind in InputKind::all() {
        assert_eq!(InputKind::from_name(kind.name()), Some(kind));
        assert_eq!(kind.to_string(), kind.name());
    }
    assert_eq!(InputKind::all().count(), 8 + 29);
    for nothing in ["", "checkpoint", "lost heartbeat"] {
        assert_eq!(
            (EffectKind::from_name(nothing), InputKind::from_name(nothing), MessageKind::from_name(nothing)),
            (None, None, None)
        );
    }
}

#[test]
fn an_operation_begins_with_one_effect_and_ends_with_an_input() {
    let begun = effects_that(|effect| effect.operation().is_some());
    let expected = [
        "suspend-vm",
        "save-state",
        "send-round",
        "send-ram",
        "send-device-state",
        "lock-vm",
        "load-state",
        "ask-arbiter",
    ];
    assert_eq!(begun, expected);
    for (effect, text) in EFFECTS {
        assert_eq!(Operation::of(effect.kind()), effect.operation(), "{text}");
        assert!(effect.operation().is_none_or(|operation| operation.effect() == effect.kind()), "{text}");
    }
    for (operation, ends) in [
        (Operation::SuspendVm, &["vm-suspended"][..]),
        (Operation::SaveState, &["state-saved", "save-failed"]),
        (Operation::SendRound, &["round-sent"]),
        (Operation::SendRam, &["ram-sent"]),
        (Operation::SendDeviceState, &["device-state-sent"]),
        (Operation::LockVm, &["vm-locked"]),
        (Operation::LoadState, &["state-loaded", "load-failed"]),
        (Operation::AskArbiter, &["arbiter-granted", "arbiter-denied"]),
    ] {
        let inputs = InputKind::all().filter(|kind| kind.ends() == Some(operation));
        assert_eq!(inputs.map(InputKind::name).collect::<Vec<_>>(), ends);
    }
}

#[test]
fn what_needs_the_link_and_what_touches_the_disk() {
    assert_eq!(
        effects_that(Effect::needs_link),
        [
            "checkpoint-ready",
            "vmstate-size",
            "send-round",
            "send-ram",
            "send-device-state",
            "redirect-output"
        ]
    );
    assert_eq!(
        effects_that(Effect::is_of_the_disk),
        ["start-replication", "checkpoint-disk", "commit-disk-epoch", "fail-over-disk"]
    );
}

#[test]
fn an_input_carries_its_number_if_it_has_one() {
    let numbered =
        ["vmstate-size", "state-saved", "state-loaded", "guest-output", "uncompared-output", "outputs-match"];
    for kind in InputKind::all() {
        let input = Input::new(kind, 9);
        assert_eq!(input.kind(), kind);
        assert_eq!(input.value(), numbered.contains(&kind.name()).then_some(9), "{kind}");
    }
}

#[test]
fn a_message_carries_its_number_if_it_has_one() {
    for kind in MessageKind::ALL {
        let message = Message::new(kind, 9);
        assert_eq!(message.kind(), kind);
        assert_eq!(message.value(), (kind == MessageKind::VmstateSize).then_some(9), "{kind}");
    }
    assert_eq!(Message::VmstateSize(9).to_string(), "vmstate-size 9");
    assert_eq!(Message::CheckpointReply.to_string(), "checkpoint-reply");
    assert_eq!(MessageKind::CheckpointReply.to_string(), "checkpoint-reply (2)");
}

#[test]
fn each_side_is_the_peer_of_the_other() {
    assert_eq!(NodeName::ALL.map(NodeName::peer), [NodeName::Secondary, NodeName::Primary]);
    assert_eq!(NodeName::ALL.map(NodeName::name), ["primary", "secondary"]);
    assert_eq!(format!("[{:>9}]", NodeName::Primary), "[  primary]");
}

#[test]
fn a_failover_and_a_part_have_qemus_words() {
    use Failover::{Active, Completed, None, Relaunch, Require};
    let all = [None, Require, Active, Relaunch, Completed];
    let words = ["none", "require", "active", "relaunch", "completed"];
    assert_eq!(all.map(Failover::name), words);
    assert_eq!(format!("[{Active:<8}]"), "[active  ]");
    let parts = [ColoMode::None, ColoMode::Primary, ColoMode::Secondary];
    assert_eq!(parts.map(ColoMode::name), ["none", "primary", "secondary"]);
    assert_eq!([ExitReason::Request, ExitReason::Error].map(ExitReason::name), ["request", "error"]);
}

#[test]
fn numbers_are_told_as_numbers() {
    assert_eq!((AT.to_string(), END.to_string()), ("7".to_owned(), "8".to_owned()));
    assert_eq!((AT.next(), AT.next().next()), (CheckpointNumber(8), CheckpointNumber(9)));
}

#[test]
fn a_property_is_found_by_its_name_and_says_what_no_other_says() {
    for property in Property::ALL {
        assert_eq!(Property::from_name(property.name()), Some(property));
    }
    assert_eq!(Property::from_name("no such property"), None);
    let said = [Property::statement, Property::broken, Property::source];
    let mut texts: Vec<_> = said.iter().flat_map(|text| Property::ALL.map(*text)).collect();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), 3 * Property::ALL.len());
    assert!(texts.iter().all(|text| text.len() > 10), "{texts:?}");
}

#[test]
fn a_liveness_property_has_its_own_name_and_words() {
    for property in Liveness::ALL {
        assert_eq!(Liveness::from_name(property.name()), Some(property));
    }
    assert_eq!(Liveness::from_name("no such property"), None);
    let said = [Liveness::name, Liveness::statement, Liveness::broken, Liveness::source];
    let mut texts: Vec<_> = said.iter().flat_map(|text| Liveness::ALL.map(*text)).collect();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), 4 * Liveness::ALL.len());
}

#[test]
fn a_known_bug_is_named_for_one_property() {
    for bug in colo_protocol::BUGS {
        let (name, safety) = (bug.named_for(), bug.breaks.first().map(|property| property.name()));
        assert_eq!(Some(name), bug.stalls.map(Liveness::name).or(safety), "{}", bug.name);
    }
}

/// An effect that carries a checkpoint's number, and only such a one, has another number in a node that is renumbered.
#[test]
fn numbers_of_checkpoints_can_be_counted_from_another_one() {
    use colo_protocol::{Node, Rules};
    let inputs = |node: &mut Node, round: u64| {
        for input in [
            Input::Message(Message::CheckpointRequest),
            Input::Message(Message::VmstateSend),
            Input::RamReceived,
            Input::Message(Message::VmstateSize(9)),
            Input::DeviceStateReceived,
            Input::VmLocked,
            Input::StateLoaded { output: OutputOffset(round) },
        ] {
            assert_eq!(node.input(&Rules::V12, input), None);
            while node.next_effect(&Rules::V12).is_some() {}
        }
    };
    let mut node = Node::new(NodeName::Secondary);
    node.input(&Rules::V12, Input::StateLoaded { output: OutputOffset(0) });
    for round in 1..=3 {
        inputs(&mut node, round);
    }
    assert_eq!(
        (node.lowest_number(), node.machine().checkpoint()),
        (CheckpointNumber(3), CheckpointNumber(3))
    );
    let mut renumbered = node.clone();
    renumbered.renumber(2);
    let mut other = Node::new(NodeName::Secondary);
    other.input(&Rules::V12, Input::StateLoaded { output: OutputOffset(0) });
    inputs(&mut other, 3);
    while node.next_effect(&Rules::V12).is_some() {}
    assert_eq!(renumbered.machine(), other.machine());
    // What waits is renumbered as well.
    let mut primary = Node::new(NodeName::Primary);
    for input in [
        Input::Message(Message::CheckpointReady),
        Input::CheckpointDue,
        Input::Message(Message::CheckpointReply),
        Input::VmSuspended,
        Input::StateSaved { device_bytes: 9 },
        Input::RamSent,
        Input::DeviceStateSent,
        Input::Message(Message::VmstateReceived),
        Input::Message(Message::VmstateLoaded),
        Input::CheckpointDue,
        Input::Message(Message::CheckpointReply),
        Input::VmSuspended,
    ] {
        assert_eq!(primary.input(&Rules::V12, input), None, "{input:?}");
        if primary.machine().checkpoint() < CheckpointNumber(2) {
            while primary.next_effect(&Rules::V12).is_some() {}
        }
    }
    let of = |node: &Node| node.queue().iter().map(|effect| effect.to_string()).collect::<Vec<_>>();
    assert_eq!(of(&primary), ["checkpoint-request", "suspend-vm", "save-state 2"]);
    primary.renumber(1);
    assert_eq!(of(&primary), ["checkpoint-request", "suspend-vm", "save-state 1"]);
    assert_eq!(
        (primary.lowest_number(), primary.machine().checkpoint()),
        (CheckpointNumber(1), CheckpointNumber(1))
    );
}

#[test]
#[should_panic(expected = "checkpoint 0 is another than the others")]
fn the_initial_state_keeps_its_number() {
    colo_protocol::Node::new(NodeName::Primary).renumber(1);
}
