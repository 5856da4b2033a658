//! A guest that powers off: who wanted to, who is off, and that nobody is left on for no reason.
//!
//! What a machine that is off means for its peer is the core's business. Here is what the world outside knows: the manager
//! has nothing left to protect, and clients that wait for an answer get none.

use super::violation::RunViolation;
use super::{Pair, SETTLES_WITHIN};
use colo_protocol::NodeName;
use std::time::Instant;

/// What is known of the nodes' power.
#[derive(Debug, Default)]
pub(super) struct Power {
    /// Since when each node's guest wants to be powered off, if it does.
    wanted: [Option<Instant>; 2],
    /// Since when each is off.
    off: [Option<Instant>; 2],
    /// Which nodes have left COLO: what their peer said last may never come to them.
    left: [bool; 2],
}

impl Power {
    /// A node's guest wants to be powered off.
    pub(super) fn wanted(&mut self, node: NodeName) {
        self.wanted[node as usize].get_or_insert_with(Instant::now);
    }

    /// A node has left COLO.
    pub(super) const fn left(&mut self, node: NodeName) {
        self.left[node as usize] = true;
    }

    /// Whether a node is off.
    pub(super) const fn is_off(&self, node: NodeName) -> bool {
        self.off[node as usize].is_some()
    }

    /// Since when a node is to be off and is not.
    fn waits(&self, node: NodeName) -> Option<Instant> {
        self.wanted[node as usize].filter(|_| !self.is_off(node))
    }

    /// Since when its peer is off.
    const fn peer_off(&self, node: NodeName) -> Option<Instant> {
        self.off[node.peer() as usize]
    }
}

impl Pair<'_> {
    /// A node is off: the manager hears of it, too, and promotes nobody any more.
    pub(super) fn powered_off(&mut self, node: NodeName) {
        self.course.power.off[node as usize] = Some(Instant::now());
        self.course.halted = true;
        self.manager.powered_off(node);
        self.outcome.powered_off[node as usize] = true;
    }

    /// Whether the guest that serves is about to power off.
    pub(super) fn is_about_to_power_off(&self) -> bool {
        self.course.power.waits(self.serving).is_some()
    }

    /// Whether the guest has powered off, and nobody who does not know of it goes on.
    pub(super) fn guest_is_gone(&self) -> bool {
        let off = NodeName::ALL.into_iter().any(|node| self.course.power.is_off(node));
        off && !NodeName::ALL.into_iter().any(|node| self.is_left_on(node))
    }

    /// Whether a node goes on though the guest has powered off. One that has lost its peer before it was told may take over;
    /// where there is a manager it does not, because nobody tells it to.
    fn is_left_on(&self, node: NodeName) -> bool {
        let power = &self.course.power;
        let unaware = self.processes[node as usize].is_alive() && self.manager.is_usable(node);
        let told_nothing = power.left[node as usize] || self.course.circumstances.link_is_silent;
        unaware && !(told_nothing && self.manager.exists())
    }

    /// Who should be off by now and is not.
    pub(super) fn left_on(&self) -> Option<RunViolation> {
        let power = &self.course.power;
        let patience = SETTLES_WITHIN + self.options.longest_wait();
        let is_late = |since: &Instant| since.elapsed() > patience;
        let stays = |node: &NodeName| {
            let wants = power.waits(*node).filter(|_| *node == self.serving);
            let left_on =
                power.peer_off(*node).filter(|_| self.is_left_on(*node) && !power.left[*node as usize]);
            let alive = self.processes[*node as usize].is_alive();
            // Who serves alone by now serves a guest that has not powered off.
            let peer = left_on.filter(|_| !self.course.took_over[*node as usize]);
            alive && wants.or(peer).as_ref().is_some_and(is_late)
        };
        let node = NodeName::ALL.into_iter().find(stays)?;
        Some(RunViolation::LeftOn { node })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::delay_tests::options;
    use super::super::hostile_peer::kvm_or_skip;
    use super::*;
    use crate::pair::RunOptions;
    use colo_protocol::Rules;
    use colo_trace::{Fault, FaultAction, Plan};
    use std::time::Duration;

    const STALL_MS: u32 = 600;

    /// Whoever hears that a machine is off may end its process: what it has said to its peer has left by then.
    #[test]
    fn a_node_is_off_when_its_peer_has_been_told() {
        if !kvm_or_skip("a_node_is_off_when_its_peer_has_been_told") {
            return;
        }
        let fault = |at: &str, action| Fault { at: at.parse().unwrap(), action };
        let off = FaultAction::GuestShutdown { node: NodeName::Primary };
        let plan = Plan::new(vec![
            fault("primary checkpoint 1 after effect arm-checkpoint-timer", off),
            fault(
                "primary checkpoint 2 before effect guest-shutdown",
                FaultAction::Stall { for_ms: STALL_MS },
            ),
        ]);
        let options = RunOptions { plan, ..options("v12", Rules { checkpoint_delay_ms: 20, ..Rules::V12 }) };
        let directory = tempfile::tempdir().unwrap();
        let mut pair = Pair::start(&options, directory.path()).unwrap();
        let begun = Instant::now();
        while !pair.course.power.is_off(NodeName::Primary) {
            assert!(begun.elapsed() < Duration::from_secs(20), "it is never off");
            pair.serve_for(Duration::from_millis(5), usize::MAX);
        }
        let off = crate::node::monotonic_us();
        let shut_down = pair.records.iter().find(|record| record.name == "shut-down").unwrap().time_us;
        assert!(off - shut_down > u64::from(STALL_MS) * 800, "{} us", off - shut_down);
        pair.serve_for(Duration::from_millis(500), usize::MAX);
        assert_eq!((pair.course.power.off.map(|off| off.is_some()), pair.outcome.failovers), ([true; 2], 0));
    }
}
