//! The pair as a `stateright` model: what each step does. What is possible is in `possible`, effects are in `carry`.
//!
//! Effects are carried out one at a time and operations take a step of their own to end, so a crash, a cut or a
//! command can come between any two. Nothing here decides anything of the protocol.

use crate::action::Action;
use crate::bounds::Bounds;
use crate::carry::{apply_ram, carry_out, disconnect, end_operation, produce, take_from_link, write_disk};
use crate::given::given;
use crate::packed::Packed;
use crate::state::{Link, Side, State};
use colo_protocol::{Input, NodeName, Property, Rules};
use stateright::{Model, Property as Always};

/// The model: the rules under test, and how far to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pair {
    /// The variant of the protocol.
    pub rules: Rules,
    /// The bounds.
    pub bounds: Bounds,
}

impl Model for Pair {
    type State = Packed;
    type Action = Action;

    fn init_states(&self) -> Vec<Packed> {
        vec![Packed::new(&State::initial())]
    }

    fn actions(&self, state: &Packed, actions: &mut Vec<Action>) {
        self.possible(&state.state(), actions);
    }

    fn next_state(&self, last: &Packed, action: Action) -> Option<Packed> {
        Some(self.after(last.state(), action))
    }

    /// All steps at once: the state is unpacked once only.
    fn next_steps(&self, last: &Packed) -> Vec<(Action, Packed)> {
        let state = last.state();
        let mut actions = Vec::new();
        self.possible(&state, &mut actions);
        actions.into_iter().map(|action| (action, self.after(state.clone(), action))).collect()
    }

    fn properties(&self) -> Vec<Always<Self>> {
        Property::ALL.map(|property| Always::always(property.name(), condition(property))).into()
    }
}

/// Nothing is left of the node but a link that its peer sees closed.
fn die(state: &mut State, name: NodeName) {
    *state.side_mut(name) = Side::dead(name);
    state.close_link(name);
}

/// `stateright` takes bare functions only.
fn condition(property: Property) -> fn(&Pair, &Packed) -> bool {
    match property {
        Property::OutputCommit => |_, state| state.holds(Property::OutputCommit),
        Property::SingleServer => |_, state| state.holds(Property::SingleServer),
        Property::CheckpointAtomicity => |_, state| state.holds(Property::CheckpointAtomicity),
        Property::Promise => |_, state| state.holds(Property::Promise),
        Property::StillDuringCapture => |_, state| state.holds(Property::StillDuringCapture),
        Property::Disk => |_, state| state.holds(Property::Disk),
        Property::Coalescing => |_, state| state.holds(Property::Coalescing),
        Property::ExitReason => |_, state| state.holds(Property::ExitReason),
        Property::NoErrorWithoutFault => |_, state| state.holds(Property::NoErrorWithoutFault),
    }
}

impl Pair {
    pub(crate) fn after(&self, mut state: State, action: Action) -> Packed {
        self.apply(&mut state, action);
        state.observe();
        if self.bounds.is_unbounded() {
            state.normalise();
        }
        Packed::new(&state)
    }

    /// The step, and then what it gives to whom.
    pub(crate) fn apply(&self, state: &mut State, action: Action) {
        let inputs = given(state, action);
        self.change(state, action);
        for (name, input) in inputs {
            self.give(state, action, name, input);
        }
    }

    #[allow(clippy::too_many_lines, reason = "a table: an arm for each action")]
    fn change(&self, state: &mut State, action: Action) {
        match action {
            Action::CarryOut(name) => self.carry_out(state, name),
            Action::ApplyRam(name) => apply_ram(state.side_mut(name)),
            Action::EndOperation(name) => end_operation(state, name),
            Action::FailLoad(name) => {
                state.spent.load_errors += 1;
                let side = state.side_mut(name);
                (side.in_hand, side.load) = (None, None);
            }
            Action::FailSave(name) => {
                state.spent.save_errors += 1;
                state.side_mut(name).in_hand = None;
            }
            Action::Deliver(name) => take_from_link(state.side_mut(name)),
            Action::SeeLinkDown(name) => disconnect(state.side_mut(name)),
            Action::Output(name) => produce(state, name),
            Action::DivergingOutput => {
                state.spent.mismatches += 1;
                let vm = &mut state.side_mut(NodeName::Secondary).vm;
                vm.leaves_at = vm.leaves_at.min(vm.output);
                produce(state, NodeName::Secondary);
            }
            Action::UncomparedOutput => {
                state.spent.uncompared += 1;
                produce(state, NodeName::Primary);
            }
            Action::HoldTooLong => state.spent.held_outputs += 1,
            Action::WriteDisk(name) => write_disk(state, name),
            Action::PowerOff(name) => {
                state.spent.shutdowns += 1;
                state.world.powers_off[name as usize] = true;
            }
            Action::Reset(_) => state.spent.resets += 1,
            Action::Replace(name) => {
                state.spent.replacements += 1;
                state.replace(name);
            }
            Action::FindCapabilityMissing => state.spent.missing_capabilities += 1,
            Action::TimerFires => state.side_mut(NodeName::Primary).timer = false,
            Action::Crash(name) => {
                state.spent.crashes += 1;
                die(state, name);
            }
            Action::Fence(name) => die(state, name),
            Action::Cut => {
                state.spent.cuts += 1;
                state.link = Link::Down;
                state.sides.iter_mut().for_each(|side| side.inbox.clear());
            }
            Action::Stall => {
                state.spent.stalls += 1;
                state.link = Link::Stalled;
            }
            Action::StallEnds => state.end_stall(),
            Action::Blackhole => {
                state.spent.blackholes += 1;
                state.link = Link::Blackhole;
                state.sides.iter_mut().for_each(|side| side.inbox.clear());
            }
            Action::Partition(to) => {
                state.spent.partitions += 1;
                state.link = Link::Partitioned(to);
                state.side_mut(to).inbox.clear();
            }
            Action::Corrupt(name) => {
                state.spent.corruptions += 1;
                state.side_mut(name).inbox.pop_at(0);
            }
            Action::FailDisk(name) => {
                state.spent.disk_errors += 1;
                let side = state.side_mut(name);
                side.node.next_effect(&self.rules);
                side.disk.failed = true;
            }
            Action::LostHeartbeatWrongly(_) | Action::PeerSilentWrongly(_) => {
                state.spent.wrong_suspicions += 1;
            }
            Action::Compare | Action::LostHeartbeat(_) | Action::PeerSilent(_) => {}
        }
    }

    fn carry_out(&self, state: &mut State, name: NodeName) {
        if let Some(effect) = state.side_mut(name).node.next_effect(&self.rules) {
            carry_out(state, name, effect);
        }
    }

    /// Gives a side an input; `name` is what it was called before the step.
    fn give(&self, state: &mut State, action: Action, name: NodeName, input: Input) {
        let name = match action {
            // The node has taken it by itself.
            Action::CarryOut(_) => return,
            Action::Replace(_) => NodeName::Primary,
            _ => name,
        };
        let error = state.side_mut(name).node.input(&self.rules, input);
        if let Some(error) = error {
            state.observe_error(error);
        }
        state.world.told[name as usize] |= input == Input::LostHeartbeat && error.is_none();
    }
}
