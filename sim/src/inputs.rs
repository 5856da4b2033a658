//! Inputs: the one way by which anything that happens reaches a node's machine.

use crate::agenda::Event as Planned;
use crate::marks::Mark;
use crate::simulation::Simulation;
use colo_protocol::{Effect, Failover, Input, NodeName, Property, ProtocolError};
use colo_trace::{Event, Kind, Moment};

/// On what an input rests. A fault may strike just before it, and then there is nothing to tell any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Basis {
    /// The node lives.
    Node,
    /// Its end of the link is open.
    Link,
    /// This operation is in hand; the input is its end.
    Operation(u32),
}

impl Simulation<'_> {
    /// Gives a node's machine an input; returns what was wrong with it.
    pub(crate) fn give(&mut self, node: NodeName, input: Input, basis: Basis) -> Option<ProtocolError> {
        self.arrive(node, Moment::Before, Event::Input(input.kind()));
        if !self.stands(node, basis) {
            return None;
        }
        if let Basis::Operation(_) = basis {
            self.side_mut(node).in_hand = None;
        }
        let rules = self.rules;
        let before = self.side(node).node.machine().failover();
        let error = self.side_mut(node).node.input(rules, input);
        if before == Failover::None {
            self.note_failover(node);
        }
        self.tape.input(self.place(Some(node)), input);
        if let Some(error) = error {
            self.refused(node, error);
        }
        self.judge_requests(node);
        self.arrive(node, Moment::After, Event::Input(input.kind()));
        self.carry_out_what_overtakes(node);
        self.plan_carrying(node);
        error
    }

    fn stands(&self, node: NodeName, basis: Basis) -> bool {
        let side = self.side(node);
        let stands = match basis {
            Basis::Node => true,
            Basis::Link => side.open,
            Basis::Operation(token) => side.operation(token).is_some(),
        };
        side.alive && stands
    }

    fn refused(&mut self, node: NodeName, error: ProtocolError) {
        self.tape.other(self.place(Some(node)), Kind::Error, &error.to_string(), None);
        if error.is_refusal() {
            self.marks.hit(Mark::FailoverRefused);
        }
        // Who stands still may be taken for dead too early, and a command that comes too early is refused.
        let excused = self.judge.damaged.is_some()
            || self.faults.excuse_errors()
            || (error.is_refusal() && self.faults.any());
        if !excused {
            let sentence = format!("nothing has failed, and the {node} objects: {error}");
            self.violated(Property::NoErrorWithoutFault, sentence);
        }
    }

    /// A failover has been accepted, perhaps.
    fn note_failover(&mut self, node: NodeName) {
        if self.side(node).node.machine().failover() != Failover::None {
            self.side_mut(node).failover_us = self.agenda.now_us();
            self.note_deferral(node);
        }
    }

    /// A failover has begun; perhaps it has to wait.
    pub(crate) fn note_deferral(&mut self, node: NodeName) {
        if self.side(node).node.machine().failover() == Failover::Relaunch {
            self.marks.hit(Mark::FailoverDeferred);
        }
    }

    /// The beginning of a failover does not wait its turn, nor does the closing of the link, which also ends a send
    /// that is stuck.
    pub(crate) fn carry_out_what_overtakes(&mut self, node: NodeName) {
        let overtakes = matches!(self.side(node).ready(), Some(Effect::BeginFailover | Effect::CloseLink));
        if overtakes && !self.is_held(Planned::CarryOut(node)) {
            self.carry_out(node);
        }
    }
}
