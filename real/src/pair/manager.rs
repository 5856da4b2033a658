//! The manager that QEMU leaves to others: it learns that a node is gone, and tells the other to go on alone; when only
//! the link is gone it fences one of the two first, so that never two serve.
//!
//! It chooses as the simulator's does (`sim/src/manager.rs`). Where the rules have none, this one only remembers.

use colo_protocol::{NodeName, Rules};
use std::time::{Duration, Instant};

/// How long it takes until the manager looks after nodes that live and have lost each other. Both will have said by
/// then what has become of them, in whatever order.
const LOOKS_AFTER: Duration = Duration::from_millis(20);

/// What the manager wants done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    /// The node is to die; then the manager looks again.
    Fence(NodeName),
    /// The node is to be told x-colo-lost-heartbeat.
    Promote(NodeName),
}

/// What the manager knows of the nodes.
#[derive(Debug)]
pub(super) struct Manager {
    exists: bool,
    look_at: Option<Instant>,
    unusable: [bool; 2],
    /// Who serves alone, or has been told to.
    serves: [bool; 2],
    /// The primary serves, and its replacement holds nothing yet.
    introduces: bool,
    /// The guest has powered off: there is nothing left to protect.
    is_done: bool,
}

impl Manager {
    /// The manager of a pair that has just begun.
    pub(super) fn new(rules: &Rules) -> Self {
        Self {
            exists: rules.has_manager(),
            look_at: None,
            unusable: [false; 2],
            serves: [false; 2],
            introduces: false,
            is_done: false,
        }
    }

    /// Whoever serves alone has a replacement, and until that holds its state serves on.
    pub(super) fn begin_pair(&mut self) {
        let serves = [true, false];
        *self = Self {
            exists: self.exists,
            look_at: None,
            unusable: [false; 2],
            serves,
            introduces: true,
            is_done: false,
        };
    }

    /// The replacement holds a checkpoint.
    pub(super) fn joined(&mut self) {
        if std::mem::take(&mut self.introduces) {
            self.serves[NodeName::Primary as usize] = false;
        }
    }

    /// A node has left COLO.
    pub(super) fn exited(&mut self, node: NodeName, unusable: bool, now: Instant) {
        self.unusable[node as usize] |= unusable;
        if self.introduces && node == NodeName::Primary {
            // It stood still already for its replacement, which it has lost: it waits to be told to go on alone.
            self.serves[node as usize] = false;
        }
        self.look_at.get_or_insert(now + LOOKS_AFTER);
    }

    /// A node has stopped for good.
    pub(super) fn halted(&mut self, node: NodeName) {
        self.unusable[node as usize] = true;
    }

    /// A node's guest has powered off.
    pub(super) const fn powered_off(&mut self, node: NodeName) {
        self.unusable[node as usize] = true;
        self.is_done = true;
    }

    /// Whether there is one at all.
    pub(super) const fn exists(&self) -> bool {
        self.exists
    }

    /// A node has been told to go on alone, or does so.
    pub(super) fn serves(&mut self, node: NodeName) {
        self.serves[node as usize] = true;
    }

    /// A node has refused to go on alone. Perhaps it was too early; if its peer is dead it will be told again.
    pub(super) fn refused(&mut self, node: NodeName, alive: [bool; 2], now: Instant) {
        self.serves[node as usize] = false;
        if !alive[node.peer() as usize] {
            self.look_at.get_or_insert(now + LOOKS_AFTER);
        }
    }

    /// Whether a node could serve if it lived.
    pub(super) const fn is_usable(&self, node: NodeName) -> bool {
        !self.unusable[node as usize]
    }

