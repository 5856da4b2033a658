//! The pair as a `stateright` model: which steps are possible, and what each does.
//!
//! Effects are carried out one at a time and operations take a step of their own to end, so a crash, a cut or a
//! command can come between any two. Nothing here decides anything of the protocol.

use crate::action::Action;
use crate::bounds::Bounds;
use crate::packed::Packed;
use crate::state::{InHand, Link, Packet, PeerOutput, Side, Snapshot, State, Vm, World, small};
use arrayvec::ArrayVec;
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
    fn possible(&self, state: &State, actions: &mut Vec<Action>) {
        for name in NodeName::ALL {
            self.node_actions(state, name, actions);
            self.guest_actions(state, name, actions);
        }
        self.comparison_actions(state, actions);
        self.link_actions(state, actions);
    }

    fn after(&self, mut state: State, action: Action) -> Packed {
        self.apply(&mut state, action);
        state.observe();
        Packed::new(&state)
    }

    fn node_actions(&self, state: &State, name: NodeName, actions: &mut Vec<Action>) {
        let (side, spent, allowed) = (state.side(name), &state.spent, &self.bounds.budgets);
        if !side.alive {
            return;
        }
        if side.node.queue().ready(side.in_hand.is_some()).is_some() {
            actions.push(Action::CarryOut(name));
        }
        if let Some(in_hand) = side.in_hand {
            self.operation_actions(state, name, in_hand, actions);
        }
        if side.connected && !side.inbox.is_empty() {
            actions.push(Action::Deliver(name));
        }
        if side.connected && state.link == Link::Down {
            actions.push(Action::SeeLinkDown(name));
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

    fn guest_actions(&self, state: &State, name: NodeName, actions: &mut Vec<Action>) {
        let (side, spent, allowed) = (state.side(name), &state.spent, &self.bounds.budgets);
        if !side.alive || !side.vm.running {
            return;
        }
        let follows = state.follows(name);
        let produced = if follows { side.vm.output } else { spent.outputs };
        let writes = if follows { allowed.secondary_writes } else { allowed.disk_writes };
        if produced < allowed.outputs {
            actions.push(Action::Output(name));
            if follows && spent.mismatches < allowed.mismatches {
                actions.push(Action::DivergingOutput);
            }
            if name == NodeName::Primary && spent.uncompared < allowed.uncompared {
                actions.push(Action::UncomparedOutput);
            }
        }
        let epochs = u8::try_from(side.node.machine().checkpoint().0 + 1).unwrap_or(u8::MAX);
        if side.vm.writes < writes.saturating_mul(epochs) {
            actions.push(Action::WriteDisk(name));
        }
        if spent.shutdowns < allowed.shutdowns {
            actions.push(Action::PowerOff(name));
        }
    }

    /// The comparison is the primary's, where both VMs execute.
    fn comparison_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let side = state.side(NodeName::Primary);
        let (machine, next) = (side.node.machine(), state.next_compared());
        let waits = next < side.vm.output && !state.world.promoted[0];
        let more = machine.checkpoint().0 < self.bounds.checkpoints && machine.pending_requests() < 2;
        if !self.rules.is_hybrid() || !side.alive || !waits {
            return;
        }
        let same = next < side.peer_output.leaves_at;
        if next < side.peer_output.end && (same || more) {
            actions.push(Action::Compare);
        }
        if more && state.spent.held_outputs < self.bounds.budgets.held_outputs {
            actions.push(Action::HoldTooLong);
        }
    }

    fn link_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let (spent, allowed) = (&state.spent, &self.bounds.budgets);
        if state.link != Link::Down && spent.cuts < allowed.cuts {
            actions.push(Action::Cut);
        }
        if state.link == Link::Up && spent.blackholes < allowed.blackholes {
            actions.push(Action::Blackhole);
        }
        if spent.missing_capabilities < allowed.missing_capabilities && state.is_negotiating() {
            actions.push(Action::FindCapabilityMissing);
        }
    }

    fn operation_actions(&self, state: &State, name: NodeName, in_hand: InHand, actions: &mut Vec<Action>) {
        let side = state.side(name);
        let InHand { operation, ram_applied } = in_hand;
        if operation.needs_link() && !(side.connected && state.link != Link::Down) {
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
                self.input(state, name, Input::GuestShutdown);
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
                *state.side_mut(name) = Side::dead(name);
                state.close_link();
            }
            Action::Cut => {
                state.spent.cuts += 1;
                state.link = Link::Down;
                state.sides.iter_mut().for_each(|side| side.inbox.clear());
            }
            Action::Blackhole => {
                state.spent.blackholes += 1;
                state.link = Link::Blackhole;
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
                let Vm { output, writes, .. } = side.vm;
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

const fn is_dead(state: &State, name: NodeName) -> bool {
    !state.sides[name as usize].alive
}

/// Whether nothing that the node says can be heard any more.
const fn is_silent(state: &State, name: NodeName) -> bool {
    is_dead(state, name) || !matches!(state.link, Link::Up)
}

/// The atomic test-and-set: the first to ask gets it, for ever.
fn ask_arbiter(world: &mut World, name: NodeName) -> Input {
    if *world.arbiter.get_or_insert(name) == name { Input::ArbiterGranted } else { Input::ArbiterDenied }
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
            state.close_link();
        }
        Effect::ApplyRam(_) => {
            if let Some(ram) = side.held[0] {
                side.vm.ram = ram;
            }
        }
        Effect::ReleaseUncompared(up_to) => state.observe_release(name, up_to),
        Effect::RedirectOutput(up_to) => redirect(state, up_to),
        Effect::ForgetPeerOutput => side.peer_output = PeerOutput::default(),
        Effect::StartReplication => {
            (side.disk.started, side.disk.replicating) = (true, true);
            state.observe_replication(name);
        }
        Effect::CheckpointDisk(_) => side.disk.seen = side.disk.received,
        Effect::CommitDiskEpoch(_) => side.disk.seen = side.vm.devices.writes,
        Effect::FailOverDisk => side.disk.replicating = false,
        Effect::ShutDown => side.vm.running = false,
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
        Effect::Exit(reason) => state.observe_exit(name, reason),
    }
}

/// The guest sends one more unit; the end of its output.
fn produce(state: &mut State, name: NodeName) -> OutputOffset {
    if !state.follows(name) {
        state.spent.outputs += 1;
    }
    let vm = &mut state.side_mut(name).vm;
    vm.output += 1;
    OutputOffset(vm.output.into())
}

/// The secondary's output comes to the primary's comparison, if it can.
fn redirect(state: &mut State, up_to: OutputOffset) {
    let leaves_at = state.side(NodeName::Secondary).vm.leaves_at;
    let open = state.link == Link::Up;
    let primary = state.side_mut(NodeName::Primary);
    if open && primary.alive {
        primary.peer_output = PeerOutput { end: small(up_to), leaves_at };
    }
}

/// The guest's write is on its own disk, and on the secondary's if it is replicated.
fn write_disk(state: &mut State, name: NodeName) {
    let side = state.side_mut(name);
    side.vm.writes += 1;
    let (writes, replicated) = (side.vm.writes, side.disk.replicating);
    if name == NodeName::Secondary {
        side.disk.seen += 1;
    } else if replicated && state.link == Link::Up && state.side(NodeName::Secondary).disk.replicating {
        state.side_mut(NodeName::Secondary).disk.received = writes;
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
    let Snapshot { output, writes, .. } = devices;
    side.vm = Vm { ram, devices, output, writes, running: side.vm.running, ..Vm::default() };
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
    let open = state.link == Link::Up && state.side(from).connected;
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
