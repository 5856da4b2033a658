//! The pair as a `stateright` model: what each step does. What is possible is in `possible`, effects are in `carry`.
//!
//! Effects are carried out one at a time and operations take a step of their own to end, so a crash, a cut or a
//! command can come between any two. Nothing here decides anything of the protocol.

use crate::action::Action;
use crate::bounds::Bounds;
use crate::carry::{apply_ram, ask_arbiter, carry_out, disconnect, end_load, produce, put_state, write_disk};
use crate::packed::Packed;
use crate::state::{Link, Packet, Side, Snapshot, State, Vm};
use arrayvec::ArrayVec;
use colo_protocol::{Input, NodeName, Operation, OutputOffset, Property, Rules};
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

    #[allow(clippy::too_many_lines, reason = "a table: an arm for each action")]
    pub(crate) fn apply(&self, state: &mut State, action: Action) {
        match action {
            Action::CarryOut(name) => self.carry_out(state, name),
            Action::ApplyRam(name) => apply_ram(state.side_mut(name)),
            Action::EndOperation(name) => self.end_operation(state, name),
            Action::FailLoad(name) => {
                state.spent.load_errors += 1;
                let side = state.side_mut(name);
                (side.in_hand, side.load) = (None, None);
                self.input(state, name, Input::LoadFailed);
            }
            Action::FailSave(name) => {
                state.spent.save_errors += 1;
                state.side_mut(name).in_hand = None;
                self.input(state, name, Input::SaveFailed);
            }
            Action::Deliver(name) => self.deliver(state, name),
            Action::SeeLinkDown(name) => {
                let side = state.side_mut(name);
                disconnect(side);
                self.input(state, name, Input::LinkDown);
            }
            Action::Output(name) => {
                let end = produce(state, name);
                self.input(state, name, Input::GuestOutput { end });
            }
            Action::DivergingOutput => {
                state.spent.mismatches += 1;
                let vm = &mut state.side_mut(NodeName::Secondary).vm;
                vm.leaves_at = vm.leaves_at.min(vm.output);
                let end = produce(state, NodeName::Secondary);
                self.input(state, NodeName::Secondary, Input::GuestOutput { end });
            }
            Action::UncomparedOutput => {
                state.spent.uncompared += 1;
                let end = produce(state, NodeName::Primary);
                self.input(state, NodeName::Primary, Input::UncomparedOutput { end });
            }
            Action::Compare => {
                let next = state.next_compared();
                let same = next < state.side(NodeName::Primary).peer_output.leaves_at;
                let end = OutputOffset(u64::from(next) + 1);
                let input = if same { Input::OutputsMatch { end } } else { Input::OutputsDiffer };
                self.input(state, NodeName::Primary, input);
            }
            Action::HoldTooLong => {
                state.spent.held_outputs += 1;
                self.input(state, NodeName::Primary, Input::OutputHeldTooLong);
            }
            Action::WriteDisk(name) => write_disk(state, name),
            Action::PowerOff(name) => {
                state.spent.shutdowns += 1;
                state.world.powers_off[name as usize] = true;
                self.input(state, name, Input::GuestShutdown);
            }
            Action::Reset(name) => {
                state.spent.resets += 1;
                self.input(state, name, Input::GuestReset);
            }
            Action::Replace(name) => {
                state.spent.replacements += 1;
                state.replace(name);
                self.input(state, NodeName::Primary, Input::Protect);
            }
            Action::FindCapabilityMissing => {
                state.spent.missing_capabilities += 1;
                for name in NodeName::ALL
                    .into_iter()
                    .filter(|name| state.side(*name).alive)
                    .collect::<ArrayVec<_, 2>>()
                {
                    self.input(state, name, Input::CapabilityMissing);
                }
            }
            Action::TimerFires => {
                state.side_mut(NodeName::Primary).timer = false;
                self.input(state, NodeName::Primary, Input::CheckpointDue);
            }
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
                self.input(state, name, Input::BadStream);
            }
            Action::FailDisk(name) => {
                state.spent.disk_errors += 1;
                let side = state.side_mut(name);
                side.node.next_effect(&self.rules);
                side.disk.failed = true;
                self.input(state, name, Input::DiskFailed);
            }
            Action::LostHeartbeat(name) => self.tell(state, name),
            Action::LostHeartbeatWrongly(name) => {
                state.spent.wrong_suspicions += 1;
                self.tell(state, name);
            }
            Action::PeerSilent(name) => {
                self.input(state, name, Input::PeerSilent);
            }
            Action::PeerSilentWrongly(name) => {
                state.spent.wrong_suspicions += 1;
                self.input(state, name, Input::PeerSilent);
            }
        }
    }

    fn tell(&self, state: &mut State, name: NodeName) {
        let refused = self.input(state, name, Input::LostHeartbeat);
        state.world.told[name as usize] |= !refused;
    }

    fn carry_out(&self, state: &mut State, name: NodeName) {
        if let Some(effect) = state.side_mut(name).node.next_effect(&self.rules) {
            carry_out(state, name, effect);
        }
    }

    /// Gives a node an input; whether it was refused.
    fn input(&self, state: &mut State, name: NodeName, input: Input) -> bool {
        let error = state.side_mut(name).node.input(&self.rules, input);
        if let Some(error) = error {
            state.observe_error(error);
        }
        error.is_some()
    }

    fn end_operation(&self, state: &mut State, name: NodeName) {
        let side = state.side_mut(name);
        let Some(in_hand) = side.in_hand.take() else { return };
        let input = match in_hand.operation {
            Operation::SuspendVm => {
                side.vm.running = false;
                Input::VmSuspended
            }
            Operation::SaveState => {
                let checkpoint = u8::try_from(side.node.machine().checkpoint().0).unwrap_or(u8::MAX);
                let Vm { output, writes, .. } = side.vm;
                side.vm.uncaptured = 0;
                side.held[0] = Some(Snapshot { checkpoint, output, writes });
                Input::StateSaved { device_bytes: 1 }
            }
            Operation::SendRam => {
                put_state(state, name, Packet::Ram);
                Input::RamSent
            }
            Operation::SendDeviceState => {
                put_state(state, name, Packet::DeviceState);
                state.side_mut(name).held[0] = None;
                Input::DeviceStateSent
            }
            Operation::LockVm => Input::VmLocked,
            Operation::LoadState => end_load(side),
            Operation::AskArbiter => ask_arbiter(&mut state.world, name),
        };
        self.input(state, name, input);
    }

    fn deliver(&self, state: &mut State, name: NodeName) {
        let side = state.side_mut(name);
        let Some(packet) = side.inbox.pop_at(0) else { return };
        let input = match packet {
            Packet::Message(message) => Input::Message(message),
            Packet::Ram(snapshot) => {
                side.held[0] = Some(snapshot);
                Input::RamReceived
            }
            Packet::DeviceState(snapshot) => {
                side.held[1] = Some(snapshot);
                Input::DeviceStateReceived
            }
        };
        self.input(state, name, input);
    }
}
