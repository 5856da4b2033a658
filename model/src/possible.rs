//! What can happen next in a state: every step that a real environment could take, within the budgets.

use crate::action::Action;
use crate::pair::Pair;
use crate::state::{InHand, Link, State};
use colo_protocol::{NodeName, Operation};

impl Pair {
    /// All of them.
    pub(crate) fn possible(&self, state: &State, actions: &mut Vec<Action>) {
        for name in NodeName::ALL {
            self.node_actions(state, name, actions);
            self.guest_actions(state, name, actions);
        }
        self.comparison_actions(state, actions);
        self.link_actions(state, actions);
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
}

pub(crate) const fn is_dead(state: &State, name: NodeName) -> bool {
    !state.sides[name as usize].alive
}

/// Whether nothing that the node says can be heard any more.
pub(crate) const fn is_silent(state: &State, name: NodeName) -> bool {
    is_dead(state, name) || !matches!(state.link, Link::Up)
}
