//! A run without an end followed once more: whether its steps lead to where they are said to, whether its cycle comes back
//! to where it begins, and whether what is owed is then never there, in an environment as fair as the property asks for.
//!
//! It reads where the run turns from the notes that `story` put into the trace. The judge is `checker::verify_lasso`.

use crate::action::Action;
use crate::bounds::{Bounds, Budgets, UNBOUNDED};
use crate::checker::{Flaw, Lasso, Specification, verify_lasso};
use crate::liveness::add_claims;
use crate::pair::Pair;
use crate::story::{CYCLE_BEGINS, OWED, STOPS};
use colo_protocol::{Liveness, Rules};
use colo_trace::{Kind, Record, Trace};

/// A property that a run without an end is said to break.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForEver {
    /// The property.
    pub property: Liveness,
    /// Why the run does not break it, if it does not.
    pub flaw: Option<String>,
}

/// Where a run turns, counted in steps: from where on something is owed, and where its cycle begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Turns {
    owed_after: usize,
    cycle_from: usize,
}

/// The liveness property that a trace was told for.
pub(crate) fn stalled_in(trace: &Trace) -> Option<Liveness> {
    let last = trace.records.iter().rev().find(|record| record.kind == Kind::Violation)?;
    Liveness::from_name(&last.name)
}

/// The run that the trace tells, `path` being its steps.
pub(crate) fn lasso_in(
    trace: &Trace,
    path: &[Action],
    is_step: impl Fn(&Record) -> bool,
) -> Option<Lasso<Action>> {
    let Turns { owed_after, cycle_from } = turns(&trace.records, is_step)?;
    let in_order = owed_after <= cycle_from && cycle_from <= path.len();
    let (stem, cycle) = in_order.then(|| path.split_at(cycle_from))?;
    Some(Lasso { initial: 0, stem: stem.to_vec(), owed_after, cycle: cycle.to_vec() })
}

fn turns(records: &[Record], is_step: impl Fn(&Record) -> bool) -> Option<Turns> {
    let (mut steps, mut owed_after, mut cycle_from) = (0, None, None);
    for record in records {
        match (record.kind, record.name.as_str()) {
            (Kind::Note, OWED) => owed_after = Some(steps),
            (Kind::Note, CYCLE_BEGINS | STOPS) => cycle_from = Some(steps),
            _ if is_step(record) => steps += 1,
            _ => {}
        }
    }
    Some(Turns { owed_after: owed_after?, cycle_from: cycle_from? })
}

/// Judges the run. Nothing that the environment owes depends on a budget, but for the replacement that is at hand: of
/// those there are as many as came, and one more where that is what the property is about.
pub(crate) fn judge(
    rules: &Rules,
    property: Liveness,
    lasso: Option<&Lasso<Action>>,
    plenty: Budgets,
) -> ForEver {
    let flaw = match lasso {
        Some(lasso) => flaw_of(rules, property, lasso, plenty).err(),
        None => Some(
            "the trace does not say from where on something is owed, or what happens for ever".to_owned(),
        ),
    };
    ForEver { property, flaw }
}

fn flaw_of(rules: &Rules, property: Liveness, lasso: &Lasso<Action>, plenty: Budgets) -> Result<(), String> {
    let steps = lasso.stem.iter().chain(&lasso.cycle);
    let came = steps.filter(|action| matches!(action, Action::Replace(_))).count();
    let at_hand = came + usize::from(property == Liveness::ProtectionAgain);
    let replacements = u8::try_from(at_hand).unwrap_or(u8::MAX);
    let bounds = Bounds { checkpoints: UNBOUNDED, budgets: Budgets { replacements, ..plenty } };
    let pair = Pair { rules: *rules, bounds };
    let mut specification = Specification::new();
    add_claims(&mut specification, rules, property);
    let mut flaws = specification.properties().iter().map(|claim| {
        verify_lasso(&pair, &specification, &claim.claim, lasso)
            .map_err(|flaw| format!("{}: {}", claim.name, in_words(flaw)))
    });
    let mut first = None;
    for flaw in flaws.by_ref() {
        match flaw {
            Ok(()) => return Ok(()),
            Err(flaw) => first = first.or(Some(flaw)),
        }
    }
    Err(first.unwrap_or_else(|| "these rules make no such claim".to_owned()))
}

fn in_words(flaw: Flaw) -> String {
    match flaw {
        Flaw::Unfair { class } => {
            format!(
                "\"{}\" could happen all the time and never does",
                crate::progress::CLASSES[usize::from(class.number())]
            )
        }
        flaw => flaw.to_string(),
    }
}
