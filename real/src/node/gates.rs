//! Gates: what a plan holds at this node waits, and the node does whatever else there is to do.
//!
//! Nothing is put aside that has not come: an effect stays in the queue, an operation is not advanced, what came over the
//! link stays decoded and not given, a clock that has run out is looked at again. What the harness has said waits in a
//! list of its own. The harness hears of each gate at which the node stands, and carries to the one node what the other
//! has passed. No decision of the protocol is taken here: all of it could have taken that long by itself.

use super::driver::{Driver, InHand};
use super::{Control, NodeError};
use crate::control::{FromNode, ToNode};
use colo_protocol::{Input, InputKind, Operation};
use colo_trace::{Event, Moment, Point};

impl Driver {
    /// Whether a closed gate holds what is about to happen.
    pub(super) fn is_held(&mut self, moment: Moment, event: Event) -> bool {
        let Some(point) = self.gate_at(moment, event) else { return false };
        if !self.stood_at.contains(&point) {
            self.stood_at.push(point);
        }
        true
    }

    /// Whether an input of this kind has to wait.
    pub(super) fn input_is_held(&mut self, kind: InputKind) -> bool {
        self.is_held(Moment::Before, Event::Input(kind))
    }

    /// Whether it would have to wait if it came.
    pub(super) fn input_would_wait(&self, kind: InputKind) -> bool {
        self.gate_at(Moment::Before, Event::Input(kind)).is_some()
    }

    /// The point at which a closed gate holds this event, if one does.
    fn gate_at(&self, moment: Moment, event: Event) -> Option<Point> {
        if self.cursor.closed().is_empty() {
            return None;
        }
        let point = self.next_point(moment, event);
        self.cursor.holds(point).next().map(|gate| gate.hold)
    }

    pub(super) fn next_point(&self, moment: Moment, event: Event) -> Point {
        self.cursor.next_point(self.config.name, self.node.machine().checkpoint(), moment, event)
    }

    /// Whether the effect that is next has to wait. One whose point before it has been passed does not any more.
    pub(super) fn effect_is_held(&mut self) -> bool {
        let Some(effect) = self.node.queue().ready(self.in_hand.is_some()) else { return false };
        self.announced != Some(effect) && self.is_held(Moment::Before, Event::Effect(effect.kind()))
    }

    /// Whether the operation in hand has to wait before it goes on: in the middle, or with its end, whichever that is.
    pub(super) fn operation_is_held(&mut self, InHand { operation, halfway }: InHand) -> bool {
        if self.cursor.closed().is_empty() {
            return false;
        }
        let half = operation == Operation::LoadState && !halfway || operation.needs_link();
        if half && self.is_held(Moment::During, Event::Effect(operation.effect())) {
            return true;
        }
        let ends = operation != Operation::LoadState || halfway;
        ends && InputKind::all().any(|kind| kind.ends() == Some(operation) && self.input_is_held(kind))
    }

    /// Whether what has come over the link has to wait: for a gate, or until there is room for what it asks for.
    pub(super) fn incoming_is_held(&mut self, input: Input) -> bool {
        self.input_is_held(input.kind()) || !self.node.has_room_for(&self.config.rules, input)
    }

    /// Whether what came last over the link, if it waits, waits for nothing but the end of that: then it is lost with it.
    pub(super) fn is_lost_with_the_link(&self) -> bool {
        let Some(held) = self.held else { return !self.inbound.is_pending() };
        let point = self.next_point(Moment::Before, Event::Input(held.kind()));
        let down = (self.config.name, Event::Input(InputKind::LinkDown));
        let mut gates = self.cursor.holds(point).peekable();
        gates.peek().is_some() && gates.all(|gate| (gate.until.node, gate.until.event) == down)
    }

    /// Whether something that the harness has said has to wait. What a plan says does not.
    pub(super) fn command_is_held(&mut self, command: &ToNode) -> bool {
        match command {
            ToNode::LostHeartbeat { planned: false } => self.input_is_held(InputKind::LostHeartbeat),
            ToNode::ArbiterAnswer(_) => self.in_hand.is_some_and(|in_hand| self.operation_is_held(in_hand)),
            _ => false,
        }
    }

    /// A gate has opened: what the harness has said has its turn again.
    pub(super) fn let_go(&mut self) {
        self.commands.append(&mut self.put_aside);
    }

    /// The run has come to a point that opens gates: those here, and by the harness's hand those of the peer.
    pub(super) fn pass(&mut self, point: Point, control: &mut Control) -> Result<(), NodeError> {
        self.let_go();
        control.tell(&FromNode::Passed(self.config.pair, point))
    }

    /// Tells the harness at which gates the node stands, of those that it has not been told.
    pub(super) fn tell_gates(&mut self, control: &mut Control) -> Result<(), NodeError> {
        while let Some(point) = self.stood_at.get(self.gates_told).copied() {
            self.gates_told += 1;
            control.tell(&FromNode::AtGate(self.config.pair, point))?;
        }
        Ok(())
    }
}
