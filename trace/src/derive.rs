//! From a counterexample to a plan: its faults at their points, and the gates that fix the order of its events.
//!
//! The order of two events needs a gate only if nothing else brings it about. To know what does, each node's machine
//! is given the inputs of the trace again, and its effects are queued as in a run; between the nodes, messages and
//! gates carry the order, which a clock for each event keeps. Nothing here decides anything of the protocol.

use crate::fault::FaultAction;
use crate::gate::Gate;
use crate::plan::{Fault, Plan, PlanCursor};
use crate::point::{Event, Moment, Point};
use crate::record::{Kind, Record, Trace};
use colo_protocol::{
    CheckpointNumber, Effect, EffectKind, Failover, InputKind, Node, NodeName, Operation, Rules,
};
use std::collections::VecDeque;
use thiserror::Error;

/// A trace from which no plan can be made.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum DeriveError {
    /// An event that no point of a plan can name.
    #[error("event {event} of the trace, {name:?}, is nothing that a plan can bring about")]
    Inexpressible {
        /// The how-manieth event, from 1.
        event: usize,
        /// What it is called.
        name: String,
    },
    /// An event that the rules do not lead to.
    #[error("event {event} of the trace, {name:?}, is not what these rules do there: expected {expected}")]
    Unexpected {
        /// The how-manieth event, from 1.
        event: usize,
        /// What it is called.
        name: String,
        /// What could have been there.
        expected: String,
    },
}

/// The plan that makes the run of `trace` happen again: a trace of the checker, one record a step.
pub fn plan_of(trace: &Trace) -> Result<Plan, DeriveError> {
    let mut walk = Walk::new(&trace.header.rules);
    let events = trace
        .records
        .iter()
        .filter(|record| matches!(record.kind, Kind::Input | Kind::Effect | Kind::Fault | Kind::Guest));
    for (event, record) in (1..).zip(events) {
        walk.record(record).map_err(|problem| problem.at(event, record))?;
    }
    Ok(Plan::new(walk.faults).with_gates(walk.gates))
}

/// What is wrong with a record.
enum Problem {
    Inexpressible,
    Unexpected(String),
}

impl Problem {
    fn at(self, event: usize, record: &Record) -> DeriveError {
        let name = record.name.clone();
        match self {
            Self::Inexpressible => DeriveError::Inexpressible { event, name },
            Self::Unexpected(expected) => DeriveError::Unexpected { event, name, expected },
        }
    }
}

/// How much of each node's events comes before something for sure: the number of its latest, from 1; 0 for nothing.
type Clock = [usize; 2];

fn join(one: Clock, other: Clock) -> Clock {
    [one[0].max(other[0]), one[1].max(other[1])]
}

/// An event at a node.
#[derive(Clone, Copy)]
struct Step {
    /// The point at which it can be held.
    before: Point,
    /// The point at which a fault strikes that comes behind it.
    after: Point,
    /// The point that a run passes with it: an operation that begins passes the one before it.
    passed: Point,
    clock: Clock,
}

/// The operation that a node has in hand.
#[derive(Clone, Copy)]
struct InHand {
    operation: Operation,
    /// The step that began it; 0 for the load with which a secondary begins.
    begun: usize,
    /// Of a load: its second half is still to come.
    half: Option<Point>,
}

/// One node as far as the walk has come.
struct Side {
    node: Node,
    alive: bool,
    connected: bool,
    in_hand: Option<InHand>,
    /// Its latest step; 0 for none.
    last: usize,
    last_is_delivery: bool,
    timer: Option<usize>,
    /// What is on the link towards it, and the step that put it there.
    inbox: VecDeque<(InputKind, usize)>,
    last_release: usize,
    take_over: usize,
}

impl Side {
    fn new(name: NodeName) -> Self {
        let load = InHand { operation: Operation::LoadState, begun: 0, half: None };
        Self {
            node: Node::new(name),
            alive: true,
            connected: true,
            in_hand: (name == NodeName::Secondary).then_some(load),
            last: 0,
            last_is_delivery: false,
            timer: None,
            inbox: VecDeque::new(),
            last_release: 0,
            take_over: 0,
        }
    }

