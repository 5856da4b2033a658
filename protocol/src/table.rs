//! The transition tables of the two machines, found by running them.
//!
//! Every state that a machine can reach within two checkpoints and one unit of output is given every input; what
//! differs only in counters becomes one row. The tables in the documentation are printed from here.

use crate::effect::EffectKind;
use crate::error::ProtocolError;
use crate::input::{Input, InputKind};
use crate::message::MessageKind;
use crate::node::{Machine, NodeName};
use crate::rules::Rules;
use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

/// One transition: in this phase, on this input, these effects, and then that phase.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Row {
    /// The phase before, as its place among the phases.
    phase_index: usize,
    /// The phase before.
    pub phase: &'static str,
    /// The input.
    pub input: InputKind,
    /// The effects, in order.
    pub effects: Vec<EffectKind>,
    /// The phase after.
    pub next: &'static str,
    /// Whether the input was refused and changed nothing.
    pub refused: bool,
}

/// The transitions of `node` under `rules`, in the order of the phases. Inputs that are a protocol error in a phase
/// have no row there.
pub fn transitions(node: NodeName, rules: &Rules) -> Vec<Row> {
    let mut rows = BTreeSet::new();
    let mut states = vec![Machine::new(node)];
    if node == NodeName::Secondary {
        states.push(Machine::replacement());
    }
    let mut next = 0;
    while let Some(before) = states.get(next).copied() {
        next += 1;
        for input in inputs(&before) {
            let mut after = before;
            let step = after.step(rules, input);
            if step.error.is_some_and(|error| !error.is_refusal()) {
                continue;
            }
            let refused = step.error.is_some_and(ProtocolError::is_refusal);
            rows.insert(row(
                &before,
                input,
                step.effects.iter().map(|effect| effect.kind()),
                &after,
                refused,
            ));
            // A survivor that is protected again is a primary: its transitions are in that one's table.
            let same_role = core::mem::discriminant(&before) == core::mem::discriminant(&after);
            if same_role && !states.contains(&after) {
                states.push(after);
            }
        }
    }
    rows.into_iter().collect()
}

fn row(
    before: &Machine,
    input: Input,
    effects: impl Iterator<Item = EffectKind>,
    after: &Machine,
    refused: bool,
) -> Row {
    Row {
        phase_index: phase_index(before),
        phase: before.phase_name(),
        input: input.kind(),
        effects: effects.collect(),
        next: after.phase_name(),
        refused,
    }
}

fn phase_index(machine: &Machine) -> usize {
    match machine {
        Machine::Primary(primary) => primary.phase() as usize,
        Machine::Secondary(secondary) => secondary.phase() as usize,
    }
}

/// One input of each kind, but none that would count on for ever.
pub(crate) fn inputs(machine: &Machine) -> impl Iterator<Item = Input> {
    let produced = machine.output().produced().0;
    let enough_checkpoints = machine.checkpoint().0 + u64::from(machine.pending_requests()) >= 2;
    InputKind::all().filter_map(move |kind| match kind {
        InputKind::Message(MessageKind::CheckpointRequest)
        | InputKind::CheckpointDue
        | InputKind::OutputsDiffer
        | InputKind::OutputHeldTooLong
        | InputKind::GuestShutdown
        | InputKind::GuestReset
            if enough_checkpoints =>
        {
            None
        }
        InputKind::GuestOutput | InputKind::UncomparedOutput if produced >= 1 => None,
        InputKind::GuestOutput | InputKind::UncomparedOutput => Some(Input::new(kind, produced + 1)),
        InputKind::StateLoaded | InputKind::OutputsMatch => Some(Input::new(kind, produced)),
        kind => Some(Input::new(kind, 0)),
    })
}
