//! The pair as a `stateright` model: which steps are possible, and what each does.
//!
//! Effects are carried out one at a time and operations take a step of their own to end, so a crash, a cut or a
//! command can come between any two. Nothing here decides anything of the protocol.

use crate::action::Action;
use crate::bounds::Bounds;
use crate::state::{InHand, Packet, Side, Snapshot, State, Vm, World};
use colo_protocol::{Effect, Input, NodeName, Operation, OutputOffset, Property, Rules};
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
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::initial()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for name in NodeName::ALL {
            self.node_actions(state, name, actions);
        }
        if state.link_up && state.spent.cuts < self.bounds.budgets.cuts {
            actions.push(Action::Cut);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        self.apply(&mut state, action);
        state.observe();
        Some(state)
    }

    fn properties(&self) -> Vec<Always<Self>> {
        Property::ALL.map(|property| Always::always(property.name(), condition(property))).into()
    }
}

/// `stateright` takes bare functions only.
fn condition(property: Property) -> fn(&Pair, &State) -> bool {
    match property {
        Property::OutputCommit => |_, state| state.world.holds(Property::OutputCommit),
        Property::SingleServer => |_, state| state.world.holds(Property::SingleServer),
        Property::CheckpointAtomicity => |_, state| state.world.holds(Property::CheckpointAtomicity),
        Property::Promise => |_, state| state.world.holds(Property::Promise),
        Property::StillDuringCapture => |_, state| state.world.holds(Property::StillDuringCapture),
        Property::NoErrorWithoutFault => |_, state| state.world.holds(Property::NoErrorWithoutFault),
    }
}

impl Pair {
    fn node_actions(&self, state: &State, name: NodeName, actions: &mut Vec<Action>) {
        let (side, spent, allowed) = (state.side(name), &state.spent, &self.bounds.budgets);
        if !side.alive {
            return;
        }
        if can_carry_out(side) {
            actions.push(Action::CarryOut(name));
        }
        if let Some(in_hand) = side.in_hand {
            self.operation_actions(state, name, in_hand, actions);
        }
        if side.connected && !side.inbox.is_empty() {
            actions.push(Action::Deliver(name));
        }
        if side.connected && !state.link_up {
            actions.push(Action::SeeLinkDown(name));
        }
        if side.vm.running && spent.outputs < allowed.outputs {
            actions.push(Action::Output(name));
        }
        if side.timer && side.node.machine().checkpoint().0 < self.bounds.checkpoints {
            actions.push(Action::TimerFires);
        }
        if spent.crashes < allowed.crashes {
            actions.push(Action::Crash(name));
        }
        if !state.world.promoted[name as usize]
            && side.node.machine().failover() == colo_protocol::Failover::None
        {
            let may_be_wrong = spent.wrong_suspicions < allowed.wrong_suspicions;
            if may_be_wrong || is_dead(state, name.peer()) {
                actions.push(Action::LostHeartbeat(name));
            }
            if may_be_wrong || is_silent(state, name.peer()) {
                actions.push(Action::PeerSilent(name));
            }
        }
    }

    fn operation_actions(&self, state: &State, name: NodeName, in_hand: InHand, actions: &mut Vec<Action>) {
        let side = state.side(name);
        let InHand { operation, ram_applied } = in_hand;
        if operation.needs_link() && !(side.connected && state.link_up) {
            return;
        }
        if operation == Operation::LoadState {
            if state.spent.load_errors < self.bounds.budgets.load_errors {
                actions.push(Action::FailLoad(name));
            }
            if !ram_applied {
                actions.push(Action::ApplyRam(name));
                return;
            }
        }
        actions.push(Action::EndOperation(name));
    }

    fn apply(&self, state: &mut State, action: Action) {
        match action {
            Action::CarryOut(name) => carry_out(state, name),
            Action::ApplyRam(name) => apply_ram(state.side_mut(name)),
            Action::EndOperation(name) => self.end_operation(state, name),
            Action::FailLoad(name) => {
                state.spent.load_errors += 1;
                let side = state.side_mut(name);
                (side.in_hand, side.load) = (None, None);
                self.input(state, name, Input::LoadFailed);
            }
            Action::Deliver(name) => self.deliver(state, name),
            Action::SeeLinkDown(name) => {
                let side = state.side_mut(name);
                disconnect(side);
                self.input(state, name, Input::LinkDown);
            }
            Action::Output(name) => {
                state.spent.outputs += 1;
                let vm = &mut state.side_mut(name).vm;
                vm.output += 1;
                let end = OutputOffset(vm.output.into());
                self.input(state, name, Input::GuestOutput { end });
            }
            Action::TimerFires => {
                state.side_mut(NodeName::Primary).timer = false;
                self.input(state, NodeName::Primary, Input::CheckpointDue);
            }
            Action::Crash(name) => {
                state.spent.crashes += 1;
                *state.side_mut(name) = Side::dead(name);
                state.link_up = false;
            }
            Action::Cut => {
                state.spent.cuts += 1;
                state.link_up = false;
                state.sides.iter_mut().for_each(|side| side.inbox.clear());
            }
            Action::LostHeartbeat(name) => {
                state.spent.wrong_suspicions += u8::from(!is_dead(state, name.peer()));
                self.input(state, name, Input::LostHeartbeat);
            }
            Action::PeerSilent(name) => {
                state.spent.wrong_suspicions += u8::from(!is_silent(state, name.peer()));
                self.input(state, name, Input::PeerSilent);
            }
        }
    }