    fn disconnect(&mut self) {
        self.connected = false;
        self.inbox.clear();
        if self.in_hand.is_some_and(|in_hand| in_hand.operation.needs_link()) {
            self.in_hand = None;
        }
    }
}

/// The latest thing that went wrong.
#[derive(Clone, Copy)]
struct Struck {
    at: Point,
    step: usize,
}

struct Walk<'a> {
    rules: &'a Rules,
    cursor: PlanCursor,
    /// All steps; the first is number 1.
    steps: Vec<Step>,
    sides: [Side; 2],
    struck: Option<Struck>,
    /// From which step on the link is lost, or about to be.
    lost: Option<usize>,
    faults: Vec<Fault>,
    gates: Vec<Gate>,
}

impl<'a> Walk<'a> {
    fn new(rules: &'a Rules) -> Self {
        Self {
            rules,
            cursor: PlanCursor::default(),
            steps: Vec::new(),
            sides: NodeName::ALL.map(Side::new),
            struck: None,
            lost: None,
            faults: Vec::new(),
            gates: Vec::new(),
        }
    }

    fn record(&mut self, record: &Record) -> Result<(), Problem> {
        match (record.kind, record.node) {
            (Kind::Input, Some(node)) => self.input(node, record),
            (Kind::Effect, Some(node)) => self.effect(node, record),
            (Kind::Fault, Some(node)) if record.name.starts_with("crash") => {
                self.crash(node);
                Ok(())
            }
            (Kind::Fault, None) if record.name.starts_with("cut") => {
                self.cut();
                Ok(())
            }
            (Kind::Guest, Some(node)) if record.name == "RAM applied" => self.half_loaded(node),
            // No plan needs to say when a guest writes to its disk: it does so when it likes.
            (Kind::Guest, Some(_)) => Ok(()),
            _ => Err(Problem::Inexpressible),
        }
    }

    fn side(&self, node: NodeName) -> &Side {
        &self.sides[node as usize]
    }

    fn side_mut(&mut self, node: NodeName) -> &mut Side {
        &mut self.sides[node as usize]
    }

    fn step(&self, number: usize) -> Option<&Step> {
        self.steps.get(number.checked_sub(1)?)
    }

    fn clock(&self, number: usize) -> Clock {
        self.step(number).map_or([0; 2], |step| step.clock)
    }

    fn checkpoint(&self, node: NodeName) -> CheckpointNumber {
        self.side(node).node.machine().checkpoint()
    }

    fn next_point(&self, node: NodeName, moment: Moment, event: Event) -> Point {
        self.cursor.next_point(node, self.checkpoint(node), moment, event)
    }

    fn arrive(&mut self, node: NodeName, moment: Moment, event: Event) -> Point {
        let checkpoint = self.checkpoint(node);
        self.cursor.arrive(node, checkpoint, moment, event).0
    }

    /// The number of the step that comes next.
    fn next_number(&self) -> usize {
        self.steps.len() + 1
    }

    fn add(&mut self, node: NodeName, [before, after, passed]: [Point; 3], mut clock: Clock) {
        let number = self.next_number();
        clock = join(clock, self.clock(self.side(node).last));
        clock[node as usize] = number;
        self.steps.push(Step { before, after, passed, clock });
        self.side_mut(node).last = number;
        self.side_mut(node).last_is_delivery = false;
    }

    /// What waits at `hold` waits for `until`; a later point of the same node is the one that counts.
    fn gate(&mut self, hold: Point, until: Point) {
        let same = |gate: &&mut Gate| gate.hold == hold && gate.until.node == until.node;
        match self.gates.iter_mut().find(same) {
            _ if hold == until => {}
            Some(gate) => gate.until = until,
            None => self.gates.push(Gate { hold, until }),
        }
    }

    fn hold_all(&mut self, others: Vec<Point>, until: Point) {
        for hold in others {
            self.gate(hold, until);
        }
    }

