//! Where no manager stands outside: each node watches for its peer's silence, and an arbiter lets one of them serve.
//!
//! The arbiter is an atomic test-and-set that outlives both nodes. It knows nothing of the protocol. A node's patience
//! is by its own clock, which may be fast, slow, or jump.

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
                self.hears(node);
                self.asks_itself(node);
            }
        }
    }

    /// A node hears of its peer: its patience, by its own clock, begins anew.
    pub(crate) fn hears(&mut self, node: NodeName) {
        let until_us = self.agenda.now_us() + self.knobs.by_clock(node, self.knobs.patience_us);
        self.side_mut(node).patient_until_us = until_us;
    }

    /// A node will ask itself whether its peer has been silent for too long when its patience is over, and not before.
    fn asks_itself(&mut self, node: NodeName) {
        let side = &mut self.sides[node as usize];
        side.patience += 1;
        let token = side.patience;
        self.agenda.at(side.patient_until_us, Event::Patience { node, token });
    }

    /// A node asks itself whether its peer has been silent for too long; if it has not, it asks again later.
    pub(crate) fn patience_ends(&mut self, node: NodeName, token: u32) {
        let side = self.side(node);
        let watches = side.alive && side.patience == token;
        if !watches || side.node.machine().failover() != Failover::None {
            return;
        }
        if self.agenda.now_us() < side.patient_until_us {
            self.asks_itself(node);
            return;
        }
        self.suspects(node);
        self.give(node, Input::PeerSilent, Basis::Node);
    }

    /// A node's clock jumps: what it waits for by the clock comes sooner, or later.
    pub(crate) fn clock_jumps(&mut self, node: NodeName, by_ms: i32) {
        let far_us = u64::from(by_ms.unsigned_abs()) * 1_000;
        let moved = |at_us: u64| if by_ms < 0 { at_us + far_us } else { at_us.saturating_sub(far_us) };
        let side = self.side_mut(node);
        side.patient_until_us = moved(side.patient_until_us);
        let due_us = side.timer_due_us.map(moved);
        if by_ms < 0 {
            side.trouble.clock_until_us = side.patient_until_us.max(due_us.unwrap_or_default());
        }
        if let Some(due_us) = due_us {
            self.plan_timer(node, due_us);
        }
        if self.rules.watches_silence() {
            self.asks_itself(node);
        }
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
