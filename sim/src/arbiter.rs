//! Where no manager stands outside: each node watches for its peer's silence, and an arbiter lets one of them serve.
//!
//! The arbiter is an atomic test-and-set that outlives both nodes. It knows nothing of the protocol.

use crate::agenda::Event;
use crate::inputs::Basis;
use crate::marks::Mark;
use crate::simulation::Simulation;
use colo_protocol::{Failover, Input, NodeName, Property};

impl Simulation<'_> {
    /// Both nodes watch from the start, under rules that have them watch.
    pub(crate) fn begin_watching(&mut self) {
        if self.rules.watches_silence() {
            for node in NodeName::ALL {
                self.agenda.after(self.knobs.patience_us, Event::Patience(node));
            }
        }
    }

    /// A node asks itself whether its peer has been silent for too long; if it has not, it asks again later.
    pub(crate) fn patience_ends(&mut self, node: NodeName) {
        let side = self.side(node);
        if !side.alive || side.node.machine().failover() != Failover::None {
            return;
        }
        let silent_us = side.heard_us + self.knobs.patience_us;
        if self.agenda.now_us() < silent_us {
            self.agenda.at(silent_us, Event::Patience(node));
            return;
        }
        self.suspects(node);
        self.give(node, Input::PeerSilent, Basis::Node);
    }

    /// A node takes its peer for dead, or is told so. If the peer lives, nobody but an arbiter prevents two servers.
    pub(crate) fn suspects(&mut self, node: NodeName) {
        if self.side(node.peer()).alive {
            self.marks.hit(Mark::LivingPeerSuspected);
            self.judge.unfenced |= !self.rules.claims(Property::SingleServer, true);
        }
    }

    /// The first to ask gets it, for ever.
    pub(crate) fn arbiter_answers(&mut self, node: NodeName) -> Input {
        if *self.arbiter.get_or_insert(node) == node {
            return Input::ArbiterGranted;
        }
        self.marks.hit(Mark::ArbiterChosePeer);
        Input::ArbiterDenied
    }

    /// The VM of a node stops for good.
    pub(crate) fn halt(&mut self, node: NodeName) {
        self.side_mut(node).guest.executing = false;
    }
}