    /// Everything at a node that could come before its next step, and comes later or never.
    fn others(&self, node: NodeName, delivery: bool, ends: bool, first: Option<EffectKind>) -> Vec<Point> {
        let side = self.side(node);
        let mut others = Vec::new();
        let mut input = |kind| others.push(self.next_point(node, Moment::Before, Event::Input(kind)));
        if let (Some((kind, sent)), false) = (side.inbox.front(), delivery)
            && self.clock(*sent)[node as usize] < side.last.max(1)
        {
            input(*kind);
        }
        if side.timer.is_some() {
            input(InputKind::CheckpointDue);
        }
        if self.lost.is_some() && side.connected {
            input(InputKind::LinkDown);
        }
        if self.lost.is_some() && side.node.machine().failover() == Failover::None {
            if self.rules.has_manager() {
                input(InputKind::LostHeartbeat);
            }
            if self.rules.watches_silence() {
                input(InputKind::PeerSilent);
            }
        }
        match side.in_hand {
            Some(InHand { half: Some(half), .. }) => others.push(half),
            Some(InHand { operation, .. }) if !ends => others.push(self.end_of(node, operation)),
            _ => {}
        }
        let ready = side.node.queue().ready(side.in_hand.is_some()).map(Effect::kind);
        if let Some(kind) = ready.filter(|kind| Some(*kind) != first) {
            others.push(self.next_point(node, Moment::Before, Event::Effect(kind)));
        }
        others
    }

    /// The point at which an operation's end can be held.
    fn end_of(&self, node: NodeName, operation: Operation) -> Point {
        let mut kinds = InputKind::all().filter(|kind| kind.ends() == Some(operation));
        let kind = kinds.next().unwrap_or(InputKind::VmSuspended);
        self.next_point(node, Moment::Before, Event::Input(kind))
    }

    fn input(&mut self, node: NodeName, record: &Record) -> Result<(), Problem> {
        let Some(input) = record.as_input() else { return Err(Problem::Inexpressible) };
        let kind = input.kind();
        let event = Event::Input(kind);
        let suspicion = matches!(kind, InputKind::LostHeartbeat | InputKind::PeerSilent);
        let delivery = is_delivery(kind);
        let before = self.next_point(node, Moment::Before, event);
        let clock = self.causes(node, kind, before)?;
        let lost_now = self.struck.map(|struck| struck.step);
        let (clock, at_once) = if suspicion { self.suspect(node, kind) } else { (clock, false) };
        let mut others = self.others(node, delivery, kind.ends().is_some(), None);
        if at_once {
            others.clear();
        }
        others.retain(|point| point.event != event);
        // A node that is told in the moment in which the link is lost has not seen that yet.
        if suspicion && lost_now.is_some() && lost_now == self.struck.map(|struck| struck.step) {
            others.retain(|point| point.event != Event::Input(InputKind::LinkDown));
        }
        self.arrive(node, Moment::Before, event);
        let rules = self.rules;
        let side = self.side_mut(node);
        if kind == InputKind::LinkDown {
            side.disconnect();
        }
        side.node.input(rules, input);
        let after = self.arrive(node, Moment::After, event);
        self.add(node, [before, after, after], clock);
        self.side_mut(node).last_is_delivery = delivery;
        self.hold_all(others, after);
        let number = self.side(node).last;
        match kind {
            InputKind::RamSent => self.put(node, InputKind::RamReceived, number),
            InputKind::DeviceStateSent => self.put(node, InputKind::DeviceStateReceived, number),
            _ => {}
        }
        Ok(())
    }