    /// Whether it is time to look.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        self.look_at.take_if(|look_at| now >= *look_at).is_some()
    }

    /// Looks at the nodes: what is to be done, if anything is.
    pub(super) fn look(&mut self, alive: [bool; 2]) -> Option<Order> {
        if !self.exists || self.is_done {
            return None;
        }
        match alive {
            [true, true] => Some(Order::Fence(self.victim())),
            [true, false] => self.promotion(NodeName::Primary),
            [false, true] => self.promotion(NodeName::Secondary),
            [false, false] => None,
        }
    }

    /// The one that cannot serve, as far as it is known; else a replacement that holds nothing yet, whether or not it has said
    /// what has become of it; the one whose peer serves already; or the primary.
    fn victim(&self) -> NodeName {
        let mut nodes = NodeName::ALL.into_iter();
        let unusable = nodes.clone().find(|node| !self.is_usable(*node));
        let relieved = nodes.find(|node| self.serves[node.peer() as usize]);
        let empty = self.introduces.then_some(NodeName::Secondary);
        unusable.or(empty).or(relieved).unwrap_or(NodeName::Primary)
    }

    fn promotion(&mut self, node: NodeName) -> Option<Order> {
        if self.serves[node as usize] || !self.is_usable(node) {
            return None;
        }
        self.serves(node);
        Some(Order::Promote(node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [bool; 2] = [true, true];

    fn manager() -> Manager {
        Manager::new(&Rules::V12)
    }

    #[test]
    fn a_survivor_is_told_once() {
        let mut manager = manager();
        assert_eq!(manager.look([false, true]), Some(Order::Promote(NodeName::Secondary)));
        assert_eq!(manager.look([false, true]), None);
        let now = Instant::now();
        manager.refused(NodeName::Secondary, [false, true], now);
        assert!(manager.is_due(now + LOOKS_AFTER));
        assert_eq!(manager.look([false, true]), Some(Order::Promote(NodeName::Secondary)));
    }

    #[test]
    fn the_node_that_serves_is_spared() {
        for node in NodeName::ALL {
            let mut manager = manager();
            manager.serves(node);
            assert_eq!(manager.look(BOTH), Some(Order::Fence(node.peer())));
        }
    }

    #[test]
    fn a_node_that_is_of_no_use_goes_and_is_never_promoted() {
        let mut manager = manager();
        manager.exited(NodeName::Secondary, true, Instant::now());
        assert_eq!(manager.look(BOTH), Some(Order::Fence(NodeName::Secondary)));
        assert_eq!(manager.look([false, true]), None);
        assert_eq!(manager.look([true, false]), Some(Order::Promote(NodeName::Primary)));
    }

    #[test]
    fn a_replacement_that_holds_nothing_is_not_spared_for_being_slow_to_say_so() {
        let mut manager = manager();
        manager.begin_pair();
        manager.exited(NodeName::Primary, false, Instant::now());
        assert_eq!(manager.look(BOTH), Some(Order::Fence(NodeName::Secondary)));
        assert_eq!(manager.look([true, false]), Some(Order::Promote(NodeName::Primary)));
    }

    #[test]
    fn a_refusal_while_both_live_is_nobodys_death() {
        let (mut manager, now) = (manager(), Instant::now());
        manager.serves(NodeName::Secondary);
        manager.refused(NodeName::Secondary, BOTH, now);
        assert!(!manager.is_due(now + LOOKS_AFTER));
        assert_eq!(manager.look([false, true]), Some(Order::Promote(NodeName::Secondary)));
    }

    #[test]
    fn it_looks_a_while_after_it_has_heard_something() {
        let (mut manager, now) = (manager(), Instant::now());
        assert!(!manager.is_due(now + LOOKS_AFTER));
        manager.exited(NodeName::Primary, false, now);
        assert!(!manager.is_due(now));
        assert!(manager.is_due(now + LOOKS_AFTER));
        assert!(!manager.is_due(now + LOOKS_AFTER));
    }

    #[test]
    fn of_a_guest_that_has_powered_off_nothing_is_left_to_protect() {
        let mut manager = manager();
        manager.powered_off(NodeName::Primary);
        for alive in [BOTH, [true, false], [false, true]] {
            assert_eq!(manager.look(alive), None);
        }
    }

    #[test]
    fn rules_without_a_manager_have_none() {
        let mut manager = Manager::new(&Rules::STRICT);
        for alive in [BOTH, [true, false], [false, true]] {
            assert_eq!(manager.look(alive), None);
        }
    }
}
