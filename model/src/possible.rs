//! What can happen next in a state: every step that a real environment could take, within the budgets.

use crate::action::Action;
use crate::pair::Pair;
use crate::state::{InHand, Link, State};
use colo_protocol::{Input, Node, NodeName, Operation};

impl Pair {
    /// All of them.
    pub(crate) fn possible(&self, state: &State, actions: &mut Vec<Action>) {
        for name in NodeName::ALL {
            self.node_actions(state, name, actions);
            self.guest_actions(state, name, actions);
            self.reset_actions(state, name, actions);
        }
        self.comparison_actions(state, actions);
        self.link_actions(state, actions);
    }

    fn node_actions(&self, state: &State, name: NodeName, actions: &mut Vec<Action>) {
        let (side, spent, allowed) = (state.side(name), &state.spent, &self.bounds.budgets);
        if !side.alive {
            return;
        }
        if let Some(effect) = side.node.queue().ready(side.in_hand.is_some()) {
            actions.push(Action::CarryOut(name));
            if effect.is_of_the_disk() && spent.disk_errors < allowed.disk_errors {
                actions.push(Action::FailDisk(name));
            }
        }
        if let Some(in_hand) = side.in_hand {
            self.operation_actions(state, name, in_hand, actions);
        }
        if side.connected && !side.inbox.is_empty() && delivers(state, name) {
            actions.push(Action::Deliver(name));
            if spent.corruptions < allowed.corruptions {
                actions.push(Action::Corrupt(name));
            }
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
        self.suspicions(state, name, actions);
        if self.may_be_fenced(state, name) {
            actions.push(Action::Fence(name));
        }
        if spent.replacements < allowed.replacements
            && side.node.can_be_protected()
            && is_over(state, name.peer())
        {
            actions.push(Action::Replace(name));
        }
    }

    /// The node is told that its peer is gone, or notices; rightly, or within a budget wrongly. Once more is a step only
    /// if it does something.
    fn suspicions(&self, state: &State, name: NodeName, actions: &mut Vec<Action>) {
        let (side, spent, allowed) = (state.side(name), &state.spent, &self.bounds.budgets);
        let first = !state.world.promoted[name as usize]
            && side.node.machine().failover() == colo_protocol::Failover::None;
        let may_be_wrong = first && spent.wrong_suspicions < allowed.wrong_suspicions;
        if is_dead(state, name.peer()) {
            if first || self.does_something(&side.node, Input::LostHeartbeat) {
                actions.push(Action::LostHeartbeat(name));
            }
        } else if may_be_wrong {
            actions.push(Action::LostHeartbeatWrongly(name));
        }
        if is_silent_to(state, name) {
            if first || self.does_something(&side.node, Input::PeerSilent) {
                actions.push(Action::PeerSilent(name));
            }
        } else if may_be_wrong {
            actions.push(Action::PeerSilentWrongly(name));
        }
    }

    fn does_something(&self, node: &Node, input: Input) -> bool {
        let mut after = node.clone();
        after.input(&self.rules, input);
        after != *node
    }

    /// A manager whose nodes live and have lost each other promotes one of them, and sees first that the other is dead.
    fn may_be_fenced(&self, state: &State, name: NodeName) -> bool {
        let lost = state.link == Link::Down && !is_dead(state, name.peer());
        let nobody_serves = state.world.promoted == [false; 2];
        self.rules.has_manager() && lost && nobody_serves && !is_over(state, name.peer())
    }

    fn guest_actions(&self, state: &State, name: NodeName, actions: &mut Vec<Action>) {
        let (side, spent, allowed) = (state.side(name), &state.spent, &self.bounds.budgets);
        if !side.alive || !side.vm.running || !side.node.queue().has_room() {
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
        if side.vm.uncaptured < writes {
            actions.push(Action::WriteDisk(name));
        }
        if spent.shutdowns < allowed.shutdowns {
            actions.push(Action::PowerOff(name));
        }
    }

    /// A guest resets itself; an operator the primary's VM at any time.
    fn reset_actions(&self, state: &State, name: NodeName, actions: &mut Vec<Action>) {
        let side = state.side(name);
        let may_reset =
            side.alive && side.node.queue().has_room() && (side.vm.running || name == NodeName::Primary);
        if may_reset && state.spent.resets < self.bounds.budgets.resets {
            actions.push(Action::Reset(name));
        }
    }

    /// The comparison is the primary's, where both VMs execute.
    fn comparison_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let side = state.side(NodeName::Primary);
        let (machine, next) = (side.node.machine(), state.next_compared());
        let waits = next < side.vm.output && !state.world.promoted[0];
        let more = machine.checkpoint().0 < self.bounds.checkpoints && machine.pending_requests() < 2;
        if !self.rules.is_hybrid() || !side.alive || !waits || !side.node.queue().has_room() {
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
        if state.link == Link::Stalled {
            actions.push(Action::StallEnds);
        }
        if state.link == Link::Up {
            if spent.stalls < allowed.stalls {
                actions.push(Action::Stall);
            }
            if spent.blackholes < allowed.blackholes {
                actions.push(Action::Blackhole);
            }
            if spent.partitions < allowed.partitions {
                actions.extend(NodeName::ALL.map(Action::Partition));
            }
        }
        if spent.missing_capabilities < allowed.missing_capabilities && state.is_negotiating() {
            actions.push(Action::FindCapabilityMissing);
        }
    }

    fn operation_actions(&self, state: &State, name: NodeName, in_hand: InHand, actions: &mut Vec<Action>) {
        let side = state.side(name);
        let InHand { operation, ram_applied } = in_hand;
        // A blackhole or a partition takes what is sent; a stalled link does not.
        let takes = side.connected && !matches!(state.link, Link::Down | Link::Stalled);
        if operation.needs_link() && !takes {
            return;
        }
        if operation == Operation::SaveState && state.spent.save_errors < self.bounds.budgets.save_errors {
            actions.push(Action::FailSave(name));
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
}

const fn is_dead(state: &State, name: NodeName) -> bool {
    !state.sides[name as usize].alive
}

/// Whether the node's peer is heard of no more, or not for now.
fn is_silent_to(state: &State, name: NodeName) -> bool {
    is_dead(state, name.peer()) || state.link == Link::Down || !delivers(state, name)
}

/// Whether the link brings anything to the node: of a link that is down, what had arrived and was not read.
fn delivers(state: &State, name: NodeName) -> bool {
    match state.link {
        Link::Up | Link::Down => true,
        Link::Stalled | Link::Blackhole => false,
        Link::Partitioned(to) => to != name,
    }
}

/// Whether the node will never do anything again: dead, or stopped for good.
pub(crate) fn is_over(state: &State, name: NodeName) -> bool {
    let side = state.side(name);
    !side.alive || (side.node.machine().is_over() && side.node.queue().first().is_none())
}
