//! What has to have been so, lest a safety property hold because nothing it speaks of ever was.
//!
//! A premise is a predicate over states, judged as the properties are: from what VMs, link and world did.

use crate::allowed::Allowed;
use crate::state::{State, World};
use colo_protocol::{CheckpointNumber, Effect, Machine, NodeName, Operation, Property};

/// Whether in this state there is something that the property speaks of.
pub(crate) fn is_met(property: Property, state: &State) -> bool {
    match property {
        Property::OutputCommit => has_promoted_after_a_release(state),
        Property::SingleServer => state.world.served != [false; 2],
        Property::CheckpointAtomicity => {
            let vm = &state.side(NodeName::Secondary).vm;
            vm.running && vm.ram.checkpoint.max(vm.devices.checkpoint) > 0
        }
        Property::Promise => {
            let side = state.side(NodeName::Secondary);
            side.vm.running && promised(side.node.machine()) > CheckpointNumber(0)
        }
        Property::StillDuringCapture => state
            .sides
            .iter()
            .any(|side| side.in_hand.is_some_and(|in_hand| in_hand.operation == Operation::SaveState)),
        Property::Disk => {
            let side = state.side(NodeName::Secondary);
            side.vm.running && side.disk.received > side.disk.seen
        }
        Property::Coalescing => state.side(NodeName::Primary).node.machine().pending_requests() > 0,
        Property::ExitReason => NodeName::ALL.into_iter().any(|name| {
            let next = state.side(name).node.queue().first();
            matches!(next, Some(Effect::Exit(_))) && state.world.promoted[name as usize]
        }),
        Property::NoErrorWithoutFault => {
            let loaded = loaded(state.side(NodeName::Secondary).node.machine());
            loaded > CheckpointNumber(0) && !state.spent.any_fault()
        }
    }
}

/// Whether rules and bounds let that be.
pub(crate) fn can_be_met(property: Property, allowed: &Allowed<'_>) -> bool {
    let checkpoints = allowed.checkpoints();
    match property {
        Property::OutputCommit => checkpoints && allowed.outputs() && allowed.failovers(),
        Property::SingleServer => allowed.outputs() && allowed.failovers(),
        Property::CheckpointAtomicity | Property::Promise => checkpoints && allowed.secondary_executes(),
        Property::StillDuringCapture | Property::NoErrorWithoutFault => checkpoints,
        Property::Disk => allowed.disk_writes() && allowed.secondary_executes(),
        Property::Coalescing => allowed.requests_in_between(),
        Property::ExitReason => allowed.failovers(),
    }
}

fn has_promoted_after_a_release(state: &State) -> bool {
    let World { promoted, released, .. } = state.world;
    promoted[NodeName::Secondary as usize] && released[NodeName::Primary as usize] > 0
}

fn promised(machine: &Machine) -> CheckpointNumber {
    match machine {
        Machine::Primary(_) => CheckpointNumber(0),
        Machine::Secondary(secondary) => secondary.promised(),
    }
}

fn loaded(machine: &Machine) -> CheckpointNumber {
    match machine {
        Machine::Primary(_) => CheckpointNumber(0),
        Machine::Secondary(secondary) => secondary.loaded(),
    }
}