    /// Takes what an input rests on out of the node's surroundings. If that does not bring it behind the node's latest
    /// step, a gate does.
    fn causes(&mut self, node: NodeName, kind: InputKind, before: Point) -> Result<Clock, Problem> {
        let last = self.side(node).last;
        let side = &mut self.sides[node as usize];
        let (clock, implied) = match kind {
            InputKind::LostHeartbeat | InputKind::PeerSilent | InputKind::GuestOutput => return Ok([0; 2]),
            InputKind::CheckpointDue => {
                let armed = side.timer.take();
                (self.clock(armed.unwrap_or(0)), armed == Some(last))
            }
            InputKind::LinkDown => {
                let since = self.lost.ok_or_else(|| Problem::Unexpected("a link that is up".to_owned()))?;
                let clock = self.clock(since);
                (clock, clock[node as usize] >= last)
            }
            kind if is_delivery(kind) => {
                let (first, sent) = side.inbox.pop_front().unzip();
                if first != Some(kind) {
                    let first = first.map_or("nothing", InputKind::name);
                    return Err(Problem::Unexpected(format!("{first} on the link")));
                }
                let in_order = side.last_is_delivery;
                let clock = self.clock(sent.unwrap_or(0));
                (clock, in_order || clock[node as usize] >= last)
            }
            kind => {
                let ends = kind.ends().ok_or(Problem::Inexpressible)?;
                let in_hand = side.in_hand.take();
                if in_hand.map(|in_hand| in_hand.operation) != Some(ends) {
                    return Err(Problem::Unexpected("the end of the operation in hand".to_owned()));
                }
                if kind == InputKind::LoadFailed {
                    self.fail_load(node, in_hand.map_or(0, |in_hand| in_hand.begun));
                }
                // Whatever came since it began has held its end already.
                ([0; 2], true)
            }
        };
        if let (false, Some(step)) = (implied, self.step(last).copied()) {
            self.gate(before, step.passed);
        }
        Ok(clock)
    }

    fn fail_load(&mut self, node: NodeName, begun: usize) {
        let half = self.next_point(node, Moment::During, Event::Effect(EffectKind::LoadState));
        let at = self.step(begun).map_or(half, |step| step.before);
        self.faults.push(Fault { at, action: FaultAction::FailLoad });
    }

    /// A node takes its peer for dead: a fault at the latest point that has to have passed. Whether it strikes at once
    /// behind the node's latest step.
    fn suspect(&mut self, node: NodeName, kind: InputKind) -> (Clock, bool) {
        let last = self.side(node).last;
        let (struck, peer) = (self.struck.map_or(0, |struck| struck.step), node.peer());
        let anchor = last.max(struck);
        let at = match (self.step(anchor), self.struck) {
            (Some(step), _) => step.after,
            (None, Some(struck)) => struck.at,
            (None, None) => self.beginning(node),
        };
        let action = match kind {
            InputKind::PeerSilent => FaultAction::PeerSilent { node },
            _ => FaultAction::LostHeartbeat { node },
        };
        self.faults.push(Fault { at, action });
        self.wait_for_fault(node, anchor, at);
        let other = if anchor == last { (struck, peer) } else { (last, node) };
        self.order(other.0, other.1, anchor);
        self.struck = Some(Struck { at, step: anchor });
        (self.clock(anchor), anchor == last)
    }

    /// What waits until an operation has begun, and the fault strikes while it goes on: it waits for the fault.
    fn wait_for_fault(&mut self, node: NodeName, anchor: usize, at: Point) {
        let Some(passed) = self.step(anchor).map(|step| step.passed) else { return };
        let waits = |gate: &&mut Gate| gate.hold.node == node && gate.until == passed && gate.hold != at;
        self.gates.iter_mut().filter(waits).for_each(|gate| gate.until = at);
    }

    /// Sees to it that the step `first` of `node` comes before the step `second` of the peer.
    fn order(&mut self, first: usize, node: NodeName, second: usize) {
        let (Some(one), Some(two)) = (self.step(first).copied(), self.step(second).copied()) else { return };
        if one.after.node == two.after.node || two.clock[node as usize] >= first {
            return;
        }
        self.gate(two.before, one.passed);
        if let Some(step) = self.steps.get_mut(second - 1) {
            step.clock = join(two.clock, one.clock);
        }
    }

    fn effect(&mut self, node: NodeName, record: &Record) -> Result<(), Problem> {
        let kind = EffectKind::from_name(&record.name).ok_or(Problem::Inexpressible)?;
        let side = self.side(node);
        let ready = side.node.queue().ready(side.in_hand.is_some()).map(Effect::kind);
        if ready != Some(kind) {
            return Err(Problem::Unexpected(ready.map_or("no effect", EffectKind::name).to_owned()));
        }
        let event = Event::Effect(kind);
        let mut others = self.others(node, false, false, Some(kind));
        // These overtake: nothing comes between them and what asks for them.
        if matches!(kind, EffectKind::BeginFailover | EffectKind::CloseLink) {
            others.clear();
        }
        let before = self.arrive(node, Moment::Before, event);
        let rules = self.rules;
        self.side_mut(node).node.next_effect(rules);
        let operation = Operation::of(kind);
        let moment = if operation.is_some() { Moment::During } else { Moment::After };
        let after = self.arrive(node, moment, event);
        let passed = if operation.is_some() { before } else { after };
        self.add(node, [before, after, passed], [0; 2]);
        self.hold_all(others, passed);
        self.carried_out(node, kind, operation, after);
        Ok(())
    }

