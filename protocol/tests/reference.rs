//! Each machine against a reference that knows only the order of a checkpoint and how it ends: what is due leads on, what
//! is not due ends COLO, and a failover ends with the node alone. proptest draws the row and shrinks it.
#![expect(clippy::unwrap_used, reason = "a test may")]

use colo_protocol::{Input, InputKind, Machine, NodeName, Rules};
use proptest::prelude::*;
use proptest::sample::select;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

/// What leads a node through a checkpoint and back to where it began, and the phase in which it then is.
const PRIMARY: [(&str, &str); 10] = [
    ("checkpoint-ready", "running"),
    ("checkpoint-due", "wait-reply"),
    ("checkpoint-reply", "suspending"),
    ("vm-suspended", "saving"),
    ("state-saved", "sending-ram"),
    ("ram-sent", "sending-device-state"),
    ("device-state-sent", "wait-received"),
    ("vmstate-received", "wait-loaded"),
    ("vmstate-loaded", "running"),
    ("checkpoint-due", "wait-reply"),
];
const SECONDARY: [(&str, &str); 9] = [
    ("state-loaded", "wait-request"),
    ("checkpoint-request", "wait-send"),
    ("vmstate-send", "receiving-ram"),
    ("ram-received", "wait-size"),
    ("vmstate-size", "receiving-device-state"),
    ("device-state-received", "wait-lock"),
    ("vm-locked", "loading"),
    ("state-loaded", "wait-request"),
    ("checkpoint-request", "wait-send"),
];

/// From where, in a second round, the rows above begin again.
const SECOND_ROUND: usize = 2;

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// What is due.
    Due,
    /// Something of the link or of the node that is not due.
    Undue(InputKind),
    /// The link goes down.
    LinkDown,
    /// The manager sends lost-heartbeat, and the failover begins.
    LostHeartbeat,
    /// The peer is silent, for which nobody watches under these rules.
    Silence,
}

/// How far a node has come.
#[derive(Clone, Debug)]
struct Node<const IS_PRIMARY: bool> {
    /// How many of the rows have happened.
    done: usize,
    /// How it ended, if it has.
    end: Option<&'static str>,
    checkpoints: u64,
}

impl<const IS_PRIMARY: bool> Node<IS_PRIMARY> {
    const fn rows() -> &'static [(&'static str, &'static str)] {
        if IS_PRIMARY { &PRIMARY } else { &SECONDARY }
    }

    fn due(&self) -> &'static str {
        Self::rows()[self.done].0
    }

    fn phase(&self) -> &'static str {
        let begin = if IS_PRIMARY { "wait-ready" } else { "incoming" };
        self.end.unwrap_or_else(|| self.done.checked_sub(1).map_or(begin, |last| Self::rows()[last].1))
    }

    /// Whether work is in hand that ends before anything else does: then the reference says nothing of how COLO ends.
    fn is_at_rest(&self) -> bool {
        matches!(
            self.phase(),
            "wait-ready"
                | "running"
                | "wait-reply"
                | "wait-received"
                | "wait-loaded"
                | "wait-request"
                | "wait-send"
                | "receiving-ram"
                | "wait-size"
                | "receiving-device-state"
        )
    }
}

impl<const IS_PRIMARY: bool> ReferenceStateMachine for Node<IS_PRIMARY> {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self { done: 0, end: None, checkpoints: 0 }).boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Step> {
        match state.end {
            Some("error") => return select(vec![Step::Silence, Step::LostHeartbeat]).boxed(),
            Some(_) => return Just(Step::Silence).boxed(),
            None => {}
        }
        let all: Vec<InputKind> = InputKind::all().filter(|kind| is_never_idle(*kind)).collect();
        prop_oneof![
            20 => Just(Step::Due),
            1 => select(all).prop_map(Step::Undue),
            1 => Just(Step::LinkDown),
            1 => Just(Step::LostHeartbeat),
            1 => Just(Step::Silence),
        ]
        .boxed()
    }

    fn preconditions(state: &Self, step: &Step) -> bool {
        let in_colo = state.end.is_none();
        match step {
            Step::Due => in_colo,
            Step::Undue(kind) => in_colo && state.is_at_rest() && kind.name() != state.due(),
            Step::LinkDown => in_colo && state.is_at_rest(),
            Step::Silence => true,
            Step::LostHeartbeat => {
                state.phase() == "error" || in_colo && state.is_at_rest() && state.phase() != "incoming"
            }
        }
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        match step {
            Step::Due => {
                state.checkpoints +=
                    u64::from(matches!(state.due(), "checkpoint-due" | "checkpoint-request"));
                state.done += 1;
                if state.done == Self::rows().len() {
                    state.done = SECOND_ROUND;
                }
            }
            Step::Undue(_) | Step::LinkDown => state.end = Some("error"),
            Step::LostHeartbeat => state.end = Some("alone"),
            Step::Silence => {}
        }
        state
    }
}

/// What is an error wherever it is not due: messages, and the ends of work that was never begun.
fn is_never_idle(kind: InputKind) -> bool {
    let of_failovers = matches!(kind, InputKind::ArbiterGranted | InputKind::ArbiterDenied);
    let asked_for_by_guest = matches!(kind.name(), "guest-shutdown");
    (matches!(kind, InputKind::Message(_)) || kind.ends().is_some()) && !of_failovers && !asked_for_by_guest
}

struct Test<const IS_PRIMARY: bool>;

impl<const IS_PRIMARY: bool> StateMachineTest for Test<IS_PRIMARY> {
    type SystemUnderTest = Machine;
    type Reference = Node<IS_PRIMARY>;

    fn init_test(_: &Node<IS_PRIMARY>) -> Machine {
        Machine::new(if IS_PRIMARY { NodeName::Primary } else { NodeName::Secondary })
    }

    fn apply(mut machine: Machine, after: &Node<IS_PRIMARY>, step: Step) -> Machine {
        let rules = Rules::V12;
        match step {
            Step::Due => {
                // The reference is after the step already: what was due is the row that it has just done.
                let last = after.done.checked_sub(1).unwrap();
                let kind = InputKind::from_name(Node::<IS_PRIMARY>::rows()[last].0).unwrap();
                assert_eq!(machine.step(&rules, Input::new(kind, 5)).error, None);
            }
            Step::Undue(kind) => assert!(machine.step(&rules, Input::new(kind, 5)).error.is_some()),
            Step::LinkDown => assert_eq!(machine.step(&rules, Input::LinkDown).error, None),
            Step::Silence => {
                let step = machine.step(&rules, Input::PeerSilent);
                assert_eq!(step, colo_protocol::Step::default());
            }
            Step::LostHeartbeat => {
                assert_eq!(machine.step(&rules, Input::LostHeartbeat).error, None);
                assert_eq!(machine.step(&rules, Input::FailoverBegins).error, None);
            }
        }
        machine
    }

    fn check_invariants(machine: &Machine, reference: &Node<IS_PRIMARY>) {
        assert_eq!(machine.phase_name(), reference.phase());
        if reference.end.is_none() {
            assert_eq!(machine.checkpoint().0, reference.checkpoints);
        }
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_primary_does_what_its_reference_does(sequential 1..60 => Test<true>);

    #[test]
    fn the_secondary_does_what_its_reference_does(sequential 1..60 => Test<false>);
}
