//! Which inputs a step gives, and to whom: read from the state before it.
//!
//! For the step itself, for its story, and for what is counted over all steps.

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
        Some(Operation::SendRound) => Input::RoundSent,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::{Bounds, Budgets, Scope};
    use crate::checker::{Coverage, Limits, Search, search};
    use crate::packed::Packed;
    use crate::pair::Pair;
    use colo_protocol::{Machine, PRESETS};

    /// What a machine is after all that a step gives to it.
    fn expected(pair: &Pair, before: &State, action: Action, name: NodeName) -> Machine {
        let mut machine = *before.side(name).node.machine();
        for (_, input) in given(before, action).into_iter().filter(|(to, _)| *to == name) {
            machine.step(&pair.rules, input);
        }
        machine
    }

    #[derive(Default)]
    struct Agreement(u64);

    impl Coverage<Pair> for Agreement {
        fn steps(&mut self, pair: &Pair, from: &Packed, steps: &[(Action, Packed)]) {
            let before = from.state();
            for (action, after) in steps {
                let after = after.state();
                // A survivor is another side after it.
                let replaced = match action {
                    Action::Replace(survivor) => Some(*survivor),
                    _ => None,
                };
                for name in NodeName::ALL.into_iter().filter(|name| after.side(*name).alive) {
                    let was = match (replaced, name) {
                        (Some(_), NodeName::Secondary) => continue,
                        (Some(survivor), NodeName::Primary) => survivor,
                        (None, name) => name,
                    };
                    let machine = after.side(name).node.machine();
                    assert_eq!(*machine, expected(pair, &before, *action, was), "{action:?} {before:?}");
                    self.0 += 1;
                }
            }
        }

        fn merge(&mut self, other: Self) {
            self.0 += other.0;
        }
    }

    /// Counted checkpoints are left as they are, so that machines can be compared.
    #[test]
    fn a_step_gives_what_it_is_said_to_give() {
        for preset in PRESETS {
            for Scope { name, bounds } in Scope::of(&preset.rules) {
                let outputs = bounds.budgets.outputs.min(1);
                let budgets = Budgets { outputs, disk_writes: 0, wrong_suspicions: 0, ..bounds.budgets };
                let pair = Pair { rules: preset.rules, bounds: Bounds { checkpoints: 1, budgets } };
                let limits = Limits { threads: 2, max_depth: Some(40), ..Limits::default() };
                let found: Search<Action, Agreement> = search(&pair, &limits);
                assert!(found.coverage.0 > 100, "{} {name}", preset.name);
            }
        }
    }
}
