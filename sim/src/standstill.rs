//! What stands still: a node that is paused, a direction of the link that delivers nothing, a disk that does nothing.
//!
//! What would happen there waits, in its order. Where nobody knows for how long, it waits until the network heals, which
//! is when the run drains.

use crate::agenda::Event;
use crate::link::UNTIL_HEALED;
use crate::marks::Mark;
use crate::simulation::Simulation;
use colo_protocol::{Effect, NodeName};

impl Simulation<'_> {
    /// Until when an event has to wait for what stands still, if it has to.
    pub(crate) fn waits_until(&self, event: Event) -> Option<u64> {
        if !self.stands_still {
            return None;
        }
        let node = event.node()?;
        let now_us = self.agenda.now_us();
        let side = self.side(node);
        if side.trouble.asleep_until_us > now_us {
            return Some(side.trouble.asleep_until_us);
        }
        let until_us = match event {
            Event::Segment { .. } | Event::Datagram { .. } | Event::LinkDown(_) => {
                self.link.shut_until_us(node)
            }
            Event::OperationHalf { token, .. } | Event::OperationEnd { token, .. } => {
                self.stuck_until_us(node, token)
            }
            // A write that is not acknowledged is as good as one that has not come.
            Event::DiskWrites { .. } => {
                let silent_us = NodeName::ALL.map(|to| self.link.shut_until_us(to));
                silent_us.into_iter().fold(side.trouble.disk_until_us, u64::max)
            }
            Event::CarryOut(_) if side.ready().is_some_and(Effect::is_of_the_disk) => {
                side.trouble.disk_until_us
            }
            _ => 0,
        };
        (until_us > now_us).then_some(until_us)
    }

    /// What is put on a link that delivers nothing goes as far as the buffers between the nodes are large.
    fn stuck_until_us(&self, node: NodeName, token: u32) -> u64 {
        let sends = self.side(node).operation(token).is_some_and(|in_hand| in_hand.operation.needs_link());
        let full = sends && self.link.in_flight(node.peer()) >= self.knobs.window_bytes;
        if full { self.link.shut_until_us(node.peer()) } else { 0 }
    }

    /// An event waits.
    pub(crate) fn put_off(&mut self, event: Event, until_us: u64) {
        // What has its place in a stream keeps it; a datagram may be overtaken while it waits.
        if let Event::Datagram { to, .. } = event {
            self.damaged(to);
        }
        if until_us == UNTIL_HEALED {
            self.until_healed.push(event);
        } else {
            self.agenda.at(until_us, event);
        }
    }

    /// Whether a node is paused.
    pub(crate) fn is_asleep(&self, node: NodeName) -> bool {
        self.side(node).trouble.asleep_until_us > self.agenda.now_us()
    }

    pub(crate) fn pause(&mut self, node: NodeName, for_ms: u32) {
        self.marks.hit(Mark::NodePaused);
        self.stands_still = true;
        let until_us = self.agenda.now_us() + u64::from(for_ms) * 1_000;
        let trouble = &mut self.side_mut(node).trouble;
        trouble.asleep_until_us = trouble.asleep_until_us.max(until_us);
        // It answers nobody, and the manager may well take that for its death.
        self.manager_hears();
    }

    pub(crate) fn slow_disk(&mut self, node: NodeName, for_ms: u32) {
        self.stands_still = true;
        let until_us = self.agenda.now_us() + u64::from(for_ms) * 1_000;
        let trouble = &mut self.side_mut(node).trouble;
        trouble.disk_until_us = trouble.disk_until_us.max(until_us);
    }

    /// Nothing comes to either node until then.
    pub(crate) fn silence_both(&mut self, until_us: u64) {
        for to in NodeName::ALL {
            self.silence(to, until_us);
        }
    }

    /// Nothing comes to this node until then.
    pub(crate) fn silence(&mut self, to: NodeName, until_us: u64) {
        self.stands_still = true;
        self.link.shut(to, until_us);
        if self.draining && until_us == UNTIL_HEALED {
            self.heal();
        }
    }

    /// The network heals: what was sent into the silence is sent again, and comes through.
    pub(crate) fn heal(&mut self) {
        if NodeName::ALL.into_iter().all(|node| self.link.shut_until_us(node) != UNTIL_HEALED) {
            return;
        }
        self.marks.hit(Mark::NetworkHealed);
        let at_us = self.agenda.now_us() + self.network.within(self.knobs.healing);
        self.link.heal(at_us);
        for event in std::mem::take(&mut self.until_healed) {
            self.agenda.at(at_us, event);
        }
    }

    /// When all that stands still, and does so for a known time, goes on, and what is in flight has arrived.
    pub(crate) fn standstill_ends_us(&self) -> u64 {
        let sides = self.sides.iter().filter(|side| side.alive);
        let ends = sides.map(|side| side.trouble.ends_us());
        ends.fold(self.link.quiet_us(), u64::max)
    }
}
