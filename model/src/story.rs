//! A path of the model as a trace: the same records that a simulated or a real run leaves.

use crate::action::Action;
use crate::bounds::{Bounds, MAX_CHECKPOINTS};
use crate::checker::Lasso;
use crate::given::given;
use crate::packed::Packed;
use crate::pair::Pair;
use crate::state::State;
use colo_protocol::{Input, Liveness, NodeName, Property};
use colo_trace::{Header, Kind, Record, SCHEMA, StepFault, Trace, Way, new_pair};
use stateright::Model;

/// The trace of `path` from the initial state; what breaks on the way is a record of its own.
pub fn story(pair: &Pair, rules_name: &str, path: &[Action]) -> Trace {
    let mut teller = Teller::new(pair);
    for action in path {
        teller.tell(*action);
    }
    Trace { header: header(pair, rules_name), records: teller.records }
}

/// The note behind which something is owed.
pub(crate) const OWED: &str = "from here on it is owed";
/// The note behind which a cycle begins.
pub(crate) const CYCLE_BEGINS: &str = "what follows happens again and again";
/// The note of a run that stops.
pub(crate) const STOPS: &str = "and nothing that has to happen is left";

/// The trace of a run without an end: the way to its cycle, a note, and the cycle once.
pub fn lasso_story(pair: &Pair, rules_name: &str, property: Liveness, lasso: &Lasso<Action>) -> Trace {
    let mut teller = Teller::new(pair);
    let note = |teller: &mut Teller, text: &str| {
        let time = teller.step;
        teller.records.push(Record::other(time, None, 0, Kind::Note, text));
    };
    for (number, action) in lasso.stem.iter().enumerate() {
        if number == lasso.owed_after {
            note(&mut teller, OWED);
        }
        teller.tell(*action);
    }
    if lasso.owed_after >= lasso.stem.len() {
        note(&mut teller, OWED);
    }
    if lasso.stops() {
        note(&mut teller, STOPS);
    } else {
        note(&mut teller, CYCLE_BEGINS);
        for action in &lasso.cycle {
            teller.tell(*action);
        }
        note(&mut teller, "and so on for ever");
    }
    let end = teller.step;
    teller.records.push(Record::other(end, None, 0, Kind::Violation, property.name()));
    Trace { header: header(pair, rules_name), records: teller.records }
}

fn header(pair: &Pair, rules_name: &str) -> Header {
    Header {
        schema: SCHEMA,
        rules_name: rules_name.to_owned(),
        rules: pair.rules,
        seed: None,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        way: Way::Model,
    }
}

/// Takes steps, and tells of each.
struct Teller {
    pair: Pair,
    state: State,
    step: u64,
    records: Vec<Record>,
}

impl Teller {
    /// Checkpoints are counted, whether or not the check counted them.
    fn new(pair: &Pair) -> Self {
        let bounds = Bounds { checkpoints: pair.bounds.checkpoints.min(MAX_CHECKPOINTS), ..pair.bounds };
        let pair = Pair { bounds, ..*pair };
        Self { pair, state: State::initial(), step: 0, records: Vec::new() }
    }

    fn tell(&mut self, action: Action) {
        self.step += 1;
        let Some(next) = self.pair.next_state(&Packed::new(&self.state), action) else {
            unreachable!("a path is made of steps that there are")
        };
        let next = next.state();
        self.records.push(record(self.step, action, &self.state, &next));
        for property in Property::ALL {
            if self.state.world.holds(property) && !next.world.holds(property) {
                self.records.push(violation(self.step, property));
            }
        }
        self.state = next;
    }
}

fn violation(step: u64, property: Property) -> Record {
    Record::other(step, None, 0, Kind::Violation, property.name())
}

pub(crate) fn record(step: u64, action: Action, before: &State, after: &State) -> Record {
    let checkpoint = |name| after.side(name).node.machine().checkpoint().0;
    let fault = |fault: StepFault| {
        let node = fault.node();
        Record::other(step, node, node.map_or(0, checkpoint), Kind::Fault, fault.to_string())
    };
    match action {
        Action::CarryOut(name) => match before.side(name).node.queue().first() {
            Some(effect) => Record::effect(step, name, checkpoint(name), effect),
            None => unreachable!("only a waiting effect is carried out"),
        },
        Action::ApplyRam(name) => {
            Record::other(step, Some(name), checkpoint(name), Kind::Guest, "RAM applied")
        }
        Action::WriteDisk(name) => {
            let write = format!("disk write {}", after.side(name).vm.writes);
            Record::other(step, Some(name), checkpoint(name), Kind::Guest, write)
        }
        Action::Replace(survivor) => {
            let primary = NodeName::Primary;
            Record::input(step, primary, checkpoint(primary), Input::Protect).with_detail(new_pair(survivor))
        }
        Action::FindCapabilityMissing => fault(StepFault::CapabilityMissing),
        Action::Blackhole => fault(StepFault::Blackhole),
        Action::Stall => fault(StepFault::Stall),
        Action::StallEnds => fault(StepFault::StallEnds),
        Action::Partition(to) => fault(StepFault::Partition(to)),
        Action::Crash(name) => fault(StepFault::Crash(name)),
        Action::Fence(name) => fault(StepFault::Fence(name)),
        Action::Cut => fault(StepFault::Cut),
        _ => match given(before, action).first() {
            Some((name, input)) => Record::input(step, *name, checkpoint(*name), *input),
            None => unreachable!("every other step gives an input"),
        },
    }
}
