//! The manager: what stands outside of the pair, learns that one of it is gone, and tells the other to go on alone.
//!
//! There is one under external detection only. It fences before it promotes, and repeats a command that was refused
//! because the node was not there yet. A node's death ends here, too.

use crate::agenda::Event;
use crate::inputs::Basis;
use crate::marks::Mark;
use crate::simulation::Simulation;
use colo_protocol::{Failover, Input, NodeName, Operation, ProtocolError};
use colo_trace::Kind;

impl Simulation<'_> {
    /// Something has failed: the manager looks after a while, unless it is about to look anyway.
    pub(crate) fn manager_hears(&mut self) {
        if self.options.manager && self.rules.has_manager() && self.looks == 0 {
            self.looks += 1;
            let delay_us = self.manager.within(self.knobs.manager);
            self.agenda.after(delay_us, Event::ManagerLook);
        }
    }

    pub(crate) fn manager_looks(&mut self) {
        self.looks -= 1;
        // Of a guest that has powered off there is nothing left to protect.
        if self.sides.iter().any(|side| side.powered_off) {
            return;
        }
        match self.sides.each_ref().map(|side| side.alive) {
            [true, true] => self.manager_fences(),
            [true, false] => self.manager_promotes(NodeName::Primary),
            [false, true] => self.manager_promotes(NodeName::Secondary),
            [false, false] => {}
        }
    }

    /// Both live and the link is lost: one of them has to go before the other may serve.
    fn manager_fences(&mut self) {
        let asleep = NodeName::ALL.into_iter().find(|node| self.is_asleep(*node));
        let lost = !self.link.is_up() || self.sides.iter().any(|side| !side.open);
        let victim = match asleep {
            // Whom it may not ask it does not judge, and whether it waits is its own choice.
            Some(node) if self.is_asleep(node.peer()) || self.manager.one_in(2) => {
                return self.manager_hears();
            }
            Some(node) => {
                self.marks.hit(Mark::PausedNodeFenced);
                node
            }
            None if lost => self.manager_chooses(),
            None => return,
        };
        self.marks.hit(Mark::NodeFenced);
        self.tape.other(self.place(Some(victim)), Kind::Fault, "fenced by the manager", None);
        self.die(victim);
    }

    /// The one that cannot serve, the one whose peer serves already, or either.
    fn manager_chooses(&mut self) -> NodeName {
        let serves = |node: NodeName| self.side(node).node.machine().failover() != Failover::None;
        let drawn = NodeName::ALL.into_iter().find(|node| self.side(*node).is_over());
        let drawn = drawn.or_else(|| NodeName::ALL.into_iter().find(|node| serves(node.peer())));
        match drawn {
            Some(node) => node,
            None if self.manager.one_in(2) => NodeName::Primary,
            None => NodeName::Secondary,
        }
    }

    fn manager_promotes(&mut self, node: NodeName) {
        let side = self.side(node);
        if side.is_over() || side.node.machine().failover() != Failover::None {
            return;
        }
        if self.is_asleep(node) {
            return self.manager_hears();
        }
        let error = self.give(node, Input::LostHeartbeat, Basis::Node);
        if let Some(ProtocolError::NotInColoMode { .. }) = error {
            self.manager_hears();
        }
    }

    /// A node dies, with all that it has not put on the link.
    pub(crate) fn die(&mut self, node: NodeName) {
        if !self.side(node).alive {
            return;
        }
        match self.side(node).in_hand.map(|in_hand| in_hand.operation) {
            Some(operation) if operation.needs_link() => self.marks.hit(Mark::CrashDuringTransfer),
            _ => {}
        }
        let peer_loads = self.side(node.peer()).in_hand.map(|in_hand| in_hand.operation);
        if peer_loads == Some(Operation::LoadState) {
            self.marks.hit(Mark::CrashDuringLoad);
        }
        let was_open = self.side(node).open;
        let side = self.side_mut(node);
        side.alive = false;
        side.in_hand = None;
        side.guest.executing = false;
        side.inbox.clear();
        if was_open {
            self.close_link(node);
        }
        self.manager_hears();
    }
}
