//! A trace or a plan followed through the model, and what it breaks on the way.
//!
//! A trace names every step: of the steps that are possible the one that it tells is taken. A plan names some points
//! only, so every interleaving that it leaves open is explored, breadth first. Budgets mean nothing here: what happens
//! is what the trace or the plan has happen. Nothing is decided but which of the model's own steps are taken.

use crate::action::Action;
use crate::bounds::{Bounds, Budgets, MAX_CHECKPOINTS};
use crate::lasso_replay::{ForEver, judge, lasso_in, stalled_in};
use crate::packed::Packed;
use crate::pair::Pair;
use crate::state::State;
use crate::story::{lasso_story, record, story};
use colo_protocol::{Property, Rules};
use colo_trace::{Kind, Record, Trace};
use stateright::Model;

/// More of anything than a trace can ask for.
const PLENTY: u8 = 200;

/// A property, and the step that broke it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Break {
    /// The how-manieth step, from 1.
    pub step: usize,
    /// What it broke.
    pub property: Property,
}

/// Where a trace leads on to nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stuck {
    /// The how-manieth step, from 1.
    pub step: usize,
    /// What the trace has there.
    pub wanted: Record,
    /// What is possible there.
    pub possible: Vec<Record>,
}

/// What following a trace or a plan came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Followed {
    /// The steps, as far as they went.
    pub trace: Trace,
    /// How many steps.
    pub steps: usize,
    /// What was broken, in the order of the steps.
    pub broken: Vec<Break>,
    /// Where it went no further, if it did not come to the end.
    pub stuck: Option<Stuck>,
    /// Of a run without an end: what it breaks, or why it does not.
    pub for_ever: Option<ForEver>,
}

/// The pair under these rules, with everything possible that could ever be.
pub(crate) fn unbounded(rules: &Rules) -> Pair {
    let budgets = Budgets {
        outputs: PLENTY,
        uncompared: PLENTY,
        mismatches: PLENTY,
        held_outputs: PLENTY,
        disk_writes: PLENTY,
        secondary_writes: PLENTY,
        shutdowns: PLENTY,
        resets: PLENTY,
        replacements: PLENTY,
        missing_capabilities: PLENTY,
        crashes: PLENTY,
        cuts: PLENTY,
        stalls: PLENTY,
        blackholes: PLENTY,
        partitions: PLENTY,
        corruptions: PLENTY,
        wrong_suspicions: PLENTY,
        load_errors: PLENTY,
        save_errors: PLENTY,
        disk_errors: PLENTY,
    };
    Pair { rules: *rules, bounds: Bounds { checkpoints: MAX_CHECKPOINTS, budgets } }
}

/// A way through the model that fits the trace so far. Two can fit: a record does not say everything of a step.
type Way = (State, Vec<Action>);

/// Follows a trace of the checker from the initial state.
pub fn follow_trace(trace: &Trace) -> Followed {
    let pair = unbounded(&trace.header.rules);
    let mut ways: Vec<Way> = vec![(State::initial(), Vec::new())];
    let mut stuck = None;
    for (step, wanted) in (1..).zip(trace.records.iter().filter(|record| is_step(record))) {
        let next = onward(&pair, &ways, wanted);
        if next.is_empty() {
            stuck = Some(Stuck { step, wanted: wanted.clone(), possible: possible(&pair, &ways) });
            break;
        }
        ways = next;
    }
    // Of those that fit the one that breaks most: a record does not say in which unit an output differs.
    let path =
        ways.into_iter().max_by_key(|(state, _)| breaks(state)).map_or_else(Vec::new, |(_, path)| path);
    let mut followed = followed(&pair, &trace.header.rules_name, &path);
    followed.stuck = stuck;
    if let Some(property) = stalled_in(trace).filter(|_| followed.stuck.is_none()) {
        let lasso = lasso_in(trace, &path, is_step);
        if let Some(lasso) = &lasso {
            followed.trace = lasso_story(&pair, &trace.header.rules_name, property, lasso);
        }
        followed.for_ever = Some(judge(&pair.rules, property, lasso.as_ref(), pair.bounds.budgets));
    }
    followed
}

/// Whether a record tells of a step; others tell of what a step led to, or comment on it.
fn is_step(record: &Record) -> bool {
    !matches!(record.kind, Kind::Violation | Kind::Note | Kind::Error | Kind::Client)
}

fn breaks(state: &State) -> usize {
    Property::ALL.into_iter().filter(|property| !state.world.holds(*property)).count()
}

/// What a path through the model is, for whoever asked for it.
pub(crate) fn followed(pair: &Pair, rules_name: &str, path: &[Action]) -> Followed {
    let trace = story(pair, rules_name, path);
    let mut step = 0;
    let mut broken = Vec::new();
    for record in &trace.records {
        match Property::from_name(&record.name).filter(|_| record.kind == Kind::Violation) {
            Some(property) => broken.push(Break { step, property }),
            None => step += 1,
        }
    }
    Followed { trace, steps: step, broken, stuck: None, for_ever: None }
}

/// The ways that go on as the trace does, each state once.
fn onward(pair: &Pair, ways: &[Way], wanted: &Record) -> Vec<Way> {
    let mut next: Vec<Way> = Vec::new();
    for (state, path) in ways {
        for (action, after) in pair.next_steps(&Packed::new(state)) {
            let after = after.state();
            if is_told_by(&record(wanted.time_us, action, state, &after), wanted)
                && !next.iter().any(|(known, _)| *known == after)
            {
                next.push((after, path.iter().copied().chain([action]).collect()));
            }
        }
    }
    next
}

fn is_told_by(step: &Record, wanted: &Record) -> bool {
    let what = |record: &Record| (record.node, record.kind, record.checkpoint, record.value);
    what(step) == what(wanted) && step.name == wanted.name && step.detail == wanted.detail
}

fn possible(pair: &Pair, ways: &[Way]) -> Vec<Record> {
    let mut records = Vec::new();
    for (state, _) in ways {
        for (action, after) in pair.next_steps(&Packed::new(state)) {
            let record = record(0, action, state, &after.state());
            if !records.contains(&record) {
                records.push(record);
            }
        }
    }
    records
}