    fn carried_out(&mut self, node: NodeName, kind: EffectKind, operation: Option<Operation>, half: Point) {
        let number = self.side(node).last;
        if let Some(operation) = operation {
            let half = (operation == Operation::LoadState).then_some(half);
            self.side_mut(node).in_hand = Some(InHand { operation, begun: number, half });
        }
        match kind {
            EffectKind::Send(message) => self.put(node, InputKind::Message(message), number),
            EffectKind::ArmCheckpointTimer => self.side_mut(node).timer = Some(number),
            EffectKind::CloseLink => {
                self.side_mut(node).disconnect();
                self.lost.get_or_insert(number);
            }
            EffectKind::Release => {
                let taken = self.side(node.peer()).take_over;
                self.order(taken, node.peer(), number);
                self.side_mut(node).last_release = number;
            }
            EffectKind::TakeOver => {
                let released = self.side(node.peer()).last_release;
                self.order(released, node.peer(), number);
                self.side_mut(node).take_over = number;
            }
            _ => {}
        }
    }

    fn put(&mut self, from: NodeName, kind: InputKind, number: usize) {
        let open = self.side(from).connected && self.lost.is_none();
        let to = self.side_mut(from.peer());
        if open && to.connected && to.alive {
            to.inbox.push_back((kind, number));
        }
    }

    /// The RAM of the load in hand is in the VM.
    fn half_loaded(&mut self, node: NodeName) -> Result<(), Problem> {
        let half = self.side_mut(node).in_hand.as_mut().and_then(|in_hand| in_hand.half.take());
        let half = half.ok_or_else(|| Problem::Unexpected("no load in its first half".to_owned()))?;
        let mut others = self.others(node, false, true, None);
        others.retain(|point| *point != half);
        self.add(node, [half; 3], [0; 2]);
        self.hold_all(others, half);
        Ok(())
    }

    /// Where a fault strikes before anything has happened.
    fn beginning(&self, node: NodeName) -> Point {
        let first = match node {
            NodeName::Primary => InputKind::Message(colo_protocol::MessageKind::CheckpointReady),
            NodeName::Secondary => InputKind::StateLoaded,
        };
        self.next_point(node, Moment::Before, Event::Input(first))
    }

    fn strike(&mut self, node: NodeName, step: usize, action: FaultAction) {
        let at = self.step(step).map_or_else(|| self.beginning(node), |step| step.after);
        self.faults.push(Fault { at, action });
        self.struck = Some(Struck { at, step });
        self.lost.get_or_insert(step);
    }

    fn crash(&mut self, node: NodeName) {
        self.strike(node, self.side(node).last, FaultAction::Crash { node });
        let side = self.side_mut(node);
        side.alive = false;
        side.disconnect();
    }

    fn cut(&mut self) {
        let [primary, secondary] = self.sides.each_ref().map(|side| side.last);
        let (anchor, node, other) = if primary > secondary {
            (primary, NodeName::Primary, secondary)
        } else {
            (secondary, NodeName::Secondary, primary)
        };
        self.order(other, node.peer(), anchor);
        let at = self.step(anchor).map_or_else(|| self.beginning(node), |step| step.after);
        let mut others = self.others(node.peer(), false, false, None);
        others.retain(|point| !matches!(point.event, Event::Input(InputKind::LinkDown)));
        self.hold_all(others, at);
        self.strike(node, anchor, FaultAction::Cut);
        self.sides.iter_mut().for_each(|side| side.inbox.clear());
    }
}

/// Whether an input is something that came over the link.
const fn is_delivery(kind: InputKind) -> bool {
    matches!(kind, InputKind::Message(_) | InputKind::RamReceived | InputKind::DeviceStateReceived)
}
