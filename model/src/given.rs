//! Which inputs a step gives, and to whom: read from the state before it.
//!
//! `pair` gives them. Here they are told without the step being taken, for stories and for what is counted over all steps.

use crate::action::Action;
use crate::state::State;
use arrayvec::ArrayVec;
use colo_protocol::{Effect, Failover, Input, NodeName, Operation, OutputOffset};

/// Inputs, each with the side to which it is given, as sides are called before the step.
pub(crate) type Given = ArrayVec<(NodeName, Input), 2>;

/// What a step gives to whom.
pub(crate) fn given(before: &State, action: Action) -> Given {
    use NodeName::{Primary, Secondary};
    let one = match action {
        Action::CarryOut(name) => failover_begins(before, name).map(|input| (name, input)),
        Action::EndOperation(name) => Some((name, ended(before, name))),
        Action::FailLoad(name) => Some((name, Input::LoadFailed)),
        Action::FailSave(name) => Some((name, Input::SaveFailed)),
        Action::Deliver(name) => Some((name, delivered(before, name))),
        Action::SeeLinkDown(name) => Some((name, Input::LinkDown)),
        Action::Output(name) => Some((name, Input::GuestOutput { end: next_output(before, name) })),
        Action::DivergingOutput => {
            Some((Secondary, Input::GuestOutput { end: next_output(before, Secondary) }))
        }
        Action::UncomparedOutput => {
            Some((Primary, Input::UncomparedOutput { end: next_output(before, Primary) }))
        }
        Action::Compare => Some((Primary, compared(before))),
        Action::HoldTooLong => Some((Primary, Input::OutputHeldTooLong)),
        Action::PowerOff(name) => Some((name, Input::GuestShutdown)),
        Action::Reset(name) => Some((name, Input::GuestReset)),
        Action::Replace(survivor) => Some((survivor, Input::Protect)),
        Action::FindCapabilityMissing => return capability_missing(before),
        Action::TimerFires => Some((Primary, Input::CheckpointDue)),
        Action::Corrupt(name) => Some((name, Input::BadStream)),
        Action::FailDisk(name) => Some((name, Input::DiskFailed)),
        Action::LostHeartbeat(name) | Action::LostHeartbeatWrongly(name) => {
            Some((name, Input::LostHeartbeat))
        }
        Action::PeerSilent(name) | Action::PeerSilentWrongly(name) => Some((name, Input::PeerSilent)),
        Action::ApplyRam(_)
        | Action::WriteDisk(_)
        | Action::Crash(_)
        | Action::Fence(_)
        | Action::Cut
        | Action::Stall
        | Action::StallEnds
        | Action::Blackhole
        | Action::Partition(_) => None,
    };
    one.into_iter().collect()
}

/// A node begins a failover by itself, when it comes to it.
fn failover_begins(before: &State, name: NodeName) -> Option<Input> {
    let node = &before.side(name).node;
    let begins = node.queue().first() == Some(Effect::BeginFailover);
    (begins && node.machine().failover() == Failover::Require).then_some(Input::FailoverBegins)
}

fn capability_missing(before: &State) -> Given {
    let alive = NodeName::ALL.into_iter().filter(|name| before.side(*name).alive);
    alive.map(|name| (name, Input::CapabilityMissing)).collect()
}

fn next_output(before: &State, name: NodeName) -> OutputOffset {
    OutputOffset(u64::from(before.side(name).vm.output) + 1)
}

/// What the comparison makes of the next unit.
fn compared(before: &State) -> Input {
    let next = before.next_compared();
    let same = next < before.side(NodeName::Primary).peer_output.leaves_at;
    let end = OutputOffset(u64::from(next) + 1);
    if same { Input::OutputsMatch { end } } else { Input::OutputsDiffer }
}

/// The input with which the operation in hand ends.
fn ended(before: &State, name: NodeName) -> Input {
    let side = before.side(name);
    match side.in_hand.map(|in_hand| in_hand.operation) {
        Some(Operation::SuspendVm) => Input::VmSuspended,
        Some(Operation::SaveState) => Input::StateSaved { device_bytes: 1 },
        Some(Operation::SendRam) => Input::RamSent,
        Some(Operation::SendDeviceState) => Input::DeviceStateSent,
        Some(Operation::LockVm) => Input::VmLocked,
        Some(Operation::AskArbiter) if before.world.arbiter.is_none_or(|holder| holder == name) => {
            Input::ArbiterGranted
        }
        Some(Operation::AskArbiter) => Input::ArbiterDenied,
        Some(Operation::LoadState) => match side.load {
            Some([_, devices]) => Input::StateLoaded { output: OutputOffset(devices.output.into()) },
            None => Input::LoadFailed,
        },
        None => unreachable!("only an operation in hand ends"),
    }
}

fn delivered(before: &State, name: NodeName) -> Input {
    match before.side(name).inbox.first() {
        Some(packet) => packet.input(),
        None => unreachable!("only what is on the link is delivered"),
    }
}
