//! Re-protection: a survivor gets a replacement, and the two are a new pair, as often as the seed has replacements.
//!
//! A node that comes back after a crash is such a replacement: it has nothing of what it was. The survivor is the
//! primary's side of the new pair, whatever it was before, and names in traces and plans are by that role. Checkpoints
//! are counted anew; occurrences at protocol points are not, so that a point never means two places of a run.

use crate::agenda::Event;
use crate::comparison::Comparison;
use crate::effects::ALONE_US;
use crate::link::Link;
use crate::marks::Mark;
use crate::side::Side;
use crate::simulation::Simulation;
use crate::{inputs::Basis, replication::Replication};
use colo_protocol::{Failover, Input, NodeName};
use colo_trace::{Kind, new_pair};

/// The most replacements that a run draws.
pub(crate) const MAX_REPLACEMENTS: u64 = 3;

/// The replacements of a run.
#[derive(Debug)]
pub(crate) struct Replacements {
    /// Those that have not come.
    left: u64,
    /// Those that have.
    pub(crate) came: u64,
    /// How many checkpoints there are when the run drains.
    pub(crate) target: u64,
}

impl Replacements {
    pub(crate) const fn new(left: u64, target: u64) -> Self {
        Self { left, came: 0, target }
    }
}

impl Simulation<'_> {
    /// A node serves alone. A replacement comes after a while, if one is at hand; otherwise the run drains.
    pub(crate) fn awaits_replacement(&mut self) {
        if self.replacements.left == 0 || self.draining {
            self.agenda.after(ALONE_US, Event::Drain);
        } else {
            self.replacements.left -= 1;
            self.plan_replacement();
        }
    }

    fn plan_replacement(&mut self) {
        let delay_us = self.guests.within(self.guest_knobs.replacement);
        self.agenda.after(delay_us, Event::Replacement);
    }

    /// A replacement is there. A survivor that is not ready for it is asked again; beside a peer that may still serve,
    /// none is taken.
    pub(crate) fn replacement_comes(&mut self) {
        let alone = |node: &NodeName| {
            let (side, peer) = (self.side(*node), self.side(node.peer()));
            let survived = side.node.machine().failover() == Failover::Completed;
            !side.is_over() && survived && peer.is_over() && (!peer.alive || peer.has_nothing_to_do())
        };
        match NodeName::ALL.into_iter().find(alone) {
            _ if self.draining => {}
            None => self.agenda.after(ALONE_US, Event::Drain),
            Some(survivor) if self.can_be_protected(survivor) => self.replace(survivor),
            Some(_) => self.plan_replacement(),
        }
    }

    /// Whether a survivor takes a replacement now. One that stands still is told nothing.
    fn can_be_protected(&self, survivor: NodeName) -> bool {
        self.side(survivor).node.can_be_protected() && !self.is_asleep(survivor)
    }

    fn replace(&mut self, survivor: NodeName) {
        self.tape.other(self.place(None), Kind::Note, &new_pair(survivor), None);
        self.marks.hit(Mark::ReplacementCame);
        self.agenda.forget(Event::is_of_the_pair);
        self.parked.retain(|event| !event.is_of_the_pair());
        self.until_healed.retain(|event| !event.is_of_the_pair());
        if survivor == NodeName::Secondary {
            self.sides.swap(0, 1);
        }
        (self.link, self.replication, self.arbiter) = (Link::new(), Replication::default(), None);
        let dialect = self.rules.dialect;
        let [primary, secondary] = &mut self.sides;
        primary.begin_generation(dialect);
        *secondary = Side::replacement(dialect, &self.knobs);
        if self.rules.is_hybrid() {
            secondary.inbox = primary.inbox.clone();
        }
        self.comparison = Comparison::default();
        self.judge.begin_generation();
        self.ledger.begin_generation(survivor);
        self.begin_watching();
        self.begin_counting();
        self.wake(NodeName::Primary);
        self.give(NodeName::Primary, Input::Protect, Basis::Node);
    }

    /// The new pair has some checkpoints, too, before the run drains.
    fn begin_counting(&mut self) {
        let more = 2 + self.guests.below(self.options.checkpoints.clamp(1, 5));
        self.replacements.came += 1;
        self.replacements.target = self.checkpoints + more;
        self.plan_drain(more);
    }

    /// The run drains when so many checkpoints could have been taken, whether or not they were.
    pub(crate) fn plan_drain(&mut self, checkpoints: u64) {
        let limit_us = checkpoints.saturating_add(4).saturating_mul(self.knobs.round_us());
        self.agenda.after(limit_us, Event::Drain);
    }

    /// Whether a secondary holds a checkpoint of a primary that goes on, and could take over.
    pub(crate) fn is_protected(&self) -> bool {
        let takes_part =
            |side: &Side| !side.is_over() && side.open && side.node.machine().failover() == Failover::None;
        // Whole, or about to be replaced whole.
        let holds = self.side(NodeName::Secondary).guest.devices_of.is_some();
        holds && self.link.is_up() && self.sides.iter().all(takes_part)
    }
}