    fn input(&self, state: &mut State, name: NodeName, input: Input) {
        let error = state.side_mut(name).node.input(&self.rules, input);
        if let Some(error) = error {
            state.observe_error(error);
        }
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
                side.held[0] = Some(Snapshot { checkpoint, output: side.vm.output });
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

const fn is_dead(state: &State, name: NodeName) -> bool {
    !state.sides[name as usize].alive
}

/// Whether nothing that the node says can be heard any more.
const fn is_silent(state: &State, name: NodeName) -> bool {
    is_dead(state, name) || !state.link_up
}

/// The atomic test-and-set: the first to ask gets it, for ever.
fn ask_arbiter(world: &mut World, name: NodeName) -> Input {
    match *world.arbiter.get_or_insert(name) == name {
        true => Input::ArbiterGranted,
        false => Input::ArbiterDenied,
    }
}

/// An operation waits until the one in hand has ended; everything else can be carried out.
fn can_carry_out(side: &Side) -> bool {
    let effect = side.node.queue().first();
    effect.is_some_and(|effect| effect.operation().is_none() || side.in_hand.is_none())
}

fn carry_out(state: &mut State, name: NodeName) {
    let side = state.side_mut(name);
    let Some(effect) = side.node.next_effect() else { return };
    match effect {
        Effect::Send(message) => put(state, name, Packet::Message(message)),
        Effect::ResumeVm => side.vm.running = true,
        Effect::Release(up_to) => state.observe_release(name, up_to),
        Effect::ArmCheckpointTimer { .. } => side.timer = true,
        Effect::CloseLink => {
            disconnect(side);
            state.link_up = false;
        }
        Effect::TakeOver => state.observe_promotion(name),
        Effect::DiscardStaged(_) => side.held = [None; 2],
        Effect::LoadState(_) => {
            side.load = match side.held {
                [Some(ram), Some(devices)] => Some([ram, devices]),
                _ => None,
            };
            side.held = [None; 2];
            begin(side, Operation::LoadState);
        }
        Effect::SuspendVm => begin(side, Operation::SuspendVm),
        Effect::SaveState(_) => begin(side, Operation::SaveState),
        Effect::SendRam(_) => begin(side, Operation::SendRam),
        Effect::SendDeviceState(_) => begin(side, Operation::SendDeviceState),
        Effect::LockVm => begin(side, Operation::LockVm),
        Effect::AskArbiter => begin(side, Operation::AskArbiter),
        Effect::Halt => side.vm.running = false,
        Effect::Exit(_) => {}
    }
}

fn begin(side: &mut Side, operation: Operation) {
    side.in_hand = Some(InHand { operation, ram_applied: false });
}

fn apply_ram(side: &mut Side) {
    if let (Some(in_hand), Some([ram, _])) = (&mut side.in_hand, side.load) {
        in_hand.ram_applied = true;
        side.vm.ram = ram;
    }
}

fn end_load(side: &mut Side) -> Input {
    // Nothing whole was staged: a load that applies nothing is a failed one.
    let Some([ram, devices]) = side.load.take() else { return Input::LoadFailed };
    side.vm = Vm { ram, devices, output: devices.output, running: side.vm.running };
    Input::StateLoaded { output: OutputOffset(devices.output.into()) }
}

/// A node's end of the link is gone, and what it was sending with it.
fn disconnect(side: &mut Side) {
    side.connected = false;
    side.inbox.clear();
    if side.in_hand.is_some_and(|in_hand| in_hand.operation.needs_link()) {
        side.in_hand = None;
    }
}

fn put(state: &mut State, from: NodeName, packet: Packet) {
    let open = state.link_up && state.side(from).connected;
    let to = state.side_mut(from.peer());
    if open && to.connected {
        to.inbox.push(packet);
    }
}

fn put_state(state: &mut State, from: NodeName, packet: fn(Snapshot) -> Packet) {
    if let Some(snapshot) = state.side(from).held[0] {
        put(state, from, packet(snapshot));
    }
}
