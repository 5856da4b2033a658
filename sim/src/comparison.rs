//! Where both VMs execute: the secondary's output comes to the primary, which compares it with its own before the world
//! is given any of it. What follows from a difference is the core's business.

use crate::agenda::Event;
use crate::inputs::Basis;
use crate::marks::Mark;
use crate::simulation::Simulation;
use colo_oracle::Reply;
use colo_protocol::{Compared, Failover, Input, NodeName, OutputOffset, PeerOutput};

/// The primary's comparison.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    /// What has come of the secondary's output.
    peer: PeerOutput<Reply>,
    /// Where the primary's output stands that a plan makes one of no known kind.
    passed_over: Vec<OutputOffset>,
    /// The next comparison is planned.
    planned: bool,
    /// The next look whether output has waited for too long is planned.
    watched: bool,
}

impl Comparison {
    /// What the primary sent at `offset` cannot be compared.
    pub(crate) fn passes_over(&mut self, offset: OutputOffset) {
        self.passed_over.push(offset);
    }

    /// What the secondary sent is another VM's now.
    pub(crate) fn forget(&mut self) {
        self.peer.forget();
    }
}

impl Simulation<'_> {
    /// The secondary's output up to here comes to the primary, if it can. No plan and no model knows it to be late.
    pub(crate) fn redirect(&mut self, node: NodeName, up_to: OutputOffset) {
        let way = self.link.delivers(NodeName::Primary, self.agenda.now_us());
        let arrives = way && self.sides.iter().all(|side| side.alive && side.open);
        let Some(offset) = up_to.0.checked_sub(1).filter(|_| arrives) else { return };
        let output = &self.side(node).output;
        let index = offset.checked_sub(output.start().0).and_then(|index| usize::try_from(index).ok());
        if let Some(reply) = index.and_then(|index| output.units().nth(index)).copied() {
            self.comparison.peer.take(OutputOffset(offset), reply);
            self.plan_comparison();
        }
    }

    /// The primary's guest has sent something.
    pub(crate) fn sent_for_comparison(&mut self, node: NodeName) {
        if node == NodeName::Primary && self.rules.is_hybrid() {
            self.plan_comparison();
            self.watch_output();
        }
    }

    fn plan_comparison(&mut self) {
        if !self.comparison.planned {
            self.comparison.planned = true;
            let delay_us = self.guests.within(self.guest_knobs.compare);
            self.agenda.after(delay_us, Event::Compare);
        }
    }

    /// The primary compares what both have sent, from the first unit on that the world has not been given.
    pub(crate) fn compare(&mut self) {
        self.comparison.planned = false;
        if !self.compares() {
            return;
        }
        if !self.side(NodeName::Primary).node.queue().has_room() {
            return self.plan_comparison();
        }
        let side = self.side(NodeName::Primary);
        let from = side.node.machine().output().released();
        let skipped = usize::try_from(from.0.saturating_sub(side.output.start().0)).unwrap_or(usize::MAX);
        let own = side.output.units().skip(skipped);
        let is_known = |own: &Reply, offset| {
            let passed_over = self.comparison.passed_over.contains(&OutputOffset(offset));
            !passed_over && !self.guest_knobs.is_uncompared(own.client)
        };
        let known = own.zip(from.0..).take_while(|(own, offset)| is_known(own, *offset));
        let Compared { end, differs } = self.comparison.peer.compare(from, known.map(|(own, _)| own));
        if end > from {
            self.marks.hit(Mark::OutputsMatched);
            self.comparison.peer.drop_before(end);
            self.give(NodeName::Primary, Input::OutputsMatch { end }, Basis::Node);
        }
        if differs {
            self.marks.hit(Mark::OutputsDiffered);
            self.give(NodeName::Primary, Input::OutputsDiffer, Basis::Node);
        }
    }

    fn compares(&self) -> bool {
        let side = self.side(NodeName::Primary);
        side.alive && side.node.machine().failover() == Failover::None
    }

    fn watch_output(&mut self) {
        if !self.comparison.watched && self.compares() {
            self.comparison.watched = true;
            let released = self.side(NodeName::Primary).node.machine().output().released();
            self.agenda.after(self.guest_knobs.hold_us, Event::OutputWaits { since: released });
        }
    }

    /// Some time ago the world had been given the output up to here: if it has got nothing since, what comes next has
    /// waited for its like for too long.
    pub(crate) fn output_waits(&mut self, since: OutputOffset) {
        self.comparison.watched = false;
        let output = self.side(NodeName::Primary).node.machine().output();
        if !self.compares() || output.released() == output.produced() {
            return;
        }
        if output.released() == since && self.side(NodeName::Primary).node.queue().has_room() {
            self.marks.hit(Mark::OutputHeldTooLong);
            self.give(NodeName::Primary, Input::OutputHeldTooLong, Basis::Node);
        }
        self.watch_output();
    }
}
