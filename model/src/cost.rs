//! What one checkpoint costs on the link: the messages of an undisturbed one, read off the core itself.
//!
//! The pair goes through its first checkpoint; nothing fails, and each environment does at once what it is asked for.
//! How many messages there are, and who waits for whom, is known nowhere in here: it is counted.

use crate::action::Action;
use crate::bounds::{Bounds, Budgets};
use crate::pair::Pair;
use crate::state::State;
use colo_protocol::{CheckpointNumber, Effect, MessageKind, NodeName, PrimaryPhase, Rules};

/// More steps than any checkpoint takes: the end of one that goes round in circles.
const MAX_STEPS: usize = 1_000;

/// A message that was put on the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sent {
    /// By whom.
    pub by: NodeName,
    /// Which.
    pub message: MessageKind,
    /// Whether the primary's VM stood still then: its clients waited.
    pub in_pause: bool,
}

/// The messages of one checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckpointCost {
    /// In the order in which they were sent.
    pub messages: Vec<Sent>,
}

impl CheckpointCost {
    /// How often something went from the primary to the secondary, and an answer came back.
    pub fn round_trips(&self) -> usize {
        round_trips(self.messages.iter())
    }

    /// The same while the primary's VM stood still: what a slow link adds to the pause.
    pub fn round_trips_in_pause(&self) -> usize {
        round_trips(self.messages.iter().filter(|sent| sent.in_pause))
    }
}

fn round_trips<'a>(messages: impl Iterator<Item = &'a Sent>) -> usize {
    let senders: Vec<_> = messages.map(|sent| sent.by).collect();
    let turns = senders.windows(2).filter(|pair| *pair == [NodeName::Primary, NodeName::Secondary]);
    turns.count()
}

/// The messages of a checkpoint under these rules; none if it does not come to its end.
pub fn checkpoint_cost(rules: &Rules) -> Option<CheckpointCost> {
    let bounds = Bounds { checkpoints: 1, budgets: Budgets::default() };
    let pair = Pair { rules: *rules, bounds };
    let mut state = State::initial();
    let mut messages = Vec::new();
    for _ in 0..MAX_STEPS {
        let Some(action) = next_action(&pair, &state) else {
            return has_ended(&state).then_some(CheckpointCost { messages });
        };
        if checkpoint_of(&state, NodeName::Primary) == CheckpointNumber(1) {
            messages.extend(sent_by(&state, action));
        }
        pair.apply(&mut state, action);
    }
    None
}

/// What can be done is done at once. The timer runs out when there is nothing else.
fn next_action(pair: &Pair, state: &State) -> Option<Action> {
    let mut possible = Vec::new();
    pair.possible(state, &mut possible);
    let at_once = possible.iter().find(|action| **action != Action::TimerFires);
    at_once.or(possible.first()).copied()
}

fn sent_by(state: &State, action: Action) -> Option<Sent> {
    let Action::CarryOut(by) = action else { return None };
    let Some(Effect::Send(message)) = state.side(by).node.queue().first() else { return None };
    let in_pause = !state.side(NodeName::Primary).vm.running;
    Some(Sent { by, message: message.kind(), in_pause })
}

fn checkpoint_of(state: &State, name: NodeName) -> CheckpointNumber {
    state.side(name).node.machine().checkpoint()
}

/// Whether the checkpoint is behind both nodes, and the primary's VM runs.
fn has_ended(state: &State) -> bool {
    let primary = state.side(NodeName::Primary);
    let requested = NodeName::ALL.iter().all(|name| checkpoint_of(state, *name) == CheckpointNumber(1));
    requested && primary.vm.running && primary.node.machine().phase_name() == PrimaryPhase::Running.name()
}

#[cfg(test)]
mod tests {
    use super::*;
    use MessageKind::{
        CheckpointReply, CheckpointRequest, VmstateLoaded, VmstateReceived, VmstateSend, VmstateSize,
    };
    use NodeName::{Primary, Secondary};
    use colo_protocol::{BUGS, PRESETS, ReleasePoint, ResumePoint};

    fn cost(rules: &Rules) -> CheckpointCost {
        checkpoint_cost(rules).unwrap_or_else(|| panic!("no checkpoint under {rules:?}"))
    }

    #[test]
    fn a_checkpoint_of_v12_is_the_six_messages_of_its_diagram() {
        let cost = cost(&Rules::V12);
        let sent: Vec<_> = cost.messages.iter().map(|sent| (sent.by, sent.message, sent.in_pause)).collect();
        assert_eq!(
            sent,
            [
                (Primary, CheckpointRequest, false),
                (Secondary, CheckpointReply, false),
                (Primary, VmstateSend, true),
                (Primary, VmstateSize, true),
                (Secondary, VmstateReceived, true),
                (Secondary, VmstateLoaded, true),
            ]
        );
    }

    /// Read off the protocol by hand. Each has the six messages: request and reply, then the state and what is said of
    /// it. They differ in how much of that the primary's VM waits for.
    #[test]
    fn every_preset_costs_what_its_protocol_says() {
        // Remus' VM runs before the first byte of the state is sent; the others wait for an answer to it.
        let in_pause =
            [("v12", 1), ("late-release", 1), ("remus", 0), ("fast", 1), ("strict", 1), ("qemu", 1)];
        assert_eq!(in_pause.map(|(name, _)| name).as_slice(), names().as_slice());
        for (preset, (name, in_pause)) in PRESETS.iter().zip(in_pause) {
            let cost = cost(&preset.rules);
            let counts = (cost.messages.len(), cost.round_trips(), cost.round_trips_in_pause());
            assert_eq!(counts, (6, 2, in_pause), "{name}");
        }
    }

    fn names() -> Vec<&'static str> {
        PRESETS.iter().map(|preset| preset.name).collect()
    }

    #[test]
    fn a_vm_that_runs_on_vmstate_received_does_not_wait_for_the_load() {
        let rules = Rules { resume: ResumePoint::AfterReceived, ..Rules::V12 };
        let in_pause = |rules: &Rules| cost(rules).messages.iter().filter(|sent| sent.in_pause).count();
        assert_eq!((in_pause(&Rules::V12), in_pause(&rules), in_pause(&Rules::REMUS)), (4, 3, 0));
    }

    #[test]
    fn when_output_is_released_costs_no_message() {
        let early = Rules { release: ReleasePoint::AtSuspend, ..Rules::V12 };
        assert_eq!(cost(&early), cost(&Rules::V12));
        assert_eq!(cost(&Rules::LATE_RELEASE), cost(&Rules::V12));
    }

    #[test]
    fn every_known_bug_gets_through_a_checkpoint_in_which_nothing_fails() {
        for bug in BUGS {
            assert_eq!(cost(&bug.rules).messages.len(), 6, "{}", bug.name);
        }
    }

    #[test]
    fn round_trips_are_counted_by_who_answers_whom() {
        let sent = |by| Sent { by, message: CheckpointRequest, in_pause: false };
        let trips = |senders: &[NodeName]| {
            CheckpointCost { messages: senders.iter().copied().map(sent).collect() }.round_trips()
        };
        assert_eq!(trips(&[]), 0);
        assert_eq!(trips(&[Primary, Primary]), 0);
        assert_eq!(trips(&[Secondary, Primary, Secondary]), 1);
        assert_eq!(trips(&[Primary, Secondary, Secondary, Primary, Secondary]), 2);
    }
}
