//! What carrying out an effect does to a node, its link and its disk; what a guest's doings do.

use crate::state::{InHand, Link, Packet, PeerOutput, Side, Snapshot, State, Vm, small};
use colo_protocol::{Effect, NodeName, Operation, OutputOffset};

/// Carries out an effect; of an operation, its beginning.
pub(crate) fn carry_out(state: &mut State, name: NodeName, effect: Effect) {
    let side = state.side_mut(name);
    match effect {
        Effect::Send(message) => put(state, name, Packet::Message(message)),
        Effect::ResumeVm => side.vm.running = true,
        Effect::Release(up_to) => state.observe_release(name, up_to),
        Effect::ArmCheckpointTimer { .. } => side.timer = true,
        Effect::CloseLink => {
            disconnect(side);
            state.close_link(name);
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
        Effect::ResetVm => reset(state, name),
        Effect::ShutDown => side.vm.running = false,
        // The node has done it by itself.
        Effect::BeginFailover => {}
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
        Effect::SendRound(_) => begin(side, Operation::SendRound),
        Effect::SendRam(_) => begin(side, Operation::SendRam),
        Effect::SendDeviceState(_) => begin(side, Operation::SendDeviceState),
        Effect::LockVm => begin(side, Operation::LockVm),
        Effect::AskArbiter => begin(side, Operation::AskArbiter),
        Effect::Halt => side.vm.running = false,
        Effect::Exit(reason) => state.observe_exit(name, reason),
    }
}

/// The guest begins anew: what it sends from here on, its like at the peer does not.
fn reset(state: &mut State, name: NodeName) {
    state.observe_reset(name);
    let output = state.side(name).vm.output;
    let [primary, secondary] = &mut state.sides;
    secondary.vm.leaves_at = secondary.vm.leaves_at.min(output);
    if name == NodeName::Primary {
        primary.peer_output.leaves_at = primary.peer_output.leaves_at.min(output);
    }
}

/// The guest sends one more unit.
pub(crate) fn produce(state: &mut State, name: NodeName) {
    if !state.follows(name) {
        state.spent.outputs += 1;
    }
    state.side_mut(name).vm.output += 1;
}

/// The secondary's output comes to the primary's comparison, if it can.
fn redirect(state: &mut State, up_to: OutputOffset) {
    let leaves_at = state.side(NodeName::Secondary).vm.leaves_at;
    let open = carries(state.link, NodeName::Primary);
    let primary = state.side_mut(NodeName::Primary);
    if open && primary.alive {
        primary.peer_output = PeerOutput { end: small(up_to), leaves_at };
    }
}

/// The guest's write is on its own disk, and on the secondary's if it is replicated.
pub(crate) fn write_disk(state: &mut State, name: NodeName) {
    let side = state.side_mut(name);
    (side.vm.writes, side.vm.uncaptured) = (side.vm.writes + 1, side.vm.uncaptured + 1);
    let (writes, replicated) = (side.vm.writes, side.disk.replicating);
    if name == NodeName::Secondary {
        side.disk.seen += 1;
    } else if replicated
        && carries(state.link, NodeName::Secondary)
        && state.side(NodeName::Secondary).disk.replicating
    {
        state.side_mut(NodeName::Secondary).disk.received = writes;
    }
}

fn begin(side: &mut Side, operation: Operation) {
    side.in_hand = Some(InHand { operation, ram_applied: false });
}

pub(crate) fn apply_ram(side: &mut Side) {
    if let (Some(in_hand), Some([ram, _])) = (&mut side.in_hand, side.load) {
        in_hand.ram_applied = true;
        side.vm.ram = ram;
    }
}

/// The operation in hand has ended, and what it was for is done.
pub(crate) fn end_operation(state: &mut State, name: NodeName) {
    let side = state.side_mut(name);
    let Some(in_hand) = side.in_hand.take() else { return };
    match in_hand.operation {
        Operation::SuspendVm => side.vm.running = false,
        Operation::SaveState => {
            let checkpoint = u8::try_from(side.node.machine().checkpoint().0).unwrap_or(u8::MAX);
            let Vm { output, writes, .. } = side.vm;
            side.vm.uncaptured = 0;
            side.held[0] = Some(Snapshot { checkpoint, output, writes });
        }
        // What is staged of it is of no use before the rest, and nobody is told of it: it only takes its time.
        Operation::SendRound => {}
        Operation::SendRam => put_state(state, name, Packet::Ram),
        Operation::SendDeviceState => {
            put_state(state, name, Packet::DeviceState);
            state.side_mut(name).held[0] = None;
        }
        Operation::LockVm => {}
        Operation::LoadState => end_load(side),
        // The atomic test-and-set: the first to ask gets it, for ever.
        Operation::AskArbiter => {
            state.world.arbiter.get_or_insert(name);
        }
    }
}

/// What comes first on the link is the node's now; of a checkpoint it is staged.
pub(crate) fn take_from_link(side: &mut Side) {
    match side.inbox.pop_at(0) {
        Some(Packet::Ram(snapshot)) => side.held[0] = Some(snapshot),
        Some(Packet::DeviceState(snapshot)) => side.held[1] = Some(snapshot),
        Some(Packet::Message(_)) | None => {}
    }
}

/// Where nothing whole was staged nothing is applied, and the load is a failed one.
fn end_load(side: &mut Side) {
    let Some([ram, devices]) = side.load.take() else { return };
    let Snapshot { output, writes, .. } = devices;
    side.vm = Vm { ram, devices, output, writes, running: side.vm.running, ..Vm::default() };
    if devices.checkpoint == 0 {
        // The initial state comes with a mirror of the disk.
        (side.disk.received, side.disk.seen) = (writes, writes);
    }
}

/// A node's end of the link is gone, and what it was sending with it.
pub(crate) fn disconnect(side: &mut Side) {
    side.connected = false;
    side.inbox.clear();
    if side.in_hand.is_some_and(|in_hand| in_hand.operation.needs_link()) {
        side.in_hand = None;
    }
}

/// Whether what is put on the link towards this node will arrive, sooner or later.
fn carries(link: Link, to: NodeName) -> bool {
    match link {
        Link::Up | Link::Stalled => true,
        Link::Blackhole | Link::Down => false,
        Link::Partitioned(cut_off) => cut_off != to,
    }
}

fn put(state: &mut State, from: NodeName, packet: Packet) {
    let open = carries(state.link, from.peer()) && state.side(from).connected;
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
